//! Many processes at once: what they share makes them ask once, wait no longer than they may, and leave
//! alone a service that is down.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::commands::Scene;
use crate::env::Output;
use crate::scripted::{Act, Script, Way};

fn start(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn wait_for(what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !what() {
        assert!(Instant::now() < end, "it never came to that");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn thirty_two_processes_with_one_question_make_one_request() {
    let scene = Scene::new(Script::always(Act { delay_ms: 1_000, ..Act::ok() }));
    let children: Vec<_> =
        (0..32).map(|_| start(scene.command(&["claude", "ask", "Who?", "--json"]))).collect();
    let answers: Vec<_> =
        children.into_iter().map(|child| Output(child.wait_with_output().unwrap())).collect();
    for out in &answers {
        assert_eq!((out.code(), &out.data()["text"]), (0, &"answer to: Who?".into()), "{out}");
    }
    assert_eq!(scene.server.count(), 1);
    let asked = answers.iter().filter(|out| out.data()["source"] == "api").count();
    assert_eq!(asked, 1, "the others have it from the cache");
}

#[test]
fn a_killed_leader_leaves_its_place_to_another() {
    let scene = Scene::new(Script::new([Act::way(Way::Silent)]));
    let ask = || start(scene.command(&["claude", "ask", "Who?", "--deadline", "20s", "--json"]));
    let mut leader = ask();
    wait_for(|| scene.server.count() == 1);
    let others: Vec<_> = (0..4).map(|_| ask()).collect();
    // They wait for it and ask nothing themselves.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(scene.server.count(), 1);
    leader.kill().unwrap();
    leader.wait().unwrap();
    for other in others {
        let out = Output(other.wait_with_output().unwrap());
        assert_eq!((out.code(), &out.data()["text"]), (0, &"answer to: Who?".into()), "{out}");
    }
    assert_eq!(scene.server.count(), 2, "one of them went on for all");
}

#[test]
fn who_waits_for_another_waits_no_longer_than_its_deadline() {
    let scene = Scene::new(Script::always(Act::way(Way::Silent)));
    let mut leader = start(scene.command(&["claude", "ask", "Who?"]));
    wait_for(|| scene.server.count() == 1);
    let out = scene.run(&["claude", "ask", "Who?", "--deadline", "300ms"]);
    assert_eq!(out.code(), 124, "{out}");
    assert!(leader.try_wait().unwrap().is_none(), "the leader is still at it");
    leader.kill().unwrap();
    leader.wait().unwrap();
    assert_eq!(scene.server.count(), 1);
}

#[test]
fn nobody_storms_a_service_that_is_down() {
    let scene = Scene::new(Script::always(Act::status(500)));
    let ask = |n: usize| {
        let mut command = scene.command(&["claude", "ask"]);
        command.args([format!("question {n}"), "--json".to_owned()]);
        start(command)
    };
    let first: Vec<_> = (0..20).map(ask).collect();
    for child in first {
        assert_eq!(Output(child.wait_with_output().unwrap()).code(), 5);
    }
    let lines = scene.json(&["claude", "check"])["lines"].clone();
    let lines = lines.as_array().unwrap();
    assert!(!lines.is_empty());
    assert!(lines.iter().all(|line| line["breaker"] == "open"), "{lines:?}");
    let health = scene.json(&["health"]);
    let row = health["checks"].as_array().unwrap().iter().find(|row| row["check"] == "claude");
    assert_eq!(row.unwrap()["level"], "warn", "{health}");
    // From here on a process is told without a request, whoever it is.
    let before = scene.server.count();
    let second: Vec<_> = (20..40).map(ask).collect();
    for child in second {
        let out = Output(child.wait_with_output().unwrap());
        assert_eq!(out.code(), 5, "{out}");
        assert!(out.error()["message"].is_string());
    }
    assert_eq!(scene.server.count(), before);
}

#[test]
fn one_of_twenty_tries_a_service_that_may_be_up_again() {
    let scene = Scene::new(Script::always(Act::status(500)));
    let command = |n: usize, open: &str| {
        let mut command = scene.command(&["claude", "ask"]);
        command.args([format!("question {n}"), "--json".to_owned()]);
        command.env("COORD_CLAUDE_MODELS", "claude-haiku-5-5");
        command.env("COORD_CLAUDE_BREAKER_OPEN", open);
        command
    };
    let state = || {
        let lines = scene.json(&["claude", "check"])["lines"].clone();
        lines[0]["breaker"].as_str().unwrap_or_default().to_owned()
    };
    // It opens for a moment; the moment passes.
    for n in 0..2 {
        assert_eq!(Output(command(n, "1ms").output().unwrap()).code(), 5);
    }
    wait_for(|| state() == "half-open");
    let before = scene.server.count();
    scene.server.play(Script::always(Act { delay_ms: 500, ..Act::status(500) }));
    let ask = |n: usize| start(command(n, "1h"));
    let all: Vec<_> = (10..30).map(ask).collect();
    for child in all {
        assert_eq!(Output(child.wait_with_output().unwrap()).code(), 5);
    }
    assert_eq!(scene.server.count(), before + 1, "one tried for all");
    assert_eq!(state(), "open");
}

#[test]
fn offline_an_old_answer_is_labelled_and_no_socket_is_opened() {
    let scene = Scene::new(Script::new([]));
    let fresh = scene.json(&["claude", "ask", "Who?"]);
    let trace = scene.env.root().join("trace");
    let plain = scene.command(&["claude", "ask", "Who?", "--offline", "--json"]);
    let mut strace = scene.env.sealed("strace");
    strace.args(["-f", "-qq", "-e", "trace=%network", "-o"]).arg(&trace);
    strace.arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        strace.env(name, value.unwrap_or_default());
    }
    // Nothing is fresh any more.
    strace.env("COORD_CLAUDE_CACHE_TTL", "0s");
    let out = Output(strace.output().unwrap());
    assert_eq!(out.code(), 0, "{out}");
    let data = out.data();
    assert_eq!((&data["text"], &data["source"]), (&fresh["text"], &"stale".into()));
    assert_eq!(data["degraded"], true);
    assert!(data["age_s"].is_u64());
    assert_eq!(std::fs::read_to_string(trace).unwrap(), "");
    assert_eq!(scene.server.count(), 1);
}

#[test]
fn a_full_cache_gives_up_what_was_used_longest_ago() {
    let scene = Scene::new(Script::always(Act::text("x".repeat(400_000))));
    for question in ["a", "b", "c", "d"] {
        let mut command = scene.command(&["claude", "ask", question]);
        command.env("COORD_CLAUDE_CACHE_MAX_MIB", "1");
        let out = Output(command.output().unwrap());
        assert_eq!(out.code(), 0, "{out}");
    }
    let stats = scene.json(&["claude", "cache", "stats"]);
    assert!(stats["bytes"].as_u64().unwrap() <= 1 << 20, "{stats}");
    assert!(stats["entries"].as_u64().unwrap() > 0, "{stats}");
    let last = scene.json(&["claude", "ask", "d", "--offline"]);
    assert_eq!(last["source"], "cache");
    scene.run(&["claude", "ask", "a", "--offline"]).fails(5, "");
}
