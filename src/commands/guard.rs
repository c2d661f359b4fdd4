//! A program that runs under a lease: renewed while it runs, stopped when it must.

use std::ffi::OsString;
use std::time::Duration;

use crate::commands::Context;
use crate::domain::name::AgentId;
use crate::domain::time::Stamp;
use crate::domain::work::Op;
use crate::error::{Error, Kind, Result};
use crate::store;
use crate::sys::process::{Ended, Running, find};
use crate::sys::signal::{Signals, Stop};

/// How long a program that is asked to end has for it.
pub(crate) const GRACE: &str = "10s";
/// However quiet it is, signals and limits are looked at after this time.
const TICK: Duration = Duration::from_millis(200);

/// How long a program may do what.
pub(crate) struct Limits {
    /// The length of the lease it runs under.
    pub(crate) lease: Duration,
    /// How long it may run.
    pub(crate) timeout: Option<Duration>,
    /// How long it has to end when asked.
    pub(crate) grace: Duration,
    /// Whether the program gets Ctrl-C from the terminal itself and decides what it means.
    pub(crate) leave_interrupts: bool,
}

/// What asking for more time gave.
pub(crate) enum Renewal {
    /// The lease runs anew.
    Kept,
    /// Somebody else has it, or nobody.
    Lost(String),
    /// It could not be asked; it may go well the next time.
    Later(Error),
}

/// Why a program is over.
pub(crate) enum Over {
    /// It ended by itself.
    Ended(Ended),
    /// We were asked to stop.
    Stopped(Stop),
    /// It ran too long.
    TimedOut,
    /// The lease was lost.
    Lost(String),
}

/// Watches over a program until it is over. `since` is when the lease began, on the measuring clock.
pub(crate) fn watch(
    cx: &mut Context,
    signals: &Signals,
    running: &mut Running,
    limits: &Limits,
    since: Duration,
    renew: &mut dyn FnMut(&mut Context) -> Renewal,
) -> Result<Over> {
    let clock = std::sync::Arc::clone(&cx.clock);
    let failed =
        |source| Error::new(Kind::External, "cannot wait for the program").caused_by(source);
    let third = limits.lease / 3;
    let soon = (limits.lease / 20).min(Duration::from_secs(1));
    let deadline = limits.timeout.map(|timeout| clock.monotonic() + timeout);
    let (mut renewed, mut next, mut warned) = (since, since + third, false);
    loop {
        let now = clock.monotonic();
        let due = deadline.map_or(next, |deadline| deadline.min(next)).saturating_sub(now);
        if let Some(ended) = running.wait(&*clock, due.min(TICK)).map_err(failed)? {
            return Ok(Over::Ended(ended));
        }
        let now = clock.monotonic();
        let stop = signals
            .take_stop()
            .filter(|stop| !(limits.leave_interrupts && *stop == Stop::Interrupt));
        let timed_out = deadline.is_some_and(|deadline| now >= deadline);
        if stop.is_some() || timed_out {
            // Until the program has ended the lease must not end either.
            let mut lost = None;
            let mut hurry = || {
                if lost.is_none() && clock.monotonic() >= next {
                    let now = clock.monotonic();
                    match renew(cx) {
                        Renewal::Kept => (renewed, next) = (now, now + third),
                        Renewal::Lost(why) => lost = Some(why),
                        Renewal::Later(error) if now >= renewed + limits.lease => {
                            lost = Some(format!("it could not be renewed in time: {error}"));
                        }
                        Renewal::Later(_) => next = now + soon,
                    }
                }
                lost.is_some() || signals.take_stop().is_some()
            };
            running.stop(&*clock, limits.grace, &mut hurry).map_err(failed)?;
            if let Some(why) = lost {
                return Ok(Over::Lost(why));
            }
            return Ok(stop.map_or(Over::TimedOut, Over::Stopped));
        }
        if now < next {
            continue;
        }
        match renew(cx) {
            Renewal::Kept => (renewed, next) = (now, now + third),
            Renewal::Lost(why) => {
                kill(cx, running).map_err(failed)?;
                return Ok(Over::Lost(why));
            }
            Renewal::Later(error) => {
                if now >= renewed + limits.lease {
                    kill(cx, running).map_err(failed)?;
                    return Ok(Over::Lost(format!("it could not be renewed in time: {error}")));
                }
                if !warned {
                    cx.ui.warning(&format!("the lease could not be renewed yet: {error}"));
                    warned = true;
                }
                next = now + soon;
            }
        }
    }
}

/// Ends a program at once: somebody else may be at the same work already.
fn kill(cx: &Context, running: &mut Running) -> std::io::Result<Ended> {
    running.stop(&*cx.clock, Duration::ZERO, &mut || true)
}

/// The error that ends a command which was asked to stop.
pub(crate) fn stopped(stop: Stop, what: &str) -> Error {
    let kind = match stop {
        Stop::Interrupt => Kind::Interrupted,
        Stop::Terminate => Kind::Terminated,
    };
    Error::new(kind, format!("stopped by {}{what}", stop.name()))
}

/// Checks that there is such a program before anything is taken for it.
pub(crate) fn check_program(cx: &Context, argv: &[OsString]) -> Result<()> {
    let Some(program) = argv.first() else {
        return Err(Error::new(Kind::Usage, "no program was named").hint("put it behind `--`"));
    };
    if find(program, cx.env.get("PATH").as_deref()).is_some() {
        return Ok(());
    }
    let name = program.to_string_lossy();
    Err(Error::new(Kind::External, format!("there is no program `{}`", name.escape_debug()))
        .hint("give its path, or check `PATH`; a line of shell is run with `-- sh -c 'LINE'`"))
}

/// Catches the signals.
pub(crate) fn signals() -> Result<Signals> {
    Signals::catch()
        .map_err(|source| Error::new(Kind::External, "cannot catch signals").caused_by(source))
}

/// Refuses a lease of no length.
pub(crate) fn check_lease(lease: Duration) -> Result<()> {
    if lease.is_zero() {
        return Err(Error::new(Kind::Usage, "a lease of no length")
            .hint("give it a length, such as `--lease 5m`"));
    }
    Ok(())
}

/// An operation of its own, whatever `--op-id` says: that stands for one operation, not for many.
pub(crate) fn fresh_op(cx: &Context, by: &AgentId) -> Result<Op> {
    let now: Stamp = cx.stamp();
    Ok(Op { id: cx.fresh_op()?, given: false, by: by.clone(), now })
}

/// Whether trying again may help: the store was locked, or it is unknown what became of it.
pub(crate) fn is_passing(error: &store::Error) -> bool {
    matches!(error, store::Error::Busy { .. } | store::Error::Unknown { .. })
}

/// The last lines of a text, at most `bytes` long, without blank ends.
pub(crate) fn last_lines(text: &str, lines: usize, bytes: usize) -> &str {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let start = text.rmatch_indices('\n').nth(lines - 1).map_or(0, |(at, _)| at + 1);
    let mut start = start.max(text.len().saturating_sub(bytes));
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].trim_start()
}

#[cfg(test)]
mod tests {
    use super::last_lines;

    #[test]
    fn the_end_of_a_text() {
        assert_eq!(last_lines("a\nb\nc\n\n", 2, 100), "b\nc");
        assert_eq!(last_lines("a\nb\nc", 9, 100), "a\nb\nc");
        assert_eq!(last_lines("ääää", 1, 5), "ää");
        assert_eq!(last_lines(" \n", 1, 5), "");
    }
}
