//! What killed processes of this program left behind: files and directories on the way to something.
//!
//! Whoever fills one holds it (a lock of the kernel's on the file or directory itself), so one that
//! nobody holds, that has not changed for a long time, is the user's own and holds nothing but plain
//! files belongs to nobody any more. Nothing is followed: a link under such a name, or inside, means
//! that it is something else, and it is left alone.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs2::FileExt;
use rustix::fs::fstat;

use super::fs::{Access, Dir, uid};

/// For so long something may be on its way without a change.
pub const ON_THE_WAY: Duration = Duration::from_hours(1);
/// How deep the directories go that this program makes on the way.
const DEEPEST: u32 = 6;

/// Something that was left behind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leftover {
    /// Where it is.
    pub path: PathBuf,
    /// The bytes of all its files.
    pub bytes: u64,
    /// When something in it was changed last.
    pub changed: SystemTime,
}

/// Whether these names are what lies in it.
pub type Inside<'a> = &'a dyn Fn(&[String]) -> bool;

/// What is looked for.
#[derive(Clone, Copy)]
pub struct Shape<'a> {
    /// Whether something of this name is made by this program, and by nothing else.
    pub name: &'a dyn Fn(&str) -> bool,
    /// Whether a directory that holds these names is what it is taken for; nothing for a file.
    pub inside: Option<Inside<'a>>,
}

/// Whether a text is `before`, 16 hex digits and `after`: what this program calls things on the way.
#[must_use]
pub fn is_named(name: &str, before: &str, after: &str) -> bool {
    let hex = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    hex.is_some_and(|hex| {
        hex.len() == 16 && hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// What was left in a directory, by name; nothing is changed. A directory that is not there holds
/// nothing.
pub fn find(parent: &Path, shape: Shape<'_>, now: SystemTime) -> io::Result<Vec<Leftover>> {
    let Some(dir) = observe(parent)? else { return Ok(Vec::new()) };
    let names = dir.names()?;
    let found = names.iter().filter_map(|name| Some(judge(&dir, name, shape, now)?.0));
    Ok(found.collect())
}

/// Removes something that was found, if it is still as it was found. Tells whether it is gone.
pub fn remove(found: &Leftover, shape: Shape<'_>, now: SystemTime) -> io::Result<bool> {
    let (Some(parent), Some(name)) =
        (found.path.parent(), found.path.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(false);
    };
    let Some(dir) = observe(parent)? else { return Ok(false) };
    let Some((again, held)) = judge(&dir, name, shape, now) else { return Ok(false) };
    if again != *found {
        return Ok(false);
    }
    match held {
        Held::File(_) => dir.remove(name)?,
        Held::Dir(inner) => {
            empty(&inner)?;
            dir.remove_dir(name)?;
        }
    }
    Ok(!dir.has(name))
}

fn observe(path: &Path) -> io::Result<Option<Dir>> {
    match Dir::observe(path) {
        Ok(dir) => Ok(Some(dir)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(io::Error::other(e)),
    }
}

/// Held as long as it is judged and removed, so that nobody begins to work in it meanwhile.
enum Held {
    File(File),
    Dir(Dir),
}

fn judge(parent: &Dir, name: &str, shape: Shape<'_>, now: SystemTime) -> Option<(Leftover, Held)> {
    if !(shape.name)(name) {
        return None;
    }
    let mut sum = Sum { bytes: 0, changed: SystemTime::UNIX_EPOCH };
    let held = match shape.inside {
        None => {
            let file = parent.file(name, Access::Read).ok()?;
            sum.add(&file)?;
            Held::File(file)
        }
        Some(inside) => {
            let dir = parent.subdir(name, false).ok()?;
            sum.walk(&dir, 0)?;
            inside(&dir.names().ok()?).then_some(Held::Dir(dir))?
        }
    };
    // What is young is not even held for a moment: its owner may be about to.
    now.duration_since(sum.changed).ok().filter(|age| *age > ON_THE_WAY)?;
    let free = match &held {
        Held::File(file) => FileExt::try_lock(file).is_ok(),
        Held::Dir(dir) => dir.hold().ok()?,
    };
    let path = parent.path().join(name);
    free.then_some((Leftover { path, bytes: sum.bytes, changed: sum.changed }, held))
}

/// What the files of something come to; nothing if one of them is not ours to touch.
struct Sum {
    bytes: u64,
    changed: SystemTime,
}

impl Sum {
    fn add(&mut self, file: &File) -> Option<()> {
        let about = file.metadata().ok()?;
        self.owned(file)?;
        self.bytes += about.len();
        self.changed = self.changed.max(about.modified().ok()?);
        Some(())
    }

    fn owned(&mut self, what: impl std::os::fd::AsFd) -> Option<()> {
        let stat = fstat(what).ok().filter(|stat| stat.st_uid == uid())?;
        let changed = Duration::from_secs(u64::try_from(stat.st_mtime).ok()?);
        self.changed = self.changed.max(SystemTime::UNIX_EPOCH + changed);
        Some(())
    }

    fn walk(&mut self, dir: &Dir, depth: u32) -> Option<()> {
        self.owned(dir)?;
        for name in dir.names().ok()? {
            if let Ok(file) = dir.file(&name, Access::Read) {
                self.add(&file)?;
            } else {
                let below = dir.subdir(&name, false).ok().filter(|_| depth < DEEPEST)?;
                self.walk(&below, depth + 1)?;
            }
        }
        Some(())
    }
}

fn empty(dir: &Dir) -> io::Result<()> {
    for name in dir.names()? {
        match dir.subdir(&name, false) {
            Ok(below) => {
                empty(&below)?;
                drop(below);
                dir.remove_dir(&name)?;
            }
            // A link that came meanwhile goes itself, not what it points to.
            Err(_) => dir.remove(&name)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const DIR: Shape<'static> = Shape {
        name: &|name| is_named(name, ".x.restore-", ""),
        inside: Some(&|names| names.iter().any(|name| name == "restoring")),
    };
    const FILE: Shape<'static> =
        Shape { name: &|name| is_named(name, ".x-", ".tmp"), inside: None };

    fn later() -> SystemTime {
        #[expect(clippy::disallowed_methods, reason = "files have the machine's time")]
        let now = SystemTime::now();
        now + Duration::from_hours(2)
    }

    fn made(home: &Path, number: u32) -> PathBuf {
        let dir = home.join(format!(".x.restore-{number:016x}"));
        std::fs::create_dir_all(dir.join("history")).unwrap();
        std::fs::File::create(dir.join("restoring")).unwrap();
        std::fs::copy("/proc/self/comm", dir.join("history/1")).unwrap();
        dir
    }

    #[test]
    fn only_what_nobody_works_in_goes() {
        let home = tempfile::tempdir().unwrap();
        let (left, busy, young) =
            (made(home.path(), 1), made(home.path(), 2), made(home.path(), 3));
        let held = Dir::observe(&busy).unwrap();
        assert!(held.hold().unwrap());
        let file = std::fs::File::open(young.join("history/1")).unwrap();
        file.set_modified(later()).unwrap();
        let found = find(home.path(), DIR, later()).unwrap();
        let paths: Vec<_> = found.iter().map(|found| found.path.clone()).collect();
        assert_eq!(paths, std::slice::from_ref(&left));
        assert!(found[0].bytes > 0);
        // Somebody went on with it since it was found.
        std::fs::File::create(left.join("history/2")).unwrap();
        std::fs::copy("/proc/self/comm", left.join("history/2")).unwrap();
        assert!(!remove(&found[0], DIR, later()).unwrap());
        let found = find(home.path(), DIR, later()).unwrap();
        assert!(remove(&found[0], DIR, later()).unwrap());
        assert!(!left.exists() && busy.exists() && young.exists());
        drop(held);
        assert_eq!(find(home.path(), DIR, later()).unwrap().len(), 1);
    }

    #[test]
    fn links_and_what_only_looks_like_it_are_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let other = home.path().join("other");
        std::fs::create_dir(&other).unwrap();
        std::fs::File::create(other.join("restoring")).unwrap();
        symlink(&other, home.path().join(".x.restore-0000000000000001")).unwrap();
        symlink(other.join("restoring"), home.path().join(".x-0000000000000001.tmp")).unwrap();
        let with_link = made(home.path(), 2);
        symlink(&other, with_link.join("inside")).unwrap();
        let whole = made(home.path(), 3);
        std::fs::remove_file(whole.join("restoring")).unwrap();
        std::fs::create_dir(home.path().join(".x.restore-mine")).unwrap();
        std::fs::hard_link(other.join("restoring"), home.path().join(".x-0000000000000002.tmp"))
            .unwrap();
        assert_eq!(find(home.path(), DIR, later()).unwrap(), []);
        assert_eq!(find(home.path(), FILE, later()).unwrap(), []);
        std::fs::File::create(home.path().join(".x-0000000000000003.tmp")).unwrap();
        assert_eq!(find(home.path(), FILE, later()).unwrap().len(), 1);
        // What is a directory when it is found and a link when it is removed.
        let left = made(home.path(), 4);
        let found = find(home.path(), DIR, later()).unwrap();
        std::fs::remove_dir_all(&left).unwrap();
        symlink(&other, &left).unwrap();
        assert!(!remove(&found[0], DIR, later()).unwrap());
        assert!(other.join("restoring").exists() && left.is_symlink());
        assert_eq!(find(&home.path().join("nowhere"), DIR, later()).unwrap(), []);
    }

    #[test]
    fn names_have_sixteen_hex_digits() {
        assert!(is_named("a-0123456789abcdef.tmp", "a-", ".tmp"));
        for name in ["a-0123456789abcdeF.tmp", "a-0123456789abcde.tmp", "a-.tmp", "a-", "b"] {
            assert!(!is_named(name, "a-", ".tmp"), "{name}");
        }
    }
}
