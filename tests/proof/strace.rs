//! Interfering with a process at its system calls, and seeing all that it does to files.

use std::path::PathBuf;

use super::{Place, Ran};

/// Where a process is interfered with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    /// The system call.
    pub(crate) call: &'a str,
    /// What happens there, such as `signal=KILL`.
    pub(crate) what: &'a str,
    /// At the how-manyth.
    pub(crate) nth: u32,
    /// Whether it happens at every later one too.
    pub(crate) on: bool,
}

/// Runs `coord` with its standard input from a text, and interferes with it. Tells whether the
/// moment came.
pub(crate) fn interfere(place: &Place, at: At<'_>, args: &[String], input: &str) -> (Ran, bool) {
    let note = note(place);
    let name = at.call;
    let when = format!("{}{}", at.nth, if at.on { "+" } else { "" });
    let mut cmd = place.seal("strace");
    // Not with `--seccomp-bpf`: it is faster, but signals then never come.
    cmd.args(["-f", "-qq", "-o"])
        .arg(&note)
        .args(["-e", &format!("trace=?{name}")])
        .args(["-e", &format!("inject=?{name}:{}:when={when}", at.what)])
        .arg(env!("CARGO_BIN_EXE_coord"))
        .args(args);
    let ran = place.feed(cmd, input);
    let said = std::fs::read_to_string(&note).unwrap_or_default();
    let came = said.contains("(INJECTED)") || ran.code < 0;
    (ran, came)
}

/// Runs `coord` and writes down every call that changes files, with paths and whole contents.
///
/// `also` may interfere with it, as in `fdatasync:signal=KILL`.
pub(crate) fn watch(
    place: &Place,
    args: &[String],
    input: &str,
    also: Option<&str>,
) -> (Ran, String) {
    let note = note(place);
    let calls = "openat2,openat,write,pwrite64,fdatasync,fsync,ftruncate,?rename,renameat,\
                 renameat2,?mkdir,mkdirat,?unlink,unlinkat";
    let mut cmd = place.seal("strace");
    cmd.args(["-f", "-qq", "-y", "-s", "9999999", "-o"])
        .arg(&note)
        .args(["-e", &format!("trace={calls}"), "-e", "signal=none"])
        .args(also.iter().flat_map(|what| ["-e".to_owned(), format!("inject={what}")]))
        .arg(env!("CARGO_BIN_EXE_coord"))
        .args(args);
    let ran = place.feed(cmd, input);
    (ran, std::fs::read_to_string(&note).unwrap())
}

fn note(place: &Place) -> PathBuf {
    let mut name = place.store().into_os_string();
    name.push(format!(".strace.{:?}", std::thread::current().id()));
    name.into()
}

/// Fails with what to do about it where the tool is not there.
pub(crate) fn needed() {
    let found = std::process::Command::new("strace").arg("--version").output();
    assert!(found.is_ok(), "this test needs strace: `apt-get install strace`");
}
