//! `coord init`.

use std::io;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Context, Verb, from_store};
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View};
use crate::settings::commented;
use crate::store::files::{FileStore, Options};
use crate::store::{self, Store as _};
use crate::sys::fs::replace_file;

/// Make a store in the working directory
///
/// The store is the directory `.coord`; every command in this directory or below it finds it. With
/// `--dir` or `COORD_DIR` it is made there. A store that is there already is left as it is, and the
/// files that flags ask for keep what stands in them.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord init                          Make `.coord` here
  coord init --dir /srv/queue         Make a store elsewhere
  coord init --config --git           With a commented config.toml, and ready to be kept in git
  coord init --git --dry-run          Only say what would be made")]
pub(crate) struct Args {
    /// Write a `config.toml` with every setting as a comment
    #[arg(long)]
    config: bool,

    /// Write a `.gitignore` for what can be made again, and a `.gitattributes` by which git merges
    /// the logs of two branches
    #[arg(long)]
    git: bool,

    /// Write nothing, only say what would be made
    #[arg(long)]
    dry_run: bool,
}

#[derive(JsonSchema, Serialize)]
#[expect(clippy::struct_field_names, reason = "`made` is the name in the answer")]
struct Made {
    dir: String,
    made: bool,
    /// Files that were written besides, or that got a line.
    files: Vec<String>,
    dry_run: bool,
}

impl View for Made {
    const SCHEMA: &'static str = "coord.init/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let what = match (self.made, self.dry_run) {
            (true, false) => "made a store at",
            (true, true) => "would make a store at",
            (false, _) => "there is a store already at",
        };
        writeln!(out, "{what} {}", crate::output::line(&self.dir))?;
        let wrote = if self.dry_run { "would write" } else { "wrote" };
        self.files.iter().try_for_each(|f| writeln!(out, "{wrote} {}", crate::output::line(f)))
    }
}

/// What can be made again, and means nothing elsewhere.
const IGNORED: &[&str] = &[
    "/.index",
    "/lock",
    "/lock.compact",
    "/locks",
    "/agents/*.beat",
    "/checked.json",
    "/*.next",
    "/*.rejected",
    "/.mirror*",
    "/ops*.jsonl",
    "/ops.totals.json",
    "/spans*.jsonl",
    "/export.*",
    "/work_claims.json",
    "/agent_status.json",
    "/coordination_log.json",
    "/velocity_log.txt",
];
/// Two branches' logs are merged by keeping the lines of both.
const MERGED: &[&str] = &["work.jsonl merge=union"];

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Made>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        cx.place_here()?;
        let options = cx.options(false)?;
        let dir = options.dir.clone();
        // A directory alone is no store: readers look for the log, which the first transaction makes.
        let there = FileStore::open(options.clone()).and_then(|store| store.summary());
        let made = match there {
            Err(store::Error::Missing { .. }) => {
                if !self.dry_run {
                    let op = cx.op(None)?;
                    let made = FileStore::open(Options { create: true, ..options });
                    made.and_then(|mut s| s.import(Vec::new(), &op)).map_err(from_store)?;
                }
                true
            }
            Err(store::Error::Damaged { .. }) | Ok(_) => false,
            Err(error) => return Err(from_store(error)),
        };
        let mut files = Vec::new();
        if self.config && !dir.join("config.toml").exists() {
            self.write(&dir.join("config.toml"), &commented(), &mut files)?;
        }
        if self.git {
            self.lines(&dir.join(".gitignore"), IGNORED, &mut files)?;
            self.lines(&dir.join(".gitattributes"), MERGED, &mut files)?;
        }
        let (dir, dry_run) = (dir.display().to_string(), self.dry_run);
        cx.ui.emit(&Made { dir, made, files, dry_run })?;
        Ok(())
    }
}

impl Args {
    /// Adds the lines that a file lacks.
    fn lines(&self, path: &Path, lines: &[&str], files: &mut Vec<String>) -> Result<()> {
        let mut text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(failed("read", path, e)),
        };
        let missing: Vec<_> =
            lines.iter().filter(|line| !text.lines().any(|have| have.trim() == **line)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for line in missing {
            text.push_str(line);
            text.push('\n');
        }
        self.write(path, &text, files)
    }

    fn write(&self, path: &Path, text: &str, files: &mut Vec<String>) -> Result<()> {
        if !self.dry_run {
            replace_file(path, text.as_bytes()).map_err(|e| failed("write", path, e))?;
        }
        files.push(path.display().to_string());
        Ok(())
    }
}

fn failed(what: &str, path: &Path, e: io::Error) -> Error {
    Error::new(Kind::External, format!("cannot {what} `{}`", path.display()))
        .caused_by(e)
        .hint("the store itself is there; `coord init` again goes on where it stopped")
}
