//! `coord verify`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::{By, Context, Verb};
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line, plural};
use crate::store::{Problem, ProblemKind, Seen, Verified};

/// Check the store against itself: every line, every item, every claim
///
/// Each line of the log holds the hash of the one before it, so that a line which was changed, taken
/// out, moved or cut off is named. Besides: the life of every item by the rules, completions against
/// their claims, dependencies, counts, the index against what the log makes, agents, named locks and
/// what was taken over.
///
/// Exit code 10 if something is wrong. Nothing is changed without `--repair`, which moves what cannot
/// be read aside, so that writing can go on; nothing is thrown away.
///
/// Only who rewrites the log to its end and all that knows of it goes unnoticed: note the head that
/// is printed where nobody else can write, and ask with `--expect` whether it is still there.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord verify              Is everything as it was written?
  coord verify --repair     Move damaged lines aside and go on
  coord verify --traces     Also: does every span have its parent?
  coord verify --json | jq -r '.data.problems[] | \"\\(.file):\\(.line) \\(.what)\"'
  coord verify --expect 120:9f2c0b6a1d4e7788  Is write 120 still the one I saw?")]
pub(crate) struct Args {
    /// Move what cannot be read aside
    #[arg(long)]
    repair: bool,

    /// A head that was printed earlier: the number of a write and its hash
    #[arg(long, value_name = "N:HASH", value_parser = head)]
    expect: Vec<(u64, String)>,

    /// Take a span whose parent is nowhere for a problem, and name it
    ///
    /// A worker that was killed, old telemetry that was removed and files of the old system leave such
    /// spans, so without this they are only counted.
    #[arg(long)]
    traces: bool,

    #[command(flatten)]
    by: By,
}

/// Reads `120:9f2c0b6a1d4e7788`.
fn head(text: &str) -> Result<(u64, String), &'static str> {
    const FORM: &str = "expected the number of a write, a colon and 16 hex digits";
    let (n, hash) = text.split_once(':').ok_or(FORM)?;
    let digits = hash.len() == 16 && hash.bytes().all(|c| c.is_ascii_hexdigit());
    let n = n.parse().ok().filter(|n| *n > 0 && digits).ok_or(FORM)?;
    Ok((n, hash.to_ascii_lowercase()))
}

/// Something that is wrong.
#[derive(JsonSchema, Serialize)]
struct ProblemView {
    /// What kind of thing.
    kind: Word,
    /// The file, relative to the state directory.
    file: Option<String>,
    /// The line, from 1.
    line: Option<u64>,
    /// What is wrong.
    what: String,
    /// What can be done about it.
    todo: String,
}

/// A kind of problem in its machine form.
#[derive(Serialize)]
#[serde(transparent)]
struct Word(&'static str);

impl JsonSchema for Word {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ProblemKind".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let words: Vec<_> = ProblemKind::ALL.iter().map(|kind| kind.as_str()).collect();
        schemars::json_schema!({ "type": "string", "enum": words })
    }
}

impl From<Problem> for ProblemView {
    fn from(problem: Problem) -> Self {
        let Problem { kind, file, line, what, todo } = problem;
        Self { kind: Word(kind.as_str()), file, line, what, todo }
    }
}

#[derive(JsonSchema, Serialize)]
struct Checked {
    sound: bool,
    /// The number of the last write.
    n: u64,
    /// The hash of the last line, for `--expect`.
    head: String,
    lines: u64,
    items: u64,
    files: u64,
    claims: u64,
    finishes: u64,
    /// Items that were taken over from elsewhere; their earlier life is not judged.
    imported: u64,
    /// Spans whose parents were looked for.
    spans: u64,
    seams: Vec<String>,
    notes: Vec<String>,
    problems: Vec<ProblemView>,
    repaired: Vec<String>,
}

impl View for Checked {
    const SCHEMA: &'static str = "coord.verify/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let (lines, items) = (plural(self.lines, "line"), plural(self.items, "item"));
        writeln!(out, "read {lines} in {}: {items}", plural(self.files, "file"))?;
        let (claims, ends) = (plural(self.claims, "claim"), plural(self.finishes, "end"));
        write!(out, "held {ends} of work against {claims}")?;
        if self.imported > 0 {
            write!(out, "; {} are not judged", plural(self.imported, "imported item"))?;
        }
        writeln!(out)?;
        if self.n > 0 {
            writeln!(out, "head: {}:{}", self.n, self.head)?;
        }
        for seam in &self.seams {
            writeln!(out, "merged here: {}", line(seam))?;
        }
        for note in &self.notes {
            writeln!(out, "note: {}", line(note))?;
        }
        for problem in &self.problems {
            write!(out, "problem: ")?;
            match (&problem.file, problem.line) {
                (Some(file), Some(number)) => write!(out, "`{}` line {number}: ", line(file))?,
                (Some(file), None) => write!(out, "`{}`: ", line(file))?,
                _ => {}
            }
            writeln!(out, "{}", line(&problem.what))?;
            writeln!(out, "  to do: {}", line(&problem.todo))?;
        }
        for deed in &self.repaired {
            writeln!(out, "repaired: {}", line(deed))?;
        }
        if self.sound {
            writeln!(out, "everything is as it was written")?;
        }
        Ok(())
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        if self.n > 0 { writeln!(out, "{}:{}", self.n, self.head) } else { Ok(()) }
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Checked>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let op = cx.op(self.by.agent.as_ref())?;
        let store = cx.reader()?;
        let mut found = store.verify(self.repair, &op)?;
        if !found.repaired.is_empty() {
            cx.changed("`coord verify` tells what was repaired");
        }
        let store = cx.reader()?;
        for (n, hash) in &self.expect {
            let there = store.seen(*n)?;
            let hashes: Vec<_> = there.iter().map(|seen| seen.hash.as_str()).collect();
            let what = match there.iter().find(|seen| seen.hash == *hash) {
                Some(Seen { broken: None, .. }) => None,
                Some(Seen { broken: Some(broken), .. }) => Some(format!(
                    "write {n} is there, but {broken} is not what it was when that head was taken"
                )),
                None if there.is_empty() => {
                    Some(format!("write {n} is not there; it was expected with the hash {hash}"))
                }
                None => {
                    Some(format!("write {n} has the hash {}, not {hash}", hashes.join(" and ")))
                }
            };
            if let Some(what) = what {
                let todo = "the log is not the one that this head was taken from, or was rewritten";
                found.problems.push(Problem::of_all(ProblemKind::History, what).todo(todo));
            }
        }
        if !self.traces {
            let all = found.problems.len();
            found.problems.retain(|problem| problem.kind != ProblemKind::Trace);
            if found.problems.len() < all {
                let note = "there are spans whose parent is nowhere; `--traces` names them";
                found.notes.push(note.to_owned());
            }
        }
        let Verified { seams, notes, problems, repaired, .. } = found;
        let count = problems.len() as u64;
        let mends = problems.iter().any(|problem| problem.todo.contains("--repair"));
        let problems = problems.into_iter().map(ProblemView::from).collect();
        cx.ui.emit(&Checked {
            sound: count == 0,
            n: found.n,
            head: found.head,
            lines: found.lines,
            items: found.items,
            files: found.files,
            claims: found.claims,
            finishes: found.finishes,
            imported: found.imported,
            spans: found.spans,
            seams,
            notes,
            problems,
            repaired,
        })?;
        if count == 0 {
            return Ok(());
        }
        let error = Error::new(Kind::Problems, format!("found {}", plural(count, "problem")));
        Err(match (self.repair, mends) {
            (true, _) => error.hint("what could be moved aside was; the rest stays as evidence"),
            (_, true) => error.hint("`coord verify --repair` moves what cannot be read aside"),
            _ => error.hint("nothing was changed; each problem says what can be done about it"),
        })
    }
}
