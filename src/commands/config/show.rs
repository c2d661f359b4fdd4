//! `coord config show`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::origin;
use crate::commands::{Context, Verb};
use crate::error::Result;
use crate::output::{Column, Screen, Shape, Table, View};
use crate::settings::keys::ALL;

/// Show the settings that hold
///
/// With `--origin` also where each came from, and below it what lost and why.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord config show                Every key and its value
  coord config show --origin       And where it was said
  coord config show --json         The same for programs, origins included")]
pub(super) struct Args {
    /// Tell where each value came from and what lost
    #[arg(long)]
    origin: bool,
}

#[derive(JsonSchema, Serialize)]
struct Shown {
    settings: Vec<Row>,
    #[serde(skip)]
    origins: bool,
}

#[derive(JsonSchema, Serialize)]
struct Row {
    key: &'static str,
    value: Value,
    origin: Option<String>,
    lost: Vec<Lost>,
    #[serde(skip)]
    text: String,
}

#[derive(JsonSchema, Serialize)]
struct Lost {
    value: Value,
    origin: String,
    refused: Option<&'static str>,
    #[serde(skip)]
    text: String,
}

impl View for Shown {
    const SCHEMA: &'static str = "coord.config.show/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        let mut columns = vec![Column::new("KEY"), Column::new("VALUE")];
        if self.origins {
            columns.extend([Column::new("FROM"), Column::new("")]);
        }
        let mut table = Table::new(columns);
        for row in &self.settings {
            let mut cells = vec![row.key.to_owned(), row.text.clone()];
            if self.origins {
                cells.extend([row.origin.clone().unwrap_or_default(), String::new()]);
            }
            table.row(cells);
            for lost in row.lost.iter().filter(|_| self.origins) {
                let why = lost.refused.map_or("lost", |_| "refused").to_owned();
                table.row([row.key.to_owned(), lost.text.clone(), lost.origin.clone(), why]);
            }
        }
        table.write(out, screen)
    }

    fn rows(&self) -> Option<Vec<Value>> {
        self.settings.iter().map(|row| serde_json::to_value(row).ok()).collect()
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Shown>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let settings = cx.settings()?;
        let mut shown = Shown { settings: Vec::new(), origins: self.origin };
        for (at, key) in ALL.iter().enumerate() {
            let all = settings.everything(at)?;
            let holds = all.first().filter(|said| said.refused.is_none());
            let lost = all.iter().skip(usize::from(holds.is_some())).map(|said| Lost {
                value: said.value.to_json(),
                origin: origin(&said.origin),
                refused: said.refused,
                text: said.value.to_text(),
            });
            shown.settings.push(Row {
                key: key.name,
                value: holds.map_or(Value::Null, |said| said.value.to_json()),
                origin: holds.map(|said| origin(&said.origin)),
                lost: lost.collect(),
                text: holds.map(|said| said.value.to_text()).unwrap_or_default(),
            });
        }
        cx.ui.emit(&shown)?;
        Ok(())
    }
}
