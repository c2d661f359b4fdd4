//! What a backup says about itself, and which files belong into one.

use serde::{Deserialize, Serialize};

use crate::store::journal::TOTALS;

/// The version of the form of backups that is written, and the newest that is read.
pub const FORMAT: u64 = 1;
/// The name of the manifest, which is the first entry.
pub(super) const NAME: &str = "manifest.json";
/// A manifest is not larger than this.
pub(super) const MAX: u64 = 64 << 20;

/// What a backup says about itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Manifest {
    /// What it is: `coord-backup`.
    pub kind: String,
    /// The version of its form.
    pub format: u64,
    /// The least version that a program must know to read it.
    pub min_reader: u64,
    /// When the state was that of the backup, RFC 3339.
    pub at: String,
    /// The program that made it.
    pub program: String,
    /// The state directory it was made from.
    pub dir: String,
    /// The format of the store's logs.
    pub log_format: u64,
    /// The number of the last write.
    pub n: u64,
    /// The hash of the last line, 16 hex digits.
    pub head: String,
    /// Items, done ones included.
    pub items: u64,
    /// Every file, in the order in which they follow.
    pub files: Vec<File>,
}

/// A file of a backup.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct File {
    /// Its path, relative to the state directory.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// Its SHA-256, 64 hex digits.
    pub sha256: String,
}

/// Where something in a state directory belongs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Belongs {
    /// Into a backup.
    Yes,
    /// Not into a backup, because it can be made again or means nothing elsewhere.
    No,
    /// Nobody knows: it is left out, and told.
    Unknown,
}

fn ends(name: &str, ending: &str) -> bool {
    name.strip_suffix(ending).is_some()
}

/// Whether a file in the state directory belongs into a backup; `path` is relative, with `/`.
#[must_use]
pub fn belongs(path: &str) -> Belongs {
    let (dir, name) = path.split_once('/').unwrap_or(("", path));
    if name.is_empty() || name.contains('/') {
        return Belongs::Unknown;
    }
    if name.starts_with('.') && name != ".gitignore" && name != ".gitattributes"
        || ends(name, ".tmp")
        || ends(name, ".new")
    {
        return Belongs::No;
    }
    let rotated = |stem: &str| {
        let rest = name.strip_prefix(stem).unwrap_or("x");
        rest == ".jsonl" || (rest.starts_with(['.', '-']) && ends(name, ".jsonl"))
    };
    match dir {
        // With the telemetry goes how far it was sent.
        "" if matches!(name, "work.jsonl" | "config.toml" | "quarantine.jsonl" | "export.json")
            || matches!(name, ".gitignore" | ".gitattributes")
            || name == TOTALS
            || rotated("ops")
            || rotated("spans") =>
        {
            Belongs::Yes
        }
        "" if matches!(name, "lock" | "lock.compact" | "checked.json" | "export.lock") => {
            Belongs::No
        }
        "history" if name == "removed.json" => Belongs::Yes,
        "history" | "imported" if ends(name, ".jsonl") => Belongs::Yes,
        "imported" | "alerts" if name == "lock" => Belongs::No,
        "agents" if ends(name, ".json") || ends(name, ".beat") => Belongs::Yes,
        "locks" if ends(name, ".json") => Belongs::Yes,
        "alerts" if ends(name, ".json") || ends(name, ".jsonl") => Belongs::Yes,
        "quarantine" | "old-files" => Belongs::Yes,
        ".index" => Belongs::No,
        _ => Belongs::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_into_a_backup() {
        for path in [
            "work.jsonl",
            "history/000017.jsonl",
            "history/removed.json",
            "agents/nova.json",
            "agents/nova.beat",
            "locks/deploy.json",
            "imported/spans.jsonl",
            "config.toml",
            "ops.jsonl",
            "ops.totals.json",
            "ops-2026-01-02.jsonl",
            "spans.1.jsonl",
            ".gitignore",
            "quarantine.jsonl",
            "export.json",
        ] {
            assert_eq!(belongs(path), Belongs::Yes, "{path}");
        }
        for path in [
            ".index/head",
            "lock",
            "lock.compact",
            "work.jsonl.new",
            "agents/.nova.12.tmp",
            "locks/.deploy.json.tmp",
            "imported/lock",
            ".mirror",
        ] {
            assert_eq!(belongs(path), Belongs::No, "{path}");
        }
        for path in ["key.pem", "opsx.jsonl", "history/x/y", "claude/state", "history/x.txt", ""] {
            assert_eq!(belongs(path), Belongs::Unknown, "{path}");
        }
    }
}
