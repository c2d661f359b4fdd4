//! Agents, workers, locks.

use std::collections::BTreeSet;

use super::room::{Held, Room, same};
use super::{Case, case};

pub(super) const CASES: &[Case] = &[
    case(
        "agent/register",
        "an agent is what it said it is, and takes no more than it may",
        register,
    ),
    case("agent/remove", "what a removed agent held goes back to the queue", remove),
    case("agent/assign", "`work assign` keeps items for those that suit them", assign),
    case("agent/run", "a worker hands each item to a program and keeps its result", run),
    case("agent/run-fails", "a program that fails, fails its item", run_fails),
    case("agent/no-shell", "nothing in an item is run as a command", no_shell),
    case("swarm/drain", "a swarm of workers drains the queue, each item once", swarm),
    case("lock/one-at-a-time", "10 programs behind a named lock run one at a time", one_at_a_time),
    case("lock/exit-code", "a named lock hands on exit code and streams", exit_code),
];

fn register(room: &Room<'_>) -> Held {
    room.fill(3)?;
    room.coord("agent register nova --team core --capacity 2 --capability rust")?.done()?;
    room.coord("claim -q --agent nova")?.done()?;
    room.coord("claim -q --agent nova")?.done()?;
    room.coord("claim -q --agent nova")?.fails(1, "2")?;
    let list = room.json("agent list")?;
    let nova = &list["agents"][0];
    same("the agent", nova["id"].as_str(), Some("nova"))?;
    same("its team", nova["team"].as_str(), Some("core"))?;
    same("what it holds", nova["held"].as_u64(), Some(2))
}

fn remove(room: &Room<'_>) -> Held {
    room.add("One")?;
    room.coord("claim -q --agent nova")?.done()?;
    room.coord("agent remove nova")?.done()?;
    let item = room.json("work show w-1")?;
    same("status and attempt", (&item["status"], &item["attempt"]), (&"pending".into(), &0.into()))
}

fn assign(room: &Room<'_>) -> Held {
    room.add("One --team core --capability rust")?;
    room.add("Two --team edge")?;
    room.coord("agent register nova --team core --capability rust")?.done()?;
    room.coord("agent register zed --team edge")?.done()?;
    room.coord("work assign")?.done()?;
    for (id, agent) in [("w-1", "nova"), ("w-2", "zed")] {
        let item = room.json(&format!("work show {id}"))?;
        same(&format!("whom {id} is kept for"), item["assignee"].as_str(), Some(agent))?;
    }
    room.coord("claim w-1 --agent zed")?.ends(4).map(drop)
}

fn run(room: &Room<'_>) -> Held {
    room.fill(3)?;
    let line = "agent run --until-empty --agent nova -- \
                sh -c 'echo \"$COORD_ITEM_ID by $COORD_AGENT\"'";
    room.coord(line)?.done()?;
    for id in ["w-1", "w-2", "w-3"] {
        let item = room.json(&format!("work show {id}"))?;
        same("the status", item["status"].as_str(), Some("done"))?;
        same("the result", item["result"].as_str(), Some(&*format!("{id} by nova")))?;
    }
    Ok(())
}

fn run_fails(room: &Room<'_>) -> Held {
    room.add("One --max-attempts 2")?;
    room.coord("agent run --once -- sh -c 'echo broken; exit 3'")?.ends(3)?;
    let item = room.json("work show w-1")?;
    same(
        "status and attempt",
        (&item["status"], &item["attempt"]),
        (&"pending".into(), &1.into()),
    )?;
    room.coord("agent run --once -- sh -c 'exit 3'")?.ends(3)?;
    same("the status", room.json("work show w-1")?["status"].as_str(), Some("dead"))?;
    room.coord("agent run --once -- true")?.ends(6).map(drop)
}

fn no_shell(room: &Room<'_>) -> Held {
    let item = serde_json::json!({
        "title": "$(touch hacked) `touch hacked`; touch hacked",
        "description": "\"; touch hacked; \"",
    });
    room.feed("add -q", &format!("{item}\n"))?.done()?;
    room.coord("agent run --once -- sh -c 'printf %s \"$COORD_ITEM_TITLE\"'")?.done()?;
    let shown = room.json("work show w-1")?;
    same("the result", &shown["result"], &item["title"])?;
    same("whether a command ran", room.project().join("hacked").exists(), false)
}

fn swarm(room: &Room<'_>) -> Held {
    room.fill(30)?;
    let line = "swarm run -n 4 --until-empty --json -- sh -c 'echo $COORD_ITEM_ID >> done.txt'";
    let report = room.coord(line)?.done()?.data()?;
    same("what is done", report["done"].as_u64(), Some(30))?;
    let text = room.read("done.txt")?;
    let ids: BTreeSet<_> = text.lines().collect();
    same("runs and different items", (text.lines().count(), ids.len()), (30, 30))
}

fn one_at_a_time(room: &Room<'_>) -> Held {
    room.coord("init")?.done()?;
    room.write("counter", "0\n")?;
    let script = "n=$(cat counter); sleep 0.005; echo $((n+1)) > counter";
    let line = format!("lock run counter --wait 50s --agent agent-{{}} -- sh -c '{script}'");
    for ran in room.crowd(10, &line)? {
        ran.done()?;
    }
    same("the counter", room.read("counter")?.trim(), "10")
}

fn exit_code(room: &Room<'_>) -> Held {
    room.coord("init")?.done()?;
    let ran = room.feed("lock run x -- sh -c 'cat; echo to-err >&2; exit 7'", "given")?;
    ran.ends(7)?.answers("given")?.tells("to-err")?;
    let list = room.json("lock list")?;
    same("the locks that are left", list["locks"].as_array().map(Vec::len), Some(0))
}
