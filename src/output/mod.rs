//! The only code that writes to a terminal.

pub mod chart;
mod plural;
mod progress;
mod prompt;
mod sanitise;
mod schema;
pub mod style;
mod table;
mod ui;

pub use plural::plural;
pub use progress::Progress;
pub use sanitise::{line, text};
pub use schema::{MESSAGES, Shape};
pub use style::STYLES;
pub use table::{Column, Table};
pub use ui::{Captured, ColorChoice, Format, Screen, Ui};

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

/// A command's result, in both the forms in which it can be shown.
pub trait View: JsonSchema + Serialize {
    /// The name and version of the machine form, such as `coord.work.claim/v1`.
    const SCHEMA: &'static str;

    /// Writes the form for people.
    fn human(&self, out: &mut dyn io::Write, screen: Screen) -> io::Result<()>;

    /// Writes only what a script needs, for `--quiet`: nothing, unless a view says otherwise.
    fn quiet(&self, _out: &mut dyn io::Write) -> io::Result<()> {
        Ok(())
    }

    /// The rows of a view that is a list, for the line formats; other views have none.
    fn rows(&self) -> Option<Vec<serde_json::Value>> {
        None
    }
}
