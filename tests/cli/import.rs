//! `coord import`: the old system's files, from outside.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::env::{Output, TestEnv};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/legacy")
}

fn import(env: &TestEnv, dir: &Path, flags: &str) -> Output {
    env.coord(&format!("import '{}' {flags}", dir.display()))
}

/// Every file below a directory with its size, mode, time of change and, outside the index, its
/// bytes. The lock file says who wrote last and is no state.
fn tree(dir: &Path) -> BTreeMap<PathBuf, (u64, u32, i64, i64, Vec<u8>)> {
    let (mut files, mut open) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                open.push(path);
            } else if path.file_name().unwrap() != "lock" {
                let index = path.components().any(|c| c.as_os_str() == ".index");
                let bytes =
                    if index { Vec::new() } else { std::fs::read(&path).unwrap_or_default() };
                files.insert(
                    path,
                    (meta.len(), meta.mode(), meta.mtime(), meta.mtime_nsec(), bytes),
                );
            }
        }
    }
    files
}

fn file<'a>(data: &'a Value, name: &str) -> &'a Value {
    let files = data["files"].as_array().unwrap();
    files.iter().find(|f| f["name"] == name).unwrap_or_else(|| panic!("no {name} in {data}"))
}

fn counts(data: &Value, name: &str) -> [usize; 6] {
    let file = file(data, name);
    let number = |key: &str| usize::try_from(file[key].as_u64().unwrap()).unwrap();
    let list = |key: &str| file[key].as_array().unwrap().len();
    [
        number("read"),
        number("added"),
        number("existing"),
        list("mended"),
        list("duplicates"),
        list("refused"),
    ]
}

/// The last line of an item in the log.
fn item(env: &TestEnv, id: &str) -> Value {
    let log = String::from_utf8(env.log()).unwrap();
    let lines = log.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
    lines.rev().find(|l| l["id"] == id).unwrap_or_else(|| panic!("no {id}"))
}

#[test]
fn the_examples_are_read_to_the_last_record() {
    let env = TestEnv::bare();
    let out = import(&env, &examples(), "--json");
    assert_eq!(out.code(), 10, "{out}");
    let data = out.data();
    for (name, expected) in [
        ("work_claims.json", [20, 20, 0, 18, 0, 0]),
        ("real_work_queue.json", [8, 8, 0, 1, 0, 0]),
        ("backlog.yaml", [9, 9, 0, 3, 1, 0]),
        ("active_sprints.json", [2, 2, 0, 0, 0, 0]),
        ("coordination_log.json", [12, 2, 0, 2, 1, 0]),
        ("agent_status.json", [6, 6, 0, 0, 0, 0]),
        ("velocity_log.txt", [13, 13, 0, 0, 0, 1]),
        ("telemetry_spans.jsonl", [14, 14, 0, 2, 0, 2]),
    ] {
        assert_eq!(counts(&data, name), expected, "{name}: {}", file(&data, name));
    }
    assert_eq!(file(&data, "velocity_log.txt")["points"], 53);
    assert_eq!(file(&data, "coordination_log.json")["duplicate_ids"], 1);
    assert_eq!(data["absent"], serde_json::json!(["work_queue.json"]));
    for (key, added) in
        [("items", 41), ("agents", 6), ("velocity", 13), ("spans", 14), ("plans", 11)]
    {
        assert_eq!(data[key], serde_json::json!({"added": added, "existing": 0}), "{key}");
    }
    // The store tells the same.
    let status = env.json("status");
    assert_eq!(
        (&status["total"], &status["done"], &status["points"]),
        (&41.into(), &14.into(), &43.into())
    );
}

#[test]
fn what_was_refused_or_met_twice_is_named_with_its_place() {
    let env = TestEnv::new();
    let out = import(&env, &examples(), "");
    assert_eq!(out.code(), 10);
    for line in [
        "refused\tvelocity_log.txt:8\t-\tit names no team: ",
        "refused\ttelemetry_spans.jsonl:57-73\t-\texpected value (line 72)",
        "refused\ttelemetry_spans.jsonl:167-183\t-\texpected value (line 181)",
        "twice\tbacklog.yaml:.program_backlog.epics[0].features[3]\tfeat_wallet\t",
        "twice\tcoordination_log.json:51-57\twork_1757318940123456000\tcompleted already on line 23",
        "took over 41 items, 6 agents, 13 velocity rows, 14 spans, 11 facts; 0 were there already",
    ] {
        assert!(out.out().lines().any(|l| l.starts_with(line)), "no `{line}` in {out}");
    }
    assert!(
        out.err().starts_with("error: 3 records were refused\nhint: each is named in the report"),
        "{out}"
    );
    let data = import(&env, &examples(), "--json").data();
    let region = &file(&data, "telemetry_spans.jsonl")["refused"][0];
    assert_eq!((&region["line"], &region["last_line"]), (&57.into(), &73.into()));
    let text = std::fs::read_to_string(examples().join("telemetry_spans.jsonl")).unwrap();
    let offset = usize::try_from(region["offset"].as_u64().unwrap()).unwrap();
    assert_eq!(text[..offset].lines().count(), 56);
    assert!(text[offset..].starts_with("{\n"));
}

#[test]
fn a_second_import_changes_nothing() {
    let env = TestEnv::new();
    let _ = import(&env, &examples(), "");
    // Telemetry is about the commands, not about the state.
    let state = || {
        let mut tree = tree(&env.store());
        tree.retain(|path, _| !path.ends_with("ops.jsonl"));
        tree
    };
    let (before, n) = (state(), env.json("status")["n"].clone());
    assert_eq!(n, 41);
    let out = import(&env, &examples(), "--json");
    assert_eq!(out.code(), 10);
    let data = out.data();
    for key in ["items", "agents", "velocity", "spans", "plans"] {
        assert_eq!(data[key]["added"], 0, "{key}");
    }
    assert_eq!(counts(&data, "work_claims.json")[..3], [20, 0, 20]);
    let after = state();
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (path, was) in &before {
        assert!(after[path].4 == was.4, "{} has changed", path.display());
    }
    assert_eq!(env.json("status")["n"], n);
    assert_eq!(env.coord("verify").code(), 0);
}

#[test]
fn a_repetition_with_the_same_operation_id_changes_nothing() {
    let env = TestEnv::new();
    let _ = import(&env, &examples(), "--only queue");
    let first = import(&env, &examples(), "--op-id once --json").data();
    let log = env.log();
    let second = import(&env, &examples(), "--op-id once --json").data();
    assert_eq!(env.log(), log);
    assert_eq!(first["items"], serde_json::json!({"added": 33, "existing": 8}));
    assert_eq!(second["items"], serde_json::json!({"added": 0, "existing": 41}));
    assert_eq!(counts(&second, "backlog.yaml")[..3], [9, 0, 9]);
    is_complete(&env);
}

#[test]
fn work_that_went_on_since_is_left_alone() {
    let env = TestEnv::new();
    let _ = import(&env, &examples(), "");
    let id = "work_1757322600123456000";
    assert_eq!(
        item(&env, id)["note"],
        "agent_1757322600123453000 had it in the old system and was at 75 %"
    );
    assert_eq!(env.coord(&format!("claim {id}")).code(), 0);
    assert_eq!(env.coord(&format!("complete {id} --result 'mended at last'")).code(), 0);
    let log = env.log();
    let _ = import(&env, &examples(), "");
    assert_eq!(env.log(), log);
    assert_eq!(item(&env, id)["status"], "done");
}

#[test]
fn a_dry_run_writes_nothing_at_all() {
    let env = TestEnv::bare();
    let out = import(&env, &examples(), "--dry-run");
    assert_eq!(out.code(), 10);
    assert!(out.out().contains("would take over 41 items, 6 agents, "), "{out}");
    assert_eq!(std::fs::read_dir(env.root()).unwrap().count(), 0, "a store was made");
    assert!(!env.store().exists());
    // The same answer as the real one, but for the word.
    let dry = import(&env, &examples(), "--dry-run --json").data();
    let _ = import(&env, &examples(), "--only velocity");
    let before = tree(&env.store());
    let half = import(&env, &examples(), "--dry-run --json").data();
    assert_eq!(half["velocity"], serde_json::json!({"added": 0, "existing": 13}));
    assert_eq!(half["items"], dry["items"]);
    assert_eq!(tree(&env.store()), before);
    let mut real = import(&env, &examples(), "--json").data();
    assert_eq!(real["dry_run"], false);
    real["dry_run"] = true.into();
    assert_eq!(real, half);
    let before = tree(&env.store());
    let all = import(&env, &examples(), "--dry-run --json").data();
    assert_eq!(all["items"], serde_json::json!({"added": 0, "existing": 41}));
    assert_eq!(all["agents"], serde_json::json!({"added": 0, "existing": 6}));
    assert_eq!(tree(&env.store()), before);
}

#[test]
fn the_old_directory_is_only_read() {
    let env = TestEnv::new();
    for entry in std::fs::read_dir(examples()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        env.write(format!("old/{name}"), &std::fs::read_to_string(path).unwrap());
    }
    let old = env.root().join("old");
    let before = tree(&old);
    let _ = import(&env, &old, "");
    assert_eq!(tree(&old), before);
}

#[test]
fn what_is_worth_keeping_is_kept() {
    let env = TestEnv::new();
    let _ = import(&env, &examples(), "");
    // Moved arguments are back in their places, and the originals are kept.
    let gate = item(&env, "work_1757324640123456000");
    assert_eq!((&gate["title"], &gate["priority"]), (&"Gate self test".into(), &"medium".into()));
    assert_eq!(gate["legacy"]["was"]["priority"], "self");
    let rounding = item(&env, "work_1757325000123456000");
    assert_eq!(
        (&rounding["priority"], &rounding["team"]),
        (&"high".into(), &"quality_team".into())
    );
    // The first completion counts; the second is kept with the item.
    let refund = item(&env, "work_1757318940123456000");
    assert_eq!((&refund["points"], &refund["status"]), (&2.into(), &"done".into()));
    assert_eq!(refund["legacy"]["completed_again"][0]["points"], 5);
    // An epic waits for its features.
    let epic = item(&env, "epic_boarding");
    assert_eq!(epic["deps"].as_array().or(epic["needs"].as_array()).unwrap().len(), 3);
    assert_eq!(env.coord("claim epic_boarding").code(), 1);
    // Agents: percent became items at a time.
    let agent = |id: &str| -> Value {
        serde_json::from_slice(
            &std::fs::read(env.store().join(format!("agents/{id}.json"))).unwrap(),
        )
        .unwrap()
    };
    let (whole, double) = (agent("agent_1757318400123453000"), agent("agent_1757322600123453000"));
    assert_eq!((&whole["capacity"], &double["capacity"]), (&1.into(), &2.into()));
    assert_eq!(double["legacy"]["capacity_percent"], 200);
    // The rest is kept in lines, for the owner alone.
    let rows =
        |name: &str| std::fs::read_to_string(env.store().join("imported").join(name)).unwrap();
    assert_eq!(rows("velocity.jsonl").lines().count(), 13);
    assert_eq!(rows("spans.jsonl").lines().count(), 14);
    assert_eq!(rows("plans.jsonl").lines().count(), 11);
    for (path, (_, mode, ..)) in tree(&env.store().join("imported")) {
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
}

#[test]
fn a_file_that_cannot_be_read_takes_no_other_with_it() {
    let env = TestEnv::new();
    let old = env.root().join("old");
    env.write("old/velocity_log.txt", "2025-09-08T08:00:00Z: Team a +3 velocity points\n");
    env.write("old/work_claims.json", "");
    std::fs::create_dir(old.join("agent_status.json")).unwrap();
    symlink(old.join("real_work_queue.json"), old.join("real_work_queue.json")).unwrap();
    std::fs::write(old.join("backlog.yaml"), b"epics:\n  - {id: a, title: \xff}\n").unwrap();
    std::fs::write(
        old.join("coordination_log.json"),
        b"[{\"work_item_id\": \"\xff\"}, {\"work_item_id\": \"b\"}]",
    )
    .unwrap();
    env.write("old/active_sprints.json", "null");
    symlink("/dev/zero", old.join("telemetry_spans.jsonl")).unwrap();
    let out = import(&env, &old, "--json");
    assert_eq!(out.code(), 10, "{out}");
    let data = out.data();
    let why = |name: &str| file(&data, name)["refused"][0]["reason"].as_str().unwrap().to_owned();
    assert_eq!(why("work_claims.json"), "the file is empty");
    assert_eq!(why("agent_status.json"), "it is a directory, not a plain file");
    assert!(why("real_work_queue.json").contains("symbolic links"));
    assert_eq!(why("backlog.yaml"), "it is not UTF-8");
    assert_eq!(file(&data, "backlog.yaml")["refused"][0]["line"], 2);
    assert_eq!(why("active_sprints.json"), "expected an object, found null");
    assert_eq!(why("telemetry_spans.jsonl"), "it is a device, not a plain file");
    assert_eq!(counts(&data, "coordination_log.json"), [1, 1, 0, 1, 0, 1]);
    assert_eq!(counts(&data, "velocity_log.txt")[..2], [1, 1]);
    assert_eq!(data["items"]["added"], 1);
}

#[test]
fn both_forms_of_a_queue_are_read_under_either_name() {
    let row = |id: &str| format!("{{\"work_id\": \"{id}\", \"status\": \"available\"}}");
    let env = TestEnv::new();
    env.write("old/work_queue.json", &format!("{{\"work_items\": [{}]}}", row("a")));
    env.write("old/real_work_queue.json", &format!("[{}, {}]", row("b"), row("a")));
    let out = import(&env, &env.root().join("old"), "--json");
    assert_eq!(out.code(), 0, "{out}");
    let data = out.data();
    assert_eq!(counts(&data, "real_work_queue.json"), [2, 2, 0, 0, 0, 0]);
    assert_eq!(counts(&data, "work_queue.json"), [1, 0, 0, 0, 1, 0]);
    let reason = file(&data, "work_queue.json")["duplicates"][0]["reason"].as_str().unwrap();
    assert_eq!(reason, "`real_work_queue.json` knows it already and is believed");
}

#[test]
fn a_kind_can_be_picked() {
    let env = TestEnv::new();
    let data = import(&env, &examples(), "--only spans --only velocity --json").data();
    let names: Vec<_> =
        data["files"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["velocity_log.txt", "telemetry_spans.jsonl"]);
    assert_eq!(env.json("status")["total"], 0);
    let out = import(&env, &examples(), "--only agents");
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.out().ends_with("took over 6 agents; 0 were there already\n"), "{out}");
}

#[test]
fn wrong_uses_are_explained() {
    let env = TestEnv::new();
    env.write("file", "x");
    std::fs::create_dir(env.root().join("empty")).unwrap();
    env.coord("import missing").fails(1, "cannot read the directory `missing`");
    env.coord("import file").fails(1, "`file` is not a directory");
    env.coord("import empty").fails(1, "nothing to import in `empty`");
    import(&env, &examples(), "--only nonsense").fails(2, "nonsense");
    env.coord("import").fails(2, "");
    env.write("old/velocity_log.txt", "2025-09-08T08:00:00Z: Team a +3 velocity points\n");
    env.coord("import old --only claims").fails(1, "nothing to import");
    // The old name of the state directory's variable may still name the old directory.
    let old = env.root().join("old");
    let before = tree(&old);
    let out = env.command().arg("import").arg(&old).env("COORDINATION_DIR", &old).output().unwrap();
    Output(out).fails(1, "is the state directory itself");
    assert_eq!(tree(&old), before);
    let error = env.coord("import missing --json").error();
    assert_eq!((&error["kind"], &error["exit_code"]), (&"user".into(), &1.into()));
}

#[test]
fn what_others_wrote_does_not_reach_the_terminal() {
    let env = TestEnv::new();
    env.write(
        "old/work_claims.json",
        "[{\"work_item_id\": \"a\\u001b[2J\", \"status\": \"\\u001b]0;x\\u0007go\", \"description\": \"d\", \"work_type\": \"t\"}]",
    );
    env.write("old/velocity_log.txt", "\u{1b}[31mred: Team\n");
    let out = import(&env, &env.root().join("old"), "");
    assert_eq!(out.code(), 10);
    assert!(out.out().lines().count() > 3, "{out}");
    assert!(!out.out().contains(['\u{1b}', '\u{7}']), "{:?}", out.out());
}

#[test]
fn the_backlog_of_the_examples_can_be_added() {
    let env = TestEnv::new();
    let backlog = std::fs::read_to_string(examples().with_file_name("backlog.jsonl")).unwrap();
    let out = env.feed("work add -q", &backlog);
    assert_eq!((out.code(), out.out().lines().count()), (0, 30), "{out}");
    assert_eq!(env.json("status")["blocked"], 16);
}

/// What a complete import of the examples leaves behind, however it came about.
fn is_complete(env: &TestEnv) {
    let status = env.json("status");
    assert_eq!(
        (&status["total"], &status["points"], &status["n"]),
        (&41.into(), &43.into(), &41.into())
    );
    for (name, lines) in [("velocity", 13), ("spans", 14), ("plans", 11)] {
        let path = env.store().join(format!("imported/{name}.jsonl"));
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), lines, "{name}");
    }
    let agents = std::fs::read_dir(env.store().join("agents")).unwrap();
    let names = agents.map(|e| e.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|n| Path::new(n).extension().is_some_and(|e| e == "json")).count(), 6);
    assert_eq!(env.coord("verify").code(), 0);
}

#[test]
fn an_import_that_was_killed_is_finished_by_the_next_one() {
    let mut cut = 0;
    for wait in [0, 2, 4, 6, 8, 10, 13, 16, 20, 25, 30, 40] {
        let env = TestEnv::new();
        let mut child = env
            .command()
            .arg("import")
            .arg(examples())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait));
        child.kill().unwrap();
        cut += usize::from(child.wait().unwrap().code().is_none());
        assert_eq!(import(&env, &examples(), "").code(), 10);
        is_complete(&env);
    }
    assert!(cut > 0, "none was killed in time");
}

#[test]
fn two_imports_at_once_take_everything_over_once() {
    let env = TestEnv::new();
    let start = || env.command().arg("import").arg(examples()).output().unwrap();
    let outs = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|_| scope.spawn(start)).collect();
        runs.into_iter().map(|run| Output(run.join().unwrap())).collect::<Vec<_>>()
    });
    assert!(outs.iter().all(|out| out.code() == 10), "{}", outs[0]);
    is_complete(&env);
}

/// Reads a directory of a real old system, if `COORD_LEGACY_DIR` names one.
#[test]
fn a_real_directory_is_read_twice_to_the_same_end() {
    let Some(dir) = std::env::var_os("COORD_LEGACY_DIR").map(PathBuf::from) else {
        println!("skipped: COORD_LEGACY_DIR names no directory");
        return;
    };
    let env = TestEnv::new();
    let first = import(&env, &dir, "--json");
    assert!(matches!(first.code(), 0 | 10), "{first}");
    let before = tree(&env.store());
    let (first, second) = (first.data(), import(&env, &dir, "--json").data());
    for key in ["items", "agents", "velocity", "spans", "plans"] {
        assert_eq!(second[key]["added"], 0, "{key}");
        assert_eq!(second[key]["existing"], first[key]["added"], "{key}");
    }
    assert!(tree(&env.store()).iter().all(|(path, file)| before[path].4 == file.4));
    assert_eq!(env.coord("verify").code(), 0);
    for file in first["files"].as_array().unwrap() {
        let name = file["name"].as_str().unwrap();
        let [read, added, _, mended, twice, refused] = counts(&first, name);
        println!(
            "{name}: {read} read, {added} new, {mended} mended, {twice} twice, {refused} refused, points {}",
            file["points"]
        );
    }
}
