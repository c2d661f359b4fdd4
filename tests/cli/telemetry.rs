//! What commands note about themselves: `ops.jsonl` and `spans.jsonl`.

use serde_json::Value;

use crate::env::{Output, TestEnv};

/// What was noted since the store was made.
fn lines(env: &TestEnv, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(env.store().join(file)).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["command"] != "init").collect()
}

#[test]
fn every_command_notes_what_it_did() {
    let env = TestEnv::new();
    let _ = env.coord("add one --team core");
    let _ = env.coord("claim --agent nova");
    let _ = env.coord("work complete w-1 --agent zed");
    let _ = env.coord("complete w-1 --agent nova --json");
    let _ = env.coord("claim --agent nova");
    let _ = env.coord("claim w-9 --no-telemetry");
    let _ = env.coord("health");
    let ops = lines(&env, "ops.jsonl");
    let told: Vec<_> = ops
        .iter()
        .map(|op| {
            format!("{} {} {}", op["command"], op["outcome"], op["exit_code"]).replace('"', "")
        })
        .collect();
    assert_eq!(
        told,
        [
            "work add ok 0",
            "work claim ok 0",
            "work complete conflict 4",
            "work complete ok 0",
            "work claim empty 6"
        ]
    );
    for op in &ops[..4] {
        assert!(op["duration_us"].as_u64().unwrap() > 0, "{op}");
    }
    let about =
        |at: usize| (ops[at]["item"].as_str(), ops[at]["team"].as_str(), ops[at]["agent"].as_str());
    assert_eq!(about(1), (Some("w-1"), Some("core"), Some("nova")));
    assert_eq!(about(3), (Some("w-1"), Some("core"), Some("nova")));
    // The life of an item is one trace, whoever takes part in it.
    let trace = |at: usize| ops[at]["trace_id"].as_str().unwrap();
    assert_eq!((trace(0), trace(1)), (trace(1), trace(3)));
    assert_ne!(trace(4), trace(3));
}

#[test]
fn a_worker_is_one_trace_with_the_claim_the_program_and_the_completion() {
    let env = TestEnv::new();
    let _ = env.coord("add one");
    let script = "$COORD progress 50 -q";
    let mut cmd = env.command();
    cmd.args(["agent", "run", "--until-empty", "--agent", "nova", "--", "sh", "-c", script]);
    let out = Output(cmd.output().unwrap());
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(env.json("work show w-1")["status"], "done");
    let ops = lines(&env, "ops.jsonl");
    let find = |command: &str| ops.iter().find(|op| op["command"] == command).unwrap();
    let spans = lines(&env, "spans.jsonl");
    // What counts is its end.
    let span = |name: &str| spans.iter().rfind(|span| span["name"] == name).unwrap();
    let (whole, run) = (span("work on item"), span("run sh"));
    assert_eq!(whole["parent_span_id"], Value::Null);
    for part in [find("work claim"), run, find("work complete")] {
        assert_eq!(part["trace_id"], whole["trace_id"], "{part}");
        assert_eq!(part["parent_span_id"], whole["span_id"], "{part}");
    }
    let progress = find("work progress");
    assert_eq!(progress["trace_id"], whole["trace_id"]);
    assert_eq!(progress["parent_span_id"], run["span_id"]);
    assert_eq!(progress["remote_parent"], true);
    assert_eq!(run["attributes"]["process.exit.code"], 0);
    assert_eq!(find("work add")["trace_id"], whole["trace_id"]);
}

#[test]
fn a_told_trace_is_kept_and_handed_on() {
    let env = TestEnv::new();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let mut cmd = env.command();
    cmd.env("TRACEPARENT", format!("00-{trace}-b7ad6b7169203331-01"));
    let script = "echo $TRACEPARENT $TRACE_ID $COORD_TELEMETRY_ENABLED";
    cmd.args(["lock", "run", "printer", "--", "sh", "-c", script]);
    let out = Output(cmd.output().unwrap());
    let op = &lines(&env, "ops.jsonl")[0];
    assert_eq!(
        (&op["trace_id"], &op["parent_span_id"]),
        (&trace.into(), &"b7ad6b7169203331".into())
    );
    let span = &lines(&env, "spans.jsonl")[0];
    assert_eq!(span["parent_span_id"], op["span_id"]);
    let id = span["span_id"].as_str().unwrap();
    assert_eq!(out.out(), format!("00-{trace}-{id}-01 {trace}\n"));
    // Switched off, nothing is noted and nothing made up.
    let mut cmd = env.command();
    cmd.env("TRACEPARENT", "mine").env("COORD_TELEMETRY_ENABLED", "false");
    let out =
        Output(cmd.args(["lock", "run", "printer", "--", "sh", "-c", script]).output().unwrap());
    assert_eq!(out.out(), "mine false\n");
    let mut cmd = env.command();
    cmd.args(["--no-telemetry", "lock", "run", "printer", "--", "sh", "-c", script]);
    assert_eq!(Output(cmd.output().unwrap()).out(), "false\n");
    assert_eq!(lines(&env, "ops.jsonl").len(), 1);
}

#[test]
fn a_lock_that_was_not_got_is_noted() {
    use std::io::Read as _;
    let env = TestEnv::new();
    let _ = env.coord("add one");
    let lock = env.store().join("lock");
    let mut holder = std::process::Command::new("flock")
        .args([lock.as_os_str(), "sh".as_ref(), "-c".as_ref(), "echo held; exec sleep 60".as_ref()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    holder.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    let out = env.coord("claim --lock-timeout 50ms");
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(out.code(), 4);
    let op = lines(&env, "ops.jsonl").pop().unwrap();
    assert_eq!((op["outcome"].as_str(), op["exit_code"].as_u64()), (Some("lock-timeout"), Some(4)));
    assert!(op["lock_wait_us"].as_u64().unwrap() >= 50_000, "{op}");
}

#[test]
fn a_place_that_cannot_be_written_stops_nobody() {
    let env = TestEnv::new();
    let _ = env.coord("add one");
    let ops = env.store().join("ops.jsonl");
    std::fs::remove_file(&ops).unwrap();
    std::fs::create_dir(&ops).unwrap();
    assert_eq!(env.coord("claim -q").code(), 0);
    std::fs::remove_dir(&ops).unwrap();
    std::os::unix::fs::symlink(env.root().join("elsewhere"), &ops).unwrap();
    assert_eq!(env.coord("complete -q").code(), 0);
    assert!(!env.root().join("elsewhere").exists());
}

#[test]
fn what_the_caller_named_is_no_fault_of_this_program() {
    let env = TestEnv::new();
    env.add("One");
    for line in [
        "$COORD work list >/dev/full",
        "$COORD add Two >/dev/full",
        "$COORD kpi report --junit no/such/x.xml",
    ] {
        assert_ne!(env.shell(line).code(), 0, "{line}");
    }
    let report = || env.json("telemetry report --no-telemetry")["operations"].clone();
    let told = report();
    assert_eq!((&told["faults"], &told["outcomes"]["outside"]), (&0.into(), &3.into()), "{told}");
    assert_eq!(env.json("health")["availability"], 1.0);
    // Its own store is its own affair.
    env.shell("sed -i '2s/.*/garbage/' .coord/work.jsonl").done();
    env.coord("add Three").fails(5, "the log is damaged");
    let told = report();
    assert_eq!((&told["faults"], &told["outcomes"]["external"]), (&1.into(), &1.into()), "{told}");
}
