//! How long a shell waits for the completion of a half-typed line, the whole process, with 100,000
//! items in the store: `cargo bench --bench complete`. It fails above 50 ms at the 95th percentile.
#![expect(clippy::print_stdout, reason = "its figures are its answer")]
#![expect(clippy::disallowed_methods, reason = "it stands outside the program")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const ITEMS: usize = 100_000;
const HELD: usize = 64;
const ROUNDS: usize = 100;
const LIMIT: Duration = Duration::from_millis(50);

/// Half-typed lines: the last word is the one that is completed.
const LINES: &[&[&str]] = &[
    &["wo"],
    &["work", "complete", ""],
    &["work", "complete", "--agent", "nobody", "w-"],
    &["work", "claim", "w-"],
    &["work", "claim", "w-9999"],
    &["work", "show", "w-5"],
    &["work", "show", "nothing-like-it"],
    &["work", "list", "--team", ""],
    &["work", "list", "--agent", "a"],
    &["lock", "run", ""],
];

fn coord(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coord"));
    command.env_clear().env("COORD_DIR", dir).env("HOME", dir).env("COORD_AGENT", "a-1");
    command.env("COORD_STORE_SYNC", "never").stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

fn fill(dir: &Path) {
    use std::io::Write as _;
    let mut rows = String::new();
    for at in 0..ITEMS {
        let _ = writeln!(rows, "{{\"title\":\"Mend part {at}\",\"team\":\"team-{}\"}}", at % 20);
    }
    let mut add = coord(dir);
    let mut child = add.args(["add", "-q"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    let child = child.as_mut().expect("the program starts");
    child.stdin.take().expect("a pipe").write_all(rows.as_bytes()).expect("it reads");
    assert!(child.wait().expect("it ends").success());
    for at in 0..HELD {
        let agent = format!("a-{}", at % 16);
        let claimed = coord(dir).args(["claim", "-q", "--agent", &agent]).output();
        assert!(claimed.expect("the program starts").status.success());
    }
}

fn main() -> ExitCode {
    let dir = tempfile::tempdir().expect("a directory");
    fill(dir.path());
    let mut good = true;
    for line in LINES {
        let mut times = Vec::new();
        let mut candidates = 0;
        for _ in 0..ROUNDS {
            let mut asked = coord(dir.path());
            asked.env("COORD_COMPLETE", "bash").env("_CLAP_IFS", "\n");
            asked.env("_CLAP_COMPLETE_INDEX", line.len().to_string());
            let start = Instant::now();
            let output = asked.args(["--", "coord"]).args(*line).output().expect("it starts");
            times.push(start.elapsed());
            assert!(output.status.success());
            candidates = String::from_utf8_lossy(&output.stdout).lines().count();
        }
        times.sort_unstable();
        let (half, most, last) = (times[ROUNDS / 2], times[ROUNDS * 95 / 100], times[ROUNDS - 1]);
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        println!(
            "p50 {:6.2} ms  p95 {:6.2} ms  most {:6.2} ms  {candidates:4} candidates  coord {}",
            ms(half),
            ms(most),
            ms(last),
            line.join(" ")
        );
        good &= most < LIMIT;
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
