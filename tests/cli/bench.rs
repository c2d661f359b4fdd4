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
        assert!(target["unmeasured"].is_string() == target["met"].is_null(), "{target}");
        // A test build is dynamic, and not what these are for.
        let other =
            ["claim-memory", "claim-instructions"].map(Value::from).contains(&target["name"]);
        assert!(other || target["value"].is_number() == target["met"].is_boolean(), "{target}");
        assert!(!other || target["met"].is_null(), "{target}");
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
fn figures_in_slices_are_compared_beyond_chance() {
    let env = TestEnv::bare();
    let report = env.json("bench cold --rounds 20 --save base.json");
    let figure = &report["figures"][0];
    assert_eq!(
        (figure["name"].as_str(), figure["slices"].as_array().unwrap().len()),
        (Some("version"), 10)
    );
    let mut saved: Value =
        serde_json::from_slice(&std::fs::read(env.root().join("base.json")).unwrap()).unwrap();
    let mut with = |name: &str, slices: Vec<f64>, conditions: Option<&str>| {
        saved["data"]["figures"][0]["slices"] = slices.into();
        if let Some(conditions) = conditions {
            saved["data"]["conditions"] = conditions.into();
        }
        env.write(name, &saved.to_string());
    };
    with("fast.json", vec![0.001; 10], None);
    // One slice is nothing to go by, whatever it says.
    with("few.json", vec![0.001], None);
    with("other.json", vec![0.001; 10], Some("999 cores"));
    let out = env.coord("bench cold --rounds 20 --baseline fast.json --json");
    assert_eq!(out.code(), 10, "{out}");
    assert!(out.err().contains("worse than the baseline: `version`"), "{out}");
    let answer: Value = serde_json::from_str(&out.out()).unwrap();
    crate::schema::check(&answer);
    assert_eq!(answer["data"]["compared"][0]["verdict"], "worse", "{answer}");
    env.coord("bench cold --rounds 20 --baseline few.json").done();
    env.coord("bench cold --baseline other.json").fails(1, "was measured with 999 cores");
}

#[test]
fn wrong_use_is_told() {
    let env = TestEnv::bare();
    env.coord("bench cold --baseline nowhere.json").fails(1, "cannot read `nowhere.json`");
    env.write("other.json", "{}");
    env.coord("bench cold --baseline other.json").fails(1, "does not hold saved figures");
    env.write("cold.json", r#"{"schema":"coord.bench.cold/v1","data":{"targets":[]}}"#);
    env.coord("bench store --baseline cold.json").fails(1, "holds `coord.bench.cold/v1`");
    env.coord("bench store --sizes 3").fails(2, "3");
    env.coord("bench cold --tolerance 0.5").fails(2, "--baseline");
    env.coord("bench cold --tolerance x --baseline a").fails(2, "expected a number from 0 on");
    assert_eq!(env.coord("__bench nonsense").code(), 2);
}

#[test]
fn where_figures_cannot_be_saved_is_known_before_they_are_measured() {
    let env = TestEnv::bare();
    for bench in ["store", "swarm", "claude", "cold"] {
        let out = env.coord(&format!("bench {bench} --save none/x.json"));
        out.fails(5, "cannot write `none/x.json`");
    }
    assert!(names_in_root(&env).is_empty());
}

#[test]
fn a_competitor_that_fails_is_left_out_and_told() {
    let env = TestEnv::bare();
    // It can be prepared, and then never does anything.
    env.write("fake/sqlite3", "#!/bin/sh\ncase $2 in *CREATE*) exit 0;; esac\nexit 5\n");
    let out = env.shell(&format!(
        "chmod +x fake/sqlite3; PATH=$PWD/fake:$PATH $COORD {QUICK} --json --save - | tail -n 1"
    ));
    let report: Value = serde_json::from_str(&out.out()).unwrap();
    let targets = report["data"]["targets"].as_array().unwrap();
    let named = |name: &str| targets.iter().find(|target| target["name"] == name).unwrap();
    let why = named("sqlite")["unmeasured"].as_str().unwrap();
    assert!(why.ends_with("ended with exit code 5"), "{why}");
    assert!(named("throughput")["value"].is_number(), "{out}");
    let crowds = report["data"]["crowds"].as_array().unwrap();
    let who: Vec<_> = crowds.iter().map(|crowd| crowd["name"].as_str().unwrap()).collect();
    assert_eq!(who, ["limit", "coord"]);
    assert!(out.err().contains("sqlite claim is left out"), "{out}");
    assert!(out.err().contains("sqlite with many processes is left out"), "{out}");
}

/// A run of many agents that takes seconds.
const SWARM: &str = "bench swarm -n 4 --items 60 --pace 250ms --work 20ms --for 1500ms --in . --tolerance 0.1 \
     --baseline";

#[test]
fn a_swarm_loses_nothing_and_its_figures_fit_each_other() {
    let env = TestEnv::bare();
    let plain = SWARM.replace(" --tolerance 0.1 --baseline", " --save base.json");
    let report = env.json(&plain);
    assert_eq!(names_in_root(&env), ["base.json"]);
    let check = &report["check"];
    let added = report["phases"][0]["latency"][0].clone();
    assert_eq!(added["name"], "add");
    let all = 60 + added["runs"].as_u64().unwrap();
    for field in ["put_in", "claims", "completions", "done"] {
        assert_eq!(check[field], all, "{field}: {check}");
    }
    assert_eq!((&check["lost"], &check["doubled"]), (&0.into(), &0.into()));
    assert_eq!(report["verified"], true);
    let mut cycles = 0;
    for phase in report["phases"].as_array().unwrap() {
        let n = |value: &Value| value.as_f64().unwrap();
        let runs: f64 = phase["latency"].as_array().unwrap().iter().map(|o| n(&o["runs"])).sum();
        assert!((runs - n(&phase["operations"])).abs() < 0.5);
        let per_s = runs / n(&phase["duration_s"]);
        assert!((per_s - n(&phase["operations_per_s"])).abs() <= per_s / 100.0, "{phase}");
        assert!((per_s * 3600.0 - n(&phase["operations_per_h"])).abs() <= per_s * 36.0, "{phase}");
        assert!(n(&phase["cpu_s"]) > 0.0);
        for o in phase["latency"].as_array().unwrap() {
            let order = [&o["p50_ms"], &o["p95_ms"], &o["p99_ms"], &o["max_ms"]].map(n);
            assert!(order[0] > 0.0 && order.is_sorted(), "{o}");
        }
        assert_eq!(phase["slices"].as_array().unwrap().len(), 10);
        cycles += phase["cycles"].as_u64().unwrap();
    }
    assert_eq!(cycles, all);
    for m in report["memory"].as_array().unwrap() {
        assert!(m["peak_bytes"].as_u64().unwrap() > 100_000, "{m}");
    }
}

#[test]
fn a_store_without_its_lock_is_found_out() {
    let run = || {
        let env = TestEnv::bare();
        let mut command = env.command();
        let line = "bench swarm -n 8 --items 200 --for 1s --pace 500ms --work 0s --in . --json";
        command.env("COORD_TEST_PLANT", "no-lock").args(line.split(' '));
        let out = crate::env::Output(command.output().unwrap());
        assert_eq!(out.code(), 10, "{out}");
        out
    };
    // What two writers at once make of a log may be more than can be read; that is told as well, and
    // says nothing about the count.
    let read = |out: &crate::env::Output| !out.err().contains("cannot be read back");
    let out = (0..10).map(|_| run()).find(read).expect("a log that can be read back");
    assert!(out.err().contains("lost or doubled"), "{out}");
    let check = &serde_json::from_str::<Value>(&out.out()).unwrap()["data"]["check"];
    assert!(check["lost"].as_u64().unwrap() + check["doubled"].as_u64().unwrap() > 0, "{check}");
    assert!(!check["faults"].as_array().unwrap().is_empty(), "{check}");
}

#[test]
fn a_tolerance_that_is_no_number_is_refused() {
    let env = TestEnv::bare();
    for kind in ["store", "cold", "swarm", "claude"] {
        for share in ["nan", "inf", "-0.1", "x"] {
            let line = format!("bench {kind} --baseline none.json --tolerance={share}");
            env.coord(&line).fails(2, "expected a number from 0 on");
        }
    }
}

/// Figures as an earlier run may have saved them, each value times `factor`.
fn older(report: &Value, schema: &str, factor: f64) -> String {
    let mut data = report.clone();
    for figure in data["figures"].as_array_mut().unwrap() {
        for slice in figure["slices"].as_array_mut().unwrap() {
            *slice = (slice.as_f64().unwrap() * factor).into();
        }
    }
    serde_json::json!({ "schema": schema, "data": data }).to_string()
}

#[test]
fn a_swarm_that_was_much_faster_before_is_a_problem_and_other_conditions_are_told() {
    let env = TestEnv::bare();
    let report = env.json(&SWARM.replace(" --tolerance 0.1 --baseline", ""));
    env.write("same.json", &older(&report, "coord.bench.swarm/v1", 1.0));
    // Times were a thousandth and speeds as well: the ones are worse now, the others better.
    env.write("before.json", &older(&report, "coord.bench.swarm/v1", 0.001));
    let out = env.coord(&format!("{SWARM} before.json --json"));
    assert_eq!(out.code(), 10, "{out}");
    assert!(out.err().contains("worse than the baseline: `paced-claim-p50`"), "{out}");
    let compared: Value = serde_json::from_str(&out.out()).unwrap();
    let verdict = |name: &str| {
        let all = compared["data"]["compared"].as_array().unwrap();
        all.iter().find(|c| c["name"] == name).unwrap()["verdict"].clone()
    };
    assert_eq!(verdict("paced-claim-p50"), "worse");
    assert_eq!(verdict("flat-out-cycles"), "better");
    let other = SWARM.replace("--items 60", "--items 61");
    env.coord(&format!("{other} same.json")).fails(1, "was measured with 4 agents, 60 items");
    env.coord("bench swarm --for 1s --pace 2s").fails(2, "`--for` must be at least `--pace`");
    env.coord("bench swarm --pace 0s").fails(2, "`--work` must take less time than `--pace`");
    env.coord("bench swarm -n 0").fails(2, "0");
    assert_eq!(names_in_root(&env).len(), 2);
}

#[test]
fn a_swarm_that_is_interrupted_leaves_nothing() {
    let env = TestEnv::bare();
    let mut command = env.command();
    command.args(["bench", "swarm", "-n", "3", "--items", "50", "--for", "60s", "--in", "."]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    crate::agent_run::until("it has begun", || !names_in_root(&env).is_empty());
    std::thread::sleep(std::time::Duration::from_millis(500));
    crate::agent_run::signal(&child, "INT");
    let out = crate::env::Output(child.wait_with_output().unwrap());
    out.fails(130, "stopped by SIGINT");
    assert_eq!(names_in_root(&env), [""; 0]);
}

#[test]
fn our_part_of_a_call_to_claude_is_measured_without_a_network() {
    let env = TestEnv::bare();
    let line = "bench claude --rounds 10 --parallel 4 --service-time 5ms";
    let mut command = env.command();
    command.env("TMPDIR", env.root()).env("HTTP_PROXY", "http://127.0.0.1:9");
    let out = command.args(line.split(' ')).arg("--json").output().unwrap();
    let out = crate::env::Output(out);
    assert_eq!(out.code(), 0, "{out}");
    let report = out.data();
    assert_eq!(report["requests_seen"], report["requests_expected"]);
    assert_eq!(report["asked_for_one_question"], 1);
    assert_eq!(report["crowd"]["calls"], 10);
    let calls = report["calls"].as_array().unwrap();
    let n = |value: &Value| value.as_f64().unwrap();
    let median =
        |name: &str| n(&calls.iter().find(|c| c["name"] == name).unwrap()["times"]["median_us"]);
    assert_eq!(calls.len(), 8);
    for c in calls {
        assert!(c["times"]["runs"] == 10 && n(&c["times"]["median_us"]) > 0.0, "{c}");
        let base = match c["name"].as_str().unwrap() {
            "layer, answered" => median("exchange"),
            "process, answered" | "process, cached" | "process, breaker open" => {
                median("empty process")
            }
            "layer, cached" | "layer, breaker open" => 0.0,
            _ => n(&c["times"]["median_us"]),
        };
        assert!((n(&c["over_us"]) - (n(&c["times"]["median_us"]) - base)).abs() < 0.2, "{c}");
    }
    env.write("before.json", &older(&report, "coord.bench.claude/v1", 0.001));
    assert_eq!(names_in_root(&env), ["before.json"]);
    let out = env.coord(&format!("{line} --baseline before.json"));
    assert_eq!(out.code(), 10, "{out}");
    assert!(out.err().contains("`layer, answered`"), "{out}");
    env.coord("bench claude --parallel 3 --baseline before.json")
        .fails(1, "measured with 4 at once");
}
