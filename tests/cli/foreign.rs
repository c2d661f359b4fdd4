//! Directories that were named and are none of ours.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::env::TestEnv;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn looking_at_a_directory_leaves_it_as_it_is() {
    let env = TestEnv::bare();
    env.write("www/index.html", "hi\n");
    env.write("www/agents/a.json", "{}\n");
    let (www, agents) = (env.root().join("www"), env.root().join("www/agents"));
    for dir in [&www, &agents] {
        std::fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    }
    for line in [
        "status",
        "verify",
        "verify --repair",
        "verify --expect 1:0123456789abcdef",
        "alert check",
        "alert list",
        "alert export",
        "alert silence response-time-high --for 1h --reason x",
        "kpi report",
        "telemetry report",
        "backup list",
        "backup",
        "cleanup --dry-run",
        "work list",
        "work show w-1",
        "agent list",
        "lock list",
        "health",
        "restore nofile --yes",
        "trace list",
        "trace export --endpoint http://127.0.0.1:9",
    ] {
        let out = env.coord(&format!("--dir www {line}"));
        assert_eq!(names(&www), ["agents", "index.html"], "{line}: {out}");
        assert_eq!(names(&agents), ["a.json"], "{line}: {out}");
        assert_eq!((mode(&www), mode(&agents)), (0o755, 0o755), "{line}: {out}");
    }
    env.coord("--dir www status").fails(1, "no store at");
    let out = env.coord("--dir www verify");
    assert_eq!(out.code(), 10, "{out}");
}

#[test]
fn a_store_that_others_may_look_into_is_closed_by_any_command() {
    let env = TestEnv::new();
    env.add("One");
    for line in ["status", "agent heartbeat", "alert check"] {
        std::fs::set_permissions(env.store(), Permissions::from_mode(0o755)).unwrap();
        let _ = env.coord(line);
        assert_eq!(mode(&env.store()), 0o700, "{line}");
    }
}

#[test]
fn what_is_called_a_store_is_one() {
    let env = TestEnv::bare();
    let out = env.coord("--dir here lock run x -- true");
    assert!(out.err().contains("made a store"), "{out}");
    env.coord("--dir here status").done();
    env.coord("--dir here verify").done();
    assert!(env.root().join("here/ops.jsonl").exists());
}
