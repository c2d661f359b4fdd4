//! The whole layer, made from a configuration.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::api::Api;
use super::cache::{self, Cache};
use super::cli::Cli;
use super::ladder::{Run, Rung};
use super::prices::Prices;
use super::secret;
use super::shared::{LineState, Shared, Spending};
use super::{
    Answer, Ask, Backend, BackendChoice, BackendName, Config, Failure, FailureKind, Ledger,
    Request, Usd,
};
use crate::sys::fs::{Dir, OpenError};
use crate::sys::{Clock, Env, Ids};

/// The whole layer.
pub struct Claude {
    pub(super) config: Config,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Box<dyn Ids>,
    pub(super) prices: Prices,
    pub(super) ledger: Ledger,
    pub(super) cache: Cache,
    state: Option<Dir>,
    /// Each with whether it can be used.
    backends: Vec<(Box<dyn Backend>, bool)>,
    key_source: Option<String>,
    warnings: Mutex<Vec<String>>,
}

impl fmt::Debug for Claude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claude").field("key_source", &self.key_source).finish_non_exhaustive()
    }
}

/// What a call would do.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct DryRun {
    /// Who would be asked; none if nobody can be.
    pub backend: Option<BackendName>,
    /// Which model.
    pub model: String,
    /// Exactly what would be sent or run, without secrets.
    pub request: Value,
    /// The key under which the answer would be cached.
    pub cache_key: String,
    /// `fresh`, `stale`, `expired` or `none`.
    pub cache_state: &'static str,
    /// How old the cached answer is.
    pub cache_age_s: Option<u64>,
    /// The most that one attempt can cost; absent if the price is not known.
    pub estimated_cost_usd: Option<Usd>,
    /// The models that would be asked next, in order.
    pub then: Vec<String>,
}

/// How the layer stands.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct State {
    /// Where the key comes from: `ANTHROPIC_API_KEY`, `file /path`, `command pass`.
    pub key_source: Option<String>,
    /// The backends in order, with whether each can be used.
    pub backends: Vec<BackendState>,
    /// The models in order.
    pub models: Vec<String>,
    /// Breakers and limits.
    pub lines: Vec<LineState>,
    /// What was spent.
    pub spending: Spending,
}

/// How a backend stands.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct BackendState {
    /// Which one.
    pub backend: BackendName,
    /// Where it is.
    pub host: String,
    /// Whether there is a key or a program for it.
    pub usable: bool,
}

impl Claude {
    /// Makes the layer. Nothing is connected to, run, or asked for a key; directories are made.
    /// Fails if the configuration is wrong.
    pub fn new(
        config: Config,
        env: Env,
        clock: Arc<dyn Clock>,
        ids: Box<dyn Ids>,
    ) -> Result<Self, Failure> {
        if config.models.is_empty() || config.models.iter().any(String::is_empty) {
            return Err(Failure::new(FailureKind::NoBackend, "no model is configured")
                .hint("set `claude.models`, such as `claude-haiku-5-5`"));
        }
        let key_source = secret::source(&env, &config.key);
        let mut backends: Vec<(Box<dyn Backend>, bool)> = Vec::new();
        let chosen = config.backend == BackendChoice::Cli;
        let cli = (config.backend != BackendChoice::Api)
            .then(|| Cli::find(&config.program, &env, chosen))
            .flatten();
        if config.backend != BackendChoice::Cli {
            let api = Api::new(&config, env, Arc::clone(&clock))?;
            backends.push((Box::new(api), key_source.is_some()));
        }
        if let Some(cli) = cli {
            backends.push((Box::new(cli), true));
        }
        // Whoever has no key comes first to the program.
        backends.sort_by_key(|(_, usable)| !usable);
        Self::with(config, backends, key_source, clock, ids)
    }

    /// Makes the layer of given backends, each with whether it can be used.
    pub(super) fn with(
        config: Config,
        backends: Vec<(Box<dyn Backend>, bool)>,
        key_source: Option<String>,
        clock: Arc<dyn Clock>,
        ids: Box<dyn Ids>,
    ) -> Result<Self, Failure> {
        let mut warnings = Vec::new();
        let mut dir = |what: &str, path: &Path| match open(path) {
            Ok(dir) => Some(dir),
            Err(e) => {
                warnings.push(format!("going on without {what}: {e}"));
                None
            }
        };
        let cache_dir = dir("the cache", &config.cache_dir);
        let (state, ledger) = (
            dir("the shared state of the calls to Claude", &config.state_dir),
            dir("the ledger of the calls to Claude", &config.state_dir),
        );
        Ok(Self {
            prices: Prices::load(config.prices_file.as_deref())?,
            ledger: Ledger::new(ledger, config.ledger_max_bytes),
            cache: Cache::new(
                cache_dir,
                config.cache_max_bytes,
                config.cache_ttl,
                config.cache_max_stale,
            ),
            config,
            clock,
            ids,
            state,
            backends,
            key_source,
            warnings: Mutex::new(warnings),
        })
    }

    /// Asks, and climbs down the ladder until something answers.
    pub fn ask(&self, mut ask: Ask<'_>) -> Result<Answer, Failure> {
        Run::new(self, &mut ask)?.climb()
    }

    /// What [`Claude::ask`] would do. No socket is opened, no program is run.
    pub fn dry_run(&self, ask: &Ask<'_>) -> Result<DryRun, Failure> {
        let request = self.fill(&ask.request)?;
        let rungs = self.rungs(&request);
        let usable: Vec<&Rung<'_>> = rungs.iter().filter(|rung| rung.usable).collect();
        let rung = usable.first().copied().or(rungs.first()).ok_or_else(|| self.no_backend())?;
        let age = self.cache.get(&rung.key).map(|entry| entry.age(self.clock.wall()));
        let fresh = ask.switches.max_age.unwrap_or(self.config.cache_ttl);
        let stale = ask.switches.max_stale.unwrap_or(self.config.cache_max_stale);
        Ok(DryRun {
            backend: rung.usable.then(|| rung.backend.name()),
            model: rung.model.clone(),
            request: rung.backend.preview(&request, &rung.model, ask.sink.is_some()),
            cache_key: rung.key.clone(),
            cache_state: match age {
                None => "none",
                Some(age) if age < fresh => "fresh",
                Some(age) if age <= stale => "stale",
                Some(_) => "expired",
            },
            cache_age_s: age.map(|age| age.as_secs()),
            estimated_cost_usd: self.prices.most(&rung.model, &request),
            then: usable
                .iter()
                .skip(1)
                .map(|rung| format!("{}/{}", rung.backend.name(), rung.model))
                .collect(),
        })
    }

    /// How the layer stands.
    #[must_use]
    pub fn state(&self) -> State {
        let (lines, mut spending) = match &self.state {
            Some(_) => self.shared().look(),
            None => Default::default(),
        };
        spending.daily_budget_usd = self.config.daily_budget;
        spending.monthly_budget_usd = self.config.monthly_budget;
        State {
            key_source: self.key_source.clone(),
            backends: self
                .backends
                .iter()
                .map(|(backend, usable)| BackendState {
                    backend: backend.name(),
                    host: backend.host().to_owned(),
                    usable: *usable,
                })
                .collect(),
            models: self.config.models.clone(),
            lines,
            spending,
        }
    }

    /// The cache.
    #[must_use]
    pub const fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The ledger.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What went wrong on the way and stopped nothing; each is told once.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn warn(&self, warning: String) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    pub(super) fn shared(&self) -> Shared<'_> {
        Shared {
            dir: self.state.as_ref(),
            config: &self.config,
            clock: &*self.clock,
            ids: &*self.ids,
            ledger: &self.ledger,
            claude: self,
        }
    }

    /// The request with the defaults filled in.
    pub(super) fn fill(&self, request: &Request) -> Result<Request, Failure> {
        let wrong = |why: &str| Err(Failure::new(FailureKind::BadRequest, why));
        if request.messages.last().is_none_or(|message| message.content.trim().is_empty()) {
            return wrong("there is nothing to ask");
        }
        let mut request = request.clone();
        request.max_tokens = request.max_tokens.or(Some(self.config.max_tokens));
        request.effort = request.effort.or(Some(self.config.effort));
        if request.max_tokens == Some(0) {
            return wrong("an answer of 0 tokens is none");
        }
        Ok(request)
    }

    /// Who is asked in which order. The second backend is asked for the preferred model alone.
    pub(super) fn rungs(&self, request: &Request) -> Vec<Rung<'_>> {
        let mut models: Vec<&str> = request.model.as_deref().into_iter().collect();
        for model in &self.config.models {
            if !models.contains(&model.as_str()) {
                models.push(model);
            }
        }
        let mut rungs = Vec::new();
        for (n, (backend, usable)) in self.backends.iter().enumerate() {
            let count = if n == 0 { models.len() } else { 1 };
            for model in &models[..count] {
                rungs.push(Rung {
                    backend: &**backend,
                    usable: *usable,
                    model: (*model).to_owned(),
                    key: cache::key_for(&**backend, model, request),
                });
            }
        }
        rungs
    }

    /// Whether there is anybody to ask.
    #[must_use]
    pub fn can_ask(&self) -> bool {
        self.backends.iter().any(|(_, usable)| *usable)
    }

    /// Nobody can be asked.
    pub(super) fn no_backend(&self) -> Failure {
        let failure = match self.config.backend {
            BackendChoice::Auto => {
                let program = self.config.program.display();
                let message = format!("there is no key for the API and no program `{program}`");
                Failure::new(FailureKind::NoBackend, message)
            }
            BackendChoice::Api => {
                Failure::new(FailureKind::NoBackend, "there is no key for the API")
            }
            BackendChoice::Cli => {
                let program = self.config.program.display();
                Failure::new(FailureKind::NoBackend, format!("there is no program `{program}`"))
            }
        };
        failure.hint(
            "set `ANTHROPIC_API_KEY` or `claude.api-key-file`, or install `claude` and log in",
        )
    }
}

/// Opens a private directory, made if need be.
fn open(path: &Path) -> Result<Dir, OpenError> {
    let dir = match Dir::open(path, false) {
        Err(e) if e.is_not_found() => Dir::create(path, false),
        other => other,
    }?;
    dir.adopt();
    Ok(dir)
}
