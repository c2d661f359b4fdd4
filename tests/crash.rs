//! Processes that die or whose system calls fail at every point: what was acknowledged stays, what
//! was not is wholly there or not at all, and the next command works.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::disallowed_methods, reason = "tests stand outside the program")]

#[path = "proof/plan.rs"]
mod plan;
#[path = "proof/power.rs"]
mod power;
mod proof;
#[path = "proof/strace.rs"]
mod strace;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use plan::{Planned, VERBS, answer, repeat, stock};
use power::{Disk, cuts};
use proof::history::{Played, Seen, check};
use proof::{Dice, Place, Ran, full, log_lines, report, seed};
use strace::{At, interfere, watch};

/// The calls that touch files, and `flock`.
const CALLS: [&str; 20] = [
    "openat2",
    "openat",
    "read",
    "pread64",
    "write",
    "pwrite64",
    "newfstatat",
    "statx",
    "flock",
    "fdatasync",
    "fsync",
    "rename",
    "renameat",
    "renameat2",
    "ftruncate",
    "mkdirat",
    "unlinkat",
    "close",
    "fchmod",
    "getdents64",
];

/// Kills one kind of operation at each of one system call, always a fresh one, in one store.
fn kill_at(
    kind: (&'static str, &str),
    call: &str,
    variant: &str,
    dice: &mut Dice,
) -> (usize, Vec<String>) {
    let (verb, kind) = kind;
    let place = Place::new();
    stock(&place, 60);
    let (mut kills, mut wrong, mut history) = (0, Vec::new(), Vec::new());
    // The short campaigns take each place where others have been before with a chance of a fifth.
    let all = variant.is_empty() || full();
    for nth in 1.. {
        if !all && dice.throw(5) > 0 && nth < 12 {
            continue;
        }
        let planned = Planned::new(&place, verb, kind, &format!("{kind}-{call}-{nth}"));
        if variant == "index-lost" {
            std::fs::remove_dir_all(place.store().join(".index")).unwrap();
        }
        let at = At { call, what: "signal=KILL", nth, on: false };
        let (first, came) = interfere(&place, at, &planned.args, &planned.input);
        if !came {
            if first.code != 0 {
                wrong.push(format!("{} undisturbed: {first:?}", planned.op));
            }
            history.push(planned.seen(first));
            break;
        }
        kills += 1;
        if variant == "twice" {
            let call = CALLS[usize::try_from(dice.throw(CALLS.len() as u64)).unwrap()];
            let nth = 1 + u32::try_from(dice.throw(8)).unwrap();
            let at = At { call, what: "signal=KILL", nth, on: false };
            kills += usize::from(interfere(&place, at, &planned.args, &planned.input).1);
        }
        match nth % 3 {
            0 => wrong.extend(place.verify()),
            1 => {
                let status = place.run(&["status", "--json"]);
                if status.code != 0 {
                    wrong.push(format!("reading after {}: {status:?}", planned.op));
                }
            }
            _ => {}
        }
        history.push(repeat(&place, planned, &first, &mut wrong));
    }
    let played = Played::new(&log_lines(&place.store()));
    wrong.extend(check(&played, &history));
    wrong.extend(played.differs(&place));
    wrong.extend(place.verify());
    (kills, wrong)
}

/// Kills every kind of operation everywhere.
fn sweep(name: &str, variant: &str) {
    strace::needed();
    let seed = seed();
    let (mut kills, mut wrong, mut dice) = (0, Vec::new(), Dice(seed));
    for kind in VERBS {
        for call in CALLS {
            let (more, bad) = kill_at(kind, call, variant, &mut dice);
            kills += more;
            wrong.extend(bad.into_iter().map(|bad| format!("{}: {bad}", kind.1)));
        }
    }
    report(name, kills, &wrong, seed);
}

#[test]
fn killed_at_every_system_call() {
    sweep("kill-at-every-call", "");
}

#[test]
fn killed_at_every_system_call_of_a_rebuild() {
    sweep("kill-at-every-call-of-a-rebuild", "index-lost");
}

#[test]
fn killed_again_while_recovering() {
    sweep("kill-while-recovering", "twice");
}

/// Clients that are killed at any moment, and everything that is wrong afterwards.
fn kill_clients(place: &Place, clients: u64, each: u64, seed: u64) -> (usize, Vec<String>) {
    let all = Mutex::new((0, Vec::new(), Vec::new()));
    std::thread::scope(|scope| {
        for number in 0..clients {
            let all = &all;
            scope.spawn(move || {
                let (kills, history, wrong) = doomed(place, number, each, seed);
                let mut all = all.lock().unwrap();
                all.0 += kills;
                all.1.extend(history);
                all.2.extend(wrong);
            });
        }
    });
    let (kills, history, mut wrong) = all.into_inner().unwrap();
    let played = Played::new(&log_lines(&place.store()));
    wrong.extend(check(&played, &history));
    wrong.extend(played.differs(place));
    wrong.extend(place.verify());
    (kills, wrong)
}

/// One client whose every process may be killed.
fn doomed(place: &Place, number: u64, each: u64, seed: u64) -> (usize, Vec<Seen>, Vec<String>) {
    let mut dice = Dice(seed ^ (number << 32));
    let agent = format!("doomed-{number}");
    let (mut kills, mut history, mut wrong) = (0, Vec::new(), Vec::new());
    let mut held: Vec<String> = Vec::new();
    // How long a process lives if it is let live: the aim is at all of it.
    let mut span = Duration::from_millis(10);
    for i in 0..each {
        let (verb, kind) = VERBS[usize::try_from(dice.throw(6)).unwrap()];
        let needs = matches!(verb, "progress" | "complete" | "release");
        let (verb, kind) = if needs && held.is_empty() { ("claim", "claim") } else { (verb, kind) };
        let target = needs.then(|| held.last().cloned()).flatten();
        let op = format!("d{number}-{i}");
        let planned = Planned::of(verb, kind, &op, &agent, target);
        let mut cmd = place.seal(env!("CARGO_BIN_EXE_coord"));
        cmd.args(&planned.args).stdin(std::process::Stdio::piped());
        let call = place.now();
        let mut child = cmd.spawn().unwrap();
        let input = planned.input.clone();
        let mut pipe = child.stdin.take().unwrap();
        let _ = std::io::Write::write_all(&mut pipe, input.as_bytes());
        drop(pipe);
        std::thread::sleep(span * u32::try_from(dice.throw(130)).unwrap() / 100);
        let _ = child.kill();
        let first = place.end(child, call);
        if first.code < 0 {
            kills += 1;
        } else {
            span = (span * 7 + first.ret.saturating_sub(first.call).min(span * 3)) / 8;
        }
        // Half of those whose fate is unknown are asked for it, the others are left as they are.
        let one = if first.code < 0 && dice.throw(2) == 0 {
            planned.seen(first)
        } else {
            repeat(place, planned, &first, &mut wrong)
        };
        if let Some(id) = one.item()["id"].as_str().filter(|_| one.acked()).map(str::to_owned) {
            match verb {
                "claim" => held.push(id),
                "complete" | "release" => held.retain(|own| *own != id),
                _ => {}
            }
        } else if verb != "claim" {
            // What became of it is not known, so neither is whether the item is still held.
            held.retain(|own| Some(own) != one.target.as_ref());
        }
        history.push(one);
    }
    (kills, history, wrong)
}

#[test]
fn killed_at_any_moment() {
    let (seed, goal) = (seed(), if full() { 10_000 } else { 150 });
    let (mut kills, mut wrong, mut round) = (0, Vec::new(), 0);
    while kills < goal && round < 2_000 {
        let place = Place::new();
        stock(&place, 100);
        let (more, bad) = kill_clients(&place, 8, 16, seed.wrapping_add(round));
        kills += more;
        wrong.extend(bad);
        round += 1;
    }
    assert!(kills >= goal, "only {kills} processes were hit");
    report("kill-at-any-moment", kills, &wrong, seed);
}

/// The log cut at every byte of its end: what stands before the cut is there, the rest is not.
#[test]
fn torn_at_every_byte() {
    let place = Place::new();
    stock(&place, 3);
    for kind in ["add", "claim", "progress"] {
        let planned = Planned::new(&place, kind, kind, &format!("whole-{kind}"));
        assert_eq!(planned.run(&place).code, 0);
    }
    let log = place.store().join("work.jsonl");
    let whole = std::fs::read(&log).unwrap();
    let ends: Vec<usize> =
        whole.iter().enumerate().filter(|b| *b.1 == b'\n').map(|b| b.0 + 1).collect();
    let from = ends[ends.len() - 3];
    let (mut n, mut wrong) = (0, Vec::new());
    for cut in (from..whole.len()).filter(|cut| {
        let near = ends.iter().any(|end| end.abs_diff(*cut) < 8);
        near || full() || cut % 5 == from % 5
    }) {
        std::fs::write(&log, &whole[..cut]).unwrap();
        // Nothing that is known of the boot before a power cut counts after it. Within one boot the
        // index would know that a whole line is missing.
        std::fs::remove_dir_all(place.store().join(".index")).unwrap();
        let _ = std::fs::remove_file(place.store().join("checked.json"));
        n += 1;
        let kept = ends.iter().copied().filter(|end| *end <= cut + 1).max().unwrap();
        let first = if cut % 2 == 0 {
            place.run(&["status", "--json"])
        } else {
            place.run(&["claim", "--json"])
        };
        if first.code != 0 && first.code != 6 {
            wrong.push(format!("cut at {cut}: {first:?}"));
        }
        let add = place.run(&["add", "next", "--json"]);
        let now = std::fs::read(&log).unwrap();
        // A last line that lacks nothing but its line break is a line.
        if add.code != 0 || now[..kept] != whole[..kept] {
            wrong.push(format!("cut at {cut}: {add:?}"));
        }
        let behind = String::from_utf8_lossy(&now[kept..]).into_owned();
        let due = 1 + usize::from(cut % 2 == 1 && first.code == 0);
        if behind.lines().count() != due {
            wrong.push(format!("cut at {cut}: {behind}"));
        }
        wrong.extend(place.verify());
    }
    report("torn-at-every-byte", n, &wrong, 0);
}

/// An operation during which the power is cut at every point that matters, and what is lost by it:
/// all that was acknowledged before, and the operation itself once its answer is out.
fn power(
    place: &Place,
    disk: Disk,
    planned: &Planned,
    before: &[(String, String)],
) -> (usize, Vec<String>) {
    let (ran, trace) = watch(place, &planned.args, &planned.input, None);
    let mut wrong = Vec::new();
    if ran.code != 0 {
        wrong.push(format!("{ran:?}"));
    }
    let told = answer(planned, &ran);
    let mut n = 0;
    let answered = cuts(disk, &trace, &mut |image, out| {
        n += 1;
        let lines = log_lines(&image.store());
        let held: BTreeSet<_> =
            lines.iter().map(|line| (line["id"].to_string(), line["n"].to_string())).collect();
        for one in before.iter().filter(|one| !held.contains(one)) {
            wrong.push(format!("{} during {} lost {one:?}", n, planned.op));
        }
        // Before the first write there is nothing to verify, and `verify` says so; what was acknowledged
        // is looked for above and below.
        if image.store().join("work.jsonl").exists() {
            wrong.extend(image.verify());
        }
        if out {
            let again = planned.run(&image);
            if again.data()["repeated"] != true || answer(planned, &again) != told {
                wrong.push(format!("{} was acknowledged and is lost: {again:?}", planned.op));
            }
        }
    });
    if !answered {
        wrong.push(format!("{} gave no answer", planned.op));
    }
    (n, wrong)
}

/// What the log holds, as `power` wants it.
fn held(place: &Place) -> Vec<(String, String)> {
    let lines = log_lines(&place.store());
    let items = lines.iter().filter(|line| line["id"].is_string());
    items.map(|line| (line["id"].to_string(), line["n"].to_string())).collect()
}

/// Every operation under power cuts, with bugs or without.
fn power_cuts(plant: &'static str) -> Vec<(String, usize, Vec<String>)> {
    strace::needed();
    let mut all = Vec::new();
    for (verb, kind) in VERBS {
        let place = Place::planted(plant);
        if plant.is_empty() {
            stock(&place, 5);
        } else {
            // What was there before is durable, also where the bug is.
            for _ in 0..5 {
                place.run(&["add", "title"]);
            }
        }
        let planned = Planned::new(&place, verb, kind, kind);
        let (n, wrong) = power(&place, Disk::new(place.root()), &planned, &held(&place));
        all.push((kind.to_owned(), n, wrong));
    }
    let bare = Place::bare(plant);
    let planned = Planned::new(&bare, "add", "add", "first");
    let (n, wrong) = power(&bare, Disk::new(bare.root()), &planned, &[]);
    all.push(("the first operation".to_owned(), n, wrong));
    // Its writer dies before it waits for the disk, and whoever repeats it finds it done.
    let place = Place::planted(plant);
    stock(&place, 1);
    let mut disk = Disk::new(place.root());
    let planned = Planned::new(&place, "claim", "claim", "repeated");
    let kill = Some("fdatasync:signal=KILL");
    disk.play(&watch(&place, &planned.args, &planned.input, kill).1);
    let (n, wrong) = power(&place, disk, &planned, &[]);
    all.push(("a repetition".to_owned(), n, wrong));
    all
}

#[test]
fn no_power_cut_takes_what_was_acknowledged() {
    let (mut n, mut wrong) = (0, Vec::new());
    for (kind, more, bad) in power_cuts("") {
        n += more;
        wrong.extend(bad.into_iter().map(|bad| format!("{kind}: {bad}")));
    }
    report("power-cuts", n, &wrong, 0);
}

/// Without the wait for the disk every single answer is a lie, and the same checks say so.
#[cfg(feature = "test-hooks")]
#[test]
fn a_store_that_does_not_wait_for_the_disk_is_found_out() {
    for (kind, _, wrong) in power_cuts("no-sync") {
        assert!(
            wrong.iter().any(|what| what.contains("was acknowledged and is lost")),
            "{kind}: {wrong:?}"
        );
    }
}

/// What errors a call can give, and on which calls they are tried.
const ERRORS: [(&str, &[&str]); 6] = [
    ("ENOSPC", &["write", "pwrite64", "openat2", "fdatasync", "ftruncate"]),
    (
        "EIO",
        &[
            "read",
            "pread64",
            "write",
            "pwrite64",
            "openat2",
            "fdatasync",
            "newfstatat",
            "statx",
            "close",
        ],
    ),
    ("EROFS", &["openat2", "write", "pwrite64"]),
    ("EMFILE", &["openat2", "openat"]),
    ("ENOLCK", &["flock"]),
    (
        "EINTR",
        &["read", "pread64", "write", "pwrite64", "openat2", "flock", "fdatasync", "ftruncate"],
    ),
];

/// One kind of operation with one error at each of one call: once, and from then on.
fn fail_at(kind: (&'static str, &str), call: &str, error: &str, on: bool) -> (usize, Vec<String>) {
    let (verb, kind) = kind;
    let place = Place::new();
    stock(&place, 30);
    let (mut n, mut wrong, mut history) = (0, Vec::new(), Vec::new());
    for nth in 1.. {
        let planned = Planned::new(&place, verb, kind, &format!("{kind}-{call}-{error}-{nth}"));
        let what = format!("error={error}");
        let at = At { call, what: &what, nth, on };
        let (first, came) = interfere(&place, at, &planned.args, &planned.input);
        let name = planned.op.clone();
        if !came {
            history.push(planned.seen(first));
            break;
        }
        n += 1;
        if first.code < 0 || first.code == 70 || first.err.contains("panicked") {
            wrong.push(format!("{name}: {first:?}"));
        }
        if error == "EINTR" && !on && first.code != 0 && first.code != 127 {
            wrong.push(format!("{name}: an interruption reached the user: {first:?}"));
        }
        if call == "fdatasync" && error == "EIO" {
            let told = first.err.contains(&format!("--op-id {name}"));
            if first.code != 9 || !told {
                wrong.push(format!("{name}: not told that it may be done: {first:?}"));
            }
        }
        // Failure means that nothing was changed, unless it says that this is not known.
        let lines = log_lines(&place.store());
        let there = lines.iter().any(|line| line["op_id"] == name.as_str());
        let (done, unknown) = (first.code == 0, first.code == 9);
        if !unknown && done != there {
            wrong.push(format!("{name}: it is {there} that it was done: {first:?}"));
        }
        history.push(repeat(&place, planned, &first, &mut wrong));
    }
    let played = Played::new(&log_lines(&place.store()));
    wrong.extend(check(&played, &history));
    wrong.extend(played.differs(&place));
    wrong.extend(place.verify());
    (n, wrong)
}

#[test]
fn every_system_call_fails() {
    strace::needed();
    let seed = seed();
    let (mut n, mut wrong, mut dice) = (0, Vec::new(), Dice(seed));
    for kind in VERBS {
        for (error, calls) in ERRORS {
            for call in calls {
                // The short campaign takes a fifth of them.
                for on in [false, true] {
                    if (on && error == "EINTR") || (!full() && dice.throw(5) > 0) {
                        continue;
                    }
                    let (more, bad) = fail_at(kind, call, error, on);
                    n += more;
                    let on = if on { " from there on" } else { "" };
                    wrong.extend(bad.into_iter().map(|bad| format!("{error}{on}: {bad}")));
                }
            }
        }
    }
    report("fail-at-every-call", n, &wrong, seed);
}

/// A store whose next write makes its log be sealed and begun anew, without its index.
fn overdue() -> Place {
    use coord::domain::time::Stamp;
    use coord::domain::work::transition::Holder;
    use coord::domain::work::{Change, Op, Want};
    use coord::store::Store as _;
    use coord::store::files::{FileStore, Options};
    use coord::sys::{Clock as _, SystemClock};
    let place = Place::new();
    stock(&place, 8);
    let clock = std::sync::Arc::new(SystemClock);
    let options = Options {
        dir: place.store(),
        create: false,
        trust_dir: false,
        lock_timeout: Duration::from_secs(1),
        sync: false,
        command: "test".to_owned(),
        clock: clock.clone(),
    };
    let mut store = FileStore::open(options).unwrap();
    let op = |number: u32| Op {
        id: format!("warm-{number}").parse().unwrap(),
        given: false,
        by: "warm".parse().unwrap(),
        now: Stamp { wall: clock.wall(), boot: clock.boot().id, boot_ms: clock.boot().ms },
    };
    let want = Want {
        agent: "warm".parse().unwrap(),
        id: Some("w-8".parse().unwrap()),
        team: None,
        kind: None,
        labels: Vec::new(),
        capabilities: Vec::new(),
        lease: Duration::from_hours(1),
    };
    store.claim(&want, &op(0)).unwrap();
    for number in 1..4300 {
        let holder = Holder { agent: "warm".parse().unwrap(), token: None };
        let change = Change::Progress { holder, percent: None, note: None, lease: None };
        store.change(&"w-8".parse().unwrap(), &change, &op(number)).unwrap();
    }
    place
}

/// A copy of a store's files, without its index.
fn copy(from: &Place) -> Place {
    let place = Place::new();
    std::fs::copy(from.store().join("work.jsonl"), place.store().join("work.jsonl")).unwrap();
    place
}

#[test]
fn killed_while_the_log_is_sealed() {
    strace::needed();
    let (whole, seed) = (overdue(), seed());
    let (mut kills, mut wrong, mut dice) = (0, Vec::new(), Dice(seed));
    for call in CALLS {
        for nth in 1.. {
            // The first calls of each kind are those of every command; their turn was elsewhere.
            if !full() && nth < 40 && dice.throw(12) > 0 {
                continue;
            }
            let place = copy(&whole);
            let planned = Planned::new(&place, "claim", "claim", "sealing");
            let at = At { call, what: "signal=KILL", nth, on: false };
            let (first, came) = interfere(&place, at, &planned.args, &planned.input);
            let history = [repeat(&place, planned, &first, &mut wrong)];
            let played = Played::new(&log_lines(&place.store()));
            let own: Vec<_> = played.wrong.iter().filter(|w| !w.contains("by warm")).collect();
            wrong.extend(own.into_iter().map(|what| format!("{call} {nth}: {what}")));
            wrong.extend(history[0].ran.code.ne(&0).then(|| format!("{call} {nth}: lost")));
            wrong.extend(played.differs(&place));
            wrong.extend(place.verify());
            if !place.store().join("history/000001.jsonl").exists() && !came {
                wrong.push(format!("{call} {nth}: nothing was sealed"));
            }
            if !came {
                break;
            }
            kills += 1;
        }
    }
    report("kill-while-sealing", kills, &wrong, seed);
}

#[test]
fn no_power_cut_takes_what_is_being_sealed() {
    strace::needed();
    let place = copy(&overdue());
    let planned = Planned::new(&place, "claim", "claim", "sealing");
    let before: Vec<_> = held(&place).into_iter().step_by(500).collect();
    let (mut n, mut wrong) = power(&place, Disk::new(place.root()), &planned, &before);
    let planned = Planned::new(&place, "add", "add", "sealed");
    let (more, bad) = power(&place, Disk::new(place.root()), &planned, &before);
    n += more;
    wrong.extend(bad);
    if !place.store().join("history/000001.jsonl").exists() {
        wrong.push("nothing was sealed".to_owned());
    }
    report("power-cuts-while-sealing", n, &wrong, 0);
}
