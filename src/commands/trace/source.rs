//! Where spans are read from: what commands noted, and what was taken over from another program.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::commands::{Context, from_store};
use crate::domain::name::ItemId;
use crate::domain::trace::Known;
use crate::error::Result;
use crate::output::plural;
use crate::store::imported::{Imported, Table};
use crate::store::journal::Journal;

/// The telemetry of the state directory, which must be there.
pub(super) fn journal(cx: &mut Context) -> Result<Journal> {
    let dir = cx.place()?.dir;
    cx.settings()?;
    let journal = Journal::open(&dir, cx.flags.trust_dir).map_err(from_store)?;
    let journal = journal.ok_or_else(|| from_store(crate::store::Error::Missing { dir }))?;
    for strange in journal.strange().map_err(from_store)? {
        cx.ui.warning(&strange);
    }
    Ok(journal)
}

/// The operations on the store that an item was part of; none if there is no such item.
pub(super) fn store_ops(cx: &mut Context, id: &ItemId) -> BTreeSet<String> {
    let history = cx.reader().ok().and_then(|store| store.history(id).ok()).unwrap_or_default();
    history.into_iter().map(|event| event.op.to_string()).collect()
}

/// Shows every span that ended at or after `since`, those taken over included.
pub(super) fn each(
    cx: &mut Context,
    since: Option<DateTime<Utc>>,
    see: &mut dyn FnMut(Known),
) -> Result<()> {
    let read = journal(cx)?.spans(since, &mut |span| see(span.into())).map_err(from_store)?;
    let (dir, mut bad) = (cx.place()?.dir, read.bad);
    if let Some(imported) = Imported::open(&dir, cx.flags.trust_dir).map_err(from_store)? {
        let mut see = |row: serde_json::Value| {
            if let Some(span) = Known::of_row(&row)
                && since.is_none_or(|since| span.end().is_some_and(|end| end >= since))
            {
                see(span);
            }
        };
        let torn = imported.read(Table::Spans, &mut see).map_err(from_store)?;
        bad += u64::try_from(torn).unwrap_or(u64::MAX);
    }
    tell_bad(cx, bad);
    Ok(())
}

/// Tells of lines that could not be read: what is shown may lack something.
pub(super) fn tell_bad(cx: &mut Context, bad: u64) {
    if bad > 0 {
        let lines = plural(bad, "line");
        cx.ui.warning(&format!(
            "{lines} of the telemetry cannot be read and {} left out",
            if bad == 1 { "is" } else { "are" }
        ));
    }
}
