//! What `coord scripts audit` tells.

use std::fmt::Write as _;
use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::shims;
use crate::domain::behaviour::census::{Census, Known};
use crate::output::style::HEADER;
use crate::output::{Screen, View, line, plural};

/// Where was looked, and what was not read there.
pub(super) struct Place {
    pub(super) dir: String,
    pub(super) files: u64,
    pub(super) links: u64,
    pub(super) shims: u64,
    pub(super) unread: u64,
    pub(super) skipped: Vec<Skipped>,
}

/// The whole report.
#[derive(JsonSchema, Serialize)]
pub(super) struct Audit {
    /// The top of the tree; all paths are seen from there.
    dir: String,
    /// Plain files of any kind.
    files: u64,
    /// Symbolic links; they are not followed.
    links: u64,
    /// Shims of an earlier run; they count as nothing else.
    shims_found: u64,
    /// Scripts: plain files that end in `.sh` or begin with `#!`.
    scripts: u64,
    /// Contents that they have.
    distinct: u64,
    lines: Lines,
    /// Scripts with the same content, where most lines could be saved first.
    copies: Vec<Copies>,
    /// Scripts with the same name, those with most files first.
    namesakes: Vec<Namesakes>,
    /// Scripts of the old system, by name.
    known: Vec<KnownScript>,
    /// All others, by path.
    unknown: Vec<Unknown>,
    /// Places that could not be read.
    unread: u64,
    /// What was not counted and why, by path; at most 1000 of them.
    not_read: Vec<Skipped>,
    /// What was or would be written; nothing unless it was asked for.
    shims: Vec<Shim>,
    /// Whether nothing was written because of `--dry-run`; null without `--write-shims`.
    dry_run: Option<bool>,
}

#[derive(JsonSchema, Serialize)]
struct Lines {
    total: u64,
    /// Of copies beyond the first of each content.
    copied: u64,
    /// Of scripts that a command of this version replaces.
    replaced: u64,
    /// Of scripts whose command is not in this version yet.
    planned: u64,
    /// Replaced, and of all others the copies beyond the first.
    removable: u64,
}

#[derive(JsonSchema, Serialize)]
struct Copies {
    sha256: String,
    lines: u64,
    paths: Vec<String>,
}

#[derive(JsonSchema, Serialize)]
struct Namesakes {
    name: String,
    files: u64,
    contents: u64,
}

#[derive(JsonSchema, Serialize)]
struct KnownScript {
    name: &'static str,
    files: u64,
    lines: u64,
    /// The number of the behaviour that replaces it.
    behaviour: u8,
    /// The command of that behaviour.
    command: &'static str,
    /// The command to use in this version; null if there is none yet.
    now: Option<&'static str>,
}

#[derive(JsonSchema, Serialize)]
struct Unknown {
    path: String,
    lines: u64,
}

/// Something that was not counted.
#[derive(JsonSchema, Serialize)]
pub(super) struct Skipped {
    pub(super) path: String,
    pub(super) why: String,
}

/// What became of one shim.
#[derive(JsonSchema, Serialize)]
pub(super) struct Shim {
    /// The name of the old script, and of the shim.
    pub(super) name: &'static str,
    /// The command that it runs.
    pub(super) command: Option<&'static str>,
    /// `written`, `renewed` (an older shim was there), `replaced` (another file was there),
    /// `unchanged`, `no-command-yet` or `left-out` (it would hide the program `claude`).
    pub(super) done: &'static str,
}

impl Audit {
    pub(super) fn new(
        place: Place,
        census: Census,
        shims: Vec<Shim>,
        dry_run: Option<bool>,
    ) -> Self {
        let hex = |bytes: [u8; 32]| {
            bytes.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            })
        };
        let known = |known: Known| KnownScript {
            name: known.old.name,
            files: known.files,
            lines: known.lines,
            behaviour: known.old.behaviour.number,
            command: known.old.behaviour.command,
            now: shims::command(&known.old),
        };
        Self {
            dir: place.dir,
            files: place.files,
            links: place.links,
            shims_found: place.shims,
            scripts: census.scripts,
            distinct: census.distinct,
            lines: Lines {
                total: census.lines.total,
                copied: census.lines.copied,
                replaced: census.lines.replaced,
                planned: census.lines.planned,
                removable: census.lines.removable,
            },
            copies: census
                .copies
                .into_iter()
                .map(|c| Copies { sha256: hex(c.sha256), lines: c.lines, paths: c.paths })
                .collect(),
            namesakes: census
                .namesakes
                .into_iter()
                .map(|n| Namesakes { name: n.name, files: n.files, contents: n.contents })
                .collect(),
            known: census.known.into_iter().map(known).collect(),
            unknown: census
                .unknown
                .into_iter()
                .map(|f| Unknown { path: f.path, lines: f.lines })
                .collect(),
            unread: place.unread,
            not_read: place.skipped,
            shims,
            dry_run,
        }
    }
}

impl View for Audit {
    const SCHEMA: &'static str = "coord.scripts.audit/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let lines = &self.lines;
        let all = plural(lines.total, "line");
        let dir = line(&self.dir);
        writeln!(out, "{} with {all} under `{dir}`", plural(self.scripts, "script"))?;
        let contents = plural(self.distinct, "content");
        let more = plural(self.scripts - self.distinct, "copy/copies");
        writeln!(out, "  {contents}; {more} of others with {}", plural(lines.copied, "line"))?;
        writeln!(out, "  {} in scripts that coord replaces", plural(lines.replaced, "line"))?;
        writeln!(out, "  {} could go", plural(lines.removable, "line"))?;
        if lines.planned > 0 {
            let later = plural(lines.planned, "line");
            writeln!(out, "  {later} in scripts whose command is not in this version yet")?;
        }
        if !self.copies.is_empty() {
            writeln!(out, "\n{HEADER}same content{HEADER:#}")?;
        }
        for row in &self.copies {
            let paths: Vec<_> = row.paths.iter().map(|p| line(p)).collect();
            let (count, lines) = (row.paths.len(), plural(row.lines, "line"));
            writeln!(out, "  {count} x {lines}: {}", paths.join(", "))?;
        }
        let differ = |n: &&Namesakes| n.contents > 1;
        if self.namesakes.iter().any(|n| n.contents > 1) {
            writeln!(out, "\n{HEADER}same name, other content{HEADER:#}")?;
        }
        for row in self.namesakes.iter().filter(differ) {
            let (files, contents) = (plural(row.files, "file"), plural(row.contents, "content"));
            writeln!(out, "  {}: {files}, {contents}", line(&row.name))?;
        }
        if !self.known.is_empty() {
            writeln!(out, "\n{HEADER}known{HEADER:#}")?;
        }
        for row in &self.known {
            let (files, lines) = (plural(row.files, "file"), plural(row.lines, "line"));
            write!(out, "  {} ({files}, {lines}): ", row.name)?;
            match row.now {
                Some(now) => writeln!(out, "coord {now}")?,
                None => writeln!(out, "coord {}, not in this version yet", row.command)?,
            }
        }
        if !self.unknown.is_empty() {
            writeln!(out, "\n{HEADER}unknown{HEADER:#}")?;
        }
        for row in &self.unknown {
            writeln!(out, "  {} ({})", line(&row.path), plural(row.lines, "line"))?;
        }
        if !self.not_read.is_empty() {
            writeln!(out, "\n{HEADER}not read{HEADER:#}")?;
        }
        for row in &self.not_read {
            writeln!(out, "  {}: {}", line(&row.path), line(&row.why))?;
        }
        if let Some(dry_run) = self.dry_run {
            let title = if dry_run { "shims that would be written" } else { "shims" };
            writeln!(out, "\n{HEADER}{title}{HEADER:#}")?;
            for row in &self.shims {
                let runs = row.command.map(|c| format!(": coord {c}")).unwrap_or_default();
                writeln!(out, "  {} {}{runs}", row.done, row.name)?;
            }
        }
        Ok(())
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "{}", self.lines.removable)
    }
}
