//! `coord trace show`.

use std::collections::BTreeSet;
use std::io;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::source;
use super::view::{SpanView, length, millis};
use crate::commands::{Context, Verb};
use crate::domain::name::ItemId;
use crate::domain::time::rfc3339;
use crate::domain::trace::{Branch, Known, Outcome, Under, tree};
use crate::error::{Error, Kind, Result};
use crate::output::style::{DIM, HEADER, LITERAL};
use crate::output::{Column, Screen, Shape, Table, View, line, plural};

/// Show a trace as a tree: what was part of what, when, for how long, how it ended
///
/// A trace is named by its id, an unambiguous beginning of it, or the id of a work item: then the life
/// of the item is shown, whatever traces it took part in. Without any, the trace that TRACEPARENT names.
/// What hangs under a span that was not recorded here stands apart. `not ended` is what goes on, or was
/// killed before it could note its end. On a pipe the columns are span,
/// parent, depth, start and length in milliseconds, status, agent, item and name, separated by tabs.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  coord trace show w-7                     The life of an item
  coord trace show 0af76519                A trace, by the beginning of its id
  coord trace show w-7 --json | jq '.data.branches[].spans[] | select(.status == \"error\")'
  coord trace list --traces                Which traces there are")]
pub(super) struct Args {
    /// A trace or a work item
    #[arg(value_name = "TRACE|ITEM")]
    of: Option<String>,
}

#[derive(JsonSchema, Serialize)]
struct Shown {
    /// The traces that the spans are of; more than one only for an item.
    traces: Vec<String>,
    /// The item whose life it is.
    item: Option<String>,
    /// When the first of it began.
    start_at: Option<String>,
    /// From the first beginning to the last end.
    duration_ms: Option<f64>,
    spans: usize,
    errors: usize,
    branches: Vec<Group>,
}

/// Spans that hang under the same thing.
#[derive(JsonSchema, Serialize)]
struct Group {
    /// `nothing`: they begin their trace; `elsewhere`: what another program may have recorded;
    /// `outside`: what is about more than the item; `missing`: what should be here and is not; `itself`:
    /// their ids go in a circle.
    under: &'static str,
    /// The span that is not here.
    under_span_id: Option<String>,
    spans: Vec<Placed>,
}

/// A span and its place.
#[derive(JsonSchema, Serialize)]
struct Placed {
    /// How deep it stands; its parts follow it, one deeper.
    depth: usize,
    /// From the first beginning of all to its own.
    offset_ms: Option<f64>,
    #[serde(flatten)]
    span: SpanView,
    #[serde(skip)]
    more: bool,
}

/// No bar on a narrower terminal.
const BAR_FROM: usize = 72;
/// Deeper parts are not moved in any further.
const DEEPEST: usize = 24;

impl Group {
    fn heading(&self) -> Option<String> {
        let id = line(self.under_span_id.as_deref().unwrap_or_default()).into_owned();
        match self.under {
            "elsewhere" => Some(format!("Under {id}, which another program may have recorded")),
            "outside" => Some(format!("Under {id}, which is about more than this item")),
            "missing" => Some(format!("Under {id}, which was not recorded here")),
            "itself" => Some("Under themselves: their ids go in a circle".to_owned()),
            _ => None,
        }
    }

    /// The name of each span with its place in the tree before it.
    fn drawn(&self) -> Vec<String> {
        let mut rails: Vec<bool> = Vec::new();
        let mut drawn = Vec::new();
        for placed in &self.spans {
            rails.truncate(placed.depth);
            let mut text = String::new();
            for more in rails.iter().skip(1).take(DEEPEST) {
                text.push_str(if *more { "│ " } else { "  " });
            }
            if placed.depth > 0 {
                text.push_str(if placed.more { "├ " } else { "└ " });
            }
            rails.push(placed.more);
            text.push_str(&placed.span.said());
            drawn.push(text);
        }
        drawn
    }
}

impl View for Shown {
    const SCHEMA: &'static str = "coord.trace.show/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        let Some(width) = screen.width else {
            return self.plain(out);
        };
        if let Some(item) = &self.item {
            writeln!(out, "{LITERAL}{}{LITERAL:#}", line(item))?;
        }
        if self.spans == 0 {
            return writeln!(out, "nothing recorded");
        }
        for trace in &self.traces {
            writeln!(out, "{DIM}trace{DIM:#} {LITERAL}{}{LITERAL:#}", line(trace))?;
        }
        let spans = plural(self.spans as u64, "span");
        let errors = match self.errors {
            0 => String::new(),
            n => format!(", {}", plural(n as u64, "error")),
        };
        let start = self.start_at.as_deref().unwrap_or("an unknown time");
        writeln!(out, "{DIM}since{DIM:#} {start}, {}, {spans}{errors}", length(self.duration_ms))?;
        for group in &self.branches {
            writeln!(out)?;
            if let Some(heading) = group.heading() {
                writeln!(out, "{HEADER}{heading}{HEADER:#}")?;
            }
            let bar = if width < BAR_FROM { 0 } else { (width / 4).clamp(12, 40) };
            let mut columns = vec![
                Column::new("NAME").shrinks(),
                Column::new("START").right(),
                Column::new("TIME").right(),
                Column::new("STATUS"),
                Column::new("AGENT").shrinks(),
            ];
            if bar > 0 {
                columns.push(Column::new("WHEN"));
            }
            let mut table = Table::new(columns);
            for (placed, name) in group.spans.iter().zip(group.drawn()) {
                let offset = placed.offset_ms.map(|ms| format!("+{}", length(Some(ms))));
                let mut cells = vec![
                    name,
                    offset.unwrap_or_default(),
                    length(placed.span.duration_ms),
                    placed.span.ended().to_owned(),
                    placed.span.agent.clone().unwrap_or_default(),
                ];
                if bar > 0 {
                    let span = (placed.offset_ms, placed.span.duration_ms);
                    cells.push(drawn_bar(span, self.duration_ms, bar));
                }
                table.row(cells);
            }
            table.write(out, screen)?;
        }
        Ok(())
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.traces.iter().try_for_each(|trace| writeln!(out, "{}", line(trace)))
    }
}

impl Shown {
    fn plain(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let mut table = Table::new(Vec::new());
        for placed in self.branches.iter().flat_map(|group| &group.spans) {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let number = |ms: Option<f64>| ms.map(|ms| ms.to_string()).unwrap_or_default();
            let span = &placed.span;
            table.row([
                text(&span.span_id),
                text(&span.parent_span_id),
                placed.depth.to_string(),
                number(placed.offset_ms),
                number(span.duration_ms),
                span.ended().to_owned(),
                text(&span.agent),
                text(&span.item),
                span.name.clone(),
            ]);
        }
        table.write(out, Screen { width: None })
    }
}

/// Where a span lies within the whole.
#[expect(clippy::cast_precision_loss, reason = "columns of a terminal")]
#[expect(clippy::cast_possible_truncation, reason = "bounded by the width")]
#[expect(clippy::cast_sign_loss, reason = "never negative")]
fn drawn_bar(span: (Option<f64>, Option<f64>), whole: Option<f64>, width: usize) -> String {
    let (Some(from), whole) = (span.0, whole.unwrap_or(0.0).max(0.001)) else {
        return String::new();
    };
    let column = |ms: f64| (ms / whole * width as f64).clamp(0.0, width as f64);
    let start = (column(from).floor() as usize).min(width - 1);
    let end = (column(from + span.1.unwrap_or(0.0)).ceil() as usize).clamp(start + 1, width);
    format!("{}{}", " ".repeat(start), "━".repeat(end - start))
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Shown>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let of = match self.of {
            Some(of) => of,
            None => cx.here().told().map(|trace| trace.to_string()).ok_or_else(|| {
                Error::new(Kind::Usage, "no trace was named, and TRACEPARENT names none")
                    .hint("`coord trace list --traces` shows which there are; an item's id will do as well")
            })?,
        };
        // There must be something to look into, whatever is looked for.
        source::journal(cx)?;
        let (item, spans) = match item(cx, &of) {
            Some((id, traces)) => {
                let life = life(cx, &id, &traces)?;
                (Some(id.to_string()), life)
            }
            None => (None, (one(cx, &of)?, BTreeSet::new())),
        };
        let shown = shown(item, spans);
        cx.ui.emit(&shown)?;
        Ok(())
    }
}

/// The item that is meant, with its own traces: as they are known now, and as an old program called them.
fn item(cx: &mut Context, of: &str) -> Option<(ItemId, BTreeSet<String>)> {
    let id: ItemId = of.parse().ok()?;
    let item = cx.reader().ok()?.get(id.as_str()).ok()?.item;
    let traces = item.trace_id.iter().cloned().chain([item.trace().to_string()]).collect();
    Some((item.id, traces))
}

/// The spans of one trace.
fn one(cx: &mut Context, of: &str) -> Result<Vec<Known>> {
    let (mut spans, mut traces) = (Vec::new(), BTreeSet::new());
    source::each(cx, None, &mut |span| {
        if !of.is_empty() && span.trace.starts_with(of) {
            traces.insert(span.trace.clone());
            spans.push(span);
        }
    })?;
    if traces.contains(of) {
        spans.retain(|span: &Known| span.trace == of);
        return Ok(spans);
    }
    let named = of.escape_debug();
    match traces.len() {
        0 => Err(Error::new(Kind::User, format!("there is no trace and no item `{named}`")).hint(
            "`coord trace list --traces` shows which traces there are, `coord work list` the items",
        )),
        1 => Ok(spans),
        n => {
            let some: Vec<String> = traces.iter().take(3).map(|id| format!("`{id}`")).collect();
            let more = if n > 3 { " and more" } else { "" };
            Err(Error::new(Kind::User, format!("`{named}` is the beginning of {n} traces"))
                .hint(format!("give more of it: {}{more}", some.join(", "))))
        }
    }
}

/// The life of an item: its own traces, and in those of others what was about it, perhaps among others,
/// with all its parts.
fn life(cx: &mut Context, id: &ItemId, own: &BTreeSet<String>) -> Result<Spans> {
    let ops = source::store_ops(cx, id);
    let about = |span: &Known| {
        span.item() == Some(id.as_str()) || span.store_op().is_some_and(|op| ops.contains(op))
    };
    let (mut spans, mut outside) = (Vec::new(), BTreeSet::new());
    let mut others: BTreeSet<String> = BTreeSet::new();
    source::each(cx, None, &mut |span| {
        if own.contains(&span.trace) {
            spans.push(span);
        } else if about(&span) {
            others.insert(span.trace);
        }
    })?;
    if others.is_empty() {
        return Ok((spans, outside));
    }
    let mut rest = Vec::new();
    source::each(cx, None, &mut |span| {
        if others.contains(&span.trace) {
            rest.push(span);
        }
    })?;
    for branch in tree(rest) {
        let mut within: Option<usize> = None;
        for row in branch.rows {
            if within.is_some_and(|depth| row.depth <= depth) {
                within = None;
            }
            if within.is_none() && about(&row.span) {
                within = Some(row.depth);
                outside.extend(row.span.parent.clone());
            }
            if within.is_some() {
                spans.push(row.span);
            }
        }
    }
    Ok((spans, outside))
}

/// Spans, and the ids of those that they are a part of and that are about more than the item.
type Spans = (Vec<Known>, BTreeSet<String>);

fn shown(item: Option<String>, (spans, outside): Spans) -> Shown {
    let start = spans.iter().filter_map(|span| span.start).min();
    let end = spans.iter().filter_map(Known::end).max();
    let micros = |from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>| {
        let time = to? - from?;
        time.num_microseconds().map(|us| millis(us.unsigned_abs()))
    };
    let traces: BTreeSet<String> = spans.iter().map(|span| span.trace.clone()).collect();
    let errors = spans.iter().filter(|span| span.outcome == Outcome::Error).count();
    let count = spans.len();
    let branches = tree(spans).into_iter().map(|Branch { under, rows }| {
        let (under, id) = match under {
            Under::Nothing => ("nothing", None),
            Under::Elsewhere(id) | Under::Missing(id) if outside.contains(&id) => {
                ("outside", Some(id))
            }
            Under::Elsewhere(id) => ("elsewhere", Some(id)),
            Under::Missing(id) => ("missing", Some(id)),
            Under::Itself => ("itself", None),
        };
        let spans = rows.into_iter().map(|row| Placed {
            depth: row.depth,
            more: row.more,
            offset_ms: micros(start, row.span.start),
            span: row.span.into(),
        });
        Group { under, under_span_id: id, spans: spans.collect() }
    });
    Shown {
        traces: traces.into_iter().collect(),
        item,
        start_at: start.map(rfc3339),
        duration_ms: micros(start, end),
        spans: count,
        errors,
        branches: branches.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::drawn_bar;

    #[test]
    fn a_bar_lies_where_the_span_does() {
        let bar = |from, took, whole| drawn_bar((Some(from), Some(took)), Some(whole), 10);
        assert_eq!(bar(0.0, 100.0, 100.0), "━━━━━━━━━━");
        assert_eq!(bar(50.0, 20.0, 100.0), "     ━━");
        assert_eq!(bar(100.0, 0.0, 100.0), "         ━");
        assert_eq!(bar(0.0, 0.0, 0.0), "━");
        assert_eq!(drawn_bar((None, Some(1.0)), Some(1.0), 10), "");
    }
}
