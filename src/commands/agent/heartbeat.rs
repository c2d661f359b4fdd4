//! `coord agent heartbeat`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use crate::commands::{Context, Verb};
use crate::domain::name::AgentId;
use crate::domain::time::{human_duration, rfc3339};
use crate::error::Result;
use crate::output::{Screen, Shape, View, plural};

/// Give a sign of life, and renew the leases of all that the agent holds
///
/// It takes no lock and reads nothing but the agent's own file, so it may be called often.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
#[command(after_help = "\
Examples:
  coord agent heartbeat             For the agent in `COORD_AGENT`
  coord agent heartbeat nova --held Tell also what it holds and until when")]
pub(crate) struct Args {
    /// The agent [default: `COORD_AGENT`, else a name made from user, host and terminal]
    pub(crate) id: Option<AgentId>,

    /// Tell how many items it holds and when the first lease ends
    #[arg(long)]
    pub(crate) held: bool,
}

#[derive(JsonSchema, Serialize)]
struct Alive {
    agent: String,
    at: String,
    registered: bool,
    held: Option<u64>,
    lease_left_s: Option<f64>,
}

impl View for Alive {
    const SCHEMA: &'static str = "coord.agent.heartbeat/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        write!(out, "{} is alive", self.agent)?;
        if let Some(held) = self.held {
            write!(out, ", holds {}", plural(held, "item"))?;
        }
        if let Some(left) = self.lease_left_s {
            let left = std::time::Duration::try_from_secs_f64(left).unwrap_or_default();
            write!(out, ", the first lease ends in {}", human_duration(left))?;
        }
        writeln!(out)
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Alive>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let agent = cx.agent(self.id.as_ref())?;
        let op = cx.op(Some(&agent))?;
        let store = cx.store()?;
        let registered = store.heartbeat(&agent, &op)?;
        let (mut held, mut left) = (None, None);
        if self.held {
            let items = store.held(&agent)?;
            held = Some(items.len() as u64);
            // The sign of life counts for every lease, whatever stands in the log.
            let ends =
                items.iter().filter_map(|found| found.item.lease?.renewed(op.now).left(op.now));
            left = ends.min().map(|left| left.as_secs_f64());
        }
        cx.ui.emit(&Alive {
            agent: agent.to_string(),
            at: rfc3339(op.now.wall),
            registered,
            held,
            lease_left_s: left,
        })?;
        if !registered && cx.ui.is_attended() {
            cx.ui.status(&format!("`{agent}` has not registered; `coord agent register` does it"));
        }
        Ok(())
    }
}
