//! What is printed under `--json` is what its JSON Schema in `tests/schema/` says.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::env::TestEnv;

fn read(name: &str) -> Value {
    let file = format!("tests/schema/{}.json", name.replace('/', "-"));
    let text = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file));
    serde_json::from_slice(&text.unwrap_or_else(|e| panic!("{file}: {e}"))).unwrap()
}

/// Forbids fields that the schema does not tell of: readers must bear them, we may not forget them.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("properties") && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(all) => all.iter_mut().for_each(close),
        _ => {}
    }
}

/// Checks an answer or an error against the schema that it names.
#[track_caller]
pub(crate) fn check(answer: &Value) {
    static KNOWN: OnceLock<Mutex<HashMap<String, Validator>>> = OnceLock::new();
    let name = answer["schema"].as_str().unwrap().to_owned();
    let mut known =
        KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let validator = known.entry(name.clone()).or_insert_with(|| {
        let mut schema = read(&name);
        close(&mut schema);
        jsonschema::validator_for(&schema).unwrap()
    });
    let wrong: Vec<String> =
        validator.iter_errors(answer).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(wrong.is_empty(), "{name}: {}\n{answer:#}", wrong.join("\n"));
}

/// A line for each schema, by which a real answer of it is seen. A new command needs one here.
const LINES: &[&str] = &[
    "init",
    "env",
    "env --export sh",
    "config show",
    "config get work.lease",
    "config set work.lease 20m",
    "config unset work.lease",
    "config path",
    "config check",
    "config schema",
    "work add One --team core --points 3 --label a --type bug",
    "work add Two --needs w-1",
    "work list --all",
    "work show w-1",
    "help legacy claim-fast",
    "scripts audit .",
    "agent register nova --team core --capacity 2",
    "agent heartbeat nova",
    "work assign w-1 --to nova",
    "work edit w-1 --title Other",
    "work claim --agent nova",
    "work progress w-1 20 --agent nova",
    "agent list",
    "status",
    "work release w-1 --agent nova",
    "work claim --agent nova",
    "work complete w-1 --agent nova",
    "agent run --until-empty -- true",
    "swarm run --agents 1 --until-empty -- true",
    "agent remove nova",
    "lock list",
    "verify",
    "health",
    "kpi report",
    "alert list",
    "alert list --metrics",
    "alert check",
    "alert show memory-high",
    "alert test memory-high --values 90000000",
    "alert silence memory-high --for 1h --reason quiet",
    "alert export --prometheus",
    "alert redeliver",
    "trace list",
    "trace list --traces",
    "trace export --dry-run --endpoint http://127.0.0.1:9",
    "backup create --to saved",
    "cleanup --dry-run",
    "telemetry report",
    "compat status",
    "util schema",
    "util schema error",
    "util completions bash",
    "util man",
    "util markdown",
];

/// Schemas whose answers take long to make, or come on standard error; other tests see them.
const ELSEWHERE: &[&str] = &[
    "coord.backup.list/v1",
    "coord.backup.prune/v1",
    "coord.backup.verify/v1",
    "coord.bench.claude/v1",
    "coord.bench.cold/v1",
    "coord.bench.store/v1",
    "coord.bench.swarm/v1",
    "coord.demo/v1",
    "coord.error/v1",
    "coord.trace.show/v1",
    "coord.trace.span/v1",
    "coord.alert.test/v1",
    "coord.selftest/v1",
    "coord.selftest.list/v1",
    "coord.claude.ask/v1",
    "coord.claude.assign/v1",
    "coord.claude.cache.entry/v1",
    "coord.claude.cache.purge/v1",
    "coord.claude.cache.show/v1",
    "coord.claude.cache.stats/v1",
    "coord.claude.cache.verify/v1",
    "coord.claude.check/v1",
    "coord.claude.dry-run/v1",
    "coord.claude.health/v1",
    "coord.claude.piece/v1",
    "coord.claude.priorities/v1",
    "coord.claude.stream/v1",
    "coord.claude.team/v1",
    "coord.import/v1",
    "coord.restore/v1",
    "coord.warning/v1",
];

#[test]
fn every_answer_fits_its_schema_and_every_schema_has_an_answer() {
    let env = TestEnv::bare();
    let mut seen: BTreeSet<String> = ELSEWHERE.iter().map(|name| (*name).to_owned()).collect();
    for line in LINES {
        let out = env.coord(&format!("--json {line}"));
        let answer: Value = serde_json::from_str(&out.out()).unwrap_or_else(|_| panic!("{out}"));
        check(&answer);
        seen.insert(answer["schema"].as_str().unwrap().to_owned());
    }
    let edited =
        env.command().args(["--json", "config", "edit"]).env("EDITOR", "true").output().unwrap();
    let answer: Value = serde_json::from_slice(&edited.stdout).unwrap();
    check(&answer);
    seen.insert(answer["schema"].as_str().unwrap().to_owned());
    let names = env.json("util schema");
    for name in names["names"].as_array().unwrap() {
        assert!(seen.contains(name.as_str().unwrap()), "no line of this test shows {name}");
    }
}

#[test]
fn a_warning_fits_its_schema() {
    let env = TestEnv::new();
    env.write(".coord/config.toml", "[work]\nleas = \"5m\"\n");
    let out = env.coord("status --json");
    out.done();
    check(&serde_json::from_str(&out.err()).unwrap());
}

#[test]
fn a_wrong_answer_is_noticed() {
    let caught = |answer: Value| std::panic::catch_unwind(|| check(&answer)).is_err();
    let answer = |data: Value| json!({ "schema": "coord.init/v1", "data": data });
    let right = json!({ "dir": "/x", "made": true, "files": [], "dry_run": false });
    assert!(!caught(answer(right)));
    let wrong = json!({ "dir": "/x", "made": 1, "files": [], "dry_run": false });
    assert!(caught(answer(wrong)));
    let missing = json!({ "dir": "/x", "files": [], "dry_run": false });
    assert!(caught(answer(missing)));
    let more = json!({ "dir": "/x", "made": true, "files": [], "dry_run": false, "a": 1 });
    assert!(caught(answer(more)));
    assert!(caught(json!({ "schema": "coord.nothing/v1", "data": {} })));
}

#[test]
fn a_schema_is_found_by_any_form_of_its_name() {
    let env = TestEnv::bare();
    let whole = env.coord("util schema coord.work.list/v1");
    whole.done();
    for name in ["work.list", "coord.work.list", "work.list/v1", "'work list'"] {
        assert_eq!(env.coord(&format!("util schema {name}")).out(), whole.out());
    }
    env.coord("util schema work.lits").fails(1, "there is no schema");
    assert!(env.coord("util schema work.lits").err().contains("did you mean `coord.work.list/v1`"));
}
