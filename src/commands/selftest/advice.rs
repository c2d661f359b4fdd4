//! What is there of Claude without Claude: advice by rules, said to be such, and no connection.

use super::room::{Held, Outcome, Room, holds, same};
use super::{Case, case};

pub(super) const CASES: &[Case] = &[
    case(
        "claude/priorities",
        "without Claude advice comes from fixed rules, and says so",
        priorities,
    ),
    case("claude/plan", "a plan of who does what can be applied", plan),
    case(
        "claude/nothing-made-up",
        "a question that rules cannot answer is exit 5 and no answer",
        ask,
    ),
    case(
        "claude/dry-run",
        "`--dry-run` shows what would be sent and its cost, and no key",
        dry_run,
    ),
];

/// A key that no answer may show.
const KEY: &str = "sk-ant-selftest-4711";

/// In surroundings where no program of Claude is found, and where a connection would be refused.
fn alone(room: &Room<'_>, line: &str) -> Held<Outcome> {
    let program = room
        .program(line)
        .env("PATH", room.home())
        .env("ANTHROPIC_API_KEY", KEY)
        .env("ANTHROPIC_BASE_URL", "http://127.0.0.1:9");
    let ran = room.run(program, &format!("coord {line}"))?;
    let leaks = ran.out.contains(KEY) || ran.err.contains(KEY);
    holds(!leaks, || format!("`coord {line}` shows the key"))?;
    Ok(ran)
}

fn stock(room: &Room<'_>) -> Held {
    room.add("Later --priority low --team core")?;
    room.add("Now --priority critical --team core")?;
    room.coord("agent register nova --team core --capacity 2")?.done().map(drop)
}

fn priorities(room: &Room<'_>) -> Held {
    stock(room)?;
    let advice = alone(room, "claude priorities --offline --json")?.done()?.data()?;
    same("the source", advice["source"].as_str(), Some("heuristic"))?;
    same("whether it is said to be less", advice["degraded"].as_bool(), Some(true))?;
    same("the cost", advice["cost_usd"].as_f64(), Some(0.0))?;
    same("what comes first", advice["analysis"]["priorities"][0]["id"].as_str(), Some("w-2"))?;
    let health = alone(room, "claude health --offline --json")?.done()?.data()?;
    same("the source", health["source"].as_str(), Some("heuristic"))
}

fn plan(room: &Room<'_>) -> Held {
    stock(room)?;
    let plan = alone(room, "claude assign --offline --json")?;
    room.write("plan.json", &plan.done()?.out)?;
    room.coord("work assign --plan plan.json")?.done()?;
    let item = room.json("work show w-2")?;
    same("whom it is kept for", item["assignee"].as_str(), Some("nova"))
}

fn ask(room: &Room<'_>) -> Held {
    alone(room, "claude ask --offline 'Who wrote this?'")?.fails(5, "offline").map(drop)
}

fn dry_run(room: &Room<'_>) -> Held {
    let told = alone(room, "claude ask --dry-run --json 'Who wrote this?'")?.done()?.data()?;
    same("whether it is one", told["dry_run"].as_bool(), Some(true))?;
    let sent = &told["request"]["body"]["messages"][0]["content"];
    holds(sent.to_string().contains("Who wrote this?"), || format!("it would send {sent}"))
}
