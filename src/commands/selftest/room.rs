//! A sealed place for one assertion: a project, a home and a store of its own, and the program that
//! is tested in it.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::PATIENCE;
use crate::sys::process::{Ended, Program, Running};
use crate::sys::{Clock, Env};

/// Whether something holds; else why not.
pub(super) type Held<T = ()> = Result<T, String>;

/// The settings that the assertions rely on, whatever `/etc/coord/config.toml` says.
const SETTINGS: [(&str, &str); 5] = [
    ("COORD_STORE_SYNC", "always"),
    ("COORD_STORE_LOCK_TIMEOUT", "60s"),
    ("COORD_WORK_LEASE", "30m"),
    ("COORD_WORK_MAX_ATTEMPTS", "3"),
    ("COORD_AGENT_SILENT_AFTER", "15m"),
];

/// Who acts unless an assertion says otherwise.
pub(super) const AGENT: &str = "tester";

/// Where standard programs are.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A place for one assertion.
pub(super) struct Room<'a> {
    tested: &'a Path,
    dir: PathBuf,
    profile: Option<OsString>,
    clock: &'a dyn Clock,
}

impl<'a> Room<'a> {
    /// Makes it, with nothing in it.
    pub(super) fn new(
        tested: &'a Path,
        dir: PathBuf,
        env: &Env,
        clock: &'a dyn Clock,
    ) -> Held<Self> {
        // Coverage of the tested program is lost without this.
        let profile = env.get("LLVM_PROFILE_FILE");
        let room = Self { tested, dir, profile, clock };
        let make = |dir: PathBuf| fs::DirBuilder::new().mode(0o700).recursive(true).create(dir);
        [room.project(), room.home(), room.dir.join("tmp"), room.dir.join("run")]
            .into_iter()
            .try_for_each(make)
            .map_err(|e| format!("cannot make `{}`: {e}", room.dir.display()))?;
        Ok(room)
    }

    /// The directory in which commands run.
    pub(super) fn project(&self) -> PathBuf {
        self.dir.join("project")
    }

    /// The home of whoever runs them.
    pub(super) fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// The store.
    pub(super) fn store(&self) -> PathBuf {
        self.project().join(".coord")
    }

    /// The clock.
    pub(super) const fn clock(&self) -> &dyn Clock {
        self.clock
    }

    /// A program with nothing in its environment but what is made here.
    pub(super) fn sealed<T: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        words: &[T],
    ) -> Program {
        let argv = std::iter::once(program.as_ref().to_owned())
            .chain(words.iter().map(|word| word.as_ref().to_owned()));
        let mut sealed = Program::new(argv.collect())
            .bare()
            .in_our_group()
            .directory(self.project())
            .stdin(Vec::new())
            .env("COORD_DIR", self.store())
            .env("COORD_AGENT", AGENT)
            .env("COORD_COLOR", "auto")
            .env("HOME", self.home())
            .env("TMPDIR", self.dir.join("tmp"))
            .env("XDG_RUNTIME_DIR", self.dir.join("run"))
            .env("PATH", PATH)
            .env("LC_ALL", "C.UTF-8")
            .env("COORD", self.tested);
        for (name, value) in SETTINGS {
            sealed = sealed.env(name, value);
        }
        match &self.profile {
            Some(file) => sealed.env("LLVM_PROFILE_FILE", file),
            None => sealed,
        }
    }

    /// The tested program; words are separated by blanks, and `'…'` keeps them together.
    pub(super) fn program(&self, line: &str) -> Program {
        self.sealed(self.tested, &words(line))
    }

    /// Runs a command line to its end.
    pub(super) fn coord(&self, line: &str) -> Held<Outcome> {
        self.run(self.program(line), &format!("coord {line}"))
    }

    /// The same with something on standard input.
    pub(super) fn feed(&self, line: &str, input: &str) -> Held<Outcome> {
        self.run(self.program(line).stdin(input.into()), &format!("… | coord {line}"))
    }

    /// Runs a line of shell in which `$COORD` is the tested program.
    pub(super) fn shell(&self, line: &str) -> Held<Outcome> {
        self.run(self.sealed("/bin/sh", &["-c", line]), line)
    }

    /// Runs a program to its end; `named` stands for it in messages.
    pub(super) fn run(&self, program: Program, named: &str) -> Held<Outcome> {
        self.end(start(program, named)?, named)
    }

    /// Waits for the end of a program that was started.
    pub(super) fn end(&self, mut running: Running, named: &str) -> Held<Outcome> {
        let until = self.clock.monotonic() + PATIENCE;
        loop {
            let left = until.saturating_sub(self.clock.monotonic());
            let ended = running.wait(self.clock, left).map_err(|e| format!("`{named}`: {e}"))?;
            if let Some(ended) = ended {
                let (out, err) = running.output();
                return Ok(Outcome {
                    named: named.to_owned(),
                    ended,
                    out: out.text,
                    err: err.text,
                });
            }
            if left.is_zero() {
                let grace = std::time::Duration::from_secs(1);
                let _ = running.stop(self.clock, grace, &mut || false);
                return Err(format!("`{named}` did not end within {} s", PATIENCE.as_secs()));
            }
        }
    }

    /// Runs a command that must succeed and gives the `data` of its JSON.
    pub(super) fn json(&self, line: &str) -> Held<Value> {
        self.coord(&format!("{line} --json"))?.done()?.data()
    }

    /// Adds an item that must be accepted, and gives its id.
    pub(super) fn add(&self, line: &str) -> Held<String> {
        Ok(self.coord(&format!("work add -q {line}"))?.done()?.out.trim().to_owned())
    }

    /// Adds so many items at once.
    pub(super) fn fill(&self, count: usize) -> Held {
        let lines = (1..=count).fold(String::new(), |mut lines, k| {
            let _ = writeln!(lines, "{{\"title\":\"Item {k}\"}}");
            lines
        });
        self.feed("work add -q", &lines)?.done().map(drop)
    }

    /// Starts the same command line so many times at once and waits for all of them; `{}` in it
    /// becomes the number of the process.
    pub(super) fn crowd(&self, count: usize, line: &str) -> Held<Vec<Outcome>> {
        let mut all = Vec::new();
        for number in 0..count {
            let line = line.replace("{}", &number.to_string());
            let named = format!("coord {line}");
            all.push((start(self.program(&line), &named)?, named));
        }
        all.into_iter().map(|(running, named)| self.end(running, &named)).collect()
    }

    /// Writes a file of the project.
    pub(super) fn write(&self, name: &str, text: &str) -> Held {
        let write = || -> io::Result<()> {
            let path = self.project().join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            File::create(path)?.write_all(text.as_bytes())
        };
        write().map_err(|e| format!("cannot write `{name}`: {e}"))
    }

    /// Reads a file of the project.
    pub(super) fn read(&self, name: &str) -> Held<String> {
        fs::read_to_string(self.project().join(name))
            .map_err(|e| format!("cannot read `{name}`: {e}"))
    }

    /// Every byte of the log: what must not change.
    pub(super) fn log(&self) -> Held<String> {
        self.read(".coord/work.jsonl")
    }
}

/// Starts a program; `named` stands for it in messages.
pub(super) fn start(program: Program, named: &str) -> Held<Running> {
    program.keeping(4 << 20).start().map_err(|e| format!("cannot run `{named}`: {e}"))
}

/// How a run ended and what it said.
#[derive(Debug)]
pub(super) struct Outcome {
    named: String,
    /// How it ended.
    pub(super) ended: Ended,
    /// What it wrote to standard output.
    pub(super) out: String,
    /// What it wrote to standard error.
    pub(super) err: String,
}

impl Outcome {
    /// It has to have succeeded.
    pub(super) fn done(&self) -> Held<&Self> {
        self.ends(0)
    }

    /// It has to have ended with this code.
    pub(super) fn ends(&self, code: i32) -> Held<&Self> {
        if self.ended.code == Some(code) {
            return Ok(self);
        }
        Err(format!(
            "`{}` ended with {} instead of {code}{}",
            self.named,
            self.ended.words(),
            said(&self.err)
        ))
    }

    /// It has to have failed with this code, said this on standard error and nothing on standard
    /// output.
    pub(super) fn fails(&self, code: i32, told: &str) -> Held<&Self> {
        self.ends(code)?.tells(told)?.answers("")
    }

    /// Standard error has to hold this.
    pub(super) fn tells(&self, text: &str) -> Held<&Self> {
        self.holds("standard error", &self.err, text)
    }

    /// Standard output has to hold this.
    pub(super) fn shows(&self, text: &str) -> Held<&Self> {
        self.holds("the answer", &self.out, text)
    }

    fn holds(&self, what: &str, have: &str, text: &str) -> Held<&Self> {
        if have.contains(text) {
            return Ok(self);
        }
        let have = if have.is_empty() { ": it is empty".to_owned() } else { said(have) };
        Err(format!("`{}`: {what} lacks `{text}`{have}", self.named))
    }

    /// Standard output has to be this, but for white space around it.
    pub(super) fn answers(&self, text: &str) -> Held<&Self> {
        same(&format!("the answer of `{}`", self.named), self.out.trim(), text)?;
        Ok(self)
    }

    /// The `data` of its JSON.
    pub(super) fn data(&self) -> Held<Value> {
        self.document().map(|mut document| document["data"].take())
    }

    /// Its JSON.
    pub(super) fn document(&self) -> Held<Value> {
        serde_json::from_str(&self.out).map_err(|e| {
            format!("`{}` did not answer with JSON: {e}{}", self.named, said(&self.out))
        })
    }
}

/// The beginning of what was said, for a message.
fn said(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    let start: String = text.chars().take(300).collect();
    format!("; it said: {start}")
}

/// Two things have to be the same.
#[expect(clippy::needless_pass_by_value, reason = "what is compared is mostly made for it")]
pub(super) fn same<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(
    what: &str,
    have: T,
    wanted: U,
) -> Held {
    if have == wanted { Ok(()) } else { Err(format!("{what} is {have:?}, not {wanted:?}")) }
}

/// Something has to be so.
pub(super) fn holds(so: bool, otherwise: impl FnOnce() -> String) -> Held {
    if so { Ok(()) } else { Err(otherwise()) }
}

/// Splits a line at its blanks; `'…'` keeps words together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_words() {
        assert_eq!(words("a  b 'c d' '' e'f g'"), ["a", "b", "c d", "", "ef g"]);
        assert_eq!(words(""), [""; 0]);
    }

    #[test]
    fn what_differs_is_told() {
        assert_eq!(same("it", 1, 1), Ok(()));
        assert_eq!(same("it", 1, 2).unwrap_err(), "it is 1, not 2");
        let ended = Ended { code: Some(3), signal: None };
        let outcome =
            Outcome { named: "coord x".into(), ended, out: "yes\n".into(), err: "no".into() };
        assert!(outcome.ends(3).unwrap().answers("yes").is_ok());
        assert_eq!(
            outcome.done().unwrap_err(),
            "`coord x` ended with exit code 3 instead of 0; it said: no"
        );
        assert!(outcome.fails(3, "no").is_err(), "it answered all the same");
        assert!(outcome.tells("yes").unwrap_err().contains("lacks `yes`"));
        assert!(outcome.data().unwrap_err().contains("did not answer with JSON"));
    }
}
