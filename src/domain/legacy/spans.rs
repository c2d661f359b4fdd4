//! `telemetry_spans.jsonl`: spans, one object after the other, each over many lines, in several
//! shapes, with regions that two writers at once have broken.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::{Kind, Parsed, scan};

/// Longer than this, in milliseconds, no operation took: it is a clock that was not subtracted.
const MAX_MS: u64 = 7 * 86_400_000;

/// Something that was done, and how long it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The trace it belongs to.
    pub trace_id: Option<String>,
    /// Its own identifier; not always different from those of others.
    pub span_id: Option<String>,
    /// The span it is a part of.
    pub parent_span_id: Option<String>,
    /// What was done, such as `work.claim`.
    pub name: String,
    /// Who did it: the program.
    pub service: Option<String>,
    /// When it began.
    pub start_at: Option<DateTime<Utc>>,
    /// How long it took.
    pub duration_ms: Option<f64>,
    /// `ok`, `error` or `unset`.
    pub status: &'static str,
    /// What it says about itself.
    pub attributes: Map<String, Value>,
    /// Everything else, as it came.
    pub extra: Map<String, Value>,
}

fn looks(object: &Map<String, Value>) -> bool {
    let named = |key: &str| object.contains_key(key);
    (named("trace_id") || named("span_id")) && (named("operation_name") || named("operation"))
}

pub(super) fn read(bytes: &[u8]) -> Parsed<Span> {
    let mut parsed = Parsed::default();
    for piece in scan::records(bytes, &["spans"], looks, &mut parsed.report) {
        let mut fields = Fields::new(piece.object);
        let Some(name) = fields.text_of(&["operation_name", "operation", "name"]) else {
            parsed.report.refused(&piece.place, None, "it has no `operation_name`");
            continue;
        };
        let trace_id = fields.text_of(&["trace_id", "test_trace"]);
        let span_id = fields.text("span_id");
        let parent = fields.text("parent_span_id").filter(|p| p != "root");
        let service = match fields.value("service") {
            Some(Value::Object(mut service)) => {
                let name = service.remove("name");
                if !service.is_empty() {
                    fields.keep("service", service);
                }
                name.and_then(|n| Some(n.as_str()?.to_owned()))
            }
            Some(Value::String(name)) if !name.is_empty() => Some(name),
            _ => None,
        };
        let service = service.or_else(|| fields.text("service_name"));
        let start_at = ["start_time", "timestamp"].iter().find_map(|key| fields.time(key));
        let mut span = Span {
            trace_id,
            parent_span_id: parent,
            service,
            start_at,
            duration_ms: duration(&mut fields),
            status: status(&mut fields),
            attributes: attributes(&mut fields),
            extra: Map::new(),
            span_id,
            name,
        };
        let id = span.span_id.clone().unwrap_or_else(|| span.name.clone());
        span.extra = fields.finish(Kind::Spans, &piece.place, &id, &mut parsed.report);
        parsed.push(piece.place, span);
    }
    parsed
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of at most a week")]
fn duration(fields: &mut Fields) -> Option<f64> {
    let ms = fields.number("duration_ms", 1 << 53);
    let ns = fields.number("duration_ns", 1 << 62);
    match (ms, ns) {
        (Some(ms), _) if ms > MAX_MS => {
            fields.tell(format!("`duration_ms` is {ms}, which no operation takes: kept aside"));
            fields.keep("duration_ms", ms);
            None
        }
        (Some(ms), None) => Some(ms as f64),
        (_, Some(ns)) if ns / 1_000_000 > MAX_MS => {
            fields.tell(format!("`duration_ns` is {ns}, which no operation takes: kept aside"));
            fields.keep("duration_ns", ns);
            None
        }
        // The finer one is the exact one; 53 bits hold a week of nanoseconds.
        (_, Some(ns)) => Some(ns as f64 / 1e6),
        (None, None) => None,
    }
}

fn status(fields: &mut Fields) -> &'static str {
    let word = match fields.value("status") {
        Some(Value::Object(status)) => {
            let code = status.get("code").and_then(Value::as_str).unwrap_or_default().to_owned();
            fields.keep("status", status);
            code
        }
        Some(Value::String(text)) => {
            fields.keep("status", text.clone());
            text
        }
        Some(other) => {
            fields.keep("status", other);
            String::new()
        }
        None => match fields.value("success") {
            Some(Value::Bool(true)) => "ok".to_owned(),
            Some(Value::Bool(false)) => "error".to_owned(),
            _ => String::new(),
        },
    };
    match word.to_ascii_lowercase().as_str() {
        "ok" | "success" | "completed" => "ok",
        "error" | "failed" | "failure" => "error",
        _ => "unset",
    }
}

fn attributes(fields: &mut Fields) -> Map<String, Value> {
    let mut all = Map::new();
    for key in ["span_attributes", "attributes", "tags", "metadata"] {
        match fields.value(key) {
            Some(Value::Object(object)) => all.extend(object),
            Some(other) => fields.keep(key, other),
            None => {}
        }
    }
    all
}

impl Span {
    /// As one JSON object; everything is there, what is unknown is null.
    #[must_use]
    pub fn to_value(&self) -> Value {
        json!({
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "parent_span_id": self.parent_span_id,
            "name": self.name,
            "service": self.service,
            "start_at": self.start_at.map(crate::domain::time::rfc3339),
            "duration_ms": self.duration_ms,
            "status": self.status,
            "attributes": self.attributes,
            "extra": self.extra,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "{\n  \"trace_id\": \"t\",\n  \"span_id\": \"s\",\n  \"operation_name\": \"op\",\n  \"start_time\": \"2025-06-15T17:35:33.3NZ\",\n  \"duration_ms\": 32,\n  \"status\": \"ok\",\n  \"service\": {\"name\": \"svc\", \"version\": \"1\"},\n  \"tags\": {\n  \"a\": 1\n}\n}\n";

    #[test]
    fn reads_the_shapes_of_every_writer() {
        let text = format!(
            "{GOOD}{}{}",
            r#"{"timestamp":"2025-06-16T06:00:00-07:00","trace_id":"t","span_id":"u","operation":"cycle","service":"daemon","duration_ns":2500000,"success":true}"#,
            r#"{"trace_id":"t","span_id":"v","operation_name":"x","status":{"code":"ERROR"},"duration_ms":1750056000000}"#
        );
        let parsed = read(text.as_bytes());
        let [a, b, c] = &parsed.records[..] else { panic!("{:?}", parsed.report) };
        assert_eq!(
            (a.value.service.as_deref(), a.value.duration_ms, a.value.status),
            (Some("svc"), Some(32.0), "ok")
        );
        assert_eq!(a.value.attributes["a"], 1);
        assert_eq!(a.value.extra["legacy"]["was"]["service"]["version"], "1");
        assert_eq!(
            (b.value.service.as_deref(), b.value.duration_ms, b.value.status),
            (Some("daemon"), Some(2.5), "ok")
        );
        assert_eq!((c.value.duration_ms, c.value.status), (None, "error"));
        assert_eq!(parsed.report.mended.len(), 2, "{:?}", parsed.report.mended);
        assert_eq!((a.place.line, a.place.last_line), (Some(1), Some(12)));
    }

    #[test]
    fn a_broken_region_is_named_and_its_neighbours_stay() {
        for broken in [
            "{\n  \"trace_id\": \"x\",\n  \"n\": \n}\n}\n",
            "{\n  \"trace_id\": \"x\n y\"\n}\n",
            "{\n  \"trace_id\": Text without quotes,\n  \"logs\": [ {\"level\": 1}, {\"level\": 2} ]\n}\n",
            "garbage\n",
            "]]\n",
            "\u{0}\n",
            "{\"trace_id\": \"x\" \"span_id\": 1} ",
            "42 ",
        ] {
            let text = format!("{GOOD}{broken}{GOOD}");
            let parsed = read(text.as_bytes());
            assert_eq!(parsed.report.read, 2, "{broken:?}");
            assert_eq!(parsed.report.refused.len(), 1, "{broken:?}");
            let place = &parsed.report.refused[0].place;
            assert_eq!((place.line, place.offset), (Some(13), Some(GOOD.len())), "{broken:?}");
        }
    }
}
