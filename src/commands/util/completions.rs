//! `coord util completions`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use crate::commands::{Context, Verb};
use crate::error::Result;
use crate::output::{Screen, Shape, View};

/// Each shell with its stub, as it lies in `completions/`.
const STUBS: [(&str, &str); 5] = [
    ("bash", include_str!("../../../completions/coord.bash")),
    ("zsh", include_str!("../../../completions/_coord")),
    ("fish", include_str!("../../../completions/coord.fish")),
    ("powershell", include_str!("../../../completions/coord.ps1")),
    ("elvish", include_str!("../../../completions/coord.elv")),
];

/// Print what makes a shell complete `coord`: commands, flags, and live ids and names
///
/// It asks the program at every Tab, so that it stays right when the program is replaced.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  eval \"$(coord util completions bash)\"                    For this bash; a line for ~/.bashrc
  coord util completions zsh > ~/.zfunc/_coord             A directory of zsh's fpath
  coord util completions fish > ~/.config/fish/completions/coord.fish")]
pub(super) struct Args {
    /// The shell
    #[arg(value_name = "SHELL", value_parser = STUBS.map(|(shell, _)| shell))]
    shell: String,
}

#[derive(JsonSchema, Serialize)]
struct Stub {
    shell: &'static str,
    text: &'static str,
}

impl View for Stub {
    const SCHEMA: &'static str = "coord.util.completions/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        out.write_all(self.text.as_bytes())
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Stub>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        for (shell, text) in STUBS {
            if shell == self.shell {
                cx.ui.emit(&Stub { shell, text })?;
            }
        }
        Ok(())
    }
}
