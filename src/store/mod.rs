//! Durable state behind one trait.
//!
//! # The contract
//!
//! - Every changing operation is atomic: all of it is recorded or nothing. When it returns `Ok` it
//!   is durable; [`Error::Unknown`] means that it may or may not be, and repeating it with the same
//!   operation id tells.
//! - Writes are numbered `n = 1, 2, 3, …` and never repeat a number. The fencing token of a claim
//!   is the number of the write that recorded it.
//! - An operation whose id was given by the caller ([`Op::given`]) and was recorded in the last
//!   seven days is not done again: it gives the first answer.
//! - An item is held by at most one agent at a time. A lease that has run out is taken back by
//!   the next claim of anybody.
//! - Readers see a state that the store really had: all operations up to some number, none after.
//! - The rules themselves are the pure functions of [`crate::domain`]: an implementation only keeps.

pub mod alerts;
pub mod archive;
#[cfg(test)]
mod conformance;
mod error;
pub mod exported;
mod failure;
mod fields;
pub mod files;
pub mod imported;
pub mod journal;
#[cfg(test)]
mod memory;
pub mod mirror;
mod verified;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

pub use error::{Error, Holder};
pub use verified::{Problem, ProblemKind, Seen, Verified};

use crate::domain::agent::{Agent, Known};
use crate::domain::name::{AgentId, ItemId, OpId, Team, Word};
use crate::domain::work::{Change, Found, Item, Lease, NewItem, Op, Page, Query, State, Want};
use crate::sys::fs::Dir;

/// The live log, by which a state directory is known: without it a directory is just something that
/// was named.
pub const MARK: &str = "work.jsonl";

/// Whether a directory holds a store. Where that is known already nothing is looked up.
#[must_use]
pub fn is_in(dir: &Dir) -> bool {
    if !dir.is_ours() && dir.has(MARK) {
        dir.adopt();
    }
    dir.is_ours()
}

/// A directory that holds a store as far as can be seen.
#[cfg(test)]
fn scene() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::File::create(dir.path().join(MARK)).expect("a file");
    dir
}

/// The result of an operation on the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What an operation that adds items did.
#[derive(Clone, Debug, PartialEq)]
pub struct Added {
    /// The items in the order in which they were given, those that were there already included.
    pub items: Vec<Found>,
    /// How many of them were there already, by their idempotency key.
    pub existing: usize,
    /// Whether this is the answer to an earlier operation with the same id.
    pub repeated: bool,
}

/// What an operation on one item did.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The item as it now stands.
    pub found: Found,
    /// Whether nothing had to be done, or this answers an earlier operation with the same id.
    pub repeated: bool,
    /// Ids of items that became ready by it, at most 100.
    pub unblocked: Vec<ItemId>,
}

/// What a claim gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Claimed {
    /// An item.
    Taken(Box<Changed>),
    /// Nothing fits now.
    Nothing {
        /// When the next lease ends, if any is running: then there may be something.
        next_lease_end: Option<Duration>,
        /// Whether anything is left that is pending or active at all.
        open: u64,
    },
    /// The agent holds as many items as it registered for.
    Full {
        /// How many it holds.
        held: u32,
        /// How many it may hold.
        capacity: u32,
    },
}

/// One line of the audit trail.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The number of the write.
    pub n: u64,
    /// What was done: `add`, `claim`, `progress`, `complete`, `fail`, `expire`, …
    pub verb: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub by: AgentId,
    /// The operation it belongs to.
    pub op: OpId,
    /// The item after it.
    pub item: Item,
}

/// Counts of the whole store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The number of the last write.
    pub n: u64,
    /// Items per state, in the order of [`State::ALL`].
    pub states: [u64; 6],
    /// Points of all done items.
    pub points: u64,
}

impl Summary {
    /// The items in one state.
    #[must_use]
    pub fn count(&self, state: State) -> u64 {
        State::ALL.iter().position(|s| *s == state).map_or(0, |at| self.states[at])
    }

    /// All items.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.states.iter().sum()
    }
}

/// A team's share of the work.
#[derive(Clone, Debug, PartialEq)]
pub struct TeamSummary {
    /// The team.
    pub team: Team,
    /// Items not finished.
    pub open: u64,
    /// Items done.
    pub done: u64,
    /// Points of its done items.
    pub points: u64,
}

/// What removing an agent did.
#[derive(Clone, Debug, PartialEq)]
pub struct Removed {
    /// The items that went back, those it held and those kept for it.
    pub items: Vec<Found>,
    /// Whether it had registered.
    pub registered: bool,
}

/// A named lease around something outside the store, such as a file being edited or a deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Lock {
    /// Its name.
    pub name: Word,
    /// Who holds it.
    pub holder: AgentId,
    /// The fencing token: it grows with every acquisition of this name.
    pub token: u64,
    /// Since when.
    pub since: DateTime<Utc>,
    /// For how long, unless it is renewed.
    pub lease: Lease,
    /// What the holder says about it, such as the command it runs.
    pub note: Option<String>,
}

/// What asking for a named lock gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Acquired {
    /// It is ours.
    Yes(Lock),
    /// Somebody else's lease is running.
    Held(Lock),
}

/// Shared state: work and those who do it.
///
/// Methods take `&mut self` where they write; one value serves one caller at a time, and any number
/// of values, in any number of processes, may be open on the same state.
pub trait Store {
    /// Queues items, all or none.
    fn add(&mut self, items: Vec<NewItem>, op: &Op) -> Result<Added>;

    /// Records items as they are, with their state and history marks, all or none; items whose id
    /// is there already are left alone and counted in [`Added::existing`].
    fn import(&mut self, items: Vec<Item>, op: &Op) -> Result<Added>;

    /// Gives the best ready item, or the wanted one, to an agent.
    fn claim(&mut self, want: &Want, op: &Op) -> Result<Claimed>;

    /// Queues an item that needs no other and gives it to an agent at once, whatever the agent holds:
    /// nobody ever sees it without its holder.
    fn start(&mut self, item: Item, agent: &AgentId, lease: Duration, op: &Op) -> Result<Changed>;

    /// Changes one item.
    fn change(&mut self, id: &ItemId, change: &Change, op: &Op) -> Result<Changed>;

    /// Keeps pending items for agents (or for nobody), all or none; items that are no longer
    /// pending are left alone and not part of the answer.
    fn assign(&mut self, moves: &[(ItemId, Option<AgentId>)], op: &Op) -> Result<Vec<Found>>;

    /// Finds an item by its id or an unambiguous beginning of it.
    fn get(&self, id: &str) -> Result<Found>;

    /// Lists items.
    fn find(&self, query: &Query) -> Result<Page>;

    /// Some items whose ids begin like this and that are in one of the states, at most `limit`: for
    /// the completion of a half-typed id, where an answer at once is worth more than a full one.
    fn beginning(&self, prefix: &str, states: &[State], limit: usize) -> Result<Vec<Found>> {
        let states = states.to_vec();
        let page = self.find(&Query { states, ..Query::default() })?;
        let fits = |found: &Found| found.item.id.as_str().starts_with(prefix);
        Ok(page.items.into_iter().filter(fits).take(limit).collect())
    }

    /// The items an agent holds, oldest claim first.
    fn held(&self, agent: &AgentId) -> Result<Vec<Found>>;

    /// Counts the whole.
    fn summary(&self) -> Result<Summary>;

    /// Counts per team, by name.
    fn teams(&self) -> Result<Vec<TeamSummary>>;

    /// Shows every recorded event with a number above `since`, oldest first, until `see` says false.
    fn events(&self, since: u64, see: &mut dyn FnMut(&Event) -> bool) -> Result<()>;

    /// Every recorded event of one item, oldest first.
    fn history(&self, id: &ItemId) -> Result<Vec<Event>>;

    /// Creates or replaces what an agent says about itself.
    fn register(&mut self, agent: &Agent, op: &Op) -> Result<()>;

    /// Notes a sign of life; renews the agent's leases. Takes no lock. Tells whether the agent had
    /// registered.
    fn heartbeat(&mut self, id: &AgentId, op: &Op) -> Result<bool>;

    /// Every agent that registered or ever worked, by id.
    fn agents(&self) -> Result<Vec<Known>>;

    /// What one agent said about itself.
    fn agent(&self, id: &AgentId) -> Result<Option<Agent>>;

    /// Removes an agent; its work goes back to the queue.
    fn remove_agent(&mut self, id: &AgentId, op: &Op) -> Result<Removed>;

    /// Takes a named lock if it is free or its lease has run out.
    fn acquire(
        &mut self,
        name: &Word,
        length: Duration,
        note: Option<&str>,
        op: &Op,
    ) -> Result<Acquired>;

    /// Renews a named lock; [`Acquired::Held`] if it is no longer ours (or nobody's: then the lock
    /// shown is the last one).
    fn renew(&mut self, name: &Word, token: u64, op: &Op) -> Result<Acquired>;

    /// Gives a named lock back. Tells whether it still was ours.
    fn unlock(&mut self, name: &Word, token: u64, op: &Op) -> Result<bool>;

    /// The named locks whose lease is running, by name.
    fn locks(&self, op: &Op) -> Result<Vec<Lock>>;

    /// Checks everything against everything: the chain, the numbers, the life of every item, the
    /// index. Without `repair` nothing that could be evidence is changed; with it, what cannot be read
    /// is moved aside, so that writing can go on.
    fn verify(&mut self, repair: bool, op: &Op) -> Result<Verified>;

    /// The lines that record a write: none if there is no such write, several if merged branches each
    /// have one of that number.
    fn seen(&self, n: u64) -> Result<Vec<Seen>>;

    /// Does what would have made an operation slower than it had to be, such as sealing a long log:
    /// to be called after the answer has been given.
    fn tidy(&mut self, _op: &Op) -> Result<()> {
        Ok(())
    }

    /// How long this value waited for others who were writing, in all.
    fn waited(&self) -> Duration {
        Duration::ZERO
    }

    /// What the user should know about what was found on the way, such as an unfinished write that
    /// was removed; each is told once.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Waits until the state may have changed, or the time is over.
    fn wait(&self, time: Duration) -> Result<()>;

    /// Facts about the store itself, for reports: implementation, place, sizes.
    fn describe(&self) -> Result<Value>;
}
