//! The files of the old system: what they hold, read with patience.
//!
//! One module per format. Each takes the bytes of a file and gives the records that can be
//! understood, and a [`Report`] of what was read, mended, refused or met twice, with its place.
//! Nothing here opens a file or writes one, and no input makes it panic.
//!
//! What becomes of the old records (the rules are told in full where each is read):
//!
//! - A claim that was `completed` is a done item. One that was `active` is pending again, because
//!   its agent had no lease and is long gone: a note says who had it and how far it was.
//! - The first completion of an id counts; the later ones are told as duplicates and kept with the
//!   item. A completion of an unknown id makes a done item.
//! - Fields that have no place in an item are kept under `legacy` in its extra fields, so are the
//!   original values of what was mended.

mod agents;
mod backlog;
mod claims;
mod completions;
pub mod dialect;
mod fields;
mod life;
mod merge;
pub mod mirror;
mod queue;
mod scan;
mod spans;
mod sprints;
mod time;
mod velocity;
mod words;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

pub use agents::OldAgent;
pub use backlog::{Fact, Plan};
pub use completions::Completion;
pub use fields::slug;
pub use merge::{Merged, Source, merge};
pub use spans::Span;
pub use velocity::Points;

use super::work::Item;

/// The most bytes a file may have; YAML may have less, see [`MAX_YAML`].
pub const MAX_FILE: usize = 64 << 20;

/// The most bytes a YAML file may have.
pub const MAX_YAML: usize = 1 << 20;

/// A kind of file that the old system kept.
#[derive(Clone, Copy, Debug, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Who claimed what.
    Claims,
    /// What was queued.
    Queue,
    /// Epics, features, stories and teams.
    Backlog,
    /// The sprint and what was committed to it.
    Sprints,
    /// What was completed, for how many points.
    Completions,
    /// The agents.
    Agents,
    /// Points of the teams.
    Velocity,
    /// Telemetry.
    Spans,
}

impl Kind {
    /// Every kind. Where two files know an item, the one of the earlier kind is believed.
    pub const ALL: [Self; 8] = [
        Self::Claims,
        Self::Queue,
        Self::Backlog,
        Self::Sprints,
        Self::Completions,
        Self::Agents,
        Self::Velocity,
        Self::Spans,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claims => "claims",
            Self::Queue => "queue",
            Self::Backlog => "backlog",
            Self::Sprints => "sprints",
            Self::Completions => "completions",
            Self::Agents => "agents",
            Self::Velocity => "velocity",
            Self::Spans => "spans",
        }
    }

    /// The names that files of this kind had.
    #[must_use]
    pub const fn file_names(self) -> &'static [&'static str] {
        match self {
            Self::Claims => &["work_claims.json"],
            Self::Queue => &["real_work_queue.json", "work_queue.json"],
            Self::Backlog => &["backlog.yaml"],
            Self::Sprints => &["active_sprints.json"],
            Self::Completions => &["coordination_log.json"],
            Self::Agents => &["agent_status.json"],
            Self::Velocity => &["velocity_log.txt"],
            Self::Spans => &["telemetry_spans.jsonl"],
        }
    }

    /// What one record of it is called.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Claims => "claim",
            Self::Queue => "queue row",
            Self::Backlog => "backlog item",
            Self::Sprints => "sprint item",
            Self::Completions => "completion",
            Self::Agents => "agent",
            Self::Velocity => "velocity row",
            Self::Spans => "span",
        }
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|k| k.as_str() == text).ok_or(())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A part of a file. Lines count from 1, bytes from 0.
#[derive(Clone, Debug, Default, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Place {
    /// The line it begins on.
    pub line: Option<usize>,
    /// The line it ends on.
    pub last_line: Option<usize>,
    /// The byte it begins at.
    pub offset: Option<usize>,
    /// The path to it inside the document, as `jq` and `yq` write it.
    pub element: Option<String>,
}

impl Place {
    /// A whole line.
    #[must_use]
    pub const fn line(line: usize, offset: usize) -> Self {
        Self { line: Some(line), last_line: Some(line), offset: Some(offset), element: None }
    }

    /// A path.
    #[must_use]
    pub const fn element(path: String) -> Self {
        Self { line: None, last_line: None, offset: None, element: Some(path) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.last_line) {
            (Some(first), Some(last)) if last > first => write!(f, "{first}-{last}"),
            (Some(first), _) => write!(f, "{first}"),
            (None, _) => f.write_str(self.element.as_deref().unwrap_or("whole file")),
        }
    }
}

/// One thing to tell about a file.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Note {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// The record it is about, as the file names it.
    pub id: Option<String>,
    /// What.
    pub reason: String,
}

/// What is to be told about a file.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Report {
    /// Records that were understood.
    pub read: usize,
    /// What was understood in spite of its form, and how.
    pub mended: Vec<Note>,
    /// What was not understood.
    pub refused: Vec<Note>,
    /// What was there before, in this file or in one that is believed more.
    pub duplicates: Vec<Note>,
}

impl Report {
    fn mended(&mut self, place: &Place, id: Option<&str>, reason: impl Into<String>) {
        self.mended.push(note(place, id, reason.into()));
    }

    fn refused(&mut self, place: &Place, id: Option<&str>, reason: impl Into<String>) {
        self.refused.push(note(place, id, reason.into()));
    }

    fn duplicate(&mut self, place: &Place, id: &str, reason: impl Into<String>) {
        self.duplicates.push(note(place, Some(id), reason.into()));
    }

    /// Brings the notes into the order of the file.
    fn sort(&mut self) {
        for list in [&mut self.mended, &mut self.refused, &mut self.duplicates] {
            list.sort_by_key(|note| note.place.offset);
        }
    }

    /// The report of a file that could not be read at all.
    #[must_use]
    pub fn unreadable(reason: impl Into<String>) -> Self {
        let mut report = Self::default();
        report.refused(&Place::default(), None, reason);
        report
    }
}

fn note(place: &Place, id: Option<&str>, reason: String) -> Note {
    Note { place: place.clone(), id: id.map(ToOwned::to_owned), reason }
}

/// A record and where it stood.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<T> {
    /// Where.
    pub place: Place,
    /// What.
    pub value: T,
}

/// What a file gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<T> {
    /// What was understood, in the order of the file.
    pub records: Vec<Record<T>>,
    /// What is to be told.
    pub report: Report,
}

impl<T> Default for Parsed<T> {
    fn default() -> Self {
        Self { records: Vec::new(), report: Report::default() }
    }
}

impl<T> Parsed<T> {
    fn push(&mut self, place: Place, value: T) {
        self.report.read += 1;
        self.records.push(Record { place, value });
    }

    /// Nothing but a report.
    #[must_use]
    pub const fn nothing(report: Report) -> Self {
        Self { records: Vec::new(), report }
    }

    fn in_order(mut self) -> Self {
        self.report.sort();
        self
    }
}

/// Reads claims: `work_claims.json`.
#[must_use]
pub fn claims(bytes: &[u8], now: chrono::DateTime<chrono::Utc>) -> Parsed<Item> {
    claims::read(bytes, now).in_order()
}

/// Reads a queue in either of its forms: `real_work_queue.json`, `work_queue.json`.
#[must_use]
pub fn queue(bytes: &[u8], now: chrono::DateTime<chrono::Utc>) -> Parsed<Item> {
    queue::read(bytes, now).in_order()
}

/// Reads agents: `agent_status.json`.
#[must_use]
pub fn agents(bytes: &[u8], now: chrono::DateTime<chrono::Utc>) -> Parsed<OldAgent> {
    agents::read(bytes, now).in_order()
}

/// Reads completions: `coordination_log.json`.
#[must_use]
pub fn completions(bytes: &[u8]) -> Parsed<Completion> {
    completions::read(bytes).in_order()
}

/// Reads points: `velocity_log.txt`.
#[must_use]
pub fn velocity(bytes: &[u8]) -> Parsed<Points> {
    velocity::read(bytes)
}

/// Reads telemetry: `telemetry_spans.jsonl`.
#[must_use]
pub fn spans(bytes: &[u8]) -> Parsed<Span> {
    spans::read(bytes).in_order()
}

/// Reads the backlog: `backlog.yaml`.
#[must_use]
pub fn backlog(bytes: &[u8], now: chrono::DateTime<chrono::Utc>) -> Plan {
    backlog::read(bytes, now)
}

/// Reads the sprint: `active_sprints.json`.
#[must_use]
pub fn sprints(bytes: &[u8], now: chrono::DateTime<chrono::Utc>) -> Plan {
    let mut plan = sprints::read(bytes, now);
    plan.items.report.sort();
    plan
}

#[cfg(test)]
mod properties;
