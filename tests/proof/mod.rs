//! What the proofs stand on: a sealed store, real processes that are released at once, and dice.

pub(crate) mod history;

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A directory with a store of its own, and the bugs that are planted in whatever runs on it.
pub(crate) struct Place {
    dir: TempDir,
    start: Instant,
    plant: &'static str,
}

/// One process that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    /// Exit code, or minus the signal.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
    /// When it was started and when it had ended, since the place was made.
    pub(crate) call: Duration,
    pub(crate) ret: Duration,
}

impl Ran {
    /// The `data` of its answer; null if it gave none.
    pub(crate) fn data(&self) -> Value {
        let answer: Value = serde_json::from_str(&self.out).unwrap_or_default();
        answer["data"].clone()
    }
}

impl Place {
    /// With an empty store.
    pub(crate) fn new() -> Self {
        Self::planted("")
    }

    /// The same, with bugs in every process.
    pub(crate) fn planted(plant: &'static str) -> Self {
        let place = Self::bare(plant);
        let made = place.run(&["init", "--dir", place.store().to_str().unwrap()]);
        assert_eq!(made.code, 0, "{made:?}");
        place
    }

    /// With what is put there; it need not be there.
    pub(crate) fn bare(plant: &'static str) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), start: Instant::now(), plant }
    }

    /// Where the state directory, and all that is written, lies.
    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// The state directory.
    pub(crate) fn store(&self) -> PathBuf {
        self.root().join("state")
    }

    /// The time since the place was made.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Seals a command: nothing of the caller's environment but what is needed.
    pub(crate) fn seal(&self, program: impl AsRef<OsStr>) -> Command {
        let mut cmd = Command::new(program);
        cmd.current_dir(self.root())
            .env_clear()
            .env("HOME", self.dir.path())
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("COORD_DIR", self.store())
            .env("COORD_AGENT", "tester")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if !self.plant.is_empty() {
            cmd.env("COORD_TEST_PLANT", self.plant);
        }
        if let Some(file) = std::env::var_os("LLVM_PROFILE_FILE") {
            cmd.env("LLVM_PROFILE_FILE", file);
        }
        cmd
    }

    /// Runs `coord` to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Ran {
        let call = self.now();
        let child = self.seal(env!("CARGO_BIN_EXE_coord")).args(args).spawn().unwrap();
        self.end(child, call)
    }

    /// Runs a sealed command to its end with a text on its standard input.
    pub(crate) fn feed(&self, mut cmd: Command, input: &str) -> Ran {
        let call = self.now();
        let mut child = cmd.stdin(Stdio::piped()).spawn().unwrap();
        // It may be killed before it has read all of it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        self.end(child, call)
    }

    /// Waits for a process that was started at `call`.
    pub(crate) fn end(&self, child: Child, call: Duration) -> Ran {
        let output = child.wait_with_output().unwrap();
        let ret = self.now();
        let status = output.status;
        Ran {
            code: status.code().unwrap_or_else(|| -status.signal().unwrap_or(999)),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            call,
            ret,
        }
    }

    /// Checks the store by its own command; what it has to say is a failure.
    pub(crate) fn verify(&self) -> Vec<String> {
        let ran = self.run(&["verify", "--json"]);
        if ran.code == 0 { Vec::new() } else { vec![format!("verify: {} {}", ran.out, ran.err)] }
    }
}

/// The lines of all logs of a store, in their order, as they stand there.
pub(crate) fn log_lines(store: &Path) -> Vec<Value> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(store.join("history"))
        .map(|dir| dir.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    files.sort();
    files.push(store.join("work.jsonl"));
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap_or_default());
    let texts: Vec<String> = texts.collect();
    texts
        .iter()
        .flat_map(|text| text.lines())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.to_owned())))
        .collect()
}

/// Whether the long campaigns were asked for.
pub(crate) fn full() -> bool {
    std::env::var("COORD_CAMPAIGN").is_ok_and(|which| which == "full")
}

/// The seed of a run, which repeats its choices: `COORD_SEED`, else another one each time.
pub(crate) fn seed() -> u64 {
    let told = std::env::var("COORD_SEED").ok().and_then(|seed| seed.parse().ok());
    told.unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::from(since.unwrap().subsec_nanos())
    })
}

/// Dice that fall the same way for the same seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `sides`.
    pub(crate) fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// Says how a campaign went, past the capture of the test runner, and fails if it went badly.
#[track_caller]
pub(crate) fn report(name: &str, n: usize, failures: &[String], seed: u64) {
    let line = format!("campaign {name}: n={n}, failures={}, seed={seed}\n", failures.len());
    let _ = std::io::stderr().write_all(line.as_bytes());
    let shown: Vec<&String> = failures.iter().take(10).collect();
    assert!(failures.is_empty(), "{line}{shown:#?}");
}
