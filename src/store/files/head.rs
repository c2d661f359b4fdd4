//! The head of the index: what it was made from, and counts that answer without reading more.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

macro_rules! head {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Numbers at fixed places.
        #[derive(Clone, Debug, Default, Eq, PartialEq)]
        pub(super) struct Head {
            $($(#[$doc])* pub(super) $name: u64,)*
        }

        impl Head {
            fn to_bytes(&self) -> [u8; HEAD] {
                let mut bytes = [0; HEAD];
                for (slot, number) in bytes.chunks_exact_mut(8).zip([$(self.$name),*]) {
                    slot.copy_from_slice(&number.to_le_bytes());
                }
                bytes
            }

            fn from_bytes(bytes: &[u8]) -> Self {
                let mut slots = bytes.chunks_exact(8);
                let mut next = || slots.next().map_or(0, |slot| {
                    slot.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte))
                });
                Self { $($name: next(),)* }
            }
        }
    };
}

/// Bytes that the numbers take.
const HEAD: usize = 512;
/// What a file must begin with to be ours; the last digit is the version of the index.
const MAGIC: u64 = u64::from_le_bytes(*b"coordix1");
/// The largest redo record; a transaction that changes more is followed by a rebuild if it dies.
const MAX_REDO: usize = 1 << 16;

/// The index matches the log.
const CLEAN: u64 = 1;
/// A transaction was begun; its changes stand behind the numbers.
const REDO: u64 = 2;
/// A transaction was begun that only a rebuild can make good.
const REBUILD: u64 = 3;
/// The directory gave its name to another state. Every writer reads the head under the lock, so nobody
/// who came by the old name needs a look of their own at what the name stands for now.
const MOVED: u64 = 4;

head! {
    /// [`MAGIC`].
    magic,
    /// [`CLEAN`], [`REDO`] or [`REBUILD`].
    state,
    /// Grows with every change of the index: a reader that saw the same twice saw one state.
    version,
    /// The boot it was made in: after a power cut it may be older than the log.
    boot,
    /// The log's inode.
    inode,
    /// Its length.
    len,
    /// Its time of last change, in nanoseconds.
    mtime,
    /// Where its last line begins.
    last_at,
    /// The link of its last line.
    last_link,
    /// Its number among the logs.
    segment,
    /// How many lines it has.
    lines,
    /// The number of the last write.
    n,
    /// The next number for a made id.
    next_id,
    /// Rows in use.
    rows,
    /// Edges in use.
    edges,
    /// Names in use.
    names,
    /// Parts of the hash table in use.
    key_parts,
    /// Keys in the last part.
    key_fill,
    /// Items that wait to be claimed, blocked ones included.
    pending,
    /// Pending items that wait for others.
    blocked,
    /// Items under a lease.
    active,
    /// Items finished well.
    done,
    /// Items given up.
    failed,
    /// Dead letters.
    dead,
    /// Points of the done items.
    points,
    /// No lease ends before this reading of the boot clock, in milliseconds.
    first_lease_end,
    /// In how many places the log is damaged: nothing may be written if in any.
    damaged,
    /// The hash of the last operation id, to keep one key per operation.
    last_op,
}

impl Head {
    pub(super) fn new(boot: u64) -> Self {
        let first_lease_end = u64::MAX;
        Self {
            magic: MAGIC,
            state: CLEAN,
            boot,
            next_id: 1,
            n: 0,
            first_lease_end,
            ..Self::default()
        }
    }

    /// Items that a log must carry on: everything but the done ones.
    pub(super) const fn open(&self) -> u64 {
        self.pending + self.active + self.failed + self.dead
    }

    /// Lines of the live log that nothing needs any more.
    pub(super) const fn superseded(&self) -> u64 {
        self.lines.saturating_sub(self.open())
    }

    /// Notes what the log looks like now.
    pub(super) fn note_log(&mut self, log: &File) -> io::Result<()> {
        (self.inode, self.len, self.mtime) = look(log)?;
        Ok(())
    }

    /// Whether the log is what the index was made from.
    pub(super) fn matches(&self, log: (u64, u64, u64)) -> bool {
        (self.inode, self.len, self.mtime) == log
    }
}

/// Inode, length and time of last change.
pub(super) fn look(file: &File) -> io::Result<(u64, u64, u64)> {
    let meta = file.metadata()?;
    // Anybody can set it to anything.
    let mtime = meta.mtime().unsigned_abs().wrapping_mul(1_000_000_000);
    let mtime = mtime.wrapping_add(meta.mtime_nsec().unsigned_abs());
    Ok((meta.ino(), meta.len(), mtime))
}

/// What the head file says.
pub(super) enum Loaded {
    /// The index is whole.
    Clean(Head),
    /// A transaction was interrupted: the head before it, the head after it, its changes.
    Begun(Box<(Head, Head)>, Vec<u8>),
    /// There is no index, or nobody knows what it is worth.
    Useless,
    /// Another state was to be put in the place of this one.
    Moved,
}

/// Reads the head for a writer.
pub(super) fn load(file: &File, boot: u64) -> io::Result<Loaded> {
    let mut bytes = [0u8; HEAD];
    if read_full(file, &mut bytes, 0)? < HEAD {
        return Ok(Loaded::Useless);
    }
    let head = Head::from_bytes(&bytes);
    if head.magic == MAGIC && head.state == MOVED {
        return Ok(Loaded::Moved);
    }
    // Without a boot id there is no telling whether the index survived a power cut whole.
    if head.magic != MAGIC || head.boot != boot || boot == 0 {
        return Ok(Loaded::Useless);
    }
    match head.state {
        CLEAN => Ok(Loaded::Clean(head)),
        REDO => {
            let mut next = [0u8; HEAD + 16];
            read_full(file, &mut next, HEAD as u64)?;
            let (next, tail) = next.split_at(HEAD);
            let number = |at: usize| {
                tail[at..at + 8].iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte))
            };
            let len = usize::try_from(number(0)).unwrap_or(usize::MAX);
            if len > MAX_REDO {
                return Ok(Loaded::Useless);
            }
            let mut changes = vec![0; len];
            let read = read_full(file, &mut changes, HEAD as u64 * 2 + 16)?;
            if read < len || sum(&changes) != number(8) {
                return Ok(Loaded::Useless);
            }
            Ok(Loaded::Begun(Box::new((head, Head::from_bytes(next))), changes))
        }
        _ => Ok(Loaded::Useless),
    }
}

/// The last write that the index knows, and its link, whatever the index is worth otherwise; with the
/// boot in which it was known.
pub(super) fn known(file: &File) -> io::Result<Option<(u64, u64, u64)>> {
    let mut bytes = [0u8; HEAD];
    if read_full(file, &mut bytes, 0)? < HEAD {
        return Ok(None);
    }
    let head = Head::from_bytes(&bytes);
    Ok((head.magic == MAGIC && head.n > 0).then_some((head.n, head.last_link, head.boot)))
}

/// Reads the head for a reader without a lock; nothing while a transaction is being written.
pub(super) fn peek(file: &File, boot: u64) -> io::Result<Option<Head>> {
    let mut bytes = [0u8; HEAD];
    if read_full(file, &mut bytes, 0)? < HEAD {
        return Ok(None);
    }
    let head = Head::from_bytes(&bytes);
    Ok((head.magic == MAGIC && head.boot == boot && boot != 0 && head.state == CLEAN)
        .then_some(head))
}

/// Notes that another state is about to be put in the place of this one. If that does not come to pass,
/// the next writer finds itself where it was and makes the index anew.
pub(super) fn give_up_place(file: &File) -> io::Result<()> {
    let mut bytes = [0u8; HEAD];
    read_full(file, &mut bytes, 0)?;
    let mut head = Head::from_bytes(&bytes);
    (head.magic, head.state, head.version) = (MAGIC, MOVED, head.version.wrapping_add(1));
    file.write_all_at(&head.to_bytes(), 0)
}

/// Whether that was noted.
pub(super) fn gave_up_place(file: &File) -> io::Result<bool> {
    let mut bytes = [0u8; HEAD];
    let read = read_full(file, &mut bytes, 0)?;
    let head = Head::from_bytes(&bytes);
    Ok(read == HEAD && head.magic == MAGIC && head.state == MOVED)
}

/// Notes that a transaction begins, with all that is needed to end it if its process dies.
pub(super) fn begin(file: &File, before: &Head, after: &Head, changes: &[u8]) -> io::Result<()> {
    let mut now = before.clone();
    now.version += 1;
    if changes.len() > MAX_REDO {
        now.state = REBUILD;
        return file.write_all_at(&now.to_bytes(), 0);
    }
    now.state = REDO;
    let mut bytes = Vec::with_capacity(2 * HEAD + 16 + changes.len());
    bytes.extend_from_slice(&now.to_bytes());
    bytes.extend_from_slice(&after.to_bytes());
    bytes.extend_from_slice(&(changes.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&sum(changes).to_le_bytes());
    bytes.extend_from_slice(changes);
    file.write_all_at(&bytes, 0)
}

/// Notes that nobody may rely on the index until it has been rebuilt.
pub(super) fn invalidate(file: &File, head: &Head) -> io::Result<()> {
    let now = Head { state: REBUILD, version: head.version + 1, ..head.clone() };
    file.write_all_at(&now.to_bytes(), 0)
}

/// Notes that the index matches the log.
pub(super) fn end(file: &File, head: &mut Head) -> io::Result<()> {
    head.state = CLEAN;
    head.version += 2;
    file.write_all_at(&head.to_bytes(), 0)
}

/// Tells a record that was written whole from one that was not, eight bytes at a time.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mixed = |sum: u64, word: u64| {
        let sum = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        sum ^ sum >> 29
    };
    let sum =
        words.iter().fold(bytes.len() as u64, |sum, word| mixed(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| mixed(sum, u64::from(*byte)))
}

fn read_full(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < into.len() {
        match file.read_at(&mut into[done..], at + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}
