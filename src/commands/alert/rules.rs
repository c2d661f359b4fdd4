//! The rules that hold here: built in, the user's, the project's, those of a file that was named.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::commands::Context;
use crate::domain::alert::{Layer, Rule, Said, combine, read};
use crate::domain::name::RuleName;
use crate::error::{Error, Kind, Result};
use crate::settings::{Dirs, keys};
use crate::sys::fs::{Access, Dir};
use crate::sys::input::read_file;

/// The name of a file of rules.
const FILE: &str = "alerts.toml";
/// No file of rules is larger.
const MOST: usize = 1 << 18;

/// Rules besides those that are built in or configured.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Given {
    /// More rules, in TOML; they replace others of the same name
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    rules: Option<PathBuf>,
}

/// The rules, and which files were read for them.
pub(super) struct Rules {
    pub(super) all: Vec<Rule>,
    pub(super) sources: BTreeSet<String>,
    /// What must be typed to have the same rules elsewhere: empty, or `--rules` with its file.
    pub(super) flag: String,
}

impl Rules {
    /// The rule of this name.
    pub(super) fn find(&self, name: &RuleName) -> Result<&Rule> {
        self.all.iter().find(|rule| rule.name == *name).ok_or_else(|| {
            let unknown = Error::new(Kind::User, format!("there is no rule `{name}`"));
            let near = self.all.iter().map(|rule| {
                (strsim::jaro_winkler(rule.name.as_str(), name.as_str()), rule.name.as_str())
            });
            let best = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.8);
            match best {
                Some((_, near)) => unknown.hint(format!("did you mean `{near}`?")),
                None => unknown,
            }
            .hint(format!("`coord alert list{}` shows every rule", self.flag))
        })
    }
}

impl Given {
    /// Reads them all.
    pub(super) fn load(&self, cx: &mut Context) -> Result<Rules> {
        let mut files = Vec::new();
        let mut sources = BTreeSet::from(["built-in".to_owned()]);
        if let Some((path, must)) = user_file(cx)? {
            let source = path.display().to_string();
            match read_file(&path, MOST) {
                Ok(bytes) => files.push((Layer::User, source.clone(), parse(&bytes, &source)?)),
                Err(why) if must || !is_missing(&why) => return Err(unreadable(&path, why)),
                Err(_) => {}
            }
            sources.insert(source);
        }
        let dir = cx.place()?.dir;
        let source = dir.join(FILE).display().to_string();
        if let Some(bytes) = project_file(&dir, cx.flags.trust_dir)? {
            files.push((Layer::Project, source.clone(), parse(&bytes, &source)?));
        }
        sources.insert(source);
        if let Some(path) = &self.rules {
            let named = |why| unreadable(path, why).of_kind(Kind::User);
            let bytes = read_file(path, MOST).map_err(named)?;
            let path = path.canonicalize().unwrap_or_else(|_| path.clone());
            let source = path.display().to_string();
            files.push((Layer::Given, source.clone(), parse(&bytes, &source)?));
            sources.insert(source);
        }
        let (all, refused) = combine(files);
        for refused in refused {
            cx.ui.warning(&refused);
        }
        let flag = self.rules.as_ref().map(|path| format!(" --rules {}", path.display()));
        Ok(Rules { all, sources, flag: flag.unwrap_or_default() })
    }
}

/// The names of the rules that hold here, for completion.
pub(in crate::commands) fn names(cx: &mut Context) -> Result<Vec<(String, String)>> {
    let rules = Given::default().load(cx)?;
    Ok(rules.all.into_iter().map(|rule| (rule.name.to_string(), rule.condition())).collect())
}

/// The user's file, and whether it must be there.
fn user_file(cx: &mut Context) -> Result<Option<(PathBuf, bool)>> {
    if let Some(path) = cx.settings()?.path(keys::ALERT_RULES_FILE)? {
        return Ok(Some((path, true)));
    }
    let config = Dirs::config(&cx.env).map(|(file, _)| file);
    Ok(config.and_then(|file| Some((file.parent()?.join(FILE), false))))
}

/// The project's file, if there is one. It may have come with a stranger's files: no link is followed.
fn project_file(dir: &Path, trusted: bool) -> Result<Option<Vec<u8>>> {
    let failed = |why: String| {
        Error::new(Kind::Config, format!("cannot read `{}`", dir.join(FILE).display()))
            .caused_by(std::io::Error::other(why))
    };
    let file = match Dir::open(dir, trusted).and_then(|dir| dir.file(FILE, Access::Read)) {
        Ok(file) => file,
        Err(e) if e.is_not_found() => return Ok(None),
        Err(e) => return Err(failed(e.to_string())),
    };
    let mut bytes = Vec::new();
    file.take(MOST as u64 + 1).read_to_end(&mut bytes).map_err(|e| failed(e.to_string()))?;
    if bytes.len() > MOST {
        Err(failed(format!("it has more than {MOST} bytes")))
    } else {
        Ok(Some(bytes))
    }
}

fn is_missing(why: &crate::sys::input::InputError) -> bool {
    use crate::sys::input::InputError;
    matches!(why, InputError::Io(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory))
}

fn unreadable(path: &Path, why: crate::sys::input::InputError) -> Error {
    Error::new(Kind::Config, format!("cannot read the rules in `{}`", path.display()))
        .caused_by(why)
        .hint("name a file of rules in TOML; `coord alert list --help` shows one")
}

fn parse(bytes: &[u8], source: &str) -> Result<Vec<Said>> {
    let text = std::str::from_utf8(bytes).map_err(|why| {
        Error::new(Kind::Config, format!("`{source}` is not UTF-8")).caused_by(why)
    })?;
    read(text, source).map_err(|wrong| {
        let message = format!("`{source}`, line {}: {}", wrong.line, wrong.message);
        let error = Error::new(Kind::Config, message);
        match wrong.hint {
            Some(hint) => error.hint(hint),
            None => error.hint("`coord alert list --help` shows how a rule is written"),
        }
    })
}
