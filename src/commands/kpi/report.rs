//! `coord kpi report`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use super::forms;
use super::view::{Period, Report};
use crate::commands::observed::{observe, observe_each};
use crate::commands::{Context, Verb, document, scripts, values};
use crate::domain::kpi::{Coverage, Evidence, Figure, Kpi, Required, Targets, Week, measure};
use crate::domain::telemetry::{Dimension, Window};
use crate::domain::time::{parse_duration, parse_rfc3339};
use crate::error::{Error, Kind, Result};
use crate::output::{Format, Shape, plural};
use crate::settings::keys::{self, Value};
use crate::sys::input::{InputError, read_file};

/// Compare key figures with their targets, from recorded data alone
///
/// Availability, response times, Claude's success, memory, operations per hour, deployments,
/// recovery, test coverage, scripts, velocity, lead and cycle time, flow efficiency. What nobody
/// recorded is told as that. The targets are the settings `kpi.*`. Response times are those of commands
/// that answer at once: what lasts by design (workers, `--watch`, questions to Claude) is left out.
///
/// That a target is met is only said where the number proves it. A share and a response time are
/// measured on a sample: they are met if their lower bound at 95 % confidence reaches the target
/// (without a failure 1 - 3/n, else Wilson's), and "not proven" if only the sample does. 99.99 % takes
/// 30,000 operations without a fault.
///
/// `--gate` ends with exit code 10 if a target is missed. What is not recorded, or not proven, passes
/// unless `--require` names it: then only a target that is met will do. Deployments are not recorded yet,
/// as no command makes them: `--require all` cannot be met, so name what you require. With `--weekly`,
/// the gate judges the newest week.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord kpi report                                  The last seven days
  coord kpi report --weekly                         A card for each of the last four weeks
  coord kpi report --since 2026-11-01 --html kpi.html
  coord kpi report --gate --require availability --junit kpi.xml --github
  coord kpi report --coverage lcov.info --scripts . --markdown >>\"$GITHUB_STEP_SUMMARY\"
  coord kpi report --json | jq '.data.figures[] | select(.verdict == \"missed\")'")]
pub(super) struct Args {
    /// From when on: a length of time before now, a date, or a moment (RFC 3339)
    #[arg(long, value_name = "WHEN", value_parser = when, conflicts_with = "weekly")]
    since: Option<When>,

    /// How long the window is, up to now or to `--until` [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = window, conflicts_with_all = ["weekly", "since"],
        allow_hyphen_values = true)]
    window: Option<Duration>,

    /// When the window ends [default: now]
    #[arg(long, value_name = "WHEN", value_parser = when, conflicts_with = "weekly")]
    until: Option<When>,

    /// A card for each of the last weeks (ISO 8601, UTC), this one included
    #[arg(long, value_name = "WEEKS", num_args = 0..=1, default_missing_value = "4",
        require_equals = true, value_parser = values::within::<u32, 1, 53>)]
    weekly: Option<u32>,

    /// A report on test coverage: lcov, or JSON of llvm-cov, coverage.py, Istanbul, Cobertura
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    coverage: Option<PathBuf>,

    /// A tree whose scripts are counted
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    scripts: Option<PathBuf>,

    /// End with exit code 10 if a target is missed
    #[arg(long)]
    gate: bool,

    /// What the gate requires to be met and proven; may be given several times, `all` for all
    #[arg(long, value_name = "FIGURE", requires = "gate", value_parser = required())]
    require: Vec<String>,

    /// Print Markdown
    #[arg(long)]
    markdown: bool,

    /// Write a page with charts, whole in one file; `-` prints it instead of the report
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    html: Option<PathBuf>,

    /// Write an XML report for CI servers, in the form of `JUnit`; `-` prints it instead
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    junit: Option<PathBuf>,

    /// Add annotations for GitHub Actions
    #[arg(long)]
    github: bool,
}

/// A moment on a command line.
#[derive(Clone, Copy, Debug)]
enum When {
    /// So long before now.
    Ago(Duration),
    /// Then.
    At(DateTime<Utc>),
}

fn when(text: &str) -> Result<When, String> {
    let date = || text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    if let Some(at) = parse_rfc3339(text).or_else(date) {
        return Ok(When::At(at));
    }
    window(text).map(When::Ago).map_err(|_| {
        "expected a length of time such as `24h`, a date such as `2026-11-01`, or a moment (RFC 3339)"
            .to_owned()
    })
}

fn window(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text).map_err(|e| e.to_string())?;
    if time.is_zero() { Err("expected more than no time".to_owned()) } else { Ok(time) }
}

fn required() -> clap::builder::PossibleValuesParser {
    Kpi::ALL.map(Kpi::name).into_iter().chain(["all"]).collect::<Vec<_>>().into()
}

/// How long the window is unless somebody says otherwise.
const WINDOW: Duration = Duration::from_hours(7 * 24);
/// Into how many parts a window is divided that is not some days long.
const PARTS: u32 = 12;

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Report>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        self.check(cx)?;
        let required = self.required();
        let mut report = self.report(cx)?;
        if self.gate {
            report.judge(&required);
        }
        if let Some(file) = &self.html {
            document::give(cx, file, &super::html::page(&report)?)?;
        }
        if let Some(file) = &self.junit {
            document::give(cx, file, &forms::junit(&report))?;
        }
        let taken = self.takes_stdout();
        if !taken {
            cx.ui.emit(&report)?;
        }
        if self.github {
            let lines = forms::annotations(&report);
            if cx.ui.format() == Format::Human && !taken {
                cx.ui.page(&lines)?;
            } else {
                lines.lines().for_each(|line| cx.ui.status(line));
            }
        }
        let failed: Vec<&str> = report.failures().iter().map(|failure| failure.name).collect();
        if failed.is_empty() {
            return Ok(());
        }
        let count = plural(failed.len() as u64, "figure fails/figures fail");
        let what = format!("{count} the gate: {}", failed.join(", "));
        Err(Error::new(Kind::Problems, what)
            .hint("the report says what each rests on; targets are the settings `kpi.*`"))
    }
}

impl Args {
    fn check(&self, cx: &Context) -> Result<()> {
        if self.markdown && cx.ui.format() != Format::Human {
            let error = Error::new(Kind::Usage, "`--markdown` is a form of its own");
            return Err(error.hint("leave it out, or `--json` and `--format`"));
        }
        if self.takes_stdout() && (self.markdown || cx.ui.format() != Format::Human) {
            let error = Error::new(Kind::Usage, "standard output has room for one form only");
            return Err(error.hint("write the others to files"));
        }
        if let (Some(html), Some(junit)) = (&self.html, &self.junit)
            && html == junit
        {
            let error = Error::new(Kind::Usage, "`--html` and `--junit` name the same file");
            return Err(error.hint("give each a file of its own"));
        }
        Ok(())
    }

    /// Whether a page or an XML report takes the place of the answer.
    fn takes_stdout(&self) -> bool {
        [&self.html, &self.junit].into_iter().flatten().any(|file| document::is_stdout(file))
    }

    fn required(&self) -> Required {
        let all = self.require.iter().any(|name| name == "all");
        let named = |kpi: &Kpi| all || self.require.iter().any(|name| name == kpi.name());
        Required(Kpi::ALL.into_iter().filter(named).collect())
    }

    /// Observes, measures, and puts it together.
    fn report(&self, cx: &mut Context) -> Result<Report> {
        let now = cx.clock.wall();
        let targets = targets(cx)?;
        let coverage = self.coverage.as_deref().map(coverage).transpose()?;
        let scripts = self.scripts.as_deref().map(scripts::audit::count).transpose()?;
        let periods = self.periods(now)?;
        let windows: Vec<Window> = periods.iter().map(|period| period.window).collect();
        let observed = observe_each(cx, &windows, Dimension::Team, 0)?;
        // What a file or a tree tells is of now, and of no other time.
        let newest = if self.weekly.is_some() { periods.len() - 1 } else { 1 };
        let figures: Vec<Vec<Figure>> = observed
            .iter()
            .enumerate()
            .map(|(at, observed)| {
                let here = at == newest;
                let coverage = coverage.filter(|_| here);
                let scripts = scripts.filter(|_| here);
                measure(Evidence { observed, coverage, scripts, now }, &targets)
            })
            .collect();
        let forms = (self.weekly.is_some(), self.markdown);
        Ok(Report::new(&periods, figures, &observed[newest], now, forms))
    }

    /// What is looked at: the time before, then either the window and its parts, or weeks.
    fn periods(&self, now: DateTime<Utc>) -> Result<Vec<Period>> {
        // A window does not hold its end, and what was noted just now belongs to it.
        let end = now + chrono::TimeDelta::milliseconds(1);
        if let Some(weeks) = self.weekly {
            let all = Week::of(now).last(weeks + 1);
            return Ok(all.into_iter().map(|week| Period::week(week, now)).collect());
        }
        let moment = |when: When| match when {
            When::Ago(ago) => Window::before(now, ago).from,
            When::At(at) => at,
        };
        let to = self.until.map_or(end, moment).min(end);
        let window = match self.since {
            Some(since) => Window { from: moment(since), to },
            None => Window::before(to, self.window.unwrap_or(WINDOW)),
        };
        if window.to <= window.from {
            return Err(Error::new(Kind::Usage, "the window ends before it begins").hint(
                "`--since` takes a time before now, such as `24h`, and `--until` one after that",
            ));
        }
        let mut periods = vec![window.previous(), window];
        let days = window.length().as_secs() / 86_400;
        let parts = u32::try_from(days).ok().filter(|days| (2..=31).contains(days));
        periods.extend(window.parts(parts.unwrap_or(PARTS)));
        Ok(periods.into_iter().map(Period::of).collect())
    }
}

/// The figures of the last seven days, for the old dialect.
pub(in crate::commands) fn lately(cx: &mut Context) -> Result<Vec<Figure>> {
    let now = cx.clock.wall();
    let targets = targets(cx)?;
    let window = Window::before(now + chrono::TimeDelta::milliseconds(1), WINDOW);
    let observed = observe(cx, window, Dimension::Team, 0)?;
    let evidence = Evidence { observed: &observed, coverage: None, scripts: None, now };
    Ok(measure(evidence, &targets))
}

/// The targets, each in the unit of its figure.
fn targets(cx: &mut Context) -> Result<Targets> {
    const KEYS: [usize; Kpi::ALL.len()] = [
        keys::KPI_AVAILABILITY,
        keys::KPI_RESPONSE_P95,
        keys::KPI_RESPONSE_P99,
        keys::KPI_CLAUDE_SUCCESS,
        keys::KPI_MEMORY,
        keys::KPI_OPERATIONS,
        keys::KPI_DEPLOYMENT_SUCCESS,
        keys::KPI_DEPLOYMENT_TIME,
        keys::KPI_RECOVERY,
        keys::KPI_TEST_COVERAGE,
        keys::KPI_SCRIPTS,
        keys::KPI_VELOCITY,
        keys::KPI_LEAD_TIME,
        keys::KPI_CYCLE_TIME,
        keys::KPI_FLOW_EFFICIENCY,
    ];
    let settings = cx.settings()?;
    let mut targets = Targets::default();
    for (kpi, key) in Kpi::ALL.into_iter().zip(KEYS) {
        debug_assert_eq!(keys::ALL[key].name.strip_prefix("kpi."), Some(kpi.name()));
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let target = settings.get(key)?.and_then(|value| match value {
            Value::Number(number) => Some(number as f64),
            Value::Fraction(number) => Some(number),
            Value::Duration(time) if kpi.unit() == crate::domain::kpi::Unit::Milliseconds => {
                Some(time.as_secs_f64() * 1000.0)
            }
            Value::Duration(time) => Some(time.as_secs_f64()),
            _ => None,
        });
        targets.set(kpi, target);
    }
    Ok(targets)
}

/// No report on coverage is larger.
const LARGEST: usize = 256 << 20;

fn coverage(file: &Path) -> Result<Coverage> {
    let shown = file.display();
    let failed = |source: std::io::Error| {
        Error::new(Kind::User, format!("cannot read the coverage report `{shown}`"))
            .caused_by(source)
            .hint("give the file that your tool wrote, such as `lcov.info`")
    };
    let wrong = |why: String| {
        Error::new(Kind::User, format!("cannot use the coverage report `{shown}`: {why}")).hint(
            "lcov tracefiles are read, and JSON of `llvm-cov export`, `coverage json`, Istanbul and Cobertura",
        )
    };
    let bytes = read_file(file, LARGEST).map_err(|e| match e {
        InputError::Io(source) => failed(source),
        InputError::TooLarge(_) => wrong(format!("it is larger than {} MiB", LARGEST >> 20)),
        InputError::NotPlain(_) => wrong(e.to_string()),
    })?;
    Coverage::read(&String::from_utf8_lossy(&bytes)).map_err(|e| wrong(e.to_string()))
}
