//! Putting a backup in the place of a store.
//!
//! The backup is unpacked beside the state directory, made durable and checked; then the two directories
//! change places in one step of the file system, so that at every moment the old state or the new one
//! lies there, whole. The old one is kept under another name.
//!
//! Whoever waits for the lock of the old store meanwhile gets it a little later and finds that another
//! directory has its name: it ends with an error and has changed nothing. The lock is kept for so long
//! that this is also met by those who were about to ask for it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::lock::{Lock, Patience};
use super::{FileStore, Options, backup, failure};
use crate::domain::time::rfc3339;
use crate::domain::work::Op;
use crate::store::archive::{self, ArchiveError, Belongs, Manifest, belongs};
use crate::store::{Error, Result, Store as _, Verified};
use crate::sys::fs::{Access, Dir, Exchange};
use crate::sys::leftover::{self, Leftover, Shape};

/// Lies in a directory that a restore is still filling.
pub(super) const UNFINISHED: &str = "restoring";
/// For how long the old store stays locked after the change.
const GRACE: Duration = Duration::from_millis(250);

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The archive is no good.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The store said no.
    #[error(transparent)]
    Store(#[from] Error),
    /// The directories cannot change places here.
    #[error("the two directories cannot change places here")]
    NoExchange(#[source] io::Error),
    /// The state in the backup is damaged.
    #[error("the state in the backup is damaged")]
    Damaged(Box<Verified>),
}

/// What becomes of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It was not there.
    New,
    /// It was another one.
    Changed,
    /// It is as it was.
    Same,
    /// It is in no backup and moves aside with the old state.
    Aside,
}

/// What a restore would do, or has done.
#[derive(Debug)]
pub struct Restored {
    /// What the backup says about itself.
    pub manifest: Manifest,
    /// What becomes of each file, by path.
    pub files: BTreeMap<String, Fate>,
    /// What the check of the new state found; nothing for a dry run.
    pub verified: Option<Verified>,
    /// Where the old state lies now.
    pub aside: Option<PathBuf>,
}

/// Reads what an archive says about itself, and whether this program can restore it.
pub fn peek(archive: &File) -> Result<Manifest, RestoreError> {
    let mut from = archive;
    from.rewind().map_err(ArchiveError::Unreadable)?;
    let manifest = archive::read_manifest(io::BufReader::new(archive))?;
    backup::check_format(&manifest)?;
    from.rewind().map_err(ArchiveError::Unreadable)?;
    Ok(manifest)
}

/// Says what would become of the files of a state directory. The whole archive is read and checked.
pub fn plan(archive: &File, dir: &Path) -> Result<Restored, RestoreError> {
    let manifest = archive::read(begin(archive)?, &mut |_, _, _| Ok(()))?;
    let files = fates(&manifest, dir)?;
    Ok(Restored { manifest, files, verified: None, aside: None })
}

/// Restores a backup into a state directory. `names` are for the directories on the way and aside: they
/// must be used by nobody else. A damaged state is refused unless `force` is set.
pub fn restore(
    archive: &File,
    options: &Options,
    (hex, stamp): (&str, &str),
    force: bool,
    op: &Op,
) -> Result<Restored, RestoreError> {
    let dir = &options.dir;
    let failed = |what: &str, e| RestoreError::Store(failure::at(what, dir, e));
    let name = dir.file_name().and_then(|name| name.to_str());
    let (Some(parent), Some(name)) = (dir.parent(), name) else {
        return Err(failed("restore to", io::ErrorKind::InvalidInput.into()));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    std::fs::create_dir_all(parent).map_err(|e| failed("make the parent of", e))?;
    let parent = Dir::observe(parent).map_err(failure::open)?;
    let staged = format!(".{name}.restore-{hex}");
    let made = begin(archive).and_then(|from| stage(from, &parent, &staged, options, op));
    let (manifest, verified, _held) = match made {
        Ok(made) if made.1.problems.is_empty() || force => made,
        other => {
            // Nothing but what was made here a moment ago.
            let _ = std::fs::remove_dir_all(parent.path().join(&staged));
            return Err(match other {
                Ok((_, verified, _)) => RestoreError::Damaged(Box::new(verified)),
                Err(error) => error,
            });
        }
    };
    let files = fates(&manifest, dir)?;
    let aside = match switch(&parent, &staged, name, stamp, options, op) {
        Ok(aside) => aside,
        Err(error) => {
            if parent.subdir(&staged, false).is_ok_and(|left| left.has(UNFINISHED)) {
                let _ = std::fs::remove_dir_all(parent.path().join(&staged));
            }
            return Err(error);
        }
    };
    Ok(Restored { manifest, files, verified: Some(verified), aside })
}

/// Directories beside the state directory into which killed restores were unpacking a backup. One that
/// holds the old state, because the change was made, is none of them.
pub fn leftovers(state: &Path, now: SystemTime) -> io::Result<Vec<Leftover>> {
    with_shape(state, |parent, shape| leftover::find(parent, shape, now)).unwrap_or(Ok(Vec::new()))
}

/// Removes one of them if it is still as it was found. Tells whether it is gone.
pub fn remove_leftover(state: &Path, found: &Leftover, now: SystemTime) -> io::Result<bool> {
    with_shape(state, |_, shape| leftover::remove(found, shape, now)).unwrap_or(Ok(false))
}

fn with_shape<T>(state: &Path, work: impl FnOnce(&Path, Shape<'_>) -> T) -> Option<T> {
    let parent = state.parent()?;
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let before = format!(".{}.restore-", state.file_name()?.to_str()?);
    let name = |name: &str| leftover::is_named(name, &before, "");
    let inside = |names: &[String]| names.is_empty() || names.iter().any(|n| n == UNFINISHED);
    Some(work(parent, Shape { name: &name, inside: Some(&inside) }))
}

/// An archive from its beginning; one of a newer program is refused before anything is made of it.
fn begin(archive: &File) -> Result<io::BufReader<&File>, RestoreError> {
    peek(archive)?;
    Ok(io::BufReader::with_capacity(1 << 16, archive))
}

/// Unpacks an archive into a new directory, makes it durable and checks the store in it. The directory
/// is held as long as the last of the three is kept.
fn stage(
    from: impl Read,
    parent: &Dir,
    name: &str,
    options: &Options,
    op: &Op,
) -> Result<(Manifest, Verified, Dir), RestoreError> {
    let path = parent.path().join(name);
    let dir = Dir::create(&path, options.trust_dir).map_err(failure::open)?;
    dir.hold().map_err(|e| RestoreError::Store(failure::at("hold", &path, e)))?;
    drop(dir.file(UNFINISHED, Access::Create).map_err(failure::open)?);
    let manifest = archive::read(from, &mut |manifest, at, bytes| {
        let file = &manifest.files[at].path;
        let (below, name) = file.split_once('/').unwrap_or((".", file));
        let below = dir.subdir(below, true).map_err(io::Error::other)?;
        let mut out = below.file(name, Access::Truncate).map_err(io::Error::other)?;
        io::copy(bytes, &mut out)?;
        out.flush()?;
        out.sync_all()?;
        below.sync()
    })?;
    let failed = |e| RestoreError::Store(failure::at("make durable", &path, e));
    dir.sync().map_err(failed)?;
    let mut store =
        FileStore::open(Options { dir: path.clone(), create: false, ..options.clone() })?;
    let verified = store.verify(false, op)?;
    if verified.head != manifest.head || verified.n != manifest.n {
        let what = format!(
            "its log ends with write {} ({}), its manifest says {} ({})",
            verified.n, verified.head, manifest.n, manifest.head
        );
        return Err(ArchiveError::Wrong(what).into());
    }
    dir.sync().and_then(|()| parent.sync()).map_err(failed)?;
    Ok((manifest, verified, dir))
}

/// Lets the staged directory take the place of the store.
fn switch(
    parent: &Dir,
    staged: &str,
    name: &str,
    stamp: &str,
    options: &Options,
    op: &Op,
) -> Result<Option<PathBuf>, RestoreError> {
    let failed = |what: &str, e| RestoreError::Store(failure::at(what, &options.dir, e));
    let finish = || -> io::Result<()> {
        parent.sync()?;
        let new = parent.subdir(name, false).map_err(io::Error::other)?;
        new.remove(UNFINISHED)?;
        new.sync()
    };
    if !parent.has(name) {
        let moved = parent.exchange(staged, name, Exchange::IntoNothing);
        moved.and_then(|()| finish()).map_err(|e| failed("put the new state at", e))?;
        return Ok(None);
    }
    let old = FileStore::open(Options { create: false, ..options.clone() })?;
    let patience = Patience { time: options.lock_timeout, give_up: None, clock: &options.clock };
    let since = rfc3339(op.now.wall);
    let lock = Lock::take(&old.dir, &patience, &options.command, &since)?;
    // Left by a restore that was killed after the change: what is moved aside is whole, and kept.
    old.dir.remove(UNFINISHED).map_err(|e| failed("make ready", e))?;
    parent.exchange(staged, name, Exchange::Both).map_err(RestoreError::NoExchange)?;
    finish().map_err(|e| failed("make durable", e))?;
    options.clock.sleep(GRACE);
    drop(lock);
    let mut aside = format!("{name}.before-restore-{stamp}");
    while parent.has(&aside) {
        aside.push('x');
    }
    parent
        .rename(staged, parent, &aside)
        .and_then(|()| parent.sync())
        .map_err(|e| failed("give the old state a name of its own beside", e))?;
    Ok(Some(parent.path().join(aside)))
}

/// What becomes of each file.
fn fates(manifest: &Manifest, dir: &Path) -> Result<BTreeMap<String, Fate>, RestoreError> {
    let mut files = BTreeMap::new();
    let old = match Dir::observe(dir) {
        Ok(old) => Some(old),
        Err(e) if e.is_not_found() => None,
        Err(e) => return Err(failure::open(e).into()),
    };
    for file in &manifest.files {
        let there = old.as_ref().map_or(Ok(None), |old| open_old(old, &file.path));
        let fate = match there {
            Ok(None) => Fate::New,
            Ok(Some(mut there)) => match archive::sum(&mut there) {
                Ok((size, sha256)) if (size, &sha256) == (file.size, &file.sha256) => Fate::Same,
                _ => Fate::Changed,
            },
            Err(_) => Fate::Changed,
        };
        files.insert(file.path.clone(), fate);
    }
    for path in old.as_ref().map(all).transpose()?.unwrap_or_default() {
        if !matches!(belongs(&path), Belongs::No) {
            files.entry(path).or_insert(Fate::Aside);
        }
    }
    Ok(files)
}

fn open_old(dir: &Dir, path: &str) -> Result<Option<File>, crate::sys::fs::OpenError> {
    let (below, name) = path.split_once('/').unwrap_or((".", path));
    let opened = dir.subdir(below, false).and_then(|below| below.file(name, Access::Read));
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}

/// The files of a state directory, relative; what lies deeper than one directory counts as one.
fn all(dir: &Dir) -> Result<Vec<String>, RestoreError> {
    let list = |dir: &Dir| dir.names().map_err(|e| failure::read(dir.path(), e));
    let mut paths = Vec::new();
    for name in list(dir)? {
        if name == super::session::INDEX {
            continue;
        }
        match dir.subdir(&name, false) {
            Ok(below) => {
                paths.extend(list(&below)?.into_iter().map(|file| format!("{name}/{file}")));
            }
            Err(_) => paths.push(name),
        }
    }
    Ok(paths)
}
