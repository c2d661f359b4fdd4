//! `coord init`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Context, Verb, from_store};
use crate::error::Result;
use crate::output::{Screen, Shape, View};
use crate::store::files::{FileStore, Options};
use crate::store::{self, Store as _};

/// Make a store in the working directory
///
/// The store is the directory `.coord`; every command in this directory or below it finds it. With
/// `--dir` or `COORD_DIR` it is made there. A store that is there already is left as it is.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord init                      Make `.coord` here
  coord init --dir /srv/queue     Make a store elsewhere")]
pub(crate) struct Args {}

#[derive(JsonSchema, Serialize)]
struct Made {
    dir: String,
    made: bool,
}

impl View for Made {
    const SCHEMA: &'static str = "coord.init/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let what = if self.made { "made a store at" } else { "there is a store already at" };
        writeln!(out, "{what} {}", crate::output::line(&self.dir))
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Made>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        cx.place_here()?;
        let options = cx.options(false)?;
        let dir = options.dir.clone();
        // A directory alone is no store: readers look for the log, which the first transaction makes.
        let there = FileStore::open(options.clone()).and_then(|store| store.summary());
        let made = match there {
            Err(store::Error::Missing { .. }) => {
                let op = cx.op(None)?;
                let made = FileStore::open(Options { create: true, ..options });
                made.and_then(|mut s| s.import(Vec::new(), &op)).map_err(from_store)?;
                true
            }
            Err(store::Error::Damaged { .. }) | Ok(_) => false,
            Err(error) => return Err(from_store(error)),
        };
        cx.ui.emit(&Made { dir: dir.display().to_string(), made })?;
        Ok(())
    }
}
