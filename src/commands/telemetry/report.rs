//! `coord telemetry report`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::told::Told;
use super::{export, markdown};
use crate::commands::{Context, Verb, document, observed, values};
use crate::domain::telemetry::{Dimension, Window};
use crate::domain::time::{Moment, parse_duration};
use crate::error::{Error, Kind, Result};
use crate::output::{Format, Shape};

/// Sum up what commands did in a window of time: how many, how they ended, how long they took
///
/// Everything is computed from what is recorded: the telemetry of the state directory, the store, and
/// the ledger of the calls to Claude. A fault is an end that `coord` is to blame for (a lock that was
/// not got in time, a store that cannot be read or written, a defect); an empty queue, a lost lease, a file
/// that was named and is not there, an output or a receiver that fails is none. Times are those of
/// commands that answer at once: how many were left out because they last by design (workers, `--watch`,
/// questions to Claude or to a person) is told. Quantiles come from a histogram with three significant
/// digits.
///
/// `--prometheus` prints all telemetry in the text format of Prometheus, whatever the window: counters
/// of operations count what was removed by age as well, so that they never go back, gauges of operations
/// are about the last hour.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord telemetry report                                The last 24 hours, by command
  coord telemetry report --window 7d --by agent --compare
  coord telemetry report --since 2026-11-20 --until 2d --compare
  coord telemetry report --markdown > report.md
  coord telemetry report --prometheus --output /var/lib/node_exporter/coord.prom")]
pub(super) struct Args {
    /// How long the window is, up to now or to `--until`
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "24h",
        conflicts_with = "since", allow_hyphen_values = true)]
    window: Duration,

    /// When the window begins: a time ago (`2h`), a date, or a time in RFC 3339
    #[arg(long, value_name = "WHEN", value_parser = values::moment)]
    since: Option<Moment>,

    /// When the window ends [default: now]
    #[arg(long, value_name = "WHEN", value_parser = values::moment)]
    until: Option<Moment>,

    /// By what operations are told apart
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = By::Command)]
    by: By,

    /// Also the window of the same length right before, and what has changed
    #[arg(long)]
    compare: bool,

    /// Print it in Markdown
    #[arg(long, group = "form")]
    markdown: bool,

    /// Print it as Mermaid charts, for a page in Markdown
    #[arg(long, group = "form")]
    mermaid: bool,

    /// Print it in the text format of Prometheus
    #[arg(long, group = "form", conflicts_with_all = ["compare", "since", "until"])]
    prometheus: bool,

    /// Write it to a file instead, which is replaced as a whole; needs one of the forms above
    #[arg(long, value_name = "FILE", requires = "form", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Command,
    Team,
    Agent,
}

/// What is no counter is about this time: over all that is kept, it would hardly ever move.
const LATELY: Duration = Duration::from_hours(1);

/// Parts of the window, as many as a line of columns has.
const PARTS: u32 = 24;

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Told>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        if (self.markdown || self.mermaid || self.prometheus) && cx.ui.format() != Format::Human {
            return Err(Error::new(Kind::Usage, "a document is a form of its own")
                .hint("leave out `--json` and `--format`, or `--markdown` and its like"));
        }
        let now = cx.clock.wall();
        let dimension = match self.by {
            By::Command => Dimension::Command,
            By::Team => Dimension::Team,
            By::Agent => Dimension::Agent,
        };
        if self.prometheus {
            let lately = Window::before(now, LATELY);
            let (seen, lately, counters) = observed::observe_exported(cx, lately)?;
            return self.give(cx, &export::prometheus(&seen, &lately, &counters));
        }
        let to = self.until.map_or(now, |until| until.when(now));
        let window = match self.since {
            Some(since) => Window { from: since.when(now), to },
            None => Window::before(to, self.window),
        };
        if window.length().is_zero() {
            return Err(Error::new(Kind::Usage, "the window has no length")
                .hint("`--since` must lie before `--until`, and `--window` be longer than 0"));
        }
        let seen = observed::observe(cx, window, dimension, PARTS)?;
        let before = if self.compare {
            Some(observed::observe(cx, window.previous(), dimension, 0)?)
        } else {
            None
        };
        let told = Told::new(&seen, before.as_ref());
        if self.markdown {
            return self.give(cx, &markdown::report(&told));
        }
        if self.mermaid {
            return self.give(cx, &markdown::charts(&told));
        }
        Ok(cx.ui.emit(&told)?)
    }
}

impl Args {
    /// Prints a document, or writes it where it is wanted.
    fn give(&self, cx: &mut Context, text: &str) -> Result<()> {
        let Some(path) = &self.output else { return Ok(cx.ui.page(text)?) };
        document::give(cx, path, text)
    }
}
