//! What a person sees and what a script can rely on.

use serde_json::Value;

use super::room::{Held, Room, holds, same};
use super::{Case, case};

pub(super) const CASES: &[Case] = &[
    case("read/list", "filters, orders and limits show what they say", list),
    case("read/pipe", "on a pipe a list is lines of columns between tabs, without colour", pipe),
    case("read/formats", "JSON, JSON lines and YAML hold the same items", formats),
    case("read/schemas", "answers fit the schemas that the program prints", schemas),
    case("read/errors", "under `--json` an error is JSON too, on standard error alone", errors),
    case(
        "read/hostile-text",
        "text by others can neither act on a terminal nor break a line",
        hostile,
    ),
    case("read/status", "the sums of `status` are those of the items", status),
    case("read/completion", "completion offers the ids that make sense", completion),
];

/// Items in every state but dead.
fn stock(room: &Room<'_>) -> Held {
    room.add("'First one' --team core --points 2")?;
    room.add("'Second one' --priority high")?;
    room.add("'Third one' --needs w-1 --team core")?;
    room.add("Fourth")?;
    room.coord("claim -q")?.done()?;
    room.coord("claim w-4 -q --agent nova")?.done()?;
    room.coord("complete w-4 --agent nova")?.done().map(drop)
}

fn ids(list: &Value) -> Vec<&str> {
    list["items"].as_array().into_iter().flatten().filter_map(|i| i["id"].as_str()).collect()
}

fn list(room: &Room<'_>) -> Held {
    stock(room)?;
    for (flags, wanted) in [
        ("", &["w-2", "w-1", "w-3"][..]),
        ("--all --sort added", &["w-1", "w-2", "w-3", "w-4"]),
        ("--team core", &["w-1", "w-3"]),
        ("--status done", &["w-4"]),
        ("--blocked", &["w-3"]),
        ("--ready", &["w-1"]),
        ("--mine", &["w-2"]),
        ("--search third", &["w-3"]),
        ("--limit 1", &["w-2"]),
    ] {
        let list = room.json(&format!("work list {flags}"))?;
        same(&format!("`work list {flags}`"), ids(&list), wanted)?;
    }
    Ok(())
}

fn pipe(room: &Room<'_>) -> Held {
    stock(room)?;
    let list = room.coord("work list --all")?;
    list.done()?;
    for line in list.out.lines() {
        same("the number of columns", line.split('\t').count(), 8)?;
    }
    same("the number of lines", list.out.lines().count(), 4)?;
    holds(!list.out.contains('\x1b'), || "there is an escape sequence in it".to_owned())?;
    let coloured = room.coord("work show w-1 --color always")?;
    holds(coloured.out.contains('\x1b'), || "`--color always` gives no colour".to_owned())
}

fn formats(room: &Room<'_>) -> Held {
    stock(room)?;
    let whole = room.json("work list")?;
    let lines = room.coord("work list --format jsonl")?;
    let rows: Vec<Value> = lines
        .done()?
        .out
        .lines()
        .map(|line| serde_json::from_str(line).map_err(|e| format!("`{line}` is no JSON: {e}")))
        .collect::<Held<_>>()?;
    same("the ids", rows.iter().filter_map(|r| r["id"].as_str()).collect::<Vec<_>>(), ids(&whole))?;
    let yaml = room.coord("work list --format yaml")?;
    let parsed: Value = serde_yaml::from_str(&yaml.done()?.out).map_err(|e| e.to_string())?;
    same("the ids in YAML", ids(&parsed), ids(&whole))
}

fn schemas(room: &Room<'_>) -> Held {
    room.add("One")?;
    for line in ["claim", "work show w-1", "work list --all", "status", "agent list", "complete"] {
        let answer = room.coord(&format!("{line} --json"))?.done()?.document()?;
        let name = answer["schema"].as_str().unwrap_or_default().to_owned();
        let schema = room.coord(&format!("util schema {name}"))?.done()?.document()?;
        let validator =
            jsonschema::validator_for(&schema).map_err(|e| format!("the schema `{name}`: {e}"))?;
        validator.validate(&answer).map_err(|e| format!("`coord {line} --json`: {e}"))?;
    }
    Ok(())
}

fn errors(room: &Room<'_>) -> Held {
    room.add("One")?;
    for (line, code, kind) in [
        ("work show w-9", 1, "user"),
        ("claim --nonsense", 2, "usage"),
        ("complete w-1 --token 7", 4, "conflict"),
    ] {
        let told = room.coord(&format!("{line} --json"))?;
        told.ends(code)?.answers("")?;
        let error: Value = serde_json::from_str(&told.err)
            .map_err(|e| format!("`coord {line} --json`: standard error is no JSON: {e}"))?;
        same("the schema", error["schema"].as_str(), Some("coord.error/v1"))?;
        same("the kind", error["error"]["kind"].as_str(), Some(kind))?;
        same("the code", error["error"]["exit_code"].as_i64(), Some(i64::from(code)))?;
    }
    Ok(())
}

fn hostile(room: &Room<'_>) -> Held {
    let title = "a\u{1b}[2J\u{1b}]0;owned\u{7}b\u{202e}c\u{9b}31m";
    let input = serde_json::json!({ "title": title, "description": "x\r\u{8}\u{1b}[A\ny" });
    room.feed("add -q", &format!("{input}\n"))?.done()?;
    let acts = |c: char| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}';
    for line in ["work list", "work show w-1", "claim", "status"] {
        let shown = room.coord(line)?;
        shown.done()?;
        for text in [&shown.out, &shown.err] {
            holds(!text.contains(acts), || format!("`coord {line}` lets {text:?} through"))?;
        }
    }
    same("the lines of a list", room.coord("work list")?.out.lines().count(), 1)?;
    let kept = room.json("work show w-1")?;
    same("what programs get", kept["title"].as_str(), Some(title))
}

fn status(room: &Room<'_>) -> Held {
    stock(room)?;
    let sums = room.json("status")?;
    for (field, wanted) in
        [("total", 4), ("pending", 1), ("active", 1), ("blocked", 1), ("done", 1), ("dead", 0)]
    {
        same(&format!("`{field}`"), sums[field].as_u64(), Some(wanted))?;
    }
    Ok(())
}

fn completion(room: &Room<'_>) -> Held {
    stock(room)?;
    let ask = |words: &[&str]| {
        let line = format!("-- coord {}", words.join(" "));
        let program = room
            .program(&line)
            .env("COORD_COMPLETE", "bash")
            .env("_CLAP_IFS", "\n")
            .env("_CLAP_COMPLETE_INDEX", words.len().to_string());
        room.run(program, &format!("COORD_COMPLETE=bash coord {line}"))
    };
    ask(&["complete", "w"])?.done()?.answers("w-2")?;
    ask(&["work", "claim", "w"])?.done()?.answers("w-1")?;
    ask(&["work", "show", "--ev"])?.done()?.answers("--events")?;
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        room.coord(&format!("util completions {shell}"))?.done()?.shows("COORD_COMPLETE")?;
    }
    Ok(())
}
