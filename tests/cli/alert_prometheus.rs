//! The exported rules mean in Prometheus what they mean here: 200 generated series, and at every step
//! the same rules are pending, fire and resolve, as `promtool test rules` finds them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use coord::domain::alert::{Change, Layer, Reading, Rule, State, combine, read, step};
use coord::domain::telemetry::{
    BUCKETS_US, Calls, Dimension, Flow, Observed, Operation, Outcome, Queue, Roster, Summary,
    Window,
};
use coord::domain::trace::{SpanId, TraceId};

use crate::env::{Output, TestEnv};

/// Sets of five series each: response times, operations, calls to Claude, memory, dead items.
const SETS: u64 = 40;
/// Nothing happens for so many minutes, so that every window is whole.
const QUIET: usize = 60;
/// Minutes in which something happens.
const STEPS: usize = 70;
/// What the counters begin with.
const BASE: u64 = 1_000_000;

/// Both directions, with and without the threshold itself, and every length of `for`.
const RULES: &str = r#"
[[rule]]
name = "fast"
metric = "response-time-p95"
comparison = "<="
threshold = "100ms"
window = "5m"
for = "2m"
min-samples = 10

[[rule]]
name = "median"
metric = "response-time-p50"
comparison = ">"
threshold = "50ms"
window = "5m"
min-samples = 3

[[rule]]
name = "tail"
metric = "response-time-p99"
comparison = ">"
threshold = "250ms"
window = "10m"
for = "1m"
min-samples = 5

[[rule]]
name = "well"
metric = "availability"
comparison = ">="
threshold = "99%"
window = "1h"
for = "7m"
min-samples = 30

[[rule]]
name = "claude-down"
metric = "claude-success"
comparison = "<="
threshold = "50%"
window = "1h"
for = "1m"
min-samples = 4

[[rule]]
name = "small"
metric = "memory"
comparison = "<"
threshold = "40MB"
window = "1h"
for = "3m"

[[rule]]
name = "quiet"
metric = "operations-per-hour"
comparison = "<"
threshold = 120
window = "10m"
for = "4m"

[[rule]]
name = "dead-at-once"
metric = "work-dead"
comparison = ">"
threshold = 3

[[rule]]
name = "dead-soon"
metric = "work-dead"
comparison = ">="
threshold = 3
for = "1m"

[[rule]]
name = "dead-later"
metric = "work-dead"
comparison = ">"
threshold = 2
for = "5m"
severity = "critical"
summary = "A text with {{ braces }}, a 'quote' and a colon: all as it is"

[[rule]]
name = "alive"
metric = "work-dead"
comparison = "<"
threshold = 3
for = "2m"
severity = "info"

[[rule]]
name = "hardly-dead"
metric = "work-dead"
comparison = "<="
threshold = 1
for = "3m"
"#;

/// The generator `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What happened in a minute.
#[derive(Default)]
struct Minute {
    operations: Vec<Operation>,
    asked: u64,
    answered: u64,
    /// Dead items at its end; nothing while nobody looks.
    dead: Option<u64>,
}

fn at(minute: usize) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
        + TimeDelta::minutes(i64::try_from(minute).unwrap())
}

fn generate(seed: u64) -> Vec<Minute> {
    let mut random = Random(seed);
    let mut minutes: Vec<Minute> = (0..QUIET).map(|_| Minute::default()).collect();
    // How things are, until they change: well, bad, mixed, at the limit, nothing at all.
    let (mut pace, mut health, mut asking, mut dying, mut left) = (0, 0, 0, 0, [0; 4]);
    // In some sets Claude fails seldom enough for an hour to become good again.
    let seldom = random.one_in(3);
    for minute in QUIET..QUIET + STEPS {
        for (mode, left) in
            [&mut pace, &mut health, &mut asking, &mut dying].into_iter().zip(&mut left)
        {
            if *left == 0 {
                (*mode, *left) = (random.below(6), 1 + random.below(12));
            }
            *left -= 1;
        }
        let mut now = Minute::default();
        let count = if pace == 5 { 0 } else { 1 + random.below(7) };
        for nth in 0..count {
            now.operations.push(operation(&mut random, minute, nth, pace, health));
        }
        now.asked = if asking == 5 { 0 } else { random.below(6) };
        now.answered = match asking {
            _ if seldom => now.asked - u64::from(now.asked > 0 && random.one_in(25)),
            0 | 1 => now.asked,
            2 => 0,
            _ => now.asked - random.below(now.asked + 1),
        };
        now.dead = match dying {
            0 => Some(random.below(2)),
            1 => Some(4 + random.below(3)),
            // Around the thresholds, from minute to minute.
            2 => Some(2 + (minute as u64) % 2),
            3 => Some(1 + random.below(4)),
            4 => Some(3),
            _ => None,
        };
        minutes.push(now);
    }
    minutes
}

fn operation(random: &mut Random, minute: usize, nth: u64, pace: u64, health: u64) -> Operation {
    // Limits of buckets, and what lies right beside them.
    const EDGES: [u64; 9] =
        [49_999, 50_000, 50_001, 100_000, 100_001, 120_000, 120_001, 150_000, 150_001];
    let duration_us = match pace {
        0 => 1_000 + random.below(90_000),
        1 => 151_000 + random.below(300_000),
        2 => EDGES[usize::try_from(random.below(9)).unwrap()],
        _ if random.one_in(8) => 121_000 + random.below(200_000),
        _ => 1_000 + random.below(119_000),
    };
    let lasting = random.one_in(10);
    let outcome = match health {
        0 | 1 => Outcome::Ok,
        2 if random.one_in(2) => Outcome::External,
        3 if random.one_in(20) => Outcome::Bug,
        4 if random.one_in(3) => Outcome::Conflict,
        _ => Outcome::Empty,
    };
    Operation {
        at: at(minute) + TimeDelta::seconds(1 + i64::try_from(nth).unwrap() * 7),
        command: if lasting { "agent run" } else { "work claim" }.to_owned(),
        outcome,
        exit_code: 0,
        // What runs a program lasts as long as that does, and must not count.
        duration_us: if lasting { 3_600_000_000 } else { duration_us },
        lock_wait_us: 0,
        cpu_us: None,
        memory_kib: random.one_in(30).then(|| 20_000 + random.below(70_000)),
        agent: None,
        item: None,
        store_op: None,
        team: None,
        trace_id: TraceId::from_bits(1, 1),
        span_id: SpanId::from_bits(1),
        parent_span_id: None,
        remote_parent: false,
        lasting: false,
    }
}

/// What is recorded about the window of a rule that ends at a minute: what the program would see.
fn observe(minutes: &[Minute], minute: usize, window: Duration) -> Observed {
    let window = Window::before(at(minute), window);
    let mut operations = Summary::new(window, Dimension::Command, 0);
    let mut claude = Calls::default();
    for (nth, past) in minutes[..minute].iter().enumerate() {
        if window.holds(at(nth)) {
            past.operations.iter().for_each(|op| operations.add(op));
            claude.asked += past.asked;
            claude.answered += past.answered;
        }
    }
    let mut queue = Queue::default();
    if let Some(dead) = minutes[minute].dead {
        queue.items.insert(("dead", "normal", String::new()), dead);
    }
    Observed {
        operations,
        // Two samples are the least that Prometheus can count with.
        since: (minute > 0).then(|| at(0)),
        bad_lines: 0,
        queue,
        agents: Roster::default(),
        flow: Flow::default(),
        claude,
    }
}

/// The series that the exporter would show, counted here on their own.
fn series(minutes: &[Minute]) -> BTreeMap<String, Vec<Option<f64>>> {
    #![expect(clippy::cast_precision_loss, reason = "small counts")]
    let mut all: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
    let bucket = |command: &str, le: &str| {
        format!("coord_operation_duration_seconds_bucket{{command=\"{command}\",le=\"{le}\"}}")
    };
    let count =
        |command: &str| format!("coord_operation_duration_seconds_count{{command=\"{command}\"}}");
    let outcome =
        |word: &str| format!("coord_operations_total{{command=\"all\",outcome=\"{word}\"}}");
    let calls = |source: &str, outcome: &str| {
        format!("coord_claude_calls_total{{source=\"{source}\",outcome=\"{outcome}\"}}")
    };
    let limits = BUCKETS_US.map(|us| (us, Duration::from_micros(us).as_secs_f64().to_string()));
    let mut totals: BTreeMap<String, u64> = BTreeMap::new();
    // The exporter shows what lasts by design elsewhere.
    let command = "work claim";
    totals.extend(limits.iter().map(|(_, le)| (bucket(command, le), BASE / 2)));
    totals.extend([(bucket(command, "+Inf"), BASE), (count(command), BASE)]);
    for word in ["ok", "external", "bug", "conflict", "empty"] {
        totals.insert(outcome(word), BASE);
    }
    let (mut asked, mut answered) = (0, 0);
    for now in 0..minutes.len() {
        if let Some(last) = now.checked_sub(1).map(|last| &minutes[last]) {
            for op in &last.operations {
                let within = limits.iter().filter(|(limit, _)| op.duration_us <= *limit);
                let buckets = within.map(|(_, le)| bucket(&op.command, le));
                let whole = [bucket(&op.command, "+Inf"), count(&op.command)];
                let times = buckets.chain(whole).filter(|_| op.answers_at_once());
                for name in times.chain([outcome(op.outcome.as_str())]) {
                    *totals.get_mut(&name).unwrap() += 1;
                }
            }
            (asked, answered) = (asked + last.asked, answered + last.answered);
        }
        let mut put = |name: String, value: Option<f64>| all.entry(name).or_default().push(value);
        for (name, total) in &totals {
            put(name.clone(), Some(*total as f64));
        }
        put(calls("api", "ok"), Some((BASE + answered / 2) as f64));
        put(calls("cli", "ok"), Some((BASE + answered - answered / 2) as f64));
        put(calls("none", "timeout"), Some((BASE + asked - answered) as f64));
        // What was not asked does not count, however much of it there is.
        put(calls("cache", "ok"), Some((BASE + 50 * now as u64) as f64));
        put(calls("none", "offline"), Some((BASE + 50 * now as u64) as f64));

        // The gauge knows no window of its own: here the exporter's is that of the rules.
        let hour = &minutes[now.saturating_sub(60)..now];
        let memory = hour.iter().flat_map(|minute| &minute.operations);
        for command in ["work claim", "agent run"] {
            let of = memory.clone().filter(|op| op.command == command);
            let most = of.filter_map(|op| op.memory_kib).max().map(|kib| kib as f64 * 1024.0);
            put(format!("coord_process_peak_memory_bytes{{command=\"{command}\"}}"), most);
        }
        let dead = minutes[now].dead;
        put("coord_up".into(), dead.map(|_| 1.0));
        // Items of two teams; a state without items has no series.
        for (team, part) in
            [("", dead.map(|dead| dead / 2)), ("core", dead.map(|dead| dead - dead / 2))]
        {
            let name =
                format!("coord_work_items{{state=\"dead\",priority=\"normal\",team=\"{team}\"}}");
            put(name, part.filter(|part| *part > 0).map(|part| part as f64));
        }
    }
    all
}

/// A series as promtool reads it; what is no longer exported is stale.
fn spell(values: &[Option<f64>]) -> String {
    let mut before = None;
    let words = values.iter().map(|value| {
        let word = match (value, before) {
            (Some(value), _) => format!("{value}"),
            (None, Some(())) => "stale".to_owned(),
            (None, None) => "_".to_owned(),
        };
        before = value.map(drop);
        word
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What our own evaluation comes to, for the proof that something happens at all.
#[derive(Default)]
struct Events {
    fired: BTreeSet<String>,
    resolved: BTreeSet<String>,
    pending: BTreeSet<String>,
    lost: usize,
    gone: usize,
}

/// One test of promtool: the series, and for every minute what we find.
fn test(minutes: &[Minute], rules: &[Rule], events: &mut Events) -> String {
    let mut text = String::from("- interval: 1m\n  input_series:\n");
    for (name, values) in series(minutes) {
        writeln!(text, "  - series: '{name}'\n    values: '{}'", spell(&values)).unwrap();
    }
    text.push_str("  promql_expr_test:\n");
    let mut states: Vec<State> = vec![State::New; rules.len()];
    for minute in 0..minutes.len() {
        let mut windows: BTreeMap<Duration, Observed> = BTreeMap::new();
        let last = minute.checked_sub(1).map(at);
        let mut samples = String::new();
        for (rule, state) in rules.iter().zip(&mut states) {
            let all =
                windows.entry(rule.window).or_insert_with(|| observe(minutes, minute, rule.window));
            let gone = rule.metric.name == "work-dead" && minutes[minute].dead.is_none();
            let reading = if gone { Reading::default() } else { (rule.metric.read)(all) };
            let before = *state;
            let (now, change) = step(before, rule, reading, at(minute), last);
            *state = now;
            let name = rule.name.to_string();
            match (before, now, change) {
                (_, _, Some(Change::Fired)) => drop(events.fired.insert(name)),
                (_, State::NoData, Some(Change::Resolved)) => events.gone += 1,
                (_, _, Some(Change::Resolved)) => drop(events.resolved.insert(name)),
                (State::Pending { .. }, State::Ok, _) => drop(events.pending.insert(name)),
                (State::Pending { .. }, State::NoData, _) => events.lost += 1,
                _ => {}
            }
            if matches!(now, State::Pending { .. } | State::Firing { .. }) {
                writeln!(
                    samples,
                    "    - labels: 'ALERTS{{alertname=\"{}\",alertstate=\"{}\",metric=\"{}\",\
                     severity=\"{}\"}}'\n      value: 1",
                    rule.name,
                    now.as_str(),
                    rule.metric.name,
                    rule.severity,
                )
                .unwrap();
            }
        }
        let samples = if samples.is_empty() { " []\n".to_owned() } else { format!("\n{samples}") };
        write!(text, "  - expr: ALERTS\n    eval_time: {minute}m\n    exp_samples:{samples}")
            .unwrap();
    }
    text
}

fn promtool(env: &TestEnv, args: &[&str]) -> Output {
    let mut command = Command::new("promtool");
    command.args(args).current_dir(env.root());
    Output(command.output().expect("`promtool` is missing; `tests/run` installs it (prometheus)"))
}

#[test]
fn prometheus_finds_the_same_at_every_step_of_200_series() {
    let seed = std::env::var("COORD_ALERT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or(20_261_126);
    println!("COORD_ALERT_SEED={seed}");
    let env = TestEnv::new();
    env.write("rules.toml", RULES);
    let out = env.coord("alert export --prometheus --rules rules.toml");
    out.done();
    let exported = out.out();
    env.write("rules.yml", &exported);
    let checked = promtool(&env, &["check", "rules", "rules.yml"]);
    checked.done();
    assert!(checked.out().contains("17 rules found"), "{checked}");

    let said = read(RULES, "rules.toml").unwrap();
    let (rules, _) = combine(vec![(Layer::Given, "rules.toml".to_owned(), said)]);
    let mut events = Events::default();
    let head = "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n";
    let mut tests = Vec::new();
    for set in 0..SETS {
        let minutes = generate(seed.wrapping_add(set.wrapping_mul(0x1234_5678_9abc_def1)));
        tests.push(test(&minutes, &rules, &mut events));
    }
    env.write("all.yml", &format!("{head}{}", tests.concat()));
    let out = promtool(&env, &["test", "rules", "all.yml"]);
    assert_eq!(
        out.code(),
        0,
        "seed {seed}: {}",
        out.to_string().chars().take(6000).collect::<String>()
    );

    // Something happened: every rule fired and resolved, some were pending in vain, some lost their data.
    let names: BTreeSet<String> = rules.iter().map(|rule| rule.name.to_string()).collect();
    assert_eq!(events.fired, names, "seed {seed}");
    assert_eq!(events.resolved, names, "seed {seed}");
    assert!(events.pending.len() > 8, "{:?}", events.pending);
    assert!(events.lost > 10 && events.gone > 10, "{} {}", events.lost, events.gone);

    // It can fail: a rule that is a little different is found by some of the series.
    env.write("some.yml", &format!("{head}{}", tests[..6].concat()));
    for (from, to) in [
        ("> 0.12 and", "> 0.1 and"),
        ("> 80000000", "> 60000000"),
        ("< 0.99 and", "< 0.9 and"),
        (") >= 20", ") >= 30"),
        ("for: 5m", "for: 6m"),
        ("for: 1m", "for: 0s"),
        (" > 3", " >= 3"),
        ("<= 1", "< 1"),
        ("[10m]", "[11m]"),
        ("seconds_bucket[15m]", "seconds_bucket{command!=\"work claim\"}[15m]"),
    ] {
        assert!(exported.contains(from), "`{from}` is not in {exported}");
        env.write("rules.yml", &exported.replace(from, to));
        let out = promtool(&env, &["test", "rules", "some.yml"]);
        assert_ne!(out.code(), 0, "`{from}` -> `{to}` was not found, seed {seed}");
        assert!(out.to_string().contains("FAILED"), "{out}");
    }
}
