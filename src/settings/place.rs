//! Which directory holds the state.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::sys::Env;

/// Why a directory was chosen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// `--dir`.
    Flag,
    /// An environment variable.
    Env(&'static str),
    /// A `.coord` in the working directory or above it.
    Ancestor,
    /// The `.coord` of the main worktree, seen from a linked one.
    MainWorktree,
    /// The user's own state directory.
    User,
}

/// The state directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// Where it is, whether it is there or not.
    pub dir: PathBuf,
    /// Why.
    pub source: Source,
}

/// The name of a project's state directory.
const NAME: &str = ".coord";

impl Place {
    /// The place for a project in `cwd`, whatever lies above it.
    #[must_use]
    pub fn project(cwd: &Path) -> Self {
        Self { dir: cwd.join(NAME), source: Source::Ancestor }
    }

    /// Chooses the state directory for a command that runs in `cwd`.
    pub fn resolve(flag: Option<&Path>, env: &Env, cwd: &Path) -> Result<Self> {
        if let Some(dir) = flag {
            return Ok(Self { dir: cwd.join(dir), source: Source::Flag });
        }
        for name in ["COORD_DIR", "COORDINATION_DIR"] {
            if let Some(dir) = env.get(name) {
                return Ok(Self { dir: cwd.join(dir), source: Source::Env(name) });
            }
        }
        for above in cwd.ancestors() {
            let dir = above.join(NAME);
            if dir.is_dir() {
                return Ok(Self { dir, source: Source::Ancestor });
            }
        }
        if let Some(main) = main_worktree(cwd) {
            let dir = main.join(NAME);
            if dir.is_dir() {
                return Ok(Self { dir, source: Source::MainWorktree });
            }
        }
        let state = match env.get("XDG_STATE_HOME").map(PathBuf::from).filter(|p| p.is_absolute()) {
            Some(state) => state.join("coord"),
            None => directories::ProjectDirs::from("", "", "coord")
                .map(|dirs| dirs.state_dir().unwrap_or(dirs.data_local_dir()).to_owned())
                .ok_or_else(|| {
                    Error::new(Kind::Config, "there is no home directory to keep the state in")
                        .hint("say where with `--dir` or `COORD_DIR`")
                })?,
        };
        Ok(Self { dir: state.join("default"), source: Source::User })
    }
}

/// The main worktree, if `cwd` is in a linked one: its `.git` is a file that leads there.
fn main_worktree(cwd: &Path) -> Option<PathBuf> {
    let (top, text) =
        cwd.ancestors().find_map(|above| Some((above, small(&above.join(".git"))?)))?;
    let gitdir = top.join(text.strip_prefix("gitdir:")?.trim());
    let common = gitdir.join(small(&gitdir.join("commondir"))?.trim());
    let common = common.canonicalize().ok()?;
    (common.file_name()? == ".git").then(|| common.parent().map(Path::to_owned))?
}

/// Reads a small plain file, whatever lies there.
fn small(path: &Path) -> Option<String> {
    let about = std::fs::metadata(path).ok()?;
    if !about.is_file() || about.len() >= 1 << 16 {
        return None;
    }
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test sets its own scene")]
mod tests {
    use std::fs;

    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        pairs.iter().copied().collect()
    }

    #[test]
    fn the_order_is_flag_environment_ancestor_worktree_user() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        let (main, linked) = (top.join("main"), top.join("linked/deep"));
        fs::create_dir_all(main.join(".git/worktrees/linked")).unwrap();
        fs::create_dir_all(main.join(".coord")).unwrap();
        fs::create_dir_all(&linked).unwrap();
        fs::write(main.join(".git/worktrees/linked/commondir"), "../..\n").unwrap();
        let gitdir = main.join(".git/worktrees/linked");
        fs::write(top.join("linked/.git"), format!("gitdir: {}\n", gitdir.display())).unwrap();

        let all = env(&[("COORD_DIR", "/c"), ("COORDINATION_DIR", "/o"), ("XDG_STATE_HOME", "/s")]);
        let at = |flag: Option<&str>, env: &Env, cwd: &Path| {
            let place = Place::resolve(flag.map(Path::new), env, cwd).unwrap();
            (place.dir, place.source)
        };
        assert_eq!(at(Some("/f"), &all, &linked), ("/f".into(), Source::Flag));
        assert_eq!(at(Some("f"), &all, &linked), (linked.join("f"), Source::Flag));
        assert_eq!(at(None, &all, &linked), ("/c".into(), Source::Env("COORD_DIR")));
        let old = env(&[("COORDINATION_DIR", "/o"), ("XDG_STATE_HOME", "/s")]);
        assert_eq!(at(None, &old, &linked), ("/o".into(), Source::Env("COORDINATION_DIR")));
        let state = env(&[("XDG_STATE_HOME", "/s")]);
        assert_eq!(at(None, &state, &linked), (main.join(".coord"), Source::MainWorktree));
        let deep = main.join("a/b");
        assert_eq!(at(None, &state, &deep), (main.join(".coord"), Source::Ancestor));
        fs::create_dir(linked.join(".coord")).unwrap();
        assert_eq!(at(None, &state, &linked), (linked.join(".coord"), Source::Ancestor));
        assert_eq!(at(None, &state, &top), ("/s/coord/default".into(), Source::User));
    }
}
