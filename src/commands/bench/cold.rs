//! `coord bench cold`.

use std::io;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::counters::Counters;
use super::report::{Machine, targets as show_targets};
use super::rounds::{Track, rounds};
use super::stage::{Coord, Stage, failed};
use super::stats::{Times, thousandth};
use super::targets::{Regression, Target, regressions};
use super::yardstick::Yardstick;
use crate::commands::{Context, Verb};
use crate::error::Result;
use crate::output::{Column, Screen, Shape, Table, View, plural};
use crate::sys::Scratch;
use crate::sys::measure::load;

/// Measure how fast the program starts
///
/// Agents start it thousands of times an hour, so what it does before it does anything is the
/// product. Everything is compared with an empty process that is measured in the same rounds.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coord bench cold                       Half a minute
  coord bench cold --rounds 2000 --json  More exactly, for a program")]
pub(crate) struct Args {
    /// How often each command is measured
    #[arg(long, value_name = "N", default_value_t = 500)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rounds: u64,

    /// Exit with 10 if a target is missed
    #[arg(long)]
    check: bool,

    /// Write the figures to a file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// Compare with figures that were saved, and exit with 10 if one has become worse
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// How much worse a figure may be than the baseline: 0.2 is a fifth
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, requires = "baseline")]
    tolerance: f64,
}

/// One command line.
#[derive(Debug, JsonSchema, Serialize)]
struct Start {
    command: String,
    times: Option<Times>,
    x_empty: Option<f64>,
    instructions: Option<u64>,
    system_calls: Option<u64>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct ColdReport {
    machine: Machine,
    rounds: u64,
    program_bytes: u64,
    starts: Vec<Start>,
    targets: Vec<Target>,
    regressions: Vec<Regression>,
}

impl View for ColdReport {
    const SCHEMA: &'static str = "coord.bench.cold/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        self.machine.human(&plural(self.rounds, "round"), out)?;
        writeln!(out, "\nStarts, microseconds:")?;
        let mut table = Table::new(vec![
            Column::new("COMMAND"),
            Column::new("P10").right(),
            Column::new("MEDIAN").right(),
            Column::new("P99").right(),
            Column::new("X EMPTY").right(),
            Column::new("INSTRUCTIONS").right(),
            Column::new("SYSTEM CALLS").right(),
        ]);
        let figure = |v: Option<u64>| v.map_or_else(|| "-".to_owned(), |v| v.to_string());
        for s in &self.starts {
            let time = |get: fn(&Times) -> f64| {
                s.times.as_ref().map_or_else(|| "-".to_owned(), |t| format!("{:.0}", get(t)))
            };
            table.row([
                s.command.clone(),
                time(|t| t.p10_us),
                time(|t| t.median_us),
                time(|t| t.p99_us),
                s.x_empty.map_or_else(|| "-".to_owned(), |v| format!("{v:.2}")),
                figure(s.instructions),
                figure(s.system_calls),
            ]);
        }
        table.write(out, screen)?;
        show_targets(&self.targets, &self.regressions, out, screen)
    }
}

/// The command lines that are measured, all of which change nothing.
const LINES: [(&str, &[&str]); 5] = [
    ("coord --version", &["--version"]),
    ("coord work claim --help", &["work", "claim", "--help"]),
    ("coord --help", &["--help"]),
    ("coord work list", &["work", "list"]),
    ("coord agent heartbeat", &["agent", "heartbeat"]),
];

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<ColdReport>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let load = load();
        let before = self.baseline.as_deref().map(super::saved_targets).transpose()?;
        let scratch =
            Scratch::new(None, "coord-bench", &cx.env, cx.ids.as_ref()).map_err(failed)?;
        let exe = std::env::current_exe().map_err(failed)?;
        let dir = scratch.path().join("store");
        let stage = Stage::fill(dir, 10, &cx.clock, cx.ids.as_ref(), |_| ())?;
        let (coord, yardstick) = (Coord::new(&exe, &stage.dir), Yardstick::find(&exe));
        let mut programs = vec![("empty process", yardstick.empty())];
        programs.extend(LINES.iter().map(|(name, words)| (*name, coord.whole(words))));
        let tracks: Vec<_> = programs
            .iter()
            .map(|(name, program)| Track::Plain { name, items: 0, program: program.clone() })
            .collect();
        let mut progress = cx.ui.progress(self.rounds, "measuring", cx.clock.monotonic());
        let clock = cx.clock.as_ref();
        let taken = rounds(&tracks, self.rounds, clock, |n| {
            progress.set(n, self.rounds, clock.monotonic());
        })?;
        progress.finish();
        let counters = Counters::new(&cx.env, clock, scratch.path());
        let empty = taken.times("empty process", 0).map(|t| t.median_us);
        let mut starts = Vec::new();
        for (name, program) in &programs {
            let times = taken.times(name, 0);
            starts.push(Start {
                command: (*name).to_owned(),
                times,
                x_empty: times.zip(empty).map(|(t, empty)| thousandth(t.median_us / empty)),
                instructions: counters.instructions(program)?,
                system_calls: counters.system_calls(program)?,
            });
        }
        let version = starts.iter().find(|s| s.command == "coord --version");
        let targets = vec![
            Target::at_most("version", "`coord --version`, against an empty process", "x", 2.0)
                .with(version.and_then(|s| s.x_empty), "not run"),
        ];
        let report = ColdReport {
            machine: Machine::here(&yardstick, scratch.path(), load)?,
            rounds: self.rounds,
            program_bytes: exe.metadata().map_err(failed)?.len(),
            starts,
            regressions: before
                .map_or_else(Vec::new, |b| regressions(&b, &targets, self.tolerance)),
            targets,
        };
        if let Some(file) = &self.save {
            super::save(file, &report)?;
        }
        cx.ui.emit(&report)?;
        super::verdict(&report.targets, &report.regressions, self.check)
    }
}
