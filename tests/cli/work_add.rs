//! `coord work add`.

use crate::env::TestEnv;

#[test]
fn one_item_with_everything() {
    let env = TestEnv::new();
    let first = env.add("First");
    let line = format!(
        "work add ' Fix the login ' --type bug --priority high --team core --label ui --label ui \
         --label api --capability rust --points 5 --estimate 2h --needs {first} --description \
         'At length' --assignee nova --max-attempts 7 --key k-1 --id login"
    );
    let data = env.json(&line);
    assert_eq!((&data["added"], &data["existing"]), (&1.into(), &0.into()));
    let item = &data["items"][0];
    for (field, value) in [
        ("id", "login".into()),
        ("status", "blocked".into()),
        ("title", "Fix the login".into()),
        ("type", "bug".into()),
        ("priority", "high".into()),
        ("team", "core".into()),
        ("labels", serde_json::json!(["api", "ui"])),
        ("capabilities", serde_json::json!(["rust"])),
        ("points", 5.into()),
        ("estimate_s", 7200.into()),
        ("needs", serde_json::json!([first])),
        ("open_needs", 1.into()),
        ("description", "At length".into()),
        ("assignee", "nova".into()),
        ("max_attempts", 7.into()),
        ("key", "k-1".into()),
        ("agent", serde_json::Value::Null),
        ("lease_until", serde_json::Value::Null),
    ] {
        assert_eq!(item[field], value, "{field}");
    }
    let before = env.log();
    let again = env.json("work add Other --key k-1");
    assert_eq!((&again["added"], &again["existing"]), (&0.into(), &1.into()));
    assert_eq!(again["items"][0]["id"], "login");
    assert_eq!(env.log(), before);
}

#[test]
fn many_from_standard_input_all_or_nothing() {
    let env = TestEnv::new();
    let input = "{\"title\":\"One\",\"key\":\"a\"}\n\n{\"title\":\"Two\",\"needs\":[\"a\"]}\n";
    let out = env.feed("add", input);
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.out().lines().count(), 2);
    let yaml = env.feed("add --format yaml", "- title: Three\n- title: Four\n  priority: low\n");
    assert_eq!(yaml.code(), 0, "{yaml}");
    assert_eq!(env.feed("add --input yaml -q", "title: Five\n").out(), "w-5\n");
    assert_eq!(env.json("status")["total"], 5);

    let before = env.log();
    for (line, input, words) in [
        ("add", "{\"title\":\"x\"}\n{\"titel\":\"y\"}\n", "line 2: unknown field `titel`"),
        ("add", "{\"title\":\"x\"}\n{\"title\":5}\n", "line 2, field `title`: "),
        ("add", "{\"title\":\"x\",\"points\":-1}\n", "line 1, field `points`: "),
        ("add", "{\"title\":\"x\",\"priority\":\"hi\"}\n", "line 1, field `priority`: "),
        ("add", "{\"title\":\"x\",\"id\":\"../x\"}\n", "line 1, field `id`: "),
        ("add", "{\"title\":\"x\"\n", "line 1, column "),
        ("add", "[1]\n", "line 1: it is not an object"),
        ("add", "{\"title\":\"  \"}\n", "line 1: the title is empty"),
        ("add", "{\"title\":\"x\",\"points\":9999999}\n", "line 1: `points` is 9999999"),
        ("add --input yaml", "- title: x\n  titel: y\n", "item 1: unknown field `titel`"),
        ("add --input yaml", "- &a {title: x}\n- *a\n", "no YAML that is accepted"),
        ("add --priority low", "{\"title\":\"x\"}\n", "a title is missing"),
    ] {
        env.feed(line, input).fails(2, words);
        assert_eq!(env.log(), before, "{input}");
    }
    let deep = format!("{{\"title\":{}{}}}\n", "[".repeat(65), "]".repeat(65));
    env.feed("add", &deep).fails(2, "nested deeper than 64");
    let large = format!("{{\"title\":\"x\",\"description\":\"{}\"}}\n", "x".repeat(1 << 20));
    env.feed("add", &large).fails(2, "at most 1048576 are allowed");
    env.feed("add --input yaml", &" ".repeat((1 << 20) + 1)).fails(2, "more than 1 MiB");
    assert_eq!(env.log(), before);
}

#[test]
fn ten_thousand_in_one_transaction() {
    let env = TestEnv::new();
    let input: String = "{\"title\":\"One of many\"}\n".repeat(10_000);
    let out = env.feed("add -q", &input);
    assert_eq!(out.code(), 0);
    assert_eq!(out.out().lines().count(), 10_000);
    assert_eq!(env.json("status")["pending"], 10_000);
    let bad = format!("{input}{{\"title\":\"\"}}\n");
    env.feed("add -q", &bad).fails(2, "line 10001: the title is empty");
    assert_eq!(env.json("status")["pending"], 10_000);
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let env = TestEnv::new();
    env.add("First --id first");
    let before = env.log();
    env.coord("add x --needs nothing").fails(1, "which does not exist");
    env.coord("add x --id first").fails(1, "there is a work item `first` already");
    env.coord("add x --id x --needs x").fails(1, "a dependency cycle");
    env.coord("add ''").fails(2, "the title is empty");
    env.coord("add x --points 1000001").fails(2, "expected a whole number");
    env.coord("add x --points -1").fails(2, "expected a whole number");
    env.coord("add x --max-attempts 0").fails(2, "`max_attempts` is 0");
    env.coord("add x --label a/b").fails(2, "it holds '/'");
    env.coord("add x --key ''").fails(2, "`key`");
    env.coord(&format!("add {}", "x".repeat(1001))).fails(2, "1001 characters");
    assert_eq!(env.log(), before);
    let cycle = "{\"title\":\"a\",\"id\":\"a\",\"needs\":[\"b\"]}\n\
                 {\"title\":\"b\",\"id\":\"b\",\"needs\":[\"a\"]}\n";
    env.feed("add", cycle).fails(1, "a dependency cycle");
    assert_eq!(env.log(), before);
}

#[test]
fn the_same_operation_is_done_once() {
    let env = TestEnv::new();
    assert_eq!(env.coord("add -q One --op-id op-1").out(), "w-1\n");
    assert_eq!(env.coord("add -q One --op-id op-1").out(), "w-1\n");
    assert_eq!(env.json("status")["total"], 1);
    env.coord("claim --op-id op-1").fails(2, "was used for");
}
