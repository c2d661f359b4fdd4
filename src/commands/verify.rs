//! `coord verify`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::{By, Context, Verb};
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line, plural};
use crate::store::Verified;

/// Check the store against itself: the hash chain, the numbers, the index
///
/// Exit code 10 if something is wrong. `--repair` moves what cannot be read aside, so that writing
/// can go on; nothing is thrown away.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord verify              Is everything as it was written?
  coord verify --repair     Move damaged lines aside and go on")]
pub(crate) struct Args {
    /// Move what cannot be read aside
    #[arg(long)]
    repair: bool,

    #[command(flatten)]
    by: By,
}

#[derive(JsonSchema, Serialize)]
struct Checked {
    sound: bool,
    lines: u64,
    items: u64,
    files: u64,
    seams: Vec<String>,
    problems: Vec<String>,
    repaired: Vec<String>,
}

impl View for Checked {
    const SCHEMA: &'static str = "coord.verify/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let (lines, items) = (plural(self.lines, "line"), plural(self.items, "item"));
        writeln!(out, "read {lines} in {}: {items}", plural(self.files, "file"))?;
        for seam in &self.seams {
            writeln!(out, "merged here: {}", line(seam))?;
        }
        for problem in &self.problems {
            writeln!(out, "problem: {}", line(problem))?;
        }
        for deed in &self.repaired {
            writeln!(out, "repaired: {}", line(deed))?;
        }
        if self.sound {
            writeln!(out, "everything is as it was written")?;
        }
        Ok(())
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Checked>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let op = cx.op(self.by.agent.as_ref())?;
        let found = cx.reader()?.verify(self.repair, &op)?;
        let Verified { lines, items, files, seams, problems, repaired } = found;
        let count = problems.len() as u64;
        let sound = problems.is_empty();
        cx.ui.emit(&Checked { sound, lines, items, files, seams, problems, repaired })?;
        match count {
            0 => Ok(()),
            n if self.repair => {
                Err(Error::new(Kind::Problems, format!("found {}", plural(n, "problem")))
                    .hint("what could be moved aside was; the rest stays as evidence"))
            }
            n => Err(Error::new(Kind::Problems, format!("found {}", plural(n, "problem")))
                .hint("`coord verify --repair` moves what cannot be read aside")),
        }
    }
}
