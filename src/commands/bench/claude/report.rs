//! What `coord bench claude` found, for people and for programs.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::commands::bench::compare::{Compared, Sampled};
use crate::commands::bench::latency::Percentiles;
use crate::commands::bench::report::{Machine, compared, targets as show_targets};
use crate::commands::bench::stats::{Times, tenth, thousandth};
use crate::commands::bench::targets::Target;
use crate::output::{Column, Screen, Table, View, plural};

/// Values for comparison from each kind of call.
pub(super) const SLICES: u64 = 10;

/// The times of each kind of call, in the order in which they were taken.
pub(super) type Taken = BTreeMap<&'static str, Vec<Duration>>;

/// Kinds of calls: a bare exchange and an empty process are what the others are compared with.
pub(super) const EXCHANGE: &str = "exchange";
pub(super) const EMPTY: &str = "empty process";
pub(super) const ANSWERED: &str = "layer, answered";
pub(super) const CACHED: &str = "layer, cached";
pub(super) const OPEN: &str = "layer, breaker open";
pub(super) const P_ANSWERED: &str = "process, answered";
pub(super) const P_CACHED: &str = "process, cached";
pub(super) const P_OPEN: &str = "process, breaker open";
pub(super) const KINDS: [&str; 8] =
    [EXCHANGE, ANSWERED, CACHED, OPEN, EMPTY, P_ANSWERED, P_CACHED, P_OPEN];

/// A kind of call.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Call {
    /// Its name.
    pub(super) name: &'static str,
    /// Its times.
    pub(super) times: Times,
    /// Its median beyond that of a bare exchange, or of an empty process where it is one.
    pub(super) over_us: f64,
}

/// Many processes at once.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Crowd {
    /// How many at a time.
    pub(super) processes: u32,
    /// Calls that were answered.
    pub(super) calls: u64,
    /// Of them in a second.
    pub(super) calls_per_s: f64,
    /// What the service alone would allow: all of them at once, each for its service time.
    pub(super) most_per_s: Option<f64>,
    /// Times of the calls, process start included.
    pub(super) times: Option<Percentiles>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ClaudeReport {
    pub(super) machine: Machine,
    pub(super) rounds: u64,
    pub(super) service_ms: u64,
    /// What has to be the same for figures to be compared.
    pub(super) conditions: String,
    pub(super) calls: Vec<Call>,
    pub(super) crowd: Crowd,
    /// How often the service was asked when all processes had the same question, at worst.
    pub(super) asked_for_one_question: u64,
    /// Questions that the service should have got.
    pub(super) requests_expected: u64,
    /// Questions that it got.
    pub(super) requests_seen: u64,
    pub(super) figures: Vec<Sampled>,
    pub(super) targets: Vec<Target>,
    pub(super) compared: Vec<Compared>,
}

impl View for ClaudeReport {
    const SCHEMA: &'static str = "coord.bench.claude/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        self.machine.human(&plural(self.rounds, "round"), out)?;
        writeln!(out, "\nOne call at a time, microseconds, against a service that takes no time:")?;
        let mut table = Table::new(vec![
            Column::new("CALL"),
            Column::new("P10").right(),
            Column::new("MEDIAN").right(),
            Column::new("P99").right(),
            Column::new("ADDED").right(),
        ]);
        for c in &self.calls {
            table.row([
                c.name.to_owned(),
                format!("{:.0}", c.times.p10_us),
                format!("{:.0}", c.times.median_us),
                format!("{:.0}", c.times.p99_us),
                format!("{:.0}", c.over_us),
            ]);
        }
        table.write(out, screen)?;
        let crowd = &self.crowd;
        write!(
            out,
            "\n{} processes at once, the service taking {} ms: {:.0} calls/s",
            crowd.processes, self.service_ms, crowd.calls_per_s
        )?;
        if let Some(most) = crowd.most_per_s {
            write!(out, " of at most {most:.0}")?;
        }
        if let Some(t) = &crowd.times {
            write!(out, "; p50 {:.1} ms, p95 {:.1}, p99 {:.1}", t.p50_ms, t.p95_ms, t.p99_ms)?;
        }
        writeln!(
            out,
            "\nAll with the same question: the service was asked {}",
            plural(self.asked_for_one_question, "time")
        )?;
        show_targets(&self.targets, &[], out, screen)?;
        compared(&self.compared, out, screen)
    }
}

pub(super) fn calls(taken: &Taken) -> Vec<Call> {
    let times = |kind: &str| taken.get(kind).and_then(|runs| Times::of(runs));
    let median = |kind| times(kind).map_or(0.0, |t| t.median_us);
    let call = |name: &'static str| {
        let times = times(name)?;
        let base = if name.starts_with("process") { median(EMPTY) } else { median(EXCHANGE) };
        let over_us = match name {
            EXCHANGE | EMPTY => 0.0,
            // These make no exchange.
            CACHED | OPEN => times.median_us,
            _ => tenth(times.median_us - base),
        };
        Some(Call { name, times, over_us })
    };
    KINDS.into_iter().filter_map(call).collect()
}

/// The medians of ten parts of the rounds.
pub(super) fn figures(taken: &Taken) -> Vec<Sampled> {
    let sampled = |(kind, runs): (&&'static str, &Vec<Duration>)| {
        let size = runs.len() / usize::try_from(SLICES).unwrap_or(1);
        let parts = runs.chunks_exact(size.max(1));
        let medians = parts.filter_map(|part| Some(Times::of(part)?.median_us)).collect();
        Sampled::small(kind, "us", medians)
    };
    taken.iter().filter(|(kind, _)| **kind != EMPTY && **kind != EXCHANGE).map(sampled).collect()
}

#[expect(clippy::cast_precision_loss, reason = "figures stay far below 2^52")]
pub(super) fn targets(calls: &[Call], asked: u64, amiss: u64) -> Vec<Target> {
    let added = |name| calls.iter().find(|c| c.name == name).map(|c| thousandth(c.over_us / 1e3));
    let at_most = Target::at_most;
    vec![
        at_most(
            "layer-answered",
            "added to an exchange: little beside the half second and more that Claude takes",
            "ms",
            5.0,
        )
        .with(added(ANSWERED), "not run"),
        at_most(
            "layer-cached",
            "an answer from the cache: less than a process takes to start",
            "ms",
            1.0,
        )
        .with(added(CACHED), "not run"),
        at_most(
            "layer-breaker-open",
            "rules while the breaker is open: a service that is down costs no time",
            "ms",
            1.0,
        )
        .with(added(OPEN), "not run"),
        at_most(
            "process-answered",
            "the whole command, added to an empty process: nobody notices",
            "ms",
            50.0,
        )
        .with(added(P_ANSWERED), "not run"),
        at_most(
            "process-cached",
            "the whole command with a cached answer: as quick as any other command",
            "ms",
            10.0,
        )
        .with(added(P_CACHED), "not run"),
        at_most(
            "process-breaker-open",
            "advice by rules from the store while the breaker is open",
            "ms",
            50.0,
        )
        .with(added(P_OPEN), "not run"),
        at_most("asked-once", "one question of many processes at once is paid for once", "", 1.0)
            .with(Some(asked as f64), ""),
        at_most(
            "requests-amiss",
            "questions that came to the service too often or not at all",
            "",
            0.0,
        )
        .with(Some(amiss as f64), ""),
    ]
}
