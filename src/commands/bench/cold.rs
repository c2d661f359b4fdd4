//! `coord bench cold`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::args::{Judging, scratch};
use super::compare::{Compared, Sampled};
use super::counters::Counters;
use super::report::{Machine, compared as show_compared, cores, targets as show_targets};
use super::rounds::{Taken, Track, rounds};
use super::stage::{Coord, Stage, failed};
use super::stats::{Times, thousandth};
use super::targets::{Regression, Target};
use super::yardstick::Yardstick;
use crate::commands::{Context, Verb, values};
use crate::error::Result;
use crate::output::{Column, Screen, Shape, Table, View, plural};
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
    #[arg(value_parser = values::within::<u64, 1, 100_000>)]
    rounds: u64,

    #[command(flatten)]
    judging: Judging,
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
    /// Targets that are worse than in an earlier run that did not save how its figures vary.
    regressions: Vec<Regression>,
    /// What must be the same to compare two runs.
    conditions: String,
    /// What is compared with an earlier run.
    figures: Vec<Sampled>,
    compared: Vec<Compared>,
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
        show_targets(&self.targets, &self.regressions, out, screen)?;
        show_compared(&self.compared, out, screen)
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
        let conditions = format!("{} cores", cores());
        let before = self.judging.before::<ColdReport>(&conditions)?;
        let scratch = scratch(None, cx)?.swept().map_err(super::stage::failed)?;
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
        let targets = targets_of(&taken);
        let figures = taken.sampled(|_, slice| targets_of(slice));
        let report = ColdReport {
            machine: Machine::here(&yardstick, scratch.path(), load)?,
            rounds: self.rounds,
            program_bytes: exe.metadata().map_err(failed)?.len(),
            starts,
            regressions: self.judging.regressions(before.as_ref(), &targets),
            compared: self.judging.compare(before.as_ref(), &figures),
            conditions,
            targets,
            figures,
        };
        self.judging.show(cx, &report)?;
        self.judging.judge(&report.compared, &report.regressions, &report.targets)
    }
}

/// The figures that have a target.
fn targets_of(taken: &Taken) -> Vec<Target> {
    let median = |name| taken.times(name, 0).map(|t| t.median_us);
    let version = median("coord --version").zip(median("empty process"));
    vec![
        Target::at_most("version", "`coord --version`, against an empty process", "x", 2.0)
            .with(version.map(|(version, empty)| version / empty), "not run"),
    ]
}
