//! Puts the files together: one item for each id, with its points.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::fields::add;
use super::{Completion, Parsed, Record, Report, time};
use crate::domain::name::ItemId;
use crate::domain::time::rfc3339;
use crate::domain::work::{Item, Limits, Status, find_cycle};

/// A file that knows items.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub parsed: Parsed<Item>,
}

/// One list of items, and where each comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// The items, each with the number of the source that is believed about it; those that only the
    /// completions know have the number after the last source. No id twice.
    pub items: Vec<(usize, Item)>,
    /// The reports of the sources, with what came to light here, and that of the completions last.
    pub reports: Vec<Report>,
}

/// Makes one list of all items.
///
/// Where two sources know an item, the earlier one is believed and the other told. The first
/// completion of an id gives its points; an item that was not done becomes done by it.
#[must_use]
pub fn merge(sources: Vec<Source>, completions: Parsed<Completion>, now: DateTime<Utc>) -> Merged {
    let mut merged = Merged::default();
    let mut at: BTreeMap<ItemId, usize> = BTreeMap::new();
    let names: Vec<_> = sources.iter().map(|s| s.name).collect();
    for (index, source) in sources.into_iter().enumerate() {
        let mut report = source.parsed.report;
        for Record { place, value: item } in source.parsed.records {
            if let Some(reason) = misfit(&item) {
                report.read -= 1;
                report.refused(&place, Some(item.id.as_str()), reason);
            } else if let Some(first) = at.get(&item.id) {
                let first = merged.items[*first].0;
                let reason = if first == index {
                    "it stands in this file already: the first one counts".to_owned()
                } else {
                    format!("`{}` knows it already and is believed", names[first])
                };
                report.duplicate(&place, item.id.as_str(), reason);
            } else {
                at.insert(item.id.clone(), merged.items.len());
                merged.items.push((index, item));
            }
        }
        merged.reports.push(report);
    }
    let report = complete(&mut merged.items, &mut at, completions, names.len(), now);
    merged.reports.push(report);
    untie(&mut merged, &at);
    merged
}

/// Credits the completions.
fn complete(
    items: &mut Vec<(usize, Item)>,
    at: &mut BTreeMap<ItemId, usize>,
    completions: Parsed<Completion>,
    source: usize,
    now: DateTime<Utc>,
) -> Report {
    let mut report = completions.report;
    let mut first: BTreeMap<ItemId, (usize, Completion)> = BTreeMap::new();
    for Record { place, value: completion } in completions.records {
        let id = completion.id.clone();
        let line = place.line.unwrap_or(0);
        if let Some((counted, _)) = first.get(&id) {
            let what = format!(
                "completed already on line {counted}: the first one counts, this one ({}, {}) is kept with the item",
                completion.at.map_or("no time".to_owned(), rfc3339),
                completion.points.map_or("no points".to_owned(), |p| format!("{p} points")),
            );
            report.duplicate(&place, id.as_str(), what);
            if let Some((_, item)) = at.get(&id).and_then(|at| items.get_mut(*at)) {
                let mut list =
                    match item.extra.get_mut("legacy").and_then(|l| l.get_mut("completed_again")) {
                        Some(Value::Array(list)) => std::mem::take(list),
                        _ => Vec::new(),
                    };
                list.push(completion.to_value());
                add(&mut item.extra, "completed_again", list.into());
            }
            continue;
        }
        if let Some(known) = at.get(&id) {
            credit(&mut items[*known].1, &completion, &place, &mut report);
        } else {
            let told = "only the completions know it: the id serves as the title";
            report.mended(&place, Some(id.as_str()), told);
            at.insert(id.clone(), items.len());
            items.push((source, only_completed(&completion, now)));
        }
        first.insert(id, (line, completion));
    }
    report
}

fn credit(item: &mut Item, completion: &Completion, place: &super::Place, report: &mut Report) {
    if !item.status.is_finished() {
        report.mended(
            place,
            Some(item.id.as_str()),
            "it was completed, but not marked so: it is done",
        );
        item.status = Status::Done;
        item.progress = 100;
        item.attempt = 1;
        item.note = None;
        item.finished_at = completion.at.or(Some(item.created_at));
    }
    if item.status == Status::Done {
        item.points = completion.points.or(item.points);
        item.result = item.result.take().or_else(|| completion.result.clone());
        item.finished_at = item.finished_at.or(completion.at);
        item.agent = item.agent.take().or_else(|| completion.agent.clone());
    }
    add(&mut item.extra, "completion", completion.to_value());
}

/// An item of which nothing is known but that it was completed.
fn only_completed(completion: &Completion, now: DateTime<Utc>) -> Item {
    let mut item = Item::bare(completion.id.clone(), completion.id.to_string(), now);
    item.created_at = time::of_id(item.id.as_str()).or(completion.at).unwrap_or(now);
    item.status = Status::Done;
    item.progress = 100;
    item.attempt = 1;
    item.finished_at = completion.at.or(Some(item.created_at));
    item.agent.clone_from(&completion.agent);
    item.result.clone_from(&completion.result);
    item.points = completion.points;
    item.extra.clone_from(&completion.extra);
    item
}

/// Takes out what cannot be waited for: what is not there, and what would wait for itself.
fn untie(merged: &mut Merged, at: &BTreeMap<ItemId, usize>) {
    for index in 0..merged.items.len() {
        let (source, item) = &merged.items[index];
        if item.needs.is_empty() {
            continue;
        }
        let (source, id) = (*source, item.id.clone());
        let needs_of = |id: &ItemId| {
            let found = at.get(id).and_then(|at| merged.items.get(*at));
            Ok::<_, std::convert::Infallible>(found.map_or_else(Vec::new, |(_, i)| i.needs.clone()))
        };
        let Ok(cycle) = find_cycle(&id, needs_of);
        let item = &mut merged.items[index].1;
        let before = item.needs.len();
        item.needs.retain(|need| at.contains_key(need));
        let reason = if cycle.is_some() {
            item.needs.clear();
            "it would wait for itself: it waits for nothing"
        } else if item.needs.len() < before {
            "a part of it was refused: it does not wait for that"
        } else {
            continue;
        };
        if let Some(report) = merged.reports.get_mut(source) {
            report.mended(&super::Place::default(), Some(id.as_str()), reason);
        }
    }
}

/// Why an item breaks a limit, if it does.
fn misfit(item: &Item) -> Option<String> {
    if let Some(size) = too_large(item) {
        return Some(format!("it has {size} bytes, at most {} are allowed", Limits::ITEM_BYTES));
    }
    let parts = item.needs.len();
    (parts > Limits::LIST)
        .then(|| format!("it has {parts} parts, at most {} are allowed", Limits::LIST))
}

/// The size of an item's texts and extra fields, if it is beyond the limit.
fn too_large(item: &Item) -> Option<usize> {
    let text = |t: &Option<String>| t.as_ref().map_or(0, String::len);
    let extra = serde_json::to_vec(&item.extra).map_or(usize::MAX, |v| v.len());
    let texts = [&item.description, &item.result, &item.note].into_iter().map(text).sum::<usize>();
    // Escapes and the fixed fields need room as well.
    let size = extra.saturating_add(2 * (item.title.len() + texts)).saturating_add(4096);
    (size > Limits::ITEM_BYTES).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn all(claims: &str, completions: &str) -> Merged {
        let parsed = super::super::claims(claims.as_bytes(), NOW);
        let completions = super::super::completions(completions.as_bytes());
        merge(vec![Source { name: "claims", parsed }], completions, NOW)
    }

    #[test]
    fn the_first_completion_counts_and_the_others_are_told_and_kept() {
        let claims = r#"[{"work_item_id":"a","agent_id":"nova","claimed_at":"2025-06-16T06:00:00Z","work_type":"bug",
            "description":"Fix it","status":"active","priority":"low","team":"core"}]"#;
        let log = r#"[
            {"work_item_id":"a","completed_at":"2025-06-16T06:10:00Z","agent_id":"x","result":"ok","velocity_points":5},
            {"work_item_id":"b","completed_at":"2025-06-16T06:11:00Z","agent_id":"y","result":"fine","velocity_points":3},
            {"work_item_id":"a","completed_at":"2025-06-16T06:12:00Z","agent_id":"z","result":"again","velocity_points":8}]"#;
        let merged = all(claims, log);
        let [(from_a, a), (from_b, b)] = &merged.items[..] else { panic!() };
        assert_eq!((*from_a, *from_b), (0, 1));
        assert_eq!((a.status, a.points, a.result.as_deref()), (Status::Done, Some(5), Some("ok")));
        assert_eq!(a.note, None);
        assert_eq!(a.extra["legacy"]["completed_again"][0]["points"], 8);
        assert_eq!((b.title.as_str(), b.points, b.status), ("b", Some(3), Status::Done));
        let report = &merged.reports[1];
        assert_eq!((report.read, report.duplicates.len(), report.mended.len()), (3, 1, 2));
        assert_eq!(report.duplicates[0].id.as_deref(), Some("a"));
    }

    #[test]
    fn the_claims_are_believed_before_the_queue() {
        let claims =
            br#"[{"work_item_id":"a","description":"one","status":"pending","work_type":"x"}]"#;
        let queue = br#"[{"work_id":"a","title":"two"},{"work_id":"b","title":"three"}]"#;
        let sources = vec![
            Source { name: "first.json", parsed: super::super::claims(claims, NOW) },
            Source { name: "second.json", parsed: super::super::queue(queue, NOW) },
        ];
        let merged = merge(sources, Parsed::default(), NOW);
        assert_eq!(merged.items.len(), 2);
        assert_eq!(merged.items[0].1.title, "one");
        let reason = &merged.reports[1].duplicates[0].reason;
        assert_eq!(reason, "`first.json` knows it already and is believed");
    }
}
