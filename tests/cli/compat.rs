//! The old command line: through a link named `coordination_helper.sh`, and as `coord compat`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coord::domain::legacy::dialect::COMMANDS;
use serde_json::{Value, json};

use crate::env::{Output, TestEnv};

/// A place as the old program knew it: a directory of its own, and the link.
struct Old {
    env: TestEnv,
}

impl Old {
    fn new() -> Self {
        let env = TestEnv::bare();
        let link = env.root().join("coordination_helper.sh");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_coord"), link).unwrap();
        Self { env }
    }

    fn dir(&self) -> PathBuf {
        self.env.root().join("agent_coordination")
    }

    fn command(&self) -> Command {
        let mut cmd = self.env.sealed("./coordination_helper.sh");
        cmd.env_remove("COORD_AGENT").env("COORDINATION_DIR", self.dir());
        cmd
    }

    fn run(&self, words: &[&str]) -> Output {
        Output(self.command().args(words).output().unwrap())
    }

    fn run_as(&self, agent: &str, words: &[&str]) -> Output {
        Output(self.command().env("AGENT_ID", agent).args(words).output().unwrap())
    }

    /// The new program on the same store.
    fn json(&self, line: &str) -> Value {
        self.env.json(&format!("--dir agent_coordination {line}"))
    }

    /// Claims, and gives the id.
    fn claim(&self, words: &[&str]) -> String {
        let words: Vec<_> = ["claim"].iter().chain(words).copied().collect();
        let out = self.run(&words);
        out.done();
        let line = out.out().lines().find(|line| line.contains("SUCCESS")).unwrap().to_owned();
        line.split("work item ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    }

    fn file(&self, name: &str) -> Value {
        let bytes = std::fs::read(self.dir().join(name)).unwrap();
        serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn row(&self, id: &str) -> Value {
        let rows = self.file("work_claims.json");
        let row = rows.as_array().unwrap().iter().find(|row| row["work_item_id"] == id);
        row.unwrap_or_else(|| panic!("no row {id}")).clone()
    }

    /// Checks all four files: their shape, and that they hold what the store holds.
    #[track_caller]
    fn check(&self) {
        let has = |row: &Value, fields: &[&str]| {
            for field in fields {
                assert!(row.get(field).is_some(), "no `{field}` in {row}");
            }
        };
        let claims = self.file("work_claims.json");
        let mut states = Vec::new();
        for row in claims.as_array().unwrap() {
            has(
                row,
                &["work_item_id", "agent_id", "reactor_id", "claimed_at", "estimated_duration"],
            );
            has(row, &["work_type", "priority", "description", "status", "team", "telemetry"]);
            for text in ["work_item_id", "work_type", "priority", "description", "status", "team"] {
                assert!(row[text].is_string(), "`{text}` in {row}");
            }
            if row["status"] == "completed" {
                has(row, &["completed_at", "result", "progress"]);
            }
            states.push((row["work_item_id"].clone(), row["status"] == "completed"));
        }
        let items = self.json("work list --all --sort added");
        let items = items["items"].as_array().unwrap();
        let known: Vec<_> =
            items.iter().map(|i| (i["id"].clone(), i["status"] == "done")).collect();
        assert_eq!(states, known, "the claims are those of the store");
        let log = self.file("coordination_log.json");
        for row in log.as_array().unwrap() {
            has(row, &["work_item_id", "completed_at", "agent_id", "result", "velocity_points"]);
        }
        let logged: BTreeSet<_> =
            log.as_array().unwrap().iter().map(|row| row["work_item_id"].to_string()).collect();
        let done: BTreeSet<_> =
            known.iter().filter(|(_, done)| *done).map(|(id, _)| id.to_string()).collect();
        assert_eq!(logged, done, "what is done is logged");
        let agents = self.file("agent_status.json");
        for row in agents.as_array().unwrap() {
            has(row, &["agent_id", "team", "status", "capacity", "current_workload"]);
            has(row, &["specialization", "last_heartbeat", "performance_metrics"]);
            let metrics = &row["performance_metrics"];
            has(metrics, &["tasks_completed", "average_completion_time", "success_rate"]);
        }
        let known = self.json("agent list")["total"].clone();
        assert_eq!(json!(agents.as_array().unwrap().len()), known, "every agent has its row");
        let velocity = std::fs::read_to_string(self.dir().join("velocity_log.txt")).unwrap();
        for line in velocity.lines() {
            let (time, rest) = line.split_once(": Team ").unwrap();
            assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{line}");
            let (team, points) = rest.split_once(" +").unwrap();
            assert!(!team.is_empty() && points.ends_with(" velocity points"), "{line}");
        }
    }

    fn velocity(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir().join("velocity_log.txt")).unwrap();
        text.lines().map(ToOwned::to_owned).collect()
    }
}

/// Every word that the old program knew or promised, with arguments that are right, the exit code,
/// and something that the answer holds. `ID` stands for an item that is claimed, `DONE` for one that
/// nobody will touch again.
const WORDS: &[(&str, &str, i32, &str)] = &[
    ("claim", "bug_fix|Mend it|high|core", 0, "✅ SUCCESS: Claimed work item work_"),
    ("claim-fast", "bug_fix|Mend it", 0, "for team autonomous_team"),
    ("claim-slow", "bug_fix|Mend it|low", 0, "🤖 Agent agent_"),
    ("claim-intelligent", "bug_fix|Mend it", 0, "no advice was asked for"),
    ("claim-ai", "bug_fix|Mend it", 0, "SUCCESS"),
    ("progress", "ID|40", 0, "to 40% (in_progress)"),
    ("complete", "ID", 0, "(success) - 5 velocity points"),
    (
        "register",
        "nova|core|150|rust",
        0,
        "🔧 REGISTERED: Agent nova in team core with 150% capacity",
    ),
    ("register-agent", "orion", 0, "in team autonomous_team with 100% capacity"),
    ("generate-id", "", 0, "agent_"),
    ("dashboard", "", 0, "🚀 SCRUM AT SCALE DASHBOARD"),
    ("dashboard-fast", "", 0, "📈 VELOCITY & METRICS:"),
    ("pi-planning", "", 0, "🎯 STARTING PI PLANNING SESSION"),
    ("scrum-of-scrums", "", 0, "🤝 SCRUM OF SCRUMS COORDINATION"),
    ("innovation-planning", "", 0, "💡 INNOVATION AND PLANNING (IP) ITERATION"),
    ("ip", "", 0, "🔬 INNOVATION TIME (20%):\n  (nothing recorded)"),
    ("system-demo", "", 0, "🎬 SYSTEM DEMO - INTEGRATED SOLUTION"),
    ("inspect-adapt", "", 0, "🔍 INSPECT AND ADAPT (I&A) WORKSHOP"),
    ("ia", "", 0, "📊 PI RESULTS AND METRICS:"),
    ("art-sync", "", 0, "🔄 ART SYNC - ALIGNMENT ACROSS TEAMS"),
    ("portfolio-kanban", "", 0, "📊 PORTFOLIO KANBAN - EPIC FLOW"),
    ("coach-training", "", 0, "🎓 SCRUM AT SCALE COACH TRAINING"),
    ("value-stream", "", 0, "🗺️ VALUE STREAM MAPPING - END-TO-END FLOW"),
    ("vsm", "", 0, "⏱️ Lead Time: "),
    ("claude-analyze-priorities", "", 0, "Claude was not asked"),
    ("claude-priorities", "", 0, "📊 Priority Recommendations:"),
    ("claude-optimize-assignments", "core", 0, "Claude was not asked"),
    ("claude-optimize", "", 0, "🔧 Recommended Assignments:"),
    ("claude-rebalance-recommendations", "", 0, "Claude was not asked"),
    ("claude-recommend-work", "bug_fix", 0, "Claude was not asked"),
    ("claude-recommend", "", 0, "🎯 Next Work:"),
    ("claude-health-analysis", "", 0, "Claude was not asked"),
    ("claude-health", "", 0, "📊 System Health:"),
    ("claude-analyze-health", "", 0, "Claude was not asked"),
    ("claude-team-analysis", "core", 0, "Claude was not asked"),
    ("claude-team", "", 0, "👥 core: "),
    ("claude-suggest-teams", "", 0, "Claude was not asked"),
    ("claude-teams", "", 0, "👥 Team Utilization:"),
    ("claude-stream", "speed|30", 0, "🎯 Focus: speed"),
    ("stream", "", 0, "Claude was not asked"),
    ("claude-intelligence-stream", "", 0, "Claude was not asked"),
    ("claude-pipe", "priorities", 1, "nothing came on standard input"),
    ("pipe", "nonsense", 1, "`nonsense` is no analysis"),
    ("claude-enhanced", "a|b|c", 1, "`a` is no analysis"),
    ("enhanced", "", 1, "lacks its files"),
    ("claude-dashboard", "", 0, "🧠 CLAUDE INTELLIGENCE COORDINATION DASHBOARD"),
    ("intelligence", "", 0, "Claude was not asked"),
    ("status", "", 0, "📊 SYSTEM STATUS"),
    ("health", "", 0, "🎯 State: healthy"),
    ("start", "", 1, "coord swarm run"),
    ("stop", "", 1, "coord swarm run"),
    ("restart", "", 1, "coord swarm run"),
    ("metrics", "", 0, "📈 METRICS"),
    ("logs", "3", 0, " by "),
    ("list-agents", "", 0, "👥 AGENTS"),
    ("remove-agent", "nova", 0, "REMOVED: Agent nova"),
    ("list-work", "active", 0, "📋 WORK ITEMS"),
    ("list-work-fast", "", 0, "📊 Work Items: "),
    ("add-work", "chore|Sweep|low|core", 0, "✅ SUCCESS: Added work item work_"),
    ("agent-performance", "", 0, "📈 AGENT PERFORMANCE"),
    ("agent-workload", "", 0, "⚖️ AGENT WORKLOAD"),
    ("agent-health", "", 0, "🏥 AGENT HEALTH"),
    ("agent-scale", "4", 1, "coord swarm run"),
    ("deploy", "", 1, "`deploy`"),
    ("rollback", "", 1, "`rollback`"),
    ("environment", "", 0, "COORDINATION_DIR="),
    ("config", "", 0, "work.lease = 30m"),
    ("alerts", "", 0, "🚨 ALERTS"),
    ("reports", "", 0, "👥 TEAMS:"),
    ("audit", "", 0, "✅ everything is as it was written"),
    ("webhook", "", 1, "`webhook`"),
    ("api", "", 1, "`api`"),
    ("sync", "", 0, "the old files hold"),
    ("backup", "", 0, "read back and compared"),
    ("restore", "", 1, "the archive is missing"),
    ("optimize", "", 0, "Nothing has to be archived"),
    ("help", "", 0, "Usage: coordination_helper.sh <command> [args...]"),
];

#[test]
fn every_word_exits_as_promised_and_leaves_valid_mirrors() {
    let tried: BTreeSet<_> = WORDS.iter().map(|(word, ..)| *word).collect();
    let known: BTreeSet<_> = COMMANDS.iter().flat_map(|s| s.names).copied().collect();
    assert_eq!(tried, known, "no word is forgotten");
    let old = Old::new();
    let done = old.claim(&["chore", "First", "low", "core"]);
    old.run(&["complete", &done, "ok", "3"]).done();
    let id = old.claim(&["chore", "Second", "low", "core"]);
    for (word, args, code, told) in WORDS {
        let args: Vec<_> = args
            .split('|')
            .filter(|arg| !arg.is_empty())
            .map(|arg| if arg == "ID" { id.as_str() } else { arg })
            .collect();
        let words: Vec<_> = [*word].into_iter().chain(args).collect();
        let out = old.run(&words);
        if *code == 0 {
            assert_eq!(out.code(), 0, "{word}: {out}");
            assert!(out.out().contains(told), "{word}: no `{told}` in {out}");
        } else {
            out.fails(*code, "");
            assert!(out.err().contains(told), "{word}: no `{told}` in {out}");
        }
        old.check();
        // The same words behind `coord compat`.
        if *code == 0 && !word.starts_with("claim") && !matches!(*word, "remove-agent" | "add-work")
        {
            let mut again = old.env.command();
            again.env("COORDINATION_DIR", old.dir()).env_remove("COORD_AGENT");
            let again = Output(again.arg("compat").args(&words).output().unwrap());
            assert_eq!(again.code(), 0, "{word}: {again}");
        }
    }
    assert!(old.run(&["help"]).out().lines().count() > COMMANDS.len());
    assert_eq!(old.run(&[]).out(), old.run(&["help"]).out());
}

#[test]
fn numbers_are_those_of_the_store() {
    let old = Old::new();
    let empty = old.run(&["dashboard"]).out();
    assert!(empty.contains("📊 Active Work Items: 0"), "{empty}");
    assert!(empty.contains("0 story points"), "{empty}");
    for (points, team) in [("3", "core"), ("8", "web")] {
        let id = old.claim(&["feature", "Make it", "high", team]);
        old.run(&["complete", &id, "ok", points]).done();
    }
    old.claim(&["feature", "Go on", "high", "web"]);
    let told = old.run(&["dashboard"]).out();
    assert!(told.contains("📊 Active Work Items: 1"), "{told}");
    assert!(told.contains("Current Sprint Velocity: 11 story points"), "{told}");
    let demo = old.run(&["system-demo"]).out();
    assert!(demo.contains("✅ web: 1 item completed, 8 points"), "{demo}");
    assert!(!demo.contains("BV: 50"), "nothing is invented: {demo}");
    let out = old.run(&["--json", "art-sync"]);
    let data: Value = serde_json::from_str(&out.out()).unwrap();
    assert_eq!(data["schema"], "coord.compat/v1");
    assert_eq!(data["data"]["result"]["points"], 11);
    assert_eq!(data["data"]["result"]["states"]["active"], 1);
    old.check();
}

#[test]
fn points_of_the_old_log_are_told_apart() {
    let old = Old::new();
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/legacy");
    let mut import = old.env.sealed(env!("CARGO_BIN_EXE_coord"));
    import.args(["import"]).arg(from).env("COORDINATION_DIR", old.dir());
    assert_eq!(import.output().unwrap().status.code(), Some(10), "a few records are refused");
    let id = old.claim(&["feature", "Make it", "high", "core"]);
    old.run(&["complete", &id, "ok", "4"]).done();
    let told = old.run(&["status"]).out();
    let words = "57 points (53 of them in the old velocity log; the items done have 47)";
    assert!(told.contains(words), "{told}");
    let told = old.run(&["reports"]).out();
    assert!(told.contains(words.split_once('(').unwrap().1), "{told}");
    assert!(
        told.contains(
            "harbour_team: 2 open, 0 done, 0 given up, 1 points, 1 of them in the old log"
        )
    );
    let mut status = old.env.sealed(env!("CARGO_BIN_EXE_coord"));
    let status = Output(status.arg("status").env("COORDINATION_DIR", old.dir()).output().unwrap());
    assert!(status.out().contains("47 points done"), "{status}");
}

#[test]
fn a_hundred_claims_at_once_are_a_hundred_rows() {
    let old = Old::new();
    let children: Vec<Child> = (0..100)
        .map(|n| {
            let mut cmd = old.command();
            cmd.args(["claim", "bulk", &format!("Number {n}"), "medium", "core"]);
            cmd.env("COORD_STORE_LOCK_TIMEOUT", "120s");
            cmd.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let out = Output(child.wait_with_output().unwrap());
        out.done();
        assert!(out.out().contains("SUCCESS"), "{out}");
    }
    // Nobody has run anything since: the last of them has left them so.
    let rows = old.file("work_claims.json");
    let texts: BTreeSet<_> =
        rows.as_array().unwrap().iter().map(|row| row["description"].to_string()).collect();
    assert_eq!((rows.as_array().unwrap().len(), texts.len()), (100, 100));
    assert!(rows.as_array().unwrap().iter().all(|row| row["status"] == "active"));
    let agents: BTreeSet<_> =
        rows.as_array().unwrap().iter().map(|row| row["agent_id"].to_string()).collect();
    assert_eq!(agents.len(), 100, "each has an agent of its own");
    old.check();
}

#[test]
fn a_claim_makes_and_takes_in_one_transaction() {
    let old = Old::new();
    let id = old.claim(&["bug_fix", "Mend it", "critical", "core"]);
    let log = std::fs::read_to_string(old.dir().join("work.jsonl")).unwrap();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["id"] == id)
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((lines[0]["op"].clone(), lines[0]["more"].clone()), (json!("add"), json!(true)));
    assert_eq!(
        (lines[1]["op"].clone(), lines[1]["status"].clone()),
        (json!("claim"), json!("active"))
    );
    assert!(lines[1].get("more").is_none());
    let item = old.json(&format!("work show {id}"));
    assert_eq!(
        (item["priority"].clone(), item["team"].clone()),
        (json!("critical"), json!("core"))
    );
    // Repeated under one operation id it is one item.
    let again = |words: &[&str]| {
        let mut cmd = old.env.command();
        cmd.env("COORDINATION_DIR", old.dir()).args(["compat", "--op-id", "op-7"]);
        Output(cmd.args(words).output().unwrap())
    };
    again(&["claim", "bug_fix", "Once"]).done();
    again(&["claim", "bug_fix", "Once"]).done();
    assert_eq!(old.json("work list --all")["total"], 2);
}

#[test]
fn awkward_texts_survive() {
    let old = Old::new();
    let long = "long ".repeat(600);
    let texts = [
        "quotes \" ' ` and \\ backslashes \\n \\\\",
        "two\nlines\r\nand a\ttab",
        "emoji 🦀👩‍👩‍👧 and 日本語",
        "  blanks around  ",
        "$(rm -rf /) ${HOME} %s {} [] ; & | > <",
        "\u{1b}[31mred\u{1b}[0m \u{202e}turned",
        "--json",
        "\n\nlate",
        long.as_str(),
    ];
    for text in texts {
        let id = old.claim(&["ty\"pe \\ x", text, "medium", "the \"team\"\n2"]);
        let row = old.row(&id);
        assert_eq!(row["description"], text);
        assert_eq!(row["work_type"], "ty\"pe \\ x");
        assert_eq!(row["team"], "the \"team\"\n2");
        old.run(&["complete", &id, text, "2"]).done();
        assert_eq!(old.row(&id)["result"], text);
        let shown = old.run(&["list-work"]);
        assert!(!shown.out().contains('\u{1b}') && !shown.out().contains('\u{202e}'), "{text:?}");
    }
    old.check();
}

#[test]
fn what_is_wrong_is_exit_1_and_changes_nothing() {
    let old = Old::new();
    let id = old.claim(&["bug_fix", "Mend it"]);
    let log = || std::fs::read(old.dir().join("work.jsonl")).unwrap();
    let before = log();
    let wrong: &[(&[&str], &str)] = &[
        (&["frobnicate"], "unknown command `frobnicate`"),
        (&["dashbord"], "unknown command"),
        (&[""], "unknown command"),
        (&["--frob"], "unknown command"),
        (&["claim"], "the type of the work is missing"),
        (&["claim", "bug_fix"], "the description of the work is missing"),
        (&["claim", "bug_fix", "  "], "the description of the work is missing"),
        (&["claim", "bug_fix", "x", "soonish"], "`soonish` is no priority"),
        (&["claim", "a", "b", "high", "team", "more"], "at most 4 arguments"),
        (&["progress"], "the work item is missing"),
        (&["progress", "work_1", "50"], "no work item `work_1`"),
        (&["progress", "work_", "50"], "no work item `work_`"),
        (&["progress", &id], "the percentage is missing"),
        (&["progress", &id, "half"], "`half` is no percentage"),
        (&["progress", &id, "101"], "`101` is no percentage"),
        (&["complete"], "the work item is missing"),
        (&["complete", "../x"], "no work item"),
        (&["complete", "work_1"], "no work item `work_1`"),
        (&["complete", &id, "ok", "many"], "`many` is no number of points"),
        (&["register"], "the agent's id is missing"),
        (&["register", "a b"], "no agent id"),
        (&["register", "nova", "core", "lots"], "`lots` is no capacity"),
        (&["remove-agent", "nobody"], "no agent `nobody`"),
        (&["list-work", "soon"], "unknown status `soon`"),
        (&["dashboard", "x"], "takes no arguments"),
        (&["agent-health", "nobody"], "no agent `nobody`"),
        (&["logs", "some"], "`some` is no number"),
    ];
    for (words, told) in wrong {
        old.run(words).fails(1, told);
        assert_eq!(log(), before, "{words:?}");
        old.check();
    }
    assert!(old.run(&["dashbord"]).err().contains("did you mean `dashboard`?"));
    let bytes = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"a\xff");
    let out = Output(old.command().args(["claim", "bug_fix"]).arg(bytes).output().unwrap());
    out.fails(1, "not valid UTF-8");
    assert_eq!(log(), before);
    let out = old.run(&["--json", "complete", "work_1"]);
    assert_eq!((out.code(), out.error()["kind"].as_str()), (1, Some("user")));
}

#[test]
fn flags_of_the_output_are_understood_where_no_text_can_stand() {
    let old = Old::new();
    let id = old.claim(&["bug_fix", "Mend it"]);
    for words in
        [&["--json", "status"][..], &["status", "--json"], &["list-work", "active", "--json"]]
    {
        let out = old.run(words);
        assert_eq!(
            (out.code(), out.data()["command"].as_str()),
            (0, Some(words[0]).filter(|w| *w != "--json").or(Some("status"))),
            "{out}"
        );
    }
    let out = old.env.coord("compat list-agents --json");
    assert_eq!(out.data()["command"], "list-agents", "{out}");
    // Where a text may stand such a word is the text; what fails says where flags belong.
    old.run(&["complete", &id, "--json"]).done();
    assert_eq!(old.row(&id)["result"], "--json");
    let out = old.run(&["claim", "bug_fix", "x", "--json"]);
    out.fails(1, "`--json` is no priority");
    assert!(out.err().contains("`coordination_helper.sh --json claim …`"), "{out}");
}

#[test]
fn an_answer_that_was_lost_can_be_had_again() {
    let old = Old::new();
    for compat in [false, true] {
        let command = || {
            let mut cmd = if compat { old.env.command() } else { old.command() };
            cmd.env_remove("COORD_AGENT").env("COORDINATION_DIR", old.dir());
            if compat {
                cmd.arg("compat");
            }
            cmd
        };
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut lost = command();
        lost.args(["claim", "bug_fix", "Mend it"]).stdout(full);
        let out = Output(lost.output().unwrap());
        assert_eq!(out.code(), 9, "{out}");
        let told = out.err();
        let name = if compat { "`coord compat" } else { "`coordination_helper.sh" };
        let hint = told.lines().find(|line| line.contains("--op-id")).unwrap();
        assert!(hint.contains(name), "{hint}");
        let id = hint.split(' ').find(|word| word.starts_with("op-")).unwrap();
        let before = old.json("work list --all")["total"].clone();
        // The hint is followed to the letter.
        let again = Output(
            command().args(["--op-id", id, "claim", "bug_fix", "Mend it"]).output().unwrap(),
        );
        assert_eq!(again.code(), 0, "{again}");
        assert!(again.out().contains("SUCCESS"), "{again}");
        assert_eq!(old.json("work list --all")["total"], before);
    }
    old.run(&["--op-id", "a b", "status"]).fails(1, "no operation id");
    old.run(&["--op-id"]).fails(1, "no operation id");
    old.check();
}

#[test]
fn an_increment_is_named_only_if_one_is_recorded() {
    let old = Old::new();
    let out = old.run(&["pi-planning"]);
    assert!(out.out().contains("📋 PI PLANNING FOR: (nothing recorded)"), "{out}");
    old.env.write("was/backlog.yaml", "program_backlog:\n  current_pi:\n    id: PI_2025_Q2\n    name: Scale\n    start_date: '2025-06-15'\n    end_date: '2025-08-15'\n    objectives:\n      - {id: o1, title: Small, business_value: 3}\n      - {id: o2, title: Large, business_value: 50}\n");
    old.env.coord("--dir agent_coordination import was").done();
    let out = old.run(&["pi-planning"]).out();
    assert!(out.contains("FOR: PI_2025_Q2: Scale (2025-06-15 to 2025-08-15)"), "{out}");
    let at = |words: &str| out.find(words).unwrap_or_else(|| panic!("{words}: {out}"));
    assert!(at("🏆 Large (business value 50)") < at("🏆 Small (business value 3)"));
}

#[test]
fn the_surroundings_say_who_acts_and_on_what() {
    let old = Old::new();
    let mut cmd = old.command();
    cmd.args(["claim", "bug_fix", "Mend it"]);
    cmd.env("AGENT_ID", "agent_1").env("AGENT_TEAM", "web").env("TRACE_ID", "trace7");
    Output(cmd.output().unwrap()).done();
    let row = old.file("work_claims.json")[0].clone();
    let id = row["work_item_id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("work_") && id[5..].bytes().all(|c| c.is_ascii_digit()), "{id}");
    assert_eq!((row["agent_id"].clone(), row["team"].clone()), (json!("agent_1"), json!("web")));
    assert_eq!(row["telemetry"]["trace_id"], "trace7");
    assert_eq!(old.file("agent_status.json")[0]["team"], "web");
    // Somebody else's claim is not touched.
    old.run_as("agent_2", &["progress", &id, "50"]).fails(4, "is held by `agent_1`");
    old.run_as("agent_2", &["complete", &id]).fails(4, "is held by `agent_1`");
    let current = |words: &[&str]| {
        let mut cmd = old.command();
        cmd.env("CURRENT_WORK_ITEM", &id).env("AGENT_ID", "agent_1");
        Output(cmd.args(words).output().unwrap())
    };
    current(&["progress", "", "50", "working"]).done();
    let row = old.row(&id);
    assert_eq!((row["status"].clone(), row["progress"].clone()), (json!("working"), json!(50)));
    // Without a name the command acts for the holder.
    old.run(&["progress", &id, "75"]).done();
    assert_eq!(old.row(&id)["status"], "in_progress");
    current(&["complete"]).done();
    let out = old.run(&["complete", &id, "again", "9"]);
    out.done();
    assert!(out.out().contains("was completed already (success) - 5 velocity points"), "{out}");
    assert_eq!(old.velocity().len(), 1, "once only");
    assert!(old.velocity()[0].ends_with(": Team web +5 velocity points"));
    assert_eq!(old.file("agent_status.json")[0]["performance_metrics"]["tasks_completed"], 1);
    old.run_as("a b", &["claim", "x", "y"]).fails(3, "`AGENT_ID` is `a b`");
    // What was only queued is taken by who reports on it.
    old.run(&["add-work", "chore", "Sweep"]).done();
    let id = old.file("work_claims.json")[1]["work_item_id"].as_str().unwrap().to_owned();
    assert_eq!(old.row(&id)["status"], "pending");
    old.run_as("agent_3", &["progress", &id, "10"]).done();
    assert_eq!(old.row(&id)["agent_id"], "agent_3");
    old.check();
}

#[test]
fn who_is_killed_before_the_mirrors_leaves_them_to_the_next() {
    use std::os::unix::fs::OpenOptionsExt as _;
    let old = Old::new();
    old.claim(&["bug_fix", "First"]);
    let before = old.file("work_claims.json");
    // While somebody holds the lock of the mirrors, nobody brings them up to date.
    let lock = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .mode(0o600)
        .open(old.dir().join(".mirror.lock"))
        .unwrap();
    lock.lock().unwrap();
    let mut cmd = old.command();
    cmd.args(["claim", "bug_fix", "Second"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = cmd.spawn().unwrap();
    let since = Instant::now();
    let log = old.dir().join("work.jsonl");
    while !std::fs::read_to_string(&log).unwrap().contains("\"Second\"") {
        assert!(since.elapsed() < Duration::from_mins(1), "the change never came");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(old.file("work_claims.json"), before, "still whole, and old");
    drop(lock);
    // A command that only looks heals them, even one that fails.
    old.run(&["complete", "work_1"]).fails(1, "no work item");
    assert_eq!(old.file("work_claims.json").as_array().unwrap().len(), 2);
    old.check();
    // What the new program does shows with the next command.
    let _ = old.json("work add Third");
    assert_eq!(old.file("work_claims.json").as_array().unwrap().len(), 2);
    old.run(&["status"]).done();
    old.check();
    std::fs::remove_file(old.dir().join("agent_status.json")).unwrap();
    old.run(&["status"]).done();
    old.check();
}

#[test]
fn genuine_old_files_are_taken_over_before_they_are_replaced() {
    let old = Old::new();
    let dir = old.dir();
    std::fs::create_dir_all(&dir).unwrap();
    let claims = json!([
        {"work_item_id": "work_1750055927455076000", "agent_id": "agent_1750055927452197000",
         "reactor_id": "shell_agent", "claimed_at": "2025-06-16T06:38:47Z", "estimated_duration": "45m",
         "work_type": "perf", "priority": "high", "description": "Old \"one\"", "status": "completed",
         "team": "core_team", "completed_at": "2025-06-16T06:45:28Z", "result": "ok"},
        {"work_item_id": "work_1750055927455077000", "agent_id": "gone", "reactor_id": "shell_agent",
         "claimed_at": "2025-06-16T06:38:47Z", "estimated_duration": "30m", "work_type": "perf",
         "priority": "low", "description": "Old two", "status": "active", "team": "core_team"},
    ]);
    let broken = format!("[\n{},\n{},\n{{\"description\": \"no id\"}}\n]\n", claims[0], claims[1]);
    std::fs::write(dir.join("work_claims.json"), &broken).unwrap();
    let agents = json!([{"agent_id": "nova", "team": "core_team", "specialization": "rust",
        "capacity": 80, "status": "active", "last_heartbeat": "2025-06-16T07:32:48Z"}]);
    std::fs::write(dir.join("agent_status.json"), agents.to_string()).unwrap();
    let log = json!([{"work_item_id": "work_1750055927455076000", "completed_at": "2025-06-16T06:45:28Z",
        "agent_id": "x", "result": "ok", "velocity_points": 8}]);
    std::fs::write(dir.join("coordination_log.json"), log.to_string()).unwrap();
    let points = "2025-06-16T06:45:28Z: Team autonomous_team +8 velocity points\n";
    std::fs::write(dir.join("velocity_log.txt"), points).unwrap();

    let out = old.run(&["complete", "work_1750055927455077000", "ok", "3"]);
    out.done();
    assert!(out.err().contains("took over 2 items and 1 agent"), "{out}");
    assert!(out.err().contains("1 record in the old files could not be read"), "{out}");
    assert_eq!(out.err().matches("took over").count(), 1, "{out}");
    old.check();
    let all: Vec<_> = std::fs::read_dir(dir.join("old-files")).unwrap().collect();
    let [Ok(kept)] = &all[..] else { panic!("{all:?}") };
    // Byte for byte, damage included; the warning says how to look at it.
    assert_eq!(std::fs::read(kept.path().join("work_claims.json")).unwrap(), broken.as_bytes());
    assert_eq!(std::fs::read_dir(kept.path()).unwrap().count(), 4);
    let line = format!("import {} --dry-run --dir agent_coordination", kept.path().display());
    assert!(old.env.coord(&line).out().contains("it has no `work_item_id`"));
    let first = old.row("work_1750055927455076000");
    for (key, value) in claims[0].as_object().unwrap() {
        assert_eq!(first[key], *value, "{key}");
    }
    assert_eq!(old.velocity().len(), 2, "{:?}", old.velocity());
    assert_eq!(old.velocity()[0], points.trim());
    let rows = old.file("agent_status.json");
    let nova =
        rows.as_array().unwrap().iter().find(|row| row["agent_id"] == "nova").unwrap().clone();
    assert_eq!(
        (nova["capacity"].clone(), nova["specialization"].clone()),
        (json!(80), json!("rust"))
    );

    // An old program goes on writing there: its rows come in as well, and nothing is counted twice.
    let mut rows = old.file("work_claims.json");
    let mut new = claims[1].clone();
    new["work_item_id"] = json!("work_1750055927455078000");
    rows.as_array_mut().unwrap().push(new);
    std::fs::write(dir.join("work_claims.json"), rows.to_string()).unwrap();
    let mut text = std::fs::read_to_string(dir.join("velocity_log.txt")).unwrap();
    text.push_str("2025-06-17T06:45:28Z: Team core_team +2 velocity points\n");
    std::fs::write(dir.join("velocity_log.txt"), &text).unwrap();
    old.run(&["status"]).done();
    old.check();
    assert_eq!(old.row("work_1750055927455078000")["status"], "pending");
    assert_eq!(old.velocity().len(), 3, "{:?}", old.velocity());
    // Losing what is known of the mirrors costs nothing.
    std::fs::remove_file(dir.join(".mirror")).unwrap();
    let before = (old.file("work_claims.json"), old.velocity());
    old.run(&["status"]).done();
    assert_eq!((old.file("work_claims.json"), old.velocity()), before);
    old.check();
}

#[test]
fn the_store_and_the_old_files_may_lie_apart() {
    let old = Old::new();
    let run = |words: &[&str]| {
        Output(old.command().env("COORD_DIR", "elsewhere").args(words).output().unwrap())
    };
    run(&["claim", "bug_fix", "Mend it"]).done();
    assert!(!old.dir().join("work.jsonl").exists());
    assert!(old.env.root().join("elsewhere/work.jsonl").exists());
    assert!(!old.env.root().join("elsewhere/work_claims.json").exists());
    assert_eq!(old.file("work_claims.json")[0]["description"], "Mend it");
    // Without any variable both lie where the project's store is.
    let env = TestEnv::new();
    env.coord("compat claim bug_fix 'Mend it'").done();
    let rows = std::fs::read(env.store().join("work_claims.json")).unwrap();
    let rows: Value = serde_json::from_slice(&rows).unwrap();
    assert_eq!(
        (rows[0]["agent_id"].clone(), rows[0]["priority"].clone()),
        (json!("tester"), json!("medium"))
    );
}

#[test]
fn an_old_word_in_the_new_program_is_answered_with_the_new_one() {
    let env = TestEnv::new();
    for (word, now) in [
        ("claim-fast", "`coord work claim` now"),
        ("list-agents", "`coord agent list` now"),
        ("register", "`coord agent register` now"),
        ("pi-planning", "coord"),
        ("claude-priorities", "coord"),
    ] {
        let out = env.coord(word);
        out.fails(2, &format!("unknown command `{word}`"));
        assert!(out.err().contains(now), "{out}");
        assert!(out.err().contains(&format!("`coord compat {word}`")), "{out}");
    }
}
