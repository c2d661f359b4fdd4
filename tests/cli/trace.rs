//! `coord trace show` and `list`: what was noted, as trees and as lists, and as it comes.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::env::{Output, TestEnv};

/// A store in which a worker did one item, and somebody else another.
fn worked() -> TestEnv {
    let env = TestEnv::new();
    env.coord("add one --team core").done();
    let mut cmd = env.command();
    let script = "$COORD progress 50 -q";
    cmd.args(["agent", "run", "--until-empty", "--agent", "nova", "--", "sh", "-c", script]);
    Output(cmd.output().unwrap()).done();
    env.coord("add two").done();
    env.coord("claim --agent zed").done();
    env
}

/// Adds a line to what was noted.
fn note(env: &TestEnv, file: &str, line: &Value) {
    use std::io::Write as _;
    let path = env.store().join(file);
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn span(trace: &str, id: u64, parent: Option<u64>, name: &str) -> Value {
    let hex = |id: u64| format!("{id:016x}");
    json!({
        "trace_id": trace, "span_id": hex(id), "parent_span_id": parent.map(hex), "name": name,
        "start": format!("2026-01-02T03:04:{id:02}.000000Z"), "duration_us": 1_500_000, "outcome": "ok",
    })
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[test]
fn the_life_of_an_item_is_a_tree() {
    let env = worked();
    let shown = env.json("trace show w-1");
    let item = env.json("work show w-1 --no-telemetry");
    assert_eq!(shown["traces"], json!([item["trace_id"]]));
    let branch = &shown["branches"][0];
    assert_eq!(
        (&branch["under"], shown["branches"].as_array().unwrap().len()),
        (&"nothing".into(), 1)
    );
    let rows: Vec<String> = branch["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|span| format!("{} {}", span["depth"], span["name"].as_str().unwrap()))
        .collect();
    assert_eq!(
        rows,
        [
            "0 work add",
            "0 work on item",
            "1 work claim",
            "1 run sh",
            "2 work progress",
            "1 work complete"
        ]
    );
    assert_eq!((&shown["spans"], &shown["errors"]), (&6.into(), &0.into()));
    // Another name for it: the trace itself, and an unambiguous beginning of that.
    let trace = item["trace_id"].as_str().unwrap();
    for of in [trace, &trace[..12]] {
        assert_eq!(env.json(&format!("trace show {of}"))["branches"], shown["branches"]);
    }
    // On a pipe each row is whole, and nothing is drawn.
    let out = env.coord("trace show w-1");
    let rows: Vec<Vec<&str>> = out
        .0
        .stdout
        .split(|c| *c == b'\n')
        .filter(|l| !l.is_empty())
        .map(|line| str::from_utf8(line).unwrap().split('\t').collect())
        .collect();
    assert_eq!(rows.len(), 6);
    assert!(rows.iter().all(|row| row.len() == 9), "{out}");
    assert_eq!(
        (rows[4][1], rows[4][2], rows[4][6], rows[4][8]),
        (rows[3][0], "2", "nova", "work progress")
    );
    // Looking adds nothing.
    assert_eq!(env.json("trace show w-1")["spans"], 6);
}

#[test]
fn a_terminal_gets_a_tree_with_a_bar_and_a_pipe_none() {
    let env = worked();
    let out = Output(
        env.sealed("script")
            .args(["-qec", "stty cols 110; $COORD trace show w-1 --color never", "/dev/null"])
            .env("COLUMNS", "110")
            .output()
            .unwrap(),
    );
    let text = out.out();
    let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(line("work progress").contains("│ └ work progress w-1"), "{text}");
    assert!(line("work complete").contains("└ work complete w-1"), "{text}");
    assert!(line("run sh").contains('━') && line("STATUS").contains("WHEN"), "{text}");
    assert!(!env.coord("trace show w-1").out().contains('━'));
}

#[test]
fn what_lost_its_parent_has_a_labelled_place() {
    let env = TestEnv::new();
    for (id, parent, name) in [(1, None, "first"), (2, Some(1), "part"), (3, Some(99), "lost")] {
        note(&env, "spans.jsonl", &span(TRACE, id, parent, name));
    }
    let mut far = span(TRACE, 4, Some(98), "far");
    far["remote_parent"] = true.into();
    note(&env, "spans.jsonl", &far);
    let shown = env.json(&format!("trace show {TRACE}"));
    let branches: Vec<(&str, Option<&str>, usize)> = shown["branches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| {
            (
                b["under"].as_str().unwrap(),
                b["under_span_id"].as_str(),
                b["spans"].as_array().unwrap().len(),
            )
        })
        .collect();
    assert_eq!(
        branches,
        [
            ("nothing", None, 2),
            ("elsewhere", Some("0000000000000062"), 1),
            ("missing", Some("0000000000000063"), 1)
        ]
    );
    let offset =
        |branch: usize, row: usize| shown["branches"][branch]["spans"][row]["offset_ms"].as_f64();
    assert_eq!((offset(0, 0), offset(0, 1), offset(1, 0)), (Some(0.0), Some(1000.0), Some(3000.0)));
    assert_eq!(shown["duration_ms"], 4500.0);
}

#[test]
fn an_item_is_found_in_the_traces_of_others() {
    let env = TestEnv::new();
    env.coord("add one").done();
    let mut whole = span(TRACE, 1, None, "build");
    whole["attributes"] = json!({"coord.item": "w-9"});
    let mut about = span(TRACE, 2, Some(1), "work on item");
    about["attributes"] = json!({"coord.item": "w-1"});
    for line in [whole, about, span(TRACE, 3, Some(2), "part"), span(TRACE, 4, Some(1), "else")] {
        note(&env, "spans.jsonl", &line);
    }
    let shown = env.json("trace show w-1");
    assert_eq!(shown["traces"].as_array().unwrap().len(), 2);
    let outside = &shown["branches"][1];
    assert_eq!(
        (outside["under"].as_str(), outside["under_span_id"].as_str()),
        (Some("outside"), Some("0000000000000001"))
    );
    let names: Vec<_> =
        outside["spans"].as_array().unwrap().iter().map(|s| s["name"].clone()).collect();
    assert_eq!(names, ["work on item", "part"]);
}

#[test]
fn wrong_uses_are_told() {
    let env = TestEnv::new();
    env.coord("trace show").fails(2, "no trace was named");
    env.coord("trace show nonsense").fails(1, "there is no trace and no item `nonsense`");
    env.coord("trace show ''").fails(1, "there is no trace");
    let other = TRACE.replace("319c", "319d");
    for trace in [TRACE, &other] {
        note(&env, "spans.jsonl", &span(trace, 1, None, "a"));
    }
    env.coord("trace show 0af7").fails(1, "is the beginning of 2 traces");
    env.coord("trace list --since yesterday").fails(2, "expected a length of time");
    env.coord("trace list --follow --limit 3").fails(2, "does not go with");
    env.coord("trace list --follow --format yaml").fails(2, "does not go with YAML");
    let bare = TestEnv::bare();
    bare.coord("trace list").fails(1, "no store");
    // An item about which nothing was noted is no mistake.
    env.coord("add quiet --no-telemetry").done();
    assert_eq!(env.json("trace show w-1")["spans"], 0);
    // What surrounds the command names a trace.
    let mut cmd = env.command();
    cmd.args(["trace", "show", "-q"]).env("TRACEPARENT", format!("00-{TRACE}-b7ad6b7169203331-01"));
    assert_eq!(Output(cmd.output().unwrap()).out(), format!("{TRACE}\n"));
}

#[test]
fn every_filter_counts_and_the_newest_come_first() {
    let env = TestEnv::new();
    for id in 1..=9 {
        let mut line = span(TRACE, id, None, if id % 2 == 0 { "even" } else { "odd" });
        line["duration_us"] = (id * 1000).into();
        line["attributes"] =
            json!({"coord.agent": format!("a{}", id % 3), "coord.item": format!("w-{id}")});
        if id > 7 {
            line["outcome"] = "error".into();
        }
        note(&env, "spans.jsonl", &line);
    }
    let found = |filter: &str| -> Vec<u64> {
        let list = env.json(&format!("trace list {filter}"));
        assert_eq!(list["shown"], list["spans"].as_array().unwrap().len());
        list["spans"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|span| span["name"] != "init")
            .map(|span| u64::from_str_radix(span["span_id"].as_str().unwrap(), 16).unwrap())
            .collect()
    };
    let all = "--until 2026-02-01";
    assert_eq!(found(all), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(found(&format!("{all} --limit 2")), [9, 8]);
    assert_eq!(found("--name even --agent a0"), [6]);
    assert_eq!(found("--item w-4"), [4]);
    assert_eq!(found("--status error"), [9, 8]);
    assert_eq!(found(&format!("{all} --min-duration 8ms")), [9, 8]);
    assert_eq!(found("--until 2026-01-02T03:04:03Z"), [2, 1]);
    assert_eq!(found(&format!("--since 2026-01-02T03:04:08.007Z {all}")), [9, 8]);
    assert_eq!(found("--name nothing"), Vec::<u64>::new());
    assert_eq!(env.json(&format!("trace list {all} --limit 2"))["total"], 9);
    let traces = env.json("trace list --traces --status error");
    let trace = &traces["traces"][0];
    assert_eq!(
        (&trace["spans"], &trace["errors"], &trace["name"]),
        (&9.into(), &2.into(), &"odd".into())
    );
    assert_eq!(
        (&trace["agents"], &trace["duration_ms"]),
        (&json!(["a0", "a1", "a2"]), &8009.0.into())
    );
}

#[test]
fn what_the_old_system_noted_is_shown_with_its_own_ids() {
    let env = TestEnv::new();
    // The seven shapes of its writers.
    let old = r#"
{ "trace_id": "647d3a5cd22adc76018cc1feb00b2701", "span_id": "4080d7b3c02cba4c", "parent_span_id": "",
  "operation_name": "old.work.claim", "span_kind": "internal", "status": "error", "start_time": "2025-06-15T17:35:33.3NZ",
  "duration_ms": 32, "service": {"name": "old-coordination", "version": "1.0.0"},
  "resource_attributes": {"service.name": "old-coordination"}, "span_attributes": {"s2s.work_item_id": "work_17", "s2s.agent_id": "agent_1"} }
{ "timestamp": "2025-06-16T03:13:15.3NZ", "trace_id": "master_1750_c5e4", "span_id": "health_1", "operation_name": "old.health",
  "duration_ms": 487, "status": "failed", "attributes": {"version": "1"} }
{ "trace_id": "master_1750_c5e4", "span_id": "loop_1", "operation_name": "old.loop", "service_name": "old-loop",
  "start_time": "2025-06-15T23:38:00-07:00", "duration_ns": 2924641000, "status": {"code": "OK", "message": "m"}, "tags": {"n": 1} }
{ "trace_id": "master_1750_c5e4", "span_id": "check_1", "parent_span_id": "loop_1", "operation": "old.check", "service": "old-check",
  "timestamp": "2025-06-15T22:17:09-07:00", "duration_ms": 22, "status": "in_progress", "metadata": {"step": "s"} }
{ "timestamp": "2025-06-16T06:59:05Z", "trace_id": "master_1750_c5e4", "span_id": "autonomous_cycle_1", "parent_span_id": "loop_1",
  "operation": "old.cycle", "service": "old-daemon", "duration_ms": 60000, "success": true, "cycle": 1 }
{ "trace_id": "169fcbec7be2597c765046ae41b783be", "span_id": "a8b6c47407236e21", "parent_span_id": "root",
  "operation_name": "old.begin", "service_name": "old-validation", "start_time": "2025-06-15T23:27:51-07:00",
  "end_time": "2025-06-15T23:27:51-07:00", "duration_ms": 32, "duration_ns": 32671000, "status": {"code": "OK"}, "tags": {"e": "d"} }
{ "test_trace": "fc43b0a3ead518ef5d6089611c5ea009", "operation": "old.quick", "timestamp": "2025-06-15T23:45:08-07:00" }
"#;
    env.write("old/telemetry_spans.jsonl", old);
    env.coord("import old").done();
    let list = env.json("trace list --until 2025-12-31 --all");
    let names: Vec<_> =
        list["spans"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 7, "{names:?}");
    assert!(list["spans"].as_array().unwrap().iter().all(|span| span["imported"] == true));
    let shown = env.json("trace show master_1750");
    let rows: Vec<_> = shown["branches"][0]["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["depth"].as_u64().unwrap(), s["span_id"].as_str().unwrap()))
        .collect();
    assert_eq!(rows, [(0, "health_1"), (0, "loop_1"), (1, "check_1"), (1, "autonomous_cycle_1")]);
    assert_eq!(shown["branches"][0]["spans"][1]["duration_ms"], 2924.641);
    let claim = env.json("trace show 647d3a5c");
    let claim = &claim["branches"][0]["spans"][0];
    assert_eq!(
        (&claim["agent"], &claim["item"], &claim["status"]),
        (&"agent_1".into(), &"work_17".into(), &"error".into())
    );
    let no_id = env.json("trace show fc43b0a3");
    assert_eq!(no_id["branches"][0]["spans"][0]["span_id"], Value::Null);
}

/// A follower and the lines that it writes.
fn follow(env: &TestEnv, flags: &[&str]) -> (Child, impl Iterator<Item = Value> + use<>) {
    let mut cmd = env.command();
    cmd.args(["trace", "list", "--follow", "--format", "jsonl"]).args(flags);
    let mut child = cmd.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()))
}

#[test]
fn following_shows_what_comes_through_rotation_until_it_is_stopped() {
    let env = TestEnv::new();
    env.coord("add one").done();
    // From a moment on: everything since comes first, so that the test need not wait for the follower.
    let (child, mut lines) = follow(&env, &["--since", "2020-01-01", "--name", "work"]);
    assert_eq!(lines.next().unwrap()["name"], "work add");
    env.coord("claim").done();
    let claim = lines.next().unwrap();
    assert_eq!(
        (&claim["name"], &claim["item"], &claim["agent"]),
        (&"work claim".into(), &"w-1".into(), &"tester".into())
    );
    // The file is put aside, and a writer that still has it open adds a last line.
    let late = std::fs::read_to_string(env.store().join("ops.jsonl")).unwrap();
    let late = late.lines().last().unwrap().replace("work claim", "work late");
    std::fs::rename(
        env.store().join("ops.jsonl"),
        env.store().join("ops.20260102T030405000000Z.jsonl"),
    )
    .unwrap();
    env.coord("work show w-1").done();
    assert_eq!(lines.next().unwrap()["name"], "work show");
    note(&env, "ops.20260102T030405000000Z.jsonl", &serde_json::from_str(&late).unwrap());
    assert_eq!(lines.next().unwrap()["name"], "work late");
    env.coord("complete").done();
    assert_eq!(lines.next().unwrap()["name"], "work complete");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap(),
        rustix::process::Signal::INT,
    )
    .unwrap();
    assert!(lines.next().is_none());
    let out = Output(child.wait_with_output().unwrap());
    assert_eq!(out.code(), 130, "{out}");
    assert!(out.err().starts_with("error: stopped by SIGINT"), "{out}");
}

#[test]
fn a_follower_ends_when_nobody_reads_it() {
    let env = TestEnv::new();
    env.coord("add one").done();
    let (child, mut lines) = follow(&env, &["--since", "2020-01-01", "--name", "add"]);
    assert_eq!(lines.next().unwrap()["name"], "work add");
    drop(lines);
    // Nothing more is written, and it ends all the same.
    let out = Output(child.wait_with_output().unwrap());
    assert_eq!((out.code(), out.err()), (0, String::new()));
}

#[test]
fn what_is_done_to_many_is_a_part_of_the_life_of_each() {
    let env = TestEnv::new();
    env.feed("add -q", "{\"title\":\"a\",\"id\":\"own\"}\n{\"title\":\"b\"}\n").done();
    env.feed("add -q", "{\"title\":\"c\"}\n{\"title\":\"d\"}\n").done();
    env.coord("agent register nova --capacity 9").done();
    env.coord("work assign --agent tester").done();
    env.coord("claim w-1 --agent nova").done();
    let names = |line: &str| {
        let shown = env.json(line);
        let branches = shown["branches"].as_array().unwrap().iter();
        let spans = branches.flat_map(|branch| branch["spans"].as_array().unwrap());
        let mut names: Vec<_> =
            spans.map(|span| span["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names("trace show own"), ["work add", "work assign"]);
    assert_eq!(names("trace show w-1"), ["work add", "work assign", "work claim"]);
    assert_eq!(names("trace show w-2"), ["work add", "work assign"]);
    let listed = env.json("trace list --item w-1 --all")["spans"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 3, "{listed}");
    // It is not the other batch that is shown, and what is about one item is not about many.
    let ops = std::fs::read_to_string(env.store().join("ops.jsonl")).unwrap();
    assert_eq!(ops.matches("\"store_op\"").count(), 3, "{ops}");
}

#[test]
fn a_window_that_ends_before_it_begins_is_refused() {
    let env = TestEnv::new();
    env.add("one");
    env.coord("trace list --since 2h --until 3h").fails(2, "ends before it begins");
    env.coord("trace list --since 3h --until 2h").done();
}
