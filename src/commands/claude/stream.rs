//! `coord claude stream`.

use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::analysis::{Scene, Told};
use super::reach::Reach;
use crate::commands::{Context, Verb, guard, values};
use crate::domain::claude::Kind;
use crate::domain::time::{parse_duration, rfc3339};
use crate::error::{Error, Kind as Failed, Result};
use crate::output::{Screen, Shape, View, line};

/// Ask about the store again and again, and print an insight a time
///
/// Each insight is a line; with `--json` it is a JSON object with the whole analysis. An unchanged
/// store is answered from the cache and costs nothing.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord claude stream                              The health every 30 s, until Ctrl-C
  coord claude stream --about priorities --count 3 --every 10s
  coord claude stream --for 5m --json")]
pub(super) struct Args {
    /// What the insights are about
    #[arg(long, value_name = "KIND", default_value = "health",
        value_parser = ["priorities", "assignments", "health", "team"])]
    about: String,

    /// The time between two insights
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "30s")]
    every: Duration,

    /// End after so many
    #[arg(long, short = 'n', value_name = "N", value_parser = values::count,
        allow_negative_numbers = true)]
    count: Option<usize>,

    /// End after this time
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    length: Option<Duration>,

    #[command(flatten)]
    reach: Reach,
}

/// One insight.
#[derive(JsonSchema, Serialize)]
struct Moment {
    at: String,
    about: &'static str,
    insight: Told,
}

impl View for Moment {
    const SCHEMA: &'static str = "coord.claude.stream/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let summary = self.insight.analysis["summary"].as_str().unwrap_or_default();
        writeln!(out, "{}\t{}", self.at, line(summary))
    }
}

/// However long the time between two insights, signals are looked at after this time.
const TICK: Duration = Duration::from_millis(50);

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Moment>(), Shape::of::<super::ask::Planned>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        if self.every.is_zero() {
            return Err(Error::new(Failed::Usage, "no time between two insights")
                .hint("give it some, such as `--every 10s`"));
        }
        let all = [Kind::Priorities, Kind::Assignments, Kind::Health, Kind::Team];
        let kind = all.into_iter().find(|k| k.as_str() == self.about).unwrap_or(Kind::Health);
        if self.reach.dry_run {
            let request = Scene::read(cx)?.request(kind, &self.reach);
            return super::ask::dry_run(cx, request, &self.reach);
        }
        let claude = super::layer(cx)?;
        let signals = guard::signals()?;
        let clock = std::sync::Arc::clone(&cx.clock);
        let until = self.length.map(|length| clock.monotonic() + length);
        let is_over = |now: Duration| until.is_some_and(|until| now >= until);
        let mut told = 0;
        loop {
            let begun = clock.monotonic();
            let scene = Scene::read(cx)?;
            let insight = scene.analyse(cx, &claude, kind, &self.reach, &|| signals.take_stop())?;
            let at = rfc3339(clock.wall());
            cx.ui.emit(&Moment { at, about: kind.as_str(), insight })?;
            told += 1;
            let next = begun + self.every;
            if self.count.is_some_and(|count| told >= count) || is_over(next) {
                return Ok(());
            }
            while clock.monotonic() < next {
                if let Some(stop) = signals.take_stop() {
                    return Err(guard::stopped(stop, &format!(" after {told} insights")));
                }
                clock.sleep(TICK.min(next.saturating_sub(clock.monotonic())));
            }
        }
    }
}
