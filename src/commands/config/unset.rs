//! `coord config unset`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::file::Scope;
use super::key;
use crate::commands::{Context, Verb};
use crate::error::Result;
use crate::output::{Screen, Shape, View, line};
use crate::settings::keys::ALL;

/// Take a key out of a configuration file
///
/// Without `--user` or `--project` it is the file that `coord config set` would use.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord config unset work.lease               In this project
  coord config unset --user work.lease        In your own file
  coord config unset work.lease --dry-run     Only say what would be done")]
pub(super) struct Args {
    /// The key
    #[arg(value_name = "KEY")]
    key: String,

    #[command(flatten)]
    scope: Scope,

    /// Change nothing, only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(JsonSchema, Serialize)]
struct Unset {
    key: &'static str,
    file: String,
    changed: bool,
    dry_run: bool,
}

impl View for Unset {
    const SCHEMA: &'static str = "coord.config.unset/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let what = match (self.changed, self.dry_run) {
            (false, _) => "is not set in",
            (true, true) => "would be taken out of",
            (true, false) => "taken out of",
        };
        writeln!(out, "`{}` {what} {}", self.key, line(&self.file))
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Unset>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let at = key(&self.key)?;
        let file = self.scope.open(cx, Some(at))?;
        let mut document = file.document()?;
        let (section, name) = self.key.split_once('.').unwrap_or(("", &self.key));
        let table = document.get_mut(section).and_then(toml_edit::Item::as_table_like_mut);
        let changed = table.is_some_and(|table| table.remove(name).is_some());
        if changed && !self.dry_run {
            file.write(&document.to_string())?;
        }
        let (key, path) = (ALL[at].name, file.path.display().to_string());
        cx.ui.emit(&Unset { key, file: path, changed, dry_run: self.dry_run })?;
        Ok(())
    }
}
