//! `coord work assign`.

use crate::env::TestEnv;

/// Agents are known to the store as soon as they did something.
fn known() -> TestEnv {
    let env = TestEnv::new();
    env.add("Warm");
    assert_eq!(env.coord("claim --agent nova").code(), 0);
    assert_eq!(env.coord("complete --agent nova").code(), 0);
    env.add("One");
    env
}

#[test]
fn one_item_for_one_agent_or_for_nobody() {
    let env = known();
    let before = env.log();
    let dry = env.json("work assign w-2 --to nova --dry-run");
    assert_eq!((&dry["dry_run"], &dry["moves"][0]["to"]), (&true.into(), &"nova".into()));
    assert_eq!(env.log(), before);
    let moved = env.json("work assign w-2 --to nova");
    assert_eq!(moved["moves"][0]["to"], "nova");
    assert_eq!(env.json("work show w-2")["assignee"], "nova");
    env.coord("claim w-2").fails(4, "`w-2` is kept for `nova`");
    env.coord("claim").fails(6, "nothing to do");
    let again = env.coord("work assign w-2 --to nova");
    assert!(again.err().contains("was kept so already"), "{again}");
    assert_eq!(env.json("work assign w-2 --nobody")["moves"][0]["from"], "nova");
    assert_eq!(env.coord("claim -q").out(), "w-2\n");
    env.coord("work assign w-2 --to nova").fails(1, "`w-2` is active");
    env.coord("work assign w-2 --to nova --dry-run").fails(1, "`w-2` is active");
}

#[test]
fn wrong_use_is_refused() {
    let env = known();
    let before = env.log();
    assert!(env.coord("work assign w-2 --to nowa").err().contains("did you mean `nova`?"));
    env.coord("work assign w-2 --to nowa").fails(1, "no agent `nowa`");
    env.coord("work assign w-2").fails(2, "missing");
    env.coord("work assign --to nova").fails(2, "missing");
    env.coord("work assign w-2 --to nova --nobody").fails(2, "does not go with");
    env.coord("work assign w-9 --to nova").fails(1, "no work item `w-9`");
    env.coord("work assign w-2 --to nova --team core").fails(2, "does not go with");
    assert_eq!(env.log(), before);
}

#[test]
fn without_registered_agents_nothing_is_placed() {
    let env = known();
    let plan = env.json("work assign");
    assert_eq!(plan["moves"], serde_json::json!([]));
    assert_eq!(plan["unplaced"][0]["reason"], "no-agents");
    assert_eq!(TestEnv::new().coord("work assign").out(), "nothing to assign\n");
}

fn register(env: &TestEnv, id: &str, more: &str) {
    let at = "2026-01-02T03:04:05Z";
    let text = format!("{{\"id\":\"{id}\",\"registered_at\":\"{at}\"{more}}}\n");
    env.write(format!(".coord/agents/{id}.json"), &text);
    // A sign of life: silent agents are given nothing.
    let made = env.add(&format!("'Warm up' --assignee {id}"));
    assert_eq!(env.coord(&format!("claim {made} --agent {id}")).code(), 0);
    assert_eq!(env.coord(&format!("complete {made} --agent {id}")).code(), 0);
}

#[test]
fn routing_follows_the_rules_and_a_dry_run_changes_nothing() {
    let env = TestEnv::new();
    register(&env, "nova", ",\"capacity\":2,\"team\":\"core\"");
    register(&env, "zed", ",\"capacity\":3,\"specialization\":\"bug\"");
    let bug = env.add("Bug --type bug");
    let core = env.add("Core --team core --priority high");
    let edge = env.add("Edge --team edge");
    let rust = env.add("Rust --capability rust");
    let before = env.log();
    let plan = env.json("work assign --dry-run");
    assert_eq!(env.log(), before);
    let moves = |data: &serde_json::Value| -> Vec<(String, String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
        let rows = data["moves"].as_array().unwrap();
        rows.iter().map(|m| (text(&m["id"]), text(&m["to"]), text(&m["reason"]))).collect()
    };
    let expected = [
        (core.clone(), "nova".to_owned(), "team".to_owned()),
        (bug.clone(), "zed".to_owned(), "specialization".to_owned()),
        (edge.clone(), "zed".to_owned(), "load".to_owned()),
    ];
    assert_eq!(moves(&plan), expected);
    assert_eq!(plan["unplaced"][0]["id"], rust.as_str());
    assert_eq!(plan["unplaced"][0]["reason"], "no-capability");
    assert_eq!(moves(&env.json("work assign --limit 1")), expected[..1]);
    assert_eq!(moves(&env.json("work assign --team edge")), expected[2..]);
    assert_eq!(moves(&env.json("work assign")), expected[1..2]);
    assert!(moves(&env.json("work assign")).is_empty());
    assert_eq!(env.coord("claim -q --agent zed").out().trim(), bug);

    // Who is gone loses what was kept for it, and somebody else gets it.
    std::fs::remove_file(env.store().join("agents/zed.json")).unwrap();
    assert!(moves(&env.json("work assign")).is_empty());
    let freed = env.json("work assign --rebalance");
    assert_eq!(moves(&freed), [(edge, "-".to_owned(), "freed".to_owned())]);
    assert_eq!(freed["moves"][0]["from"], "zed");
}
