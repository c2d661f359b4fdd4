//! `coord agent run`.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::worker::{Outcome, Worker};
use crate::commands::guard::{self, GRACE};
use crate::commands::{By, Context, Verb, values};
use crate::domain::name::{Team, Word};
use crate::domain::time::{human_duration, parse_duration};
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, plural};

/// What work a worker takes, and how long it may take over it: the same for one and for many.
#[derive(clap::Args, Clone, Debug)]
pub(in crate::commands) struct Wishes {
    /// Only work of this team
    #[arg(long, value_name = "NAME")]
    pub(in crate::commands) team: Option<Team>,

    /// Only work of this type
    #[arg(long = "type", value_name = "NAME")]
    pub(in crate::commands) kind: Option<Word>,

    /// Only work with this label; more than once: with all of them
    #[arg(long = "label", value_name = "NAME")]
    pub(in crate::commands) labels: Vec<Word>,

    /// Something the agent can do, besides what it registered
    #[arg(long = "capability", value_name = "NAME")]
    pub(in crate::commands) capabilities: Vec<Word>,

    /// How long a claim holds; it is renewed while the program runs
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "5m")]
    pub(in crate::commands) lease: Duration,

    /// How long the program may take over one item [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(in crate::commands) timeout: Option<Duration>,

    /// How long the program has to end when it is asked to
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = GRACE)]
    pub(in crate::commands) grace: Duration,
}

/// Work as an agent: claim an item, run a program on it, finish it, and so on
///
/// The program gets the item as JSON on standard input, and `COORD_ITEM_ID`, `COORD_ITEM_TITLE`,
/// `COORD_TOKEN`, `COORD_AGENT`, `COORD_ATTEMPT` and `COORD_DIR` in its environment, so that
/// `coord progress 40` inside it is about this item. It is started without a shell, and nothing of
/// the item becomes part of its command line. Exit code 0 completes the item, with the last lines
/// of standard output as its result; anything else fails it: it is queued again while it has
/// attempts left.
///
/// The lease is renewed while the program runs. If it is lost all the same, the program is killed.
/// On SIGTERM or SIGINT the program is ended and its item given back; on SIGUSR2 the worker finishes
/// its item and then ends. When the worker itself is killed, so is the program, though not what the
/// program has started on its own.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord agent run --until-empty -- ./build.sh        Until nothing is left to do
  coord agent run --once -- python3 handle.py        One item; hands on the exit code
  coord agent run --type bug --timeout 30m -- sh -c 'fix \"$COORD_ITEM_ID\"'")]
pub(super) struct Args {
    #[command(flatten)]
    by: By,

    #[command(flatten)]
    wishes: Wishes,

    /// Take one item only; exit code 6 if there is none
    #[arg(long, conflicts_with_all = ["until_empty", "max", "idle_timeout"])]
    once: bool,

    /// End when nothing is left that this worker could do
    #[arg(long)]
    until_empty: bool,

    /// End after this many items
    #[arg(long, value_name = "N", value_parser = values::count, allow_negative_numbers = true)]
    max: Option<usize>,

    /// End after this long without anything to do
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    idle_timeout: Option<Duration>,

    /// Show what the program prints, on standard error
    #[arg(long)]
    show: bool,

    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// What a worker did.
#[derive(JsonSchema, Serialize)]
pub(super) struct Report {
    pub(super) agent: String,
    pub(super) taken: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) released: u64,
    pub(super) lost: u64,
    pub(super) elapsed_s: f64,
    /// The last of them.
    pub(super) items: Vec<Handled>,
}

/// What became of one item.
#[derive(Clone, JsonSchema, Serialize)]
pub(super) struct Handled {
    pub(super) id: String,
    pub(super) attempt: u32,
    pub(super) outcome: Outcome,
    /// Where it stands now, if this worker could still say so.
    pub(super) status: Option<&'static str>,
    pub(super) exit_code: Option<u8>,
    pub(super) duration_s: f64,
    /// How much of what the program printed was not kept.
    pub(super) output_cut_bytes: u64,
    pub(super) result: Option<String>,
}

impl View for Report {
    const SCHEMA: &'static str = "coord.agent.run/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let time = human_duration(Duration::try_from_secs_f64(self.elapsed_s).unwrap_or_default());
        let items = plural(self.taken, "item");
        writeln!(
            out,
            "{} took {items} in {time}: {} done, {} failed, {} given back, {} lost",
            self.agent, self.done, self.failed, self.released, self.lost
        )
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.items.iter().map(|item| serde_json::to_value(item).ok()).collect()
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Report>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        guard::check_lease(self.wishes.lease)?;
        guard::check_program(cx, &self.command)?;
        let agent = cx.agent(self.by.agent.as_ref())?;
        let max = if self.once { Some(1) } else { self.max.map(|max| max as u64) };
        let mut worker = Worker::new(cx, agent, self.wishes, self.command, self.show)?;
        let ended = worker.work(cx, self.once, self.until_empty, max, self.idle_timeout);
        let report = worker.report(cx);
        match ended {
            Ok(stop) => {
                let last = report.items.last().cloned();
                cx.ui.emit(&report)?;
                if let Some((stop, what)) = stop {
                    return Err(guard::stopped(stop, &what));
                }
                match last {
                    Some(last) if self.once && last.outcome != Outcome::Done => Err(one(&last)),
                    _ => Ok(()),
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// The end of a worker that took one item which did not end well.
fn one(last: &Handled) -> Error {
    let id = &last.id;
    match (last.outcome, last.exit_code) {
        (Outcome::Lost, _) => Error::new(Kind::Conflict, format!("the claim on `{id}` was lost"))
            .hint(format!("`coord work show {id}` tells who has it now")),
        (Outcome::TimedOut, _) => Error::new(Kind::Timeout, format!("`{id}` took too long"))
            .hint("give it more time with `--timeout`"),
        (_, code) => {
            let code = code.filter(|code| *code != 0).unwrap_or(1);
            Error::new(Kind::Child(code), format!("`{id}` failed with exit code {code}"))
                .hint(format!("`coord work show {id}` has the end of what it printed"))
        }
    }
}
