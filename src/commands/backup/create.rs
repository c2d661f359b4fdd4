//! `coord backup create`.

use std::fs::File;
use std::io::{self, BufReader, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::{BEGINNING, ENDING, place, refused, size, tell_path};
use crate::commands::{Context, Verb};
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line, plural};
use crate::store::archive::{self, Manifest};
use crate::store::files::FileStore;
use crate::sys::Sweep;
use crate::sys::fs::{Access, Dir, Exchange};

/// Save the store as it is now, while others go on writing
///
/// The backup is the state of one moment: every operation that was acknowledged before is in it, each
/// whole. Nobody waits for it. The archive (tar and Zstandard, readable by `tar --zstd`) holds the logs,
/// the history, agents, named locks, what was imported, settings and telemetry, never the index, and a
/// manifest with the SHA-256 of every file. It is written under another name, made durable, read back
/// and compared before it gets its own. Of a damaged store the backup is as damaged: that is told, and
/// exit code 10 with it.
///
/// Without `--to` and `backup.dir` it goes to a directory of this store's own in the user's state, so
/// that it outlives the project.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord backup                         To the usual place
  coord backup --to /mnt/safe          To another disk, which is better
  coord backup verify \"$(coord backup -q)\"")]
pub(crate) struct Args {
    /// The directory it goes to [default: backup.dir]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// A backup that was made.
#[derive(JsonSchema, Serialize)]
pub(crate) struct Made {
    /// The archive.
    pub(crate) path: String,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// When the state was that of the backup.
    at: String,
    /// The number of the last write.
    pub(crate) n: u64,
    /// The hash of its line, for `coord verify --expect`.
    head: String,
    pub(crate) items: u64,
    pub(crate) files: u64,
    /// The bytes of all files together.
    content_bytes: u64,
    /// What lies in the state directory and was left out because nobody knows it.
    left_out: Vec<String>,
    /// In how many places the log that was saved is damaged.
    damaged: u64,
    #[serde(skip)]
    raw: PathBuf,
    #[serde(skip)]
    watched: bool,
}

impl Made {
    /// That it is as good as what was saved, and that was damaged.
    pub(crate) fn problem(&self) -> Option<Error> {
        (self.damaged > 0).then(|| {
            let places = plural(self.damaged, "place");
            Error::new(Kind::Problems, format!("the store that was saved is damaged in {places}"))
                .hint("`coord verify` tells where, `coord verify --repair` mends it; then save it again")
        })
    }
}

impl View for Made {
    const SCHEMA: &'static str = "coord.backup.create/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        writeln!(out, "saved {} at write {}", plural(self.items, "item"), self.n)?;
        let (files, content) = (plural(self.files, "file"), size(self.content_bytes));
        writeln!(out, "{files} of {content} in {}, read back and compared", size(self.bytes))?;
        for name in &self.left_out {
            writeln!(out, "left out: {}", line(name))?;
        }
        writeln!(out, "{}", line(&self.path))
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        tell_path(out, &self.raw, self.watched)
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Made>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let made = take(cx, self.to.as_deref())?;
        cx.ui.emit(&made)?;
        made.problem().map_or(Ok(()), Err)
    }
}

/// Takes a backup; what is told has been read back.
pub(crate) fn take(cx: &mut Context, to: Option<&Path>) -> Result<Made> {
    let options = cx.options(false)?;
    let store = FileStore::open(options)?;
    let damaged = store.damage()?;
    let picture = store.picture(&format!("coord {}", env!("CARGO_PKG_VERSION")))?;
    let target = place(cx, to)?;
    let failed = |e: anyhow::Error| {
        let what = format!("cannot write a backup to `{}`", target.display());
        Error::new(Kind::External, what).caused_by(e).hint("`--to DIR` says where else")
    };
    if !target.exists() {
        Dir::create(&target, false).map_err(|e| failed(e.into()))?;
    }
    let dir = Dir::observe(&target).map_err(|e| failed(e.into()))?;
    let temp = format!(".{BEGINNING}{}.tmp", cx.ids.hex());
    let _swept = Sweep::over(&target.join(&temp)).map_err(|e| failed(e.into()))?;
    let written = write(&dir, &temp, &picture);
    let name = match written.and_then(|()| Ok(named(&dir, &temp, &picture.manifest)?)) {
        Ok(name) => name,
        Err(error) => {
            let _ = dir.remove(&temp);
            return Err(match error.downcast::<archive::ArchiveError>() {
                Ok(wrong) => refused(&target.join(&temp), wrong),
                Err(other) => failed(other),
            });
        }
    };
    let path = target.join(name);
    let bytes = path.metadata().map_err(|e| failed(e.into()))?.len();
    let manifest = picture.manifest;
    cx.changed("the backup was made; `coord backup list` shows it");
    Ok(Made {
        path: path.to_string_lossy().into_owned(),
        bytes,
        content_bytes: manifest.files.iter().map(|file| file.size).sum(),
        files: manifest.files.len() as u64,
        at: manifest.at,
        n: manifest.n,
        head: manifest.head,
        items: manifest.items,
        left_out: picture.left_out,
        damaged,
        raw: path,
        watched: cx.ui.is_watched(),
    })
}

/// Writes it under a temporary name, makes it durable, reads it back and compares.
fn write(dir: &Dir, temp: &str, picture: &crate::store::files::Picture) -> anyhow::Result<()> {
    let file: File = dir.file(temp, Access::Truncate)?;
    // One that nobody holds was left by a killed process.
    let _ = fs2::FileExt::try_lock(&file);
    let out = picture.write(io::BufWriter::with_capacity(1 << 16, file))?;
    let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.flush()?;
    file.sync_all()?;
    file.rewind()?;
    let read = archive::read(BufReader::with_capacity(1 << 16, file), &mut |_, _, _| Ok(()))?;
    if read != picture.manifest {
        let what = "its manifest is not the one that was written".to_owned();
        return Err(archive::ArchiveError::Wrong(what).into());
    }
    Ok(())
}

/// Gives it its own name, which nobody has.
fn named(dir: &Dir, temp: &str, manifest: &Manifest) -> io::Result<String> {
    let stamp: String = manifest.at.chars().take(19).filter(|c| !"-:".contains(*c)).collect();
    let stem = format!("{BEGINNING}{stamp}Z-n{}", manifest.n);
    for more in 1.. {
        let again = if more == 1 { String::new() } else { format!("-{more}") };
        let name = format!("{stem}{again}{ENDING}");
        match dir.exchange(temp, &name, Exchange::IntoNothing) {
            Ok(()) => return dir.sync().map(|()| name),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && more < 1000 => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
