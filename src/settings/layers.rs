//! The layers of settings: flags are above all this, then environment, project, user, machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keys::{self, ALL, Form, Value};
use crate::domain::agent::SILENT_AFTER;
use crate::error::{Error, Kind, Result};
use crate::sys::Env;

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

/// The values of all keys.
#[derive(Clone, Debug)]
pub struct Settings {
    values: [Option<(Value, Origin)>; ALL.len()],
    /// What was wrong with the files but does not stop us.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads what stands in the files and the environment. Files that are not there cost a look.
    pub fn load(state_dir: &Path, env: &Env) -> Result<Self> {
        let mut settings = Self { values: [const { None }; ALL.len()], warnings: Vec::new() };
        settings.file(Path::new("/etc/coord/config.toml"))?;
        if let Some(file) = user_file(env) {
            settings.file(&file)?;
        }
        settings.file(&state_dir.join("config.toml"))?;
        for (at, key) in ALL.iter().enumerate() {
            let Some(text) = env.text(key.env) else { continue };
            let value = key.form.read(&text).map_err(|why| {
                Error::new(Kind::Config, format!("`{}` is `{text}`, {why}", key.env))
                    .hint(format!("it sets `{}`: {}", key.name, key.doc))
            })?;
            settings.values[at] = Some((value, Origin::Env(key.env)));
        }
        Ok(settings)
    }

    /// Where the value of the key at `at` in [`ALL`] came from.
    #[must_use]
    pub fn origin(&self, at: usize) -> Origin {
        self.values[at].as_ref().map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// Whether an operation waits until it is durable.
    #[must_use]
    pub fn sync(&self) -> bool {
        !matches!(&self.values[keys::STORE_SYNC], Some((Value::Word("never"), _)))
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

    /// When an agent counts as silent.
    #[must_use]
    pub fn silent_after(&self) -> Duration {
        self.duration(keys::AGENT_SILENT_AFTER, SILENT_AFTER)
    }

    /// How many attempts an item has.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        match &self.values[keys::WORK_MAX_ATTEMPTS] {
            Some((Value::Number(n), _)) => u32::try_from(*n).unwrap_or(3),
            _ => 3,
        }
    }

    fn duration(&self, at: usize, default: Duration) -> Duration {
        match &self.values[at] {
            Some((Value::Duration(time), _)) => *time,
            _ => default,
        }
    }

    fn file(&mut self, path: &Path) -> Result<()> {
        let Some(text) = read(path, &mut self.warnings)? else { return Ok(()) };
        let wrong = |line: usize, what: String| {
            Error::new(Kind::Config, format!("`{}`, line {line}: {what}", path.display()))
        };
        let line_at = |at: usize| {
            memchr::memchr_iter(b'\n', &text.as_bytes()[..at.min(text.len())]).count() + 1
        };
        let table = toml::de::DeTable::parse(&text).map_err(|e| {
            let line = e.span().map_or(1, |span| line_at(span.start));
            wrong(line, e.message().replace('\n', ", "))
                .hint("it is TOML, such as `[work]` with `lease = \"30m\"` below it")
        })?;
        for (section, rows) in table.get_ref() {
            let Some(rows) = rows.get_ref().as_table() else {
                self.unknown(path, line_at(section.span().start), section.get_ref());
                continue;
            };
            for (name, value) in rows {
                let full = format!("{}.{}", section.get_ref(), name.get_ref());
                let line = line_at(name.span().start);
                let Some(at) = ALL.iter().position(|key| key.name == full) else {
                    self.unknown(path, line, &full);
                    continue;
                };
                let value = typed(ALL[at].form, value.get_ref())
                    .map_err(|why| wrong(line, format!("`{full}`: {why}")).hint(ALL[at].doc))?;
                self.values[at] = Some((value, Origin::File(path.to_owned(), line)));
            }
        }
        Ok(())
    }

    fn unknown(&mut self, path: &Path, line: usize, name: &str) {
        let mut text = format!("`{}`, line {line}: unknown key `{name}`", path.display());
        let near = ALL.iter().map(|k| (strsim::jaro_winkler(k.name, name), k.name));
        let best = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.8);
        if let Some((_, name)) = best {
            text.extend(["; did you mean `", name, "`?"]);
        }
        self.warnings.push(text);
    }
}

/// The user's configuration file.
fn user_file(env: &Env) -> Option<PathBuf> {
    if let Some(file) = env.get("COORD_CONFIG") {
        return Some(file.into());
    }
    if let Some(dir) = env.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|p| p.is_absolute()) {
        return Some(dir.join("coord/config.toml"));
    }
    let home = env.get("HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    match home {
        Some(home) if cfg!(target_os = "linux") => Some(home.join(".config/coord/config.toml")),
        _ => directories::ProjectDirs::from("", "", "coord")
            .map(|dirs| dirs.config_dir().join("config.toml")),
    }
}

/// Reads a configuration file that is there, plain, small, and nobody else's.
fn read(path: &Path, warnings: &mut Vec<String>) -> Result<Option<String>> {
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

fn typed(form: Form, value: &toml::de::DeValue<'_>) -> Result<Value, String> {
    use toml::de::DeValue;
    match (form, value) {
        (Form::Choice(_) | Form::Duration, DeValue::String(text)) => form.read(text),
        (Form::Number(..), DeValue::Integer(number)) => form.read(number.as_str()),
        (Form::Choice(_), other) => Err(format!("expected a string, found {}", other.type_str())),
        (Form::Duration, other) => {
            Err(format!("expected a string such as \"30m\", found {}", other.type_str()))
        }
        (Form::Number(..), other) => Err(format!("expected a number, found {}", other.type_str())),
    }
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
