//! Standard output for the answer, standard error for everything else.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anstream::StripStream;
use rustix::termios::isatty;
use schemars::JsonSchema;
use serde::Serialize;

use super::sanitise::Spelt;
use super::style::{ERROR, HINT, WARNING};
use super::{Progress, View, text};
use crate::error::Error;

pub use anstream::ColorChoice;

/// What the answer looks like.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// For people: a table, a sentence.
    #[default]
    Human,
    /// One JSON object with its schema.
    Json,
    /// One JSON value a line, for lists.
    Jsonl,
    /// YAML.
    Yaml,
    /// Tab-separated values without a heading, for lists.
    Tsv,
}

/// What stands behind standard output.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Columns of the terminal; nothing where there is none.
    pub width: Option<usize>,
}

/// A view in its machine form.
#[derive(Serialize)]
struct Answer<'a, V> {
    schema: &'static str,
    data: &'a V,
}

/// A warning in its machine form.
#[derive(JsonSchema, Serialize)]
pub(super) struct Warning {
    schema: &'static str,
    message: String,
}

impl Warning {
    pub(super) const SCHEMA: &'static str = "coord.warning/v1";
}

/// An error in its machine form.
#[derive(JsonSchema, Serialize)]
pub(super) struct Complaint {
    schema: &'static str,
    error: Explained,
}

impl Complaint {
    pub(super) const SCHEMA: &'static str = "coord.error/v1";
}

/// What went wrong.
#[derive(JsonSchema, Serialize)]
struct Explained {
    kind: &'static str,
    exit_code: u8,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
}

/// The terminal, or what stands in for it.
pub struct Ui {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    format: Format,
    colour: ColorChoice,
    quiet: bool,
    screen: Screen,
    attended: bool,
}

impl Ui {
    /// The process's own streams. `columns` overrides the width of a terminal.
    #[must_use]
    pub fn stdio(format: Format, color: ColorChoice, quiet: bool, columns: Option<usize>) -> Self {
        let width = isatty(rustix::stdio::stdout()).then(|| {
            let asked = || terminal_size::terminal_size().map(|(w, _)| usize::from(w.0));
            columns.or_else(asked).unwrap_or(80)
        });
        // AutoStream would look at the environment even where the caller has decided.
        let stream = |raw: Box<dyn Write + Send>, tty: bool| -> Box<dyn Write + Send> {
            match color {
                ColorChoice::Always | ColorChoice::AlwaysAnsi => raw,
                ColorChoice::Auto if tty => raw,
                _ => Box::new(StripStream::new(raw)),
            }
        };
        let attended = isatty(rustix::stdio::stderr());
        Self {
            out: stream(
                Box::new(io::BufWriter::with_capacity(1 << 13, RawOut(1))),
                width.is_some(),
            ),
            err: stream(Box::new(RawOut(2)), attended),
            format,
            colour: color,
            quiet,
            screen: Screen { width },
            attended,
        }
    }

    /// What it takes to make another one of its kind: format, colour, quiet.
    #[must_use]
    pub const fn manner(&self) -> (Format, ColorChoice, bool) {
        (self.format, self.colour, self.quiet)
    }

    /// Takes another format, or less of it: what was asked for was understood late.
    pub const fn set_manner(&mut self, format: Format, quiet: bool) {
        (self.format, self.quiet) = (format, quiet);
    }

    /// The format that was asked for.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Whether only the answer is wanted.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether a person watches both streams.
    #[must_use]
    pub const fn is_attended(&self) -> bool {
        self.attended && self.screen.width.is_some()
    }

    /// Whether the answer goes to a terminal.
    #[must_use]
    pub const fn is_watched(&self) -> bool {
        self.screen.width.is_some()
    }

    /// Writes a command's answer and makes sure that it has left the process.
    pub fn emit<V: View>(&mut self, view: &V) -> io::Result<()> {
        match self.format {
            Format::Human if self.quiet => view.quiet(&mut self.out)?,
            Format::Human => view.human(&mut self.out, self.screen)?,
            Format::Json => {
                let answer = Answer { schema: V::SCHEMA, data: view };
                self.json(&answer)?;
            }
            Format::Jsonl => {
                let rows = match view.rows() {
                    Some(rows) => rows,
                    None => vec![serde_json::to_value(view)?],
                };
                for row in rows {
                    self.json(&row)?;
                }
            }
            Format::Yaml => {
                let text = serde_yaml::to_string(view).map_err(io::Error::other)?;
                let watched = self.screen.width.is_some();
                let text = if watched { super::text(&text) } else { text.into() };
                self.out.write_all(text.as_bytes())?;
            }
            Format::Tsv => view.human(&mut self.out, Screen { width: None })?,
        }
        self.out.flush()
    }

    /// Writes a line of JSON; on a terminal nothing in it can act.
    fn json<T: serde::Serialize>(&mut self, value: &T) -> io::Result<()> {
        if self.screen.width.is_some() {
            let mut out = serde_json::Serializer::with_formatter(&mut self.out, Spelt);
            value.serialize(&mut out)?;
        } else {
            serde_json::to_writer(&mut self.out, value)?;
        }
        self.out.write_all(b"\n")
    }

    /// Writes text of this program's own, such as help, and makes sure that it has left the process.
    pub fn page(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Empties the screen; only for a terminal that a person watches.
    pub fn clear(&mut self) -> io::Result<()> {
        self.out.write_all(b"\x1b[H\x1b[2J")
    }

    /// Writes one line of an answer that comes piece by piece, and sends it off at once.
    pub fn emit_line<T: serde::Serialize>(&mut self, value: &T) -> io::Result<()> {
        self.json(value)?;
        self.out.flush()
    }

    /// Tells of something that happened and is not the answer.
    pub fn status(&mut self, message: &str) {
        if !self.quiet {
            self.say(message);
        }
    }

    /// Warns; `--quiet` does not silence it.
    pub fn warning(&mut self, message: &str) {
        if self.format == Format::Json {
            self.say_json(&Warning { schema: Warning::SCHEMA, message: message.to_owned() });
        } else {
            self.say(&format!("{WARNING}warning:{WARNING:#} {}", text(message)));
        }
    }

    /// Writes an error, its causes and its hints.
    pub fn error(&mut self, error: &Error) {
        if self.format == Format::Json {
            let error = Explained {
                kind: error.kind().as_str(),
                exit_code: error.kind().exit_code(),
                message: error.to_string(),
                causes: error.causes().collect(),
                hints: error.hints().to_vec(),
            };
            self.say_json(&Complaint { schema: Complaint::SCHEMA, error });
            return;
        }
        let mut body = format!("{ERROR}error:{ERROR:#} {}", text(&error.to_string()));
        for cause in error.causes() {
            body.push_str("\n  caused by: ");
            body.push_str(&text(&cause));
        }
        for hint in error.hints() {
            let _ = std::fmt::Write::write_fmt(
                &mut body,
                format_args!("\n{HINT}hint:{HINT:#} {}", text(hint)),
            );
        }
        self.say(&body);
    }

    /// A progress bar; `now` is the measuring clock.
    #[must_use]
    pub fn progress(&self, total: u64, what: &str, now: Duration) -> Progress {
        let visible = self.attended && !self.quiet && self.format == Format::Human;
        Progress::new(visible, total, what, now)
    }

    fn say_json<T: Serialize>(&mut self, message: &T) {
        // Strings and numbers can always be written as JSON.
        self.say(&serde_json::to_string(message).unwrap_or_default());
    }

    /// Says something behind which an answer is to be typed.
    pub(super) fn say_without_end(&mut self, message: &str) -> io::Result<()> {
        write!(self.err, "{message}").and_then(|()| self.err.flush())
    }

    /// Standard error may be closed or full; there is nowhere left to say so.
    fn say(&mut self, message: &str) {
        let _ = writeln!(self.err, "{message}").and_then(|()| self.err.flush());
    }

    /// A terminal that keeps what is written, for tests inside the program.
    #[must_use]
    pub fn captured(format: Format) -> (Self, Captured) {
        let captured = Captured::default();
        let (out, err) = (Box::new(captured.clone()), Box::new(captured.clone()));
        let screen = Screen { width: None };
        (
            Self {
                out,
                err,
                format,
                colour: ColorChoice::Never,
                quiet: false,
                screen,
                attended: false,
            },
            captured,
        )
    }
}

/// A standard stream without a buffer of its own: a failed write is told, never swallowed.
///
/// The standard library treats a closed stream as if it took everything, so that an answer could
/// be lost with exit code 0.
struct RawOut(u8);

impl Write for RawOut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fd = if self.0 == 1 { rustix::stdio::stdout() } else { rustix::stdio::stderr() };
        loop {
            match rustix::io::write(fd, bytes) {
                Err(rustix::io::Errno::INTR) => {}
                other => return other.map_err(io::Error::from),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a [`Ui`] under test wrote, both streams in one.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Captured {
    /// The text so far.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
