//! `coord config get`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{key, origin};
use crate::commands::{Context, Verb};
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line};
use crate::settings::keys::ALL;

/// Print the value of one key
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord config get work.lease          Such as `30m`
  coord config get work.lease --json   With where it came from")]
pub(super) struct Args {
    /// The key
    #[arg(value_name = "KEY")]
    key: String,
}

#[derive(JsonSchema, Serialize)]
struct Got {
    key: &'static str,
    value: Value,
    origin: String,
    #[serde(skip)]
    text: String,
}

impl View for Got {
    const SCHEMA: &'static str = "coord.config.get/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        writeln!(out, "{}", line(&self.text))
    }

    fn quiet(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "{}", line(&self.text))
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Got>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let at = key(&self.key)?;
        let settings = cx.settings()?;
        let Some(value) = settings.get(at)? else {
            return Err(Error::new(Kind::User, format!("`{}` is not set", self.key))
                .hint(format!("it is {}: {}", ALL[at].form.words(), ALL[at].doc)));
        };
        let from = origin(&settings.origin(at));
        let (text, value) = (value.to_text(), value.to_json());
        cx.ui.emit(&Got { key: ALL[at].name, value, origin: from, text })?;
        Ok(())
    }
}
