//! A span: something that was done, when, for how long, and as a part of what.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{SpanId, TraceId};

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Neither: work inside the program.
    #[default]
    Internal,
    /// It answers somebody else's call.
    Server,
    /// It calls somebody else.
    Client,
    /// It hands work on that is done later.
    Producer,
    /// It does work that was handed on.
    Consumer,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nobody said.
    #[default]
    Unset,
    /// As it should.
    Ok,
    /// It failed.
    Error,
}

/// Something that was done.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Span {
    /// Its trace.
    pub trace_id: TraceId,
    /// Itself.
    pub span_id: SpanId,
    /// What it is a part of; nothing for the first of a trace.
    pub parent_span_id: Option<SpanId>,
    /// Whether its parent was recorded by another program, if anywhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remote_parent: bool,
    /// What was done, such as `work claim`.
    pub name: String,
    /// Which side of a call it is.
    #[serde(default)]
    pub kind: Kind,
    /// When it began, RFC 3339 UTC with microseconds.
    #[serde(with = "crate::domain::time::text")]
    #[schemars(with = "String")]
    pub start: DateTime<Utc>,
    /// How long it took, in microseconds; 0 while it is open.
    pub duration_us: u64,
    /// How it ended.
    #[serde(default)]
    pub outcome: Outcome,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether it had not ended when this was written. Written before others become parts of it, so
    /// that they find it if its program is killed; what is written with the same id at its end counts
    /// instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// The program that did it; nothing for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What else is known: names as OpenTelemetry has them where it has one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
}

impl Span {
    /// When it ended.
    #[must_use]
    pub fn end(&self) -> DateTime<Utc> {
        let length = i64::try_from(self.duration_us).unwrap_or(i64::MAX);
        self.start.checked_add_signed(chrono::TimeDelta::microseconds(length)).unwrap_or(self.start)
    }
}
