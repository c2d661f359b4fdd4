//! The files that are made by the program are what it would make now: manual pages, the reference,
//! JSON Schemas, completions.
//!
//! `COORD_BLESS=1 cargo test --features test-hooks --test artifacts` rewrites them.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::disallowed_methods, reason = "tests stand outside the program")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const BLESS: &str = "COORD_BLESS=1 cargo test --features test-hooks --test artifacts";

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// Runs the program somewhere where there is nothing.
fn coord(args: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_coord"));
    command.args(args).current_dir(&dir).env_clear().env("HOME", dir.path()).stdin(Stdio::null());
    if let Some(file) = std::env::var_os("LLVM_PROFILE_FILE") {
        command.env("LLVM_PROFILE_FILE", file);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    output.stdout
}

/// The files of a directory whose names end so.
fn kept(dir: &Path, end: &str) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        name.ends_with(end).then(|| (name, fs::read(entry.path()).unwrap()))
    };
    fs::read_dir(dir).map(|all| all.filter_map(read).collect()).unwrap_or_default()
}

/// Compares all files of a directory that end so with what they should be, or rewrites them.
fn check(dir: &str, end: &str, fresh: &BTreeMap<String, Vec<u8>>) {
    let path = root().join(dir);
    let kept = kept(&path, end);
    if std::env::var_os("COORD_BLESS").is_some() {
        fs::create_dir_all(&path).unwrap();
        for name in kept.keys().filter(|name| !fresh.contains_key(*name)) {
            fs::remove_file(path.join(name)).unwrap();
        }
        for (name, bytes) in fresh.iter().filter(|(name, bytes)| kept.get(*name) != Some(bytes)) {
            fs::write(path.join(name), bytes).unwrap();
        }
        return;
    }
    let all = kept.keys().chain(fresh.keys());
    let stale: Vec<_> = all.filter(|name| kept.get(*name) != fresh.get(*name)).collect();
    assert!(stale.is_empty(), "stale in {dir}: {stale:?}; run `{BLESS}`");
}

#[test]
fn manual_pages_are_fresh() {
    let dir = tempfile::tempdir().unwrap();
    coord(&["util", "man", dir.path().to_str().unwrap()]);
    let fresh = kept(dir.path(), ".1");
    assert!(fresh.len() > 30, "{:?}", fresh.keys());
    for (name, page) in &fresh {
        let page = String::from_utf8(page.clone()).unwrap();
        for section in ["NAME", "EXAMPLES", "\"EXIT STATUS\"", "ENVIRONMENT", "FILES"] {
            assert!(page.contains(&format!("\n.SH {section}\n")), "{name} lacks {section}");
        }
    }
    check("man", ".1", &fresh);
}

#[test]
fn the_reference_is_fresh() {
    let text = coord(&["util", "markdown"]);
    check("man", ".md", &BTreeMap::from([("coord.md".to_owned(), text)]));
}

#[test]
fn schemas_are_fresh() {
    let names = String::from_utf8(coord(&["util", "schema"])).unwrap();
    let mut fresh = BTreeMap::new();
    for name in names.lines() {
        let text = coord(&["util", "schema", name]);
        let document: serde_json::Value = serde_json::from_slice(&text).unwrap();
        jsonschema::meta::validate(&document).unwrap();
        assert_eq!(document["properties"]["schema"]["const"], name);
        fresh.insert(format!("{}.json", name.replace('/', "-")), text);
    }
    check("tests/schema", ".json", &fresh);
}

#[test]
fn every_name_of_a_schema_in_the_sources_has_one() {
    fn visit(dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                visit(&entry.path(), found);
                continue;
            }
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            for line in text.lines().filter(|line| line.contains("const SCHEMA: &'static str =")) {
                found.extend(line.split('"').nth(1).map(ToOwned::to_owned));
            }
        }
    }
    let mut found = Vec::new();
    visit(&root().join("src"), &mut found);
    assert!(found.len() > 25, "{found:?}");
    let names = String::from_utf8(coord(&["util", "schema"])).unwrap();
    for name in found {
        assert!(names.lines().any(|known| known == name), "`VIEWS` of no command lists `{name}`");
    }
}

#[test]
fn completions_are_what_the_program_prints() {
    let shells = ["bash", "zsh", "fish", "powershell", "elvish"];
    let files = ["coord.bash", "_coord", "coord.fish", "coord.ps1", "coord.elv"];
    for (shell, file) in shells.into_iter().zip(files) {
        let kept = fs::read(root().join("completions").join(file)).unwrap();
        assert_eq!(coord(&["util", "completions", shell]), kept, "completions/{file}");
    }
    assert_eq!(fs::read_dir(root().join("completions")).unwrap().count(), files.len());
}

#[test]
fn manual_pages_have_no_faults() {
    let pages = kept(&root().join("man"), ".1");
    let mut command = Command::new("mandoc");
    command.args(["-Tlint", "-Wwarning"]).current_dir(root().join("man")).args(pages.keys());
    let output = command.output().expect("`mandoc` is missing; `tests/run` installs it");
    let told = String::from_utf8(output.stdout).unwrap();
    // A page has no date on purpose.
    let faults: Vec<_> = told.lines().filter(|line| !line.contains("missing date")).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(told.lines().count(), pages.len(), "it looked at every page");
}
