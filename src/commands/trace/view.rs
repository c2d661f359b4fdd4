//! How a span is shown.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::domain::time::{human_duration, rfc3339};
use crate::domain::trace::{Kind, Known, Outcome};
use crate::output::{Screen, View, line};

/// A span.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(super) struct SpanView {
    pub(super) trace_id: String,
    pub(super) span_id: Option<String>,
    pub(super) parent_span_id: Option<String>,
    /// Whether another program may have recorded the parent.
    remote_parent: bool,
    pub(super) name: String,
    kind: Kind,
    pub(super) start_at: Option<String>,
    /// With microseconds as its fraction.
    pub(super) duration_ms: Option<f64>,
    pub(super) status: Outcome,
    /// Whether it has not ended, as far as is known: it goes on, or its program was killed.
    open: bool,
    message: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) item: Option<String>,
    /// The program that did it; null for this one.
    service: Option<String>,
    /// Whether it was taken over from another program's files.
    imported: bool,
    attributes: BTreeMap<String, Value>,
    #[serde(skip)]
    start: Option<DateTime<Utc>>,
}

/// How long ago something was, for people.
pub(super) fn ago(start: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    match start.map(|start| (now - start).to_std()) {
        Some(Ok(time)) if time.as_secs() > 0 => {
            format!("{} ago", human_duration(Duration::from_secs(time.as_secs())))
        }
        Some(Ok(_)) => "now".to_owned(),
        // A clock that was set, or another machine's.
        Some(Err(_)) => start.map(rfc3339).unwrap_or_default(),
        None => String::new(),
    }
}

/// Microseconds as milliseconds.
#[expect(clippy::cast_precision_loss, reason = "exact for centuries")]
pub(super) fn millis(us: u64) -> f64 {
    us as f64 / 1000.0
}

impl From<Known> for SpanView {
    fn from(span: Known) -> Self {
        Self {
            start: span.start,
            start_at: span.start.map(rfc3339),
            duration_ms: span.duration_us.map(millis),
            agent: span.agent().map(str::to_owned),
            item: span.item().map(str::to_owned),
            trace_id: span.trace,
            span_id: span.span,
            parent_span_id: span.parent,
            remote_parent: span.remote_parent,
            name: span.name,
            kind: span.kind,
            status: span.outcome,
            open: span.open,
            message: span.message,
            service: span.service,
            imported: span.imported,
            attributes: span.attributes,
        }
    }
}

impl SpanView {
    /// The columns of a list for people; for programs see [`Self::plain`].
    pub(super) fn columns(&self, now: DateTime<Utc>) -> [String; 6] {
        [
            ago(self.start, now),
            self.trace_id.clone(),
            length(self.duration_ms),
            self.ended().to_owned(),
            self.agent.clone().unwrap_or_default(),
            self.said(),
        ]
    }

    /// The columns for programs: when, trace, span, parent, milliseconds, status, agent, item, name.
    pub(super) fn plain(&self) -> [String; 9] {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        [
            text(&self.start_at),
            self.trace_id.clone(),
            text(&self.span_id),
            text(&self.parent_span_id),
            self.duration_ms.map(|ms| ms.to_string()).unwrap_or_default(),
            self.ended().to_owned(),
            text(&self.agent),
            text(&self.item),
            self.name.clone(),
        ]
    }

    /// How it ended, in a word or two; nothing where nobody said.
    pub(super) const fn ended(&self) -> &'static str {
        match self.status {
            _ if self.open => "not ended",
            Outcome::Unset => "",
            Outcome::Ok => "ok",
            Outcome::Error => "error",
        }
    }

    /// What was done, to what, by which program, and why it failed.
    pub(super) fn said(&self) -> String {
        let mut said = self.name.clone();
        if let Some(item) = &self.item {
            said.extend([" ", item]);
        }
        if let Some(service) = &self.service {
            said.extend([" (", service, ")"]);
        }
        if let Some(message) = &self.message {
            said.extend([": ", message]);
        }
        said
    }
}

/// A length of time for people, short ones as well: `87µs`, `1.23ms`, `4.56s`, `2m 5s`.
#[expect(clippy::cast_possible_truncation, reason = "bounded by what a span may have")]
#[expect(clippy::cast_sign_loss, reason = "never negative")]
pub(super) fn length(ms: Option<f64>) -> String {
    match ms {
        None => String::new(),
        Some(ms) if ms < 1.0 => format!("{:.0}µs", ms * 1000.0),
        Some(ms) if ms < 1000.0 => format!("{ms:.2}ms"),
        Some(ms) if ms < 60_000.0 => format!("{:.2}s", ms / 1000.0),
        Some(ms) => human_duration(Duration::from_millis(ms as u64)),
    }
}

/// A span alone, as it comes.
#[derive(JsonSchema, Serialize)]
#[serde(transparent)]
pub(super) struct Arrived(pub(super) SpanView);

impl View for Arrived {
    const SCHEMA: &'static str = "coord.trace.span/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        if screen.width.is_none() {
            let cells = self.0.plain().map(|cell| line(&cell).into_owned());
            return writeln!(out, "{}", cells.join("\t"));
        }
        let span = &self.0;
        let (at, took) = (span.start_at.as_deref().unwrap_or_default(), length(span.duration_ms));
        let (trace, status, said) = (line(&span.trace_id), span.ended(), span.said());
        let agent = line(span.agent.as_deref().unwrap_or_default());
        writeln!(out, "{at}  {trace}  {took:>9}  {status:<5}  {agent}  {}", line(&said))
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "{}", line(&self.0.trace_id))
    }
}

#[cfg(test)]
mod tests {
    use super::length;

    #[test]
    fn lengths_for_people() {
        for (ms, text) in
            [(0.087, "87µs"), (1.234, "1.23ms"), (4560.0, "4.56s"), (125_000.0, "2m 5s")]
        {
            assert_eq!(length(Some(ms)), text);
        }
        assert_eq!(length(None), "");
    }
}
