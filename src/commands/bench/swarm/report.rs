//! What `coord bench swarm` found, for people and for programs.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::receipts::Checked;
use crate::commands::bench::compare::{Compared, Sampled};
use crate::commands::bench::latency::Percentiles;
use crate::commands::bench::report::{Machine, compared, targets};
use crate::commands::bench::targets::Target;
use crate::output::{Column, Screen, Table, View, line, plural};

/// One operation of a phase.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Operation {
    /// Its name.
    pub(super) name: &'static str,
    /// Its times.
    #[serde(flatten)]
    pub(super) times: Percentiles,
}

/// A tenth of a phase.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Slice {
    /// When it began, since the beginning of the phase.
    pub(super) from_s: f64,
    /// Cycles that were finished in it.
    pub(super) cycles: u64,
    /// Cycles in a second of it.
    pub(super) cycles_per_s: f64,
    /// Times of the claims that were due in it; absent in a phase without a pace.
    pub(super) claim: Option<Percentiles>,
}

/// A way of working, and what came of it.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Phase {
    /// `paced` or `flat-out`.
    pub(super) name: &'static str,
    /// How long it took.
    pub(super) duration_s: f64,
    /// Items that were claimed and completed.
    pub(super) cycles: u64,
    /// Commands that went well.
    pub(super) operations: u64,
    /// Of them in a second.
    pub(super) operations_per_s: f64,
    /// Of them in an hour.
    pub(super) operations_per_h: f64,
    /// Processor time of all commands together.
    pub(super) cpu_s: Option<f64>,
    /// Processor time of one command.
    pub(super) cpu_ms_per_operation: Option<f64>,
    /// Each operation, its time as its caller saw it, process start included.
    pub(super) latency: Vec<Operation>,
    /// The phase in ten parts.
    pub(super) slices: Vec<Slice>,
}

/// What a command needs at most.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Memory {
    /// The command.
    pub(super) command: String,
    /// The most memory it had, as the kernel counted it.
    pub(super) peak_bytes: Option<u64>,
}

/// A kind of failure.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Failed {
    /// The operation.
    pub(super) operation: &'static str,
    /// How it ended.
    pub(super) ended: String,
    /// How often.
    pub(super) count: u64,
}

/// The whole.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct SwarmReport {
    pub(super) machine: Machine,
    pub(super) agents: u64,
    pub(super) items: u64,
    pub(super) work_ms: u64,
    pub(super) pace_ms: u64,
    /// What has to be the same for figures to be compared.
    pub(super) conditions: String,
    pub(super) phases: Vec<Phase>,
    pub(super) memory: Vec<Memory>,
    pub(super) check: Checked,
    pub(super) verified: bool,
    /// Why the agents stopped before all was done, if they did.
    pub(super) gave_up: Option<String>,
    pub(super) errors: Vec<Failed>,
    pub(super) figures: Vec<Sampled>,
    pub(super) targets: Vec<Target>,
    pub(super) compared: Vec<Compared>,
    pub(super) kept_in: Option<String>,
}

impl View for SwarmReport {
    const SCHEMA: &'static str = "coord.bench.swarm/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        let what = format!("{}, {}", plural(self.agents, "agent"), plural(self.items, "item"));
        self.machine.human(&what, out)?;
        for phase in &self.phases {
            phase.human(self, out, screen)?;
        }
        self.memory(out, screen)?;
        let c = &self.check;
        writeln!(
            out,
            "\nRead back from the store, and compared with what the agents were told: {} put in, {} \
             claimed, {} completed, {} done; {} lost, {} doubled; the audit trail is {}",
            c.put_in,
            c.claims,
            c.completions,
            c.done,
            c.lost,
            c.doubled,
            if self.verified { "sound" } else { "NOT sound" },
        )?;
        for fault in &c.faults {
            writeln!(out, "  WRONG {}", line(fault))?;
        }
        for e in &self.errors {
            writeln!(out, "  {} of `{}` ended with {}", e.count, e.operation, e.ended)?;
        }
        if let Some(why) = &self.gave_up {
            writeln!(out, "The agents gave up: {}", line(why))?;
        }
        targets(&self.targets, &[], out, screen)?;
        compared(&self.compared, out, screen)?;
        if let Some(place) = &self.kept_in {
            writeln!(out, "The measured store is in {}", line(place))?;
        }
        Ok(())
    }
}

impl Phase {
    fn human(&self, all: &SwarmReport, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        let manner = match self.name {
            "paced" => format!("A cycle each {} ms, {} ms of work in it", all.pace_ms, all.work_ms),
            _ => "Without a pause, until nothing is left".to_owned(),
        };
        writeln!(
            out,
            "\n{manner}: {} in {:.1} s, {:.0} operations/s = {:.0} an hour{}",
            plural(self.cycles, "cycle"),
            self.duration_s,
            self.operations_per_s,
            self.operations_per_h,
            self.cpu_ms_per_operation
                .map_or_else(String::new, |ms| format!(", {ms:.2} ms of processor time each")),
        )?;
        let mut table = Table::new(vec![
            Column::new("OPERATION"),
            Column::new("RUNS").right(),
            Column::new("P50 MS").right(),
            Column::new("P95 MS").right(),
            Column::new("P99 MS").right(),
            Column::new("WORST MS").right(),
        ]);
        let row = |name: String, p: &Percentiles| {
            let ms = |v: f64| format!("{v:.2}");
            [name, p.runs.to_string(), ms(p.p50_ms), ms(p.p95_ms), ms(p.p99_ms), ms(p.max_ms)]
        };
        for o in &self.latency {
            table.row(row(o.name.to_owned(), &o.times));
        }
        // A long run is looked at for what changes in it.
        if self.duration_s >= 60.0 {
            for s in &self.slices {
                if let Some(claim) = &s.claim {
                    table.row(row(format!("claim, from {:.0} s on", s.from_s), claim));
                }
            }
        }
        table.write(out, screen)
    }
}

impl SwarmReport {
    fn memory(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        writeln!(out, "\nMemory at most, with the whole history in the store:")?;
        let mut table = Table::new(vec![Column::new("COMMAND"), Column::new("MIB").right()]);
        for m in &self.memory {
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            let mib = |bytes: u64| format!("{:.1}", bytes as f64 / 1_048_576.0);
            table.row([m.command.clone(), m.peak_bytes.map_or_else(|| "-".to_owned(), mib)]);
        }
        table.write(out, screen)
    }
}
