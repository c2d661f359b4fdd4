//! `coord util`: what those need who package the program or write others for it.

mod completions;
mod man;
mod markdown;
mod outline;
mod schema;

use clap::Command;

use super::{Entry, Reference, verbs};

/// The verbs of `coord util`.
pub(super) const VERBS: &[Entry] = &[
    Entry::verb::<completions::Args>("completions"),
    Entry::verb::<man::Args>("man"),
    Entry::verb::<schema::Args>("schema"),
    Entry::verb::<markdown::Args>("markdown"),
];

/// Adds them to the command.
pub(super) fn build(command: Command) -> Command {
    verbs(command, VERBS)
}

/// The names of all schemas.
pub(super) fn schemas(reference: Reference) -> impl Iterator<Item = &'static str> {
    schema::shapes(reference).into_iter().map(|shape| shape.name)
}
