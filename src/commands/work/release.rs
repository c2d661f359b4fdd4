//! `coord work release`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::ItemView;
use super::held::{self, Claim};
use crate::commands::{Context, Verb};
use crate::domain::name::ItemId;
use crate::domain::work::Change;
use crate::error::Result;
use crate::output::{Screen, Shape, View, line};

/// Give an item back untouched, or revive a failed or dead one
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
#[command(after_help = "\
Examples:
  coord work release                           Give back what you hold; the attempt is not counted
  coord work release w-7 --note \"needs a key\"  A named item, with why
  coord work release w-7 --retry               Queue a failed or dead item again")]
pub(crate) struct Args {
    /// The item [default: the only one the agent holds]
    #[arg(required_if_eq("retry", "true"))]
    id: Option<ItemId>,

    /// Queue a failed or dead item again, with fresh attempts
    #[arg(long, conflicts_with = "note")]
    retry: bool,

    /// Why
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,

    #[command(flatten)]
    claim: Claim,
}

#[derive(JsonSchema, Serialize)]
struct Released {
    #[serde(flatten)]
    item: ItemView,
    repeated: bool,
}

impl View for Released {
    const SCHEMA: &'static str = "coord.work.release/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        writeln!(out, "{} is {} again: {}", self.item.id, self.item.status, line(&self.item.title))
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Released>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let agent = cx.agent(self.claim.by.agent.as_ref())?;
        let holder = self.claim.holder(cx, &agent)?;
        let op = cx.op(Some(&agent))?;
        let change = if self.retry {
            Change::Retry
        } else {
            Change::Release { holder: holder.clone(), note: self.note }
        };
        let changed = held::change(cx, self.id, &holder, &change, &op)?;
        let repeated = changed.repeated;
        cx.about(&changed.found.item);
        let item = ItemView::new(changed.found, op.now);
        cx.ui.emit(&Released { item, repeated })?;
        Ok(())
    }
}
