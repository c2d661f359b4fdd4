//! `coord cleanup`.

mod thing;

use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::backup::{self, size};
use super::{By, Context, Verb, values};
use crate::domain::time::{human_duration, parse_duration};
use crate::error::{Error, Kind, Result};
use crate::output::{Column, Screen, Shape, Table, Ui, View, line, plural};
use crate::settings::keys;
use crate::store::files::FileStore;
use crate::store::files::cleanup::{Ages, LEAST_HISTORY};
use crate::store::files::stale::LEAST_SILENCE;

/// Remove what is not needed any more, each thing shown first
///
/// Always: what killed commands left on the way, claims whose lease has run out (they go back to the
/// queue, as by the next claim), and cached answers of Claude that are too old to stand in for a failed
/// call. By age, as the settings `cleanup.history`, `cleanup.telemetry`, `cleanup.quarantine` and
/// `cleanup.agents` or the options say: history, telemetry, what a repair moved aside, silent agents.
/// Backups only when asked for.
///
/// Nothing that is unfinished is lost. Finished items, their events and the points they were worth are
/// part of the history and go with it: take a backup first. What stays can still be verified.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord cleanup --dry-run
  coord backup && coord cleanup --history-older-than 90d --yes
  coord cleanup --telemetry-older-than 7d --quarantine-older-than 30d
  coord cleanup --agents-silent-for 7d --backups-keep 5")]
pub(crate) struct Args {
    /// Remove sealed logs older than this (at least 8d), and seal the live one if items in it finished
    /// that long ago [default: cleanup.history]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    history_older_than: Option<Duration>,

    /// Remove telemetry that was put aside and is older than this [default: cleanup.telemetry]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    telemetry_older_than: Option<Duration>,

    /// Remove files that a repair moved aside and are older than this [default: cleanup.quarantine]
    ///
    /// The lines in `quarantine.jsonl` stay: `coord verify` holds the log against them.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    quarantine_older_than: Option<Duration>,

    /// Forget agents that hold nothing and were silent for longer than this (at least 1h)
    /// [default: cleanup.agents]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    agents_silent_for: Option<Duration>,

    /// Remove old backups as well, as `backup prune` does [default number that stays: backup.keep]
    #[arg(long)]
    backups: bool,

    /// The same, with how many of the newest stay
    #[arg(long, value_name = "N", value_parser = values::number, allow_negative_numbers = true)]
    backups_keep: Option<u32>,

    /// The same, but only those that are older than this
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    backups_older_than: Option<Duration>,

    /// Show each thing, and remove nothing
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    by: By,
}

#[derive(JsonSchema, Serialize)]
struct Cleaned {
    dry_run: bool,
    things: Vec<Row>,
    /// Bytes that were freed, or would be.
    bytes: u64,
}

#[derive(JsonSchema, Serialize)]
struct Row {
    /// `claim`, `agent`, `history`, `log`, `telemetry`, `quarantine`, `temporary`, `backup` or `cache`.
    kind: &'static str,
    /// What lies in the state directory is relative to it; of a claim the item, of an agent its name.
    path: String,
    bytes: u64,
    why: String,
}

impl View for Cleaned {
    const SCHEMA: &'static str = "coord.cleanup/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        if self.things.is_empty() {
            return writeln!(out, "nothing to clean");
        }
        let mut table = Table::new(vec![
            Column::new("KIND"),
            Column::new("WHAT"),
            Column::new("SIZE").right(),
            Column::new("WHY").shrinks(),
        ]);
        for row in &self.things {
            let path = line(&row.path).into_owned();
            table.row([row.kind.to_owned(), path, size(row.bytes), line(&row.why).into_owned()]);
        }
        table.write(out, screen)?;
        let deed = if self.dry_run { "would free" } else { "freed" };
        writeln!(
            out,
            "{deed} {} in {}",
            size(self.bytes),
            plural(self.things.len() as u64, "thing")
        )
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.things.iter().map(|row| serde_json::to_value(row).ok()).collect()
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Cleaned>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let wanted = self.wanted(cx)?;
        let options = cx.options(false)?;
        let store =
            if self.dry_run { FileStore::observe(options) } else { FileStore::open(options) }?;
        let op = cx.op(self.by.agent.as_ref())?;
        let found = thing::find(cx, &store, &wanted, op.now.wall)?;
        let rows: Vec<Row> = found.iter().map(thing::Thing::row).collect();
        if found.is_empty() || self.dry_run {
            cx.ui.emit(&Cleaned::of(rows, self.dry_run))?;
            return Ok(());
        }
        if !self.yes {
            if Ui::can_ask() {
                for row in &rows {
                    cx.ui.status(&format!("{}  {}  {}", row.path, size(row.bytes), row.why));
                }
                if rows.iter().any(|row| row.kind == "history") {
                    cx.ui.status(
                        "finished items of that history will be gone; `coord backup` keeps them",
                    );
                }
            }
            let bytes = rows.iter().map(|row| row.bytes).sum();
            let things = plural(found.len() as u64, "thing");
            super::agreed(cx, &format!("Remove {things} of {}?", size(bytes)))?;
        }
        let gone = thing::remove(cx, &store, found, &wanted, &op)?;
        cx.changed("what could go is gone; `coord cleanup --dry-run` shows what is left");
        cx.ui.emit(&Cleaned::of(gone, false))?;
        Ok(())
    }
}

impl Args {
    /// What may go, by the options and else by the settings.
    fn wanted(&self, cx: &mut Context) -> Result<thing::Wanted> {
        let backups =
            self.backups || self.backups_keep.is_some() || self.backups_older_than.is_some();
        let backups = backups
            .then(|| backup::Rule::of(cx, self.backups_keep, self.backups_older_than))
            .transpose()?;
        let settings = cx.settings()?;
        let set = |given: Option<Duration>, key| {
            given.map_or_else(|| settings.time(key), |t| Ok(Some(t)))
        };
        let ages = Ages {
            history: set(self.history_older_than, keys::CLEANUP_HISTORY)?,
            telemetry: set(self.telemetry_older_than, keys::CLEANUP_TELEMETRY)?,
            quarantine: set(self.quarantine_older_than, keys::CLEANUP_QUARANTINE)?,
        };
        let silence = set(self.agents_silent_for, keys::CLEANUP_AGENTS)?;
        if let Some(age) = self.history_older_than.filter(|age| *age < LEAST_HISTORY) {
            let (age, least) = (human_duration(age), human_duration(LEAST_HISTORY));
            let what = format!("history of {age} is too young to go: at least {least} stay");
            return Err(Error::new(Kind::Usage, what).hint(
                "operation ids are remembered for 7 days, so that a repetition does nothing twice",
            ));
        }
        if let Some(age) = self.agents_silent_for.filter(|age| *age < LEAST_SILENCE) {
            let (age, least) = (human_duration(age), human_duration(LEAST_SILENCE));
            let what = format!("agents that were silent for {age} are not forgotten yet");
            return Err(Error::new(Kind::Usage, what)
                .hint(format!("at least {least}; `coord agent remove ID` removes one at once")));
        }
        Ok(thing::Wanted { ages, silence, backups })
    }
}

impl Cleaned {
    fn of(things: Vec<Row>, dry_run: bool) -> Self {
        Self { dry_run, bytes: things.iter().map(|row| row.bytes).sum(), things }
    }
}
