//! `coord health` and `coord doctor`: each check is driven to its finding by a real fault.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::env::{Output, TestEnv};

/// The row of one check, and that the score is what the rule makes of the rows.
#[track_caller]
fn row(out: &Output, check: &str) -> Value {
    let data = out.data();
    let rows = data["checks"].as_array().unwrap();
    let cost = |row: &Value| {
        let weight = row["weight"].as_u64().unwrap();
        match row["level"].as_str().unwrap() {
            "fail" => weight,
            "warn" => weight.div_ceil(5),
            _ => 0,
        }
    };
    let score = 100_u64.saturating_sub(rows.iter().map(cost).sum());
    assert_eq!(data["health_score"], score, "{data}");
    let failed = rows.iter().any(|row| row["level"] == "fail");
    assert_eq!(out.code(), if failed { 10 } else { 0 }, "{out}");
    let row = rows.iter().find(|row| row["check"] == check).unwrap();
    let bad = matches!(row["level"].as_str(), Some("warn" | "fail"));
    assert_eq!(bad, !row["todo"].as_array().unwrap().is_empty(), "what to do: {row}");
    row.clone()
}

#[track_caller]
fn finds(out: &Output, check: &str, level: &str, words: &str) {
    let row = row(out, check);
    assert_eq!(row["level"], level, "{row}");
    assert!(row["why"].as_str().unwrap().contains(words), "{row}");
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_sound_store_is_healthy() {
    let env = TestEnv::new();
    env.add("One");
    let bin = env.root().join("bin");
    std::fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_coord"), bin.join("coord")).unwrap();
    for verb in ["health", "doctor"] {
        let out = env.shell(&format!("PATH=$PWD/bin:$PATH coord {verb} --json"));
        let data = out.data();
        assert_eq!(out.code(), 0, "{out}");
        for row in data["checks"].as_array().unwrap() {
            // Where the tests themselves run in memory, that is told.
            let expected = row["level"] == "ok" || row["check"] == "file-system";
            assert!(expected || row["check"] == "disk", "{row}");
        }
    }
    let out = env.coord("health");
    assert!(out.out().starts_with("health ") && out.out().contains("warn  program:"), "{out}");
    assert!(!out.out().contains("store:"), "only what is not well is shown: {out}");
    assert!(env.coord("doctor").out().contains("ok    store: 1 item"));
    let score = env.coord("health -q").out();
    assert!(score.trim().parse::<u32>().unwrap() >= 80, "{score}");
    let low = env.coord("health --min 100");
    assert_eq!(low.code(), 10, "{low}");
    assert!(low.err().contains("below 100") && low.err().contains("coord doctor"), "{low}");
    env.coord("health --min 101").fails(2, "no value for");
}

#[test]
fn nothing_is_changed_and_nothing_is_waited_for() {
    let env = TestEnv::new();
    env.add("One");
    mode(&env.store(), 0o755);
    let listing = || env.shell("find .coord -printf '%p %m %s %T@ %C@\\n' | sort").out();
    let before = listing();
    for line in ["health", "doctor"] {
        finds(&env.coord(&format!("{line} --json")), "owner", "warn", "open to others (0755)");
    }
    assert_eq!(listing(), before);
    std::fs::remove_dir_all(env.store().join(".index")).unwrap();
    finds(&env.coord("health --json"), "index", "warn", "does not fit");
    finds(&env.coord("health --json"), "log", "ok", "every line can be read");
    assert!(!env.store().join(".index").exists(), "a look makes no index");
}

#[test]
fn without_a_store() {
    let env = TestEnv::bare();
    finds(&env.coord("health --json --dir nowhere"), "store", "fail", "there is no store at");
    finds(&env.coord("doctor --json --dir nowhere"), "leases", "not-checked", "no store");
    for unknown in ["sync", "availability", "telemetry"] {
        finds(&env.coord("doctor --json --dir nowhere"), unknown, "not-checked", "");
    }
    finds(&env.coord("doctor --json --dir nowhere"), "clock", "ok", "nothing was written");
    assert!(!env.root().join("nowhere").exists());
    let out = env.coord("health --dir nowhere");
    assert!(out.out().contains("`coord init` makes one"), "{out}");
    assert!(out.err().contains("1 check failed"), "{out}");
}

#[test]
fn settings_and_variables() {
    let env = TestEnv::new();
    env.write(".coord/config.toml", "[work]\nleas = \"5m\"\n");
    finds(&env.coord("health --json"), "config", "warn", "unknown key");
    env.write(".coord/config.toml", "[work\n");
    finds(&env.coord("health --json"), "config", "fail", "line 1");
    env.write(".coord/config.toml", "");
    let out = env.shell("COORD_DIR=.coord COORDINATION_DIR=old $COORD health --json");
    finds(&out, "environment", "warn", "two directories");
    let out = env.shell("COORD_STORE_SYNC=never $COORD health --json");
    finds(&out, "sync", "warn", "power cut");
    finds(&env.coord("health --json"), "program", "warn", "not on PATH");
    let out = env.shell("mkdir bin; printf '#!/bin/sh\\n' > bin/coord; chmod +x bin/coord; PATH=$PWD/bin:$PATH $COORD health --json");
    finds(&out, "program", "warn", "on PATH is");
}

#[test]
fn disk_and_file_system() {
    let env = TestEnv::new();
    let out = env.coord("health --json --min-free 1000000000000");
    finds(&out, "disk", "fail", "MiB free, less than");
    let kind = env.shell("stat -f -c %T /dev/shm").out();
    if kind.trim() == "tmpfs" {
        let scratch = tempfile::tempdir_in("/dev/shm").unwrap();
        let dir = scratch.path().display();
        env.coord(&format!("init --dir {dir}")).done();
        let out = env.coord(&format!("health --json --dir {dir}"));
        finds(&out, "file-system", "warn", "in memory");
    }
}

#[test]
fn whose_it_is_and_whether_it_may_be_written() {
    let env = TestEnv::new();
    env.add("One");
    std::fs::hard_link(env.store().join("work.jsonl"), env.root().join("second")).unwrap();
    finds(&env.coord("health --json"), "owner", "fail", "a second name");
    std::fs::remove_file(env.root().join("second")).unwrap();
    let mut command = env.command();
    if std::fs::metadata(env.root()).unwrap().uid() == 0 {
        // Root may write everything, so that somebody else has to look.
        for dir in [env.root(), env.root().parent().unwrap().to_owned(), env.store()] {
            mode(&dir, 0o755);
        }
        mode(&env.store().join(".index"), 0o755);
        for name in ["work.jsonl", "lock"] {
            mode(&env.store().join(name), 0o644);
        }
        let program = env.root().join("coord");
        std::fs::copy(env!("CARGO_BIN_EXE_coord"), &program).unwrap();
        command = env.sealed("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
        command.env("HOME", "/nonexistent");
    } else {
        mode(&env.store().join("work.jsonl"), 0o400);
    }
    let out = Output(command.args(["health", "--json"]).output().unwrap());
    finds(&out, "writable", "fail", "you may not write");
    finds(&out, "store", "ok", "1 item");
}

#[test]
fn who_holds_the_lock_too_long() {
    let env = TestEnv::new();
    env.add("One");
    let mut file =
        std::fs::File::options().read(true).write(true).open(env.store().join("lock")).unwrap();
    file.lock().unwrap();
    let pid = std::process::id();
    let sign = |since: &str| {
        format!(
            "{{\"pid\":{pid},\"host\":\"here\",\"command\":\"work claim\",\"since\":\"{since}\"}}{:200}\n",
            ""
        )
    };
    file.write_all(sign("2024-01-01T00:00:00.000Z").as_bytes()).unwrap();
    let out = env.coord("health --json");
    finds(&out, "lock", "fail", &format!("process {pid} on `here` (`work claim`) has held"));
    finds(&out, "store", "ok", "1 item");
    file.unlock().unwrap();
    finds(&env.coord("health --json"), "lock", "ok", "nobody holds it");
}

#[test]
fn damage_and_what_a_repair_leaves() {
    let env = TestEnv::new();
    env.add("One");
    env.add("Two");
    env.add("Three");
    let path = env.store().join("work.jsonl");
    let text = String::from_utf8(env.log()).unwrap();
    let damaged: Vec<String> = text
        .lines()
        .map(|l| if l.contains("\"Two\"") { "{damaged".to_owned() } else { l.to_owned() })
        .collect();
    std::fs::write(&path, damaged.join("\n") + "\n").unwrap();
    for line in ["health", "doctor"] {
        let out = env.coord(&format!("{line} --json"));
        finds(&out, "log", "fail", "work.jsonl");
        finds(&out, "quarantine", "ok", "");
    }
    env.coord("verify --repair").done();
    finds(&env.coord("health --json"), "quarantine", "warn", "a repair moved 1 line");
    // A line that can be read but is not what was written: the long form sees it.
    let text = String::from_utf8(env.log()).unwrap();
    std::fs::write(&path, text.replacen("\"Three\"", "\"Thr33\"", 1)).unwrap();
    finds(&env.coord("doctor --json"), "log", "fail", "work.jsonl");
}

#[test]
fn a_clock_behind_the_last_write() {
    let env = TestEnv::new();
    env.add("One");
    env.shell("touch -d '+30 minutes' .coord/work.jsonl").done();
    finds(&env.coord("health --json"), "clock", "warn", "in the future");
    env.shell("touch -d '+3 hours' .coord/work.jsonl").done();
    finds(&env.coord("health --json"), "clock", "fail", "in the future");
}

#[test]
fn leases_dead_letters_and_silent_agents() {
    let env = TestEnv::new();
    env.add("One");
    env.coord("work add -q Two --max-attempts 1 --priority low").done();
    env.coord("claim w-2 --agent zed").done();
    env.coord("complete w-2 --agent zed --failed --result no").done();
    finds(&env.coord("health --json"), "dead-letters", "warn", "1 item given up");
    finds(&env.coord("health --json"), "leases", "ok", "none");
    env.coord("claim w-1 --agent nova --lease 1s").done();
    std::thread::sleep(Duration::from_millis(1200));
    finds(&env.coord("health --json"), "leases", "warn", "w-1");
    let out = env.shell("COORD_AGENT_SILENT_AFTER=1s $COORD health --json");
    finds(&out, "agents", "warn", "nova");
    assert!(!row(&out, "agents")["why"].as_str().unwrap().contains("zed"), "{out}");
    finds(&env.coord("health --json"), "agents", "ok", "2 agents");
}

#[test]
fn availability_and_what_is_left_of_its_budget() {
    let env = TestEnv::new();
    let ops = env.store().join("ops.jsonl");
    let at = env.shell("date -u -d '-1 hour' +%FT%TZ").out();
    let old = env.shell("date -u -d '-2 days' +%FT%TZ").out();
    let op = |at: &str, outcome: &str| {
        format!(
            "{{\"at\":\"{}\",\"command\":\"work add\",\"outcome\":\"{outcome}\",\"exit_code\":0,\"duration_us\":1,\
             \"trace_id\":\"0af7651916cd43dd8448eb211c80319c\",\"span_id\":\"b7ad6b7169203331\"}}\n",
            at.trim()
        )
    };
    std::fs::remove_file(&ops).unwrap();
    let out = env.coord("health --json");
    finds(&out, "availability", "not-checked", "nothing is recorded");
    assert_eq!(
        (&out.data()["availability"], &out.data()["error_budget_left"]),
        (&Value::Null, &Value::Null)
    );
    finds(&out, "telemetry", "ok", "nothing is recorded");
    let text = op(&at, "ok").repeat(999) + &op(&at, "bug") + &op(&old, "bug").repeat(50);
    std::fs::write(&ops, &text).unwrap();
    let out = env.coord("health --json");
    finds(&out, "availability", "warn", "1 of 1,000 operations failed");
    let data = out.data();
    let number = |key: &str| data[key].as_f64().unwrap();
    assert!((number("availability") - 0.999).abs() < 1e-12, "{data}");
    // A tenth of one fault is allowed.
    assert!((number("error_budget_left") + 9.0).abs() < 1e-9, "{data}");
    assert_eq!((&data["operations"], &data["faults"]), (&1000.into(), &1.into()));
    assert_eq!(data["telemetry_bytes"], text.len());
    let out = env.shell("COORD_KPI_AVAILABILITY=99.8 $COORD health --json");
    finds(&out, "availability", "ok", "50 % of the error budget is left");
    std::fs::write(&ops, text + "not json\n").unwrap();
    finds(&env.coord("health --json"), "telemetry", "warn", "1 line cannot be read");
    std::fs::remove_file(&ops).unwrap();
    symlink("elsewhere", &ops).unwrap();
    finds(&env.coord("health --json"), "telemetry", "warn", "symbolic link");
}

#[test]
fn addresses_that_are_watched_answer_in_time_or_fail() {
    use std::io::Read as _;
    use std::net::TcpListener;
    let env = TestEnv::new();
    let out = env.coord("health --json");
    let rows = out.data()["checks"].as_array().unwrap().clone();
    assert!(rows.iter().all(|row| row["check"] != "endpoints"), "no check without an address");
    let serve = |answer: Option<&'static str>| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 1024]);
                if let Some(answer) = answer {
                    let _ = stream.write_all(answer.as_bytes());
                } else {
                    kept.push(stream);
                }
            }
        });
        format!("http://user:secret@127.0.0.1:{port}/health?token=secret")
    };
    let well = serve(Some("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
    let ill = serve(Some("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"));
    let silent = serve(None);
    let ask = |urls: &[&str]| {
        let mut cmd = env.command();
        cmd.args(["health", "--json"]).env("COORD_HEALTH_ENDPOINTS", urls.join(","));
        Output(cmd.env("COORD_HEALTH_ENDPOINT_TIMEOUT", "700ms").output().unwrap())
    };
    finds(&ask(&[&well]), "endpoints", "ok", "1 address answers well");
    let out = ask(&[&well, &ill, &silent, "http://127.0.0.1:1/"]);
    finds(&out, "endpoints", "fail", "answers 503; ");
    finds(&out, "endpoints", "fail", "no answer within 700 ms");
    finds(&out, "endpoints", "fail", "Connection refused");
    assert!(!out.out().contains("secret"), "{out}");
    // A project may not say whom to ask.
    env.write(".coord/config.toml", &format!("[health]\nendpoints = [\"{ill}\"]\n"));
    let out = env.coord("health --json");
    finds(&out, "config", "warn", "cannot be set by a project");
}

#[test]
fn numbers_and_addresses_are_refused_in_words() {
    let env = TestEnv::new();
    for line in ["health --min 101", "health --min x", "health --min 99999999999999999999"] {
        env.coord(line).fails(2, "expected a whole number from 0 to 100");
    }
    let out = env.shell("COORD_HEALTH_ENDPOINTS=foo $COORD health");
    assert!(out.out().contains("does not begin with `http://` or `https://`"), "{out}");
    assert_eq!(env.coord("health --json").data()["availability_target"], 0.9999);
}

#[test]
fn settings_are_told_of_once_and_the_hint_fits() {
    let env = TestEnv::new();
    env.write(env.store().join("config.toml"), "[wrk]\n[work]\nleas = \"1m\"\n");
    let out = env.coord("config check");
    assert_eq!(out.code(), 10, "{out}");
    for key in ["`wrk`", "`work.leas`"] {
        assert_eq!(format!("{}{}", out.out(), out.err()).matches(key).count(), 1, "{key}: {out}");
    }
    assert!(out.err().contains("`coord config edit`"), "{out}");
    std::fs::remove_file(env.store().join("config.toml")).unwrap();
    let out = env.shell("COORD_WORK_LEESE=1m $COORD config check");
    assert_eq!(out.code(), 10, "{out}");
    assert!(out.err().contains("unset or rename the variable"), "{out}");
}
