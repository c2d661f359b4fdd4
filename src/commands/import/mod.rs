//! `coord import`.

mod report;
mod sources;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};

use self::report::Outcome;
use self::sources::{Facts, Sources};
use super::{By, Context, Verb};
use crate::domain::legacy::{Kind, OldAgent, Points};
use crate::domain::time::Stamp;
use crate::domain::work::{Item, Limits, Op};
use crate::error::{Error, Kind as Failure, Result};
use crate::output::{Shape, plural};
use crate::store;
use crate::store::imported::{Imported, Kept};

/// Take over the files of the old shell system
///
/// Reads what is there of `work_claims.json`, `real_work_queue.json` (or `work_queue.json`),
/// `backlog.yaml`, `active_sprints.json`, `coordination_log.json`, `agent_status.json`,
/// `velocity_log.txt` and `telemetry_spans.jsonl`, mends what can be mended, and tells of every
/// record that it mended, refused or met twice. The directory is only read. What is in the store
/// already is left alone, so that a second import changes nothing.
///
/// Completed claims become done items. Claims that were active become pending again, with a note of
/// who had them: the old system had no leases, and their agents are gone. Capacity in percent
/// becomes items at a time. Points, spans and plans are kept for reports.
///
/// Exit code 10 if anything was refused; everything else was imported all the same.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord import ./agent_coordination --dry-run     Tell what would be taken over
  coord import ./agent_coordination               Take it over
  coord import ./old --only claims --only queue   Only these two kinds of file
  coord import ./old --json | jq '.data.files[].refused[]'")]
pub(crate) struct Args {
    /// The directory with the old files
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    old: PathBuf,

    /// Read only this kind of file; may be given several times
    ///
    /// The points of claims stand in the completions: read these two together.
    #[arg(long, value_name = "KIND", value_parser = kind())]
    only: Vec<Kind>,

    /// Tell what would be done and change nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    by: By,
}

fn kind() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.map(Kind::as_str))
        .try_map(|word| word.parse().map_err(|()| "an unknown kind"))
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<report::Outcome>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let op = cx.op(self.by.agent.as_ref())?;
        if is_same(&self.old, &cx.place()?.dir) {
            let shown = self.old.display();
            return Err(Error::new(
                Failure::User,
                format!("`{shown}` is the state directory itself"),
            )
            .hint("the old files are only read: say with `--dir` where the store shall be")
            .hint("`COORD_DIR` or the old `COORDINATION_DIR` may name it in the environment"));
        }
        let sources = Sources::read(&self.old, &self.only, op.now.wall)?;
        let mut outcome = Outcome::new(&self.old, self.dry_run);
        let facts = sources.merge(op.now.wall, &mut outcome);
        if self.dry_run {
            compare(&facts, cx, &mut outcome)?;
        } else {
            take_over(facts, cx, &op, &mut outcome)?;
            cx.about_many(&op);
        }
        let refused = outcome.refused();
        cx.ui.emit(&outcome)?;
        if refused == 0 {
            return Ok(());
        }
        let rest = if self.dry_run { "can be" } else { "was" };
        Err(Error::new(Failure::Problems, format!("{} refused", was(refused))).hint(format!(
            "each is named in the report with its place; everything else {rest} taken over"
        )))
    }
}

/// What was taken over from files that lie beside the store itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adopted {
    /// Items that are new.
    pub(crate) items: u64,
    /// Agents that are new.
    pub(crate) agents: u64,
    /// Records that could not be read.
    pub(crate) refused: u64,
}

/// Takes over old files whatever directory they lie in; the caller has made sure that nothing of
/// them will be lost. Rows of points that are among `earned` came from the store itself.
pub(crate) fn adopt(
    cx: &mut Context,
    old: &Path,
    only: &[Kind],
    earned: &[Points],
    op: &Op,
) -> Result<Adopted> {
    let sources = Sources::read(old, only, op.now.wall)?;
    let mut outcome = Outcome::new(old, false);
    let mut facts = sources.merge(op.now.wall, &mut outcome);
    facts.leave_out(earned);
    take_over(facts, cx, op, &mut outcome)?;
    let (items, agents) = outcome.added();
    Ok(Adopted { items, agents, refused: outcome.refused() })
}

/// Whether two paths lead to one directory.
fn is_same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn was(count: u64) -> String {
    let verb = if count == 1 { "was" } else { "were" };
    format!("{} {verb}", plural(count, "record"))
}

/// Tells what the store has already.
fn compare(facts: &Facts, cx: &mut Context, outcome: &mut Outcome) -> Result<()> {
    let state = cx.place()?.dir;
    let trusted = cx.flags.trust_dir;
    let mut there = Vec::new();
    match cx.reader() {
        Ok(store) => {
            for (_, item) in &facts.items {
                there.push(match store.get(item.id.as_str()) {
                    Ok(found) => found.item.id == item.id,
                    Err(
                        store::Error::NotFound { .. }
                        | store::Error::Ambiguous { .. }
                        | store::Error::Missing { .. },
                    ) => false,
                    Err(error) => return Err(error.into()),
                });
            }
            for old in &facts.agents {
                outcome.agent(store.agent(&old.agent.id)?.is_some());
            }
        }
        Err(_) if !state.exists() => facts.agents.iter().for_each(|_| outcome.agent(false)),
        Err(error) => return Err(error),
    }
    for (index, (source, _)) in facts.items.iter().enumerate() {
        outcome.item(*source, there.get(index).copied().unwrap_or(false));
    }
    let imported = Imported::open(&state, trusted)?;
    for (table, rows) in facts.tables() {
        let kept = match &imported {
            Some(imported) => imported.compare(table, rows)?,
            None => Kept { added: rows.len(), existing: 0 },
        };
        outcome.rows(table, kept);
    }
    Ok(())
}

/// Records everything that is not there yet. Each step can be repeated, so that an import that was
/// cut off is finished by the next one.
fn take_over(facts: Facts, cx: &mut Context, op: &Op, outcome: &mut Outcome) -> Result<()> {
    let tables = facts.tables().map(|(table, rows)| (table, rows.to_vec()));
    add_items(facts.items, cx, op, outcome)?;
    for old in &facts.agents {
        let there = cx.store()?.agent(&old.agent.id)?.is_some();
        if !there {
            register(old, cx, op)?;
        }
        outcome.agent(there);
    }
    let options = cx.options(false)?;
    let any = tables.iter().any(|(_, rows)| !rows.is_empty());
    if any {
        let imported = Imported::create(&options.dir, options.trust_dir)?;
        for (table, rows) in tables.iter().filter(|(_, rows)| !rows.is_empty()) {
            let wait = options.lock_timeout;
            let kept = imported.append(*table, rows, &op.id, cx.clock.as_ref(), wait)?;
            outcome.rows(*table, kept);
        }
    }
    Ok(())
}

fn add_items(
    items: Vec<(usize, Item)>,
    cx: &mut Context,
    op: &Op,
    outcome: &mut Outcome,
) -> Result<()> {
    // A store that was only just made has nothing to read yet.
    let before = match cx.store()?.summary() {
        Ok(summary) => summary.n,
        Err(store::Error::Missing { .. }) => 0,
        Err(error) => return Err(error.into()),
    };
    let given: Vec<_> = items.iter().map(|(source, item)| (*source, item.id.clone())).collect();
    let mut items: Vec<_> = items.into_iter().map(|(_, item)| item).collect();
    let mut new = HashSet::new();
    let mut op = op.clone();
    // Once in any case: without an item it still makes a store that can be read.
    loop {
        let rest = items.split_off(items.len().min(Limits::BATCH));
        let added = cx.store()?.import(items, &op)?;
        new.extend(added.items.into_iter().filter(|f| f.n > before).map(|f| f.item.id));
        if rest.is_empty() {
            break;
        }
        // A given operation id stands for the first transaction; hardly ever is there another.
        items = rest;
        op = Op { id: cx.fresh_op()?, given: false, ..op };
    }
    for (source, id) in given {
        outcome.item(source, !new.contains(&id));
    }
    Ok(())
}

/// Registers an agent as of its last sign of life.
fn register(old: &OldAgent, cx: &mut Context, op: &Op) -> Result<()> {
    let wall = old.seen_at.unwrap_or(old.agent.registered_at);
    let now = Stamp { wall, boot: 0, boot_ms: 0 };
    let op = Op { id: cx.fresh_op()?, given: false, by: op.by.clone(), now };
    let store = cx.store()?;
    // The sign of life first: an agent that is there already is not looked at again.
    if old.seen_at.is_some() {
        store.heartbeat(&old.agent.id, &op)?;
    }
    Ok(store.register(&old.agent, &op)?)
}
