//! What there is instead of an answer of the service: the cache, an older answer, the rules.

use std::time::Duration;

use super::super::cache::Entry;
use super::super::{Answer, Failure, FailureKind, Source};
use super::Run;

impl Run<'_, '_, '_> {
    /// A fresh entry of a rung, or one that was made after `since` (milliseconds since boot).
    pub(super) fn cached_now(&mut self, at: usize, since: Option<u64>) -> Option<Answer> {
        let switches = self.ask.switches;
        if switches.no_cache || (switches.refresh && since.is_none()) {
            return None;
        }
        let entry = self.claude.cache.get(&self.rungs.get(at)?.key)?;
        let age = entry.age(self.claude.clock.wall());
        let limit = switches.max_age.unwrap_or(self.claude.config.cache_ttl);
        let now = self.claude.clock.boot().ms;
        let young =
            since.is_some_and(|since| age <= Duration::from_millis(now.saturating_sub(since)));
        if age >= limit && !young {
            return None;
        }
        let answer = self.entry_answer(&entry, Source::Cache);
        if let (Some(sink), Source::Cache) = (&mut self.ask.sink, answer.source) {
            sink(&answer.text).ok()?;
        }
        Some(answer)
    }

    fn entry_answer(&self, entry: &Entry, source: Source) -> Answer {
        let structured =
            self.schema.as_ref().and_then(|_| serde_json::from_str(entry.text.trim()).ok());
        Answer {
            source,
            degraded: source.is_degraded(),
            reason: None,
            model: Some(entry.model.clone()),
            age_s: Some(entry.age(self.claude.clock.wall()).as_secs()),
            attempts: self.attempts.clone(),
            request_id: entry.request_id.clone(),
            usage: self.usage,
            cost_usd: self.cost,
            text: entry.text.clone(),
            structured,
            stop_reason: Some(entry.stop_reason.clone()),
            cache_key: Some(entry.key.clone()),
        }
    }

    /// What there is instead of an answer of the service.
    pub(super) fn fall_back(&mut self, failure: Failure) -> Result<Answer, Failure> {
        use FailureKind as Kind;
        let (stale, heuristic) = match failure.kind {
            Kind::Interrupted
            | Kind::Terminated
            | Kind::SinkClosed
            | Kind::Broken
            | Kind::BadRequest => (false, false),
            // These are results: an older answer would hide them.
            Kind::Refused | Kind::CutShort | Kind::Budget => (false, true),
            _ => (true, true),
        };
        if stale && !self.ask.switches.no_cache {
            let limit = self.ask.switches.max_stale.unwrap_or(self.claude.config.cache_max_stale);
            let now = self.claude.clock.wall();
            let found = self
                .rungs
                .iter()
                .filter_map(|rung| self.claude.cache.get(&rung.key))
                .find(|entry| entry.age(now) <= limit);
            if let Some(entry) = found {
                let mut answer = self.entry_answer(&entry, Source::Stale);
                answer.reason = Some(failure.message.clone());
                self.show(&answer.text, &failure)?;
                return Ok(answer);
            }
        }
        match self.ask.heuristic {
            Some(compute) if heuristic => {
                let made = compute();
                self.show(&made.text, &failure)?;
                Ok(Answer {
                    source: Source::Heuristic,
                    degraded: true,
                    reason: Some(failure.message),
                    model: None,
                    age_s: None,
                    attempts: self.attempts.clone(),
                    request_id: None,
                    usage: self.usage,
                    cost_usd: self.cost,
                    text: made.text,
                    structured: made.structured,
                    stop_reason: None,
                    cache_key: None,
                })
            }
            _ => Err(failure),
        }
    }

    /// Shows a fallback to somebody who waits for a stream, unless they would not want it.
    fn show(&mut self, text: &str, failure: &Failure) -> Result<(), Failure> {
        if self.ask.switches.require_fresh {
            return Ok(());
        }
        match &mut self.ask.sink {
            Some(sink) => {
                sink(text).map_err(|_| Failure { kind: FailureKind::SinkClosed, ..failure.clone() })
            }
            None => Ok(()),
        }
    }
}
