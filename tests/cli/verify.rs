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

#[test]
fn a_log_that_is_gone_is_a_problem_and_none_is_made() {
    let env = scene();
    let head = env.coord("verify -q").out().trim().to_owned();
    for entry in std::fs::read_dir(env.store()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
            .unwrap();
    }
    for line in ["verify --json", "verify --repair --json"] {
        let found = problems(&env, line);
        assert_eq!(
            (found[0]["kind"].as_str(), found[0]["file"].as_str()),
            (Some("missing"), Some("work.jsonl"))
        );
        assert!(std::fs::read_dir(env.store()).unwrap().next().is_none(), "{line} made something");
    }
    let found = problems(&env, &format!("verify --json --expect {head}"));
    assert_eq!(found[1]["kind"], "history", "{found:#?}");
}

/// The link of a line.
fn link(line: &str) -> String {
    let hash = hmac_sha256::Hash::hash(line.trim_end_matches('\n').as_bytes());
    let first = hash[..8].try_into().unwrap();
    format!("{:016x}", u64::from_be_bytes(first))
}

/// A note of the log as a repair would write it.
fn note(n: u64, op: &str, removed: &[&str], gaps: &str, before: &str) -> String {
    let prev = link(before);
    format!(
        "{{\"n\":{n},\"op\":\"{op}\",\"op_id\":\"op-x{n}\",\"at\":\"2026-01-02T03:04:05.000006Z\",\"by\":\"x\",\"removed\":{},\"gaps\":{gaps},\"prev\":\"{prev}\"}}\n",
        serde_json::to_string(removed).unwrap()
    )
}

/// Writes a log, and takes away all that knows of the former one.
fn forge(env: &TestEnv, lines: &[String]) {
    env.write(".coord/work.jsonl", &lines.concat());
    let _ = std::fs::remove_dir_all(env.store().join(".index"));
    let _ = std::fs::remove_file(env.store().join("checked.json"));
}

#[test]
fn no_note_of_a_repair_excuses_a_changed_line() {
    let env = TestEnv::new();
    for title in ["one", "two", "three", "four", "five", "six"] {
        env.add(title);
    }
    let head = env.coord("verify -q").out().trim().to_owned();
    let log = String::from_utf8(env.log()).unwrap();
    let lines: Vec<String> = log.split_inclusive('\n').map(str::to_owned).collect();
    let (old, garbage) = (lines[3].trim_end().to_owned(), "{garbage".to_owned());
    let kept = |line: &str| serde_json::json!({ "at": "", "from": "", "line": line }).to_string();
    for (quarantine, removed) in [
        (None, vec![link(&old)]),
        (Some(&old), vec![link(&old)]),
        (Some(&garbage), vec![link(&old), link(&garbage)]),
    ] {
        let removed: Vec<&str> = removed.iter().map(String::as_str).collect();
        let mut forged = lines.clone();
        forged[3] = forged[3].replace("three", "HACKED");
        for gaps in ["[]", "[[3,3]]", "[[4,3]]"] {
            forged.truncate(7);
            forged.push(note(7, "repair", &removed, gaps, &forged[6]));
            forge(&env, &forged);
            match quarantine {
                Some(line) => env.write(".coord/quarantine.jsonl", &(kept(line) + "\n")),
                None => drop(std::fs::remove_file(env.store().join("quarantine.jsonl"))),
            }
            let found = problems(&env, "verify --json");
            assert!(
                found.iter().any(|p| p["kind"] == "changed" && p["line"] == 4),
                "{gaps} {quarantine:?}: {found:#?}"
            );
            let found = problems(&env, &format!("verify --json --expect {head}"));
            assert!(found.iter().any(|p| p["kind"] == "history"), "{gaps}: {found:#?}");
        }
        // A whole line that was taken out and explained away is told, and known to the head.
        let mut forged = lines.clone();
        forged.remove(3);
        forged.push(note(7, "repair", &removed, "[[3,3]]", &forged[5]));
        forge(&env, &forged);
        let out = env.coord("verify");
        assert!(out.code() == 10 || out.out().contains("note: write 7 is a repair"), "{out}");
        assert!(out.out().contains("1 write is lost (write 3)"), "{out}");
        let found = problems(&env, &format!("verify --json --expect {head}"));
        assert!(found.iter().any(|p| p["kind"] == "history"), "{found:#?}");
    }
}

#[test]
fn what_was_cut_off_is_told_whatever_the_log_says() {
    let env = TestEnv::new();
    for title in ["one", "two", "three", "four", "five", "six"] {
        env.add(title);
    }
    let head = env.coord("verify -q").out().trim().to_owned();
    let log = String::from_utf8(env.log()).unwrap();
    let lines: Vec<String> = log.split_inclusive('\n').take(5).map(str::to_owned).collect();
    let mut forged = lines.clone();
    forged.push(note(7, "repair", &[], "[[5,6]]", &lines[4]));
    forge(&env, &forged);
    assert_eq!(env.coord("verify").code(), 10);
    let mut forged = lines.clone();
    forged.push(note(7, "lost", &[], "[[5,6]]", &lines[4]));
    forged.push(note(8, "repair", &[], "[[5,6]]", &forged[5]));
    forge(&env, &forged);
    let out = env.coord("verify");
    assert_eq!(out.code(), 0, "this is what a repair leaves behind: {out}");
    assert!(out.out().contains("2 writes are lost (writes 5 to 6)"), "{out}");
    assert_eq!(env.coord(&format!("verify --expect {head}")).code(), 10);
}

#[test]
fn what_a_repair_moved_is_kept_to_the_byte_and_always_told() {
    use base64::Engine as _;
    let env = TestEnv::new();
    for title in ["one", "two", "three", "four"] {
        env.add(title);
    }
    let before = env.coord("verify -q").out().trim().to_owned();
    let log = env.log();
    let mut lines: Vec<&[u8]> = log.split_inclusive(|c| *c == b'\n').collect();
    let broken = b"{\"n\":3,\"id\":\"w-3\xff\xfe\x80\"}\n";
    lines[3] = broken;
    std::fs::write(env.store().join("work.jsonl"), lines.concat()).unwrap();
    assert_eq!(env.coord("verify").code(), 10);
    let out = env.coord("verify --repair");
    assert_eq!(out.code(), 0, "{out}");
    let kept = std::fs::read_to_string(env.store().join("quarantine.jsonl")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let engine = base64::engine::general_purpose::STANDARD;
    let bytes = engine.decode(kept["line_base64"].as_str().unwrap()).unwrap();
    assert_eq!(bytes, broken.strip_suffix(b"\n").unwrap());
    env.add("five");
    let out = env.coord("verify");
    assert_eq!(out.code(), 0, "{out}");
    let told = "is a repair by tester at ";
    assert!(out.out().contains(told), "{out}");
    assert!(
        out.out().contains("1 line was moved to `quarantine.jsonl`; 1 write is lost (write 3)")
    );
    // Whoever noted a head before sees that it does not stand for the same any more.
    let found = problems(&env, &format!("verify --json --expect {before}"));
    assert!(found[0]["what"].as_str().unwrap().contains("write 4 is there, but "), "{found:#?}");
    let after = env.coord("verify -q").out().trim().to_owned();
    env.add("six");
    env.coord(&format!("verify --expect {after}")).done();
    // Without the bytes the note says nothing.
    std::fs::remove_file(env.store().join("quarantine.jsonl")).unwrap();
    let found = problems(&env, "verify --json");
    assert!(found[0]["what"].as_str().unwrap().contains("they are not there"), "{found:#?}");
}
