//! `coord work progress`, `complete`, `release`, `edit`: the life of an item.

use crate::env::TestEnv;

fn claimed() -> TestEnv {
    let env = TestEnv::new();
    env.add("One");
    assert_eq!(env.coord("claim -q").code(), 0);
    env
}

#[test]
fn progress_is_checked_and_renews_the_lease() {
    let env = claimed();
    assert_eq!(env.json("progress 40 --note half")["progress"], 40);
    let item = env.json("progress w-1 60% --lease 2h");
    assert_eq!((&item["progress"], &item["note"]), (&60.into(), &"half".into()));
    assert!(item["lease_left_s"].as_u64().unwrap() > 7000);
    let before = env.log();
    env.coord("progress 101").fails(2, "`101` is no percentage");
    env.coord("progress -5").fails(2, "`-5` is no percentage");
    env.coord("progress w-1 many").fails(2, "`many` is no percentage");
    env.coord("progress w-1 99999999999999999999").fails(2, "is no percentage");
    env.coord("progress ../x 5").fails(2, "`../x` is no id");
    env.coord("progress 30").fails(1, "is at 60 %");
    env.coord("progress w-9 70").fails(1, "no work item `w-9`");
    env.coord("progress w-1 70 --agent nova").fails(4, "is held by `tester`");
    env.coord("progress w-1 70 --token 999").fails(4, "the claim on `w-1` with token 999 is over");
    env.coord("progress --lease 0").fails(2, "a lease of no length");
    env.coord("progress 70 --agent nova").fails(1, "`nova` holds no item");
    assert_eq!(env.log(), before);
}

#[test]
fn without_an_id_it_is_the_one_that_is_held() {
    let env = claimed();
    env.add("Two");
    assert_eq!(env.coord("claim").code(), 0);
    env.coord("progress 5").fails(1, "`tester` holds 2 items");
    assert!(env.coord("complete").err().contains("say which one: `w-1`, `w-2`"));
    let token = env.json("work show w-2")["token"].as_u64().unwrap();
    let out = env.shell(&format!("COORD_TOKEN={token} $COORD complete --json"));
    assert_eq!(out.data()["id"], "w-2");
    env.shell("COORD_TOKEN=x $COORD complete").fails(3, "`COORD_TOKEN` is `x`");
    assert_eq!(env.json("complete")["id"], "w-1");
}

#[test]
fn completing_twice_counts_once() {
    let env = claimed();
    env.add("Next --needs w-1 --points 3");
    let done = env.json("complete w-1 --result 'merged' --points 8");
    assert_eq!((&done["status"], &done["points"]), (&"done".into(), &8.into()));
    assert_eq!(done["unblocked"], serde_json::json!(["w-2"]));
    let before = env.log();
    let again = env.coord("complete w-1");
    assert_eq!(again.code(), 0, "{again}");
    assert!(again.err().contains("nothing was counted twice"), "{again}");
    env.coord("complete w-1 --agent nova").fails(1, "`w-1` is done");
    env.coord("complete w-2").fails(1, "`w-2` is pending");
    env.coord("complete w-1 --points 1000001").fails(2, "expected a whole number");
    env.coord("complete w-1 --no-retry").fails(2, "missing: `--failed`");
    env.coord("complete w-1 --failed --points 3").fails(2, "does not go with");
    assert_eq!(env.log(), before);
    assert_eq!(env.json("status")["points"], 8);
}

#[test]
fn a_result_can_come_from_standard_input() {
    let env = claimed();
    let out = env.feed("complete --result - --json", "line one\nline two\n");
    assert_eq!(out.data()["result"], "line one\nline two");
}

#[test]
fn what_fails_is_tried_again_until_it_is_dead_and_can_be_revived() {
    let env = TestEnv::new();
    env.add("One --max-attempts 2");
    env.coord("claim -q").code();
    let failed = env.json("complete --failed --result 'no network'");
    assert_eq!((&failed["status"], &failed["result"]), (&"pending".into(), &"no network".into()));
    assert_eq!(env.coord("claim -q").out(), "w-1\n");
    let out = env.coord("complete --failed");
    assert!(out.out().contains("w-1 is dead"), "{out}");
    env.coord("claim").fails(6, "the queue is empty");
    env.coord("claim w-1").fails(1, "`w-1` is dead");
    assert_eq!(env.json("work list --dead")["total"], 1);
    assert_eq!(env.json("work release w-1 --retry")["status"], "pending");
    assert_eq!(env.coord("claim -q").out(), "w-1\n");
    assert_eq!(env.json("complete --failed --no-retry")["status"], "failed");
    let history = env.json("work show w-1 --events 3");
    assert_eq!(history["events"].as_array().unwrap().len(), 3);
    assert!(history["events_total"].as_u64().unwrap() > 5);
}

#[test]
fn giving_back_does_not_count_as_an_attempt() {
    let env = claimed();
    let back = env.json("work release --note 'needs a key'");
    assert_eq!((&back["status"], &back["attempt"]), (&"pending".into(), &0.into()));
    let before = env.log();
    env.coord("work release w-1").fails(1, "`w-1` is pending");
    env.coord("work release w-1 --retry").fails(1, "only failed and dead items are retried");
    env.coord("work release --retry").fails(2, "missing");
    assert_eq!(env.log(), before);
}

#[test]
fn an_edit_changes_what_is_named() {
    let env = TestEnv::new();
    env.add("One --team core --label a --points 3");
    env.add("Two");
    let line = "work edit w-1 --title Better --no-team --label b --no-label a --no-points \
                --priority low --needs w-2 --estimate 90m --type bug --max-attempts 9";
    let item = env.json(line);
    for (field, value) in [
        ("title", "Better".into()),
        ("team", serde_json::Value::Null),
        ("labels", serde_json::json!(["b"])),
        ("points", serde_json::Value::Null),
        ("priority", "low".into()),
        ("status", "blocked".into()),
        ("estimate_s", 5400.into()),
        ("type", "bug".into()),
        ("changed", true.into()),
    ] {
        assert_eq!(item[field], value, "{field}");
    }
    let before = env.log();
    assert_eq!(env.json("work edit w-1 --title Better")["changed"], false);
    env.coord("work edit w-1").fails(2, "nothing to change");
    env.coord("work edit w-1 --title ' '").fails(2, "the title is empty");
    env.coord("work edit w-2 --needs w-1").fails(1, "a dependency cycle");
    env.coord("work edit w-2 --needs gone").fails(1, "which does not exist");
    env.coord("work edit w-1 --team core --no-team").fails(2, "does not go with");
    env.coord("work edit w-1 --max-attempts 0").fails(2, "`max-attempts` is 0");
    assert_eq!(env.log(), before);
    assert_eq!(env.json("work edit w-1 --no-needs w-2")["status"], "pending");
}
