//! `coord work edit`.

use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{ItemView, held};
use crate::commands::{By, Context, Verb, values};
use crate::domain::name::{ItemId, Team, Word};
use crate::domain::time::parse_duration;
use crate::domain::work::{Change, Edit, Priority};
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line};

/// Change what an item says; what is done stays as it is
///
/// Nothing is changed but what is named. `--label`, `--capability` and `--needs` add, their
/// opposites with `no-` take away.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  coord work edit w-7 --priority critical
  coord work edit w-7 --label ui --no-label api --needs w-8
  coord work edit w-7 --title \"Fix the login\" --no-team")]
pub(crate) struct Args {
    /// The item, or an unambiguous beginning of its id
    id: ItemId,

    /// A new title
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    title: Option<String>,

    /// A new description
    #[arg(long, short, value_name = "TEXT", allow_hyphen_values = true)]
    description: Option<String>,

    /// No description any more
    #[arg(long, conflicts_with = "description")]
    no_description: bool,

    /// A new priority
    #[arg(long, short, value_name = "PRIORITY", value_parser = values::priority())]
    priority: Option<Priority>,

    /// A new team
    #[arg(long, value_name = "NAME")]
    team: Option<Team>,

    /// No team any more
    #[arg(long, conflicts_with = "team")]
    no_team: bool,

    /// A new type
    #[arg(long = "type", value_name = "NAME")]
    kind: Option<Word>,

    /// No type any more
    #[arg(long, conflicts_with = "kind")]
    no_type: bool,

    /// A label to add; may be given more than once
    #[arg(long = "label", value_name = "NAME")]
    labels: Vec<Word>,

    /// A label to take away; may be given more than once
    #[arg(long = "no-label", value_name = "NAME")]
    no_labels: Vec<Word>,

    /// A capability to ask for; may be given more than once
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<Word>,

    /// A capability no longer asked for; may be given more than once
    #[arg(long = "no-capability", value_name = "NAME")]
    no_capabilities: Vec<Word>,

    /// An item to wait for; may be given more than once
    #[arg(long, value_name = "ID")]
    needs: Vec<ItemId>,

    /// An item no longer waited for; may be given more than once
    #[arg(long, value_name = "ID")]
    no_needs: Vec<ItemId>,

    /// New points
    #[arg(long, value_name = "N", value_parser = values::number, allow_negative_numbers = true)]
    points: Option<u32>,

    /// No points any more
    #[arg(long, conflicts_with = "points")]
    no_points: bool,

    /// A new estimate
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    estimate: Option<Duration>,

    /// No estimate any more
    #[arg(long, conflicts_with = "estimate")]
    no_estimate: bool,

    /// A new limit of attempts
    #[arg(long, value_name = "N", value_parser = values::number, allow_negative_numbers = true)]
    max_attempts: Option<u32>,

    #[command(flatten)]
    by: By,
}

#[derive(JsonSchema, Serialize)]
struct Edited {
    #[serde(flatten)]
    item: ItemView,
    changed: bool,
    unblocked: Vec<String>,
}

impl View for Edited {
    const SCHEMA: &'static str = "coord.work.edit/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let how = if self.changed { "changed" } else { "was so already" };
        writeln!(out, "{} {how}: {}", self.item.id, line(&self.item.title))
    }
}

/// What is set, taken away, or left alone.
#[expect(clippy::option_option, reason = "it is what an edit consists of")]
fn choice<T>(set: Option<T>, clear: bool) -> Option<Option<T>> {
    if clear { Some(None) } else { set.map(Some) }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Edited>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let edit = Edit {
            title: self.title,
            description: choice(self.description, self.no_description),
            priority: self.priority,
            team: choice(self.team, self.no_team),
            kind: choice(self.kind, self.no_type),
            add_labels: self.labels,
            remove_labels: self.no_labels,
            add_capabilities: self.capabilities,
            remove_capabilities: self.no_capabilities,
            add_needs: self.needs,
            remove_needs: self.no_needs,
            points: choice(self.points, self.no_points),
            estimate_s: choice(self.estimate.map(|e| e.as_secs()), self.no_estimate),
            max_attempts: self.max_attempts,
        };
        if is_empty(&edit) {
            return Err(Error::new(Kind::Usage, "nothing to change was named")
                .hint("`coord work edit --help` shows what can be changed"));
        }
        let op = cx.op(self.by.agent.as_ref())?;
        let change = Change::Edit(Box::new(edit));
        let changed = held::named(cx.reader()?, &self.id, &change, &op)?;
        let view = Edited {
            changed: !changed.repeated,
            unblocked: changed.unblocked.iter().map(ToString::to_string).collect(),
            item: ItemView::new(changed.found, op.now),
        };
        cx.ui.emit(&view)?;
        Ok(())
    }
}

fn is_empty(edit: &Edit) -> bool {
    edit.title.is_none()
        && edit.description.is_none()
        && edit.priority.is_none()
        && edit.team.is_none()
        && edit.kind.is_none()
        && edit.points.is_none()
        && edit.estimate_s.is_none()
        && edit.max_attempts.is_none()
        && [&edit.add_labels, &edit.remove_labels].iter().all(|list| list.is_empty())
        && [&edit.add_capabilities, &edit.remove_capabilities].iter().all(|list| list.is_empty())
        && [&edit.add_needs, &edit.remove_needs].iter().all(|list| list.is_empty())
}
