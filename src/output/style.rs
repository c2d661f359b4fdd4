//! Colours: few, and nothing is said by colour alone.

use anstyle::{AnsiColor, Style};
use clap::builder::Styles;

/// The colour of `error:`.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// The colour of `warning:`.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// The colour of `hint:`.
pub const HINT: Style = AnsiColor::Cyan.on_default().bold();
/// The colour of headings.
pub const HEADER: Style = AnsiColor::Green.on_default().bold();
/// The colour of command names and ids.
pub const LITERAL: Style = AnsiColor::Cyan.on_default();
/// The colour of what matters less.
pub const DIM: Style = Style::new().dimmed();

/// The colours of help.
pub const STYLES: Styles = Styles::styled()
    .header(HEADER)
    .usage(HEADER)
    .literal(LITERAL.bold())
    .placeholder(LITERAL)
    .error(ERROR);
