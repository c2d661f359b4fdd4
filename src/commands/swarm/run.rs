//! `coord swarm run`.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::supervisor::{MOST, Supervisor};
use crate::commands::agent::Wishes;
use crate::commands::guard;
use crate::commands::{Context, Verb, values};
use crate::domain::name::AgentId;
use crate::domain::time::human_duration;
use crate::error::{Error, Kind, Result};
use crate::output::{Column, Screen, Shape, Table, View, plural};

/// Run many workers: start them, watch them, restart what dies, stop them
///
/// Each worker is a `coord agent run` with its own process and its own agent id, `PREFIX-1`,
/// `PREFIX-2` and so on. A worker that dies is started again after a pause that grows; what it held
/// goes back to the queue at once, with the attempt counted. One that dies at once five times in a
/// row is given up. SIGUSR1 adds a worker, SIGUSR2 lets one finish its item and end. On SIGTERM or
/// SIGINT the workers end their programs, give their items back and end. The report at the end is
/// read from the store.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord swarm run --agents 8 --until-empty -- ./build.sh
  coord swarm run --agents 4 --type bug --timeout 30m -- python3 handle.py
  kill -USR1 PID                                      One worker more")]
pub(super) struct Args {
    /// How many workers
    #[arg(long, short = 'n', value_name = "N", value_parser = values::count,
        allow_negative_numbers = true)]
    agents: usize,

    /// End when nothing is left that the workers could do
    #[arg(long)]
    until_empty: bool,

    /// What the ids of the workers begin with [default: a fresh `swarm-…`]
    #[arg(long, value_name = "NAME")]
    prefix: Option<AgentId>,

    #[command(flatten)]
    wishes: Wishes,

    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// What a swarm did, as the store has it.
#[derive(JsonSchema, Serialize)]
pub(super) struct Report {
    pub(super) agents: usize,
    /// Items that ended well, ended badly for good, or ran out of attempts since the start.
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) dead: u64,
    /// Items that are still open.
    pub(super) open: u64,
    pub(super) restarts: u64,
    pub(super) given_up: usize,
    pub(super) elapsed_s: f64,
    pub(super) items_per_s: Option<f64>,
    pub(super) stopped_by: Option<&'static str>,
    pub(super) workers: Vec<Row>,
}

/// One worker of it.
#[derive(JsonSchema, Serialize)]
pub(super) struct Row {
    pub(super) agent: String,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) points: u64,
    pub(super) restarts: u64,
    pub(super) given_up: bool,
}

impl View for Report {
    const SCHEMA: &'static str = "coord.swarm.run/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        let mut table = Table::new(vec![
            Column::new("AGENT"),
            Column::new("DONE").right(),
            Column::new("FAILED").right(),
            Column::new("POINTS").right(),
            Column::new("RESTARTS").right(),
            Column::new(""),
        ]);
        for row in &self.workers {
            table.row([
                row.agent.clone(),
                row.done.to_string(),
                row.failed.to_string(),
                row.points.to_string(),
                row.restarts.to_string(),
                if row.given_up { "given up".to_owned() } else { String::new() },
            ]);
        }
        table.write(out, screen)?;
        let time = human_duration(Duration::try_from_secs_f64(self.elapsed_s).unwrap_or_default());
        let rate = self.items_per_s.map(|r| format!(", {r:.1} items a second"));
        writeln!(
            out,
            "{} done, {} failed, {} dead, {} open in {time}{}; {}",
            self.done,
            self.failed,
            self.dead,
            self.open,
            rate.unwrap_or_default(),
            plural(self.restarts, "restart")
        )
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.workers.iter().map(|row| serde_json::to_value(row).ok()).collect()
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Report>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        guard::check_lease(self.wishes.lease)?;
        guard::check_program(cx, &self.command)?;
        if self.agents > MOST {
            let message = format!("`--agents` is {}, expected 1 to {MOST}", self.agents);
            return Err(Error::new(Kind::Usage, message)
                .hint("run a second swarm with another `--prefix` if that is really meant"));
        }
        let prefix = match &self.prefix {
            Some(prefix) => prefix.to_string(),
            None => format!("swarm-{:08x}", cx.ids.bits() & 0xffff_ffff),
        };
        let worker = self.worker(cx)?;
        let mut swarm = Supervisor::new(cx, prefix, worker, self.wishes.grace, self.agents)?;
        let stop = swarm.run(cx)?;
        let report = swarm.report(cx, stop)?;
        let given_up = report.given_up;
        cx.ui.emit(&report)?;
        match stop {
            Some(stop) => Err(guard::stopped(stop, "; the workers have ended")),
            None if given_up > 0 => Err(swarm.gave_up()),
            None => Ok(()),
        }
    }
}

impl Args {
    /// The command line of a worker, but for its name and the program.
    fn worker(&self, cx: &mut Context) -> Result<Worker> {
        let dir = cx.place()?.dir;
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        let mut head: Vec<OsString> = ["agent", "run", "--quiet", "--dir"].map(Into::into).into();
        head.push(dir.into_os_string());
        let mut flag = |name: &str, value: String| head.extend([name.into(), value.into()]);
        let ms = |time: Duration| format!("{}ms", time.as_millis());
        let wishes = &self.wishes;
        if let Some(team) = &wishes.team {
            flag("--team", team.to_string());
        }
        if let Some(kind) = &wishes.kind {
            flag("--type", kind.to_string());
        }
        for label in &wishes.labels {
            flag("--label", label.to_string());
        }
        for capability in &wishes.capabilities {
            flag("--capability", capability.to_string());
        }
        flag("--lease", ms(wishes.lease));
        flag("--grace", ms(wishes.grace));
        if let Some(timeout) = wishes.timeout {
            flag("--timeout", ms(timeout));
        }
        if let Some(timeout) = cx.flags.lock_timeout {
            flag("--lock-timeout", ms(timeout));
        }
        if cx.flags.trust_dir {
            head.push("--trust-dir".into());
        }
        if cx.flags.no_telemetry {
            head.push("--no-telemetry".into());
        }
        if self.until_empty {
            head.push("--until-empty".into());
        }
        Ok(Worker { head, command: self.command.clone() })
    }
}

/// How a worker is started.
pub(super) struct Worker {
    head: Vec<OsString>,
    command: Vec<OsString>,
}

impl Worker {
    /// The command line of the worker that is this agent. The program is this very binary, even if
    /// its file was replaced meanwhile.
    pub(super) fn argv(&self, agent: &AgentId) -> Vec<OsString> {
        let mut argv: Vec<OsString> = vec!["/proc/self/exe".into()];
        argv.extend(self.head.iter().cloned());
        argv.extend(["--agent".into(), agent.as_str().into(), "--".into()]);
        argv.extend(self.command.iter().cloned());
        argv
    }
}
