//! The life of every item, as its lines tell it: held against the rules, claims against completions.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use super::super::head::Head;
use super::super::keys::{self, Kind as Key};
use super::super::log::Logs;
use super::super::record::Record;
use crate::domain::name::ItemId;
use crate::domain::work::{Item, Status, audit};
use crate::store::{Problem, ProblemKind, Result};

/// At most so many problems of this sort are told.
const TOLD: usize = 100;

/// What is known of an item.
struct Seen {
    n: u64,
    born: i64,
    status: Status,
    /// Whether it was taken over and not claimed since.
    foreign: bool,
    place: (u32, u64),
    /// The item without its texts; of finished ones a million may have to be remembered.
    item: Option<Box<Item>>,
}

/// What a pass over all lines found.
#[derive(Default)]
pub(super) struct Lives {
    pub(super) claims: u64,
    pub(super) finishes: u64,
    pub(super) imported: u64,
    pub(super) problems: Vec<Problem>,
    seen: HashMap<u64, Seen>,
    /// With merged branches: which claims there ever were of an item.
    claimed: Option<HashMap<u64, Vec<(u64, u64)>>>,
}

/// How the logs are to be judged.
#[derive(Clone, Copy)]
pub(super) struct How {
    /// Whether branches were merged, so that an item may have two lives at once.
    pub(super) merged: bool,
    /// Where an unfinished write of the live log begins.
    pub(super) cut: Option<u64>,
    /// Whether history was removed, so that items may be needed that nobody remembers.
    pub(super) removed: bool,
}

/// Reads all lines.
pub(super) fn read(logs: &Logs, how: How) -> Result<Lives> {
    let mut lives = Lives { claimed: how.merged.then(HashMap::new), ..Lives::default() };
    let (mut segment, mut line_no) = (u32::MAX, 0);
    logs.each(|place, line| {
        if u64::from(place.segment) == logs.segment && how.cut.is_some_and(|cut| place.at >= cut) {
            return ControlFlow::Break(());
        }
        if place.segment != segment {
            (segment, line_no) = (place.segment, 0);
        }
        line_no += 1;
        // What cannot be read is told by the chain.
        if let Ok(record) = Record::parse(line) {
            lives.line(logs, record, (segment, line_no));
        }
        ControlFlow::Continue(())
    })?;
    lives.dependencies(logs, how.removed);
    Ok(lives)
}

/// An item without what is of no interest here.
fn slim(mut item: Item) -> Box<Item> {
    item.title = String::new();
    (item.description, item.note, item.result, item.key) = (None, None, None, None);
    (item.labels, item.capabilities) = (Vec::new(), Vec::new());
    item.extra = serde_json::Map::new();
    Box::new(item)
}

fn hash(text: &str) -> u64 {
    keys::key(Key::Agent, text)
}

impl Lives {
    fn problem(&mut self, logs: &Logs, kind: ProblemKind, place: (u32, u64), what: String) {
        if self.problems.len() < TOLD {
            let todo = match kind {
                ProblemKind::Claim => {
                    "`coord work show` tells its life; a backup tells what was written"
                }
                ProblemKind::Dependency => "`coord work edit --no-needs` ends the waiting",
                _ => {
                    "compare with a backup; `coord work edit` and `release` mend what can be said anew"
                }
            };
            self.problems.push(Problem::at(kind, &logs.name(place.0), place.1, what).todo(todo));
        }
    }

    fn line(&mut self, logs: &Logs, record: Record, place: (u32, u64)) {
        let id = keys::key(Key::Item, record.item.id.as_str());
        let (n, verb) = (record.n, record.verb.as_str());
        let born = record.item.created_at.timestamp_micros();
        let old = self.seen.get(&id);
        // The life of a second item with this id is told by itself.
        if old.is_some_and(|old| old.born != born) {
            return;
        }
        if !record.carried {
            self.claims += u64::from(verb == "claim");
            self.imported += u64::from(verb == "import");
            self.finishes += u64::from(matches!(verb, "complete" | "fail"));
        }
        if let Some(claimed) = &mut self.claimed
            && let (Some(token), Some(agent)) = (record.item.token, &record.item.agent)
            && (verb == "claim" || record.carried || verb == "import")
        {
            claimed.entry(id).or_default().push((token, hash(agent.as_str())));
        }
        if self.claimed.is_some() && verb == "complete" && !record.carried {
            self.merged(logs, id, &record, place);
        }
        let old = self.seen.get(&id);
        if old.is_some_and(|old| n <= old.n) {
            return;
        }
        let foreign = verb == "import" || old.is_some_and(|old| old.foreign) && verb != "claim";
        // What was carried over had its own line in a log that may be gone; where branches were merged
        // an item may have lived twice.
        if !record.carried && self.claimed.is_none() {
            let done;
            let before = match old {
                Some(Seen { item: Some(item), .. }) => Some(&**item),
                Some(old) => {
                    done = Item { status: old.status, ..record.item.clone() };
                    Some(&done)
                }
                None => None,
            };
            if let Err(what) = audit::follows(before, &record.item, verb, n) {
                self.problem(logs, ProblemKind::Claim, place, what);
            }
        }
        if !foreign && let Err(what) = audit::image(&record.item, n) {
            self.problem(logs, ProblemKind::Item, place, what);
        }
        let status = record.item.status;
        let item = (status != Status::Done).then(|| slim(record.item));
        self.seen.insert(id, Seen { n, born, status, foreign, place, item });
    }

    /// With merged branches a completion must fit one of the claims, whichever branch it was on.
    fn merged(&mut self, logs: &Logs, id: u64, record: &Record, place: (u32, u64)) {
        let (Some(token), Some(agent)) = (record.item.token, &record.item.agent) else { return };
        let claim = (token, hash(agent.as_str()));
        let known = self.claimed.as_ref().and_then(|claimed| claimed.get(&id));
        if !known.is_some_and(|known| known.contains(&claim)) {
            let id = &record.item.id;
            let what =
                format!("`complete` of `{id}` by {agent} with token {token}, which no claim gave");
            self.problem(logs, ProblemKind::Claim, place, what);
        }
    }

    fn dependencies(&mut self, logs: &Logs, removed: bool) {
        let mut missing = Vec::new();
        let mut needs: BTreeMap<&ItemId, Vec<&ItemId>> = BTreeMap::new();
        let mut places = HashMap::new();
        for seen in self.seen.values() {
            let Some(item) = &seen.item else { continue };
            if item.needs.is_empty() {
                continue;
            }
            for need in &item.needs {
                if !removed && !self.seen.contains_key(&keys::key(Key::Item, need.as_str())) {
                    let what = format!("`{}` needs `{need}`, which does not exist", item.id);
                    missing.push((seen.place, what));
                }
            }
            needs.insert(&item.id, item.needs.iter().collect());
            places.insert(&item.id, seen.place);
        }
        let mut circles = Vec::new();
        for circle in audit::cycles(&needs) {
            let path: Vec<String> = circle.iter().map(|id| format!("`{id}`")).collect();
            let what = format!("a dependency cycle: {}", path.join(" needs "));
            let place = circle.first().and_then(|id| places.get(id)).copied().unwrap_or_default();
            circles.push((place, what));
        }
        let mut all = missing;
        all.extend(circles);
        all.sort();
        for (place, what) in all {
            self.problem(logs, ProblemKind::Dependency, place, what);
        }
    }

    /// Whether the counts of an index are those of the items.
    pub(super) fn count(&self, head: &Head) -> Vec<Problem> {
        let counted = |status| self.seen.values().filter(|s| s.status == status).count() as u64;
        let said = |status| match status {
            Status::Pending => head.pending,
            Status::Active => head.active,
            Status::Done => head.done,
            Status::Failed => head.failed,
            Status::Dead => head.dead,
        };
        let rows = Status::ALL.into_iter().map(|status| (status, counted(status), said(status)));
        rows.filter(|(_, counted, said)| counted != said)
            .map(|(status, counted, said)| {
                let what = format!("{counted} items are {status}, the index counts {said}");
                Problem::of_all(ProblemKind::Count, what)
                    .todo("`coord verify --repair` makes the index anew")
            })
            .collect()
    }
}
