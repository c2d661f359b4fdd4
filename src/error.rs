//! The one error that reaches the user: what went wrong, why, what to do, and the exit code.

use std::fmt;

/// How a failure is reported: its label, its exit code, its JSON `kind`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The request cannot be met: no such item, wrong state.
    User,
    /// The command line is wrong, or a confirmation was needed and nobody could be asked.
    Usage,
    /// The configuration is wrong.
    Config,
    /// Someone else holds it, the lease was lost, or the lock was not got in time.
    Conflict,
    /// Something outside failed: disk, network, child process.
    External,
    /// There is nothing to do.
    Empty,
    /// Claude refused, was cut short, or did not fit the schema.
    Refused,
    /// A budget is used up.
    Budget,
    /// Written but not confirmed durable, or the answer was cut off.
    Unknown,
    /// A check found problems.
    Problems,
    /// A defect in this program.
    Bug,
    /// A time limit ran out.
    Timeout,
    /// Stopped by SIGINT.
    Interrupted,
    /// Stopped by SIGTERM.
    Terminated,
    /// Another program's exit code, handed on.
    Child(u8),
}

impl Kind {
    /// The process exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Usage => 2,
            Self::Config => 3,
            Self::Conflict => 4,
            Self::External => 5,
            Self::Empty => 6,
            Self::Refused => 7,
            Self::Budget => 8,
            Self::Unknown => 9,
            Self::Problems => 10,
            Self::Bug => 70,
            Self::Timeout => 124,
            Self::Interrupted => 130,
            Self::Terminated => 143,
            Self::Child(code) => code,
        }
    }

    /// The stable name in machine output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Usage => "usage",
            Self::Config => "config",
            Self::Conflict => "conflict",
            Self::External => "external",
            Self::Empty => "empty",
            Self::Refused => "refused",
            Self::Budget => "budget",
            Self::Unknown => "unknown-outcome",
            Self::Problems => "problems",
            Self::Bug => "bug",
            Self::Timeout => "timeout",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
            Self::Child(_) => "child",
        }
    }
}

const LOST_ANSWER: &str = "cannot write the answer";

/// A failure with what to do about it.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hints: Vec<String>,
    cause: Option<anyhow::Error>,
    undelivered: bool,
    of_store: bool,
}

/// The result of every command.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Creates an error; `message` is a lowercase fragment without a full stop.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
            cause: None,
            undelivered: false,
            of_store: false,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<anyhow::Error>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds one thing the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// All was done but telling somebody, who did not take it.
    #[must_use]
    pub const fn undelivered(mut self) -> Self {
        self.undelivered = true;
        self
    }

    /// Whether it is only that.
    #[must_use]
    pub const fn is_undelivered(&self) -> bool {
        self.undelivered
    }

    /// It is the store that failed, this program's own, and nothing that was handed to it.
    #[must_use]
    pub const fn of_store(mut self) -> Self {
        self.of_store = true;
        self
    }

    /// Whether it is.
    #[must_use]
    pub const fn is_of_store(&self) -> bool {
        self.of_store
    }

    /// The same failure, reported as another kind.
    #[must_use]
    pub const fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The hints, in the order they were added.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The texts of the causes, outermost first.
    pub fn causes(&self) -> impl Iterator<Item = String> + '_ {
        self.cause.iter().flat_map(|c| c.chain().map(ToString::to_string))
    }

    /// Whether it was only the answer that could not be written.
    #[must_use]
    pub fn is_lost_answer(&self) -> bool {
        self.message == LOST_ANSWER
    }

    /// Whether a broken pipe is among the causes: the reader has gone, which is no failure.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        self.cause.iter().flat_map(|c| c.chain()).any(|e| {
            e.downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// A failed write of the answer.
impl From<std::io::Error> for Error {
    fn from(source: std::io::Error) -> Self {
        Self::new(Kind::External, LOST_ANSWER).caused_by(source)
    }
}
