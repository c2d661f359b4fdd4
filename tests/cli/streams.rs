//! What holds for the streams: pipes that close, full disks, closed descriptors, colours, settings.

use crate::env::TestEnv;

fn full() -> TestEnv {
    let env = TestEnv::new();
    let input = "{\"title\":\"One of many\"}\n".repeat(5_000);
    assert_eq!(env.feed("add -q", &input).code(), 0);
    env
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let env = full();
    for format in ["table", "json", "jsonl", "tsv", "yaml"] {
        let line =
            format!("$COORD work list --format {format} | head -n 1; echo ${{PIPESTATUS[0]}}");
        let out = env.shell(&line);
        assert_eq!(out.out().lines().last().unwrap(), "0", "{format}: {out}");
        assert_eq!(out.err(), "", "{format}");
    }
}

#[test]
fn a_full_disk_is_told() {
    let env = full();
    for line in ["work list", "work list --json", "--help", "--version", "help formats", "status"] {
        let out = env.shell(&format!("$COORD {line} > /dev/full"));
        assert_eq!(out.code(), 5, "{line}: {out}");
        assert!(out.err().contains("cannot write the answer"), "{line}: {out}");
    }
}

#[test]
fn an_answer_that_is_lost_after_a_change_can_be_had_again() {
    let env = full();
    for line in ["add x", "claim", "claim -q", "add x --json", "work add x"] {
        let out = env.shell(&format!("$COORD {line} > /dev/full"));
        assert_eq!(out.code(), 9, "{line}: {out}");
        assert!(out.err().contains("--op-id op-"), "{line}: {out}");
    }
    let out = env.shell(
        "$COORD claim w-9 -q --agent nova; $COORD work release w-9 --agent nova > /dev/full",
    );
    assert_eq!(out.code(), 9, "{out}");
    let out = env.shell("$COORD claim -q --op-id once > /dev/full; $COORD claim -q --op-id once");
    let before = env.json("status")["active"].clone();
    assert!(out.out().starts_with("w-"), "{out}");
    let again = env.shell("$COORD claim -q --op-id once");
    assert_eq!(again.out(), out.out());
    assert_eq!(env.json("status")["active"], before);
}

#[test]
fn a_change_that_no_operation_id_repeats_is_told_as_one() {
    let env = TestEnv::new();
    env.add("One");
    env.add("Two");
    for line in ["alert silence claude-success-low --for 1h --reason x", "alert check"] {
        let out = env.shell(&format!("$COORD {line} > /dev/full"));
        assert_eq!(out.code(), 9, "{line}: {out}");
        assert!(out.err().contains("`coord alert list`"), "{line}: {out}");
    }
    let out = env.shell("$COORD alert list > /dev/full");
    assert_eq!(out.code(), 5, "{out}");
    let log = String::from_utf8(env.log()).unwrap();
    env.write(".coord/work.jsonl", &log.replace("{\"n\":1,", "{\"n\":1,,"));
    let out = env.shell("$COORD verify --repair > /dev/full");
    assert_eq!(out.code(), 9, "{out}");
    assert!(out.err().contains("tells what was repaired"), "{out}");
    let out = env.shell("$COORD verify --repair > /dev/full");
    assert_eq!(out.code(), 5, "nothing was changed this time: {out}");
}

#[test]
fn who_only_looked_has_changed_nothing() {
    let env = TestEnv::new();
    let script = "$COORD lock run x -- sh -c '$COORD lock list --json > /dev/full'";
    let out = env.shell(script);
    assert_eq!(out.code(), 5, "{out}");
    assert!(!out.err().contains("change was made"), "{out}");
}

#[test]
fn closed_streams_do_no_harm() {
    let env = full();
    let out = env.shell("$COORD claim 0<&- 1>&-");
    assert_eq!((out.code(), out.out().as_str()), (0, ""), "{out}");
    let out = env.shell("$COORD claim -q 0<&- 2>&-");
    assert_eq!((out.code(), out.out().as_str()), (0, "w-2\n"), "{out}");
    let out = env.shell("$COORD claim no-such 0<&- 1>&- 2>&-");
    assert_eq!(out.code(), 1);
    assert_eq!(env.json("verify")["sound"], true);
    env.shell("$COORD add 0<&-").0.status.code().unwrap();
    assert_eq!(env.json("status")["total"], 5_000);
}

#[test]
fn colour_is_where_it_was_asked_for() {
    let env = TestEnv::new();
    env.add("One");
    let coloured = |line: &str| env.shell(line).out().contains('\x1b');
    assert!(!coloured("$COORD work show w-1"));
    assert!(coloured("$COORD work show w-1 --color always"));
    assert!(coloured("CLICOLOR_FORCE=1 $COORD work show w-1"));
    assert!(!coloured("NO_COLOR=1 CLICOLOR_FORCE=1 $COORD work show w-1"));
    assert!(coloured("NO_COLOR=1 COORD_COLOR=always $COORD work show w-1"));
    assert!(!coloured("COORD_COLOR=always $COORD work show w-1 --color never"));
    assert!(coloured("$COORD --help --color always"));
    assert!(!coloured("$COORD --help"));
}

#[test]
fn what_others_wrote_cannot_act_on_a_terminal() {
    let env = TestEnv::new();
    let title = "{\"title\":\"a\\u001b]0;owned\\u0007b\\u202e\\nc\"}\n";
    assert_eq!(env.feed("add", title).code(), 0);
    for line in ["work list", "work show w-1", "claim", "status"] {
        let out = env.coord(line).out();
        let fine = |c: char| c == '\n' || c == '\t' || !(c.is_control() || c == '\u{202e}');
        assert!(out.chars().all(fine), "{line}: {out:?}");
    }
}

#[test]
fn json_goes_through_jq() {
    let env = TestEnv::new();
    env.add("One");
    let out = env.shell("$COORD work list --json | jq -r '.data.items[0].id'");
    // Where jq is not installed, the parser of the other tests has to do.
    if out.code() != 127 {
        assert_eq!(out.out(), "w-1\n");
    }
    assert_eq!(env.json("work list")["items"][0]["id"], "w-1");
}

#[test]
fn settings_come_from_the_project_and_the_environment() {
    let env = TestEnv::new();
    env.write(".coord/config.toml", "[work]\nlease = \"5m\"\nmax-attempts = 2\nleas = 1\n");
    let out = env.coord("add One --json");
    assert!(out.err().contains("did you mean `work.lease`?"), "{out}");
    assert_eq!(out.data()["items"][0]["max_attempts"], 2);
    assert!(env.json("claim")["lease_left_s"].as_u64().unwrap() <= 300);
    env.write(".coord/config.toml", "[work]\nlease = 5\n");
    env.coord("claim").fails(3, "line 2: `work.lease`: expected a string");
    env.write(".coord/config.toml", "[work\n");
    env.coord("claim").fails(3, "line 1: ");
}

#[test]
fn the_state_directory_is_where_it_was_said() {
    let env = TestEnv::new();
    let out =
        env.shell("mkdir -p deep/er && cd deep/er && $COORD add -q One && $COORD -q work list");
    assert_eq!(out.out(), "w-1\nw-1\n", "{out}");
    let out = env.shell("COORD_DIR=other $COORD add -q Two && ls other/work.jsonl");
    assert_eq!(out.out(), "w-1\nother/work.jsonl\n", "{out}");
    let out = env.shell("COORD_DIR=other $COORD --dir third add -q Three && ls third/work.jsonl");
    assert_eq!(out.code(), 0, "{out}");
    let out = env.shell("ln -s third fourth && $COORD --dir /dev/null status");
    out.fails(5, "/dev/null");
}
