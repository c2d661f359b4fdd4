//! `coord agent list`.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::commands::{Context, Verb};
use crate::domain::agent::Known;
use crate::domain::name::{AgentId, Team};
use crate::domain::time::{human_duration, parse_duration, rfc3339};
use crate::error::Result;
use crate::output::{Column, Screen, Shape, Table, View};

/// List agents: load, throughput, success, last sign of life
///
/// Throughput counts items done per hour since the agent registered, or over `--since`. On a pipe
/// the columns are id, team, held, capacity, done, failed, expired, success in percent, items per
/// hour, points, last seen and `silent` or nothing, separated by tabs.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord agent list                    Everybody who registered or ever worked
  coord agent list --team core        One team
  coord agent list --silent           Who has not been heard of for a while
  coord agent list --since 1h --json  Throughput of the last hour")]
pub(super) struct Args {
    /// Only agents of this team
    #[arg(long, value_name = "NAME")]
    team: Option<Team>,

    /// Only agents that have been silent for longer than `agent.silent-after`
    #[arg(long)]
    silent: bool,

    /// Count throughput over this last stretch of time; it reads the whole history
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    since: Option<Duration>,
}

#[derive(JsonSchema, Serialize)]
struct List {
    agents: Vec<Row>,
    total: usize,
    silent_after_s: u64,
    since_s: Option<u64>,
}

#[derive(JsonSchema, Serialize)]
struct Row {
    id: String,
    registered: bool,
    team: Option<String>,
    held: u32,
    capacity: Option<u32>,
    load: Option<f64>,
    specialization: Option<String>,
    capabilities: Vec<String>,
    done: u64,
    failed: u64,
    expired: u64,
    success_rate: Option<f64>,
    throughput_per_h: Option<f64>,
    points: u64,
    registered_at: Option<String>,
    seen_at: Option<String>,
    seen_ago_s: Option<u64>,
    silent: bool,
}

impl View for List {
    const SCHEMA: &'static str = "coord.agent.list/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        if self.agents.is_empty() {
            return match screen.width {
                Some(_) => writeln!(out, "no agents recorded that fit"),
                None => Ok(()),
            };
        }
        let mut table = Table::new(vec![
            Column::new("ID"),
            Column::new("TEAM").shrinks(),
            Column::new("HELD").right(),
            Column::new("CAP").right(),
            Column::new("DONE").right(),
            Column::new("FAILED").right(),
            Column::new("EXPIRED").right(),
            Column::new("OK%").right(),
            Column::new("PER HOUR").right(),
            Column::new("POINTS").right(),
            Column::new("SEEN"),
            Column::new(""),
        ]);
        for row in &self.agents {
            let rounded = |x: Option<f64>, places: usize| {
                x.map(|x| format!("{x:.places$}")).unwrap_or_default()
            };
            let seen = if screen.width.is_some() {
                row.seen_ago_s.map(|s| format!("{} ago", human_duration(Duration::from_secs(s))))
            } else {
                row.seen_at.clone()
            };
            table.row([
                row.id.clone(),
                row.team.clone().unwrap_or_default(),
                row.held.to_string(),
                row.capacity.map(|c| c.to_string()).unwrap_or_default(),
                row.done.to_string(),
                row.failed.to_string(),
                row.expired.to_string(),
                rounded(row.success_rate.map(|r| r * 100.0), 0),
                rounded(row.throughput_per_h, 1),
                row.points.to_string(),
                seen.unwrap_or_default(),
                if row.silent { "silent".to_owned() } else { String::new() },
            ]);
        }
        table.write(out, screen)
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.agents.iter().try_for_each(|row| writeln!(out, "{}", row.id))
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.agents.iter().map(|row| serde_json::to_value(row).ok()).collect()
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<List>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let silent_after = cx.settings()?.silent_after();
        let now = cx.clock.wall();
        let store = cx.reader()?;
        let known = store.agents()?;
        let mut lately: BTreeMap<AgentId, u64> = BTreeMap::new();
        if let Some(since) = self.since {
            let from = now - chrono::TimeDelta::from_std(since).unwrap_or_default();
            store.events(0, &mut |event| {
                if event.verb == "complete" && event.at >= from {
                    let agent = event.item.agent.as_ref().unwrap_or(&event.by);
                    *lately.entry(agent.clone()).or_default() += 1;
                }
                true
            })?;
        }
        let row = |known: Known| {
            let age = known.seen_at.map(|seen| (now - seen).to_std().unwrap_or_default());
            let success_rate = known.success_rate();
            let agent = known.agent;
            let registered_at = agent.as_ref().map(|a| a.registered_at);
            let capacity = agent.as_ref().map(|a| a.capacity);
            let throughput_per_h = match self.since {
                Some(since) => per_hour(lately.get(&known.id).copied().unwrap_or(0), since),
                None => registered_at
                    .and_then(|at| per_hour(known.done, (now - at).to_std().unwrap_or_default())),
            };
            Row {
                id: known.id.to_string(),
                registered: agent.is_some(),
                team: agent.as_ref().and_then(|a| a.team.as_ref()).map(ToString::to_string),
                held: known.held,
                capacity,
                load: capacity.filter(|c| *c > 0).map(|c| f64::from(known.held) / f64::from(c)),
                specialization: agent.as_ref().and_then(|a| a.specialization.clone()),
                capabilities: agent
                    .map(|a| a.capabilities.iter().map(ToString::to_string).collect())
                    .unwrap_or_default(),
                done: known.done,
                failed: known.failed,
                expired: known.expired,
                success_rate,
                throughput_per_h,
                points: known.points,
                registered_at: registered_at.map(rfc3339),
                seen_at: known.seen_at.map(rfc3339),
                seen_ago_s: age.map(|age| age.as_secs()),
                silent: age.is_none_or(|age| age > silent_after),
            }
        };
        let mut agents: Vec<Row> = known.into_iter().map(row).collect();
        agents.retain(|row| {
            (!self.silent || row.silent)
                && self.team.as_ref().is_none_or(|t| row.team.as_deref() == Some(t.as_str()))
        });
        cx.ui.emit(&List {
            total: agents.len(),
            agents,
            silent_after_s: silent_after.as_secs(),
            since_s: self.since.map(|s| s.as_secs()),
        })?;
        Ok(())
    }
}

/// Items per hour; nothing over less than a second, where it would mean nothing.
#[expect(clippy::cast_precision_loss, reason = "a rate for people; counts stay far below 2^52")]
fn per_hour(count: u64, time: Duration) -> Option<f64> {
    (time >= Duration::from_secs(1)).then(|| count as f64 * 3600.0 / time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        assert_eq!(per_hour(10, Duration::from_hours(2)), Some(5.0));
        assert_eq!(per_hour(0, Duration::from_mins(1)), Some(0.0));
        assert_eq!(per_hour(10, Duration::from_millis(5)), None);
    }
}
