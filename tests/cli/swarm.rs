//! `coord swarm run`: many workers, real deaths.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};

use crate::agent_run::{signal, until};
use crate::env::{Output, TestEnv};

fn swarm(env: &TestEnv, flags: &str, script: &str) -> Child {
    let mut cmd = env.command();
    cmd.args(["swarm", "run", "--json"]).args(flags.split(' ')).args(["--", "sh", "-c", script]);
    cmd.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn fill(env: &TestEnv, count: usize) {
    let lines: Vec<String> = (1..=count).map(|k| format!("{{\"title\":\"Item {k}\"}}")).collect();
    env.feed("work add -q", &lines.join("\n")).done();
}

#[test]
fn eight_workers_drain_two_hundred_items_once_each() {
    let env = TestEnv::new();
    fill(&env, 200);
    let script = "echo $COORD_ITEM_ID >> done.txt";
    let out =
        Output(swarm(&env, "-n 8 --until-empty --prefix s", script).wait_with_output().unwrap());
    assert_eq!(out.code(), 0, "{out}");
    let report = out.data();
    assert_eq!((report["done"].as_u64(), report["open"].as_u64()), (Some(200), Some(0)));
    assert_eq!((report["restarts"].as_u64(), report["stopped_by"].as_str()), (Some(0), None));
    let workers = report["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 8);
    assert_eq!(workers.iter().map(|w| w["done"].as_u64().unwrap()).sum::<u64>(), 200);
    let mut runs: BTreeMap<String, usize> = BTreeMap::new();
    for id in std::fs::read_to_string(env.root().join("done.txt")).unwrap().lines() {
        *runs.entry(id.to_owned()).or_default() += 1;
    }
    assert!(runs.len() == 200 && runs.values().all(|n| *n == 1), "{runs:?}");
    assert_eq!(env.json("status")["done"], 200);
}

#[test]
fn a_killed_worker_is_started_again_and_its_item_comes_back_at_once() {
    let env = TestEnv::new();
    fill(&env, 3);
    // The first attempt at the second item kills the worker that is its parent.
    let script = "[ $COORD_ITEM_ID$COORD_ATTEMPT != w-21 ] || kill -9 $PPID; sleep 0.05";
    let child = swarm(&env, "-n 2 --until-empty --lease 10m", script);
    let out = Output(child.wait_with_output().unwrap());
    assert_eq!(out.code(), 0, "{out}");
    let report = out.data();
    assert_eq!((report["done"].as_u64(), report["restarts"].as_u64()), (Some(3), Some(1)));
    assert!(out.err().contains("died (signal 9) and is started again"), "{out}");
    let item = env.json("work show w-2");
    assert_eq!((item["status"].as_str(), item["attempt"].as_u64()), (Some("done"), Some(2)));
}

#[test]
fn who_dies_at_once_again_and_again_is_given_up() {
    let env = TestEnv::new();
    env.add("Poison --max-attempts 100");
    let out = Output(
        swarm(&env, "-n 1 --until-empty", "kill -9 $PPID; sleep 9").wait_with_output().unwrap(),
    );
    assert_eq!(out.code(), 5, "{out}");
    assert!(out.err().contains("5 times in a row"), "{out}");
    let report = out.data();
    assert_eq!((report["given_up"].as_u64(), report["restarts"].as_u64()), (Some(1), Some(4)));
    assert_eq!(env.json("work show w-1")["attempt"], 5);
}

#[test]
fn it_scales_by_signal_and_hands_the_end_down() {
    let env = TestEnv::new();
    fill(&env, 9);
    let child = swarm(&env, "-n 1 --prefix s", "echo $COORD_AGENT >> who.txt; sleep 60");
    let running = || {
        let who = std::fs::read_to_string(env.root().join("who.txt")).unwrap_or_default();
        who.lines().count()
    };
    until("one works", || running() == 1);
    signal(&child, "USR1");
    until("two work", || running() == 2);
    assert_eq!(env.json("status")["active"], 2);
    signal(&child, "TERM");
    let out = Output(child.wait_with_output().unwrap());
    assert_eq!(out.code(), 143, "{out}");
    let report: serde_json::Value = serde_json::from_slice(&out.0.stdout).unwrap();
    assert_eq!(report["data"]["agents"], 2);
    assert_eq!(report["data"]["stopped_by"], "SIGTERM");
    let status = env.json("status");
    assert_eq!((status["pending"].as_u64(), status["active"].as_u64()), (Some(9), Some(0)));
}

#[test]
fn one_less_finishes_its_item_first() {
    let env = TestEnv::new();
    fill(&env, 2);
    let child = swarm(&env, "-n 2 --prefix s", "echo >> on.txt; sleep 0.5");
    until("both work", || {
        std::fs::read_to_string(env.root().join("on.txt")).unwrap_or_default().lines().count() == 2
    });
    signal(&child, "USR2");
    until("both are done", || env.json("status")["done"] == 2);
    fill(&env, 3);
    until("all are done", || env.json("status")["done"] == 5);
    signal(&child, "INT");
    assert_eq!(Output(child.wait_with_output().unwrap()).code(), 130);
    let list = env.json("agent list");
    let done = |id: &str| {
        let agents = list["agents"].as_array().unwrap();
        agents.iter().find(|a| a["id"] == id).unwrap()["done"].as_u64().unwrap()
    };
    assert_eq!((done("s-1"), done("s-2")), (4, 1));
}

#[test]
fn killing_the_supervisor_ends_the_workers_who_give_back() {
    let env = TestEnv::new();
    fill(&env, 2);
    let mut child = swarm(&env, "-n 2", "sleep 60");
    until("both work", || env.json("status")["active"] == 2);
    child.kill().unwrap();
    child.wait().unwrap();
    until("the items are back", || env.json("status")["pending"] == 2);
}

#[test]
fn wrong_use_is_refused() {
    let env = TestEnv::new();
    env.coord("swarm run -- true").fails(2, "missing");
    env.coord("swarm run -n 0 -- true").fails(2, "`--agents");
    env.coord("swarm run -n 5000 -- true").fails(2, "expected 1 to 1000");
    env.coord("swarm run -n 2 -- no-such-program").fails(5, "there is no program");
    let long = "x".repeat(64);
    env.coord(&format!("swarm run -n 2 --prefix {long} -- true")).fails(2, "is no agent id");
    assert_eq!(env.coord("swarm run -n 2 --until-empty -- true").code(), 0, "nothing to do");
}
