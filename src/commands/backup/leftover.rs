//! What killed commands about backups left behind: archives that were being written, directories into
//! which one was being unpacked to be checked.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::verify::SCRATCH;
use super::{BEGINNING, place};
use crate::commands::Context;
use crate::sys::Scratch;
use crate::sys::leftover::{self, Leftover, Shape};

/// What kind of thing was left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Left {
    /// An archive that was being written.
    Archive,
    /// What was unpacked to be checked.
    Unpacked,
}

impl Left {
    fn with<T>(self, work: impl FnOnce(Shape<'_>) -> T) -> T {
        match self {
            Self::Archive => {
                let before = format!(".{BEGINNING}");
                let name = |name: &str| leftover::is_named(name, &before, ".tmp");
                work(Shape { name: &name, inside: None })
            }
            Self::Unpacked => {
                let before = format!("{SCRATCH}-");
                let name = |name: &str| leftover::is_named(name, &before, "");
                let ours = |name: &String| name == "state" || name.starts_with(".state.restore-");
                let inside = |names: &[String]| names.iter().all(ours);
                work(Shape { name: &name, inside: Some(&inside) })
            }
        }
    }

    /// Removes one of them if it is still as it was found. Tells whether it is gone.
    pub(crate) fn remove(self, found: &Leftover, now: SystemTime) -> io::Result<bool> {
        self.with(|shape| leftover::remove(found, shape, now))
    }
}

/// What was left where backups of this store go and among temporary files; nothing is changed.
pub(crate) fn find(cx: &mut Context, now: SystemTime) -> Vec<(Left, Leftover)> {
    let mut all = Vec::new();
    let mut look = |kind: Left, parent: &Path| {
        // What cannot be looked into holds nothing that could be removed.
        let found = kind.with(|shape| leftover::find(parent, shape, now)).unwrap_or_default();
        all.extend(found.into_iter().map(|found| (kind, found)));
    };
    // Without a home there is no such place.
    if let Ok(dir) = place(cx, None) {
        look(Left::Archive, &dir);
    }
    look(Left::Unpacked, &Scratch::parent(&cx.env));
    all
}
