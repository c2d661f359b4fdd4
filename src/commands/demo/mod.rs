//! `coord demo`.

mod check;
mod files;
mod report;
mod swarm;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::check::{compare, expected_result};
use self::report::{Agent, Check, Killed, Report};
use self::swarm::Ran;
use super::{Context, Verb, values};
use crate::domain::work::{Found, Query, Sort, State};
use crate::error::{Error, Kind, Result};
use crate::output::{Shape, plural};
use crate::store::files::{FileStore, Options};
use crate::store::{Event, Store, Summary};
use crate::sys::Scratch;
use crate::sys::measure::{Program, run};

/// See the whole job in a scratch store
///
/// Imports the files of an old shell system and a backlog, lets worker processes drain the queue
/// (each job computes the SHA-256 of its item's title), kills one of them with SIGKILL while it
/// works, then reads everything back from the store and compares it item by item with what was put
/// in: every item done exactly once, by the agent that held it, with the right result. Exit code 10
/// if anything differs. Touches nothing outside its scratch directory and leaves nothing behind.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord demo                  Four workers
  coord demo --agents 16      More of them
  coord demo --keep --json    For a program; the store stays to be looked at")]
pub(crate) struct Args {
    /// How many workers
    #[arg(long, value_name = "N", default_value_t = 4)]
    #[arg(value_parser = values::within::<u64, 1, 100>)]
    agents: u64,

    /// Leave the store where it is
    #[arg(long)]
    keep: bool,
}

/// What each worker runs for an item.
const JOB: &str = "sleep 0.05; printf %s \"$COORD_ITEM_TITLE\" | sha256sum | cut -c1-64";

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<report::Report>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let mut scratch = Scratch::new(None, "coord-demo", &cx.env, cx.ids.as_ref())
            .and_then(Scratch::swept)
            .map_err(failed)?;
        if self.keep {
            scratch.keep();
        }
        files::lay(scratch.path()).map_err(failed)?;
        let demo = Demo { exe: std::env::current_exe().map_err(failed)?, scratch: &scratch };
        let put_in = demo.fill(cx)?;
        let before = demo.look(cx, 0)?;
        let ran = demo.swarm(cx, self.agents, before.summary.n)?;
        let after = demo.look(cx, before.summary.n)?;
        let mut report = report(self.agents, &put_in, &before, &after, &ran);
        report.kept_in = self.keep.then(|| scratch.path().display().to_string());
        cx.ui.emit(&report)?;
        if report.ok {
            return Ok(());
        }
        let wrong = report.faults.len() + report.checks.iter().filter(|c| !c.ok).count();
        let message = format!("{} not as it should be", plural(count(wrong), "thing"));
        Err(Error::new(Kind::Problems, message)
            .hint("run it again with `--keep` and look with `coord --dir DIR work show ID`"))
    }
}

/// What was put into the store, as those told who did it.
struct PutIn {
    imported: u64,
    refused: u64,
    added: u64,
}

/// The store at one moment, read back.
struct Seen {
    items: Vec<Found>,
    summary: Summary,
    /// What the store's own counters say about everybody.
    done_by_agents: u64,
    /// The audit trail since the moment before.
    events: Vec<Event>,
    problems: Vec<String>,
}

fn report(workers: u64, put_in: &PutIn, before: &Seen, after: &Seen, ran: &Ran) -> Report {
    let checked = compare(&before.items, &after.items, &after.events);
    let open: BTreeMap<_, _> = before
        .items
        .iter()
        .filter(|f| !f.item.status.is_finished())
        .map(|f| (&f.item.id, &f.item))
        .collect();
    let right = |f: &&Found| {
        let result = f.item.result.as_deref().map(str::trim);
        open.get(&f.item.id).is_some_and(|old| result == Some(&expected_result(old)))
    };
    let points = open.values().filter_map(|item| item.points).map(u64::from).sum();
    let lines = after.events.windows(2).filter(|w| w[0].n + 1 == w[1].n).count() + 1;
    let checks = vec![
        Check::new(
            "items that are there",
            put_in.imported + put_in.added,
            count(after.items.len()),
        ),
        Check::new("open items, each done once by its holder", count(open.len()), checked.done),
        Check::new(
            "right results",
            count(open.len()),
            count(after.items.iter().filter(right).count()),
        ),
        Check::new(
            "finished items that are as they were",
            count(before.items.len() - open.len()),
            checked.untouched,
        ),
        Check::new("points", points, after.summary.points.saturating_sub(before.summary.points)),
        Check::new(
            "items that the agents count as done",
            count(open.len()),
            after.done_by_agents.saturating_sub(before.done_by_agents),
        ),
        Check::new(
            "lines of the trail without a gap",
            after.summary.n - before.summary.n,
            count(lines),
        ),
    ];
    let mut faults = checked.faults;
    faults.extend(after.problems.iter().cloned());
    let ok = faults.is_empty() && checks.iter().all(|c| c.ok);
    let seconds = ran.time.as_secs_f64();
    Report {
        workers,
        imported: put_in.imported,
        refused: put_in.refused,
        added: put_in.added,
        done: checked.done,
        points: checked.points,
        killed: ran.killed.map(|pid| Killed {
            pid,
            items: checked.again.iter().map(ToString::to_string).collect(),
        }),
        duration_s: (seconds * 1000.0).round() / 1000.0,
        #[expect(clippy::cast_precision_loss, reason = "some hundred items")]
        items_per_s: (checked.done as f64 / seconds.max(0.001) * 10.0).round() / 10.0,
        agents: checked
            .agents
            .iter()
            .map(|(id, done)| Agent { id: id.to_string(), done: *done })
            .collect(),
        checks,
        faults,
        ok,
        kept_in: None,
    }
}

/// The scratch store and the program that works on it.
struct Demo<'a> {
    exe: PathBuf,
    scratch: &'a Scratch,
}

impl Demo<'_> {
    fn dir(&self) -> PathBuf {
        self.scratch.path().join("store")
    }

    fn coord(&self, words: &[&str]) -> Program {
        Program::new(&self.exe)
            .env("COORD_DIR", self.dir())
            .env("HOME", self.scratch.path())
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .args(words)
    }

    /// Puts the work in, by the commands that a user would type.
    fn fill(&self, cx: &mut Context) -> Result<PutIn> {
        cx.ui.status("> coord import examples/legacy");
        let legacy = self.scratch.path().join("legacy");
        let import = self.coord(&["--json", "import"]).args([legacy.as_os_str()]);
        let report: ImportReport = Self::answer(cx, &import, &[0, 10])?;
        let refused = report.files.iter().map(|f| f.refused.len()).sum();
        let refused = count(refused);
        let put = plural(report.items.added, "item");
        cx.ui.status(&format!(
            "  {put}, {}; {} refused: they are damaged on purpose",
            plural(report.agents.added, "agent"),
            plural(refused, "record"),
        ));
        cx.ui.status("> coord work add < examples/backlog.jsonl");
        let backlog = self.scratch.path().join(files::BACKLOG.0);
        let _: serde_json::Value =
            Self::answer(cx, &self.coord(&["--json", "work", "add"]).stdin(backlog), &[0])?;
        let added = count(files::BACKLOG.1.lines().filter(|l| !l.trim().is_empty()).count());
        cx.ui.status(&format!("  {}", plural(added, "item")));
        Ok(PutIn { imported: report.items.added, refused, added })
    }

    /// Drains the queue; a worker is killed when a third of it is done.
    fn swarm(&self, cx: &mut Context, workers: u64, since: u64) -> Result<Ran> {
        let number = workers.to_string();
        let words =
            ["swarm", "run", "--agents", &number, "--until-empty", "--capability", "deploy"];
        cx.ui.status(&format!("> coord {} -- sh -c '{JOB}'", words.join(" ")));
        let program = self.coord(&words).args(["--", "sh", "-c", JOB]).shown();
        let store = self.open(cx)?;
        let all = store.summary().map_err(failed)?;
        let third =
            all.count(State::Done) + (all.count(State::Pending) + all.count(State::Blocked)) / 3;
        let ran = swarm::run(&program, cx.clock.as_ref(), || {
            store.summary().is_ok_and(|now| now.n > since && now.count(State::Done) >= third)
        })?;
        if let Some(pid) = ran.killed {
            cx.ui.status(&format!("  process {pid} was killed with `kill -9` while it worked"));
        }
        Ok(ran)
    }

    /// Runs a command to its end and reads its answer.
    fn answer<T: DeserializeOwned>(cx: &Context, program: &Program, good: &[i32]) -> Result<T> {
        #[derive(Deserialize)]
        struct Envelope<T> {
            data: T,
        }
        let ran = run(program, cx.clock.as_ref()).map_err(failed)?;
        if !ran.code.is_some_and(|code| good.contains(&code)) {
            let code = ran.code.map_or("a signal".to_owned(), |c| format!("exit code {c}"));
            let message = format!("`{}` ended with {code}", program.words());
            return Err(Error::new(Kind::External, message));
        }
        serde_json::from_str(&ran.answer).map(|envelope: Envelope<T>| envelope.data).map_err(failed)
    }

    fn open(&self, cx: &Context) -> Result<FileStore> {
        FileStore::open(Options {
            dir: self.dir(),
            create: false,
            trust_dir: false,
            lock_timeout: Duration::from_secs(10),
            sync: true,
            command: "demo".to_owned(),
            clock: Arc::clone(&cx.clock),
        })
        .map_err(failed)
    }

    /// Reads everything back from the disk.
    fn look(&self, cx: &mut Context, since: u64) -> Result<Seen> {
        let op = cx.op(None)?;
        let mut store = self.open(cx)?;
        let query = Query { all: true, sort: Sort::Created, ..Query::default() };
        let mut events = Vec::new();
        store
            .events(since, &mut |event| {
                events.push(event.clone());
                true
            })
            .map_err(failed)?;
        let agents = store.agents().map_err(failed)?;
        Ok(Seen {
            items: store.find(&query).map_err(failed)?.items,
            summary: store.summary().map_err(failed)?,
            done_by_agents: agents.iter().map(|a| a.done).sum(),
            events,
            problems: store
                .verify(false, &op)
                .map_err(failed)?
                .problems
                .iter()
                .map(ToString::to_string)
                .collect(),
        })
    }
}

/// The part of an import's report that is needed here.
#[derive(Deserialize)]
struct ImportReport {
    items: Tally,
    agents: Tally,
    files: Vec<ImportedFile>,
}

#[derive(Deserialize)]
struct Tally {
    added: u64,
}

#[derive(Deserialize)]
struct ImportedFile {
    refused: Vec<serde_json::Value>,
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn failed(cause: impl Into<anyhow::Error>) -> Error {
    Error::new(Kind::External, "the demonstration cannot go on")
        .caused_by(cause)
        .hint("`TMPDIR` says where its scratch store is made")
}
