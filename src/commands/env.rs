//! `coord env`.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::{Context, Verb};
use crate::error::{Error, Kind, Result};
use crate::output::{Column, Screen, Shape, Table, View};
use crate::settings::{Dirs, Settings, Source, detect};

/// Tell where everything lies and why, and what the surroundings are
///
/// Every place comes with what decided it, every fact with what was seen. On a pipe the columns are
/// name, value and reason, separated by tabs. `--export` prints the places as lines for a shell.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord env                                Places and surroundings
  eval \"$(coord env --export sh)\"          Fix the places for what a script runs
  coord env --export fish | source         The same in fish
  coord env --export powershell | Out-String | Invoke-Expression")]
pub(crate) struct Args {
    /// Print lines that set the places as variables of this shell
    #[arg(long, value_name = "SHELL", value_parser = ["sh", "fish", "powershell"])]
    export: Option<String>,
}

#[derive(JsonSchema, Serialize)]
struct Surroundings {
    places: Vec<Spot>,
    facts: Vec<Known>,
}

#[derive(JsonSchema, Serialize)]
struct Spot {
    name: &'static str,
    path: String,
    exists: bool,
    why: String,
    /// The variable that overrides it.
    variable: Option<&'static str>,
    #[serde(skip)]
    raw: PathBuf,
}

#[derive(JsonSchema, Serialize)]
struct Known {
    name: &'static str,
    value: Option<String>,
    evidence: String,
}

#[derive(JsonSchema, Serialize)]
struct Export {
    shell: String,
    text: String,
}

impl View for Surroundings {
    const SCHEMA: &'static str = "coord.env/v1";

    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()> {
        let columns = ["NAME", "VALUE", "WHY"].map(Column::new);
        let mut table = Table::new(columns.to_vec());
        for spot in &self.places {
            let there = if spot.exists { "" } else { "; not there yet" };
            table.row([spot.name.to_owned(), spot.path.clone(), format!("{}{there}", spot.why)]);
        }
        for fact in &self.facts {
            let value = fact.value.clone().unwrap_or_else(|| "no".to_owned());
            table.row([fact.name.to_owned(), value, fact.evidence.clone()]);
        }
        table.write(out, screen)
    }
}

impl View for Export {
    const SCHEMA: &'static str = "coord.env.export/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        out.write_all(self.text.as_bytes())
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(self.text.as_bytes())
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Surroundings>(), Shape::of::<Export>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let places = places(cx, &cwd)?;
        let Some(shell) = self.export else {
            let facts = detect(&cx.env, &cwd, Path::new("/")).into_iter().map(|fact| Known {
                name: fact.name,
                value: fact.value,
                evidence: fact.evidence,
            });
            cx.ui.emit(&Surroundings { places, facts: facts.collect() })?;
            return Ok(());
        };
        let mut text = String::new();
        for spot in &places {
            let Some(variable) = spot.variable else { continue };
            text.push_str(&assignment(&shell, variable, spot.raw.as_os_str()).ok_or_else(
                || {
                    Error::new(Kind::User, format!("`{}` cannot be written for {shell}", spot.path))
                        .hint("its name is not Unicode, which that shell's strings are")
                },
            )?);
        }
        cx.ui.emit(&Export { shell, text })?;
        Ok(())
    }
}

/// Every place, whether it is there or not.
fn places(cx: &mut Context, cwd: &Path) -> Result<Vec<Spot>> {
    let place = cx.place()?;
    let spot = |name, raw: PathBuf, why: String, variable| {
        let raw = cwd.join(raw);
        Spot { name, path: raw.display().to_string(), exists: raw.exists(), why, variable, raw }
    };
    let why = match place.source {
        Source::Flag => "--dir".to_owned(),
        Source::Env(name) => name.to_owned(),
        Source::Ancestor => "the nearest .coord".to_owned(),
        Source::MainWorktree => "the .coord of the main worktree".to_owned(),
        Source::User => "no project here: the user's own state".to_owned(),
    };
    let reason = |why: &'static str| match why {
        "user" => "the user's home directory".to_owned(),
        name => name.to_owned(),
    };
    let mut all = vec![spot("state", place.dir.clone(), why, Some("COORD_DIR"))];
    let project = "the state directory".to_owned();
    for (layer, path) in Settings::paths(&place.dir, &cx.env).into_iter().rev() {
        match layer {
            crate::settings::Layer::Machine => {
                all.push(spot("machine-config", path, "the same everywhere".to_owned(), None));
            }
            crate::settings::Layer::User => {}
            crate::settings::Layer::Project => {
                all.push(spot("project-config", path, project.clone(), None));
            }
        }
    }
    let user = [
        ("config", "COORD_CONFIG", Dirs::config(&cx.env)),
        ("cache", "COORD_CACHE_DIR", Dirs::cache(&cx.env)),
        ("claude", "COORD_CLAUDE_DIR", Dirs::claude(&cx.env)),
        ("runtime", "COORD_RUNTIME_DIR", Dirs::runtime(&cx.env)),
    ];
    for (name, variable, found) in user {
        all.extend(found.map(|(dir, why)| spot(name, dir, reason(why), Some(variable))));
    }
    Ok(all)
}

/// A line that sets a variable to exactly these bytes; nothing if the shell cannot hold them.
fn assignment(shell: &str, name: &str, value: &OsStr) -> Option<String> {
    let bytes = value.as_bytes();
    match shell {
        "fish" => Some(format!("set -gx {name} {}\n", fish(bytes))),
        "powershell" => {
            let text = value.to_str()?;
            let mut quoted = String::new();
            for c in text.chars() {
                // PowerShell takes the typographic ones for quotes as well.
                if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
                    quoted.push(c);
                }
                quoted.push(c);
            }
            Some(format!("$env:{name} = '{quoted}'\n"))
        }
        _ => Some(format!("{}export {name}\n", sh(name, bytes))),
    }
}

/// Quotes hold all but what a terminal or a pipe may change; that is spelt in octal.
fn sh(name: &str, bytes: &[u8]) -> String {
    if std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(char::is_control)) {
        let text = String::from_utf8_lossy(bytes).replace('\'', r"'\''");
        return format!("{name}='{text}'; ");
    }
    let text = spelt(bytes, |byte| format!(r"\{byte:03o}"));
    // The full stop keeps a line break at the end.
    format!("{name}=$(printf '{text}.'); {name}=${{{name}%.}}; ")
}

fn fish(bytes: &[u8]) -> String {
    let text = spelt(bytes, |byte| format!(r"\X{byte:02x}"));
    if text.is_empty() { "''".to_owned() } else { text }
}

/// Bytes with all but the plainest spelt by their number.
fn spelt(bytes: &[u8], number: impl Fn(u8) -> String) -> String {
    let one = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
            char::from(*byte).to_string()
        }
        other => number(*other),
    };
    bytes.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_has_its_own_quotes() {
        let line = |shell: &str, bytes: &[u8]| assignment(shell, "A", OsStr::from_bytes(bytes));
        assert_eq!(line("sh", b"/a'b c").unwrap(), "A='/a'\\''b c'; export A\n");
        let odd = "A=$(printf '/a\\377\\012.'); A=${A%.}; export A\n";
        assert_eq!(line("sh", b"/a\xff\n").unwrap(), odd);
        assert_eq!(line("fish", b"/a $\xff").unwrap(), "set -gx A /a\\X20\\X24\\Xff\n");
        assert_eq!(line("powershell", "/a'b’c".as_bytes()).unwrap(), "$env:A = '/a''b’’c'\n");
        assert_eq!(line("powershell", b"\xff"), None);
    }
}
