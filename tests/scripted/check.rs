//! What the service refuses by itself, whatever the script says: a request that the real one would
//! not take must not pass here either.

use serde_json::Value;

use super::{Act, Seen};

/// The error for a request that is not acceptable.
pub(super) fn refuse(seen: &Seen, bytes: usize, models: Option<&[String]>) -> Option<Act> {
    let bearer = seen.header("authorization").and_then(|h| h.strip_prefix("Bearer "));
    let key = bearer.or_else(|| seen.header("x-api-key"));
    if key.is_none_or(|key| key.trim().is_empty() || key.contains("wrong")) {
        return Some(Act::status(401));
    }
    if bytes > 32 << 20 {
        return Some(Act::status(413));
    }
    if seen.method != "POST" {
        return None;
    }
    let version = seen.header("anthropic-version");
    if !matches!(version, Some("2023-06-01" | "2026-10-21")) {
        return Some(Act::status(400).code("version"));
    }
    let json = seen.header("content-type").is_some_and(|t| t.starts_with("application/json"));
    let body = &seen.body;
    let counts = seen.path.ends_with("/count_tokens");
    let whole = body["model"].is_string()
        && body["messages"].as_array().is_some_and(|all| {
            all.first().is_some_and(|first| first["role"] == "user")
                && all.last().is_some_and(|last| last["role"] == "user")
        })
        && (counts || body["max_tokens"].as_u64().is_some_and(|n| n > 0));
    if !json || !whole {
        return Some(Act::status(400).code("shape"));
    }
    let removed = ["temperature", "top_p", "top_k"];
    if version == Some("2026-10-21") && removed.iter().any(|name| !body[*name].is_null()) {
        return Some(Act::status(400).code("removed_parameter"));
    }
    let forced = matches!(body["tool_choice"]["type"].as_str(), Some("any" | "tool"));
    if forced || !fits_format(&body["output_config"]["format"]) {
        return Some(Act::status(400).code("parameter"));
    }
    let model = body["model"].as_str().unwrap_or_default();
    if models.is_some_and(|known| !known.iter().any(|name| name == model)) {
        return Some(Act::status(404));
    }
    None
}

/// Whether an output format is one that the service takes: every object closed, only known words.
fn fits_format(format: &Value) -> bool {
    if format.is_null() {
        return true;
    }
    format["type"] == "json_schema" && format["schema"].is_object() && closed(&format["schema"])
}

fn closed(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            let known = fields.get("type") != Some(&Value::from("object"))
                || fields.get("additionalProperties") == Some(&Value::Bool(false));
            let refused = ["minimum", "maximum", "maxItems", "minLength", "maxLength", "pattern"];
            let plain = fields.get("type").is_none_or(Value::is_object)
                || refused.iter().all(|word| !fields.contains_key(*word));
            known && plain && fields.values().all(closed)
        }
        Value::Array(all) => all.iter().all(closed),
        _ => true,
    }
}
