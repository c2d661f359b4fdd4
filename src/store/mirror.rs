//! The directory in which copies of the store lie for programs of the old system.
//!
//! Beside the copies lies `.mirror`: up to which write of the store they are, and which files are
//! ours. Whoever writes copies holds the lock of `.mirror.lock` and reads the store after it has got
//! it, so that an older copy never comes over a newer one. A file that is not as we left it was
//! written by an old program: it is told by [`Mirrors::foreign`] and must be taken over before it is
//! replaced; [`Mirrors::keep`] keeps it as it was.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hmac_sha256::Hash;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::{Error, Result, failure};
use crate::sys::Clock;
use crate::sys::fs::{Access, Dir};

/// What is known of the copies.
const STATE: &str = ".mirror";
/// The lock of those who write copies.
const LOCK: &str = ".mirror.lock";
/// Where files of old programs are kept before they are replaced.
pub const KEPT: &str = "old-files";
/// How long to wait before looking again whether the lock is free.
const LOOK: Duration = Duration::from_millis(4);

/// Which file lies under a name.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Stamp {
    inode: u64,
    bytes: u64,
    changed_s: i64,
    changed_ns: i64,
}

/// What is known of one copy.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Copy {
    /// The file as it was left; nothing while it is being replaced.
    stamp: Option<Stamp>,
    /// SHA-256 of what may lie there.
    hashes: Vec<String>,
}

/// What is known of the copies.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Known {
    /// They hold at least every write up to this one.
    pub n: u64,
    /// A hash of the agents they were made of.
    pub agents: String,
    files: BTreeMap<String, Copy>,
}

/// A file that an old program wrote.
#[derive(Debug)]
pub struct Foreign {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// The directory with the copies.
#[derive(Debug)]
pub struct Mirrors {
    dir: Dir,
}

impl Mirrors {
    /// Opens the directory, which is made if it is not there.
    pub fn open(path: &Path, trusted: bool) -> Result<Self> {
        let dir = match Dir::open(path, trusted) {
            Err(e) if e.is_not_found() => Dir::create(path, trusted),
            other => other,
        };
        let dir = dir.map_err(failure::open)?;
        dir.adopt();
        Ok(Self { dir })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What is known of the copies; nothing if there never were any.
    pub fn known(&self) -> Result<Option<Known>> {
        let Some((bytes, _)) = self.read(STATE)? else { return Ok(None) };
        // Only a power cut leaves something else; then every file is looked at anew.
        Ok(serde_json::from_slice(&bytes).ok())
    }

    /// Whether every one of these copies lies there as it was left.
    pub fn untouched(&self, known: &Known, names: &[&str]) -> Result<bool> {
        for name in names {
            let left = known.files.get(*name).and_then(|copy| copy.stamp);
            if left.is_none() || self.stamp(name)? != left {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The lock of those who write copies, if it is free. It is given back when the file is closed.
    pub fn try_lock(&self) -> Result<Option<File>> {
        let file = self.dir.file(LOCK, Access::Create).map_err(failure::open)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => Ok(None),
            Err(e) => Err(failure::at("lock", &self.dir.path().join(LOCK), e.into())),
        }
    }

    /// Takes the lock, unless `done` says meanwhile that it is not needed any more: then nothing.
    pub fn lock(
        &self,
        clock: &dyn Clock,
        timeout: Duration,
        done: &mut dyn FnMut() -> Result<bool>,
    ) -> Result<Option<File>> {
        let start = clock.monotonic();
        loop {
            if done()? {
                return Ok(None);
            }
            if let Some(lock) = self.try_lock()? {
                return Ok(Some(lock));
            }
            let waited = clock.monotonic().saturating_sub(start);
            if waited >= timeout {
                return Err(Error::Busy { holder: None, waited });
            }
            clock.sleep(LOOK);
        }
    }

    /// Those of these files that somebody else wrote.
    pub fn foreign(&self, known: Option<&Known>, names: &[&str]) -> Result<Vec<Foreign>> {
        let mut foreign = Vec::new();
        for name in names {
            let copy = known.and_then(|known| known.files.get(*name));
            let left = copy.and_then(|copy| copy.stamp);
            if left.is_some() && self.stamp(name)? == left {
                continue;
            }
            let Some((bytes, _)) = self.read(name)? else { continue };
            let hash = hash(&bytes);
            if copy.is_none_or(|copy| !copy.hashes.contains(&hash)) {
                foreign.push(Foreign { name: (*name).to_owned(), bytes });
            }
        }
        Ok(foreign)
    }

    /// Keeps files of others as they were, in a directory of their own, and tells where.
    pub fn keep(&self, files: &[Foreign]) -> Result<PathBuf> {
        let kept = self.dir.subdir(KEPT, true).map_err(failure::open)?;
        let all: String = files.iter().map(|file| hash(&file.bytes) + &file.name).collect();
        // The same files twice are kept once.
        let dir = kept.subdir(&hash(all.as_bytes())[..12], true).map_err(failure::open)?;
        for file in files {
            let temp = format!(".{}.tmp", file.name);
            dir.replace(&file.name, &temp, &file.bytes, true).map_err(failure::open)?;
        }
        let synced = kept.sync().and_then(|()| self.dir.sync());
        synced.map_err(|e| failure::at("make the directory durable", self.dir.path(), e))?;
        Ok(dir.path().to_owned())
    }

    /// Notes that files of others were taken over: they may be replaced.
    pub fn accept(&self, files: &[Foreign], durable: bool) -> Result<()> {
        let mut known = self.known()?.unwrap_or_default();
        for file in files {
            let copy = known.files.entry(file.name.clone()).or_default();
            copy.stamp = None;
            copy.hashes.push(hash(&file.bytes));
        }
        self.note(&known, durable)
    }

    /// Replaces the copies; the caller holds the lock. Whoever is killed on the way leaves files that
    /// are known as ours.
    pub fn write(
        &self,
        files: &[(&str, Vec<u8>)],
        n: u64,
        agents: String,
        durable: bool,
    ) -> Result<()> {
        let before = self.known()?.unwrap_or_default();
        let mut after = Known { n, agents, files: BTreeMap::new() };
        let mut between = before.clone();
        let mut changed = Vec::new();
        for (name, bytes) in files {
            let (hash, old) = (hash(bytes), before.files.get(*name));
            let same = old.filter(|old| old.hashes == [hash.as_str()] && old.stamp.is_some());
            if let Some(old) = same
                && self.stamp(name)? == old.stamp
            {
                after.files.insert((*name).to_owned(), old.clone());
                continue;
            }
            let copy = between.files.entry((*name).to_owned()).or_default();
            copy.stamp = None;
            // The last two are enough: whoever begins has written them before it replaces anything.
            copy.hashes.push(hash.clone());
            after.files.insert((*name).to_owned(), Copy { stamp: None, hashes: vec![hash] });
            changed.push((*name, bytes));
        }
        if !changed.is_empty() {
            self.note(&between, durable)?;
        }
        for (name, bytes) in changed {
            let temp = format!(".{name}.tmp");
            self.dir.replace(name, &temp, bytes, durable).map_err(failure::open)?;
            let stamp = self.stamp(name)?;
            if let Some(copy) = after.files.get_mut(name) {
                copy.stamp = stamp;
            }
        }
        if after == before { Ok(()) } else { self.note(&after, durable) }
    }

    fn note(&self, known: &Known, durable: bool) -> Result<()> {
        let bytes = serde_json::to_vec(known)
            .map_err(|e| failure::at("write", &self.dir.path().join(STATE), e.into()))?;
        self.dir.replace(STATE, ".mirror.tmp", &bytes, durable).map_err(failure::open)
    }

    fn stamp(&self, name: &str) -> Result<Option<Stamp>> {
        let file = match self.dir.file(name, Access::Read) {
            Ok(file) => file,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(failure::open(e)),
        };
        let about =
            file.metadata().map_err(|e| failure::at("read", &self.dir.path().join(name), e))?;
        Ok(Some(Stamp {
            inode: about.ino(),
            bytes: about.len(),
            changed_s: about.mtime(),
            changed_ns: about.mtime_nsec(),
        }))
    }

    fn read(&self, name: &str) -> Result<Option<(Vec<u8>, File)>> {
        let mut file = match self.dir.file(name, Access::Read) {
            Ok(file) => file,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(failure::open(e)),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|e| failure::at("read", &self.dir.path().join(name), e))?;
        Ok(Some((bytes, file)))
    }
}

/// SHA-256 in hex digits.
#[must_use]
pub fn hash(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Hash::hash(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test plays the old program")]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["a.json", "b.txt"];

    fn write(mirrors: &Mirrors, n: u64, text: &str) {
        let files = NAMES.map(|name| (name, format!("{name} {text}").into_bytes()));
        mirrors.write(&files, n, "x".to_owned(), false).unwrap();
    }

    #[test]
    fn what_somebody_else_wrote_is_told_and_kept() {
        let top = tempfile::tempdir().unwrap();
        let mirrors = Mirrors::open(&top.path().join("new"), false).unwrap();
        assert!(mirrors.known().unwrap().is_none());
        write(&mirrors, 1, "one");
        write(&mirrors, 2, "two");
        let known = mirrors.known().unwrap().unwrap();
        assert!(known.n == 2 && mirrors.untouched(&known, &NAMES).unwrap());
        assert!(mirrors.foreign(Some(&known), &NAMES).unwrap().is_empty());
        // Other bytes of the same length.
        std::fs::write(mirrors.path().join("b.txt"), "b.txt 2wo").unwrap();
        assert!(!mirrors.untouched(&known, &NAMES).unwrap());
        let foreign = mirrors.foreign(Some(&known), &NAMES).unwrap();
        assert_eq!((foreign.len(), foreign[0].name.as_str()), (1, "b.txt"));
        let kept = mirrors.keep(&foreign).unwrap();
        assert_eq!(mirrors.keep(&foreign).unwrap(), kept);
        assert_eq!(std::fs::read(kept.join("b.txt")).unwrap(), b"b.txt 2wo");
        mirrors.accept(&foreign, false).unwrap();
        let known = mirrors.known().unwrap().unwrap();
        assert!(mirrors.foreign(Some(&known), &NAMES).unwrap().is_empty());
        assert!(!mirrors.untouched(&known, &NAMES).unwrap(), "it is still to be replaced");
        // Without knowledge everything is somebody else's.
        assert_eq!(mirrors.foreign(None, &NAMES).unwrap().len(), 2);
    }

    #[test]
    fn a_kill_between_two_files_leaves_no_strangers() {
        let top = tempfile::tempdir().unwrap();
        let mirrors = Mirrors::open(top.path(), false).unwrap();
        write(&mirrors, 1, "one");
        let old = std::fs::read(top.path().join("b.txt")).unwrap();
        // The second file could not be replaced: something stands in the way of its temporary name.
        std::fs::create_dir(top.path().join(".b.txt.tmp")).unwrap();
        let files = NAMES.map(|name| (name, format!("{name} two").into_bytes()));
        mirrors.write(&files, 2, "x".to_owned(), false).unwrap_err();
        let known = mirrors.known().unwrap().unwrap();
        assert_eq!(known.n, 1, "they are not whole");
        assert_eq!(std::fs::read(top.path().join("b.txt")).unwrap(), old);
        assert!(!mirrors.untouched(&known, &NAMES).unwrap());
        assert!(mirrors.foreign(Some(&known), &NAMES).unwrap().is_empty());
        std::fs::remove_dir(top.path().join(".b.txt.tmp")).unwrap();
        write(&mirrors, 2, "two");
        let known = mirrors.known().unwrap().unwrap();
        assert!(known.n == 2 && mirrors.untouched(&known, &NAMES).unwrap());
    }

    #[test]
    fn the_lock_is_not_waited_for_when_the_work_is_done() {
        let top = tempfile::tempdir().unwrap();
        let mirrors = Mirrors::open(top.path(), false).unwrap();
        let clock = crate::sys::FixedClock::new(chrono::DateTime::UNIX_EPOCH);
        let held = mirrors.try_lock().unwrap().unwrap();
        let time = Duration::from_secs(1);
        let busy = mirrors.lock(&clock, time, &mut || Ok(false));
        assert!(matches!(busy, Err(Error::Busy { .. })));
        let mut looks = 0;
        let mut done = || {
            looks += 1;
            Ok(looks > 3)
        };
        assert!(mirrors.lock(&clock, time, &mut done).unwrap().is_none());
        drop(held);
        assert!(mirrors.lock(&clock, time, &mut || Ok(false)).unwrap().is_some());
    }
}
