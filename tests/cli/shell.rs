//! What holds for every command: help, version, usage errors, streams, colours.

use crate::env::TestEnv;

#[test]
fn the_version_names_the_commit() {
    for flag in ["--version", "-V", "--version --quiet"] {
        let out = TestEnv::bare().coord(flag);
        assert_eq!(out.code(), 0);
        let text = out.out();
        let rest = text.strip_prefix(concat!("coord ", env!("CARGO_PKG_VERSION"))).unwrap();
        assert!(rest == "\n" || (rest.starts_with(" (") && rest.ends_with(")\n")), "{text}");
    }
}

#[test]
fn help_comes_in_groups_and_topics() {
    let env = TestEnv::bare();
    let help = env.coord("--help");
    assert_eq!(help.code(), 0);
    assert!(help.out().contains("Every day:\n  add "), "{help}");
    assert_eq!(env.coord("help").out(), help.out());
    assert!(env.coord("work --help").out().contains("claim"));
    for (line, words) in [
        ("help exit-codes", "    6  nothing to do"),
        ("help environment", "COORD_DIR"),
        ("help formats", "jsonl"),
        ("help claude-rules", "The score is 90, 70, 50 or 30"),
        ("help work claim", "--lease"),
        ("work claim --help", "Examples:"),
        ("claim -h", "--wait"),
    ] {
        let out = env.coord(line);
        assert_eq!(out.code(), 0, "{out}");
        assert!(out.out().contains(words), "{out}");
    }
}

#[test]
fn a_mistake_is_named_with_what_was_meant() {
    let env = TestEnv::bare();
    env.coord("").fails(2, "a command is missing");
    env.coord("work").fails(2, "a command is missing");
    env.coord("wrok list").fails(2, "unknown command `wrok`");
    assert!(env.coord("wrok list").err().contains("did you mean `work`?"));
    assert!(env.coord("list").err().contains("`coord work list`"), "the noun was left out");
    assert!(env.coord("work clam").err().contains("did you mean `claim`?"));
    assert!(env.coord("claim --taem x").err().contains("did you mean `--team`?"));
    env.coord("claim --lease soon").fails(2, "`soon` is no value for `--lease <TIME>`");
    env.coord("claim ../x").fails(2, "`../x` is no value");
    env.coord("add x --priority hi").fails(2, "`hi` is no value");
    env.coord("claim --format xml").fails(2, "`xml` is no value");
    env.coord("claim --json --format yaml").fails(2, "does not go with");
    env.coord("help nothing").fails(2, "unknown command `nothing`");
    assert!(env.coord("help exit-code").err().contains("did you mean `coord help exit-codes`?"));
    assert!(env.coord("work").err().contains("`coord work --help` shows the commands"));
    let other = env.coord("work remove w-1");
    assert!(!other.err().contains("agent remove"), "another noun's verb is not what was meant");
    assert!(other.err().contains("`coord work --help` lists the commands"), "{other}");
    env.coord("add a b").fails(2, "unexpected argument `b`");
    assert!(!env.store().exists(), "a mistake makes no store");
}

#[test]
fn under_json_a_mistake_is_one_object() {
    let out = TestEnv::bare().coord("work clam --json");
    assert_eq!(out.code(), 2);
    let error = out.error();
    assert_eq!((error["kind"].as_str(), error["exit_code"].as_u64()), (Some("usage"), Some(2)));
    assert_eq!(error["hints"][0], "did you mean `claim`?");
}

#[test]
fn a_reader_without_a_store_says_how_to_make_one() {
    let env = TestEnv::bare();
    env.coord("status").fails(1, "no store at");
    assert!(!env.store().exists());
}

#[test]
fn a_writer_without_a_store_makes_one_and_says_so() {
    let env = TestEnv::bare();
    let out = env.coord("add One");
    assert_eq!(out.code(), 0, "{out}");
    assert!(out.err().contains("made a store at"), "{out}");
    assert!(!env.coord("add Two").err().contains("made a store"));
}

#[test]
fn a_store_that_was_just_made_can_be_read() {
    let env = TestEnv::new();
    assert_eq!(env.json("status")["total"], 0);
    assert_eq!(env.json("verify")["sound"], true);
    let log = env.log();
    assert_eq!(env.coord("init").code(), 0);
    assert_eq!(env.log(), log, "a second init changes nothing");
}

#[test]
fn a_value_that_looks_like_a_command_is_a_value() {
    let env = TestEnv::bare();
    assert_eq!(env.coord("--dir work add -q One").out(), "w-1\n");
    assert_eq!(env.coord("--dir add init --quiet").code(), 0);
    assert!(env.root().join("work").is_dir() && env.root().join("add").is_dir());
    assert_eq!(env.coord("--dir work work list -q --search claim").code(), 0);
}
