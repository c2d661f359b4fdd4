//! `coord agent register`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use crate::commands::{Context, Verb, values};
use crate::domain::agent::Agent;
use crate::domain::name::{AgentId, Team, Word};
use crate::domain::time::rfc3339;
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line};

/// Tell what an agent is: its team, how much it takes at a time, what it can do
///
/// Registering again changes what is given and keeps the rest. Without an ID, and without one in
/// `COORD_AGENT`, an id is made: `-q` prints it alone.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord agent register nova --team core --capacity 3
  coord agent register nova --capability rust --capability sql
  export COORD_AGENT=$(coord agent register -q --team edge)")]
pub(super) struct Args {
    /// The agent [default: `COORD_AGENT`, else a fresh `agent-…`]
    id: Option<AgentId>,

    /// Its team
    #[arg(long, value_name = "NAME")]
    team: Option<Team>,

    /// How many items it takes at a time [default: 1]
    #[arg(long, value_name = "N", value_parser = values::count, allow_negative_numbers = true)]
    capacity: Option<usize>,

    /// The type of work it is preferred for
    #[arg(long, value_name = "TYPE")]
    specialization: Option<Word>,

    /// Something it can do; may be given more than once, and replaces what it could before
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<Word>,
}

#[derive(JsonSchema, Serialize)]
struct Stands {
    id: String,
    team: Option<String>,
    capacity: u32,
    specialization: Option<String>,
    capabilities: Vec<String>,
    registered_at: String,
    updated: bool,
}

impl View for Stands {
    const SCHEMA: &'static str = "coord.agent.register/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let how = if self.updated { "updated" } else { "registered" };
        write!(out, "{how} {}, capacity {}", self.id, self.capacity)?;
        if let Some(team) = &self.team {
            write!(out, ", team {team}")?;
        }
        if let Some(special) = &self.specialization {
            write!(out, ", best at {}", line(special))?;
        }
        if !self.capabilities.is_empty() {
            write!(out, ", can {}", self.capabilities.join(", "))?;
        }
        writeln!(out)
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "{}", self.id)
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Stands>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let named = ["COORD_AGENT", "AGENT_ID"].iter().any(|name| cx.env.get(name).is_some());
        let id = match self.id {
            Some(id) => id,
            None if named => cx.agent(None)?,
            None => made(cx)?,
        };
        let op = cx.op(Some(&id))?;
        let store = cx.store()?;
        let before = store.agent(&id)?;
        let updated = before.is_some();
        let mut agent = before.unwrap_or_else(|| Agent {
            id: id.clone(),
            team: None,
            capacity: 1,
            specialization: None,
            capabilities: Vec::new(),
            registered_at: op.now.wall,
            extra: serde_json::Map::new(),
        });
        if self.team.is_some() {
            agent.team = self.team;
        }
        if let Some(capacity) = self.capacity {
            agent.capacity =
                u32::try_from(capacity).ok().filter(|c| *c <= MOST).ok_or_else(|| {
                    Error::new(
                        Kind::Usage,
                        format!("`--capacity` is {capacity}, expected 1 to {MOST}"),
                    )
                    .hint("it is how many items the agent works on at one time")
                })?;
        }
        if let Some(special) = self.specialization {
            agent.specialization = Some(special.to_string());
        }
        if !self.capabilities.is_empty() {
            agent.capabilities = self.capabilities;
            agent.capabilities.sort();
            agent.capabilities.dedup();
        }
        store.register(&agent, &op)?;
        store.heartbeat(&id, &op)?;
        cx.ui.emit(&Stands {
            id: agent.id.to_string(),
            team: agent.team.map(|t| t.to_string()),
            capacity: agent.capacity,
            specialization: agent.specialization,
            capabilities: agent.capabilities.iter().map(ToString::to_string).collect(),
            registered_at: rfc3339(agent.registered_at),
            updated,
        })?;
        Ok(())
    }
}

/// The largest capacity.
const MOST: u32 = 10_000;

/// An id that nobody has.
fn made(cx: &Context) -> Result<AgentId> {
    let text = format!("agent-{:08x}", cx.ids.bits() & 0xffff_ffff);
    text.parse().map_err(|_| Error::new(Kind::Bug, "a made agent id is not valid"))
}
