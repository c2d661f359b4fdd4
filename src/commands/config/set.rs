//! `coord config set`.

use std::ffi::OsString;
use std::io;

use schemars::JsonSchema;
use serde::Serialize;
use toml_edit::{Item, Table};

use super::file::Scope;
use super::key;
use crate::commands::{Context, Verb};
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line};
use crate::settings::keys::{ALL, Value};

/// Set a key in a configuration file; comments and order stay
///
/// Without `--user` or `--project` it is the project's file, if there is a project and it may set
/// the key. Lists are separated by commas.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord config set work.lease 45m              For this project
  coord config set --user work.lease 45m       For all your projects
  coord config set work.lease 45m --dry-run    Only say what would be done")]
pub(super) struct Args {
    /// The key
    #[arg(value_name = "KEY")]
    key: String,

    /// Its value
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: OsString,

    #[command(flatten)]
    scope: Scope,

    /// Change nothing, only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(JsonSchema, Serialize)]
struct Set {
    key: &'static str,
    value: serde_json::Value,
    file: String,
    changed: bool,
    dry_run: bool,
}

impl View for Set {
    const SCHEMA: &'static str = "coord.config.set/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let what = match (self.changed, self.dry_run) {
            (false, _) => "stands already in",
            (true, true) => "would be set in",
            (true, false) => "set in",
        };
        writeln!(out, "`{}` {what} {}", self.key, line(&self.file))
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Set>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let at = key(&self.key)?;
        let wrong = |why: String| {
            let text =
                format!("`{}` cannot be `{}`: {why}", self.key, self.value.to_string_lossy());
            Error::new(Kind::Usage, text).hint(ALL[at].doc)
        };
        let value = ALL[at].form.read(&self.value).map_err(wrong)?;
        if matches!(&value, Value::Path(path) if path.to_str().is_none()) {
            return Err(wrong("a configuration file holds UTF-8 only".to_owned()));
        }
        let file = self.scope.open(cx, Some(at))?;
        let mut document = file.document()?;
        let (section, name) = self.key.split_once('.').unwrap_or(("", &self.key));
        let table = document.entry(section).or_insert_with(|| Item::Table(Table::new()));
        let table = table.as_table_like_mut().ok_or_else(|| file.no_section(section))?;
        let mut new = value.to_toml();
        match table.get_mut(name).and_then(Item::as_value_mut) {
            Some(old) => {
                // A comment behind the value belongs to the line.
                *new.decor_mut() = old.decor().clone();
                *old = new;
            }
            None => {
                table.insert(name, Item::Value(new));
            }
        }
        let text = document.to_string();
        let changed = text != file.text;
        if changed && !self.dry_run {
            file.write(&text)?;
        }
        cx.ui.emit(&Set {
            key: ALL[at].name,
            value: value.to_json(),
            file: file.path.display().to_string(),
            changed,
            dry_run: self.dry_run,
        })?;
        Ok(())
    }
}
