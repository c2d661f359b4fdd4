//! Words that the old system used for priorities and states, and what they mean now.

use crate::domain::work::{Priority, Status};

/// A priority by its own name or one that means the same; tells whether it is its own name.
pub(super) fn priority(text: &str) -> Option<(Priority, bool)> {
    let word = text.trim().to_ascii_lowercase();
    if let Ok(priority) = word.parse() {
        return Some((priority, word == text));
    }
    let meant = match word.as_str() {
        "highest" | "urgent" | "blocker" | "immediate" | "p0" => Priority::Critical,
        "p1" => Priority::High,
        "normal" | "default" | "moderate" | "p2" => Priority::Medium,
        "lowest" | "minor" | "trivial" | "p3" | "p4" => Priority::Low,
        _ => return None,
    };
    Some((meant, false))
}

/// What an old state means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Meaning {
    /// Nobody had it.
    Open,
    /// Somebody had it.
    Held,
    /// It was finished, well or badly.
    Finished(Status),
}

/// The meaning of a state, if it is one that the old system knew.
pub(super) fn meaning(text: &str) -> Option<Meaning> {
    Some(match text.trim().to_ascii_lowercase().replace([' ', '-'], "_").as_str() {
        "pending" | "available" | "ready" | "open" | "todo" | "to_do" | "new" | "queued"
        | "planned" | "backlog" => Meaning::Open,
        "active" | "claimed" | "in_progress" | "started" | "running" | "working" => Meaning::Held,
        "completed" | "complete" | "done" | "finished" | "closed" | "success" => {
            Meaning::Finished(Status::Done)
        }
        "failed" | "failure" | "error" | "cancelled" | "canceled" | "abandoned" => {
            Meaning::Finished(Status::Failed)
        }
        _ => return None,
    })
}
