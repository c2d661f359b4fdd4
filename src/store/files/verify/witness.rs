//! Who else knows the last line of the log: the head of the index, and the last sound check.

use std::fs::File;
use std::io::Read as _;

use serde::{Deserialize, Serialize};

use super::super::{failure, head};
use super::chain::Known;
use crate::domain::time::{Stamp, rfc3339};
use crate::store::Result;
use crate::sys::fs::{Access, Dir};

/// What the last sound check saw.
pub(super) const CHECKED: &str = "checked.json";

#[derive(Deserialize, Serialize)]
struct Checked {
    n: u64,
    head: String,
    at: String,
}

/// Everybody who knows a line.
pub(super) fn all(state: &Dir, head_file: &File, boot: u64) -> Result<Vec<Known>> {
    let mut known = Vec::new();
    if let Some((n, link, in_boot)) = head::known(head_file).map_err(failure::index)? {
        // The index is never synced: after a power cut it may know more than was acknowledged.
        let unsure = in_boot != boot || boot == 0;
        known.push(Known { n, link, by: "the index".to_owned(), unsure });
    }
    if let Some(Checked { n, head, at }) = read(state)
        && let Ok(link) = u64::from_str_radix(&head, 16)
    {
        let by = format!("the check of {at}");
        known.push(Known { n, link, by, unsure: false });
    }
    Ok(known)
}

/// What cannot be read says nothing.
fn read(state: &Dir) -> Option<Checked> {
    let mut bytes = Vec::new();
    state.file(CHECKED, Access::Read).ok()?.take(1 << 16).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Notes what a sound check saw. A store that cannot be written to is checked all the same.
pub(super) fn note(state: &Dir, n: u64, link: u64, now: Stamp) {
    let checked = Checked { n, head: format!("{link:016x}"), at: rfc3339(now.wall) };
    if n == 0 || read(state).is_some_and(|old| old.n == n && old.head == checked.head) {
        return;
    }
    if let Ok(mut bytes) = serde_json::to_vec(&checked) {
        bytes.push(b'\n');
        let temp = format!(".{CHECKED}.{}.tmp", std::process::id());
        let _ = state.replace(CHECKED, &temp, &bytes, true);
    }
}

/// Forgets it: what was lost has been noted in the log.
pub(super) fn forget(state: &Dir) {
    let _ = state.remove(CHECKED);
}
