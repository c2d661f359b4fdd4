//! Rounds in which every operation runs once, in an order that shifts: whatever else the machine is
//! doing meets all of them alike.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::Result;
use crate::sys::Clock;
use crate::sys::measure::{Program, run};

use super::compare::Sampled;
use super::rivals::Rival;
use super::stage::{Coord, answer, failed};
use super::stats::Times;
use super::targets::Target;

/// One thing that is done in every round.
pub(super) enum Track {
    /// A program that changes nothing that matters to its next run.
    Plain {
        /// The operation's name.
        name: &'static str,
        /// Items in its store; 0 where there is none.
        items: u64,
        /// What runs.
        program: Program,
    },
    /// Add an item, claim one, complete it: the number of open items stays what it is.
    Life {
        /// Items in the store.
        items: u64,
        /// The store.
        coord: Coord,
    },
    /// The same claim and completion by the store alone; the item is added unmeasured.
    Bare {
        /// Items in the store.
        items: u64,
        /// The store.
        coord: Coord,
        /// Whether the operations wait for the disk.
        sync: bool,
    },
    /// A competitor's claim.
    Rival {
        /// The operation's name.
        name: &'static str,
        /// Items in its state.
        items: u64,
        /// The competitor.
        rival: Rival,
        /// It takes part in one round of so many.
        every: u64,
    },
}

/// All times that were taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    runs: BTreeMap<(&'static str, u64), Vec<Duration>>,
    /// The competitors that failed, and how.
    failed: BTreeMap<&'static str, String>,
}

impl Taken {
    /// The figures of an operation; nothing if it was not measured.
    pub(super) fn times(&self, name: &'static str, items: u64) -> Option<Times> {
        self.runs.get(&(name, items)).and_then(|runs| Times::of(runs))
    }

    /// Every operation with its figures, by name and size.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, u64, Times)> + '_ {
        self.runs.iter().filter_map(|(&(name, items), runs)| Some((name, items, Times::of(runs)?)))
    }

    /// The competitors that failed, and how: they are left out.
    pub(super) const fn failed(&self) -> &BTreeMap<&'static str, String> {
        &self.failed
    }

    /// Leaves a competitor out.
    fn leave_out(&mut self, name: &'static str, why: String) {
        self.runs.retain(|(other, _), _| *other != name);
        self.failed.insert(name, why);
    }

    /// Figures in the slices of a run, by what `targets` makes of each. What is the same in all of them
    /// was counted, or taken once.
    pub(super) fn sampled(&self, targets: impl Fn(usize, &Self) -> Vec<Target>) -> Vec<Sampled> {
        let mut figures: Vec<Sampled> = Vec::new();
        for at in 0..SLICES {
            for target in targets(at, &self.slice(at)) {
                let Some(value) = target.value else { continue };
                match figures.iter_mut().find(|figure| figure.name == target.name) {
                    Some(figure) => figure.slices.push(value),
                    None => figures.push(Sampled {
                        name: target.name,
                        unit: target.unit,
                        bound: target.bound,
                        slices: vec![value],
                    }),
                }
            }
        }
        figures
    }

    /// What was taken in one of the slices.
    fn slice(&self, at: usize) -> Self {
        let part = |runs: &Vec<Duration>| {
            let edge = |at: usize| runs.len() * at / SLICES;
            runs[edge(at)..edge(at + 1)].to_vec()
        };
        let runs = self.runs.iter().map(|(key, runs)| (*key, part(runs))).collect();
        Self { runs, failed: self.failed.clone() }
    }

    fn note(&mut self, name: &'static str, items: u64, time: Duration) {
        self.runs.entry((name, items)).or_default().push(time);
    }
}

/// Parts of a run, each of which gives a value to compare.
pub(super) const SLICES: usize = 10;

/// Rounds before the first one that counts.
const WARM: u64 = 3;

/// Runs all tracks in `rounds` rounds; `told` hears after each.
pub(super) fn rounds(
    tracks: &[Track],
    rounds: u64,
    clock: &dyn Clock,
    mut told: impl FnMut(u64),
) -> Result<Taken> {
    let mut taken = Taken::default();
    let count = tracks.len();
    for round in 0..rounds + WARM {
        if round == WARM {
            taken.runs.clear();
        }
        let shift = usize::try_from(round).unwrap_or(0) % count.max(1);
        for track in tracks.iter().cycle().skip(shift).take(count) {
            match (track, track.run(round, clock, &mut taken)) {
                // A competitor that cannot keep up must not cost the figures of all others.
                (Track::Rival { name, .. }, Err(error)) => taken.leave_out(name, error.to_string()),
                (_, done) => done?,
            }
        }
        told(round.saturating_sub(WARM));
    }
    Ok(taken)
}

impl Track {
    fn run(&self, round: u64, clock: &dyn Clock, taken: &mut Taken) -> Result<()> {
        // The answer of a program that has to succeed, and its time.
        let go = |program: &Program| -> Result<(String, Duration)> {
            let run = run(program, clock).map_err(failed)?;
            Ok((answer(&run, program)?, run.time))
        };
        match self {
            Self::Plain { name, items, program } => {
                let (_, time) = go(program)?;
                taken.note(name, *items, time);
            }
            Self::Life { items, coord } => {
                let (_, time) = go(&coord.whole(&["add", "-q", "A piece of work"]))?;
                taken.note("add", *items, time);
                let (id, time) = go(&coord.whole(&["claim", "-q"]))?;
                taken.note("claim", *items, time);
                let (_, time) = go(&coord.whole(&["progress", &id, "50"]))?;
                taken.note("progress", *items, time);
                let (_, time) = go(&coord.whole(&["complete", &id]))?;
                taken.note("complete", *items, time);
            }
            Self::Bare { items, coord, sync } => {
                let words = if *sync {
                    ["claim", "complete", "store claim", "store complete"]
                } else {
                    [
                        "claim-unsynced",
                        "complete-unsynced",
                        "store claim unsynced",
                        "store complete unsynced",
                    ]
                };
                go(&coord.whole(&["add", "-q", "A piece of work"]))?;
                let (id, time) = go(&coord.bare(&[words[0]]))?;
                taken.note(words[2], *items, time);
                let (_, time) = go(&coord.bare(&[words[1], &id]))?;
                taken.note(words[3], *items, time);
            }
            Self::Rival { name, items, rival, every } => {
                if round.is_multiple_of(*every) && !taken.failed.contains_key(name) {
                    let (id, time) = go(rival.claim())?;
                    taken.note(name, *items, time);
                    go(&rival.undo(&id))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_parts_of_the_run_and_give_each_figure_as_often_as_it_was_measured() {
        let mut taken = Taken::default();
        for n in 0..40_u32 {
            taken.note("often", 0, Duration::from_micros(u64::from(n)));
        }
        (0..4).for_each(|_| taken.note("rarely", 0, Duration::from_micros(7)));
        let figures = taken.sampled(|at, slice| {
            let median = |name| slice.times(name, 0).map(|times| times.median_us);
            let slow = (at == 0).then_some(0.0);
            vec![
                Target::at_most("often", "", "us", 1.0).with(median("often"), "no"),
                Target::at_most("rarely", "", "us", 1.0).with(median("rarely"), "no"),
                Target::at_least("counted", "", "", 1.0).with(Some(5.0), "no"),
                Target::at_least("once", "", "", 1.0).with(slow, "no"),
            ]
        });
        let slices = |name: &str| &figures.iter().find(|f| f.name == name).unwrap().slices;
        assert_eq!(slices("often").len(), SLICES);
        assert!(slices("often").is_sorted() && (slices("often")[0] - 2.0).abs() < 1.1);
        assert_eq!(*slices("rarely"), [7.0; 4]);
        assert_eq!(*slices("counted"), [5.0; SLICES]);
        assert_eq!(slices("once").len(), 1);
    }
}
