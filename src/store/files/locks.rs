//! Named locks: one small file each, replaced whole under a lock of its own.
//!
//! The file stays when the lock is given back, because the fencing token must go on growing. A
//! replaced file is another one for the kernel, so whoever has waited looks again whether the file
//! it locked still has the name.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fs2::FileExt;
use rustix::fs::{AtFlags, FlockOperation, flock, fstat, statat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{failure, lock};
use crate::domain::name::{AgentId, OpId, Word};
use crate::domain::work::{Lease, Op};
use crate::store::{Acquired, Error, Lock, Result};
use crate::sys::fs::{Access, Dir};
use crate::sys::{Clock as _, SystemClock};

const DIR: &str = "locks";
/// Nobody keeps one of these files longer than two writes to the disk take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A lock as it stands in its file.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Record {
    name: Word,
    held: bool,
    holder: AgentId,
    token: u64,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    boot: String,
    until_boot_ms: u64,
    lease_ms: u64,
    note: Option<String>,
    op: OpId,
}

impl Record {
    fn lease(&self) -> Lease {
        Lease {
            until: self.until,
            boot: u64::from_str_radix(&self.boot, 16).unwrap_or(0),
            until_ms: self.until_boot_ms,
            length: Duration::from_millis(self.lease_ms),
        }
    }

    fn set_lease(&mut self, lease: Lease) {
        self.until = lease.until;
        self.boot = format!("{:016x}", lease.boot);
        self.until_boot_ms = lease.until_ms;
    }

    fn is_running(&self, op: &Op) -> bool {
        self.held && self.lease().left(op.now).is_some()
    }

    fn shown(self) -> Lock {
        let lease = self.lease();
        Lock {
            name: self.name,
            holder: self.holder,
            token: self.token,
            since: self.since,
            lease,
            note: self.note,
        }
    }
}

/// For how long somebody waits before trying again.
const PAUSE: Duration = Duration::from_millis(2);

/// The directory of the locks, held so that nobody takes, renews or gives back any of them; by
/// [`Turn::begin`] together with others, so that this alone keeps all of them out.
fn enter(state: &Dir, alone: bool) -> Result<Dir> {
    let dir = state.subdir(DIR, true).map_err(failure::open)?;
    let how = if alone {
        FlockOperation::NonBlockingLockExclusive
    } else {
        FlockOperation::NonBlockingLockShared
    };
    for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
        match flock(&dir, how) {
            Ok(()) => return Ok(dir),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => SystemClock.sleep(PAUSE),
            Err(e) => return Err(failure::io("lock the named locks", e.into())),
        }
    }
    Err(Error::Busy { holder: None, waited: PATIENCE })
}

/// All named locks of a state, held still while another state takes its place.
pub(super) struct Still(Dir);

impl Still {
    pub(super) fn begin(state: &Dir) -> Result<Self> {
        enter(state, true).map(Self)
    }

    /// Copies them to another state, where none may be taken yet. Their tokens go on from there. Those
    /// that cannot be read stay behind.
    pub(super) fn copy_to(&self, state: &Dir) -> Result<()> {
        for (name, record) in records(&self.0)? {
            let Ok(Some(_)) = record else { continue };
            let mut bytes = Vec::new();
            let mut file = self.0.file(&name, Access::Read).map_err(failure::open)?;
            file.read_to_end(&mut bytes)
                .map_err(|e| failure::read(&self.0.path().join(&name), e))?;
            let dir = state.subdir(DIR, true).map_err(failure::open)?;
            dir.replace(&name, &format!(".{name}.tmp"), &bytes, true).map_err(failure::open)?;
            state.sync().map_err(|e| failure::at("make durable", dir.path(), e))?;
        }
        Ok(())
    }
}

/// One lock's file, held against all others until it is dropped.
struct Turn {
    /// Held together with others, against a restore.
    dir: Dir,
    file: Arc<File>,
    name: String,
    record: Option<Record>,
}

impl Turn {
    fn begin(state: &Dir, name: &Word) -> Result<Self> {
        let dir = enter(state, false)?;
        if !state.is_in_place() {
            return Err(Error::Replaced { dir: state.path().to_owned() });
        }
        let name = format!("{name}.json");
        loop {
            let file = Arc::new(dir.file(&name, Access::Create).map_err(failure::open)?);
            match FileExt::try_lock(&*file) {
                Ok(()) => {}
                Err(fs2::TryLockError::WouldBlock) => lock::Lock::wait(&file, PATIENCE)?,
                Err(fs2::TryLockError::Error(source)) => {
                    return Err(failure::io("lock a named lock", source));
                }
            }
            let failed = |e: rustix::io::Errno| failure::read(&dir.path().join(&name), e.into());
            let mine = fstat(&*file).map_err(failed)?;
            match statat(&dir, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(named) if (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino) => {}
                Ok(_) | Err(rustix::io::Errno::NOENT) => {
                    let _: io::Result<()> = FileExt::unlock(&*file);
                    continue;
                }
                Err(e) => return Err(failed(e)),
            }
            let record = read(&dir, &file, &name)?;
            return Ok(Self { dir, file, name, record });
        }
    }

    fn write(&self, record: &Record, sync: bool) -> Result<()> {
        let mut bytes = serde_json::to_vec_pretty(record)
            .map_err(|e| failure::io("write a named lock", e.into()))?;
        bytes.push(b'\n');
        // Only whoever holds the file's lock writes under this name.
        let temp = format!(".{}.tmp", self.name);
        self.dir.replace(&self.name, &temp, &bytes, sync).map_err(failure::open)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // A thread that gave up waiting may share the handle, so closing it is not enough.
        let _: io::Result<()> = FileExt::unlock(&*self.file);
    }
}

/// An empty file was made by somebody who died before the first record.
fn read(dir: &Dir, mut file: &File, name: &str) -> Result<Option<Record>> {
    let path = dir.path().join(name);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|e| failure::read(&path, e))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|e| {
        // Guessing a token could let two in; a person has to look.
        failure::read(&path, io::Error::new(io::ErrorKind::InvalidData, e))
    })
}

/// Takes a lock that is free or whose lease has run out.
pub(super) fn acquire(
    dir: &Dir,
    name: &Word,
    length: Duration,
    note: Option<&str>,
    op: &Op,
    sync: bool,
) -> Result<Acquired> {
    let turn = Turn::begin(dir, name)?;
    let mut token = 1;
    if let Some(last) = &turn.record {
        if last.is_running(op) {
            let again = op.given && last.op == op.id;
            let lock = last.clone().shown();
            return Ok(if again { Acquired::Yes(lock) } else { Acquired::Held(lock) });
        }
        token = last.token + 1;
    }
    let mut record = Record {
        name: name.clone(),
        held: true,
        holder: op.by.clone(),
        token,
        since: op.now.wall,
        until: op.now.wall,
        boot: String::new(),
        until_boot_ms: 0,
        lease_ms: u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
        note: note.map(str::to_owned),
        op: op.id.clone(),
    };
    record.set_lease(Lease::start(op.now, length));
    turn.write(&record, sync)?;
    Ok(Acquired::Yes(record.shown()))
}

/// Renews a lock. One whose lease ran out is still ours as long as nobody took it.
pub(super) fn renew(dir: &Dir, name: &Word, token: u64, op: &Op, sync: bool) -> Result<Acquired> {
    let turn = Turn::begin(dir, name)?;
    let Some(mut record) = turn.record.clone() else { return Err(never(name)) };
    if !record.held || record.token != token {
        return Ok(Acquired::Held(record.shown()));
    }
    record.set_lease(record.lease().renewed(op.now));
    turn.write(&record, sync)?;
    Ok(Acquired::Yes(record.shown()))
}

/// Gives a lock back. Tells whether it still was ours.
pub(super) fn unlock(dir: &Dir, name: &Word, token: u64, op: &Op, sync: bool) -> Result<bool> {
    let turn = Turn::begin(dir, name)?;
    let Some(mut record) = turn.record.clone() else { return Err(never(name)) };
    if !record.held || record.token != token {
        return Ok(false);
    }
    record.held = false;
    record.op = op.id.clone();
    turn.write(&record, sync)?;
    Ok(true)
}

/// The locks whose lease is running, by name. Takes no lock: every file is old or new, and whole.
pub(super) fn all(dir: &Dir, op: &Op) -> Result<Vec<Lock>> {
    let dir = match dir.subdir(DIR, false) {
        Err(e) if e.is_not_found() => return Ok(Vec::new()),
        other => other.map_err(failure::open)?,
    };
    let mut list = Vec::new();
    for (_, record) in records(&dir)? {
        if let Some(record) = record?.filter(|r| r.is_running(op)) {
            list.push(record.shown());
        }
    }
    list.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(list)
}

/// The locks whose lease is running, as far as their files can be read.
pub(super) fn held(dir: &Dir, op: &Op) -> Vec<Lock> {
    let Ok(dir) = dir.subdir(DIR, false) else { return Vec::new() };
    let all = records(&dir).unwrap_or_default().into_iter();
    let running = all.filter_map(|(_, record)| record.ok()?.filter(|r| r.is_running(op)));
    running.map(Record::shown).collect()
}

/// The records of all locks, by the names of their files. An empty file has none.
fn records(dir: &Dir) -> Result<Vec<(String, Result<Option<Record>>)>> {
    let mut list = Vec::new();
    for name in dir.names().map_err(|e| failure::read(dir.path(), e))? {
        if name.starts_with('.') || name.strip_suffix(".json").is_none() {
            continue;
        }
        let record = match dir.file(&name, Access::Read) {
            Err(e) if e.is_not_found() => continue,
            Err(e) => Err(failure::open(e)),
            Ok(file) => read(dir, &file, &name),
        };
        list.push((name, record));
    }
    Ok(list)
}

/// The files of named locks that cannot be read, with why.
pub(super) fn unreadable(dir: &Dir) -> Result<Vec<(String, String)>> {
    let dir = match dir.subdir(DIR, false) {
        Err(e) if e.is_not_found() => return Ok(Vec::new()),
        other => other.map_err(failure::open)?,
    };
    let mut bad = Vec::new();
    for name in dir.names().map_err(|e| failure::read(dir.path(), e))? {
        let Some(stem) = name.strip_suffix(".json").filter(|_| !name.starts_with('.')) else {
            continue;
        };
        let why = match dir.file(&name, Access::Read) {
            Err(e) if e.is_not_found() => continue,
            Err(e) => e.to_string(),
            Ok(file) => match read(&dir, &file, &name) {
                Ok(Some(record)) if record.name.as_str() != stem => {
                    format!("it is that of `{}`", record.name)
                }
                Ok(_) => continue,
                Err(crate::store::Error::Io { source, .. }) => source.to_string(),
                Err(error) => error.to_string(),
            },
        };
        bad.push((format!("{DIR}/{name}"), why));
    }
    Ok(bad)
}

fn never(name: &Word) -> crate::store::Error {
    let why = io::Error::new(io::ErrorKind::NotFound, "it was never taken");
    failure::io(format!("find the lock `{name}`"), why)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::domain::time::Stamp;

    const MINUTE: Duration = Duration::from_mins(1);

    fn state() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::create(&temp.path().join("s"), false).unwrap();
        (temp, dir)
    }

    fn op(by: &str, at_s: i64) -> Op {
        let wall = DateTime::from_timestamp(1_000_000 + at_s, 0).unwrap();
        let now = Stamp { wall, boot: 7, boot_ms: u64::try_from(at_s * 1000 + 5000).unwrap() };
        Op {
            id: format!("op-{by}-{at_s}").parse().unwrap(),
            given: false,
            by: by.parse().unwrap(),
            now,
        }
    }

    fn name() -> Word {
        "deploy".parse().unwrap()
    }

    fn yes(got: Acquired) -> Lock {
        match got {
            Acquired::Yes(lock) => lock,
            Acquired::Held(lock) => panic!("held by {}", lock.holder),
        }
    }

    fn take(dir: &Dir, by: &str, at_s: i64) -> Acquired {
        acquire(dir, &name(), MINUTE, Some("why"), &op(by, at_s), true).unwrap()
    }

    fn file(dir: &Dir) -> std::path::PathBuf {
        dir.path().join(Path::new("locks/deploy.json"))
    }

    #[test]
    fn one_at_a_time_and_tokens_grow_over_release_and_expiry() {
        let (_temp, dir) = state();
        let first = yes(take(&dir, "a", 0));
        assert_eq!(
            (first.token, first.holder.as_str(), first.note.as_deref()),
            (1, "a", Some("why"))
        );
        assert!(matches!(take(&dir, "b", 30), Acquired::Held(l) if l.token == 1));
        assert!(matches!(take(&dir, "a", 59), Acquired::Held(_)), "not even by the same agent");
        assert!(unlock(&dir, &name(), 1, &op("a", 59), true).unwrap());
        assert!(!unlock(&dir, &name(), 1, &op("a", 59), true).unwrap());
        assert_eq!(yes(take(&dir, "b", 59)).token, 2);
        assert_eq!(yes(take(&dir, "c", 119)).token, 3, "the lease has run out");
        assert!(
            matches!(renew(&dir, &name(), 2, &op("b", 119), true).unwrap(), Acquired::Held(l) if l.token == 3)
        );
        assert!(!unlock(&dir, &name(), 2, &op("b", 119), true).unwrap());
        assert!(matches!(take(&dir, "d", 120), Acquired::Held(_)), "a stale unlock frees nothing");
    }

    #[test]
    fn renewing_moves_the_end_and_the_list_shows_what_runs() {
        let (_temp, dir) = state();
        assert!(all(&dir, &op("x", 0)).unwrap().is_empty());
        yes(take(&dir, "a", 0));
        assert_eq!(yes(renew(&dir, &name(), 1, &op("a", 50), true).unwrap()).token, 1);
        assert!(matches!(take(&dir, "b", 100), Acquired::Held(_)));
        let list = all(&dir, &op("x", 100)).unwrap();
        assert_eq!((list.len(), list[0].holder.as_str()), (1, "a"));
        assert!(all(&dir, &op("x", 110)).unwrap().is_empty());
        // It ran out, but nobody took it meanwhile.
        yes(renew(&dir, &name(), 1, &op("a", 111), true).unwrap());
        unlock(&dir, &name(), 1, &op("a", 112), true).unwrap();
        assert!(all(&dir, &op("x", 112)).unwrap().is_empty());
    }

    #[test]
    fn a_repeated_operation_gets_the_first_answer() {
        let (_temp, dir) = state();
        let again = Op { given: true, ..op("a", 0) };
        assert_eq!(yes(acquire(&dir, &name(), MINUTE, None, &again, true).unwrap()).token, 1);
        assert_eq!(yes(acquire(&dir, &name(), MINUTE, None, &again, true).unwrap()).token, 1);
    }

    #[test]
    fn whatever_a_killed_writer_left_behind_is_no_obstacle() {
        let (_temp, dir) = state();
        dir.subdir(DIR, true).unwrap();
        std::fs::File::create(file(&dir)).unwrap();
        std::fs::File::create(dir.path().join("locks/.deploy.json.tmp")).unwrap();
        assert!(all(&dir, &op("x", 0)).unwrap().is_empty());
        let token = yes(take(&dir, "a", 0)).token;
        assert_eq!(token, 1);
        assert_eq!(all(&dir, &op("x", 0)).unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_never_taken_for_free() {
        use std::io::Write;
        let (_temp, dir) = state();
        yes(take(&dir, "a", 0));
        std::fs::File::create(file(&dir)).unwrap().write_all(b"{\"held\":").unwrap();
        assert!(acquire(&dir, &name(), MINUTE, None, &op("b", 999), true).is_err());
    }

    #[test]
    fn threads_exclude_each_other() {
        let (_temp, dir) = state();
        let path = dir.path().to_owned();
        let wins: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|k| {
                    let path = path.clone();
                    scope.spawn(move || {
                        let dir = Dir::open(&path, false).unwrap();
                        (0..10)
                            .filter_map(|_| match take(&dir, &format!("t{k}"), 0) {
                                Acquired::Yes(lock) => {
                                    assert!(
                                        unlock(&dir, &name(), lock.token, &op("t", 0), false)
                                            .unwrap()
                                    );
                                    Some(lock.token)
                                }
                                Acquired::Held(_) => None,
                            })
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
        });
        let mut sorted = wins.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), wins.len(), "no token was given twice");
        assert_eq!(sorted.last().copied(), Some(wins.len() as u64), "and none was left out");
    }
}
