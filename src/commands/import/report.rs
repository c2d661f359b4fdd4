//! What an import did, file by file.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::legacy::{Kind, Note, Report};
use crate::output::{Column, Screen, Table as Lines, View, line, plural};
use crate::store::imported::{Kept, Table};

/// How many notes a person is shown for a file, of those that need an eye and of the others.
const SHOWN: (usize, usize) = (100, 20);

/// The notes of one sort.
type Notes = fn(&File) -> &[Note];

/// How many there are, how many of them are new.
#[derive(Clone, Copy, Debug, Default, JsonSchema, Serialize)]
pub(super) struct Tally {
    added: u64,
    existing: u64,
}

impl Tally {
    fn count(&mut self, there: bool) {
        if there {
            self.existing += 1;
        } else {
            self.added += 1;
        }
    }
}

/// What became of one file.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct File {
    name: &'static str,
    kind: Kind,
    read: usize,
    points: Option<u64>,
    facts: Option<usize>,
    added: u64,
    existing: u64,
    duplicate_ids: usize,
    mended: Vec<Note>,
    refused: Vec<Note>,
    duplicates: Vec<Note>,
}

impl File {
    /// A file of which nothing is known yet.
    pub(super) const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            read: 0,
            points: None,
            facts: None,
            added: 0,
            existing: 0,
            duplicate_ids: 0,
            mended: Vec::new(),
            refused: Vec::new(),
            duplicates: Vec::new(),
        }
    }

    /// With what is to be told about it.
    pub(super) fn report(mut self, report: Report) -> Self {
        let ids: BTreeSet<_> = report.duplicates.iter().filter_map(|n| n.id.as_deref()).collect();
        self.duplicate_ids = ids.len();
        let Report { read, mended, refused, duplicates } = report;
        (self.read, self.mended, self.refused, self.duplicates) =
            (read, mended, refused, duplicates);
        self
    }

    /// With the points in it.
    pub(super) const fn points(mut self, points: u64) -> Self {
        self.points = Some(points);
        self
    }

    /// With the number of facts in it that are no work.
    pub(super) const fn facts(mut self, facts: usize) -> Self {
        self.facts = Some(facts);
        self
    }

    /// What was read, in words.
    fn told(&self) -> String {
        let words = plural(self.read as u64, self.kind.noun());
        let noun = words.split_once(' ').map_or("", |(_, noun)| noun);
        let mut text = format!("{} {noun}", grouped(self.read as u64));
        if let Some(points) = self.points {
            text = format!("{text} worth {} points", grouped(points));
        }
        if let Some(facts) = self.facts.filter(|f| *f > 0) {
            text = format!("{text}, {}", plural(facts as u64, "fact"));
        }
        text
    }
}

/// A number with a comma between the thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What became of the whole.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Outcome {
    dir: String,
    dry_run: bool,
    files: Vec<File>,
    absent: Vec<&'static str>,
    items: Tally,
    agents: Tally,
    velocity: Tally,
    spans: Tally,
    plans: Tally,
}

impl Outcome {
    /// Nothing has happened yet.
    pub(super) fn new(dir: &Path, dry_run: bool) -> Self {
        let none = Tally::default();
        Self {
            dir: dir.display().to_string(),
            dry_run,
            files: Vec::new(),
            absent: Vec::new(),
            items: none,
            agents: none,
            velocity: none,
            spans: none,
            plans: none,
        }
    }

    /// How many items and agents are new.
    pub(super) const fn added(&self) -> (u64, u64) {
        (self.items.added, self.agents.added)
    }

    /// Notes the known files that are not there.
    pub(super) fn absent(&mut self, names: Vec<&'static str>) {
        self.absent = names;
    }

    /// Notes the next file.
    pub(super) fn file(&mut self, file: File) {
        self.files.push(file);
    }

    /// Notes what is to be told about a file.
    pub(super) fn report(&mut self, at: usize, report: Report) {
        if let Some(slot) = self.files.get_mut(at) {
            let (name, kind, facts) = (slot.name, slot.kind, slot.facts);
            *slot = File { facts, ..File::new(name, kind).report(report) };
        }
    }

    /// Counts an item for the file that is believed about it.
    pub(super) fn item(&mut self, file: usize, there: bool) {
        self.items.count(there);
        self.count(|_, at| at == file, u64::from(!there), u64::from(there));
    }

    /// Counts an agent.
    pub(super) fn agent(&mut self, there: bool) {
        self.agents.count(there);
        self.count(|f, _| f.kind == Kind::Agents, u64::from(!there), u64::from(there));
    }

    /// Counts rows that are no work.
    pub(super) fn rows(&mut self, table: Table, kept: Kept) {
        let tally = Tally { added: kept.added as u64, existing: kept.existing as u64 };
        let kind = match table {
            Table::Velocity => {
                self.velocity = tally;
                Kind::Velocity
            }
            Table::Spans => {
                self.spans = tally;
                Kind::Spans
            }
            Table::Plans => {
                self.plans = tally;
                return;
            }
        };
        self.count(|f, _| f.kind == kind, tally.added, tally.existing);
    }

    fn count(&mut self, which: impl Fn(&File, usize) -> bool, added: u64, existing: u64) {
        let found = self.files.iter_mut().enumerate().find(|(at, file)| which(file, *at));
        if let Some((_, file)) = found {
            file.added += added;
            file.existing += existing;
        }
    }

    /// How many records were refused.
    pub(super) fn refused(&self) -> u64 {
        self.files.iter().map(|f| f.refused.len() as u64).sum()
    }

    fn table(&self) -> Lines {
        let mut table = Lines::new(vec![
            Column::new("FILE"),
            Column::new("READ"),
            Column::new("NEW").right(),
            Column::new("THERE").right(),
            Column::new("MENDED").right(),
            Column::new("TWICE").right(),
            Column::new("REFUSED").right(),
        ]);
        for file in &self.files {
            let twice = match file.duplicates.len() {
                0 => "0".to_owned(),
                n => format!("{n} of {}", plural(file.duplicate_ids as u64, "id")),
            };
            table.row([
                file.name.to_owned(),
                file.told(),
                file.added.to_string(),
                file.existing.to_string(),
                file.mended.len().to_string(),
                twice,
                file.refused.len().to_string(),
            ]);
        }
        table
    }

    fn notes(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        let sorts: [(&str, Notes); 3] =
            [("refused", |f| &f.refused), ("twice", |f| &f.duplicates), ("mended", |f| &f.mended)];
        for (sort, notes) in sorts {
            for file in &self.files {
                let notes = notes(file);
                let shown = match screen.width {
                    Some(_) if sort == "refused" => SHOWN.0,
                    Some(_) => SHOWN.1,
                    None => notes.len(),
                };
                for note in notes.iter().take(shown) {
                    let place = format!("{}:{}", file.name, note.place);
                    let id = note.id.as_deref().unwrap_or("-");
                    let (place, id, reason) = (line(&place), line(id), line(&note.reason));
                    if screen.width.is_some() {
                        writeln!(out, "{sort:<7}  {place}  {id}  {reason}")?;
                    } else {
                        writeln!(out, "{sort}\t{place}\t{id}\t{reason}")?;
                    }
                }
                if notes.len() > shown {
                    let more = notes.len() - shown;
                    writeln!(out, "{sort:<7}  {}  … and {more} more, see --json", file.name)?;
                }
            }
        }
        Ok(())
    }
}

impl View for Outcome {
    const SCHEMA: &'static str = "coord.import/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        self.table().write(out, screen)?;
        if screen.width.is_some() {
            writeln!(out)?;
        }
        self.notes(out, screen)?;
        let all = [self.items, self.agents, self.velocity, self.spans, self.plans];
        let existing: u64 = all.iter().map(|t| t.existing).sum();
        let parts: Vec<_> = all
            .iter()
            .zip(["item", "agent", "velocity row", "span", "fact"])
            .filter(|(tally, _)| tally.added > 0)
            .map(|(tally, noun)| plural(tally.added, noun))
            .collect();
        let verb = if self.dry_run { "would take over" } else { "took over" };
        let what = if parts.is_empty() { "nothing new".to_owned() } else { parts.join(", ") };
        writeln!(out, "{verb} {what}; {existing} were there already")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_counted() {
        for (number, text) in [(0, "0"), (999, "999"), (2024, "2,024"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        let mut file = File::new("velocity_log.txt", Kind::Velocity).points(2024);
        file.read = 1162;
        assert_eq!(file.told(), "1,162 velocity rows worth 2,024 points");
        file.read = 1;
        assert_eq!(file.told(), "1 velocity row worth 2,024 points");
    }

    #[test]
    fn a_person_is_shown_the_first_of_many_and_a_program_all() {
        let note = |n: usize| Note {
            place: crate::domain::legacy::Place::line(n, n),
            id: Some(format!("w-{n}")),
            reason: "odd\u{1b}[2J".to_owned(),
        };
        let many = || (1..=130).map(note).collect::<Vec<_>>();
        let report = Report { read: 1, mended: many(), refused: many(), duplicates: Vec::new() };
        let mut outcome = Outcome::new(Path::new("old"), false);
        outcome.file(File::new("work_claims.json", Kind::Claims).report(report));
        let show = |width| {
            let mut out = Vec::new();
            outcome.human(&mut out, Screen { width }).unwrap();
            String::from_utf8(out).unwrap()
        };
        let (person, program) = (show(Some(100)), show(None));
        let lines = |text: &str, sort: &str| text.lines().filter(|l| l.starts_with(sort)).count();
        assert_eq!((lines(&person, "refused "), lines(&person, "mended ")), (101, 21));
        assert!(person.contains("… and 110 more, see --json"), "{person}");
        assert_eq!((lines(&program, "refused\t"), lines(&program, "mended\t")), (130, 130));
        assert!(!program.contains('\u{1b}'));
    }
}
