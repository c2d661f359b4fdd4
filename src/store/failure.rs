//! From the system's errors to the store's.

use std::io;
use std::path::Path;

use crate::store::Error;
use crate::sys::fs::OpenError;

/// Something was not done; `what` completes "cannot …".
pub(super) fn io(what: impl Into<String>, source: io::Error) -> Error {
    Error::Io { what: what.into(), source }
}

/// A file was not opened.
pub(super) fn open(error: OpenError) -> Error {
    match error {
        OpenError::Insecure { path, why } => Error::Insecure { path, why },
        OpenError::Io { path, source } => at("open", &path, source),
    }
}

/// Something was not done with a file.
pub(super) fn at(what: &str, path: &Path, source: io::Error) -> Error {
    io(format!("{what} `{}`", path.display()), source)
}

/// A file was not read.
pub(super) fn read(path: &Path, source: io::Error) -> Error {
    at("read", path, source)
}

/// The index failed; it can be made anew, so the state is safe.
pub(super) fn index(source: io::Error) -> Error {
    io("use the index", source)
}
