//! Every file in `examples/` does what it is an example of.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::disallowed_methods, reason = "tests stand outside the program")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// A directory with a store of its own.
struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        assert!(project.coord(&["init"], None).status.success());
        project
    }

    fn coord(&self, args: &[&str], input: Option<&Path>) -> Output {
        let input = input.map_or_else(Stdio::null, |file| File::open(file).unwrap().into());
        Command::new(env!("CARGO_BIN_EXE_coord"))
            .args(args)
            .current_dir(self.0.path())
            .env_clear()
            .env("HOME", self.0.path())
            .env("COORD_AGENT", "tester")
            .stdin(input)
            .output()
            .unwrap()
    }

    fn status(&self) -> Value {
        let mut status = data(&self.coord(&["status", "--json"], None));
        // It grows while we look.
        status["oldest_ready"]["age_s"].take();
        status
    }
}

fn data(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut value: Value = serde_json::from_slice(&output.stdout).expect(&text);
    value["data"].take()
}

#[test]
fn every_example_is_tried() {
    let mut names: Vec<_> = std::fs::read_dir(examples())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    // A new example needs a test here, and its name in this list.
    assert_eq!(names, ["backlog.jsonl", "legacy"]);
}

#[test]
fn the_backlog_can_be_added_and_added_again() {
    let file = examples().join("backlog.jsonl");
    let lines = std::fs::read_to_string(&file).unwrap().lines().count();
    let project = Project::new();
    for expected in [(lines, 0), (0, lines)] {
        let output = project.coord(&["work", "add", "--json"], Some(&file));
        assert!(output.status.success(), "{output:?}");
        let added = data(&output);
        let items = added["items"].as_array().unwrap().len();
        let existing = usize::try_from(added["existing"].as_u64().unwrap()).unwrap();
        assert_eq!((items - existing, existing), expected, "{added}");
    }
}

#[test]
fn the_old_files_can_be_taken_over_and_a_second_time_changes_nothing() {
    let legacy = examples().join("legacy");
    let legacy = legacy.to_str().unwrap();
    let project = Project::new();
    let first = project.coord(&["import", legacy, "--json"], None);
    assert_eq!(first.status.code(), Some(10), "some of it is damaged on purpose: {first:?}");
    let report = data(&first);
    assert!(report["items"]["added"].as_u64().unwrap() > 0);
    for file in report["files"].as_array().unwrap() {
        for refused in file["refused"].as_array().unwrap() {
            assert!(refused.is_object(), "each refusal is told: {refused}");
        }
    }
    let before = project.status();
    let second = data(&project.coord(&["import", legacy, "--json"], None));
    assert_eq!(second["items"]["added"], 0);
    assert_eq!(project.status(), before);
}
