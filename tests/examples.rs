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
    assert_eq!(
        names,
        [
            "agent-loop.sh",
            "backlog.jsonl",
            "ci.yml",
            "claude-code-hook.json",
            "coord-swarm.service",
            "crontab",
            "fleet.yaml",
            "legacy",
            "pre-push"
        ]
    );
    for name in names.iter().filter(|name| *name != "legacy") {
        assert!(example(name).lines().count() <= 40, "{name} is too long to be an example");
    }
}

fn example(name: &str) -> String {
    std::fs::read_to_string(examples().join(name)).unwrap()
}

impl Project {
    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// A program of the project's own, in shell.
    fn program(&self, path: &str, body: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A line of shell in the project, where `coord` is in the PATH.
    fn shell(&self, line: &str) -> Output {
        let bin = Path::new(env!("CARGO_BIN_EXE_coord")).parent().unwrap().display().to_string();
        Command::new("timeout")
            .args(["60", "sh", "-c", line])
            .current_dir(self.0.path())
            .env_clear()
            .env("HOME", self.0.path())
            .env("PATH", format!("{bin}:/usr/local/bin:/usr/bin:/bin"))
            .env("COORD_AGENT", "tester")
            .env("EXAMPLES", examples())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn runs(&self, line: &str) -> String {
        let output = self.shell(line);
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn the_loop_of_an_agent_does_everything_and_ends() {
    let project = Project::new();
    project.runs("coord add one && coord add --max-attempts 1 bad && coord add 'a  \"b\"; c'");
    project.program("do-it", r#"[ "$TITLE" != bad ] && echo "did <$TITLE>""#);
    project.runs("\"$EXAMPLES/agent-loop.sh\" ./do-it");
    let status = project.status();
    assert_eq!((&status["done"], &status["dead"]), (&2.into(), &1.into()), "{status}");
    let result = project.runs("coord work show w-3 --json | jq -r .data.result");
    assert_eq!(result, "did <a  \"b\"; c>\n");
    assert_eq!(
        project.shell("COORD_AGENT= \"$EXAMPLES/agent-loop.sh\" true").status.code(),
        Some(2)
    );
}

#[test]
fn the_steps_of_the_ci_job_run() {
    let project = Project::new();
    project.runs("coord add --label ci one && coord add two");
    project.program("handle-item", "cat >/dev/null; echo built");
    let job: Value = serde_yaml::from_str(&example("ci.yml")).unwrap();
    let job = &job["jobs"]["work"];
    assert_eq!(job["env"]["COORD_DIR"], "/srv/coord/project");
    let steps = job["steps"].as_array().unwrap().iter().filter_map(|step| step["run"].as_str());
    let outputs: Vec<String> = steps.map(|step| project.runs(step)).collect();
    assert_eq!(outputs.len(), 3);
    let status = project.status();
    assert_eq!((&status["done"], &status["pending"]), (&1.into(), &1.into()), "{status}");
}

#[test]
fn the_hooks_of_claude_code_register_the_session_and_keep_it_alive() {
    let project = Project::new();
    let hooks: Value = serde_json::from_str(&example("claude-code-hook.json")).unwrap();
    let command = |event: &str| {
        let entry = &hooks["hooks"][event][0]["hooks"][0];
        assert_eq!(entry["type"], "command");
        entry["command"].as_str().unwrap().to_owned()
    };
    project.runs(&command("SessionStart"));
    let seen = || project.runs("coord agent list --json | jq -r '.data.agents[0].seen_at'");
    let first = seen();
    project.runs(&command("PostToolUse"));
    assert!(seen() > first, "a tool that was used is a sign of life");
    assert_eq!(project.runs("coord agent list --quiet"), "tester\n");
    assert!(Project(tempfile::tempdir().unwrap()).shell(&command("PostToolUse")).status.success());
}

#[test]
fn the_git_hook_tests_before_a_push_one_at_a_time() {
    let project = Project::new();
    project.runs(
        "git init -q --bare remote && git init -q -b main work && cd work && \
         git -c user.name=a -c user.email=a@b commit -q --allow-empty -m one && \
         git remote add origin ../remote && cp \"$EXAMPLES/pre-push\" .git/hooks/pre-push",
    );
    let refused = project.shell("cd work && TEST_COMMAND=false git push -q origin main");
    assert!(!refused.status.success(), "{refused:?}");
    project
        .runs("cd work && TEST_COMMAND='touch tested' git push -q origin main && test -e tested");
    project.runs("cd work && TEST_COMMAND=false git push -q origin :main");
    // The second finds the directory there if it does not wait for the first.
    let both = "run() { TEST_COMMAND='mkdir ../busy && sleep 0.2 && rmdir ../busy' \
                git push -q origin HEAD:$1; }; cd work; run a & run b && wait $!";
    project.runs(both);
    assert_eq!(project.runs("git -C remote branch --list | wc -l").trim(), "2");
}

#[test]
fn the_command_of_the_unit_works_until_it_is_stopped() {
    let project = Project::new();
    let unit = example("coord-swarm.service");
    let value = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(&format!("{key}="))).unwrap();
        line.replace("%h", ".").replace("./.local/bin/coord", "coord")
    };
    for section in ["[Unit]", "[Service]", "[Install]"] {
        assert!(unit.lines().any(|line| line == section), "{section}");
    }
    project.runs(
        "mkdir project && mv .coord project/ && cd project && coord add one && coord add two",
    );
    project.program("project/handle-item", "cat >/dev/null");
    let (environment, command) = (value("Environment"), value("ExecStart"));
    let page = value("Documentation").replace("man:", "").replace("(1)", ".1");
    assert!(examples().join("../man").join(page).is_file());
    let output = project.shell(&format!(
        "export {environment}; {command} & until [ \"$(coord status --json | jq .data.done)\" = 2 ]; \
         do sleep 0.05; done; kill -TERM $!; wait $!"
    ));
    assert_eq!(output.status.code(), Some(143), "{output:?}");
}

#[test]
fn the_lines_of_the_crontab_run() {
    let project = Project::new();
    project.runs("coord add --type chore one");
    project.program("bin/handle-item", "cat >/dev/null");
    let mut commands = 0;
    for line in example("crontab").lines().filter(|line| !line.starts_with('#')) {
        let line = line.replace("/srv/coord/project", ".coord").replace("/srv/bin", "./bin");
        if let Some(dir) = line.strip_prefix("COORD_DIR=") {
            assert_eq!(dir, ".coord");
            continue;
        }
        let words: Vec<&str> = line.splitn(6, ' ').collect();
        let when = words[..5].iter().all(|w| w.chars().all(|c| "0123456789*/,-".contains(c)));
        assert!(when && !words[5].contains('%'), "cron would read it otherwise: {line}");
        project.runs(words[5]);
        commands += 1;
    }
    assert_eq!((commands, &project.status()["done"]), (2, &1.into()));
}

#[test]
fn the_fleet_is_queued_once_and_sails_in_order() {
    let project = Project::new();
    project.runs("coord add --input yaml < \"$EXAMPLES/fleet.yaml\"");
    project.runs("coord add --input yaml < \"$EXAMPLES/fleet.yaml\"");
    project.program("handle-item", "cat >/dev/null; echo \"$COORD_ITEM_TITLE\" >>order");
    project.runs("coord swarm run --agents 4 --until-empty -- ./handle-item");
    let order = std::fs::read_to_string(project.at("order")).unwrap();
    let at = |title: &str| order.lines().position(|line| line == title).unwrap();
    assert_eq!(order.lines().count(), 4);
    assert!(at("Let the Tern sail") > at("Find a crew for the Tern"));
    assert!(at("Let the Tern sail") > at("Look the engine of the Tern over"));
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
