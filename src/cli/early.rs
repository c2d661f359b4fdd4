//! What must be known of the command line before it is parsed: how errors are to be shown.

use std::ffi::OsString;

use crate::output::{ColorChoice, Format, Ui};
use crate::sys::Env;

/// The flags that shape the output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Early {
    pub(super) format: Format,
    pub(super) color: ColorChoice,
    pub(super) quiet: bool,
}

impl Early {
    /// Looks for the flags without judging anything else.
    pub(super) fn scan(argv: &[OsString], env: &Env) -> Self {
        let mut found = Self { format: Format::Human, color: ColorChoice::Auto, quiet: false };
        let mut color = None;
        let mut words = argv.iter().skip(1).map_while(|word| word.to_str());
        while let Some(word) = words.next() {
            match word {
                "--" => break,
                "--json" => found.format = Format::Json,
                "--quiet" | "-q" => found.quiet = true,
                "--format" => found.format = words.next().map_or(found.format, format),
                "--color" => color = words.next().map(when),
                _ => {
                    if let Some(name) = word.strip_prefix("--format=") {
                        found.format = format(name);
                    } else if let Some(name) = word.strip_prefix("--color=") {
                        color = Some(when(name));
                    }
                }
            }
        }
        found.color = color.unwrap_or_else(|| from_env(env));
        found
    }

    /// The terminal as these flags want it.
    pub(super) fn ui(self, env: &Env) -> Ui {
        self.ui_as(env, self.format, self.quiet)
    }

    /// The terminal with this colour, and what the whole command line said about the rest.
    pub(super) fn ui_as(self, env: &Env, format: Format, quiet: bool) -> Ui {
        let columns = env.text("COLUMNS").and_then(|c| c.parse().ok());
        Ui::stdio(format, self.color, quiet, columns)
    }
}

/// `--color` > `COORD_COLOR` > `NO_COLOR` > `CLICOLOR_FORCE` > whether it is a terminal.
fn from_env(env: &Env) -> ColorChoice {
    if let Some(word) = env.text("COORD_COLOR") {
        return when(&word);
    }
    if env.get("NO_COLOR").is_some() {
        return ColorChoice::Never;
    }
    if env.get("CLICOLOR_FORCE").is_some_and(|v| v != "0") {
        return ColorChoice::Always;
    }
    ColorChoice::Auto
}

/// The format a word stands for; the parser refuses unknown ones.
pub(super) fn format(word: &str) -> Format {
    match word {
        "json" => Format::Json,
        "jsonl" => Format::Jsonl,
        "yaml" => Format::Yaml,
        "tsv" => Format::Tsv,
        _ => Format::Human,
    }
}

fn when(word: &str) -> ColorChoice {
    match word {
        "always" => ColorChoice::Always,
        "never" => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

/// Whether only the version is asked for: that needs no command tree.
pub(super) fn is_version(argv: &[OsString]) -> bool {
    matches!(argv, [_, flag] if flag == "--version" || flag == "-V")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(line: &str, env: &[(&str, &str)]) -> Early {
        let argv: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Early::scan(&argv, &env.iter().copied().collect())
    }

    #[test]
    fn finds_the_format_anywhere_but_behind_the_double_dash() {
        assert_eq!(scan("coord work list --json", &[]).format, Format::Json);
        assert_eq!(scan("coord --format jsonl work list", &[]).format, Format::Jsonl);
        assert_eq!(scan("coord work list --format=yaml", &[]).format, Format::Yaml);
        assert_eq!(scan("coord lock run x -- prog --json", &[]).format, Format::Human);
    }

    #[test]
    fn colour_has_its_order() {
        let all = [("COORD_COLOR", "always"), ("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")];
        assert_eq!(scan("coord --color=never", &all).color, ColorChoice::Never);
        assert_eq!(scan("coord", &all).color, ColorChoice::Always);
        assert_eq!(scan("coord", &all[1..]).color, ColorChoice::Never);
        assert_eq!(scan("coord", &all[2..]).color, ColorChoice::Always);
        assert_eq!(scan("coord", &[("NO_COLOR", "")]).color, ColorChoice::Auto);
    }
}
