//! `coord config schema`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::commands::{Context, Verb};
use crate::error::Result;
use crate::output::{Screen, Shape, View};
use crate::settings::json_schema;

/// Print the JSON Schema of a configuration file, for editors
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord config schema > coord.schema.json   For an editor that checks TOML
  coord config schema --json                The same as an answer for programs")]
pub(super) struct Args {}

#[derive(JsonSchema, Serialize)]
struct Document {
    document: Value,
}

impl View for Document {
    const SCHEMA: &'static str = "coord.config.schema/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, &self.document)?;
        writeln!(out)
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Document>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        cx.ui.emit(&Document { document: json_schema() })?;
        Ok(())
    }
}
