//! Documents that a command writes where the user says; `-` is standard output.

use std::io::Write as _;
use std::path::Path;

use super::Context;
use crate::error::{Error, Kind, Result};
use crate::sys::Document;

/// Whether standard output is meant.
pub(super) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Gives a whole document.
pub(super) fn give(cx: &mut Context, path: &Path, text: &str) -> Result<()> {
    if is_stdout(path) {
        return Ok(cx.ui.page(text)?);
    }
    let written = Document::create(path).and_then(|mut document| {
        document.write_all(text.as_bytes())?;
        document.finish()
    });
    written.map_err(|source| failed(path, source))?;
    cx.ui.status(&format!("wrote `{}`", path.display()));
    Ok(())
}

/// Whether one could be given there; asked before long work.
pub(super) fn check(path: &Path) -> Result<()> {
    if is_stdout(path) { Ok(()) } else { Document::check(path).map_err(|e| failed(path, e)) }
}

/// That it could not be written.
pub(super) fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::new(Kind::External, format!("cannot write `{}`", path.display()))
        .caused_by(source)
        .hint("name a file in a directory that is there and that you may write, or `-` for standard output")
}
