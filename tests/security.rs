//! The state directory among others who mean no good: planted links, pipes and strangers' files,
//! any umask, a lock that is never given back.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::disallowed_methods, reason = "tests stand outside the program")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Nobody in particular.
const STRANGER: u32 = 65_534;

struct Scene {
    dir: TempDir,
    coord: PathBuf,
}

#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
    took: Duration,
}

/// What every kind of command does to a store.
const COMMANDS: [&str; 9] = [
    "work add more",
    "work claim --agent nova",
    "agent register nova",
    "agent heartbeat nova",
    "lock run deploy -- true",
    "work list",
    "status",
    "agent list",
    "verify",
];

impl Scene {
    fn bare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        Self { dir, coord: PathBuf::from(env!("CARGO_BIN_EXE_coord")) }
    }

    /// With a store in which something of everything was done.
    fn new() -> Self {
        let scene = Self::bare();
        scene.live();
        scene
    }

    fn live(&self) {
        for line in ["work add first", "work add second", "work claim --agent vega"] {
            self.good(line);
        }
        for line in ["agent register vega", "agent heartbeat vega", "lock run x -- true"] {
            self.good(line);
        }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn seal(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut cmd = Command::new(program);
        cmd.current_dir(self.dir.path())
            .env_clear()
            .env("HOME", self.dir.path().join("home"))
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("COORD", &self.coord)
            .env("COORD_DIR", self.state())
            .env("COORD_AGENT", "tester")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(file) = std::env::var_os("LLVM_PROFILE_FILE") {
            cmd.env("LLVM_PROFILE_FILE", file);
        }
        cmd
    }

    fn run(&self, line: &str) -> Ran {
        end(self.seal(&self.coord).args(line.split(' ')))
    }

    fn shell(&self, line: &str) -> Ran {
        end(self.seal("/bin/sh").args(["-c", line]))
    }

    #[track_caller]
    fn good(&self, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
        ran
    }

    /// Every file and directory of the store with its mode and its owner.
    fn modes(&self) -> Vec<(PathBuf, u32, u32)> {
        let (mut found, mut todo) = (Vec::new(), vec![self.state()]);
        while let Some(path) = todo.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                todo.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            }
            found.push((path, meta.mode() & 0o7777, meta.uid()));
        }
        found
    }
}

/// Runs a command, at most for a while.
fn end(cmd: &mut Command) -> Ran {
    let start = Instant::now();
    let mut child = cmd.spawn().unwrap();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            panic!("it hangs: {cmd:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let took = start.elapsed();
    let output = child.wait_with_output().unwrap();
    let status = output.status;
    Ran {
        code: status.code().unwrap_or_else(|| -status.signal().unwrap_or(999)),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        took,
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn give(path: &Path, uid: u32) {
    std::os::unix::fs::lchown(path, Some(uid), Some(uid)).unwrap();
}

/// Puts something in the place of a name that the store uses.
fn plant(kind: &str, at: &Path, victim: &Path, nowhere: &Path) {
    if at.is_dir() && !at.is_symlink() {
        fs::remove_dir_all(at).unwrap();
    } else {
        let _ = fs::remove_file(at);
    }
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    match kind {
        "link" => symlink(victim, at).unwrap(),
        "dangling link" => symlink(nowhere, at).unwrap(),
        "link to a directory" => symlink(victim.parent().unwrap(), at).unwrap(),
        "hard link" => fs::hard_link(victim, at).unwrap(),
        "pipe" => assert!(Command::new("mkfifo").arg(at).status().unwrap().success()),
        "socket" => drop(UnixListener::bind(at).unwrap()),
        "directory" => fs::DirBuilder::new().mode(0o700).create(at).unwrap(),
        other => panic!("{other}"),
    }
}

#[test]
fn whatever_is_planted_under_our_names_is_refused_and_nothing_outside_is_touched() {
    let files = [
        "lock",
        "work.jsonl",
        ".index/head",
        ".index/rows",
        "agents/nova.json",
        "agents/nova.beat",
        "locks/deploy.json",
        "locks/.deploy.json.tmp",
    ];
    let dirs = [".index", "agents", "locks"];
    let kinds = [
        "link",
        "dangling link",
        "link to a directory",
        "hard link",
        "pipe",
        "socket",
        "directory",
    ];
    let mut refusals = 0;
    for (names, is_dir) in [(&files[..], false), (&dirs[..], true)] {
        for (name, kind) in names.iter().flat_map(|n| kinds.iter().map(move |k| (*n, *k))) {
            if is_dir && kind == "directory" {
                continue;
            }
            let scene = Scene::new();
            let outside = scene.dir.path().join("outside");
            fs::create_dir(&outside).unwrap();
            let (victim, nowhere) = (outside.join("victim"), outside.join("nowhere"));
            fs::write(&victim, "secret\n").unwrap();
            fs::set_permissions(&victim, Permissions::from_mode(0o640)).unwrap();
            plant(kind, &scene.state().join(name), &victim, &nowhere);
            let mut refused = 0;
            for line in COMMANDS {
                let ran = scene.run(line);
                let what = format!("`{line}` with a {kind} as {name}: {ran:?}");
                assert!((0..=10).contains(&ran.code), "{what}");
                assert!(ran.took < Duration::from_secs(5), "{what}");
                assert!(!ran.err.contains("panicked"), "{what}");
                assert!(!ran.out.contains("secret") && !ran.err.contains("secret"), "{what}");
                refused += usize::from(ran.code == 5);
                let meta = fs::metadata(&victim).unwrap();
                assert_eq!(fs::read_to_string(&victim).unwrap(), "secret\n", "{what}");
                assert_eq!(meta.mode() & 0o7777, 0o640, "{what}");
                assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{what}");
            }
            assert!(refused > 0, "nobody minded a {kind} as {name}");
            refusals += refused;
        }
    }
    assert!(refusals > 100, "{refusals}");
}

#[test]
fn a_refusal_names_the_path() {
    let scene = Scene::new();
    let (victim, log) = (scene.dir.path().join("victim"), scene.state().join("work.jsonl"));
    fs::rename(&log, &victim).unwrap();
    symlink(&victim, &log).unwrap();
    for line in ["work add x", "work list"] {
        let ran = scene.run(line);
        assert_eq!(ran.code, 5, "{ran:?}");
        assert!(ran.err.contains(log.to_str().unwrap()), "{ran:?}");
        assert!(ran.err.contains("symbolic link"), "{ran:?}");
    }
}

#[test]
fn modes_are_exact_whatever_the_umask() {
    let mut masks = vec!["000", "022", "077", "0177"];
    if is_root() {
        // Others cannot even enter a directory that they made under it.
        masks.push("0777");
    }
    for mask in masks {
        let scene = Scene::bare();
        for line in COMMANDS {
            let ran = scene.shell(&format!("umask {mask}; exec \"$COORD\" {line}"));
            assert_eq!(ran.code, 0, "umask {mask}, {line}: {ran:?}");
        }
        let modes = scene.modes();
        assert!(modes.len() > 8, "{modes:?}");
        for (path, mode, _) in modes {
            let right = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, right, "umask {mask}: {} has {mode:o}", path.display());
        }
    }
}

#[test]
fn what_others_could_read_is_closed_by_the_next_writer() {
    let scene = Scene::new();
    for (path, ..) in scene.modes() {
        let mode = if path.is_dir() { 0o777 } else { 0o666 };
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    scene.good("work add third");
    scene.good("work claim");
    for name in ["work.jsonl", "lock", ".index/head"] {
        let mode = fs::metadata(scene.state().join(name)).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{name} has {mode:o}");
    }
    for name in ["", ".index"] {
        let mode = fs::metadata(scene.state().join(name)).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o700, "`{name}` has {mode:o}");
    }
}

#[test]
fn somebody_elses_directory_is_refused_unless_it_is_trusted() {
    let scene = Scene::new();
    let dir = if is_root() {
        give(&scene.state(), STRANGER);
        scene.state()
    } else {
        PathBuf::from("/usr")
    };
    for line in COMMANDS {
        let ran = end(scene.seal(&scene.coord).args(line.split(' ')).arg("--dir").arg(&dir));
        // What follows `--` is the command's own.
        if line.contains("-- ") {
            continue;
        }
        assert_eq!(ran.code, 5, "{line}: {ran:?}");
        assert!(ran.err.contains("belongs to user"), "{line}: {ran:?}");
        assert!(ran.err.contains("--trust-dir"), "{line}: {ran:?}");
    }
    if is_root() {
        scene.good("work list --trust-dir");
        scene.good("work add x --trust-dir");
        // One file in our own directory is as bad.
        give(&scene.state(), 0);
        give(&scene.state().join("work.jsonl"), STRANGER);
        let ran = scene.run("work add x");
        assert_eq!(ran.code, 5, "{ran:?}");
        assert!(ran.err.contains("work.jsonl") && ran.err.contains("65534"), "{ran:?}");
    }
}

#[test]
fn readers_need_no_right_to_write() {
    let mut scene = Scene::new();
    // A stranger must be able to run it, wherever it was built. Another process copies it: a
    // program that anybody has open for writing cannot be run, and other tests fork.
    let copy = scene.dir.path().join("coord");
    assert_eq!(end(scene.seal("cp").arg(&scene.coord).arg(&copy)).code, 0);
    scene.coord = copy;
    let before = fs::read(scene.state().join("work.jsonl")).unwrap();
    let prefix = if is_root() {
        // Nothing is forbidden to root, so somebody else has to try.
        for (path, ..) in scene.modes() {
            give(&path, STRANGER);
        }
        "setpriv --reuid=65534 --regid=65534 --clear-groups "
    } else {
        ""
    };
    let readers = [
        "work list",
        "work list --all --json",
        "work show w-1",
        "status",
        "agent list",
        "lock list",
    ];
    let forbid = || {
        for (path, ..) in scene.modes() {
            let mode = if path.is_dir() { 0o500 } else { 0o400 };
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
    };
    for index in ["with the index", "without it"] {
        if index == "without it" {
            fs::set_permissions(scene.state(), Permissions::from_mode(0o700)).unwrap();
            fs::remove_dir_all(scene.state().join(".index")).unwrap();
        }
        for line in readers {
            forbid();
            let ran = scene.shell(&format!("exec {prefix}\"$COORD\" {line}"));
            assert_eq!(ran.code, 0, "{line} {index}: {ran:?}");
        }
    }
    forbid();
    let ran = scene.shell(&format!("exec {prefix}\"$COORD\" work show w-1"));
    assert!(ran.out.contains("first"), "{ran:?}");
    for line in ["work add x", "work claim"] {
        // The owner may open what it closed itself; on a read-only file system nobody can.
        forbid();
        let ran = scene.shell(&format!("exec {prefix}\"$COORD\" {line}"));
        assert!(matches!(ran.code, 0 | 5), "{line}: {ran:?}");
        assert!(!ran.err.contains("panicked"), "{ran:?}");
        if ran.code == 5 {
            assert_eq!(fs::read(scene.state().join("work.jsonl")).unwrap(), before);
        }
    }
}

#[test]
fn a_read_only_file_system_can_be_read() {
    let scene = Scene::new();
    let before = fs::read(scene.state().join("work.jsonl")).unwrap();
    let mount =
        "mount --bind \"$COORD_DIR\" \"$COORD_DIR\" && mount -o remount,ro,bind \"$COORD_DIR\"";
    let unshare = if is_root() { "unshare -m" } else { "unshare -r -m" };
    for line in ["work list", "work show w-1", "status", "agent list", "lock list"] {
        let ran = scene.shell(&format!("exec {unshare} sh -c '{mount} && exec \"$COORD\" {line}'"));
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
    }
    for line in ["work add x", "work claim", "agent register nova", "verify"] {
        let ran = scene.shell(&format!("exec {unshare} sh -c '{mount} && exec \"$COORD\" {line}'"));
        assert_eq!(ran.code, 5, "{line}: {ran:?}");
        assert!(ran.err.contains("Read-only file system"), "{line}: {ran:?}");
    }
    assert_eq!(fs::read(scene.state().join("work.jsonl")).unwrap(), before);
}

#[test]
fn a_lock_that_is_not_given_back_ends_in_an_answer() {
    let scene = Scene::new();
    let before = fs::read(scene.state().join("work.jsonl")).unwrap();
    let me = std::process::id();
    let hog = fs::File::options().write(true).open(scene.state().join("lock")).unwrap();
    hog.lock().unwrap();
    let text = format!(
        "{{\"pid\":{me},\"host\":\"here\",\"command\":\"work add\",\"since\":\"2026-01-01T00:00:00Z\"}}\n"
    );
    fs::write(scene.state().join("lock"), text).unwrap();
    for line in ["work add x", "work claim", "agent remove vega", "verify"] {
        let ran = scene.run(&format!("{line} --lock-timeout 300ms"));
        assert_eq!(ran.code, 4, "{line}: {ran:?}");
        assert!(ran.err.contains(&format!("process {me} ")), "{line}: {ran:?}");
        assert!(ran.err.contains("work add"), "what it runs: {ran:?}");
        assert!(ran.took >= Duration::from_millis(300), "{line}: {ran:?}");
        assert!(ran.took < Duration::from_secs(3), "{line}: {ran:?}");
    }
    assert_eq!(fs::read(scene.state().join("work.jsonl")).unwrap(), before);
    // Who only reads, or only lives, does not wait.
    for line in ["work list", "status", "agent list", "agent heartbeat vega"] {
        let ran = scene.good(line);
        assert!(ran.took < Duration::from_secs(3), "{line}: {ran:?}");
    }
    drop(hog);
    scene.good("work add x");
}

#[test]
fn closed_descriptors_spoil_nothing() {
    let scene = Scene::new();
    let mut n = 0;
    for closed in ["0<&-", "1>&-", "2>&-", "0<&- 1>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"] {
        for line in ["work add more", "work claim", "work list", "status"] {
            let ran = scene.shell(&format!("exec \"$COORD\" {line} {closed}"));
            assert!(matches!(ran.code, 0 | 5 | 9), "{line} {closed}: {ran:?}");
            assert!(!ran.err.contains("panicked"), "{line} {closed}: {ran:?}");
            n += 1;
        }
    }
    assert_eq!(n, 24);
    let ran = scene.good("verify --json");
    assert!(ran.out.contains("\"sound\":true"), "{ran:?}");
    assert!(scene.good("work list --all --json").out.contains("more"));
}

#[test]
fn no_name_is_a_path() {
    let scene = Scene::new();
    let before = scene.modes().len();
    for name in ["../evil", "/tmp/evil", "..", ".", "a/b", "-rf", "a\u{202e}b", "a b", "evil\n"] {
        for args in [
            &["work", "show"][..],
            &["work", "claim", "--agent"],
            &["agent", "register"],
            &["agent", "heartbeat"],
            &["agent", "remove"],
            &["lock", "run"],
            &["work", "add", "x", "--team"],
            &["work", "list", "--op-id"],
        ] {
            let ran = end(scene.seal(&scene.coord).args(args).arg(name));
            assert!(matches!(ran.code, 1 | 2), "{args:?} {name:?}: {ran:?}");
            assert!(!ran.err.contains("panicked"), "{args:?} {name:?}: {ran:?}");
            assert!(!ran.err.contains('\u{202e}'), "{args:?} {name:?}: {ran:?}");
        }
    }
    assert_eq!(scene.modes().len(), before);
    assert!(!Path::new("/tmp/evil").exists());
}
