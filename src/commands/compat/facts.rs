//! Everything that the store knows, read once: what ceremonies and mirrors are made of.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::commands::Context;
use crate::domain::agent::Known;
use crate::domain::legacy::{Points, mirror};
use crate::domain::scrum::Board;
use crate::domain::time::parse_rfc3339;
use crate::domain::work::{Found, Query, Sort};
use crate::error::Result;
use crate::store::imported::{Imported, Table};

/// Everything that the store knows.
pub(super) struct Facts {
    /// Every item, in the order in which they were added.
    pub(super) items: Vec<Found>,
    /// Every agent.
    pub(super) agents: Vec<Known>,
    /// Points that were taken over.
    pub(super) imported: Vec<Points>,
    /// All points that teams were credited with.
    pub(super) points: Vec<Points>,
    /// After this time an agent is silent.
    pub(super) silent_after: Duration,
    /// When it was read.
    pub(super) now: DateTime<Utc>,
}

impl Facts {
    /// Reads it.
    pub(super) fn read(cx: &mut Context) -> Result<Self> {
        let silent_after = cx.settings()?.silent_after();
        let now = cx.clock.wall();
        let imported = imported_points(cx)?;
        let store = cx.store()?;
        let all = Query { all: true, sort: Sort::Added, ..Query::default() };
        let items = store.find(&all)?.items;
        let agents = store.agents()?;
        let mut points = imported.clone();
        points.extend(mirror::earned(&items));
        Ok(Self { items, agents, imported, points, silent_after, now })
    }

    /// What teams talk about.
    pub(super) fn board(&self) -> Board<'_> {
        Board::new(&self.items, &self.agents, &self.points, self.now)
    }

    /// How long ago an agent was heard of, if that is too long; nothing known is too long as well.
    pub(super) fn is_silent(&self, known: &Known) -> bool {
        known
            .seen_at
            .is_none_or(|seen| (self.now - seen).to_std().is_ok_and(|age| age > self.silent_after))
    }
}

/// Points that were taken over from an old `velocity_log.txt`.
fn imported_points(cx: &mut Context) -> Result<Vec<Points>> {
    let mut points = Vec::new();
    rows(cx, Table::Velocity, &mut |row| points.extend(point(&row)))?;
    Ok(points)
}

fn point(row: &Value) -> Option<Points> {
    Some(Points {
        at: parse_rfc3339(row["at"].as_str()?)?,
        team: row["team"].as_str()?.parse().ok()?,
        points: u32::try_from(row["points"].as_u64()?).ok()?,
    })
}

/// What was taken over of plans: increments, sprints, teams, each with its kind.
pub(super) fn plans(cx: &mut Context) -> Result<Vec<(String, Value)>> {
    let mut plans = Vec::new();
    rows(cx, Table::Plans, &mut |mut row| {
        if let Some(kind) = row["kind"].as_str().map(ToOwned::to_owned) {
            plans.push((kind, row["data"].take()));
        }
    })?;
    Ok(plans)
}

fn rows(cx: &mut Context, table: Table, see: &mut dyn FnMut(Value)) -> Result<()> {
    let (dir, trusted) = (cx.place()?.dir, cx.flags.trust_dir);
    if let Some(imported) = Imported::open(&dir, trusted)? {
        imported.read(table, see)?;
    }
    Ok(())
}
