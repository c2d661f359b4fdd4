//! What `coord kpi report` tells, and its form for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::markdown;
use crate::domain::kpi::{Figure, Gate, Kpi, Required, Trend, Verdict, Week, text, trend};
use crate::domain::telemetry::{Observed, Window};
use crate::domain::time::{human_duration, rfc3339};
use crate::output::chart;
use crate::output::style::{DIM, ERROR, HEADER, LITERAL, WARNING};
use crate::output::{Column, Screen, Table, View, plural};

/// From this width on there is room for lines of columns.
const WITH_SPARKS: usize = 96;

/// A stretch of time that is looked at.
pub(super) struct Period {
    pub(super) window: Window,
    week: Option<String>,
    complete: bool,
}

impl Period {
    /// A window that is over.
    pub(super) const fn of(window: Window) -> Self {
        Self { window, week: None, complete: true }
    }

    /// A week.
    pub(super) fn week(week: Week, now: DateTime<Utc>) -> Self {
        let window = week.window();
        Self { window, week: Some(week.name()), complete: window.to <= now }
    }
}

/// The whole report.
#[derive(JsonSchema, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    card: Card,
    /// When this report was made.
    made: String,
    /// When the first operation began that is still on record; null without any.
    recorded_since: Option<String>,
    /// Operations in the window.
    operations: u64,
    /// Lines of telemetry that cannot be read.
    bad_lines: u64,
    /// The values in parts of the window, or in weeks, oldest first.
    series: Vec<Point>,
    /// A card for each week, oldest first; the last one is this report's. Null without `--weekly`.
    weeks: Option<Vec<Card>>,
    /// What the gate found; null without `--gate`.
    gate: Option<Judged>,
    #[serde(skip)]
    markdown: bool,
    #[serde(skip)]
    measured: Vec<Figure>,
}

/// Figures of a stretch of time.
#[derive(Clone, JsonSchema, Serialize)]
pub(super) struct Card {
    /// Its beginning.
    pub(super) from: String,
    /// Its end, no part of it.
    pub(super) to: String,
    /// Which week it is, such as `2026-W48`; null where it is none.
    pub(super) week: Option<String>,
    /// Whether it is over.
    pub(super) complete: bool,
    /// How many targets are met.
    pub(super) met: u64,
    pub(super) missed: u64,
    /// Figures of which too little is recorded to prove that the target is met.
    pub(super) not_shown: u64,
    pub(super) no_target: u64,
    pub(super) nothing_recorded: u64,
    pub(super) figures: Vec<Row>,
    #[serde(skip)]
    window: Window,
}

/// A figure.
#[derive(Clone, JsonSchema, Serialize)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// `percent`, `ms`, `s`, `mb`, `per-hour`, `points` or `scripts`.
    unit: &'static str,
    /// `higher` or `lower`.
    better: &'static str,
    /// What is measured.
    pub(super) about: &'static str,
    /// In its unit; null if nothing is recorded.
    pub(super) value: Option<f64>,
    /// In its unit; null if there is none.
    pub(super) target: Option<f64>,
    /// `met`, `missed`, `not-shown`, `no-target` or `nothing-recorded`.
    verdict: &'static str,
    /// How many things were measured.
    pub(super) sample: u64,
    /// How many of them were not as they should be; null for figures that are no share.
    bad: Option<u64>,
    /// The share in percent that the sample proves at 95 % confidence; null for figures that are none.
    bound_percent: Option<f64>,
    /// How large a sample proves the target if no more fail; null unless the verdict is `not-shown`.
    needed: Option<u64>,
    /// What it rests on.
    pub(super) why: String,
    /// The value in the time before; null if nothing was recorded then.
    before: Option<f64>,
    /// `better`, `worse` or `same` as in the time before; null if there is nothing to compare with.
    trend: Option<&'static str>,
    #[serde(skip)]
    pub(super) kpi: Kpi,
    #[serde(skip)]
    pub(super) said: Verdict,
}

/// The values of a part of the time.
#[derive(JsonSchema, Serialize)]
pub(super) struct Point {
    pub(super) from: String,
    to: String,
    week: Option<String>,
    /// By the name of the figure; null where nothing is recorded.
    pub(super) values: BTreeMap<&'static str, Option<f64>>,
    #[serde(skip)]
    pub(super) label: String,
    #[serde(skip)]
    pub(super) samples: BTreeMap<&'static str, u64>,
}

/// What the gate found.
#[derive(JsonSchema, Serialize)]
struct Judged {
    passed: bool,
    /// The figures that were required.
    required: Vec<&'static str>,
    failures: Vec<Failure>,
}

#[derive(JsonSchema, Serialize)]
pub(super) struct Failure {
    pub(super) name: &'static str,
    pub(super) why: String,
}

impl Card {
    fn new(period: &Period, figures: &[Figure], before: &[Figure]) -> Self {
        let count = |verdict| figures.iter().filter(|f| f.verdict == verdict).count() as u64;
        let before = |kpi| before.iter().find(|f| f.kpi == kpi).and_then(|f| f.value);
        Self {
            from: rfc3339(period.window.from),
            to: rfc3339(period.window.to),
            week: period.week.clone(),
            complete: period.complete,
            met: count(Verdict::Met),
            missed: count(Verdict::Missed),
            not_shown: count(Verdict::NotShown),
            no_target: count(Verdict::NoTarget),
            nothing_recorded: count(Verdict::NothingRecorded),
            figures: figures.iter().map(|figure| Row::new(figure, before(figure.kpi))).collect(),
            window: period.window,
        }
    }

    /// Its time, for people.
    pub(super) fn heading(&self) -> String {
        let day = |at: DateTime<Utc>| at.format("%Y-%m-%d").to_string();
        if let Some(week) = &self.week {
            let last = self.window.to - TimeDelta::days(1);
            let so_far = if self.complete { "" } else { ", so far" };
            return format!("{week} ({} to {}{so_far})", day(self.window.from), day(last));
        }
        let minute = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M").to_string();
        let (from, to) = (minute(self.window.from), minute(self.window.to));
        format!("{from} to {to} UTC ({})", human_duration(self.window.length()))
    }

    /// What it comes to, for people.
    pub(super) fn sum(&self) -> String {
        let (met, missed, not_shown) = (self.met, self.missed, self.not_shown);
        let mut text = format!("{met} met, {missed} missed, {not_shown} not proven");
        if self.no_target > 0 {
            let _ = write!(text, ", {} without a target", self.no_target);
        }
        if self.nothing_recorded > 0 {
            let _ = write!(text, ", {} with nothing recorded", self.nothing_recorded);
        }
        text
    }
}

impl Row {
    fn new(figure: &Figure, before: Option<f64>) -> Self {
        let kpi = figure.kpi;
        Self {
            name: kpi.name(),
            title: kpi.title(),
            unit: kpi.unit().as_str(),
            better: kpi.better().as_str(),
            about: kpi.about(),
            value: figure.value,
            target: figure.target,
            verdict: figure.verdict.as_str(),
            sample: figure.sample,
            bad: figure.bad,
            bound_percent: figure.bound,
            needed: figure.needed,
            why: figure.why.clone(),
            before,
            trend: trend(kpi, figure.value, before).map(Trend::as_str),
            kpi,
            said: figure.verdict,
        }
    }

    /// The value for people.
    pub(super) fn shown(&self) -> String {
        let unit = self.kpi.unit();
        self.value.map_or_else(|| "nothing recorded".to_owned(), |value| text::value(value, unit))
    }

    /// The target for people.
    pub(super) fn aim(&self) -> String {
        let word = if self.better == "higher" { "at least" } else { "at most" };
        let unit = self.kpi.unit();
        self.target
            .map_or_else(|| "none".to_owned(), |t| format!("{word} {}", text::value(t, unit)))
    }

    /// How it compares with the time before, for people.
    pub(super) fn course(&self) -> &'static str {
        match (self.trend, self.better == "higher") {
            (Some("same"), _) => "= same",
            (Some("better"), true) => "▲ better",
            (Some("better"), false) => "▼ better",
            (Some(_), true) => "▼ worse",
            (Some(_), false) => "▲ worse",
            (None, _) => "-",
        }
    }
}

impl Point {
    fn new(period: &Period, figures: &[Figure], short: bool) -> Self {
        let form = if short { "%m-%d %H:%M" } else { "%m-%d" };
        let day = period.window.from.format(form).to_string();
        Self {
            from: rfc3339(period.window.from),
            to: rfc3339(period.window.to),
            label: period.week.clone().unwrap_or(day),
            week: period.week.clone(),
            values: figures.iter().map(|f| (f.kpi.name(), f.value)).collect(),
            samples: figures.iter().map(|f| (f.kpi.name(), f.sample)).collect(),
        }
    }
}

impl Report {
    /// Puts it together. The first period is the time before; then come either weeks, or the window
    /// and its parts. `observed` is what is known of the newest one, whose figures these are.
    pub(super) fn new(
        periods: &[Period],
        mut figures: Vec<Vec<Figure>>,
        observed: &Observed,
        now: DateTime<Utc>,
        (weekly, markdown): (bool, bool),
    ) -> Self {
        let card = |at: usize| Card::new(&periods[at], &figures[at], &figures[at - 1]);
        let (newest, parts) = if weekly { (periods.len() - 1, 1) } else { (1, 2) };
        let weeks = weekly.then(|| (1..periods.len()).map(card).collect());
        let short = periods.last().is_some_and(|p| p.window.length().as_secs() < 86_400);
        let point = |at: usize| Point::new(&periods[at], &figures[at], short);
        Self {
            card: card(newest),
            made: rfc3339(now),
            recorded_since: observed.since.map(rfc3339),
            operations: observed.operations.total.count(),
            bad_lines: observed.bad_lines,
            series: (parts..periods.len()).map(point).collect(),
            weeks,
            gate: None,
            markdown,
            measured: figures.swap_remove(newest),
        }
    }

    /// Lets a gate judge it.
    pub(super) fn judge(&mut self, required: &Required) {
        let gate = Gate::new(&self.measured, required);
        let failure = |(kpi, why): (Kpi, String)| Failure { name: kpi.name(), why };
        let failures: Vec<Failure> = gate.failures.into_iter().map(failure).collect();
        let required = required.0.iter().map(|kpi| kpi.name()).collect();
        self.gate = Some(Judged { passed: failures.is_empty(), required, failures });
    }

    /// What fails the gate; nothing without one.
    pub(super) fn failures(&self) -> &[Failure] {
        self.gate.as_ref().map_or(&[], |gate| &gate.failures)
    }

    /// Whether a gate judged it.
    pub(super) const fn is_judged(&self) -> bool {
        self.gate.is_some()
    }

    /// When it was made.
    pub(super) fn made(&self) -> &str {
        &self.made
    }

    /// The newest card.
    pub(super) const fn card(&self) -> &Card {
        &self.card
    }

    /// The cards to be shown, oldest first.
    pub(super) fn cards(&self) -> &[Card] {
        self.weeks.as_deref().unwrap_or(std::slice::from_ref(&self.card))
    }

    /// The course of the figures.
    pub(super) fn series(&self) -> &[Point] {
        &self.series
    }

    /// What the figures rest on as a whole, for people.
    pub(super) fn basis(&self) -> String {
        let mut text = match &self.recorded_since {
            Some(since) => format!(
                "{} in this time; recorded since {}",
                text::counted(self.operations, "operation", "operations"),
                &since[..10]
            ),
            None => "no operation is recorded".to_owned(),
        };
        if self.bad_lines > 0 {
            let lines = plural(self.bad_lines, "line");
            let _ = write!(text, "; {lines} of telemetry cannot be read");
        }
        text
    }

    /// What the gate says, for people.
    pub(super) fn verdict(&self) -> Option<String> {
        let gate = self.gate.as_ref()?;
        Some(match gate.failures.len() as u64 {
            0 => "gate: passed".to_owned(),
            count => format!("gate: {}", plural(count, "figure fails/figures fail")),
        })
    }

    fn table(&self, card: &Card, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        let mut columns = vec![
            Column::new("FIGURE"),
            Column::new("NOW"),
            Column::new("TARGET"),
            Column::new("VERDICT"),
            Column::new("TREND"),
        ];
        let newest = card.from == self.card.from;
        let sparks = newest && screen.width.is_some_and(|width| width >= WITH_SPARKS);
        if screen.width.is_none() {
            columns.push(Column::new("WHY"));
        } else if sparks {
            columns.push(Column::new("COURSE"));
        }
        let mut table = Table::new(columns);
        for row in &card.figures {
            let mut cells = vec![
                row.title.to_owned(),
                row.value.map_or_else(|| "-".to_owned(), |_| row.shown()),
                row.aim(),
                row.said.words().to_owned(),
                row.course().to_owned(),
            ];
            if screen.width.is_none() {
                let week = card.week.as_ref().filter(|_| self.weeks.is_some());
                cells.push(row.why.clone());
                cells.splice(0..0, week.cloned());
            }
            if sparks {
                let values = self.series.iter().map(|point| point.values.get(row.name).copied());
                let values: Vec<_> = values.map(Option::flatten).collect();
                cells.push(chart::spark(&values));
            }
            table.row(cells);
        }
        table.write(out, screen)
    }
}

impl View for Report {
    const SCHEMA: &'static str = "coord.kpi.report/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        if self.markdown {
            return out.write_all(markdown::page(self).as_bytes());
        }
        if screen.width.is_none() {
            return self.cards().iter().try_for_each(|card| self.table(card, out, screen));
        }
        for card in self.cards() {
            let (heading, sum) = (card.heading(), card.sum());
            writeln!(out, "{HEADER}Key figures{HEADER:#}, {heading}: {sum}")?;
            self.table(card, out, screen)?;
            writeln!(out)?;
        }
        writeln!(out, "{DIM}{}{DIM:#}", self.basis())?;
        for row in self.card.figures.iter().filter(|row| row.value.is_some()) {
            let style = match row.said {
                Verdict::Missed => ERROR,
                Verdict::NotShown => WARNING,
                _ => LITERAL,
            };
            writeln!(out, "  {style}{}{style:#}: {}", row.name, crate::output::line(&row.why))?;
        }
        self.verdict().map_or(Ok(()), |verdict| writeln!(out, "{verdict}"))
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let missed = self.card.figures.iter().filter(|row| row.said == Verdict::Missed);
        missed.map(|row| row.name).try_for_each(|name| writeln!(out, "{name}"))
    }

    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        self.card.figures.iter().map(|row| serde_json::to_value(row).ok()).collect()
    }
}
