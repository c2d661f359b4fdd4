//! `coord claude ask`.

use std::io;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::reach::Reach;
use crate::client::claude::{Answer, Ask, DryRun, Request};
use crate::commands::{Context, Verb, guard};
use crate::domain::claude::Preset;
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, text};
use crate::sys::input::read_file;

/// The most that a question may have.
const MOST: usize = 8 << 20;

/// Ask Claude: a question in, an answer out, with retries, a cache and a budget
///
/// The question is the argument, a file, or standard input. With `--preset` or `--data -` standard
/// input is data, handed over as such, and the answer is JSON. No rules answer a question of your own:
/// without Claude, and with `--offline`, only the cache does. Exit codes: 3 no key and no program
/// `claude`, 5 no answer, 7 refused, cut short or unfit for the schema, 8 a budget is used up, 124 out of
/// time.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord claude ask 'What does exit code 124 mean?'
  coord work list --json | coord claude ask --preset bottlenecks
  coord claude ask --schema answer.json --data report.txt 'Which lines are errors?'
  coord claude ask --stream 'Tell me about leases'
  coord claude ask --dry-run 'What would this cost?'")]
pub(super) struct Args {
    /// The question [default: standard input]
    #[arg(conflicts_with = "file")]
    prompt: Option<String>,

    /// Read the question from this file, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Data that the question is about: a file, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,

    /// A ready question about the data, with an answer in JSON
    #[arg(long, value_name = "NAME", conflicts_with_all = ["schema", "system"],
        value_parser = ["priorities", "bottlenecks", "recommendations", "general"])]
    preset: Option<String>,

    /// What Claude is told about its task
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,

    /// A JSON Schema that the answer must fit: a file, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,

    /// Print the text as it comes
    #[arg(long, conflicts_with_all = ["schema", "preset"])]
    stream: bool,

    /// How many tokens Claude may write
    #[arg(long, value_name = "N", value_parser = crate::commands::values::tokens)]
    max_tokens: Option<u32>,

    #[command(flatten)]
    reach: Reach,
}

#[derive(JsonSchema, Serialize)]
#[serde(transparent)]
pub(super) struct Answered(pub(super) Answer);

impl View for Answered {
    const SCHEMA: &'static str = "coord.claude.ask/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        match &self.0.structured {
            Some(value) => {
                let json = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
                writeln!(out, "{}", text(&json))
            }
            None => writeln!(out, "{}", text(self.0.text.trim_end())),
        }
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        self.human(out, Screen { width: None })
    }
}

/// The end of a stream whose text was printed already.
#[derive(JsonSchema, Serialize)]
#[serde(transparent)]
struct Streamed(Answer);

impl View for Streamed {
    const SCHEMA: &'static str = "coord.claude.ask/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        writeln!(out)
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out)
    }
}

/// A piece of a stream.
#[derive(JsonSchema, Serialize)]
struct Piece {
    text: String,
}

impl View for Piece {
    const SCHEMA: &'static str = "coord.claude.piece/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        out.write_all(text(&self.text).as_bytes())
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(text(&self.text).as_bytes())
    }
}

/// What a call would do.
#[derive(JsonSchema, Serialize)]
pub(super) struct Planned {
    dry_run: bool,
    #[serde(flatten)]
    plan: DryRun,
}

impl View for Planned {
    const SCHEMA: &'static str = "coord.claude.dry-run/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let plan = &self.plan;
        let request = serde_json::to_string_pretty(&plan.request).map_err(io::Error::other)?;
        writeln!(out, "{}", text(&request))?;
        let backend = plan.backend.map_or("nobody", |backend| backend.as_str());
        writeln!(out, "asks       {backend}, {}", plan.model)?;
        if !plan.then.is_empty() {
            writeln!(out, "then       {}", plan.then.join(", "))?;
        }
        writeln!(out, "cache      {} {}", plan.cache_state, plan.cache_key)?;
        match plan.estimated_cost_usd {
            Some(cost) => writeln!(out, "costs      at most {cost}"),
            None => writeln!(out, "costs      unknown: there is no price for this model"),
        }
    }
}

/// Shows what a call would do.
pub(super) fn dry_run(cx: &mut Context, request: Request, reach: &Reach) -> Result<()> {
    let claude = super::layer(cx)?;
    let command = cx.command.clone();
    let ask = Ask { switches: reach.switches(), ..Ask::new(request, &command) };
    let plan = claude.dry_run(&ask).map_err(super::failed)?;
    super::tell(cx, &claude);
    cx.ui.emit(&Planned { dry_run: true, plan })?;
    Ok(())
}

impl Verb for Args {
    const VIEWS: &'static [Shape] =
        &[Shape::of::<Answered>(), Shape::of::<Planned>(), Shape::of::<Piece>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let request = self.request(cx)?;
        if self.reach.dry_run {
            return dry_run(cx, request, &self.reach);
        }
        let claude = super::layer(cx)?;
        let signals = guard::signals()?;
        let stop = || signals.take_stop();
        let command = cx.command.clone();
        let ask =
            Ask { switches: self.reach.switches(), stop: &stop, ..Ask::new(request, &command) };
        if !self.stream {
            let answer = super::ask(cx, &claude, ask).map_err(super::failed)?;
            super::notice(cx, &answer);
            cx.ui.emit(&Answered(answer))?;
            return Ok(());
        }
        let answer = {
            let ui = &mut cx.ui;
            let mut held = String::new();
            let mut sink = |piece: &str| {
                held.push_str(piece);
                let whole = whole_sequences(&held);
                let text: String = held.drain(..whole).collect();
                if text.is_empty() { Ok(()) } else { ui.emit(&Piece { text }) }
            };
            claude.ask(Ask { sink: Some(&mut sink), ..ask })
        };
        super::tell(cx, &claude);
        super::noted(cx, &answer);
        match answer {
            Ok(answer) => {
                super::notice(cx, &answer);
                // A cached answer came in one piece, through the same door.
                cx.ui.emit(&Streamed(answer))?;
                Ok(())
            }
            Err(failure) if super::is_closed(&failure) => Ok(()),
            Err(failure) => Err(super::failed(failure)),
        }
    }
}

/// How much of a text can be shown: an escape sequence that is not whole yet waits for its end, so
/// that it is taken out in one piece.
fn whole_sequences(text: &str) -> usize {
    const LONGEST: usize = 64;
    let Some(at) = text.rfind('\u{1b}') else { return text.len() };
    let rest = &text[at + 1..];
    let ends = |c: char| c.is_ascii_alphabetic() || matches!(c, '~' | '@' | '\n' | '\u{7}' | '\\');
    if rest.len() > LONGEST || rest.chars().any(ends) { text.len() } else { at }
}

impl Args {
    fn request(&self, cx: &Context) -> Result<Request> {
        let from = |path: &PathBuf| if path.as_os_str() == "-" { stdin(cx) } else { read(path) };
        let file = self.file.as_ref().map(from).transpose()?;
        let question = self.prompt.clone().or(file);
        let preset = Preset::ALL.into_iter().find(|p| Some(p.as_str()) == self.preset.as_deref());
        let data = match &self.data {
            Some(path) => Some(from(path)?),
            None if preset.is_some() => Some(stdin(cx)?),
            None => None,
        };
        let prompt = match (data, question) {
            (Some(data), question) => Preset::prompt(question.as_deref(), &data),
            (None, Some(question)) => question,
            (None, None) => stdin(cx)?,
        };
        if prompt.trim().is_empty() {
            return Err(Error::new(Kind::Usage, "there is nothing to ask")
                .hint("give a question: `coord claude ask 'What is next?'`"));
        }
        let schema = self.schema.as_ref().map(|path| schema(path, &from(path)?)).transpose()?;
        Ok(Request {
            system: self.system.clone().or_else(|| preset.map(Preset::system)),
            model: self.reach.model.clone(),
            max_tokens: self.max_tokens,
            schema: schema.or_else(|| preset.map(Preset::schema)),
            ..Request::new(prompt)
        })
    }
}

fn schema(path: &std::path::Path, text: &str) -> Result<Value> {
    let wrong = |why: String| {
        Error::new(Kind::Usage, format!("`{}` is no JSON Schema: {why}", path.display()))
            .hint("such as {\"type\":\"object\",\"properties\":{\"ok\":{\"type\":\"boolean\"}}}")
    };
    let value: Value = serde_json::from_str(text).map_err(|why| wrong(why.to_string()))?;
    if !value.is_object() {
        return Err(wrong("it is not an object".to_owned()));
    }
    jsonschema::validator_for(&value).map_err(|why| wrong(why.to_string()))?;
    Ok(value)
}

pub(in crate::commands) fn read(path: &std::path::Path) -> Result<String> {
    let failed = |why: String| {
        Error::new(Kind::User, format!("cannot read `{}`: {why}", path.display()))
            .hint("name a plain text file of at most 8 MiB, or `-` for standard input")
    };
    let bytes = read_file(path, MOST).map_err(|why| failed(why.to_string()))?;
    String::from_utf8(bytes).map_err(|_| failed("it is not valid UTF-8".to_owned()))
}

pub(in crate::commands) fn stdin(cx: &Context) -> Result<String> {
    use std::io::{IsTerminal as _, Read as _};
    let stdin = io::stdin();
    if stdin.is_terminal() {
        let message = format!("`{}` lacks its input: this is a terminal", cx.command);
        return Err(Error::new(Kind::Usage, message)
            .hint("give the question as an argument, or something on standard input"));
    }
    let mut bytes = Vec::new();
    stdin.lock().take(MOST as u64 + 1).read_to_end(&mut bytes).map_err(|source| {
        Error::new(Kind::External, "cannot read standard input").caused_by(source)
    })?;
    if bytes.len() > MOST {
        return Err(Error::new(Kind::Usage, "standard input has more than 8 MiB")
            .hint("send what the question needs, such as `coord status --json`"));
    }
    String::from_utf8(bytes).map_err(|_| {
        Error::new(Kind::Usage, "standard input is not valid UTF-8").hint("write it as UTF-8")
    })
}
