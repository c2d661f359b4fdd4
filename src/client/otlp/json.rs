//! The same messages as OTLP/JSON: ids in hex, 64-bit numbers as text, kinds and codes as numbers.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::proto::{AnyKind, AnyValue, ExportRequest, KeyValue, Span};

/// A request as one JSON value.
pub(super) fn request(request: &ExportRequest) -> Value {
    let resource_spans = request.resource_spans.iter().map(|of| {
        let attributes = of.resource.iter().flat_map(|resource| &resource.attributes);
        let scope_spans = of.scope_spans.iter().map(|scope| {
            let name = scope.scope.as_ref().map(|s| json!({"name": s.name, "version": s.version}));
            json!({ "scope": name, "spans": scope.spans.iter().map(span).collect::<Vec<_>>() })
        });
        json!({
            "resource": { "attributes": pairs(attributes) },
            "scopeSpans": scope_spans.collect::<Vec<_>>(),
        })
    });
    json!({ "resourceSpans": resource_spans.collect::<Vec<_>>() })
}

fn span(span: &Span) -> Value {
    let mut value = json!({
        "traceId": hex(&span.trace_id),
        "spanId": hex(&span.span_id),
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": span.start_time_unix_nano.to_string(),
        "endTimeUnixNano": span.end_time_unix_nano.to_string(),
        "attributes": pairs(&span.attributes),
        "flags": span.flags,
    });
    if !span.parent_span_id.is_empty() {
        value["parentSpanId"] = hex(&span.parent_span_id).into();
    }
    if let Some(status) = &span.status {
        value["status"] = json!({ "code": status.code });
        if !status.message.is_empty() {
            value["status"]["message"] = status.message.as_str().into();
        }
    }
    value
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn pairs<'a>(pairs: impl IntoIterator<Item = &'a KeyValue>) -> Vec<Value> {
    let pair = |pair: &KeyValue| {
        let value = pair.value.as_ref().map_or_else(|| json!({}), any);
        json!({ "key": pair.key, "value": value })
    };
    pairs.into_iter().map(pair).collect()
}

fn any(value: &AnyValue) -> Value {
    match &value.value {
        None => json!({}),
        Some(AnyKind::Text(text)) => json!({ "stringValue": text }),
        Some(AnyKind::Truth(yes)) => json!({ "boolValue": yes }),
        Some(AnyKind::Whole(n)) => json!({ "intValue": n.to_string() }),
        Some(AnyKind::Fraction(n)) => json!({ "doubleValue": n }),
        Some(AnyKind::List(list)) => {
            json!({ "arrayValue": { "values": list.values.iter().map(any).collect::<Vec<_>>() } })
        }
        Some(AnyKind::Map(map)) => json!({ "kvlistValue": { "values": pairs(&map.values) } }),
    }
}
