//! `coord work progress`.

use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::ItemView;
use super::held::{self, Claim};
use crate::commands::{Context, Verb, values};
use crate::domain::name::ItemId;
use crate::domain::time::{human_duration, parse_duration};
use crate::domain::work::Change;
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line};

/// Report how far an item is, and renew its lease
///
/// A lone number is the percentage; the item is then the one that the agent holds.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
#[command(after_help = "\
Examples:
  coord progress 40                         The item you hold is at 40 %
  coord progress w-7 60 --note \"tests pass\"  A named item, with a word on it
  coord progress --lease 2h                 Only renew the lease, for two hours")]
pub(crate) struct Args {
    /// The item [default: the only one the agent holds]
    #[arg(allow_negative_numbers = true)]
    pub(crate) id: Option<String>,

    /// How far it is, 0 to 100
    #[arg(allow_negative_numbers = true)]
    pub(crate) percent: Option<String>,

    /// What there is to say about it
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,

    /// How long the claim shall hold from now on [default: as before]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) lease: Option<Duration>,

    #[command(flatten)]
    pub(crate) claim: Claim,
}

#[derive(JsonSchema, Serialize)]
struct Reported {
    #[serde(flatten)]
    item: ItemView,
    repeated: bool,
}

impl View for Reported {
    const SCHEMA: &'static str = "coord.work.progress/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let left = self.item.lease_left_s.map(Duration::from_secs).map(human_duration);
        let lease = left.map_or_else(String::new, |left| format!(", yours for {left}"));
        let (id, percent) = (&self.item.id, self.item.progress);
        writeln!(out, "{id} is at {percent} %{lease}: {}", line(&self.item.title))
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Reported>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let (id, percent) = match (self.id, self.percent) {
            (Some(lone), None) if is_number(&lone) => (None, Some(lone)),
            both => both,
        };
        let wrong = |what: &str, text: &str, why: &dyn std::fmt::Display| {
            Error::new(Kind::Usage, format!("`{}` is no {what}: {why}", text.escape_debug()))
                .hint("usage: coord work progress [ID] [PERCENT] [--note TEXT]")
        };
        let percent = match percent {
            Some(text) => {
                Some(values::percent(&text).map_err(|why| wrong("percentage", &text, &why))?)
            }
            None => None,
        };
        let id = match id {
            Some(text) => Some(text.parse::<ItemId>().map_err(|why| wrong("id", &text, &why))?),
            None => None,
        };
        if self.lease.is_some_and(|l| l.is_zero()) {
            return Err(Error::new(Kind::Usage, "a lease of no length")
                .hint("give the item back with `coord work release`"));
        }
        let agent = cx.agent(self.claim.by.agent.as_ref())?;
        let holder = self.claim.holder(cx, &agent)?;
        let op = cx.op(Some(&agent))?;
        let change = Change::Progress {
            holder: holder.clone(),
            percent,
            note: self.note,
            lease: self.lease,
        };
        let changed = held::change(cx, id, &holder, &change, &op)?;
        cx.about(&changed.found.item);
        let item = ItemView::new(changed.found, op.now);
        cx.ui.emit(&Reported { item, repeated: changed.repeated })?;
        Ok(())
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let digits = digits.strip_suffix('%').unwrap_or(digits);
    !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit())
}
