//! What a path lies on: its kind, its room, and what we may do there.

use std::io;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, StatVfsMountFlags, accessat, statfs, statvfs};

/// The file system of a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Volume {
    /// Bytes that we may still write.
    pub free: u64,
    /// Files that may still be made; nothing where they are not counted.
    pub free_files: Option<u64>,
    /// Whether nothing can be written.
    pub read_only: bool,
    /// Its name, if it lies in another machine, where locks cannot be relied on.
    pub remote: Option<&'static str>,
    /// Whether it lies in memory and is gone after a reboot.
    pub in_memory: bool,
}

const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;

/// Looks at the file system of a path.
pub fn volume(path: &Path) -> io::Result<Volume> {
    let (room, kind) = (statvfs(path)?, statfs(path)?.f_type);
    #[expect(clippy::cast_possible_truncation, reason = "the magic numbers have 32 bits")]
    #[expect(clippy::cast_sign_loss, reason = "the magic numbers have 32 bits")]
    let kind = i64::from(kind as u32);
    Ok(Volume {
        free: room.f_bavail.saturating_mul(room.f_frsize),
        free_files: (room.f_files > 0).then_some(room.f_favail),
        read_only: room.f_flag.contains(StatVfsMountFlags::RDONLY),
        remote: super::fs::network(kind),
        in_memory: kind == TMPFS || kind == RAMFS,
    })
}

/// Whether we may write a file or a directory, as far as its permissions tell.
#[must_use]
pub fn may_write(path: &Path) -> bool {
    accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

/// Whether a process of this machine is stopped; nothing if there is none that we can see.
#[must_use]
pub fn is_stopped(pid: u32) -> Option<bool> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = text.rsplit_once(") ")?.1.chars().next()?;
    Some(matches!(state, 'T' | 't'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let volume = volume(dir.path()).unwrap();
        assert!(volume.free > 0 && !volume.read_only && volume.remote.is_none());
        assert!(may_write(dir.path()) && !may_write(Path::new("/nonexistent")));
        assert_eq!(is_stopped(std::process::id()), Some(false));
        assert_eq!(is_stopped(0), None);
    }
}
