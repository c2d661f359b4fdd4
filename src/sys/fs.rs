//! Files opened so that nobody can trick us: relative to a directory descriptor, without following
//! links, checked on the descriptor, private to their owner whatever the umask.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags, StatxFlags,
    chmodat, fchmod, flock, fstat, fstatfs, fsync, mkdirat, openat, openat2, renameat,
    renameat_with, statat, statx, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use thiserror::Error;

/// Why a file or directory was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It is not safe: a link, somebody else's, not a plain file, on a network file system.
    #[error("`{}`: {why}", path.display())]
    Insecure {
        /// Which one.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The system said no.
    #[error("`{}`", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Its word.
        source: io::Error,
    },
}

impl OpenError {
    /// Whether it is simply not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether writing is what was refused: permissions or a read-only file system.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem))
    }
}

/// Who we are. It does not change while a command runs.
pub(super) fn uid() -> u32 {
    static UID: OnceLock<u32> = OnceLock::new();
    *UID.get_or_init(|| geteuid().as_raw())
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// For reading; it must be there.
    Read,
    /// For reading and writing; it must be there.
    Write,
    /// For reading and writing; it is made if it is not there.
    Create,
    /// For reading and appending; it must be there.
    Append,
    /// For reading and appending; it is made if it is not there.
    AppendCreate,
    /// For reading and writing, emptied or made.
    Truncate,
}

/// What a directory or a file takes the place of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exchange {
    /// Something that has the name now, and gets the other's.
    Both,
    /// Nothing: the name must be free.
    IntoNothing,
}

/// File systems on which locks and durability are not what they are on a local disk.
const NETWORK: [(i64, &str); 6] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9p"),
    (0x6b41_4653, "AFS"),
];

/// The name of a file system that lies on another machine, by its magic number.
pub(super) fn network(kind: i64) -> Option<&'static str> {
    NETWORK.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| *name)
}

/// A directory held open; everything in it is opened through it.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
    trusted: bool,
    /// Whether it is left as it is, modes included.
    observed: bool,
    /// Whether others may look into it.
    loose: bool,
    /// Whether it is known to be one of ours, and not just something that was named.
    ours: AtomicBool,
}

impl Dir {
    /// Opens a directory and checks who owns it and on what it lies, unless it is `trusted`. Nothing in
    /// it is made private before it is known to be one of ours ([`Self::adopt`]).
    pub fn open(path: &Path, trusted: bool) -> Result<Self, OpenError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty()).map_err(|e| io_error(path, e))?;
        let mut dir = Self::over(fd, path.to_owned(), trusted);
        dir.check(true)?;
        Ok(dir)
    }

    const fn over(fd: OwnedFd, path: PathBuf, trusted: bool) -> Self {
        let ours = AtomicBool::new(false);
        Self { fd, path, trusted, observed: false, loose: false, ours }
    }

    /// Notes that it is one of ours: others may not look into it any more, nor into what is opened in
    /// it from here on.
    pub fn adopt(&self) {
        if !self.ours.swap(true, Ordering::Relaxed) && self.loose {
            // On a read-only file system it stays as it is, and nobody can plant anything either.
            let _ = fchmod(&self.fd, Mode::RWXU);
        }
    }

    /// Whether it is known to be one of ours.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.ours.load(Ordering::Relaxed)
    }

    /// Opens a directory only to look at it: nothing is checked, and nothing is mended.
    pub fn observe(path: &Path) -> Result<Self, OpenError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty()).map_err(|e| io_error(path, e))?;
        Ok(Self { observed: true, ..Self::over(fd, path.to_owned(), true) })
    }

    /// Makes a private directory, and its parents, and opens it.
    pub fn create(path: &Path, trusted: bool) -> Result<Self, OpenError> {
        use std::os::unix::fs::DirBuilderExt;
        let missing: Vec<&Path> = path.ancestors().take_while(|p| !p.exists()).collect();
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        let dir = Self::open(path, trusted)?;
        dir.adopt();
        // An odd umask may have taken from the mode what we need ourselves.
        let stat = fstat(&dir.fd).map_err(|e| io_error(path, e))?;
        if stat.st_mode & 0o777 != 0o700 {
            fchmod(&dir.fd, Mode::RWXU).map_err(|e| io_error(path, e))?;
        }
        // Every new name must survive a power cut as well.
        for parent in missing.iter().chain([&path]).filter_map(|made| made.parent()) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            if let Ok(parent) = File::open(parent) {
                let _ = parent.sync_all();
            }
        }
        Ok(dir)
    }

    /// Opens or makes a directory inside this one.
    pub fn subdir(&self, name: &str, create: bool) -> Result<Self, OpenError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = self.path.join(name);
        let fd = match self.open_raw(name, flags, Mode::empty()) {
            Err(Errno::NOENT) if create => {
                let made = mkdirat(&self.fd, name, Mode::RWXU);
                match made.and_then(|()| chmodat(&self.fd, name, Mode::RWXU, AtFlags::empty())) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(e) => return Err(io_error(&path, e)),
                }
                self.open_raw(name, flags, Mode::empty())
            }
            other => other,
        }
        .map_err(|e| open_error(&path, e))?;
        let mut dir = Self { observed: self.observed, ..Self::over(fd, path, self.trusted) };
        dir.check(false)?;
        if self.is_ours() {
            dir.adopt();
        }
        Ok(dir)
    }

    /// Opens a plain file in this directory.
    pub fn file(&self, name: &str, access: Access) -> Result<File, OpenError> {
        // Made for an error only: this is part of every command's start.
        let path = || self.path.join(name);
        // Without NONBLOCK a FIFO under our name would hold us for ever.
        let flags = OFlags::CLOEXEC
            | OFlags::NONBLOCK
            | match access {
                Access::Read => OFlags::RDONLY,
                // To note that each file was read costs as much as reading it.
                Access::Write => OFlags::RDWR | OFlags::NOATIME,
                Access::Create | Access::Truncate => {
                    OFlags::RDWR | OFlags::CREATE | OFlags::NOATIME
                }
                Access::Append => OFlags::RDWR | OFlags::APPEND | OFlags::NOATIME,
                Access::AppendCreate => {
                    OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOATIME
                }
            };
        let mode =
            if flags.contains(OFlags::CREATE) { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
        let fd = self.open_raw(name, flags, mode).map_err(|e| open_error(&path(), e))?;
        let stat = fstat(&fd).map_err(|e| io_error(&path(), e))?;
        let insecure = |why: &str| OpenError::Insecure { path: path(), why: why.to_owned() };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(insecure("it is not a plain file"));
        }
        if !self.trusted && stat.st_uid != uid() {
            return Err(insecure(&format!("it belongs to user {}", stat.st_uid)));
        }
        if stat.st_nlink > 1 {
            return Err(insecure("it has a second name (a hard link)"));
        }
        // A checkout by git, or a copy, makes files that others can read; an odd umask makes files
        // that we cannot.
        if access != Access::Read && stat.st_mode & 0o777 != 0o600 && stat.st_uid == uid() {
            fchmod(&fd, Mode::RUSR | Mode::WUSR).map_err(|e| io_error(&path(), e))?;
        }
        let file = File::from(fd);
        if access == Access::Truncate {
            file.set_len(0).map_err(|source| OpenError::Io { path: path(), source })?;
        }
        Ok(file)
    }

    /// Whether there is something under a name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Whether a name in this directory still stands for an open file.
    #[must_use]
    pub fn names_file(&self, name: &str, file: &File) -> bool {
        let named = statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        matches!((named, fstat(file)), (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
    }

    /// Gives a file in this directory another name here or in `to`; what had it is replaced.
    pub fn rename(&self, from: &str, to: &Self, name: &str) -> io::Result<()> {
        Ok(renameat(&self.fd, from, &to.fd, name)?)
    }

    /// Gives two names in this directory to each other's files or directories, or one of them a name
    /// that nobody has, in one step.
    pub fn exchange(&self, from: &str, name: &str, how: Exchange) -> io::Result<()> {
        let flags = match how {
            Exchange::Both => RenameFlags::EXCHANGE,
            Exchange::IntoNothing => RenameFlags::NOREPLACE,
        };
        match renameat_with(&self.fd, from, &self.fd, name, flags) {
            // Some file systems know no such flag; then it takes two steps.
            Err(Errno::INVAL | Errno::NOSYS) if how == Exchange::IntoNothing => {
                if self.has(name) {
                    return Err(Errno::EXIST.into());
                }
                self.rename(from, self, name)
            }
            other => Ok(other?),
        }
    }

    /// Whether this directory still has the path by which it was opened.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        let named = statat(CWD, &self.path, AtFlags::empty());
        matches!((named, fstat(&self.fd)), (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
    }

    /// Removes a file; one that is not there is no failure.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Err(Errno::NOENT) | Ok(()) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Removes an empty directory in this one.
    pub fn remove_dir(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    /// Says to all who ask that somebody is at work in this directory, until it is dropped; false if
    /// somebody else is. The kernel lets a killed one's word go.
    pub fn hold(&self) -> io::Result<bool> {
        match flock(&self.fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Makes names in this directory durable.
    pub fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.fd)?)
    }

    /// Replaces a file: a reader sees the old or the new one, whole. `temp` is a name that no other
    /// process uses at the same time. With `durable` it survives a power cut.
    pub fn replace(
        &self,
        name: &str,
        temp: &str,
        bytes: &[u8],
        durable: bool,
    ) -> Result<(), OpenError> {
        use std::io::Write;
        let path = self.path.join(name);
        let failed = |source| OpenError::Io { path: path.clone(), source };
        let mut file = self.file(temp, Access::Truncate)?;
        let written = file
            .write_all(bytes)
            .and_then(|()| if durable { file.sync_all() } else { Ok(()) })
            .and_then(|()| self.rename(temp, self, name))
            .and_then(|()| if durable { self.sync() } else { Ok(()) });
        if written.is_err() {
            let _ = self.remove(temp);
        }
        written.map_err(failed)
    }

    /// The names in this directory, sorted, without `.` and `..`.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_raw(&self, name: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        // Some file systems let a signal interrupt an open.
        match rustix::io::retry_on_intr(|| openat2(&self.fd, name, flags, mode, how)) {
            // Only a file's owner may read it without leaving a trace.
            Err(Errno::PERM) if flags.contains(OFlags::NOATIME) => {
                self.open_raw(name, flags.difference(OFlags::NOATIME), mode)
            }
            // Old kernels and some sandboxes lack it; names are single components, so this is the same.
            Err(Errno::NOSYS | Errno::PERM) => {
                rustix::io::retry_on_intr(|| openat(&self.fd, name, flags | OFlags::NOFOLLOW, mode))
            }
            other => other,
        }
    }

    fn check(&mut self, top: bool) -> Result<(), OpenError> {
        if self.observed {
            return Ok(());
        }
        let stat = fstat(&self.fd).map_err(|e| io_error(&self.path, e))?;
        let insecure = |why: String| OpenError::Insecure { path: self.path.clone(), why };
        if !self.trusted && stat.st_uid != uid() {
            return Err(insecure(format!("it belongs to user {}, not to you", stat.st_uid)));
        }
        self.loose = stat.st_mode & 0o077 != 0 && stat.st_uid == uid();
        if top && !self.trusted {
            let kind = fstatfs(&self.fd).map_err(|e| io_error(&self.path, e))?.f_type;
            #[expect(clippy::cast_possible_truncation, reason = "the magic numbers have 32 bits")]
            #[expect(clippy::cast_sign_loss, reason = "the magic numbers have 32 bits")]
            let kind = i64::from(kind as u32);
            if let Some(name) = network(kind) {
                return Err(insecure(format!(
                    "it lies on {name}, where locks cannot be relied on"
                )));
            }
        }
        Ok(())
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// When a file was made, in nanoseconds since 1970, where the file system knows.
#[must_use]
pub fn born(file: &File) -> Option<u64> {
    let all = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok()?;
    let known = StatxFlags::from_bits_retain(all.stx_mask).contains(StatxFlags::BTIME);
    let seconds = u64::try_from(all.stx_btime.tv_sec).ok().filter(|_| known)?;
    Some(seconds.saturating_mul(1_000_000_000).saturating_add(all.stx_btime.tv_nsec.into()))
}

fn io_error(path: &Path, e: Errno) -> OpenError {
    OpenError::Io { path: path.to_owned(), source: e.into() }
}

fn open_error(path: &Path, e: Errno) -> OpenError {
    match e {
        Errno::LOOP | Errno::XDEV => {
            OpenError::Insecure { path: path.to_owned(), why: "it is a symbolic link".to_owned() }
        }
        Errno::NXIO | Errno::ISDIR => {
            OpenError::Insecure { path: path.to_owned(), why: "it is not a plain file".to_owned() }
        }
        e => io_error(path, e),
    }
}

/// Replaces one of the user's own small files, or makes it: a reader sees the old or the new one,
/// whole. A link is followed, the mode of the old file is kept, directories are made.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let mut file = Replacement::of(path)?;
    file.write_all(bytes)?;
    file.commit()
}

/// What will replace one of the user's own files, piece by piece, as [`replace_file`] does. Dropped
/// before it is whole, it leaves nothing behind.
#[derive(Debug)]
pub struct Replacement {
    file: File,
    temp: PathBuf,
    path: PathBuf,
    parent: PathBuf,
}

impl Replacement {
    /// Begins one for its owner alone.
    pub fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let parent = path.parent().unwrap_or(Path::new("/"));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        let begun = Self::begin(path, 0o600)?;
        // An odd umask may have taken from the mode what we need ourselves.
        begun.file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(begun)
    }

    /// Begins one that others may read as far as the umask lets them. What it lies in must be there.
    pub fn shared(path: &Path) -> io::Result<Self> {
        let resolved = path.canonicalize().or_else(|e| match std::fs::read_link(path) {
            // A link to what is not there yet.
            Ok(target) => Ok(path.parent().unwrap_or(Path::new(".")).join(target)),
            Err(_) if e.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
            Err(_) => Err(e),
        })?;
        Self::begin(resolved, 0o666)
    }

    fn begin(path: PathBuf, mode: u32) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let mut temp = std::ffi::OsString::from(".");
        temp.push(name);
        temp.push(format!(".{}", std::process::id()));
        let temp = parent.join(temp);
        let options = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).clone();
        let file = options.open(&temp)?;
        let parent = parent.to_owned();
        Ok(Self { file, temp, path, parent })
    }

    /// Puts it in its place. When it returns it is durable.
    pub fn commit(self) -> io::Result<()> {
        if let Ok(old) = self.path.metadata() {
            self.file.set_permissions(old.permissions())?;
        }
        self.file.sync_all()?;
        renameat(CWD, &self.temp, CWD, &self.path)?;
        File::open(&self.parent)?.sync_all()
    }
}

impl io::Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // After the renaming nothing has that name.
        let _ = std::fs::remove_file(&self.temp);
    }
}

/// Appends a line to one of the user's own files with one write, or makes the file, for nobody else to
/// read. What it lies in must be there.
pub fn append_line(path: &Path, line: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    // Without NONBLOCK a pipe that nobody reads would hold us for ever.
    let flags = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::CLOEXEC
        | OFlags::NONBLOCK
        | OFlags::NOCTTY;
    let mut file = File::from(openat(CWD, path, flags, Mode::RUSR | Mode::WUSR)?);
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is not a plain file"));
    }
    file.write_all(line)?;
    file.sync_data()
}
