//! Claims and leases.

use std::collections::BTreeSet;
use std::time::Duration;

use super::room::{Held, Room, same, start};
use super::{Case, case};

pub(super) const CASES: &[Case] = &[
    case("claim/order", "the most urgent ready item comes first, then the oldest", order),
    case("claim/needs", "an item is ready when what it needs is done, and not before", needs),
    case("claim/filters", "team, type, label and capability narrow a claim", filters),
    case("claim/empty", "nothing to do is exit 6, so that loops can end", empty),
    case("claim/held", "a named item that somebody holds is exit 4", held),
    case("claim/at-once", "20 processes claim at once and get 20 different items", at_once),
    case("claim/one-winner", "20 processes claim one item and one gets it", one_winner),
    case("claim/wait", "`--wait` ends as soon as there is something", wait),
    case("lease/expires", "when a lease has run out, the next one gets the item", expires),
    case(
        "lease/stale-token",
        "who lost the lease is told so with exit 4 and changes nothing",
        stale,
    ),
    case("lease/heartbeat", "a heartbeat renews the lease", heartbeat),
];

fn order(room: &Room<'_>) -> Held {
    let input = "{\"title\":\"L\",\"priority\":\"low\"}\n{\"title\":\"M1\"}\n\
                 {\"title\":\"H\",\"priority\":\"high\"}\n{\"title\":\"M2\"}\n\
                 {\"title\":\"C\",\"priority\":\"critical\"}\n";
    room.feed("add -q", input)?.done()?;
    let mut titles = String::new();
    for _ in 0..5 {
        titles.push_str(room.json("claim")?["title"].as_str().unwrap_or("?"));
        titles.push(' ');
    }
    same("the order", titles.trim_end(), "C H M1 M2 L")
}

fn needs(room: &Room<'_>) -> Held {
    room.add("Base")?;
    room.add("Next --priority critical --needs w-1")?;
    room.coord("claim w-2")?.fails(1, "blocked")?;
    room.coord("claim -q")?.done()?.answers("w-1")?;
    room.coord("claim -q")?.fails(6, "nothing to do")?;
    let done = room.json("complete w-1")?;
    same("what became ready", done["unblocked"][0].as_str(), Some("w-2"))?;
    room.coord("claim -q")?.done()?.answers("w-2")?;
    room.coord("work edit w-1 --needs w-2")?.fails(1, "").map(drop)
}

fn filters(room: &Room<'_>) -> Held {
    room.add("One --team core --type bug --label ui")?;
    room.add("Two --team edge --capability rust")?;
    for none in ["--team none", "--type chore", "--label ui --label api", "--team edge"] {
        room.coord(&format!("claim {none}"))?.fails(6, "nothing to do")?;
    }
    room.coord("claim -q --team edge --capability rust")?.done()?.answers("w-2")?;
    room.coord("claim -q --type bug --label ui")?.done()?.answers("w-1").map(drop)
}

fn empty(room: &Room<'_>) -> Held {
    room.coord("init")?.done()?;
    room.coord("claim")?.fails(6, "the queue is empty")?;
    let told = room.coord("claim --json")?;
    told.fails(6, "coord.error/v1")?.tells("\"kind\":\"empty\"").map(drop)
}

fn held(room: &Room<'_>) -> Held {
    room.add("One")?;
    room.coord("claim -q --agent nova")?.done()?;
    let before = room.log()?;
    room.coord("claim w-1")?.fails(4, "nova")?;
    room.coord("complete w-1")?.fails(4, "nova")?;
    room.coord("claim w-9")?.fails(1, "w-9")?;
    same("the log", room.log()?, before)
}

fn at_once(room: &Room<'_>) -> Held {
    room.fill(20)?;
    let mut ids = BTreeSet::new();
    for claimed in room.crowd(20, "claim -q --agent agent-{}")? {
        ids.insert(claimed.done()?.out.trim().to_owned());
    }
    same("the number of different items", ids.len(), 20)?;
    let list = room.json("work list --status active")?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let agents: BTreeSet<_> = items.iter().filter_map(|item| item["agent"].as_str()).collect();
    same("the number of agents that hold one", agents.len(), 20)
}

fn one_winner(room: &Room<'_>) -> Held {
    room.add("One")?;
    let (mut won, mut left) = (0, 0);
    for claimed in room.crowd(20, "claim -q --agent agent-{}")? {
        match claimed.ended.code {
            Some(0) => won += 1,
            Some(6) => left += 1,
            _ => claimed.done().map(drop)?,
        }
    }
    same("winners and losers", (won, left), (1, 19))
}

fn wait(room: &Room<'_>) -> Held {
    room.coord("init")?.done()?;
    let line = "claim -q --wait 50s";
    let waiting = start(room.program(line), line)?;
    room.clock().sleep(Duration::from_millis(100));
    room.add("Late")?;
    room.end(waiting, line)?.done()?.answers("w-1").map(drop)
}

fn expires(room: &Room<'_>) -> Held {
    room.add("One")?;
    room.coord("claim -q --agent gone --lease 200ms")?.done()?.answers("w-1")?;
    room.coord("claim -q --agent next --wait 30s")?.done()?.answers("w-1")?;
    let item = room.json("work show w-1")?;
    same("who holds it", item["agent"].as_str(), Some("next"))?;
    same("its attempt", item["attempt"].as_u64(), Some(2))
}

fn stale(room: &Room<'_>) -> Held {
    room.add("One")?;
    // The same agent twice, so that nothing but the token can tell the two apart.
    let token = room.json("claim --lease 200ms")?["token"].as_u64().unwrap_or(0);
    room.coord("claim -q --wait 30s")?.done()?;
    let before = room.log()?;
    for line in ["complete w-1", "progress w-1 50", "work release w-1"] {
        room.coord(&format!("{line} --token {token}"))?.fails(4, &token.to_string())?;
    }
    same("the log", room.log()?, before)?;
    let token = room.json("work show w-1")?["token"].as_u64().unwrap_or(0);
    room.coord(&format!("complete w-1 --token {token}"))?.done().map(drop)
}

fn heartbeat(room: &Room<'_>) -> Held {
    const LEASE: Duration = Duration::from_millis(1500);
    room.add("One")?;
    // A machine may stand still for longer than a lease, and then nothing can be told.
    for _ in 0..3 {
        let claimed = room.clock().monotonic();
        room.coord("claim -q --lease 1500ms")?.done()?;
        let mut sign = claimed;
        let mut longest = Duration::ZERO;
        while sign < claimed + LEASE.mul_f64(1.2) {
            room.clock().sleep(LEASE / 8);
            let before = room.clock().monotonic();
            room.coord("agent heartbeat")?.done()?;
            longest = longest.max(room.clock().monotonic().saturating_sub(sign));
            sign = before;
        }
        let other = room.coord("claim -q --agent other")?;
        longest = longest.max(room.clock().monotonic().saturating_sub(sign));
        if longest < LEASE {
            other.fails(6, "nothing to do")?;
            return room.coord("complete w-1")?.done().map(drop);
        }
        let holder = if other.ended.is_success() { "other" } else { super::room::AGENT };
        room.coord(&format!("work release w-1 --agent {holder}"))?;
    }
    Err("the machine stood still for longer than a lease, three times".to_owned())
}
