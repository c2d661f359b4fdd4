//! Telemetry on disk: what commands did (`ops.jsonl`) and the spans that are no commands
//! (`spans.jsonl`), one line each.
//!
//! A line is appended with one write of less than 4 KiB, so that lines of many processes do not mix. It
//! is never waited for and never synced: after a power cut some may be missing, and what the store
//! promises does not rest on them. A file that has grown too large is renamed to
//! `ops.<time>.jsonl`, where writers that still have it open may add a last line; renamed files are
//! removed when they are older than they are to be kept; of operations the counts stay.

mod marks;
mod read;
#[cfg(test)]
mod tests;
mod totals;

use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::fs::{FlockOperation, flock};

pub use marks::Marks;
pub(super) use marks::name_of;
pub use read::{Journal, Read};
pub use totals::Counted;
pub(super) use totals::{FILE as TOTALS, remove as remove_counted};

use super::fields::Fields;
use crate::domain::telemetry::Operation;
use crate::domain::time::of_file;
use crate::domain::trace::Span;
use crate::sys::fs::{Access, Dir, OpenError};

/// A longer line is not written: it could be mixed with others.
const LONGEST: usize = 4096;

/// What is kept in files of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stream {
    /// Operations.
    Operations,
    /// Spans that are no operations.
    Spans,
}

impl Stream {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Operations, Self::Spans];

    /// The file that is written.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Operations => "ops.jsonl",
            Self::Spans => "spans.jsonl",
        }
    }

    const fn stem(self) -> &'static str {
        match self {
            Self::Operations => "ops.",
            Self::Spans => "spans.",
        }
    }

    /// Whether a name is one of its former files.
    #[must_use]
    pub fn is_former(self, name: &str) -> bool {
        let stamp = name.strip_prefix(self.stem()).and_then(|rest| rest.strip_suffix(".jsonl"));
        // Two of one moment are told apart by letters behind it. What people put there is theirs.
        let stamp = stamp.map(|stamp| stamp.trim_end_matches('a').as_bytes());
        stamp.is_some_and(|stamp| {
            let form = b"00000000T000000000000Z";
            let fits = |(c, form): (&u8, &u8)| match form {
                b'0' => c.is_ascii_digit(),
                form => c == form,
            };
            stamp.len() == form.len() && stamp.iter().zip(form).all(fits)
        })
    }
}

/// How much is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// A file of more bytes is put aside.
    pub bytes: u64,
    /// For how long files that were put aside are kept.
    pub keep: Duration,
}

/// Appends an operation.
pub fn operation(dir: &Dir, op: &Operation, limits: Limits) -> Result<(), OpenError> {
    let mut line = line_of(op);
    line.push(b'\n');
    append(dir, Stream::Operations, &line, limits, op.at)
}

/// Appends a span.
pub fn span(dir: &Dir, span: &Span, limits: Limits) -> Result<(), OpenError> {
    let mut line = serde_json::to_vec(span).unwrap_or_default();
    line.push(b'\n');
    append(dir, Stream::Spans, &line, limits, span.end())
}

/// The same text as the serializer would make, with what a claim has at hand anyway.
fn line_of(op: &Operation) -> Vec<u8> {
    let mut line = Fields::new();
    line.time("at", op.at)
        .text("command", &op.command)
        .plain("outcome", op.outcome.as_str())
        .number("exit_code", op.exit_code.into())
        .number("duration_us", op.duration_us)
        .number_if("lock_wait_us", Some(op.lock_wait_us).filter(|us| *us > 0))
        .number_if("cpu_us", op.cpu_us)
        .number_if("memory_kib", op.memory_kib)
        .text_if("agent", op.agent.as_deref())
        .text_if("item", op.item.as_deref())
        .text_if("store_op", op.store_op.as_deref())
        .text_if("team", op.team.as_deref())
        .bytes("trace_id", &op.trace_id.bytes())
        .bytes("span_id", &op.span_id.bytes());
    if let Some(parent) = op.parent_span_id {
        line.bytes("parent_span_id", &parent.bytes());
    }
    line.truth("remote_parent", op.remote_parent).truth("lasting", op.lasting).close()
}

fn append(
    dir: &Dir,
    stream: Stream,
    line: &[u8],
    limits: Limits,
    now: DateTime<Utc>,
) -> Result<(), OpenError> {
    // What was only named, and is none of ours, gets no files of ours.
    if line.len() >= LONGEST || !super::is_in(dir) {
        return Ok(());
    }
    let mut file = dir.file(stream.file(), Access::AppendCreate)?;
    let failed = |source| OpenError::Io { path: dir.path().join(stream.file()), source };
    file.write_all(line).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() > limits.bytes {
        put_aside(dir, stream, &file, now).map_err(failed)?;
        remove_old(dir, stream, limits.keep, now).map_err(failed)?;
    }
    Ok(())
}

/// Gives the file another name, unless somebody else is doing that.
fn put_aside(dir: &Dir, stream: Stream, file: &File, now: DateTime<Utc>) -> io::Result<()> {
    if flock(file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    // Whoever had the lock before may have renamed it already.
    if !dir.names_file(stream.file(), file) {
        return Ok(());
    }
    let mut name = format!("{}{}.jsonl", stream.stem(), now.format("%Y%m%dT%H%M%S%6fZ"));
    while dir.has(&name) {
        name.insert(name.len() - ".jsonl".len(), 'a');
    }
    dir.rename(stream.file(), dir, &name)
}

/// Removes former files to which nothing was added for so long.
fn remove_old(dir: &Dir, stream: Stream, keep: Duration, now: DateTime<Utc>) -> io::Result<()> {
    let names = dir.names()?;
    let mut old = Vec::new();
    for name in names.iter().filter(|name| stream.is_former(name)) {
        let Ok(file) = dir.file(name, Access::Read) else { continue };
        let changed = of_file(file.metadata()?.modified()?);
        if (now - changed).to_std().is_ok_and(|age| age > keep) {
            old.push(name.as_str());
        }
    }
    match stream {
        // What cannot be counted stays until the next time.
        Stream::Operations => drop(remove_counted(dir, &old, now)),
        Stream::Spans => old.into_iter().try_for_each(|name| dir.remove(name))?,
    }
    Ok(())
}
