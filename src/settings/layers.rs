//! The layers of settings: flags are above all this, then environment, project, user, machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keys::{self, ALL, Project, Value};
use super::place::user_file;
use crate::domain::agent::SILENT_AFTER;
use crate::error::{Error, Kind, Result};
use crate::sys::Env;

/// The machine's configuration file.
pub const MACHINE_FILE: &str = "/etc/coord/config.toml";

/// Where a value came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A configuration file and the line in it.
    File(PathBuf, usize),
    /// An environment variable.
    Env(&'static str),
}

/// Whose configuration file it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Layer {
    /// The machine's.
    Machine,
    /// The user's.
    User,
    /// The one in the state directory, which may have come with a stranger's files.
    Project,
}

impl Layer {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::User => "user",
            Self::Project => "project",
        }
    }
}

/// What one place says about a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Which key, as its place in [`ALL`].
    pub key: usize,
    /// The value.
    pub value: Value,
    /// Where it stands.
    pub origin: Origin,
    /// Why it does not count, whatever else is said.
    pub refused: Option<&'static str>,
}

/// The values of all keys. The environment of sections that only a few commands need is read when
/// a key is asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What was said, the weakest first.
    said: Vec<Said>,
    env: Env,
    /// What was wrong with the files but does not stop us.
    pub warnings: Vec<String>,
}

/// The sections that every command needs; a wrong variable for them is told at once.
const EAGER: [&str; 4] = ["store.", "work.", "agent.", "telemetry."];

impl Settings {
    /// Reads what stands in the files and the environment. Files that are not there cost a look.
    pub fn load(state_dir: &Path, env: &Env) -> Result<Self> {
        let mut problems = Vec::new();
        let mut settings = Self::files(state_dir, env, &mut problems);
        if let Some(first) = problems.into_iter().next() {
            return Err(first);
        }
        for (at, key) in ALL.iter().enumerate() {
            if EAGER.iter().any(|section| key.name.starts_with(section))
                && let Some(value) = settings.variable(at)?
            {
                let (origin, refused) = (Origin::Env(key.env), None);
                settings.said.push(Said { key: at, value, origin, refused });
            }
        }
        Ok(settings)
    }

    /// The configuration files that count in this state directory, the weakest first.
    #[must_use]
    pub fn paths(state_dir: &Path, env: &Env) -> Vec<(Layer, PathBuf)> {
        let mut paths = vec![(Layer::Machine, PathBuf::from(MACHINE_FILE))];
        paths.extend(user_file(env).map(|file| (Layer::User, file)));
        paths.push((Layer::Project, state_dir.join("config.toml")));
        paths
    }

    /// All that is wrong with files and environment: what stops us, and what is only a warning.
    #[must_use]
    pub fn check(state_dir: &Path, env: &Env) -> (Vec<Error>, Vec<String>) {
        let mut problems = Vec::new();
        let settings = Self::files(state_dir, env, &mut problems);
        problems.extend((0..ALL.len()).filter_map(|at| settings.variable(at).err()));
        let mut warnings = settings.warnings.clone();
        warnings.extend(env.names("COORD_").iter().filter_map(|name| keys::strange(name)));
        (problems, warnings)
    }

    /// All that is wrong with one text that is to become a configuration file.
    #[must_use]
    pub fn check_text(layer: Layer, path: &Path, text: &str) -> (Vec<Error>, Vec<String>) {
        let (said, warnings, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        let mut settings = Self { said, env: Env::Process, warnings };
        settings.text(layer, path, text, &mut problems);
        (problems, settings.warnings)
    }

    fn files(state_dir: &Path, env: &Env, problems: &mut Vec<Error>) -> Self {
        let mut settings = Self { said: Vec::new(), env: env.clone(), warnings: Vec::new() };
        for (layer, path) in Self::paths(state_dir, env) {
            match read(&path, &mut settings.warnings) {
                Ok(Some(text)) => settings.text(layer, &path, &text, problems),
                Ok(None) => {}
                Err(error) => problems.push(error),
            }
        }
        settings
    }

    /// Takes in the text of one file.
    fn text(&mut self, layer: Layer, path: &Path, text: &str, problems: &mut Vec<Error>) {
        let wrong = |line: usize, what: String| {
            Error::new(Kind::Config, format!("`{}`, line {line}: {what}", path.display()))
        };
        let line_at = |at: usize| {
            memchr::memchr_iter(b'\n', &text.as_bytes()[..at.min(text.len())]).count() + 1
        };
        let table = match toml::de::DeTable::parse(text) {
            Ok(table) => table,
            Err(e) => {
                let line = e.span().map_or(1, |span| line_at(span.start));
                let error = wrong(line, e.message().replace('\n', ", "));
                problems.push(
                    error.hint("it is TOML, such as `[work]` with `lease = \"30m\"` below it"),
                );
                return;
            }
        };
        let base = path.parent().unwrap_or(Path::new("/"));
        for (section, rows) in table.get_ref() {
            let Some(rows) = rows.get_ref().as_table() else {
                self.unknown(path, line_at(section.span().start), section.get_ref());
                continue;
            };
            let known = format!("{}.", section.get_ref());
            if rows.is_empty() && !ALL.iter().any(|key| key.name.starts_with(&known)) {
                self.unknown(path, line_at(section.span().start), section.get_ref());
            }
            for (name, value) in rows {
                let full = format!("{}.{}", section.get_ref(), name.get_ref());
                let line = line_at(name.span().start);
                let Some(at) = keys::find(&full) else {
                    self.unknown(path, line, &full);
                    continue;
                };
                // What may not be said here need not be said rightly either.
                let forbidden = layer == Layer::Project && ALL[at].project == Project::Never;
                match ALL[at].form.read_toml(value.get_ref(), base) {
                    _ if forbidden => self.refuse(path, line, at, NEVER),
                    Err(why) => {
                        problems.push(wrong(line, format!("`{full}`: {why}")).hint(ALL[at].doc));
                    }
                    Ok(value) => self.take(layer, at, value, path, line),
                }
            }
        }
    }

    fn take(&mut self, layer: Layer, key: usize, value: Value, path: &Path, line: usize) {
        let mut refused = None;
        if layer == Layer::Project && ALL[key].project == Project::Lowers {
            let now = self.said.iter().rev().find(|s| s.key == key && s.refused.is_none());
            let now = now.map(|said| said.value.clone()).or_else(|| ALL[key].default_value());
            if now.is_some_and(|now| !value.at_most(&now)) {
                self.refuse(path, line, key, WIDER);
                refused = Some(WIDER);
            }
        }
        let origin = Origin::File(path.to_owned(), line);
        self.said.push(Said { key, value, origin, refused });
    }

    fn refuse(&mut self, path: &Path, line: usize, key: usize, why: &str) {
        let name = ALL[key].name;
        self.warnings.push(format!("`{}`, line {line}: `{name}` {why}", path.display()));
    }

    fn unknown(&mut self, path: &Path, line: usize, name: &str) {
        let mut text = format!("`{}`, line {line}: unknown key `{name}`", path.display());
        if let Some(name) = keys::near(name) {
            text.extend(["; did you mean `", name, "`?"]);
        }
        self.warnings.push(text);
    }

    fn variable(&self, at: usize) -> Result<Option<Value>> {
        let key = &ALL[at];
        let Some(raw) = self.env.get(key.env) else { return Ok(None) };
        key.form.read(&raw).map(Some).map_err(|why| {
            let text = raw.to_string_lossy();
            Error::new(Kind::Config, format!("`{}` is `{text}`, {why}", key.env))
                .hint(format!("it sets `{}`: {}", key.name, key.doc))
        })
    }

    /// What everybody says about the key at `at` in [`ALL`]: what holds first, then what lost. What
    /// was refused stands last.
    pub fn everything(&self, at: usize) -> Result<Vec<Said>> {
        let mut all: Vec<Said> = Vec::new();
        if let Some(value) = self.variable(at)? {
            all.push(Said { key: at, value, origin: Origin::Env(ALL[at].env), refused: None });
        }
        let files = self.said.iter().rev().filter(|said| said.key == at);
        all.extend(files.filter(|said| !matches!(said.origin, Origin::Env(_))).cloned());
        if let Some(value) = ALL[at].default_value() {
            all.push(Said { key: at, value, origin: Origin::Default, refused: None });
        }
        all.sort_by_key(|said| said.refused.is_some());
        Ok(all)
    }

    /// The value of the key at `at` in [`ALL`], one of the constants of [`keys`]; nothing if it is
    /// not set and has no default. A wrong environment variable is an error.
    pub fn get(&self, at: usize) -> Result<Option<Value>> {
        if let Some(value) = self.variable(at)? {
            return Ok(Some(value));
        }
        Ok(self.known(at).cloned().or_else(|| ALL[at].default_value()))
    }

    /// A [`keys::Form::Text`], [`keys::Form::Url`] or [`keys::Form::Choice`].
    pub fn text_of(&self, at: usize) -> Result<Option<String>> {
        Ok(match self.get(at)? {
            Some(Value::Text(text)) => Some(text),
            Some(Value::Word(word)) => Some(word.to_owned()),
            _ => None,
        })
    }

    /// A [`keys::Form::Words`] or [`keys::Form::Command`]; empty if it is not set.
    pub fn words(&self, at: usize) -> Result<Vec<String>> {
        Ok(match self.get(at)? {
            Some(Value::Words(words)) => words,
            _ => Vec::new(),
        })
    }

    /// A [`keys::Form::Path`].
    pub fn path(&self, at: usize) -> Result<Option<PathBuf>> {
        Ok(match self.get(at)? {
            Some(Value::Path(path)) => Some(path),
            _ => None,
        })
    }

    /// A [`keys::Form::Number`].
    pub fn number(&self, at: usize) -> Result<Option<u64>> {
        Ok(match self.get(at)? {
            Some(Value::Number(number)) => Some(number),
            _ => None,
        })
    }

    /// A [`keys::Form::Fraction`].
    pub fn fraction(&self, at: usize) -> Result<Option<f64>> {
        Ok(match self.get(at)? {
            Some(Value::Fraction(number)) => Some(number),
            _ => None,
        })
    }

    /// A [`keys::Form::Bool`]; false if it is not set.
    pub fn is_on(&self, at: usize) -> Result<bool> {
        Ok(self.get(at)? == Some(Value::Bool(true)))
    }

    /// A [`keys::Form::Duration`].
    pub fn time(&self, at: usize) -> Result<Option<Duration>> {
        Ok(match self.get(at)? {
            Some(Value::Duration(time)) => Some(time),
            _ => None,
        })
    }

    /// Where the value of the key at `at` in [`ALL`] came from.
    #[must_use]
    pub fn origin(&self, at: usize) -> Origin {
        let from_env = || self.env.get(ALL[at].env).map(|_| Origin::Env(ALL[at].env));
        let said = self.said.iter().rev().find(|s| s.key == at && s.refused.is_none());
        from_env().or_else(|| said.map(|s| s.origin.clone())).unwrap_or(Origin::Default)
    }

    /// Whether an operation waits until it is durable.
    #[must_use]
    pub fn sync(&self) -> bool {
        !matches!(self.known(keys::STORE_SYNC), Some(Value::Word("never")))
    }

    /// How long to wait for the store's lock.
    #[must_use]
    pub fn lock_timeout(&self) -> Duration {
        self.duration(keys::STORE_LOCK_TIMEOUT, Duration::from_secs(10))
    }

    /// How long a claim holds.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.duration(keys::WORK_LEASE, Duration::from_mins(30))
    }

    /// Whether commands note what they did.
    #[must_use]
    pub fn telemetry(&self) -> bool {
        !matches!(self.known(keys::TELEMETRY_ENABLED), Some(Value::Bool(false)))
    }

    /// How large a file of telemetry becomes, in bytes, and how long it is kept after that.
    #[must_use]
    pub fn telemetry_limits(&self) -> (u64, Duration) {
        let mib = match self.known(keys::TELEMETRY_MAX_MIB) {
            Some(Value::Number(mib)) => *mib,
            _ => 16,
        };
        (mib << 20, self.duration(keys::TELEMETRY_KEEP, Duration::from_hours(30 * 24)))
    }

    /// When an agent counts as silent.
    #[must_use]
    pub fn silent_after(&self) -> Duration {
        self.duration(keys::AGENT_SILENT_AFTER, SILENT_AFTER)
    }

    /// How many attempts an item has.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        match self.known(keys::WORK_MAX_ATTEMPTS) {
            Some(Value::Number(n)) => u32::try_from(*n).unwrap_or(3),
            _ => 3,
        }
    }

    fn duration(&self, at: usize, default: Duration) -> Duration {
        match self.known(at) {
            Some(Value::Duration(time)) => *time,
            _ => default,
        }
    }

    /// What files, and for the eager sections the environment, have said.
    fn known(&self, at: usize) -> Option<&Value> {
        let said = self.said.iter().rev().find(|said| said.key == at && said.refused.is_none());
        said.map(|said| &said.value)
    }
}

const NEVER: &str = "cannot be set by a project: it is for the user's or the machine's configuration, \
    or the environment";
const WIDER: &str = "can only be lowered by a project";

/// Reads a configuration file that is there, plain, small, and nobody else's.
pub(super) fn read(path: &Path, warnings: &mut Vec<String>) -> Result<Option<String>> {
    use std::os::unix::fs::MetadataExt as _;
    let failed = |e: std::io::Error| {
        Error::new(Kind::Config, format!("cannot read `{}`", path.display())).caused_by(e)
    };
    let about = match std::fs::metadata(path) {
        Ok(about) => about,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        // A component that is no directory: the state directory's own check tells it better.
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let wrong = |why: &str| Error::new(Kind::Config, format!("`{}`: {why}", path.display()));
    if !about.is_file() {
        return Err(wrong("it is not a plain file"));
    }
    if about.len() > 1 << 18 {
        return Err(wrong("it is larger than 256 KiB"));
    }
    let me = rustix::process::geteuid().as_raw();
    if about.uid() != me && about.uid() != 0 {
        warnings.push(format!("`{}` belongs to user {}: not read", path.display(), about.uid()));
        return Ok(None);
    }
    std::fs::read_to_string(path).map(Some).map_err(failed)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test sets its own scene")]
mod tests {
    use super::*;

    fn load(text: &str, env: &[(&str, &str)]) -> (tempfile::TempDir, Result<Settings>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.toml"), text).unwrap();
        let env: Env = env.iter().copied().chain([("COORD_CONFIG", "/nonexistent")]).collect();
        let settings = Settings::load(dir.path(), &env);
        (dir, settings)
    }

    #[test]
    fn the_environment_is_above_the_file_and_the_file_above_the_default() {
        let (dir, settings) = load(
            "[work]\nlease = \"5m\"\nmax-attempts = 7\n[store]\nsync = \"never\"\n",
            &[("COORD_WORK_LEASE", "1m")],
        );
        let settings = settings.unwrap();
        assert_eq!(settings.lease(), Duration::from_mins(1));
        assert_eq!(settings.max_attempts(), 7);
        assert!(!settings.sync());
        assert_eq!(settings.lock_timeout(), Duration::from_secs(10));
        assert_eq!(settings.origin(keys::WORK_LEASE), Origin::Env("COORD_WORK_LEASE"));
        assert_eq!(settings.origin(keys::STORE_LOCK_TIMEOUT), Origin::Default);
        let file = dir.path().join("config.toml");
        assert_eq!(settings.origin(keys::WORK_MAX_ATTEMPTS), Origin::File(file, 3));
    }

    #[test]
    fn an_unknown_key_warns_and_names_what_was_meant() {
        let (_dir, settings) = load("[work]\nleas = \"5m\"\n", &[]);
        let warnings = settings.unwrap().warnings;
        assert!(
            warnings[0].ends_with("line 2: unknown key `work.leas`; did you mean `work.lease`?")
        );
        let (_dir, settings) = load("[work]\n[wrk]\n", &[]);
        let warnings = settings.unwrap().warnings;
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("line 2: unknown key `wrk`"), "{warnings:?}");
    }

    #[test]
    fn a_wrong_type_names_file_and_line() {
        for (text, end) in [
            (
                "[work]\n\nlease = 5\n",
                "line 3: `work.lease`: expected a string such as \"30m\", found integer",
            ),
            (
                "[work]\nmax-attempts = 0\n",
                "line 2: `work.max-attempts`: expected a whole number from 1 to 1000000",
            ),
            ("[store]\nsync = \"no\"\n", "line 2: `store.sync`: expected one of `always`, `never`"),
        ] {
            let error = load(text, &[]).1.unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.to_string().ends_with(end), "{error}");
        }
        assert_eq!(load("[work\n", &[]).1.unwrap_err().kind(), Kind::Config);
        let error = load("", &[("COORD_WORK_LEASE", "soon")]).1.unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
    }
}
