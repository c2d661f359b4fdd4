//! `coord backup list`.

use std::io;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::{all, file_name, own, place, size, tell_path};
use crate::commands::{Context, Verb};
use crate::error::Result;
use crate::output::{Column, Screen, Shape, Table, View, line};

/// List the backups of this store, the newest first
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord backup list
  coord backup list --from /mnt/safe
  coord restore \"$(coord backup list -q | head -1)\"")]
pub(crate) struct Args {
    /// The directory to look in [default: where backups of this store go]
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
}

#[derive(JsonSchema, Serialize)]
struct List {
    /// Where was looked.
    dir: String,
    backups: Vec<Row>,
    #[serde(skip)]
    watched: bool,
}

#[derive(JsonSchema, Serialize)]
struct Row {
    #[serde(skip)]
    raw: PathBuf,
    path: String,
    name: String,
    bytes: u64,
    at: Option<String>,
    n: Option<u64>,
    items: Option<u64>,
    files: Option<u64>,
    /// The state directory it was made from.
    store: Option<String>,
    /// Whether that is this store's.
    own: bool,
    /// Why it cannot be read.
    problem: Option<String>,
}

impl View for List {
    const SCHEMA: &'static str = "coord.backup.list/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        if self.backups.is_empty() {
            if screen.width.is_some() {
                writeln!(out, "no backups in {}", line(&self.dir))?;
            }
            return Ok(());
        }
        let mut table = Table::new(vec![
            Column::new("NAME"),
            Column::new("AT"),
            Column::new("WRITE").right(),
            Column::new("ITEMS").right(),
            Column::new("SIZE").right(),
            Column::new("STORE").shrinks(),
        ]);
        for row in &self.backups {
            let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
            let store = row.problem.as_ref().or(row.store.as_ref()).cloned().unwrap_or_default();
            table.row([
                line(&row.name).into_owned(),
                line(row.at.as_deref().unwrap_or_default()).into_owned(),
                number(row.n),
                number(row.items),
                size(row.bytes),
                line(&store).into_owned(),
            ]);
        }
        table.write(out, screen)
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let mut good = self.backups.iter().filter(|row| row.problem.is_none() && row.own);
        good.try_for_each(|row| tell_path(out, &row.raw, self.watched))
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.backups.iter().map(|row| serde_json::to_value(row).ok()).collect()
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<List>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let (dir, ours) = (place(cx, self.from.as_deref())?, own(cx)?);
        let rows = all(&dir, &ours)?.into_iter().map(|found| {
            let (about, problem) = match found.about {
                Ok(about) => (Some(about), None),
                Err(error) => (None, Some(error.to_string())),
            };
            Row {
                path: found.path.to_string_lossy().into_owned(),
                name: file_name(&found.path),
                bytes: found.bytes,
                n: about.as_ref().map(|m| m.n),
                items: about.as_ref().map(|m| m.items),
                files: about.as_ref().map(|m| m.files.len() as u64),
                own: about.as_ref().is_some_and(|m| m.dir == ours),
                at: about.as_ref().map(|m| m.at.clone()),
                store: about.map(|m| m.dir),
                problem,
                raw: found.path,
            }
        });
        let (backups, watched) = (rows.collect(), cx.ui.is_watched());
        let list = List { backups, dir: dir.to_string_lossy().into_owned(), watched };
        cx.ui.emit(&list)?;
        Ok(())
    }
}
