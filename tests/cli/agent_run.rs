//! `coord agent run`: real workers, real programs, real signals.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::env::{Output, TestEnv};

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < Duration::from_secs(20), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn signal(child: &Child, name: &str) {
    let kill = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
}

/// A worker in the background that runs a line of shell.
fn worker(env: &TestEnv, flags: &str, script: &str) -> Child {
    let mut cmd = env.command();
    cmd.args(["agent", "run"]).args(flags.split(' ')).args(["--", "sh", "-c", script]);
    cmd.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn status(env: &TestEnv, id: &str) -> String {
    env.json(&format!("work show {id}"))["status"].as_str().unwrap().to_owned()
}

fn exists(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn the_program_gets_the_item_and_its_last_words_are_the_result() {
    let env = TestEnv::new();
    env.add("'Say $(touch hacked) `touch hacked`' --description 'a; touch hacked'");
    let script = "cat > in.json; echo $COORD_ITEM_ID $COORD_ATTEMPT $COORD_AGENT $TRACEPARENT; \
        printf '%s\\n' \"$COORD_ITEM_TITLE\" \"$COORD_TOKEN\" \"$COORD_DIR\"";
    let mut cmd = env.command();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    cmd.env("TRACEPARENT", format!("00-{trace}-00f067aa0ba902b7-01")).args([
        "agent",
        "run",
        "--json",
        "--until-empty",
        "--agent",
    ]);
    let out = Output(cmd.args(["nova", "--", "sh", "-c", script]).output().unwrap());
    assert_eq!(out.code(), 0, "{out}");
    let item = env.json("work show w-1");
    let token = item["token"].to_string();
    let dir = env.store();
    let result = item["result"].as_str().unwrap();
    let (first, rest) = result.split_once('\n').unwrap();
    let place = dir.canonicalize().unwrap();
    assert_eq!(rest, format!("Say $(touch hacked) `touch hacked`\n{token}\n{}", place.display()));
    assert_eq!(item["status"], "done");
    // The program is a part of the caller's trace, below a span of the worker's.
    let parent = first.strip_prefix(&format!("w-1 1 nova 00-{trace}-")).unwrap();
    assert!(parent.ends_with("-01") && !parent.starts_with("00f067aa0ba902b7"), "{parent}");
    assert!(!env.root().join("hacked").exists());
    let input = std::fs::read_to_string(env.root().join("in.json")).unwrap();
    let input: serde_json::Value = serde_json::from_str(&input).unwrap();
    assert_eq!(
        (input["id"].as_str(), input["description"].as_str()),
        (Some("w-1"), Some("a; touch hacked"))
    );
    let report = out.data();
    assert_eq!((report["taken"].as_u64(), report["done"].as_u64()), (Some(1), Some(1)));
    assert_eq!(report["items"][0]["outcome"], "done");
}

#[test]
fn what_fails_is_tried_again_until_it_is_dead() {
    let env = TestEnv::new();
    env.add("Never");
    env.add("'Third time lucky'");
    let script = "echo bad >&2; [ $COORD_ITEM_ID = w-2 ] && [ $COORD_ATTEMPT = 3 ] || exit 7";
    let out = worker(&env, "--until-empty --json", script).wait_with_output().unwrap();
    let report = Output(out).data();
    assert_eq!((report["taken"].as_u64(), report["failed"].as_u64()), (Some(6), Some(5)));
    let item = env.json("work show w-1");
    assert_eq!((item["status"].as_str(), item["attempt"].as_u64()), (Some("dead"), Some(3)));
    assert_eq!(item["result"], "exit code 7: bad");
    assert_eq!(status(&env, "w-2"), "done");
}

#[test]
fn once_takes_one_and_hands_on_the_exit_code() {
    let env = TestEnv::new();
    env.coord("agent run --once -- true").fails(6, "nothing to do");
    env.add("One");
    env.add("Two");
    assert_eq!(env.coord("agent run --once -- sh -c 'exit 9'").code(), 9);
    assert_eq!(env.coord("agent run --once -- true").code(), 0);
    assert_eq!(env.json("status")["done"], 1);
    assert_eq!(env.coord("agent run --max 1 --type none --idle-timeout 100ms -- true").code(), 0);
    assert_eq!(env.json("status")["pending"], 1);
}

#[test]
fn a_program_that_is_not_there_costs_no_attempt() {
    let env = TestEnv::new();
    env.add("One");
    env.coord("agent run --once -- no-such-program").fails(5, "there is no program");
    assert_eq!(env.json("work show w-1")["attempt"], 0);
    env.coord("agent run").fails(2, "missing");
    env.coord("agent run --lease 0 -- true").fails(2, "a lease of no length");
    env.coord("agent run --once --max 3 -- true").fails(2, "does not go with");
}

#[test]
fn sigterm_ends_the_program_and_gives_the_item_back() {
    let env = TestEnv::new();
    env.add("Long");
    for (name, code) in [("TERM", 143), ("INT", 130)] {
        let child = worker(&env, "--until-empty", "echo $$ > pid; sleep 60");
        until("the program runs", || env.root().join("pid").exists());
        let started = Instant::now();
        signal(&child, name);
        let out = Output(child.wait_with_output().unwrap());
        assert_eq!(out.code(), code, "{out}");
        assert!(out.err().contains("`w-1` was given back"), "{out}");
        assert!(started.elapsed() < Duration::from_secs(5));
        let item = env.json("work show w-1");
        assert_eq!((item["status"].as_str(), item["attempt"].as_u64()), (Some("pending"), Some(0)));
        let pid = std::fs::read_to_string(env.root().join("pid")).unwrap();
        assert!(!exists(&pid));
        std::fs::remove_file(env.root().join("pid")).unwrap();
    }
}

#[test]
fn a_killed_worker_takes_its_program_along_and_another_goes_on() {
    let env = TestEnv::new();
    env.add("One");
    let mut child = worker(&env, "--lease 700ms --agent first", "echo $$ > pid; sleep 60");
    until("the program runs", || env.root().join("pid").exists());
    std::thread::sleep(Duration::from_millis(50));
    child.kill().unwrap();
    child.wait().unwrap();
    let pid = std::fs::read_to_string(env.root().join("pid")).unwrap();
    until("the program is gone", || !exists(&pid));
    assert_eq!(status(&env, "w-1"), "active");
    let out = Output(
        worker(&env, "--until-empty --json --agent next", "true").wait_with_output().unwrap(),
    );
    assert_eq!(out.data()["done"], 1, "{out}");
    let item = env.json("work show w-1");
    assert_eq!((item["agent"].as_str(), item["attempt"].as_u64()), (Some("next"), Some(2)));
}

/// What `verify --traces` tells of spans without a parent.
fn orphans(env: &TestEnv) -> Vec<String> {
    let out = env.coord("verify --traces --json --no-telemetry");
    assert_eq!(out.code(), 0, "{out}");
    let notes = out.data()["notes"].as_array().unwrap().clone();
    let notes = notes.iter().map(|note| note.as_str().unwrap().to_owned());
    notes.filter(|note| note.contains("parent")).collect()
}

#[test]
fn a_killed_worker_leaves_no_span_without_its_whole() {
    let env = TestEnv::new();
    let coord = env!("CARGO_BIN_EXE_coord");
    for told in [false, true] {
        let item = env.add("One");
        let agent = if told { "vega" } else { "nova" };
        let mut cmd = env.command();
        let started = env.root().join("started");
        if told {
            cmd.env("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01");
        }
        let script = format!("{coord} work progress $COORD_ITEM_ID 5 -q; touch started; sleep 60");
        cmd.args(["agent", "run", "--agent", agent, "--", "sh", "-c", &script]);
        let mut child = cmd.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("the program works", || started.exists());
        // A look at what goes on finds every whole too.
        assert_eq!(orphans(&env), Vec::<String>::new());
        child.kill().unwrap();
        let _ = child.wait();
        std::fs::remove_file(started).unwrap();
        assert_eq!(orphans(&env), Vec::<String>::new());
        let shown = env.json(&format!("trace show {item} --no-telemetry"));
        let spans = shown["branches"].as_array().unwrap().iter();
        let spans: Vec<_> = spans.flat_map(|b| b["spans"].as_array().unwrap()).collect();
        let named = |name: &str| {
            let found: Vec<_> = spans.iter().filter(|span| span["name"] == name).collect();
            assert_eq!(found.len(), 1, "{name}: {shown}");
            (*found[0]).clone()
        };
        let (whole, run) = (named("work on item"), named("run sh"));
        for span in [&whole, &run] {
            assert_eq!((&span["open"], &span["duration_ms"]), (&true.into(), &().into()));
            assert_eq!(span["item"], item.as_str());
        }
        assert_eq!(run["parent_span_id"], whole["span_id"]);
        assert_eq!(named("work progress")["parent_span_id"], run["span_id"]);
        assert_eq!(named("work claim")["open"], false);
        let text = env.coord(&format!("trace show {item} --no-telemetry")).out();
        assert_eq!(text.matches("\tnot ended\t").count(), 2, "{text}");
        let file = env.root().join("spans.json");
        env.coord("trace export --file spans.json --no-telemetry").done();
        let sent = std::fs::read_to_string(file).unwrap();
        assert!(sent.contains("work progress") && !sent.contains("work on item"), "{sent}");
    }
}

#[test]
fn a_span_that_ended_is_told_once() {
    let env = TestEnv::new();
    let item = env.add("One");
    env.coord("agent run --until-empty --agent nova -- true").done();
    let lines = std::fs::read_to_string(env.store().join("spans.jsonl")).unwrap();
    assert_eq!((lines.lines().count(), lines.matches("\"open\":true").count()), (4, 2));
    let text = env.coord(&format!("trace show {item}")).out();
    for name in ["work on item", "run true"] {
        assert_eq!(text.matches(name).count(), 1, "{text}");
    }
    assert!(!text.contains("not ended") && orphans(&env).is_empty(), "{text}");
}

#[test]
fn a_short_lease_is_renewed_for_as_long_as_the_program_runs() {
    let env = TestEnv::new();
    env.add("One");
    let child = worker(&env, "--once --lease 600ms", "sleep 2; echo fine");
    until("it is taken", || status(&env, "w-1") == "active");
    for _ in 0..12 {
        std::thread::sleep(Duration::from_millis(120));
        env.coord("claim --agent thief").fails(6, "nothing to do");
    }
    let out = Output(child.wait_with_output().unwrap());
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(env.json("work show w-1")["result"], "fine");
}

#[test]
fn a_lost_lease_kills_the_program_and_completes_nothing() {
    let env = TestEnv::new();
    env.add("One");
    let child = worker(&env, "--once --lease 500ms", "echo $$ > pid; sleep 60");
    until("the program runs", || env.root().join("pid").exists());
    signal(&child, "STOP");
    let thief = env.coord("claim -q --agent thief --wait 20s --lease 1h");
    assert_eq!(thief.out(), "w-1\n");
    signal(&child, "CONT");
    let out = Output(child.wait_with_output().unwrap());
    assert_eq!(out.code(), 4, "{out}");
    assert!(out.err().contains("the claim was lost and the program killed"), "{out}");
    let pid = std::fs::read_to_string(env.root().join("pid")).unwrap();
    assert!(!exists(&pid));
    let item = env.json("work show w-1");
    assert_eq!((item["agent"].as_str(), item["status"].as_str()), (Some("thief"), Some("active")));
}

#[test]
fn the_program_reports_progress_itself_and_has_a_time_limit() {
    let env = TestEnv::new();
    env.add("One --max-attempts 1");
    let child = worker(&env, "--once --timeout 1s", "\"$COORD\" progress 40 --note half; sleep 60");
    until("progress is seen", || env.json("work show w-1")["progress"] == 40);
    let out = Output(child.wait_with_output().unwrap());
    assert_eq!(out.code(), 124, "{out}");
    let item = env.json("work show w-1");
    assert_eq!((item["status"].as_str(), item["note"].as_str()), (Some("dead"), Some("half")));
    assert!(item["result"].as_str().unwrap().starts_with("ended after 1s"));
}

#[test]
fn much_output_is_cut_and_the_cut_is_told() {
    let env = TestEnv::new();
    env.add("One");
    let out =
        worker(&env, "--once --json", "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo end");
    let out = Output(out.wait_with_output().unwrap());
    let item = &out.data()["items"][0];
    assert_eq!(item["output_cut_bytes"].as_u64(), Some(5_000_005 - 65536));
    let result = env.json("work show w-1")["result"].as_str().unwrap().to_owned();
    assert!(result.ends_with("x\nend") && result.len() <= 2000, "{}", result.len());
}

#[test]
fn sigusr2_lets_it_finish_its_item() {
    let env = TestEnv::new();
    env.add("One");
    env.add("Two");
    let child = worker(&env, "--until-empty", "echo > on; sleep 0.4");
    until("the program runs", || env.root().join("on").exists());
    signal(&child, "USR2");
    assert_eq!(Output(child.wait_with_output().unwrap()).code(), 0);
    let status = env.json("status");
    assert_eq!((status["done"].as_u64(), status["pending"].as_u64()), (Some(1), Some(1)));
}
