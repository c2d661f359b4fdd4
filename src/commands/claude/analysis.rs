//! `coord claude priorities`, `assign`, `health` and `team`: one question each about the store, with
//! an answer that fits a schema, or one by fixed rules.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::ask;
use super::reach::Reach;
use crate::client::claude::{Answer, Ask, Attempt, Claude, Heuristic, Request, Source, Usage, Usd};
use crate::commands::{Context, Verb, guard};
use crate::domain::claude::{self as domain, Dropped, Facts, Kind, rules};
use crate::domain::work::route::{self, Job, Plan, Worker};
use crate::domain::work::{Query, State};
use crate::error::{self, Error, Result};
use crate::output::{Column, Screen, Shape, Table, View, line, plural};
use crate::sys::signal::Stop;

/// Ask Claude in which order the ready items should be done
///
/// A small projection of the store is sent, never whole files. Without Claude the answer is made by
/// fixed rules from the same data, and says so; `coord help claude-rules` tells them.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord claude priorities                  What should be done first, and why
  coord claude priorities --offline        The same from the cache or by rules
  coord claude priorities --json | jq '.data.analysis.priorities[0]'")]
pub(super) struct Priorities {
    #[command(flatten)]
    reach: Reach,
}

/// Ask Claude who should do what; the plan can be applied
///
/// Items and agents that are not in the store are dropped from the answer, and told. Nothing is
/// changed: `coord work assign --plan FILE` does that. Without Claude the plan is that of
/// `coord work assign`; `coord help claude-rules` tells more.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord claude assign                              Advice for people
  coord claude assign --json > plan.json           The same as a plan
  coord work assign --plan plan.json --dry-run     What applying it would do")]
pub(super) struct Assign {
    #[command(flatten)]
    reach: Reach,
}

/// Ask Claude how the queue and its agents are doing
///
/// Without Claude the answer is made by fixed rules, and says so; `coord help claude-rules` tells them.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord claude health                      A score, a status, findings
  coord claude health --require-fresh      Fail rather than answer by rules
  coord claude health --json | jq .data.analysis.score")]
pub(super) struct Health {
    #[command(flatten)]
    reach: Reach,
}

/// Ask Claude how teams are formed and used
///
/// Without Claude the answer is made by fixed rules, and says so; `coord help claude-rules` tells them.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord claude team                        Who belongs together, who has room
  coord claude team --deadline 20s         Wait no longer than that")]
pub(super) struct Team {
    #[command(flatten)]
    reach: Reach,
}

impl Verb for Priorities {
    const VIEWS: &'static [Shape] = &[Shape::of::<Analysis<0>>(), Shape::of::<ask::Planned>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        show::<0>(cx, &self.reach)
    }
}

impl Verb for Assign {
    const VIEWS: &'static [Shape] = &[Shape::of::<Analysis<1>>(), Shape::of::<ask::Planned>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        show::<1>(cx, &self.reach)
    }
}

impl Verb for Health {
    const VIEWS: &'static [Shape] = &[Shape::of::<Analysis<2>>(), Shape::of::<ask::Planned>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        show::<2>(cx, &self.reach)
    }
}

impl Verb for Team {
    const VIEWS: &'static [Shape] = &[Shape::of::<Analysis<3>>(), Shape::of::<ask::Planned>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        show::<3>(cx, &self.reach)
    }
}

const KINDS: [Kind; 4] = [Kind::Priorities, Kind::Assignments, Kind::Health, Kind::Team];

/// An analysis as it is shown; the number says which kind.
#[derive(JsonSchema, Serialize)]
struct Analysis<const K: usize>(Told);

/// What an analysis gave.
#[derive(JsonSchema, Serialize)]
pub(super) struct Told {
    /// The answer, in the shape of its schema.
    pub(super) analysis: Value,
    /// What was dropped from it because it was not in the data.
    pub(super) dropped: Vec<Dropped>,
    /// Who answered.
    pub(super) source: Source,
    /// Whether it is less than what was asked for.
    pub(super) degraded: bool,
    reason: Option<String>,
    pub(super) model: Option<String>,
    pub(super) age_s: Option<u64>,
    attempts: Vec<Attempt>,
    request_id: Option<String>,
    usage: Option<Usage>,
    cost_usd: Option<Usd>,
    items_sent: usize,
    items_left_out: usize,
}

impl<const K: usize> View for Analysis<K> {
    const SCHEMA: &'static str = [
        "coord.claude.priorities/v1",
        "coord.claude.assign/v1",
        "coord.claude.health/v1",
        "coord.claude.team/v1",
    ][K];

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        let said = &self.0.analysis;
        let word = |value: &Value| match value {
            Value::String(text) => line(text).into_owned(),
            Value::Array(all) => all
                .iter()
                .map(|v| line(v.as_str().unwrap_or_default()).into_owned())
                .collect::<Vec<_>>()
                .join(" "),
            other => other.to_string(),
        };
        writeln!(out, "{}", word(&said["summary"]))?;
        if let Some(score) = said["score"].as_i64() {
            writeln!(out, "score {score}, {}", word(&said["status"]))?;
        }
        let lists: &[(&str, &[&str])] = match KINDS[K] {
            Kind::Priorities => &[
                ("priorities", &["id", "priority", "score", "reason"]),
                ("bottlenecks", &["id", "reason"]),
            ],
            Kind::Assignments => {
                &[("assignments", &["id", "agent", "reason"]), ("unassigned", &["id", "reason"])]
            }
            Kind::Health => &[("findings", &["severity", "subject", "finding", "action"])],
            Kind::Team => &[("teams", &["team", "utilization_percent", "agents", "reason"])],
        };
        for (name, fields) in lists {
            let rows = said[*name].as_array().map(Vec::as_slice).unwrap_or_default();
            if rows.is_empty() {
                continue;
            }
            if screen.width.is_some() {
                writeln!(out)?;
            }
            let heads = fields.iter().map(|field| {
                let head = if *field == "utilization_percent" { "USED%" } else { field };
                let column = Column::new(
                    HEADS.iter().find(|h| h.eq_ignore_ascii_case(head)).copied().unwrap_or(""),
                );
                if *field == "reason" || *field == "action" { column.shrinks() } else { column }
            });
            let mut table = Table::new(heads.collect());
            for row in rows {
                table.row(fields.iter().map(|field| word(&row[*field])));
            }
            table.write(out, screen)?;
        }
        for text in said["recommendations"].as_array().into_iter().flatten() {
            writeln!(out, "- {}", word(text))?;
        }
        Ok(())
    }
}

const HEADS: [&str; 12] = [
    "ID", "PRIORITY", "SCORE", "REASON", "AGENT", "SEVERITY", "SUBJECT", "FINDING", "ACTION",
    "TEAM", "USED%", "AGENTS",
];

fn show<const K: usize>(cx: &mut Context, reach: &Reach) -> Result<()> {
    let scene = Scene::read(cx)?;
    if reach.dry_run {
        return ask::dry_run(cx, scene.request(KINDS[K], reach), reach);
    }
    if scene.facts.is_empty() {
        return Err(Error::new(
            error::Kind::Empty,
            "no work and no agent is recorded: nobody was asked",
        )
        .hint("`coord add TITLE` queues an item, `coord agent register` tells of an agent"));
    }
    let claude = super::layer(cx)?;
    let signals = guard::signals()?;
    let told = scene.analyse(cx, &claude, KINDS[K], reach, &|| signals.take_stop())?;
    cx.ui.emit(&Analysis::<K>(told))?;
    Ok(())
}

/// The data of an analysis.
pub(super) struct Scene {
    pub(super) facts: Facts,
    plan: Plan,
}

impl Scene {
    /// Reads what the store has to say.
    pub(super) fn read(cx: &mut Context) -> Result<Self> {
        let silent_after = cx.settings()?.silent_after();
        let now = cx.clock.wall();
        let store = cx.reader()?;
        let agents = store.agents()?;
        let items = store.find(&Query::default())?.items;
        let done = store.summary()?.count(State::Done);
        let source = domain::Source { items: &items, agents: &agents, done, now, silent_after };
        let facts = Facts::new(&source);
        let workers: Vec<Worker> =
            agents.into_iter().filter_map(|known| Worker::of(known, now, silent_after)).collect();
        let ready = items.iter().filter(|found| found.state() == State::Pending);
        let jobs: Vec<Job> = ready.map(|found| Job::from(&found.item)).collect();
        Ok(Self { facts, plan: route::plan(&jobs, &workers, false, None) })
    }

    /// What is asked.
    pub(super) fn request(&self, kind: Kind, reach: &Reach) -> Request {
        Request {
            system: Some(kind.system()),
            model: reach.model.clone(),
            schema: Some(kind.schema()),
            ..Request::new(kind.prompt(&self.facts))
        }
    }

    /// Asks, and checks the answer against the data.
    pub(super) fn analyse(
        &self,
        cx: &mut Context,
        claude: &Claude,
        kind: Kind,
        reach: &Reach,
        stop: &dyn Fn() -> Option<Stop>,
    ) -> Result<Told> {
        let by_rules = || {
            let answer = rules::answer(kind, &self.facts, &self.plan);
            let text = answer["summary"].as_str().unwrap_or_default().to_owned();
            Heuristic { text, structured: Some(answer) }
        };
        let command = cx.command.clone();
        let ask = Ask {
            switches: reach.switches(),
            heuristic: Some(&by_rules),
            stop,
            ..Ask::new(self.request(kind, reach), &command)
        };
        let answer = super::ask(cx, claude, ask).map_err(super::failed)?;
        super::notice(cx, &answer);
        let told = self.told(kind, answer);
        if !told.dropped.is_empty() {
            let ids: Vec<String> = told.dropped.iter().map(|d| line(&d.id).into_owned()).collect();
            let what = plural(ids.len() as u64, "entry/entries");
            cx.ui.warning(&format!(
                "{what} dropped, not in the data or not possible: {}",
                ids.join(", ")
            ));
        }
        Ok(told)
    }

    fn told(&self, kind: Kind, answer: Answer) -> Told {
        let mut analysis = answer.structured.unwrap_or_default();
        let dropped = domain::check(kind, &mut analysis, &self.facts);
        Told {
            analysis,
            dropped,
            source: answer.source,
            degraded: answer.degraded,
            reason: answer.reason,
            model: answer.model,
            age_s: answer.age_s,
            attempts: answer.attempts,
            request_id: answer.request_id,
            usage: answer.usage,
            cost_usd: answer.cost_usd,
            items_sent: self.facts.items().count(),
            items_left_out: self.facts.left_out.items,
        }
    }
}
