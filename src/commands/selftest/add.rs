//! Queueing work.

use super::room::{Held, Room, same};
use super::{Case, case};

pub(super) const CASES: &[Case] = &[
    case("add/one", "an item keeps everything that was said about it", one),
    case("add/jsonl", "many items come as JSON lines, and may need each other", jsonl),
    case("add/yaml", "many items come as YAML", yaml),
    case("add/all-or-nothing", "one bad line, and none of many is queued", all_or_nothing),
    case("add/key", "the same key twice is one item", key),
    case("add/at-once", "20 processes add at once, and all items are there", at_once),
];

fn one(room: &Room<'_>) -> Held {
    let line = "add --json 'Fix the login' --priority high --type bug --team core --label ui \
                --points 3 --estimate 90m --capability rust --max-attempts 5";
    let answer = room.coord(line)?.done()?.document()?;
    same("the schema", answer["schema"].as_str(), Some("coord.work.add/v1"))?;
    let item = room.json("work show w-1")?;
    for (field, wanted) in [
        ("title", "Fix the login".into()),
        ("priority", "high".into()),
        ("type", "bug".into()),
        ("team", "core".into()),
        ("labels", serde_json::json!(["ui"])),
        ("points", 3.into()),
        ("estimate_s", 5400.into()),
        ("capabilities", serde_json::json!(["rust"])),
        ("max_attempts", 5.into()),
        ("status", "pending".into()),
        ("agent", serde_json::Value::Null),
    ] {
        same(&format!("`{field}`"), &item[field], &wanted)?;
    }
    Ok(())
}

fn jsonl(room: &Room<'_>) -> Held {
    let input = "{\"title\":\"First\",\"key\":\"a\"}\n{\"title\":\"Second\",\"needs\":[\"a\"]}\n";
    room.feed("add -q", input)?.done()?.answers("w-1\nw-2")?;
    let item = room.json("work show w-2")?;
    same("the status of the one that needs the other", item["status"].as_str(), Some("blocked"))?;
    same("what it needs", item["needs"][0].as_str(), Some("w-1"))
}

fn yaml(room: &Room<'_>) -> Held {
    let input = "- title: Old\n- title: Urgent\n  priority: critical\n  labels: [api, ui]\n";
    room.feed("add -q --input yaml", input)?.done()?.answers("w-1\nw-2")?;
    let item = room.json("work show w-2")?;
    same("the priority", item["priority"].as_str(), Some("critical"))?;
    same("the labels", &item["labels"], &serde_json::json!(["api", "ui"]))
}

fn all_or_nothing(room: &Room<'_>) -> Held {
    room.add("Before")?;
    let before = room.log()?;
    room.feed("add", "{\"title\":\"Good\"}\nnonsense\n")?.fails(2, "line 2")?;
    room.feed("add", "{\"title\":\"Good\"}\n{\"title\":\" \"}\n")?.fails(2, "title")?;
    room.feed("add", "{\"title\":\"Good\",\"needs\":[\"gone\"]}\n")?.fails(1, "gone")?;
    room.coord("add --id ../x One")?.fails(2, "../x")?;
    same("the log", room.log()?, before)
}

fn key(room: &Room<'_>) -> Held {
    room.coord("add -q Nightly --key 2025-w7")?.done()?.answers("w-1")?;
    room.coord("add -q Nightly --key 2025-w7")?.done()?.answers("w-1")?;
    same("the number of items", room.json("status")?["total"].as_u64(), Some(1))
}

fn at_once(room: &Room<'_>) -> Held {
    let mut ids = std::collections::BTreeSet::new();
    for added in room.crowd(20, "add -q 'Item {}'")? {
        ids.insert(added.done()?.out.trim().to_owned());
    }
    same("the number of different ids", ids.len(), 20)?;
    let list = room.json("work list")?;
    let mut titles: Vec<_> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|i| i["title"].as_str())
        .collect();
    titles.sort_unstable();
    let mut wanted: Vec<_> = (0..20).map(|k| format!("Item {k}")).collect();
    wanted.sort_unstable();
    same("the titles", titles, wanted)
}
