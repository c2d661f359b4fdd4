//! Tables: fitted to a terminal, or tab-separated and whole for programs.

use std::io;

use unicode_width::UnicodeWidthStr;

use super::style::HEADER;
use super::{Screen, line};

/// A column of a [`Table`].
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// Whether numbers stand in it.
    pub right: bool,
    /// Whether it may be cut to fit; ids never are.
    pub shrinks: bool,
    /// Whether people are spared it where no row has anything in it.
    pub optional: bool,
}

impl Column {
    /// A column that is never cut.
    #[must_use]
    pub const fn new(title: &'static str) -> Self {
        Self { title, right: false, shrinks: false, optional: false }
    }

    /// Aligned to the right.
    #[must_use]
    pub const fn right(mut self) -> Self {
        self.right = true;
        self
    }

    /// Not shown to people where it is empty; programs always get it.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Cut where the terminal is too narrow.
    #[must_use]
    pub const fn shrinks(mut self) -> Self {
        self.shrinks = true;
        self
    }
}

/// Rows under headings. Every cell is sanitised when it is shown.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// Below this a column is not cut further.
const MIN_SHRUNK: usize = 10;

impl Table {
    /// A table without rows.
    #[must_use]
    pub const fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row with one cell per column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Shows it: to people with headings and fitted, to programs tab-separated, bare and whole.
    pub fn write(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        let Some(width) = screen.width else {
            for row in &self.rows {
                let cells: Vec<_> = row.iter().map(|cell| line(cell)).collect();
                writeln!(out, "{}", cells.join("\t"))?;
            }
            return Ok(());
        };
        let spared = |at: &usize| {
            let empty = |row: &Vec<String>| row.get(*at).is_none_or(String::is_empty);
            self.columns[*at].optional && self.rows.iter().all(empty)
        };
        let shown: Vec<usize> = (0..self.columns.len()).filter(|at| !spared(at)).collect();
        if shown.len() < self.columns.len() {
            let kept =
                |row: &Vec<String>| shown.iter().filter_map(|at| row.get(*at).cloned()).collect();
            let columns = shown.iter().map(|at| self.columns[*at]).collect();
            return Self { columns, rows: self.rows.iter().map(kept).collect() }.write(out, screen);
        }
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(|c| line(c).into_owned()).collect())
            .collect();
        let widths = self.widths(&rows, width);
        let heading: Vec<String> = self.columns.iter().map(|c| c.title.to_owned()).collect();
        writeln!(out, "{HEADER}{}{HEADER:#}", self.fitted(&heading, &widths))?;
        for row in &rows {
            writeln!(out, "{}", self.fitted(row, &widths))?;
        }
        Ok(())
    }

    fn widths(&self, rows: &[Vec<String>], width: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|c| c.title.width()).collect();
        for row in rows {
            for (have, cell) in widths.iter_mut().zip(row) {
                *have = (*have).max(cell.width());
            }
        }
        let gaps = 2 * widths.len().saturating_sub(1);
        let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(width);
        for (have, column) in widths.iter_mut().zip(&self.columns).rev() {
            if column.shrinks {
                let cut = excess.min(have.saturating_sub(MIN_SHRUNK));
                *have -= cut;
                excess -= cut;
            }
        }
        widths
    }

    fn fitted(&self, cells: &[String], widths: &[usize]) -> String {
        let mut text = String::new();
        for ((cell, width), column) in cells.iter().zip(widths).zip(&self.columns) {
            let cell = if column.shrinks { shorten(cell, *width) } else { cell.clone() };
            let pad = " ".repeat(width.saturating_sub(cell.width()));
            if !text.is_empty() {
                text.push_str("  ");
            }
            let (before, after) =
                if column.right { (pad.as_str(), "") } else { ("", pad.as_str()) };
            text.push_str(before);
            text.push_str(&cell);
            text.push_str(after);
        }
        text.truncate(text.trim_end().len());
        text
    }
}

/// Cuts `text` to `width` columns, with an ellipsis where something is missing.
fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 1);
    for c in text.chars() {
        let wide = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if used + wide > width {
            break;
        }
        used += wide;
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(width: Option<usize>) -> String {
        let mut table = Table::new(vec![
            Column::new("ID"),
            Column::new("TITLE").shrinks(),
            Column::new("PTS").right(),
        ]);
        table.row(["w-1".into(), "A title that is rather long\u{1b}[2J".into(), "8".into()]);
        table.row(["w-1000".into(), "世界世界世界世界世界".into(), "13".into()]);
        let mut out = Vec::new();
        table.write(&mut anstream::StripStream::new(&mut out), Screen { width }).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fits_a_terminal() {
        assert_eq!(
            show(Some(30)),
            "ID      TITLE              PTS\nw-1     A title that is …    8\nw-1000  世界世界世界世界…   13\n"
        );
    }

    #[test]
    fn people_are_spared_an_empty_column() {
        let mut table = Table::new(vec![
            Column::new("ID"),
            Column::new("SINCE").optional(),
            Column::new("NOTE").optional(),
        ]);
        table.row(["a".into(), String::new(), String::new()]);
        table.row(["b".into(), String::new(), "x".into()]);
        let show = |width| {
            let mut out = Vec::new();
            table.write(&mut anstream::StripStream::new(&mut out), Screen { width }).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(show(Some(30)), "ID  NOTE\na\nb   x\n");
        assert_eq!(show(None), "a\t\t\nb\t\tx\n");
    }

    #[test]
    fn is_whole_for_programs() {
        assert_eq!(
            show(None),
            "w-1\tA title that is rather long\t8\nw-1000\t世界世界世界世界世界\t13\n"
        );
    }
}
