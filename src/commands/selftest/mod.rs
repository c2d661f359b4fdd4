//! `coord selftest`: does the installed program keep its word on this machine?

mod add;
mod advice;
mod agents;
mod begin;
mod claim;
mod life;
mod old;
mod read;
mod report;
mod room;
mod safe;
mod settings;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use self::report::{Assertion, Report};
use self::room::{Held, Room};
use super::{Context, Verb};
use crate::error::{Error, Kind, Result};
use crate::output::{Format, Shape, plural};
use crate::sys::signal::{Signals, Stop};
use crate::sys::{Clock, Env, Scratch};

/// Test the installed program in a scratch store
///
/// Runs this very program many times, as a user, a script and a crowd of agents would, and checks
/// what it answers: a line for each assertion, and exit code 10 if one does not hold. It needs no
/// network, and touches neither your stores nor your settings: every run gets a home and a store of
/// its own in a scratch directory, which is gone afterwards.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord selftest                    All assertions, some seconds
  coord selftest claim lease        Those with `claim` or `lease` in their names
  coord selftest --list             Their names and what they say, without running them
  coord selftest --tap | tee selftest.tap
  coord selftest --tap=13 > t; prove --exec cat t   A `prove` before version 3.45 knows TAP 13
  coord selftest --program target/release/coord     Test another build")]
pub(crate) struct Args {
    /// Only assertions whose names hold one of these [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Show the assertions and run none
    #[arg(long, conflicts_with = "tap")]
    list: bool,

    /// Print TAP, the Test Anything Protocol, in this version [default: 14]
    #[arg(long, value_name = "VERSION", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "14", value_parser = clap::value_parser!(u8).range(13..=14))]
    tap: Option<u8>,

    /// Leave the scratch directory where it is
    #[arg(long)]
    keep: bool,

    /// Test this program instead of the one that is running, such as another build
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
}

/// Long enough for any command on a machine under load.
const PATIENCE: Duration = Duration::from_mins(1);

/// How many assertions are tested at a time.
const AT_ONCE: usize = 4;

/// How often to look whether all are done, or an end was asked for.
const LOOK: Duration = Duration::from_millis(20);

/// Something that has to hold.
struct Case {
    /// Its stable name: what it is about, and which part of that.
    name: &'static str,
    /// What is said to hold.
    what: &'static str,
    /// Finds out.
    run: fn(&Room<'_>) -> Held,
}

/// A row of a table of cases.
const fn case(name: &'static str, what: &'static str, run: fn(&Room<'_>) -> Held) -> Case {
    Case { name, what, run }
}

/// All of them, in the order in which they run.
fn cases() -> impl Iterator<Item = &'static Case> {
    [
        begin::CASES,
        add::CASES,
        claim::CASES,
        life::CASES,
        read::CASES,
        safe::CASES,
        old::CASES,
        agents::CASES,
        settings::CASES,
        advice::CASES,
    ]
    .into_iter()
    .flatten()
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Report>(), Shape::of::<report::List>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        if self.tap.is_some() && cx.ui.format() != Format::Human {
            return Err(Error::new(Kind::Usage, "`--tap` does not go with another format")
                .hint("leave one of them out"));
        }
        let chosen = choose(&self.names)?;
        if self.list {
            cx.ui.emit(&report::List::new(&chosen))?;
            return Ok(());
        }
        let program = match &self.program {
            Some(path) => path.canonicalize().map_err(|source| {
                Error::new(Kind::User, format!("cannot find `{}`", path.display()))
                    .caused_by(source)
                    .hint("give the path of a program, such as `target/release/coord`")
            })?,
            None => std::env::current_exe().map_err(failed)?,
        };
        let signals = Signals::catch().map_err(failed)?;
        let mut scratch =
            Scratch::new(None, "coord-selftest", &cx.env, cx.ids.as_ref()).map_err(failed)?;
        if self.keep {
            scratch.keep();
        }
        let start = cx.clock.monotonic();
        let total = u64::try_from(chosen.len()).unwrap_or(u64::MAX);
        let mut progress = cx.ui.progress(total, "testing", start);
        let test = |case: &Case| {
            let dir = scratch.path().join(case.name.replace('/', "-"));
            let assertion = test(case, &program, &dir, &cx.env, cx.clock.as_ref());
            if !self.keep {
                // The scratch directory takes what is left with it.
                let _ = std::fs::remove_dir_all(dir);
            }
            assertion
        };
        let (assertions, stop) = all(&chosen, &test, |done| {
            progress.set(done, total, cx.clock.monotonic());
            cx.clock.sleep(LOOK);
            signals.take_stop()
        });
        progress.finish();
        if let Some(stop) = stop {
            return Err(stopped(stop));
        }
        let time = cx.clock.monotonic().saturating_sub(start);
        let kept = self.keep.then(|| scratch.path());
        let report = Report::new(&program, assertions, time, kept);
        match self.tap {
            Some(version) => cx.ui.page(&report.tap(version))?,
            None => cx.ui.emit(&report)?,
        }
        if report.failed == 0 {
            return Ok(());
        }
        let message = format!("{} did not hold", plural(report.failed, "assertion"));
        Err(Error::new(Kind::Problems, message)
            .hint("`--keep` leaves what it worked on, and the name alone repeats one"))
    }
}

/// Runs one case in a room of its own.
fn test(case: &Case, program: &Path, dir: &Path, env: &Env, clock: &dyn Clock) -> Assertion {
    let began = clock.monotonic();
    let held = Room::new(program, dir.to_owned(), env, clock).and_then(|room| (case.run)(&room));
    let took = clock.monotonic().saturating_sub(began);
    Assertion::new(case.name, case.what, held.err(), took)
}

/// Runs the cases, some at a time, most of which wait for the disk. `look` is asked again and again
/// whether to stop, and told how many are done.
fn all(
    cases: &[&Case],
    test: &(dyn Fn(&Case) -> Assertion + Sync),
    mut look: impl FnMut(u64) -> Option<Stop>,
) -> (Vec<Assertion>, Option<Stop>) {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Assertion)>> = Mutex::default();
    let mut stop = None;
    std::thread::scope(|scope| {
        let work = || {
            while let Some((at, case)) = {
                let at = next.fetch_add(1, Ordering::Relaxed);
                cases.get(at).map(|case| (at, case))
            } {
                let assertion = test(case);
                done.lock().unwrap_or_else(PoisonError::into_inner).push((at, assertion));
            }
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            let count = done.lock().unwrap_or_else(PoisonError::into_inner).len();
            if let Some(asked) = look(u64::try_from(count).unwrap_or(0)) {
                stop = Some(asked);
                next.store(cases.len(), Ordering::Relaxed);
            }
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    (done.into_iter().map(|(_, assertion)| assertion).collect(), stop)
}

/// The cases that fit one of the names; all of them without any.
fn choose(names: &[String]) -> Result<Vec<&'static Case>> {
    for name in names {
        if !cases().any(|case| case.name.contains(name.as_str())) {
            return Err(Error::new(Kind::User, format!("no assertion has `{name}` in its name"))
                .hint("`coord selftest --list` shows them"));
        }
    }
    let fits = |case: &&Case| {
        names.is_empty() || names.iter().any(|name| case.name.contains(name.as_str()))
    };
    Ok(cases().filter(fits).collect())
}

fn stopped(stop: Stop) -> Error {
    let kind = match stop {
        Stop::Interrupt => Kind::Interrupted,
        Stop::Terminate => Kind::Terminated,
    };
    Error::new(kind, format!("stopped by {} before all was tested", stop.name()))
        .hint("nothing is left of it; run it again, or a part of it by name")
}

fn failed(cause: impl Into<anyhow::Error>) -> Error {
    Error::new(Kind::External, "the test cannot begin")
        .caused_by(cause)
        .hint("`TMPDIR` says where its scratch directory is made")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_of_one_form() {
        let names: Vec<_> = cases().map(|case| case.name).collect();
        assert!((40..=80).contains(&names.len()), "{}", names.len());
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for case in cases() {
            let form = |c: char| c.is_ascii_lowercase() || c == '-' || c == '/';
            assert!(case.name.chars().all(form), "{}", case.name);
            assert_eq!(case.name.matches('/').count(), 1, "{}", case.name);
            assert!(!case.what.is_empty() && !case.what.ends_with('.'), "{}", case.name);
            assert!(!case.what.contains(['#', '\\']), "TAP would have to escape it: {}", case.name);
        }
    }

    #[test]
    fn a_name_chooses_what_it_is_part_of() {
        assert_eq!(choose(&[]).unwrap().len(), cases().count());
        let some = choose(&["claim/order".to_owned()]).unwrap();
        assert_eq!(some.len(), 1);
        assert!(choose(&["claim".to_owned()]).unwrap().len() > 3);
        assert!(choose(&["claim".to_owned(), "nonsense".to_owned()]).is_err());
    }
}
