//! A directory tree of others: walked without following links, its files read piece by piece, so that
//! neither a huge file nor a deep tree takes much memory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use hmac_sha256::Hash;
use rustix::fs::{FileType, Mode, OFlags, fstat, open};

/// What a walk met.
#[derive(Debug)]
pub enum Met<'a> {
    /// A plain file.
    File(&'a Path),
    /// A symbolic link; it is not followed.
    Link(&'a Path),
    /// Something that could not be read.
    Failed(&'a Path, io::Error),
}

/// Walks everything below `root`, in no order. `enter` tells by its name whether a directory is
/// looked into; `see` ends the walk by an error of its own.
pub fn walk<E>(
    root: &Path,
    enter: &dyn Fn(&OsStr) -> bool,
    see: &mut dyn FnMut(Met<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) => {
                see(Met::Failed(&dir, e))?;
                continue;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) => {
                    see(Met::Failed(&dir, e))?;
                    break;
                }
            };
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => {
                    if enter(&entry.file_name()) {
                        waiting.push(path);
                    }
                }
                Ok(kind) if kind.is_symlink() => see(Met::Link(&path))?,
                Ok(kind) if kind.is_file() => see(Met::File(&path))?,
                // Pipes, sockets and devices hold no text.
                Ok(_) => {}
                Err(e) => see(Met::Failed(&path, e))?,
            }
        }
    }
    Ok(())
}

/// A file of a tree, opened.
#[derive(Debug)]
pub struct Text {
    file: File,
    head: Vec<u8>,
    size: u64,
}

/// What all of a file comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sum {
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Its lines; the last one counts without a line break as well.
    pub lines: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// How much of a file is looked at before the rest is read.
const HEAD: usize = 8192;

/// Opens a plain file for reading, through a link if there is one; a pipe does not hold us up.
pub fn open_plain(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = open(path, flags, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is not a plain file"));
    }
    Ok(file.into())
}

impl Text {
    /// Opens a plain file; a link, or what has become something else meanwhile, is an error.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Without NONBLOCK a pipe that nobody writes to would hold us for ever.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let file = open(path, flags, Mode::empty())?;
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is not a plain file any more"));
        }
        Ok(Self { file: file.into(), head: Vec::new(), size: stat.st_size.unsigned_abs() })
    }

    /// Its first bytes, at most `count`; they are read once.
    pub fn head(&mut self, count: usize) -> io::Result<&[u8]> {
        let wanted = count.min(HEAD);
        if let Some(missing) = wanted.checked_sub(self.head.len()).filter(|n| *n > 0) {
            (&mut self.file).take(missing as u64).read_to_end(&mut self.head)?;
        }
        Ok(&self.head[..wanted.min(self.head.len())])
    }

    /// Its size when it was opened.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Reads all of it; nothing if it has more than `max` bytes.
    pub fn sum(mut self, max: u64) -> io::Result<Option<Sum>> {
        let (mut hash, mut sum) = (Hash::new(), Sum { sha256: [0; 32], lines: 0, bytes: 0 });
        let mut last = b'\n';
        let mut piece = std::mem::take(&mut self.head);
        let mut buffer = vec![0; HEAD];
        loop {
            if let Some(end) = piece.last() {
                last = *end;
                hash.update(&piece);
                sum.lines += memchr::memchr_iter(b'\n', &piece).count() as u64;
                sum.bytes += piece.len() as u64;
                if sum.bytes > max {
                    return Ok(None);
                }
            }
            let count = loop {
                match self.file.read(&mut buffer) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    other => break other?,
                }
            };
            if count == 0 {
                break;
            }
            piece.clear();
            piece.extend_from_slice(&buffer[..count]);
        }
        sum.lines += u64::from(last != b'\n');
        sum.sha256 = hash.finalize();
        Ok(Some(sum))
    }
}

/// Puts a program into a directory under a name, whole or not at all; what had the name is replaced,
/// and a link there is not followed.
pub fn put_program(dir: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let temp: PathBuf = dir.join({
        let mut temp = OsString::from(".");
        temp.push(name);
        temp.push(format!(".{}.tmp", std::process::id()));
        temp
    });
    let mut options = File::options();
    // The user's umask has its say: others may be meant to run it.
    let file = options.write(true).create_new(true).mode(0o777).open(&temp);
    #[expect(clippy::disallowed_methods, reason = "the one place that replaces a program")]
    let done = file
        .and_then(|mut file| file.write_all(text))
        .and_then(|()| std::fs::rename(&temp, dir.join(name)));
    if done.is_err() {
        let _ = std::fs::remove_file(&temp);
    }
    done
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test sets its own scene")]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_summed_up_whatever_its_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for (text, lines) in [("", 0), ("a", 1), ("a\n", 1), ("a\n\nb", 3)] {
            std::fs::write(&path, text).unwrap();
            for head in [0, 2, 9000] {
                let mut file = Text::open(&path).unwrap();
                assert_eq!(file.head(head).unwrap(), &text.as_bytes()[..head.min(text.len())]);
                let sum = file.sum(1 << 20).unwrap().unwrap();
                let expected = Hash::hash(text.as_bytes());
                assert_eq!((sum.lines, sum.bytes), (lines, text.len() as u64), "{text:?}");
                assert_eq!(sum.sha256, expected);
            }
        }
        let long = "line\n".repeat(10_000);
        std::fs::write(&path, &long).unwrap();
        let mut file = Text::open(&path).unwrap();
        assert_eq!(file.head(5).unwrap(), b"line\n");
        assert_eq!(file.head(2).unwrap(), b"li");
        let sum = file.sum(50_000).unwrap().unwrap();
        assert_eq!((sum.lines, sum.sha256), (10_000, Hash::hash(long.as_bytes())));
        assert_eq!(Text::open(&path).unwrap().sum(49_999).unwrap(), None);
    }

    #[test]
    fn a_walk_follows_no_link_and_enters_only_what_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("a/b")).unwrap();
        std::fs::create_dir_all(at("skip")).unwrap();
        for name in ["a/one", "a/b/two", "skip/three"] {
            std::fs::write(at(name), "x").unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), at("a/b/loop")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let mut seen = Vec::new();
        walk::<()>(dir.path(), &|name| name != "skip", &mut |met| {
            let (what, path) = match met {
                Met::File(path) => ("file", path),
                Met::Link(path) => ("link", path),
                Met::Failed(path, _) => ("failed", path),
            };
            seen.push(format!("{what} {}", path.strip_prefix(dir.path()).unwrap().display()));
            Ok(())
        })
        .unwrap();
        seen.sort();
        assert_eq!(seen, ["file a/b/two", "file a/one", "link a/b/loop"]);
        assert!(Text::open(&at("a/b/loop")).is_err() && Text::open(&at("pipe")).is_err());
        let gone = walk::<io::ErrorKind>(&at("no"), &|_| true, &mut |met| match met {
            Met::Failed(_, e) => Err(e.kind()),
            _ => Ok(()),
        });
        assert_eq!(gone, Err(io::ErrorKind::NotFound));
    }

    #[test]
    fn a_program_takes_the_place_of_a_link_not_of_its_target() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("target"), "keep").unwrap();
        std::os::unix::fs::symlink(at("target"), at("x")).unwrap();
        put_program(dir.path(), "x", b"#!/bin/sh\n").unwrap();
        assert_eq!(std::fs::read_to_string(at("target")).unwrap(), "keep");
        assert_eq!(std::fs::read_to_string(at("x")).unwrap(), "#!/bin/sh\n");
        std::fs::create_dir(at("d")).unwrap();
        assert!(put_program(dir.path(), "d", b"").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "nothing is left behind");
    }
}
