//! Tells the program which commit it was built from; without git it tells the version alone.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let version = env!("CARGO_PKG_VERSION");
    // Another repository may lie around an unpacked release, so `.git` must be our own.
    let commit = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(".git")
        .exists()
        .then(|| {
            if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
                println!("cargo::rerun-if-changed={log}");
            }
            git(&["log", "-1", "--abbrev=9", "--format=%h %cs"])
        })
        .flatten();
    let text = commit.map_or_else(|| version.to_owned(), |c| format!("{version} ({c})"));
    println!("cargo::rustc-env=COORD_VERSION={text}");
}

#[expect(clippy::disallowed_methods, reason = "the build has no seams")]
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
