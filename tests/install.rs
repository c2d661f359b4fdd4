//! `install.sh` puts everything in its place, takes all of it away again, and does nothing when anything
//! about it is wrong. `tests/release` makes what it installs from.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::disallowed_methods, reason = "tests stand outside the program")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// A directory with a home, and a small program that stands for a built one.
struct Scene(tempfile::TempDir);

impl Scene {
    fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        fs::create_dir(scene.at("home")).unwrap();
        fs::create_dir(scene.at("tmp")).unwrap();
        fs::write(scene.at("home/.bashrc"), "# mine\n").unwrap();
        scene.script("built", "exec \"$COORD\" \"$@\"\n");
        scene
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn script(&self, path: &str, body: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), format!("#!/bin/sh\n{body}")).unwrap();
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.0.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.at("home"))
            .env("TMPDIR", self.at("tmp"))
            .env("COORD", env!("CARGO_BIN_EXE_coord"))
            .stdin(Stdio::null());
        if let Some(file) = std::env::var_os("LLVM_PROFILE_FILE") {
            command.env("LLVM_PROFILE_FILE", file);
        }
        command
    }

    fn install(&self, args: &[&str]) -> Output {
        self.command("sh").arg(root().join("install.sh")).args(args).output().unwrap()
    }

    /// An archive made by `tests/release` from the stand-in.
    fn release(&self) -> PathBuf {
        let mut command = self.command(root().join("tests/release"));
        command.args(["--target", "any", "--bin"]).arg(self.at("built"));
        let output = command.arg("--out").arg(self.at("dist")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    }

    /// Every path below, and what is in the files.
    fn listing(&self) -> BTreeSet<String> {
        fn walk(dir: &Path, top: &Path, all: &mut BTreeSet<String>) {
            for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
                let (path, kind) = (entry.path(), entry.file_type().unwrap());
                let size = if kind.is_file() { entry.metadata().unwrap().len() } else { 0 };
                all.insert(format!("{} {size}", path.strip_prefix(top).unwrap().display()));
                if kind.is_dir() {
                    walk(&path, top, all);
                }
            }
        }
        let mut all = BTreeSet::new();
        walk(self.0.path(), self.0.path(), &mut all);
        all
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

#[track_caller]
fn fails(output: &Output, words: &str) {
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(told.starts_with("error: ") && told.contains(words), "no {words:?} in {told}");
}

#[test]
fn what_is_installed_runs_and_is_taken_away_again() {
    let scene = Scene::new();
    let before = scene.listing();
    let args = ["--prefix", "deep/a b", "--bin", "built"];
    let said = done(&scene.install(&args));
    let bin = scene.at("deep/a b/bin");
    assert!(said.contains(&format!("export PATH=\"{}:$PATH\"", bin.display())), "{said}");
    let share = scene.at("deep/a b/share");
    for file in [
        "bash-completion/completions/coord",
        "zsh/site-functions/_coord",
        "fish/vendor_completions.d/coord.fish",
        "elvish/lib/coord.elv",
        "coord/coord.ps1",
        "man/man1/coord.1",
        "man/man1/coord-work-claim.1",
    ] {
        assert!(share.join(file).is_file(), "{file}");
    }
    for name in ["coord", "coordination_helper.sh"] {
        let mut run = scene.command(bin.join(name));
        assert!(done(&run.arg("--version").output().unwrap()).starts_with("coord "));
    }
    let installed = scene.listing();
    done(&scene.install(&args));
    assert_eq!(scene.listing(), installed, "a second time changes nothing");
    let mut run = scene.command(bin.join("coord"));
    done(&run.args(["--dir", "home/state", "init"]).output().unwrap());
    fs::remove_dir_all(scene.at("home/state")).unwrap();
    done(&scene.install(&["--prefix", "deep/a b", "--uninstall"]));
    assert_eq!(scene.listing(), before);
    fails(&scene.install(&["--prefix", "deep/a b", "--uninstall"]), "nothing is installed here");
}

#[test]
fn what_was_there_before_stays() {
    let scene = Scene::new();
    fs::create_dir_all(scene.at("p/bin")).unwrap();
    fs::write(scene.at("p/bin/other"), "x").unwrap();
    fs::write(scene.at("p/bin/coordination_helper.sh"), "old").unwrap();
    let before = scene.listing();
    let output = scene.install(&["--prefix", "p", "--bin", "built"]);
    done(&output);
    assert!(text(&output.stderr).contains("is not ours: it stays as it is"), "{output:?}");
    done(&scene.install(&["--prefix", "p", "--uninstall"]));
    assert_eq!(scene.listing(), before);
    fs::remove_file(scene.at("p/bin/coordination_helper.sh")).unwrap();
    fs::write(scene.at("p/bin/coord"), "somebody's").unwrap();
    let before = scene.listing();
    fails(&scene.install(&["--prefix", "p", "--bin", "built"]), "was not installed by this script");
    assert_eq!(scene.listing(), before);
}

#[test]
fn a_page_of_an_earlier_version_goes_and_a_file_put_among_them_stays() {
    let scene = Scene::new();
    let args = ["--prefix", "p", "--bin", "built", "--quiet"];
    assert_eq!(done(&scene.install(&args)), "");
    let receipt = scene.at("p/share/coord/receipt");
    let page = scene.at("p/share/man/man1/coord-gone.1");
    fs::write(&page, "old").unwrap();
    let old = fs::read_to_string(&receipt).unwrap() + &format!("F {}\n", page.display());
    fs::write(&receipt, old).unwrap();
    done(&scene.install(&args));
    assert!(!page.exists());
    fs::write(scene.at("p/bin/mine"), "x").unwrap();
    done(&scene.install(&["--prefix", "p", "--uninstall"]));
    let left: Vec<_> = scene.listing().into_iter().filter(|l| l.starts_with("p/")).collect();
    assert_eq!(left, ["p/bin 0", "p/bin/mine 1"]);
}

#[test]
fn a_receipt_cannot_name_files_elsewhere() {
    let scene = Scene::new();
    done(&scene.install(&["--prefix", "p", "--bin", "built", "--quiet"]));
    let receipt = scene.at("p/share/coord/receipt");
    for path in [scene.at("home/.bashrc"), scene.at("p/../home/.bashrc")] {
        fs::write(&receipt, format!("F {}\n", path.display())).unwrap();
        fails(&scene.install(&["--prefix", "p", "--uninstall"]), "the receipt names");
    }
    assert!(scene.at("home/.bashrc").exists());
}

#[test]
fn destdir_stands_before_every_path() {
    let scene = Scene::new();
    fs::create_dir(scene.at("pack")).unwrap();
    let before = scene.listing();
    for action in [&["--bin", "built"][..], &["--uninstall"]] {
        let mut command = scene.command("sh");
        command.env("DESTDIR", scene.at("pack")).arg(root().join("install.sh"));
        done(&command.args(["--prefix", "/usr"]).args(action).output().unwrap());
        assert_eq!(scene.at("pack/usr/bin/coord").is_file(), action[0] == "--bin");
    }
    assert_eq!(scene.listing(), before);
}

#[test]
fn a_dry_run_writes_nothing_and_says_what_it_would() {
    let scene = Scene::new();
    let before = scene.listing();
    let said = done(&scene.install(&["--prefix", "p", "--dry-run"]));
    assert!(said.contains("would build the program"), "{said}");
    assert!(said.contains(&format!("would write {}", scene.at("p/bin/coord").display())), "{said}");
    assert_eq!(scene.listing(), before);
    done(&scene.install(&["--prefix", "p", "--bin", "built"]));
    let installed = scene.listing();
    let said = done(&scene.install(&["--prefix", "p", "--uninstall", "--dry-run"]));
    assert!(said.contains("would remove"), "{said}");
    assert_eq!(scene.listing(), installed);
}

#[test]
fn a_script_that_was_cut_does_nothing() {
    let scene = Scene::new();
    let whole = fs::read(root().join("install.sh")).unwrap();
    // The script lies where a checkout lies, so that nothing else than the cut keeps it from working.
    for name in ["Cargo.toml", "completions", "man"] {
        symlink(root().join(name), scene.at(name)).unwrap();
    }
    let cut = scene.at("install.sh");
    fs::write(&cut, "").unwrap();
    let names = |scene: &Scene| -> BTreeSet<String> {
        scene.listing().iter().filter(|l| !l.starts_with("install.sh ")).cloned().collect()
    };
    let before = names(&scene);
    let end = whole.len() - 1;
    let every = (0..end).step_by(100).chain(end - 20..end);
    for at in every {
        fs::write(&cut, &whole[..at]).unwrap();
        // Without arguments too: what would run then is what a cut last line would run.
        for args in [&["--prefix", "p", "--bin", "built"][..], &[]] {
            let mut command = scene.command("sh");
            command.env("DESTDIR", scene.at("pack"));
            command.arg(&cut).args(args).output().unwrap();
            assert_eq!(names(&scene), before, "cut at byte {at}, {args:?}");
        }
    }
    fs::write(&cut, &whole).unwrap();
    let mut command = scene.command("sh");
    done(&command.arg(&cut).args(["--prefix", "p", "--bin", "built"]).output().unwrap());
    assert_ne!(names(&scene), before, "the whole of it does something");
}

#[test]
fn an_archive_is_installed_only_with_its_checksum() {
    let scene = Scene::new();
    let archive = scene.release();
    let name = archive.to_str().unwrap();
    let list = scene.at("dist").join(format!("{}.sha256", archive.file_name().unwrap().display()));
    let sum = fs::read_to_string(&list).unwrap();
    let hex = sum.split(' ').next().unwrap();
    let before = scene.listing();
    let wrong = "0".repeat(64);
    for (args, words) in [
        (vec!["--sha256", wrong.as_str()], "nothing was installed"),
        (vec!["--sha256", "abc"], "is no SHA-256"),
        (vec!["--sha256", &hex[1..]], "is no SHA-256"),
        (vec!["--sha256", ""], "lacks its value"),
    ] {
        let given = ["--prefix", "p", "--archive", name];
        fails(&scene.install(&[&given[..], &args[..]].concat()), words);
        assert_eq!(scene.listing(), before);
    }
    fs::write(&list, format!("{wrong}  x\n")).unwrap();
    fails(&scene.install(&["--prefix", "p", "--archive", name]), "nothing was installed");
    fs::remove_file(&list).unwrap();
    fails(&scene.install(&["--prefix", "p", "--archive", name]), "is missing");
    let good = fs::read(&archive).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs::write(&archive, bad).unwrap();
    fs::write(&list, &sum).unwrap();
    fails(&scene.install(&["--prefix", "p", "--archive", name]), "nothing was installed");
    fs::write(&archive, good).unwrap();
    assert_eq!(scene.listing(), before);
    done(&scene.install(&["--prefix", "p", "--archive", name]));
    assert!(scene.at("p/bin/coord").is_file() && scene.at("p/share/man/man1/coord.1").is_file());
    done(&scene.install(&["--prefix", "p", "--uninstall"]));
    done(&scene.install(&["--prefix", "p", "--archive", name, "--sha256", &hex.to_uppercase()]));
    done(&scene.install(&["--prefix", "p", "--uninstall"]));
    assert_eq!(scene.listing(), before);
}

#[test]
fn an_unpacked_archive_is_installed_only_if_every_file_is_whole() {
    let scene = Scene::new();
    let archive = scene.release();
    done(&scene.command("tar").args(["-xzf"]).arg(&archive).output().unwrap());
    let unpacked = scene.at(concat!("coord-", env!("CARGO_PKG_VERSION"), "-any"));
    let run = || {
        let mut command = scene.command("sh");
        command.arg(unpacked.join("install.sh")).args(["--prefix", "p"]).output().unwrap()
    };
    for file in ["coord", "man/coord.1", "completions/_coord"] {
        let good = fs::read(unpacked.join(file)).unwrap();
        fs::write(unpacked.join(file), [&good[..], b"#"].concat()).unwrap();
        fails(&run(), "nothing was installed");
        assert!(!scene.at("p").exists());
        fs::write(unpacked.join(file), good).unwrap();
    }
    let sums = fs::read(unpacked.join("SHA256SUMS")).unwrap();
    fs::write(unpacked.join("SHA256SUMS"), "").unwrap();
    fails(&run(), "does not name the program");
    fs::write(unpacked.join("SHA256SUMS"), sums).unwrap();
    done(&run());
    assert!(scene.at("p/bin/coord").is_file());
}

#[test]
fn the_same_program_gives_the_same_archive() {
    let (one, two) = (Scene::new(), Scene::new());
    assert_eq!(fs::read(one.release()).unwrap(), fs::read(two.release()).unwrap());
}

#[test]
fn a_checkout_is_built_statically_if_that_can_be_had_and_else_for_this_machine() {
    for (add, builds, said) in [
        ("exit 0", "exit 0", "building for "),
        ("exit 1", "exit 0", "no static target is to be had"),
        ("exit 0", "case \"$*\" in *--target\\ *) exit 1;; esac", "building for this machine"),
    ] {
        let scene = Scene::new();
        scene.script("fake/rustup", &format!("[ \"$2\" = list ] || {add}\n"));
        let cargo = format!(
            "echo \"$*\" >>\"$LOG\"\ncase \"$*\" in 'build --release --locked '*) ;; *) exit 9;; esac\n\
             ({builds}) || exit 1\n\
             case \"$*\" in *'--target '*) d=$CARGO_TARGET_DIR/$(uname -m)-unknown-linux-musl;; \
             *) d=$CARGO_TARGET_DIR;; esac\nmkdir -p \"$d/release\"\ncp \"$BUILT\" \"$d/release/coord\"\n"
        );
        scene.script("fake/cargo", &cargo);
        let mut command = scene.command("sh");
        command.env("PATH", format!("{}:/usr/bin:/bin", scene.at("fake").display()));
        command.env("CARGO_TARGET_DIR", scene.at("out")).env("LOG", scene.at("log"));
        command.env("BUILT", scene.at("built"));
        command.arg(root().join("install.sh")).args(["--prefix", "p"]);
        let told = done(&command.output().unwrap());
        assert!(told.contains(said), "{said}: {told}");
        assert!(scene.at("p/bin/coord").is_file());
        let log = fs::read_to_string(scene.at("log")).unwrap();
        assert_eq!(log.contains("--target "), add == "exit 0", "{log}");
    }
}

#[test]
fn mistakes_are_told_and_write_nothing() {
    let scene = Scene::new();
    let before = scene.listing();
    for (args, words) in [
        (&["--prefix"][..], "lacks its value"),
        (&["--prefix", "/", "--bin", "built"], "cannot be a prefix"),
        (&["--prefix", "a/../b", "--bin", "built"], "cannot be a prefix"),
        (&["--prefix", "p", "--bin", "nothing"], "there is no file"),
        (&["--prefix", "p", "--archive", "nothing"], "there is no file"),
        (&["--prefix", "p", "--sha256", "00"], "goes with"),
        (&["--prefix", "/dev/null/p", "--bin", "built"], "cannot make"),
    ] {
        fails(&scene.install(args), words);
    }
    let output = scene.install(&["--porefix", "p"]);
    assert!(text(&output.stderr).contains("unexpected argument"), "{output:?}");
    assert_eq!(scene.listing(), before);
    assert!(done(&scene.install(&["--help"])).starts_with("usage: install.sh"));
}

#[test]
fn shellcheck_has_nothing_to_say() {
    let mut command = Scene::new().command("shellcheck");
    let output = command.args(["install.sh", "tests/release"]).current_dir(root()).output();
    done(&output.expect("`shellcheck` is missing; `tests/run` installs it"));
}
