//! `coord work assign`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::{held, input};
use crate::commands::{By, Context, Verb, values};
use crate::domain::name::{AgentId, ItemId, Team};
use crate::domain::work::route::{self, Job, Plan, Worker};
use crate::domain::work::{Change, Found, Query, State, transition};
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line, plural};
use crate::store;
use crate::sys::input::read_file;

/// Keep ready items for the agents that suit them best
///
/// Routing is deterministic: the most urgent item first, to an agent of its team that can do what it
/// asks for, has room and is not silent; specialisation counts before team, team before load. With
/// an ID just this item is kept, for the agent after `--to` or for nobody.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  coord work assign --dry-run         What would be kept for whom, and why
  coord work assign --team core       Only work of this team
  coord work assign --rebalance       Also move what silent or overloaded agents were given
  coord work assign --plan plan.json  What `coord claude assign --json` proposed
  coord work assign w-7 --to nova     This item for this agent
  coord work assign w-7 --nobody      This item for anybody")]
pub(crate) struct Args {
    /// The item [default: every ready item that is kept for nobody]
    #[arg(requires = "target")]
    id: Option<ItemId>,

    /// Whom to keep it for
    #[arg(long, value_name = "AGENT", group = "target", requires = "id")]
    to: Option<AgentId>,

    /// Keep it for nobody
    #[arg(long, group = "target", requires = "id")]
    nobody: bool,

    /// Only work of this team
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    team: Option<Team>,

    /// Also move what is kept for agents that are silent, gone, unfit or have too much
    #[arg(long, conflicts_with = "id")]
    rebalance: bool,

    /// At most so many items
    #[arg(long, short = 'n', value_name = "N", value_parser = values::count,
        allow_negative_numbers = true, conflicts_with = "id")]
    limit: Option<usize>,

    /// Apply this plan, all of it or nothing: a file, or `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id", "team", "rebalance", "limit"])]
    plan: Option<PathBuf>,

    /// Show what would be done and do nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    by: By,
}

#[derive(JsonSchema, Serialize)]
struct Assigned {
    dry_run: bool,
    moves: Vec<Moved>,
    unplaced: Vec<Unplaced>,
}

#[derive(JsonSchema, Serialize)]
struct Moved {
    id: String,
    title: String,
    from: Option<String>,
    to: Option<String>,
    reason: Option<&'static str>,
    #[serde(skip)]
    explained: String,
}

#[derive(JsonSchema, Serialize)]
struct Unplaced {
    id: String,
    title: String,
    reason: &'static str,
    #[serde(skip)]
    explained: String,
}

impl View for Assigned {
    const SCHEMA: &'static str = "coord.work.assign/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        if self.moves.is_empty() && self.unplaced.is_empty() {
            return writeln!(out, "nothing to assign");
        }
        for step in &self.moves {
            let to = step.to.as_deref().unwrap_or("nobody");
            let from = step.from.as_ref().map_or_else(String::new, |from| format!(" from {from}"));
            writeln!(out, "{}{from} to {to}: {}{}", step.id, line(&step.title), step.explained)?;
        }
        for left in &self.unplaced {
            writeln!(out, "{} to nobody: {}{}", left.id, line(&left.title), left.explained)?;
        }
        Ok(())
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.moves.iter().try_for_each(|step| writeln!(out, "{}", step.id))
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.moves.iter().map(|step| serde_json::to_value(step).ok()).collect()
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Assigned>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        match (self.id.clone(), self.plan.clone()) {
            (Some(id), _) => self.one(cx, &id),
            (None, Some(file)) => self.planned(cx, &file),
            (None, None) => self.many(cx),
        }
    }
}

impl Args {
    fn one(self, cx: &mut Context, id: &ItemId) -> Result<()> {
        let op = cx.op(self.by.agent.as_ref())?;
        let store = cx.reader()?;
        if let Some(to) = &self.to {
            let known = store.agents()?;
            if !known.iter().any(|agent| agent.id == *to) {
                return Err(unknown(to, known.iter().map(|agent| &agent.id)));
            }
        }
        let before = store.get(id.as_str())?;
        let change = Change::Assign(self.to.clone());
        let after = if self.dry_run {
            let outcome = transition::apply(&before.item, before.open_needs, &change, op.now);
            outcome.map_err(store::Error::from)?;
            self.to
        } else {
            held::named(store, &before.item.id, &change, &op)?.found.item.assignee
        };
        let (from, id) = (before.item.assignee, before.item.id);
        let moves = if from == after {
            Vec::new()
        } else {
            vec![Moved {
                id: id.to_string(),
                title: before.item.title,
                from: from.map(|a| a.to_string()),
                to: after.map(|a| a.to_string()),
                reason: None,
                explained: String::new(),
            }]
        };
        let same = moves.is_empty();
        cx.ui.emit(&Assigned { dry_run: self.dry_run, moves, unplaced: Vec::new() })?;
        if same {
            cx.ui.status(&format!("`{id}` was kept so already"));
        }
        Ok(())
    }

    /// Applies a plan of somebody else. Every line of it is checked before anything is changed.
    fn planned(self, cx: &mut Context, file: &Path) -> Result<()> {
        let steps = read_plan(cx, file)?;
        let op = cx.op(self.by.agent.as_ref())?;
        let store = cx.reader()?;
        let known = store.agents()?;
        let mut moves: Vec<(ItemId, Option<AgentId>)> = Vec::new();
        let mut rows = Vec::new();
        for step in steps {
            if !known.iter().any(|agent| agent.id == step.agent) {
                return Err(unknown(&step.agent, known.iter().map(|agent| &agent.id)));
            }
            let before = store.get(step.id.as_str())?;
            let change = Change::Assign(Some(step.agent.clone()));
            let outcome = transition::apply(&before.item, before.open_needs, &change, op.now);
            outcome.map_err(store::Error::from)?;
            let id = before.item.id;
            if moves.iter().any(|(other, _)| *other == id) {
                let message = format!("the plan names `{id}` twice; nothing was changed");
                return Err(Error::new(Kind::Usage, message)
                    .hint("an item is kept for one agent: leave one of the lines out"));
            }
            if before.item.assignee.as_ref() == Some(&step.agent) {
                continue;
            }
            rows.push(Moved {
                id: id.to_string(),
                title: before.item.title,
                from: before.item.assignee.map(|a| a.to_string()),
                to: Some(step.agent.to_string()),
                reason: None,
                explained: String::new(),
            });
            moves.push((id, Some(step.agent)));
        }
        let planned = moves.len();
        if !self.dry_run && !moves.is_empty() {
            let done = store.assign(&moves, &op)?;
            cx.about_many(&op);
            rows.retain(|row| done.iter().any(|found| found.item.id.as_str() == row.id));
        }
        let made = rows.len();
        cx.ui.emit(&Assigned { dry_run: self.dry_run, moves: rows, unplaced: Vec::new() })?;
        if made < planned {
            let what = plural((planned - made) as u64, "item");
            cx.ui.status(&format!("{what} of the plan claimed in between"));
        }
        Ok(())
    }

    fn many(self, cx: &mut Context) -> Result<()> {
        let op = cx.op(self.by.agent.as_ref())?;
        let silent_after = cx.settings()?.silent_after();
        let store = cx.reader()?;
        let agents = store.agents()?.into_iter();
        let workers: Vec<Worker> =
            agents.filter_map(|known| Worker::of(known, op.now.wall, silent_after)).collect();
        let ready = Query { states: vec![State::Pending], ..Query::default() };
        let items = store.find(&ready)?.items;
        let plan = plan(&self, &items, &workers);
        let titles: BTreeMap<&ItemId, &str> =
            items.iter().map(|found| (&found.item.id, found.item.title.as_str())).collect();
        let title = |id: &ItemId| titles.get(id).copied().unwrap_or_default().to_owned();
        let moves: Vec<(ItemId, Option<AgentId>)> =
            plan.moves.iter().map(|step| (step.item.clone(), step.to.clone())).collect();
        let mut view = Assigned {
            dry_run: self.dry_run,
            moves: plan
                .moves
                .iter()
                .map(|step| Moved {
                    id: step.item.to_string(),
                    title: title(&step.item),
                    from: step.from.as_ref().map(ToString::to_string),
                    to: step.to.as_ref().map(ToString::to_string),
                    reason: Some(step.reason.as_str()),
                    explained: format!(" ({})", step.reason),
                })
                .collect(),
            unplaced: plan
                .unplaced
                .iter()
                .map(|(id, why)| Unplaced {
                    id: id.to_string(),
                    title: title(id),
                    reason: why.as_str(),
                    explained: format!(" ({why})"),
                })
                .collect(),
        };
        let planned = moves.len();
        if !self.dry_run && !moves.is_empty() {
            // What was claimed in between is no longer ours to keep for anybody.
            let done = store.assign(&moves, &op)?;
            cx.about_many(&op);
            view.moves.retain(|step| done.iter().any(|found| found.item.id.as_str() == step.id));
        }
        let (made, left) = (view.moves.len(), view.unplaced.len());
        cx.ui.emit(&view)?;
        let verb = if self.dry_run { "would move" } else { "moved" };
        let mut told = format!("{verb} {}", plural(made as u64, "item"));
        if left > 0 {
            told = format!("{told}, {left} could not be placed");
        }
        if made < planned {
            told = format!("{told}, {} claimed in between", planned - made);
        }
        if planned + left > 0 {
            cx.ui.status(&told);
        }
        Ok(())
    }
}

/// A plan as `coord claude assign --json` prints it, or the bare list of assignments in it.
fn read_plan(cx: &Context, file: &Path) -> Result<Vec<Step>> {
    let wrong = |why: String| {
        let name = file.display();
        Error::new(Kind::Usage, format!("`{name}` is no plan: {why}; nothing was changed")).hint(
            "it is JSON as `coord claude assign --json` prints it: {\"assignments\":[{\"id\":\"w-7\",\"agent\":\"nova\"}]}",
        )
    };
    let text = if file.as_os_str() == "-" {
        input::plan(cx)?
    } else {
        let bytes = read_file(file, MOST_PLAN).map_err(|why| wrong(why.to_string()))?;
        String::from_utf8(bytes).map_err(|_| wrong("it is not valid UTF-8".to_owned()))?
    };
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|why| wrong(why.to_string()))?;
    let places = ["/data/analysis/assignments", "/analysis/assignments", "/assignments"];
    let list = places.iter().find_map(|place| value.pointer(place));
    let list = list.ok_or_else(|| wrong("it has no list `assignments`".to_owned()))?;
    serde_json::from_value(list.clone()).map_err(|why| wrong(why.to_string()))
}

/// The most that a plan may have.
const MOST_PLAN: usize = 4 << 20;

/// One assignment of a plan; what else stands there, such as a reason, is not looked at.
#[derive(serde::Deserialize)]
struct Step {
    id: ItemId,
    agent: AgentId,
}

/// Plans over everything that is ready: what is kept already is load, even if it must not move.
fn plan(args: &Args, items: &[Found], workers: &[Worker]) -> Plan {
    let jobs: Vec<Job> = items
        .iter()
        .map(|found| Job::from(&found.item))
        .map(|job| Job { fixed: args.team.is_some() && job.team != args.team, ..job })
        .collect();
    route::plan(&jobs, workers, args.rebalance, args.limit)
}

fn unknown<'a>(asked: &AgentId, known: impl Iterator<Item = &'a AgentId>) -> Error {
    let near = known.map(|id| (strsim::jaro_winkler(id.as_str(), asked.as_str()), id));
    let best = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.7);
    let error = Error::new(Kind::User, format!("no agent `{asked}`"));
    match best {
        Some((_, id)) => error.hint(format!("did you mean `{id}`?")),
        None => error.hint(format!("it registers with `coord agent register {asked}`")),
    }
}
