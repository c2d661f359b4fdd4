//! `coord trace export`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::source;
use crate::client::otlp::{Exporter, Refusal, Surroundings, Target, Why, json_line, resource};
use crate::commands::{Context, Verb, document, from_store, guard, values};
use crate::domain::time::{Moment, human_duration, parse_duration};
use crate::domain::trace::Span;
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line, plural};
use crate::store::exported::Exported;
use crate::store::journal::{Journal, Marks};
use crate::sys::Document;

/// Send what was noted to an OpenTelemetry collector, or write it to a file
///
/// OTLP over HTTP in protobuf. Nothing is sent unless this is typed, and only to the address that `--endpoint`
/// or the environment names: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT as it is, OTEL_EXPORTER_OTLP_ENDPOINT and
/// `--endpoint` with `/v1/traces` behind them. Read as well: OTEL_EXPORTER_OTLP_HEADERS, _TIMEOUT and
/// _CERTIFICATE, each also with TRACES_ before its name, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES.
///
/// What a receiver has taken is not sent to it again. That is noted after its answer: if the answer is
/// lost, a batch arrives twice, with the same ids. What has not ended is sent at its end. Spans taken over from another program by `coord import`
/// are not sent.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  coord trace export --endpoint http://localhost:4318    What is new since the last time
  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 coord trace export --dry-run
                                                         How much that would be
  coord trace export --endpoint http://localhost:4318 --all --since 1d
                                                         The last day, sent before or not
  coord trace export --file spans.json                   OTLP/JSON, a line for each 512 spans
  coord trace export --file - | gzip >spans.json.gz")]
pub(super) struct Args {
    /// The receiver, such as `http://localhost:4318` [env: OTEL_EXPORTER_OTLP_ENDPOINT]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,

    /// Write all of it to this file, or `-` for standard output, as OTLP/JSON lines instead; what was
    /// there is replaced
    #[arg(long, value_name = "FILE", conflicts_with_all = ["endpoint", "all", "timeout", "deadline"])]
    file: Option<PathBuf>,

    /// Only what ended since; what is older is passed over and counts as sent
    #[arg(long, value_name = "WHEN", value_parser = values::moment)]
    since: Option<Moment>,

    /// Also what the receiver has already
    #[arg(long)]
    all: bool,

    /// How long an attempt may take [default: 10s] [env: OTEL_EXPORTER_OTLP_TIMEOUT]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,

    /// Give up a batch that was not taken in this time
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1m")]
    deadline: Duration,

    /// Show how much would be sent; send and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// So many spans are sent at once, as the specification's batch processor does.
const BATCH: usize = 512;

#[derive(Default, JsonSchema, Serialize)]
struct Sent {
    dry_run: bool,
    /// Where it went; null for a file.
    endpoint: Option<String>,
    file: Option<String>,
    /// Spans that were sent or written, or would be.
    spans: u64,
    batches: u64,
    /// Requests that it took; more than batches if some were sent again.
    requests: u64,
    /// Spans that the receiver did not take and will not take.
    rejected: u64,
    /// Spans that were older than asked for.
    passed_over: u64,
}

impl View for Sent {
    const SCHEMA: &'static str = "coord.trace.export/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let to = self.endpoint.as_deref().or(self.file.as_deref()).unwrap_or_default();
        let to = line(to);
        let verb = match (self.dry_run, self.endpoint.is_some()) {
            (true, true) => "would send",
            (true, false) => "would write",
            (false, true) => "sent",
            (false, false) => "wrote",
        };
        let spans = plural(self.spans, "span");
        match (self.spans, self.endpoint.is_some()) {
            (0, true) => writeln!(out, "nothing new for {to}"),
            (0, false) if self.dry_run => writeln!(out, "nothing recorded that fits"),
            _ => {
                write!(out, "{verb} {spans} to {to}")?;
                if self.rejected > 0 {
                    write!(out, ", {} of them not taken", self.rejected)?;
                }
                writeln!(out)
            }
        }
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "{}", self.spans)
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Sent>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        if self.timeout.is_some_and(|time| time.is_zero()) || self.deadline.is_zero() {
            return Err(Error::new(Kind::Usage, "no time to send anything")
                .hint("give it some, such as `--timeout 10s`"));
        }
        let journal = source::journal(cx)?;
        let since = self.since.map(|when| when.when(cx.clock.wall()));
        if let Some(path) = &self.file {
            return self.write(cx, &journal, since, path);
        }
        let target = Target::find(self.endpoint.as_deref(), self.timeout, &cx.env)?;
        let target = target.ok_or_else(|| {
            Error::new(Kind::Usage, "no receiver was named")
                .hint("name it with `--endpoint http://localhost:4318` or OTEL_EXPORTER_OTLP_ENDPOINT; `--file FILE` writes to a file")
        })?;
        self.send(cx, &journal, since, target)
    }
}

/// The next spans that are wanted, and how many were not.
fn next(
    cx: &mut Context,
    journal: &Journal,
    marks: &mut Marks,
    since: Option<DateTime<Utc>>,
) -> Result<(Vec<Span>, u64, bool)> {
    let (mut spans, read) = journal.news(marks, BATCH).map_err(from_store)?;
    source::tell_bad(cx, read.bad);
    let (all, last) = (spans.len(), spans.len() < BATCH);
    spans.retain(|span| since.is_none_or(|since| span.end() >= since));
    let passed = (all - spans.len()) as u64;
    Ok((spans, passed, last))
}

impl Args {
    fn send(
        &self,
        cx: &mut Context,
        journal: &Journal,
        since: Option<DateTime<Utc>>,
        target: Target,
    ) -> Result<()> {
        let address = target.address().to_owned();
        let mut sent =
            Sent { dry_run: self.dry_run, endpoint: Some(address.clone()), ..Sent::default() };
        if target.is_exposed() {
            cx.ui.warning(
                "headers, which may hold a secret, go over the network in the clear: use `https`",
            );
        }
        let (dir, trusted) = (cx.place()?.dir, cx.flags.trust_dir);
        let mut exported = if self.dry_run {
            Exported::look(&dir, trusted, &address).map_err(from_store)?
        } else {
            let begun = Exported::begin(&dir, trusted, &address).map_err(from_store)?;
            begun.ok_or_else(|| {
                Error::new(Kind::Conflict, "another `coord trace export` is sending")
                    .hint("wait until it is done; what it sends need not be sent again")
            })?
        };
        if exported.damaged {
            cx.ui.warning("what was sent before is not known any more: everything is sent again");
        }
        let mut marks = if self.all { Marks::default() } else { exported.marks() };
        let mut client = Exporter::new(target, who(cx));
        let signals = guard::signals()?;
        let clock = std::sync::Arc::clone(&cx.clock);
        loop {
            let (spans, passed, last) = next(cx, journal, &mut marks, since)?;
            sent.passed_over += passed;
            if !spans.is_empty() && !self.dry_run {
                let ui = RefCell::new(&mut cx.ui);
                let limit = human_duration(self.deadline);
                let again = |why: &str| {
                    let told = format!("`{address}`: {why}; trying again for up to {limit}");
                    ui.borrow_mut().status(&told);
                };
                let around = Surroundings {
                    clock: clock.as_ref(),
                    ids: cx.ids.as_ref(),
                    stop: &|| signals.take_stop(),
                    deadline: self.deadline,
                    again: &again,
                };
                let taken = client.send(&spans, &around);
                let taken = taken.map_err(|refusal| failed(&address, &sent, &refusal))?;
                sent.requests += u64::from(taken.attempts);
                sent.rejected = sent.rejected.saturating_add(taken.rejected);
                let why = taken.message.map(|why| format!(": {why}")).unwrap_or_default();
                if taken.rejected > 0 {
                    let spans = plural(taken.rejected, "span");
                    cx.ui.warning(&format!("the receiver did not take {spans}{why}"));
                } else if !why.is_empty() {
                    cx.ui.warning(&format!("the receiver warns{why}"));
                }
            }
            if !spans.is_empty() {
                sent.batches += 1;
                sent.spans += spans.len() as u64;
            }
            exported.keep(&marks).map_err(|error| {
                from_store(error)
                    .hint("what was sent just now will be sent once more the next time")
            })?;
            if last {
                break;
            }
        }
        cx.ui.emit(&sent)?;
        Ok(())
    }

    fn write(
        &self,
        cx: &mut Context,
        journal: &Journal,
        since: Option<DateTime<Utc>>,
        path: &Path,
    ) -> Result<()> {
        let shown = path.display().to_string();
        let mut sent = Sent { dry_run: self.dry_run, file: Some(shown.clone()), ..Sent::default() };
        let failed = |source: io::Error| document::failed(path, source);
        let stdout = document::is_stdout(path);
        let resource = who(cx);
        let mut file = if self.dry_run || stdout {
            None
        } else {
            Some(Document::create(path).map_err(failed)?)
        };
        let mut marks = Marks::default();
        loop {
            let (spans, passed, last) = next(cx, journal, &mut marks, since)?;
            sent.passed_over += passed;
            if !spans.is_empty() {
                sent.batches += 1;
                sent.spans += spans.len() as u64;
                let text = || json_line(&spans, &resource) + "\n";
                if let Some(file) = &mut file {
                    file.write_all(text().as_bytes()).map_err(failed)?;
                } else if !self.dry_run {
                    cx.ui.page(&text())?;
                }
            }
            if last {
                break;
            }
        }
        if let Some(file) = file {
            file.finish().map_err(failed)?;
        } else if !self.dry_run {
            // The lines are the answer.
            return Ok(());
        }
        cx.ui.emit(&sent)?;
        Ok(())
    }
}

/// What this program says about itself.
fn who(cx: &mut Context) -> BTreeMap<String, String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let (resource, readable) = resource(&cx.env, Some(host).filter(|host| !host.is_empty()));
    if !readable {
        cx.ui.warning(
            "OTEL_RESOURCE_ATTRIBUTES is no list `name=value,other=value` and is left out",
        );
    }
    resource
}

fn failed(address: &str, sent: &Sent, refusal: &Refusal) -> Error {
    let so_far = match sent.spans {
        0 => "nothing was sent".to_owned(),
        n => format!("{} were sent before", plural(n, "span")),
    };
    if let Why::Stopped(stop) = refusal.why {
        return guard::stopped(stop, &format!("; {so_far}"));
    }
    let kind = if refusal.why == Why::Timeout { Kind::Timeout } else { Kind::External };
    let tried = match refusal.attempts {
        0 | 1 => String::new(),
        n => format!(" ({n} attempts)"),
    };
    let error =
        Error::new(kind, format!("cannot export to `{address}`: {}{tried}", refusal.message));
    let hint = match refusal.why {
        Why::Final | Why::TooLarge => {
            "mend the address or the receiver; `--since` passes over older spans that it will never take"
        }
        _ => "try again later: it goes on where it stopped; `--deadline` waits longer",
    };
    error.hint(format!("{so_far}; {hint}"))
}
