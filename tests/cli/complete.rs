//! What a shell is given for a half-typed command line, and that a real shell takes it.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::env::{Output, TestEnv};

/// Asks as bash does, the last word being the one that is typed.
fn ask(env: &TestEnv, words: &[&str]) -> Vec<String> {
    let out = asked(env, words);
    assert_eq!(out.code(), 0, "{out}");
    assert_eq!(out.err(), "", "a shell that completes wants no words");
    out.out().lines().map(str::to_owned).collect()
}

fn asked(env: &TestEnv, words: &[&str]) -> Output {
    let mut command = env.command();
    command.env("COORD_COMPLETE", "bash").env("_CLAP_IFS", "\n").args(["--", "coord"]).args(words);
    command.env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    Output(command.output().unwrap())
}

/// A store in which `tester` holds w-1, `zed` holds w-2, w-3 is done and w-4 to w-12 are pending.
fn scene() -> TestEnv {
    let env = TestEnv::new();
    for n in 1..=12 {
        env.add(&format!("'Number {n}' --team core"));
    }
    env.coord("claim").done();
    env.coord("claim --agent zed").done();
    env.coord("claim --agent bee").done();
    env.coord("complete w-3 --agent bee").done();
    env
}

#[test]
fn ids_are_those_that_make_sense() {
    let env = scene();
    assert_eq!(ask(&env, &["work", "complete", "w"]), ["w-1"], "what the agent holds");
    assert_eq!(ask(&env, &["complete", "--agent", "zed", "w"]), ["w-2"]);
    assert_eq!(ask(&env, &["progress", "--agent", "nobody", "w"]), ["w-1", "w-2"], "all active");
    assert_eq!(ask(&env, &["claim", "w-1"]), ["w-10", "w-11", "w-12"]);
    assert_eq!(ask(&env, &["work", "show", "w-3"]), ["w-3"], "a done item too");
    assert_eq!(ask(&env, &["work", "edit", "w-3"]), [""; 0], "but not to be edited");
    assert_eq!(ask(&env, &["add", "x", "--needs", "w-2"]), ["w-2"]);
    assert_eq!(ask(&env, &["work", "show", "W"]), [""; 0]);
    assert_eq!(ask(&env, &["trace", "show", "w-3"]), ["w-3"]);
    assert_eq!(ask(&env, &["trace", "list", "--item", "w-3"]), ["w-3"]);
}

#[test]
fn names_are_live_too() {
    let env = scene();
    assert_eq!(ask(&env, &["claim", "--agent", ""]), ["bee", "tester", "zed"]);
    assert_eq!(ask(&env, &["claim", "--agent=z"]), ["--agent=zed"]);
    assert_eq!(ask(&env, &["trace", "list", "--agent", "z"]), ["zed"]);
    assert_eq!(ask(&env, &["work", "list", "--team", "c"]), ["core"]);
    assert_eq!(ask(&env, &["add", "--priority", ""]), ["critical", "high", "medium", "low"]);
    assert_eq!(ask(&env, &["alert", "show", "mem"]), ["memory-high"]);
    assert_eq!(ask(&env, &["wo"]), ["work"]);
    assert_eq!(ask(&env, &["work", "cl"]), ["claim"]);
    assert_eq!(ask(&env, &["claim", "--lea"]), ["--lease"]);
    assert_eq!(ask(&env, &["help", "exit"]), ["exit-codes"]);
    assert_eq!(ask(&env, &["util", "schema", "coord.work.sh"]), ["coord.work.show/v1"]);
    let held = env.shell(
        "\"$COORD\" lock run dock -- sh -c 'touch held; sleep 20' & \
        until [ -e held ]; do sleep 0.01; done; \
        COORD_COMPLETE=bash _CLAP_COMPLETE_INDEX=3 \"$COORD\" -- coord lock run d; kill $!; wait",
    );
    assert_eq!(held.out(), "dock", "{held}");
}

#[test]
fn another_directory_is_looked_into_if_the_line_says_so() {
    let (env, other) = (scene(), TestEnv::new());
    other.add("--id elsewhere-1 One");
    let dir = other.store();
    let dir = dir.to_str().unwrap();
    assert_eq!(ask(&env, &["--dir", dir, "claim", "e"]), ["elsewhere-1"]);
    assert_eq!(ask(&env, &["claim", &format!("--dir={dir}"), "e"]), ["elsewhere-1"]);
}

#[test]
fn an_id_far_behind_is_found_by_its_digits() {
    let env = TestEnv::new();
    let rows = "{\"title\":\"One of very many\"}\n".repeat(9000);
    env.feed("add", &rows).done();
    assert_eq!(ask(&env, &["claim", "w-8999"]), ["w-8999"]);
    assert_eq!(ask(&env, &["claim", "w-899"]).len(), 11, "w-899 and w-8990 to w-8999");
    assert!(ask(&env, &["claim", "w-"]).len() >= 200, "no more than can be looked through");
}

#[test]
fn whatever_is_wrong_a_half_typed_line_is_answered_in_silence() {
    let env = scene();
    std::fs::remove_dir_all(env.store().join(".index")).unwrap();
    assert_eq!(ask(&env, &["work", "complete", "w"]), ["w-1"], "the small log is read instead");
    assert!(!env.store().join(".index").exists(), "nothing is written");
    env.write(".coord/config.toml", "[work\n");
    assert_eq!(ask(&env, &["work", "complete", "w"]), [""; 0]);
    env.write(".coord/config.toml", "");
    std::fs::write(env.store().join("work.jsonl"), b"\xff{\n").unwrap();
    assert_eq!(ask(&env, &["work", "complete", "w"]), [""; 0]);
    assert_eq!(ask(&TestEnv::bare(), &["work", "complete", "w"]), [""; 0]);
    assert_eq!(ask(&env, &["--dir", "/dev/null", "work", "complete", "w"]), [""; 0]);
}

#[test]
fn completing_takes_no_lock() {
    let env = scene();
    let out = env.shell(
        "exec 9>>.coord/lock; flock 9; COORD_COMPLETE=bash _CLAP_COMPLETE_INDEX=2 \
         timeout 20 \"$COORD\" -- coord complete w",
    );
    assert_eq!((out.code(), out.out().as_str()), (0, "w-1"), "{out}");
}

#[test]
fn a_shell_that_is_not_known_is_told_so() {
    let env = TestEnv::bare();
    let out = Output(env.command().env("COORD_COMPLETE", "tcsh").output().unwrap());
    out.fails(2, "`tcsh`, which is no known shell");
    let mut off = env.command();
    let off = Output(off.env("COORD_COMPLETE", "0").arg("--version").output().unwrap());
    assert!(off.out().starts_with("coord "), "{off}");
}

#[test]
fn every_shell_gets_its_registration() {
    let env = TestEnv::bare();
    for (shell, words) in [
        ("bash", "complete -o nospace"),
        ("zsh", "compdef _clap_dynamic_completer_coord coord"),
        ("fish", "complete --keep-order"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion:arg-completer[coord]"),
    ] {
        let out = Output(env.command().env("COORD_COMPLETE", shell).output().unwrap());
        assert!(out.code() == 0 && out.out().contains(words), "{shell}: {out}");
    }
}

/// A bash behind a pseudo-terminal.
struct Bash {
    child: Child,
    keys: ChildStdin,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Bash {
    fn start(env: &TestEnv) -> Self {
        let bin = Path::new(env!("CARGO_BIN_EXE_coord")).parent().unwrap().to_owned();
        let mut child = env
            .sealed("script")
            .args(["-q", "-e", "-c", "bash --norc --noprofile -i", "/dev/null"])
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()))
            .env("TERM", "dumb")
            .env("PS1", "READY> ")
            .env("HISTFILE", "/dev/null")
            .env("INPUTRC", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (keys, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = out.read(&mut chunk) {
                let _ = sender.send(chunk[..n].to_vec());
            }
        });
        let mut bash = Self { child, keys, screen, seen: String::new() };
        bash.until("READY> ");
        bash
    }

    /// Waits until this is on the screen, and gives what came before it.
    #[track_caller]
    fn until(&mut self, words: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(words) {
                let before = self.seen[..at].to_owned();
                self.seen.drain(..at + words.len());
                return before;
            }
            match self.screen.recv_timeout(Duration::from_mins(1)) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("no {words:?} in {:?}: {error}", self.seen),
            }
        }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }
}

#[test]
fn bash_behind_a_terminal_completes_a_live_id() {
    let env = scene();
    let mut bash = Bash::start(&env);
    let stub = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions/coord.bash");
    bash.types(&format!("source '{}'\n", stub.display()));
    bash.until("READY> ");
    bash.types("coord work comp\t");
    bash.until("coord work complete ");
    bash.types("w\t");
    bash.until("w-1");
    bash.types(" --result good\n");
    let answer = bash.until("READY> ");
    assert!(answer.contains("w-1 is done: Number 1"), "{answer:?}");
    bash.types("exit\n");
    assert!(bash.child.wait().unwrap().success());
    assert_eq!(env.json("work show w-1")["status"], "done");
    assert_eq!(env.json("work show w-1")["result"], "good");
}

/// Types a half command line with a Tab in it, and sees that the shell ran the whole one.
fn completes(shell: &str, term: &str, source: &str) {
    let env = scene();
    let bin = Path::new(env!("CARGO_BIN_EXE_coord")).parent().unwrap().to_owned();
    let stubs = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions");
    let start = format!("stty cols 200 rows 50; exec {shell}");
    let mut child = env
        .sealed("script")
        .args(["-q", "-e", "-c", &start, "/dev/null"])
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()))
        .env("TERM", term)
        .env("HISTFILE", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut keys = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let seen = std::thread::spawn(move || {
        let mut seen = Vec::new();
        let _ = screen.read_to_end(&mut seen);
        String::from_utf8_lossy(&seen).into_owned()
    });
    let mut types = |text: &str| {
        keys.write_all(text.as_bytes()).unwrap();
        keys.flush().unwrap();
    };
    let ready = env.root().join("ready");
    types(&format!(
        "{}; touch '{}'\n",
        source.replace("STUBS", stubs.to_str().unwrap()),
        ready.display()
    ));
    let is_done = || env.json("work show w-1")["status"] == "done";
    let waited = |what: &dyn Fn() -> bool| {
        (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            what()
        })
    };
    let began = waited(&|| ready.exists());
    if began {
        types("coord work complete w\t --result good\n");
    }
    let done = began && waited(&is_done);
    types("\nexit\n");
    if !done {
        let _ = child.kill();
    }
    let _ = child.wait();
    let seen = seen.join().unwrap();
    assert!(done, "{shell}: {began}, {seen:?}");
    assert_eq!(env.json("work show w-1")["result"], "good", "{shell}: {seen:?}");
}

#[test]
fn zsh_behind_a_terminal_completes_a_live_id() {
    let source = "fpath=('STUBS' $fpath); autoload -Uz compinit && compinit -u -D";
    completes("zsh -f", "dumb", source);
}

#[test]
fn fish_behind_a_terminal_completes_a_live_id() {
    completes("fish --no-config", "dumb", "source 'STUBS/coord.fish'");
}

#[test]
fn elvish_behind_a_terminal_completes_a_live_id() {
    completes("elvish -norc", "xterm", "eval (slurp < 'STUBS/coord.elv')");
}
