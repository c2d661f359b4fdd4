//! `coord config edit`.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::file::Scope;
use crate::commands::{Context, Verb};
use crate::error::{Error, Kind, Result};
use crate::output::{Screen, Shape, View, line};
use crate::settings::{Settings, commented};
use crate::sys::Scratch;
use crate::sys::fs::replace_file;
use crate::sys::process::{Program, Streams};

/// Open a configuration file in your editor, and keep it only if it is right
///
/// The editor is `VISUAL`, else `EDITOR`, else `vi`; it gets a copy. If what comes back is wrong, the
/// old file stays and the new text is kept beside it.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord config edit                      The project's file
  coord config edit --user               Your own
  EDITOR='code --wait' coord config edit")]
pub(super) struct Args {
    #[command(flatten)]
    scope: Scope,
}

#[derive(JsonSchema, Serialize)]
struct Edited {
    file: String,
    changed: bool,
}

impl View for Edited {
    const SCHEMA: &'static str = "coord.config.edit/v1";

    fn human(&self, out: &mut dyn io::Write, _screen: Screen) -> io::Result<()> {
        let what = if self.changed { "wrote" } else { "nothing changed in" };
        writeln!(out, "{what} {}", line(&self.file))
    }
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Edited>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let named = ["VISUAL", "EDITOR"].iter().any(|name| cx.env.get(name).is_some());
        if !named && !cx.ui.is_attended() {
            return Err(Error::new(Kind::Usage, "there is no terminal for an editor").hint(
                "name one that needs none in `EDITOR`, or use `coord config set KEY VALUE`",
            ));
        }
        let file = self.scope.open(cx, None)?;
        let scratch = Scratch::new(None, "coord-config", &cx.env, cx.ids.as_ref());
        let outside = |what: &str, e: io::Error| {
            Error::new(Kind::External, what).caused_by(e).hint("`TMPDIR` names another place")
        };
        let scratch = scratch.map_err(|e| outside("cannot make a copy for the editor", e))?;
        let copy = scratch.path().join("config.toml");
        let before = if file.text.is_empty() { commented() } else { file.text.clone() };
        replace_file(&copy, before.as_bytes())
            .map_err(|e| outside("cannot make a copy for the editor", e))?;
        edit(cx, &copy)?;
        let after = std::fs::read_to_string(&copy)
            .map_err(|e| outside("cannot read what the editor left", e))?;
        let changed = after != before;
        if changed {
            let (problems, warnings) = Settings::check_text(file.layer, &file.path, &after);
            if let Some(problem) = problems.into_iter().next() {
                let aside = file.path.with_extension("toml.rejected");
                let kept = replace_file(&aside, after.as_bytes());
                let old = format!("the old file stays; your text is in `{}`", aside.display());
                return Err(match kept {
                    Ok(()) => problem.hint(old),
                    Err(e) => problem.caused_by(e),
                });
            }
            for warning in warnings {
                cx.ui.warning(&warning);
            }
            file.write(&after)?;
        }
        cx.ui.emit(&Edited { file: file.path.display().to_string(), changed })?;
        Ok(())
    }
}

/// Runs the editor until it ends.
fn edit(cx: &Context, copy: &std::path::Path) -> Result<()> {
    let editor = cx.env.text("VISUAL").or_else(|| cx.env.text("EDITOR"));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    let mut argv: Vec<OsString> = editor.split_ascii_whitespace().map(OsString::from).collect();
    argv.push(copy.as_os_str().to_owned());
    let failed = |why: &str| {
        Error::new(Kind::External, format!("the editor `{editor}` {why}"))
            .hint("`VISUAL` or `EDITOR` names another one; nothing was changed")
    };
    let program = Program::new(argv).in_our_group().streams(Streams::Inherited);
    let mut running = program.start().map_err(|e| failed("cannot be run").caused_by(e))?;
    loop {
        let ended = running.wait(cx.clock.as_ref(), Duration::from_hours(1));
        match ended.map_err(|e| failed("cannot be waited for").caused_by(e))? {
            Some(ended) if ended.is_success() => return Ok(()),
            Some(_) => return Err(failed("failed")),
            None => {}
        }
    }
}
