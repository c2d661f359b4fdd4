//! The configuration file that a command changes.

use std::path::PathBuf;

use crate::commands::Context;
use crate::error::{Error, Kind, Result};
use crate::settings::keys::{ALL, Project};
use crate::settings::{Dirs, Layer};
use crate::sys::fs::replace_file;

/// Which file is meant.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(super) struct Scope {
    /// The user's own file
    #[arg(long, conflicts_with = "project")]
    user: bool,

    /// The project's file, in the state directory
    #[arg(long)]
    project: bool,
}

/// A configuration file.
pub(super) struct File {
    pub(super) layer: Layer,
    pub(super) path: PathBuf,
    /// What stands in it; empty if it is not there.
    pub(super) text: String,
}

impl Scope {
    /// Chooses the file: without a flag the project's, if there is one and it may set the key.
    pub(super) fn open(self, cx: &mut Context, key: Option<usize>) -> Result<File> {
        let dir = cx.place()?.dir;
        let never = key.filter(|at| ALL[*at].project == Project::Never);
        if let Some(at) = never.filter(|_| self.project) {
            let name = ALL[at].name;
            return Err(Error::new(Kind::Config, format!("a project cannot set `{name}`"))
                .hint("`--user` sets it in your own configuration"));
        }
        if self.project && !dir.is_dir() {
            let text = format!("there is no state directory `{}`", dir.display());
            return Err(Error::new(Kind::User, text).hint("`coord init` makes one here"));
        }
        let project = self.project || (!self.user && never.is_none() && dir.is_dir());
        let (layer, path) = if project {
            (Layer::Project, dir.join("config.toml"))
        } else {
            let file = Dirs::config(&cx.env).ok_or_else(|| {
                Error::new(Kind::Config, "there is no home directory to keep the settings in")
                    .hint("say which file with `COORD_CONFIG`")
            })?;
            (Layer::User, file.0)
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => {
                let text = format!("cannot read `{}`", path.display());
                return Err(Error::new(Kind::Config, text)
                    .caused_by(e)
                    .hint("`coord config path` lists the files and what they are"));
            }
        };
        Ok(File { layer, path, text })
    }
}

impl File {
    /// The file as a document that keeps its comments.
    pub(super) fn document(&self) -> Result<toml_edit::DocumentMut> {
        self.text.parse().map_err(|e: toml_edit::TomlError| {
            Error::new(Kind::Config, format!("`{}` is not TOML", self.path.display()))
                .caused_by(e)
                .hint("`coord config edit` mends it")
        })
    }

    /// Writes it.
    pub(super) fn write(&self, text: &str) -> Result<()> {
        replace_file(&self.path, text.as_bytes()).map_err(|e| {
            Error::new(Kind::External, format!("cannot write `{}`", self.path.display()))
                .caused_by(e)
                .hint("`COORD_CONFIG` names another file for your own settings")
        })
    }

    /// An error about a section that is none.
    pub(super) fn no_section(&self, name: &str) -> Error {
        let text = format!("`{}`: `{name}` is no section", self.path.display());
        Error::new(Kind::Config, text).hint("`coord config edit` mends it")
    }
}
