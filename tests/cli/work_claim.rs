//! `coord work claim`.

use crate::env::TestEnv;

#[test]
fn the_best_ready_item_comes_first() {
    let env = TestEnv::new();
    env.add("Low --priority low");
    let high = env.add("High --priority high");
    env.add("Older");
    env.add(&format!("Urgent --priority critical --needs {high}"));
    assert_eq!(env.coord("claim -q").out(), "w-2\n");
    assert_eq!(env.coord("claim -q").out(), "w-3\n");
    assert_eq!(env.coord("claim -q").out(), "w-1\n");
    env.coord("claim -q").fails(6, "nothing to do: none of the 4 open items");
    assert_eq!(env.coord("complete w-2").code(), 0);
    assert_eq!(env.coord("claim -q").out(), "w-4\n");
}

#[test]
fn an_empty_queue_is_exit_code_6() {
    let env = TestEnv::new();
    env.coord("claim").fails(6, "the queue is empty");
    let out = env.coord("claim --json");
    assert_eq!((out.code(), out.error()["kind"].as_str()), (6, Some("empty")));
}

#[test]
fn the_claim_is_shown_whole() {
    let env = TestEnv::new();
    env.add("One --type bug");
    let item = env.json("claim --lease 1h --agent nova");
    assert_eq!(item["id"], "w-1");
    assert_eq!(item["agent"], "nova");
    assert_eq!(item["status"], "active");
    assert_eq!(item["attempt"], 1);
    assert!(item["token"].as_u64().unwrap() > 0);
    assert!((3590..=3600).contains(&item["lease_left_s"].as_u64().unwrap()));
    assert_eq!(item["repeated"], false);
}

#[test]
fn wishes_narrow_it_and_a_name_is_exact_or_a_beginning() {
    let env = TestEnv::new();
    env.add("One --team core --type bug --label ui --id alpha-1");
    env.add("Two --team edge --capability rust --id beta-1");
    env.add("Three --team core --id beta-2");
    env.coord("claim --team none").fails(6, "nothing to do");
    env.coord("claim --type chore").fails(6, "nothing to do");
    env.coord("claim --label ui --label api").fails(6, "nothing to do");
    env.coord("claim --team edge").fails(6, "nothing to do");
    assert_eq!(env.coord("claim -q --team edge --capability rust").out(), "beta-1\n");
    env.coord("claim beta").fails(1, "`beta` fits more than one item");
    env.coord("claim gamma").fails(1, "no work item `gamma`");
    assert!(env.coord("claim alpha-2").err().contains("did you mean `alpha-1`?"));
    assert_eq!(env.coord("claim -q al").out(), "alpha-1\n");
    env.coord("claim alpha-1 --agent nova").fails(4, "is held by `tester`");
}

#[test]
fn waiting_ends_when_there_is_something_or_when_it_is_over() {
    let env = TestEnv::new();
    let started = std::time::Instant::now();
    let waited = env.coord("claim --wait 300ms");
    waited.fails(6, "the queue is empty, after 300ms of waiting");
    assert!(!waited.err().contains("waits until there is something"), "{waited}");
    let at_once = env.coord("claim");
    assert!(at_once.err().contains("`--wait` waits until there is something"), "{at_once}");
    assert!(started.elapsed().as_millis() >= 300);
    let mut waiting = env.command();
    waiting.args(["claim", "-q", "--wait", "60s"]).stdout(std::process::Stdio::piped());
    let child = waiting.spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    env.add("Late");
    let out = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(out.stdout).unwrap(), "w-1\n");
    assert!(started.elapsed().as_secs() < 30);
}

#[test]
fn a_lease_that_ran_out_is_taken_by_who_waits() {
    let env = TestEnv::new();
    env.add("One");
    assert_eq!(env.coord("claim -q --agent gone --lease 300ms").out(), "w-1\n");
    assert_eq!(env.coord("claim -q --agent next --wait 20s").out(), "w-1\n");
    env.coord("complete w-1 --agent gone").fails(4, "is held by `next`");
    assert_eq!(env.json("work show w-1")["attempt"], 2);
}

#[test]
fn wrong_use_is_refused() {
    let env = TestEnv::new();
    env.coord("claim --lease 0").fails(2, "a lease of no length");
    env.coord("claim --lease 99999d").fails(2, "it is too long");
    env.coord("claim --agent -x").fails(2, "unexpected argument `-x`");
    env.coord("claim --agent a:b").fails(2, "it holds ':'");
    let out =
        crate::env::Output(env.command().arg("claim").env("COORD_AGENT", "a b").output().unwrap());
    out.fails(3, "`COORD_AGENT` is `a b`");
}
