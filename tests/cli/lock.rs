//! `coord lock run` and `coord lock list`.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::agent_run::{signal, until};
use crate::env::{Output, TestEnv};

fn lock(env: &TestEnv, flags: &str, script: &str) -> Child {
    let mut cmd = env.command();
    cmd.args(["lock", "run"]).args(flags.split(' ')).args(["--", "sh", "-c", script]);
    cmd.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child) -> Output {
    Output(child.wait_with_output().unwrap())
}

#[test]
fn twenty_increments_at_once_make_twenty() {
    let env = TestEnv::new();
    env.write("counter", "0");
    let script = "n=$(cat counter); sleep 0.01; echo $((n+1)) > counter; echo $COORD_LOCK_TOKEN";
    let all: Vec<_> = (0..20).map(|_| lock(&env, "counter --wait 60s", script)).collect();
    let mut tokens: Vec<u64> = all
        .into_iter()
        .map(|child| {
            let out = end(child);
            assert_eq!(out.code(), 0, "{out}");
            out.out().trim().parse().unwrap()
        })
        .collect();
    assert_eq!(std::fs::read_to_string(env.root().join("counter")).unwrap(), "20\n");
    tokens.sort_unstable();
    assert_eq!(tokens, (1..=20).collect::<Vec<_>>());
}

#[test]
fn the_exit_code_and_the_streams_are_the_programs_own() {
    let env = TestEnv::new();
    let out = env.feed("lock run x -- sh -c 'cat; echo $COORD_LOCK; exit 7'", "given ");
    assert_eq!((out.code(), out.out().as_str()), (7, "given x\n"));
    assert_eq!(env.coord("lock run x -- true").code(), 0);
    assert_eq!(env.coord("lock run x -- sh -c 'kill -9 $$'").code(), 137);
    assert!(env.json("lock list")["locks"].as_array().unwrap().is_empty());
}

#[test]
fn who_does_not_get_it_is_told_who_has_it() {
    let env = TestEnv::new();
    let child = lock(&env, "deploy --agent nova --note rollout", "echo > on; sleep 60");
    until("it is taken", || env.root().join("on").exists());
    let out = env.coord("lock run deploy -- true");
    out.fails(4, "the lock `deploy` is still held by `nova`");
    assert!(out.err().contains("it runs `rollout`"), "{out}");
    let started = Instant::now();
    env.coord("lock run deploy --wait 300ms -- true").fails(4, "held by `nova` after 3");
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(env.coord("lock run other -- true").code(), 0);
    let held = &env.json("lock list")["locks"];
    assert_eq!(
        (held[0]["name"].as_str(), held[0]["holder"].as_str()),
        (Some("deploy"), Some("nova"))
    );
    assert_eq!((held[0]["token"].as_u64(), held[0]["note"].as_str()), (Some(1), Some("rollout")));
    // A signal ends the program and gives the lock back.
    signal(&child, "TERM");
    let out = end(child);
    assert_eq!(out.code(), 143, "{out}");
    assert_eq!(env.coord("lock run deploy -- sh -c 'exit $COORD_LOCK_TOKEN'").code(), 2);
}

#[test]
fn the_lease_is_renewed_and_a_dead_holder_blocks_no_longer_than_it() {
    let env = TestEnv::new();
    let mut child = lock(&env, "x --lease 600ms", "echo $$ > on; sleep 60");
    until("it is taken", || env.root().join("on").exists());
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(1500) {
        assert_eq!(env.coord("lock run x -- true").code(), 4);
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let started = Instant::now();
    assert_eq!(env.coord("lock run x --wait 20s -- true").code(), 0);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_lost_lease_kills_the_program_and_is_a_conflict() {
    let env = TestEnv::new();
    let child = lock(&env, "x --lease 500ms --agent slow", "echo > on; sleep 60; echo > never");
    until("it is taken", || env.root().join("on").exists());
    signal(&child, "STOP");
    let thief = lock(&env, "x --wait 20s --agent thief", "echo > stolen; sleep 60");
    until("it is stolen", || env.root().join("stolen").exists());
    signal(&child, "CONT");
    let out = end(child);
    assert_eq!(out.code(), 4, "{out}");
    assert!(out.err().contains("the lock `x` was lost: `thief` has it now"), "{out}");
    let held = env.json("lock list");
    assert_eq!(held["locks"][0]["holder"], "thief", "a late unlock frees nothing");
    signal(&thief, "INT");
    assert_eq!(end(thief).code(), 130);
}

#[test]
fn a_program_that_is_slow_to_end_keeps_the_lock_until_it_has() {
    let env = TestEnv::new();
    let script = "trap '' TERM; echo > on; n=0; while [ $n -lt 15 ]; do n=$((n+1)); sleep 0.1; done; echo > over";
    let child = lock(&env, "x --lease 500ms --grace 20s", script);
    until("it is taken", || env.root().join("on").exists());
    signal(&child, "TERM");
    let next = env.coord("lock run x --wait 20s -- test -e over");
    assert_eq!(next.code(), 0, "two had it at once: {next}");
    let out = end(child);
    assert_eq!(out.code(), 143, "{out}");
}

#[test]
fn wrong_use_is_refused() {
    let env = TestEnv::new();
    env.coord("lock run x").fails(2, "missing");
    env.coord("lock run ../x -- true").fails(2, "no value for");
    env.coord("lock run x --lease 0 -- true").fails(2, "a lease of no length");
    env.coord("lock run x -- no-such-program").fails(5, "there is no program");
    env.write(".coord/locks/bad.json", "{\"held\":");
    let out = env.coord("lock run bad -- touch ran");
    assert_eq!(out.code(), 5, "{out}");
    assert!(!env.root().join("ran").exists());
}
