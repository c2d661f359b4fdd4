//! Reading telemetry: oldest file first, line by line, so that memory does not grow with it.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use super::Stream;
use crate::domain::telemetry::Operation;
use crate::domain::time::of_file;
use crate::domain::trace::Span;
use crate::store::{Result, failure};
use crate::sys::fs::{Access, Dir, OpenError};

/// A line that is longer is none of ours.
pub(super) const LONGEST: u64 = 1 << 20;

/// What was read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Read {
    /// Lines that were shown.
    pub lines: u64,
    /// Lines that could not be read, such as the torn one of a power cut.
    pub bad: u64,
}

/// The telemetry of one state directory.
#[derive(Debug)]
pub struct Journal {
    pub(super) dir: Dir,
}

impl Journal {
    /// Opens it for reading; nothing if the state directory is not there.
    pub fn open(state: &Path, trusted: bool) -> Result<Option<Self>> {
        match Dir::open(state, trusted) {
            Ok(dir) => Ok(Some(Self { dir })),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(failure::open(e)),
        }
    }

    /// The directory it is in.
    #[must_use]
    pub const fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Opens it only to look at it: nothing is checked, and nothing is mended.
    pub fn observe(state: &Path) -> Result<Option<Self>> {
        match Dir::observe(state) {
            Ok(dir) => Ok(Some(Self { dir })),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(failure::open(e)),
        }
    }

    /// Shows every operation that began at or after `since`, in the order in which they ended.
    pub fn operations(
        &self,
        since: Option<DateTime<Utc>>,
        see: &mut dyn FnMut(Operation),
    ) -> Result<Read> {
        self.each(Stream::Operations, since, &mut |op: Operation| {
            if since.is_none_or(|since| op.at >= since) {
                see(op);
            }
        })
    }

    /// Shows every span that ended at or after `since`, operations included: those first, and last the
    /// spans of which only the beginning was noted, if that was at or after `since`.
    pub fn spans(&self, since: Option<DateTime<Utc>>, see: &mut dyn FnMut(Span)) -> Result<Read> {
        let mut show = |span: Span| {
            if since.is_none_or(|since| span.end() >= since) {
                see(span);
            }
        };
        let (mut ended, mut begun) = (HashSet::new(), BTreeMap::new());
        let operations = self.each(Stream::Operations, since, &mut |op: Operation| {
            // No other operation notes its beginning.
            if !op.answers_at_once() {
                ended.insert((op.trace_id, op.span_id));
            }
            show(op.span());
        })?;
        let spans = self.each(Stream::Spans, since, &mut |span: Span| {
            let id = (span.trace_id, span.span_id);
            if !span.open {
                begun.remove(&id);
                show(span);
            } else if !ended.contains(&id) {
                begun.insert(id, span);
            }
        })?;
        begun.into_values().for_each(show);
        Ok(Read { lines: operations.lines + spans.lines, bad: operations.bad + spans.bad })
    }

    /// The files of a stream, oldest first, each with its size in bytes; the one that is written last.
    pub fn files(&self, stream: Stream) -> Result<Vec<(String, u64)>> {
        let names = self.dir.names().map_err(|source| failure::read(self.dir.path(), source))?;
        let former = names.into_iter().filter(|name| stream.is_former(name));
        let mut files = Vec::new();
        for name in former.chain([stream.file().to_owned()]) {
            if let Some(file) = open(&self.dir, &name)? {
                let size = file.metadata().map_or(0, |m| m.len());
                files.push((name, size));
            }
        }
        Ok(files)
    }

    /// What has the name of telemetry and is passed over because it cannot be read, and why.
    pub fn strange(&self) -> Result<Vec<String>> {
        let names = self.dir.names().map_err(|source| failure::read(self.dir.path(), source))?;
        let ours = |name: &str| Stream::ALL.iter().any(|s| s.file() == name || s.is_former(name));
        let mut strange = Vec::new();
        for name in names.iter().filter(|name| ours(name)) {
            match self.dir.file(name, Access::Read) {
                Err(OpenError::Insecure { why, .. }) => {
                    strange.push(format!("`{name}` is passed over: {why}"));
                }
                Err(OpenError::Io { source, .. })
                    if source.kind() != std::io::ErrorKind::NotFound =>
                {
                    strange.push(format!("`{name}` is passed over: {source}"));
                }
                _ => {}
            }
        }
        Ok(strange)
    }

    fn each<T: DeserializeOwned>(
        &self,
        stream: Stream,
        since: Option<DateTime<Utc>>,
        see: &mut dyn FnMut(T),
    ) -> Result<Read> {
        let mut read = Read::default();
        for (name, _) in self.files(stream)? {
            let Some(file) = open(&self.dir, &name)? else { continue };
            let path = self.dir.path().join(&name);
            let changed = file.metadata().and_then(|m| m.modified());
            let changed = changed.map_err(|source| failure::read(&path, source))?;
            // Nothing in it can be newer than its last change, give or take a clock that was set.
            let slack = chrono::TimeDelta::hours(1);
            if since.is_some_and(|since| of_file(changed) + slack < since) {
                continue;
            }
            lines(file, &path, &mut read, see)?;
        }
        Ok(read)
    }
}

/// Shows every line of a file that can be read.
pub(super) fn lines<T: DeserializeOwned>(
    file: File,
    path: &Path,
    read: &mut Read,
    see: &mut dyn FnMut(T),
) -> Result<()> {
    let mut lines = BufReader::with_capacity(1 << 16, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let got = lines.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        if got.map_err(|source| failure::read(path, source))? == 0 {
            return Ok(());
        }
        match serde_json::from_slice(&line) {
            Ok(value) => {
                read.lines += 1;
                see(value);
            }
            Err(_) if line.iter().all(u8::is_ascii_whitespace) => {}
            Err(_) => read.bad += 1,
        }
    }
}

/// Opens a file; nothing if it was removed meanwhile, was never there, or is none that we could have
/// written: one such file must not keep all others from being read ([`Journal::strange`] tells of it).
pub(super) fn open(dir: &Dir, name: &str) -> Result<Option<File>> {
    match dir.file(name, Access::Read) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.is_not_found() || is_strange(&e) => Ok(None),
        Err(e) => Err(failure::open(e)),
    }
}

fn is_strange(e: &OpenError) -> bool {
    matches!(e, OpenError::Insecure { .. }) || e.is_read_only()
}
