//! `coord health` and its long form, `coord doctor`.

mod checks;
mod measured;
mod report;

use self::checks::{CHECKS, Probe};
use self::report::Report;
use super::{Context, Verb, values};
use crate::domain::health::{LEAST_FREE, Level};
use crate::error::{Error, Kind, Result};
use crate::output::{Shape, plural};

/// Check store, disk, clock, leases, agents, availability and settings, with a score
///
/// Shows what is not as it should be and what to do about it. The score begins at 100; a failed
/// check takes its weight away, a warning a fifth of it. Nothing is changed, no lock is waited for,
/// and a store that is read-only, or not there, is judged as well. `coord doctor` is the long form.
///
/// Availability is the share of operations of the last 24 hours that did not fail by this program's
/// fault; its target is `kpi.availability`. The addresses of `health.endpoints` are asked as well,
/// each for `health.endpoint-timeout` at most.
///
/// Exit code 10 if a check failed, or the score is below `--min`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord health
  coord health -q                                The score alone
  coord health --min 90 || page-somebody         For cron and container probes
  coord health --json | jq '.data | {health_score, availability, error_budget_left}'
  COORD_HEALTH_ENDPOINTS=http://127.0.0.1:4000/health coord health")]
pub(crate) struct Args {
    #[command(flatten)]
    limits: Limits,
}

/// Explain the health of everything: each check, what it found, and what to do
///
/// The long form of `coord health`: it makes the same checks, shows those that are well too, and
/// reads every line of the logs with their whole chain of hashes. It changes nothing;
/// `coord verify --repair` does.
///
/// Exit code 10 if a check failed, or the score is below `--min`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord doctor
  coord doctor --json | jq '.data.checks[] | select(.level != \"ok\")'")]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    limits: Limits,
}

#[derive(clap::Args, Debug)]
struct Limits {
    /// The lowest score that will do
    #[arg(long, value_name = "SCORE", default_value = "0", value_parser = values::within::<u32, 0, 100>)]
    min: u32,

    /// How much room the disk must have, in MiB
    #[arg(long, value_name = "MIB", default_value_t = LEAST_FREE >> 20, value_parser = values::within::<u64, 0, { 1 << 40 }>)]
    min_free: u64,
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Report>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        examine(cx, &self.limits, false)
    }
}

impl Verb for DoctorArgs {
    const VIEWS: &'static [Shape] = &[Shape::of::<Report>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        examine(cx, &self.limits, true)
    }
}

fn examine(cx: &mut Context, limits: &Limits, long: bool) -> Result<()> {
    let mut probe = Probe::new(cx, limits.min_free << 20, long);
    // What nobody configured is no check.
    let made = CHECKS.iter().filter(|check| check.name != "endpoints" || probe.has_endpoints());
    let made: Vec<_> = made.collect();
    let found = made.into_iter().map(|check| (check, (check.make)(&mut probe))).collect();
    let report = Report::new(found, &probe, limits.min, long);
    cx.ui.emit(&report)?;
    let failed = report.count(Level::Fail);
    let error = if failed > 0 {
        Error::new(Kind::Problems, format!("{} failed", plural(failed, "check")))
    } else if report.score() < limits.min {
        let (score, min) = (report.score(), limits.min);
        Error::new(Kind::Problems, format!("the score is {score}, below {min}"))
    } else {
        return Ok(());
    };
    Err(if long {
        error.hint("each check above says what to do")
    } else {
        error.hint("`coord doctor` shows every check and what to do")
    })
}
