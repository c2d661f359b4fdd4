//! `coord bench`: that it measures, compares and cleans up; the figures of a test build mean nothing.

use serde_json::Value;

use crate::env::TestEnv;

/// A run that takes seconds.
const QUICK: &str = "bench store --sizes 20,50 --rounds 2 --workers 3 --in .";

fn names_in_root(env: &TestEnv) -> Vec<String> {
    let entries = std::fs::read_dir(env.root()).unwrap();
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn measures_every_operation_at_every_size_and_leaves_nothing() {
    let env = TestEnv::bare();
    let report = env.json(&format!("{QUICK} --save figures.json"));
    let saved: Value =
        serde_json::from_slice(&std::fs::read(env.root().join("figures.json")).unwrap()).unwrap();
    assert_eq!(saved["schema"], "coord.bench.store/v1");
    assert_eq!(saved["data"], report);
    assert_eq!(names_in_root(&env), ["figures.json"]);
    assert_eq!(report["machine"]["yardstick_is_separate"], true);
    let operations = report["operations"].as_array().unwrap();
    let median = |name: &str, items: Option<u64>| {
        let of = |o: &&Value| o["name"] == name && o["items"].as_u64() == items;
        operations.iter().find(of).and_then(|o| o["median_us"].as_f64()).unwrap()
    };
    for name in ["add", "claim", "progress", "complete", "store claim", "list --limit 10"] {
        assert!(median(name, Some(20)) > 0.0 && median(name, Some(50)) > 0.0);
    }
    let ratio = median("claim", Some(50)) / median("limit", None);
    let claim = operations.iter().find(|o| o["name"] == "claim" && o["items"] == 50).unwrap();
    assert!((claim["x_limit"].as_f64().unwrap() - ratio).abs() < 0.001, "{claim}");
    for crowd in report["crowds"].as_array().unwrap() {
        assert!(crowd["cycles_per_s"].as_f64().unwrap() > 0.0, "{crowd}");
    }
    assert_eq!(report["rebuilds"].as_array().unwrap().len(), 2);
    assert!(report["claim_peak_bytes"].as_u64().unwrap() > 100_000);
    for target in report["targets"].as_array().unwrap() {
        let judged = target["value"].is_number() == target["met"].is_boolean();
        assert!(judged && target["unmeasured"].is_string() == target["value"].is_null());
    }
}

#[test]
fn a_figure_that_became_worse_is_a_problem() {
    let env = TestEnv::bare();
    let figures = |value: f64| {
        serde_json::json!({"schema": "coord.bench.cold/v1", "data": {"targets": [{
            "name": "version", "what": "", "unit": "x", "bound": "at-most", "wanted": 2.0,
            "value": value, "met": true, "unmeasured": null,
        }]}})
        .to_string()
    };
    env.write("better.json", &figures(0.001));
    env.write("worse.json", &figures(1e9));
    let out = env.coord("bench cold --rounds 2 --baseline better.json");
    assert_eq!(out.code(), 10, "{out}");
    assert!(out.err().contains("worse than the baseline: `version`"), "{out}");
    assert!(out.out().contains("worse than before: version"), "{out}");
    assert_eq!(env.coord("bench cold --rounds 2 --baseline worse.json").code(), 0);
}

#[test]
fn wrong_use_is_told() {
    let env = TestEnv::bare();
    env.coord("bench cold --baseline nowhere.json").fails(1, "cannot read `nowhere.json`");
    env.write("other.json", "{}");
    env.coord("bench cold --baseline other.json").fails(1, "does not hold saved figures");
    env.coord("bench store --sizes 3").fails(2, "3");
    env.coord("bench cold --tolerance 0.5").fails(2, "--baseline");
    assert_eq!(env.coord("__bench nonsense").code(), 2);
}
