//! `coord cleanup`.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::env::{Output, TestEnv};
use crate::schema;

/// Runs `cleanup` with a place of its own for temporary files: others leave theirs in the usual one.
fn cleanup(env: &TestEnv, line: &str) -> Output {
    let mut command = env.command();
    command.env("TMPDIR", temporary(env)).args(["--no-telemetry", "cleanup"]);
    Output(command.args(line.split_whitespace()).output().unwrap())
}

fn temporary(env: &TestEnv) -> PathBuf {
    env.root().parent().unwrap().join("tmp")
}

/// The data of an answer that must fit its schema: kind, and what.
fn things(out: &Output) -> Vec<(String, String)> {
    assert_eq!(out.code(), 0, "{out}");
    let answer: Value = serde_json::from_str(&out.out()).unwrap();
    schema::check(&answer);
    let text = |thing: &Value, key: &str| thing[key].as_str().unwrap().to_owned();
    let things = answer["data"]["things"].as_array().unwrap().iter();
    things.map(|thing| (text(thing, "kind"), text(thing, "path"))).collect()
}

/// Every path below a directory with what it is and holds, links not followed.
fn picture(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let changed = entry.metadata().unwrap().modified().unwrap();
        if kind.is_dir() {
            all.extend(picture(&path));
            all.push((path, format!("directory {changed:?}")));
        } else if kind.is_symlink() {
            all.push((
                path.clone(),
                format!("to {}", std::fs::read_link(&path).unwrap().display()),
            ));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            all.push((path, format!("{changed:?} {bytes:?}")));
        }
    }
    all.sort();
    all
}

/// Makes a file or a tree look as if nobody had touched it for a day.
fn age(path: &Path) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            age(&entry.unwrap().path());
        }
    }
    let file = std::fs::File::open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_hours(24)).unwrap();
}

/// What a restore leaves that is killed while it unpacks.
fn killed_restore(env: &TestEnv, number: u32) -> PathBuf {
    let dir = env.root().join(format!("..coord.restore-{number:016x}"));
    std::fs::create_dir_all(dir.join("history")).unwrap();
    std::fs::write(dir.join("restoring"), "").unwrap();
    std::fs::write(dir.join("history/000001.jsonl"), "{}\n").unwrap();
    age(&dir);
    dir
}

fn old(env: &TestEnv, path: &str, days: u64) {
    env.write(format!(".coord/{path}"), "{}\n");
    let file = std::fs::File::options().write(true).open(env.store().join(path)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_hours(24 * days)).unwrap();
}

#[test]
fn each_thing_is_shown_and_only_what_is_old_goes() {
    let env = TestEnv::new();
    env.add("One");
    assert_eq!(cleanup(&env, "").out(), "nothing to clean\n");
    old(&env, "ops.20250101T000000000000Z.jsonl", 40);
    old(&env, "spans.20250101T000000000000Z.jsonl", 10);
    old(&env, "quarantine.jsonl", 40);
    old(&env, "quarantine/a.json", 40);
    old(&env, "agents/.nova.12.tmp", 1);
    old(&env, "agents/.vega.12.tmp", 0);
    let out = cleanup(&env, "--dry-run --json");
    let answer: serde_json::Value = serde_json::from_str(&out.out()).unwrap();
    schema::check(&answer);
    let paths = |answer: &serde_json::Value| -> Vec<String> {
        let things = answer["data"]["things"].as_array().unwrap().iter();
        things.map(|thing| thing["path"].as_str().unwrap().to_owned()).collect()
    };
    let expected = ["ops.20250101T000000000000Z.jsonl", "agents/.nova.12.tmp"];
    assert_eq!(paths(&answer), expected);
    assert!(env.store().join(expected[0]).exists(), "a dry run removes nothing");
    cleanup(&env, "").fails(2, "needs a confirmation");
    let out = cleanup(&env, "--yes --telemetry-older-than 5d --quarantine-older-than 30d --json");
    assert_eq!(out.code(), 0, "{out}");
    let mut gone = paths(&serde_json::from_str(&out.out()).unwrap());
    gone.sort();
    let all = [
        "agents/.nova.12.tmp",
        "ops.20250101T000000000000Z.jsonl",
        "quarantine/a.json",
        "spans.20250101T000000000000Z.jsonl",
    ];
    assert_eq!(gone, all);
    assert!(all.iter().all(|path| !env.store().join(path).exists()));
    assert!(env.store().join("agents/.vega.12.tmp").exists(), "it may be on its way");
    assert!(env.store().join("quarantine.jsonl").exists(), "the log is held against it");
    env.coord("cleanup --history-older-than 1d").fails(2, "too young to go");
    env.coord("verify").done();
    assert_eq!(env.coord("work list -q").out(), "w-1\n");
}

#[test]
fn what_killed_commands_left_goes_and_what_only_looks_like_it_stays() {
    let env = TestEnv::new();
    env.add("One");
    let saved = env.json("backup")["path"].as_str().unwrap().to_owned();
    let backups = Path::new(&saved).parent().unwrap();
    assert_eq!(cleanup(&env, "").out(), "nothing to clean\n");
    let left = killed_restore(&env, 1);
    // After the change of places it is the old state that has such a name.
    let old_state = killed_restore(&env, 2);
    std::fs::remove_file(old_state.join("restoring")).unwrap();
    age(&old_state);
    let young = killed_restore(&env, 3);
    std::fs::write(young.join("restoring"), "").unwrap();
    let (elsewhere, link) =
        (killed_restore(&env, 4), env.root().join("..coord.restore-5555555555555555"));
    let mine = env.root().join("mine");
    std::fs::rename(&elsewhere, &mine).unwrap();
    symlink(&mine, &link).unwrap();
    let archive = backups.join(".coord-0123456789abcdef.tmp");
    let others = backups.join(".coord-mine.tmp");
    for path in [&archive, &others] {
        std::fs::write(path, "half").unwrap();
        age(path);
    }
    symlink(&saved, backups.join(".coord-0000000000000000.tmp")).unwrap();
    let unpacked = temporary(&env).join("coord-backup-0123456789abcdef");
    std::fs::create_dir_all(unpacked.join("state")).unwrap();
    age(&unpacked);
    let kept = temporary(&env).join("coord-demo-0123456789abcdef");
    std::fs::create_dir_all(&kept).unwrap();
    age(&kept);
    let before = picture(env.root().parent().unwrap());
    let dry = things(&cleanup(&env, "--dry-run --json"));
    assert!(picture(env.root().parent().unwrap()) == before, "a dry run changes no byte");
    let expected: Vec<_> = [&left, &archive, &unpacked]
        .map(|path| ("temporary".to_owned(), path.to_str().unwrap().to_owned()))
        .into();
    assert_eq!(dry, expected);
    assert_eq!(things(&cleanup(&env, "--yes --json")), expected);
    assert!([&left, &archive, &unpacked].iter().all(|path| !path.exists()));
    assert!([&old_state, &young, &mine, &others, &kept].iter().all(|path| path.exists()));
    assert!(mine.join("history/000001.jsonl").exists() && link.is_symlink());
    assert_eq!(cleanup(&env, "").out(), "nothing to clean\n");
    env.coord("backup verify --all").done();
}

#[test]
fn cached_answers_of_no_use_go() {
    let env = TestEnv::new();
    let cache = env.root().parent().unwrap().join("home/.cache/coord/claude");
    let entry = |first: &str, created: &str| {
        let key = format!("{first}{}", "0".repeat(62));
        let entry = json!({"format": 1, "key": key, "created": created, "backend": "api",
            "model": "m", "text": "t", "stop_reason": "end_turn", "usage": {}, "cost_usd": null,
            "request_id": null});
        let body = entry.to_string();
        let sum = hmac_sha256::Hash::hash(body.as_bytes());
        let sum = sum.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        std::fs::create_dir_all(cache.join(first)).unwrap();
        std::fs::write(cache.join(first).join(&key), format!("{sum}\n{body}")).unwrap();
        cache.join(first).join(key)
    };
    let now = chrono::DateTime::<chrono::Utc>::from(SystemTime::now()).to_rfc3339();
    let (old, fresh) = (entry("aa", "2020-01-02T03:04:05Z"), entry("bb", &now));
    let damaged = entry("cc", &now);
    std::fs::write(&damaged, "damage").unwrap();
    let left = cache.join("aa/0123456789abcdef.new");
    std::fs::write(&left, "half").unwrap();
    age(&left);
    std::fs::write(cache.join("aa/0123456789abcdee.new"), "on its way").unwrap();
    let notes = cache.join("bb/notes.txt");
    std::fs::write(&notes, "mine").unwrap();
    age(&notes);
    std::fs::create_dir(cache.join("locks")).unwrap();
    let lock = cache.join("locks").join("f".repeat(64));
    std::fs::write(&lock, "").unwrap();
    age(&lock);
    // A shelf that is a link leads to what is none of ours.
    let mine = env.root().join("mine");
    std::fs::create_dir(&mine).unwrap();
    std::fs::copy(&old, mine.join(old.file_name().unwrap())).unwrap();
    symlink(&mine, cache.join("dd")).unwrap();
    let before = picture(env.root().parent().unwrap());
    let dry = things(&cleanup(&env, "--dry-run --json"));
    assert!(picture(env.root().parent().unwrap()) == before, "a dry run changes no byte");
    let mut paths: Vec<_> = dry.iter().map(|(_, path)| PathBuf::from(path)).collect();
    paths.sort();
    let mut expected = vec![old.clone(), left.clone(), damaged.clone(), lock.clone()];
    expected.sort();
    assert_eq!(paths, expected);
    assert!(dry.iter().all(|(kind, _)| kind == "cache"), "{dry:?}");
    assert_eq!(things(&cleanup(&env, "--yes --json")), dry);
    assert!(expected.iter().all(|path| !path.exists()));
    assert!(fresh.exists() && notes.exists() && mine.join(old.file_name().unwrap()).exists());
    assert_eq!(cleanup(&env, "").out(), "nothing to clean\n");
}

#[test]
fn backups_go_only_when_asked_for() {
    let env = TestEnv::new();
    let saved: Vec<_> =
        (0..3).map(|_| env.json("backup")["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(cleanup(&env, "").out(), "nothing to clean\n");
    cleanup(&env, "--backups").fails(2, "nothing says what may go");
    env.coord("config set backup.keep 2").done();
    assert_eq!(cleanup(&env, "").out(), "nothing to clean\n", "the setting alone asks for nothing");
    assert_eq!(things(&cleanup(&env, "--backups --dry-run --json")).len(), 1);
    assert_eq!(things(&cleanup(&env, "--backups-older-than 1d --dry-run --json")), []);
    let gone = things(&cleanup(&env, "--backups-keep 1 --yes --json"));
    let left: Vec<_> = saved.iter().filter(|path| Path::new(path).exists()).collect();
    assert_eq!((gone.len(), left.len()), (2, 1));
    assert!(gone.iter().all(|(kind, path)| kind == "backup" && path != left[0]));
    env.coord("backup verify --all").done();
}

#[test]
fn stale_claims_go_back_and_silent_agents_are_forgotten() {
    let env = TestEnv::new();
    (0..3).for_each(|_| drop(env.add("One")));
    env.write(".coord/agents/old.json", r#"{"id":"old","registered_at":"2020-01-02T03:04:05Z"}"#);
    env.write(".coord/agents/busy.json", r#"{"id":"busy","registered_at":"2020-01-02T03:04:05Z"}"#);
    env.coord("agent register nova").done();
    env.coord("work assign w-3 --to old").done();
    env.coord("claim w-1 --agent busy").done();
    env.coord("claim w-2 --agent gone --lease 1s").done();
    std::thread::sleep(Duration::from_millis(1200));
    let (log, expected) = (env.log(), [("claim".to_owned(), "w-2".to_owned())]);
    assert_eq!(things(&cleanup(&env, "--dry-run --json")), expected);
    assert_eq!(env.log(), log);
    cleanup(&env, "--agents-silent-for 10m").fails(2, "not forgotten yet");
    let all = [("claim", "w-2"), ("agent", "old")].map(|(k, p)| (k.to_owned(), p.to_owned()));
    assert_eq!(things(&cleanup(&env, "--agents-silent-for 1d --dry-run --json")), all);
    let mut gone = things(&cleanup(&env, "--agents-silent-for 1d --yes --json"));
    gone.reverse();
    assert_eq!(gone, all);
    let items = env.json("work list");
    let states: Vec<_> = items["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["status"].as_str().unwrap())
        .collect();
    assert_eq!(states.iter().filter(|state| **state == "pending").count(), 2, "{items}");
    assert_eq!(env.json("work show w-3")["assignee"], Value::Null, "it is kept for nobody");
    let agents = env.coord("agent list -q").out();
    assert!(
        agents.contains("nova") && agents.contains("busy") && !agents.contains("old"),
        "{agents}"
    );
    assert_eq!(cleanup(&env, "--agents-silent-for 1d").out(), "nothing to clean\n");
    env.coord("verify").done();
}

/// Every sample of a counter: a name with its labels, and the value.
fn counters(env: &TestEnv) -> BTreeMap<String, f64> {
    let text = env.coord("telemetry report --prometheus --no-telemetry");
    assert_eq!((text.code(), text.err().as_str()), (0, ""), "{text}");
    let text = text.out();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let growing: Vec<&str> =
        types.filter(|(_, kind)| *kind != "gauge").map(|(name, _)| name).collect();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let named = samples.map(|line| line.rsplit_once(' ').unwrap());
    named
        .filter(|(name, _)| growing.iter().any(|start| name.starts_with(start)))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

#[test]
fn exported_counters_do_not_fall_when_telemetry_goes() {
    let env = TestEnv::new();
    for number in 0..5 {
        env.add(&format!("{number}"));
    }
    env.coord("claim --agent nova").done();
    env.coord("claim no-such-item --agent nova").fails(1, "");
    let aside = ["ops.20250101T000000000000Z.jsonl", "ops.20250102T000000000000Z.jsonl"];
    let age = |name: &str| {
        let file = std::fs::File::options().write(true).open(env.store().join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(24 * 40)).unwrap();
    };
    for name in aside {
        std::fs::rename(env.store().join("ops.jsonl"), env.store().join(name)).unwrap();
        env.coord("claim --agent nova").done();
        age(name);
    }
    let before = counters(&env);
    let added = r#"coord_operations_total{command="work add",outcome="ok"}"#;
    assert_eq!(before[added].to_string(), "5");
    cleanup(&env, "--dry-run").done();
    let totals = env.store().join("ops.totals.json");
    assert!(!totals.exists());
    let copy = std::fs::read(env.store().join(aside[0])).unwrap();
    cleanup(&env, "--yes").done();
    assert!(aside.iter().all(|name| !env.store().join(name).exists()) && totals.exists());
    assert_eq!(counters(&env), before);
    env.coord("verify --no-telemetry").done();
    // As it is after a kill between the two steps.
    std::fs::write(env.store().join(aside[0]), copy).unwrap();
    age(aside[0]);
    assert_eq!(counters(&env), before);
    cleanup(&env, "--yes").done();
    assert_eq!(counters(&env), before);
    let _ = env.add("more");
    let after = counters(&env);
    assert!(before.iter().all(|(name, value)| after[name] >= *value), "{before:?}\n{after:?}");
    assert_eq!(after[added].to_string(), "6");
    std::fs::write(&totals, "{").unwrap();
    let out = env.coord("telemetry report --prometheus --no-telemetry");
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.err().contains("cannot be read and count as none"), "{out}");
    assert!(out.out().contains("coord_operations_total{command=\"work add\",outcome=\"ok\"} 1\n"));
    env.coord("verify").done();
}
