//! All that is remembered of alerts between two evaluations: how rules stand, silences, notices that
//! are still to be sent, and what happened.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::notice::{Notice, Origin, Status, Target};
use super::{Change, Finding, Reading, Rule, State, step};
use crate::domain::name::RuleName;

/// How many transitions are remembered.
const HISTORY: usize = 1000;

/// How a rule stands.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Kept {
    /// Where the rule was said.
    pub source: String,
    /// How it stands.
    #[serde(flatten)]
    pub state: State,
    /// Whether people were told that it fires, or would have been if somebody wanted to know.
    pub told: bool,
    /// What they are told.
    pub notice: Option<Notice>,
}

/// A rule that nobody wants to be told of for a while.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Silence {
    /// The name of the rule.
    pub name: String,
    /// Since when.
    #[serde(with = "crate::domain::time::text")]
    #[schemars(with = "String")]
    pub since: DateTime<Utc>,
    /// Until when.
    #[serde(with = "crate::domain::time::text")]
    #[schemars(with = "String")]
    pub until: DateTime<Utc>,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
}

/// A notice that is still to be sent.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Due {
    /// The notice.
    pub notice: Notice,
    /// By which ways.
    pub targets: Vec<Target>,
}

/// Something that happened to a rule.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Transition {
    /// When.
    #[serde(with = "crate::domain::time::text")]
    #[schemars(with = "String")]
    pub at: DateTime<Utc>,
    /// The rule.
    pub name: String,
    /// How bad it is.
    pub severity: String,
    /// Whether it began to fire or ceased to.
    pub status: Status,
    /// Why it ceased: `ok`, `no-data`, `rule-removed`; null otherwise.
    pub reason: Option<String>,
    /// The rule's condition as it was then.
    pub condition: String,
    /// The value; null without data.
    pub value: Option<f64>,
    /// Whether it was silenced.
    pub silenced: bool,
}

/// What an evaluation found of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The rule.
    pub rule: Rule,
    /// Its value.
    pub reading: Reading,
    /// What the value says.
    pub finding: Finding,
    /// How it stands now.
    pub state: State,
    /// What changed.
    pub change: Option<Change>,
    /// Until when it is silenced.
    pub silenced: Option<DateTime<Utc>>,
}

/// All of it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Record {
    /// When rules were last evaluated, RFC 3339.
    pub checked_at: Option<String>,
    /// How they stand.
    pub rules: BTreeMap<RuleName, Kept>,
    /// Who is silenced; those that have ended are left out at the next change.
    pub silences: Vec<Silence>,
    /// What is still to be sent, oldest first.
    pub due: Vec<Due>,
    /// What happened, oldest first.
    pub history: Vec<Transition>,
}

impl Record {
    /// When rules were last evaluated.
    #[must_use]
    pub fn last(&self) -> Option<DateTime<Utc>> {
        self.checked_at.as_deref().and_then(crate::domain::time::parse_rfc3339)
    }

    /// The silence that holds for a rule.
    #[must_use]
    pub fn silence(&self, name: &str, now: DateTime<Utc>) -> Option<&Silence> {
        self.silences.iter().find(|silence| silence.name == name && now < silence.until)
    }

    /// How a rule stands.
    #[must_use]
    pub fn state(&self, name: &RuleName) -> State {
        self.rules.get(name).map_or(State::New, |kept| kept.state)
    }

    /// Evaluates the rules with their values. Notices for `targets` become due: one when a rule begins
    /// to fire, or ceases to be silenced while it fires, and one when it ceases, if it was told.
    ///
    /// A rule that is remembered but not among `found` has been removed if its file, its `source`,
    /// was read: then it resolves.
    pub fn evaluate(
        &mut self,
        found: &[(Rule, Reading)],
        sources: &BTreeSet<String>,
        targets: &[Target],
        origin: &Origin,
        now: DateTime<Utc>,
    ) -> Vec<Seen> {
        let last = self.last();
        self.silences.retain(|silence| now < silence.until);
        self.remove(found, sources, targets, now);
        let mut all = Vec::new();
        for (rule, reading) in found {
            let mut kept = self.rules.remove(&rule.name).unwrap_or_default();
            let silenced = self.silence(rule.name.as_str(), now).map(|silence| silence.until);
            let (state, change) = step(kept.state, rule, *reading, now, last);
            (kept.state, kept.source) = (state, rule.source.clone());
            match change {
                Some(Change::Fired) => {
                    let times = (state.since().unwrap_or(now), now);
                    let notice = Notice::of(rule, *reading, Status::Firing, times, origin);
                    self.happened(&notice, silenced.is_some());
                    kept.notice = Some(notice);
                    kept.told = false;
                }
                Some(Change::Resolved) => {
                    let since = kept.notice.take().map_or(now, |notice| notice.since);
                    let why = if state == State::NoData { "no-data" } else { "ok" };
                    let notice = Notice::of(rule, *reading, Status::Resolved, (since, now), origin)
                        .because(why);
                    self.happened(&notice, silenced.is_some());
                    if kept.told {
                        self.send(notice, targets);
                    }
                    kept.told = false;
                }
                None => {}
            }
            if state.is_firing() && silenced.is_none() && !kept.told {
                if let Some(notice) = &kept.notice {
                    self.send(notice.clone(), targets);
                }
                kept.told = true;
            }
            self.rules.insert(rule.name.clone(), kept);
            let (rule, reading, finding) = (rule.clone(), *reading, Finding::of(rule, *reading));
            all.push(Seen { rule, reading, finding, state, change, silenced });
        }
        self.checked_at = Some(crate::domain::time::rfc3339(now));
        all
    }

    fn remove(
        &mut self,
        found: &[(Rule, Reading)],
        sources: &BTreeSet<String>,
        targets: &[Target],
        now: DateTime<Utc>,
    ) {
        let gone = |(name, kept): (&RuleName, &Kept)| {
            let there = found.iter().any(|(rule, _)| rule.name == *name);
            (!there && sources.contains(&kept.source)).then(|| name.clone())
        };
        for name in self.rules.iter().filter_map(gone).collect::<Vec<_>>() {
            let Some(kept) = self.rules.remove(&name) else { continue };
            let Some(notice) = kept.notice.filter(|_| kept.state.is_firing()) else { continue };
            let notice = notice.removed(now);
            self.happened(&notice, self.silence(name.as_str(), now).is_some());
            if kept.told {
                self.send(notice, targets);
            }
        }
    }

    fn send(&mut self, notice: Notice, targets: &[Target]) {
        if !targets.is_empty() {
            self.due.push(Due { notice, targets: targets.to_vec() });
        }
    }

    fn happened(&mut self, notice: &Notice, silenced: bool) {
        self.history.push(Transition {
            at: notice.at,
            name: notice.name.clone(),
            severity: notice.severity.clone(),
            status: notice.status,
            reason: notice.reason.clone(),
            condition: notice.condition.clone(),
            value: notice.value,
            silenced,
        });
        let over = self.history.len().saturating_sub(HISTORY);
        self.history.drain(..over);
    }

    /// A notice has gone out by one way.
    pub fn sent(&mut self, id: &str, target: Target) {
        for due in self.due.iter_mut().filter(|due| due.notice.id == id) {
            due.targets.retain(|have| *have != target);
        }
        self.due.retain(|due| !due.targets.is_empty());
    }

    /// Silences a rule, in place of what silenced it before.
    pub fn hush(&mut self, silence: Silence) {
        let now = silence.since;
        self.silences.retain(|old| old.name != silence.name && now < old.until);
        self.silences.push(silence);
    }

    /// Ends the silence of a rule; whether there was one.
    pub fn lift(&mut self, name: &str, now: DateTime<Utc>) -> bool {
        let held = self.silence(name, now).is_some();
        self.silences.retain(|old| old.name != name && now < old.until);
        held
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::alert::built_in;

    const ALL: [Target; 2] = [Target::Webhook, Target::File];

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + 60 * minute, 0).unwrap()
    }

    fn rule(name: &str) -> Rule {
        built_in().into_iter().find(|rule| rule.name.as_str() == name).unwrap()
    }

    /// Evaluates `memory-high`, which fires at once, with so many megabytes.
    fn check(record: &mut Record, minute: i64, mb: Option<f64>) -> Vec<Seen> {
        let reading = Reading { value: mb.map(|mb| mb * 1e6), samples: 1 };
        let sources = BTreeSet::from(["built-in".to_owned()]);
        let found = [(rule("memory-high"), reading)];
        record.evaluate(&found, &sources, &ALL, &Origin::default(), at(minute))
    }

    fn due(record: &Record) -> Vec<Status> {
        record.due.iter().map(|due| due.notice.status).collect()
    }

    fn hush(record: &mut Record, from: i64, to: i64) {
        record.hush(Silence {
            name: "memory-high".into(),
            since: at(from),
            until: at(to),
            reason: "known".into(),
            by: "nova".into(),
        });
    }

    #[test]
    fn it_is_told_once_that_it_fires_and_once_that_it_ceases() {
        let mut record = Record::default();
        for minute in 0..4 {
            check(&mut record, minute, Some(90.0));
        }
        assert_eq!(due(&record), [Status::Firing]);
        for minute in 4..8 {
            check(&mut record, minute, Some(70.0));
        }
        assert_eq!(due(&record), [Status::Firing, Status::Resolved]);
        let (fired, resolved) = (&record.due[0].notice, &record.due[1].notice);
        assert_eq!(fired.alert_id, resolved.alert_id);
        assert_ne!(fired.id, resolved.id);
        assert_eq!(resolved.reason.as_deref(), Some("ok"));
        assert_eq!(record.history.len(), 2);
        let (first, second) = (fired.id.clone(), resolved.id.clone());
        record.sent(&first, Target::File);
        assert_eq!(record.due[0].targets, [Target::Webhook]);
        record.sent(&first, Target::Webhook);
        assert_eq!(record.due[0].notice.id, second);
    }

    #[test]
    fn a_silence_holds_back_what_fires_until_it_ends() {
        let mut record = Record::default();
        hush(&mut record, 0, 3);
        assert!(check(&mut record, 1, Some(90.0))[0].silenced.is_some());
        assert!(record.due.is_empty() && record.history[0].silenced);
        assert!(check(&mut record, 3, Some(90.0))[0].silenced.is_none());
        assert_eq!((due(&record), record.silences.len()), (vec![Status::Firing], 0));
        // What was told before a silence is resolved in it; what was not told is not.
        hush(&mut record, 4, 90);
        check(&mut record, 5, Some(70.0));
        check(&mut record, 6, Some(90.0));
        check(&mut record, 7, Some(70.0));
        assert_eq!(due(&record), [Status::Firing, Status::Resolved]);
        assert!(record.lift("memory-high", at(8)) && !record.lift("memory-high", at(8)));
    }

    #[test]
    fn a_rule_that_is_gone_resolves_if_its_file_was_read() {
        let mut record = Record::default();
        check(&mut record, 0, Some(90.0));
        let before = record.clone();
        record.evaluate(&[], &BTreeSet::new(), &ALL, &Origin::default(), at(1));
        assert_eq!(record.rules, before.rules);
        let sources = BTreeSet::from(["built-in".to_owned()]);
        record.evaluate(&[], &sources, &ALL, &Origin::default(), at(2));
        assert!(record.rules.is_empty());
        assert_eq!(record.due[1].notice.reason.as_deref(), Some("rule-removed"));
        assert_ne!(record.due[1].notice.id, record.due[0].notice.id);
    }

    #[test]
    fn it_is_kept_as_json_and_goes_on_from_there() {
        let mut record = Record::default();
        check(&mut record, 0, Some(90.0));
        hush(&mut record, 0, 3);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        let mut slow = rule("response-time-high");
        slow.hold = Duration::from_mins(2);
        let reading = Reading { value: Some(1.0), samples: 100 };
        for (minute, state) in [(1, "pending"), (2, "pending"), (3, "firing")] {
            let found = [(slow.clone(), reading)];
            let seen =
                record.evaluate(&found, &BTreeSet::new(), &[], &Origin::default(), at(minute));
            assert_eq!(seen[0].state.as_str(), state);
            let text = serde_json::to_string(&record).unwrap();
            record = serde_json::from_str(&text).unwrap();
        }
        assert_eq!(record.due.len(), 1, "nobody is to be told of the second");
    }
}
