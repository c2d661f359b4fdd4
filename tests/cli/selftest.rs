//! `coord selftest`: that it holds here, leaves everything alone, and turns red where something is
//! broken.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::agent_run::{signal, until};
use crate::env::{Output, TestEnv};

/// A run with its scratch directory in `tmp` of the project.
fn selftest(env: &TestEnv, words: &[&str]) -> Command {
    let tmp = env.root().join("tmp");
    std::fs::create_dir_all(&tmp).unwrap();
    let mut command = env.command();
    command.env("TMPDIR", tmp).arg("selftest").args(words);
    command
}

fn run(env: &TestEnv, words: &[&str]) -> Output {
    Output(selftest(env, words).output().unwrap())
}

/// What is in the scratch directory's place.
fn left(env: &TestEnv) -> usize {
    std::fs::read_dir(env.root().join("tmp")).unwrap().count()
}

/// The names of the assertions that do not hold.
fn red(report: &Value) -> BTreeSet<&str> {
    let all = report["assertions"].as_array().unwrap().iter();
    all.filter(|a| a["ok"] == false).map(|a| a["name"].as_str().unwrap()).collect()
}

#[test]
fn everything_holds_and_nothing_outside_is_touched() {
    let env = TestEnv::new();
    let id = env.add("'Not to be touched'");
    let log = env.log();
    let home = env.root().parent().unwrap().join("home");
    // Settings that would break the assertions if they were read, and variables that would lead
    // them astray.
    std::fs::create_dir_all(home.join(".config/coord")).unwrap();
    std::fs::write(home.join(".config/coord/config.toml"), "[work]\nlease = \"1ms\"\n").unwrap();
    let mut command = selftest(&env, &["--json"]);
    command
        .env("COORD_DIR", env.store())
        .env("COORD_AGENT", "somebody")
        .env("COORD_TOKEN", "77")
        .env("COORD_WORK_LEASE", "1ms")
        .env("COORD_STORE_SYNC", "never")
        .env("COORDINATION_DIR", "/nowhere")
        .env("AGENT_ID", "a b")
        .env("NO_COLOR", "1")
        .env("HTTPS_PROXY", "http://127.0.0.1:9")
        .env("ANTHROPIC_API_KEY", "sk-ant-canary");
    let before: Vec<_> = names(&home);
    let out = Output(command.output().unwrap());
    assert_eq!(out.code(), 0, "{out}");
    let report = out.data();
    assert_eq!(red(&report), BTreeSet::new());
    let total = report["assertions"].as_array().unwrap().len() as u64;
    assert!(total >= 40 && report["passed"] == total && report["failed"] == 0, "{report}");
    assert_eq!(report["program"], env!("CARGO_BIN_EXE_coord"));
    assert_eq!(env.log(), log, "the user's own store");
    assert_eq!(env.json(&format!("work show {id}"))["status"], "pending");
    assert_eq!(names(&home), before, "the user's own home");
    assert_eq!(left(&env), 0);
}

/// Every path below a directory.
fn names(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(names(&path));
        }
        all.push(path);
    }
    all.sort();
    all
}

#[test]
fn it_needs_no_home_and_no_directory_of_its_own() {
    let env = TestEnv::bare();
    let place = env.root().join("locked");
    std::fs::create_dir(&place).unwrap();
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = selftest(&env, &["start", "init", "claim/order", "--quiet"]);
    command.env_remove("HOME").env_remove("PATH").env_remove("COORD_AGENT").current_dir(&place);
    let out = Output(command.output().unwrap());
    assert_eq!((out.code(), out.out().as_str()), (0, ""), "{out}");
    assert_eq!((names(&place).len(), left(&env)), (0, 0));
}

/// A program that is the tested one but for what `script` does to its arguments, in bash.
fn broken(env: &TestEnv, script: &str) -> String {
    let path = env.root().join("broken.sh");
    let text = format!(
        "#!/bin/bash\nreal='{}'\n{script}\nexec -a \"$0\" \"$real\" \"$@\"\n",
        env!("CARGO_BIN_EXE_coord"),
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.into_os_string().into_string().unwrap()
}

/// Takes an option and its value out of the arguments.
const DROP: &str = "args=(); while (($#)); do \
    if [[ $1 == \"$drop\" ]]; then shift 2; else args+=(\"$1\"); shift; fi; done; \
    set -- \"${args[@]}\"";

#[test]
fn what_is_broken_turns_red_and_nothing_else() {
    let env = TestEnv::bare();
    for (script, tested, wanted) in [
        ("", &["claim", "life", "lease"][..], &[][..]),
        (&format!("drop=--token; {DROP}"), &["claim", "lease", "life"], &["lease/stale-token"]),
        (&format!("drop=--op-id; {DROP}"), &["add", "life"], &["life/op-id", "life/op-id-at-once"]),
        ("[[ $1 == agent ]] && set -- --version", &["claim", "lease"], &["lease/heartbeat"]),
        (
            "[[ \" $* \" == *' -q --agent agent-'* ]] && set -- claim -q --op-id the-same",
            &["claim"],
            &["claim/at-once", "claim/one-winner"],
        ),
        (
            "if [[ $1 == work && $2 == list ]]; then \"$real\" \"$@\"; e=$?; \
             printf '\\033[2J\\n'; exit $e; fi",
            &["read/hostile-text", "read/errors", "read/status"],
            &["read/hostile-text"],
        ),
        (
            "[[ $1 == verify ]] && { echo everything is as it was written; exit 0; }",
            &["safe"],
            &["safe/verify"],
        ),
        ("[[ $1 == complete ]] && { \"$real\" \"$@\"; exit 0; }", &["life"], &["life/complete"]),
        ("[[ $1 == import ]] && set -- import --dry-run \"${@:2}\"", &["old"], &["old/import"]),
        (
            "[[ $1 == init ]] && { \"$real\" \"$@\"; e=$?; \
             chmod -R go+r \"$COORD_DIR\"; exit $e; }",
            &["init"],
            &["init/private"],
        ),
        (
            "[[ $1 == lock && $2 == run ]] && { shift 6; exec \"$@\"; }",
            &["lock"],
            &["lock/exit-code", "lock/one-at-a-time"],
        ),
    ] {
        let program = broken(&env, script);
        let words = [&["--json", "--program", &program][..], tested].concat();
        let out = run(&env, &words);
        let wanted: BTreeSet<_> = wanted.iter().copied().collect();
        let report: Value = serde_json::from_str(&out.out()).unwrap();
        let report = &report["data"];
        assert_eq!(red(report), wanted, "{script}: {out}");
        assert_eq!(out.code(), if wanted.is_empty() { 0 } else { 10 }, "{script}");
        assert_eq!(report["failed"], wanted.len(), "{script}");
        for a in report["assertions"].as_array().unwrap() {
            assert_eq!(a["why"].is_string(), a["ok"] == false, "{a}");
        }
    }
    assert_eq!(left(&env), 0);
}

#[test]
fn perl_s_prove_understands_it() {
    let env = TestEnv::bare();
    let prove = |words: &[&str]| {
        let tap = run(&env, words);
        std::fs::write(env.root().join("out.tap"), tap.out()).unwrap();
        let proved = env.sealed("prove").args(["--exec", "cat", "out.tap"]).output();
        (tap, Output(proved.expect("`prove` is missing; `tests/run` installs perl")))
    };
    let (tap, proved) = prove(&["init", "start/version", "--tap=13"]);
    assert_eq!((tap.code(), proved.code()), (0, 0), "{proved}");
    assert!(proved.out().contains("Tests=4") && proved.out().contains("Result: PASS"), "{proved}");
    let program = broken(&env, "[[ $1 == --version ]] && { echo none; exit; }");
    let (tap, proved) = prove(&["init", "start/version", "--tap=13", "--program", &program]);
    assert_eq!((tap.code(), proved.code()), (10, 1), "{proved}");
    assert!(proved.out().contains("Failed test:  1"), "{proved}");
    assert!(!proved.out().contains("Parse errors"), "{proved}");
    let whole = run(&env, &["start/version", "--tap"]).out();
    assert!(whole.starts_with("TAP version 14\n1..1\nok 1 - start/version: "), "{whole}");
}

#[test]
fn it_ends_when_it_is_asked_to_and_can_leave_its_work() {
    let env = TestEnv::bare();
    let mut command = selftest(&env, &[]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it has begun", || left(&env) > 0);
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "INT");
    let out = Output(child.wait_with_output().unwrap());
    out.fails(130, "stopped by SIGINT");
    assert_eq!(left(&env), 0);
    let report = run(&env, &["add/one", "--keep", "--json"]).data();
    let kept = report["kept_in"].as_str().unwrap();
    let store = format!("{kept}/add-one/project/.coord");
    assert_eq!(env.json(&format!("--dir {store} status"))["total"], 1);
}

#[test]
fn it_lists_what_it_would_do_and_tells_wrong_use() {
    let env = TestEnv::bare();
    let list = env.json("selftest --list claim/");
    let all = list["assertions"].as_array().unwrap();
    assert!(all.len() > 5 && all.iter().all(|a| a["name"].as_str().unwrap().contains("claim/")));
    assert_eq!(env.coord("selftest --list -q claim/order").out(), "claim/order\n");
    env.coord("selftest nonsense").fails(1, "no assertion has `nonsense` in its name");
    env.coord("selftest --program nowhere").fails(1, "cannot find `nowhere`");
    env.coord("selftest --tap --format yaml").fails(2, "does not go with");
    env.coord("selftest --tap=12").fails(2, "12");
    let mut command = env.command();
    command.env("TMPDIR", "/nowhere").arg("selftest");
    Output(command.output().unwrap()).fails(5, "the test cannot begin");
}
