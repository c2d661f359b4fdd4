//! What the agents' work comes to: the figures of a phase, those that are compared, the targets.

use std::time::Duration;

use super::SLICES;
use super::agents::{Done, Manner};
use super::receipts::Checked;
use super::report::{Failed, Memory, Operation, Phase, Slice};
use crate::commands::bench::compare::Sampled;
use crate::commands::bench::latency::Latency;
use crate::commands::bench::stats::{tenth, thousandth};
use crate::commands::bench::targets::Target;

/// Sums up what the agents did.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(super) fn phase(name: &'static str, done: &Done, manner: Manner, cpu_s: Option<f64>) -> Phase {
    // The paced phase ends when its time is over; the last cycles may reach beyond that.
    let time = match manner {
        Manner::Paced { time, .. } => time,
        Manner::FlatOut => done.time,
    };
    let operations = done.operations();
    let seconds = done.time.as_secs_f64().max(1e-9);
    let per_s = operations as f64 / seconds;
    Phase {
        name,
        duration_s: thousandth(seconds),
        cycles: done.ends.len() as u64,
        operations,
        operations_per_s: tenth(per_s),
        operations_per_h: (per_s * 3600.0).round(),
        cpu_s: cpu_s.map(thousandth),
        cpu_ms_per_operation: cpu_s
            .filter(|_| operations > 0)
            .map(|cpu| thousandth(cpu * 1e3 / operations as f64)),
        latency: done
            .latency
            .iter()
            .filter_map(|(name, l)| Some(Operation { name, times: l.percentiles()? }))
            .collect(),
        slices: slices(done, manner, time),
    }
}

/// The phase in ten parts: of the same time where there is a pace, of as many cycles where not.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn slices(done: &Done, manner: Manner, time: Duration) -> Vec<Slice> {
    let slice = |from: Duration, to: Duration, cycles: usize, claim| {
        let length = to.saturating_sub(from).as_secs_f64().max(1e-9);
        Slice {
            from_s: thousandth(from.as_secs_f64()),
            cycles: cycles as u64,
            cycles_per_s: thousandth(cycles as f64 / length),
            claim,
        }
    };
    match manner {
        Manner::Paced { .. } => (0..SLICES)
            .map(|at| {
                let edge = |at: usize| time.mul_f64(at as f64 / SLICES as f64);
                let (from, to) = (edge(at), edge(at + 1));
                let cycles = done.ends.iter().filter(|end| (from..to).contains(*end)).count();
                let claim = done.claims.get(at).and_then(Latency::percentiles);
                slice(from, to, cycles, claim)
            })
            .collect(),
        Manner::FlatOut => {
            let mut from = Duration::ZERO;
            let size = done.ends.len() / SLICES;
            let parts = done.ends.chunks_exact(size.max(1)).take(SLICES);
            let mut all = Vec::new();
            for part in parts {
                let to = part.last().copied().unwrap_or(from);
                all.push(slice(from, to, part.len(), None));
                from = to;
            }
            all
        }
    }
}

/// What is compared with an earlier run.
pub(super) fn figures(paced: &Done, phases: &[Phase]) -> Vec<Sampled> {
    let claims = |percent: f64| {
        paced.claims.iter().filter_map(|claim| claim.percentile(percent)).collect::<Vec<_>>()
    };
    let mut figures = vec![
        Sampled::small("paced-claim-p50", "ms", claims(50.0)),
        Sampled::small("paced-claim-p95", "ms", claims(95.0)),
    ];
    for phase in phases {
        let speed = phase.slices.iter().map(|s| s.cycles_per_s).collect();
        figures.push(Sampled::large(&format!("{}-cycles", phase.name), "1/s", speed));
    }
    figures
}

/// The figures that have a target.
#[expect(clippy::cast_precision_loss, reason = "figures stay far below 2^52")]
pub(super) fn targets(
    phases: &[Phase],
    memory: &[Memory],
    check: &Checked,
    errors: &[Failed],
) -> Vec<Target> {
    let named = |name: &str| phases.iter().find(|phase| phase.name == name);
    let claim = named("paced").and_then(|p| p.latency.iter().find(|o| o.name == "claim"));
    let claim = claim.map(|o| o.times);
    let peak = memory.iter().map(|m| m.peak_bytes).collect::<Option<Vec<_>>>();
    let peak = peak.and_then(|all| all.into_iter().max());
    let failures: u64 = errors.iter().map(|e| e.count).sum();
    let (at_most, at_least) = (Target::at_most, Target::at_least);
    let none = "no claim went well";
    vec![
        at_most("lost", "items lost: what was acknowledged has to be there", "", 0.0)
            .with(Some(check.lost as f64), ""),
        at_most("doubled", "items that two had: an item is one agent's at a time", "", 0.0)
            .with(Some(check.doubled as f64), ""),
        at_most("errors", "commands that failed: a busy store makes wait, not fail", "", 0.0)
            .with(Some(failures as f64), ""),
        at_most(
            "claim-p95",
            "19 of 20 claims of paced agents: a person does not notice 100 ms",
            "ms",
            100.0,
        )
        .with(claim.map(|c| c.p95_ms), none),
        at_most(
            "claim-p99",
            "99 of 100 claims of paced agents: at most half as much again",
            "ms",
            150.0,
        )
        .with(claim.map(|c| c.p99_ms), none),
        at_most(
            "memory",
            "the largest process: many agents share a small machine",
            "MiB",
            // 80 MB, counted in powers of ten as in the requirement.
            thousandth(80e6 / 1_048_576.0),
        )
        .with(peak.map(|b| b as f64 / 1_048_576.0), "the memory of one could not be read"),
        at_least(
            "operations-per-hour",
            "without a pause: what the whole has to do in an hour",
            "1/h",
            1000.0,
        )
        .with(named("flat-out").map(|p| p.operations_per_h), "the agents gave up before"),
    ]
}
