//! `coord work list`.

use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::ItemView;
use crate::commands::{Context, Verb, values};
use crate::domain::name::{AgentId, Team, Word};
use crate::domain::time::human_duration;
use crate::domain::work::{Priority, Query, Sort, State};
use crate::error::{Error, Kind, Result};
use crate::output::{Column, Format, Screen, Shape, Table, View, plural};

/// List items: what is open, or what the filters say
///
/// Every filter that is given must be met. On a pipe the columns are id, status, priority, agent,
/// progress, team, type and title, separated by tabs.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  coord work list                           What is open, the most urgent first
  coord work list --ready --team core       What core could claim now
  coord work list --all --json | jq .data.items[].id
  coord work list --mine --watch            What you hold, as it changes")]
pub(crate) struct Args {
    /// Only items in this state; may be given more than once
    #[arg(long = "status", value_name = "STATE", value_parser = values::state())]
    states: Vec<State>,

    /// Only what could be claimed now
    #[arg(long)]
    ready: bool,

    /// Only what waits for other items
    #[arg(long)]
    blocked: bool,

    /// Only what failed as often as it may
    #[arg(long)]
    dead: bool,

    /// Only what you hold or what is kept for you
    #[arg(long, conflicts_with = "agent")]
    mine: bool,

    /// Only work of this team
    #[arg(long, value_name = "NAME")]
    team: Option<Team>,

    /// Only work of this type
    #[arg(long = "type", value_name = "NAME")]
    kind: Option<Word>,

    /// Only work with this label; more than once: with all of them
    #[arg(long = "label", value_name = "NAME")]
    labels: Vec<Word>,

    /// Only work of this priority; may be given more than once
    #[arg(long = "priority", value_name = "PRIORITY", value_parser = values::priority())]
    priorities: Vec<Priority>,

    /// Only what this agent holds or what is kept for it
    #[arg(long, value_name = "ID")]
    agent: Option<AgentId>,

    /// Only what has this text in its title
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,

    /// Also what is done
    #[arg(long)]
    all: bool,

    /// The order
    #[arg(long, value_name = "ORDER", value_parser = values::sort(), default_value = "priority")]
    sort: Sort,

    /// The order backwards
    #[arg(long)]
    reverse: bool,

    /// At most so many
    #[arg(long, short = 'n', value_name = "N", value_parser = values::count,
        allow_negative_numbers = true)]
    limit: Option<usize>,

    /// Show it again whenever it changes, until stopped
    #[arg(long)]
    watch: bool,
}

#[derive(JsonSchema, Serialize)]
struct List {
    items: Vec<ItemView>,
    shown: usize,
    total: u64,
}

impl View for List {
    const SCHEMA: &'static str = "coord.work.list/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        if self.items.is_empty() {
            return if screen.width.is_some() {
                writeln!(out, "nothing recorded that fits")
            } else {
                Ok(())
            };
        }
        let mut table = Table::new(vec![
            Column::new("ID"),
            Column::new("STATUS"),
            Column::new("PRIORITY"),
            Column::new("AGENT").shrinks(),
            Column::new("%").right(),
            Column::new("TEAM").shrinks(),
            Column::new("TYPE").shrinks(),
            Column::new("TITLE").shrinks(),
        ]);
        for item in &self.items {
            let agent = if item.status == "active" { &item.agent } else { &item.assignee };
            table.row([
                item.id.clone(),
                item.status.to_owned(),
                item.priority.to_owned(),
                agent.clone().unwrap_or_default(),
                item.progress.to_string(),
                item.team.clone().unwrap_or_default(),
                item.kind.clone().unwrap_or_default(),
                item.title.clone(),
            ]);
        }
        table.write(out, screen)
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.items.iter().try_for_each(|item| writeln!(out, "{}", item.id))
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.items.iter().map(|item| serde_json::to_value(item).ok()).collect()
    }
}

impl Args {
    fn query(&self, cx: &Context) -> Result<Query> {
        let mut states = self.states.clone();
        for (wanted, state) in
            [(self.ready, State::Pending), (self.blocked, State::Blocked), (self.dead, State::Dead)]
        {
            if wanted && !states.contains(&state) {
                states.push(state);
            }
        }
        let agent = if self.mine { Some(cx.agent(None)?) } else { self.agent.clone() };
        Ok(Query {
            states,
            team: self.team.clone(),
            kind: self.kind.clone(),
            labels: self.labels.clone(),
            priorities: self.priorities.clone(),
            agent,
            text: self.search.clone(),
            all: self.all,
            sort: self.sort,
            reverse: self.reverse,
            limit: self.limit,
        })
    }
}

fn look(cx: &mut Context, query: &Query) -> Result<List> {
    let now = cx.stamp();
    let page = cx.reader()?.find(query)?;
    let items: Vec<_> = page.items.into_iter().map(|f| ItemView::new(f, now)).collect();
    Ok(List { shown: items.len(), items, total: page.total })
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<List>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let query = self.query(cx)?;
        let list = look(cx, &query)?;
        if self.watch {
            cx.lasting = true;
            return watch(cx, &query, list);
        }
        let hidden = list.total.saturating_sub(list.shown as u64);
        cx.ui.emit(&list)?;
        if hidden > 0 && cx.ui.format() == Format::Human && cx.ui.is_attended() {
            cx.ui.status(&format!("{} not shown", plural(hidden, "more item")));
        }
        Ok(())
    }
}

/// How long at most until the list is looked at again.
const WATCH: Duration = Duration::from_secs(2);

fn watch(cx: &mut Context, query: &Query, mut list: List) -> Result<()> {
    if cx.ui.format() == Format::Yaml {
        return Err(Error::new(Kind::Usage, "`--watch` does not go with YAML")
            .hint("use `--format jsonl` or `--json`: one line for each change"));
    }
    let started = cx.clock.monotonic();
    loop {
        if cx.ui.is_attended() && cx.ui.format() == Format::Human {
            cx.ui.clear()?;
            let since = human_duration(cx.clock.monotonic().saturating_sub(started));
            cx.ui.emit(&list)?;
            cx.ui.status(&format!("watching for {since}; Ctrl-C stops it"));
        } else {
            cx.ui.emit(&list)?;
        }
        list = loop {
            cx.reader()?.wait(WATCH)?;
            let next = look(cx, query)?;
            if next.changed(&list) {
                break next;
            }
        };
    }
}

impl List {
    /// Whether it holds other items or other versions of them; a lease that runs is no change.
    fn changed(&self, before: &Self) -> bool {
        let versions = |list: &Self| -> Vec<(u64, &'static str)> {
            list.items.iter().map(|item| (item.n, item.status)).collect()
        };
        self.total != before.total || versions(self) != versions(before)
    }
}
