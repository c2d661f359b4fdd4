//! `coord util man`.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Arg;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use schemars::JsonSchema;
use serde::Serialize;

use super::outline::{FILES, Page, VERSION, exit_codes, pages, variables};
use crate::commands::{Context, Verb};
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, plural};

/// Write the manual pages, one for each command, or print that of the program
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord util man | man -l -                     Read the page of the program
  coord util man /usr/local/share/man/man1      Write all of them there")]
pub(super) struct Args {
    /// The directory in which they are written; it is made if it is missing
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(JsonSchema, Serialize)]
struct Written {
    /// Where; null if a page was printed instead.
    dir: Option<String>,
    /// The files' names.
    pages: Vec<String>,
    /// The page that was asked for; null if pages were written.
    text: Option<String>,
}

impl View for Written {
    const SCHEMA: &'static str = "coord.util.man/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        if let Some(text) = &self.text {
            return out.write_all(text.as_bytes());
        }
        let dir = self.dir.as_deref().map(crate::output::line).unwrap_or_default();
        writeln!(out, "wrote {} to {dir}", plural(self.pages.len() as u64, "page"))
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Written>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let (codes, vars) = (exit_codes(cx.reference), variables(cx.reference));
        let all = pages(cx.reference);
        let Some(dir) = self.dir else {
            let text = all.first().map(|page| render(page, &codes, &vars)).transpose()?;
            let pages = vec!["coord.1".to_owned()];
            cx.ui.emit(&Written { dir: None, pages, text })?;
            return Ok(());
        };
        let mut written = Vec::new();
        std::fs::create_dir_all(&dir).map_err(|e| failed(&dir, e))?;
        for page in &all {
            let name = format!("{}.1", page.name());
            let file = dir.join(&name);
            let text = render(page, &codes, &vars)?;
            let made = File::create(&file).and_then(|mut f| f.write_all(text.as_bytes()));
            made.map_err(|e| failed(&file, e))?;
            written.push(name);
        }
        let dir = Some(dir.display().to_string());
        cx.ui.emit(&Written { dir, pages: written, text: None })?;
        Ok(())
    }
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::new(Kind::External, format!("cannot write `{}`", path.display())).caused_by(source)
}

/// How an apostrophe is written for this or that formatter.
const APOSTROPHE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

type Terms = [(String, String)];

fn render(page: &Page, codes: &Terms, vars: &Terms) -> Result<String> {
    let name = page.name();
    let command = page.command.clone().display_name(name.clone()).bin_name(page.path.clone());
    let man = Man::new(command.mut_args(in_words));
    // Without a date, so that a page changes only when its contents do.
    let title = name.to_uppercase();
    let mut text =
        format!(".TH {title} 1 \"\" \"coord {VERSION}\" \"coord manual\"\n").into_bytes();
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    let mut roff = Roff::default();
    let below = page.below();
    if !below.is_empty() {
        roff.control("SH", ["COMMANDS"]);
        for (sub, name) in page.command.get_subcommands().zip(&below) {
            roff.control("TP", []).text([bold(name.as_str()), roman("(1)")]);
            roff.text([roman(sub.get_about().map(ToString::to_string).unwrap_or_default())]);
        }
    }
    let (examples, notes) = page.after();
    if notes.iter().any(|line| !line.is_empty()) {
        roff.control("SH", ["NOTES"]);
        roff.text([roman(notes.join(" ").replace('`', ""))]);
    }
    roff.control("SH", ["EXAMPLES"]);
    if examples.is_empty() {
        let all: Vec<String> = below.iter().map(|name| format!("{name}(1)")).collect();
        roff.text([roman(format!("They stand with each command: {}.", all.join(", ")))]);
    } else {
        roff.control("nf", []);
        for line in &examples {
            roff.text([roman(line.as_str())]);
        }
        roff.control("fi", []);
    }
    list(&mut roff, "EXIT STATUS", codes, bold);
    list(&mut roff, "ENVIRONMENT", vars, bold);
    let files: Vec<_> = FILES.iter().map(|(f, t)| ((*f).to_owned(), (*t).to_owned())).collect();
    list(&mut roff, "FILES", &files, italic);
    if let Some((above, _)) = page.path.rsplit_once(' ') {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([bold(above.replace(' ', "-")), roman("(1)")]);
    }
    roff.to_writer(&mut text)?;
    let text = String::from_utf8(text)
        .map_err(|e| Error::new(Kind::Bug, "a manual page is not valid UTF-8").caused_by(e))?;
    // Every piece brings it along.
    Ok(format!("{APOSTROPHE}{}", text.replace(APOSTROPHE, "")))
}

/// Says in the help of an argument which values it takes.
fn in_words(arg: Arg) -> Arg {
    let takes = arg.get_num_args().is_some_and(|n| n.takes_values());
    let words = if takes { arg.get_possible_values() } else { Vec::new() };
    if words.is_empty() {
        return arg;
    }
    let words: Vec<&str> = words.iter().map(clap::builder::PossibleValue::get_name).collect();
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    arg.hide_possible_values(true).long_help(format!("{help}; one of {}", words.join(", ")))
}

fn list(
    roff: &mut Roff,
    title: &str,
    terms: &Terms,
    style: impl Fn(String) -> clap_mangen::roff::Inline,
) {
    roff.control("SH", [title]);
    for (term, text) in terms {
        roff.control("TP", []).text([style(term.clone())]);
        roff.text([roman(text.replace('`', ""))]);
    }
}
