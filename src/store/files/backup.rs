//! A picture of a store for a backup: all of it as it was at one moment, taken while others write.
//!
//! The log is only appended to, so a prefix of it that ends with a whole operation is the state of that
//! moment; it is found as readers find it, without the lock. Sealed logs do not change. What lies beside
//! (agents, named locks, telemetry) is read after it, each file whole: it may be a little newer, never
//! older.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::FileExt as _;

use super::log::{HISTORY, LIVE, sealed_name, tail};
use super::record::{FORMAT, Slim, chain};
use super::rows::Place;
use super::{FileStore, failure};
use crate::domain::time::rfc3339;
use crate::store::archive::{self, Belongs, Manifest, belongs};
use crate::store::{Error, Result};
use crate::sys::fs::{Access, Dir, OpenError};

/// How often the picture is taken anew because something was renamed or removed meanwhile.
const TRIES: u32 = 8;
/// A file that is replaced whole is not larger than this.
const SMALL: u64 = 16 << 20;

/// The bytes of a file of the picture.
enum Source {
    /// The beginning of a file that is only appended to.
    Prefix(File),
    /// A sealed log, opened when it is read: there may be more of them than a process may open files.
    Sealed(String),
    /// All of a small one.
    Bytes(Vec<u8>),
}

/// A picture of a store.
pub struct Picture {
    /// What it holds.
    pub manifest: Manifest,
    /// What lies in the state directory and was left out because nobody knows it.
    pub left_out: Vec<String>,
    sources: Vec<Source>,
    /// The directory of sealed logs, where there are any.
    history: Option<Dir>,
}

/// The beginning of a file, wherever others have it open.
struct Prefix {
    file: File,
    at: u64,
    left: u64,
}

impl Read for Prefix {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let read = self.file.read_at(&mut into[..want], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

impl Picture {
    /// Writes it as an archive.
    pub fn write<W: io::Write>(&self, out: W) -> io::Result<W> {
        archive::write(out, &self.manifest, &mut |at| self.open(at))
    }

    fn open(&self, at: usize) -> io::Result<Box<dyn Read>> {
        let left = self.manifest.files[at].size;
        Ok(match &self.sources[at] {
            Source::Prefix(file) => Box::new(Prefix { file: file.try_clone()?, at: 0, left }),
            Source::Sealed(name) => {
                let history = self.history.as_ref().ok_or(io::ErrorKind::NotFound)?;
                let file = history.file(name, Access::Read).map_err(io::Error::other)?;
                Box::new(Prefix { file, at: 0, left })
            }
            Source::Bytes(bytes) => Box::new(Cursor::new(bytes.clone())),
        })
    }

    fn add(&mut self, path: String, size: u64, source: Source) -> io::Result<()> {
        self.manifest.files.push(archive::File { path, size, sha256: String::new() });
        self.sources.push(source);
        let at = self.sources.len() - 1;
        let (read, sha256) = archive::sum(&mut *self.open(at)?)?;
        if read != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.manifest.files[at].sha256 = sha256;
        Ok(())
    }
}

/// The log as it was at one moment.
struct Moment {
    live: File,
    len: u64,
    segment: u64,
    n: u64,
    link: u64,
    items: u64,
}

impl FileStore {
    /// Takes a picture. `program` says who takes it.
    pub fn picture(&self, program: &str) -> Result<Picture> {
        for attempt in 0..TRIES {
            if attempt > 0 {
                self.options.clock.sleep(std::time::Duration::from_millis(2 << attempt));
            }
            let Some(moment) = self.moment()? else { continue };
            let dir = self.dir.path().canonicalize().unwrap_or_else(|_| self.dir.path().to_owned());
            let at = rfc3339(self.options.clock.wall());
            let manifest = archive::manifest(&dir.to_string_lossy(), program, &at);
            let (left_out, sources) = (Vec::new(), Vec::new());
            let mut picture = Picture { manifest, left_out, sources, history: None };
            if !self.logs_of(&moment, &mut picture)? {
                continue;
            }
            self.rest(&mut picture)?;
            let manifest = &mut picture.manifest;
            (manifest.n, manifest.items, manifest.log_format) = (moment.n, moment.items, FORMAT);
            manifest.head = format!("{:016x}", moment.link);
            return Ok(picture);
        }
        let busy = io::Error::new(io::ErrorKind::ResourceBusy, "the logs changed all the time");
        Err(failure::io("take a picture of the store", busy))
    }

    /// Where the log ends now, with a whole operation.
    fn moment(&self) -> Result<Option<Moment>> {
        self.read(|state| {
            let head = &state.index.head;
            let segment = u32::try_from(state.logs.segment).unwrap_or(u32::MAX);
            let place = Place { segment, at: head.last_at, len: 0 };
            let last = state.logs.line(place).map_err(failure::index)?;
            let slim: Option<Slim<'_>> = serde_json::from_slice(&last).ok();
            // A transaction that was being written when the log was read alone.
            if slim.is_none_or(|slim| slim.more) || chain(&last) != head.last_link {
                return Ok(None);
            }
            let live = state.logs.live.try_clone().map_err(failure::index)?;
            Ok(Some(Moment {
                live,
                len: head.last_at + last.len() as u64,
                segment: state.logs.segment,
                n: head.n,
                link: head.last_link,
                items: head.open() + head.done,
            }))
        })
    }

    /// The sealed logs and the beginning of the live one; false if one has gone meanwhile.
    fn logs_of(&self, moment: &Moment, picture: &mut Picture) -> Result<bool> {
        let failed = |name: &str, e| failure::read(&self.dir.path().join(name), e);
        let history = match self.dir.subdir(HISTORY, false) {
            Err(e) if e.is_not_found() => None,
            other => Some(other.map_err(failure::open)?),
        };
        if let Some(history) = history {
            let names = super::log::sealed(&history)?;
            picture.history = Some(history);
            for number in names.into_iter().filter(|number| *number < moment.segment) {
                let name = sealed_name(number);
                let file = match picture.history.as_ref().map(|dir| dir.file(&name, Access::Read)) {
                    Some(Err(e)) if e.is_not_found() => return Ok(false),
                    Some(other) => other.map_err(failure::open)?,
                    None => return Ok(false),
                };
                let size = file.metadata().map_err(|e| failed(&name, e))?.len();
                let path = format!("{HISTORY}/{name}");
                let added = picture.add(path.clone(), size, Source::Sealed(name));
                added.map_err(|e| failed(&path, e))?;
            }
        }
        let live = moment.live.try_clone().map_err(|e| failed(LIVE, e))?;
        let added = picture.add(LIVE.to_owned(), moment.len, Source::Prefix(live));
        added.map_err(|e| failed(LIVE, e))?;
        Ok(true)
    }

    /// What lies beside the logs.
    fn rest(&self, picture: &mut Picture) -> Result<()> {
        for name in names(&self.dir)? {
            match belongs(&name) {
                Belongs::Yes if name != LIVE => self.one(&self.dir, &name, &name, picture)?,
                Belongs::Yes | Belongs::No => {}
                Belongs::Unknown if name.starts_with('.') => {}
                Belongs::Unknown => match self.dir.subdir(&name, false) {
                    Ok(dir) => {
                        for file in names(&dir)? {
                            let path = format!("{name}/{file}");
                            match belongs(&path) {
                                Belongs::Yes if name == HISTORY && is_lines(&file) => {}
                                Belongs::Yes => self.one(&dir, &file, &path, picture)?,
                                Belongs::No => {}
                                Belongs::Unknown => picture.left_out.push(path),
                            }
                        }
                    }
                    Err(_) => picture.left_out.push(name),
                },
            }
        }
        Ok(())
    }

    fn one(&self, dir: &Dir, name: &str, path: &str, picture: &mut Picture) -> Result<()> {
        let failed = |e| failure::read(&self.dir.path().join(path), e);
        let mut file = match dir.file(name, Access::Read) {
            Ok(file) => file,
            Err(e) if e.is_not_found() => return Ok(()),
            Err(OpenError::Insecure { .. }) => {
                picture.left_out.push(path.to_owned());
                return Ok(());
            }
            Err(e) => return Err(failure::open(e)),
        };
        if is_lines(name) {
            let (whole, _) = tail(&file).map_err(failed)?;
            return picture.add(path.to_owned(), whole, Source::Prefix(file)).map_err(failed);
        }
        let mut bytes = Vec::new();
        (&mut file).take(SMALL + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > SMALL {
            picture.left_out.push(path.to_owned());
            return Ok(());
        }
        let size = bytes.len() as u64;
        picture.add(path.to_owned(), size, Source::Bytes(bytes)).map_err(failed)
    }
}

/// Whether a file is one of lines, which is only appended to.
fn is_lines(name: &str) -> bool {
    name.strip_suffix(".jsonl").is_some()
}

fn names(dir: &Dir) -> Result<Vec<String>> {
    match dir.names() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(|e| failure::read(dir.path(), e)),
    }
}

/// Whether a store of this program can be made of a backup.
pub(super) fn check_format(manifest: &Manifest) -> Result<()> {
    if manifest.log_format > FORMAT {
        return Err(Error::NewerFormat { found: manifest.log_format, known: FORMAT });
    }
    Ok(())
}
