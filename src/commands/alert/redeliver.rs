//! `coord alert redeliver`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::deliver::Delivery;
use super::{config, patience, remembered};
use crate::client::notify::Notifier;
use crate::commands::{Context, Verb, from_store};
use crate::error::{Error, Kind, Result};
use crate::output::{Column, Screen, Shape, Table, View, plural};
use crate::store::alerts::{Letter, Lock};

/// Send notices again that could not be delivered
///
/// They lie in `alerts/dead-letters.jsonl` of the state directory. What arrives is taken out, what
/// fails again stays. Each is sent with the `id` that it always had.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord alert redeliver --dry-run    What would be sent
  coord alert redeliver
  coord alert redeliver n-2b7e…      One of them, by its id or the beginning of it")]
pub(super) struct Args {
    /// Their ids, or beginnings of them; all without any
    #[arg(value_name = "ID")]
    ids: Vec<String>,

    /// Tell what would be sent and send nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(JsonSchema, Serialize)]
struct Redelivered {
    /// What was, or would be, sent.
    letters: Vec<Letter>,
    /// How it went; empty for a dry run.
    deliveries: Vec<Delivery>,
    dry_run: bool,
}

impl View for Redelivered {
    const SCHEMA: &'static str = "coord.alert.redeliver/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        if self.letters.is_empty() {
            return match screen.width {
                Some(_) => writeln!(out, "everything was delivered"),
                None => Ok(()),
            };
        }
        let mut table = Table::new(vec![
            Column::new("ID"),
            Column::new("RULE"),
            Column::new("STATUS"),
            Column::new("BY"),
            Column::new("RESULT").shrinks(),
        ]);
        for letter in &self.letters {
            let mut done = self.deliveries.iter();
            let (id, target) = (&letter.notice.id, letter.target.as_str());
            let done = done.find(|delivery| delivery.id == *id && delivery.target == target);
            let result = match done {
                None => format!("failed before: {}", letter.why),
                Some(Delivery { error: Some(why), .. }) => format!("failed again: {why}"),
                Some(_) => "delivered".to_owned(),
            };
            let status = letter.notice.status.as_str().to_owned();
            table.row([id.clone(), letter.notice.name.clone(), status, target.to_owned(), result]);
        }
        table.write(out, screen)
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.letters.iter().try_for_each(|letter| writeln!(out, "{}", letter.notice.id))
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Redelivered>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let (alerts, _) = remembered(cx)?;
        let patience = patience(cx)?;
        let clock = std::sync::Arc::clone(&cx.clock);
        let _right = match &alerts {
            Some(alerts) if !self.dry_run => {
                let right = alerts.lock(Lock::Delivery, patience, clock.as_ref());
                Some(right.map_err(from_store)?.ok_or_else(|| {
                    Error::new(Kind::Conflict, "another process is delivering notices")
                        .hint("try again, or wait longer with `--lock-timeout 1m`")
                })?)
            }
            _ => None,
        };
        let (mut letters, bad) = match &alerts {
            Some(alerts) => alerts.letters().map_err(from_store)?,
            None => (Vec::new(), 0),
        };
        if bad > 0 {
            let bad = plural(bad, "line");
            cx.ui.warning(&format!("{bad} of `alerts/dead-letters.jsonl` cannot be read and stay"));
        }
        if let Some(id) =
            self.ids.iter().find(|id| !letters.iter().any(|l| l.notice.id.starts_with(*id)))
        {
            return Err(Error::new(Kind::User, format!("there is no undelivered notice `{id}`"))
                .hint("`coord alert redeliver --dry-run` lists them"));
        }
        if !self.ids.is_empty() {
            letters.retain(|l| self.ids.iter().any(|id| l.notice.id.starts_with(id)));
        }
        let (mut deliveries, config) = (Vec::new(), config::read(cx)?);
        if let Some(alerts) = alerts.as_ref().filter(|_| !self.dry_run) {
            let ids = crate::sys::RandomIds;
            let mut notifier = Notifier::new(&config, clock.as_ref(), &ids);
            for letter in &letters {
                let result = notifier.send(&letter.notice, letter.target);
                if result.is_ok() {
                    let gone = [(letter.notice.id.clone(), letter.target)];
                    alerts.exhume(&gone).map_err(from_store)?;
                }
                deliveries.push(Delivery::new(&letter.notice, letter.target, &result));
            }
        }
        let failed = deliveries.iter().filter(|delivery| !delivery.delivered).count() as u64;
        cx.ui.emit(&Redelivered { letters, deliveries, dry_run: self.dry_run })?;
        if failed > 0 {
            let failed = plural(failed, "notice");
            return Err(Error::new(Kind::External, format!("{failed} could not be delivered"))
                .undelivered()
                .hint("they are kept; `coord config show` tells what `alert.*` is set to"));
        }
        Ok(())
    }
}
