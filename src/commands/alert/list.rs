//! `coord alert list`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::row::{self, Row};
use super::rules::Given;
use super::{readings, remembered};
use crate::commands::{Context, Verb};
use crate::domain::alert::{METRICS, Severity, Unit};
use crate::error::Result;
use crate::output::{Screen, Shape, View};

/// List the alert rules with their present values and how they stood at the last check
///
/// Five rules are built in. Your own stand in `alerts.toml` beside your configuration
/// (`coord config path`; `alert.rules-file` names another place), in a file that `--rules` names, and in
/// `alerts.toml` of the state directory. A later file replaces a rule of the same name or switches it
/// off with `enabled = false`, but the one in the state directory only adds rules. A rule never says who
/// is told: that is for your settings.
///
///   [[rule]]
///   name = "claude-is-expensive"
///   metric = "claude-cost"       # --metrics lists them
///   comparison = ">"             # > >= < <=
///   threshold = "$20"            # 120ms, 99%, 80MB, $2.50, or a number in the metric's unit
///   window = "1d"                # measured over (15m)
///   for = "10m"                  # true for so long before it fires (0s)
///   severity = "warning"         # info, warning, critical
///   summary = "Claude costs more than planned"
///   min-samples = 1              # fewer are `no-data` (20 where a metric has samples)
#[derive(clap::Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  coord alert list
  coord alert list --metrics
  coord alert list --rules ci-rules.toml --json | jq '.data.rules[].condition'"
)]
pub(super) struct Args {
    #[command(flatten)]
    given: Given,

    /// List what rules can be about
    #[arg(long)]
    metrics: bool,
}

#[derive(JsonSchema, Serialize)]
struct List {
    /// When rules were last checked, RFC 3339.
    checked_at: Option<String>,
    rules: Vec<Row>,
}

impl View for List {
    const SCHEMA: &'static str = "coord.alert.list/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        row::table(&self.rules, out, screen)?;
        if self.checked_at.is_none() && screen.width.is_some() {
            writeln!(out, "never checked: `coord alert check` does it")?;
        }
        Ok(())
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.rules.iter().try_for_each(|row| writeln!(out, "{}", row.name))
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.rules.iter().map(|row| serde_json::to_value(row).ok()).collect()
    }
}

#[derive(JsonSchema, Serialize)]
struct Metrics {
    metrics: Vec<Known>,
    /// How bad a rule can be.
    severities: Vec<&'static str>,
}

#[derive(JsonSchema, Serialize)]
struct Known {
    name: &'static str,
    unit: &'static str,
    about: &'static str,
    /// Whether a rule can ask for a number of samples.
    has_samples: bool,
}

impl View for Metrics {
    const SCHEMA: &'static str = "coord.alert.metrics/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        use crate::output::{Column, Table};
        let mut table = Table::new(vec![
            Column::new("METRIC"),
            Column::new("UNIT"),
            Column::new("WHAT IT IS").shrinks(),
        ]);
        for known in &self.metrics {
            table.row([known.name, known.unit, known.about].map(str::to_owned));
        }
        table.write(out, screen)
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.metrics.iter().map(|row| serde_json::to_value(row).ok()).collect()
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<List>(), Shape::of::<Metrics>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        if self.metrics {
            let known = METRICS.iter().map(|metric| Known {
                name: metric.name,
                unit: Unit::as_str(metric.unit),
                about: metric.doc,
                has_samples: metric.has_samples(),
            });
            let severities = Severity::ALL.map(Severity::as_str).to_vec();
            return Ok(cx.ui.emit(&Metrics { metrics: known.collect(), severities })?);
        }
        let rules = self.given.load(cx)?.all;
        let readings = readings(cx, &rules)?;
        let (_, record) = remembered(cx)?;
        let now = cx.clock.wall();
        let rows = rules.iter().zip(readings).map(|(rule, reading)| {
            let silenced = record.silence(rule.name.as_str(), now).map(|silence| silence.until);
            Row::new(rule, reading, record.state(&rule.name), silenced, now)
        });
        let list = List { rules: rows.collect(), checked_at: record.checked_at.clone() };
        cx.ui.emit(&list)?;
        Ok(())
    }
}
