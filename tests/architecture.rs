//! A layer may use the ones below it and never one above.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::Path;

/// Each layer with the layers and crates that it must not name.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("sys", &["cli", "commands", "output", "settings", "store", "domain", "client", "server"]),
    ("domain", &["cli", "commands", "output", "settings", "store", "sys", "client", "server"]),
    ("store", &["cli", "commands", "output", "settings", "client", "server"]),
    ("client", &["cli", "commands", "output", "settings", "store", "server"]),
    ("settings", &["cli", "commands", "output", "store", "client", "server"]),
    ("output", &["cli", "commands", "settings", "store", "domain", "client", "server"]),
    ("server", &["cli", "commands", "output"]),
    ("commands", &["cli"]),
];

/// What the rules must not touch: the command line, files, the environment, the clock.
const IMPURE: &[&str] = &["clap::", "std::env", "std::fs", "std::process", "rustix::", "std::net"];

fn visit(dir: &Path, check: &mut dyn FnMut(&Path, &str)) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            visit(&path, check);
        } else if path.extension().is_some_and(|e| e == "rs") {
            check(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

/// The code of a file, without its tests and comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let end = text.find("\n#[cfg(test)]\n").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Whether a line names a module, and not one whose name merely begins so.
fn names(line: &str, module: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    line.match_indices(module).any(|(at, _)| ends(&line[at + module.len()..]))
}

#[test]
fn layers_only_look_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (layer, others) in FORBIDDEN {
        visit(&src.join(layer), &mut |path, text| {
            seen += 1;
            for line in code(text) {
                let up = others.iter().any(|other| names(line, &format!("crate::{other}")));
                let impure = *layer == "domain" && IMPURE.iter().any(|word| line.contains(word));
                if up || impure {
                    wrong.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
        });
    }
    assert!(seen > 30, "the sources were not found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_tells_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut silent = Vec::new();
    for top in ["src", "tests", "benches"] {
        visit(&root.join(top), &mut |path, text| {
            if !text.starts_with("//! ") {
                silent.push(path.display().to_string());
            }
        });
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}
