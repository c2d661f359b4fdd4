//! `coord alert test`.

use std::io;
use std::time::Duration;

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::Serialize;

use super::deliver::Delivery;
use super::rules::Given;
use super::{config, origin, readings};
use crate::client::notify::Notifier;
use crate::commands::{Context, Verb};
use crate::domain::alert::{Notice, Reading, Rule, State, Status, step};
use crate::domain::name::RuleName;
use crate::domain::time::{human_duration, parse_duration};
use crate::error::{Error, Kind, Result};
use crate::output::{Column, Screen, Shape, Table, View};

/// Send a test notice for a rule, or try the rule on given values
///
/// Without `--values` a notice with the status `test` goes out by every way that the settings `alert.*`
/// name, and what became of it is shown; nothing is remembered or kept. Exit code 5 if a way failed.
///
/// With `--values` nothing is sent: the rule is evaluated on one value after the other, `--every` so
/// long, and shown is when it would be pending, fire and resolve. `-` stands for no data.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord alert test memory-high
  coord alert test response-time-high --values 90ms,130ms,140ms,-,100ms
  coord alert test availability-low --values 99.5%,98%,98%,98% --every 5m")]
pub(super) struct Args {
    /// The rule
    #[arg(value_name = "NAME")]
    name: RuleName,

    /// Values in the rule's unit, separated by commas; `-` for no data
    #[arg(long, value_name = "LIST", value_delimiter = ',', allow_hyphen_values = true)]
    values: Vec<String>,

    /// How long after each other they are measured
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_duration, requires = "values")]
    every: Duration,

    #[command(flatten)]
    given: Given,
}

#[derive(JsonSchema, Serialize)]
struct Sent {
    notice: Notice,
    deliveries: Vec<Delivery>,
}

impl View for Sent {
    const SCHEMA: &'static str = "coord.alert.test/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        let mut table = Table::new(vec![
            Column::new("BY"),
            Column::new("ATTEMPTS").right(),
            Column::new("RESULT").shrinks(),
        ]);
        for delivery in &self.deliveries {
            let result = delivery.error.as_ref().map(|why| format!("failed: {why}"));
            table.row([
                delivery.target.to_owned(),
                delivery.attempts.to_string(),
                result.unwrap_or_else(|| "delivered".to_owned()),
            ]);
        }
        table.write(out, screen)
    }
}

#[derive(JsonSchema, Serialize)]
struct Tried {
    name: String,
    condition: String,
    steps: Vec<Tick>,
}

#[derive(JsonSchema, Serialize)]
struct Tick {
    /// Since the first value.
    after_s: f64,
    /// Null for no data.
    value: Option<f64>,
    /// `ok`, `no-data`, `pending`, `firing`.
    state: &'static str,
    /// `fired`, `resolved`.
    change: Option<&'static str>,
    #[serde(skip)]
    #[schemars(skip)]
    shown: String,
}

impl View for Tried {
    const SCHEMA: &'static str = "coord.alert.try/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        let mut table = Table::new(vec![
            Column::new("AFTER").right(),
            Column::new("VALUE").right(),
            Column::new("STATE"),
            Column::new("CHANGE"),
        ]);
        for tick in &self.steps {
            let after = Duration::try_from_secs_f64(tick.after_s).unwrap_or_default();
            let change = tick.change.unwrap_or_default().to_owned();
            table.row([human_duration(after), tick.shown.clone(), tick.state.to_owned(), change]);
        }
        table.write(out, screen)
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Sent>(), Shape::of::<Tried>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let rules = self.given.load(cx)?;
        let rule = rules.find(&self.name)?;
        if self.values.is_empty() { send(cx, rule) } else { self.evaluate(cx, rule) }
    }
}

impl Args {
    fn evaluate(&self, cx: &mut Context, rule: &Rule) -> Result<()> {
        let unit = rule.metric.unit;
        let (mut state, mut last, mut steps) = (State::New, None, Vec::new());
        let begin = cx.clock.wall();
        for (at, text) in (0..).zip(&self.values) {
            let value = match text.trim() {
                "-" => None,
                text => Some(unit.read(text).ok_or_else(|| {
                    let wrong = format!("`{text}` is no value of `{}`", rule.metric.name);
                    Error::new(Kind::Usage, wrong)
                        .hint(format!("give {}, or `-` for no data", unit.example()))
                })?),
            };
            let reading = Reading { value, samples: rule.min_samples };
            let after = self.every.saturating_mul(at);
            let now = TimeDelta::from_std(after).ok().and_then(|t| begin.checked_add_signed(t));
            let now = now.ok_or_else(|| {
                Error::new(Kind::Usage, "the values reach too far into the future")
                    .hint("give a shorter `--every`, such as `1m`")
            })?;
            let (next, change) = step(state, rule, reading, now, last);
            (state, last) = (next, Some(now));
            steps.push(Tick {
                after_s: after.as_secs_f64(),
                value,
                state: state.as_str(),
                change: change.map(|change| match change {
                    crate::domain::alert::Change::Fired => "fired",
                    crate::domain::alert::Change::Resolved => "resolved",
                }),
                shown: value.map_or_else(|| "-".to_owned(), |value| unit.show(value)),
            });
        }
        let tried = Tried { name: rule.name.to_string(), condition: rule.condition(), steps };
        cx.ui.emit(&tried)?;
        Ok(())
    }
}

fn send(cx: &mut Context, rule: &Rule) -> Result<()> {
    let config = config::read(cx)?;
    let targets = config.targets();
    if targets.is_empty() {
        return Err(Error::new(Kind::Config, "nobody is to be told of alerts")
            .hint("set `alert.webhook-url`, `alert.command` or `alert.file` with `coord config set --user`")
            .hint("with `--values` the rule is tried on values, and nothing is sent"));
    }
    let reading = readings(cx, std::slice::from_ref(rule))?.first().copied().unwrap_or_default();
    let now = cx.clock.wall();
    let notice = Notice::of(rule, reading, Status::Test, (now, now), &origin(cx)?);
    let (clock, ids) = (std::sync::Arc::clone(&cx.clock), crate::sys::RandomIds);
    let mut notifier = Notifier::new(&config, clock.as_ref(), &ids);
    let tried = targets.into_iter().map(|target| {
        let result = notifier.send(&notice, target);
        Delivery::new(&notice, target, &result)
    });
    let deliveries: Vec<_> = tried.collect();
    let failed = deliveries.iter().any(|delivery| !delivery.delivered);
    cx.ui.emit(&Sent { notice, deliveries })?;
    if failed {
        return Err(Error::new(Kind::External, "the test notice did not arrive everywhere")
            .undelivered()
            .hint("`coord config show` tells what `alert.*` is set to"));
    }
    Ok(())
}
