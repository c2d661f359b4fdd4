//! What a window of time amounts to.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Latency, Operation, Outcome, Recovery};

/// A window of time: from a moment on, up to another one that is no part of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// Its beginning.
    pub from: DateTime<Utc>,
    /// Its end.
    pub to: DateTime<Utc>,
}

impl Window {
    /// The time before a moment.
    #[must_use]
    pub fn before(to: DateTime<Utc>, length: Duration) -> Self {
        let length = TimeDelta::from_std(length).unwrap_or(TimeDelta::MAX);
        Self { from: to.checked_sub_signed(length).unwrap_or(DateTime::<Utc>::MIN_UTC), to }
    }

    /// The window of the same length right before this one.
    #[must_use]
    pub fn previous(self) -> Self {
        Self::before(self.from, self.length())
    }

    /// Whether a moment lies in it.
    #[must_use]
    pub fn holds(self, at: DateTime<Utc>) -> bool {
        self.from <= at && at < self.to
    }

    /// How long it is.
    #[must_use]
    pub fn length(self) -> Duration {
        (self.to - self.from).to_std().unwrap_or_default()
    }

    /// It in `count` parts of equal length.
    #[must_use]
    pub fn parts(self, count: u32) -> Vec<Self> {
        let step = (self.to - self.from) / i32::try_from(count.max(1)).unwrap_or(i32::MAX);
        let begin = |at: u32| self.from + step * i32::try_from(at).unwrap_or(i32::MAX);
        (0..count)
            .map(|at| Self {
                from: begin(at),
                to: if at + 1 == count { self.to } else { begin(at + 1) },
            })
            .collect()
    }
}

/// By what operations are told apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dimension {
    /// By their command.
    Command,
    /// By their item's team.
    Team,
    /// By who acted.
    Agent,
}

impl Dimension {
    /// The group of an operation; nothing where it has none, such as a command that is about no item.
    #[must_use]
    pub fn of(self, op: &Operation) -> Option<&str> {
        match self {
            Self::Command => Some(&op.command),
            Self::Team => op.team.as_deref(),
            Self::Agent => op.agent.as_deref(),
        }
    }
}

/// Operations taken together.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// How they ended.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// How long those took that answer at once: see [`Operation::answers_at_once`].
    pub duration: Latency,
    /// How many last by design and are left out of that.
    pub lasting: u64,
    /// How long they waited for the store's lock, those too that did not wait.
    pub lock_wait: Latency,
    /// The processor time they used, as far as it was measured.
    pub cpu_us: u64,
    /// The most memory that one of them had, in KiB; nothing where none was measured.
    pub memory_kib: Option<u64>,
    /// How many were asked for their memory.
    pub memory_measured: u64,
}

impl Group {
    /// Takes in one.
    pub fn add(&mut self, op: &Operation) {
        *self.outcomes.entry(op.outcome).or_default() += 1;
        if op.answers_at_once() {
            self.duration.record(op.duration_us);
        } else {
            self.lasting += 1;
        }
        self.lock_wait.record(op.lock_wait_us);
        self.cpu_us = self.cpu_us.saturating_add(op.cpu_us.unwrap_or(0));
        self.memory_kib = self.memory_kib.max(op.memory_kib);
        self.memory_measured += u64::from(op.memory_kib.is_some());
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// How many of them `coord` is to blame for.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.outcomes.iter().filter(|(outcome, _)| outcome.is_fault()).map(|(_, n)| n).sum()
    }

    /// The share that did not fail by `coord`'s fault, 0 to 1; nothing without operations.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio of counts far below 2^52")]
    pub fn availability(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| (count - self.faults()) as f64 / count as f64)
    }

    /// What is left of the failures that a target (0 to 1) allows; nothing without operations.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn budget(&self, target: f64) -> Option<Budget> {
        let count = self.count();
        let allowed = (1.0 - target) * count as f64;
        let faults = self.faults();
        (count > 0).then(|| Budget {
            count,
            faults,
            allowed,
            // With nothing allowed, nothing is left as soon as something fails.
            left: if allowed > 0.0 {
                1.0 - faults as f64 / allowed
            } else if faults == 0 {
                1.0
            } else {
                0.0
            },
        })
    }
}

/// The error budget of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Operations.
    pub count: u64,
    /// Faults among them.
    pub faults: u64,
    /// Faults that the target allows for so many operations.
    pub allowed: f64,
    /// The share of them that is left: 1 with no faults, 0 when all are used up, below 0 beyond.
    pub left: f64,
}

/// A part of a window.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Which one.
    pub window: Window,
    /// Its operations.
    pub group: Group,
}

/// What a window amounts to: as a whole, in groups, and in parts of equal length.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The window.
    pub window: Window,
    /// All its operations.
    pub total: Group,
    /// By what they are told apart.
    pub dimension: Dimension,
    /// The groups, by name; those that belong to none under the empty one.
    pub groups: BTreeMap<String, Group>,
    /// The parts, oldest first.
    pub slices: Vec<Slice>,
    /// Operations by clock hour, counted from 1970.
    pub hours: BTreeMap<i64, u64>,
    /// How long faults lasted.
    pub recovery: Recovery,
}

impl Summary {
    /// A summary of nothing yet, with so many parts.
    #[must_use]
    pub fn new(window: Window, dimension: Dimension, parts: u32) -> Self {
        let slices = window.parts(parts);
        Self {
            window,
            total: Group::default(),
            dimension,
            groups: BTreeMap::new(),
            slices: slices
                .into_iter()
                .map(|window| Slice { window, group: Group::default() })
                .collect(),
            hours: BTreeMap::new(),
            recovery: Recovery::default(),
        }
    }

    /// Takes in an operation, if it lies in the window.
    pub fn add(&mut self, op: &Operation) {
        if !self.window.holds(op.at) {
            return;
        }
        self.total.add(op);
        self.recovery.add(op);
        *self.hours.entry(op.at.timestamp().div_euclid(3600)).or_default() += 1;
        let name = self.dimension.of(op).unwrap_or_default();
        if let Some(group) = self.groups.get_mut(name) {
            group.add(op);
        } else {
            self.groups.entry(name.to_owned()).or_default().add(op);
        }
        let at = self.slices.partition_point(|slice| slice.window.to <= op.at);
        if let Some(slice) = self.slices.get_mut(at) {
            slice.group.add(op);
        }
    }

    /// Operations per hour over the whole window; nothing for a window of no length.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn per_hour(&self) -> Option<f64> {
        let hours = self.window.length().as_secs_f64() / 3600.0;
        (hours > 0.0).then(|| self.total.count() as f64 / hours)
    }

    /// The clock hour with most operations: its beginning, and how many. Of several the first.
    #[must_use]
    pub fn busiest_hour(&self) -> Option<(DateTime<Utc>, u64)> {
        let (hour, count) = self.hours.iter().rev().max_by_key(|(_, count)| **count)?;
        Some((DateTime::from_timestamp(hour * 3600, 0)?, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::trace::{SpanId, TraceId};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn op(seconds: i64, command: &str, outcome: Outcome, duration_us: u64) -> Operation {
        Operation {
            at: at(seconds),
            command: command.into(),
            outcome,
            exit_code: 0,
            duration_us,
            lock_wait_us: 0,
            cpu_us: Some(10),
            memory_kib: None,
            agent: None,
            item: None,
            store_op: None,
            team: (seconds % 2 == 0).then(|| "core".into()),
            trace_id: TraceId::from_bits(1, 1),
            span_id: SpanId::from_bits(1),
            parent_span_id: None,
            remote_parent: false,
            lasting: false,
        }
    }

    #[test]
    fn a_window_holds_its_beginning_and_not_its_end() {
        let window = Window::before(at(100), Duration::from_secs(90));
        assert!(window.holds(at(10)) && window.holds(at(99)) && !window.holds(at(100)));
        assert_eq!(window.previous(), Window { from: at(-80), to: at(10) });
        let parts = window.parts(7);
        assert_eq!((parts[0].from, parts[6].to), (window.from, window.to));
        assert!(parts.windows(2).all(|two| two[0].to == two[1].from));
        assert!(window.parts(0).is_empty());
    }

    #[test]
    fn everything_lands_once_in_total_group_and_part() {
        let window = Window { from: at(0), to: at(100) };
        let mut summary = Summary::new(window, Dimension::Team, 10);
        for second in -5..110 {
            let outcome = if second == 7 { Outcome::External } else { Outcome::Ok };
            summary.add(&op(second, "work claim", outcome, 1000));
        }
        assert_eq!(summary.total.count(), 100);
        assert_eq!((summary.groups["core"].count(), summary.groups[""].count()), (50, 50));
        assert!(summary.slices.iter().all(|slice| slice.group.count() == 10));
        assert_eq!(summary.slices[0].group.faults(), 1);
        assert_eq!(summary.total.availability(), Some(0.99));
        assert_eq!(summary.per_hour(), Some(3600.0));
        assert_eq!(summary.total.cpu_us, 1000);
        summary.add(&op(50, "agent run", Outcome::Ok, 1_000_000));
        let times = |group: &Group| (group.count(), group.lasting, group.duration.max_us());
        assert_eq!(times(&summary.total), (101, 1, Some(1000)));
        assert_eq!(times(&summary.slices[5].group), (11, 1, Some(1000)));
    }

    #[test]
    fn a_budget_is_used_up_by_faults_alone() {
        let mut group = Group::default();
        assert_eq!(group.budget(0.99), None);
        for second in 0..200 {
            let outcome = if second == 0 { Outcome::Bug } else { Outcome::Empty };
            group.add(&op(second, "x", outcome, 1));
        }
        let budget = group.budget(0.99).unwrap();
        assert!((budget.left - 0.5).abs() < 1e-9, "{budget:?}");
        assert!(group.budget(1.0).unwrap().left.abs() < 1e-9);
        assert!(group.budget(0.999).unwrap().left < 0.0);
    }
}
