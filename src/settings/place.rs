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
        let (state, _) = Dirs::state(env).ok_or_else(|| {
            Error::new(Kind::Config, "there is no home directory to keep the state in")
                .hint("say where with `--dir` or `COORD_DIR`")
        })?;
        Ok(Self { dir: state.join("default"), source: Source::User })
    }
}

/// The user's own directories, each with the environment variable that overrides it.
#[derive(Clone, Copy, Debug)]
pub struct Dirs;

impl Dirs {
    /// Where the state without a project lies.
    #[must_use]
    pub fn state(env: &Env) -> Option<(PathBuf, &'static str)> {
        xdg(env, "XDG_STATE_HOME", ".local/state", |dirs| {
            dirs.state_dir().unwrap_or(dirs.data_local_dir()).to_owned()
        })
    }

    /// The user's configuration file.
    #[must_use]
    pub fn config(env: &Env) -> Option<(PathBuf, &'static str)> {
        if let Some(file) = env.get("COORD_CONFIG") {
            return Some((file.into(), "COORD_CONFIG"));
        }
        let (dir, why) =
            xdg(env, "XDG_CONFIG_HOME", ".config", |dirs| dirs.config_dir().to_owned())?;
        Some((dir.join("config.toml"), why))
    }

    /// Where answers are kept that can be had again.
    #[must_use]
    pub fn cache(env: &Env) -> Option<(PathBuf, &'static str)> {
        if let Some(dir) = env.get("COORD_CACHE_DIR") {
            return Some((dir.into(), "COORD_CACHE_DIR"));
        }
        xdg(env, "XDG_CACHE_HOME", ".cache", |dirs| dirs.cache_dir().to_owned())
    }

    /// What the calls to Claude of all projects share: pauses, breaker, budgets, ledger.
    #[must_use]
    pub fn claude(env: &Env) -> Option<(PathBuf, &'static str)> {
        if let Some(dir) = env.get("COORD_CLAUDE_DIR") {
            return Some((dir.into(), "COORD_CLAUDE_DIR"));
        }
        Self::state(env).map(|(dir, why)| (dir.join("claude"), why))
    }

    /// Where sockets and the like lie that mean nothing after a restart.
    #[must_use]
    pub fn runtime(env: &Env) -> Option<(PathBuf, &'static str)> {
        if let Some(dir) = env.get("COORD_RUNTIME_DIR") {
            return Some((dir.into(), "COORD_RUNTIME_DIR"));
        }
        if let Some(dir) = absolute(env, "XDG_RUNTIME_DIR") {
            return Some((dir.join("coord"), "XDG_RUNTIME_DIR"));
        }
        Self::cache(env).map(|(dir, why)| (dir.join("run"), why))
    }
}

/// The user's configuration file.
pub(super) fn user_file(env: &Env) -> Option<PathBuf> {
    Dirs::config(env).map(|(file, _)| file)
}

/// A directory of the XDG rules: its variable, else below the home directory, else as the system
/// has it; with the variable it came from.
fn xdg(
    env: &Env,
    variable: &'static str,
    below_home: &str,
    usual: impl FnOnce(&directories::ProjectDirs) -> PathBuf,
) -> Option<(PathBuf, &'static str)> {
    if let Some(dir) = absolute(env, variable) {
        return Some((dir.join("coord"), variable));
    }
    match absolute(env, "HOME") {
        Some(home) if cfg!(target_os = "linux") => {
            Some((home.join(below_home).join("coord"), "HOME"))
        }
        _ => directories::ProjectDirs::from("", "", "coord").map(|dirs| (usual(&dirs), "user")),
    }
}

/// A variable that names a place by its whole path; others are as good as none.
fn absolute(env: &Env, name: &str) -> Option<PathBuf> {
    env.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The main worktree, if `cwd` is in a linked one: its `.git` is a file that leads there.
pub(super) fn main_worktree(cwd: &Path) -> Option<PathBuf> {
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
