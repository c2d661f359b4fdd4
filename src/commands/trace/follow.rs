//! Spans as they come.

use std::time::Duration;

use super::source;
use super::view::Arrived;
use crate::commands::{Context, from_store, guard};
use crate::domain::trace::Filter;
use crate::error::{Error, Kind, Result};
use crate::output::Format;
use crate::store::journal::Marks;
use crate::sys::{Watch, Woken};

/// However quiet it is, signals are looked at after this time.
const TICK: Duration = Duration::from_millis(500);
/// So many spans are read at once.
const AT_ONCE: usize = 1000;

/// Shows what comes, until it is stopped or nobody reads it.
pub(super) fn run(cx: &mut Context, filter: &Filter) -> Result<()> {
    if cx.ui.format() == Format::Yaml {
        return Err(Error::new(Kind::Usage, "`--follow` does not go with YAML")
            .hint("use `--format jsonl` or `--json`: one line for each span"));
    }
    let journal = source::journal(cx)?;
    let signals = guard::signals()?;
    let failed = |source| Error::new(Kind::External, "cannot wait for a change").caused_by(source);
    // Watched before the first look, so that nothing comes unseen in between.
    let watch = Watch::over(journal.dir());
    let mut marks = match filter.since {
        Some(_) => Marks::default(),
        None => journal.marks().map_err(from_store)?,
    };
    if cx.ui.is_attended() && cx.ui.format() == Format::Human {
        cx.ui.status("following; Ctrl-C stops it");
    }
    loop {
        loop {
            let (spans, read) = journal.news(&mut marks, AT_ONCE).map_err(from_store)?;
            source::tell_bad(cx, read.bad);
            let last = spans.len() < AT_ONCE;
            for span in spans.into_iter().map(Into::into).filter(|span| filter.fits(span)) {
                cx.ui.emit(&Arrived(span.into()))?;
            }
            if let Some(stop) = signals.take_stop() {
                return Err(guard::stopped(stop, ""));
            }
            if last {
                break;
            }
        }
        if watch.wait(TICK, true, cx.clock.as_ref()).map_err(failed)? == Woken::Unread {
            return Ok(());
        }
    }
}
