//! `coord backup prune`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{all, file_name, own, place, size};
use crate::commands::{Context, Verb, values};
use crate::domain::time::{parse_duration, parse_rfc3339};
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line, plural};
use crate::settings::keys;
use crate::store::archive;
use crate::sys::tree::open_plain;

/// Remove old backups of this store
///
/// Those beyond the newest `--keep`, or older than `--older-than`; with both, only those that are beyond
/// the newest and older. The newest one always stays, and so does what cannot be read or was made from
/// another store. It is read to its end before anything goes: one that is damaged counts for nothing, and
/// without a good one nothing goes.
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
pub(crate) struct Gone {
    pub(crate) path: String,
    name: String,
    pub(crate) at: String,
    pub(crate) bytes: u64,
    #[serde(skip)]
    #[schemars(skip)]
    file: PathBuf,
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
        let rule = Rule::of(cx, self.keep, self.older_than)?;
        let chosen = choose(cx, self.from.as_deref(), rule)?;
        let bytes = chosen.go.iter().map(|gone| gone.bytes).sum();
        let count = chosen.go.len() as u64;
        if count > 0 && !self.dry_run && !self.yes {
            let question = format!("Remove {} of {}?", plural(count, "backup"), size(bytes));
            crate::commands::agreed(cx, &question)?;
        }
        if !self.dry_run && count > 0 {
            chosen.go.iter().try_for_each(Gone::remove)?;
            cx.changed("what could go is gone; `coord backup list` shows what is left");
        }
        cx.ui.emit(&Pruned {
            dry_run: self.dry_run,
            dir: chosen.dir.to_string_lossy().into_owned(),
            removed: chosen.go,
            kept: chosen.stay,
            bytes,
            left_alone: chosen.left_alone,
        })?;
        Ok(())
    }
}

/// Which backups stay.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    keep: Option<u64>,
    older: Option<Duration>,
}

impl Rule {
    /// What was asked for, else the setting; an error if neither says anything.
    pub(crate) fn of(cx: &mut Context, keep: Option<u32>, older: Option<Duration>) -> Result<Self> {
        let keep = match (keep, older) {
            (Some(keep), _) => Some(u64::from(keep)),
            (None, None) => cx.settings()?.number(keys::BACKUP_KEEP)?,
            (None, Some(_)) => None,
        };
        if keep.is_none() && older.is_none() {
            return Err(Error::new(Kind::Usage, "nothing says what may go")
                .hint("how many stay, how old they may be, or the setting `backup.keep`"));
        }
        Ok(Self { keep, older })
    }
}

/// What a rule says of the backups in a directory.
pub(crate) struct Chosen {
    pub(crate) dir: PathBuf,
    pub(crate) go: Vec<Gone>,
    stay: u64,
    left_alone: Vec<String>,
}

/// Sorts the backups of this store by a rule; nothing is removed.
pub(crate) fn choose(cx: &mut Context, from: Option<&Path>, rule: Rule) -> Result<Chosen> {
    let (dir, ours, now) = (place(cx, from)?, own(cx)?, cx.clock.wall());
    let (mut mine, mut left_alone) = (Vec::new(), Vec::new());
    for found in all(&dir, &ours)? {
        match found.about {
            // The newest one that stays must be one that can be restored.
            Ok(about) if about.dir == ours && (!mine.is_empty() || is_whole(&found.path)) => {
                mine.push((found.path, found.bytes, about.at));
            }
            _ => left_alone.push(file_name(&found.path)),
        }
    }
    let total = mine.len() as u64;
    let limit = usize::try_from(rule.keep.unwrap_or(0)).unwrap_or(usize::MAX).max(1);
    let is_old = |at: &str| {
        rule.older.is_none_or(|age| {
            parse_rfc3339(at).is_some_and(|at| (now - at).to_std().is_ok_and(|old| old > age))
        })
    };
    let go = mine.into_iter().skip(limit).filter(|(.., at)| is_old(at)).map(|(path, bytes, at)| {
        let name = file_name(&path);
        Gone { path: path.to_string_lossy().into_owned(), name, at, bytes, file: path }
    });
    let go: Vec<Gone> = go.collect();
    Ok(Chosen { dir, stay: total - go.len() as u64, go, left_alone })
}

impl Gone {
    /// Removes it; that somebody else has done so is as good.
    pub(crate) fn remove(&self) -> Result<()> {
        match std::fs::remove_file(&self.file) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                let what = format!("cannot remove `{}`", self.file.display());
                Err(Error::new(Kind::External, what).caused_by(e))
            }
            _ => Ok(()),
        }
    }
}

/// Whether an archive can be read to its end and holds what it says.
fn is_whole(path: &Path) -> bool {
    let Ok(file) = open_plain(path) else { return false };
    archive::read(io::BufReader::with_capacity(1 << 16, file), &mut |_, _, _| Ok(())).is_ok()
}
