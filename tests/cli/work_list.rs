//! `coord work list`, `show`, `status`, `verify`: reading.

use crate::env::TestEnv;

fn scene() -> TestEnv {
    let env = TestEnv::new();
    env.add("'Fix the Login' --priority high --team core --type bug --label ui --label api");
    env.add("'Write the docs' --priority low --team docs --points 5");
    env.add("Release --needs w-1 --points 8");
    env.add("Kept --assignee nova --label ui");
    assert_eq!(env.coord("claim w-2 --agent nova").code(), 0);
    env.add("Finished");
    assert_eq!(env.coord("claim w-5 --agent zed").code(), 0);
    assert_eq!(env.coord("complete w-5 --agent zed").code(), 0);
    env
}

#[test]
fn filters_and_orders() {
    let env = scene();
    let list = |flags: &str| env.coord(&format!("work list -q {flags}")).out().replace('\n', " ");
    assert_eq!(list(""), "w-1 w-3 w-4 w-2 ");
    assert_eq!(list("--all"), "w-1 w-3 w-4 w-5 w-2 ");
    assert_eq!(list("--ready"), "w-1 w-4 ");
    assert_eq!(list("--blocked"), "w-3 ");
    assert_eq!(list("--dead"), "");
    assert_eq!(list("--status active --status done"), "w-5 w-2 ");
    assert_eq!(list("--team core"), "w-1 ");
    assert_eq!(list("--type bug"), "w-1 ");
    assert_eq!(list("--label ui"), "w-1 w-4 ");
    assert_eq!(list("--label ui --label api"), "w-1 ");
    assert_eq!(list("--priority low --priority high"), "w-1 w-2 ");
    assert_eq!(list("--agent nova"), "w-4 w-2 ");
    assert_eq!(list("--mine"), "");
    assert_eq!(list("--search LOGIN"), "w-1 ");
    assert_eq!(list("--sort created"), "w-1 w-2 w-3 w-4 ");
    assert_eq!(list("--sort created --reverse"), "w-4 w-3 w-2 w-1 ");
    assert_eq!(list("--sort points"), "w-3 w-2 w-1 w-4 ");
    assert_eq!(list("--limit 2"), "w-1 w-3 ");
    env.coord("work list --limit 0").fails(2, "expected a whole number above 0");
    env.coord("work list --limit -1").fails(2, "expected a whole number above 0");
    env.coord("work list --status open").fails(2, "`open` is no value");
    env.coord("work list --sort age").fails(2, "expected one of `priority`");
    env.coord("work list --mine --agent x").fails(2, "does not go with");
}

#[test]
fn every_format_says_the_same() {
    let env = scene();
    let tsv = env.coord("work list").out();
    assert_eq!(tsv.lines().next().unwrap(), "w-1\tpending\thigh\t\t0\tcore\tbug\tFix the Login");
    assert_eq!(env.coord("work list --format tsv").out(), tsv);
    let json = env.json("work list");
    assert_eq!((&json["shown"], &json["total"]), (&4.into(), &4.into()));
    let lines = env.coord("work list --format jsonl").out();
    let ids: Vec<String> = lines
        .lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            row["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(ids, ["w-1", "w-3", "w-4", "w-2"]);
    assert!(env.coord("work list --format yaml").out().contains("title: Fix the Login"));
    let cut = env.json("work list --limit 1");
    assert_eq!((&cut["shown"], &cut["total"]), (&1.into(), &4.into()));
    assert_eq!(TestEnv::new().json("work list")["items"], serde_json::json!([]));
}

#[test]
fn an_item_is_shown_with_its_neighbours_and_its_history() {
    let env = scene();
    let item = env.json("work show w-1");
    assert_eq!(item["waited_for_by"][0]["id"], "w-3");
    assert_eq!(item["events"][0]["verb"], "add");
    let waits = env.json("work show w-3");
    assert_eq!(waits["waits_for"][0]["title"], "Fix the Login");
    let text = env.coord("work show w-1").out();
    assert!(text.contains("Waited for by\n  w-3  blocked  Release"), "{text}");
    env.coord("work show w").fails(1, "`w` fits more than one item");
    env.coord("work show x").fails(1, "no work item `x`");
    env.coord("work show a/b").fails(2, "it holds '/'");
}

#[test]
fn the_status_sums_up() {
    let env = scene();
    let status = env.json("status");
    for (field, count) in [("total", 5), ("pending", 2), ("active", 1), ("blocked", 1), ("done", 1)]
    {
        assert_eq!(status[field], count, "{field}");
    }
    assert_eq!(status["agents"]["at_work"], 1);
    assert_eq!(status["oldest_ready"]["id"], "w-1");
    let text = env.coord("status").out();
    assert!(text.starts_with("5 items: 2 ready, 1 active, 1 blocked, 1 done"), "{text}");
    assert!(text.contains("longest ready in this store: w-1 "), "{text}");
    let none = TestEnv::new().coord("status").out();
    assert_eq!(none, "no work recorded\nno agents recorded\n");
}

#[test]
fn a_change_by_hand_is_found() {
    let env = scene();
    assert_eq!(env.json("verify")["sound"], true);
    let log = String::from_utf8(env.log()).unwrap();
    env.write(".coord/work.jsonl", &log.replace("Write the docs", "Write no docs"));
    let out = env.coord("verify");
    assert_eq!(out.code(), 10, "{out}");
    assert!(out.out().contains("problem: "), "{out}");
    assert!(out.err().contains("hint: "), "{out}");
}

#[test]
fn a_broken_line_stops_writing_until_it_is_moved_aside() {
    let env = scene();
    let log = String::from_utf8(env.log()).unwrap();
    let mut lines: Vec<&str> = log.lines().collect();
    lines[3] = "{\"n\":3,\"id\":\"w-";
    env.write(".coord/work.jsonl", &format!("{}\n", lines.join("\n")));
    let before = env.log();
    env.coord("add More").fails(5, "the log is damaged");
    env.coord("claim").fails(5, "`coord verify --repair`");
    assert_eq!(env.log(), before);
    // Reading goes on, and tells that it may lack something, once and whatever the index is worth.
    let told = "warning: the log is damaged in 1 place: ";
    for line in ["work list --all", "status", "telemetry report", "kpi report", "agent list"] {
        let out = env.coord(line);
        assert_eq!((out.code(), out.err().matches(told).count()), (0, 1), "{line}: {out}");
    }
    std::fs::remove_dir_all(env.store().join(".index")).unwrap();
    assert!(env.coord("work list").err().contains(told));
    let log = env.coord("health --json").data()["checks"].clone();
    let log = log.as_array().unwrap().iter().find(|row| row["check"] == "log").unwrap().clone();
    assert_eq!(log["level"], "fail", "{log}");
    assert_eq!(env.coord("verify").code(), 10);
    let out = env.coord("verify --repair");
    assert!(out.out().contains("repaired: "), "{out}");
    assert_eq!(env.coord("add More").code(), 0);
    assert!(!env.coord("work list").err().contains("damaged"));
    assert!(env.store().join("quarantine.jsonl").exists());
}

#[test]
fn watching_shows_each_change() {
    use std::io::BufRead as _;
    let env = scene();
    let mut cmd = env.command();
    cmd.args(["work", "list", "--ready", "-q", "--watch"]).stdout(std::process::Stdio::piped());
    let mut child = cmd.spawn().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!([next(), next()], ["w-1", "w-4"]);
    assert_eq!(env.coord("claim w-1").code(), 0);
    assert_eq!(next(), "w-4");
    child.kill().unwrap();
    child.wait().unwrap();
    env.coord("work list --watch --format yaml").fails(2, "does not go with YAML");
}
