//! `coord backup prune`.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{all, file_name, own, place, size};
use crate::commands::{Context, Verb, values};
use crate::domain::time::{parse_duration, parse_rfc3339};
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line, plural};
use crate::settings::keys;

/// Remove old backups of this store
///
/// Those beyond the newest `--keep`, or older than `--older-than`; with both, only those that are beyond
/// the newest and older. The newest one always stays, and so does what cannot be read or was made from
/// another store.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord backup prune --keep 7 --dry-run
  coord backup prune --keep 3 --older-than 30d --yes")]
pub(crate) struct Args {
    /// How many of the newest stay [default: backup.keep]
    #[arg(long, value_name = "N", value_parser = values::number, allow_negative_numbers = true)]
    keep: Option<u32>,

    /// Only those that are older than this
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    older_than: Option<Duration>,

    /// The directory to look in [default: where backups of this store go]
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,

    /// Show what would go, and remove nothing
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(JsonSchema, Serialize)]
struct Pruned {
    dry_run: bool,
    dir: String,
    removed: Vec<Gone>,
    kept: u64,
    /// Bytes that were freed, or would be.
    bytes: u64,
    /// Those that were left alone because they cannot be read or belong to another store.
    left_alone: Vec<String>,
}

#[derive(JsonSchema, Serialize)]
struct Gone {
    path: String,
    name: String,
    at: String,
    bytes: u64,
}

impl View for Pruned {
    const SCHEMA: &'static str = "coord.backup.prune/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let deed = if self.dry_run { "would remove" } else { "removed" };
        for gone in &self.removed {
            writeln!(out, "{deed} {}, {}", line(&gone.name), size(gone.bytes))?;
        }
        for name in &self.left_alone {
            writeln!(out, "left alone: {}", line(name))?;
        }
        let (count, kept) = (plural(self.removed.len() as u64, "backup"), self.kept);
        writeln!(out, "{deed} {count} of {}; {kept} stay", size(self.bytes))
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Pruned>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let keep = match (self.keep, self.older_than) {
            (Some(keep), _) => Some(u64::from(keep)),
            (None, None) => cx.settings()?.number(keys::BACKUP_KEEP)?,
            (None, Some(_)) => None,
        };
        if keep.is_none() && self.older_than.is_none() {
            return Err(Error::new(Kind::Usage, "nothing says what may go")
                .hint("`--keep N`, `--older-than TIME`, or the setting `backup.keep`"));
        }
        let (dir, ours, now) = (place(cx, self.from.as_deref())?, own(cx)?, cx.clock.wall());
        let (mut mine, mut left_alone) = (Vec::new(), Vec::new());
        for found in all(&dir)? {
            match found.about {
                Ok(about) if about.dir == ours => mine.push((found.path, found.bytes, about.at)),
                _ => left_alone.push(file_name(&found.path)),
            }
        }
        let total = mine.len() as u64;
        let limit = usize::try_from(keep.unwrap_or(0)).unwrap_or(usize::MAX).max(1);
        let gone: Vec<_> = mine
            .into_iter()
            .skip(limit)
            .filter(|(_, _, at)| {
                self.older_than.is_none_or(|age| {
                    let at = parse_rfc3339(at);
                    at.is_some_and(|at| (now - at).to_std().is_ok_and(|old| old > age))
                })
            })
            .collect();
        let bytes = gone.iter().map(|(_, bytes, _)| bytes).sum();
        let count = gone.len() as u64;
        if count > 0 && !self.dry_run && !self.yes {
            let question = format!("Remove {} of {}?", plural(count, "backup"), size(bytes));
            crate::commands::agreed(cx, &question)?;
        }
        let mut removed = Vec::new();
        for (path, bytes, at) in gone {
            if !self.dry_run {
                std::fs::remove_file(&path).map_err(|e| {
                    Error::new(Kind::External, format!("cannot remove `{}`", path.display()))
                        .caused_by(e)
                })?;
            }
            let name = file_name(&path);
            removed.push(Gone { path: path.to_string_lossy().into_owned(), name, at, bytes });
        }
        cx.ui.emit(&Pruned {
            dry_run: self.dry_run,
            dir: dir.to_string_lossy().into_owned(),
            removed,
            kept: total - count,
            bytes,
            left_alone,
        })?;
        Ok(())
    }
}
