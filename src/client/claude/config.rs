//! What can be configured of the calls to Claude, as plain values.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::api::{self, Api};
use super::prices::Prices;
use super::{Effort, Failure, FailureKind, Usd, secret};
use crate::sys::process::find;
use crate::sys::{Clock, Env};

/// Which backend is used.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum BackendChoice {
    /// The API if there is a key, else the program; with both the program is the second rung.
    #[default]
    Auto,
    /// The API alone.
    Api,
    /// The program alone.
    Cli,
}

/// Where the key comes from. The first that is set wins: `ANTHROPIC_API_KEY`,
/// `ANTHROPIC_AUTH_TOKEN`, the file, the command.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KeySource {
    /// A file with the key alone, readable by nobody else.
    pub file: Option<PathBuf>,
    /// A program that prints the key, and its arguments.
    pub command: Vec<String>,
}

/// Everything that can be configured. [`Config::new`] has the defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which backend is used.
    pub backend: BackendChoice,
    /// Where the service is, without `/v1`; a path prefix is kept. `ANTHROPIC_BASE_URL` is the
    /// caller's to read.
    pub base_url: String,
    /// Where the key comes from.
    pub key: KeySource,
    /// The `claude` program: a name to be found in `PATH`, or a path.
    pub program: PathBuf,
    /// The models, the preferred one first.
    pub models: Vec<String>,
    /// The default for requests that do not say.
    pub max_tokens: u32,
    /// The default for requests that do not say.
    pub effort: Effort,
    /// A bound on a whole call that is no stream.
    pub deadline: Duration,
    /// From the first failure of a call to its answer or fallback.
    pub recovery: Duration,
    /// How many attempts a call has, at most 5.
    pub max_attempts: u32,
    /// A bound on one attempt.
    pub attempt_timeout: Duration,
    /// A bound on making a connection.
    pub connect_timeout: Duration,
    /// How long a stream may be silent.
    pub idle_timeout: Duration,
    /// How many calls of this user may run at once.
    pub max_in_flight: u32,
    /// How many failures in a row open the breaker.
    pub breaker_failures: u32,
    /// How long it stays open.
    pub breaker_open: Duration,
    /// Where the cache is.
    pub cache_dir: PathBuf,
    /// How long a cached answer is fresh.
    pub cache_ttl: Duration,
    /// How long a cached answer can stand in for a failed call.
    pub cache_max_stale: Duration,
    /// How large the cache may become.
    pub cache_max_bytes: u64,
    /// The state directory of the project from which is asked.
    pub store: Option<String>,
    /// Where the shared state and the ledger are.
    pub state_dir: PathBuf,
    /// At what size the ledger begins a new file; one old file is kept.
    pub ledger_max_bytes: u64,
    /// What one call may cost.
    pub max_cost: Option<Usd>,
    /// What a day (UTC) may cost.
    pub daily_budget: Option<Usd>,
    /// What a month (UTC) may cost.
    pub monthly_budget: Option<Usd>,
    /// A file whose prices override the built-in ones.
    pub prices_file: Option<PathBuf>,
    /// Certificates (PEM) to be trusted besides the system's.
    pub ca_file: Option<PathBuf>,
}

impl Config {
    /// The defaults, with these two places.
    #[must_use]
    pub fn new(cache_dir: PathBuf, state_dir: PathBuf) -> Self {
        Self {
            backend: BackendChoice::Auto,
            base_url: "https://api.anthropic.com".to_owned(),
            key: KeySource::default(),
            program: "claude".into(),
            models: vec!["claude-haiku-5-5".to_owned(), "claude-sonnet-5-5".to_owned()],
            max_tokens: 4096,
            effort: Effort::Low,
            deadline: Duration::from_mins(1),
            recovery: Duration::from_secs(5),
            max_attempts: 5,
            attempt_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(30),
            max_in_flight: 8,
            breaker_failures: 5,
            breaker_open: Duration::from_secs(15),
            cache_dir,
            cache_ttl: Duration::from_hours(1),
            cache_max_stale: Duration::from_hours(24 * 7),
            cache_max_bytes: 64 << 20,
            store: None,
            state_dir,
            ledger_max_bytes: 8 << 20,
            max_cost: None,
            daily_budget: None,
            monthly_budget: None,
            prices_file: None,
            ca_file: None,
        }
    }

    /// What is wrong with the files, programs and addresses that are named, each with what to do.
    /// Nothing is connected to and nothing is run.
    #[must_use]
    pub fn problems(&self, env: &Env, clock: &Arc<dyn Clock>) -> Vec<Failure> {
        let path = env.get("PATH");
        let lost = |key: &str, program: &std::ffi::OsStr| {
            let name = program.to_string_lossy();
            let message = format!("`{key}`: there is no program `{name}`");
            let lost = Failure::new(FailureKind::NoBackend, message);
            find(program, path.as_deref())
                .is_none()
                .then(|| lost.hint("give its whole path, or put it on PATH"))
        };
        let named = |key: &str, failure: Failure| Failure {
            message: format!("`{key}`: {}", failure.message),
            ..failure
        };
        let mut found = Vec::new();
        if let Some(file) = &self.key.file {
            let wrong = secret::from_file(file).err();
            found.extend(wrong.map(|wrong| named("claude.api-key-file", wrong)));
        }
        let command = self.key.command.first();
        found.extend(command.and_then(|program| lost("claude.api-key-command", program.as_ref())));
        if let Some(file) = &self.ca_file {
            let wrong = api::certificates(file).err();
            found.extend(wrong.map(|why| {
                Failure::new(FailureKind::NoBackend, format!("`claude.ca-file`: {why}"))
                    .hint("it holds certificates as PEM: `-----BEGIN CERTIFICATE-----`")
            }));
        }
        let prices = Prices::load(self.prices_file.as_deref()).err();
        found.extend(prices.map(|wrong| named("claude.prices-file", wrong)));
        // Without a word about it the program is looked for, and need not be there.
        if self.program.as_os_str() != "claude" || self.backend == BackendChoice::Cli {
            found.extend(lost("claude.program", self.program.as_os_str()));
        }
        match Api::new(self, env.clone(), Arc::clone(clock)) {
            Err(wrong) => found.push(named("claude.base-url", wrong)),
            Ok(api) if !api.is_private() => found.push(
                Failure::new(
                    FailureKind::NoBackend,
                    "`claude.base-url`: no key is sent over plain HTTP to another machine",
                )
                .hint("give an `https` address"),
            ),
            Ok(_) => {}
        }
        found
    }
}
