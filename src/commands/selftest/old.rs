//! Coming from the old shell system.

use serde_json::Value;

use super::room::{Held, Room, holds, same};
use super::{Case, case};

pub(super) const CASES: &[Case] = &[
    case("old/import", "an old system's files become items, agents and history, once", import),
    case("old/words", "the old command line answers as before", words),
    case("old/link", "a link named `coordination_helper.sh` is the old program", link),
    case("old/mirrors", "the old files are kept as whole copies of the store", mirrors),
    case("old/names", "an old word as a new command is answered with the new one", names),
];

const CLAIMS: &str = r#"[
  {"work_item_id":"work_1","agent_id":"agent_1","reactor_id":"shell_agent","claimed_at":"2025-09-08T08:00:00Z",
   "estimated_duration":"30m","work_type":"bug","priority":"high","description":"Winter timetable","status":"completed",
   "team":"booking","completed_at":"2025-09-08T08:11:00Z","result":"success","telemetry":{}},
  {"work_item_id":"work_2","agent_id":"agent_2","reactor_id":"shell_agent","claimed_at":"2025-09-08T09:00:00Z",
   "estimated_duration":"30m","work_type":"bug","priority":"low","description":"Stale price","status":"pending",
   "team":"booking","telemetry":{}}
]
"#;

const AGENTS: &str = r#"[
  {"agent_id":"agent_1","team":"booking","status":"active","capacity":100,"current_workload":0,
   "specialization":"bug","last_heartbeat":"2025-09-08T08:00:00Z",
   "performance_metrics":{"tasks_completed":1,"average_completion_time":"11m","success_rate":100.0}}
]
"#;

fn import(room: &Room<'_>) -> Held {
    room.write("old/work_claims.json", CLAIMS)?;
    room.write("old/agent_status.json", AGENTS)?;
    room.write("old/velocity_log.txt", "2025-09-08T08:11:00Z: Team booking +5 velocity points\n")?;
    let report = room.json("import old")?;
    same("the items that were added", report["items"]["added"].as_u64(), Some(2))?;
    same("the agents that were added", report["agents"]["added"].as_u64(), Some(1))?;
    let done = room.json("work show work_1")?;
    same("the finished one", done["status"].as_str(), Some("done"))?;
    same("its title", done["title"].as_str(), Some("Winter timetable"))?;
    room.coord("claim -q")?.done()?.answers("work_2")?;
    let again = room.json("import old")?;
    same("what a second import adds", again["items"]["added"].as_u64(), Some(0))?;
    room.coord("verify")?.done()?;
    same("the old file", room.read("old/work_claims.json")?, CLAIMS)
}

/// Claims with the old words and gives the id that the answer names.
fn claimed(room: &Room<'_>) -> Held<String> {
    let claim = room.coord("compat claim bug 'Mend it' high core")?;
    claim.done()?.shows("SUCCESS: Claimed work item work_")?.shows("for team core")?;
    let rest = claim.out.split("work item ").nth(1).unwrap_or_default();
    Ok(rest.split(' ').next().unwrap_or_default().to_owned())
}

fn words(room: &Room<'_>) -> Held {
    let id = claimed(room)?;
    room.coord(&format!("compat progress {id} 50"))?.done()?.shows("50%")?;
    room.coord(&format!("compat complete {id} success 8"))?.done()?.shows("8 velocity points")?;
    let item = room.json(&format!("work show {id}"))?;
    same("the status", item["status"].as_str(), Some("done"))?;
    same("the points", item["points"].as_u64(), Some(8))?;
    room.coord("compat register nova core 100 rust")?.done()?.shows("nova")?;
    room.coord("compat dashboard")?.done()?.shows("DASHBOARD")?.shows("8 story points")?;
    room.coord("compat progress work_9 50")?.ends(1).map(drop)
}

fn link(room: &Room<'_>) -> Held {
    let line = "ln -s \"$COORD\" coordination_helper.sh && ./coordination_helper.sh help";
    room.shell(line)?.done()?.shows("Usage: coordination_helper.sh <command>")?;
    let line = "./coordination_helper.sh claim chore Sweep low core";
    room.shell(line)?.done()?.shows("SUCCESS")?;
    same("the number of items", room.json("status")?["active"].as_u64(), Some(1))
}

fn mirrors(room: &Room<'_>) -> Held {
    let id = claimed(room)?;
    let file = |name: &str| -> Held<Value> {
        let text = room.read(&format!(".coord/{name}"))?;
        serde_json::from_str(&text).map_err(|e| format!("`{name}` is no JSON: {e}"))
    };
    let row = file("work_claims.json")?[0].take();
    same("the id", row["work_item_id"].as_str(), Some(id.as_str()))?;
    same("the text", row["description"].as_str(), Some("Mend it"))?;
    same("the status", row["status"].as_str(), Some("active"))?;
    // What the new command line does is in them after the next old word.
    room.coord(&format!("complete {id}"))?.done()?;
    room.coord("compat sync")?.done()?;
    same("the status", file("work_claims.json")?[0]["status"].as_str(), Some("completed"))?;
    let log = file("coordination_log.json")?;
    same("what is logged", log[0]["work_item_id"].as_str(), Some(id.as_str()))?;
    let agents = file("agent_status.json")?;
    holds(agents.as_array().is_some(), || "`agent_status.json` is no list".to_owned())
}

fn names(room: &Room<'_>) -> Held {
    room.coord("claim-fast")?.fails(2, "coord work claim")?;
    room.coord("help legacy agent_swarm_orchestrator.sh")?
        .done()?
        .shows("coord swarm run")
        .map(drop)
}
