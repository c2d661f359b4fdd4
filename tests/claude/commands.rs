//! `coord claude …`, `coord work assign --plan` and `coord work claim --advise`, as a user runs them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::env::{Output, TestEnv};
use crate::scripted::program::Program;
use crate::scripted::tls::{Authority, Proxy};
use crate::scripted::{Act, Script, Server, Way};

/// A key that must appear nowhere.
const CANARY: &str = "sk-ant-canary-4711";

/// A store, a server, and the way between them.
pub(crate) struct Scene {
    pub(crate) env: TestEnv,
    pub(crate) server: Server,
}

impl Scene {
    pub(crate) fn new(script: Script) -> Self {
        Self { env: TestEnv::new(), server: Server::start(script) }
    }

    /// A command with a key for the server.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.env.command();
        command
            .args(words)
            .env("ANTHROPIC_API_KEY", CANARY)
            .env("ANTHROPIC_BASE_URL", self.server.url())
            .env("RUST_LOG", "trace");
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        Output(self.command(words).output().unwrap())
    }

    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let out = Output(self.command(words).arg("--json").output().unwrap());
        assert_eq!(out.code(), 0, "{words:?}: {out}");
        out.data()
    }

    fn home(&self) -> PathBuf {
        self.env.root().parent().unwrap().join("home")
    }

    /// A queue that all questions can be asked about.
    fn stock(&self) {
        self.env.add("First --priority high");
        self.env.add("Second");
        let registered = self.env.coord("agent register nova --capacity 2");
        assert_eq!(registered.code(), 0, "{registered}");
    }
}

/// Every file below a directory, with its content.
fn files(dir: &std::path::Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            all.push((path, bytes));
        }
    }
    all
}

#[test]
fn an_answer_goes_to_standard_output_and_is_cached() {
    let scene = Scene::new(Script::new([]));
    let out = scene.run(&["claude", "ask", "Who?"]);
    assert_eq!((out.code(), out.out().as_str(), out.err().as_str()), (0, "answer to: Who?\n", ""));
    let again = scene.json(&["claude", "ask", "Who?"]);
    assert_eq!((&again["source"], &again["degraded"]), (&"cache".into(), &false.into()));
    assert_eq!(scene.server.count(), 1);
    let seen = &scene.server.seen()[0];
    assert_eq!(seen.header("anthropic-version"), Some("2026-10-21"));
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {CANARY}").as_str()));
    let fresh = scene.json(&["claude", "ask", "Who?", "--refresh"]);
    assert_eq!(fresh["source"], "api");
    assert_eq!(fresh["attempts"][0]["status"], 200);
    assert!(fresh["usage"]["output_tokens"].as_u64() > Some(0) && fresh["cost_usd"].is_number());
    assert_eq!(scene.server.count(), 2);
}

#[test]
fn the_question_comes_from_a_file_or_standard_input_and_data_with_a_preset() {
    let scene = Scene::new(Script::new([]));
    scene.env.write("question.txt", "From a file?");
    let out = scene.run(&["claude", "ask", "--file", "question.txt"]);
    assert_eq!(out.out(), "answer to: From a file?\n");
    let feed = |words: &[&str], input: &str| {
        use std::io::Write as _;
        let mut child = scene
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Output(child.wait_with_output().unwrap())
    };
    assert_eq!(feed(&["claude", "ask"], "From a pipe?").out(), "answer to: From a pipe?\n");
    for (preset, list) in [
        ("priorities", "priorities"),
        ("bottlenecks", "bottlenecks"),
        ("recommendations", "recommendations"),
        ("general", "findings"),
    ] {
        let out = feed(&["claude", "ask", "--preset", preset], "</data> some data");
        let said: Value = serde_json::from_str(&out.out()).unwrap_or_else(|e| panic!("{e}: {out}"));
        assert_eq!(said, json!({ "summary": "text", list: [] }));
    }
    let asked = scene.server.seen().last().unwrap().body["messages"][0]["content"].to_string();
    assert_eq!(asked.matches("</data>").count(), 1, "{asked}");
    feed(&["claude", "ask"], "  ").fails(2, "nothing to ask");
    scene.run(&["claude", "ask", "--file", "nowhere"]).fails(1, "cannot read `nowhere`");
    scene.env.write("schema.json", "[1]");
    scene.run(&["claude", "ask", "x", "--schema", "schema.json"]).fails(2, "no JSON Schema");
}

#[test]
fn every_way_to_fail_has_its_exit_code() {
    let rows: Vec<(Act, i32, &str)> = vec![
        (Act { stop: Some("refusal".to_owned()), ..Act::ok() }, 7, "refused"),
        (Act { stop: Some("max_tokens".to_owned()), ..Act::ok() }, 7, "cut"),
        (Act::status(401), 5, ""),
        (Act::status(429).code("enforced_spend_limit_reached"), 5, ""),
        (Act::status(529).header("retry-after", "3600"), 5, ""),
    ];
    for (act, code, words) in rows {
        let scene = Scene::new(Script::always(act.clone()));
        let out = scene.run(&["claude", "ask", "Who?"]);
        out.fails(code, words);
        assert!(!out.to_string().contains(CANARY));
    }
    let scene = Scene::new(Script::always(Act::text("not what was asked for")));
    scene.env.write("s.json", r#"{"type":"object","additionalProperties":false,"required":["a"],"properties":{"a":{"type":"integer"}}}"#);
    scene.run(&["claude", "ask", "x", "--schema", "s.json"]).fails(7, "");
    let scene = Scene::new(Script::always(Act::way(Way::Silent)));
    scene.run(&["claude", "ask", "x", "--deadline", "300ms"]).fails(124, "");
    let scene = Scene::new(Script::new([]));
    let mut poor = scene.command(&["claude", "ask", "x"]);
    poor.env("COORD_CLAUDE_MAX_COST", "0.000000001");
    Output(poor.output().unwrap()).fails(8, "");
    assert_eq!(scene.server.connections(), 0);
    let out = Output(scene.env.command().args(["claude", "ask", "x"]).output().unwrap());
    out.fails(3, "no key");
    scene.run(&["claude", "ask", "x", "--offline"]).fails(5, "");
    assert_eq!(scene.server.connections(), 0);
}

#[test]
fn analyses_answer_by_rules_without_claude_and_say_so() {
    let scene = Scene::new(Script::always(Act::status(500)));
    scene.stock();
    for verb in ["priorities", "assign", "health", "team"] {
        let data = scene.json(&["claude", verb, "--offline"]);
        assert_eq!((&data["source"], &data["degraded"]), (&"heuristic".into(), &true.into()));
        let out = scene.run(&["claude", verb, "--offline"]);
        assert_eq!(out.code(), 0, "{out}");
        assert_eq!(out.err().matches("warning:").count(), 1, "one notice: {out}");
        assert!(out.err().contains("without Claude"), "{out}");
    }
    assert_eq!(scene.server.connections(), 0);
    let data = scene.json(&["claude", "priorities"]);
    assert_eq!(data["source"], "heuristic");
    assert_eq!(data["analysis"]["priorities"][0]["id"], "w-1");
    assert!(scene.server.count() >= 2);
    scene.run(&["claude", "priorities", "--require-fresh"]).fails(5, "");
}

#[test]
fn what_is_not_in_the_store_is_dropped_from_an_analysis() {
    let answer = json!({ "summary": "Do \u{1b}[31mthis", "bottlenecks": [], "priorities": [
        { "id": "w-2", "priority": "high", "score": 80, "reason": "\u{1b}]0;gone\u{7}why" },
        { "id": "w-666", "priority": "high", "score": 70, "reason": "made up" },
    ]});
    let scene = Scene::new(Script::always(Act::text(answer.to_string())));
    scene.stock();
    let out = scene.run(&["claude", "priorities"]);
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.out(), "Do this\nw-2\thigh\t80\twhy\n");
    assert!(out.err().contains("1 entry dropped") && out.err().contains("w-666"), "{out}");
    let data = scene.json(&["claude", "priorities"]);
    assert_eq!(data["dropped"][0]["why"], "unknown-item");
    let sent = scene.server.seen()[0].body.to_string();
    assert!(sent.contains("work_data") && sent.contains("Second"), "{sent}");
}

#[test]
fn what_is_sent_of_a_large_store_stays_small() {
    let scene = Scene::new(Script::new([]));
    let rows: Vec<String> = (0..3_000)
        .map(|n| {
            let row = json!({ "title": format!("Item {n} {}", "long ".repeat(100)),
                "team": format!("team-{n}"), "labels": ["a", "b"], "description": "nobody's business" });
            row.to_string()
        })
        .collect();
    scene.env.feed("add", &rows.join("\n")).done();
    for verb in ["priorities", "assign", "health", "team"] {
        let data = scene.json(&["claude", verb, "--dry-run"]);
        let request = data["request"].to_string();
        assert!(request.len() < 64_000, "{verb}: {} bytes", request.len());
        assert!(request.contains("Item 0") && !request.contains("nobody's business"), "{verb}");
        assert!(request.contains("3000"), "{verb}: the whole number is told");
        let out = scene.run(&["claude", verb, "--offline", "--json"]);
        assert_eq!(out.code(), 0, "{out}");
    }
    assert_eq!(scene.server.connections(), 0);
}

#[test]
fn an_advised_plan_is_applied_whole_or_not_at_all() {
    let answer = json!({ "summary": "s", "unassigned": [], "assignments": [
        { "id": "w-2", "agent": "nova", "reason": "it fits" },
    ]});
    let scene = Scene::new(Script::always(Act::text(answer.to_string())));
    scene.stock();
    let plan = scene.run(&["claude", "assign", "--json"]);
    scene.env.write("plan.json", &plan.out());
    let before = scene.env.log();
    let dry = scene.env.json("work assign --plan plan.json --dry-run");
    assert_eq!((&dry["moves"][0]["to"], scene.env.log()), (&"nova".into(), before.clone()));
    for (text, code, words) in [
        (r#"{"assignments":[{"id":"w-1","agent":"nova"},{"id":"w-9","agent":"nova"}]}"#, 1, "w-9"),
        (r#"{"assignments":[{"id":"w-1","agent":"novb"}]}"#, 1, "novb"),
        (
            r#"{"assignments":[{"id":"w-1","agent":"nova"},{"id":"w-1","agent":"nova"}]}"#,
            2,
            "twice",
        ),
        (r#"{"moves":[]}"#, 2, "no list `assignments`"),
        (r#"{"assignments":[{"id":"w-1"}]}"#, 2, "no plan"),
        ("nonsense", 2, "no plan"),
    ] {
        scene.env.feed("work assign --plan -", text).fails(code, words);
        assert_eq!(scene.env.log(), before, "{text}");
    }
    let done = scene.env.json("work assign --plan plan.json");
    assert_eq!(done["moves"][0]["id"], "w-2");
    assert_eq!(scene.env.json("work show w-2")["assignee"], "nova");
    assert_eq!(scene.env.json("work assign --plan plan.json")["moves"], json!([]));
}

#[test]
fn advice_orders_a_claim_and_never_stands_in_its_way() {
    let row = |id: &str| json!({ "id": id, "priority": "high", "score": 9, "reason": "r" });
    let answer =
        json!({ "summary": "s", "bottlenecks": [], "priorities": [row("w-2"), row("w-1")] });
    let scene = Scene::new(Script::always(Act::text(answer.to_string())));
    scene.stock();
    let out = scene.run(&["claim", "-q", "--advise"]);
    assert_eq!(out.out(), "w-2\n", "{out}");
    scene.env.add("Third");
    scene.server.play(Script::always(Act::way(Way::Silent)));
    let out = scene.run(&["claim", "-q", "--advise", "--agent", "other"]);
    assert_eq!((out.out().as_str(), out.code()), ("w-1\n", 0), "{out}");
    // Without Claude the rules are followed: of equals what others wait for comes first.
    scene.env.add("Fourth");
    scene.env.add("Fifth --needs w-4");
    scene.server.play(Script::always(Act::status(401)));
    let out = scene.run(&["claim", "-q", "--advise", "--agent", "third"]);
    assert_eq!((out.out().as_str(), out.code()), ("w-4\n", 0), "{out}");
    assert!(out.err().contains("by fixed rules"), "{out}");
    let out = scene.run(&["claim", "-q", "--advise", "--agent", "fourth"]);
    assert_eq!((out.out().as_str(), out.code()), ("w-3\n", 0), "{out}");
    scene.run(&["claim", "w-1", "--advise"]).fails(2, "does not go with");
    scene.run(&["claim", "--advise", "--agent", "fifth"]).fails(6, "nothing to do");
}

#[test]
fn a_stream_comes_in_pieces_and_a_broken_one_fails() {
    let scene = Scene::new(Script::new([Act::text("one \u{1b}[2Jtwo three four")]));
    let out = scene.run(&["claude", "ask", "--stream", "Tell"]);
    assert_eq!((out.out().as_str(), out.code()), ("one two three four\n", 0), "{out}");
    assert_eq!(scene.server.seen()[0].body["stream"], true);
    let out = scene.run(&["claude", "ask", "--stream", "--json", "--no-cache", "Again"]);
    let lines: Vec<Value> = out.out().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(lines.len() > 2, "{out}");
    assert_eq!(lines[0]["schema"], "coord.claude.piece/v1");
    assert_eq!(lines.last().unwrap()["data"]["text"], "answer to: Again");
    for way in [Way::Truncated, Way::CutBody, Way::StreamError, Way::BadChunk] {
        scene.server.play(Script::always(Act::way(way)));
        let out = scene.run(&["claude", "ask", "--stream", "--no-cache", "Cut"]);
        assert_eq!(out.code(), 5, "{way:?}: {out}");
    }
    // A reader that goes is no failure.
    scene.server.play(Script::always(Act::text("word ".repeat(200_000))));
    let mut shell = scene.env.sealed("bash");
    shell.env("ANTHROPIC_API_KEY", CANARY).env("ANTHROPIC_BASE_URL", scene.server.url());
    shell.args([
        "-c",
        "\"$COORD\" claude ask --stream --no-cache x | head -c 5; echo \" ${PIPESTATUS[0]}\"",
    ]);
    let out = Output(shell.output().unwrap());
    assert_eq!(out.out(), "word  0\n", "{out}");
}

#[test]
fn an_interrupt_gives_130_and_a_line_in_the_ledger() {
    let slow = Act { pause_ms: 200, ..Act::text("slowly ".repeat(50)) };
    for (act, words) in [
        (slow, vec!["claude", "ask", "--stream", "x"]),
        (Act::way(Way::Silent), vec!["claude", "ask", "x"]),
    ] {
        let scene = Scene::new(Script::always(act));
        let child =
            scene.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while scene.server.count() == 0 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let out = Output(child.wait_with_output().unwrap());
        assert_eq!(out.code(), 130, "{words:?}: {out}");
        let ledger =
            files(&scene.home()).into_iter().find(|(path, _)| path.ends_with("ledger.jsonl"));
        let text = String::from_utf8(ledger.unwrap().1).unwrap();
        assert!(text.contains("interrupted"), "{text}");
    }
}

#[test]
fn insights_come_a_line_each() {
    let scene = Scene::new(Script::always(Act::status(401)));
    scene.stock();
    let out =
        scene.run(&["claude", "stream", "--every", "10ms", "--count", "3", "--json", "--offline"]);
    assert_eq!(out.out().lines().count(), 3, "{out}");
    for row in out.out().lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        assert_eq!(row["data"]["insight"]["source"], "heuristic");
    }
    scene.run(&["claude", "stream", "--every", "0s"]).fails(2, "no time");
}

#[test]
fn a_dry_run_tells_all_but_the_key_and_opens_nothing() {
    let scene = Scene::new(Script::new([]));
    let out = scene.run(&["claude", "ask", "--dry-run", "Who?", "--json"]);
    let data = out.data();
    assert_eq!((&data["dry_run"], &data["cache_state"]), (&true.into(), &"none".into()));
    assert!(data["request"].to_string().contains("Who?"), "{data}");
    assert!(data["estimated_cost_usd"].as_f64() > Some(0.0));
    assert_eq!(scene.server.connections(), 0);
    assert!(!out.to_string().contains(CANARY));
    let _ = scene.run(&["claude", "ask", "Who?"]);
    let data = scene.json(&["claude", "ask", "--dry-run", "Who?"]);
    assert_eq!(data["cache_state"], "fresh");
    assert_eq!(data["request"]["headers"]["authorization"], "Bearer [redacted]");
    // Where there is no key, none is shown.
    let words = ["claude", "ask", "--dry-run", "Who?", "--json"];
    let bare = scene.env.command().args(words).env("PATH", "/nonexistent").output().unwrap();
    let headers = Output(bare).data()["request"]["headers"].clone();
    assert!(headers.is_object() && headers["authorization"].is_null(), "{headers}");
}

#[test]
fn a_dry_run_of_the_program_tells_its_command_line_and_runs_nothing() {
    let env = TestEnv::new();
    env.add("First");
    let program = Program::new(&env.root().join("bin"));
    let path = format!("{}:/usr/bin:/bin", env.root().join("bin").display());
    let run = |words: &[&str], more: &[(&str, &str)]| {
        let mut command = env.command();
        command.args(words).env("PATH", &path).envs(more.iter().copied());
        Output(command.output().unwrap())
    };
    let dry = ["claude", "ask", "--dry-run", "Who?", "--max-tokens", "9", "--json"];
    let data = run(&dry, &[]).data();
    assert_eq!((&data["dry_run"], &data["backend"]), (&true.into(), &"cli".into()), "{data}");
    let request = &data["request"];
    assert_eq!(request["argv"][0], program.path().display().to_string());
    assert_eq!(request["stdin"], "Who?");
    assert_eq!(request["env"]["CLAUDE_CODE_MAX_RETRIES"], "0");
    assert_eq!(request["env"]["CLAUDE_CODE_MAX_OUTPUT_TOKENS"], "9");
    // Only the names of what is handed on, even where a key is the login.
    let own = [("COORD_CLAUDE_BACKEND", "cli"), ("ANTHROPIC_API_KEY", CANARY)];
    let out = run(&dry, &own);
    let names = out.data()["request"]["env_handed_on"].to_string();
    assert!(names.contains("ANTHROPIC_API_KEY") && !out.to_string().contains(CANARY), "{out}");
    let out = run(&["claude", "priorities", "--dry-run", "--json"], &[]);
    assert!(out.data()["request"]["stdin"].as_str().unwrap().contains("First"), "{out}");
    assert_eq!(program.calls(), 0);
    // What was told is what is done.
    let out = run(&["claude", "ask", "Who?", "--max-tokens", "9"], &[]);
    assert_eq!(out.code(), 0, "{out}");
    let told: Vec<&str> =
        request["argv"].as_array().unwrap()[1..].iter().map(|w| w.as_str().unwrap()).collect();
    assert_eq!(program.read("argv").lines().collect::<Vec<_>>(), told);
    for (name, value) in request["env"].as_object().unwrap() {
        let line = format!("{name}={}", value.as_str().unwrap());
        assert!(program.read("env").lines().any(|l| l == line), "no {line}");
    }
}

#[test]
fn check_counts_what_the_ledger_says() {
    let scene = Scene::new(Script::new([]));
    assert!(scene.json(&["claude", "check"])["calls"]["success_rate"].is_null());
    let data = scene.json(&["claude", "check", "--probe", "3"]);
    assert_eq!(
        (&data["probe"]["succeeded"], &data["calls"]["success_rate"]),
        (&3.into(), &1.0.into())
    );
    assert_eq!(data["key_source"], "ANTHROPIC_API_KEY");
    assert_eq!(data["usage"][0]["attempts"], 3);
    scene.server.play(Script::always(Act::status(401)));
    let out = scene.run(&["claude", "check", "--probe", "1"]);
    assert_eq!(out.code(), 10, "{out}");
    assert!(out.out().contains("probe      0 of 1 answered\n"), "{out}");
    let data = scene.json(&["claude", "check"]);
    assert_eq!((&data["calls"]["answered"], &data["calls"]["failed"]), (&3.into(), &1.into()));
    assert_eq!(data["calls"]["success_rate"], 0.75);
    // Who was not asked cannot have failed.
    scene.run(&["claude", "ask", "x", "--offline"]).fails(5, "");
    assert_eq!(scene.json(&["claude", "check"])["calls"]["counted"], 4);
}

#[test]
fn how_long_it_recovers_and_how_long_its_ledger_is_are_settings() {
    let wait = Act::status(429).header("retry-after", "1");
    let scene = Scene::new(Script::new([wait.clone()]));
    let out = scene.run(&["claude", "ask", "Who?"]);
    assert_eq!((out.code(), scene.server.count()), (0, 2), "it was worth the wait: {out}");
    let scene = Scene::new(Script::always(wait));
    let mut hasty = scene.command(&["claude", "ask", "Who?"]);
    hasty.env("COORD_CLAUDE_RECOVERY", "500ms");
    let out = Output(hasty.output().unwrap());
    out.fails(5, "");
    assert_eq!(scene.server.count(), 2, "each model once: no wait fits into the time");

    let scene = Scene::new(Script::new([]));
    let _ = scene.run(&["claude", "ask", "One"]);
    let of = |name: &str| {
        let all = files(&scene.home()).into_iter();
        all.map(|(path, _)| path).find(|path| path.ends_with(name))
    };
    let ledger = of("ledger.jsonl").unwrap();
    let mut text = std::fs::read_to_string(&ledger).unwrap();
    let lines = text.lines().count();
    text.push_str(&"\n".repeat(1 << 20));
    std::fs::write(&ledger, text).unwrap();
    let _ = scene.run(&["claude", "ask", "Two"]);
    assert!(of("ledger.1.jsonl").is_none(), "8 MiB is the default");
    let mut small = scene.command(&["claude", "ask", "Three"]);
    small.env("COORD_CLAUDE_LEDGER_MAX_MIB", "1");
    assert_eq!(Output(small.output().unwrap()).code(), 0);
    assert!(of("ledger.1.jsonl").is_some());
    assert_eq!(std::fs::read_to_string(&ledger).unwrap().lines().count(), lines);
    assert_eq!(scene.json(&["claude", "check"])["calls"]["counted"], 3, "the old one counts too");
}

#[test]
fn the_cache_is_listed_checked_and_purged() {
    let scene = Scene::new(Script::new([]));
    assert_eq!(scene.run(&["claude", "cache", "stats"]).out(), "nothing cached\n");
    let _ = scene.run(&["claude", "ask", "One"]);
    let _ = scene.run(&["claude", "ask", "Two"]);
    assert_eq!(scene.json(&["claude", "cache", "stats"])["fresh"], 2);
    let list = scene.json(&["claude", "cache", "show"]);
    let key = list["entries"][0]["key"].as_str().unwrap().to_owned();
    let one = scene.run(&["claude", "cache", "show", &key[..12]]);
    assert!(one.out().contains("answer to: "), "{one}");
    scene.run(&["claude", "cache", "show", "zzz"]).fails(1, "no cached answer");
    assert_eq!(scene.run(&["claude", "cache", "verify"]).code(), 0);
    let (path, _) = files(&scene.home())
        .into_iter()
        .find(|(path, _)| path.to_string_lossy().contains(&key[2..]))
        .unwrap();
    std::fs::write(&path, "damage").unwrap();
    assert_eq!(scene.run(&["claude", "cache", "verify"]).code(), 10);
    assert_eq!(scene.run(&["claude", "cache", "verify", "--repair"]).code(), 0);
    assert_eq!(scene.run(&["claude", "cache", "verify"]).code(), 0);
    assert_eq!(scene.json(&["claude", "cache", "purge"])["removed"], 1);
}

#[test]
fn a_private_authority_and_a_proxy_work_and_a_wrong_certificate_does_not() {
    let (authority, other) = (Authority::new(), Authority::new());
    let env = TestEnv::new();
    let (ca, wrong) = (env.root().join("ca.pem"), env.root().join("other.pem"));
    authority.write(&ca);
    other.write(&wrong);
    let server =
        Server::start_tls(Script::new([]), &authority.identity(&["api.example.test", "127.0.0.1"]));
    let proxy = Proxy::start(server.addr(), None);
    let ask = |url: &str, more: &[(&str, &std::ffi::OsStr)]| {
        let mut command = env.command();
        command.args(["claude", "ask", "--no-cache", "Who?"]);
        command.env("ANTHROPIC_API_KEY", CANARY).env("ANTHROPIC_BASE_URL", url);
        Output(command.envs(more.iter().copied()).output().unwrap())
    };
    let out = ask(&server.url(), &[("COORD_CLAUDE_CA_FILE", ca.as_os_str())]);
    assert_eq!(out.out(), "answer to: Who?\n", "{out}");
    let out = ask(&server.url(), &[("SSL_CERT_FILE", ca.as_os_str())]);
    assert_eq!(out.out(), "answer to: Who?\n", "{out}");
    let before = server.count();
    ask(&server.url(), &[("COORD_CLAUDE_CA_FILE", wrong.as_os_str())]).fails(5, "");
    assert_eq!(server.count(), before, "nothing was asked of a stranger");
    // No such name can be looked up: only the proxy knows the way.
    let url = "https://api.example.test";
    let via = proxy.url();
    let out = ask(url, &[("COORD_CLAUDE_CA_FILE", ca.as_os_str()), ("HTTPS_PROXY", via.as_ref())]);
    assert_eq!(out.out(), "answer to: Who?\n", "{out}");
    assert!(proxy.asked()[0].starts_with("CONNECT api.example.test:443 "), "{:?}", proxy.asked());
    assert!(!proxy.asked()[0].contains(CANARY));
    let refusing = Proxy::start(server.addr(), Some(403)).url();
    ask(url, &[("COORD_CLAUDE_CA_FILE", ca.as_os_str()), ("HTTPS_PROXY", refusing.as_ref())])
        .fails(5, "");
}

/// Everything that can go wrong on the way, some of it with the key in what comes back.
fn every_fault() -> Vec<Act> {
    let echo = |act: Act| Act { error: Some(format!("echo {CANARY}")), ..act };
    let mut acts: Vec<Act> = [400, 401, 402, 403, 404, 408, 409, 413, 429, 500, 503, 504, 529]
        .into_iter()
        .map(|status| echo(Act::status(status)))
        .collect();
    acts.extend(
        [
            Way::Ok,
            Way::StreamError,
            Way::Html,
            Way::Reset,
            Way::ResetBody,
            Way::Close,
            Way::CutBody,
            Way::Truncated,
            Way::BadChunk,
            Way::WrongShape,
            Way::NotJson,
            Way::Empty,
            Way::Thinking,
            Way::Huge,
            Way::NotHttp,
        ]
        .map(Act::way),
    );
    acts.extend(
        ["refusal", "max_tokens"].map(|stop| Act { stop: Some(stop.to_owned()), ..Act::ok() }),
    );
    acts.push(Act::way(Way::Redirect).header("location", "http://127.0.0.1:9/elsewhere"));
    acts.push(Act::status(429).code("enforced_spend_limit_reached"));
    acts.push(Act::status(529).header("retry-after", "3600"));
    acts.push(Act::ok().header("request-id", CANARY));
    acts
}

/// Nothing below this directory holds the key, but for what the test itself put there.
#[track_caller]
fn holds_no_key(dir: &std::path::Path, but: &std::path::Path) {
    for (path, bytes) in files(dir) {
        let found = bytes.windows(CANARY.len()).any(|w| w == CANARY.as_bytes());
        assert!(!found || path == but, "{}", path.display());
    }
}

#[test]
fn the_key_appears_nowhere() {
    let all: Vec<_> = every_fault().into_iter().enumerate().collect();
    std::thread::scope(|scope| {
        for part in all.chunks(all.len().div_ceil(6)) {
            scope.spawn(|| part.iter().for_each(|(turn, act)| keeps_the_key(*turn, act)));
        }
    });
}

#[test]
fn about_nothing_nobody_is_asked() {
    let scene = Scene::new(Script::new([]));
    for verb in ["priorities", "assign", "health", "team"] {
        scene.run(&["claude", verb]).fails(6, "no work and no agent is recorded");
        scene.run(&["claude", verb, "--offline"]).fails(6, "nobody was asked");
    }
    assert_eq!(scene.server.connections(), 0);
}

/// Lets a third of the commands meet a fault, another third each turn.
fn keeps_the_key(turn: usize, act: &Act) {
    let scene = Scene::new(Script::always(act.clone()));
    scene.stock();
    let program = Program::new(&scene.env.root().join("bin"));
    let path = format!("{}:/usr/bin:/bin", scene.env.root().join("bin").display());
    let all = [
        &["claude", "ask", "x"][..],
        &["claude", "ask", "--stream", "y", "--json", "--deadline", "2s"],
        &["claude", "ask", "--dry-run", "x"],
        &["claude", "priorities", "--json"],
        &["claude", "assign", "--refresh"],
        &["claude", "health", "--require-fresh"],
        &["claude", "team", "--json"],
        &["claude", "stream", "--every", "10ms", "--count", "1"],
        &["work", "claim", "--advise"],
        &["claude", "check", "--probe", "1"],
        &["claude", "cache", "show"],
        &["compat", "claude-priorities"],
        &["health", "--json"],
    ];
    for words in all.iter().skip(turn % 3).step_by(3) {
        let mut command = scene.command(words);
        command.env("PATH", &path).env("COORD_CLAUDE_RECOVERY", "1s");
        let out = Output(command.output().unwrap());
        assert!(!out.to_string().contains(CANARY), "{act:?}, {words:?}: {out}");
    }
    assert!(!program.read("env").contains(CANARY), "the program's environment");
    assert!(!program.read("argv").contains(CANARY));
    holds_no_key(scene.env.root().parent().unwrap(), std::path::Path::new(""));
}

#[test]
fn no_command_that_looks_around_tells_the_key() {
    let scene = Scene::new(Script::new([]));
    scene.stock();
    let _ = scene.run(&["claude", "ask", "x"]);
    for words in [
        &["env"][..],
        &["env", "--json"],
        &["env", "--export", "sh"],
        &["config", "show", "--origin"],
        &["config", "check"],
        &["config", "set", "work.lease", "5m"],
        &["doctor"],
        &["health"],
        &["verify"],
        &["init", "--config", "--git"],
        &["claude", "cache", "stats"],
        &["claude", "cache", "verify"],
        &["work", "list", "--json"],
        &["compat", "environment"],
        &["compat", "config"],
        &["util", "markdown"],
        &["help", "config"],
    ] {
        let out = scene.run(words);
        assert_eq!(out.code() % 10, 0, "{words:?}: {out}");
        assert!(!out.to_string().contains(CANARY), "{words:?}: {out}");
    }
    holds_no_key(scene.env.root().parent().unwrap(), std::path::Path::new(""));
}

#[test]
fn a_key_from_elsewhere_stays_there() {
    use std::os::unix::fs::PermissionsExt as _;
    let at = |scene: &Scene, name: &str| scene.env.root().join(name);
    for source in ["ANTHROPIC_AUTH_TOKEN", "file", "command"] {
        for act in [Act::ok(), Act { error: Some(format!("echo {CANARY}")), ..Act::status(401) }] {
            let scene = Scene::new(Script::always(act));
            scene.stock();
            let program = Program::new(&at(&scene, "bin"));
            let (key, teller) = (at(&scene, "key"), at(&scene, "teller"));
            std::fs::write(&key, format!("{CANARY}\n")).unwrap();
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
            let tells =
                format!("#!/bin/sh\nenv >'{}.env'\ncat '{}'\n", teller.display(), key.display());
            std::fs::write(&teller, tells).unwrap();
            std::fs::set_permissions(&teller, std::fs::Permissions::from_mode(0o755)).unwrap();
            for words in [
                &["claude", "ask", "x", "--json"][..],
                &["claude", "ask", "--dry-run", "x"],
                &["claude", "priorities"],
                &["claude", "check", "--probe", "1", "--json"],
                &["config", "show", "--origin"],
                &["config", "check"],
                &["env", "--json"],
                &["health"],
            ] {
                let mut command = scene.command(words);
                command.env_remove("ANTHROPIC_API_KEY");
                command.env("PATH", format!("{}:/usr/bin:/bin", at(&scene, "bin").display()));
                match source {
                    "file" => command.env("COORD_CLAUDE_API_KEY_FILE", &key),
                    "command" => command.env("COORD_CLAUDE_API_KEY_COMMAND", &teller),
                    name => command.env(name, CANARY),
                };
                let out = Output(command.output().unwrap());
                assert!(!out.to_string().contains(CANARY), "{source}, {words:?}: {out}");
            }
            assert!(scene.server.count() > 0, "{source}: nobody was asked");
            let sent = scene.server.seen()[0].header("authorization").map(str::to_owned);
            assert_eq!(sent.as_deref(), Some(format!("Bearer {CANARY}").as_str()), "{source}");
            assert!(
                !program.read("env").contains(CANARY) && !program.read("argv").contains(CANARY)
            );
            holds_no_key(scene.env.root().parent().unwrap(), &key);
        }
    }
}

#[test]
fn the_arguments_of_a_running_call_hold_no_key() {
    // While it runs, anybody may look at its arguments.
    let scene = Scene::new(Script::always(Act::way(Way::Silent)));
    let mut child = scene.command(&["claude", "ask", "x"]).stderr(Stdio::null()).spawn().unwrap();
    while scene.server.count() == 0 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let argv = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    assert!(!String::from_utf8_lossy(&argv).contains(CANARY));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_program_answers_those_who_have_no_key() {
    let env = TestEnv::new();
    let program = Program::new(&env.root().join("bin"));
    let path = format!("{}:/usr/bin:/bin", env.root().join("bin").display());
    let run =
        |words: &[&str]| Output(env.command().args(words).env("PATH", &path).output().unwrap());
    let out = run(&["claude", "ask", "Who?", "--json"]);
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(
        (&out.data()["source"], &out.data()["text"]),
        (&"cli".into(), &"answer of the program".into())
    );
    assert_eq!(program.calls(), 1);
    let dry = run(&["claude", "ask", "--dry-run", "Why?", "--json"]);
    assert_eq!(dry.data()["request"]["argv"][1], "-p", "{dry}");
    assert_eq!(program.calls(), 1, "a dry run runs nothing");
    run(&["claude", "ask", "Why?", "--offline"]).fails(5, "");
    assert_eq!(program.calls(), 1);
}

#[test]
fn the_old_words_ask_claude_if_they_can_and_say_who_answered() {
    let scene = Scene::new(Script::new([]));
    scene.stock();
    let rows = json!({
        "summary": "two wait", "bottlenecks": [],
        "priorities": [
            { "id": "w-2", "priority": "high", "score": 90, "reason": "it is asked for" },
            { "id": "w-99", "priority": "high", "score": 80, "reason": "made up" },
        ],
    });
    scene.server.play(Script::always(Act::text(rows.to_string())));
    let said = scene.run(&["compat", "claude-priorities"]);
    assert_eq!(said.code(), 0, "{said}");
    assert!(said.out().contains("🎯 w-2: it is asked for"), "{said}");
    assert!(said.out().contains("answered by claude-haiku-5-5"), "{said}");
    assert!(!said.out().contains("w-99"), "what is not in the store is dropped: {said}");
    let next = scene.run(&["compat", "claude-recommend-work"]);
    assert!(next.out().contains("🎯 w-2: it is asked for"), "{next}");
    let reports = scene.run(&["compat", "claude-dashboard"]);
    assert!(reports.out().contains("📄 an answer of claude-haiku-5-5"), "{reports}");
    // Without an answer the rules speak, and say why.
    scene.server.play(Script::always(Act::status(401)));
    let ruled = scene.run(&["compat", "claude-health"]);
    assert_eq!(ruled.code(), 0, "{ruled}");
    assert!(
        ruled.out().contains("by fixed rules from the store; Claude gave no answer"),
        "{ruled}"
    );
}

#[test]
fn the_old_filters_answer_about_what_they_are_given() {
    let scene = Scene::new(Script::new([]));
    scene.env.write("report.txt", "two lines\nof a report");
    let words = ["compat", "claude-enhanced", "bottlenecks", "report.txt", "answer.json"];
    let out = scene.run(&words);
    assert_eq!(out.code(), 0, "{out}");
    let text = std::fs::read_to_string(scene.env.root().join("answer.json")).unwrap();
    let said: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(said, json!({ "summary": "text", "bottlenecks": [] }));
    let asked = scene.server.seen()[0].body["messages"][0]["content"].to_string();
    assert!(asked.contains("of a report"), "{asked}");
    let mut piped = scene.command(&["compat", "claude-pipe", "bottlenecks"]);
    piped.stdin(std::fs::File::open(scene.env.root().join("report.txt")).unwrap());
    let out = Output(piped.output().unwrap());
    let said: Value = serde_json::from_str(&out.out()).unwrap_or_else(|e| panic!("{e}: {out}"));
    assert_eq!(said["summary"], "text");
    // Without anybody to ask there is no answer to make up.
    let mut alone = scene.env.command();
    alone.args(["compat", "claude-pipe"]);
    alone.stdin(std::fs::File::open(scene.env.root().join("report.txt")).unwrap());
    Output(alone.output().unwrap()).fails(1, "needs Claude");
}

#[test]
fn attempts_are_parts_of_the_commands_trace_and_hold_no_word_of_what_was_asked() {
    let scene = Scene::new(Script::new([Act::status(529), Act::ok()]));
    let answer = scene.json(&["claude", "ask", "Where is the canary-question?"]);
    assert_eq!(answer["attempts"].as_array().unwrap().len(), 2);
    let text = std::fs::read_to_string(scene.env.store().join("spans.jsonl")).unwrap();
    assert!(!text.contains("canary"), "{text}");
    let spans: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ops = std::fs::read_to_string(scene.env.store().join("ops.jsonl")).unwrap();
    let op: Value = serde_json::from_str(ops.lines().last().unwrap()).unwrap();
    assert_eq!((op["command"].as_str(), spans.len()), (Some("claude ask"), 2));
    for span in &spans {
        assert_eq!((&span["trace_id"], &span["parent_span_id"]), (&op["trace_id"], &op["span_id"]));
        assert_eq!(
            (span["kind"].as_str(), span["name"].as_str()),
            (Some("client"), Some("chat claude-haiku-5-5"))
        );
        let told = &span["attributes"];
        assert_eq!(
            (&told["gen_ai.operation.name"], &told["gen_ai.provider.name"]),
            (&"chat".into(), &"anthropic".into())
        );
    }
    let (failed, good) = (&spans[0], &spans[1]);
    assert_eq!(
        (&failed["outcome"], &failed["attributes"]["http.response.status_code"]),
        (&"error".into(), &529.into())
    );
    assert_eq!(failed["attributes"]["error.type"], "overloaded_error");
    assert_eq!((&good["outcome"], &good["attributes"]["error.type"]), (&"ok".into(), &Value::Null));
    assert!(good["attributes"]["gen_ai.usage.output_tokens"].as_u64().unwrap() > 0, "{good}");
    let end = |span: &Value| {
        let start = chrono::DateTime::parse_from_rfc3339(span["start"].as_str().unwrap()).unwrap();
        start + std::time::Duration::from_micros(span["duration_us"].as_u64().unwrap())
    };
    let start = |span: &Value| {
        chrono::DateTime::parse_from_rfc3339(span["start"].as_str().unwrap()).unwrap()
    };
    assert!(start(good) >= end(failed), "{text}");
    // It is seen as a part.
    let trace = op["trace_id"].as_str().unwrap();
    let shown = scene.env.json(&format!("trace show {trace}"));
    let depths: Vec<_> = shown["branches"][0]["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["depth"].clone())
        .collect();
    assert_eq!(depths, [0, 1, 1]);
}

#[test]
fn advice_for_a_claim_is_a_part_of_the_items_trace() {
    let scene = Scene::new(Script::new([]));
    scene.stock();
    scene.run(&["work", "claim", "--advise", "--agent", "nova"]).done();
    let text = std::fs::read_to_string(scene.env.store().join("spans.jsonl")).unwrap();
    let span: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let ops = std::fs::read_to_string(scene.env.store().join("ops.jsonl")).unwrap();
    let claim: Value = serde_json::from_str(ops.lines().last().unwrap()).unwrap();
    assert_eq!(
        (claim["command"].as_str(), &span["parent_span_id"]),
        (Some("work claim"), &claim["span_id"])
    );
    assert_eq!(span["trace_id"], claim["trace_id"]);
}
