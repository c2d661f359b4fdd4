//! The `claude` program as a backend: every row of what the real one was seen to do.

use std::io;
use std::path::Path;
use std::time::Duration;

use coord::client::claude::cli::Cli;
use coord::client::claude::{Backend, BackendName, Call, Cause, Fault, Reply, Request, Usd};
use coord::sys::signal::Stop;
use coord::sys::{Env, SystemClock};
use serde_json::{Value, json};

use crate::scripted::program::{Program, result};

const KEY: &str = "sk-ant-canary-0123456789";

struct Scene {
    program: Program,
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { program: Program::new(dir.path()), dir }
    }

    fn cli(&self, with_key: bool) -> Cli {
        let path = format!("{}:/usr/bin:/bin", self.dir.path().display());
        let env: Env = [
            ("PATH", path.as_str()),
            ("HOME", "/home/nobody"),
            ("ANTHROPIC_API_KEY", KEY),
            ("AWS_SECRET_ACCESS_KEY", "not for it"),
        ]
        .into_iter()
        .collect();
        Cli::find(Path::new("claude"), &env, with_key).unwrap()
    }

    fn attempt(&self, request: &Request) -> Result<Reply, Box<Fault>> {
        self.cli(false).attempt(&mut call(request))
    }

    fn fails(&self, request: &Request) -> Fault {
        *self.attempt(request).unwrap_err()
    }
}

fn call(request: &Request) -> Call<'_> {
    Call {
        request,
        model: "claude-haiku-5-5",
        number: 1,
        timeout: Some(Duration::from_mins(1)),
        idle: Duration::from_mins(1),
        sink: None,
        stop: &|| None,
        clock: &SystemClock,
    }
}

fn question() -> Request {
    Request { system: Some("Be short.".to_owned()), ..Request::new("Who?\nSay it.") }
}

fn closed() -> Value {
    json!({ "type": "object", "additionalProperties": false, "required": [], "properties": {} })
}

#[test]
fn an_answer_and_how_it_was_asked_for() {
    let scene = Scene::new();
    let request = Request { max_tokens: Some(77), ..question() };
    let reply = scene.attempt(&request).unwrap();
    assert_eq!(reply.text, "answer of the program");
    assert_eq!(
        (reply.model.as_str(), reply.cost),
        ("claude-haiku-5-5", Usd::from_dollars(0.000_42))
    );
    let usage = reply.usage;
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.cache_read_tokens), (100, 7, 5));
    assert_eq!((usage.cache_write_5m_tokens, usage.cache_write_1h_tokens), (10, 20));
    let words = "-p|--output-format|json|--model|haiku|--tools||--no-session-persistence|\
        --safe-mode|--strict-mcp-config|--setting-sources||--system-prompt|Be short.";
    assert_eq!(scene.program.read("argv").trim_end().replace('\n', "|"), words);
    assert_eq!(scene.program.read("stdin"), "Who?\nSay it.");
    let env = scene.program.read("env");
    for line in [
        "CLAUDE_CODE_MAX_RETRIES=0",
        "DISABLE_AUTOUPDATER=1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS=77",
        "HOME=/home/nobody",
    ] {
        assert!(env.lines().any(|l| l == line), "no {line} in {env}");
    }
    assert!(!env.contains(KEY) && !env.contains("AWS_SECRET"), "{env}");
    assert_eq!(scene.cli(false).name(), BackendName::Cli);
}

#[test]
fn a_key_goes_along_only_where_it_is_the_login() {
    let scene = Scene::new();
    let request = question();
    scene.cli(true).attempt(&mut call(&request)).unwrap();
    assert!(scene.program.read("env").contains(KEY));
    scene.program.results(&json!({ "is_error": true, "result": format!("bad key {KEY}") }), 1);
    let fault = scene.cli(true).attempt(&mut call(&request)).unwrap_err();
    assert_eq!(fault.message, "bad key [redacted]");
    assert!(!format!("{:?} {fault:?}", scene.cli(true)).contains(KEY));
}

#[test]
fn every_failure_of_the_program_is_one() {
    let scene = Scene::new();
    let error = |status: Value, kind: &str, text: &str| {
        json!({ "is_error": true, "api_error_status": status, "api_error_type": kind,
            "terminal_reason": "api_error", "result": text })
    };
    // What it prints, how it ends, and what that is: the cause, the status.
    let rows: Vec<(Value, u8, Cause, Option<u16>)> = vec![
        (error(json!(400), "invalid_request_error", "API Error: 400"), 1, Cause::Status, Some(400)),
        (error(json!(529), "overloaded_error", "Overloaded"), 1, Cause::Status, Some(529)),
        (error(json!(401), "authentication_error", "Invalid key"), 1, Cause::Status, Some(401)),
        // Older versions end with 0 all the same.
        (error(json!(500), "api_error", "API Error: 500"), 0, Cause::Status, Some(500)),
        (error(Value::Null, "", "API Error: Connection refused"), 1, Cause::Program, None),
        (error(Value::Null, "", "Not logged in · Please run /login"), 1, Cause::NotLoggedIn, None),
        (
            json!({ "subtype": "error_max_budget_usd", "is_error": true, "result": null,
                "terminal_reason": "budget_exhausted", "errors": ["Reached maximum budget"] }),
            1,
            Cause::BudgetReached,
            None,
        ),
        (
            json!({ "subtype": "error_max_turns", "is_error": true, "result": null,
                "terminal_reason": "max_turns" }),
            1,
            Cause::Program,
            None,
        ),
        (json!({ "terminal_reason": "aborted_streaming" }), 0, Cause::Program, None),
        (json!({ "result": "fine" }), 3, Cause::Program, None),
        (json!({ "result": "  " }), 0, Cause::Empty, None),
        (json!({ "result": null }), 0, Cause::Empty, None),
        (json!({ "is_error": null }), 0, Cause::Program, None),
    ];
    for (with, code, cause, status) in rows {
        scene.program.results(&with, code);
        let fault = scene.fails(&question());
        assert_eq!((fault.cause, fault.status), (cause, status), "{with}: {fault:?}");
        assert!(fault.usage.is_some(), "what was used counts: {with}");
    }
    let ok = result(&json!({}));
    let twice = format!("{ok}\n{ok}\n");
    let plays: [(&str, &str, u8, Cause); 6] = [
        // An interrupt and older versions: all is well, and nothing is said.
        ("", "", 0, Cause::Program),
        ("", "echo 'error: unknown option' >&2; ", 1, Cause::Program),
        ("", "kill -TERM $$; ", 0, Cause::Program),
        ("", "kill -HUP $$; ", 0, Cause::Program),
        ("Some prose, as of the text mode\n", "", 0, Cause::Malformed),
        (&twice, "", 0, Cause::Malformed),
    ];
    for (out, before, code, cause) in plays {
        scene.program.prints(out, code);
        let play = scene.program.read("play");
        scene.program.plays(&format!("{before}{play}"));
        let fault = scene.fails(&question());
        assert_eq!(fault.cause, cause, "{before}: {fault:?}");
    }
}

#[test]
fn structured_output_must_be_there() {
    let scene = Scene::new();
    let request = Request { schema: Some(closed()), ..question() };
    scene.program.results(&json!({ "structured_output": { "a": 1 }, "result": "{\"a\":1}" }), 0);
    let reply = scene.attempt(&request).unwrap();
    assert_eq!(reply.structured, Some(json!({ "a": 1 })));
    let argv = scene.program.read("argv");
    assert!(argv.contains("--json-schema\n{\"additionalProperties\":false"), "{argv}");
    scene.program.answers("I would rather not call that tool");
    assert_eq!(scene.fails(&request).cause, Cause::Empty);
}

#[test]
fn refusals_and_cut_answers_are_told_as_such() {
    let scene = Scene::new();
    for word in ["refusal", "max_tokens", "something_new"] {
        scene.program.results(&json!({ "stop_reason": word }), 0);
        let reply = scene.attempt(&question()).unwrap();
        assert_eq!(reply.stop_reason.unwrap().as_str(), word);
    }
    let guess = json!({ "claude-x": { "outputTokens": 1, "costBasis": "unknown" } });
    scene.program.results(&json!({ "modelUsage": guess }), 0);
    let reply = scene.attempt(&question()).unwrap();
    assert_eq!((reply.model.as_str(), reply.cost), ("claude-x", None), "a guess is no cost");
}

#[test]
fn it_is_ended_with_all_it_started() {
    let scene = Scene::new();
    let slow = "sleep 300 & echo $! >\"$here/child\"; sleep 300; exit 0\n";
    scene.program.plays(slow);
    let request = question();
    let mut late = Call { timeout: Some(Duration::from_secs(2)), ..call(&request) };
    assert_eq!(scene.cli(false).attempt(&mut late).unwrap_err().cause, Cause::Timeout);
    let stop = || {
        let started = scene.program.read("child").ends_with('\n');
        started.then_some(Stop::Interrupt)
    };
    let gone = |child: String| {
        for _ in 0..500 {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
            // Whoever was not waited for yet is a zombie, and dead.
            if state.is_err() || state.is_ok_and(|s| s.contains(") Z ")) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    };
    assert!(gone(scene.program.read("child")), "what it started lives on");
    scene.program.plays(slow);
    std::fs::remove_file(scene.dir.path().join("child")).unwrap();
    let mut stopped = Call { stop: &stop, ..call(&request) };
    assert_eq!(scene.cli(false).attempt(&mut stopped).unwrap_err().cause, Cause::Interrupted);
    assert!(gone(scene.program.read("child")), "what it started lives on");
}

#[test]
fn too_much_is_refused_and_a_large_prompt_is_no_argument() {
    let scene = Scene::new();
    let prompt = "x".repeat(300_000);
    let request = Request { system: Some("y".repeat(200_000)), ..Request::new(prompt.clone()) };
    scene.attempt(&request).unwrap();
    assert!(scene.program.read("stdin").ends_with(&prompt));
    assert!(scene.program.read("argv").len() < 1000);
    scene.program.plays("head -c 9000000 /dev/zero | tr '\\0' x\n");
    assert_eq!(scene.fails(&question()).cause, Cause::TooLarge);
}

#[test]
fn a_stream_brings_text_as_it_comes() {
    let scene = Scene::new();
    let delta = |text: &str| {
        json!({ "type": "stream_event",
            "event": { "type": "content_block_delta", "delta": { "type": "text_delta", "text": text } } })
    };
    let lines = [
        json!({ "type": "system", "subtype": "init" }),
        json!({ "type": "system", "subtype": "api_retry", "attempt": 1 }),
        delta("Hello"),
        delta(", you"),
        result(&json!({ "result": "Hello, you" })),
    ];
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    scene.program.prints(&format!("{}\n", text.join("\n")), 0);
    let request = question();
    let mut pieces = Vec::new();
    let mut sink = |text: &str| -> io::Result<()> {
        pieces.push(text.to_owned());
        Ok(())
    };
    let mut streamed = Call { sink: Some(&mut sink), ..call(&request) };
    let reply = scene.cli(false).attempt(&mut streamed).unwrap();
    assert_eq!(reply.text, "Hello, you");
    assert_eq!(pieces, ["Hello", ", you"]);
    assert!(scene.program.read("argv").contains("stream-json\n"));
    assert!(scene.program.read("argv").contains("--verbose\n--include-partial-messages\n"));

    // One that ends within the text has begun, and nothing may be tried again.
    scene.program.prints(&format!("{}\n", text[..4].join("\n")), 0);
    let mut sink = |_: &str| -> io::Result<()> { Ok(()) };
    let mut streamed = Call { sink: Some(&mut sink), ..call(&request) };
    let fault = scene.cli(false).attempt(&mut streamed).unwrap_err();
    assert!(fault.began, "{fault:?}");
    let mut gone = |_: &str| Err(io::Error::from(io::ErrorKind::BrokenPipe));
    let mut streamed = Call { sink: Some(&mut gone), ..call(&request) };
    assert_eq!(scene.cli(false).attempt(&mut streamed).unwrap_err().cause, Cause::SinkClosed);
}
