//! What was taken over from elsewhere and is no work: points of teams, telemetry, plans.
//!
//! One file of JSON lines for each kind in the directory `imported` of the state directory, only
//! ever appended to. A row is known by its whole content: appending what is there already adds
//! nothing. Rows that are the same on purpose (a team may be credited with five points twice in a
//! second) are counted, so that as many are kept as the fullest source had.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use hmac_sha256::Hash;
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use super::{Error, Result, failure};
use crate::domain::name::OpId;
use crate::sys::Clock;
use crate::sys::fs::{Access, Dir};

/// The directory's name.
const DIR: &str = "imported";

/// A kind of row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Table {
    /// `{"at", "team", "points"}`: points that a team was credited with.
    Velocity,
    /// `{"trace_id", "span_id", "parent_span_id", "name", "service", "start_at", "duration_ms",
    /// "status", "attributes", "extra"}`: what was done and how long it took.
    Spans,
    /// `{"kind", "data"}`: sprints, increments, teams, events.
    Plans,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 3] = [Self::Velocity, Self::Spans, Self::Plans];

    /// Its file, relative to the state directory.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Velocity => "imported/velocity.jsonl",
            Self::Spans => "imported/spans.jsonl",
            Self::Plans => "imported/plans.jsonl",
        }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::Velocity => "velocity.jsonl",
            Self::Spans => "spans.jsonl",
            Self::Plans => "plans.jsonl",
        }
    }
}

/// What became of rows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Kept {
    /// Rows that are new.
    pub added: usize,
    /// Rows that were there.
    pub existing: usize,
}

/// The rows that were taken over.
#[derive(Debug)]
pub struct Imported {
    dir: Dir,
}

impl Imported {
    /// Opens them for reading; nothing if nothing was ever taken over.
    pub fn open(state: &Path, trusted: bool) -> Result<Option<Self>> {
        match Dir::open(state, trusted).and_then(|dir| dir.subdir(DIR, false)) {
            Ok(dir) => Ok(Some(Self { dir })),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(failure::open(e)),
        }
    }

    /// Opens them for writing; the state directory must be there.
    pub fn create(state: &Path, trusted: bool) -> Result<Self> {
        let state = Dir::open(state, trusted).map_err(failure::open)?;
        let dir = state.subdir(DIR, true).map_err(failure::open)?;
        // The new name must survive a power cut as well.
        let synced = state.sync();
        synced.map_err(|source| failure::at("make the directory durable", state.path(), source))?;
        Ok(Self { dir })
    }

    /// Shows every row, oldest first; gives the number of lines that are none.
    pub fn read(&self, table: Table, see: &mut dyn FnMut(Value)) -> Result<usize> {
        let Some(bytes) = self.bytes(table)? else { return Ok(0) };
        let mut bad = 0;
        for line in whole(&bytes).split_inclusive(|c| *c == b'\n') {
            match serde_json::from_slice(line) {
                Ok(value) => see(value),
                Err(_) => bad += 1,
            }
        }
        Ok(bad)
    }

    /// Tells which rows are new, and changes nothing.
    pub fn compare(&self, table: Table, rows: &[Value]) -> Result<Kept> {
        let bytes = self.bytes(table)?.unwrap_or_default();
        Ok(missing(&bytes, rows).1)
    }

    /// Adds the rows that are not there yet, all or none. When it returns they are durable. Waits for
    /// others who write here at most `timeout`.
    pub fn append(
        &self,
        table: Table,
        rows: &[Value],
        op: &OpId,
        clock: &dyn Clock,
        timeout: Duration,
    ) -> Result<Kept> {
        let _lock = self.lock(clock, timeout)?;
        let path = self.dir.path().join(table.file());
        let mut file = self.dir.file(table.file(), Access::Create).map_err(failure::open)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| failure::at("read", &path, e))?;
        let (lines, kept) = missing(&bytes, rows);
        // A line without its end was never acknowledged.
        let end = whole(&bytes).len();
        let write = |file: &mut File| {
            if end < bytes.len() {
                file.set_len(end as u64)?;
            }
            file.seek(SeekFrom::Start(end as u64))?;
            file.write_all(&lines)
        };
        if let Err(source) = write(&mut file) {
            let _ = file.set_len(end as u64);
            return Err(failure::at("write", &path, source));
        }
        // Also if nothing is new: an earlier attempt may have been cut off right here.
        let synced = file.sync_data().and_then(|()| self.dir.sync());
        synced.map_err(|source| Error::Unknown {
            op: op.clone(),
            what: format!("`{}` could not be made durable", path.display()),
            source,
        })?;
        Ok(kept)
    }

    fn bytes(&self, table: Table) -> Result<Option<Vec<u8>>> {
        let mut file = match self.dir.file(table.file(), Access::Read) {
            Ok(file) => file,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(failure::open(e)),
        };
        let mut bytes = Vec::new();
        let read = file.read_to_end(&mut bytes);
        read.map_err(|e| failure::at("read", &self.dir.path().join(table.file()), e))?;
        Ok(Some(bytes))
    }

    /// The kernel frees the lock when the file is closed, also by a kill.
    fn lock(&self, clock: &dyn Clock, timeout: Duration) -> Result<File> {
        let file = self.dir.file("lock", Access::Create).map_err(failure::open)?;
        let start = clock.monotonic();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(e) => return Err(failure::at("lock", self.dir.path(), e.into())),
            }
            let waited = clock.monotonic().saturating_sub(start);
            if waited >= timeout {
                return Err(Error::Busy { holder: None, waited });
            }
            clock.sleep(Duration::from_millis(20));
        }
    }
}

/// The lines that have their end.
fn whole(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1)]
}

/// The lines for the rows that are not among `bytes`.
fn missing(bytes: &[u8], rows: &[Value]) -> (Vec<u8>, Kept) {
    let mut there: HashMap<[u8; 32], usize> = HashMap::new();
    for line in whole(bytes).split(|c| *c == b'\n') {
        *there.entry(Hash::hash(line)).or_default() += 1;
    }
    let (mut lines, mut kept) = (Vec::new(), Kept::default());
    for row in rows {
        let line = row.to_string();
        match there.get_mut(&Hash::hash(line.as_bytes())) {
            Some(count) if *count > 0 => {
                *count -= 1;
                kept.existing += 1;
            }
            _ => {
                lines.extend_from_slice(line.as_bytes());
                lines.push(b'\n');
                kept.added += 1;
            }
        }
    }
    (lines, kept)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sys::SystemClock;

    fn append(imported: &Imported, rows: &[Value]) -> Kept {
        let (op, wait) = ("op-1".parse().unwrap(), Duration::from_secs(5));
        imported.append(Table::Velocity, rows, &op, &SystemClock, wait).unwrap()
    }

    fn all(imported: &Imported) -> Vec<Value> {
        let mut rows = Vec::new();
        assert_eq!(imported.read(Table::Velocity, &mut |row| rows.push(row)).unwrap(), 0);
        rows
    }

    #[test]
    fn what_is_there_is_not_added_again_and_equal_rows_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Imported::open(dir.path(), false).unwrap().is_none());
        let imported = Imported::create(dir.path(), false).unwrap();
        let (a, b) = (json!({"team": "a", "points": 5}), json!({"team": "b", "points": 5}));
        let rows = [a.clone(), a.clone(), b.clone()];
        assert_eq!(
            imported.compare(Table::Velocity, &rows).unwrap(),
            Kept { added: 3, existing: 0 }
        );
        assert_eq!(append(&imported, &rows), Kept { added: 3, existing: 0 });
        let before = imported.bytes(Table::Velocity).unwrap();
        assert_eq!(append(&imported, &rows), Kept { added: 0, existing: 3 });
        assert_eq!(append(&imported, std::slice::from_ref(&b)), Kept { added: 0, existing: 1 });
        assert_eq!(imported.bytes(Table::Velocity).unwrap(), before);
        assert_eq!(
            append(&imported, &[a.clone(), a.clone(), a.clone()]),
            Kept { added: 1, existing: 2 }
        );
        assert_eq!(all(&imported), [a.clone(), a.clone(), b, a]);
    }

    #[test]
    fn a_line_that_was_cut_off_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let imported = Imported::create(dir.path(), false).unwrap();
        let rows: Vec<_> = (0..20).map(|n| json!({"n": n})).collect();
        append(&imported, &rows);
        let bytes = imported.bytes(Table::Velocity).unwrap().unwrap();
        for cut in 0..bytes.len() {
            let file = imported.dir.file("velocity.jsonl", Access::Write).unwrap();
            file.set_len(cut as u64).unwrap();
            assert_eq!(
                append(&imported, &rows).added,
                20 - whole(&bytes[..cut]).split(|c| *c == b'\n').count() + 1
            );
            assert_eq!(imported.bytes(Table::Velocity).unwrap().unwrap(), bytes, "{cut}");
        }
    }

    #[test]
    fn nobody_else_may_read_it_and_links_are_not_followed() {
        use std::os::unix::fs::{MetadataExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let imported = Imported::create(dir.path(), false).unwrap();
        append(&imported, &[json!(1)]);
        let mode = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().mode() & 0o777;
        assert_eq!((mode("imported"), mode("imported/velocity.jsonl")), (0o700, 0o600));
        symlink("/dev/null", dir.path().join("imported/spans.jsonl")).unwrap();
        let error = imported.compare(Table::Spans, &[]).unwrap_err();
        assert!(matches!(error, Error::Insecure { .. }), "{error:?}");
    }

    #[test]
    fn two_writers_at_once_keep_every_row_once() {
        let dir = tempfile::tempdir().unwrap();
        Imported::create(dir.path(), false).unwrap();
        let rows: Vec<_> = (0..200).map(|n| json!({"n": n})).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| append(&Imported::create(dir.path(), false).unwrap(), &rows));
            }
        });
        assert_eq!(all(&Imported::open(dir.path(), false).unwrap().unwrap()).len(), 200);
    }
}
