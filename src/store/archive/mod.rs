//! Archives of a store: a tar file, compressed with Zstandard, whose first entry is a manifest with the
//! size and the SHA-256 of every other.
//!
//! What is read may come from anywhere. Only plain files are taken, only under the names that belong
//! into a backup, only those of the manifest, each once and with the right bytes; anything else ends
//! the reading.

mod manifest;
#[cfg(test)]
mod tests;
mod zst;

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};

use hmac_sha256::Hash;
use thiserror::Error as ThisError;

pub use manifest::{Belongs, FORMAT, File, Manifest, belongs};

/// Tar files are filled up with zeros, but not with so many.
const TRAILING: u64 = 1 << 20;
/// What the name of the kind must be.
const KIND: &str = "coord-backup";

/// Why an archive cannot be used.
#[derive(Debug, ThisError)]
pub enum ArchiveError {
    /// It is none.
    #[error("it is no backup: {0}")]
    NoBackup(String),
    /// A newer program wrote it.
    #[error("it has form {found}; this program reads up to {known}")]
    Newer {
        /// What is written there.
        found: u64,
        /// What is understood here.
        known: u64,
    },
    /// It is not what its manifest says.
    #[error("{0}")]
    Wrong(String),
    /// It cannot be read, or not to its end.
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    /// What was read cannot be kept.
    #[error("its files cannot be written")]
    Unwritable(#[source] io::Error),
}

type Result<T> = std::result::Result<T, ArchiveError>;

fn hex(hash: [u8; 32]) -> String {
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from_digit(half.into(), 16).unwrap_or('0'));
        }
        text
    })
}

/// The size and the SHA-256 of all that a stream gives.
pub fn sum(from: &mut dyn Read) -> io::Result<(u64, String)> {
    let (mut hash, mut size, mut buffer) = (Hash::new(), 0, vec![0; 1 << 16]);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok((size, hex(hash.finalize()))),
            Ok(read) => {
                hash.update(&buffer[..read]);
                size += read as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// A new manifest without files.
#[must_use]
pub fn manifest(dir: &str, program: &str, at: &str) -> Manifest {
    Manifest {
        kind: KIND.to_owned(),
        format: FORMAT,
        min_reader: FORMAT,
        at: at.to_owned(),
        program: program.to_owned(),
        dir: dir.to_owned(),
        log_format: 0,
        n: 0,
        head: String::new(),
        items: 0,
        files: Vec::new(),
    }
}

/// Counts and sums up what goes through.
struct Through<'a> {
    from: &'a mut dyn Read,
    hash: Hash,
}

impl Read for Through<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.hash.update(&into[..read]);
        Ok(read)
    }
}

/// Writes an archive: the manifest, then the files in its order. `open` gives the bytes of one.
pub fn write<W: Write>(
    out: W,
    manifest: &Manifest,
    open: &mut dyn FnMut(usize) -> io::Result<Box<dyn Read>>,
) -> io::Result<W> {
    let mut tar = tar::Builder::new(zst::Writer::new(out));
    let header = |size: u64| {
        let mut header = tar::Header::new_ustar();
        header.set_size(size);
        header.set_mode(0o600);
        header.set_entry_type(tar::EntryType::Regular);
        header
    };
    let mut text = serde_json::to_vec(manifest)?;
    text.push(b'\n');
    tar.append_data(&mut header(text.len() as u64), manifest::NAME, text.as_slice())?;
    for (at, file) in manifest.files.iter().enumerate() {
        let mut from = open(at)?.take(file.size);
        let mut through = Through { from: &mut from, hash: Hash::new() };
        tar.append_data(&mut header(file.size), &file.path, &mut through)?;
        let hash = hex(through.hash.finalize());
        if hash != file.sha256 {
            let what = format!("`{}` was changed while it was read", file.path);
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, what));
        }
    }
    tar.into_inner()?.finish()
}

/// Reads the manifest alone.
pub fn read_manifest(from: impl Read) -> Result<Manifest> {
    let mut tar = tar::Archive::new(zst::Reader::new(from));
    let mut entries = tar.entries().map_err(ArchiveError::Unreadable)?.raw(true);
    first(&mut entries)
}

/// The part of a manifest that every version has.
#[derive(serde::Deserialize)]
struct Form {
    kind: String,
    format: u64,
    min_reader: u64,
}

fn first<R: Read>(entries: &mut tar::Entries<'_, R>) -> Result<Manifest> {
    let none = |why: &str| ArchiveError::NoBackup(why.to_owned());
    let entry = entries.next().ok_or_else(|| none("it is empty"))?;
    let entry = entry.map_err(|e| ArchiveError::NoBackup(e.to_string()))?;
    let (path, _) = plain(&entry).map_err(|_| none("it does not begin with a manifest"))?;
    if path != manifest::NAME || entry.size() > manifest::MAX {
        return Err(none("it does not begin with a manifest"));
    }
    let mut text = Vec::new();
    entry.take(manifest::MAX).read_to_end(&mut text).map_err(ArchiveError::Unreadable)?;
    let form: Form = serde_json::from_slice(&text).map_err(|e| none(&e.to_string()))?;
    if form.kind != KIND {
        return Err(none("its manifest is of something else"));
    }
    if form.min_reader > FORMAT {
        return Err(ArchiveError::Newer { found: form.format, known: FORMAT });
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| none(&e.to_string()))?;
    let mut seen = HashSet::new();
    for file in &manifest.files {
        if belongs(&file.path) != Belongs::Yes || !is_plain(&file.path) {
            let what = format!("its manifest names `{}`, which belongs into no backup", file.path);
            return Err(ArchiveError::Wrong(what));
        }
        if !seen.insert(&file.path) {
            let what = format!("its manifest names `{}` twice", file.path);
            return Err(ArchiveError::Wrong(what));
        }
    }
    Ok(manifest)
}

/// Whether every part of a path is a name and nothing else.
fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| {
        let chars = part.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c));
        !part.is_empty() && chars && part != "." && part != ".." && part.len() <= 100
    })
}

/// The path and the size of an entry that is a plain file.
fn plain<R: Read>(entry: &tar::Entry<'_, R>) -> Result<(String, u64)> {
    let bytes = entry.path_bytes();
    let path = String::from_utf8_lossy(&bytes).into_owned();
    let kind = entry.header().entry_type();
    if kind != tar::EntryType::Regular {
        let what = match kind {
            tar::EntryType::Symlink | tar::EntryType::Link => "a link",
            tar::EntryType::Directory => "a directory",
            _ => "no plain file",
        };
        return Err(ArchiveError::Wrong(format!("it holds `{path}`, which is {what}")));
    }
    Ok((path, entry.size()))
}

/// Reads a whole archive and gives each file to `take`, with its place in the manifest. When it returns
/// without an error every file of the manifest was there, once, with the right bytes.
pub fn read(
    from: impl Read,
    take: &mut dyn FnMut(&Manifest, usize, &mut dyn Read) -> io::Result<()>,
) -> Result<Manifest> {
    let mut tar = tar::Archive::new(zst::Reader::new(from));
    let manifest = read_entries(&mut tar, take)?;
    // The checksum of what was read stands at the very end.
    let mut rest = tar.into_inner().take(TRAILING);
    let behind = io::copy(&mut rest, &mut io::sink()).map_err(ArchiveError::Unreadable)?;
    if behind == TRAILING {
        return Err(ArchiveError::Wrong("it goes on behind its end".to_owned()));
    }
    Ok(manifest)
}

fn read_entries(
    tar: &mut tar::Archive<impl Read>,
    take: &mut dyn FnMut(&Manifest, usize, &mut dyn Read) -> io::Result<()>,
) -> Result<Manifest> {
    let mut entries = tar.entries().map_err(ArchiveError::Unreadable)?.raw(true);
    let manifest = first(&mut entries)?;
    let places: HashMap<&str, usize> =
        manifest.files.iter().enumerate().map(|(at, file)| (file.path.as_str(), at)).collect();
    let mut missing: HashSet<usize> = (0..manifest.files.len()).collect();
    for entry in entries {
        let mut entry = entry.map_err(ArchiveError::Unreadable)?;
        let (path, size) = plain(&entry)?;
        let Some(at) = places.get(path.as_str()).copied() else {
            return Err(ArchiveError::Wrong(format!(
                "it holds `{path}`, which its manifest does not name"
            )));
        };
        if !missing.remove(&at) {
            return Err(ArchiveError::Wrong(format!("it holds `{path}` twice")));
        }
        let said = &manifest.files[at];
        if size != said.size {
            let what = format!("`{path}` has {size} bytes, its manifest says {}", said.size);
            return Err(ArchiveError::Wrong(what));
        }
        let mut through = Through { from: &mut entry, hash: Hash::new() };
        let mut counted = Counted { from: &mut through, read: 0, failed: None };
        let taken = take(&manifest, at, &mut counted);
        if let Some(error) = counted.failed {
            return Err(ArchiveError::Unreadable(error));
        }
        taken.map_err(ArchiveError::Unwritable)?;
        // What was not taken is read all the same.
        io::copy(&mut counted, &mut io::sink()).map_err(ArchiveError::Unreadable)?;
        let read = counted.read;
        if read != said.size || hex(through.hash.finalize()) != said.sha256 {
            let what = format!("`{path}` is not what was saved: its SHA-256 is another one");
            return Err(ArchiveError::Wrong(what));
        }
    }
    if let Some(at) = missing.into_iter().min() {
        let path = &manifest.files[at].path;
        return Err(ArchiveError::Wrong(format!("it ends without `{path}`")));
    }
    Ok(manifest)
}

/// Tells failures of reading from those of writing, and counts.
struct Counted<'a> {
    from: &'a mut dyn Read,
    read: u64,
    failed: Option<io::Error>,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.from.read(into) {
            Ok(read) => {
                self.read += read as u64;
                Ok(read)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => {
                let (kind, text) = (e.kind(), e.to_string());
                self.failed = Some(e);
                Err(io::Error::new(kind, text))
            }
        }
    }
}
