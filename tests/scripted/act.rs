//! What the scripted server does with one request: the rows of the API's error table, and every way
//! in which a network or something in front of the service can spoil an answer.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// One thing to do. In a script it is a word (`"ok"`, `"529"`, `"stall"`) or an object with details.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Act {
    /// How.
    pub(crate) way: Way,
    /// The HTTP status of [`Way::Error`] and [`Way::Html`].
    pub(crate) status: u16,
    /// The error type; by default the one that belongs to the status.
    pub(crate) error: Option<String>,
    /// `error.details.error_code`.
    pub(crate) code: Option<String>,
    /// More headers, which replace the usual ones.
    pub(crate) headers: Map<String, Value>,
    /// The text of the answer; by default made from the question (see [`answer_text`]).
    pub(crate) text: Option<String>,
    /// The stop reason of an answer.
    pub(crate) stop: Option<String>,
    /// Wait so long before the first byte.
    pub(crate) delay_ms: u64,
    /// Wait so long between two pieces of an answer.
    pub(crate) pause_ms: u64,
    /// How many bytes of text [`Way::Huge`] sends.
    pub(crate) bytes: usize,
    /// How often it is done in turn.
    pub(crate) times: usize,
}

impl Default for Act {
    fn default() -> Self {
        Self {
            way: Way::Ok,
            status: 200,
            error: None,
            code: None,
            headers: Map::new(),
            text: None,
            stop: None,
            delay_ms: 0,
            pause_ms: 0,
            bytes: 9 << 20,
            times: 1,
        }
    }
}

/// The ways to treat a request.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    /// Answer it.
    #[default]
    Ok,
    /// An error of the service.
    Error,
    /// An error inside a stream, after 200 and some text.
    StreamError,
    /// A page of something in front of the service.
    Html,
    /// Read the request and reset the connection.
    Reset,
    /// Reset the connection within the answer.
    ResetBody,
    /// Close the connection without an answer.
    Close,
    /// Close it in order, within the answer.
    CutBody,
    /// Read the request and never answer.
    Silent,
    /// Begin the answer and never go on.
    Stall,
    /// Send the answer byte by byte, each after a pause.
    Slow,
    /// End a stream in order, before `message_stop`.
    Truncated,
    /// A chunk without a readable length.
    BadChunk,
    /// 200 with JSON of another shape.
    WrongShape,
    /// 200 with something that is no JSON.
    NotJson,
    /// 200 with an empty list of content.
    Empty,
    /// 200 with nothing but thinking.
    Thinking,
    /// 200 and more text than anybody wants.
    Huge,
    /// A redirect to the `location` of the headers.
    Redirect,
    /// Bytes that are no HTTP.
    NotHttp,
}

impl Act {
    /// An answer.
    pub(crate) fn ok() -> Self {
        Self::default()
    }

    /// An answer with this text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// An error of the service.
    pub(crate) fn status(status: u16) -> Self {
        Self { way: Way::Error, status, ..Self::default() }
    }

    /// One of the ways, with nothing special.
    pub(crate) fn way(way: Way) -> Self {
        let status = if way == Way::Html { 502 } else { 200 };
        Self { way, status, ..Self::default() }
    }

    /// With a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), json!(value));
        self
    }

    /// With an error code.
    pub(crate) fn code(mut self, code: &str) -> Self {
        self.code = Some(code.to_owned());
        self
    }

    /// Several times in turn.
    pub(crate) fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Reads a word or an object of a script.
    pub(crate) fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(word) => match word.parse::<u16>() {
                Ok(status) => Ok(Self::status(status)),
                Err(_) => serde_json::from_value(json!(word))
                    .map(Self::way)
                    .map_err(|e| format!("`{word}`: {e}")),
            },
            Value::Number(status) => Self::read(&json!(status.to_string())),
            object => serde_json::from_value(object.clone()).map_err(|e| format!("{object}: {e}")),
        }
    }

    /// The error object for this act.
    pub(crate) fn error_body(&self, request_id: &str) -> Value {
        let kind = self.error.clone().unwrap_or_else(|| error_type(self.status).to_owned());
        let mut error = json!({ "type": kind, "message": format!("scripted: {kind}") });
        if let Some(code) = &self.code {
            error["details"] = json!({ "error_code": code });
        }
        json!({ "type": "error", "error": error, "request_id": request_id })
    }
}

/// The error type that the service sends with a status.
pub(crate) fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        400..500 => "invalid_request_error",
        _ => "api_error",
    }
}

/// The text that answers a request unless the script says otherwise: for a schema the smallest value
/// that fits it, else words that name the question, so that no answer can be taken for another.
pub(crate) fn answer_text(body: &Value) -> String {
    let schema = &body["output_config"]["format"]["schema"];
    if schema.is_object() {
        return fitting(schema, schema).to_string();
    }
    let last = body["messages"].as_array().and_then(|all| all.last());
    let question = last.map(content_text).unwrap_or_default();
    let short: String = question.chars().take(200).collect();
    format!("answer to: {short}")
}

/// The text of a message, whether it is a string or blocks.
fn content_text(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            blocks.iter().filter_map(|block| block["text"].as_str()).collect::<Vec<_>>().join("")
        }
        _ => String::new(),
    }
}

/// The smallest value that fits a schema of the kind that the service takes.
fn fitting(schema: &Value, root: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return fitting(root.pointer(name.trim_start_matches('#')).unwrap_or(&Value::Null), root);
    }
    for choice in ["enum", "anyOf", "oneOf"] {
        if let Some(first) = schema[choice].as_array().and_then(|all| all.first()) {
            return if choice == "enum" { first.clone() } else { fitting(first, root) };
        }
    }
    if !schema["const"].is_null() {
        return schema["const"].clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match kind {
        Some("object") => {
            let names = schema["required"].as_array().cloned().unwrap_or_default();
            let names = names.iter().filter_map(Value::as_str);
            let rows =
                names.map(|name| (name.to_owned(), fitting(&schema["properties"][name], root)));
            Value::Object(rows.collect())
        }
        Some("array") => match schema["minItems"].as_u64() {
            Some(1..) => json!([fitting(&schema["items"], root)]),
            _ => json!([]),
        },
        Some("string") => json!("text"),
        Some("integer" | "number") => schema["minimum"].as_i64().map_or(json!(1), |n| json!(n)),
        Some("boolean") => json!(true),
        _ => Value::Null,
    }
}

/// The message that answers a request.
pub(crate) fn message(act: &Act, body: &Value, number: usize) -> Value {
    let text = match act.way {
        Way::Huge => "x".repeat(act.bytes),
        _ => act.text.clone().unwrap_or_else(|| answer_text(body)),
    };
    let stop = act.stop.clone().unwrap_or_else(|| "end_turn".to_owned());
    let thinking = json!({ "type": "thinking", "thinking": "", "signature": "c2ln" });
    let content = match act.way {
        Way::Empty => json!([]),
        Way::Thinking => json!([thinking]),
        _ if stop == "refusal" => json!([]),
        // The text is not always the first block.
        _ => {
            let mut middle = text.len() / 2;
            while !text.is_char_boundary(middle) {
                middle += 1;
            }
            json!([
                thinking,
                { "type": "text", "text": text[..middle] },
                { "type": "text", "text": text[middle..] },
            ])
        }
    };
    let asked = body.to_string().len() / 4;
    json!({
        "id": format!("msg_{number:06}"),
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": stop,
        "stop_sequence": null,
        "usage": {
            "input_tokens": asked,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": text.len() / 4 + 1,
            "service_tier": "standard",
        },
    })
}

/// The same message as the events of a stream, each a name and its data.
pub(crate) fn events(act: &Act, message: &Value) -> Vec<(&'static str, Value)> {
    let mut begin = message.clone();
    begin["content"] = json!([]);
    begin["stop_reason"] = Value::Null;
    begin["usage"]["output_tokens"] = json!(1);
    let mut events = vec![
        ("message_start", json!({ "type": "message_start", "message": begin })),
        ("ping", json!({ "type": "ping" })),
    ];
    for (index, block) in message["content"].as_array().into_iter().flatten().enumerate() {
        let text = block["text"].as_str();
        let empty = match text {
            Some(_) => json!({ "type": "text", "text": "" }),
            None => json!({ "type": "thinking", "thinking": "", "signature": "" }),
        };
        events.push((
            "content_block_start",
            json!({ "type": "content_block_start", "index": index, "content_block": empty }),
        ));
        let deltas: Vec<Value> = match text {
            Some(text) => pieces(text)
                .into_iter()
                .map(|piece| json!({ "type": "text_delta", "text": piece }))
                .collect(),
            None => vec![json!({ "type": "signature_delta", "signature": "c2ln" })],
        };
        events.extend(deltas.into_iter().map(|delta| {
            let data = json!({ "type": "content_block_delta", "index": index, "delta": delta });
            ("content_block_delta", data)
        }));
        let stop = json!({ "type": "content_block_stop", "index": index });
        events.push(("content_block_stop", stop));
    }
    // Later versions may send what nobody knows yet.
    events.push(("something_new", json!({ "type": "something_new" })));
    let delta = json!({ "stop_reason": message["stop_reason"], "stop_sequence": null });
    let usage = json!({ "output_tokens": message["usage"]["output_tokens"] });
    events.push((
        "message_delta",
        json!({ "type": "message_delta", "delta": delta, "usage": usage }),
    ));
    events.push(("message_stop", json!({ "type": "message_stop" })));
    if act.way == Way::Truncated {
        events.pop();
    }
    events
}

/// Cuts a text into a few pieces, within words.
fn pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let size = (chars.len() / 4).clamp(3, 1 << 16);
    chars.chunks(size).map(|piece| piece.iter().collect()).collect()
}
