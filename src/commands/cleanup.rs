//! `coord cleanup`.

use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::backup::size;
use super::{By, Context, Verb};
use crate::domain::time::{human_duration, parse_duration};
use crate::error::{Error, Kind, Result};
use crate::output::{Column, Screen, Shape, Table, Ui, View, line, plural};
use crate::settings::keys;
use crate::store::files::FileStore;
use crate::store::files::cleanup::{Ages, LEAST_HISTORY, Thing};

/// Remove what the store does not need any more, each thing shown first
///
/// What is old is said by the settings `cleanup.history`, `cleanup.telemetry` and `cleanup.quarantine`,
/// or here. Open items are never touched. Finished items, their events and the points they were worth
/// are part of the history and go with it: take a backup first. What stays can still be verified. Other
/// things have their own commands: `coord backup prune`, `coord claude cache purge`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord cleanup --dry-run
  coord backup && coord cleanup --history-older-than 90d --yes
  coord cleanup --telemetry-older-than 7d --quarantine-older-than 30d")]
pub(crate) struct Args {
    /// Remove sealed logs older than this (at least 8d) [default: cleanup.history]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    history_older_than: Option<Duration>,

    /// Remove telemetry that was put aside and is older than this [default: cleanup.telemetry]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    telemetry_older_than: Option<Duration>,

    /// Remove what a repair moved aside and is older than this [default: cleanup.quarantine]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    quarantine_older_than: Option<Duration>,

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
    /// `history`, `telemetry`, `quarantine` or `temporary`.
    kind: &'static str,
    path: String,
    bytes: u64,
    why: String,
}

impl View for Cleaned {
    const SCHEMA: &'static str = "coord.cleanup/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        if self.things.is_empty() {
            return writeln!(out, "nothing to clean up");
        }
        let mut table = Table::new(vec![
            Column::new("KIND"),
            Column::new("PATH"),
            Column::new("SIZE").right(),
            Column::new("WHY").shrinks(),
        ]);
        for row in &self.things {
            let path = line(&row.path).into_owned();
            table.row([row.kind.to_owned(), path, size(row.bytes), line(&row.why).into_owned()]);
        }
        table.write(out, screen)?;
        let deed = if self.dry_run { "would free" } else { "freed" };
        writeln!(out, "{deed} {} in {}", size(self.bytes), plural(self.things.len() as u64, "file"))
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.things.iter().map(|row| serde_json::to_value(row).ok()).collect()
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Cleaned>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let settings = cx.settings()?;
        let set = |given: Option<Duration>, key| {
            given.map_or_else(|| settings.time(key), |t| Ok(Some(t)))
        };
        let ages = Ages {
            history: set(self.history_older_than, keys::CLEANUP_HISTORY)?,
            telemetry: set(self.telemetry_older_than, keys::CLEANUP_TELEMETRY)?,
            quarantine: set(self.quarantine_older_than, keys::CLEANUP_QUARANTINE)?,
        };
        if let Some(age) = self.history_older_than.filter(|age| *age < LEAST_HISTORY) {
            let (age, least) = (human_duration(age), human_duration(LEAST_HISTORY));
            let what = format!("history of {age} is too young to go: at least {least} stay");
            return Err(Error::new(Kind::Usage, what).hint(
                "operation ids are remembered for 7 days, so that a repetition does nothing twice",
            ));
        }
        let store = FileStore::open(cx.options(false)?)?;
        let op = cx.op(self.by.agent.as_ref())?;
        let found = store.disposable(ages, op.now.wall)?;
        if found.is_empty() || self.dry_run {
            cx.ui.emit(&shown(&found, self.dry_run))?;
            return Ok(());
        }
        if !self.yes {
            let bytes = found.iter().map(|thing| thing.bytes).sum();
            if Ui::can_ask() {
                for thing in &found {
                    cx.ui.status(&format!("{}  {}  {}", thing.path, size(thing.bytes), thing.why));
                }
                if found.iter().any(|thing| thing.path.starts_with("history/")) {
                    cx.ui.status(
                        "finished items of that history will be gone; `coord backup` keeps them",
                    );
                }
            }
            let files = plural(found.len() as u64, "file");
            super::agreed(cx, &format!("Remove {files} of {}?", size(bytes)))?;
        }
        let gone = store.dispose(&found, &op)?;
        cx.ui.emit(&shown(&gone, false))?;
        Ok(())
    }
}

fn shown(things: &[Thing], dry_run: bool) -> Cleaned {
    let rows = things.iter().map(|thing| Row {
        kind: thing.kind.as_str(),
        path: thing.path.clone(),
        bytes: thing.bytes,
        why: thing.why.clone(),
    });
    let bytes = things.iter().map(|thing| thing.bytes).sum();
    Cleaned { dry_run, things: rows.collect(), bytes }
}
