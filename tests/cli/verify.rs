//! `coord verify`: what it prints, and what it leaves alone.

use serde_json::Value;

use crate::env::TestEnv;
use crate::schema;

fn scene() -> TestEnv {
    let env = TestEnv::new();
    env.add("One");
    env.add("Two");
    env.coord("claim --agent nova").done();
    env.coord("complete --agent nova").done();
    env
}

/// The problems, which must fit the schema.
fn problems(env: &TestEnv, line: &str) -> Vec<Value> {
    let out = env.coord(line);
    assert_eq!(out.code(), 10, "{out}");
    let answer: Value = serde_json::from_str(&out.out()).unwrap();
    schema::check(&answer);
    answer["data"]["problems"].as_array().unwrap().clone()
}

#[test]
fn the_line_and_what_to_do_are_told() {
    let env = scene();
    let data = env.json("verify");
    assert_eq!(
        (&data["sound"], &data["n"], &data["claims"], &data["finishes"]),
        (&Value::Bool(true), &Value::from(4), &Value::from(1), &Value::from(1))
    );
    let log = String::from_utf8(env.log()).unwrap();
    env.write(".coord/work.jsonl", &log.replace("\"Two\"", "\"2wo\""));
    let found = problems(&env, "verify --json");
    assert_eq!(found.len(), 1, "{found:#?}");
    let (kind, file, line) = (&found[0]["kind"], &found[0]["file"], &found[0]["line"]);
    assert_eq!(
        (kind.as_str(), file.as_str(), line.as_u64()),
        (Some("changed"), Some("work.jsonl"), Some(3))
    );
    assert!(found[0]["todo"].as_str().unwrap().contains("backup"), "{found:#?}");
    let out = env.coord("verify");
    assert!(out.out().contains("problem: `work.jsonl` line 3: it was changed"), "{out}");
    assert!(out.out().contains("to do: "), "{out}");
    // A line that was cut off the end; the whole lines before it fit each other.
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    env.write(".coord/work.jsonl", &lines[..4].concat());
    let found = problems(&env, "verify --json");
    assert_eq!(
        (found[0]["kind"].as_str(), found[0]["line"].as_u64()),
        (Some("truncated"), Some(5))
    );
    assert_eq!(env.log(), lines[..4].concat().into_bytes(), "a check changes nothing");
}

#[test]
fn a_head_that_was_noted_is_asked_for_again() {
    let env = scene();
    let head = env.coord("verify -q").out().trim().to_owned();
    assert!(env.coord("verify").out().contains(&format!("head: {head}")));
    env.add("Three");
    env.coord(&format!("verify --expect {head}")).done();
    let other = head.replace(':', ":0").chars().take(head.len()).collect::<String>();
    let found =
        problems(&env, &format!("verify --json --expect {other} --expect 99:0123456789abcdef"));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().all(|p| p["kind"] == "history"), "{found:#?}");
    assert!(found[1]["what"].as_str().unwrap().contains("write 99 is not there"), "{found:#?}");
    for wrong in ["4", "4:12", "0:0123456789abcdef", "x:0123456789abcdef", "4:0123456789abcdeg"] {
        env.coord(&format!("verify --expect {wrong}")).fails(2, "16 hex digits");
    }
    // Who rewrites everything that knows of the log can be told only by a head that lies elsewhere.
    let log = String::from_utf8(env.log()).unwrap();
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    env.write(".coord/work.jsonl", &lines[..3].concat());
    std::fs::remove_dir_all(env.store().join(".index")).unwrap();
    std::fs::remove_file(env.store().join("checked.json")).unwrap();
    env.coord("verify").done();
    assert_eq!(env.coord(&format!("verify --expect {head}")).code(), 10);
}

#[test]
fn imported_items_are_told_and_not_judged() {
    let env = TestEnv::new();
    env.write(
        "old/work_claims.json",
        r#"[{"work_item_id":"work_1","agent_id":"a","claimed_at":"2025-01-01T00:00:00Z","work_type":"x","description":"Old","status":"completed","completed_at":"2025-01-02T00:00:00Z"}]"#,
    );
    env.coord("import old").done();
    let data = env.json("verify");
    assert_eq!(
        (data["imported"].as_u64(), data["finishes"].as_u64()),
        (Some(1), Some(0)),
        "{data}"
    );
    assert!(env.coord("verify").out().contains("1 imported item"), "{}", env.coord("verify"));
}

#[test]
fn a_span_without_its_parent_is_a_problem_only_where_that_is_asked() {
    let env = TestEnv::new();
    let _ = env.coord("add one");
    let span = r#"{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"00000000000000a1","parent_span_id":"00000000000000b2","name":"run sh","start":"2026-01-02T03:04:05Z","duration_us":5}"#;
    std::fs::write(env.store().join("spans.jsonl"), format!("{span}\n")).unwrap();
    let out = env.coord("verify");
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.out().contains("`--traces` names them"), "{out}");
    let out = env.coord("verify --traces --json");
    assert_eq!(out.code(), 10, "{out}");
    let problem = &out.data()["problems"][0];
    assert_eq!(
        (problem["kind"].as_str(), problem["file"].as_str()),
        (Some("trace"), Some("spans.jsonl"))
    );
}
