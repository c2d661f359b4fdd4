//! `coord kpi report`: every figure against a second computation (`kpi.py`), and every form of it.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::env::{Output, TestEnv};

const NAMES: [&str; 15] = [
    "availability",
    "response-p95",
    "response-p99",
    "claude-success",
    "memory",
    "operations-per-hour",
    "deployment-success",
    "deployment-time",
    "recovery",
    "test-coverage",
    "scripts",
    "velocity",
    "lead-time",
    "cycle-time",
    "flow-efficiency",
];

/// A store of which nothing is recorded, and stays so.
fn empty() -> TestEnv {
    let env = TestEnv::new();
    std::fs::remove_file(env.store().join("ops.jsonl")).unwrap();
    env.write(".coord/config.toml", "[telemetry]\nenabled = false\n");
    env
}

/// A store with three weeks of telemetry, old work, new work, and a ledger.
fn seeded() -> TestEnv {
    let env = empty();
    let script =
        "python3 $PY seed .coord ledgers $(date -u +%FT%T.%6NZ) old && $COORD import old -q";
    let out = run(&env, script);
    assert_eq!(out.code(), 0, "{out}");
    for (title, points) in [("One", 3), ("Two", 5)] {
        let id = env.add(&format!("{title} --points {points}"));
        env.coord(&format!("claim {id} --agent nova")).done();
        env.coord(&format!("complete {id} --agent nova")).done();
    }
    env
}

/// A line of shell that knows where the second computation and the ledger are.
fn run(env: &TestEnv, line: &str) -> Output {
    let py = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/kpi.py");
    let mut bash = env.sealed("bash");
    bash.args(["-c", line]).env("PY", py);
    Output(bash.env("COORD_CLAUDE_DIR", env.root().join("ledgers")).output().unwrap())
}

fn report(env: &TestEnv, flags: &str) -> Value {
    let out = run(env, &format!("$COORD kpi report --json {flags}"));
    assert!(matches!(out.code(), 0 | 10), "{out}");
    out.data()
}

fn figure<'a>(data: &'a Value, name: &str) -> &'a Value {
    let figures = data["figures"].as_array().unwrap();
    figures.iter().find(|figure| figure["name"] == name).unwrap()
}

#[test]
fn nothing_recorded_is_said_of_each_figure_in_each_form() {
    let env = empty();
    let data = report(&env, "");
    for name in NAMES {
        let figure = figure(&data, name);
        assert_eq!(figure["value"], Value::Null, "{figure}");
        assert_eq!(
            (figure["verdict"].as_str(), figure["sample"].as_u64()),
            (Some("nothing-recorded"), Some(0))
        );
        assert!(
            data["series"].as_array().unwrap().iter().all(|part| part["values"][name].is_null())
        );
    }
    assert_eq!(
        (data["nothing_recorded"].as_u64(), data["recorded_since"].as_str()),
        (Some(15), None)
    );
    for (flags, lines) in [("", 15), ("--weekly=2", 30), ("--markdown", 15), ("--color never", 15)]
    {
        let out = run(&env, &format!("$COORD kpi report {flags}")).out();
        let told = out.lines().filter(|line| line.contains("nothing recorded")).count();
        // The sum in Markdown says it once more.
        let sum = usize::from(flags == "--markdown");
        assert_eq!(told, lines + sum, "{flags}: {out}");
    }
    let out = run(&env, "$COORD kpi report -q --html page.html --junit junit.xml && cat page.html");
    assert_eq!(out.out().matches("· nothing recorded").count(), 15, "{out}");
    assert!(out.out().contains("<p>Nothing recorded.</p>") && !out.out().contains("<svg"), "{out}");
    assert_eq!(run(&env, "$COORD kpi report --gate").code(), 0, "nothing is missed");
    let required = run(&env, "$COORD kpi report --gate --require all --json");
    assert_eq!(required.code(), 10);
    assert_eq!(required.data()["gate"]["failures"].as_array().unwrap().len(), 15);
    let named = run(&env, "$COORD kpi report --gate --require memory");
    assert!(named.code() == 10 && named.err().contains("the gate: memory"), "{named}");
}

/// Compares with what `kpi.py` makes of the same files and the same time.
fn same(env: &TestEnv, data: &Value, from: &str, to: &str) {
    let line = format!(
        "$COORD work list --all --json > items.json && python3 $PY compute .coord ledgers items.json {from} {to}"
    );
    let out = run(env, &line);
    assert_eq!(out.code(), 0, "{out}");
    let second: Value = serde_json::from_str(&out.out()).unwrap();
    let mut compared = 0;
    for name in NAMES {
        let (ours, theirs) = (figure(data, name), &second["figures"][name]);
        let Some(value) = theirs["value"].as_f64() else {
            assert_eq!(ours["value"], Value::Null, "{name}: {ours}");
            continue;
        };
        compared += 1;
        // Quantiles come from a histogram of three digits.
        let slack = match name {
            "response-p95" | "response-p99" | "lead-time" | "cycle-time" => value.abs() / 1000.0,
            _ => 1e-9 * value.abs().max(1.0),
        };
        let told = ours["value"].as_f64().unwrap_or(f64::NAN);
        assert!((told - value).abs() <= slack, "{name}: {told} and {value}");
        assert_eq!(ours["sample"], theirs["sample"], "{name}");
        assert_eq!(ours["bad"], theirs["bad"], "{name}");
        match (ours["bound_percent"].as_f64(), theirs["bound"].as_f64()) {
            (Some(a), Some(b)) => assert!((a - b).abs() < 1e-9, "{name}: {a} and {b}"),
            (a, b) => assert_eq!(a, b, "{name}"),
        }
    }
    assert!(compared >= 10, "{second}");
}

#[test]
fn every_figure_is_what_a_second_computation_makes_of_the_same_files() {
    let env = seeded();
    for flags in ["", "--window 36h", "--since 15d --until 5d"] {
        let data = report(&env, flags);
        let time = |key: &str| data[key].as_str().unwrap().to_owned();
        same(&env, &data, &time("from"), &time("to"));
        assert_eq!(data["bad_lines"], 2);
    }
    let data = report(&env, "--weekly=3");
    let weeks = data["weeks"].as_array().unwrap();
    assert_eq!(weeks.len(), 3);
    for week in weeks {
        same(&env, week, week["from"].as_str().unwrap(), week["to"].as_str().unwrap());
    }
    // What is compared with is the week before.
    for name in NAMES {
        assert_eq!(figure(&weeks[2], name)["before"], figure(&weeks[1], name)["value"], "{name}");
    }
    assert!(weeks[0]["complete"] == true && weeks[2]["complete"] == false);
}

#[test]
fn a_target_is_met_only_where_the_number_proves_it() {
    let env = empty();
    let op = |outcome: &str, us: u64| {
        format!(
            "{{\"at\":\"AT\",\"command\":\"work claim\",\"outcome\":\"{outcome}\",\"exit_code\":0,\"duration_us\":{us},\
             \"trace_id\":\"0af7651916cd43dd8448eb211c80319c\",\"span_id\":\"b7ad6b7169203331\"}}\n"
        )
    };
    let now = env.shell("date -u -d '-1 hour' +%FT%TZ").out();
    let write = |ok: usize, bad: usize| {
        let text = op("ok", 900).repeat(ok) + &op("external", 900).repeat(bad);
        env.write(".coord/ops.jsonl", &text.replace("AT", now.trim()));
    };
    let verdict =
        |name: &str| figure(&report(&env, ""), name)["verdict"].as_str().unwrap().to_owned();
    write(2_999, 0);
    assert_eq!(verdict("availability"), "not-shown");
    assert_eq!(
        (verdict("response-p99"), verdict("operations-per-hour")),
        ("met".into(), "met".into())
    );
    assert_eq!(figure(&report(&env, ""), "availability")["needed"], 30_000);
    env.write(".coord/config.toml", "[telemetry]\nenabled = false\n[kpi]\navailability = 99.9\n");
    assert_eq!(verdict("availability"), "not-shown");
    write(3_000, 0);
    assert_eq!(verdict("availability"), "met");
    write(2_999, 1);
    assert_eq!(verdict("availability"), "not-shown");
    write(2_996, 4);
    assert_eq!(verdict("availability"), "missed");
    write(200, 0);
    assert_eq!(
        (verdict("response-p95"), verdict("response-p99")),
        ("met".into(), "not-shown".into())
    );
    let gate = |flags: &str| run(&env, &format!("$COORD kpi report --gate {flags}"));
    assert_eq!(gate("").code(), 0);
    gate("--require response-p95 -q").done();
    assert_eq!(gate("--require response-p99").code(), 10);
    write(90, 10);
    let out = gate("--github --junit j.xml");
    assert_eq!(out.code(), 10, "{out}");
    let line =
        "::error title=KPI Availability%3A missed::90 %25; target: at least 99.9 %25; 10 of 100";
    assert!(out.out().contains(line), "{out}");
    assert!(out.out().contains("::warning title=KPI Response time p99%3A not proven::"), "{out}");
    let check = "python3 - <<'E'\nimport xml.etree.ElementTree as tree\n\
        top = tree.parse('j.xml').getroot()\nsuite = top.find('testsuite')\n\
        cases = suite.findall('testcase')\n\
        count = lambda tag: sum(case.find(tag) is not None for case in cases)\n\
        assert top.tag == 'testsuites' and len(cases) == int(suite.get('tests')) == 15\n\
        assert count('failure') == int(suite.get('failures')) == int(top.get('failures'))\n\
        assert count('skipped') == int(suite.get('skipped'))\n\
        assert all(case.get('name') and case.get('classname') for case in cases)\n\
        print(*[case.get('name') for case in cases if case.find('failure') is not None])\nE";
    let failed = env.shell(check);
    assert_eq!(failed.out(), "availability\n", "{failed}");
}

#[test]
fn a_pause_after_a_fault_is_no_fault() {
    let env = empty();
    let op = |ago: &str, outcome: &str| {
        let at = env.shell(&format!("date -u -d '-{ago}' +%FT%TZ")).out();
        format!(
            "{{\"at\":\"{}\",\"command\":\"status\",\"outcome\":\"{outcome}\",\"exit_code\":0,\"duration_us\":900,\
             \"trace_id\":\"0af7651916cd43dd8448eb211c80319c\",\"span_id\":\"b7ad6b7169203331\"}}\n",
            at.trim()
        )
    };
    let told = |ops: &[(&str, &str)]| {
        let text: String = ops.iter().map(|(ago, outcome)| op(ago, outcome)).collect();
        env.write(".coord/ops.jsonl", &text);
        let found = figure(&report(&env, "--no-telemetry"), "recovery").clone();
        (found["verdict"].as_str().unwrap().to_owned(), found["value"].as_f64().unwrap())
    };
    let pause = [("3 hours", "bug"), ("1 hour", "ok")];
    assert_eq!(told(&pause), ("not-shown".into(), 0.0));
    let out = env.coord("kpi report --no-telemetry");
    assert!(out.out().contains("at most 2h"), "{out}");
    let (verdict, value) = told(&[pause[0], ("2 hours", "bug"), pause[1]]);
    assert!(verdict == "missed" && (3599.0..=3601.0).contains(&value), "{value}");
    let (verdict, _) = told(&[("60 minutes", "bug"), ("59 minutes", "ok")]);
    assert_eq!(verdict, "met");
}

#[test]
fn coverage_and_scripts_come_from_what_is_given() {
    let env = empty();
    env.write("lcov.info", "SF:a.rs\nDA:1,1\nDA:2,0\nDA:3,4\nDA:4,1\nend_of_record\n");
    env.write("old/a.sh", "echo 1\n");
    env.write("old/b", "#!/bin/sh\n");
    env.write("old/c.txt", "no script\n");
    let data = report(&env, "--coverage lcov.info --scripts old");
    let is = |name: &str| {
        (figure(&data, name)["value"].as_f64(), figure(&data, name)["verdict"].as_str())
    };
    assert_eq!(is("test-coverage"), (Some(75.0), Some("missed")));
    assert_eq!(is("scripts"), (Some(2.0), Some("met")));
    let why = figure(&data, "scripts")["why"].clone();
    assert_eq!(why, "in the tree that was given; the old system had 164");
    env.coord("kpi report --coverage none").fails(1, "cannot read the coverage report");
    env.coord("kpi report --coverage old/a.sh").fails(1, "neither an lcov tracefile nor JSON");
    env.coord("kpi report --scripts none").fails(1, "cannot read the directory");
}

#[test]
fn wrong_uses_are_told() {
    let env = empty();
    env.coord("kpi report --require memory").fails(2, "--gate");
    env.coord("kpi report --gate --require uptime").fails(2, "uptime");
    assert_eq!(env.coord("kpi report --markdown --json").code(), 2);
    env.coord("kpi report --since 2999-01-01").fails(2, "ends before it begins");
    env.coord("kpi report --since never").fails(2, "a date such as");
    env.coord("kpi report --weekly --window 1d").fails(2, "does not go with");
    env.coord("kpi report --html none/page.html").fails(5, "cannot write `none/page.html`");
    env.coord("kpi report --html a --junit a").fails(2, "the same file");
    env.coord("kpi report --html - --markdown").fails(2, "one form only");
    env.coord("kpi report --window -5m").fails(2, "expected a number with a unit");
    env.coord("kpi report --weekly=0").fails(2, "expected a whole number from 1 to 53");
    let missing = env.coord("kpi report --dir nowhere");
    assert!(missing.code() == 1 && !env.root().join("nowhere").exists(), "{missing}");
    let out = env.shell("COORD_KPI_AVAILABILITY=200 $COORD kpi report");
    assert_eq!(out.code(), 3, "{out}");
}

/// A proxy that answers nobody and notes who was asked for.
fn proxy() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 512];
            let read = stream.read(&mut head).unwrap_or(0);
            let line = String::from_utf8_lossy(&head[..read]);
            noted.lock().unwrap().push(line.lines().next().unwrap_or_default().to_owned());
            let _ = stream.write_all(b"HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n");
        }
    });
    (port, asked)
}

/// Opens a file in a browser: what it made of it, what its console said, and what it asked the network
/// for, the browser's own calls home left out.
fn open(env: &TestEnv, file: &str) -> (String, Vec<String>, Vec<String>) {
    let (port, asked) = proxy();
    let profile = env.root().join("profile");
    let mut browser = env.sealed("timeout");
    browser.args([
        "120",
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
    ]);
    browser.args([
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]);
    browser.args(["--disable-dev-shm-usage", "--enable-logging=stderr", "--v=0", "--dump-dom"]);
    browser.arg(format!("--user-data-dir={}", profile.display()));
    browser.arg(format!("--proxy-server=127.0.0.1:{port}")).arg("--proxy-bypass-list=<-loopback>");
    browser.arg(format!("file://{}", env.root().join(file).display()));
    let out = browser.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let console = String::from_utf8_lossy(&out.stderr);
    let console =
        console.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    let own = ["google.com", "googleapis.com", "gvt1.com", "gstatic.com"];
    let asked = asked.lock().unwrap();
    let asked = asked.iter().filter(|line| !own.iter().any(|host| line.contains(host)));
    (String::from_utf8_lossy(&out.stdout).into_owned(), console, asked.cloned().collect())
}

#[test]
fn the_page_opens_in_a_browser_without_a_complaint_and_without_network() {
    let env = seeded();
    // A page with faults shows that faults are seen.
    env.write(
        "faulty.html",
        "<img src=\"http://planted.invalid/x.png\"><script>console.error('planted')</script>",
    );
    let (_, console, asked) = open(&env, "faulty.html");
    assert!(console.iter().any(|line| line.contains("planted")), "{console:?}");
    assert!(asked.iter().any(|line| line.contains("planted.invalid")), "{asked:?}");
    for flags in ["", "--weekly"] {
        let out = run(&env, &format!("$COORD kpi report -q --html page.html {flags}"));
        assert_eq!(out.code(), 0, "{out}");
        let (dom, console, asked) = open(&env, "page.html");
        assert!(console.is_empty(), "{console:?}");
        assert!(asked.is_empty(), "{asked:?}");
        let charts = dom.matches("<svg ").count();
        assert!(charts >= 9, "{charts}");
        for tag in ["<title id=", "<desc id=", "<section "] {
            assert_eq!(dom.matches(tag).count(), charts, "{tag}");
        }
        assert!(dom.contains("default-src 'none'") && !dom.contains("<script"));
        assert!(
            !dom.replace("http://www.w3.org/2000/svg", "").replace("file://", "").contains("://")
        );
    }
}

#[test]
fn a_page_for_standard_output_takes_the_place_of_the_report() {
    let env = empty();
    let out = env.coord("kpi report --html -");
    out.done();
    assert!(out.out().starts_with("<!") && out.out().trim_end().ends_with("</html>"), "{out}");
    assert!(!env.root().join("-").exists());
}
