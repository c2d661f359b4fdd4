//! Traces: every span that names a parent must find it.
//!
//! A span is written when it ends, so a parent stands behind its children and is missing as long as it
//! runs, or for ever if it was killed, unless it noted its beginning, as a worker does: what ended within
//! the last day is noted only. A parent that another program recorded is not looked for.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::super::FileStore;
use crate::store::imported::{Imported, Table};
use crate::store::journal::{Journal, Stream};
use crate::store::{Problem, ProblemKind, Result};

/// For so long a parent may still be running.
const PATIENCE: chrono::TimeDelta = chrono::TimeDelta::days(1);
/// At most so many orphans are told one by one.
const TOLD: usize = 20;

/// What was found.
#[derive(Default)]
pub(super) struct Traces {
    pub(super) spans: u64,
    pub(super) problems: Vec<Problem>,
    pub(super) notes: Vec<String>,
}

/// A span without its parent, so far.
struct Child {
    name: String,
    parent: String,
    file: &'static str,
    recent: bool,
}

/// Reads all spans.
pub(super) fn read(store: &FileStore, now: DateTime<Utc>) -> Result<Traces> {
    let (path, trusted) = (store.dir.path(), store.options.trust_dir);
    let mut traces = Traces::default();
    let mut known: HashSet<(String, String)> = HashSet::new();
    let mut children: BTreeMap<(String, String), Child> = BTreeMap::new();
    if let Some(journal) = Journal::open(path, trusted)? {
        traces.notes.extend(journal.strange()?);
        journal.spans(None, &mut |span| {
            traces.spans += 1;
            let (trace, id) = (span.trace_id.to_string(), span.span_id.to_string());
            if let Some(parent) = span.parent_span_id.filter(|_| !span.remote_parent) {
                let recent = now - span.end() < PATIENCE;
                let (parent, file) = (parent.to_string(), Stream::Spans.file());
                let name = span.name;
                children.insert((trace.clone(), id.clone()), Child { name, parent, file, recent });
            }
            known.insert((trace, id));
        })?;
    }
    if let Some(imported) = Imported::open(path, trusted)? {
        imported.read(Table::Spans, &mut |row| {
            let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
            let (Some(trace), Some(id)) = (text("trace_id"), text("span_id")) else { return };
            traces.spans += 1;
            let remote = row.get("remote_parent") == Some(&Value::Bool(true));
            if let Some(parent) = text("parent_span_id").filter(|p| !p.is_empty() && !remote) {
                let name = text("name").unwrap_or_default();
                let (file, recent) = (Table::Spans.path(), false);
                children.insert((trace.clone(), id.clone()), Child { name, parent, file, recent });
            }
            known.insert((trace, id));
        })?;
    }
    let (mut running, mut more) = (0, 0);
    for ((trace, id), child) in children {
        if known.contains(&(trace.clone(), child.parent.clone())) {
            continue;
        }
        if child.recent {
            running += 1;
        } else if traces.problems.len() == TOLD {
            more += 1;
        } else {
            let what = format!(
                "span {id} (`{}`) of trace {trace} has the parent {}, which is nowhere",
                child.name, child.parent
            );
            let todo =
                "its parent was killed or its line was lost; old telemetry can be cleaned up";
            traces.problems.push(Problem::of_file(ProblemKind::Trace, child.file, what).todo(todo));
        }
    }
    if more > 0 {
        let what = format!("{more} more spans have a parent that is nowhere");
        traces.problems.push(Problem::of_all(ProblemKind::Trace, what).todo("as above"));
    }
    if running > 0 {
        let spans =
            if running == 1 { "1 span waits".to_owned() } else { format!("{running} spans wait") };
        traces.notes.push(format!("{spans} for a parent that is running or was killed"));
    }
    Ok(traces)
}
