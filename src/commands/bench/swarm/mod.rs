//! `coord bench swarm`.

mod agents;
mod figures;
mod receipts;
mod report;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::agents::{Done, Manner, work};
use self::figures::{figures, phase, targets};
use self::receipts::{Checked, Trail, Written, check};
use self::report::{Failed, Memory, Phase, SwarmReport};
use super::args::{Judging, Place};
use super::report::{Machine, cores};
use super::stage::{Coord, answer, failed, op, open};
use super::yardstick::Yardstick;
use crate::commands::{Context, Verb, values};
use crate::domain::time::parse_duration;
use crate::domain::work::{Query, Sort};
use crate::error::{Error, Kind, Result};
use crate::output::{Shape, plural};
use crate::store::Store as _;
use crate::sys::measure::{Spent, load, own_peak, peak_memory, run, settle, spent};
use crate::sys::signal::{Signals, Stop};

/// Measure the whole: many agents, many items, real processes, and nothing lost
///
/// Each agent does what an agent's script does: one `coord` process after another. First they work
/// at a pace: each begins a cycle every so often (claim, work, progress, heartbeat, complete, add
/// one more), and times count from when a claim was due, so that a pause of the machine is not
/// measured by one agent alone. Then they drain the queue without a pause. In the end the store is
/// read back and compared with every answer that the agents were given: anything that is lost or
/// done twice is exit code 10.
///
/// With `--baseline` a figure is called worse only if its ten slices differ from those of the saved
/// run by more than chance allows (rank test at 1 %, and a 95 % interval of the ratio without 1)
/// and by more than the tolerance; what cannot be told is "no difference seen".
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coord bench swarm                               100 agents, 10,000 items, about a minute
  coord bench swarm --agents 8 --items 500 --for 5s
  coord bench swarm --for 10m                     Endurance: does it change with time?
  coord bench swarm --check                       Exit with 10 if a target is missed
  coord bench swarm --save base.json              Keep the figures…
  coord bench swarm --baseline base.json          …and exit 10 if they have become worse")]
pub(crate) struct Args {
    /// How many agents
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    #[arg(value_parser = values::within::<u64, 1, 1000>)]
    agents: u64,

    /// How many items are queued at first
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = values::within::<u64, 1, 1_000_000>)]
    items: u64,

    /// How long a paced agent works on an item
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = parse_duration)]
    work: Duration,

    /// From the beginning of one cycle of a paced agent to that of the next
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pace: Duration,

    /// How long the paced agents go on
    #[arg(long = "for", value_name = "TIME", default_value = "20s", value_parser = parse_duration)]
    time: Duration,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    judging: Judging,
}

/// Parts of a phase, each of which gives a value to compare.
const SLICES: usize = 10;

/// How long a command may take that is watched for its memory.
const PATIENCE: Duration = Duration::from_mins(2);

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<SwarmReport>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        if self.work >= self.pace {
            return Err(Error::new(Kind::Usage, "`--work` must take less time than `--pace`")
                .hint("an agent that works longer than its pace could not keep it"));
        }
        if self.time < self.pace {
            return Err(Error::new(Kind::Usage, "`--for` must be at least `--pace`")
                .hint("each agent begins a cycle every `--pace`, as long as `--for` says"));
        }
        let load = load();
        let conditions = format!(
            "{} agents, {} items, {} ms of work each {} ms for {} s, {} cores",
            self.agents,
            self.items,
            whole_ms(self.work),
            whole_ms(self.pace),
            self.time.as_secs_f64(),
            cores(),
        );
        let before = self.judging.before::<SwarmReport>(&conditions)?;
        let signals = Signals::catch().map_err(failed)?;
        let scratch = self.place.scratch(cx)?;
        let exe = std::env::current_exe().map_err(failed)?;
        let bench = Bench {
            coord: Coord::new(&exe, &scratch.path().join("store")).spoilt(&cx.env),
            dir: scratch.path().join("store"),
            agents: self.agents,
            signals,
        };
        let input = scratch.path().join("items.jsonl");
        let mut put_in = bench.fill(cx, self.items, &input)?;
        let paced = Manner::Paced { every: self.pace, time: self.time, work: self.work };
        let cycles = u64::try_from(self.time.as_nanos() / self.pace.as_nanos()).unwrap_or(u64::MAX);
        let mut phases = Vec::new();
        let (paced, phase) = bench.phase(cx, "paced", paced, cycles.saturating_mul(self.agents))?;
        phases.push(phase);
        let mut flat = Done::default();
        if paced.gave_up.is_none() {
            let (done, phase) = bench.phase(cx, "flat-out", Manner::FlatOut, self.items)?;
            flat = done;
            phases.push(phase);
        }
        // What follows is the examiner's, who needs to know everything at once.
        let own = own_peak();
        put_in.extend(paced.added.iter().cloned());
        let (check, verified) = bench.read_back(cx, &put_in, &paced, &flat)?;
        let gave_up = paced.gave_up.clone().or_else(|| flat.gave_up.clone());
        // Commands that fail have no memory worth a figure.
        let memory = if gave_up.is_none() { bench.memory(cx, &input, own)? } else { Vec::new() };
        let figures = figures(&paced, &phases);
        let errors: Vec<_> = [&paced, &flat]
            .into_iter()
            .flat_map(|done| &done.errors)
            .map(|((operation, ended), count)| Failed {
                operation,
                ended: ended.clone(),
                count: *count,
            })
            .collect();
        let report = SwarmReport {
            machine: Machine::here(&Yardstick::find(&exe), scratch.path(), load)?,
            agents: self.agents,
            items: self.items,
            work_ms: whole_ms(self.work),
            pace_ms: whole_ms(self.pace),
            conditions,
            targets: targets(&phases, &memory, &check, &errors),
            phases,
            gave_up,
            memory,
            verified,
            errors,
            compared: self.judging.compare(before.as_ref(), &figures),
            figures,
            check,
            kept_in: self.place.kept_in(&scratch),
        };
        self.judging.show(cx, &report)?;
        let wrong = report.check.lost + report.check.doubled;
        if wrong > 0 || !report.verified {
            let message = match wrong {
                0 => "the audit trail is not sound".to_owned(),
                wrong => format!("{} lost or doubled", plural(wrong, "item")),
            };
            return Err(Error::new(Kind::Problems, message)
                .hint("measure again with `--keep`, and please report it with the store"));
        }
        self.judging.judge(&report.compared, &[], &report.targets)
    }
}

struct Bench {
    coord: Coord,
    dir: PathBuf,
    agents: u64,
    signals: Signals,
}

impl Bench {
    /// Queues items by one command, as a user would; gives the ids that it acknowledged.
    fn fill(&self, cx: &Context, items: u64, input: &PathBuf) -> Result<Vec<String>> {
        const PRIORITIES: [&str; 4] = ["high", "medium", "medium", "low"];
        let mut lines = String::new();
        for (k, priority) in (1..=items).zip(PRIORITIES.iter().cycle()) {
            let _ = writeln!(
                lines,
                "{{\"title\":\"Mend the flaky import of customer records, part {k}\",\
                 \"priority\":\"{priority}\",\"type\":\"bug\",\"points\":3}}"
            );
        }
        File::create(input).and_then(|mut f| f.write_all(lines.as_bytes())).map_err(failed)?;
        let add = self.coord.whole(&["add", "-q"]).stdin(input);
        let added = answer(&run(&add, cx.clock.as_ref()).map_err(failed)?, &add)?;
        settle();
        Ok(added.lines().map(str::to_owned).collect())
    }

    /// Lets the agents work, and sums up.
    fn phase(
        &self,
        cx: &mut Context,
        name: &'static str,
        manner: Manner,
        cycles: u64,
    ) -> Result<(Done, Phase)> {
        let mut progress = cx.ui.progress(cycles, name, cx.clock.monotonic());
        let before = spent();
        let clock = Arc::clone(&cx.clock);
        let look = |done| {
            progress.set(done, cycles.max(done), clock.monotonic());
            self.signals.take_stop().map_or(Ok(()), |stop| Err(stopped(stop)))
        };
        let done = work(&self.coord, self.agents, manner, clock.as_ref(), look);
        progress.finish();
        let done = done?;
        let used = |(b, a): (Spent, Spent)| a.children.saturating_sub(b.children);
        let cpu = before.zip(spent()).map(used);
        let phase = phase(name, &done, manner, cpu.map(|cpu| cpu.as_secs_f64()));
        Ok((done, phase))
    }

    /// Compares the store with what the agents were told, and checks its audit trail.
    fn read_back(
        &self,
        cx: &Context,
        put_in: &[String],
        paced: &Done,
        flat: &Done,
    ) -> Result<(Checked, bool)> {
        let opened = open(&self.dir, false, true, Arc::clone(&cx.clock));
        let mut store = opened.map_err(|e| e.of_kind(Kind::Problems))?;
        let query = Query { all: true, sort: Sort::Created, ..Query::default() };
        let items = store.find(&query).map_err(unreadable)?.items;
        let mut trail = Trail::default();
        let mut see = |event: &crate::store::Event| {
            trail.see(event);
            true
        };
        store.events(0, &mut see).map_err(unreadable)?;
        let receipts: Vec<_> = paced.receipts.iter().chain(&flat.receipts).cloned().collect();
        let verified =
            store.verify(false, &op(cx.clock.as_ref(), cx.ids.as_ref())?).map_err(unreadable)?;
        let last = store.summary().map_err(unreadable)?.n;
        let written = Written { last, sealed: verified.files.saturating_sub(1) };
        Ok((check(put_in, &receipts, &items, &trail, written), verified.problems.is_empty()))
    }

    /// The memory of each command, and of this one.
    fn memory(&self, cx: &Context, input: &PathBuf, own: Option<u64>) -> Result<Vec<Memory>> {
        let batch = self.coord.whole(&["add", "-q"]).stdin(input);
        let mut memory = vec![Memory {
            command: "coord bench swarm, with its agents".to_owned(),
            peak_bytes: own,
        }];
        let mut watch = |command: &str, program| -> Result<()> {
            let peak_bytes = peak_memory(&program, PATIENCE, cx.clock.as_ref()).map_err(failed)?;
            memory.push(Memory { command: format!("coord {command}"), peak_bytes });
            Ok(())
        };
        watch("add, all items at once", batch)?;
        let held = self.coord.whole(&["claim", "-q"]);
        let id = answer(&run(&held, cx.clock.as_ref()).map_err(failed)?, &held)?;
        for words in [
            &["add", "One more"][..],
            &["claim"],
            &["progress", &id, "50"],
            &["agent", "heartbeat"],
            &["complete", &id],
            &["status"],
            &["work", "list"],
            &["verify"],
        ] {
            let name: Vec<_> = words.iter().filter(|word| **word != id).copied().collect();
            watch(&name.join(" "), self.coord.whole(words))?;
        }
        Ok(memory)
    }
}

/// A store that holds the answers no more is what is looked for.
fn unreadable(cause: crate::store::Error) -> Error {
    Error::new(Kind::Problems, "the store cannot be read back after the run")
        .caused_by(cause)
        .hint("measure again with `--keep`, and please report it with the store")
}

fn stopped(stop: Stop) -> Error {
    let kind = match stop {
        Stop::Interrupt => Kind::Interrupted,
        Stop::Terminate => Kind::Terminated,
    };
    Error::new(kind, format!("stopped by {} before all was measured", stop.name()))
        .hint("nothing is left of it; a smaller `--items` or `--for` takes less time")
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
