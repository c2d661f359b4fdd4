//! What is remembered of alerts, on disk, in `alerts/` of the state directory.
//!
//! `state.json` holds how rules stand, silences, notices that are due, and what happened. It is
//! replaced as a whole, durably, under a lock, so that a reader needs none. A notice is due in the same
//! file and the same moment in which its rule changes: whoever is killed after that leaves it to the
//! next evaluation. It is taken out when it was delivered, so it may go out twice, and its id tells.
//!
//! `dead-letters.jsonl` holds what could not be delivered, one line each.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use fs2::FileExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Error, Result, failure};
use crate::domain::alert::{Notice, Record, Target};
use crate::sys::Clock;
use crate::sys::fs::{Access, Dir};

const DIR: &str = "alerts";
const STATE: &str = "state.json";
const DAMAGED: &str = "state.damaged.json";
const LETTERS: &str = "dead-letters.jsonl";
/// What the two are called before they are whole.
pub(super) const ON_THE_WAY: [&str; 2] = ["state.json.new", "dead-letters.new"];
/// The format that is written.
const VERSION: u64 = 1;
/// More than this is no state of ours.
const MOST: u64 = 64 << 20;
/// How often a lock that is taken is tried.
const AGAIN: Duration = Duration::from_millis(10);

/// What is held while something is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lock {
    /// The state, for the moment of a change.
    State,
    /// The right to deliver notices, for as long as that takes.
    Delivery,
}

/// A lock, held until it is dropped.
#[derive(Debug)]
pub struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        let _: io::Result<()> = FileExt::unlock(&self.0);
    }
}

/// A notice that could not be delivered.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Letter {
    /// The notice.
    pub notice: Notice,
    /// By which way it should have gone.
    pub target: Target,
    /// When it was given up, RFC 3339.
    pub at: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it failed at last.
    pub why: String,
}

#[derive(Deserialize, Serialize)]
struct Whole<R> {
    version: u64,
    #[serde(flatten)]
    record: R,
}

/// The files.
#[derive(Debug)]
pub struct Alerts {
    dir: Dir,
}

impl Alerts {
    /// Opens them in a state directory that is there; nothing if nothing was ever remembered and
    /// nothing is to be.
    pub fn open(state: &Path, trusted: bool, create: bool) -> Result<Option<Self>> {
        let top = match Dir::open(state, trusted) {
            Err(e) if e.is_not_found() => return Err(Error::Missing { dir: state.to_owned() }),
            other => other.map_err(failure::open)?,
        };
        if create && !super::is_in(&top) {
            return Err(Error::Missing { dir: state.to_owned() });
        }
        match top.subdir(DIR, create) {
            Ok(dir) => Ok(Some(Self { dir })),
            Err(e) if e.is_not_found() && !create => Ok(None),
            Err(e) => Err(failure::open(e)),
        }
    }

    /// Takes a lock; nothing if others keep it for longer than `patience`.
    pub fn lock(&self, lock: Lock, patience: Duration, clock: &dyn Clock) -> Result<Option<Held>> {
        let name = match lock {
            Lock::State => "lock",
            Lock::Delivery => "delivery.lock",
        };
        let file = self.dir.file(name, Access::Create).map_err(failure::open)?;
        let until = clock.monotonic() + patience;
        loop {
            match FileExt::try_lock(&file) {
                Ok(()) => return Ok(Some(Held(file))),
                Err(fs2::TryLockError::WouldBlock) if clock.monotonic() < until => {
                    clock.sleep(AGAIN);
                }
                Err(fs2::TryLockError::WouldBlock) => return Ok(None),
                Err(fs2::TryLockError::Error(source)) => {
                    return Err(failure::at("lock", &self.dir.path().join(name), source));
                }
            }
        }
    }

    /// What is remembered. A file that cannot be read counts as nothing, and that is told; with
    /// `aside`, which needs the lock, it gets another name first.
    pub fn read(&self, aside: bool) -> Result<(Record, Option<String>)> {
        let path = self.dir.path().join(STATE);
        let file = match self.dir.file(STATE, Access::Read) {
            Ok(file) => file,
            Err(e) if e.is_not_found() => return Ok((Record::default(), None)),
            Err(e) => return Err(failure::open(e)),
        };
        let mut bytes = Vec::new();
        file.take(MOST).read_to_end(&mut bytes).map_err(|e| failure::read(&path, e))?;
        match serde_json::from_slice::<Whole<Record>>(&bytes) {
            Ok(whole) if whole.version > VERSION => {
                Err(Error::NewerFormat { found: whole.version, known: VERSION })
            }
            Ok(whole) => Ok((whole.record, None)),
            Err(why) => {
                let shown = path.display();
                let mut note = format!("`{shown}` cannot be read and counts as empty: {why}");
                if aside {
                    let moved = self.dir.rename(STATE, &self.dir, DAMAGED);
                    moved.map_err(|e| failure::at("move aside", &path, e))?;
                    note = format!("{note}; it is called `{DAMAGED}` now");
                }
                Ok((Record::default(), Some(note)))
            }
        }
    }

    /// Replaces what is remembered; needs the lock.
    pub fn write(&self, record: &Record, durable: bool) -> Result<()> {
        let whole = Whole { version: VERSION, record };
        let bytes = serde_json::to_vec(&whole)
            .map_err(|e| failure::io("write the state of alerts", io::Error::other(e)))?;
        self.dir.replace(STATE, ON_THE_WAY[0], &bytes, durable).map_err(failure::open)
    }

    /// What could not be delivered, each notice once for each way, oldest first; and how many lines
    /// cannot be read.
    pub fn letters(&self) -> Result<(Vec<Letter>, u64)> {
        let path = self.dir.path().join(LETTERS);
        let file = match self.dir.file(LETTERS, Access::Read) {
            Ok(file) => file,
            Err(e) if e.is_not_found() => return Ok((Vec::new(), 0)),
            Err(e) => return Err(failure::open(e)),
        };
        let (mut letters, mut bad): (Vec<Letter>, u64) = (Vec::new(), 0);
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(|e| failure::read(&path, e))?;
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let Ok(letter) = serde_json::from_slice::<Letter>(&line) else {
                bad += 1;
                continue;
            };
            let same = |old: &&mut Letter| {
                old.notice.id == letter.notice.id && old.target == letter.target
            };
            match letters.iter_mut().find(same) {
                Some(old) => *old = letter,
                None => letters.push(letter),
            }
        }
        Ok((letters, bad))
    }

    /// Adds what could not be delivered, durably; needs the right to deliver.
    pub fn bury(&self, letter: &Letter) -> Result<()> {
        let path = self.dir.path().join(LETTERS);
        let failed = |e| failure::at("write", &path, e);
        let mut line = serde_json::to_vec(letter).map_err(|e| failed(io::Error::other(e)))?;
        // A line that a killed process left unfinished must not take this one with it.
        line.insert(0, b'\n');
        line.push(b'\n');
        let mut file = self.dir.file(LETTERS, Access::AppendCreate).map_err(failure::open)?;
        file.write_all(&line).and_then(|()| file.sync_all()).map_err(failed)?;
        self.dir.sync().map_err(failed)
    }

    /// Takes out what was delivered after all; needs the right to deliver.
    pub fn exhume(&self, delivered: &[(String, Target)]) -> Result<()> {
        let gone = |letter: &Letter| {
            delivered.iter().any(|(id, target)| *id == letter.notice.id && *target == letter.target)
        };
        let path = self.dir.path().join(LETTERS);
        let mut bytes = Vec::new();
        let mut file = self.dir.file(LETTERS, Access::Read).map_err(failure::open)?;
        file.read_to_end(&mut bytes).map_err(|e| failure::read(&path, e))?;
        let mut kept = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // What cannot be read is left for people to look at.
            if !serde_json::from_slice::<Letter>(line).is_ok_and(|letter| gone(&letter)) {
                kept.extend_from_slice(line);
                kept.push(b'\n');
            }
        }
        self.dir.replace(LETTERS, ON_THE_WAY[1], &kept, true).map_err(failure::open)
    }
}

#[cfg(test)]
mod tests;
