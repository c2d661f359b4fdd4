//! Where the index keeps its bytes: in files, in memory while it is being rebuilt, or in an overlay
//! that collects the changes of one transaction.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::os::unix::fs::FileExt;

use crate::sys::fs::{Access, Dir};

/// The parts of the index, each a file of its own.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Area {
    /// One record per item.
    Rows,
    /// Bitmaps of items by state, priority, team and assignee.
    Bits,
    /// Who waits for whom.
    Edges,
    /// Teams and agents with their counts.
    Names,
    /// A hash table from ids, keys, operations and names to where they are.
    Keys,
}

impl Area {
    pub(super) const ALL: [Self; 5] =
        [Self::Rows, Self::Bits, Self::Edges, Self::Names, Self::Keys];

    pub(super) const fn file(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Bits => "ready",
            Self::Edges => "edges",
            Self::Names => "names",
            Self::Keys => "keys",
        }
    }

    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// Random access to the areas; what was never written reads as zeros.
pub(super) trait Cells {
    fn read(&self, area: Area, at: u64, into: &mut [u8]) -> io::Result<()>;
    fn write(&mut self, area: Area, at: u64, bytes: &[u8]) -> io::Result<()>;
}

/// The areas as files, opened when they are first used.
pub(super) struct FileCells {
    dir: Dir,
    access: Access,
    files: [OnceCell<File>; 5],
}

impl FileCells {
    pub(super) fn new(dir: Dir, access: Access) -> Self {
        Self { dir, access, files: Default::default() }
    }

    /// Opens what nearly every operation needs.
    pub(super) fn open_usual(&self) -> io::Result<()> {
        for area in [Area::Rows, Area::Bits, Area::Names, Area::Keys] {
            self.file(area)?;
        }
        Ok(())
    }

    pub(super) fn file(&self, area: Area) -> io::Result<&File> {
        let slot = &self.files[area as usize];
        if let Some(file) = slot.get() {
            return Ok(file);
        }
        let file = self.dir.file(area.file(), self.access).map_err(io::Error::other)?;
        Ok(slot.get_or_init(|| file))
    }
}

impl Cells for FileCells {
    fn read(&self, area: Area, at: u64, into: &mut [u8]) -> io::Result<()> {
        let file = self.file(area)?;
        let mut done = 0;
        while done < into.len() {
            match file.read_at(&mut into[done..], at + done as u64) {
                Ok(0) => {
                    into[done..].fill(0);
                    break;
                }
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn write(&mut self, area: Area, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(area)?.write_all_at(bytes, at)
    }
}

const CHUNK: u64 = 1 << 14;

/// The areas in memory, in chunks that are made when they are first written.
#[derive(Default)]
pub(super) struct MemCells {
    chunks: [Vec<Option<Box<[u8]>>>; 5],
    /// The bitmaps are so sparse that a list of chunks would be mostly holes.
    sparse: BTreeMap<u64, Box<[u8]>>,
}

fn blank_chunk() -> Box<[u8]> {
    vec![0; usize::try_from(CHUNK).unwrap_or(0)].into_boxed_slice()
}

impl MemCells {
    fn chunk(&self, area: Area, index: u64) -> Option<&[u8]> {
        if area == Area::Bits {
            return self.sparse.get(&index).map(AsRef::as_ref);
        }
        self.chunks[area as usize].get(usize::try_from(index).ok()?)?.as_deref()
    }

    fn chunk_mut(&mut self, area: Area, index: u64) -> &mut [u8] {
        if area == Area::Bits {
            return self.sparse.entry(index).or_insert_with(blank_chunk);
        }
        let chunks = &mut self.chunks[area as usize];
        let index = usize::try_from(index).unwrap_or(0);
        if chunks.len() <= index {
            chunks.resize_with(index + 1, || None);
        }
        chunks[index].get_or_insert_with(blank_chunk)
    }

    /// Writes everything to files that have just been emptied.
    pub(super) fn store(&self, files: &FileCells) -> io::Result<()> {
        for area in Area::ALL {
            let file = files.file(area)?;
            file.set_len(0)?;
            if area == Area::Bits {
                for (index, chunk) in &self.sparse {
                    file.write_all_at(chunk, index * CHUNK)?;
                }
                continue;
            }
            for (index, chunk) in self.chunks[area as usize].iter().enumerate() {
                if let Some(chunk) = chunk {
                    file.write_all_at(chunk, index as u64 * CHUNK)?;
                }
            }
        }
        Ok(())
    }
}

/// Splits a range into the parts that lie in one chunk each: chunk, start in it, part of the range.
fn parts(at: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0usize;
    std::iter::from_fn(move || {
        if done >= len {
            return None;
        }
        let here = at + done as u64;
        let start = usize::try_from(here % CHUNK).unwrap_or(0);
        let room = usize::try_from(CHUNK).unwrap_or(0) - start;
        let part = done..len.min(done + room);
        done = part.end;
        Some((here / CHUNK, start, part))
    })
}

impl Cells for MemCells {
    fn read(&self, area: Area, at: u64, into: &mut [u8]) -> io::Result<()> {
        for (chunk, start, part) in parts(at, into.len()) {
            let into = &mut into[part];
            match self.chunk(area, chunk) {
                Some(bytes) => into.copy_from_slice(&bytes[start..start + into.len()]),
                None => into.fill(0),
            }
        }
        Ok(())
    }

    fn write(&mut self, area: Area, at: u64, bytes: &[u8]) -> io::Result<()> {
        for (chunk, start, part) in parts(at, bytes.len()) {
            let bytes = &bytes[part];
            self.chunk_mut(area, chunk)[start..start + bytes.len()].copy_from_slice(bytes);
        }
        Ok(())
    }
}

/// A cell that was read or written: where it belongs, and where its bytes stand in the arena.
struct Cell {
    area: Area,
    at: u64,
    len: usize,
    bytes: usize,
    /// What stands in the file, once something else is to stand there.
    filed: Option<usize>,
    written: bool,
}

/// What one transaction has read and wants to write, on top of the files.
///
/// Every caller reads and writes whole cells at fixed places, so a cell is found by where it begins.
pub(super) struct Overlay {
    base: FileCells,
    cells: RefCell<Collected>,
}

#[derive(Default)]
struct Collected {
    places: HashMap<u64, usize, BuildHasherDefault<PlaceHasher>>,
    cells: Vec<Cell>,
    arena: Vec<u8>,
}

/// Hashes places, which nobody chooses to do harm: one multiplication.
#[derive(Default)]
struct PlaceHasher(u64);

impl Hasher for PlaceHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// One number for a place; an area is never as long as 2^56 bytes.
const fn spot(area: Area, at: u64) -> u64 {
    (area as u64) << 56 | at
}

impl Overlay {
    pub(super) fn new(base: FileCells) -> Self {
        Self { base, cells: RefCell::default() }
    }

    pub(super) const fn base(&self) -> &FileCells {
        &self.base
    }

    /// The changes so far, in a form that [`Overlay::redo`] understands.
    pub(super) fn changes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        let all = self.cells.borrow();
        for cell in all.cells.iter().filter(|cell| all.is_dirty(cell)) {
            out.push(cell.area as u8);
            out.push(u8::try_from(cell.len).unwrap_or(0));
            out.extend_from_slice(&cell.at.to_le_bytes());
            out.extend_from_slice(all.now(cell));
        }
        out
    }

    /// Writes the changes to the files.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let all = self.cells.get_mut();
        for number in 0..all.cells.len() {
            let cell = &all.cells[number];
            if all.is_dirty(cell) {
                self.base.write(cell.area, cell.at, all.now(cell))?;
            }
            let cell = &mut all.cells[number];
            (cell.filed, cell.written) = (None, false);
        }
        Ok(())
    }

    /// Forgets the changes.
    pub(super) fn forget(&mut self) {
        *self.cells.get_mut() = Collected::default();
    }

    /// Writes changes that an interrupted transaction left to the files. Doing it twice is doing it
    /// once.
    pub(super) fn redo(&mut self, mut changes: &[u8]) -> io::Result<()> {
        self.forget();
        while let [area, len, rest @ ..] = changes {
            let len = usize::from(*len);
            let broken = || io::Error::new(io::ErrorKind::InvalidData, "the redo record is broken");
            let area = Area::from_number(*area).ok_or_else(broken)?;
            let (at, rest) = rest.split_first_chunk::<8>().ok_or_else(broken)?;
            let bytes = rest.get(..len).ok_or_else(broken)?;
            self.base.write(area, u64::from_le_bytes(*at), bytes)?;
            changes = &rest[len..];
        }
        Ok(())
    }
}

impl Collected {
    fn push(&mut self, area: Area, at: u64, bytes: &[u8], written: bool) {
        if self.cells.capacity() == 0 {
            // What one operation on one item takes, and no more: each page that is touched is paid for.
            self.cells.reserve(28);
            self.arena.reserve(2048);
            self.places.reserve(28);
        }
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        self.places.insert(spot(area, at), self.cells.len());
        let len = bytes.len();
        self.cells.push(Cell { area, at, len, bytes: start, filed: None, written });
    }

    fn now(&self, cell: &Cell) -> &[u8] {
        &self.arena[cell.bytes..cell.bytes + cell.len]
    }

    fn is_dirty(&self, cell: &Cell) -> bool {
        // Often a count goes down and up again within one transaction.
        let same = |filed: usize| self.arena[filed..filed + cell.len] == *self.now(cell);
        cell.written && !cell.filed.is_some_and(same)
    }
}

impl Cells for Overlay {
    fn read(&self, area: Area, at: u64, into: &mut [u8]) -> io::Result<()> {
        let mut all = self.cells.borrow_mut();
        if let Some(found) = all.places.get(&spot(area, at)) {
            into.copy_from_slice(&all.now(&all.cells[*found])[..into.len()]);
            return Ok(());
        }
        self.base.read(area, at, into)?;
        all.push(area, at, into, false);
        Ok(())
    }

    fn write(&mut self, area: Area, at: u64, bytes: &[u8]) -> io::Result<()> {
        let all = self.cells.get_mut();
        let Some(found) = all.places.get(&spot(area, at)).copied() else {
            all.push(area, at, bytes, true);
            return Ok(());
        };
        let cell = &mut all.cells[found];
        let now = cell.bytes..cell.bytes + cell.len;
        if !cell.written {
            cell.written = true;
            cell.filed = Some(all.arena.len());
            all.arena.extend_from_within(now.clone());
        }
        all.arena[now.start..now.start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}
