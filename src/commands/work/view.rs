//! How an item looks, wherever one is shown.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::name::ItemId;
use crate::domain::time::{Stamp, human_duration, rfc3339};
use crate::domain::work::Found;
use crate::output::style::{DIM, LITERAL};
use crate::output::{line, text};

/// An item as programs see it. What is absent is null.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct ItemView {
    pub(crate) id: String,
    pub(crate) status: &'static str,
    pub(crate) priority: &'static str,
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) team: Option<String>,
    pub(crate) labels: Vec<String>,
    pub(crate) capabilities: Vec<String>,
    pub(crate) needs: Vec<String>,
    pub(crate) open_needs: u32,
    pub(crate) points: Option<u32>,
    pub(crate) estimate_s: Option<u64>,
    pub(crate) assignee: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) token: Option<u64>,
    pub(crate) lease_until: Option<String>,
    pub(crate) lease_left_s: Option<u64>,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) progress: u8,
    pub(crate) note: Option<String>,
    pub(crate) result: Option<String>,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
    pub(crate) claimed_at: Option<String>,
    pub(crate) finished_at: Option<String>,
    pub(crate) key: Option<String>,
    /// The trace of its life: what `coord trace show` shows.
    pub(crate) trace_id: Option<String>,
    pub(crate) n: u64,
}

impl ItemView {
    /// The item as it stands at `now`.
    pub(crate) fn new(found: Found, now: Stamp) -> Self {
        let status = found.state().as_str();
        let Found { item, n, updated_at, open_needs } = found;
        // An old program may have named it in its own way.
        let trace_id = item.trace_id.clone().or_else(|| Some(item.trace().to_string()));
        let texts =
            |list: &[crate::domain::name::Word]| list.iter().map(ToString::to_string).collect();
        Self {
            id: item.id.to_string(),
            status,
            priority: item.priority.as_str(),
            description: item.description,
            kind: item.kind.map(|k| k.to_string()),
            team: item.team.map(|t| t.to_string()),
            labels: texts(&item.labels),
            capabilities: texts(&item.capabilities),
            needs: item.needs.iter().map(ToString::to_string).collect(),
            open_needs,
            points: item.points,
            estimate_s: item.estimate_s,
            assignee: item.assignee.map(|a| a.to_string()),
            agent: item.agent.map(|a| a.to_string()),
            token: item.token,
            lease_until: item.lease.map(|l| rfc3339(l.until)),
            lease_left_s: item.lease.map(|l| l.left(now).unwrap_or_default().as_secs()),
            attempt: item.attempt,
            max_attempts: item.max_attempts,
            progress: item.progress,
            note: item.note,
            result: item.result,
            created_at: rfc3339(item.created_at),
            updated_at: rfc3339(updated_at),
            claimed_at: item.claimed_at.map(rfc3339),
            finished_at: item.finished_at.map(rfc3339),
            key: item.key,
            trace_id,
            n,
            title: item.title,
        }
    }

    /// The heading of an item for people: id and title.
    pub(crate) fn heading(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "{LITERAL}{}{LITERAL:#}  {}", self.id, line(&self.title))
    }

    /// Everything that is known of it, for people: one fact a line, nothing where nothing is known.
    pub(crate) fn facts(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let mut fact = |name: &str, value: Option<String>| match value {
            Some(value) => writeln!(out, "  {DIM}{name:<13}{DIM:#} {}", line(&value)),
            None => Ok(()),
        };
        let joined = |list: &[String]| (!list.is_empty()).then(|| list.join(", "));
        let seconds = |s| human_duration(std::time::Duration::from_secs(s));
        let percent = (self.progress > 0).then(|| format!(", {} %", self.progress));
        fact("status", Some(format!("{}{}", self.status, percent.unwrap_or_default())))?;
        fact("priority", Some(self.priority.to_owned()))?;
        fact("type", self.kind.clone())?;
        fact("team", self.team.clone())?;
        fact("labels", joined(&self.labels))?;
        fact("capabilities", joined(&self.capabilities))?;
        fact("needs", joined(&self.needs))?;
        fact("points", self.points.map(|p| p.to_string()))?;
        fact("estimate", self.estimate_s.map(seconds))?;
        fact("kept for", self.assignee.clone())?;
        fact("agent", self.agent.clone())?;
        fact(
            "lease",
            self.lease_left_s.map(|s| match s {
                0 => "has run out".to_owned(),
                s => format!("{} left", seconds(s)),
            }),
        )?;
        fact("token", self.token.map(|t| t.to_string()))?;
        fact(
            "attempt",
            (self.attempt > 0).then(|| format!("{} of {}", self.attempt, self.max_attempts)),
        )?;
        fact("note", self.note.clone())?;
        fact("result", self.result.clone())?;
        fact("added", Some(self.created_at.clone()))?;
        fact("claimed", self.claimed_at.clone())?;
        fact("finished", self.finished_at.clone())?;
        fact("key", self.key.clone())?;
        fact("trace", self.trace_id.clone())?;
        if let Some(description) = &self.description {
            writeln!(out)?;
            for row in text(description).lines() {
                writeln!(out, "  {row}")?;
            }
        }
        Ok(())
    }
}

/// Names at most a few ids in a sentence.
pub(crate) fn some_ids(ids: &[ItemId]) -> String {
    let shown: Vec<_> = ids.iter().take(5).map(|id| format!("`{id}`")).collect();
    let rest = ids.len().saturating_sub(shown.len());
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
