//! What is configured of the calls to Claude: settings, environment, places.

use std::time::Duration;

use crate::client::claude::{BackendChoice, Config, Effort, KeySource, Usd};
use crate::commands::Context;
use crate::error::{Error, Kind, Result};
use crate::settings::{Dirs, Settings, keys};

/// Reads it all.
pub(super) fn read(cx: &mut Context) -> Result<Config> {
    let nowhere = || {
        Error::new(Kind::Config, "there is no home directory for the cache of Claude's answers")
            .hint("set `HOME`, or `COORD_CACHE_DIR` and `COORD_CLAUDE_DIR`")
    };
    let env = cx.env.clone();
    let (cache, _) = Dirs::cache(&env).ok_or_else(nowhere)?;
    let (state, _) = Dirs::claude(&env).ok_or_else(nowhere)?;
    let store = store(cx)?;
    let settings = cx.settings()?;
    let mut config = Config::new(cache.join("claude"), state);
    config.store = Some(store);
    config.backend = match settings.text_of(keys::CLAUDE_BACKEND)?.as_deref() {
        Some("api") => BackendChoice::Api,
        Some("cli") => BackendChoice::Cli,
        _ => BackendChoice::Auto,
    };
    let url = settings.text_of(keys::CLAUDE_BASE_URL)?;
    if let Some(url) = url.or_else(|| env.text("ANTHROPIC_BASE_URL")) {
        config.base_url = url;
    }
    config.key = KeySource {
        file: settings.path(keys::CLAUDE_API_KEY_FILE)?,
        command: settings.words(keys::CLAUDE_API_KEY_COMMAND)?,
    };
    if let Some(program) = settings.path(keys::CLAUDE_PROGRAM)? {
        config.program = program;
    }
    let models = settings.words(keys::CLAUDE_MODELS)?;
    if !models.is_empty() {
        config.models = models;
    }
    config.ca_file = settings.path(keys::CLAUDE_CA_FILE)?;
    config.prices_file = settings.path(keys::CLAUDE_PRICES_FILE)?;
    config.effort = match settings.text_of(keys::CLAUDE_EFFORT)?.as_deref() {
        Some("medium") => Effort::Medium,
        Some("high") => Effort::High,
        Some("xhigh") => Effort::Xhigh,
        Some("max") => Effort::Max,
        _ => Effort::Low,
    };
    let number = |at: usize, into: &mut u32| -> Result<()> {
        let set = settings.number(at)?.and_then(|n| u32::try_from(n).ok());
        *into = set.unwrap_or(*into);
        Ok(())
    };
    number(keys::CLAUDE_MAX_TOKENS, &mut config.max_tokens)?;
    number(keys::CLAUDE_MAX_ATTEMPTS, &mut config.max_attempts)?;
    number(keys::CLAUDE_MAX_IN_FLIGHT, &mut config.max_in_flight)?;
    number(keys::CLAUDE_BREAKER_FAILURES, &mut config.breaker_failures)?;
    let time = |at: usize, into: &mut Duration| -> Result<()> {
        *into = settings.time(at)?.unwrap_or(*into);
        Ok(())
    };
    time(keys::CLAUDE_DEADLINE, &mut config.deadline)?;
    time(keys::CLAUDE_RECOVERY, &mut config.recovery)?;
    time(keys::CLAUDE_ATTEMPT_TIMEOUT, &mut config.attempt_timeout)?;
    time(keys::CLAUDE_CONNECT_TIMEOUT, &mut config.connect_timeout)?;
    time(keys::CLAUDE_IDLE_TIMEOUT, &mut config.idle_timeout)?;
    time(keys::CLAUDE_BREAKER_OPEN, &mut config.breaker_open)?;
    time(keys::CLAUDE_CACHE_TTL, &mut config.cache_ttl)?;
    time(keys::CLAUDE_CACHE_MAX_STALE, &mut config.cache_max_stale)?;
    if let Some(mib) = settings.number(keys::CLAUDE_CACHE_MAX_MIB)? {
        config.cache_max_bytes = mib << 20;
    }
    if let Some(mib) = settings.number(keys::CLAUDE_LEDGER_MAX_MIB)? {
        config.ledger_max_bytes = mib << 20;
    }
    config.max_cost = money(settings, keys::CLAUDE_MAX_COST)?;
    config.daily_budget = money(settings, keys::CLAUDE_DAILY_BUDGET)?;
    config.monthly_budget = money(settings, keys::CLAUDE_MONTHLY_BUDGET)?;
    Ok(config)
}

/// The project from which is asked, as the ledger names it.
fn store(cx: &mut Context) -> Result<String> {
    let dir = cx.place()?.dir;
    Ok(dir.canonicalize().unwrap_or(dir).display().to_string())
}

fn money(settings: &Settings, at: usize) -> Result<Option<Usd>> {
    Ok(settings.fraction(at)?.and_then(Usd::from_dollars))
}
