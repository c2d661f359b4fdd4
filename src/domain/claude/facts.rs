//! The part of the store that an analysis looks at: small, bounded, and without what is nobody's
//! business outside (descriptions, notes, results, free fields).
//!
//! Ages are whole hours: the same state some minutes later is the same question, so that a cached
//! answer can serve it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::agent::Known;
use crate::domain::name::ItemId;
use crate::domain::work::{Found, State};

/// The most items of one state that are sent.
const ITEMS: usize = 60;
/// The most agents that are sent.
const AGENTS: usize = 60;
/// The most characters of a title.
const TITLE: usize = 120;
/// The most labels and capabilities of one row.
const WORDS: usize = 8;

/// What the projection is made from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Every item that is not done, in the order in which items are claimed.
    pub items: &'a [Found],
    /// Every known agent.
    pub agents: &'a [Known],
    /// How many items are done.
    pub done: u64,
    /// Now.
    pub now: DateTime<Utc>,
    /// After what time an agent counts as silent.
    pub silent_after: Duration,
}

/// The projection, as it is sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    /// Items per state.
    pub counts: BTreeMap<&'static str, u64>,
    /// Items that can be claimed, the most urgent first.
    pub ready: Vec<Row>,
    /// Items that agents hold.
    pub active: Vec<Row>,
    /// Items that wait for others.
    pub blocked: Vec<Row>,
    /// Items that were given up, failed and dead ones.
    pub given_up: Vec<Row>,
    /// Agents.
    pub agents: Vec<AgentRow>,
    /// Teams that have items or agents.
    pub teams: Vec<TeamRow>,
    /// What was left out to stay small.
    pub left_out: LeftOut,
}

/// An item.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Its priority.
    pub priority: &'static str,
    /// The beginning of its title.
    pub title: String,
    /// What kind of work it is.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whose work it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// What an agent must be able to do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// How much work it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<u32>,
    /// How old it is.
    pub age_h: u64,
    /// How many open items wait for it.
    #[serde(skip_serializing_if = "is_zero")]
    pub waited_for_by: u64,
    /// How many of the items it needs are not done.
    #[serde(skip_serializing_if = "is_zero")]
    pub waits_for: u64,
    /// Who holds it, or whom it is kept for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// How far it is, in percent.
    #[serde(skip_serializing_if = "is_zero")]
    pub progress: u64,
    /// How often it was claimed, and how often it may be.
    #[serde(skip_serializing_if = "is_zero")]
    pub attempts: u64,
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgentRow {
    /// Its id.
    pub id: String,
    /// Its team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// How many items it holds.
    pub held: u32,
    /// How many it takes at a time; absent if it never registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// What it is best at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub specialization: Option<String>,
    /// What it can do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Items it finished well.
    pub done: u64,
    /// Items it failed or let run out.
    pub lost: u64,
    /// Whether it gave no sign of life for long.
    pub silent: bool,
}

/// A team.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TeamRow {
    /// Its name.
    pub team: String,
    /// Its agents that are not silent.
    pub agents: u64,
    /// How many items those take at a time.
    pub capacity: u64,
    /// How many items those hold.
    pub held: u64,
    /// Its items that can be claimed.
    pub ready: u64,
    /// Its items that are not finished.
    pub open: u64,
}

/// What was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LeftOut {
    /// Items.
    pub items: usize,
    /// Agents.
    pub agents: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Facts {
    /// Projects the store.
    #[must_use]
    pub fn new(source: &Source<'_>) -> Self {
        let mut waited: BTreeMap<&ItemId, u64> = BTreeMap::new();
        for need in source.items.iter().flat_map(|found| &found.item.needs) {
            *waited.entry(need).or_default() += 1;
        }
        let mut counts: BTreeMap<&'static str, u64> =
            State::ALL.iter().map(|state| (state.as_str(), 0)).collect();
        counts.insert(State::Done.as_str(), source.done);
        let mut left_out = LeftOut::default();
        let (mut ready, mut active, mut blocked, mut given_up) = Default::default();
        for found in source.items {
            *counts.entry(found.state().as_str()).or_default() += 1;
            let rows: &mut Vec<Row> = match found.state() {
                State::Pending => &mut ready,
                State::Active => &mut active,
                State::Blocked => &mut blocked,
                State::Failed | State::Dead => &mut given_up,
                State::Done => continue,
            };
            if rows.len() < ITEMS {
                let waiting = waited.get(&found.item.id).copied().unwrap_or(0);
                rows.push(Row::new(found, waiting, source.now));
            } else {
                left_out.items += 1;
            }
        }
        let mut agents: Vec<AgentRow> =
            source.agents.iter().map(|known| AgentRow::new(known, source)).collect();
        let teams = teams(source.items, &agents);
        // Those who can be given something or hold something come first.
        agents.sort_by_key(|agent| (agent.silent, agent.held == 0, agent.capacity.is_none()));
        left_out.agents = agents.len().saturating_sub(AGENTS);
        agents.truncate(AGENTS);
        Self { counts, ready, active, blocked, given_up, agents, teams, left_out }
    }

    /// Whether there is anything to be asked about.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.values().all(|n| *n == 0) && self.agents.is_empty()
    }

    /// All items of the projection.
    pub fn items(&self) -> impl Iterator<Item = &Row> {
        self.ready.iter().chain(&self.active).chain(&self.blocked).chain(&self.given_up)
    }

    /// The ids of all its items.
    #[must_use]
    pub fn item_ids(&self) -> BTreeSet<&str> {
        self.items().map(|row| row.id.as_str()).collect()
    }

    /// The ids of all its agents.
    #[must_use]
    pub fn agent_ids(&self) -> BTreeSet<&str> {
        self.agents.iter().map(|row| row.id.as_str()).collect()
    }

    /// The data as text between marks. No `<` of the data is left in it, so that nothing in a title
    /// can end the data early.
    #[must_use]
    pub fn as_data(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        format!("<work_data>\n{}\n</work_data>", text.replace('<', "\\u003c"))
    }
}

impl Row {
    fn new(found: &Found, waited_for_by: u64, now: DateTime<Utc>) -> Self {
        let item = &found.item;
        let agent = if found.state() == State::Active { &item.agent } else { &item.assignee };
        Self {
            id: item.id.to_string(),
            priority: item.priority.as_str(),
            title: short(&item.title),
            kind: item.kind.as_ref().map(ToString::to_string),
            team: item.team.as_ref().map(ToString::to_string),
            capabilities: item.capabilities.iter().take(WORDS).map(ToString::to_string).collect(),
            points: item.points,
            age_h: hours(now - item.created_at),
            waited_for_by,
            waits_for: found.open_needs.into(),
            agent: agent.as_ref().map(ToString::to_string),
            progress: item.progress.into(),
            attempts: item.attempt.into(),
        }
    }
}

impl AgentRow {
    fn new(known: &Known, source: &Source<'_>) -> Self {
        let said = known.agent.as_ref();
        let silent = known.seen_at.is_none_or(|seen| {
            (source.now - seen).to_std().is_ok_and(|age| age > source.silent_after)
        });
        let capabilities = said.map(|a| a.capabilities.as_slice()).unwrap_or_default();
        Self {
            id: known.id.to_string(),
            team: said.and_then(|a| a.team.as_ref()).map(ToString::to_string),
            held: known.held,
            capacity: said.map(|a| a.capacity),
            specialization: said.and_then(|a| a.specialization.as_deref()).map(short),
            capabilities: capabilities.iter().take(WORDS).map(ToString::to_string).collect(),
            done: known.done,
            lost: known.failed + known.expired,
            silent,
        }
    }
}

fn teams(items: &[Found], agents: &[AgentRow]) -> Vec<TeamRow> {
    let mut teams: BTreeMap<String, TeamRow> = BTreeMap::new();
    let mut of = |name: &str, change: &dyn Fn(&mut TeamRow)| {
        let row = teams.entry(name.to_owned()).or_default();
        name.clone_into(&mut row.team);
        change(row);
    };
    for found in items {
        let Some(team) = &found.item.team else { continue };
        let state = found.state();
        of(team.as_str(), &|row| {
            row.open += u64::from(!found.item.status.is_finished());
            row.ready += u64::from(state == State::Pending);
        });
    }
    for agent in agents {
        let Some(team) = &agent.team else { continue };
        of(team, &|row| {
            let counts = u64::from(!agent.silent);
            row.agents += counts;
            row.capacity += counts * u64::from(agent.capacity.unwrap_or(0));
            row.held += counts * u64::from(agent.held);
        });
    }
    teams.into_values().take(AGENTS).collect()
}

/// The beginning of a text, without anything that acts.
fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TITLE).collect()
}

fn hours(age: chrono::TimeDelta) -> u64 {
    u64::try_from(age.num_hours()).unwrap_or(0)
}
