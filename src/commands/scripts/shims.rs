//! Shims: small shell scripts under the old names that run the new commands.

use std::path::Path;

use super::report::Shim;
use crate::commands::{Then, entry};
use crate::domain::behaviour::Old;
use crate::domain::behaviour::census::Known;
use crate::error::{Error, Kind, Result};
use crate::sys::input::read_file;
use crate::sys::tree::put_program;

/// How the second line of a shim begins: by it one is known again.
pub(super) const MARK: &str = "# A shim of `coord scripts audit`: ";

/// The command that a shim for an old script runs: the first of its behaviour that this version has.
pub(super) fn command(old: &Old) -> Option<&'static str> {
    std::iter::once(old.now)
        .chain(old.behaviour.commands())
        // What the dispatcher was given only the dialect understands.
        .filter(|command| old.now != "compat" || *command == "compat")
        .find(|command| entry(command).is_some_and(|e| matches!(e.then, Then::Verb(_))))
}

/// A shim of this name would stand in the way of the very program that `coord` runs.
const KEPT_FREE: &str = "claude";

fn text(name: &str, command: &str) -> String {
    format!(
        "#!/bin/sh\n{MARK}`{name}` is `coord {command}` now.\n\
         # It takes the arguments of that command: see `coord {command} --help`.\n\
         exec coord {command} \"$@\"\n"
    )
}

/// What lies where a shim is to be.
enum There {
    Nothing,
    Shim(Vec<u8>),
    Foreign,
    Directory,
}

fn look(path: &Path) -> There {
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => There::Nothing,
        Ok(about) if about.is_dir() => There::Directory,
        Ok(about) if about.is_file() => match read_file(path, 4096) {
            Ok(bytes) if is_shim(&bytes) => There::Shim(bytes),
            _ => There::Foreign,
        },
        _ => There::Foreign,
    }
}

fn is_shim(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    lines.next() == Some(b"#!/bin/sh")
        && lines.next().is_some_and(|line| line.starts_with(MARK.as_bytes()))
}

/// Writes a shim for each known script whose command is here, all or none; tells what it did or, on
/// a dry run, would do.
pub(super) fn write(dir: &Path, known: &[Known], yes: bool, dry_run: bool) -> Result<Vec<Shim>> {
    let (mut shims, mut foreign) = (Vec::new(), Vec::new());
    for known in known {
        let name = known.old.name;
        let mut shim = Shim { name, command: command(&known.old), done: "" };
        shim.done = match shim.command {
            _ if name == KEPT_FREE => "left-out",
            None => "no-command-yet",
            Some(command) => match look(&dir.join(name)) {
                There::Nothing => "written",
                There::Shim(have) if have == text(name, command).as_bytes() => "unchanged",
                There::Shim(_) => "renewed",
                There::Foreign => {
                    foreign.push(name);
                    "replaced"
                }
                There::Directory => {
                    let path = dir.join(name);
                    let what = format!("`{}` is a directory", path.display());
                    return Err(Error::new(Kind::User, what)
                        .hint("move it away, or write the shims somewhere else"));
                }
            },
        };
        shims.push(shim);
    }
    if dry_run {
        return Ok(shims);
    }
    if !foreign.is_empty() && !yes {
        let mut names = foreign.iter().take(5).map(|n| format!("`{n}`")).collect::<Vec<_>>();
        if foreign.len() > 5 {
            names.push(format!("{} more", foreign.len() - 5));
        }
        let what = format!("files that are no shims are in the way: {}", names.join(", "));
        return Err(Error::new(Kind::Usage, what)
            .hint("`--yes` replaces them; nothing was written")
            .hint("`--dry-run` shows all that would be written"));
    }
    let failed = |path: &Path, e| {
        Error::new(Kind::External, format!("cannot write `{}`", path.display()))
            .caused_by(e)
            .hint("shims before it by name were written; the same command goes on")
    };
    std::fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    for shim in &shims {
        let Some(command) = shim.command else { continue };
        if matches!(shim.done, "written" | "renewed" | "replaced") {
            let text = text(shim.name, command);
            put_program(dir, shim.name, text.as_bytes())
                .map_err(|e| failed(&dir.join(shim.name), e))?;
        }
    }
    Ok(shims)
}
