//! Named locks: their place; the operations follow with the commands that use them.

use std::io;
use std::time::Duration;

use super::failure;
use crate::domain::name::Word;
use crate::domain::work::Op;
use crate::store::{Acquired, Error, Lock, Result};
use crate::sys::fs::Dir;

fn missing() -> Error {
    failure::io("use named locks", io::ErrorKind::Unsupported.into())
}

pub(super) fn acquire(
    _dir: &Dir,
    _name: &Word,
    _length: Duration,
    _note: Option<&str>,
    _op: &Op,
    _sync: bool,
) -> Result<Acquired> {
    Err(missing())
}

pub(super) fn renew(_: &Dir, _: &Word, _: u64, _: &Op, _: bool) -> Result<Acquired> {
    Err(missing())
}

pub(super) fn unlock(_: &Dir, _: &Word, _: u64, _: &Op, _: bool) -> Result<bool> {
    Err(missing())
}

pub(super) fn all(_: &Dir, _: &Op) -> Result<Vec<Lock>> {
    Err(missing())
}
