//! The files in the old directory: which are there, and what they give.

use std::collections::HashMap;
use std::path::Path;

use chrono::{DateTime, Timelike as _, Utc};
use serde_json::{Value, json};

use super::report::{File, Outcome};
use crate::domain::legacy::{
    self, Completion, Kind, MAX_FILE, OldAgent, Parsed, Plan, Points, Report, Source, Span,
};
use crate::domain::time::rfc3339;
use crate::domain::work::Item;
use crate::error::{Error, Kind as Failure, Result};
use crate::store::imported::Table;
use crate::sys::input::read_file;

/// What was read.
pub(super) struct Sources {
    files: Vec<(Kind, &'static str, Content)>,
    absent: Vec<&'static str>,
}

enum Content {
    Items(Parsed<Item>),
    Plan(Plan),
    Completions(Parsed<Completion>),
    Agents(Parsed<OldAgent>),
    Velocity(Parsed<Points>),
    Spans(Parsed<Span>),
}

/// What is to be recorded.
#[derive(Default)]
pub(super) struct Facts {
    /// The items, each with the number of its file in the outcome.
    pub(super) items: Vec<(usize, Item)>,
    /// The agents.
    pub(super) agents: Vec<OldAgent>,
    velocity: Vec<Value>,
    spans: Vec<Value>,
    plans: Vec<Value>,
}

impl Facts {
    /// Leaves out points that the store has earned itself: as many rows as there are of each.
    pub(super) fn leave_out(&mut self, earned: &[Points]) {
        // In the files a time has no more than its seconds.
        let mut known: HashMap<String, usize> = HashMap::new();
        for row in earned {
            let at = row.at.with_nanosecond(0).unwrap_or(row.at);
            let row = velocity_row(&Points { at, ..row.clone() });
            *known.entry(row.to_string()).or_default() += 1;
        }
        self.velocity.retain(|row| match known.get_mut(&row.to_string()) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            _ => true,
        });
    }

    /// The rows that are no work.
    pub(super) fn tables(&self) -> [(Table, &[Value]); 3] {
        [
            (Table::Velocity, &self.velocity),
            (Table::Spans, &self.spans),
            (Table::Plans, &self.plans),
        ]
    }
}

impl Sources {
    /// Reads every known file in `dir`, or those of the kinds in `only`.
    pub(super) fn read(dir: &Path, only: &[Kind], now: DateTime<Utc>) -> Result<Self> {
        let shown = dir.display();
        let metadata = std::fs::metadata(dir).map_err(|source| {
            let missing = source.kind() == std::io::ErrorKind::NotFound;
            let kind = if missing { Failure::User } else { Failure::External };
            Error::new(kind, format!("cannot read the directory `{shown}`"))
                .caused_by(source)
                .hint("give the directory that holds the old `work_claims.json`")
        })?;
        if !metadata.is_dir() {
            return Err(Error::new(Failure::User, format!("`{shown}` is not a directory"))
                .hint("give the directory that holds the file: all its files belong together"));
        }
        let mut sources = Self { files: Vec::new(), absent: Vec::new() };
        for kind in Kind::ALL.into_iter().filter(|k| only.is_empty() || only.contains(k)) {
            for name in kind.file_names() {
                let path = dir.join(name);
                // A link that leads nowhere is there and is told.
                if std::fs::symlink_metadata(&path)
                    .is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
                {
                    sources.absent.push(name);
                    continue;
                }
                let content = match read_file(&path, MAX_FILE) {
                    Ok(bytes) => Content::parse(kind, &bytes, now),
                    Err(why) => Content::nothing(kind, Report::unreadable(why.to_string())),
                };
                sources.files.push((kind, name, content));
            }
        }
        if sources.files.is_empty() {
            let names: Vec<_> = sources.absent.iter().map(|n| format!("`{n}`")).collect();
            let error = Error::new(Failure::User, format!("nothing to import in `{shown}`"));
            return Err(error.hint(format!("looked for {}", names.join(", "))));
        }
        Ok(sources)
    }

    /// Puts the files together and notes each of them in the outcome.
    pub(super) fn merge(self, now: DateTime<Utc>, outcome: &mut Outcome) -> Facts {
        let mut facts = Facts::default();
        outcome.absent(self.absent);
        let (mut believed, mut completed) = (Vec::new(), None);
        // The items come first, as in `Kind::ALL`, so that a source's number is its file's number.
        for (kind, name, content) in self.files {
            match content {
                Content::Items(parsed) => {
                    outcome.file(File::new(name, kind));
                    believed.push(Source { name, parsed });
                }
                Content::Plan(plan) => {
                    outcome.file(File::new(name, kind).facts(plan.facts.len()));
                    let row = |fact: &legacy::Fact| json!({"kind": fact.kind, "from": fact.from, "data": fact.data});
                    facts.plans.extend(plan.facts.iter().map(row));
                    believed.push(Source { name, parsed: plan.items });
                }
                Content::Completions(parsed) => {
                    outcome.file(File::new(name, kind));
                    completed = Some(parsed);
                }
                Content::Agents(parsed) => {
                    outcome.file(File::new(name, kind).report(parsed.report));
                    facts.agents = parsed.records.into_iter().map(|r| r.value).collect();
                }
                Content::Velocity(parsed) => {
                    let points = parsed.records.iter().map(|r| u64::from(r.value.points)).sum();
                    outcome.file(File::new(name, kind).report(parsed.report).points(points));
                    facts.velocity =
                        parsed.records.iter().map(|r| velocity_row(&r.value)).collect();
                }
                Content::Spans(parsed) => {
                    outcome.file(File::new(name, kind).report(parsed.report));
                    facts.spans = parsed.records.iter().map(|r| r.value.to_value()).collect();
                }
            }
        }
        let has_completions = completed.is_some();
        let merged = legacy::merge(believed, completed.unwrap_or_default(), now);
        let reports = merged.reports.len() - usize::from(!has_completions);
        for (at, report) in merged.reports.into_iter().take(reports).enumerate() {
            outcome.report(at, report);
        }
        facts.items = ordered(merged.items);
        facts
    }
}

/// What is waited for comes before what waits for it.
fn ordered(items: Vec<(usize, Item)>) -> Vec<(usize, Item)> {
    let (mut free, mut waiting): (Vec<_>, Vec<_>) =
        items.into_iter().partition(|(_, item)| item.needs.is_empty());
    // In a plan the parts stand behind the whole.
    waiting.reverse();
    free.append(&mut waiting);
    free
}

fn velocity_row(points: &Points) -> Value {
    json!({ "at": rfc3339(points.at), "team": points.team, "points": points.points })
}

impl Content {
    fn parse(kind: Kind, bytes: &[u8], now: DateTime<Utc>) -> Self {
        match kind {
            Kind::Claims => Self::Items(legacy::claims(bytes, now)),
            Kind::Queue => Self::Items(legacy::queue(bytes, now)),
            Kind::Backlog => Self::Plan(legacy::backlog(bytes, now)),
            Kind::Sprints => Self::Plan(legacy::sprints(bytes, now)),
            Kind::Completions => Self::Completions(legacy::completions(bytes)),
            Kind::Agents => Self::Agents(legacy::agents(bytes, now)),
            Kind::Velocity => Self::Velocity(legacy::velocity(bytes)),
            Kind::Spans => Self::Spans(legacy::spans(bytes)),
        }
    }

    fn nothing(kind: Kind, report: Report) -> Self {
        match kind {
            Kind::Claims | Kind::Queue => Self::Items(Parsed::nothing(report)),
            Kind::Backlog | Kind::Sprints => Self::Plan(Plan::nothing(report)),
            Kind::Completions => Self::Completions(Parsed::nothing(report)),
            Kind::Agents => Self::Agents(Parsed::nothing(report)),
            Kind::Velocity => Self::Velocity(Parsed::nothing(report)),
            Kind::Spans => Self::Spans(Parsed::nothing(report)),
        }
    }
}
