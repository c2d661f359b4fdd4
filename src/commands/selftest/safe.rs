//! Nothing is lost: kills, torn writes, a lost index, tampering.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use rustix::process::Signal;

use super::room::{Held, Room, holds, same, start};
use super::{Case, case};

pub(super) const CASES: &[Case] = &[
    case(
        "safe/kill",
        "after `kill -9` at any moment the next command works and all is there",
        kill,
    ),
    case("safe/torn-write", "half a line at the end of the log is cut off and told", torn),
    case("safe/index", "the index is made anew when it is gone or damaged", index),
    case(
        "safe/verify",
        "`verify` finds a line that was changed, and what is sound it calls so",
        verify,
    ),
    case(
        "safe/lock-wait",
        "a store that stays locked is exit 4, and can be read all the same",
        lock_wait,
    ),
    case("safe/lock-free", "who waits for the lock gets it as soon as it is free", lock_free),
    case("safe/newer-format", "a store of a newer format is refused and left alone", newer),
];

/// How many claimers are killed.
const KILLED: u64 = 40;

fn kill(room: &Room<'_>) -> Held {
    let count = usize::try_from(KILLED).unwrap_or(0);
    room.fill(count + 1)?;
    let mut caught = 0;
    for k in 0..KILLED {
        let line = format!("claim -q --agent victim-{k}");
        let victim = start(room.program(&line), &line)?;
        // From before it has begun until after it is done.
        room.clock().sleep(Duration::from_micros(150 * k));
        victim.signal_alone(Signal::KILL);
        if room.end(victim, &line)?.ended.signal.is_some() {
            caught += 1;
        }
    }
    holds(caught > 0, || "no claimer was caught alive".to_owned())?;
    room.coord("claim -q --agent after")?.done()?.shows("w-")?;
    room.coord("verify")?.done()?;
    let sums = room.json("status")?;
    let (active, pending) = (sums["active"].as_u64(), sums["pending"].as_u64());
    same("active and pending items", active.zip(pending).map(|(a, p)| a + p), Some(KILLED + 1))?;
    let list = room.json("work list --status active")?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let mut agents: Vec<_> = items.iter().filter_map(|item| item["agent"].as_str()).collect();
    agents.sort_unstable();
    agents.dedup();
    same("the number of agents that hold one", agents.len(), items.len())
}

fn log_file(room: &Room<'_>) -> std::path::PathBuf {
    room.store().join("work.jsonl")
}

fn torn(room: &Room<'_>) -> Held {
    room.add("One")?;
    let half = b"{\"n\":2,\"id\":\"w-2\",\"status\":\"pend";
    OpenOptions::new()
        .append(true)
        .open(log_file(room))
        .and_then(|mut log| log.write_all(half))
        .map_err(|e| format!("cannot write to the log: {e}"))?;
    same("the items that are read", room.json("work list")?["total"].as_u64(), Some(1))?;
    room.coord("add -q Two")?.done()?.answers("w-2")?.tells("unfinished write")?;
    room.coord("verify")?.done().map(drop)
}

fn index(room: &Room<'_>) -> Held {
    room.fill(5)?;
    room.coord("claim w-2 -q")?.done()?;
    let before = room.coord("work list --all --format jsonl")?.done()?.out.clone();
    let dir = room.store().join(".index");
    let files = dir.read_dir().map_err(|e| format!("cannot read the index: {e}"))?;
    for file in files.flatten() {
        let blank = |path| OpenOptions::new().write(true).truncate(true).open(path);
        blank(file.path()).map_err(|e| format!("cannot damage the index: {e}"))?;
    }
    room.coord("claim -q --agent nova")?.done()?.answers("w-1")?;
    room.coord("work release w-1 --agent nova")?.done()?;
    std::fs::remove_dir_all(&dir).map_err(|e| format!("cannot remove the index: {e}"))?;
    room.coord("claim -q --agent nova")?.done()?.answers("w-1")?;
    room.coord("verify")?.done()?;
    let after = room.coord("work list --all --format jsonl")?.done()?.out.clone();
    same("the number of items", after.lines().count(), before.lines().count())
}

fn verify(room: &Room<'_>) -> Held {
    room.add("Pay-100")?;
    room.coord("claim -q")?.done()?;
    room.coord("complete")?.done()?;
    room.coord("verify")?.done()?.shows("everything is as it was written")?;
    let changed = room.log()?.replace("Pay-100", "Pay-900");
    room.write(".coord/work.jsonl", &changed)?;
    room.coord("verify")?.ends(10)?.shows("work.jsonl").map(drop)
}

/// Holds the store's lock until it is dropped.
#[expect(clippy::disallowed_methods, reason = "stands for a foreign process that holds the lock")]
fn hold(room: &Room<'_>) -> Held<std::fs::File> {
    room.add("One")?;
    OpenOptions::new()
        .write(true)
        .open(room.store().join("lock"))
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|e| format!("cannot take the lock: {e}"))
}

fn lock_wait(room: &Room<'_>) -> Held {
    let _held = hold(room)?;
    room.coord("claim -q --lock-timeout 100ms")?.fails(4, "lock")?;
    room.coord("work list")?.done()?.shows("w-1").map(drop)
}

fn lock_free(room: &Room<'_>) -> Held {
    let held = hold(room)?;
    let line = "claim -q --lock-timeout 50s";
    let waiting = start(room.program(line), line)?;
    room.clock().sleep(Duration::from_millis(100));
    drop(held);
    room.end(waiting, line)?.done()?.answers("w-1").map(drop)
}

fn newer(room: &Room<'_>) -> Held {
    room.add("One")?;
    let log = room.log()?;
    let newer = log.replacen("\"format\":1,\"min_reader\":1", "\"format\":99,\"min_reader\":99", 1);
    holds(newer != log, || "the log does not begin with its format".to_owned())?;
    room.write(".coord/work.jsonl", &newer)?;
    for line in ["add Two", "claim", "work list"] {
        let refused = room.coord(line)?;
        holds(!refused.ended.is_success(), || format!("`coord {line}` went on"))?;
        refused.tells("99")?;
    }
    same("the log", room.log()?, newer)
}
