//! `coord backup`.

mod create;
pub(super) mod leftover;
mod list;
mod prune;
mod verify;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::Command;
use hmac_sha256::Hash;

use super::{Context, Entry};
use crate::error::{Error, Kind, Result};
use crate::settings::{Dirs, keys};
use crate::store::archive::{self, ArchiveError, Manifest};

/// The verbs of `coord backup`, most used first.
pub(super) const VERBS: &[Entry] = &[
    Entry::verb::<create::Args>("create"),
    Entry::verb::<list::Args>("list"),
    Entry::verb::<verify::Args>("verify"),
    Entry::verb::<prune::Args>("prune"),
];

/// Adds them to the command.
pub(super) fn build(command: Command) -> Command {
    super::verbs(command, VERBS)
}

pub(super) use create::take;
pub(super) use prune::{Gone, Rule, choose};

/// How the names of backups end.
const ENDING: &str = ".tar.zst";
/// How they begin.
const BEGINNING: &str = "coord-";

/// Where backups of this store lie: `--to`, else `backup.dir`, else a directory of this store's own
/// among the user's state, which outlives the project.
pub(super) fn place(cx: &mut Context, given: Option<&Path>) -> Result<PathBuf> {
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    if let Some(dir) = given {
        return Ok(cwd.join(dir));
    }
    if let Some(dir) = cx.settings()?.path(keys::BACKUP_DIR)? {
        return Ok(cwd.join(dir));
    }
    let (state, _) = Dirs::state(&cx.env).ok_or_else(|| {
        Error::new(Kind::Config, "there is no home directory to keep backups in")
            .hint("say where with `--to`, `COORD_BACKUP_DIR` or `backup.dir`")
    })?;
    let store = cx.place()?.dir;
    Ok(state.join("backups").join(name_of(&store)))
}

/// A name for the backups of one store: what people call it, and a hash of where it is.
fn name_of(store: &Path) -> String {
    let store = store.canonicalize().unwrap_or_else(|_| store.to_owned());
    let hidden = |path: &&Path| {
        path.file_name().and_then(|n| n.to_str()).is_some_and(|n| !n.starts_with('.'))
    };
    let called = store.ancestors().find(hidden).and_then(|path| path.file_name());
    let called = called.map_or_else(|| "store".to_owned(), |n| n.to_string_lossy().into_owned());
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let called: String = called.chars().map(plain).take(40).collect();
    let hash = Hash::hash(store.as_os_str().as_encoded_bytes());
    format!("{called}-{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
}

/// The store's own name in manifests.
pub(super) fn own(cx: &mut Context) -> Result<String> {
    let dir = cx.place()?.dir;
    Ok(dir.canonicalize().unwrap_or(dir).to_string_lossy().into_owned())
}

/// Opens an archive: a path, or the name of one where backups lie.
pub(super) fn open(cx: &mut Context, archive: &Path) -> Result<(PathBuf, File)> {
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let mut path = cwd.join(archive);
    if !path.exists() && archive.components().count() == 1 {
        path = place(cx, None)?.join(archive);
    }
    let failed = |e: std::io::Error| {
        let missing = e.kind() == std::io::ErrorKind::NotFound;
        let kind = if missing { Kind::User } else { Kind::External };
        let error = Error::new(kind, format!("cannot open `{}`", archive.display()));
        error.caused_by(e).hint("`coord backup list` shows the backups of this store")
    };
    let file = crate::sys::tree::open_plain(&path).map_err(failed)?;
    Ok((path, file))
}

/// A backup that lies somewhere.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Its manifest, or why it cannot be read.
    pub(super) about: std::result::Result<Manifest, ArchiveError>,
}

/// The backups in a directory: first those of the store `ours`, whose writes are counted through whatever
/// its clock did, then those of others, each the newest first; those that cannot be read last.
pub(super) fn all(dir: &Path, ours: &str) -> Result<Vec<Found>> {
    let failed =
        |e| Error::new(Kind::External, format!("cannot read `{}`", dir.display())).caused_by(e);
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut list = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let is_it = name.to_str().is_some_and(|n| n.starts_with(BEGINNING) && n.ends_with(ENDING));
        if !is_it || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        let about = match crate::sys::tree::open_plain(&path) {
            Ok(file) => archive::read_manifest(BufReader::new(file)),
            Err(e) => Err(ArchiveError::Unreadable(e)),
        };
        let bytes = entry.metadata().map_or(0, |about| about.len());
        list.push(Found { path, bytes, about });
    }
    list.sort_by(|a, b| {
        let key = |found: &Found| {
            let about = found.about.as_ref().ok()?;
            let own = about.dir == ours;
            Some((own, if own { about.n } else { 0 }, about.at.clone(), about.n))
        };
        key(b).cmp(&key(a)).then_with(|| b.path.cmp(&a.path))
    });
    Ok(list)
}

/// The name of a file for people.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// An archive that cannot be used, in words for people.
pub(super) fn refused(path: &Path, error: ArchiveError) -> Error {
    let message = format!("cannot use `{}`: {error}", path.display());
    match error {
        ArchiveError::Newer { .. } => {
            Error::new(Kind::Config, message).hint("install a newer coord; nothing was changed")
        }
        ArchiveError::Unreadable(source) => {
            Error::new(Kind::External, message).caused_by(source).hint("nothing was changed")
        }
        ArchiveError::Unwritable(source) => Error::new(Kind::External, message)
            .caused_by(source)
            .hint("nothing was changed; is there room?"),
        ArchiveError::Wrong(_) | ArchiveError::NoBackup(_) => {
            Error::new(Kind::Problems, message).hint("nothing was changed")
        }
    }
}

/// Writes a path for `--quiet`: byte for byte for a program, harmless for a terminal.
fn tell_path(out: &mut dyn std::io::Write, path: &Path, watched: bool) -> std::io::Result<()> {
    if watched {
        return writeln!(out, "{}", crate::output::line(&path.to_string_lossy()));
    }
    out.write_all(path.as_os_str().as_encoded_bytes())?;
    out.write_all(b"\n")
}

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (bytes.saturating_mul(10) / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        (tenths, unit) = (tenths / 1024, unit + 1);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_names_for_people() {
        let sizes = [0, 1023, 1024, 1536, 1 << 20, (1 << 30) + (1 << 29), u64::MAX];
        let texts: Vec<String> = sizes.into_iter().map(size).collect();
        assert_eq!(texts[..6], ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.5 GiB"]);
        assert!(texts[6].ends_with("TiB"));
        let (a, b) =
            (name_of(Path::new("/x/my shop/.coord")), name_of(Path::new("/y/my shop/.coord")));
        assert!(a.starts_with("my-shop-") && b.starts_with("my-shop-") && a != b, "{a} {b}");
        assert!(name_of(Path::new("/.coord")).starts_with("store-"));
    }
}
