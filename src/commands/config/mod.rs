//! `coord config`: what is set, where, and why it holds.

mod check;
mod edit;
mod file;
mod get;
mod path;
mod schema;
mod set;
mod show;
mod unset;

use clap::Command;

use super::Entry;
use crate::error::{Error, Kind};
use crate::settings::{Origin, keys};

/// The verbs of `coord config`, most used first.
pub(super) const VERBS: &[Entry] = &[
    Entry::verb::<show::Args>("show"),
    Entry::verb::<get::Args>("get"),
    Entry::verb::<set::Args>("set"),
    Entry::verb::<unset::Args>("unset"),
    Entry::verb::<path::Args>("path"),
    Entry::verb::<check::Args>("check"),
    Entry::verb::<edit::Args>("edit"),
    Entry::verb::<schema::Args>("schema"),
];

/// Adds them to the command.
pub(super) fn build(command: Command) -> Command {
    super::verbs(command, VERBS)
}

/// The place of a key in the table.
fn key(name: &str) -> Result<usize, Error> {
    keys::find(name).ok_or_else(|| {
        let unknown = Error::new(Kind::Usage, format!("there is no key `{name}`"));
        let unknown = match keys::near(name) {
            Some(near) => unknown.hint(format!("did you mean `{near}`?")),
            None => unknown,
        };
        unknown.hint("`coord help config` lists the keys")
    })
}

/// Where a value came from, in words.
fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        Origin::File(path, line) => format!("{}:{line}", path.display()),
        Origin::Env(name) => (*name).to_owned(),
    }
}
