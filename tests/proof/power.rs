//! A power cut at any moment: a model of which bytes and names a disk is bound to have, made from
//! the system calls of a real process.
//!
//! A file's bytes are durable up to its last `fsync` or `fdatasync`, a name after an `fsync` of its
//! directory; all that was there before the process is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::proof::Place;

/// What a path leads to.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Node {
    File(usize),
    Dir,
}

/// The names as processes see them, the names on the disk, and both contents of each file.
pub(crate) struct Disk {
    root: PathBuf,
    now: BTreeMap<PathBuf, Node>,
    sure: BTreeMap<PathBuf, Node>,
    files: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Disk {
    /// All that is in a directory, durable.
    pub(crate) fn new(root: &Path) -> Self {
        let mut disk = Self {
            root: root.to_owned(),
            now: BTreeMap::new(),
            sure: BTreeMap::new(),
            files: vec![],
        };
        disk.take(root);
        disk.sure = disk.now.clone();
        disk
    }

    fn take(&mut self, dir: &Path) {
        self.now.insert(dir.to_owned(), Node::Dir);
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.take(&path);
            } else if !ignored(&path) {
                let bytes = std::fs::read(&path).unwrap();
                self.now.insert(path, Node::File(self.files.len()));
                self.files.push((bytes.clone(), bytes));
            }
        }
    }

    /// Takes in a whole trace.
    pub(crate) fn play(&mut self, trace: &str) {
        for line in trace.lines() {
            self.step(line);
        }
    }

    /// Takes in one line of a trace. Tells whether more is durable than before.
    fn step(&mut self, line: &str) -> bool {
        let Some(call) = Call::parse(line) else { return false };
        let path = call.path();
        match call.name {
            "openat" | "openat2" => {
                // `openat2(3</dir>, "name", …) = 4</dir/name>`
                if let Some(path) =
                    call.made.filter(|p| self.has(p) && call.args.contains("O_CREAT"))
                    && !self.now.contains_key(&path)
                {
                    self.now.insert(path, Node::File(self.files.len()));
                    self.files.push((Vec::new(), Vec::new()));
                }
            }
            "mkdir" | "mkdirat" => {
                self.now.insert(call.named(0, &self.root), Node::Dir);
            }
            "rename" | "renameat" | "renameat2" => {
                let (from, to) = (call.named(0, &self.root), call.named(1, &self.root));
                if let Some(node) = self.now.remove(&from) {
                    self.now.insert(to, node);
                }
            }
            "unlink" | "unlinkat" => {
                self.now.remove(&call.named(0, &self.root));
            }
            "write" | "pwrite64" | "ftruncate" | "fsync" | "fdatasync" => match self.now.get(&path)
            {
                Some(Node::File(file)) => {
                    let (bytes, sure) = &mut self.files[*file];
                    match call.name {
                        "write" => bytes.extend(call.text()),
                        "pwrite64" => {
                            let (at, text) = (call.last(), call.text());
                            bytes.resize(bytes.len().max(at + text.len()), 0);
                            bytes[at..at + text.len()].copy_from_slice(&text);
                        }
                        "ftruncate" => bytes.resize(call.last(), 0),
                        _ => {
                            sure.clone_from(bytes);
                            return true;
                        }
                    }
                }
                Some(Node::Dir) if call.name == "fsync" => {
                    self.sure.retain(|name, _| name.parent() != Some(&path));
                    let inside = self.now.iter().filter(|(name, _)| name.parent() == Some(&path));
                    self.sure.extend(inside.map(|(name, node)| (name.clone(), *node)));
                    return true;
                }
                _ => {}
            },
            _ => {}
        }
        false
    }

    fn has(&self, path: &Path) -> bool {
        path.starts_with(&self.root) && !ignored(path)
    }

    /// Writes what is left after a power cut to another directory. With `names` the disk has kept
    /// all changes of names, which it may, else only those it was bound to.
    fn image(&self, to: &Path, names: bool) {
        let kept = if names { &self.now } else { &self.sure };
        let mut dirs = BTreeSet::new();
        for (path, node) in kept {
            let inside = path.strip_prefix(&self.root).unwrap();
            let parent = inside.parent().map(Path::to_owned);
            if inside != Path::new("") && !parent.is_some_and(|p| dirs.contains(&p)) {
                continue;
            }
            match node {
                Node::Dir => {
                    std::fs::DirBuilder::new()
                        .recursive(true)
                        .mode(0o700)
                        .create(to.join(inside))
                        .unwrap();
                    dirs.insert(inside.to_owned());
                }
                Node::File(file) => std::fs::write(to.join(inside), &self.files[*file].1).unwrap(),
            }
        }
    }
}

/// Not modelled: the index, which is made anew after a boot, and what the tests themselves write.
fn ignored(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == ".index")
        || path.to_string_lossy().contains(".strace.")
}

/// One line of a trace.
struct Call<'a> {
    name: &'a str,
    args: &'a str,
    made: Option<PathBuf>,
}

impl<'a> Call<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let (name, rest) = line.split_once('(')?;
        let (args, result) = rest.rsplit_once(" = ")?;
        let made =
            result.split_once('<').map(|r| PathBuf::from(r.1.trim_end().trim_end_matches('>')));
        (!result.starts_with('-')).then_some(Self {
            name,
            args: args.trim_end().strip_suffix(')')?,
            made,
        })
    }

    /// The path of the first argument, a descriptor.
    fn path(&self) -> PathBuf {
        let between = self.args.split_once('<').and_then(|rest| rest.1.split_once('>'));
        between.map(|b| PathBuf::from(b.0)).unwrap_or_default()
    }

    /// The nth name, below the directory that stands before it.
    fn named(&self, nth: usize, root: &Path) -> PathBuf {
        let parts: Vec<&str> = self.args.split('"').collect();
        let before = parts.get(nth * 2).copied().unwrap_or_default();
        let dir = before
            .rsplit_once('<')
            .and_then(|rest| rest.1.split_once('>'))
            .map_or(root, |d| Path::new(d.0));
        dir.join(parts.get(nth * 2 + 1).copied().unwrap_or_default())
    }

    fn last(&self) -> usize {
        self.args.rsplit_once(", ").and_then(|rest| rest.1.parse().ok()).unwrap_or(0)
    }

    /// The bytes that were written.
    fn text(&self) -> Vec<u8> {
        let from = self.args.find('"').map_or(0, |at| at + 1);
        let to = self.args.rfind('"').unwrap_or(from);
        let (bytes, mut out, mut at) = (&self.args.as_bytes()[from..to], Vec::new(), 0);
        while at < bytes.len() {
            if bytes[at] != b'\\' {
                out.push(bytes[at]);
                at += 1;
                continue;
            }
            at += 1;
            let digits =
                bytes[at..].iter().take(3).take_while(|c| (b'0'..b'8').contains(c)).count();
            if digits > 0 {
                let number =
                    bytes[at..at + digits].iter().fold(0u32, |n, c| n * 8 + u32::from(c - b'0'));
                out.push(u8::try_from(number).unwrap());
                at += digits;
                continue;
            }
            out.push(match bytes[at] {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'v' => 11,
                b'f' => 12,
                other => other,
            });
            at += 1;
        }
        out
    }
}

/// Plays a trace, cuts the power after each call that made something durable and at the moment when
/// the answer was given, and hands over each image. The flag says whether the answer was out.
pub(crate) fn cuts(mut disk: Disk, trace: &str, see: &mut dyn FnMut(Place, bool)) -> bool {
    let mut answered = false;
    for line in trace.lines() {
        let answer = !answered && line.contains(" write(1<");
        answered |= answer;
        if disk.step(line) || answer {
            for names in [false, true] {
                let place = Place::bare("");
                disk.image(place.root(), names);
                see(place, answered);
            }
        }
    }
    answered
}
