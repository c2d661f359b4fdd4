//! `coord alert export`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::rules::Given;
use crate::commands::{Context, Verb};
use crate::domain::alert::{Exported, export};
use crate::error::Result;
use crate::output::{Screen, Shape, View};

/// Write the alert rules as Prometheus reads them
///
/// The rules fire on the metrics that `coord telemetry report --prometheus` exports, at the same values
/// as here. Three things Prometheus knows less well, and they are told where they matter: times only to
/// the limits of the exported buckets; memory only as the most of the last hour; and a
/// counter that begins with an event, as the first failure of its kind does, not before the next one.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord alert export --prometheus > coord-rules.yml
  promtool check rules coord-rules.yml
  coord alert export --json | jq -r '.data.groups[].rules[].expr'")]
pub(super) struct Args {
    /// As a file of Prometheus' alerting rules, in YAML; this is the default
    #[arg(long)]
    prometheus: bool,

    #[command(flatten)]
    given: Given,
}

#[derive(JsonSchema, Serialize)]
#[serde(transparent)]
struct File(Exported);

impl View for File {
    const SCHEMA: &'static str = "coord.alert.export/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        // A query that is folded over lines is hard to read and to find.
        let options = serde_yaml::ser_options! { prefer_block_scalars: false };
        let text =
            serde_yaml::to_string_with_options(&self.0, options).map_err(io::Error::other)?;
        match screen.width {
            Some(_) => out.write_all(crate::output::text(&text).as_bytes()),
            None => out.write_all(text.as_bytes()),
        }
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.human(out, Screen { width: None })
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<File>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let rules = self.given.load(cx)?.all;
        let (file, notes) = export(&rules);
        for note in notes {
            cx.ui.warning(&note);
        }
        cx.ui.emit(&File(file))?;
        Ok(())
    }
}
