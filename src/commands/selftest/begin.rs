//! The first minutes: version, help, a wrong word, a new store.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

use super::room::{Held, Room, holds, same};
use super::{Case, case};

pub(super) const CASES: &[Case] = &[
    case("start/version", "`--version` tells the version", version),
    case("start/help", "every command of the help has help of its own", help),
    case("start/wrong-word", "a misspelt command is exit 2 with a suggestion", wrong_word),
    case(
        "start/no-home",
        "without HOME and in a directory that is not yours, `COORD_DIR` is enough",
        no_home,
    ),
    case(
        "start/full-disk",
        "an answer that cannot be written is exit 5, and 9 after a change",
        full_disk,
    ),
    case("start/closed-pipe", "a reader that has enough is no failure", closed_pipe),
    case("init/private", "`init` makes a store that only you can read", private),
    case("init/again", "`init` once more changes nothing", again),
    case("init/nearest", "a project's store is found from below it", nearest),
];

fn version(room: &Room<'_>) -> Held {
    let told = room.coord("--version")?;
    told.done()?.shows("coord ")?;
    let number = told.out.split(' ').nth(1).unwrap_or_default();
    holds(number.split('.').count() == 3, || format!("`{number}` is no version"))
}

fn help(room: &Room<'_>) -> Held {
    let all = room.coord("--help")?;
    let rows = all.done()?.out.lines().filter_map(|line| line.strip_prefix("  "));
    let names: Vec<_> = rows
        .filter(|row| row.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter_map(|row| row.split(' ').next())
        .collect();
    holds(names.len() > 15, || format!("only {} commands are listed", names.len()))?;
    for name in names.into_iter().filter(|name| *name != "help") {
        room.coord(&format!("{name} --help"))?.done()?.shows("Usage: coord")?;
    }
    room.coord("help exit-codes")?.done()?.shows("nothing to do").map(drop)
}

fn wrong_word(room: &Room<'_>) -> Held {
    room.coord("clam")?.fails(2, "did you mean")?.tells("`claim`")?;
    room.coord("claim --leese 3m")?.fails(2, "--leese")?;
    holds(!room.store().exists(), || "a wrong command line made a store".to_owned())
}

fn no_home(room: &Room<'_>) -> Held {
    // Another user's place cannot be had without rights; one without write permission can.
    let place = room.home().join("locked");
    let make = std::fs::DirBuilder::new().mode(0o555).create(&place);
    make.map_err(|e| format!("cannot make `{}`: {e}", place.display()))?;
    let run = |line: &str| {
        let program = room.program(line).without("HOME").without("COORD_AGENT").directory(&place);
        let program = program.env("XDG_RUNTIME_DIR", "");
        room.run(program, &format!("coord {line}"))
    };
    run("add -q One")?.done()?.answers("w-1")?;
    run("claim -q")?.done()?.answers("w-1")?;
    run("complete")?.done()?;
    run("verify")?.done()?;
    let there = place.read_dir().map_or(1, Iterator::count);
    same("the number of files in the working directory", there, 0)
}

fn full_disk(room: &Room<'_>) -> Held {
    room.add("One")?;
    room.shell("\"$COORD\" work list > /dev/full")?.fails(5, "cannot write the answer")?;
    room.shell("\"$COORD\" claim -q --op-id once > /dev/full")?.fails(9, "--op-id once")?;
    room.coord("claim -q --op-id once")?.done()?.answers("w-1")?;
    same("the number of active items", room.json("status")?["active"].as_u64(), Some(1))
}

fn closed_pipe(room: &Room<'_>) -> Held {
    room.fill(3000)?;
    let line = "{ \"$COORD\" work list; echo \"code $?\" >&2; } | head -n 1";
    let ran = room.shell(line)?;
    same("what a reader of one line got, in lines", ran.done()?.out.lines().count(), 1)?;
    same("standard error", ran.err.trim(), "code 0")
}

fn private(room: &Room<'_>) -> Held {
    // Whatever the umask.
    room.shell("umask 0; \"$COORD\" init && \"$COORD\" add -q One")?.done()?;
    let mut dirs = vec![room.store()];
    let mut seen = 0;
    while let Some(dir) = dirs.pop() {
        for entry in dir.read_dir().map_err(|e| format!("cannot read the store: {e}"))? {
            let path = entry.map_err(|e| e.to_string())?.path();
            let meta = path.metadata().map_err(|e| e.to_string())?;
            let mode = meta.permissions().mode() & 0o777;
            holds(mode.trailing_zeros() >= 6, || {
                format!("`{}` has mode {mode:o}", path.display())
            })?;
            seen += 1;
            if meta.is_dir() {
                dirs.push(path);
            }
        }
    }
    holds(seen >= 2, || format!("only {seen} files in the new store"))
}

fn again(room: &Room<'_>) -> Held {
    room.coord("init")?.done()?;
    room.add("One")?;
    let before = room.log()?;
    room.coord("init")?.done()?.shows("already")?;
    same("the log", room.log()?, before)
}

fn nearest(room: &Room<'_>) -> Held {
    let below = room.project().join("a/b");
    std::fs::create_dir_all(&below).map_err(|e| e.to_string())?;
    let run = |line: &str, place| {
        let program = room.program(line).without("COORD_DIR").directory(place);
        room.run(program, &format!("coord {line}"))
    };
    run("init", room.project())?.done()?;
    run("add -q One", below)?.done()?.answers("w-1")?;
    same("the number of items", room.json("status")?["total"].as_u64(), Some(1))
}
