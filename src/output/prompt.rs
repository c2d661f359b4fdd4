//! Asking a person before something is done that cannot be undone at once.

use std::io::{self, BufRead as _};

use rustix::termios::isatty;

use super::{Ui, text};

impl Ui {
    /// Whether somebody is there who can be asked: both standard input and standard error are terminals.
    #[must_use]
    pub fn can_ask() -> bool {
        isatty(rustix::stdio::stdin()) && isatty(rustix::stdio::stderr())
    }

    /// Asks, and takes anything but `y` or `yes` for a no. `None` if nobody can be asked.
    pub fn ask(&mut self, question: &str) -> io::Result<Option<bool>> {
        if !Self::can_ask() {
            return Ok(None);
        }
        self.say_without_end(&format!("{} [y/N] ", text(question)))?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")))
    }
}
