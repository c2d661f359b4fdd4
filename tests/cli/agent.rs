//! `coord agent register`, `heartbeat`, `list`, `remove`.

use crate::env::TestEnv;

#[test]
fn registering_again_keeps_what_is_not_given() {
    let env = TestEnv::new();
    let first = env
        .json("agent register nova --team core --capacity 3 --specialization bug --capability sql");
    assert_eq!((first["updated"].as_bool(), first["capacity"].as_u64()), (Some(false), Some(3)));
    let second = env.json("agent register nova --capability rust");
    assert_eq!(second["updated"], true);
    assert_eq!(second["team"], "core");
    assert_eq!(second["capacity"], 3);
    assert_eq!(second["specialization"], "bug");
    assert_eq!(second["capabilities"], serde_json::json!(["rust"]));
    assert_eq!(second["registered_at"], first["registered_at"]);
}

#[test]
fn an_id_is_taken_from_the_environment_or_made() {
    let env = TestEnv::new();
    assert_eq!(env.coord("agent register -q").out(), "tester\n");
    let made = |env: &TestEnv| {
        let mut cmd = env.command();
        cmd.env_remove("COORD_AGENT").args(["agent", "register", "-q"]);
        String::from_utf8(cmd.output().unwrap().stdout).unwrap()
    };
    let (one, two) = (made(&env), made(&env));
    assert_ne!(one, two);
    assert!(one.starts_with("agent-") && one.len() == "agent-12345678\n".len(), "{one}");
}

#[test]
fn capacity_and_capabilities_count_when_claiming() {
    let env = TestEnv::new();
    env.add("One --capability rust");
    env.add("Two");
    env.coord("agent register nova --capacity 1 --capability rust").done();
    assert_eq!(env.coord("claim -q --agent nova").out(), "w-1\n");
    env.coord("claim --agent nova").fails(1, "holds 1 item and registered for 1");
}

#[test]
fn a_heartbeat_renews_the_lease_without_writing_to_the_log() {
    let env = TestEnv::new();
    env.add("One");
    env.coord("claim -q --agent nova --lease 1500ms").done();
    let log = env.log();
    for _ in 0..4 {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let beat = env.json("agent heartbeat nova --held");
        assert_eq!((beat["held"].as_u64(), beat["registered"].as_bool()), (Some(1), Some(false)));
        assert!(beat["lease_left_s"].as_f64().unwrap() > 1.0);
    }
    env.coord("claim --agent other").fails(6, "nothing to do");
    assert_eq!(env.log(), log);
    std::thread::sleep(std::time::Duration::from_millis(1600));
    assert_eq!(env.coord("claim -q --agent other").out(), "w-1\n");
}

#[test]
fn the_list_counts_and_filters() {
    let env = TestEnv::new();
    assert_eq!(env.json("agent list")["agents"], serde_json::json!([]));
    for title in ["A", "B", "C"] {
        env.add(&format!("{title} --points 5"));
    }
    env.coord("agent register nova --team core --capacity 2").done();
    env.coord("agent register mute --team edge").done();
    env.coord("claim w-1 --agent nova").done();
    env.coord("complete w-1 --agent nova").done();
    env.coord("claim w-2 --agent nova").done();
    env.coord("complete w-2 --failed --agent nova").done();
    env.coord("claim w-3 --agent nova").done();
    let list = env.json("agent list --team core --since 1h");
    assert_eq!(list["total"], 1);
    let nova = &list["agents"][0];
    assert_eq!((nova["id"].as_str(), nova["held"].as_u64()), (Some("nova"), Some(1)));
    assert_eq!((nova["done"].as_u64(), nova["failed"].as_u64()), (Some(1), Some(1)));
    assert_eq!((nova["load"].as_f64(), nova["success_rate"].as_f64()), (Some(0.5), Some(0.5)));
    assert_eq!((nova["points"].as_u64(), nova["throughput_per_h"].as_f64()), (Some(5), Some(1.0)));
    assert_eq!(nova["silent"], false);
    assert_eq!(env.coord("agent list -q").out(), "mute\nnova\n");
    assert_eq!(env.coord("agent list -q --silent").out(), "");
    let mut later = env.command();
    later.env("COORD_AGENT_SILENT_AFTER", "1ms").args(["agent", "list", "-q", "--silent"]);
    assert_eq!(String::from_utf8(later.output().unwrap().stdout).unwrap(), "mute\nnova\n");
}

#[test]
fn removing_gives_the_work_back_and_says_which() {
    let env = TestEnv::new();
    env.add("Held");
    env.add("Kept --assignee nova");
    env.coord("agent register nova").done();
    env.coord("claim w-1 --agent nova").done();
    env.coord("agent remove novae").fails(1, "no agent `novae`");
    assert!(env.coord("agent remove novae").err().contains("did you mean `nova`?"));
    let gone = env.json("agent remove nova");
    let ids: Vec<_> = gone["items"].as_array().unwrap().iter().map(|i| i["id"].clone()).collect();
    assert_eq!(ids, ["w-1", "w-2"]);
    assert_eq!(env.coord("claim -q --agent other").out(), "w-1\n");
    assert_eq!(env.json("work show w-1")["attempt"], 1, "the lost attempt is not counted");
    let again = env.json("agent remove nova");
    assert_eq!(
        (again["registered"].as_bool(), again["items"].as_array()),
        (Some(false), Some(&vec![]))
    );
}

#[test]
fn wrong_use_is_refused() {
    let env = TestEnv::new();
    env.coord("agent register a:b").fails(2, "it holds ':'");
    env.coord("agent register x --capacity 0").fails(2, "`--capacity");
    env.coord("agent register x --capacity 99999").fails(2, "expected 1 to 10000");
    env.coord("agent").fails(2, "");
    env.coord("agent heartbeat -- -x").fails(2, "");
    let bare = TestEnv::bare();
    bare.coord("agent list").fails(1, "no store at");
    bare.coord("agent remove x").fails(1, "no store at");
}
