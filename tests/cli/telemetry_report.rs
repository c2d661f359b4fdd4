//! `coord telemetry report`: every figure against an independent computation with jq.

use std::fmt::Write as _;

use serde_json::Value;

use crate::env::{Output, TestEnv};

/// A store with work that was done and telemetry of a day, some of it old, slow, failed or damaged.
fn seeded() -> TestEnv {
    let env = TestEnv::new();
    for (title, team) in [("one", "core"), ("two", "web"), ("three", "core")] {
        let _ = env.coord(&format!("add {title} --team {team} --points 3 --no-telemetry"));
    }
    let _ = env.coord("claim w-1 --agent nova --no-telemetry");
    let _ = env.coord("complete w-1 --agent nova --no-telemetry");
    let now = chrono_now(&env);
    let mut text = String::new();
    for number in 0_i64..997 {
        let (seconds, us) = (now - 60 - number * 120, 100 + number * number % 100_003);
        let command = ["work claim", "work complete", "agent heartbeat"]
            [usize::try_from(number % 3).unwrap()];
        let (outcome, code) = match number % 50 {
            7 => ("external", 5),
            8 | 9 => ("empty", 6),
            _ => ("ok", 0),
        };
        let _ = writeln!(
            text,
            r#"{{"at":"{}","command":"{command}","outcome":"{outcome}","exit_code":{code},"duration_us":{us},"lock_wait_us":{},"cpu_us":400,"memory_kib":{},"agent":"a-{}","team":"{}","trace_id":"{:032x}","span_id":"{:016x}"}}"#,
            stamp(seconds),
            us / 10,
            2000 + number,
            number % 7,
            ["core", "web"][usize::try_from(number % 2).unwrap()],
            number + 1,
            number + 1,
        );
        if number == 500 {
            text.push_str("{\"at\":\"20\n");
        }
    }
    // Some have no agent, and some are about no item.
    let text = text.replace(r#""agent":"a-3","#, "").replace(r#""team":"web","#, "");
    std::fs::write(env.store().join("ops.jsonl"), text).unwrap();
    env
}

fn chrono_now(env: &TestEnv) -> i64 {
    env.shell("date +%s").out().trim().parse().unwrap()
}

fn stamp(seconds: i64) -> String {
    let out = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%S.000000Z"])
        .output()
        .unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// The rows of the window, computed by jq from the file.
const JQ: &str = r#"
def rank($p): sort | .[(((length * $p) | ceil) - 1)];
def group: { count: length,
  faults: map(select(.outcome | IN("external", "bug", "unknown-outcome", "lock-timeout"))) | length,
  cpu: (map(.cpu_us) | add), memory: (map(.memory_kib) | max * 1024),
  p50: (map(.duration_us) | rank(0.5)), p95: (map(.duration_us) | rank(0.95)),
  p99: (map(.duration_us) | rank(0.99)), max: (map(.duration_us) | max),
  wait: (map(.lock_wait_us) | rank(0.95)) };
map(select(.at >= $from and .at < $to)) | { total: group, groups: (group_by(.[$by]) | map({ key: (.[0][$by] // ""), value: group }) | from_entries) }
"#;

fn by_jq(env: &TestEnv, from: &str, to: &str, by: &str) -> Value {
    let script = env.root().join("by.jq");
    std::fs::write(&script, JQ).unwrap();
    let good = env.shell("grep -v '^{\"at\":\"20$' .coord/ops.jsonl > good.jsonl");
    assert_eq!(good.code(), 0, "{good}");
    let mut jq = env.sealed("jq");
    jq.args(["-s", "--arg", "from", from, "--arg", "to", to, "--arg", "by", by, "-f"]);
    let out = Output(jq.arg(script).arg("good.jsonl").output().unwrap());
    assert_eq!(out.code(), 0, "{out}");
    serde_json::from_str(&out.out()).unwrap()
}

/// The histogram has three digits.
fn near(got: &Value, want_us: &Value) -> bool {
    let (got, want) = (got.as_f64().unwrap() * 1000.0, want_us.as_f64().unwrap());
    (got - want).abs() <= want / 1000.0 + 1.0
}

fn same(operations: &Value, want: &Value) {
    assert_eq!(operations["count"], want["count"]);
    assert_eq!(operations["faults"], want["faults"]);
    assert_eq!(operations["memory_peak_bytes"], want["memory"]);
    let (cpu, want_cpu) = (operations["cpu_s"].as_f64().unwrap(), want["cpu"].as_f64().unwrap());
    assert!((cpu * 1e6 - want_cpu).abs() < 1.0, "{cpu}");
    for (quantile, name) in
        [("p50", "p50_ms"), ("p95", "p95_ms"), ("p99", "p99_ms"), ("max", "max_ms")]
    {
        let (got, want) = (&operations["duration"][name], &want[quantile]);
        assert!(near(got, want), "{name}: {got} for {want}");
    }
    assert!(near(&operations["lock_wait"]["p95_ms"], &want["wait"]));
}

#[test]
fn every_figure_is_what_jq_makes_of_the_file() {
    let env = seeded();
    for by in ["command", "team", "agent"] {
        let told = env.json(&format!("telemetry report --no-telemetry --window 12h --by {by}"));
        let (from, to) = (told["from"].as_str().unwrap(), told["to"].as_str().unwrap());
        let want = by_jq(&env, from, to, by);
        same(&told["operations"], &want["total"]);
        let groups = told["groups"].as_array().unwrap();
        assert_eq!(groups.len(), want["groups"].as_object().unwrap().len(), "{by}");
        for group in groups {
            same(group, &want["groups"][group["name"].as_str().unwrap_or_default()]);
        }
        let sum: u64 = groups.iter().map(|group| group["count"].as_u64().unwrap()).sum();
        assert_eq!(told["operations"]["count"], sum, "every one is in a group");
        let text = env.coord(&format!("telemetry report --no-telemetry --by {by}")).out();
        assert_eq!(text.contains(&format!("\nno {by}\t")), by != "command", "{text}");
        let parts = told["parts"].as_array().unwrap();
        let sum: u64 = parts.iter().map(|part| part["count"].as_u64().unwrap()).sum();
        assert_eq!((parts.len(), sum), (24, told["operations"]["count"].as_u64().unwrap()));
        assert_eq!(told["bad_lines"], 1);
    }
    let told = env.json("telemetry report");
    assert_eq!((&told["queue"]["total"], &told["queue"]["states"]["done"]), (&3.into(), &1.into()));
    assert_eq!((&told["flow"]["done"], &told["flow"]["velocity"]), (&1.into(), &3.into()));
    assert_eq!(told["claude"]["success_rate"], Value::Null);
}

#[test]
fn a_window_is_compared_with_the_one_before() {
    let env = seeded();
    let until =
        env.json("telemetry report --no-telemetry --window 6h")["to"].as_str().unwrap().to_owned();
    let told =
        env.json(&format!("telemetry report --no-telemetry --window 6h --until {until} --compare"));
    let before = &told["before"];
    let want =
        by_jq(&env, before["from"].as_str().unwrap(), told["from"].as_str().unwrap(), "command");
    same(&before["operations"], &want["total"]);
    let (now, was) =
        (told["operations"]["count"].as_f64().unwrap(), want["total"]["count"].as_f64().unwrap());
    assert!((before["change"]["count"].as_f64().unwrap() - (now / was - 1.0)).abs() < 1e-9);
}

#[test]
fn a_window_is_given_as_any_other_moment() {
    let env = TestEnv::new();
    let told = |line: &str| env.json(&format!("telemetry report --no-telemetry {line}"));
    let report = told("--since 2026-01-02 --until 2026-01-03 --compare");
    assert_eq!(report["from"], "2026-01-02T00:00:00.000000Z");
    assert_eq!(report["to"], "2026-01-03T00:00:00.000000Z");
    assert_eq!(report["before"]["from"], "2026-01-01T00:00:00.000000Z");
    let report = told("--since 2h --until 1h");
    let ago = |hours: i64| stamp(chrono_now(&env) - hours * 3600);
    let near = |key: &str, hours: i64| report[key].as_str().unwrap()[..13] == ago(hours)[..13];
    // The hour may just have changed.
    assert!((near("from", 2) && near("to", 1)) || near("from", 3), "{report}");
    for line in
        ["--since 1h --until 2h", "--since 2026-13-01", "--since 2026-01-02 --until 2026-01-02"]
    {
        let out = env.coord(&format!("telemetry report {line}"));
        assert_eq!(out.code(), 2, "{line}: {out}");
    }
}

#[test]
fn what_was_before_the_records_is_not_counted_as_none() {
    let env = TestEnv::new();
    for title in ["One", "Two", "Three"] {
        env.add(title);
    }
    let told = env.json("telemetry report --compare --no-telemetry");
    let count = told["operations"]["count"].as_f64().unwrap();
    assert_eq!(told["operations"]["per_hour"], count, "of less than an hour");
    let before = &told["before"];
    assert_eq!((&before["complete"], &before["change"]["count"]), (&false.into(), &Value::Null));
    let text = env.coord("telemetry report --compare --no-telemetry").out();
    let since = told["recorded_since"].as_str().unwrap()[..19].replace('T', " ");
    assert!(text.contains(&format!("recorded    since {since}Z\n")), "{text}");
    assert!(text.contains("before      no operations recorded, 0 done"), "{text}");
    let page = env.coord("telemetry report --compare --markdown --no-telemetry").out();
    assert!(page.contains("Recorded since 2") && page.contains("| not recorded |"), "{page}");
}

#[test]
fn nothing_recorded_is_told_as_that() {
    let env = TestEnv::new();
    std::fs::remove_file(env.store().join("ops.jsonl")).unwrap();
    let out = env.coord("telemetry report");
    assert!(
        out.out().contains("operations  nothing recorded\nwork        nothing recorded\n"),
        "{out}"
    );
    let told = env.json("telemetry report --until 2020-01-01T00:00:00Z");
    assert_eq!(told["operations"]["availability"], Value::Null);
    assert_eq!(told["operations"]["duration"]["p95_ms"], Value::Null);
    let page = env.coord("telemetry report --markdown --until 2020-01-01T00:00:00Z").out();
    assert!(
        page.contains("Operations: nothing recorded.")
            && page.contains("## Claude\n\nNothing recorded."),
        "{page}"
    );
    let charts = env.coord("telemetry report --mermaid --until 2020-01-01T00:00:00Z").out();
    assert!(charts.starts_with("No operations are recorded"), "{charts}");
}

#[test]
fn documents_hold_no_markup_of_others() {
    let env = TestEnv::new();
    let line = r#"{"at":"2026-01-02T03:04:05Z","command":"work claim","outcome":"ok","exit_code":0,"duration_us":5,"agent":"a|b\"<script>#\u001b[31m","trace_id":"00000000000000000000000000000001","span_id":"0000000000000001"}"#;
    std::fs::write(env.store().join("ops.jsonl"), format!("{line}\n")).unwrap();
    let until = "--until 2026-01-02T04:00:00Z --by agent";
    let page = env.coord(&format!("telemetry report --markdown {until}")).out();
    assert!(page.contains(r#"| a\|b"\<script\>\#"#), "{page}");
    let charts = env.coord(&format!("telemetry report --mermaid {until}")).out();
    assert!(charts.contains(r#"    "a|b'<script>number "#), "{charts}");
    let all = env.coord("telemetry report --prometheus").out();
    assert!(!page.contains('\u{1b}') && !charts.contains('\u{1b}') && !all.contains('\u{1b}'));
}

#[test]
fn wrong_uses_are_told() {
    let env = TestEnv::new();
    for (line, code) in [
        ("telemetry report --window 0s", 2),
        ("telemetry report --since yesterday", 2),
        ("telemetry report --since 2030-01-01T00:00:00Z", 2),
        ("telemetry report --prometheus --compare", 2),
        ("telemetry report --output x", 2),
        ("telemetry report --markdown --output /proc/nope/report.md", 5),
    ] {
        let out = env.coord(line);
        assert_eq!(out.code(), code, "{line}: {out}");
    }
    let out = env.coord("telemetry report --markdown --output report.md");
    assert_eq!((out.code(), out.out().as_str()), (0, ""), "{out}");
    assert!(
        std::fs::read_to_string(env.root().join("report.md")).unwrap().starts_with("# Telemetry")
    );
}

#[test]
fn what_lasts_by_design_is_left_out_of_times_and_told() {
    let env = TestEnv::new();
    let mut lines = String::new();
    for (n, (command, us, more)) in [
        ("work claim", 90_000, ""),
        ("work claim", 7_000_000, r#","lasting":true"#),
        ("agent run", 3_600_000_000_u64, ""),
    ]
    .into_iter()
    .enumerate()
    {
        let at = stamp(chrono_now(&env) - 60);
        let _ = writeln!(
            lines,
            r#"{{"at":"{at}","command":"{command}","outcome":"ok","exit_code":0,"duration_us":{us},"trace_id":"{:032x}","span_id":"{:016x}"{more}}}"#,
            n + 1,
            n + 1,
        );
    }
    std::fs::write(env.store().join("ops.jsonl"), lines).unwrap();
    let report = "telemetry report --no-telemetry";
    let told = env.json(report);
    let all = &told["operations"];
    assert_eq!((&all["count"], &all["lasting"]), (&3.into(), &2.into()));
    assert!(all["duration"]["max_ms"].as_f64().unwrap() < 100.0, "{all}");
    let text = env.coord(report).out();
    assert!(text.contains("            2 that last by design are left out\n"), "{text}");
    let page = env.coord(&format!("{report} --markdown")).out();
    assert!(page.contains("| left out of these, as they last by design | 2 |"), "{page}");
    let text = env.coord(&format!("{report} --prometheus")).out();
    for line in [
        r#"coord_operation_duration_seconds_count{command="work claim"} 1"#,
        r#"coord_lasting_operation_duration_seconds_count{command="work claim"} 1"#,
        r#"coord_lasting_operation_duration_seconds_sum{command="agent run"} 3600"#,
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
    }
    assert!(!text.contains(r#"coord_operation_duration_seconds_count{command="agent run"}"#));
    let rules = env.json("alert list --no-telemetry");
    assert!(rules.to_string().contains("response-time"), "{rules}");
}

#[test]
fn a_document_goes_where_it_is_wanted() {
    let env = seeded();
    let report = "telemetry report --prometheus --no-telemetry --output";
    let text = env.coord(&format!("{report} -"));
    text.done();
    assert!(text.out().contains("coord_up 1\n") && text.err().is_empty(), "{text}");
    assert!(!env.root().join("-").exists());
    let out = env.shell(&format!(
        "umask 022; mkfifo pipe; ln -s real link; (cat pipe >piped &) ; \
         $COORD {report} pipe && $COORD {report} link && $COORD {report} new.prom && \
         stat -c '%F %a' pipe link real new.prom && sleep 0.2; tail -n 1 piped"
    ));
    let (up, files) =
        ("coord_up 1", "fifo 644\nsymbolic link 777\nregular file 644\nregular file 644");
    assert_eq!(out.out().trim_end(), format!("{files}\n{up}"), "{out}");
    // What a shell has opened is written into, not taken from it.
    let out = env.shell(&format!(
        "{{ echo first; $COORD {report} /dev/stdout; }} >both; head -n 1 both; tail -n 1 both"
    ));
    assert_eq!(out.out(), format!("first\n{up}\n"), "{out}");
    let out = env.shell(&format!("$COORD {report} /dev/stdout | head -n 1"));
    assert!(out.out().starts_with("# "), "{out}");
    env.coord(&format!("{report} none/x")).fails(5, "cannot write `none/x`");
    assert!(!env.root().join("none").exists());
    // A full device; only who may make one can try.
    let out = env.shell(&format!(
        "mknod full c 1 7 2>/dev/null || exit 77; $COORD {report} full; echo $?; stat -c %F full"
    ));
    if out.code() != 77 && !out.err().contains("Permission denied") {
        assert_eq!(out.out(), "5\ncharacter special file\n", "{out}");
    }
}

#[test]
fn a_window_of_less_than_nothing_is_no_window() {
    let env = TestEnv::new();
    env.coord("telemetry report --window -5m").fails(2, "expected a number with a unit");
}

#[test]
fn calls_of_other_projects_do_not_count() {
    let env = TestEnv::new();
    env.add("One");
    let line = |store: &str, outcome: &str| {
        format!(
            "{{\"kind\":\"call\",\"at\":\"{}\",\"call\":\"c\",\"command\":\"claude ask\"{store},\"number\":1,\"outcome\":\"{outcome}\",\"source\":\"api\",\"wait_ms\":0,\"duration_ms\":5}}\n",
            stamp(chrono_now(&env) - 60)
        )
    };
    let ours = env.store().canonicalize().unwrap().display().to_string();
    let text = line(&format!(",\"store\":\"{ours}\""), "ok")
        + &line(",\"store\":\"/elsewhere/.coord\"", "ok")
        + &line("", "ok");
    env.write("ledgers/ledger.jsonl", &text);
    let out = env.shell("COORD_CLAUDE_DIR=$PWD/ledgers $COORD telemetry report --json");
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.data()["claude"]["asked"], 2, "{out}");
}
