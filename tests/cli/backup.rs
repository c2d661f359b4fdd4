//! `coord backup` and `coord restore`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::env::{Output, TestEnv};
use crate::schema;

fn scene() -> TestEnv {
    let env = TestEnv::new();
    env.add("One");
    env.add("Two");
    env.coord("claim --agent nova").done();
    env.coord("complete --agent nova").done();
    env.coord("agent register nova").done();
    env
}

/// The data of an answer that must fit its schema.
#[track_caller]
fn checked(out: &Output, code: i32) -> Value {
    assert_eq!(out.code(), code, "{out}");
    let answer: Value = serde_json::from_str(&out.out()).unwrap();
    schema::check(&answer);
    answer["data"].clone()
}

fn saved(env: &TestEnv, line: &str) -> PathBuf {
    let out = env.coord(&format!("backup -q {line}"));
    assert_eq!(out.code(), 0, "{out}");
    PathBuf::from(out.out().trim())
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn saved_listed_checked_and_pruned() {
    let env = scene();
    let data = checked(&env.coord("backup --json --to safe"), 0);
    assert_eq!((data["n"].as_u64(), data["items"].as_u64()), (Some(4), Some(2)), "{data}");
    let first = PathBuf::from(data["path"].as_str().unwrap());
    assert_eq!(first.metadata().unwrap().len(), data["bytes"].as_u64().unwrap());
    env.add("Three");
    // Without a place of its own it lies outside the project.
    let own = saved(&env, "");
    assert!(!own.starts_with(env.root()), "{}", own.display());
    let out = env.shell("COORD_BACKUP_DIR=safe $COORD backup create -q");
    let second = PathBuf::from(out.out().trim());
    assert_eq!(second.parent(), first.parent(), "{out}");
    let list = checked(&env.coord("backup list --json --from safe"), 0);
    let at: Vec<_> = list["backups"].as_array().unwrap().iter().map(|b| b["n"].as_u64()).collect();
    assert_eq!(at, [Some(5), Some(4)]);
    // Other programs read it as well.
    let out = env.shell(&format!("zstd -dc {} | tar -tf -", first.display()));
    assert!(out.out().starts_with("manifest.json\nwork.jsonl\n"), "{out}");
    assert!(!out.out().contains(".index"), "{out}");
    let hashes = "tar -xf - -C x && cd x && jq -r '.files[] | .sha256 + \"  \" + .path' manifest.json | sha256sum -c --quiet";
    env.shell(&format!("mkdir x && zstd -dc {} | {hashes}", first.display())).done();
    let data = checked(&env.coord(&format!("backup verify --json {}", first.display())), 0);
    assert_eq!(data["sound"], true);
    let bytes = std::fs::read(&first).unwrap();
    std::fs::write(&first, &bytes[..bytes.len() - 9]).unwrap();
    let data = checked(&env.shell("COORD_BACKUP_DIR=safe $COORD backup verify --all --json"), 10);
    let sound: Vec<_> = data["backups"].as_array().unwrap().iter().map(|b| &b["sound"]).collect();
    assert_eq!(sound, [true, false], "{data}");
    std::fs::write(&first, &bytes).unwrap();
    let out = env.coord("backup prune --from safe --keep 1 --dry-run --json");
    assert_eq!(checked(&out, 0)["removed"][0]["path"], first.to_str().unwrap());
    env.coord("backup prune --from safe --keep 1").fails(2, "needs a confirmation");
    env.coord("backup prune --from safe").fails(2, "nothing says what may go");
    env.coord("backup prune --from safe --older-than 1d --yes").done();
    assert_eq!(names(&env.root().join("safe")).len(), 2);
    // What is no backup, or another store's, is left alone.
    env.write("safe/coord-mine.tar.zst", "mine");
    env.coord("backup prune --from safe --keep 1 --yes").done();
    let left = names(&env.root().join("safe"));
    assert_eq!(left, [second.file_name().unwrap().to_str().unwrap(), "coord-mine.tar.zst"]);
}

#[test]
fn a_backup_of_a_damaged_store_says_so() {
    let env = scene();
    assert_eq!(checked(&env.coord("backup --json --to safe"), 0)["damaged"], 0);
    env.shell("sed -i '3s/.*/garbage/' .coord/work.jsonl").done();
    let out = env.coord("backup --to safe");
    assert_eq!(out.code(), 10, "{out}");
    assert!(out.err().contains("the store that was saved is damaged in 1 place"), "{out}");
    assert!(out.out().contains("read back and compared"), "{out}");
    assert_eq!(checked(&env.coord("backup --json --to safe"), 10)["damaged"], 1);
}

#[test]
fn wrong_uses_say_what_to_do() {
    let env = scene();
    env.coord("backup lsit").fails(2, "unexpected argument");
    env.coord("restore nothing").fails(1, "`coord backup list`");
    env.write("no-backup", "text");
    env.coord("restore no-backup --yes").fails(10, "it is no backup");
    env.coord("backup verify").fails(1, "there is no backup");
    env.coord("backup --to /proc/nowhere").fails(5, "`--to DIR`");
    TestEnv::bare().coord("backup --dir nowhere").fails(1, "no store at");
    let out = env.shell("$COORD backup --to safe > /dev/full");
    assert_eq!(out.code(), 9, "{out}");
    assert!(out.err().contains("`coord backup list`") && !out.err().contains("--op-id"), "{out}");
    // A full disk leaves nothing behind.
    let out = env.shell("head -c 30000 /dev/urandom | base64 -w 4000 | while read -r line; do $COORD add -q \"${line:0:100}\" --description \"$line\"; done; true");
    assert_eq!(out.code(), 0, "{out}");
    std::fs::create_dir_all(env.root().join("little")).unwrap();
    let out = env.shell("trap '' XFSZ; ulimit -f 1; $COORD backup --to little");
    assert_eq!(out.code(), 5, "{out}");
    assert!(names(&env.root().join("little")).is_empty(), "{out}");
    // A project's own configuration does not say where things are written.
    env.write(".coord/config.toml", "[backup]\ndir = \"/tmp\"\n");
    let out = env.coord("backup -q");
    assert!(out.err().contains("backup.dir") && !out.out().starts_with("/tmp/coord-"), "{out}");
}

#[test]
fn restored_in_place_and_elsewhere() {
    let env = scene();
    let archive = saved(&env, "--to safe");
    let archive = archive.display();
    env.add("After");
    let plan = checked(&env.coord(&format!("restore {archive} --dry-run --json")), 0);
    assert!(plan["changed"].as_array().unwrap().contains(&"work.jsonl".into()), "{plan}");
    assert_eq!(env.json("work list --all")["items"].as_array().map(Vec::len), Some(3));
    env.coord(&format!("restore {archive}")).fails(2, "needs a confirmation");
    let data = checked(&env.coord(&format!("restore {archive} --yes --json")), 0);
    assert_eq!((&data["sound"], data["n"].as_u64()), (&Value::Bool(true), Some(4)), "{data}");
    assert_eq!(env.json("work list --all")["items"].as_array().map(Vec::len), Some(2));
    let aside = data["aside"].as_str().unwrap();
    let kept = env.json(&format!("--dir {aside} work list --all"));
    assert_eq!(kept["items"].as_array().map(Vec::len), Some(3));
    env.coord("verify").done();
    env.add("'Goes on'");
    env.coord(&format!("--dir new restore {archive}")).done();
    env.coord("--dir new verify").done();
    // The old dialect does the same.
    let old = env.coord("compat backup safe");
    assert!(old.out().contains("read back and compared"), "{old}");
    let newest = env.coord("backup list -q --from safe").out().lines().next().unwrap().to_owned();
    env.add("'Gone again'");
    env.coord(&format!("compat restore {newest}")).fails(1, "needs a confirmation");
    let old = env.coord(&format!("compat restore {newest} --yes"));
    assert!(old.out().contains("the old state lies in"), "{old}");
    assert!(!env.coord("work list --all").out().contains("Gone again"));
}

#[test]
fn a_backup_under_twenty_processes_holds_what_was_acknowledged() {
    let env = TestEnv::new();
    let (done, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let (before, archive) = std::thread::scope(|scope| {
        for who in 0..20 {
            let (env, done, stop) = (&env, &done, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let id = env.add(&format!("'of {who}'"));
                    let agent = format!("agent-{who}");
                    env.coord(&format!("claim {id} --agent {agent}")).done();
                    env.coord(&format!("complete {id} --agent {agent}")).done();
                    done.lock().unwrap().push(id);
                }
            });
        }
        while done.lock().unwrap().len() < 40 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let before = done.lock().unwrap().clone();
        let archive = saved(&env, "--to safe");
        std::thread::sleep(Duration::from_millis(100));
        stop.store(true, Ordering::Relaxed);
        (before, archive)
    });
    env.coord(&format!("--dir new restore {}", archive.display())).done();
    assert_eq!(env.json("--dir new verify")["sound"], true);
    let items = env.json("--dir new work list --all");
    let finished: Vec<&str> = items["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["status"] == "done")
        .map(|item| item["id"].as_str().unwrap())
        .collect();
    let lost: Vec<_> = before.iter().filter(|id| !finished.contains(&id.as_str())).collect();
    assert!(lost.is_empty(), "{lost:?} of {} were lost", before.len());
    println!("{} done before the backup began, all of them in it", before.len());
}

#[test]
fn killed_at_any_moment_there_is_the_old_state_or_the_new_one() {
    let env = scene();
    let archive = saved(&env, "--to safe");
    env.add("After");
    let (mut old, mut new, mut delay) = (0, 0, 0);
    for round in 0..24 {
        let line = format!("restore {} --yes", archive.display());
        let mut cmd = env.command();
        cmd.args(line.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = cmd.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        let _ = child.kill();
        child.wait().unwrap();
        let out = env.coord("verify --json");
        assert_eq!(out.code(), 0, "round {round}: {out}");
        match out.data()["n"].as_u64() {
            Some(5) => old += 1,
            // Its numbers go on above those of the state that was put aside.
            Some(6) => {
                new += 1;
                // The old state is somewhere, whole; it takes the place again for the next round.
                let root = env.root();
                let kept = names(&root).into_iter().find(|name| {
                    let other = name.starts_with(".coord.before");
                    let log = root.join(name).join("work.jsonl");
                    other && std::fs::read_to_string(log).is_ok_and(|log| log.contains("After"))
                });
                let kept = kept.unwrap_or_else(|| panic!("round {round}: the old state is gone"));
                env.coord(&format!("--dir {kept} verify")).done();
                std::fs::remove_dir_all(env.store()).unwrap();
                std::fs::rename(root.join(kept), env.store()).unwrap();
            }
            other => panic!("round {round}: write {other:?}"),
        }
        delay = delay * 5 / 4 + 1;
    }
    println!("24 kills: {old} times the old state, {new} times the new one");
    assert!(old > 0 && new > 0, "{old} {new}");
}

#[test]
fn whatever_call_of_a_restore_fails_or_is_its_last_the_old_state_stays() {
    let env = scene();
    let archive = saved(&env, "--to safe");
    env.add("After");
    let (mut broken, mut whole) = (0, 0);
    for (call, count) in [("renameat2", 3), ("renameat", 2), ("unlinkat", 4), ("fsync", 30)] {
        for when in 1..=count {
            for how in ["error=ENOSPC", "signal=SIGKILL"] {
                // What an earlier one left when it was killed right after the change.
                env.write(".coord/restoring", "");
                let out = env.shell(&format!(
                    "strace -f -qq -o /dev/null -e trace={call} -e inject={call}:{how}:when={when} $COORD restore {} --yes",
                    archive.display()
                ));
                if out.code() == 0 {
                    whole += 1;
                } else {
                    broken += 1;
                }
                let root = env.root();
                let states: Vec<_> =
                    names(&root).into_iter().filter(|name| name.starts_with(".coord")).collect();
                let after: Vec<_> = states
                    .iter()
                    .filter(|name| {
                        let log = std::fs::read_to_string(root.join(name).join("work.jsonl"));
                        log.is_ok_and(|log| log.contains("After"))
                    })
                    .collect();
                assert_eq!(after.len(), 1, "{call} {when} {how}: {states:?}\n{out}");
                assert_eq!(env.json("verify")["sound"], true, "{call} {when} {how}");
                let back = root.join(after[0]);
                if back != env.store() {
                    std::fs::remove_dir_all(env.store()).unwrap();
                    std::fs::rename(back, env.store()).unwrap();
                }
                for name in names(&root) {
                    if name.starts_with("..coord") || name.starts_with(".coord.") {
                        std::fs::remove_dir_all(root.join(name)).unwrap();
                    }
                }
            }
        }
    }
    println!("{broken} restores failed or died, {whole} did not");
    assert!(broken > 20, "{broken}");
}

#[test]
fn a_worker_ends_when_another_state_takes_the_place_of_its_own() {
    let env = scene();
    let archive = saved(&env, "--to safe");
    env.add("Long");
    let mut worker = env.command();
    worker.args("agent run --agent wk -- sh -c".split(' ')).arg("touch started; sleep 3");
    let mut worker = worker.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    while !env.root().join("started").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    env.coord(&format!("restore {} --yes", archive.display())).done();
    let ended = worker.wait().unwrap();
    assert_eq!(ended.code(), Some(4), "it goes on in the state that was put aside");
    assert_eq!(env.json("work list --all")["items"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_lost_answer_is_no_reason_to_do_it_again() {
    let env = scene();
    let archive = saved(&env, "--to safe");
    let archive = archive.display();
    env.add("After");
    env.coord("backup -q --to safe").done();
    let lost = |line: &str, hint: &str| {
        let out = env.shell(&format!("$COORD {line} > /dev/full"));
        assert_eq!(out.code(), 9, "{line}: {out}");
        assert!(out.err().contains(hint) && !out.err().contains("gives the answer again"), "{out}");
    };
    lost(&format!("restore {archive} --yes --op-id op-abc"), "do not restore again");
    lost("backup prune --from safe --keep 1 --yes", "`coord backup list`");
    assert_eq!(names(&env.root().join("safe")).len(), 1);
    // Where nothing was changed it is a failed write and no more.
    for line in
        ["cleanup --dry-run", "restore safe/* --dry-run", "backup prune --from safe --keep 1 --yes"]
    {
        let out = env.shell(&format!("$COORD {line} > /dev/full"));
        assert_eq!(out.code(), 5, "{line}: {out}");
    }
}

#[test]
fn pruning_keeps_one_that_can_be_restored_and_goes_by_writes() {
    let env = scene();
    let mut made = Vec::new();
    for n in 0..3 {
        env.add(&format!("item-{n}"));
        made.push(saved(&env, "--to safe"));
    }
    let whole = std::fs::read(&made[2]).unwrap();
    std::fs::write(&made[2], &whole[..whole.len() / 2]).unwrap();
    let data = checked(&env.coord("backup prune --from safe --keep 1 --yes --json"), 0);
    let path = |at: usize| made[at].to_str().unwrap();
    assert_eq!(data["removed"][0]["path"], path(0), "{data}");
    assert_eq!(data["removed"].as_array().map(Vec::len), Some(1), "the good one stays");
    assert!(data["left_alone"][0].as_str().is_some_and(|name| path(2).ends_with(name)), "{data}");
    env.coord(&format!("backup verify {}", path(1))).done();
    // The only good one gone, nothing else goes.
    let second = std::fs::read(&made[1]).unwrap();
    std::fs::write(&made[1], &second[..second.len() / 2]).unwrap();
    env.coord("backup prune --from safe --keep 1 --yes").done();
    assert_eq!(names(&env.root().join("safe")).len(), 2);
    std::fs::write(&made[1], &second).unwrap();
    std::fs::remove_file(&made[2]).unwrap();
    // One that was made while the clock was ahead does not stay for ever.
    env.add("Later");
    let later = saved(&env, "--to safe");
    let ahead = r#"zstd -dc "$A" | LC_ALL=C sed '0,/"at":"20/s//"at":"30/' | zstd -q > safe/coord-30000101T000000Z-n1.tar.zst && rm "$A""#;
    env.shell(&format!("A={}; {ahead}", later.display())).done();
    env.add("Last");
    let last = saved(&env, "--to safe");
    let told = checked(&env.coord("backup list --from safe --json"), 0);
    assert_eq!(told["backups"][0]["path"], last.to_str().unwrap());
    assert!(told["backups"][1]["at"].as_str().is_some_and(|at| at.starts_with("30")), "{told}");
    env.coord("backup prune --from safe --keep 1 --yes").done();
    assert_eq!(names(&env.root().join("safe")), [last.file_name().unwrap().to_str().unwrap()]);
}

#[test]
fn what_a_restore_would_mend_does_not_stand_in_its_way() {
    let env = scene();
    let archive = saved(&env, "--to safe");
    env.write(
        ".coord/config.toml",
        "[work
",
    );
    env.coord("status").fails(3, "config.toml");
    let out = env.coord(&format!("restore {} --yes", archive.display()));
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.err().contains("going on without settings"), "{out}");
    env.coord("status").done();
}

#[test]
fn a_quiet_path_is_that_of_the_file_whatever_its_name() {
    let env = scene();
    let out = env.shell(r#"A=$($COORD backup -q --to $'t	ab and blank') && ls "$A" && $COORD backup verify "$A" && A=$($COORD backup list -q --from $'t	ab and blank') && ls "$A""#);
    assert_eq!(out.code(), 0, "{out}");
}

#[test]
fn a_signal_leaves_nothing_on_the_way() {
    let env = scene();
    let archive = saved(&env, "--to safe");
    let archive = archive.display();
    std::fs::create_dir(env.root().join("scratch")).unwrap();
    let before = names(&env.root());
    for line in [
        format!("restore {archive} --yes"),
        format!("backup verify {archive}"),
        "backup --to safe".to_owned(),
    ] {
        let out = env.shell(&format!(
            "export TMPDIR=$PWD/scratch; strace -f -qq -o /dev/null -e trace=fsync -e inject=fsync:delay_enter=2500000 timeout -s TERM 1.5 $COORD {line}"
        ));
        assert_eq!(out.code(), 124, "{line}: {out}");
        assert_eq!(names(&env.root()), before, "{line}");
        assert_eq!(names(&env.root().join("safe")).len(), 1, "{line}");
        assert!(names(&env.root().join("scratch")).is_empty(), "{line}");
    }
    for line in ["demo", "bench cold --rounds 500", "bench store --rounds 500"] {
        let out =
            env.shell(&format!("export TMPDIR=$PWD/scratch; timeout -s TERM 1 $COORD {line}"));
        assert_eq!(out.code(), 124, "{line}: {out}");
        assert!(names(&env.root().join("scratch")).is_empty(), "{line}");
    }
    assert_eq!(env.json("verify")["sound"], true);
}
