//! `coord work complete`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::held::{self, Claim};
use super::{ItemView, input};
use crate::commands::{Context, Verb, values};
use crate::domain::name::ItemId;
use crate::domain::work::{Change, State};
use crate::error::Result;
use crate::output::{Screen, Shape, View, line};

/// Finish an item, well or not
///
/// It is recorded once only: a repetition is told and changes nothing. What failed goes back to the
/// queue while it has attempts left, then it is dead; with `--no-retry` it is failed at once.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
#[command(after_help = "\
Examples:
  coord complete                                  The item you hold is done
  coord complete w-7 --result \"merged as 1a2b3c\"  A named item, with how it ended
  coord complete --failed --result \"no network\"   It went wrong; let it be tried again")]
pub(crate) struct Args {
    /// The item [default: the only one the agent holds]
    pub(crate) id: Option<ItemId>,

    /// It went wrong
    #[arg(long)]
    pub(crate) failed: bool,

    /// Another attempt makes no sense
    #[arg(long, requires = "failed")]
    pub(crate) no_retry: bool,

    /// How it ended; `-` reads it from standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) result: Option<String>,

    /// What it was worth, if that turned out differently
    #[arg(long, value_name = "N", value_parser = values::number, conflicts_with = "failed",
        allow_negative_numbers = true)]
    pub(crate) points: Option<u32>,

    #[command(flatten)]
    pub(crate) claim: Claim,
}

#[derive(JsonSchema, Serialize)]
struct Finished {
    #[serde(flatten)]
    item: ItemView,
    repeated: bool,
    unblocked: Vec<String>,
}

impl View for Finished {
    const SCHEMA: &'static str = "coord.work.complete/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let item = &self.item;
        let how = match item.status {
            "done" => "is done".to_owned(),
            "pending" | "blocked" => {
                let left = item.max_attempts.saturating_sub(item.attempt);
                format!("goes back to the queue, {left} of {} attempts left", item.max_attempts)
            }
            other => format!("is {other}"),
        };
        writeln!(out, "{} {how}: {}", item.id, line(&item.title))?;
        if !self.unblocked.is_empty() {
            writeln!(out, "ready now: {}", self.unblocked.join(", "))?;
        }
        Ok(())
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Finished>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let agent = cx.agent(self.claim.by.agent.as_ref())?;
        let holder = self.claim.holder(cx, &agent)?;
        let result = match self.result.as_deref() {
            Some("-") => Some(input::text(cx)?),
            _ => self.result,
        };
        let op = cx.op(Some(&agent))?;
        let change = if self.failed {
            Change::Fail { holder: holder.clone(), result, retry: !self.no_retry }
        } else {
            Change::Complete { holder: holder.clone(), result, points: self.points }
        };
        let changed = held::change(cx, self.id, &holder, &change, &op)?;
        cx.about(&changed.found.item);
        let (repeated, state) = (changed.repeated, changed.found.state());
        let view = Finished {
            item: ItemView::new(changed.found, op.now),
            repeated,
            unblocked: changed.unblocked.iter().map(ToString::to_string).collect(),
        };
        let id = view.item.id.clone();
        cx.ui.emit(&view)?;
        if repeated {
            cx.ui.status(&format!("`{id}` was {state} already: nothing was counted twice"));
        } else if state == State::Dead {
            cx.ui.status(&format!(
                "it has no attempts left; `coord work release {id} --retry` revives it"
            ));
        }
        Ok(())
    }
}
