//! Reading without a lock: a state that the store really had, whatever is being written meanwhile.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use super::bits::Set;
use super::cells::{Area, Cells, FileCells};
use super::head::{self, look};
use super::index::Index;
use super::keys::Kind;
use super::log::{LIVE, Logs};
use super::record::Record;
use super::rows::{Name, Row};
use super::session::{HEAD, INDEX, RowError};
use super::{FileStore, failure, rebuild};
use crate::domain::name::{AgentId, ItemId};
use crate::domain::time::Stamp;
use crate::domain::work::{Found, Page, Priority, Query, Sort, State, Status};
use crate::store::{Error, Result, Summary, TeamSummary};
use crate::sys::Watch;
use crate::sys::fs::Access;

/// How often a reader looks again before it reads the whole log instead.
const TRIES: u32 = 12;

impl Cells for Box<dyn Cells> {
    fn read(&self, area: Area, at: u64, into: &mut [u8]) -> io::Result<()> {
        (**self).read(area, at, into)
    }

    fn write(&mut self, area: Area, at: u64, bytes: &[u8]) -> io::Result<()> {
        (**self).write(area, at, bytes)
    }
}

/// A state of the store.
pub(super) struct Snapshot {
    pub(super) index: Index<Box<dyn Cells>>,
    pub(super) logs: Logs,
    pub(super) now: Stamp,
    ids: OnceCell<Vec<ItemId>>,
}

impl FileStore {
    pub(super) fn stamp(&self) -> Stamp {
        let (wall, boot) = (self.options.clock.wall(), self.options.clock.boot());
        Stamp { wall, boot: boot.id, boot_ms: boot.ms }
    }

    /// Gives a state to `look` and makes sure that it was one: if somebody wrote meanwhile it is
    /// done again, and in the end on a state read from the log alone.
    pub(super) fn read<T>(&self, look_at: impl Fn(&Snapshot) -> Result<T>) -> Result<T> {
        let look_at = |snapshot: &Snapshot| {
            self.tell_damage(snapshot.index.head.damaged);
            look_at(snapshot)
        };
        for attempt in 0..TRIES {
            if attempt > 0 {
                self.options.clock.sleep(Duration::from_micros(50 << attempt.min(6)));
            }
            let Some((snapshot, head_file)) = self.indexed()? else { continue };
            let answer = look_at(&snapshot);
            let after = head::peek(&head_file, snapshot.now.boot).map_err(failure::index)?;
            if after.is_some_and(|head| head.version == snapshot.index.head.version) {
                return answer;
            }
        }
        self.still_here()?;
        look_at(&self.reread()?)
    }

    /// Fails if another state has the place of this one, so that nobody goes on with the old one.
    fn still_here(&self) -> Result<()> {
        let head = self.dir.subdir(INDEX, false).and_then(|dir| dir.file(HEAD, Access::Read));
        let moved = head.is_ok_and(|head| head::gave_up_place(&head).unwrap_or(false));
        if moved && !self.dir.is_in_place() {
            return Err(Error::Replaced { dir: self.dir.path().to_owned() });
        }
        Ok(())
    }

    /// Whoever only reads a damaged log goes on, and learns that it may lack something.
    fn tell_damage(&self, places: u64) {
        if places > 0 && !self.damage_told.replace(true) {
            let places = if places == 1 { "1 place".into() } else { format!("{places} places") };
            self.note(format!(
                "the log is damaged in {places}: what is shown may lack something; `coord verify` tells what"
            ));
        }
    }

    /// A state through the index; nothing if the index does not match the log just now.
    pub(super) fn indexed(&self) -> Result<Option<(Snapshot, File)>> {
        let now = self.stamp();
        let Some(live) = self.open_live()? else { return Ok(None) };
        let Ok(dir) = self.dir.subdir(INDEX, false) else { return Ok(None) };
        let Ok(head_file) = dir.file(HEAD, Access::Read) else { return Ok(None) };
        let Some(head) = head::peek(&head_file, now.boot).map_err(failure::index)? else {
            return Ok(None);
        };
        if !head.matches(look(&live).map_err(|e| failure::read(&self.dir.path().join(LIVE), e))?) {
            return Ok(None);
        }
        let logs = Logs::new(&self.dir, live, head.segment);
        let cells: Box<dyn Cells> = Box::new(FileCells::new(dir, Access::Read));
        let index = Index::new(cells, head);
        Ok(Some((Snapshot { index, logs, now, ids: OnceCell::new() }, head_file)))
    }

    /// A state from the log alone.
    pub(super) fn reread(&self) -> Result<Snapshot> {
        let now = self.stamp();
        let logs = self.logs()?;
        let rebuilt = rebuild::run(&logs, now.boot, now, false)?;
        let index = Index::new(Box::new(rebuilt.index.cells) as Box<dyn Cells>, rebuilt.index.head);
        Ok(Snapshot { index, logs, now, ids: OnceCell::new() })
    }

    /// The logs, the live one first, so that a compaction in between cannot hide anything.
    pub(super) fn logs(&self) -> Result<Logs> {
        for attempt in 0..TRIES {
            if attempt > 0 {
                self.options.clock.sleep(Duration::from_millis(1 << attempt.min(5)));
            }
            if let Some(live) = self.open_live()? {
                let mut logs = Logs::new(&self.dir, live, 0);
                logs.segment = logs.live_segment()?;
                return Ok(logs);
            }
        }
        Err(Error::Missing { dir: self.dir.path().to_owned() })
    }

    pub(super) fn open_live(&self) -> Result<Option<File>> {
        match self.dir.file(LIVE, Access::Read) {
            Ok(file) => {
                self.dir.adopt();
                Ok(Some(file))
            }
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(failure::open(e)),
        }
    }
}

impl Snapshot {
    pub(super) fn row(&self, number: u32) -> Result<Row> {
        Row::load(&self.index.cells, number).map_err(failure::index)
    }

    pub(super) fn load(&self, row: &Row) -> Result<Found> {
        let line = self.logs.line(row.place).map_err(failure::index)?;
        let record = Record::parse(&line)
            .map_err(|e| failure::index(io::Error::new(io::ErrorKind::InvalidData, e)))?;
        let (n, updated_at, open_needs) = (record.n, record.at, row.open_needs);
        Ok(Found { item: record.item, n, updated_at, open_needs })
    }

    pub(super) fn exact(&self, id: &str) -> Result<Option<Found>> {
        let number = self.index.row_of(id, &mut |row| {
            let line = self.logs.line(row.place).map_err(failure::index)?;
            Ok::<_, RowError>(super::log::quick_id(&line).is_none_or(|found| found == id))
        });
        let Some(number) = number.map_err(|e| e.0)? else { return Ok(None) };
        let row = self.row(number)?;
        if row.n == 0 { Ok(None) } else { self.load(&row).map(Some) }
    }

    /// Every id, in the order in which the items were added. Reads all the logs.
    fn ids(&self) -> Result<&[ItemId]> {
        if let Some(ids) = self.ids.get() {
            return Ok(ids);
        }
        let (mut seen, mut ids) = (BTreeSet::new(), Vec::new());
        self.logs.each(|_, line| {
            let owned;
            let id = if let Some(id) = super::log::quick_id(line) {
                Some(id)
            } else {
                owned = Record::parse(line).ok();
                owned.as_ref().map(|record| record.item.id.as_str())
            };
            if let Some(id) = id
                && !seen.contains(id)
                && let Ok(id) = id.parse::<ItemId>()
            {
                seen.insert(id.to_string());
                ids.push(id);
            }
            ControlFlow::Continue(())
        })?;
        Ok(self.ids.get_or_init(|| ids))
    }

    pub(super) fn similar(&self, id: &str) -> Result<Vec<ItemId>> {
        let mut close: Vec<(usize, &ItemId)> = self
            .ids()?
            .iter()
            .filter_map(|have| {
                let text = have.as_str();
                let near = text.len().abs_diff(id.len()) <= 2 && id.len() < 200;
                let distance = if near { strsim::osa_distance(text, id) } else { usize::MAX };
                (distance <= 1 + usize::from(id.len() > 5) && distance < id.chars().count())
                    .then_some((distance, have))
            })
            .collect();
        close.sort_by_key(|(distance, _)| *distance);
        Ok(close.into_iter().take(5).map(|(_, id)| id.clone()).collect())
    }

    pub(super) fn get(&self, id: &str) -> Result<Found> {
        if let Some(found) = self.exact(id)? {
            return Ok(found);
        }
        let matches: Vec<ItemId> = if id.is_empty() {
            Vec::new()
        } else {
            self.ids()?
                .iter()
                .filter(|have| have.as_str().starts_with(id))
                .take(6)
                .cloned()
                .collect()
        };
        match matches.as_slice() {
            [] => Err(Error::NotFound { id: id.to_owned(), similar: self.similar(id)? }),
            [one] => self
                .exact(one.as_str())?
                .ok_or_else(|| Error::NotFound { id: id.to_owned(), similar: Vec::new() }),
            _ => Err(Error::Ambiguous { id: id.to_owned(), matches }),
        }
    }

    pub(super) fn find(&self, query: &Query) -> Result<Page> {
        let agent = match &query.agent {
            Some(agent) => {
                self.index.slot_of(Kind::Agent, agent.as_str()).map_err(failure::index)?
            }
            None => None,
        };
        let team = match &query.team {
            Some(team) => self.index.slot_of(Kind::Team, team.as_str()).map_err(failure::index)?,
            None => None,
        };
        if query.team.is_some() && team.is_none() || query.agent.is_some() && agent.is_none() {
            return Ok(Page::default());
        }
        let done = query.wants(State::Done);
        let by_priority =
            !matches!(query.states.as_slice(), [State::Active | State::Failed | State::Dead, ..]);
        let in_order = query.sort == Sort::Priority && !query.reverse && !done && by_priority;
        let by_row = query.kind.is_none() && query.labels.is_empty() && query.text.is_none();
        let limit = query.limit.unwrap_or(usize::MAX);
        // Where the head knows how many there are, the rest need not be visited.
        let counted =
            in_order && by_row && team.is_none() && agent.is_none() && query.priorities.is_empty();
        // Each set is in the order in which its items were added, so the first of each are enough.
        let first_of_each = query.sort == Sort::Added
            && !query.reverse
            && !done
            && by_row
            && team.is_none()
            && agent.is_none()
            && query.priorities.is_empty();
        let mut items: Vec<(u32, Found)> = Vec::new();
        let (mut total, mut visited) = (0, true);
        let order = |a: &(u32, Found), b: &(u32, Found)| {
            let rows = if query.reverse && query.sort == Sort::Added {
                b.0.cmp(&a.0)
            } else {
                a.0.cmp(&b.0)
            };
            query.compare(&a.1, &b.1).then(rows)
        };
        let in_set = Cell::new(0);
        let mut see = |number: u32| -> Result<ControlFlow<()>> {
            let row = self.row(number)?;
            let Some(state) = row.status().map(|status| state_of(status, row.open_needs)) else {
                return Ok(ControlFlow::Continue(()));
            };
            // Who had a finished item stands in its line alone.
            let fits = query.wants(state)
                && team.is_none_or(|team| row.team == team)
                && (query.priorities.is_empty() || query.priorities.contains(&row.priority()))
                && agent
                    .is_none_or(|a| row.holder == a || row.assignee == a || state != State::Active);
            if !fits {
                return Ok(ControlFlow::Continue(()));
            }
            let full = in_order && items.len() >= limit;
            if full && counted || first_of_each && in_set.get() >= limit {
                visited = false;
                return Ok(ControlFlow::Break(()));
            }
            if full && by_row && agent.is_none() {
                total += 1;
                return Ok(ControlFlow::Continue(()));
            }
            let found = self.load(&row)?;
            if query.matches(&found) {
                total += 1;
                if !full {
                    items.push((number, found));
                    in_set.set(in_set.get() + 1);
                }
                // A few of very many: no more is kept than can still be wanted.
                if !in_order
                    && !first_of_each
                    && limit < usize::MAX / 4
                    && items.len() >= 2 * limit + 1024
                {
                    items.sort_by(order);
                    items.truncate(limit);
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        if done {
            for number in 1..=u32::try_from(self.index.head.rows).unwrap_or(0) {
                if see(number)?.is_break() {
                    break;
                }
            }
        } else {
            let sets: &[Set] = match query.states.as_slice() {
                [State::Active] => &[Set::Active],
                [State::Failed | State::Dead, ..]
                    if query.states.iter().all(|s| matches!(s, State::Failed | State::Dead)) =>
                {
                    &[Set::Given]
                }
                _ => &OPEN,
            };
            'sets: for set in sets {
                let mut from = 0;
                in_set.set(0);
                while let Some(number) =
                    set.next(&self.index.cells, from).map_err(failure::index)?
                {
                    from = number + 1;
                    if see(number)?.is_break() {
                        if first_of_each {
                            break;
                        }
                        break 'sets;
                    }
                }
            }
        }
        if !visited {
            let summary = self.summary();
            total =
                State::ALL.into_iter().filter(|s| query.wants(*s)).map(|s| summary.count(s)).sum();
        }
        if !in_order {
            items.sort_by(order);
            items.truncate(limit);
        }
        Ok(Page { items: items.into_iter().map(|(_, found)| found).collect(), total })
    }

    pub(super) fn held(&self, agent: &AgentId) -> Result<Vec<Found>> {
        let slot = self.index.slot_of(Kind::Agent, agent.as_str()).map_err(failure::index)?;
        let Some(slot) = slot else { return Ok(Vec::new()) };
        let mut at = Name::load(&self.index.cells, slot).map_err(failure::index)?.first_held;
        let (mut found, mut steps) = (Vec::new(), 0);
        while at != 0 && steps <= self.index.head.rows {
            let row = self.row(at)?;
            found.push(self.load(&row)?);
            at = row.held_next;
            steps += 1;
        }
        found.sort_by_key(|f| f.item.token);
        Ok(found)
    }

    pub(super) fn summary(&self) -> Summary {
        let head = &self.index.head;
        let states = [
            head.pending.saturating_sub(head.blocked),
            head.active,
            head.blocked,
            head.done,
            head.failed,
            head.dead,
        ];
        Summary { n: head.n, states, points: head.points }
    }

    pub(super) fn names(&self) -> Result<Vec<Name>> {
        (1..=u32::try_from(self.index.head.names).unwrap_or(0))
            .map(|slot| Name::load(&self.index.cells, slot).map_err(failure::index))
            .collect()
    }

    pub(super) fn teams(&self) -> Result<Vec<TeamSummary>> {
        let mut teams: Vec<TeamSummary> = self
            .names()?
            .into_iter()
            .filter(|name| !name.agent)
            .filter_map(|name| {
                let team = name.text.parse().ok()?;
                Some(TeamSummary {
                    team,
                    open: name.open.into(),
                    done: name.done,
                    points: name.points,
                })
            })
            .collect();
        teams.sort_by(|a, b| a.team.cmp(&b.team));
        Ok(teams)
    }
}

pub(super) const OPEN: [Set; 4] = [
    Set::Open(Priority::Critical),
    Set::Open(Priority::High),
    Set::Open(Priority::Medium),
    Set::Open(Priority::Low),
];

pub(super) const fn state_of(status: Status, open_needs: u32) -> State {
    match status {
        Status::Pending if open_needs > 0 => State::Blocked,
        Status::Pending => State::Pending,
        Status::Active => State::Active,
        Status::Done => State::Done,
        Status::Failed => State::Failed,
        Status::Dead => State::Dead,
    }
}

/// Waits until the live log may have changed, or the time is over.
pub(super) fn wait(store: &FileStore, time: Duration) -> Result<()> {
    let waited = Watch::over(&store.dir).wait(time, false, store.options.clock.as_ref());
    waited.map(drop).map_err(|source| failure::io("wait for a change", source))
}
