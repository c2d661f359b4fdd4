//! `coord lock list`.

use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::commands::{Context, Verb};
use crate::domain::time::{human_duration, rfc3339};
use crate::error::Result;
use crate::output::{Column, Screen, Shape, Table, View};

/// List the named locks that are held now
///
/// On a pipe the columns are name, holder, token, seconds left, since when and the note, separated
/// by tabs.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord lock list
  coord lock list --json | jq -r '.data.locks[] | .name + \" \" + .holder'")]
pub(super) struct Args {}

#[derive(JsonSchema, Serialize)]
struct List {
    locks: Vec<Row>,
}

#[derive(JsonSchema, Serialize)]
struct Row {
    name: String,
    holder: String,
    token: u64,
    lease_left_s: f64,
    since: String,
    until: String,
    note: Option<String>,
}

impl View for List {
    const SCHEMA: &'static str = "coord.lock.list/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        if self.locks.is_empty() {
            return match screen.width {
                Some(_) => writeln!(out, "no lock is held"),
                None => Ok(()),
            };
        }
        let mut table = Table::new(vec![
            Column::new("NAME"),
            Column::new("HOLDER"),
            Column::new("TOKEN").right(),
            Column::new("LEFT").right(),
            Column::new("SINCE"),
            Column::new("NOTE").shrinks(),
        ]);
        for row in &self.locks {
            let left = Duration::try_from_secs_f64(row.lease_left_s).unwrap_or_default();
            table.row([
                row.name.clone(),
                row.holder.clone(),
                row.token.to_string(),
                match screen.width {
                    Some(_) => human_duration(left),
                    None => left.as_secs().to_string(),
                },
                row.since.clone(),
                row.note.clone().unwrap_or_default(),
            ]);
        }
        table.write(out, screen)
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.locks.iter().try_for_each(|row| writeln!(out, "{}", row.name))
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.locks.iter().map(|row| serde_json::to_value(row).ok()).collect()
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<List>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let op = cx.op(None)?;
        let locks = cx.reader()?.locks(&op)?.into_iter().map(|lock| Row {
            name: lock.name.to_string(),
            holder: lock.holder.to_string(),
            token: lock.token,
            lease_left_s: lock.lease.left(op.now).unwrap_or_default().as_secs_f64(),
            since: rfc3339(lock.since),
            until: rfc3339(lock.lease.until),
            note: lock.note,
        });
        let list = List { locks: locks.collect() };
        cx.ui.emit(&list)?;
        Ok(())
    }
}
