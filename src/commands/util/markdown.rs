//! `coord util markdown`.

use std::fmt::Write as _;
use std::io;

use clap::Arg;
use schemars::JsonSchema;
use serde::Serialize;

use super::outline::{FILES, Page, VERSION, exit_codes, pages, topic, variables};
use crate::commands::{Context, Verb};
use crate::error::Result;
use crate::output::{Screen, Shape, View};
use crate::settings::keys;

/// Print the whole reference as one Markdown document
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord util markdown > reference.md       Keep it
  coord util markdown | less               Read it")]
pub(super) struct Args {}

#[derive(JsonSchema, Serialize)]
struct Document {
    text: String,
}

impl View for Document {
    const SCHEMA: &'static str = "coord.util.markdown/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        out.write_all(self.text.as_bytes())
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Document>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let mut text = format!("# coord {VERSION}: reference\n");
        let all = pages(cx.reference);
        for (at, page) in all.iter().enumerate() {
            command(&mut text, page);
            if at == 0 {
                text.push_str("\nEvery command takes these:\n\n");
                page.arguments(true).for_each(|arg| argument(&mut text, arg));
            }
        }
        text.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
        rows(&mut text, &exit_codes(cx.reference));
        text.push_str("\n## Settings\n\n| key | value | default | what for |\n|---|---|---|---|\n");
        for key in &keys::ALL {
            let (value, default) = (key.form.words(), key.default);
            let _ = writeln!(text, "| `{}` | {value} | `{default}` | {} |", key.name, key.doc);
        }
        text.push_str("\n## Environment\n\n| variable | what for |\n|---|---|\n");
        rows(&mut text, &variables(cx.reference));
        text.push_str("\n## Files\n\n| file | what for |\n|---|---|\n");
        let files: Vec<_> = FILES.iter().map(|(f, t)| ((*f).to_owned(), (*t).to_owned())).collect();
        rows(&mut text, &files);
        let _ = write!(text, "\n## Formats\n\n```text\n{}```\n", topic(cx.reference, "formats"));
        text.push_str("\n## JSON Schemas\n\n`coord util schema NAME` prints one of these:\n\n");
        for shape in super::schema::shapes(cx.reference) {
            let _ = writeln!(text, "- `{}`", shape.name);
        }
        cx.ui.emit(&Document { text })?;
        Ok(())
    }
}

fn command(text: &mut String, page: &Page) {
    let usage = page.command.clone().bin_name(page.path.clone()).render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let description = page.description();
    let _ = write!(text, "\n## {}\n\n{}\n", page.path, description.trim());
    let _ = write!(text, "\n```text\n{usage}\n```\n");
    let mut own = page.arguments(false).peekable();
    if own.peek().is_some() {
        text.push('\n');
    }
    own.for_each(|arg| argument(text, arg));
    let (examples, _) = page.after();
    if !examples.is_empty() {
        let _ = write!(text, "\nExamples:\n\n```text\n{}\n```\n", examples.join("\n").trim_end());
    }
}

fn argument(text: &mut String, arg: &Arg) {
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let help = help.map(|h| h.to_string().replace('\n', " ")).unwrap_or_default();
    let short = arg.get_short().filter(|_| arg.get_long().is_some());
    let short = short.map(|c| format!(" (`-{c}`)")).unwrap_or_default();
    let _ = write!(text, "- `{}`{short}: {help}", arg.to_string().trim());
    let takes = arg.get_num_args().is_some_and(|n| n.takes_values());
    let words = if takes { arg.get_possible_values() } else { Vec::new() };
    if !words.is_empty() {
        let words: Vec<String> = words.iter().map(|w| format!("`{}`", w.get_name())).collect();
        let _ = write!(text, "; one of {}", words.join(", "));
    }
    let defaults = if takes { arg.get_default_values() } else { &[] };
    if let [default] = defaults {
        let _ = write!(text, "; `{}` unless given", default.display());
    }
    text.push('\n');
}

fn rows(text: &mut String, terms: &[(String, String)]) {
    for (term, what) in terms {
        let _ = writeln!(text, "| `{term}` | {} |", what.replace('|', "\\|"));
    }
}
