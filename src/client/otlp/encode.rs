//! Spans as messages of the OpenTelemetry protocol.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::proto::{
    AnyKind, AnyValue, ArrayValue, ExportRequest, KeyValue, KeyValueList, Resource, ResourceSpans,
    Scope, ScopeSpans, Span, Status,
};
use crate::domain::trace::{self, Kind, Outcome};

/// A request with spans, under the program that did each.
pub(super) fn request(spans: &[trace::Span], resource: &BTreeMap<String, String>) -> ExportRequest {
    let mut by_service: BTreeMap<Option<&str>, Vec<Span>> = BTreeMap::new();
    for span in spans {
        by_service.entry(span.service.as_deref()).or_default().push(message(span));
    }
    let whole = |(service, spans): (Option<&str>, Vec<Span>)| {
        let attribute = |(name, value): (&String, &String)| KeyValue {
            key: name.clone(),
            value: Some(text(match (name.as_str(), service) {
                ("service.name", Some(service)) => service,
                _ => value,
            })),
        };
        let scope =
            Scope { name: "coord".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        ResourceSpans {
            resource: Some(Resource { attributes: resource.iter().map(attribute).collect() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
        }
    };
    ExportRequest { resource_spans: by_service.into_iter().map(whole).collect() }
}

fn message(span: &trace::Span) -> Span {
    let parent = span.parent_span_id.map(|id| id.bytes().to_vec());
    let remote = if span.remote_parent { 0x200 } else { 0 };
    Span {
        trace_id: span.trace_id.bytes().to_vec(),
        span_id: span.span_id.bytes().to_vec(),
        parent_span_id: parent.unwrap_or_default(),
        name: span.name.clone(),
        kind: match span.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Client => 3,
            Kind::Producer => 4,
            Kind::Consumer => 5,
        },
        start_time_unix_nano: nanos(span.start),
        end_time_unix_nano: nanos(span.end()),
        attributes: span.attributes.iter().map(|(name, value)| pair(name, value)).collect(),
        status: Some(Status {
            message: span.message.clone().unwrap_or_default(),
            code: match span.outcome {
                Outcome::Unset => 0,
                Outcome::Ok => 1,
                Outcome::Error => 2,
            },
        }),
        flags: 0x101 | remote,
    }
}

/// Nanoseconds since 1970; 0 for what they cannot count.
fn nanos(time: DateTime<Utc>) -> u64 {
    time.timestamp_nanos_opt().and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0)
}

fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(AnyKind::Text(text.to_owned())) }
}

fn pair(name: &str, value: &Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(any(value)) }
}

/// The serializer that made the value bounds its depth.
fn any(value: &Value) -> AnyValue {
    let value = match value {
        Value::Null => None,
        Value::Bool(yes) => Some(AnyKind::Truth(*yes)),
        Value::Number(n) => Some(match (n.as_i64(), n.as_f64()) {
            (Some(n), _) => AnyKind::Whole(n),
            (None, Some(n)) => AnyKind::Fraction(n),
            (None, None) => AnyKind::Text(n.to_string()),
        }),
        Value::String(text) => Some(AnyKind::Text(text.clone())),
        Value::Array(values) => {
            Some(AnyKind::List(ArrayValue { values: values.iter().map(any).collect() }))
        }
        Value::Object(fields) => {
            let values = fields.iter().map(|(name, value)| pair(name, value)).collect();
            Some(AnyKind::Map(KeyValueList { values }))
        }
    };
    AnyValue { value }
}
