//! Files of others that a command is told to read: whole, bounded, and nothing that could hold us.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use thiserror::Error;

/// Why a file was not read.
#[derive(Debug, Error)]
pub enum InputError {
    /// It is a directory, a pipe, a device.
    #[error("it is {0}, not a plain file")]
    NotPlain(&'static str),
    /// It is too large.
    #[error("it has more than {0} bytes")]
    TooLarge(usize),
    /// The system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a plain file of at most `max` bytes; links are followed.
pub fn read_file(path: &Path, max: usize) -> Result<Vec<u8>, InputError> {
    // Without NONBLOCK a pipe that nobody writes to would hold us for ever.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = open(path, flags, Mode::empty()).map_err(io::Error::from)?;
    let stat = fstat(&file).map_err(io::Error::from)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(InputError::NotPlain("a directory")),
        FileType::Fifo => return Err(InputError::NotPlain("a pipe")),
        FileType::Socket => return Err(InputError::NotPlain("a socket")),
        _ => return Err(InputError::NotPlain("a device")),
    }
    let mut bytes = Vec::new();
    File::from(file).take(max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max { Err(InputError::TooLarge(max)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_of_a_sane_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let text = |e: Result<Vec<u8>, InputError>| e.unwrap_err().to_string();
        File::create(at("plain")).unwrap().set_len(10).unwrap();
        std::os::unix::fs::symlink(at("plain"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(read_file(&at("plain"), 10).unwrap().len(), 10);
        assert_eq!(read_file(&at("link"), 10).unwrap().len(), 10);
        assert_eq!(text(read_file(&at("plain"), 9)), "it has more than 9 bytes");
        assert_eq!(text(read_file(dir.path(), 9)), "it is a directory, not a plain file");
        assert_eq!(text(read_file(&at("pipe"), 9)), "it is a pipe, not a plain file");
        assert!(text(read_file(&at("loop"), 9)).contains("symbolic links"));
        assert!(matches!(read_file(&at("none"), 9), Err(InputError::Io(_))));
    }
}
