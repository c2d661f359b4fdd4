//! A document that the user named a place for: a file, which is replaced as a whole, or a device, a
//! pipe or an open descriptor, which is written into.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::fs::Replacement;

/// Where the pieces of a document go. A file that is dropped before it is whole stays as it was.
#[derive(Debug)]
pub enum Document {
    /// A file, made or replaced once all is there.
    File(Replacement),
    /// A file whose directory lets nobody make another; it is emptied at the first piece.
    InPlace(File),
    /// What is something else.
    Stream(File),
}

impl Document {
    /// Begins. Links are followed; what it lies in must be there.
    pub fn create(path: &Path) -> io::Result<Self> {
        let into = |path: &Path| OpenOptions::new().append(true).open(path).map(Self::Stream);
        match std::fs::metadata(path) {
            Ok(about) if about.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(about) if !about.is_file() || names_descriptor(path) => return into(path),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        match Replacement::shared(path) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && path.exists() => {
                OpenOptions::new().write(true).open(path).map(Self::InPlace)
            }
            begun => begun.map(Self::File),
        }
    }

    /// Whether one could begin there. Nothing is changed, and no reader of a pipe sees an end.
    pub fn check(path: &Path) -> io::Result<()> {
        match std::fs::metadata(path) {
            Ok(about) if about.file_type().is_fifo() => Ok(()),
            _ => Self::create(path).map(drop),
        }
    }

    /// Ends it: a file gets its place, and is durable then.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::File(file) => file.commit(),
            Self::InPlace(file) => file.sync_all(),
            Self::Stream(_) => Ok(()),
        }
    }
}

impl io::Write for Document {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::InPlace(file) => {
                if file.stream_position()? == 0 {
                    file.set_len(0)?;
                }
                file.write(bytes)
            }
            Self::Stream(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a path leads to a descriptor of a process, as `/dev/stdout` does: a shell may have opened
/// a plain file there, and others may be writing to it.
fn names_descriptor(path: &Path) -> bool {
    const LONGEST: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..LONGEST {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).canonicalize().unwrap_or_default();
        if parent.starts_with("/proc") && parent.ends_with("fd") {
            return true;
        }
        let Ok(target): io::Result<PathBuf> = std::fs::read_link(&path) else { return false };
        path = parent.join(target);
    }
    false
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn write(path: &Path, text: &str) -> io::Result<()> {
        let mut document = Document::create(path)?;
        document.write_all(text.as_bytes())?;
        document.finish()
    }

    #[test]
    fn a_file_is_replaced_with_the_mode_it_had_and_a_new_one_is_as_open_as_any() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        File::create(at("any")).unwrap();
        write(&at("new"), "one").unwrap();
        assert_eq!(mode(&at("new")), mode(&at("any")));
        std::fs::set_permissions(at("new"), std::os::unix::fs::PermissionsExt::from_mode(0o640))
            .unwrap();
        symlink(at("new"), at("link")).unwrap();
        write(&at("link"), "two").unwrap();
        assert!(at("link").is_symlink());
        assert_eq!(std::fs::read_to_string(at("new")).unwrap(), "two");
        assert_eq!(mode(&at("new")), 0o640);
        // Begun and not ended, it has changed nothing and left nothing.
        Document::create(&at("new")).unwrap().write_all(b"three").unwrap();
        assert_eq!(std::fs::read_to_string(at("new")).unwrap(), "two");
        assert_eq!(dir.path().read_dir().unwrap().count(), 3);
    }

    #[test]
    fn a_link_to_nothing_makes_what_it_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        symlink("target", at("link")).unwrap();
        write(&at("link"), "one").unwrap();
        assert!(at("link").is_symlink());
        assert_eq!(std::fs::read_to_string(at("target")).unwrap(), "one");
    }

    #[test]
    fn nothing_is_made_that_was_not_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let missing = write(&dir.path().join("none/x"), "one").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert_eq!(write(dir.path(), "one").unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert!(Document::check(&dir.path().join("none/x")).is_err());
        Document::check(&dir.path().join("x")).unwrap();
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_pipe_is_written_into() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let reader = pipe.clone();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            File::open(reader).unwrap().read_to_string(&mut text).unwrap();
            text
        });
        write(&pipe, "one").unwrap();
        assert_eq!(reader.join().unwrap(), "one");
        assert!(pipe.symlink_metadata().unwrap().file_type().is_fifo());
    }

    #[test]
    fn a_file_behind_a_descriptor_is_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let mut open = File::create(dir.path().join("out")).unwrap();
        open.write_all(b"before ").unwrap();
        let link = dir.path().join("link");
        symlink(format!("/proc/self/fd/{}", open.as_raw_fd()), &link).unwrap();
        write(&link, "one").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(dir.path().join("out")).unwrap(), "before one");
    }
}
