//! `coord scripts audit`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::report::{Audit, Place, Skipped};
use super::shims::{self, MARK};
use crate::commands::{Context, Verb, is_here};
use crate::domain::behaviour::census::{self, Found};
use crate::error::{Error, Kind, Result};
use crate::output::{Shape, plural};
use crate::sys::tree::{Met, Text, walk};

/// Count the scripts of a tree, their copies, and what replaces them
///
/// A script is a plain file that ends in `.sh` or begins with `#!`. Copies are found by content
/// (SHA-256) and by name; scripts of the old shell system are recognised by name. The lines that
/// could go are those of scripts that a command of this version replaces, and of all others the
/// copies beyond the first. Links are not followed; directories called `.git` are left out.
///
/// `--write-shims` writes a small shell script for each recognised script whose command is in this
/// version: it runs that command with the arguments it gets, which are those of the new command. A
/// file that is no shim is only replaced with `--yes`.
///
/// Exit code 10 if a part of the tree could not be read; the rest is counted all the same.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  coord scripts audit .
  coord scripts audit . --json | jq .data.lines
  coord scripts audit old --write-shims bin --dry-run     What would be written
  coord scripts audit old --write-shims old --yes         Shims in place of the scripts")]
pub(super) struct Args {
    /// The top of the tree
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    tree: PathBuf,

    /// Leave out directories of this name; may be given several times
    #[arg(long, value_name = "NAME")]
    exclude: Vec<OsString>,

    /// Write shims into this directory
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    write_shims: Option<PathBuf>,

    /// Replace files that are no shims
    #[arg(long, requires = "write_shims")]
    yes: bool,

    /// Tell what would be written and write nothing
    #[arg(long, requires = "write_shims")]
    dry_run: bool,
}

/// A script with more bytes is told and not read.
const MAX_BYTES: u64 = 16 << 20;
/// Scripts that are kept in memory, some 40 MB of them.
const MAX_SCRIPTS: usize = 200_000;
/// Places that are named because they were not read; the rest is only counted.
const MAX_NAMED: usize = 1000;

/// What the walk found.
#[derive(Default)]
struct Tree {
    files: u64,
    links: u64,
    shims: u64,
    unread: u64,
    scripts: Vec<Found>,
    skipped: Vec<Skipped>,
}

impl Verb for Args {
    const VIEWS: &'static [Shape] = &[Shape::of::<Audit>()];

    fn run(self, cx: &mut Context) -> Result<()> {
        let tree = look(&self.tree, &self.exclude)?;
        let runs = |old: &_| shims::command(old).is_some_and(is_here);
        let census = census::count(tree.scripts, &runs);
        let shims = match &self.write_shims {
            Some(dir) => shims::write(dir, &census.known, self.yes, self.dry_run)?,
            None => Vec::new(),
        };
        let place = Place {
            dir: self.tree.display().to_string(),
            files: tree.files,
            links: tree.links,
            shims: tree.shims,
            unread: tree.unread,
            skipped: tree.skipped,
        };
        let dry_run = self.write_shims.is_some().then_some(self.dry_run);
        cx.ui.emit(&Audit::new(place, census, shims, dry_run))?;
        if tree.unread > 0 {
            let count = plural(tree.unread, "place");
            return Err(Error::new(Kind::Problems, format!("{count} could not be read"))
                .hint("the report names them under `not read`; everything else was counted"));
        }
        Ok(())
    }
}

/// How many scripts there are below a directory; shims are not counted.
pub(in crate::commands) fn count(dir: &Path) -> Result<u64> {
    let tree = look(dir, &[])?;
    if tree.unread > 0 {
        let count = plural(tree.unread, "place");
        let error = Error::new(Kind::Problems, format!("{count} could not be read"));
        return Err(error.hint("`coord scripts audit DIR` names them"));
    }
    Ok(tree.scripts.len() as u64)
}

fn look(top: &Path, exclude: &[OsString]) -> Result<Tree> {
    let shown = top.display();
    let about = std::fs::metadata(top).map_err(|source| {
        Error::new(Kind::User, format!("cannot read the directory `{shown}`"))
            .caused_by(source)
            .hint("give the top of the tree that holds the scripts, such as `.`")
    })?;
    if !about.is_dir() {
        return Err(Error::new(Kind::User, format!("`{shown}` is not a directory"))
            .hint("give the top of the tree that holds the scripts"));
    }
    let enter = |name: &OsStr| name != ".git" && !exclude.iter().any(|x| x == name);
    let mut tree = Tree::default();
    walk(top, &enter, &mut |met| tree.take(top, met))?;
    tree.skipped.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(tree)
}

impl Tree {
    fn take(&mut self, top: &Path, met: Met<'_>) -> Result<()> {
        match met {
            Met::Link(_) => self.links += 1,
            Met::Failed(path, why) => self.unread(top, path, &why),
            Met::File(path) => {
                self.files += 1;
                if let Err(why) = self.file(top, path) {
                    self.unread(top, path, &why);
                }
            }
        }
        if self.scripts.len() > MAX_SCRIPTS {
            return Err(Error::new(
                Kind::User,
                format!("there are more than {MAX_SCRIPTS} scripts"),
            )
            .hint("audit a smaller part of the tree, or leave parts out with `--exclude`"));
        }
        Ok(())
    }

    fn file(&mut self, top: &Path, path: &Path) -> std::io::Result<()> {
        let mut text = Text::open(path)?;
        let named = path.extension().is_some_and(|end| end == "sh");
        if !named && text.head(2)? != b"#!" {
            return Ok(());
        }
        if text.size() > MAX_BYTES {
            self.skip(top, path, "it has more than 16 MiB".to_owned());
            return Ok(());
        }
        let head = text.head(usize::MAX)?;
        if head.contains(&0) {
            self.skip(top, path, "it is binary".to_owned());
            return Ok(());
        }
        if head.split(|byte| *byte == b'\n').nth(1).is_some_and(|l| l.starts_with(MARK.as_bytes()))
        {
            self.shims += 1;
            return Ok(());
        }
        match text.sum(MAX_BYTES)? {
            Some(sum) => {
                let path = below(top, path);
                self.scripts.push(Found { path, sha256: sum.sha256, lines: sum.lines });
            }
            None => self.skip(top, path, "it grows while it is read".to_owned()),
        }
        Ok(())
    }

    fn unread(&mut self, top: &Path, path: &Path, why: &std::io::Error) {
        self.unread += 1;
        self.skip(top, path, why.to_string());
    }

    fn skip(&mut self, top: &Path, path: &Path, why: String) {
        if self.skipped.len() < MAX_NAMED {
            self.skipped.push(Skipped { path: below(top, path), why });
        }
    }
}

/// The path from the top of the tree.
fn below(top: &Path, path: &Path) -> String {
    let path = path.strip_prefix(top).unwrap_or(path);
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned()
}
