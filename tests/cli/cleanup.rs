//! `coord cleanup`.

use std::time::{Duration, SystemTime};

use crate::env::TestEnv;
use crate::schema;

fn old(env: &TestEnv, path: &str, days: u64) {
    env.write(format!(".coord/{path}"), "{}\n");
    let file = std::fs::File::options().write(true).open(env.store().join(path)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_hours(24 * days)).unwrap();
}

#[test]
fn each_thing_is_shown_and_only_what_is_old_goes() {
    let env = TestEnv::new();
    env.add("One");
    assert_eq!(env.coord("cleanup").out(), "nothing to clean up\n");
    old(&env, "ops.20250101T000000000000Z.jsonl", 40);
    old(&env, "spans.20250101T000000000000Z.jsonl", 10);
    old(&env, "quarantine.jsonl", 40);
    old(&env, "agents/.nova.12.tmp", 1);
    old(&env, "agents/.vega.12.tmp", 0);
    let out = env.coord("cleanup --dry-run --json");
    let answer: serde_json::Value = serde_json::from_str(&out.out()).unwrap();
    schema::check(&answer);
    let paths = |answer: &serde_json::Value| -> Vec<String> {
        let things = answer["data"]["things"].as_array().unwrap().iter();
        things.map(|thing| thing["path"].as_str().unwrap().to_owned()).collect()
    };
    let expected = ["ops.20250101T000000000000Z.jsonl", "agents/.nova.12.tmp"];
    assert_eq!(paths(&answer), expected);
    assert!(env.store().join(expected[0]).exists(), "a dry run removes nothing");
    env.coord("cleanup").fails(2, "needs a confirmation");
    let out =
        env.coord("cleanup --yes --telemetry-older-than 5d --quarantine-older-than 30d --json");
    assert_eq!(out.code(), 0, "{out}");
    let mut gone = paths(&serde_json::from_str(&out.out()).unwrap());
    gone.sort();
    let all = [
        "agents/.nova.12.tmp",
        "ops.20250101T000000000000Z.jsonl",
        "quarantine.jsonl",
        "spans.20250101T000000000000Z.jsonl",
    ];
    assert_eq!(gone, all);
    assert!(all.iter().all(|path| !env.store().join(path).exists()));
    assert!(env.store().join("agents/.vega.12.tmp").exists(), "it may be on its way");
    env.coord("cleanup --history-older-than 1d").fails(2, "too young to go");
    env.coord("verify").done();
    assert_eq!(env.coord("work list -q").out(), "w-1\n");
}
