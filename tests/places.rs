//! Wherever it runs: the same commands work, files stay where `coord env` says, nothing is written
//! elsewhere; and a stranger's configuration can run, reach and write nothing.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::disallowed_methods, reason = "tests stand outside the program")]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use coord::settings::keys;
use tempfile::TempDir;

/// A tree of its own with a home, a project and the program.
struct Scene {
    top: TempDir,
    cwd: PathBuf,
    env: BTreeMap<OsString, OsString>,
    before: Vec<OsString>,
}

impl Scene {
    fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = top.path().canonicalize().unwrap();
        for name in ["home", "project", "bin"] {
            fs::create_dir(path.join(name)).unwrap();
        }
        // Copied by another process: a test that forks meanwhile would keep the new file open for
        // writing, and such a program cannot be run.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_coord"))
            .arg(path.join("bin/coord"))
            .status();
        assert!(copied.unwrap().success());
        let mut scene =
            Self { top, cwd: path.join("project"), env: BTreeMap::new(), before: Vec::new() };
        scene.set("HOME", path.join("home"));
        scene.set("PATH", "/usr/local/bin:/usr/bin:/bin");
        scene.set("COORD_AGENT", "tester");
        if let Some(file) = std::env::var_os("LLVM_PROFILE_FILE") {
            scene.set("LLVM_PROFILE_FILE", file);
        }
        scene
    }

    fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.top.path().canonicalize().unwrap().join(below)
    }

    fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.env.insert(name.into(), value.into());
    }

    /// Words that run before the program: a umask, another user.
    fn prefix(mut self, words: &[&str]) -> Self {
        self.before = words.iter().map(OsString::from).collect();
        self
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut words = self.before.clone();
        words.push(self.path("bin/coord").into());
        words.extend(args.iter().map(OsString::from));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().envs(&self.env).current_dir(&self.cwd);
        command.stdin(Stdio::null());
        command.output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let out = self.run(args);
        let err = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{args:?} in {}: {err}", self.cwd.display());
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// Every name in the tree, with size and time of change.
    fn listing(&self) -> BTreeMap<PathBuf, (u64, i64, i64)> {
        let (mut all, mut open) = (BTreeMap::new(), vec![self.path("")]);
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
                let about = entry.metadata().unwrap();
                if about.is_dir() {
                    open.push(entry.path());
                } else {
                    let changed = (about.len(), about.mtime(), about.mtime_nsec());
                    all.insert(entry.path(), changed);
                }
            }
        }
        all
    }

    /// The state directory, byte by byte, as a shell would take it from `coord env`.
    fn state(&self, flags: &[&str]) -> PathBuf {
        let lines = self.ok(&[flags, &["env", "--export", "sh"]].concat());
        let script = format!("{lines}\nprintf %s \"$COORD_DIR\"");
        let out = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(out.status.success(), "{lines}");
        PathBuf::from(OsString::from_vec(out.stdout))
    }

    /// The commands of every day; all that they write lies in the state directory, which is `dir`.
    fn works(&self, flags: &[&str], dir: &Path) {
        let ok = |args: &[&str]| self.ok(&[flags, args].concat());
        assert_eq!(self.state(flags), dir, "coord env tells another place");
        let before = self.listing();
        ok(&["init"]);
        ok(&["init"]);
        let id = ok(&["add", "One", "-q"]);
        assert_eq!(ok(&["claim", "-q"]), id);
        ok(&["complete", &id]);
        assert!(ok(&["work", "list", "--all"]).contains(&id));
        let told: serde_json::Value = serde_json::from_str(&ok(&["env", "--json"])).unwrap();
        assert_eq!(told["data"]["places"][0]["path"], dir.display().to_string());
        assert_eq!(told["data"]["places"][0]["exists"], true);
        assert_eq!(ok(&["config", "get", "work.max-attempts"]), "3");
        ok(&["config", "show", "--origin"]);
        ok(&["config", "set", "--project", "work.max-attempts", "4"]);
        assert_eq!(ok(&["config", "get", "work.max-attempts"]), "4");
        ok(&["config", "unset", "--project", "work.max-attempts"]);
        assert_eq!(ok(&["config", "check"]), "nothing is wrong");
        assert!(dir.join("work.jsonl").is_file());
        let dir = dir.canonicalize().unwrap();
        for (path, about) in self.listing() {
            let ours = path.starts_with(&dir);
            assert!(ours || before.get(&path) == Some(&about), "{} was written", path.display());
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            assert!(!ours || mode == 0o600, "{} has mode {mode:o}", path.display());
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn four_layouts() {
    let scene = Scene::new();
    scene.ok(&["init"]);
    scene.works(&[], &scene.cwd.join(".coord"));

    let scene = Scene::new();
    scene.works(&["--dir", "../else where"], &scene.cwd.join("../else where"));

    for name in ["COORD_DIR", "COORDINATION_DIR"] {
        let mut scene = Scene::new();
        let dir = scene.path("given");
        scene.set(name, &dir);
        scene.works(&[], &dir);
    }

    let mut scene = Scene::new();
    scene.set("XDG_STATE_HOME", scene.path("home/s"));
    let dir = scene.path("home/s/coord/default");
    assert_eq!(scene.state(&[]), dir);
    let id = scene.ok(&["add", "One", "-q"]);
    assert_eq!(scene.ok(&["claim", "-q"]), id);
    assert!(dir.join("work.jsonl").is_file() && !scene.cwd.join(".coord").exists());
}

#[test]
fn a_linked_worktree_uses_the_main_one() {
    let mut scene = Scene::new();
    scene.ok(&["init"]);
    let git = "git init -q . && git -c user.name=t -c user.email=t@t commit -q --allow-empty -m x \
               && git worktree add -q ../linked";
    let mut command = Command::new("sh");
    command.args(["-c", git]).env_clear().envs(&scene.env).current_dir(&scene.cwd);
    assert!(command.status().unwrap().success());
    let dir = scene.cwd.join(".coord");
    scene.cwd = scene.path("linked");
    assert_eq!(scene.state(&[]), dir);
    let id = scene.ok(&["add", "One", "-q"]);
    assert_eq!(scene.ok(&["claim", "-q"]), id);
    assert!(scene.ok(&["env"]).contains("git-worktree\tlinked"));
    assert!(!scene.cwd.join(".coord").exists());
}

#[test]
fn a_moved_repository_goes_on() {
    let mut scene = Scene::new();
    scene.ok(&["init"]);
    let id = scene.ok(&["add", "One", "-q"]);
    let moved = scene.path("moved");
    fs::rename(&scene.cwd, &moved).unwrap();
    scene.cwd = moved;
    assert_eq!(scene.ok(&["claim", "-q"]), id);
    scene.ok(&["complete", &id]);
    scene.works(&[], &scene.cwd.join(".coord"));
}

#[test]
fn any_home_or_none() {
    for home in [Some(""), None, Some("/nonexistent/home")] {
        let mut scene = Scene::new();
        scene.env.remove(OsStr::new("HOME"));
        if let Some(home) = home {
            scene.set("HOME", home);
        }
        scene.ok(&["init"]);
        scene.works(&[], &scene.cwd.join(".coord"));
    }
    let scene = Scene::new();
    scene.ok(&["init"]);
    fs::set_permissions(scene.path("home"), fs::Permissions::from_mode(0o500)).unwrap();
    scene.works(&[], &scene.cwd.join(".coord"));
}

#[test]
fn any_path() {
    for name in [&b"with space 'and' \"quotes\" $HOME"[..], b"line\nbreak\n", b"caf\xe9 \xff"] {
        let mut scene = Scene::new();
        scene.cwd = scene.cwd.join(OsStr::from_bytes(name));
        fs::create_dir(&scene.cwd).unwrap();
        scene.ok(&["init"]);
        scene.works(&[], &scene.cwd.join(".coord"));
    }
}

#[test]
fn any_umask_and_terminal_and_ci() {
    for umask in ["000", "077", "777"] {
        let line = format!("umask {umask}; exec \"$@\"");
        let scene = Scene::new().prefix(&["sh", "-c", &line, "sh"]);
        scene.ok(&["init"]);
        scene.works(&[], &scene.cwd.join(".coord"));
    }
    let mut scene = Scene::new();
    for (name, value) in [("CI", "true"), ("TERM", "dumb"), ("CLAUDECODE", "1")] {
        scene.set(name, value);
    }
    scene.ok(&["init"]);
    scene.works(&[], &scene.cwd.join(".coord"));
    let told = scene.ok(&["env"]);
    assert!(told.contains("ci\tunknown-ci\tCI=true"), "{told}");
    assert!(told.contains("claude-code\tsession\tCLAUDECODE=1"), "{told}");
    assert!(told.contains("TERM=dumb"), "{told}");
}

#[test]
fn an_ordinary_user() {
    if !is_root() {
        // Every other test has run as one.
        return;
    }
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let scene = Scene::new().prefix(&user);
    for dir in [scene.path("home"), scene.cwd.clone()] {
        chown(dir, Some(65534), Some(65534)).unwrap();
    }
    fs::set_permissions(scene.path("home"), fs::Permissions::from_mode(0o500)).unwrap();
    scene.ok(&["init"]);
    scene.works(&[], &scene.cwd.join(".coord"));
}

#[test]
fn init_writes_what_is_asked_for_once() {
    let scene = Scene::new();
    let nothing = scene.listing();
    assert!(scene.ok(&["init", "--config", "--git", "--dry-run"]).contains("would make"));
    assert_eq!(scene.listing(), nothing);
    scene.ok(&["init", "--config", "--git"]);
    let read = |name: &str| fs::read_to_string(scene.cwd.join(".coord").join(name)).unwrap();
    assert_eq!(read(".gitattributes"), "work.jsonl merge=union\n");
    let ignored = read(".gitignore");
    assert!(ignored.starts_with("/.index\n/lock\n"), "{ignored}");
    // What the old dialect copies for old programs is nothing to merge.
    scene.ok(&["compat", "claim", "a", "b"]);
    let git = |args: &[&str]| {
        let out = Command::new("git").arg("-C").arg(&scene.cwd).args(args).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    git(&["init", "-q"]);
    let mut told: Vec<_> = git(&["status", "--porcelain", "-uall"])
        .lines()
        .map(|line| line[3..].trim_start_matches(".coord/").to_owned())
        .collect();
    told.retain(|name| !name.starts_with("agents/"));
    assert_eq!(told, [".gitattributes", ".gitignore", "config.toml", "work.jsonl"]);
    for key in keys::ALL.iter().filter(|key| key.project != keys::Project::Never) {
        assert!(read("config.toml").contains(key.doc), "{}", key.name);
    }
    assert_eq!(scene.ok(&["config", "check"]), "nothing is wrong");
    fs::write(scene.cwd.join(".coord/.gitignore"), "mine\n/lock").unwrap();
    fs::write(scene.cwd.join(".coord/config.toml"), "# mine\n").unwrap();
    scene.ok(&["init", "--config", "--git"]);
    assert!(read(".gitignore").starts_with("mine\n/lock\n/.index\n"));
    assert_eq!(read(".gitignore").matches("/lock\n").count(), 1);
    assert_eq!(read("config.toml"), "# mine\n");
}

#[test]
fn a_place_that_cannot_be_made_is_told_as_that() {
    let mut scene = Scene::new();
    scene.set("COORD_DIR", "/proc/nowhere/store".to_owned());
    for args in [&["add", "One"][..], &["init"]] {
        let out = scene.run(args);
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(5), "{told}");
        assert!(told.contains("/proc/nowhere/store") && !told.contains("coord init"), "{told}");
    }
}

#[test]
fn settings_are_changed_with_care() {
    let mut scene = Scene::new();
    scene.ok(&["init"]);
    let file = scene.cwd.join(".coord/config.toml");
    let old = "# top\n[work]\nlease = \"5m\" # short\n";
    fs::write(&file, old).unwrap();
    scene.ok(&["config", "set", "work.lease", "6m", "--dry-run"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), old);
    scene.ok(&["config", "set", "work.lease", "6m"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), old.replace("5m", "6m"));
    scene.ok(&["config", "set", "--user", "work.lease", "7m"]);
    let user = scene.path("home/.config/coord/config.toml");
    assert_eq!(fs::read_to_string(&user).unwrap(), "[work]\nlease = \"7m\"\n");
    scene.set("COORD_WORK_LEASE", "8m");
    let shown = scene.ok(&["config", "show", "--origin"]);
    let at = |path: &Path, line: u8| format!("{}:{line}", path.display());
    for line in [
        "work.lease\t8m\tCOORD_WORK_LEASE\t".to_owned(),
        format!("work.lease\t6m\t{}\tlost", at(&file, 3)),
        format!("work.lease\t7m\t{}\tlost", at(&user, 2)),
        "work.lease\t30m\tdefault\tlost".to_owned(),
    ] {
        assert!(shown.contains(&line), "{line} is not in\n{shown}");
    }
    for (args, code, word) in [
        (&["config", "set", "work.lease", "soon"][..], 2, "cannot be `soon`"),
        (&["config", "set", "work.leas", "5m"], 2, "did you mean `work.lease`?"),
        (&["config", "get", "nonsense"], 2, "there is no key"),
    ] {
        let out = scene.run(args);
        assert_eq!(out.status.code(), Some(code), "{args:?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains(word), "{args:?}");
    }
    let kept = fs::read(&file).unwrap();
    let editor = scene.path("bin/editor");
    fs::write(&editor, "#!/bin/sh\necho '[work' >\"$1\"\n").unwrap();
    scene.set("EDITOR", format!("sh {}", editor.display()));
    assert_eq!(scene.run(&["config", "edit"]).status.code(), Some(3));
    assert_eq!(fs::read(&file).unwrap(), kept);
    assert_eq!(fs::read_to_string(file.with_extension("toml.rejected")).unwrap(), "[work\n");
    fs::write(&editor, "#!/bin/sh\necho '[work]\nlease = \"9m\"' >\"$1\"\n").unwrap();
    scene.ok(&["config", "edit"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "[work]\nlease = \"9m\"\n");
    scene.set("COORD_WORK_LEESE", "1m");
    let told = String::from_utf8_lossy(&scene.run(&["config", "check"]).stdout).into_owned();
    assert!(told.contains("did you mean `COORD_WORK_LEASE`?"), "{told}");
    fs::write(&file, "[work]\nleas = 1\nlease = 5\n").unwrap();
    let out = scene.run(&["config", "check"]);
    assert_eq!(out.status.code(), Some(10));
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        told.contains("line 3: `work.lease`") && told.contains("line 2: unknown key"),
        "{told}"
    );
}

#[test]
fn what_settings_name_is_looked_at_and_never_run() {
    let mut scene = Scene::new();
    scene.ok(&["init"]);
    let trap = scene.path("home/trapped");
    let program = scene.path("bin/prints-the-key");
    fs::write(&program, format!("#!/bin/sh\ntouch '{}'\n", trap.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let key = scene.path("home/key");
    fs::write(&key, "sk-ant-secret-4711\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let path = |name: &str| scene.path(name).display().to_string();
    let rows = [
        ("API_KEY_FILE", path("home/none"), "`claude.api-key-file`: "),
        ("API_KEY_FILE", path("home/key"), "can be read by others"),
        ("API_KEY_COMMAND", "no-such-program -x".to_owned(), "`claude.api-key-command`: "),
        ("CA_FILE", path("home/key"), "`claude.ca-file`: "),
        ("PRICES_FILE", path("home/key"), "`claude.prices-file`: "),
        ("PROGRAM", path("home/none"), "`claude.program`: "),
        ("BASE_URL", "https://u:p@h/".to_owned(), "`claude.base-url`: "),
        ("BASE_URL", "http://192.0.2.1/".to_owned(), "plain HTTP"),
    ];
    let good = path("bin/prints-the-key");
    for (name, value, words) in rows {
        let name = format!("COORD_CLAUDE_{name}");
        scene.set(&name, value);
        let out = scene.run(&["config", "check"]);
        let told = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(out.status.code(), Some(10), "{name}: {told}");
        assert!(told.contains(words) && told.contains("hint: "), "{name}: {told}");
        assert!(!told.contains("sk-ant-secret") && !told.contains("u:p"), "{told}");
        let health = scene.run(&["health", "--json"]).stdout;
        let health: serde_json::Value = serde_json::from_slice(&health).unwrap();
        let row = health["data"]["checks"].as_array().unwrap().iter();
        let row = row.clone().find(|row| row["check"] == "claude").unwrap();
        assert_eq!(row["level"], "warn", "{name}: {row}");
        scene.env.remove(OsStr::new(&name));
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    scene.set("COORD_CLAUDE_API_KEY_FILE", &key);
    scene.set("COORD_CLAUDE_API_KEY_COMMAND", good);
    assert_eq!(scene.ok(&["config", "check"]), "nothing is wrong");
    assert!(!trap.exists(), "checking ran it");
}

#[test]
fn a_strangers_configuration_does_nothing() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let scene = Scene::new();
    scene.ok(&["init"]);
    let canary = scene.path("bin/canary");
    let trap = scene.path("home/trapped");
    fs::write(&canary, format!("#!/bin/sh\ntouch '{}'\n", trap.display())).unwrap();
    fs::set_permissions(&canary, fs::Permissions::from_mode(0o755)).unwrap();
    let (canary, outside) = (canary.display(), scene.path("home/out"));
    let url = format!("http://{}/", server.local_addr().unwrap());
    let values = [
        format!("\"{canary}\""),
        format!("[\"{canary}\", \"x\"]"),
        format!("\"$({canary})`{canary}`;{canary}|{canary}\""),
        format!("\"{url}\""),
        format!("\"{}\"", outside.display()),
        format!("\"{}\"", "../../home/out"),
    ];
    let state = scene.cwd.join(".coord");
    let before = scene.listing();
    for key in keys::ALL {
        let (section, name) = key.name.split_once('.').unwrap();
        for value in &values {
            fs::write(state.join("config.toml"), format!("[{section}]\n{name} = {value}\n"))
                .unwrap();
            for args in [
                &["work", "list"][..],
                &["add", "One"],
                &["status"],
                &["env"],
                &["config", "show"],
                &["config", "check"],
                &["claude", "ask", "hello", "--deadline", "2s"],
                &["claude", "priorities", "--deadline", "2s"],
                &["claude", "check"],
            ] {
                let out = scene.run(args);
                let err = String::from_utf8_lossy(&out.stderr);
                assert!(!err.contains("panicked"), "{args:?} with {} = {value}: {err}", key.name);
                assert!(!trap.exists(), "{args:?} with {} = {value} ran it", key.name);
                let called = server.accept().is_ok();
                assert!(!called, "{args:?} with {} = {value} called it", key.name);
            }
            if key.project == keys::Project::Never {
                let err = scene.run(&["status"]).stderr;
                let err = String::from_utf8_lossy(&err).into_owned();
                assert!(err.contains("cannot be set by a project"), "{}: {err}", key.name);
            }
        }
    }
    // What all projects share of the calls to Claude lies where `coord env` says.
    let shared = scene.path("home/.local/state/coord/claude");
    assert!(scene.ok(&["env"]).contains(&shared.display().to_string()));
    let ours = |path: &PathBuf| !path.starts_with(&state) && !path.starts_with(&shared);
    let after: Vec<_> = scene.listing().into_keys().filter(ours).collect();
    let before: Vec<_> = before.into_keys().filter(|p| !p.starts_with(&state)).collect();
    assert_eq!(after, before);
}
