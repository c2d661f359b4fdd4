//! `coord demo`: what the README's first line promises.

use crate::env::TestEnv;

#[test]
fn drains_the_queue_past_a_killed_worker_and_leaves_nothing() {
    let env = TestEnv::bare();
    let mut command = env.command();
    command.env("TMPDIR", env.root()).args(["demo", "--agents", "3", "--json"]);
    let out = crate::env::Output(command.output().unwrap());
    assert_eq!(out.code(), 0, "{out}");
    let report = out.data();
    assert_eq!(report["ok"], true);
    assert_eq!(report["workers"], 3);
    assert!(report["killed"]["pid"].is_u64(), "{report}");
    assert_ne!(report["killed"]["items"].as_array().unwrap().len(), 0, "{report}");
    let lines = include_str!("../../examples/backlog.jsonl").lines().count();
    assert_eq!(report["added"], lines);
    let done: u64 =
        report["agents"].as_array().unwrap().iter().map(|a| a["done"].as_u64().unwrap()).sum();
    assert_eq!(report["done"], done);
    let left: Vec<_> = std::fs::read_dir(env.root()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_it_says_is_what_the_kept_store_holds() {
    let env = TestEnv::bare();
    let mut command = env.command();
    command.env("TMPDIR", env.root()).args(["demo", "--keep", "--json"]);
    let out = crate::env::Output(command.output().unwrap());
    assert_eq!(out.code(), 0, "{out}");
    let report = out.data();
    let dir = format!("{}/store", report["kept_in"].as_str().unwrap());
    let items = env.json(&format!("--dir {dir} work list --all"));
    let items = items["items"].as_array().unwrap();
    let total = report["imported"].as_u64().unwrap() + report["added"].as_u64().unwrap();
    assert_eq!(items.len() as u64, total);
    let open = items.iter().filter(|i| i["status"] != "done" && i["status"] != "failed");
    assert_eq!(open.count(), 0);
    assert_eq!(env.coord(&format!("--dir {dir} verify")).code(), 0);
}

#[test]
fn wrong_use_is_told() {
    let env = TestEnv::bare();
    env.coord("demo --agents 0").fails(2, "0");
    let mut command = env.command();
    command.env("TMPDIR", "/nowhere").arg("demo");
    let out = crate::env::Output(command.output().unwrap());
    out.fails(5, "the demonstration cannot go on");
}
