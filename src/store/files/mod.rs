//! The file store: a log of after-images that people can read, and an index that can always be
//! made anew.
//!
//! # One write
//!
//! 1. What can be opened is opened; then the lock is taken (`lock`: fair, bounded, freed by the
//!    kernel when its holder dies).
//! 2. `head` tells whether the index matches the log: same boot, inode, length, time of change. A
//!    log that grew by whole lines is followed; anything else is a rebuild (`rebuild`).
//! 3. The rules decide. The lines they ask for are made, each with the hash of the one before
//!    (`record`), and applied to an overlay of the index (`index` on `cells`).
//! 4. The head is written with the changes that the index is about to take: if the writer dies now,
//!    the next one sees whether the lines are there, and does the changes or forgets them. That costs
//!    nothing over marking the index dirty, and no kill costs a rebuild.
//! 5. The lines are appended with one write. A transaction of several carries `"more":true` on all
//!    lines but the last, so that one which was not written whole is recognised and cut.
//! 6. The overlay goes to the index files, the head is marked clean, the lock is given back, and
//!    only then the disk is waited for. An operation is acknowledged after its own sync; the log is
//!    append-only, so that sync covers all that it rests on. Answers that rest on what somebody else
//!    wrote (a repetition, an item that was there) sync as well.
//!
//! # One read
//!
//! Readers take no lock: they read through the index and look at the head's version before and
//! after; if somebody wrote meanwhile they do it again, and in the end read the log alone (`read`).
//!
//! # Sealing
//!
//! When what is superseded outweighs what is open, the live log is sealed into `history/` and a
//! short one takes its place (`compact`). Logs are numbered and rows of the index name the log they
//! point into, so the index does not change at all: rows go on pointing into the sealed log, where
//! the same lines still stand. Under the lock only what came since is copied and two names change.
//!
//! # Damage
//!
//! A line that cannot be read, a missing number, or two items with one id (made on two branches of a
//! merge) stop all writing; reading goes on with what is whole. `verify --repair` moves bad lines to
//! `quarantine.jsonl`, gives the second of two twins an id of its own, and notes in the log what it
//! did, so that the gap explains itself ever after. Bytes behind the last whole line were never
//! acknowledged and are cut.
//!
//! # What `verify` can notice
//!
//! Every line holds the hash of the line before it, the checkpoint of a log the hash of the last line of
//! the log before; so whatever is changed, taken out, put in another order or cut off is noticed as long
//! as anything that was written later is left as it was. What is cut off the end of the live log is
//! noticed by those who have seen it: the head of the index (until the next boot), `checked.json` (what
//! the last sound check saw), the log itself if a writer met the shortened file first (`"op":"lost"`), a
//! backup, or a person who noted the head that `verify` prints (`--expect N:HASH`). Who rewrites the log
//! from some line to its end, the index and `checked.json` as well, leaves nothing to be noticed but by
//! the last two.

mod agents;
mod backup;
#[cfg(test)]
mod backup_tests;
mod beginning;
mod bits;
mod cells;
pub mod cleanup;
mod compact;
mod compare;
mod head;
mod index;
mod keys;
mod lock;
mod locks;
mod log;
mod observe;
mod queue;
mod read;
mod rebuild;
mod record;
mod removed;
pub mod restore;
mod rows;
mod session;
pub mod stale;
#[cfg(test)]
mod tests;
mod trail;
mod verify;
mod work;

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

pub use backup::Picture;

use super::{
    Acquired, Added, Changed, Claimed, Event, Lock, Removed, Result, Seen, Store, Summary,
    TeamSummary, Verified, failure,
};
use crate::domain::agent::{Agent, Known};
use crate::domain::name::{AgentId, ItemId, Word};
use crate::domain::work::{Change, Found, Item, NewItem, Op, Page, Query, State, Want};
use crate::store::Error;
use crate::sys::Clock;
use crate::sys::fs::Dir;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// The state directory.
    pub dir: PathBuf,
    /// Whether a missing store is made.
    pub create: bool,
    /// Whether somebody else's directory, or one on a network file system, is used all the same.
    pub trust_dir: bool,
    /// How long to wait for the lock.
    pub lock_timeout: Duration,
    /// Whether an operation waits until it is durable. Off for scratch use only.
    pub sync: bool,
    /// What the lock file says about its holder, such as `work claim`.
    pub command: String,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// Ends the process because the lock was not got in time; it does not return.
pub type GiveUp = Arc<dyn Fn(Error) + Send + Sync>;

/// The file store.
pub struct FileStore {
    options: Options,
    give_up: Option<GiveUp>,
    dir: Arc<Dir>,
    notes: RefCell<Vec<String>>,
    damage_told: Cell<bool>,
    compaction_due: Cell<bool>,
    waited: Cell<Duration>,
}

impl FileStore {
    /// Opens the store in a directory. Nothing is read or locked yet.
    pub fn open(options: Options) -> Result<Self> {
        let opened = match Dir::open(&options.dir, options.trust_dir) {
            Err(e) if e.is_not_found() && options.create => {
                Dir::create(&options.dir, options.trust_dir)
            }
            other => other,
        };
        let dir = match opened {
            Err(e) if e.is_not_found() && !options.create => {
                return Err(Error::Missing { dir: options.dir });
            }
            other => other.map_err(failure::open)?,
        };
        Ok(Self::over(options, Arc::new(dir)))
    }

    fn over(options: Options, dir: Arc<Dir>) -> Self {
        Self {
            options,
            give_up: None,
            dir,
            notes: RefCell::default(),
            damage_told: Cell::new(false),
            compaction_due: Cell::new(false),
            waited: Cell::default(),
        }
    }

    /// The state directory, open: for what stands beside the work, such as telemetry.
    #[must_use]
    pub fn dir(&self) -> Arc<Dir> {
        Arc::clone(&self.dir)
    }

    /// For a process that has nothing else to do: when the lock is not got in time, `give_up` is
    /// called in another thread and must end the process, instead of [`Error::Busy`] being returned.
    /// Many such processes on few processors get the lock passed on faster.
    pub fn give_up_with(&mut self, give_up: GiveUp) {
        self.give_up = Some(give_up);
    }

    /// Something that the user should know and that is no failure.
    fn note(&self, text: String) {
        self.notes.borrow_mut().push(text);
    }

    /// Makes the index anew from the logs, whatever state it is in.
    pub fn rebuild(&mut self, op: &Op) -> Result<()> {
        let mut session = session::Session::begin_anyhow(self, op)?;
        session.rebuild()
    }

    /// Seals the live log now, if that is worth while. Tells whether it was done.
    pub fn compact(&mut self, op: &Op) -> Result<bool> {
        compact::run(self, op)
    }
}

impl Store for FileStore {
    fn add(&mut self, items: Vec<NewItem>, op: &Op) -> Result<Added> {
        queue::add(self, items, op)
    }

    fn import(&mut self, items: Vec<Item>, op: &Op) -> Result<Added> {
        queue::import(self, items, op)
    }

    fn claim(&mut self, want: &Want, op: &Op) -> Result<Claimed> {
        work::claim(self, want, op)
    }

    fn start(&mut self, item: Item, agent: &AgentId, lease: Duration, op: &Op) -> Result<Changed> {
        work::start(self, item, agent, lease, op)
    }

    fn change(&mut self, id: &ItemId, change: &Change, op: &Op) -> Result<Changed> {
        work::change(self, id, change, op)
    }

    fn assign(&mut self, moves: &[(ItemId, Option<AgentId>)], op: &Op) -> Result<Vec<Found>> {
        work::assign(self, moves, op)
    }

    fn get(&self, id: &str) -> Result<Found> {
        self.read(|state| state.get(id))
    }

    fn find(&self, query: &Query) -> Result<Page> {
        self.read(|state| state.find(query))
    }

    fn beginning(&self, prefix: &str, states: &[State], limit: usize) -> Result<Vec<Found>> {
        beginning::run(self, prefix, states, limit)
    }

    fn held(&self, agent: &AgentId) -> Result<Vec<Found>> {
        self.read(|state| state.held(agent))
    }

    fn summary(&self) -> Result<Summary> {
        self.read(|state| Ok(state.summary()))
    }

    fn teams(&self) -> Result<Vec<TeamSummary>> {
        self.read(read::Snapshot::teams)
    }

    fn events(&self, since: u64, see: &mut dyn FnMut(&Event) -> bool) -> Result<()> {
        trail::events(self, since, see)
    }

    fn history(&self, id: &ItemId) -> Result<Vec<Event>> {
        trail::history(self, id)
    }

    fn register(&mut self, agent: &Agent, _op: &Op) -> Result<()> {
        agents::register(self, agent)
    }

    fn heartbeat(&mut self, id: &AgentId, op: &Op) -> Result<bool> {
        agents::heartbeat(self, id, op)
    }

    fn agents(&self) -> Result<Vec<Known>> {
        agents::all(self)
    }

    fn agent(&self, id: &AgentId) -> Result<Option<Agent>> {
        agents::load(self, id)
    }

    fn remove_agent(&mut self, id: &AgentId, op: &Op) -> Result<Removed> {
        agents::remove(self, id, op)
    }

    fn acquire(
        &mut self,
        name: &Word,
        length: Duration,
        note: Option<&str>,
        op: &Op,
    ) -> Result<Acquired> {
        locks::acquire(&self.dir, name, length, note, op, self.options.sync)
    }

    fn renew(&mut self, name: &Word, token: u64, op: &Op) -> Result<Acquired> {
        locks::renew(&self.dir, name, token, op, self.options.sync)
    }

    fn unlock(&mut self, name: &Word, token: u64, op: &Op) -> Result<bool> {
        locks::unlock(&self.dir, name, token, op, self.options.sync)
    }

    fn locks(&self, op: &Op) -> Result<Vec<Lock>> {
        locks::all(&self.dir, op)
    }

    fn verify(&mut self, repair: bool, op: &Op) -> Result<Verified> {
        verify::run(self, repair, op)
    }

    fn seen(&self, n: u64) -> Result<Vec<Seen>> {
        verify::seen(self, n)
    }

    fn tidy(&mut self, op: &Op) -> Result<()> {
        if self.compaction_due.replace(false) {
            compact::run(self, op)?;
        }
        Ok(())
    }

    fn waited(&self) -> Duration {
        self.waited.get()
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(self.notes.get_mut())
    }

    fn wait(&self, time: Duration) -> Result<()> {
        read::wait(self, time)
    }

    fn describe(&self) -> Result<Value> {
        let head = self.read(|state| Ok(state.index.head.clone()))?;
        Ok(json!({
            "kind": "files",
            "dir": self.dir.path(),
            "n": head.n,
            "log_bytes": head.len,
            "log_lines": head.lines,
            "log_segment": head.segment,
            "items": head.rows,
        }))
    }
}
