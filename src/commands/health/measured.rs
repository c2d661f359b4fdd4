//! The checks on what was measured: availability and its error budget, the telemetry itself, and the
//! addresses that somebody wants to be watched.

use std::time::Duration;

use super::checks::Probe;
use crate::client::endpoint::{self, Answer};
use crate::commands::{Context, from_store};
use crate::domain::health::{self, Finding};
use crate::domain::telemetry::{Budget, Group, Window};
use crate::error::{Error, Result};
use crate::output::plural;
use crate::settings::keys;
use crate::store::journal::{Journal, Stream};

/// The time for which availability is told.
const LATELY: Duration = Duration::from_hours(24);

/// What was measured.
pub(super) struct Measured {
    journal: Result<Option<Noted>>,
    /// Whether commands note what they do.
    on: bool,
    /// The target of availability, 0 to 1.
    target: Option<f64>,
    endpoints: Result<Vec<String>>,
    patience: Duration,
}

/// What is in the journal.
struct Noted {
    lately: Group,
    bad: u64,
    /// What has the name of telemetry and is passed over, and why.
    strange: Vec<String>,
    files: u64,
    bytes: u64,
}

impl Measured {
    /// Looks at the journal, without a lock, and changes nothing.
    pub(super) fn new(cx: &mut Context) -> Self {
        let journal = noted(cx);
        let settings = cx.settings().ok();
        let target = settings.and_then(|s| s.fraction(keys::KPI_AVAILABILITY).ok().flatten());
        let on = settings.is_some_and(crate::settings::Settings::telemetry);
        let patience = settings.and_then(|s| s.time(keys::HEALTH_ENDPOINT_TIMEOUT).ok().flatten());
        let endpoints =
            settings.map_or_else(|| Ok(Vec::new()), |s| s.words(keys::HEALTH_ENDPOINTS));
        Self {
            journal,
            on,
            // 99.99 / 100 is not the nearest number to 0.9999.
            target: target.map(|percent| (percent * 1e6).round() / 1e8),
            endpoints,
            patience: patience.unwrap_or(Duration::from_secs(2)),
        }
    }

    fn noted(&self) -> Option<&Noted> {
        self.journal.as_ref().ok()?.as_ref()
    }

    /// The share of operations of the last 24 hours that did not fail by this program's fault.
    pub(super) fn availability(&self) -> Option<f64> {
        self.noted()?.lately.availability()
    }

    /// What it should be.
    pub(super) const fn target(&self) -> Option<f64> {
        self.target
    }

    /// What is left of the faults that the target allows.
    pub(super) fn budget(&self) -> Option<Budget> {
        self.noted()?.lately.budget(self.target?)
    }

    /// Operations of the last 24 hours.
    pub(super) fn operations(&self) -> u64 {
        self.noted().map_or(0, |noted| noted.lately.count())
    }

    /// The size of the telemetry.
    pub(super) fn bytes(&self) -> u64 {
        self.noted().map_or(0, |noted| noted.bytes)
    }

    /// Whether addresses are to be asked, or cannot be read from the settings.
    pub(super) const fn has_endpoints(&self) -> bool {
        match &self.endpoints {
            Ok(urls) => !urls.is_empty(),
            Err(_) => true,
        }
    }
}

fn noted(cx: &mut Context) -> Result<Option<Noted>> {
    let dir = cx.place()?.dir;
    let now = cx.clock.wall();
    let Some(journal) = Journal::observe(&dir).map_err(from_store)? else {
        return Ok(None);
    };
    let (mut files, mut bytes) = (0, 0);
    for stream in Stream::ALL {
        for (_, size) in journal.files(stream).map_err(from_store)? {
            files += 1;
            bytes += size;
        }
    }
    let window = Window::before(now, LATELY);
    let mut lately = Group::default();
    let read = journal.operations(Some(window.from), &mut |op| lately.add(&op));
    let read = read.map_err(from_store)?;
    let strange = journal.strange().map_err(from_store)?;
    Ok(Some(Noted { lately, bad: read.bad, strange, files, bytes }))
}

/// How much of the error budget is left.
pub(super) fn availability(probe: &mut Probe) -> Finding {
    let measured = &probe.measured;
    match (measured.budget(), measured.target) {
        (Some(budget), Some(target)) => health::availability(budget, target),
        _ if measured.journal.is_err() => Finding::not_checked("the telemetry cannot be read"),
        _ => Finding::not_checked("nothing is recorded of the last 24 hours"),
    }
}

/// Whether the telemetry can be read, and how large it is.
pub(super) fn telemetry(probe: &mut Probe) -> Finding {
    let measured = &probe.measured;
    let noted = match &measured.journal {
        Err(error) => {
            let causes: Vec<String> = error.causes().collect();
            let why = std::iter::once(error.to_string()).chain(causes).collect::<Vec<_>>();
            return Finding::warn(why.join(": "))
                .todo("move it aside: the next command begins a new file");
        }
        Ok(None) => return Finding::not_checked("nothing is recorded"),
        Ok(Some(noted)) => noted,
    };
    let off = if measured.on { "" } else { "; it is switched off" };
    if !noted.strange.is_empty() {
        return Finding::warn(noted.strange.join("; "))
            .todo("move it aside: the next command begins a new file");
    }
    if noted.files == 0 {
        return Finding::ok(format!("nothing is recorded{off}"));
    }
    let (files, kib) = (plural(noted.files, "file"), noted.bytes.div_ceil(1024));
    let size = if kib < 10_240 { format!("{kib} KiB") } else { format!("{} MiB", kib / 1024) };
    if noted.bad > 0 {
        // A power cut leaves one; more than a few are no accident.
        let lines = plural(noted.bad, "line");
        let why = format!("{files}, {size}; {lines} cannot be read{off}");
        return Finding::warn(why)
            .todo("nothing: what cannot be read is left out, and old files are removed in time");
    }
    Finding::ok(format!("{files}, {size}{off}"))
}

/// Whether the addresses answer, all asked at the same time.
pub(super) fn endpoints(probe: &mut Probe) -> Finding {
    let measured = &probe.measured;
    let urls = match &measured.endpoints {
        Ok(urls) => urls,
        Err(error) => return unreadable(error),
    };
    let answers = match endpoint::ask(urls, measured.patience) {
        Ok(answers) => answers,
        Err(why) => return Finding::warn(why).todo("nothing was asked; try again"),
    };
    let wrong: Vec<String> = urls
        .iter()
        .zip(&answers)
        .filter_map(|(url, answer)| match answer {
            Answer::Status(200..=399) => None,
            Answer::Status(status) => {
                Some(format!("`{}` answers {status}", endpoint::without_secrets(url)))
            }
            Answer::Failed(_) if !endpoint::is_web(url) => Some(
                "an address in `health.endpoints` does not begin with `http://` or `https://`"
                    .to_owned(),
            ),
            Answer::Failed(why) => Some(format!("`{}`: {why}", endpoint::without_secrets(url))),
        })
        .collect();
    if wrong.is_empty() {
        return Finding::ok(format!(
            "{} well",
            plural(urls.len() as u64, "address answers/addresses answer")
        ));
    }
    Finding::fail(wrong.join("; "))
        .todo("start what should answer there, or change `health.endpoints`")
}

fn unreadable(error: &Error) -> Finding {
    error.hints().iter().fold(Finding::fail(error.to_string()), Finding::todo)
}
