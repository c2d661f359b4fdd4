//! What somebody has read already, so that the next look finds only what is new.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

use hmac_sha256::Hash;
use serde::{Deserialize, Serialize};

use super::read::{LONGEST, open};
use super::{Journal, Read, Stream};
use crate::domain::telemetry::Operation;
use crate::domain::trace::Span;
use crate::store::{Result, failure};

/// How far each file was read, in bytes. A file is known by its first line, which holds a random id: it
/// keeps it when it is put aside, restored or copied. So what a writer adds late to a file that was put
/// aside is found as well.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Marks(BTreeMap<String, u64>);

impl Journal {
    /// Marks behind everything that is there now.
    pub fn marks(&self) -> Result<Marks> {
        let mut marks = Marks::default();
        for stream in Stream::ALL {
            for (name, _) in self.files(stream)? {
                let Some(file) = open(&self.dir, &name)? else { continue };
                let path = self.dir.path().join(&name);
                let failed = |source| failure::read(&path, source);
                if let Some(key) = key(&file).map_err(failed)? {
                    marks.0.insert(key, file.metadata().map_err(failed)?.len());
                }
            }
        }
        Ok(marks)
    }

    /// Gives at most `most` spans, operations included, behind the marks, and moves those. Fewer than
    /// `most` were all there are. Spans that have not ended are passed over: they come at their end.
    pub fn news(&self, marks: &mut Marks, most: usize) -> Result<(Vec<Span>, Read)> {
        let (mut spans, mut read) = (Vec::new(), Read::default());
        let mut known = BTreeMap::new();
        let listed = self.names()?;
        for stream in Stream::ALL {
            for (name, _) in self.files(stream)? {
                let Some(mut file) = open(&self.dir, &name)? else { continue };
                let path = self.dir.path().join(&name);
                let failed = |source| failure::read(&path, source);
                let Some(key) = key(&file).map_err(failed)? else { continue };
                let mut at = marks.0.get(&key).copied().unwrap_or(0);
                file.seek(SeekFrom::Start(at)).map_err(failed)?;
                let mut lines = BufReader::with_capacity(1 << 16, file);
                let mut line = Vec::new();
                while spans.len() < most {
                    line.clear();
                    let got = lines.by_ref().take(LONGEST).read_until(b'\n', &mut line);
                    let got = got.map_err(failed)? as u64;
                    // A line without its end is still being written, or was cut off for good.
                    if got == 0 || (got < LONGEST && line.last() != Some(&b'\n')) {
                        break;
                    }
                    at += got;
                    let span = match stream {
                        Stream::Operations => {
                            serde_json::from_slice(&line).ok().map(|op: Operation| op.span())
                        }
                        Stream::Spans => serde_json::from_slice(&line).ok(),
                    };
                    match span {
                        Some(span) => {
                            read.lines += 1;
                            spans.extend(Some(span).filter(|span| !span.open));
                        }
                        None if line.iter().all(u8::is_ascii_whitespace) => {}
                        None => read.bad += 1,
                    }
                }
                known.insert(key, at);
            }
        }
        // Files that are gone are forgotten; one that was put aside just now may only seem to be.
        if self.names()? == listed {
            marks.0 = known;
        } else {
            marks.0.extend(known);
        }
        Ok((spans, read))
    }

    fn names(&self) -> Result<Vec<String>> {
        let names = self.dir.names().map_err(|source| failure::read(self.dir.path(), source))?;
        let ours = |name: &String| Stream::ALL.iter().any(|stream| stream.is_former(name));
        Ok(names.into_iter().filter(ours).collect())
    }
}

/// What a file is known by; nothing while it has no whole line.
pub(super) fn key(file: &std::fs::File) -> std::io::Result<Option<String>> {
    let mut head = [0; super::LONGEST];
    let mut have = 0;
    while have < head.len() {
        match file.read_at(&mut head[have..], have as u64)? {
            0 => break,
            n => have += n,
        }
        if head[..have].contains(&b'\n') {
            break;
        }
    }
    let end = memchr::memchr(b'\n', &head[..have]).or((have == head.len()).then_some(have));
    Ok(end.map(|end| name_of(&head[..end])))
}

/// What something is known by without being told: half of its SHA-256, in hex.
pub(in crate::store) fn name_of(bytes: &[u8]) -> String {
    Hash::hash(bytes)[..16].iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
