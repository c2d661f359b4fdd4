//! Items that are about to be added, and the limits they must keep.

use serde::Deserialize;
use thiserror::Error;

use super::{Item, Priority, Status};
use crate::domain::name::{AgentId, ItemId, NameError, Team, Word};
use crate::domain::time::Stamp;

/// What one item may hold.
#[derive(Debug)]
pub struct Limits;

impl Limits {
    /// Bytes of an item as JSON.
    pub const ITEM_BYTES: usize = 1 << 20;
    /// Characters of a title.
    pub const TITLE: usize = 1000;
    /// Labels, capabilities, dependencies of one item, each.
    pub const LIST: usize = 10_000;
    /// Levels of nesting in JSON that comes in.
    pub const DEPTH: usize = 64;
    /// Items in one transaction.
    pub const BATCH: usize = 100_000;
    /// Attempts before an item is dead, unless it says otherwise.
    pub const MAX_ATTEMPTS: u32 = 3;
    /// Points and attempts.
    pub const NUMBER: u32 = 1_000_000;
}

/// Why an item cannot be added.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum NewError {
    /// The title is missing or blank.
    #[error("the title is empty")]
    NoTitle,
    /// The title is too long.
    #[error("the title has {0} characters, at most {max} are allowed", max = Limits::TITLE)]
    LongTitle(usize),
    /// A list is too long.
    #[error("it has {1} {0}, at most {max} are allowed", max = Limits::LIST)]
    LongList(&'static str, usize),
    /// The whole is too large.
    #[error("it has {0} bytes, at most {max} are allowed", max = Limits::ITEM_BYTES)]
    TooLarge(usize),
    /// A field has a bad name in it.
    #[error("`{field}`: {why}")]
    Name {
        /// The field.
        field: &'static str,
        /// What is wrong.
        why: NameError,
    },
    /// A number is out of range.
    #[error("`{field}` is {value}, expected {min} to {max}")]
    Range {
        /// The field.
        field: &'static str,
        /// What was given.
        value: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// The text of the idempotency key is unfit.
    #[error("`key` must have 1 to 200 characters")]
    Key,
}

/// An item as a user writes it: one object of JSONL or YAML, or the flags of `work add`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// What is to be done, in a line.
    #[serde(default)]
    pub title: String,
    /// What is to be done, at length.
    #[serde(default)]
    pub description: Option<String>,
    /// An identifier to use instead of a made one.
    #[serde(default)]
    pub id: Option<ItemId>,
    /// What kind of work it is.
    #[serde(default, rename = "type")]
    pub kind: Option<Word>,
    /// How urgent it is.
    #[serde(default)]
    pub priority: Option<Priority>,
    /// Whose work it is.
    #[serde(default)]
    pub team: Option<Team>,
    /// Words to find it by.
    #[serde(default)]
    pub labels: Vec<Word>,
    /// What an agent must be able to do to take it.
    #[serde(default)]
    pub capabilities: Vec<Word>,
    /// Ids of items that must be done first, or keys of items in the same batch.
    #[serde(default)]
    pub needs: Vec<String>,
    /// How much work it is.
    #[serde(default)]
    pub points: Option<u32>,
    /// How long it is thought to take, in seconds.
    #[serde(default)]
    pub estimate_s: Option<u64>,
    /// The agent it is kept for.
    #[serde(default)]
    pub assignee: Option<AgentId>,
    /// How many attempts it has.
    #[serde(default)]
    pub max_attempts: Option<u32>,
    /// Adding the same key twice adds one item.
    #[serde(default)]
    pub key: Option<String>,
    /// The trace it belongs to.
    #[serde(default)]
    pub trace_id: Option<String>,
}

/// An item that keeps the limits and waits for its id.
#[derive(Clone, Debug)]
pub struct NewItem {
    draft: Draft,
    extra: serde_json::Map<String, serde_json::Value>,
}

impl TryFrom<Draft> for NewItem {
    type Error = NewError;

    fn try_from(mut draft: Draft) -> Result<Self, NewError> {
        let title = draft.title.trim().to_owned();
        draft.title = title;
        let characters = draft.title.chars().count();
        if draft.title.is_empty() {
            return Err(NewError::NoTitle);
        }
        if characters > Limits::TITLE {
            return Err(NewError::LongTitle(characters));
        }
        for (what, list) in [
            ("labels", draft.labels.len()),
            ("capabilities", draft.capabilities.len()),
            ("dependencies", draft.needs.len()),
        ] {
            if list > Limits::LIST {
                return Err(NewError::LongList(what, list));
            }
        }
        let range = |field, value: Option<u32>, min: u32| match value {
            Some(v) if v < min || v > Limits::NUMBER => Err(NewError::Range {
                field,
                value: v.into(),
                min: min.into(),
                max: Limits::NUMBER.into(),
            }),
            _ => Ok(()),
        };
        range("points", draft.points, 0)?;
        range("max_attempts", draft.max_attempts, 1)?;
        if draft.key.as_ref().is_some_and(|k| k.is_empty() || k.chars().count() > 200) {
            return Err(NewError::Key);
        }
        for list in [&mut draft.labels, &mut draft.capabilities] {
            list.sort_unstable();
            list.dedup();
        }
        let mut seen = std::collections::BTreeSet::new();
        draft.needs.retain(|n| seen.insert(n.clone()));
        Ok(Self { draft, extra: serde_json::Map::new() })
    }
}

impl NewItem {
    /// What the user wrote.
    #[must_use]
    pub const fn draft(&self) -> &Draft {
        &self.draft
    }

    /// Keeps fields that have no place of their own.
    #[must_use]
    pub fn keeping(mut self, extra: serde_json::Map<String, serde_json::Value>) -> Self {
        self.extra = extra;
        self
    }

    /// Makes the item, with the id and the dependencies that the store has found for it.
    #[must_use]
    pub fn into_item(self, id: ItemId, needs: Vec<ItemId>, now: Stamp) -> Item {
        let Self { draft: d, extra } = self;
        Item {
            id,
            status: Status::Pending,
            priority: d.priority.unwrap_or_default(),
            title: d.title,
            description: d.description,
            kind: d.kind,
            team: d.team,
            labels: d.labels,
            capabilities: d.capabilities,
            needs,
            points: d.points,
            estimate_s: d.estimate_s,
            assignee: d.assignee,
            agent: None,
            token: None,
            lease: None,
            attempt: 0,
            max_attempts: d.max_attempts.unwrap_or(Limits::MAX_ATTEMPTS),
            progress: 0,
            note: None,
            result: None,
            created_at: now.wall,
            claimed_at: None,
            finished_at: None,
            key: d.key,
            trace_id: d.trace_id,
            extra,
        }
    }
}
