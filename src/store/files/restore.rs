//! Putting a backup in the place of a store.
//!
//! The backup is unpacked beside the state directory, made durable and checked; then it gets the name
//! under which the old state shall be kept, and the two directories change places in one step of the
//! file system. So at every moment the old state or the new one lies there, whole, and when the new one
//! does, the old one has the name that is told. What is being filled holds a file named `restoring`
//! and is held by its restore; what a killed one leaves is held by nobody ([`leftovers`]).
//!
//! Before the change the old state is marked, under its lock, in the head of its index, which every
//! writer reads under that lock: whoever opened it by the name that it had, however long before, ends
//! with an error and has changed nothing. Named locks are kept still for the same moment.
//!
//! A restored log goes on with a number above all that the old state gave out, so that no fencing token
//! and no made id ever stands for two things.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::json;

use super::head::{self, Loaded};
use super::lock::{Lock, Patience};
use super::locks::{self, Still};
use super::log::{self, HISTORY, LIVE, NEXT};
use super::session::{HEAD, INDEX, Session};
use super::{FileStore, Options, backup, failure, rebuild};
use crate::domain::time::rfc3339;
use crate::domain::work::Op;
use crate::store::archive::{self, ArchiveError, Belongs, Manifest, belongs};
use crate::store::fields::Fields;
use crate::store::{Error, Result, Store as _, Verified};
use crate::sys::Sweep;
use crate::sys::fs::{Access, Dir, Exchange};
use crate::sys::leftover::{self, Leftover, Shape};
use crate::sys::volume::volume;

/// Lies in a directory that a restore is still filling.
pub(super) const UNFINISHED: &str = "restoring";
/// No real store comes near this many writes or items; what claims more is not followed.
const BELIEVED: u64 = 1 << 52;

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
    /// What has the name is no state directory.
    #[error("`{}` is no state directory: {why}", path.display())]
    NoState {
        /// What it is.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Named locks are held, whose holders would not know that others can take them.
    #[error("named locks are held")]
    Held(Vec<crate::store::Lock>),
    /// There is not so much room.
    #[error("there is no room for what the backup holds")]
    NoRoom {
        /// Bytes that it takes.
        need: u64,
        /// Bytes that there are.
        free: u64,
    },
    /// The new state is in place, but perhaps not yet on the disk.
    #[error("the new state is in place, but the disk did not confirm it")]
    Unconfirmed {
        /// Where the old state lies.
        aside: Option<PathBuf>,
        /// The system's word.
        source: io::Error,
    },
}

/// Where a state is put.
struct Target {
    parent: Dir,
    name: String,
    options: Options,
}

impl Target {
    /// Finds it. A link to a state directory is followed: what changes places is the directory itself,
    /// so that everybody who comes by either name gets the same state.
    fn of(options: &Options) -> Result<Self, RestoreError> {
        let failed = |what: &str, e| RestoreError::Store(failure::at(what, &options.dir, e));
        let dir = match options.dir.canonicalize() {
            Ok(dir) => dir,
            Err(e) if e.kind() == io::ErrorKind::NotFound && options.dir.is_symlink() => {
                let why = "it is a link to nothing".to_owned();
                return Err(RestoreError::NoState { path: options.dir.clone(), why });
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => options.dir.clone(),
            Err(e) => return Err(failed("find", e)),
        };
        let name = dir.file_name().and_then(|name| name.to_str());
        let (Some(parent), Some(name)) = (dir.parent(), name) else {
            return Err(failed("restore to", io::ErrorKind::InvalidInput.into()));
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        check_state(&dir)?;
        std::fs::create_dir_all(parent).map_err(|e| failed("make the parent of", e))?;
        let parent = Dir::observe(parent).map_err(failure::open)?;
        let name = name.to_owned();
        Ok(Self { parent, name, options: Options { dir, create: false, ..options.clone() } })
    }
}

/// Refuses what is no state directory: what lies there would be moved aside.
fn check_state(path: &Path) -> Result<(), RestoreError> {
    let no = |why: &str| RestoreError::NoState { path: path.to_owned(), why: why.to_owned() };
    let dir = match Dir::observe(path) {
        Ok(dir) => dir,
        Err(e) if e.is_not_found() => return Ok(()),
        Err(_) if !path.is_dir() => return Err(no("it is a file")),
        Err(e) => return Err(failure::open(e).into()),
    };
    let logs = [LIVE, NEXT].iter().any(|log| dir.has(log))
        || dir.subdir(HISTORY, false).is_ok_and(|h| log::sealed(&h).is_ok_and(|s| !s.is_empty()))
        || dir.subdir(INDEX, false).is_ok_and(|index| index.has(HEAD));
    if logs {
        return Ok(());
    }
    let known = |name: &String| {
        matches!(
            name.as_str(),
            UNFINISHED | INDEX | HISTORY | "agents" | "locks" | "alerts" | "imported"
        ) || belongs(name) == Belongs::Yes
            || belongs(name) == Belongs::No && !name.starts_with('.')
    };
    let names = dir.names().map_err(|e| failure::read(path, e))?;
    match names.iter().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => Err(no(&format!("it holds `{name}` and no log of work"))),
    }
}

/// Gives a directory the name under which an old state is kept.
fn set_aside(parent: &Dir, from: &str, name: &str, stamp: &str) -> io::Result<String> {
    let mut aside = format!("{name}.before-restore-{stamp}");
    loop {
        match parent.exchange(from, &aside, Exchange::IntoNothing) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && aside.len() < 200 => {
                aside.push('x');
            }
            other => return other.map(|()| aside),
        }
    }
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
/// must be used by nobody else. A damaged state, or one whose named locks are held, is refused unless
/// `force` is set.
pub fn restore(
    archive: &File,
    options: &Options,
    (hex, stamp): (&str, &str),
    force: bool,
    op: &Op,
) -> Result<Restored, RestoreError> {
    let said = peek(archive)?;
    let target = Target::of(options)?;
    let (parent, dir) = (&target.parent, &target.options.dir);
    if !force && let Ok(old) = Dir::observe(dir) {
        check_locks(&old, op)?;
    }
    let need = said.files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.size));
    let free = volume(parent.path()).map_or(u64::MAX, |volume| volume.free);
    if need > free {
        return Err(RestoreError::NoRoom { need, free });
    }
    let mut staged = Staged::new(parent, format!(".{}.restore-{hex}", target.name), options)?;
    let (manifest, verified) = stage(begin(archive)?, &staged, options, op)?;
    if !verified.problems.is_empty() && !force {
        return Err(RestoreError::Damaged(Box::new(verified)));
    }
    let files = fates(&manifest, dir)?;
    let aside = switch(&target, &mut staged, stamp, force, op)?;
    Ok(Restored { manifest, files, verified: Some(verified), aside })
}

/// Refuses to go on while named locks are held.
fn check_locks(state: &Dir, op: &Op) -> Result<(), RestoreError> {
    let held = locks::held(state, op);
    if held.is_empty() { Ok(()) } else { Err(RestoreError::Held(held)) }
}

/// The directory that is being filled. Dropped before it is in its place, it is gone.
struct Staged {
    parent: PathBuf,
    name: String,
    /// Held as long as this lives.
    dir: Dir,
    placed: bool,
    swept: Option<Sweep>,
}

impl Staged {
    fn new(parent: &Dir, name: String, options: &Options) -> Result<Self, RestoreError> {
        let path = parent.path().join(&name);
        let swept = Sweep::over(&path).map_err(|e| failure::at("make", &path, e))?;
        let dir = Dir::create(&path, options.trust_dir).map_err(failure::open)?;
        let parent = parent.path().to_owned();
        let staged = Self { parent, name, dir, placed: false, swept: Some(swept) };
        staged.dir.hold().map_err(|e| failure::at("hold", &path, e))?;
        drop(staged.dir.file(UNFINISHED, Access::Create).map_err(failure::open)?);
        Ok(staged)
    }

    fn path(&self) -> PathBuf {
        self.parent.join(&self.name)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.placed {
            // Nothing but what was made here a moment ago.
            let _ = std::fs::remove_dir_all(self.path());
        }
    }
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

/// Unpacks an archive into the staged directory, makes it durable and checks the store in it.
fn stage(
    from: impl Read,
    staged: &Staged,
    options: &Options,
    op: &Op,
) -> Result<(Manifest, Verified), RestoreError> {
    let (path, dir) = (staged.path(), &staged.dir);
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
    dir.sync().map_err(failed)?;
    Ok((manifest, verified))
}

/// Lets the staged directory take the place of the store. Gives where the old one lies then.
fn switch(
    target: &Target,
    staged: &mut Staged,
    stamp: &str,
    force: bool,
    op: &Op,
) -> Result<Option<PathBuf>, RestoreError> {
    let Target { parent, name, options } = target;
    let failed = |what: &str, e| RestoreError::Store(failure::at(what, &options.dir, e));
    let finish = |new: &Dir| {
        parent.sync()?;
        new.remove(UNFINISHED)?;
        new.sync()
    };
    if !parent.has(name) {
        // From here on a signal ends the process between two steps, as it may.
        staged.swept = None;
        let moved = parent.exchange(&staged.name, name, Exchange::IntoNothing);
        moved.map_err(|e| failed("put the new state at", e))?;
        staged.placed = true;
        let unsure = |source| RestoreError::Unconfirmed { aside: None, source };
        return finish(&staged.dir).map(|()| None).map_err(unsure);
    }
    let old = FileStore::open(options.clone())?;
    let patience = Patience { time: options.lock_timeout, give_up: None, clock: &options.clock };
    let since = rfc3339(op.now.wall);
    let _lock = usable(Lock::take(&old.dir, &patience, &options.command, &since))?;
    let still = usable(Still::begin(&old.dir))?;
    if !force {
        check_locks(&old.dir, op)?;
    }
    if let Some(still) = &still {
        still.copy_to(&staged.dir)?;
    }
    let (n, next_id) = given_out(&old);
    if n <= BELIEVED && next_id <= BELIEVED {
        let dir = staged.path();
        FileStore::open(Options { dir, ..options.clone() })?.begin_above(n, next_id, op)?;
    }
    // What an earlier restore left there when it died would tell that the old state is unfinished.
    old.dir.remove(UNFINISHED).map_err(|e| failed("prepare", e))?;
    let head = old.dir.subdir(INDEX, true).and_then(|index| index.file(HEAD, Access::Create));
    if let Some(head) = usable(head.map_err(failure::open))? {
        head::give_up_place(&head).map_err(|e| failed("mark", e))?;
    }
    staged.swept = None;
    let made = set_aside(parent, &staged.name, name, stamp);
    staged.name = made.map_err(|e| failed("make room beside", e))?;
    parent.sync().map_err(|e| failed("prepare", e))?;
    parent.exchange(&staged.name, name, Exchange::Both).map_err(RestoreError::NoExchange)?;
    staged.placed = true;
    let aside = Some(staged.path());
    match finish(&staged.dir) {
        Ok(()) => Ok(aside),
        Err(source) => Err(RestoreError::Unconfirmed { aside, source }),
    }
}

/// What every writer needs and cannot be used by us is not used by any of them: it keeps nobody from
/// being helped.
fn usable<T>(made: Result<T>) -> Result<Option<T>> {
    match made {
        Ok(made) => Ok(Some(made)),
        Err(Error::Insecure { .. }) => Ok(None),
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotADirectory => Ok(None),
        Err(other) => Err(other),
    }
}

/// The number of the last write and the next number for a made id, as far as they can be told; nothing
/// may be written meanwhile.
fn given_out(old: &FileStore) -> (u64, u64) {
    let now = old.stamp();
    let Ok(logs) = old.logs() else { return (0, 0) };
    let index = old.dir.subdir(INDEX, false).and_then(|index| index.file(HEAD, Access::Read));
    if let Ok(file) = index
        && let Ok(Loaded::Clean(known)) = head::load(&file, now.boot)
        && head::look(&logs.live).is_ok_and(|seen| known.matches(seen))
    {
        return (known.n, known.next_id);
    }
    // What is damaged counts as well: a number that was given out stays so.
    let read = rebuild::run(&logs, now.boot, now, false);
    read.map_or((0, 0), |read| (read.index.head.n, read.index.head.next_id))
}

impl FileStore {
    /// Lets the numbers of this log go on above those that another state gave out, unless they do so
    /// already. The log itself tells why numbers are missing.
    fn begin_above(&self, n: u64, next_id: u64, op: &Op) -> Result<()> {
        let mut session = Session::begin_anyhow(self, op)?;
        let head = &mut session.index.head;
        if head.n >= n && head.next_id >= next_id {
            return Ok(());
        }
        let (from, n) = (head.n, n.max(head.n) + 1);
        head.next_id = head.next_id.max(next_id);
        let gaps = if n > from + 1 { json!([[from + 1, n - 1]]) } else { json!([]) };
        let line = Fields::new()
            .number("n", n)
            .text("op", "restored")
            .text("op_id", op.id.as_str())
            .number("next_id", head.next_id)
            .text("at", &rfc3339(op.now.wall))
            .text("by", op.by.as_str())
            .value("gaps", &gaps)
            .end(head.last_link);
        session.note_line(n, &line)?;
        session.finish()
    }
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
            // Named locks go on where they are.
            Ok(Some(_)) if file.path.starts_with("locks/") => Fate::Same,
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
            let kept = path.starts_with("locks/") && belongs(&path) == Belongs::Yes;
            files.entry(path).or_insert(if kept { Fate::Same } else { Fate::Aside });
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
