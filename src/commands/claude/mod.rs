//! `coord claude`.

pub(super) mod advise;
mod analysis;
pub(super) mod ask;
mod cache;
mod check;
mod config;
pub(super) mod old;
mod reach;
mod stream;

use clap::Command;

use super::{Context, Entry};
use crate::client::claude::{Answer, Ask, Cache, Claude, Failure, FailureKind, State};
use crate::error::{Error, Result};
use crate::output::Format;

/// The verbs of `coord claude`, most used first.
pub(super) const VERBS: &[Entry] = &[
    Entry::verb::<ask::Args>("ask"),
    Entry::verb::<analysis::Priorities>("priorities"),
    Entry::verb::<analysis::Assign>("assign"),
    Entry::verb::<analysis::Health>("health"),
    Entry::verb::<analysis::Team>("team"),
    Entry::verb::<stream::Args>("stream"),
    Entry::verb::<check::Args>("check"),
    Entry::noun("cache", "Look into the cached answers", cache::VERBS, cache::build),
];

/// Adds them to the command.
pub(super) fn build(command: Command) -> Command {
    super::verbs(command, VERBS)
}

/// The layer, as configured.
fn layer(cx: &mut Context) -> Result<Claude> {
    let config = config::read(cx)?;
    let ids = Box::new(crate::sys::RandomIds);
    Claude::new(config, cx.env.clone(), std::sync::Arc::clone(&cx.clock), ids).map_err(failed)
}

/// What is wrong with the files, programs and addresses that the settings name for Claude.
pub(super) fn problems(cx: &mut Context) -> Vec<Error> {
    let Ok(config) = config::read(cx) else { return Vec::new() };
    config.problems(&cx.env, &cx.clock).into_iter().map(Error::from).collect()
}

/// How the layer stands, if it was ever used here; looking leaves nothing behind.
pub(super) fn standing(cx: &mut Context) -> Option<Result<State>> {
    let config = config::read(cx).ok()?;
    if !config.state_dir.is_dir() || !config.cache_dir.is_dir() {
        return None;
    }
    Some(layer(cx).map(|claude| claude.state()))
}

/// What was asked so far from this project, if anything ever was; looking leaves nothing behind. Lines
/// from before projects were noted count everywhere.
pub(super) fn ledger(cx: &mut Context) -> Vec<crate::client::claude::Line> {
    let Ok(config) = config::read(cx) else { return Vec::new() };
    let layer = config.state_dir.is_dir().then(|| layer(cx).ok()).flatten();
    let mut lines = layer.map(|claude| claude.ledger().lines()).unwrap_or_default();
    lines.retain(|line| line.store.is_none() || line.store == config.store);
    lines
}

/// The cache of answers, if there is one that can be used; looking leaves nothing behind.
pub(super) fn cache(cx: &mut Context) -> Option<Cache> {
    // Without a home there is none.
    let config = config::read(cx).ok()?;
    Cache::standing(&config).unwrap_or_else(|e| {
        cx.ui.warning(&format!("going on without the cache of Claude's answers: {e}"));
        None
    })
}

/// Tells what went wrong on the way and stopped nothing.
fn tell(cx: &mut Context, claude: &Claude) {
    for warning in claude.take_warnings() {
        cx.ui.warning(&warning);
    }
}

/// Asks, tells what went wrong on the way, and notes what was tried.
fn ask(cx: &mut Context, claude: &Claude, ask: Ask<'_>) -> Result<Answer, Failure> {
    let answer = claude.ask(ask);
    tell(cx, claude);
    noted(cx, &answer);
    answer
}

/// Notes what was tried.
fn noted(cx: &mut Context, answer: &Result<Answer, Failure>) {
    let attempts = match answer {
        Ok(answer) => &answer.attempts,
        Err(failure) => &failure.attempts,
    };
    cx.record_attempts(attempts);
}

/// A call without an answer, for people.
fn failed(failure: Failure) -> Error {
    let hint = match failure.kind {
        FailureKind::Offline => "leave `--offline` out, or ask once while online to fill the cache",
        FailureKind::NotFresh => "leave `--require-fresh` out to take a degraded answer",
        FailureKind::Refused => "ask in other words",
        FailureKind::CutShort => "allow more with `--max-tokens`",
        FailureKind::Unfit => "make the schema simpler, or say in the question what is wanted",
        FailureKind::Budget => {
            "`coord claude check` shows what was spent; `claude.daily-budget` and its like are the limits"
        }
        FailureKind::Deadline => "allow more time with `--deadline`",
        FailureKind::Interrupted | FailureKind::Terminated => "nothing was changed",
        _ => "`coord claude check` shows how the calls stand",
    };
    let hinted = !failure.hints.is_empty();
    let error = Error::from(failure);
    if hinted { error } else { error.hint(hint) }
}

/// Whether the failure is only that the reader has gone.
fn is_closed(failure: &Failure) -> bool {
    failure.kind == FailureKind::SinkClosed
}

/// Says that an answer is less than what was asked for: people are told, machines read the fields.
fn notice(cx: &mut Context, answer: &Answer) {
    if !answer.degraded || cx.ui.format() != Format::Human {
        return;
    }
    let why = answer.reason.as_deref().unwrap_or("Claude did not answer");
    let what = match answer.age_s {
        Some(age) => {
            let age = std::time::Duration::from_secs(age);
            format!("a cached answer, {} old", crate::domain::time::human_duration(age))
        }
        None => "an answer by fixed rules, without Claude".to_owned(),
    };
    cx.ui.warning(&format!("this is {what}: {why}"));
}
