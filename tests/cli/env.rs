//! A sealed place to run `coord` in.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::schema;

/// A directory with a home and a project of its own.
pub(crate) struct TestEnv {
    dir: TempDir,
}

/// What a run printed and how it ended.
#[must_use = "look at it"]
pub(crate) struct Output(pub(crate) std::process::Output);

impl TestEnv {
    /// Without a store.
    pub(crate) fn bare() -> Self {
        let env = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(env.root()).unwrap();
        std::fs::create_dir_all(env.dir.path().join("home")).unwrap();
        env
    }

    /// With an empty store.
    pub(crate) fn new() -> Self {
        let env = Self::bare();
        assert_eq!(env.coord("init").code(), 0);
        env
    }

    /// The project's directory, in which commands run.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    /// The state directory.
    pub(crate) fn store(&self) -> PathBuf {
        self.root().join(".coord")
    }

    /// Writes a file in the project.
    pub(crate) fn write(&self, path: impl AsRef<Path>, text: &str) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A command with nothing in its environment but what a test needs.
    pub(crate) fn command(&self) -> Command {
        self.sealed(env!("CARGO_BIN_EXE_coord"))
    }

    /// Another program in the same surroundings; `$COORD` is the binary.
    pub(crate) fn sealed(&self, program: &str) -> Command {
        let mut cmd = Command::new(program);
        cmd.current_dir(self.root())
            .env_clear()
            .env("HOME", self.dir.path().join("home"))
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("COORD", env!("CARGO_BIN_EXE_coord"))
            .env("COORD_AGENT", "tester")
            .env("COLUMNS", "100")
            .stdin(Stdio::null());
        // Coverage of the binary is lost without this.
        if let Some(file) = std::env::var_os("LLVM_PROFILE_FILE") {
            cmd.env("LLVM_PROFILE_FILE", file);
        }
        cmd
    }

    /// Runs a command line; words are separated by blanks, and `'…'` keeps them together.
    pub(crate) fn coord(&self, line: &str) -> Output {
        Output(self.command().args(words(line)).output().unwrap())
    }

    /// The same with something on standard input.
    pub(crate) fn feed(&self, line: &str, input: &str) -> Output {
        use std::io::Write as _;
        let mut cmd = self.command();
        cmd.args(words(line)).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = cmd.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || {
            // A program that refuses its input may close it early.
            let _ = stdin.write_all(input.as_bytes());
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Output(output)
    }

    /// Runs a line of shell in which `$COORD` is the binary.
    pub(crate) fn shell(&self, line: &str) -> Output {
        Output(self.sealed("bash").args(["-c", line]).output().unwrap())
    }

    /// Runs a command that must succeed, and gives the `data` of its JSON.
    pub(crate) fn json(&self, line: &str) -> Value {
        let out = self.coord(&format!("{line} --json"));
        assert_eq!(out.code(), 0, "{line}: {out}");
        out.data()
    }

    /// Adds an item that must be accepted, and gives its id.
    pub(crate) fn add(&self, line: &str) -> String {
        let out = self.coord(&format!("work add -q {line}"));
        assert_eq!(out.code(), 0, "{line}: {out}");
        out.out().trim().to_owned()
    }

    /// Every byte of the log: what must not change.
    pub(crate) fn log(&self) -> Vec<u8> {
        std::fs::read(self.store().join("work.jsonl")).unwrap_or_default()
    }
}

fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match c {
            '\'' => (quoted, any) = (!quoted, true),
            ' ' if !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => word.push(c),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

impl Output {
    /// The exit code, or minus the signal.
    pub(crate) fn code(&self) -> i32 {
        use std::os::unix::process::ExitStatusExt as _;
        self.0.status.code().unwrap_or_else(|| -self.0.status.signal().unwrap_or(999))
    }

    /// Standard output.
    pub(crate) fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    /// Standard error.
    pub(crate) fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    /// The `data` of a JSON answer.
    pub(crate) fn data(&self) -> Value {
        let mut value: Value = serde_json::from_slice(&self.0.stdout).unwrap();
        schema::check(&value);
        value["data"].take()
    }

    /// The `error` of a JSON answer on standard error.
    pub(crate) fn error(&self) -> Value {
        assert_eq!(self.out(), "", "an error leaves standard output empty");
        let mut value: Value = serde_json::from_slice(&self.0.stderr).unwrap();
        assert_eq!(value["schema"], "coord.error/v1");
        schema::check(&value);
        value["error"].take()
    }

    /// Checks that it ended well.
    #[track_caller]
    pub(crate) fn done(&self) {
        assert_eq!(self.code(), 0, "{self}");
    }

    /// Checks that it failed as documented: the code, a message with this in it, and a hint.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, words: &str) {
        assert_eq!(self.code(), code, "{self}");
        assert!(self.err().starts_with("error: "), "{self}");
        assert!(self.err().contains(words), "no `{words}` in {self}");
        assert!(self.err().contains("\nhint: "), "no hint in {self}");
        assert!(!self.err().contains("panicked"), "{self}");
        assert_eq!(self.out(), "", "an error leaves standard output empty");
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(&self.0.stdout))?;
        if !self.0.stderr.is_empty() {
            write!(f, "--- stderr ---\n{}", String::from_utf8_lossy(&self.0.stderr))?;
        }
        if self.code() != 0 {
            writeln!(f, "--- exit {} ---", self.code())?;
        }
        Ok(())
    }
}
