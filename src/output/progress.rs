//! A progress bar on standard error, for people who wait.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that shows itself only to people, only after a quarter of a second, and leaves nothing.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    since: Duration,
    shown: bool,
}

impl Progress {
    pub(super) fn new(visible: bool, total: u64, what: &str, now: Duration) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let template = "{msg} [{bar:30}] {pos}/{len} {per_sec} eta {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        Self { bar, since: now, shown: !visible }
    }

    /// Sets how far it is and how far it goes; `now` is the measuring clock.
    pub fn set(&mut self, done: u64, total: u64, now: Duration) {
        if !self.shown && now.saturating_sub(self.since) >= Duration::from_millis(250) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.shown = true;
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// Takes it away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}
