//! What can go wrong with the store, as facts; the wording for people stands in the commands.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error as ThisError;

use crate::domain::name::{ItemId, OpId};
use crate::domain::work::{DependencyError, NewError, TransitionError};

/// Who holds the lock of a store.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Holder {
    /// Its process id, 0 if unknown.
    pub pid: u32,
    /// Its machine.
    pub host: String,
    /// What it runs.
    pub command: String,
    /// Since when, RFC 3339.
    pub since: String,
}

/// A failed operation on the store. Unless it is [`Error::Unknown`], nothing was changed.
#[derive(Debug, ThisError)]
pub enum Error {
    /// There is no such item.
    #[error("no work item `{id}`")]
    NotFound {
        /// What was asked for.
        id: String,
        /// Ids that look like it.
        similar: Vec<ItemId>,
    },
    /// The beginning of an id fits several.
    #[error("`{id}` is not clear")]
    Ambiguous {
        /// What was asked for.
        id: String,
        /// Some of those that fit.
        matches: Vec<ItemId>,
    },
    /// There is such an item already.
    #[error("there is a work item `{id}` already")]
    Exists {
        /// The id.
        id: ItemId,
    },
    /// The rules of work do not allow it.
    #[error(transparent)]
    Transition(#[from] TransitionError),
    /// An item does not keep the limits.
    #[error("item {at}: {why}")]
    New {
        /// Which one, from 1.
        at: usize,
        /// What is wrong.
        why: NewError,
    },
    /// Dependencies that cannot be.
    #[error(transparent)]
    Dependency(#[from] DependencyError),
    /// There is no such agent.
    #[error("no agent `{id}`")]
    NoAgent {
        /// What was asked for.
        id: String,
    },
    /// Someone else held the lock all the time.
    #[error("the store is locked")]
    Busy {
        /// Who, if it could be read.
        holder: Option<Holder>,
        /// How long was waited.
        waited: Duration,
    },
    /// The operation id was used for another kind of operation.
    #[error("the operation id `{id}` was used for `{verb}`")]
    OpReused {
        /// The id.
        id: OpId,
        /// What it was used for.
        verb: String,
    },
    /// There is no store, and a reader makes none.
    #[error("no store at `{}`", dir.display())]
    Missing {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// A line cannot be read, or lines are missing: writing has stopped.
    #[error("the log is damaged: {what}")]
    Damaged {
        /// File, line and what is wrong.
        what: String,
    },
    /// A newer program wrote it.
    #[error("the store has format {found}; this program reads up to {known}")]
    NewerFormat {
        /// What is written there.
        found: u64,
        /// What is understood here.
        known: u64,
    },
    /// The place is not safe to use.
    #[error("`{}` is not safe to use: {why}", path.display())]
    Insecure {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Another directory has its place now, such as a backup that was restored meanwhile.
    #[error("another store was put in the place of `{}`", dir.display())]
    Replaced {
        /// Where.
        dir: PathBuf,
    },
    /// It cannot grow further.
    #[error("the store is full: it holds {limit} items over its whole life")]
    Full {
        /// The limit.
        limit: u64,
    },
    /// The system failed; nothing was changed.
    #[error("cannot {what}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// The system's word.
        source: std::io::Error,
    },
    /// It was written, but whether it is durable is unknown.
    #[error("the outcome is unknown: {what}")]
    Unknown {
        /// The operation to repeat.
        op: OpId,
        /// What failed.
        what: String,
        /// The system's word.
        source: std::io::Error,
    },
}
