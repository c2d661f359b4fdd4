//! `coord alert silence`.

use std::io;
use std::time::Duration;

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::Serialize;

use super::rules::Given;
use super::{change, files, remembered};
use crate::commands::{By, Context, Verb};
use crate::domain::alert::Silence;
use crate::domain::name::RuleName;
use crate::domain::time::{parse_duration, rfc3339};
use crate::error::{Error, Kind, Result};
use crate::output::{Column, Screen, Shape, Table, View};

/// Silence an alert rule for a while, or list what is silenced
///
/// A silenced rule is evaluated, but nobody is told that it fires and it does not count for the exit
/// code of `coord alert check`. If it still fires when the silence ends, it is told then. What was
/// told before is also told to be resolved.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord alert silence                                              What is silenced
  coord alert silence memory-high --for 2h --reason 'load test'
  coord alert silence memory-high --lift")]
pub(super) struct Args {
    /// The rule
    #[arg(value_name = "NAME")]
    name: Option<RuleName>,

    /// For how long, such as `2h`
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration, requires = "name", requires = "reason")]
    length: Option<Duration>,

    /// Why
    #[arg(long, value_name = "TEXT", requires = "length")]
    reason: Option<String>,

    /// End its silence now
    #[arg(long, requires = "name", conflicts_with = "length")]
    lift: bool,

    #[command(flatten)]
    by: By,

    #[command(flatten)]
    given: Given,
}

#[derive(JsonSchema, Serialize)]
struct Silences {
    /// Those that hold now, by name.
    silences: Vec<Silence>,
}

impl View for Silences {
    const SCHEMA: &'static str = "coord.alert.silence/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        if self.silences.is_empty() {
            return match screen.width {
                Some(_) => writeln!(out, "nothing is silenced"),
                None => Ok(()),
            };
        }
        let mut table = Table::new(vec![
            Column::new("RULE"),
            Column::new("UNTIL"),
            Column::new("BY"),
            Column::new("REASON").shrinks(),
        ]);
        for silence in &self.silences {
            let until = rfc3339(silence.until);
            table.row([silence.name.clone(), until, silence.by.clone(), silence.reason.clone()]);
        }
        table.write(out, screen)
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.silences.iter().try_for_each(|silence| writeln!(out, "{}", silence.name))
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.silences.iter().map(|row| serde_json::to_value(row).ok()).collect()
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Silences>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let now = cx.clock.wall();
        let record = match (&self.name, self.length) {
            (None, _) => remembered(cx)?.1,
            (Some(name), Some(length)) => {
                let silence = Silence {
                    name: self.given.load(cx)?.find(name)?.name.to_string(),
                    since: now,
                    until: TimeDelta::from_std(length)
                        .ok()
                        .filter(|length| !length.is_zero())
                        .and_then(|length| now.checked_add_signed(length))
                        .ok_or_else(|| {
                            Error::new(Kind::Usage, "a silence lasts longer than nothing")
                                .hint("say for how long, such as `--for 2h`")
                        })?,
                    reason: reason(self.reason)?,
                    by: cx.agent(self.by.agent.as_ref())?.to_string(),
                };
                let alerts = files(cx)?;
                change(cx, &alerts, |record| {
                    record.hush(silence);
                    (record.clone(), true)
                })?
            }
            (Some(name), None) if self.lift => {
                let alerts = files(cx)?;
                let (held, record) = change(cx, &alerts, |record| {
                    let held = record.lift(name.as_str(), now);
                    ((held, record.clone()), true)
                })?;
                if !held {
                    return Err(Error::new(Kind::User, format!("`{name}` is not silenced"))
                        .hint("`coord alert silence` lists what is"));
                }
                record
            }
            (Some(name), None) => {
                return Err(Error::new(Kind::Usage, format!("what is to become of `{name}`?"))
                    .hint("silence it with `--for 2h --reason TEXT`, or end that with `--lift`"));
            }
        };
        let mut silences = record.silences;
        silences.retain(|silence| now < silence.until);
        silences.sort_by(|a, b| a.name.cmp(&b.name));
        cx.ui.emit(&Silences { silences })?;
        Ok(())
    }
}

fn reason(text: Option<String>) -> Result<String> {
    let text = text.unwrap_or_default().trim().to_owned();
    let fits = (1..=500).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    fits.then_some(text).ok_or_else(|| {
        Error::new(Kind::Usage, "a reason is one line of 1 to 500 characters")
            .hint("tell others why, such as `--reason 'load test until noon'`")
    })
}
