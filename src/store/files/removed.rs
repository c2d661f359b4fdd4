//! History that was removed on purpose: a small file beside the sealed logs says up to which log, and
//! with which hash the last of them ended, so that the chain can be checked across the gap.

use serde::{Deserialize, Serialize};

use super::log::HISTORY;
use super::{failure, record};
use crate::store::Result;
use crate::sys::fs::{Access, Dir};

/// The file, in the directory of the history.
pub(super) const FILE: &str = "removed.json";

/// What was removed, all in all.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Removed {
    /// The version of this file's format.
    pub(super) format: u64,
    /// The number of the last log that was removed.
    pub(super) upto: u64,
    /// The number of the last write in it.
    pub(super) n: u64,
    /// The hash of its last line, 16 hex digits.
    pub(super) end: String,
    /// When the last removal was.
    pub(super) at: String,
    /// Who asked for it.
    pub(super) by: String,
}

impl Removed {
    /// The hash of the last line that was removed.
    pub(super) fn end(&self) -> Option<u64> {
        u64::from_str_radix(&self.end, 16).ok()
    }
}

/// Reads the file; nothing if no history was ever removed.
pub(super) fn read(state: &Dir) -> Result<Option<Removed>> {
    use std::io::Read as _;
    let dir = match state.subdir(HISTORY, false) {
        Err(e) if e.is_not_found() => return Ok(None),
        other => other.map_err(failure::open)?,
    };
    let mut file = match dir.file(FILE, Access::Read) {
        Err(e) if e.is_not_found() => return Ok(None),
        other => other.map_err(failure::open)?,
    };
    let (path, mut bytes) = (dir.path().join(FILE), Vec::new());
    file.read_to_end(&mut bytes).map_err(|e| failure::read(&path, e))?;
    let removed: Removed = serde_json::from_slice(&bytes).map_err(|e| {
        failure::read(&path, std::io::Error::new(std::io::ErrorKind::InvalidData, e))
    })?;
    if removed.format > record::FORMAT {
        let (found, known) = (removed.format, record::FORMAT);
        return Err(crate::store::Error::NewerFormat { found, known });
    }
    Ok(Some(removed))
}

/// Writes the file, durably.
pub(super) fn write(history: &Dir, removed: &Removed) -> Result<()> {
    let mut bytes = serde_json::to_vec(removed)
        .map_err(|e| failure::io(format!("write `{FILE}`"), e.into()))?;
    bytes.push(b'\n');
    let temp = format!(".{FILE}.{}.tmp", std::process::id());
    history.replace(FILE, &temp, &bytes, true).map_err(failure::open)
}
