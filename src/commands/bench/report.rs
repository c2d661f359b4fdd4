//! What `coord bench store` found, for people and for programs.

use std::io;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use super::compare::{Compared, Sampled};
use super::stage::failed;
use super::stats::Times;
use super::targets::{Bound, Regression, Target};
use super::yardstick::Yardstick;
use crate::error::Result;
use crate::output::{Column, Screen, Table, View, plural};
use crate::sys::measure::{file_system, kernel};

/// What was measured, and on what.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Machine {
    /// This program's version.
    pub(super) version: &'static str,
    /// Whether it was built with optimisation.
    pub(super) optimised: bool,
    /// Whether it is a static program.
    pub(super) is_static: bool,
    /// The processor's kind.
    pub(super) arch: &'static str,
    /// The C library it was built for.
    pub(super) libc: &'static str,
    /// Processors.
    pub(super) cores: usize,
    /// Processes that were ready to run before the measurement, on average over a minute.
    pub(super) load_before: Option<f64>,
    /// The kernel's release.
    pub(super) kernel: String,
    /// The file system the stores lay on.
    pub(super) file_system: String,
    /// Whether the yardstick was a program of its own.
    pub(super) yardstick_is_separate: bool,
}

impl Machine {
    /// This program on this machine, measuring in `place`.
    pub(super) fn here(
        yardstick: &Yardstick,
        place: &Path,
        load_before: Option<f64>,
    ) -> Result<Self> {
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
            is_static: cfg!(target_feature = "crt-static"),
            arch: std::env::consts::ARCH,
            libc: if cfg!(target_env = "musl") { "musl" } else { "glibc" },
            cores: cores(),
            load_before,
            kernel: kernel(),
            file_system: file_system(place).map_err(failed)?,
            yardstick_is_separate: yardstick.is_separate(),
        })
    }

    /// A line about it.
    pub(super) fn human(&self, what: &str, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(
            out,
            "coord {} ({}, {} {}{}) on {} cores, Linux {}, {}; {what}",
            self.version,
            if self.optimised { "optimised" } else { "NOT optimised: figures mean little" },
            self.arch,
            self.libc,
            if self.is_static { " static" } else { "" },
            self.cores,
            self.kernel,
            self.file_system,
        )?;
        if let Some(load) = self.load_before.filter(|load| *load > 0.5) {
            writeln!(out, "The machine was busy with other work (load {load}): expect noise.")?;
        }
        if !self.yardstick_is_separate {
            writeln!(
                out,
                "The limit was measured with this program itself, as `coord-bench-limit` does not lie beside it: \
                 the ratios look better than they are."
            )?;
        }
        Ok(())
    }
}

/// One operation at one size.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Operation {
    /// Its name.
    pub(super) name: &'static str,
    /// Open items in the store; absent where there is none.
    pub(super) items: Option<u64>,
    /// Its times.
    #[serde(flatten)]
    pub(super) times: Times,
    /// Its median against that of the physical limit.
    pub(super) x_limit: Option<f64>,
    /// Its median against that of an empty process.
    pub(super) x_empty: Option<f64>,
}

/// Many processes at once.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Throughput {
    /// Who.
    pub(super) name: &'static str,
    /// How many at once.
    pub(super) workers: u64,
    /// Cycles of two operations each, in a second.
    pub(super) cycles_per_s: Option<f64>,
    /// The times of the first operation of each cycle.
    pub(super) times: Option<Times>,
}

/// An index made anew.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Rebuild {
    /// Items in the store.
    pub(super) items: u64,
    /// How long the command took that had to do it.
    pub(super) time_ms: f64,
    /// The most memory it had.
    pub(super) peak_bytes: Option<u64>,
}

/// What does not depend on how busy the machine is.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Count {
    /// The operation.
    pub(super) name: &'static str,
    /// Its instructions.
    pub(super) instructions: Option<u64>,
    /// Its system calls.
    pub(super) system_calls: Option<u64>,
}

/// The whole.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct StoreReport {
    pub(super) machine: Machine,
    pub(super) rounds: u64,
    pub(super) operations: Vec<Operation>,
    pub(super) crowds: Vec<Throughput>,
    pub(super) claim_peak_bytes: Option<u64>,
    pub(super) rebuilds: Vec<Rebuild>,
    pub(super) counts: Vec<Count>,
    pub(super) targets: Vec<Target>,
    /// Targets that are worse than in an earlier run that did not save how its figures vary.
    pub(super) regressions: Vec<Regression>,
    /// What must be the same to compare two runs.
    pub(super) conditions: String,
    /// What is compared with an earlier run.
    pub(super) figures: Vec<Sampled>,
    pub(super) compared: Vec<Compared>,
    pub(super) kept_in: Option<String>,
}

impl View for StoreReport {
    const SCHEMA: &'static str = "coord.bench.store/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        self.machine.human(&plural(self.rounds, "round"), out)?;
        self.operations(out, screen)?;
        self.crowds(out, screen)?;
        self.rebuilds(out, screen)?;
        self.counts(out, screen)?;
        targets(&self.targets, &self.regressions, out, screen)?;
        compared(&self.compared, out, screen)?;
        if let Some(place) = &self.kept_in {
            writeln!(out, "The measured stores are in {place}")?;
        }
        Ok(())
    }
}

impl StoreReport {
    fn operations(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        writeln!(out, "\nOne process at a time, microseconds:")?;
        let mut table = Table::new(vec![
            Column::new("OPERATION"),
            Column::new("ITEMS").right(),
            Column::new("RUNS").right(),
            Column::new("P10").right(),
            Column::new("MEDIAN").right(),
            Column::new("P99").right(),
            Column::new("X LIMIT").right(),
            Column::new("X EMPTY").right(),
        ]);
        for o in &self.operations {
            table.row([
                o.name.to_owned(),
                o.items.map_or_else(|| "-".to_owned(), |n| n.to_string()),
                o.times.runs.to_string(),
                format!("{:.0}", o.times.p10_us),
                format!("{:.0}", o.times.median_us),
                format!("{:.0}", o.times.p99_us),
                ratio(o.x_limit),
                ratio(o.x_empty),
            ]);
        }
        table.write(out, screen)
    }

    fn crowds(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        let Some(first) = self.crowds.first() else { return Ok(()) };
        writeln!(out, "\n{} processes at once, two operations a cycle:", first.workers)?;
        let mut table = Table::new(vec![
            Column::new("WHO"),
            Column::new("CYCLES/S").right(),
            Column::new("MEDIAN US").right(),
            Column::new("P99 US").right(),
            Column::new("WORST US").right(),
        ]);
        for c in &self.crowds {
            let figure = |get: fn(&Times) -> f64| {
                c.times.as_ref().map_or("-".into(), |t| format!("{:.0}", get(t)))
            };
            table.row([
                c.name.to_owned(),
                c.cycles_per_s.map_or("-".into(), |v| format!("{v:.0}")),
                figure(|t| t.median_us),
                figure(|t| t.p99_us),
                figure(|t| t.max_us),
            ]);
        }
        table.write(out, screen)
    }

    fn rebuilds(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        writeln!(out, "\nA command that has to make the index anew:")?;
        let mut table = Table::new(vec![
            Column::new("ITEMS").right(),
            Column::new("MS").right(),
            Column::new("MEMORY MIB").right(),
        ]);
        for r in &self.rebuilds {
            table.row([r.items.to_string(), format!("{:.1}", r.time_ms), mib(r.peak_bytes)]);
        }
        table.write(out, screen)?;
        writeln!(out, "A claim needs {} MiB of memory.", mib(self.claim_peak_bytes))
    }

    fn counts(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        writeln!(out, "\nCounted, the same on every run:")?;
        let mut table = Table::new(vec![
            Column::new("OPERATION"),
            Column::new("INSTRUCTIONS").right(),
            Column::new("SYSTEM CALLS").right(),
        ]);
        let figure = |v: Option<u64>| v.map_or_else(|| "-".to_owned(), |v| v.to_string());
        for c in &self.counts {
            table.row([c.name.to_owned(), figure(c.instructions), figure(c.system_calls)]);
        }
        table.write(out, screen)
    }
}

/// Processors.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Shows figures beside what they should be.
pub(super) fn targets(
    targets: &[Target],
    regressions: &[Regression],
    out: &mut dyn io::Write,
    screen: Screen,
) -> io::Result<()> {
    writeln!(out, "\nTargets:")?;
    let mut table = Table::new(vec![
        Column::new("NAME"),
        Column::new("VALUE").right(),
        Column::new("TARGET").right(),
        Column::new("VERDICT"),
        Column::new("WHAT").shrinks(),
    ]);
    for t in targets {
        let sign = match t.bound {
            Bound::AtMost => "<=",
            Bound::AtLeast => ">=",
        };
        let verdict = match t.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None if t.value.is_some() => "not judged",
            None => "not measured",
        };
        let what = t
            .unmeasured
            .as_ref()
            .map_or_else(|| t.what.clone(), |why| format!("{}: {why}", t.what));
        table.row([
            t.name.clone(),
            t.value.map_or_else(|| "-".to_owned(), |v| format!("{v} {}", t.unit)),
            format!("{sign} {} {}", t.wanted, t.unit),
            verdict.to_owned(),
            what,
        ]);
    }
    table.write(out, screen)?;
    let missed = targets.iter().filter(|t| t.met == Some(false)).count();
    let met = targets.iter().filter(|t| t.met == Some(true)).count();
    let left = targets.len() - met - missed;
    writeln!(out, "{met} met, {missed} missed, {left} not measured or not judged")?;
    for r in regressions {
        let worse = r.worse_by * 100.0;
        writeln!(out, "worse than before: {}: {} -> {} ({worse:.0} %)", r.name, r.before, r.now)?;
    }
    Ok(())
}

/// Shows what became of the figures of an earlier run.
pub(super) fn compared(
    compared: &[Compared],
    out: &mut dyn io::Write,
    screen: Screen,
) -> io::Result<()> {
    if compared.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nAgainst the baseline:")?;
    let mut table = Table::new(vec![
        Column::new("NAME"),
        Column::new("BEFORE").right(),
        Column::new("NOW").right(),
        Column::new("UNIT"),
        Column::new("X").right(),
        Column::new("95 % BETWEEN").right(),
        Column::new("VERDICT"),
    ]);
    for c in compared {
        table.row([
            c.name.clone(),
            c.before.to_string(),
            c.now.to_string(),
            c.unit.clone(),
            format!("{:.2}", c.ratio),
            format!("{:.2} and {:.2}", c.ratio_low, c.ratio_high),
            c.verdict.as_str().to_owned(),
        ]);
    }
    table.write(out, screen)
}

fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{v:.2}"))
}

fn mib(bytes: Option<u64>) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    bytes.map_or_else(|| "-".to_owned(), |b| format!("{:.1}", b as f64 / 1_048_576.0))
}
