//! Which item an agent wants.

use std::time::Duration;

use super::Item;
use crate::domain::name::{AgentId, ItemId, Team, Word};

/// What an agent asks for when it claims. Without any wish it gets the best ready item: by
/// priority, then in the order in which items came into the store.
#[derive(Clone, Debug)]
pub struct Want {
    /// Who asks.
    pub agent: AgentId,
    /// This very item.
    pub id: Option<ItemId>,
    /// Only work of this team.
    pub team: Option<Team>,
    /// Only work of this type.
    pub kind: Option<Word>,
    /// Only work with all these labels.
    pub labels: Vec<Word>,
    /// What the agent can do, besides what it registered.
    pub capabilities: Vec<Word>,
    /// How long the claim holds unless it is renewed.
    pub lease: Duration,
}

impl Want {
    /// Whether the wishes can only be judged by reading items.
    #[must_use]
    pub fn reads_items(&self) -> bool {
        self.kind.is_some() || !self.labels.is_empty()
    }

    /// Whether `item` is what is asked for, given all that the agent can do.
    #[must_use]
    pub fn accepts(&self, item: &Item, capabilities: &[Word]) -> bool {
        self.team.as_ref().is_none_or(|team| item.team.as_ref() == Some(team))
            && self.kind.as_ref().is_none_or(|kind| item.kind.as_ref() == Some(kind))
            && self.labels.iter().all(|label| item.labels.contains(label))
            && item.assignee.as_ref().is_none_or(|a| *a == self.agent)
            && item
                .capabilities
                .iter()
                .all(|needed| capabilities.contains(needed) || self.capabilities.contains(needed))
    }
}
