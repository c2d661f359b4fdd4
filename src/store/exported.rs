//! What was sent to whom, so that sending again sends only what is new.
//!
//! `export.json` holds the marks of each receiver, named by the hash of its address, which may hold what
//! is nobody else's. They are moved only after a receiver has taken what lies before them, and are durable
//! then. `export.lock` lets one process send at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::journal::{Marks, name_of};
use super::{Result, failure};
use crate::sys::fs::{Access, Dir};

const FILE: &str = "export.json";
const LOCK: &str = "export.lock";

/// The file.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Kept {
    receivers: BTreeMap<String, Marks>,
}

/// What was sent to one receiver.
#[derive(Debug)]
pub struct Exported {
    dir: Dir,
    key: String,
    kept: Kept,
    /// The kernel frees it when it is closed, also by a kill.
    lock: Option<File>,
    /// Whether the file could not be read, so that everything counts as not sent.
    pub damaged: bool,
}

impl Exported {
    /// Looks what was sent to an address, and changes nothing.
    pub fn look(state: &Path, trusted: bool, address: &str) -> Result<Self> {
        let dir = Dir::open(state, trusted).map_err(failure::open)?;
        let mut bytes = Vec::new();
        match dir.file(FILE, Access::Read) {
            Ok(mut file) => {
                let read = file.read_to_end(&mut bytes);
                read.map_err(|e| failure::read(&dir.path().join(FILE), e))?;
            }
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(failure::open(e)),
        }
        let kept = if bytes.is_empty() {
            Some(Kept::default())
        } else {
            serde_json::from_slice(&bytes).ok()
        };
        let damaged = kept.is_none();
        let key = name_of(address.as_bytes());
        Ok(Self { dir, key, kept: kept.unwrap_or_default(), lock: None, damaged })
    }

    /// The same, to send: nothing if somebody else is sending.
    pub fn begin(state: &Path, trusted: bool, address: &str) -> Result<Option<Self>> {
        let dir = Dir::open(state, trusted).map_err(failure::open)?;
        if !super::is_in(&dir) {
            return Err(super::Error::Missing { dir: state.to_owned() });
        }
        let lock = dir.file(LOCK, Access::Create).map_err(failure::open)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(e) => return Err(failure::at("lock", &dir.path().join(LOCK), e.into())),
        }
        // Only now: whoever had the lock before may have moved the marks.
        Ok(Some(Self { lock: Some(lock), ..Self::look(state, trusted, address)? }))
    }

    /// How far was sent.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.kept.receivers.get(&self.key).cloned().unwrap_or_default()
    }

    /// Keeps how far was sent. When it returns it is durable.
    pub fn keep(&mut self, marks: &Marks) -> Result<()> {
        if self.lock.is_none() || self.kept.receivers.get(&self.key) == Some(marks) {
            return Ok(());
        }
        self.kept.receivers.insert(self.key.clone(), marks.clone());
        let bytes = serde_json::to_vec(&self.kept).unwrap_or_default();
        self.dir.replace(FILE, "export.next", &bytes, true).map_err(failure::open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_receiver_has_marks_of_its_own_and_one_process_sends() {
        let state = crate::store::scene();
        let begin = |address| Exported::begin(state.path(), false, address).unwrap();
        let marks: Marks = serde_json::from_str(r#"{"aa":7}"#).unwrap();
        let mut a = begin("a").unwrap();
        assert!(begin("a").is_none() && begin("b").is_none());
        a.keep(&marks).unwrap();
        drop(a);
        assert_eq!(begin("a").unwrap().marks(), marks);
        assert_eq!(begin("b").unwrap().marks(), Marks::default());
        let mut looked = Exported::look(state.path(), false, "b").unwrap();
        looked.keep(&marks).unwrap();
        assert_eq!(begin("b").unwrap().marks(), Marks::default());
        std::fs::OpenOptions::new()
            .write(true)
            .open(state.path().join(FILE))
            .unwrap()
            .set_len(5)
            .unwrap();
        let broken = begin("a").unwrap();
        assert!(broken.damaged && broken.marks() == Marks::default());
    }
}
