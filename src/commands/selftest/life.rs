//! From a claim to its end.

use super::room::{Held, Room, same};
use super::{Case, case};

pub(super) const CASES: &[Case] = &[
    case("life/progress", "progress is kept, and wrong figures change nothing", progress),
    case("life/complete", "an item is completed once; again is told and counts nothing", complete),
    case(
        "life/dead-letter",
        "what fails as often as it may is dead, and can be revived",
        dead_letter,
    ),
    case("life/release", "what is given back counts no attempt", release),
    case("life/edit", "an edit changes what it names and nothing else", edit),
    case("life/history", "an item's history tells who did what", history),
    case("life/op-id", "an operation id makes a repetition harmless", op_id),
    case("life/op-id-at-once", "20 processes with one operation id do one thing", op_id_at_once),
];

fn progress(room: &Room<'_>) -> Held {
    room.add("One")?;
    room.coord("claim -q")?.done()?;
    same("the progress", room.json("progress 40 --note half")?["progress"].as_u64(), Some(40))?;
    let before = room.log()?;
    room.coord("progress 101")?.fails(2, "101")?;
    room.coord("progress 30")?.fails(1, "40 %")?;
    same("the log", room.log()?, before)?;
    let item = room.json("work show w-1")?;
    same("progress and note", (&item["progress"], &item["note"]), (&40.into(), &"half".into()))
}

fn complete(room: &Room<'_>) -> Held {
    room.add("One --points 3")?;
    room.coord("complete w-1")?.fails(1, "pending")?;
    room.coord("claim -q")?.done()?;
    let done = room.json("complete --result merged")?;
    same("the status", done["status"].as_str(), Some("done"))?;
    same("the result", done["result"].as_str(), Some("merged"))?;
    let before = room.log()?;
    room.coord("complete w-1")?.done()?.tells("nothing was counted twice")?;
    room.coord("complete w-1 --agent nova")?.fails(1, "done")?;
    same("the log", room.log()?, before)?;
    same("the points", room.json("status")?["points"].as_u64(), Some(3))
}

fn dead_letter(room: &Room<'_>) -> Held {
    room.add("One --max-attempts 2")?;
    for wanted in ["pending", "dead"] {
        room.coord("claim -q")?.done()?.answers("w-1")?;
        let failed = room.json("complete --failed --result 'no network'")?;
        same("the status", failed["status"].as_str(), Some(wanted))?;
    }
    room.coord("claim")?.fails(6, "empty")?;
    same("the dead letters", room.json("work list --dead")?["total"].as_u64(), Some(1))?;
    room.coord("work release w-1 --retry")?.done()?;
    room.coord("claim -q")?.done()?.answers("w-1")?;
    let failed = room.json("complete --failed --no-retry")?;
    same("the status", failed["status"].as_str(), Some("failed"))
}

fn release(room: &Room<'_>) -> Held {
    room.add("One")?;
    room.coord("claim -q")?.done()?;
    let back = room.json("work release --note 'needs a key'")?;
    same("status and attempt", (&back["status"], &back["attempt"]), (&"pending".into(), &0.into()))
}

fn edit(room: &Room<'_>) -> Held {
    room.add("One --team core --label a --points 3")?;
    let item = room.json("work edit w-1 --title Better --no-team --label b --no-label a")?;
    same("the title", item["title"].as_str(), Some("Better"))?;
    same("the team", &item["team"], &serde_json::Value::Null)?;
    same("the labels", &item["labels"], &serde_json::json!(["b"]))?;
    same("the points", item["points"].as_u64(), Some(3))
}

fn history(room: &Room<'_>) -> Held {
    room.add("One --agent boss")?;
    room.coord("claim -q --agent nova")?.done()?;
    room.coord("complete --agent nova")?.done()?;
    let shown = room.json("work show w-1")?;
    let events = shown["events"].as_array().cloned().unwrap_or_default();
    let told: Vec<_> = events
        .iter()
        .map(|e| {
            format!("{} {}", e["by"].as_str().unwrap_or("?"), e["verb"].as_str().unwrap_or("?"))
        })
        .collect();
    same("the history", told, ["boss add", "nova claim", "nova complete"])
}

fn op_id(room: &Room<'_>) -> Held {
    room.fill(3)?;
    room.coord("claim -q --op-id take-1")?.done()?.answers("w-1")?;
    let before = room.log()?;
    let again = room.json("claim --op-id take-1")?;
    same("the item of the repetition", again["id"].as_str(), Some("w-1"))?;
    same("whether it is said to be one", again["repeated"].as_bool(), Some(true))?;
    same("the log", room.log()?, before)
}

fn op_id_at_once(room: &Room<'_>) -> Held {
    room.fill(20)?;
    for claimed in room.crowd(20, "claim -q --op-id take-1")? {
        claimed.done()?.answers("w-1")?;
    }
    same("the number of active items", room.json("status")?["active"].as_u64(), Some(1))
}
