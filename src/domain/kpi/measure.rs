//! From what is recorded about a window to its figures.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use super::coverage::Coverage;
use super::figure::{Figure, Verdict};
use super::table::{Kpi, SCRIPTS_BEFORE, Targets};
use super::{bound, text};
use crate::domain::telemetry::{Latency, Observed};
use crate::domain::time::{human_duration, rfc3339};

/// What figures are made of.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What is recorded about the window.
    pub observed: &'a Observed,
    /// A report on test coverage, if one was given.
    pub coverage: Option<Coverage>,
    /// How many scripts there are, if a tree was given.
    pub scripts: Option<u64>,
    /// Now: a window may end later.
    pub now: DateTime<Utc>,
}

/// All figures, in the order of [`Kpi::ALL`].
#[must_use]
pub fn measure(evidence: Evidence<'_>, targets: &Targets) -> Vec<Figure> {
    let figure = |kpi: Kpi| {
        let target = targets.get(kpi);
        match kpi {
            Kpi::Availability => availability(evidence.observed, target),
            Kpi::ResponseP95 => response(kpi, 0.95, evidence.observed, target),
            Kpi::ResponseP99 => response(kpi, 0.99, evidence.observed, target),
            Kpi::ClaudeSuccess => claude(evidence.observed, target),
            Kpi::Memory => memory(evidence.observed, target),
            Kpi::OperationsPerHour => throughput(evidence.observed, target),
            Kpi::DeploymentSuccess | Kpi::DeploymentTime => {
                Figure::nothing(kpi, target, "no deployment is recorded")
            }
            Kpi::Recovery => recovery(evidence, target),
            Kpi::TestCoverage => coverage(evidence.coverage, target),
            Kpi::Scripts => scripts(evidence.scripts, target),
            Kpi::Velocity => velocity(evidence.observed, target),
            Kpi::LeadTime => time(kpi, &evidence.observed.flow.lead, target),
            Kpi::CycleTime => time(kpi, &evidence.observed.flow.cycle, target),
            Kpi::FlowEfficiency => efficiency(evidence.observed, target),
        }
    };
    Kpi::ALL.map(figure).into()
}

/// A share of good ones, as a value in percent; `what` are its members, in the plural.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn share(
    kpi: Kpi,
    count: u64,
    bad: u64,
    target: Option<f64>,
    (what, failed): (&str, &str),
) -> Figure {
    if count == 0 {
        return Figure::nothing(kpi, target, format!("no {what} are recorded"));
    }
    let good = count.saturating_sub(bad);
    let value = 100.0 * good as f64 / count as f64;
    let mut figure = Figure::exact(kpi, value, target, count, "");
    figure.bad = Some(bad);
    proven(&mut figure, target.map(|target| target / 100.0), (what, failed));
    figure
}

/// Says what the sample of a figure proves of its share of good ones, against a wanted share (0 to 1).
fn proven(figure: &mut Figure, wanted: Option<f64>, (what, failed): (&str, &str)) {
    let (count, bad) = (figure.sample, figure.bad.unwrap_or(0));
    let Some(lower) = bound::lower(count, bad) else { return };
    figure.bound = Some(lower * 100.0);
    let counted = format!("{} of {} {what} {failed}", text::thousands(bad), text::thousands(count));
    let shown = format!("at least {} % at 95 % confidence", text::floored(lower * 100.0));
    figure.why = match (figure.verdict, wanted) {
        (Verdict::Met | Verdict::NotShown, Some(wanted)) if !bound::shows(count, bad, wanted) => {
            figure.verdict = Verdict::NotShown;
            figure.needed = bound::needed(bad, wanted);
            let needed = match figure.needed {
                Some(needed) if bad == 0 => {
                    format!("{} without one would prove the target", text::thousands(needed))
                }
                Some(needed) => {
                    format!(
                        "{} with no further one would prove the target",
                        text::thousands(needed)
                    )
                }
                None => "no number of them proves the target".to_owned(),
            };
            format!("{counted}: {shown}; {needed}")
        }
        _ => format!("{counted}: {shown}"),
    };
}

fn availability(observed: &Observed, target: Option<f64>) -> Figure {
    let total = &observed.operations.total;
    let words = ("operations", "failed");
    share(Kpi::Availability, total.count(), total.faults(), target, words)
}

fn claude(observed: &Observed, target: Option<f64>) -> Figure {
    let calls = &observed.claude;
    let unanswered = calls.asked.saturating_sub(calls.answered);
    let words = ("calls to Claude", "were not answered");
    share(Kpi::ClaudeSuccess, calls.asked, unanswered, target, words)
}

/// A quantile is met if as large a share of all answers is proven not to take longer than the target.
#[expect(clippy::cast_precision_loss, reason = "milliseconds with a fraction")]
fn response(kpi: Kpi, quantile: f64, observed: &Observed, target: Option<f64>) -> Figure {
    let responses = &observed.operations.total.duration;
    let Some(us) = responses.quantile_us(quantile) else {
        return Figure::nothing(kpi, target, "no answers are recorded");
    };
    let mut figure = Figure::exact(kpi, us as f64 / 1000.0, target, responses.count(), "");
    let Some(target) = target else {
        figure.why = format!("of {} answers", text::thousands(responses.count()));
        return figure;
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let longer = responses.longer_than((target * 1000.0).round() as u64);
    figure.bad = Some(longer);
    let words = ("answers", "took longer");
    // What the histogram rounds shall not contradict what was counted.
    let missed = longer as f64 > (1.0 - quantile) * responses.count() as f64 + 1e-9;
    figure.verdict = if missed { Verdict::Missed } else { Verdict::Met };
    proven(&mut figure, Some(quantile), words);
    figure
}

#[expect(clippy::cast_precision_loss, reason = "megabytes with a fraction")]
fn memory(observed: &Observed, target: Option<f64>) -> Figure {
    let total = &observed.operations.total;
    let Some(kib) = total.memory_kib else {
        return Figure::nothing(Kpi::Memory, target, "no process was asked for its memory");
    };
    let measured = total.memory_measured;
    let why = format!("the most of {}", text::counted(measured, "process", "processes"));
    Figure::exact(Kpi::Memory, kib as f64 * 1024.0 / 1e6, target, measured, why)
}

/// More than was asked for cannot be shown: a quiet hour is no limit.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn throughput(observed: &Observed, target: Option<f64>) -> Figure {
    let kpi = Kpi::OperationsPerHour;
    let Some((hour, count)) = observed.operations.busiest_hour() else {
        return Figure::nothing(kpi, target, "no operations are recorded");
    };
    let total = observed.operations.total.count();
    let begin = &rfc3339(hour)[..16];
    let mut why = format!("in the hour from {begin}Z; {} in all", text::thousands(total));
    let mut figure = Figure::exact(kpi, count as f64, target, total, "");
    if figure.verdict == Verdict::Missed {
        figure.verdict = Verdict::NotShown;
        why.push_str(
            "; nobody asked for more in an hour, so this is no proof that more cannot be done",
        );
    }
    figure.why = why;
    figure
}

/// Missed is what is shown to have lasted too long; met is what lasted no longer even if the whole time
/// counts in which nobody tried.
fn recovery(evidence: Evidence<'_>, target: Option<f64>) -> Figure {
    let kpi = Kpi::Recovery;
    let (operations, now) = (&evidence.observed.operations, evidence.now);
    let recovery = operations.recovery;
    let faults = operations.total.faults();
    let Some(lasted) = recovery.longest(operations.window.to.min(now)) else {
        let count = operations.total.count();
        return Figure::nothing(
            kpi,
            target,
            match count {
                0 => "no operations are recorded".to_owned(),
                count => format!("no fault in {}", text::counted(count, "operation", "operations")),
            },
        );
    };
    let times = recovery.over + u64::from(recovery.since().is_some());
    let mut why = format!(
        "the longest of {}; {} in all",
        text::counted(times, "time", "times"),
        text::counted(faults, "fault", "faults")
    );
    if let Some(since) = recovery.since() {
        let _ = write!(why, "; nothing was ok since {}Z", &rfc3339(since)[..19]);
    } else if lasted.at_most > lasted.shown {
        let _ =
            write!(why, "; at most {}, to the next that was ok", human_duration(lasted.at_most));
    }
    let mut figure = Figure::exact(kpi, lasted.shown.as_secs_f64(), target, times, why);
    // What still lasts may end in time, and may not; nor is it known what was while nobody tried.
    let late = target.is_some_and(|target| lasted.at_most.as_secs_f64() > target);
    if figure.verdict == Verdict::Met && (late || recovery.since().is_some()) {
        figure.verdict = Verdict::NotShown;
    }
    figure
}

fn coverage(coverage: Option<Coverage>, target: Option<f64>) -> Figure {
    let kpi = Kpi::TestCoverage;
    let Some(coverage) = coverage else {
        return Figure::nothing(kpi, target, "no report was given with `--coverage`");
    };
    let Coverage { covered, lines } = coverage;
    let why = format!("{} of {} lines", text::thousands(covered), text::thousands(lines));
    Figure::exact(kpi, coverage.percent(), target, lines, why)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn scripts(scripts: Option<u64>, target: Option<f64>) -> Figure {
    let kpi = Kpi::Scripts;
    let Some(count) = scripts else {
        return Figure::nothing(kpi, target, "no tree was given with `--scripts`");
    };
    let why = format!("in the tree that was given; the old system had {SCRIPTS_BEFORE}");
    Figure::exact(kpi, count as f64, target, count, why)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn velocity(observed: &Observed, target: Option<f64>) -> Figure {
    let (kpi, flow) = (Kpi::Velocity, &observed.flow);
    let items = text::counted(flow.done, "item", "items");
    match (flow.done, flow.points) {
        (0, _) => Figure::nothing(kpi, target, "no item was done"),
        (_, 0) => Figure::nothing(kpi, target, format!("{items} done, none of them with points")),
        (done, points) => Figure::exact(kpi, points as f64, target, done, format!("{items} done")),
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds with a fraction")]
fn time(kpi: Kpi, times: &Latency, target: Option<f64>) -> Figure {
    match times.quantile_us(0.5) {
        Some(us) => {
            let why = format!("the median of {}", text::counted(times.count(), "item", "items"));
            Figure::exact(kpi, us as f64 / 1e6, target, times.count(), why)
        }
        None => Figure::nothing(kpi, target, "no item was done"),
    }
}

fn efficiency(observed: &Observed, target: Option<f64>) -> Figure {
    let (kpi, flow) = (Kpi::FlowEfficiency, &observed.flow);
    match flow.efficiency() {
        Some(share) => {
            let why = format!("of {}", text::counted(flow.done, "item", "items"));
            Figure::exact(kpi, share * 100.0, target, flow.done, why)
        }
        None => Figure::nothing(kpi, target, "no item was done"),
    }
}
