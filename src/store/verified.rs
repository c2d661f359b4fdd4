//! What the store's self-check finds.

use std::fmt;

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ProblemKind {
    /// A line was changed after it was written.
    Changed,
    /// A line was taken out.
    Removed,
    /// A line stands where it was not written.
    Moved,
    /// The same line stands there twice.
    Doubled,
    /// A file ends before what was written ends.
    Truncated,
    /// A line cannot be read.
    Unreadable,
    /// A whole file is not there.
    Missing,
    /// Two branches each made an item with one id.
    Twin,
    /// An item is as no operation could have left it.
    Item,
    /// A completion or another change of a claim does not fit the claim.
    Claim,
    /// An item needs what is not there, or waits for itself.
    Dependency,
    /// Counts that should be the same are not.
    Count,
    /// The index is not what the log makes.
    Index,
    /// An agent's file cannot be read.
    Agent,
    /// A named lock's file cannot be read.
    Lock,
    /// A row that was taken over from elsewhere cannot be read.
    Imported,
    /// A span names a parent that is not there.
    Trace,
    /// The history is not the one that was expected.
    History,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 18] = [
        Self::Changed,
        Self::Removed,
        Self::Moved,
        Self::Doubled,
        Self::Truncated,
        Self::Unreadable,
        Self::Missing,
        Self::Twin,
        Self::Item,
        Self::Claim,
        Self::Dependency,
        Self::Count,
        Self::Index,
        Self::Agent,
        Self::Lock,
        Self::Imported,
        Self::Trace,
        Self::History,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Moved => "moved",
            Self::Doubled => "doubled",
            Self::Truncated => "truncated",
            Self::Unreadable => "unreadable",
            Self::Missing => "missing",
            Self::Twin => "twin",
            Self::Item => "item",
            Self::Claim => "claim",
            Self::Dependency => "dependency",
            Self::Count => "count",
            Self::Index => "index",
            Self::Agent => "agent",
            Self::Lock => "lock",
            Self::Imported => "imported",
            Self::Trace => "trace",
            Self::History => "history",
        }
    }

    /// Whether it is about the lines themselves: whether they are as they were written.
    #[must_use]
    pub const fn is_of_the_log(self) -> bool {
        matches!(
            self,
            Self::Changed
                | Self::Removed
                | Self::Moved
                | Self::Doubled
                | Self::Truncated
                | Self::Unreadable
                | Self::Missing
        )
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// What kind of thing.
    pub kind: ProblemKind,
    /// The file, relative to the state directory.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u64>,
    /// What is wrong, as a sentence without a full stop.
    pub what: String,
    /// What can be done about it.
    pub todo: String,
}

impl Problem {
    /// Something wrong at a line of a file.
    pub fn at(kind: ProblemKind, file: &str, line: u64, what: impl Into<String>) -> Self {
        let (file, line) = (Some(file.to_owned()), Some(line));
        Self { kind, file, line, what: what.into(), todo: String::new() }
    }

    /// Something wrong with a whole file.
    pub fn of_file(kind: ProblemKind, file: &str, what: impl Into<String>) -> Self {
        Self { line: None, ..Self::at(kind, file, 0, what) }
    }

    /// Something wrong that stands in no file of its own.
    pub fn of_all(kind: ProblemKind, what: impl Into<String>) -> Self {
        Self { kind, file: None, line: None, what: what.into(), todo: String::new() }
    }

    /// With what can be done about it.
    #[must_use]
    pub fn todo(mut self, todo: impl Into<String>) -> Self {
        self.todo = todo.into();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "`{file}` line {line}: {}", self.what),
            (Some(file), None) => write!(f, "`{file}`: {}", self.what),
            _ => f.write_str(&self.what),
        }
    }
}

/// A line that records a write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// Its hash, 16 hex digits.
    pub hash: String,
    /// What it rests on and is not there any more, unless a repair that was noted before it says why.
    pub broken: Option<String>,
}

/// What the store's self-check found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verified {
    /// The number of the last write.
    pub n: u64,
    /// The hash of the last line, 16 hex digits: whoever notes it elsewhere can tell later whether the
    /// log is still the one that went on from it.
    pub head: String,
    /// Lines read.
    pub lines: u64,
    /// Items found.
    pub items: u64,
    /// Files read.
    pub files: u64,
    /// Claims found.
    pub claims: u64,
    /// Completions and failures that were held against their claims.
    pub finishes: u64,
    /// Items that were taken over from elsewhere, whose earlier life is not judged.
    pub imported: u64,
    /// Spans whose parents were looked for.
    pub spans: u64,
    /// Places where two histories were merged: no fault.
    pub seams: Vec<String>,
    /// What should be known and is no fault, such as history that was removed on purpose.
    pub notes: Vec<String>,
    /// What is wrong; the log first, in the order in which it was written.
    pub problems: Vec<Problem>,
    /// What a repair did.
    pub repaired: Vec<String>,
}
