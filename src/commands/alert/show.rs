//! `coord alert show`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::row::Row;
use super::rules::Given;
use super::{readings, remembered};
use crate::commands::{Context, Verb, from_store};
use crate::domain::alert::{Due, Silence, Transition};
use crate::domain::name::RuleName;
use crate::domain::time::{human_duration, rfc3339};
use crate::error::Result;
use crate::output::{Screen, Shape, View, line, plural};
use crate::store::alerts::Letter;

/// Show one alert rule: how it stands, when it fired and resolved, what is still to be told
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord alert show memory-high
  coord alert show memory-high --json | jq '.data.history[-1]'")]
pub(super) struct Args {
    /// The rule
    #[arg(value_name = "NAME")]
    name: RuleName,

    #[command(flatten)]
    given: Given,
}

#[derive(JsonSchema, Serialize)]
struct Shown {
    rule: Row,
    /// When rules were last checked, RFC 3339.
    checked_at: Option<String>,
    silence: Option<Silence>,
    /// When it fired and resolved, oldest first; the last thousand of all rules are kept.
    history: Vec<Transition>,
    /// Notices that are still to be sent.
    due: Vec<Due>,
    /// Notices that could not be delivered.
    dead_letters: Vec<Letter>,
}

impl View for Shown {
    const SCHEMA: &'static str = "coord.alert.show/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let rule = &self.rule;
        let time =
            |s: f64| human_duration(std::time::Duration::try_from_secs_f64(s).unwrap_or_default());
        writeln!(out, "{} ({}): {}", rule.name, rule.severity, line(&rule.summary))?;
        let window = time(rule.window_s);
        writeln!(out, "fires if    {} over {window}, for {}", rule.condition, time(rule.for_s))?;
        writeln!(out, "needs       {}", plural(rule.min_samples, "sample"))?;
        writeln!(out, "said in     {}", line(&rule.source))?;
        writeln!(out, "value now   {}", rule.shown())?;
        let since = rule.since.as_ref().map(|since| format!(" since {since}"));
        writeln!(out, "state       {}{}", rule.state, since.unwrap_or_default())?;
        writeln!(out, "checked     {}", self.checked_at.as_deref().unwrap_or("never"))?;
        if let Some(silence) = &self.silence {
            let (until, by) = (rfc3339(silence.until), line(&silence.by));
            writeln!(out, "silenced    until {until} by {by}: {}", line(&silence.reason))?;
        }
        for due in &self.due {
            let ways: Vec<_> = due.targets.iter().map(|target| target.as_str()).collect();
            writeln!(out, "due         {} by {}", due.notice.status.as_str(), ways.join(", "))?;
        }
        for letter in &self.dead_letters {
            let (status, way) = (letter.notice.status.as_str(), letter.target.as_str());
            writeln!(out, "undelivered {status} by {way}: {}", line(&letter.why))?;
        }
        writeln!(out, "history")?;
        if self.history.is_empty() {
            return writeln!(out, "  nothing recorded");
        }
        for event in &self.history {
            let reason = event.reason.as_ref().map(|reason| format!(" ({reason})"));
            let value = event.value.map(|value| format!(", it was {}", rule.show(value)));
            let silenced = if event.silenced { ", silenced" } else { "" };
            writeln!(
                out,
                "  {} {}{}: {}{}{silenced}",
                rfc3339(event.at),
                event.status.as_str(),
                line(&reason.unwrap_or_default()),
                line(&event.condition),
                value.unwrap_or_default(),
            )?;
        }
        Ok(())
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "{}", self.rule.state)
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Shown>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let rules = self.given.load(cx)?;
        let rule = rules.find(&self.name)?.clone();
        let reading =
            readings(cx, std::slice::from_ref(&rule))?.first().copied().unwrap_or_default();
        let (alerts, record) = remembered(cx)?;
        let letters = match alerts {
            Some(alerts) => alerts.letters().map_err(from_store)?.0,
            None => Vec::new(),
        };
        let now = cx.clock.wall();
        let name = rule.name.as_str();
        let silence = record.silence(name, now).cloned();
        let until = silence.as_ref().map(|silence| silence.until);
        let shown = Shown {
            rule: Row::new(&rule, reading, record.state(&rule.name), until, now),
            checked_at: record.checked_at.clone(),
            silence,
            history: record.history.iter().filter(|event| event.name == name).cloned().collect(),
            due: record.due.iter().filter(|due| due.notice.name == name).cloned().collect(),
            dead_letters: letters.into_iter().filter(|l| l.notice.name == name).collect(),
        };
        cx.ui.emit(&shown)?;
        Ok(())
    }
}
