//! Lines that a repair moved aside: one JSON object each in `quarantine.jsonl`, with every byte kept.

use std::collections::HashSet;
use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::log::scan;
use super::super::{failure, record};
use super::chapter;
use crate::store::Result;
use crate::sys::fs::{Access, Dir};

/// Where a repair puts lines that cannot be read.
pub(super) const FILE: &str = "quarantine.jsonl";

#[derive(Deserialize)]
struct Kept {
    line: Option<String>,
    line_base64: Option<String>,
}

/// A line as it is kept: as text where it is text.
pub(super) fn entry(at: &str, from: &str, line: &[u8]) -> Value {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok(text) => json!({ "at": at, "from": from, "line": text }),
        Err(_) => json!({ "at": at, "from": from, "line_base64": STANDARD.encode(line) }),
    }
}

/// The links of the lines that are kept. One that can be read was not put there by a repair.
pub(super) fn links(state: &Dir) -> Result<HashSet<u64>> {
    let mut links = HashSet::new();
    let file = match state.file(FILE, Access::Read) {
        Err(e) if e.is_not_found() => return Ok(links),
        other => other.map_err(failure::open)?,
    };
    let _ = scan(&file, 0, 0, u64::MAX, &mut |_, entry| {
        let kept = serde_json::from_slice::<Kept>(entry).ok();
        let line = kept.and_then(|kept| match kept {
            Kept { line: Some(text), .. } => Some(text.into_bytes()),
            Kept { line_base64: Some(text), .. } => STANDARD.decode(text).ok(),
            _ => None,
        });
        if let Some(line) = line.filter(|line| chapter::is_unreadable(line)) {
            links.insert(record::chain(&line));
        }
        ControlFlow::Continue(())
    })
    .map_err(|e| failure::read(&state.path().join(FILE), e))?;
    Ok(links)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn every_byte_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let lines: [&[u8]; 3] = [b"{\"a\":\xff\xfe\0}\n", b"plain \t text\r\n", b"\n"];
        let state = Dir::open(dir.path(), false).unwrap();
        let mut file = state.file(FILE, Access::AppendCreate).unwrap();
        for line in lines {
            writeln!(file, "{}", entry("now", "here", line)).unwrap();
        }
        let expected: HashSet<u64> = lines.iter().map(|line| record::chain(line)).collect();
        assert_eq!(links(&state).unwrap(), expected);
    }
}
