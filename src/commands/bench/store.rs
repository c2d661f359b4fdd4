//! `coord bench store`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::{Judging, Place};
use super::contention::{Crowd, Cycle};
use super::counters::Counters;
use super::report::{Count, Machine, Operation, Rebuild, StoreReport, Throughput, cores};
use super::rivals::Rival;
use super::rounds::{SLICES, Taken, Track, rounds};
use super::stage::{Coord, Stage, answer, failed};
use super::stats::{Times, tenth, thousandth};
use super::targets::Target;
use super::yardstick::Yardstick;
use crate::commands::{Context, Verb, values};
use crate::error::Result;
use crate::output::Shape;
use crate::sys::Scratch;
use crate::sys::measure::{load, peak_memory, run, settle};

/// Measure the store against what the machine can do at best
///
/// Runs whole processes side by side in one scratch directory: the physical limit of a durable
/// command (lock, append, flush), the store alone, the whole program, and, where they are
/// installed, SQLite and a shell script with jq. Every figure is a ratio of two things measured in
/// the same run, so that it can be compared between machines.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coord bench store                          Up to 100,000 items, about two minutes
  coord bench store --sizes 100,1000         A quick look
  coord bench store --full --check           Up to 1,000,000 items; exit 10 if a target is missed
  coord bench store --save base.json         Keep the figures…
  coord bench store --baseline base.json     …and exit 10 if they have become worse")]
pub(crate) struct Args {
    /// Numbers of open items to measure at, separated by commas
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "100,1000,10000,100000"
    )]
    #[arg(value_parser = values::within::<u64, 10, 10_000_000>)]
    sizes: Vec<u64>,

    /// Also with 1,000,000 items
    #[arg(long)]
    full: bool,

    /// How often each operation is measured
    #[arg(long, value_name = "N", default_value_t = 200)]
    #[arg(value_parser = values::within::<u64, 1, 100_000>)]
    rounds: u64,

    /// How many processes work at once where many do
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = values::within::<u64, 1, 1000>)]
    workers: u64,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    judging: Judging,
}

/// Items in the store that many processes work on, so that it does not run dry.
const CROWDED: u64 = 20_000;

/// Cycles in a slice of a crowd's work, for each round that was asked for; the competitors take turns.
const CYCLES: u64 = 2;

/// Items at which competitors are measured whose cost grows with them, and at which is counted.
const USUAL: u64 = 1000;

/// How long a command may take that is watched for its memory.
const PATIENCE: Duration = Duration::from_mins(2);

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<StoreReport>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let load = load();
        let mut sizes = self.sizes.clone();
        if self.full {
            sizes.push(1_000_000);
        }
        sizes.sort_unstable();
        sizes.dedup();
        let named: Vec<String> = sizes.iter().map(ToString::to_string).collect();
        let conditions =
            format!("{} items, {} at once, {} cores", named.join(", "), self.workers, cores());
        let before = self.judging.before::<StoreReport>(&conditions)?;
        let scratch = self.place.scratch(cx)?.swept().map_err(super::stage::failed)?;
        let bench = Bench::prepare(cx, &scratch, &sizes)?;
        let taken = bench.rounds(cx, self.rounds)?;
        let crowds = bench.crowds(cx, self.workers, self.rounds)?;
        let claim_peak = bench.claim_peak(cx)?;
        let rebuilds = bench.rebuilds(cx)?;
        let counts = bench.counts(cx, scratch.path())?;
        let slices = crowds;
        let crowds = joined(&slices);
        let targets_of = |taken: &Taken, crowds: &[(&'static str, Crowd)]| {
            targets(taken, crowds, claim_peak, &rebuilds, &counts, &sizes)
        };
        let targets = targets_of(&taken, &crowds);
        let figures = taken
            .sampled(|at, taken| targets_of(taken, slices.get(at).map_or(&[][..], Vec::as_slice)));
        let limit = taken.times("limit", 0);
        let empty = taken.times("empty process", 0);
        let against =
            |times: Times, base: Option<Times>| base.map(|b| times.median_us / b.median_us);
        let report = StoreReport {
            machine: Machine::here(&bench.yardstick, scratch.path(), load)?,
            rounds: self.rounds,
            operations: taken
                .all()
                .map(|(name, items, times)| Operation {
                    name,
                    items: (items > 0).then_some(items),
                    times,
                    x_limit: against(times, limit).map(thousandth),
                    x_empty: against(times, empty).map(thousandth),
                })
                .collect(),
            crowds: crowds
                .iter()
                .map(|(name, crowd)| Throughput {
                    name,
                    workers: self.workers,
                    cycles_per_s: crowd.per_second().map(tenth),
                    times: Times::of(&crowd.first),
                })
                .collect(),
            claim_peak_bytes: claim_peak,
            rebuilds,
            counts,
            regressions: self.judging.regressions(before.as_ref(), &targets),
            compared: self.judging.compare(before.as_ref(), &figures),
            conditions,
            targets,
            figures,
            kept_in: self.place.kept_in(&scratch),
        };
        self.judging.show(cx, &report)?;
        self.judging.judge(&report.compared, &report.regressions, &report.targets)
    }
}

/// Everything that is measured, ready to be.
struct Bench {
    yardstick: Yardstick,
    exe: PathBuf,
    stages: Vec<Stage>,
    crowded: Stage,
    limit_dir: PathBuf,
    sqlite: Option<Rival>,
    script: Option<Rival>,
}

impl Bench {
    fn prepare(cx: &mut Context, scratch: &Scratch, sizes: &[u64]) -> Result<Self> {
        let exe = std::env::current_exe().map_err(failed)?;
        let dir = |name: &str| -> Result<PathBuf> {
            let dir = scratch.path().join(name);
            std::fs::create_dir(&dir).map_err(failed)?;
            Ok(dir)
        };
        let all = sizes.iter().sum::<u64>() + CROWDED;
        let mut progress = cx.ui.progress(all, "filling stores", cx.clock.monotonic());
        let mut made = 0;
        let mut fill = |items: u64, name: String| -> Result<Stage> {
            let stage =
                Stage::fill(scratch.path().join(name), items, &cx.clock, cx.ids.as_ref(), |n| {
                    progress.set(made + n, all, cx.clock.monotonic());
                })?;
            made += items;
            Ok(stage)
        };
        let stages = sizes
            .iter()
            .map(|&items| fill(items, format!("store-{items}")))
            .collect::<Result<Vec<_>>>()?;
        let crowded = fill(CROWDED, "store-crowd".to_owned())?;
        progress.finish();
        let clock = cx.clock.as_ref();
        let sqlite =
            Rival::sqlite(&dir("sqlite")?, USUAL, &cx.env, clock).unwrap_or_else(|error| {
                cx.ui.warning(&left_out("sqlite", &error.to_string()));
                None
            });
        let script = Rival::script(&dir("script")?, USUAL, &cx.env)?;
        let bench = Self {
            yardstick: Yardstick::find(&exe),
            exe,
            stages,
            crowded,
            limit_dir: dir("limit")?,
            sqlite,
            script,
        };
        settle();
        Ok(bench)
    }

    fn coord(&self, stage: &Stage) -> Coord {
        Coord::new(&self.exe, &stage.dir)
    }

    fn rounds(&self, cx: &mut Context, count: u64) -> Result<Taken> {
        let plain = |name, items, program| Track::Plain { name, items, program };
        let limit = |sync| self.yardstick.append(&self.limit_dir, sync);
        let mut tracks = vec![
            plain("empty process", 0, self.yardstick.empty()),
            plain("limit", 0, limit(true)),
            plain("limit unsynced", 0, limit(false)),
        ];
        for stage in &self.stages {
            let (items, coord) = (stage.items, self.coord(stage));
            tracks.push(plain(
                "list --limit 10",
                items,
                coord.whole(&["work", "list", "--limit", "10"]),
            ));
            tracks.push(Track::Bare { items, coord: coord.clone(), sync: true });
            tracks.push(Track::Life { items, coord });
        }
        if let Some(stage) = self.stages.first() {
            let (items, coord) = (stage.items, self.coord(stage));
            tracks.push(plain("version", 0, coord.whole(&["--version"])));
            tracks.push(plain("heartbeat", items, coord.whole(&["agent", "heartbeat"])));
            tracks.push(plain("store heartbeat", items, coord.bare(&["heartbeat"])));
            tracks.push(Track::Bare { items, coord, sync: false });
        }
        for (name, rival, every) in
            [("sqlite claim", &self.sqlite, 1), ("script claim", &self.script, 5)]
        {
            if let Some(rival) = rival.clone() {
                tracks.push(Track::Rival { name, items: USUAL, rival, every });
            }
        }
        let mut progress = cx.ui.progress(count, "measuring", cx.clock.monotonic());
        let clock = cx.clock.as_ref();
        let taken = rounds(&tracks, count, clock, |n| progress.set(n, count, clock.monotonic()))?;
        progress.finish();
        for (name, why) in taken.failed() {
            cx.ui.warning(&left_out(name, why));
        }
        Ok(taken)
    }

    /// The limit and the program in turn, each with as many processes at once; what each did, by slice.
    fn crowds(&self, cx: &mut Context, workers: u64, rounds: u64) -> Result<Vec<Crowds>> {
        let coord = self.coord(&self.crowded);
        let append = || self.yardstick.append(&self.limit_dir, true);
        let mut cycles = vec![
            ("limit", Cycle { first: Box::new(append), second: Box::new(|_: &str| append()) }),
            (
                "coord",
                Cycle {
                    first: Box::new(|| coord.whole(&["claim", "-q"])),
                    second: Box::new(|id: &str| coord.whole(&["complete", id])),
                },
            ),
        ];
        if let Some(rival) = &self.sqlite {
            // Its items go round: a claimed one is made pending again.
            let first = Box::new(|| rival.claim().clone());
            cycles.push((SQLITE, Cycle { first, second: Box::new(|id: &str| rival.undo(id)) }));
        }
        let slices = SLICES as u64;
        let mut progress = cx.ui.progress(slices, "a crowd", cx.clock.monotonic());
        // So many that the store does not run dry.
        let count = (CYCLES * rounds).min(CROWDED / slices / 2);
        let mut all = Vec::new();
        for slice in 1..=slices {
            let (mut crowds, mut failed) = (Crowds::new(), None);
            for (name, cycle) in &cycles {
                match super::contention::crowd(cycle, workers, count, cx.clock.as_ref()) {
                    Ok(crowd) => crowds.push((*name, crowd)),
                    Err(error) if *name == SQLITE => failed = Some(error),
                    Err(error) => return Err(error),
                }
            }
            all.push(crowds);
            if let Some(error) = failed {
                cx.ui.warning(&left_out("sqlite with many processes", &error.to_string()));
                cycles.retain(|(name, _)| *name != SQLITE);
                for crowds in &mut all {
                    crowds.retain(|(name, _)| *name != SQLITE);
                }
            }
            progress.set(slice, slices, cx.clock.monotonic());
        }
        progress.finish();
        Ok(all)
    }

    /// The memory of a claim in the largest store.
    fn claim_peak(&self, cx: &Context) -> Result<Option<u64>> {
        let Some(stage) = self.stages.last() else { return Ok(None) };
        let claim = self.coord(stage).whole(&["claim", "-q"]);
        peak_memory(&claim, PATIENCE, cx.clock.as_ref()).map_err(failed)
    }

    /// What it costs to make the index anew, at every size.
    fn rebuilds(&self, cx: &Context) -> Result<Vec<Rebuild>> {
        let mut rebuilds = Vec::new();
        for stage in &self.stages {
            let claim = self.coord(stage).whole(&["claim", "-q"]);
            drop_index(stage)?;
            let timed = run(&claim, cx.clock.as_ref()).map_err(failed)?;
            answer(&timed, &claim)?;
            drop_index(stage)?;
            let peak_bytes = peak_memory(&claim, PATIENCE, cx.clock.as_ref()).map_err(failed)?;
            let time_ms = tenth(timed.time.as_secs_f64() * 1e3);
            rebuilds.push(Rebuild { items: stage.items, time_ms, peak_bytes });
        }
        Ok(rebuilds)
    }

    fn counts(&self, cx: &Context, scratch: &Path) -> Result<Vec<Count>> {
        let counters = Counters::new(&cx.env, cx.clock.as_ref(), scratch);
        let Some(stage) = self.stages.iter().rfind(|s| s.items <= USUAL).or(self.stages.first())
        else {
            return Ok(Vec::new());
        };
        let coord = self.coord(stage);
        let programs = [
            ("empty process", self.yardstick.empty()),
            ("limit", self.yardstick.append(&self.limit_dir, true)),
            ("store start", coord.start()),
            ("store claim", coord.bare(&["claim"])),
            ("version", coord.whole(&["--version"])),
            ("claim", coord.whole(&["claim", "-q"])),
        ];
        programs
            .into_iter()
            .map(|(name, program)| {
                Ok(Count {
                    name,
                    instructions: counters.instructions(&program)?,
                    system_calls: counters.system_calls(&program)?,
                })
            })
            .collect()
    }
}

/// The competitor that may fail where many work at once.
const SQLITE: &str = "sqlite";

fn left_out(name: &str, why: &str) -> String {
    format!("{name} is left out: {why}")
}

/// What each competitor did in a slice.
type Crowds = Vec<(&'static str, Crowd)>;

/// What each did in all slices.
fn joined(slices: &[Crowds]) -> Crowds {
    let mut all = Crowds::new();
    for (name, crowd) in slices.iter().flatten() {
        match all.iter_mut().find(|(other, _)| other == name) {
            Some((_, own)) => own.extend(crowd),
            None => all.push((name, crowd.clone())),
        }
    }
    all
}

/// Takes the index away, as after a power loss.
fn drop_index(stage: &Stage) -> Result<()> {
    match std::fs::remove_dir_all(stage.dir.join(".index")) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed(e)),
        _ => Ok(()),
    }
}

/// Whether this is the build that some targets are for: a dynamic one starts in the loader.
const STATIC: bool = cfg!(target_feature = "crt-static");
const NOT_STATIC: &str = "not judged: this is no static build";

/// The figures that have a target.
fn targets(
    taken: &Taken,
    crowds: &[(&'static str, Crowd)],
    claim_peak: Option<u64>,
    rebuilds: &[Rebuild],
    counts: &[Count],
    sizes: &[u64],
) -> Vec<Target> {
    let median = |name, items| taken.times(name, items).map(|t| t.median_us);
    let over = |a: Option<f64>, b: Option<f64>| Some(a? / b?);
    let worst = |name: &'static str| {
        let ratios = sizes.iter().filter_map(|&n| over(median(name, n), median("limit", 0)));
        ratios.reduce(f64::max)
    };
    let (first, last) = (sizes.first().copied(), sizes.last().copied());
    let ends = |name: &'static str, from: Option<u64>| {
        over(last.and_then(|n| median(name, n)), from.and_then(|n| median(name, n)))
            .filter(|_| from != last)
    };
    let empty = median("empty process", 0);
    let at_first = |name: &'static str| first.and_then(|n| median(name, n));
    let crowd = |name: &str| crowds.iter().find(|(n, _)| *n == name).map(|(_, c)| c);
    let per_second = |name: &str| crowd(name).and_then(Crowd::per_second);
    let p99 = |name: &str| crowd(name).and_then(|c| Times::of(&c.first)).map(|t| t.p99_us);
    let million = rebuilds.iter().find(|r| r.items == 1_000_000);
    let usual = sizes.iter().copied().rfind(|&n| n <= USUAL).or(first);
    let claim = usual.and_then(|n| median("claim", n));
    let instructions = |name| counted(counts, name, |c| c.instructions);
    let calls = |name| counted(counts, name, |c| c.system_calls);
    let less = |a: Option<f64>, b: Option<f64>| Some(a? - b?);
    let store_part = less(instructions("store claim"), instructions("store start"));
    let store_calls = less(calls("store claim"), calls("store start"));
    let failed = |name: &str| taken.failed().get(name).map(String::as_str);
    let no_sizes = "needs two sizes";
    let at_most = Target::at_most;
    let at_least = Target::at_least;
    vec![
        at_most(
            "store-claim",
            "a claim by the store alone, against the limit; worst size",
            "x",
            1.3,
        )
        .with(worst("store claim"), "no sizes"),
        at_most("store-complete", "a completion by the store alone, against the limit", "x", 1.3)
            .with(worst("store complete"), "no sizes"),
        at_most("claim", "a claim by the whole program, against the limit; worst size", "x", 1.9)
            .with(worst("claim"), "no sizes"),
        at_most("complete", "a completion by the whole program, against the limit", "x", 1.9)
            .with(worst("complete"), "no sizes"),
        at_most("growth", "a claim with the most items, against the fewest", "x", 1.25)
            .with(ends("claim", first), no_sizes),
        at_least("throughput", "many processes at once: cycles, against the limit's", "x", 0.75)
            .with(over(per_second("coord"), per_second("limit")), "no crowd"),
        at_most("p99", "many processes at once: slow claims, against the limit's", "x", 1.5)
            .with(over(p99("coord"), p99("limit")), "no crowd"),
        at_most(
            "unsynced",
            "a claim by the store alone without flush, against an empty process",
            "x",
            1.6,
        )
        .with(over(at_first("store claim unsynced"), empty), "no sizes"),
        at_most("heartbeat", "a heartbeat by the store alone, against an empty process", "x", 1.1)
            .with(over(at_first("store heartbeat"), empty), "no sizes"),
        at_most("list-growth", "`list --limit 10` with the most items, against 1,000", "x", 3.0)
            .with(ends("list --limit 10", usual), "needs a size above 1,000"),
        at_most("claim-memory", "memory of a claim with the most items", "MiB", 4.0)
            .with(claim_peak.map(mebibytes), "its memory could not be read")
            .only_if(STATIC, NOT_STATIC),
        at_most("rebuild-memory", "memory to make the index of 1,000,000 items anew", "MiB", 400.0)
            .with(million.and_then(|r| r.peak_bytes).map(mebibytes), "only with `--full`"),
        at_least("sqlite", "a claim with SQLite, against ours", "x", 3.0).with(
            over(median("sqlite claim", USUAL), claim),
            failed("sqlite claim").unwrap_or("sqlite3 is not installed"),
        ),
        at_least("script", "a claim with bash and jq at 1,000 items, against ours", "x", 50.0)
            .with(
                over(median("script claim", USUAL), claim),
                failed("script claim").unwrap_or("bash or jq is not installed"),
            ),
        at_most("store-instructions", "instructions of the store's part of a claim", "", 100_000.0)
            .with(store_part, "valgrind is not installed"),
        at_most("store-calls", "system calls of the store's part of a claim", "", 80.0)
            .with(store_calls, "strace is not installed"),
        at_most("claim-instructions", "instructions of a claim outside the store", "", 350_000.0)
            .with(less(instructions("claim"), store_part), "valgrind is not installed")
            .only_if(STATIC, NOT_STATIC),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "figures stay far below 2^52")]
fn counted(counts: &[Count], name: &str, get: fn(&Count) -> Option<u64>) -> Option<f64> {
    counts.iter().find(|c| c.name == name).and_then(get).map(|n| n as f64)
}

#[expect(clippy::cast_precision_loss, reason = "figures stay far below 2^52")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
