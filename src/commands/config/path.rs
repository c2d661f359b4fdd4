//! `coord config path`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use crate::commands::{Context, Verb};
use crate::error::Result;
use crate::output::{Column, Screen, Shape, Table, View};
use crate::settings::Settings;

/// List the configuration files, the strongest first
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord config path          The files that count here, and which are there
  coord config path --json   The same for programs")]
pub(super) struct Args {}

#[derive(JsonSchema, Serialize)]
struct Paths {
    files: Vec<Row>,
}

#[derive(JsonSchema, Serialize)]
struct Row {
    layer: &'static str,
    path: String,
    exists: bool,
}

impl View for Paths {
    const SCHEMA: &'static str = "coord.config.path/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        let columns = vec![Column::new("LAYER"), Column::new("FILE"), Column::new("")];
        let mut table = Table::new(columns);
        for row in &self.files {
            let there = if row.exists { "there" } else { "not there" };
            table.row([row.layer.to_owned(), row.path.clone(), there.to_owned()]);
        }
        table.write(out, screen)
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.files.iter().map(|row| serde_json::to_value(row).ok()).collect()
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Paths>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let dir = cx.place()?.dir;
        let files = Settings::paths(&dir, &cx.env).into_iter().rev().map(|(layer, path)| Row {
            layer: layer.as_str(),
            path: path.display().to_string(),
            exists: path.is_file(),
        });
        cx.ui.emit(&Paths { files: files.collect() })?;
        Ok(())
    }
}
