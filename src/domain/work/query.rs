//! Which items a reader wants to see.

use std::cmp::Ordering;

use super::{Found, State};
use crate::domain::name::{AgentId, Team, Word};

/// How a list is ordered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Sort {
    /// By priority, then in the order in which they came into the store: so they are claimed.
    #[default]
    Priority,
    /// In the order in which they were added to the store.
    Added,
    /// Oldest first.
    Created,
    /// Last changed first.
    Updated,
    /// By state, then by priority.
    Status,
    /// By team, then by priority.
    Team,
    /// By the holder, then by priority.
    Agent,
    /// Most points first.
    Points,
}

/// What a list shall hold: every condition that is given must be met.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Any of these states; with none given, everything that is not done.
    pub states: Vec<State>,
    /// Of this team.
    pub team: Option<Team>,
    /// Of this type.
    pub kind: Option<Word>,
    /// With all these labels.
    pub labels: Vec<Word>,
    /// Any of these priorities.
    pub priorities: Vec<super::Priority>,
    /// Held by or kept for this agent.
    pub agent: Option<AgentId>,
    /// With this text in the title, whatever the case.
    pub text: Option<String>,
    /// Everything, done items too.
    pub all: bool,
    /// The order.
    pub sort: Sort,
    /// Backwards.
    pub reverse: bool,
    /// At most so many.
    pub limit: Option<usize>,
}

impl Query {
    /// Whether items in `state` can be part of the answer.
    #[must_use]
    pub fn wants(&self, state: State) -> bool {
        if self.states.is_empty() {
            self.all || state != State::Done
        } else {
            self.states.contains(&state)
        }
    }

    /// Whether `found` is part of the answer.
    #[must_use]
    pub fn matches(&self, found: &Found) -> bool {
        let item = &found.item;
        self.wants(found.state())
            && self.team.as_ref().is_none_or(|t| item.team.as_ref() == Some(t))
            && self.kind.as_ref().is_none_or(|k| item.kind.as_ref() == Some(k))
            && self.labels.iter().all(|l| item.labels.contains(l))
            && (self.priorities.is_empty() || self.priorities.contains(&item.priority))
            && self
                .agent
                .as_ref()
                .is_none_or(|a| item.agent.as_ref() == Some(a) || item.assignee.as_ref() == Some(a))
            && self
                .text
                .as_ref()
                .is_none_or(|t| item.title.to_lowercase().contains(&t.to_lowercase()))
    }

    /// Whether nothing but the state, if anything, narrows the answer.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.team.is_none()
            && self.kind.is_none()
            && self.labels.is_empty()
            && self.agent.is_none()
            && self.text.is_none()
    }

    /// The order of two items; ties keep the order in which they were added.
    #[must_use]
    pub fn compare(&self, a: &Found, b: &Found) -> Ordering {
        let (x, y) = (&a.item, &b.item);
        let order = match self.sort {
            Sort::Priority => x.priority.cmp(&y.priority),
            Sort::Added => Ordering::Equal,
            Sort::Created => x.created_at.cmp(&y.created_at),
            Sort::Updated => b.n.cmp(&a.n),
            Sort::Status => a.state().cmp(&b.state()).then(x.priority.cmp(&y.priority)),
            Sort::Team => x.team.cmp(&y.team).then(x.priority.cmp(&y.priority)),
            Sort::Agent => x.agent.cmp(&y.agent).then(x.priority.cmp(&y.priority)),
            Sort::Points => y.points.cmp(&x.points),
        };
        if self.reverse { order.reverse() } else { order }
    }
}

/// A list, or the first part of one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The items, in order.
    pub items: Vec<Found>,
    /// How many there are in all.
    pub total: u64,
}
