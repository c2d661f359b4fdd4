//! The official SDK must be content with the scripted server: else a pass against it says little.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scripted::{Act, Script, Server, Way};

/// Python with the SDK, put there by `tests/run`.
fn python() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/sdk/bin/python");
    let python = std::env::var_os("COORD_SDK_PYTHON").map_or(here, PathBuf::from);
    python.exists().then_some(python)
}

/// Runs a piece of Python in which `client` talks to the server; nothing where the SDK was not
/// installed, which `tests/run` tells.
fn runs(server: &Server, code: &str) {
    let Some(python) = python() else {
        return;
    };
    let code = format!("{PREAMBLE}\n{code}\nprint('passed')\n");
    let out = Command::new(python)
        .args(["-I", "-c", &code])
        .env_clear()
        .env("ANTHROPIC_API_KEY", "sk-ant-test")
        .env("ANTHROPIC_BASE_URL", server.url())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
    assert!(out.status.success() && stdout.ends_with("passed\n"), "{stdout}{stderr}");
}

const PREAMBLE: &str = r#"
import anthropic
client = anthropic.Anthropic()
ask = dict(model="claude-haiku-5-5", max_tokens=64, messages=[{"role": "user", "content": "Who?"}])
def text(message):
    return "".join(b.text for b in message.content if b.type == "text")
def fails(kind, status, **more):
    try:
        client.with_options(max_retries=0).messages.create(**{**ask, **more})
    except kind as e:
        assert getattr(e, "status_code", None) == status, e
        return e
    raise SystemExit(f"no {kind}")
"#;

#[test]
fn messages_streams_counts_and_models() {
    let server = Server::start(Script::new([]));
    runs(
        &server,
        r#"
message = client.messages.create(**ask)
assert text(message) == "answer to: Who?", message
assert message.stop_reason == "end_turn" and message.usage.output_tokens > 0
assert message._request_id.startswith("req_"), message._request_id
with client.messages.stream(**ask) as stream:
    pieces = list(stream.text_stream)
    final = stream.get_final_message()
assert len(pieces) > 2 and "".join(pieces) == text(final) == "answer to: Who?", pieces
assert final.stop_reason == "end_turn" and final.usage.output_tokens == message.usage.output_tokens
assert client.messages.count_tokens(model=ask["model"], messages=ask["messages"]).input_tokens > 0
assert [m.id for m in client.models.list()] == ["claude-haiku-5-5", "claude-sonnet-5-5"]
schema = {"type": "object", "additionalProperties": False, "required": ["ids", "n"],
          "properties": {"ids": {"type": "array", "items": {"type": "string"}}, "n": {"enum": ["a"]}}}
out = client.messages.create(**ask, output_config={"format": {"type": "json_schema", "schema": schema}})
assert text(out) == '{"ids":[],"n":"a"}', out
"#,
    );
}

#[test]
fn every_error_has_its_class() {
    let rows = [400, 401, 402, 403, 404, 409, 413, 429, 500, 503, 504, 529];
    let mut acts: Vec<Act> = rows.map(Act::status).to_vec();
    acts.push(Act::status(429).code("enforced_spend_limit_reached"));
    acts.push(Act::way(Way::Html));
    let server = Server::start(Script::new(acts));
    runs(
        &server,
        r#"
rows = [(400, anthropic.BadRequestError), (401, anthropic.AuthenticationError),
    (402, anthropic.APIStatusError), (403, anthropic.PermissionDeniedError), (404, anthropic.NotFoundError),
    (409, anthropic.ConflictError), (413, anthropic.APIStatusError), (429, anthropic.RateLimitError),
    (500, anthropic.InternalServerError), (503, anthropic.InternalServerError),
    (504, anthropic.InternalServerError), (529, anthropic.InternalServerError)]
for status, kind in rows:
    error = fails(kind, status)
    assert error.body["type"] == "error" and error.request_id.startswith("req_"), error.body
error = fails(anthropic.RateLimitError, 429)
assert error.body["error"]["details"]["error_code"] == "enforced_spend_limit_reached", error.body
fails(anthropic.InternalServerError, 502)
fails(anthropic.BadRequestError, 400, messages=[])
client.api_key = "wrong"
fails(anthropic.AuthenticationError, 401)
"#,
    );
}

#[test]
fn it_retries_as_it_says() {
    let again = [Act::status(529).header("retry-after", "0.01"), Act::way(Way::Reset)];
    let server = Server::start(Script::new(again));
    runs(
        &server,
        r#"
assert text(client.messages.create(**ask)) == "answer to: Who?"
"#,
    );
    let seen = server.seen();
    if python().is_some() {
        assert_eq!(seen.len(), 3, "two retries");
        assert_eq!(seen[2].header("x-stainless-retry-count"), Some("2"));
        assert_eq!(seen[0].body, seen[2].body);
    }
}

#[test]
fn broken_connections_and_streams_are_errors() {
    let ways = [Way::Close, Way::ResetBody, Way::CutBody, Way::BadChunk];
    let stream = Act { way: Way::StreamError, status: 529, ..Act::ok() };
    let acts = ways.map(Act::way).into_iter().chain([stream, Act::way(Way::ResetBody)]);
    let server = Server::start(Script::new(acts));
    runs(
        &server,
        r#"
once = client.with_options(max_retries=0)
for _ in range(4):
    try:
        once.messages.create(**ask)
    except Exception as e:
        assert "anthropic" in type(e).__module__ or "http" in type(e).__module__, type(e)
        continue
    raise SystemExit("no error")
for _ in range(2):
    try:
        with once.messages.stream(**ask) as stream:
            print(stream.get_final_text())
    except Exception as e:
        assert "anthropic" in type(e).__module__ or "http" in type(e).__module__, type(e)
        continue
    raise SystemExit("no error")
"#,
    );
}
