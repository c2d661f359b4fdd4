//! `coord lock run`.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::time::Duration;

use rustix::process::Signal;

use crate::commands::guard::{self, GRACE, Limits, Over, Renewal};
use crate::commands::{By, Context, Step, Verb, from_store};
use crate::domain::name::{AgentId, Word};
use crate::domain::time::{human_duration, parse_duration};
use crate::error::{Error, Kind, Result};
use crate::output::Shape;
use crate::store::{Acquired, Lock};
use crate::sys::process::{Ended, Program, Streams};
use crate::sys::signal::Signals;

/// Run a program while holding a named lock
///
/// Only one holder has a name at a time, on this machine and wherever the store is seen. The program
/// gets `COORD_LOCK` and `COORD_LOCK_TOKEN`; the token grows each time the lock is taken, so that
/// whatever is protected can refuse those who come too late. The lease is renewed while the program
/// runs; if it is lost, the program is killed. The exit code is the program's own, or 4 when the
/// lock was not got or was lost.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord lock run deploy -- ./deploy.sh                 Fails at once if somebody deploys
  coord lock run deploy --wait 10m -- ./deploy.sh      Waits for its turn
  coord lock run src-main.rs --wait -- $EDITOR src/main.rs")]
pub(super) struct Args {
    /// The name of the lock
    name: Word,

    /// How long the lock is held if this command dies; it is renewed while the program runs
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1m")]
    lease: Duration,

    /// Wait for it, at most this long [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "absent, without a time, and with one all differ")]
    wait: Option<Option<Duration>>,

    /// What to tell those who wait [default: the program]
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,

    /// How long the program has to end when it is asked to
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = GRACE)]
    grace: Duration,

    #[command(flatten)]
    by: By,

    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// The longest note that is kept.
const NOTE: usize = 1000;

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[];

    fn run(self, cx: &mut Context) -> Result<()> {
        guard::check_lease(self.lease)?;
        guard::check_program(cx, &self.command)?;
        let agent = cx.agent(self.by.agent.as_ref())?;
        let signals = guard::signals()?;
        let (lock, since) = self.take(cx, &agent, &signals)?;
        let over = self.hold(cx, &agent, &signals, &lock, since);
        // Whatever happened, nobody shall wait for a lease that has no use any more.
        let op = guard::fresh_op(cx, &agent)?;
        let ours = cx.store()?.unlock(&self.name, lock.token, &op).map_err(from_store);
        let (over, ours) = (over?, ours?);
        let lost = |why: &str| {
            Error::new(Kind::Conflict, format!("the lock `{}` was lost: {why}", self.name))
                .hint("what the program did may have met somebody else's work: check it")
                .hint("a longer `--lease` bears longer pauses")
        };
        match over {
            Over::Lost(why) => Err(lost(&why)),
            Over::Stopped(stop) => {
                Err(guard::stopped(stop, &format!("; the lock `{}` was given back", self.name)))
            }
            Over::Ended(_) | Over::TimedOut if !ours => {
                Err(lost("somebody else had it before the program ended"))
            }
            Over::Ended(ended) if ended.is_success() => Ok(()),
            Over::Ended(ended) => Err(self.failed(ended)),
            Over::TimedOut => Err(Error::new(Kind::Timeout, "it took too long")),
        }
    }
}

impl Args {
    /// Takes the lock; tells also when its lease began, on the measuring clock.
    fn take(
        &self,
        cx: &mut Context,
        agent: &AgentId,
        signals: &Signals,
    ) -> Result<(Lock, Duration)> {
        let program = || {
            let words: Vec<_> = self.command.iter().map(|word| word.to_string_lossy()).collect();
            words.join(" ")
        };
        let note: String = self.note.clone().unwrap_or_else(program).chars().take(NOTE).collect();
        let started = cx.clock.monotonic();
        let until = self.wait.map(|limit| limit.map(|time| started + time));
        let mut pause = Duration::from_millis(5);
        let mut told = false;
        loop {
            if let Some(stop) = signals.take_stop() {
                return Err(guard::stopped(stop, &format!(" while waiting for `{}`", self.name)));
            }
            let since = cx.clock.monotonic();
            let op = guard::fresh_op(cx, agent)?;
            let held = match cx.store()?.acquire(&self.name, self.lease, Some(&note), &op)? {
                Acquired::Yes(lock) => return Ok((lock, since)),
                Acquired::Held(lock) => lock,
            };
            let now = cx.clock.monotonic();
            let left = match until {
                None => return Err(self.refused(&held, op.now, None)),
                Some(None) => Duration::MAX,
                Some(Some(until)) => until.saturating_sub(now),
            };
            if left.is_zero() {
                return Err(self.refused(&held, op.now, Some(now.saturating_sub(started))));
            }
            if !told && now.saturating_sub(started) > Duration::from_secs(1) {
                told = true;
                cx.ui.status(&format!("waiting for `{}`: {} has it", self.name, held.holder));
            }
            // Those who wait must not all come back at the same moment.
            let spread = Duration::from_micros(cx.ids.bits() % 5000);
            cx.clock.sleep((pause + spread).min(left));
            pause = (pause * 3 / 2).min(Duration::from_millis(100));
        }
    }

    fn refused(
        &self,
        held: &Lock,
        now: crate::domain::time::Stamp,
        waited: Option<Duration>,
    ) -> Error {
        let waited = waited.map(|w| format!(" after {}", human_duration(w))).unwrap_or_default();
        let message =
            format!("the lock `{}` is still held by `{}`{waited}", self.name, held.holder);
        let left = human_duration(held.lease.left(now).unwrap_or_default());
        let error = Error::new(Kind::Conflict, message);
        let error = match &held.note {
            Some(note) => error.hint(format!("it runs `{}`", note.escape_debug())),
            None => error,
        };
        error.hint(format!(
            "its lease ends in {left} unless it is renewed; `--wait 10m` waits for its turn"
        ))
    }

    fn hold(
        &self,
        cx: &mut Context,
        agent: &AgentId,
        signals: &Signals,
        lock: &Lock,
        since: Duration,
    ) -> Result<Over> {
        let step = Step::begin(cx.here().below(cx.ids.as_ref()), cx.clock.as_ref());
        let mut program = Program::new(self.command.clone())
            .env("COORD_LOCK", self.name.as_str())
            .env("COORD_LOCK_TOKEN", lock.token.to_string())
            .streams(Streams::Inherited)
            .die_with_us(Signal::KILL);
        for (name, value) in cx.handed_on(&step) {
            program = program.env(name, value);
        }
        let terminal = std::io::stdin().is_terminal();
        if terminal {
            // Only the terminal's own group may read from it; Ctrl-C then reaches the program too.
            program = program.in_our_group();
        }
        let name = program.name();
        let mut running = program.start().map_err(|source| {
            Error::new(Kind::External, format!("cannot run `{name}`"))
                .caused_by(source)
                .hint("the lock was given back")
        })?;
        let mut renew = |cx: &mut Context| {
            let renewed = guard::fresh_op(cx, agent)
                .and_then(|op| cx.store()?.renew(&self.name, lock.token, &op).map_err(from_store));
            match renewed {
                Ok(Acquired::Yes(_)) => Renewal::Kept,
                Ok(Acquired::Held(other)) if other.token == lock.token => {
                    Renewal::Lost("it was given back by somebody else".to_owned())
                }
                Ok(Acquired::Held(other)) => {
                    Renewal::Lost(format!("`{}` has it now", other.holder))
                }
                Err(error) => Renewal::Later(error),
            }
        };
        let limits = Limits {
            lease: self.lease,
            timeout: None,
            grace: self.grace,
            leave_interrupts: terminal,
        };
        let over = guard::watch(cx, signals, &mut running, &limits, since, &mut renew);
        if let Ok(over) = &over {
            let lock = [("coord.lock", self.name.as_str().into())];
            cx.record_program(&step, &name, over, lock);
        }
        over
    }

    fn failed(&self, ended: Ended) -> Error {
        let name = self.command.first().map(|p| p.to_string_lossy()).unwrap_or_default();
        let message = format!("`{}` ended with {}", name.escape_debug(), ended.words());
        Error::new(Kind::Child(ended.exit_code()), message)
    }
}
