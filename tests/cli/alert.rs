//! `coord alert`: what fires, who is told, what is kept when that fails.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::env::{Output, TestEnv};

const SECRET: &str = "whsec_Y2FuYXJ5LXNlY3JldC1vZi10aGUtdGVzdA==";

fn now() -> chrono::DateTime<chrono::Utc> {
    std::time::SystemTime::now().into()
}

/// Notes so many operations of the last minute, as commands would have.
fn noted(env: &TestEnv, count: usize, duration_us: u64, outcome: &str) {
    let at = now() - chrono::TimeDelta::seconds(30);
    let mut text = String::new();
    for nth in 0..count {
        let line = json!({
            "at": coord::domain::time::rfc3339(at),
            "command": "work claim",
            "outcome": outcome,
            "exit_code": 0,
            "duration_us": duration_us,
            "memory_kib": 20_000,
            "trace_id": format!("{:032x}", nth + 1),
            "span_id": format!("{:016x}", nth + 1),
            "remote_parent": false,
        });
        writeln!(text, "{line}").unwrap();
    }
    std::fs::write(env.store().join("ops.jsonl"), text).unwrap();
}

/// A rule on dead items that fires at once and can be made to resolve by `noted`.
const AT_ONCE: &str = "[[rule]]\nname = 'slow'\nmetric = 'response-time-p95'\ncomparison = '>'\n\
    threshold = '1s'\nseverity = 'critical'\nsummary = 'Slow'\n";

fn slow(env: &TestEnv) {
    noted(env, 30, 2_000_000, "ok");
}

fn fast(env: &TestEnv) {
    noted(env, 400, 1_000, "ok");
}

fn state(env: &TestEnv) -> Value {
    let text = std::fs::read(env.store().join("alerts/state.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn lines(env: &TestEnv, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(env.root().join(file)).unwrap_or_default();
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Runs a line with settings in the environment.
fn with(env: &TestEnv, settings: &[(&str, &str)], line: &str) -> Output {
    let mut cmd = env.command();
    cmd.envs(settings.iter().copied()).args(line.split(' '));
    Output(cmd.output().unwrap())
}

fn rule<'a>(checked: &'a Value, name: &str) -> &'a Value {
    checked["rules"].as_array().unwrap().iter().find(|rule| rule["name"] == name).unwrap()
}

#[test]
fn nothing_recorded_is_neither_well_nor_firing() {
    let env = TestEnv::new();
    std::fs::remove_file(env.store().join("ops.jsonl")).unwrap();
    let listed = env.json("alert list --no-telemetry");
    assert_eq!(listed["checked_at"], Value::Null);
    let checked = env.json("alert check --no-telemetry");
    for rule in checked["rules"].as_array().unwrap() {
        assert_eq!((&rule["state"], &rule["value"]), (&json!("no-data"), &Value::Null), "{rule}");
    }
    assert_eq!(checked["rules"].as_array().unwrap().len(), 5);
    // A few are not enough to judge by.
    noted(&env, 19, 9_000_000, "bug");
    let checked = env.json("alert check --no-telemetry");
    assert_eq!(rule(&checked, "availability-low")["state"], "no-data");
    assert_eq!(rule(&checked, "availability-low")["samples"], 19);
    // The value is that of now, the state that of the last check.
    noted(&env, 20, 9_000, "ok");
    let listed = env.coord("alert list --no-telemetry").out();
    let note = "\tno data at the last check, data now\n";
    assert_eq!(listed.matches(note).count(), 3, "{listed}");
    env.coord("alert check --no-telemetry").done();
    assert!(!env.coord("alert list --no-telemetry").out().contains("last check"));
    TestEnv::bare().coord("alert check").fails(1, "no store at");
}

#[test]
fn the_built_in_rules_fire_after_their_time_and_resolve_once() {
    let env = TestEnv::new();
    noted(&env, 40, 200_000, "external");
    let checked = env.json("alert check");
    for name in ["response-time-high", "response-time-critical", "availability-low"] {
        assert_eq!(rule(&checked, name)["state"], "pending", "{checked}");
    }
    assert_eq!(rule(&checked, "memory-high")["state"], "ok");
    // As if the condition had been true for ten minutes, and checked all along.
    let mut known = state(&env);
    for (_, kept) in known["rules"].as_object_mut().unwrap() {
        if kept["state"] == "pending" {
            let since = now() - chrono::TimeDelta::minutes(10);
            kept["since"] = coord::domain::time::rfc3339(since).into();
        }
    }
    std::fs::write(env.store().join("alerts/state.json"), known.to_string()).unwrap();
    let out = env.coord("alert check -q");
    assert_eq!(out.code(), 10, "{out}");
    assert_eq!(out.out(), "response-time-high\nresponse-time-critical\navailability-low\n");
    assert!(out.err().contains("2 critical alerts fire"), "{out}");
    let out = env.coord("alert check --json");
    assert_eq!((out.code(), out.data()["fired"].as_array().unwrap().len()), (10, 0));
    fast(&env);
    let checked = env.json("alert check");
    assert_eq!(checked["resolved"].as_array().unwrap().len(), 3);
    assert_eq!(env.json("alert check")["resolved"], json!([]));
    let shown = env.json("alert show availability-low");
    let told: Vec<_> =
        shown["history"].as_array().unwrap().iter().map(|event| &event["status"]).collect();
    assert_eq!(told, ["firing", "resolved"]);
    assert!(
        env.coord("alert show availability-low")
            .out()
            .contains("resolved (ok): availability < 99 %")
    );
}

#[test]
fn a_dry_run_remembers_and_tells_nothing() {
    let env = TestEnv::new();
    env.write("r.toml", AT_ONCE);
    slow(&env);
    let told = [("COORD_ALERT_FILE", "told.jsonl")];
    let out = with(&env, &told, "alert check --rules r.toml --dry-run --json");
    assert_eq!((out.code(), &out.data()["dry_run"]), (10, &json!(true)));
    assert!(!env.store().join("alerts").exists() && !env.root().join("told.jsonl").exists());
}

#[test]
fn a_file_and_a_program_are_told_once_each() {
    let env = TestEnv::new();
    env.write("r.toml", AT_ONCE);
    let script = "#!/bin/sh\ncat > \"got-$COORD_ALERT_STATUS.json\"\n\
        printf '%s' \"$COORD_ALERT\" | cmp - \"got-$COORD_ALERT_STATUS.json\" || exit 9\n\
        echo \"$# $1 $COORD_ALERT_NAME $COORD_ALERT_SEVERITY ${ANTHROPIC_API_KEY:-none}\" >> ran\n";
    env.write("tell", script);
    env.shell("chmod +x tell").done();
    let told = [
        ("COORD_ALERT_FILE", "told.jsonl"),
        ("COORD_ALERT_COMMAND", "./tell $(touch/pwned)"),
        ("ANTHROPIC_API_KEY", "sk-canary"),
    ];
    slow(&env);
    for _ in 0..3 {
        let out = with(&env, &told, "alert check --rules r.toml");
        assert_eq!(out.code(), 10, "{out}");
    }
    fast(&env);
    for _ in 0..3 {
        with(&env, &told, "alert check --rules r.toml").done();
    }
    let notices = lines(&env, "told.jsonl");
    let told: Vec<_> = notices.iter().map(|notice| notice["status"].as_str().unwrap()).collect();
    assert_eq!(told, ["firing", "resolved"]);
    assert_eq!(notices[0]["alert_id"], notices[1]["alert_id"]);
    assert_ne!(notices[0]["id"], notices[1]["id"]);
    let text = notices[0]["text"].as_str().unwrap();
    assert!(
        text.starts_with("firing: slow (critical): response-time-p95 > 1 s, it is 2"),
        "{text}"
    );
    assert_eq!(lines(&env, "got-firing.json")[0], notices[0]);
    let ran = std::fs::read_to_string(env.root().join("ran")).unwrap();
    assert_eq!(ran, "1 $(touch/pwned) slow critical none\n".repeat(2));
}

/// The heads and bodies of requests.
type Requests = Arc<Mutex<Vec<(Vec<String>, Vec<u8>)>>>;

/// Answers one request after the other with these codes, and keeps what it was sent.
fn server(codes: &[u16]) -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook/url-secret", listener.local_addr().unwrap());
    let kept = Requests::default();
    let (codes, into) = (codes.to_vec(), Arc::clone(&kept));
    std::thread::spawn(move || {
        for code in codes {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                head.push(line.trim().to_owned());
            }
            let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.unwrap().parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            into.lock().unwrap().push((head, body));
            write!(stream, "HTTP/1.1 {code} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .unwrap();
        }
    });
    (url, kept)
}

/// Verifies a request as the specification says, with another program.
const VERIFY: &str = "
import base64, hashlib, hmac, sys
ident, stamp, secret, given = sys.argv[1:]
key = base64.b64decode(secret.removeprefix('whsec_'))
want = hmac.new(key, f'{ident}.{stamp}.'.encode() + sys.stdin.buffer.read(), hashlib.sha256).digest()
sys.exit(given != 'v1,' + base64.b64encode(want).decode())
";

fn verify(head: &[String], body: &[u8]) -> String {
    let get = |name: &str| {
        let found = head.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        found.unwrap_or_else(|| panic!("no {name} in {head:?}")).to_owned()
    };
    let (id, stamp, given) =
        (get("webhook-id"), get("webhook-timestamp"), get("webhook-signature"));
    let mut python = std::process::Command::new("python3");
    python.args(["-c", VERIFY, &id, &stamp, SECRET, &given]).stdin(Stdio::piped());
    let mut child = python.spawn().unwrap();
    child.stdin.take().unwrap().write_all(body).unwrap();
    assert!(child.wait().unwrap().success(), "{head:?}");
    id
}

fn secret_file(env: &TestEnv) {
    env.write("secret", SECRET);
    env.shell("chmod 600 secret").done();
}

#[test]
fn a_webhook_is_signed_and_tried_again_until_it_takes_it() {
    let env = TestEnv::new();
    env.write("r.toml", AT_ONCE);
    secret_file(&env);
    slow(&env);
    let (url, kept) = server(&[503, 429, 204]);
    let told =
        [("COORD_ALERT_WEBHOOK_URL", url.as_str()), ("COORD_ALERT_WEBHOOK_SECRET_FILE", "secret")];
    let out = with(&env, &told, "alert check --rules r.toml --json");
    assert_eq!(out.code(), 10, "{out}");
    let delivery = &out.data()["deliveries"][0];
    assert_eq!((&delivery["delivered"], &delivery["attempts"]), (&json!(true), &json!(3)));
    let kept = kept.lock().unwrap();
    let ids: Vec<_> = kept.iter().map(|(head, body)| verify(head, body)).collect();
    assert!(ids.len() == 3 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let body: Value = serde_json::from_slice(&kept[2].1).unwrap();
    assert_eq!((&body["id"], &body["name"]), (&json!(ids[0]), &json!("slow")));
    assert!(kept[0].0[0].starts_with("POST /hook/url-secret"), "{:?}", kept[0].0);
    assert!(state(&env)["due"].as_array().unwrap().is_empty());
}

#[test]
fn what_cannot_be_delivered_is_kept_and_sent_again_with_its_id() {
    let env = TestEnv::new();
    env.write("r.toml", AT_ONCE.replace("critical", "warning").as_str());
    secret_file(&env);
    slow(&env);
    let (url, refused) = server(&[400]);
    let told =
        |url| [("COORD_ALERT_WEBHOOK_URL", url), ("COORD_ALERT_WEBHOOK_SECRET_FILE", "secret")];
    let out = with(&env, &told(&url), "alert check --rules r.toml");
    assert_eq!(out.code(), 5, "{out}");
    assert!(out.err().contains("the answer was HTTP 400; it is kept"), "{out}");
    // It is not tried by the next check: a person has to look.
    with(&env, &told(&url), "alert check --rules r.toml").done();
    let listed = env.json("alert redeliver --dry-run");
    let id = listed["letters"][0]["notice"]["id"].as_str().unwrap().to_owned();
    // Nobody listens there.
    let nobody =
        [("COORD_ALERT_WEBHOOK_URL", "http://127.0.0.1:1/x"), ("COORD_ALERT_DEADLINE", "1s")];
    let out = with(&env, &nobody, "alert redeliver --json");
    assert_eq!(out.code(), 5, "{out}");
    assert!(out.data()["deliveries"][0]["attempts"].as_u64().unwrap() > 1, "{out}");
    env.coord("alert redeliver n-none").fails(1, "no undelivered notice");
    let (url, kept) = server(&[200]);
    with(&env, &told(&url), &format!("alert redeliver {}", &id[..8])).done();
    let (refused, kept) = (refused.lock().unwrap(), kept.lock().unwrap());
    assert_eq!(verify(&refused[0].0, &refused[0].1), id);
    assert_eq!(verify(&kept[0].0, &kept[0].1), id);
    assert_eq!(kept[0].1, refused[0].1);
    assert_eq!(env.json("alert redeliver")["letters"], json!([]));
    // Neither the secret nor the address stands anywhere.
    for file in ["alerts/state.json", "alerts/dead-letters.jsonl", "ops.jsonl", "spans.jsonl"] {
        let text = std::fs::read_to_string(env.store().join(file)).unwrap_or_default();
        assert!(!text.contains("Y2FuYXJ5") && !text.contains("url-secret"), "{file}");
    }
}

#[test]
fn a_receiver_that_takes_nothing_is_no_fault_of_the_system() {
    let env = TestEnv::new();
    env.write("r.toml", AT_ONCE.replace("critical", "warning").as_str());
    slow(&env);
    env.write("refuse", "#!/bin/sh\nexit 1\n");
    env.shell("chmod +x refuse").done();
    let told = [("COORD_ALERT_COMMAND", "./refuse"), ("COORD_ALERT_DEADLINE", "1s")];
    for line in ["alert check --rules r.toml", "alert redeliver", "alert test memory-high"] {
        let out = with(&env, &told, line);
        assert_eq!(out.code(), 5, "{line}: {out}");
    }
    let report = env.json("telemetry report --no-telemetry");
    for group in report["groups"].as_array().unwrap() {
        let name = group["name"].as_str().unwrap();
        assert_eq!(group["faults"], 0, "{report}");
        let undelivered = u64::from(name.starts_with("alert "));
        assert_eq!(group["outcomes"]["undelivered"].as_u64().unwrap_or(0), undelivered, "{name}");
    }
    let figures = env.json("kpi report --no-telemetry")["figures"].clone();
    let availability = figures.as_array().unwrap().iter().find(|f| f["name"] == "availability");
    assert_eq!(availability.unwrap()["bad"], 0, "{figures}");
    let health = env.coord("health --json").data();
    assert_eq!(health["availability"], 1.0, "{health}");
}

#[test]
fn a_secret_that_others_can_read_is_not_used() {
    let env = TestEnv::new();
    env.write("secret", SECRET);
    env.shell("chmod 644 secret").done();
    let told = [
        ("COORD_ALERT_WEBHOOK_URL", "http://127.0.0.1:1/url-secret"),
        ("COORD_ALERT_WEBHOOK_SECRET_FILE", "secret"),
    ];
    let out = with(&env, &told, "alert test memory-high");
    assert_eq!(out.code(), 5, "{out}");
    assert!(out.out().contains("can be read by others"), "{out}");
    assert!(!out.to_string().contains("whsec") && !out.to_string().contains("url-secret"), "{out}");
    assert!(!env.store().join("alerts").exists(), "a test is not remembered");
}

#[test]
fn killed_before_it_could_tell_it_tells_the_next_time() {
    let env = TestEnv::new();
    env.write("r.toml", AT_ONCE);
    slow(&env);
    env.write("hang", "#!/bin/sh\necho $$ > started\nexec sleep 60\n");
    env.shell("chmod +x hang").done();
    let mut cmd = env.command();
    cmd.args(["alert", "check", "--rules", "r.toml"]).env("COORD_ALERT_COMMAND", "./hang");
    let mut child = cmd.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = loop {
        let text = std::fs::read_to_string(env.root().join("started")).unwrap_or_default();
        if text.ends_with('\n') {
            break text.trim().to_owned();
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    env.shell(&format!("kill -9 {pid}")).done();
    let due = state(&env)["due"].clone();
    assert_eq!(due[0]["targets"], json!(["command"]));
    assert_eq!(env.json("alert show slow --rules r.toml")["due"], due);
    env.write("tell", "#!/bin/sh\ncat >> told\n");
    env.shell("chmod +x tell").done();
    for _ in 0..2 {
        let out = with(&env, &[("COORD_ALERT_COMMAND", "./tell")], "alert check --rules r.toml");
        assert_eq!(out.code(), 10, "{out}");
    }
    let told = std::fs::read_to_string(env.root().join("told")).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["id"], due[0]["notice"]["id"]);
}

#[test]
fn many_checks_at_once_tell_one_time() {
    let env = TestEnv::new();
    env.write("r.toml", AT_ONCE);
    slow(&env);
    let check = "COORD_ALERT_FILE=told.jsonl $COORD alert check --rules r.toml";
    let out = env.shell(&format!(
        "for i in 1 2 3 4 5 6; do ({check} >out-$i 2>&1; echo $? >>codes) & done; wait"
    ));
    out.done();
    assert_eq!(std::fs::read_to_string(env.root().join("codes")).unwrap(), "10\n".repeat(6));
    assert_eq!(lines(&env, "told.jsonl").len(), 1);
}

#[test]
fn a_silence_holds_until_it_is_lifted() {
    let env = TestEnv::new();
    env.write("r.toml", AT_ONCE);
    slow(&env);
    let told = [("COORD_ALERT_FILE", "told.jsonl")];
    env.coord("alert silence slow --for 2h --rules r.toml").fails(2, "--reason");
    env.coord("alert silence slow --rules r.toml").fails(2, "what is to become of");
    env.coord("alert silence slo --for 2h --reason x --rules r.toml").fails(1, "no rule `slo`");
    env.coord("alert silence slow --for 2h --reason 'load test' --rules r.toml").done();
    assert_eq!(env.json("alert silence")["silences"][0]["reason"], "load test");
    let out = with(&env, &told, "alert check --rules r.toml --json");
    assert_eq!(out.code(), 0, "{out}");
    let checked = out.data();
    assert_eq!(
        (&rule(&checked, "slow")["state"], &checked["critical"]),
        (&json!("firing"), &json!(0))
    );
    assert!(rule(&checked, "slow")["silenced_until"].is_string());
    assert!(lines(&env, "told.jsonl").is_empty());
    env.coord("alert silence slow --lift").done();
    env.coord("alert silence slow --lift").fails(1, "not silenced");
    assert_eq!(with(&env, &told, "alert check --rules r.toml").code(), 10);
    assert_eq!(lines(&env, "told.jsonl").len(), 1);
    // A rule whose file is no longer named keeps its state; one that is taken out of it resolves.
    with(&env, &told, "alert check").done();
    assert_eq!(lines(&env, "told.jsonl").len(), 1);
    env.write("r.toml", "");
    with(&env, &told, "alert check --rules r.toml").done();
    assert_eq!(lines(&env, "told.jsonl")[1]["reason"], "rule-removed");
}

#[test]
fn a_project_adds_rules_and_names_nobody_to_tell() {
    let env = TestEnv::new();
    slow(&env);
    let own = format!("{AT_ONCE}\n[[rule]]\nname = 'memory-high'\nenabled = false\n");
    env.write(".coord/alerts.toml", &own);
    env.write(".coord/config.toml", "[alert]\ncommand = [\"touch\", \"pwned\"]\nfile = \"pwned\"\nwebhook-url = \"http://127.0.0.1:1/\"\nrules-file = \"/etc/passwd\"\n");
    let out = env.coord("alert check");
    assert_eq!(out.code(), 10, "{out}");
    for key in ["alert.command", "alert.file", "alert.webhook-url", "alert.rules-file"] {
        assert!(out.err().contains(&format!("`{key}` cannot be set by a project")), "{out}");
    }
    assert!(out.err().contains("cannot change or switch off the rule `memory-high`"), "{out}");
    assert_eq!(out.out().lines().count(), 6, "{out}");
    assert!(!env.root().join("pwned").exists() && !env.store().join("pwned").exists());
    env.write(".coord/config.toml", "");
    env.write(".coord/alerts.toml", &AT_ONCE.replace("summary", "command"));
    env.coord("alert check").fails(3, "line 7: unknown field `command`");
    // The user's own file may do what a project's may not.
    env.write(".coord/alerts.toml", "");
    env.write("../home/.config/coord/alerts.toml", &own);
    let listed = env.json("alert list");
    let names: Vec<_> = listed["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "response-time-high",
            "response-time-critical",
            "claude-success-low",
            "availability-low",
            "slow"
        ]
    );
}

#[test]
fn a_test_is_sent_or_tried_on_values() {
    let env = TestEnv::new();
    env.coord("alert test memory-high").fails(3, "nobody is to be told");
    env.coord("alert test memry-high").fails(1, "no rule `memry-high`");
    env.coord("alert test memory-high --values 12 --every x").fails(2, "--every");
    env.coord("alert test availability-low --values 99")
        .fails(2, "`99` is no value of `availability`");
    let tried = env.json(
        "alert test response-time-critical --values 100ms,160ms,170ms,-,160ms,160ms --every 5m",
    );
    let states: Vec<_> =
        tried["steps"].as_array().unwrap().iter().map(|s| s["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["ok", "pending", "firing", "no-data", "pending", "firing"]);
    let out = with(&env, &[("COORD_ALERT_FILE", "told.jsonl")], "alert test memory-high --json");
    out.done();
    assert_eq!(lines(&env, "told.jsonl"), [out.data()["notice"].clone()]);
    assert_eq!(lines(&env, "told.jsonl")[0]["status"], "test");
}

#[test]
fn a_damaged_state_is_told_and_set_aside() {
    let env = TestEnv::new();
    env.coord("alert check").done();
    std::fs::write(env.store().join("alerts/state.json"), "{").unwrap();
    let out = env.coord("alert check");
    out.done();
    assert!(out.err().contains("cannot be read and counts as empty"), "{out}");
    assert!(env.store().join("alerts/state.damaged.json").exists());
    env.coord("alert check --rules none.toml").fails(1, "cannot read the rules");
    env.coord("alert show none").fails(1, "no rule `none`");
    std::fs::create_dir(env.root().join("rules")).unwrap();
    env.coord("alert check --rules rules").fails(1, "it is a directory");
}

#[test]
fn what_a_hint_tells_to_type_has_the_same_rules() {
    let env = TestEnv::new();
    env.add("one");
    env.write("mine.toml", "[[rule]]\nname = \"mine\"\nmetric = \"work-pending\"\ncomparison = \">\"\nthreshold = 0\nseverity = \"critical\"\nsummary = \"work\"\n");
    let out = env.coord("alert check --rules mine.toml");
    assert_eq!(out.code(), 10, "{out}");
    assert!(out.err().contains("`coord alert show NAME --rules mine.toml`"), "{out}");
    assert!(out.err().contains("`coord alert silence NAME --rules mine.toml --for"), "{out}");
    let out = env.coord("alert show other --rules mine.toml");
    out.fails(1, "no rule `other`");
    assert!(out.err().contains("`coord alert list --rules mine.toml`"), "{out}");
    env.coord("alert show mine --rules mine.toml").done();
}
