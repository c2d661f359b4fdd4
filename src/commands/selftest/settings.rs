//! Settings, places, health.

use super::room::{Held, Room, holds, same};
use super::{Case, case};

pub(super) const CASES: &[Case] = &[
    case("config/layers", "a setting is kept, and its origin and what lost are told", layers),
    case(
        "config/wrong",
        "a wrong setting is exit 3 with file and line; an unknown one is a warning",
        wrong,
    ),
    case("config/comments", "`config set` keeps what you wrote around it", comments),
    case("env/places", "`env` tells where everything is and why", places),
    case("health/good", "a good store has a good score", good),
    case("health/bad", "what is wrong is named with what to do, and is exit 10", bad),
];

/// Without the pinned settings, so that files count.
fn free(room: &Room<'_>, line: &str) -> Held<super::room::Outcome> {
    let program = room.program(line).without("COORD_WORK_LEASE");
    room.run(program.without("COORD_STORE_SYNC"), &format!("coord {line}"))
}

fn layers(room: &Room<'_>) -> Held {
    room.coord("init")?.done()?;
    free(room, "config set work.lease 2h")?.done()?;
    free(room, "config get work.lease")?.done()?.answers("2h")?;
    let program = room.program("config show --json").env("COORD_WORK_LEASE", "45m");
    let shown = room.run(program, "COORD_WORK_LEASE=45m coord config show --json")?;
    let shown = shown.done()?.data()?;
    let all = shown["settings"].as_array().cloned().unwrap_or_default();
    let lease = all.iter().find(|s| s["key"] == "work.lease").cloned().unwrap_or_default();
    same("the value", lease["value"].as_str(), Some("45m"))?;
    same("its origin", lease["origin"].as_str(), Some("COORD_WORK_LEASE"))?;
    same("what lost", lease["lost"][0]["value"].as_str(), Some("2h"))
}

fn wrong(room: &Room<'_>) -> Held {
    room.add("One")?;
    room.write(".coord/config.toml", "[work]\nlease = 3\n")?;
    free(room, "claim")?.fails(3, "line 2")?.tells("work.lease")?;
    room.write(".coord/config.toml", "[work]\nleese = \"3h\"\n")?;
    free(room, "work list")?.done()?.tells("did you mean `work.lease`?")?;
    free(room, "config set work.lease soon")?.ends(2).map(drop)
}

fn comments(room: &Room<'_>) -> Held {
    room.coord("init")?.done()?;
    room.write(".coord/config.toml", "# Ours.\n[work]\nlease = \"1h\" # long\n")?;
    free(room, "config set work.lease 2h")?.done()?;
    same("the file", room.read(".coord/config.toml")?, "# Ours.\n[work]\nlease = \"2h\" # long\n")
}

fn places(room: &Room<'_>) -> Held {
    room.coord("init")?.done()?;
    let told = room.json("env")?;
    let places = told["places"].as_array().cloned().unwrap_or_default();
    let state = places.iter().find(|p| p["name"] == "state").cloned().unwrap_or_default();
    let store = room.store().display().to_string();
    same("where the state is", state["path"].as_str(), Some(store.as_str()))?;
    same("why", state["why"].as_str(), Some("COORD_DIR"))?;
    same("whether it is there", state["exists"].as_bool(), Some(true))
}

fn good(room: &Room<'_>) -> Held {
    room.add("One")?;
    let health = room.coord("health --json")?.done()?.data()?;
    let score = health["health_score"].as_u64().unwrap_or(0);
    let faults: Vec<_> = health["checks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|check| check["level"] == "fail")
        .map(|check| format!("{}: {}", check["check"], check["why"]))
        .collect();
    same("what failed", faults, [""; 0])?;
    holds(score >= 90, || format!("the score is {score}"))
}

fn bad(room: &Room<'_>) -> Held {
    room.add("One --max-attempts 1")?;
    room.coord("claim -q")?.done()?;
    room.coord("complete --failed")?.done()?;
    let told = room.coord("health --min 100 --json")?;
    let health = told.ends(10)?.data()?;
    let checks = health["checks"].as_array().cloned().unwrap_or_default();
    let dead = checks.iter().find(|c| c["check"] == "dead-letters").cloned().unwrap_or_default();
    same("the level of the dead letters", dead["level"].as_str(), Some("warn"))?;
    holds(!dead["todo"].as_array().is_none_or(Vec::is_empty), || "it says nothing to do".to_owned())
}
