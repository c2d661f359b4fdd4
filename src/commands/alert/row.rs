//! A rule with its value and how it stands, as lists show it.

use std::io;
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::alert::{Finding, Reading, Rule, State, Unit};
use crate::domain::time::{human_duration, rfc3339};
use crate::output::{Column, Screen, Table};

/// A rule.
#[derive(Clone, JsonSchema, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    /// `info`, `warning`, `critical`.
    pub(super) severity: &'static str,
    /// As of the last check: `new`, `ok`, `no-data`, `pending`, `firing`.
    pub(super) state: &'static str,
    /// What must be true for it to fire.
    pub(super) condition: String,
    pub(super) metric: &'static str,
    /// `seconds`, `ratio`, `bytes`, `count`, `per-hour`, `us-dollars`.
    pub(super) unit: &'static str,
    /// The value over the window up to now; null without data.
    pub(super) value: Option<f64>,
    pub(super) threshold: f64,
    /// Of how many measurements the value is made.
    pub(super) samples: u64,
    pub(super) min_samples: u64,
    /// What the value says: `true`, `untrue`, `no-data`.
    pub(super) finding: &'static str,
    pub(super) window_s: f64,
    pub(super) for_s: f64,
    /// Since when the condition is true.
    pub(super) since: Option<String>,
    pub(super) silenced_until: Option<String>,
    pub(super) summary: String,
    /// Where the rule was said: `built-in`, or a file.
    pub(super) source: String,
    #[serde(skip)]
    #[schemars(skip)]
    shown: String,
    #[serde(skip)]
    #[schemars(skip)]
    age: Option<Duration>,
    #[serde(skip)]
    #[schemars(skip)]
    form: Option<Unit>,
}

impl Row {
    /// Its value for people.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// A value of its metric for people.
    pub(super) fn show(&self, value: f64) -> String {
        self.form.map_or_else(|| value.to_string(), |unit| unit.show(value))
    }

    /// What the value says that the state, which is that of the last check, does not know yet.
    fn changed(&self) -> Option<&'static str> {
        match (self.state, self.finding) {
            ("no-data", "true" | "untrue") => Some("no data at the last check, data now"),
            ("ok", "true") => Some("untrue at the last check, true now"),
            ("pending" | "firing", "untrue") => Some("true at the last check, untrue now"),
            _ => None,
        }
    }

    pub(super) fn new(
        rule: &Rule,
        reading: Reading,
        state: State,
        silenced: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Self {
        let finding = Finding::of(rule, reading);
        let shown = match (finding, reading.value) {
            (Finding::NoData, Some(value)) => format!(
                "{} of {}/{} samples",
                rule.metric.unit.show(value),
                reading.samples,
                rule.min_samples
            ),
            (_, Some(value)) => rule.metric.unit.show(value),
            (_, None) => "no data".to_owned(),
        };
        Self {
            name: rule.name.to_string(),
            severity: rule.severity.as_str(),
            state: state.as_str(),
            condition: rule.condition(),
            metric: rule.metric.name,
            unit: rule.metric.unit.as_str(),
            value: reading.value,
            threshold: rule.threshold,
            samples: reading.samples,
            min_samples: rule.min_samples,
            finding: match finding {
                Finding::NoData => "no-data",
                Finding::Untrue => "untrue",
                Finding::True => "true",
            },
            window_s: rule.window.as_secs_f64(),
            for_s: rule.hold.as_secs_f64(),
            since: state.since().map(rfc3339),
            silenced_until: silenced.map(rfc3339),
            summary: rule.summary.clone(),
            source: rule.source.clone(),
            shown,
            age: state.since().and_then(|since| (now - since).to_std().ok()),
            form: Some(rule.metric.unit),
        }
    }
}

/// Shows rows to people, and to programs as columns.
pub(super) fn table(rows: &[Row], out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
    let mut table = Table::new(vec![
        Column::new("STATE"),
        Column::new("SEVERITY"),
        Column::new("RULE"),
        Column::new("VALUE").right(),
        Column::new("FIRES IF").shrinks(),
        Column::new("SINCE").optional(),
        Column::new("NOTE").optional(),
    ]);
    for row in rows {
        let since = match (screen.width, row.age) {
            (Some(_), Some(age)) => format!("{} ago", human_duration(age)),
            _ => row.since.clone().unwrap_or_default(),
        };
        let silenced = row.silenced_until.as_ref().map(|until| format!("silenced until {until}"));
        let changed = row.changed().map(str::to_owned);
        let note: Vec<String> = silenced.into_iter().chain(changed).collect();
        table.row([
            row.state.to_owned(),
            row.severity.to_owned(),
            row.name.clone(),
            row.shown.clone(),
            row.condition.clone(),
            since,
            note.join("; "),
        ]);
    }
    table.write(out, screen)
}
