//! Tells the program which commit it was built from; without git it tells the version alone. Tells the
//! linker of the static build which pieces belong together.

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
    keep_hot_pieces_together();
}

/// A short command touches places all over the program, and each costs a page fault that maps 64 KiB: with 45 of
/// them more than a third of a claim's time. Side by side what it runs and reads takes a handful, and what it
/// writes one page. What no name fits any more is merely left where it was. `benches/hot-functions` writes the list.
///
/// Pages that the loader makes read-only after it has relocated them would split what is written from what is read
/// beside it; nothing is relocated here and no loader runs, so there are none to protect.
#[expect(clippy::disallowed_methods, reason = "the build has no seams")]
fn keep_hot_pieces_together() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/hot.ld");
    println!("cargo::rerun-if-changed={}", script.display());
    println!("cargo::rerun-if-env-changed=COORD_LINK_MAP");
    if std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "musl") {
        // The constants go behind the build's id, which not every compiler asks for by itself.
        println!(
            "cargo::rustc-link-arg-bin=coord=-Wl,--build-id,-z,norelro,-T,{}",
            script.display()
        );
        if let Ok(map) = std::env::var("COORD_LINK_MAP") {
            println!("cargo::rustc-link-arg-bin=coord=-Wl,-Map={map}");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the build has no seams")]
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
