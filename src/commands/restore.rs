//! `coord restore`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::backup::{open, refused, size};
use super::{By, Context, Verb, from_store};
use crate::domain::name::AgentId;
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line, plural};
use crate::store::files::restore::{self, Fate, RestoreError};

/// Put a backup in the place of the store, or make a store of it elsewhere
///
/// The archive is unpacked beside the state directory and checked to the last byte and the last rule
/// before anything is changed; then the two directories change places in one step. Killed at any moment
/// this leaves the old state or the new one, whole. The old state is not deleted but lies beside it
/// under another name. With `--dir` the backup becomes a store elsewhere.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord restore coord-20260102T030405Z-n41.tar.zst --dry-run   What would change?
  coord restore /mnt/safe/coord-20260102T030405Z-n41.tar.zst --yes
  coord --dir /tmp/look restore coord-20260102T030405Z-n41.tar.zst   Into a new store")]
pub(crate) struct Args {
    /// The archive, or the name of one where backups lie
    archive: PathBuf,

    /// Show what would change, and change nothing
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    /// Restore it even if the state in it is damaged, or named locks are held
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    by: By,
}

#[derive(JsonSchema, Serialize)]
pub(super) struct Restored {
    dry_run: bool,
    archive: String,
    /// The state directory.
    dir: String,
    /// When the state was that of the backup.
    pub(super) at: String,
    n: u64,
    pub(super) items: u64,
    new: Vec<String>,
    changed: Vec<String>,
    same: u64,
    /// What the backup does not hold: it moves aside with the old state.
    not_in_backup: Vec<String>,
    /// Where the old state lies now.
    pub(super) aside: Option<String>,
    /// What `coord verify` says of the new state; nothing for a dry run.
    sound: Option<bool>,
    problems: Vec<String>,
}

impl View for Restored {
    const SCHEMA: &'static str = "coord.restore/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let (deed, dir) =
            (if self.dry_run { "would restore" } else { "restored" }, line(&self.dir));
        let items = plural(self.items, "item");
        writeln!(out, "{deed} {dir} as of {}: {items}, write {}", line(&self.at), self.n)?;
        for (word, names) in
            [("new", &self.new), ("changed", &self.changed), ("aside", &self.not_in_backup)]
        {
            if self.dry_run {
                for name in names {
                    writeln!(out, "  {word:<8}{}", line(name))?;
                }
            } else if !names.is_empty() {
                writeln!(out, "  {word:<8}{}", plural(names.len() as u64, "file"))?;
            }
        }
        if self.same > 0 {
            writeln!(out, "  {:<8}{}", "same", plural(self.same, "file"))?;
        }
        if let Some(aside) = &self.aside {
            writeln!(out, "the old state lies in {}", line(aside))?;
        }
        for problem in &self.problems {
            writeln!(out, "problem: {}", line(problem))?;
        }
        if self.sound == Some(true) {
            writeln!(out, "everything is as it was written")?;
        }
        Ok(())
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Restored>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let Self { archive, dry_run, yes, force, by } = self;
        let view = put(cx, &Asked { archive, dry_run, yes, force, by: by.agent })?;
        let bad = view.problems.len() as u64;
        cx.ui.emit(&view)?;
        if bad == 0 {
            return Ok(());
        }
        let what = format!("restored a state with {}", plural(bad, "problem"));
        Err(Error::new(Kind::Problems, what).hint("`coord verify` tells each with what to do"))
    }
}

/// What is wanted.
pub(super) struct Asked {
    pub(super) archive: PathBuf,
    pub(super) dry_run: bool,
    pub(super) yes: bool,
    pub(super) force: bool,
    pub(super) by: Option<AgentId>,
}

/// Restores, or says what that would do.
pub(super) fn put(cx: &mut Context, asked: &Asked) -> Result<Restored> {
    let (path, file) = open(cx, &asked.archive)?;
    let options = cx.options_anyhow(true)?;
    let dir = options.dir.clone();
    let restored = if asked.dry_run {
        restore::plan(&file, &dir)
    } else {
        // Before anybody is asked it should be worth asking.
        restore::peek(&file).map_err(|error| explain(&path, error))?;
        if dir.exists() && !asked.yes {
            let question =
                format!("Put this backup in the place of the store at {}?", dir.display());
            super::agreed(cx, &question)?;
        }
        let op = cx.op(asked.by.as_ref())?;
        let stamp = op.now.wall.format("%Y%m%dT%H%M%SZ").to_string();
        let names = (cx.ids.hex(), stamp);
        cx.forget_store();
        restore::restore(&file, &options, (&names.0, &names.1), asked.force, &op)
    };
    let restored = restored.map_err(|error| explain(&path, error))?;
    if !asked.dry_run {
        cx.changed(
            "do not restore again; `coord verify` and `coord work list` show what is there now",
        );
    }
    let problems: Vec<String> =
        restored.verified.iter().flat_map(|v| &v.problems).map(ToString::to_string).collect();
    let with = |fate| files(&restored.files, fate);
    Ok(Restored {
        dry_run: asked.dry_run,
        archive: path.to_string_lossy().into_owned(),
        dir: dir.to_string_lossy().into_owned(),
        new: with(Fate::New),
        changed: with(Fate::Changed),
        same: with(Fate::Same).len() as u64,
        not_in_backup: with(Fate::Aside),
        aside: restored.aside.map(|aside| aside.to_string_lossy().into_owned()),
        sound: restored.verified.as_ref().map(|v| v.problems.is_empty()),
        at: restored.manifest.at,
        n: restored.manifest.n,
        items: restored.manifest.items,
        problems,
    })
}

fn files(all: &BTreeMap<String, Fate>, fate: Fate) -> Vec<String> {
    all.iter().filter(|(_, f)| **f == fate).map(|(path, _)| path.clone()).collect()
}

/// Why a backup was not restored, in words for people.
pub(super) fn explain(path: &Path, error: RestoreError) -> Error {
    match error {
        RestoreError::Archive(error) => refused(path, error),
        RestoreError::Store(error) => from_store(error),
        RestoreError::NoExchange(source) => {
            let what = "this file system cannot exchange two directories in one step";
            Error::new(Kind::External, what)
                .caused_by(source)
                .hint("nothing was changed; restore into a new directory with `--dir`, then rename both by hand")
        }
        RestoreError::NoState { path, why } => {
            let what = format!("`{}` is no state directory: {why}", path.display());
            Error::new(Kind::User, what)
                .hint("nothing was changed; `--dir` names the directory of the state itself")
        }
        RestoreError::NoRoom { need, free } => {
            let what = format!("the backup takes {}, and {} are free", size(need), size(free));
            Error::new(Kind::External, what).hint("nothing was changed; make room and try again")
        }
        RestoreError::Held(held) => {
            let names: Vec<_> =
                held.iter().map(|lock| format!("`{}` by `{}`", lock.name, lock.holder)).collect();
            let what = format!("named locks are held: {}", names.join(", "));
            Error::new(Kind::Conflict, what).hint(
                "nothing was changed; wait for their holders, or `--force` keeps the locks held until their leases end",
            )
        }
        RestoreError::Unconfirmed { aside, source } => {
            let what = "the new state is in place, but the disk did not confirm it";
            let error = Error::new(Kind::Unknown, what).caused_by(source);
            let error = match aside {
                Some(aside) => error.hint(format!("the old state lies in `{}`", aside.display())),
                None => error,
            };
            error.hint("`coord verify` tells whether the state is sound")
        }
        RestoreError::Damaged(found) => {
            let count = found.problems.len() as u64;
            let what = format!("the state in this backup has {}", plural(count, "problem"));
            let mut error = Error::new(Kind::Problems, what);
            for problem in found.problems.iter().take(3) {
                error = error.hint(problem.to_string());
            }
            error.hint("nothing was changed; `--force` restores it all the same")
        }
    }
}
