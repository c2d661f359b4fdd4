//! A private directory that is gone when its owner is.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::fs::Dir;
use super::{Env, Ids, Sweep};

/// A private directory for files of no lasting worth.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    kept: bool,
    swept: Option<Sweep>,
    /// Held as long as somebody works in it: what is not was left by a killed process.
    _held: Option<Dir>,
}

impl Scratch {
    /// Makes one in `parent`, else where the environment wants temporary files.
    pub fn new(parent: Option<&Path>, what: &str, env: &Env, ids: &dyn Ids) -> io::Result<Self> {
        let parent = parent.map_or_else(|| Self::parent(env), Path::to_owned);
        let path = parent.join(format!("{what}-{}", ids.hex()));
        // Not recursive: a directory that is there already would be somebody else's.
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        let held = Dir::observe(&path).ok().filter(|dir| dir.hold().is_ok());
        Ok(Self { path: path.canonicalize()?, kept: false, swept: None, _held: held })
    }

    /// Where the environment wants temporary files.
    #[must_use]
    pub fn parent(env: &Env) -> PathBuf {
        env.get("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets it go as well when a signal ends the process.
    pub fn swept(mut self) -> io::Result<Self> {
        if !self.kept {
            self.swept = Some(Sweep::over(&self.path)?);
        }
        Ok(self)
    }

    /// Leaves it where it is.
    pub fn keep(&mut self) {
        (self.kept, self.swept) = (true, None);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::RandomIds;

    #[test]
    fn is_private_and_goes_unless_it_is_kept() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let env: Env = [("TMPDIR", home.path())].into_iter().collect();
        let scratch = Scratch::new(None, "x", &env, &RandomIds).unwrap();
        let path = scratch.path().to_owned();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(path.parent(), Some(home.path().canonicalize().unwrap().as_path()));
        drop(scratch);
        assert!(!path.exists());
        let mut scratch = Scratch::new(Some(home.path()), "x", &env, &RandomIds).unwrap();
        scratch.keep();
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(path.exists());
    }
}
