//! `coord backup verify`.

use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::{all, file_name, open, own, place, refused};
use crate::commands::{Context, Verb};
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line, plural};
use crate::store::files::{Options, restore};
use crate::sys::Scratch;

/// Check backups: every byte against the manifest, and the store that comes of it
///
/// Each archive is read to its end, its files are compared with the manifest, and it is unpacked into a
/// scratch directory where `coord verify` looks at it. Exit code 10 if one is not good.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord backup verify                                  The newest one
  coord backup verify coord-20260102T030405Z-n41.tar.zst
  coord backup verify --all")]
pub(crate) struct Args {
    /// An archive, or the name of one where backups lie [default: the newest]
    #[arg(value_name = "ARCHIVE", conflicts_with = "all")]
    archives: Vec<PathBuf>,

    /// Every backup where they lie
    #[arg(long)]
    all: bool,
}

#[derive(JsonSchema, Serialize)]
struct Checked {
    sound: bool,
    backups: Vec<Row>,
}

#[derive(JsonSchema, Serialize)]
struct Row {
    path: String,
    sound: bool,
    n: Option<u64>,
    items: Option<u64>,
    files: Option<u64>,
    problems: Vec<String>,
}

impl View for Checked {
    const SCHEMA: &'static str = "coord.backup.verify/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        for row in &self.backups {
            let name = file_name(Path::new(&row.path));
            if row.sound {
                let (files, items) = (row.files.unwrap_or(0), row.items.unwrap_or(0));
                let (files, items) = (plural(files, "file"), plural(items, "item"));
                writeln!(out, "good  {}: {files}, {items}", line(&name))?;
            } else {
                writeln!(out, "bad   {}", line(&name))?;
            }
            for problem in &row.problems {
                writeln!(out, "      {}", line(problem))?;
            }
        }
        Ok(())
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Checked>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let mut archives = self.archives;
        if archives.is_empty() {
            let dir = place(cx, None)?;
            let found = all(&dir, &own(cx)?)?;
            let many = if self.all { found.len() } else { 1 };
            archives = found.into_iter().take(many).map(|found| found.path).collect();
            if archives.is_empty() {
                let what = format!("there is no backup in `{}`", dir.display());
                return Err(Error::new(Kind::User, what).hint("`coord backup` makes one"));
            }
        }
        let mut rows = Vec::new();
        for archive in archives {
            rows.push(check(cx, &archive)?);
        }
        let bad = rows.iter().filter(|row| !row.sound).count() as u64;
        cx.ui.emit(&Checked { sound: bad == 0, backups: rows })?;
        if bad == 0 {
            return Ok(());
        }
        let what = format!("{} not good", plural(bad, "backup"));
        Err(Error::new(Kind::Problems, what).hint("`coord backup` makes another one"))
    }
}

/// What the directories are called into which backups are unpacked to be checked.
pub(super) const SCRATCH: &str = "coord-backup";

/// Unpacks one and checks what comes of it.
fn check(cx: &mut Context, archive: &Path) -> Result<Row> {
    let (path, file) = open(cx, archive)?;
    let scratch = Scratch::new(None, SCRATCH, &cx.env, cx.ids.as_ref());
    let scratch = scratch.and_then(Scratch::swept);
    let scratch = scratch
        .map_err(|e| Error::new(Kind::External, "cannot make a scratch directory").caused_by(e))?;
    let options = cx.options(true)?;
    let options = Options { dir: scratch.path().join("state"), ..options };
    let (op, hex) = (cx.op(None)?, cx.ids.hex());
    let restored = restore::restore(&file, &options, (&hex, "never"), true, &op);
    let path = path.to_string_lossy().into_owned();
    Ok(match restored {
        Ok(restored) => {
            let found = restored.verified.unwrap_or_default();
            let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
            let manifest = restored.manifest;
            Row {
                path,
                sound: problems.is_empty(),
                n: Some(manifest.n),
                items: Some(manifest.items),
                files: Some(manifest.files.len() as u64),
                problems,
            }
        }
        Err(restore::RestoreError::Archive(error)) if !is_ours(&error) => {
            let message = refused(Path::new(&path), error).to_string();
            let bad = message.split_once("`: ").map_or(message.clone(), |(_, why)| why.to_owned());
            Row { path, sound: false, n: None, items: None, files: None, problems: vec![bad] }
        }
        Err(error) => return Err(crate::commands::restore::explain(Path::new(&path), error)),
    })
}

/// Whether it is the scratch directory that failed, not the archive.
const fn is_ours(error: &crate::store::archive::ArchiveError) -> bool {
    matches!(error, crate::store::archive::ArchiveError::Unwritable(_))
}
