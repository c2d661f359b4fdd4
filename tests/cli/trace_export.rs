//! `coord trace export`: what a receiver gets, and what is done when it does not take it.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::env::{Output, TestEnv};

/// Python with the official messages, put there by `tests/run`, which tells where they could not be
/// installed.
fn python() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/otlp/bin/python");
    let python = std::env::var_os("COORD_OTLP_PYTHON").map_or(here, PathBuf::from);
    python.exists().then_some(python)
}

fn receiver(python: &Path, args: &[&str]) -> Child {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/otlp/receiver.py");
    let mut cmd = Command::new(python);
    cmd.env_clear().arg("-I").arg(program).args(args).stdin(Stdio::null()).stdout(Stdio::piped());
    cmd.spawn().unwrap()
}

/// The lines of a file of telemetry.
fn lines(env: &TestEnv, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(env.store().join(file)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The path and the body of each request.
type Bodies = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A receiver that answers as it is told, and then with success. It understands nothing.
struct Told {
    address: String,
    bodies: Bodies,
}

impl Told {
    fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&bodies);
        std::thread::spawn(move || {
            let mut answers = answers.into_iter();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                seen.lock().unwrap().push(request(&stream));
                let answer = answers.next().unwrap_or_else(|| answer(200, "", b""));
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { address, bodies }
    }

    fn count(&self) -> usize {
        self.bodies.lock().unwrap().len()
    }
}

fn request(stream: &TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (head, body)
}

/// An answer; its body must be ASCII.
fn answer(status: u16, headers: &str, body: &[u8]) -> String {
    let body = str::from_utf8(body).unwrap();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    )
}

const PROTOBUF: &str = "content-type: application/x-protobuf\r\n";

fn scene() -> TestEnv {
    let env = TestEnv::new();
    env.coord("add one").done();
    env
}

#[test]
fn an_independent_receiver_gets_the_whole_work_on_an_item_as_one_trace() {
    let Some(python) = python() else { return };
    let env = TestEnv::new();
    env.coord("add one --team core").done();
    let mut cmd = env.command();
    let script = "$COORD progress 50 -q";
    cmd.args(["agent", "run", "--until-empty", "--agent", "nova", "--", "sh", "-c", script]);
    Output(cmd.output().unwrap()).done();
    let mut server = receiver(&python, &["serve"]);
    let mut told = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
    let port = told.next().unwrap();
    let mut cmd = env.command();
    cmd.args(["trace", "export", "--json"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}/"))
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b")
        .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test");
    let sent = Output(cmd.output().unwrap()).data();
    let seen: Value = serde_json::from_str(&told.next().unwrap()).unwrap();
    let file = env.root().join("out.json");
    env.coord("trace export --file out.json").done();
    let mut reader = receiver(&python, &["file", file.to_str().unwrap()]);
    let mut text = String::new();
    reader.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(reader.wait().unwrap().success());
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(seen["path"], "/v1/traces");
    let header = |name: &str| {
        let all = seen["headers"].as_object().unwrap();
        all.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).unwrap().1.clone()
    };
    assert_eq!(header("x-tenant"), "a b");
    let spans = seen["spans"].as_array().unwrap();
    assert_eq!(sent["spans"], spans.len());
    // The file says the same.
    let written: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let named = |spans: &Value| {
        let bare = |span: &Value| {
            let mut span = span.clone();
            span["resource"] = Value::Null;
            span
        };
        spans.as_array().unwrap().iter().map(bare).collect::<Vec<_>>()
    };
    assert_eq!(named(&written["spans"]), named(&seen["spans"]));
    // One trace, and every parent is there.
    let find = |name: &str| spans.iter().find(|span| span["name"] == name).unwrap();
    let whole = find("work on item");
    let ids: HashMap<&Value, &Value> = spans.iter().map(|span| (&span["span_id"], span)).collect();
    let of_trace: Vec<&Value> =
        spans.iter().filter(|span| span["trace_id"] == whole["trace_id"]).collect();
    assert_eq!(of_trace.len(), 6, "{of_trace:#?}");
    for (part, parent) in [
        ("work claim", "work on item"),
        ("run sh", "work on item"),
        ("work progress", "run sh"),
        ("work complete", "work on item"),
    ] {
        let (one, whole) = (find(part), find(parent));
        assert_eq!(one["parent_span_id"], whole["span_id"]);
        assert_eq!(one["trace_id"], whole["trace_id"]);
    }
    assert_eq!(whole["parent_span_id"], "");
    assert_eq!(find("work progress")["flags"], 0x301, "its parent is another process's");
    for span in &of_trace {
        let time = |span: &Value, name: &str| span[name].as_u64().unwrap();
        assert!(time(span, "start") <= time(span, "end"), "{span}");
        if let Some(parent) = ids.get(&span["parent_span_id"]) {
            assert!(time(parent, "start") <= time(span, "start"), "{span} {parent}");
            assert!(time(span, "end") <= time(parent, "end"), "{span} {parent}");
        }
        assert_eq!(span["resource"]["service.name"], "coord");
        assert_eq!(span["resource"]["deployment.environment.name"], "test");
        assert_eq!(span["scope"], "coord");
    }
    // Every line that was noted arrived, with its very times.
    let ops = lines(&env, "ops.jsonl").into_iter().map(|op| (op["at"].clone(), op));
    // The beginning of a span is noted as well; its end is the whole of it.
    let ended = lines(&env, "spans.jsonl").into_iter().filter(|span| span["open"] != true);
    let noted = ended.map(|span| (span["start"].clone(), span));
    let noted: Vec<_> = ops.chain(noted).collect();
    assert_eq!(noted.len(), spans.len());
    for (start, line) in noted {
        let span = ids[&line["span_id"]];
        let start = chrono::DateTime::parse_from_rfc3339(start.as_str().unwrap()).unwrap();
        let start = u64::try_from(start.timestamp_nanos_opt().unwrap()).unwrap();
        let length = line["duration_us"].as_u64().unwrap() * 1000;
        assert_eq!((&span["start"], &span["end"]), (&start.into(), &(start + length).into()));
    }
    assert_eq!(find("work claim")["attributes"]["coord.item"], "w-1");
    assert_eq!(find("work claim")["attributes"]["coord.agent"], "nova");
}

#[test]
fn only_what_is_new_is_sent_and_a_dry_run_sends_nothing() {
    let env = scene();
    let (a, b) = (Told::start(vec![]), Told::start(vec![]));
    let export = |to: &Told, more: &str| {
        let line = format!("trace export --endpoint {} {more}", to.address);
        env.json(&line)["spans"].as_u64().unwrap()
    };
    assert_eq!((export(&a, "--dry-run"), a.count()), (2, 0));
    assert_eq!((export(&a, ""), export(&a, "")), (2, 0));
    assert_eq!(a.count(), 1, "nothing is no request");
    env.coord("claim").done();
    // The file is put aside in between; each receiver has a place of its own.
    let former = env.store().join("ops.20260102T030405000000Z.jsonl");
    std::fs::rename(env.store().join("ops.jsonl"), former).unwrap();
    env.coord("complete").done();
    assert_eq!((export(&a, ""), export(&b, ""), export(&a, "")), (2, 4, 0));
    assert_eq!((export(&a, "--all"), export(&a, "--all --since 2030-01-01")), (4, 0));
    let out = env.coord(&format!("trace export --endpoint {}", a.address));
    assert!(out.out().starts_with("nothing new for http://127.0.0.1:"), "{out}");
    let (head, _) = a.bodies.lock().unwrap()[0].clone();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
    assert!(head.to_lowercase().contains("content-type: application/x-protobuf"), "{head}");
    // What was noted must not show where it was sent.
    let kept = std::fs::read_to_string(env.store().join("export.json")).unwrap();
    assert!(!kept.contains("127.0.0.1"), "{kept}");
}

#[test]
fn a_receiver_that_is_busy_is_asked_again_when_it_says() {
    let env = scene();
    let busy = |status| answer(status, "retry-after: 1\r\n", b"");
    let server = Told::start(vec![
        busy(503),
        answer(429, "", b""),
        answer(502, "", b""),
        answer(504, "", b""),
    ]);
    let begun = std::time::Instant::now();
    let sent = env.json(&format!("trace export --endpoint {}", server.address));
    assert_eq!(
        (&sent["spans"], &sent["requests"], &sent["batches"]),
        (&2.into(), &5.into(), &1.into())
    );
    assert!(begun.elapsed() >= Duration::from_secs(1), "it was asked to wait");
    let bodies = server.bodies.lock().unwrap().clone();
    assert!(bodies.iter().all(|(_, body)| *body == bodies[0].1), "the same batch each time");
    // It does not wait longer than it may.
    let server = Told::start(vec![answer(503, "retry-after: 3600\r\n", b"")]);
    let out = env.coord(&format!("trace export --endpoint {} --deadline 5s", server.address));
    out.fails(5, "asks to be left alone for 1h");
    assert_eq!(server.count(), 1);
    assert_eq!(env.json(&format!("trace export --endpoint {}", server.address))["spans"], 2);
}

#[test]
fn a_receiver_that_refuses_is_not_asked_again_and_nothing_counts_as_sent() {
    let env = scene();
    // `google.rpc.Status` with the code 3 and the message "too old".
    let refusal = answer(400, PROTOBUF, b"\x08\x03\x12\x07too old");
    let html = answer(200, "content-type: text/html\r\n", b"<html>");
    let moved = answer(307, "location: http://127.0.0.1:1/v1/traces\r\n", b"");
    let server = Told::start(vec![refusal, html, moved]);
    let line = format!("trace export --endpoint {}", server.address);
    env.coord(&line).fails(5, "the receiver answered 400 Bad Request: too old");
    env.coord(&line).fails(5, "is no receiver of OTLP (text/html)");
    env.coord(&line).fails(5, "the receiver answered 307");
    assert_eq!(server.count(), 3);
    assert_eq!(env.json(&line)["spans"], 2, "nothing of it was lost");
    // Nobody listens.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let out =
        env.coord(&format!("trace export --endpoint http://127.0.0.1:{port} --deadline 300ms"));
    assert!(out.code() == 5 && out.err().contains("attempts)"), "{out}");
    // Somebody listens and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let line = format!("trace export --endpoint http://{}", silent.local_addr().unwrap());
    let out = env.coord(&format!("{line} --timeout 100ms --deadline 300ms"));
    assert!(out.code() == 124 && out.err().contains("no answer in time"), "{out}");
}

#[test]
fn what_a_receiver_did_not_take_is_told() {
    let env = scene();
    // One span rejected, "why not"; then only a warning.
    let partial = answer(200, PROTOBUF, b"\x0a\x0b\x08\x01\x12\x07why not");
    let warning = answer(200, PROTOBUF, b"\x0a\x06\x12\x04beta");
    let server = Told::start(vec![partial, warning]);
    let line = format!("trace export --endpoint {}", server.address);
    let out = env.coord(&format!("{line} --json"));
    assert_eq!((&out.data()["rejected"], &out.data()["spans"]), (&1.into(), &2.into()));
    assert!(out.err().contains("the receiver did not take 1 span: why not"), "{out}");
    // It said that it never will: that is not asked again.
    assert_eq!(server.count(), 1);
    env.coord("claim").done();
    let out = env.coord(&line);
    assert!(out.err().contains("the receiver warns: beta"), "{out}");
    assert_eq!(env.json(&line)["spans"], 0);
}

#[test]
fn many_spans_go_in_batches_and_what_was_taken_stays_taken() {
    let env = TestEnv::bare();
    env.coord("init --no-telemetry").done();
    let mut text = String::new();
    for n in 1..=1100u64 {
        let line = json!({
            "at": "2026-01-02T03:04:05.000000Z", "command": "work add", "outcome": "ok", "exit_code": 0,
            "duration_us": n, "trace_id": format!("{n:032x}"), "span_id": format!("{n:016x}"),
        });
        text.push_str(&line.to_string());
        text.push('\n');
    }
    std::fs::write(env.store().join("ops.jsonl"), text).unwrap();
    let server = Told::start(vec![answer(200, "", b""), answer(400, "", b"")]);
    let line = format!("trace export --endpoint {}", server.address);
    let out = env.coord(&line);
    out.fails(5, "400");
    assert!(out.err().contains("512 spans were sent before"), "{out}");
    let sent = env.json(&line);
    assert_eq!((&sent["spans"], &sent["batches"]), (&588.into(), &2.into()));
    // One at a time.
    let mut holder = Command::new("flock")
        .args([
            env.store().join("export.lock").as_os_str(),
            "sh".as_ref(),
            "-c".as_ref(),
            "echo held; exec sleep 60".as_ref(),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    holder.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    let out = env.coord(&line);
    holder.kill().unwrap();
    holder.wait().unwrap();
    out.fails(4, "another `coord trace export` is sending");
}

#[test]
fn nothing_is_sent_unasked_and_wrong_uses_are_told() {
    let env = scene();
    env.coord("trace export").fails(2, "no receiver was named");
    env.coord("trace export --endpoint localhost:4318").fails(2, "`--endpoint` is wrong");
    env.coord("trace export --endpoint http://u:p@localhost").fails(2, "it holds a user");
    env.coord("trace export --endpoint http://localhost --file x").fails(2, "does not go with");
    env.coord("trace export --endpoint http://localhost --deadline 0s").fails(2, "no time to send");
    let with = |name: &str, value: &str| {
        let mut cmd = env.command();
        cmd.args(["trace", "export"]).env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
        Output(cmd.env(name, value).output().unwrap())
    };
    with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc").fails(3, "asks for `grpc`");
    with("OTEL_EXPORTER_OTLP_TIMEOUT", "soon").fails(3, "is no number of milliseconds");
    let out = with("OTEL_EXPORTER_OTLP_HEADERS", "geheim");
    out.fails(3, "is no list of headers");
    assert!(!out.err().contains("geheim"), "{out}");
    // A project's own configuration names no receiver: there is no such key.
    env.write(".coord/config.toml", "[telemetry]\nendpoint = \"http://127.0.0.1:1\"\n");
    let out = env.coord("trace export");
    assert_eq!(out.code(), 2, "{out}");
    assert!(out.err().contains("endpoint") && out.err().contains("no receiver was named"), "{out}");
    std::fs::remove_file(env.store().join("config.toml")).unwrap();
    let server = Told::start(vec![]);
    let mut cmd = env.command();
    cmd.args(["add", "two"]).env("OTEL_EXPORTER_OTLP_ENDPOINT", &server.address);
    Output(cmd.output().unwrap()).done();
    assert_eq!(server.count(), 0);
    env.coord("trace export --file /dev/null/x").fails(5, "cannot write");
    let out = env.coord("trace export --file out.json --since 2030-01-01");
    assert_eq!((out.code(), std::fs::read(env.root().join("out.json")).unwrap()), (0, vec![]));
}

#[test]
fn standard_output_and_pipes_take_the_lines_alone() {
    let env = TestEnv::new();
    env.add("one");
    let out = env.coord("trace export --file -");
    out.done();
    let line: Value = serde_json::from_str(out.out().trim_end()).unwrap();
    assert!(line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"].is_string(), "{out}");
    let out = env.shell("mkfifo pipe; (cat pipe >piped &); $COORD trace export --file pipe -q && stat -c %F pipe && sleep 0.2; wc -l <piped");
    assert_eq!(out.out().lines().collect::<Vec<_>>()[1..], ["fifo", "1"], "{out}");
}

#[test]
fn what_is_tried_again_is_told_at_once() {
    let env = TestEnv::new();
    env.add("one");
    // The port was free a moment ago; nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let out = env.coord(&format!("trace export --endpoint http://{address} --deadline 2s"));
    assert_eq!(out.code(), 5, "{out}");
    let first = out.err().lines().next().unwrap().to_owned();
    assert!(
        first.contains("Connection refused") && first.ends_with("trying again for up to 2s"),
        "{out}"
    );
    assert_eq!(out.err().matches("trying again").count(), 1, "{out}");
}

#[test]
fn a_batch_that_is_too_large_is_sent_in_parts() {
    let env = scene();
    for title in ["two", "three", "four", "five"] {
        env.add(title);
    }
    let answers = [413, 200, 200, 413, 413, 200, 413, 413, 413];
    let server = Told::start(answers.iter().map(|status| answer(*status, "", b"")).collect());
    let line = format!("trace export --endpoint {}", server.address);
    let sent = env.json(&line);
    assert!(sent["spans"].as_u64().unwrap() > 4, "{sent}");
    assert_eq!((&sent["rejected"], &sent["requests"]), (&0.into(), &3.into()), "{sent}");
    let bodies = server.bodies.lock().unwrap().clone();
    assert!(bodies[1].1.len() < bodies[0].1.len(), "in halves");
    // One of two is too large even alone, and keeps nobody else from going.
    env.add("six");
    env.add("seven");
    let sent = env.json(&line);
    assert_eq!((&sent["spans"], &sent["rejected"]), (&2.into(), &1.into()), "{sent}");
    // Who takes nothing at all gets it again.
    env.add("eight");
    env.add("nine");
    env.coord(&line).fails(5, "413");
    assert_eq!(env.json(&line)["spans"], 2);
}
