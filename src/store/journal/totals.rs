//! Counts of telemetry that was removed, so that what is exported as a counter never goes back: to
//! whoever reads it, such as Prometheus, a counter that fell began anew.
//!
//! `ops.totals.json` holds the counts and the files they are made of. It is durable before one of those
//! is removed, and whoever counts leaves out a file that it names: neither a kill in between nor a look
//! at that moment counts an operation twice or not at all. A file goes by its first line, as in
//! [`Marks`](super::Marks).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

use chrono::{DateTime, TimeDelta, Utc};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::marks::key;
use super::read::{Read, lines, open};
use super::{Journal, Stream};
use crate::domain::telemetry::{Counters, Operation};
use crate::store::{Result, failure};
use crate::sys::fs::{Dir, born};

/// The file.
pub(in crate::store) const FILE: &str = "ops.totals.json";
/// Where one goes that cannot be read.
const ASIDE: &str = "quarantine";
/// It is not larger than this.
const LARGEST: u64 = 64 << 20;
const FORMAT: u64 = 1;
/// For so long a file that is gone is still named: somebody may have begun to count while it was there.
const NAMED: TimeDelta = TimeDelta::days(1);

/// What is in it.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Totals {
    format: u64,
    /// The files that are taken in.
    files: BTreeMap<String, Taken>,
    counters: Counters,
}

/// When a file was taken in.
#[derive(Debug, Deserialize, Serialize)]
#[serde(transparent)]
struct Taken {
    #[serde(with = "crate::domain::time::text")]
    at: DateTime<Utc>,
}

/// What was counted.
#[derive(Debug, Default)]
pub struct Counted {
    /// The counts.
    pub counters: Counters,
    /// The lines that are still there.
    pub read: Read,
    /// Whether the totals of removed files cannot be read, so that they count as none.
    pub damaged: bool,
}

impl Totals {
    /// Reads it; none yet is nothing, one that cannot be read is `Err`.
    fn read(dir: &Dir) -> Result<Result<Self, ()>> {
        let Some(file) = open(dir, FILE)? else { return Ok(Ok(Self::default())) };
        let mut bytes = Vec::new();
        let read = file.take(LARGEST + 1).read_to_end(&mut bytes);
        read.map_err(|source| failure::read(&dir.path().join(FILE), source))?;
        let totals = serde_json::from_slice(&bytes).ok();
        Ok(totals.filter(|totals: &Self| totals.format == FORMAT).ok_or(()))
    }
}

/// Removes files of operations that were put aside, after their counts are kept. Gives whether they
/// are gone: not while somebody else removes some.
pub(in crate::store) fn remove(dir: &Dir, names: &[&str], now: DateTime<Utc>) -> Result<bool> {
    if names.is_empty() {
        return Ok(true);
    }
    // A descriptor of its own: the lock goes with it, also by a kill.
    let locked = dir.subdir(".", false).map_err(failure::open)?;
    match flock(&locked, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
        Err(e) => return Err(failure::at("lock", dir.path(), e.into())),
    }
    let (mut totals, damaged) = match Totals::read(dir)? {
        Ok(totals) => (totals, false),
        Err(()) => (Totals::default(), true),
    };
    let before = totals.files.len();
    for name in names {
        let Some(file) = open(dir, name)? else { continue };
        let path = dir.path().join(name);
        let Some(key) = key(&file).map_err(|e| failure::read(&path, e))? else { continue };
        if totals.files.contains_key(&key) {
            continue;
        }
        let counters = &mut totals.counters;
        lines(file, &path, &mut Read::default(), &mut |op: Operation| counters.add(&op))?;
        totals.files.insert(key, Taken { at: now });
    }
    if totals.files.len() > before {
        if damaged {
            aside(dir, now)?;
        }
        totals.format = FORMAT;
        totals.forget(dir, now)?;
        let bytes = serde_json::to_vec(&totals).unwrap_or_default();
        let temp = format!(".{FILE}.{}.tmp", std::process::id());
        dir.replace(FILE, &temp, &bytes, true).map_err(failure::open)?;
    }
    for name in names {
        dir.remove(name).map_err(|e| failure::at("remove", &dir.path().join(name), e))?;
    }
    Ok(true)
}

/// Moves aside one that cannot be read: what it held may be worth something to somebody.
fn aside(dir: &Dir, now: DateTime<Utc>) -> Result<()> {
    let to = dir.subdir(ASIDE, true).map_err(failure::open)?;
    let name = format!("ops.totals.{}.json", now.format("%Y%m%dT%H%M%S%6fZ"));
    let moved = dir.rename(FILE, &to, &name).and_then(|()| to.sync());
    moved.map_err(|e| failure::at("move aside", &dir.path().join(FILE), e))
}

impl Totals {
    /// Forgets the files that are gone for long.
    fn forget(&mut self, dir: &Dir, now: DateTime<Utc>) -> Result<()> {
        if self.files.values().all(|taken| now - taken.at < NAMED) {
            return Ok(());
        }
        let mut there = BTreeSet::new();
        let names = dir.names().map_err(|e| failure::read(dir.path(), e))?;
        for name in names.iter().filter(|name| Stream::Operations.is_former(name)) {
            if let Some(file) = open(dir, name)? {
                there.extend(key(&file).map_err(|e| failure::read(&dir.path().join(name), e))?);
            }
        }
        self.files.retain(|key, taken| now - taken.at < NAMED || there.contains(key));
        Ok(())
    }
}

impl Journal {
    /// Counts every operation there ever was, and shows those that are still there, oldest file first.
    pub fn count(&self, see: &mut dyn FnMut(&Operation)) -> Result<Counted> {
        let mut counted = Counted::default();
        let mut by_file: BTreeMap<Option<String>, Counters> = BTreeMap::new();
        let (mut looked, mut had) = (HashSet::new(), HashSet::new());
        // A file that is put aside meanwhile has another name the next time, and is a file all the same.
        loop {
            let names = self.files(Stream::Operations)?.into_iter().map(|(name, _)| name);
            let new: Vec<String> = names.filter(|name| !looked.contains(name)).collect();
            if new.is_empty() {
                break;
            }
            for name in new {
                let file = open(&self.dir, &name)?;
                looked.insert(name.clone());
                let Some(file) = file else { continue };
                let path = self.dir.path().join(&name);
                if !had.insert(identity(&file).map_err(|e| failure::read(&path, e))?) {
                    continue;
                }
                let key = key(&file).map_err(|e| failure::read(&path, e))?;
                let counters = by_file.entry(key).or_default();
                lines(file, &path, &mut counted.read, &mut |op: Operation| {
                    counters.add(&op);
                    see(&op);
                })?;
            }
        }
        // Only now: what was gone before it could be read is in it.
        let totals = Totals::read(&self.dir).ok().and_then(Result::ok).unwrap_or_else(|| {
            counted.damaged = true;
            Totals::default()
        });
        counted.counters = totals.counters;
        for (key, counters) in &by_file {
            if key.as_ref().is_none_or(|key| !totals.files.contains_key(key)) {
                counted.counters.add_all(counters);
            }
        }
        Ok(counted)
    }
}

/// What a file is told by, whatever its name: what was removed may leave its number to the next one.
fn identity(file: &File) -> std::io::Result<(u64, u64, Option<u64>)> {
    let about = file.metadata()?;
    Ok((about.dev(), about.ino(), born(file)))
}
