//! Looking at a store without changing anything: no lock is waited for, no mode is mended, no index is
//! made. For reports on its health.

use std::sync::Arc;

use fs2::FileExt;

use super::lock::{self, Lock};
use super::{FileStore, Options, agents, failure, rebuild};
use crate::domain::time::Stamp;
use crate::domain::work::{Item, Query, State};
use crate::store::{Error, Holder, Result, Store as _};
use crate::sys::fs::{Access, Dir};

/// How often the index is looked at again while others write.
const LOOKS: u32 = 5;

impl FileStore {
    /// Opens a store to look at it. Whoever owns it and wherever it lies, it is opened: to judge that
    /// is what the look is for. Nothing must be written through it.
    pub fn observe(options: Options) -> Result<Self> {
        let dir = match Dir::observe(&options.dir) {
            Err(e) if e.is_not_found() => return Err(Error::Missing { dir: options.dir }),
            other => Arc::new(other.map_err(failure::open)?),
        };
        Ok(Self::over(options, dir))
    }

    /// Whether the index is there and matches the log; whether it says that the log is damaged.
    pub fn index_fits(&self) -> Result<Option<bool>> {
        for look in 0..LOOKS {
            if look > 0 {
                self.options.clock.sleep(std::time::Duration::from_millis(2));
            }
            if let Some((snapshot, _)) = self.indexed()? {
                return Ok(Some(snapshot.index.head.damaged != 0));
            }
        }
        Ok(None)
    }

    /// In how many places the log is damaged, so that nothing may be written to it.
    pub fn damage(&self) -> Result<u64> {
        self.read(|state| Ok(state.index.head.damaged))
    }

    /// What is wrong with the lines of the logs, all of which are read; a `thorough` look checks the
    /// whole chain as well.
    pub fn faults(&self, thorough: bool) -> Result<Vec<String>> {
        let (logs, now) = (self.logs()?, self.stamp());
        let read = rebuild::run(&logs, now.boot, now, thorough)?;
        Ok(read.faults.iter().map(|fault| rebuild::describe(&logs, fault)).collect())
    }

    /// Who holds the writers' lock just now, if anybody. It is tried for an instant, never waited for.
    pub fn locked_by(&self) -> Result<Option<Holder>> {
        let file = match self.dir.file(lock::FILE, Access::Read) {
            Ok(file) => file,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(failure::open(e)),
        };
        match FileExt::try_lock_shared(&file) {
            Ok(()) => {
                let _: std::io::Result<()> = FileExt::unlock(&file);
                Ok(None)
            }
            Err(fs2::TryLockError::WouldBlock) => Ok(Some(Lock::holder(&file).unwrap_or_default())),
            Err(fs2::TryLockError::Error(source)) => Err(failure::io("look at the lock", source)),
        }
    }

    /// Items whose lease has run out and that nobody has taken back yet, at most `limit`.
    pub fn expired(&self, limit: usize) -> Result<Vec<Item>> {
        let now = self.stamp();
        let query = Query { states: vec![State::Active], ..Query::default() };
        let items = self.find(&query)?.items.into_iter().map(|found| found.item);
        Ok(items.filter(|item| self.is_late(item, now)).take(limit).collect())
    }

    /// Whether the lease of an item has run out, its holder's last sign of life considered.
    pub(super) fn is_late(&self, item: &Item, now: Stamp) -> bool {
        match (&item.lease, &item.agent) {
            (Some(lease), Some(agent)) => {
                agents::renewed(self, agent, *lease, now).left(now).is_none()
            }
            _ => false,
        }
    }
}
