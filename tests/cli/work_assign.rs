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
