//! The key: where it comes from, and how it stays out of everything that is written or shown.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::{Failure, FailureKind, KeySource};
use crate::sys::process::Program;
use crate::sys::{Clock, Env};

/// How long a program that prints the key may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// No key is longer.
const MOST: usize = 16 << 10;
/// What stands for it wherever it would be seen.
pub(super) const HIDDEN: &str = "[redacted]";
/// The variables that hold a key: no program that we start needs them, but `claude` itself.
pub(in crate::client) const VARIABLES: [&str; 2] = ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"];

/// A key and where it came from.
#[derive(Clone, Debug)]
pub(in crate::client) struct Key(SecretString);

impl Key {
    fn new(text: &str, from: &str) -> Result<Self, Failure> {
        let text = text.trim();
        let fits =
            !text.is_empty() && text.len() <= MOST && text.bytes().all(|c| c.is_ascii_graphic());
        if !fits {
            return Err(no_key(format!(
                "{from} holds no key: one word of printable ASCII is expected"
            ))
            .hint("put the key alone there"));
        }
        Ok(Self(SecretString::from(text.to_owned())))
    }

    /// The key itself, for the one header that carries it.
    pub(in crate::client) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether it is a token of a login: such need a header more.
    pub(super) fn is_login(&self) -> bool {
        self.expose().starts_with("sk-ant-oat")
    }

    /// A text without the key, should somebody have sent it back to us.
    pub(super) fn redact(&self, text: String) -> String {
        if text.contains(self.expose()) { text.replace(self.expose(), HIDDEN) } else { text }
    }
}

/// What would give the key, without looking at it: for people, and to choose a backend.
pub(super) fn source(env: &Env, source: &KeySource) -> Option<String> {
    VARIABLES
        .into_iter()
        .find(|name| env.get(name).is_some())
        .map(str::to_owned)
        .or_else(|| source.file.as_ref().map(|file| format!("file {}", file.display())))
        .or_else(|| source.command.first().map(|program| format!("command {program}")))
}

/// Gets the key.
pub(super) fn find(
    env: &Env,
    source: &KeySource,
    clock: &dyn Clock,
) -> Result<Option<Key>, Failure> {
    for name in VARIABLES {
        if let Some(value) = env.get(name) {
            let text = value.into_string().map_err(|_| no_key(format!("`{name}` is not UTF-8")))?;
            return Key::new(&text, &format!("`{name}`")).map(Some);
        }
    }
    if let Some(file) = &source.file {
        return from_file(file).map(Some);
    }
    if !source.command.is_empty() {
        return from_command(&source.command, clock).map(Some);
    }
    Ok(None)
}

fn no_key(message: String) -> Failure {
    Failure::new(FailureKind::NoBackend, message)
}

/// A key from a file that nobody else can read.
pub(in crate::client) fn from_file(path: &Path) -> Result<Key, Failure> {
    let shown = format!("the key file `{}`", path.display());
    let about = std::fs::metadata(path).map_err(|e| {
        no_key(format!("{shown} cannot be read: {e}"))
            .hint("write the key into it, and run `chmod 600` on it")
    })?;
    if about.mode() & 0o077 != 0 {
        return Err(no_key(format!("{shown} can be read by others"))
            .hint(format!("run `chmod 600 {}`", path.display())));
    }
    let me = rustix::process::geteuid().as_raw();
    if about.uid() != me && me != 0 {
        return Err(no_key(format!("{shown} belongs to user {}", about.uid()))
            .hint("name one that is yours"));
    }
    let bytes =
        crate::sys::input::read_file(path, MOST).map_err(|e| no_key(format!("{shown}: {e}")))?;
    Key::new(&String::from_utf8_lossy(&bytes), &shown)
}

/// A key that a program prints.
pub(in crate::client) fn from_command(argv: &[String], clock: &dyn Clock) -> Result<Key, Failure> {
    let shown = format!("the key command `{}`", argv.first().map_or("", String::as_str));
    let failed = |why: String| no_key(format!("{shown} {why}"));
    let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
    let mut running = Program::new(argv)
        .stdin(Vec::new())
        .start()
        .map_err(|e| failed(format!("cannot be run: {e}")))?;
    let until = clock.monotonic() + PATIENCE;
    let ended = loop {
        let left = until.saturating_sub(clock.monotonic());
        match running.wait(clock, left).map_err(|e| failed(format!("cannot be waited for: {e}")))? {
            Some(ended) => break ended,
            None if left.is_zero() => {
                let _ = running.stop(clock, Duration::from_millis(200), &mut || false);
                return Err(failed(format!("took longer than {} s", PATIENCE.as_secs())));
            }
            None => {}
        }
    };
    if !ended.is_success() {
        return Err(failed(format!("ended with {}", ended.words())));
    }
    Key::new(running.output().0.text.lines().next().unwrap_or_default(), &shown)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test sets its own scene")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::sys::SystemClock;

    fn get(env: &[(&str, &str)], source: &KeySource) -> Result<Option<String>, Failure> {
        let env: Env = env.iter().copied().collect();
        find(&env, source, &SystemClock).map(|key| key.map(|key| key.expose().to_owned()))
    }

    #[test]
    fn the_first_source_wins_and_an_empty_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "from-file\n").unwrap();
        let command: Vec<String> =
            ["sh", "-c", "echo from-command; echo more"].map(str::to_owned).into();
        let all = KeySource { file: Some(file.clone()), command: command.clone() };
        let both = [("ANTHROPIC_API_KEY", "a"), ("ANTHROPIC_AUTH_TOKEN", "b")];
        assert_eq!(get(&both, &all).unwrap().unwrap(), "a");
        let empty = [("ANTHROPIC_API_KEY", ""), ("ANTHROPIC_AUTH_TOKEN", "b")];
        assert_eq!(get(&empty, &all).unwrap().unwrap(), "b");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = get(&[], &all).unwrap_err();
        assert!(error.message.ends_with("can be read by others"), "{error}");
        assert!(!error.to_string().contains("from-file"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(get(&[], &all).unwrap().unwrap(), "from-file");
        let alone = KeySource { file: None, command };
        assert_eq!(get(&[], &alone).unwrap().unwrap(), "from-command");
        assert_eq!(get(&[], &KeySource::default()).unwrap(), None);
    }

    #[test]
    fn a_failing_command_and_a_key_that_is_none_are_told_without_their_text() {
        let command = |script: &str| KeySource {
            file: None,
            command: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
        };
        let error = get(&[], &command("echo secret; exit 3")).unwrap_err();
        assert!(error.message.ends_with("ended with exit code 3"), "{error}");
        let error = get(&[], &command("echo two words")).unwrap_err();
        assert!(error.message.contains("holds no key") && !error.message.contains("words of two"));
        assert!(get(&[], &KeySource { file: None, command: vec!["/nonexistent".into()] }).is_err());
    }

    #[test]
    fn it_shows_itself_nowhere() {
        let key = Key::new("sk-canary", "x").unwrap();
        assert!(!format!("{key:?}").contains("canary"));
        assert_eq!(key.redact("bad key sk-canary!".to_owned()), "bad key [redacted]!");
    }
}
