//! The circuit breaker: after too many failures nobody calls for a while, then one tries.
//!
//! A state machine without a clock; the caller gives the time (milliseconds since boot) and chance.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::backoff::scale;

/// How long a part of the record is, and how many parts are kept: 30 s in all.
const PART_MS: u64 = 5_000;
const PARTS: u64 = 6;
/// How many calls are enough to judge by their share of failures. Of ten that fail by a chance of
/// 15 % five do in one case of a hundred, of twenty ten do in one of four thousand.
const ENOUGH: u32 = 20;

/// A short row of failures among many answers is chance: among 10,000 calls of which 15 % fail one row
/// of five is to be expected. For every so many answers on record it must be one longer, up to so many
/// times as long.
const ANSWERS: u32 = 2;
const TIMES: u32 = 4;

/// When it opens and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// So many failures in a row.
    pub(super) failures: u32,
    /// How long it stays open, give or take a fifth.
    pub(super) open: Duration,
    /// How long one caller may take to try.
    pub(super) lease: Duration,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Admission {
    /// Yes.
    Go,
    /// Yes, and it decides whether others may.
    Probe,
    /// No, not for so long.
    Open(Duration),
}

/// How calls went within one part of the record.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
struct Part {
    at: u64,
    ok: u32,
    failed: u32,
}

/// A breaker. All closed at first.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Breaker {
    /// Failures since the last success.
    in_a_row: u32,
    parts: Vec<Part>,
    /// Open until then; none if closed.
    until: Option<u64>,
    /// Until when somebody is trying.
    probe: Option<u64>,
}

impl Breaker {
    /// Asks whether a call may be made at `now`.
    pub(super) fn admit(&mut self, now: u64, rules: &Rules) -> Admission {
        let Some(until) = self.until else { return Admission::Go };
        if now < until {
            return Admission::Open(Duration::from_millis(until - now));
        }
        if let Some(lease) = self.probe.filter(|lease| now < *lease) {
            return Admission::Open(Duration::from_millis(lease - now));
        }
        self.probe = Some(now.saturating_add(millis(rules.lease)));
        Admission::Probe
    }

    /// Whether a call could be made; unlike `admit` it takes nobody's turn.
    pub(super) fn lets_through(&self, now: u64) -> bool {
        let tried = self.probe.is_some_and(|lease| now < lease);
        self.until.is_none_or(|until| now >= until && !tried)
    }

    /// The service answered. Even one that was asked before the breaker opened proves that it does.
    pub(super) fn succeeded(&mut self, now: u64) {
        if self.until.is_some() {
            *self = Self::default();
        }
        self.in_a_row = 0;
        self.part(now).ok += 1;
    }

    /// The service failed.
    pub(super) fn failed(&mut self, now: u64, random: u64, floor: Option<Duration>, rules: &Rules) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.part(now).failed += 1;
        let spread = scale(rules.open * 2 / 5, random);
        let open = floor.unwrap_or(rules.open * 4 / 5 + spread);
        match self.until {
            // The one that tried had no luck.
            Some(until) if now >= until => {
                self.until = Some(now.saturating_add(millis(open)));
                self.probe = None;
            }
            // It was asked before the breaker opened.
            Some(_) => {}
            None => {
                let (ok, failed) = self.recent(now);
                let share = ok + failed >= ENOUGH && failed * 2 >= ok + failed;
                let row = rules.failures.saturating_add(ok / ANSWERS);
                let row = row.min(rules.failures.saturating_mul(TIMES));
                if self.in_a_row >= row || share {
                    self.until = Some(now.saturating_add(millis(open)));
                }
            }
        }
    }

    /// The call said nothing about the service, such as one that was interrupted: somebody else may
    /// try.
    pub(super) fn undecided(&mut self) {
        self.probe = None;
    }

    /// How long it stays open; none if it is closed.
    #[must_use]
    pub(super) fn open_for(&self, now: u64) -> Option<Duration> {
        self.until.map(|until| Duration::from_millis(until.saturating_sub(now)))
    }

    /// Failures since the last success.
    #[must_use]
    pub(super) const fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    fn part(&mut self, now: u64) -> &mut Part {
        let at = now / PART_MS;
        self.parts.retain(|part| part.at <= at && part.at + PARTS > at);
        let place = self.parts.iter().position(|part| part.at == at).unwrap_or_else(|| {
            self.parts.push(Part { at, ..Part::default() });
            self.parts.len() - 1
        });
        &mut self.parts[place]
    }

    fn recent(&self, now: u64) -> (u32, u32) {
        let at = now / PART_MS;
        let parts = self.parts.iter().filter(|part| part.at <= at && part.at + PARTS > at);
        parts.fold((0, 0), |(ok, failed), part| {
            (ok.saturating_add(part.ok), failed.saturating_add(part.failed))
        })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules =
        Rules { failures: 5, open: Duration::from_secs(15), lease: Duration::from_secs(10) };

    fn fail(breaker: &mut Breaker, now: u64, times: u32) {
        for _ in 0..times {
            breaker.failed(now, 0, None, &RULES);
        }
    }

    #[test]
    fn five_in_a_row_open_it_and_one_probe_closes_it() {
        let mut breaker = Breaker::default();
        fail(&mut breaker, 0, 4);
        assert_eq!(breaker.admit(0, &RULES), Admission::Go);
        fail(&mut breaker, 0, 1);
        assert_eq!(breaker.admit(0, &RULES), Admission::Open(Duration::from_secs(12)));
        assert_eq!(breaker.admit(12_000, &RULES), Admission::Probe);
        // Only one, until its lease runs out.
        assert_eq!(breaker.admit(12_001, &RULES), Admission::Open(Duration::from_millis(9_999)));
        assert_eq!(breaker.admit(22_000, &RULES), Admission::Probe);
        breaker.succeeded(22_001);
        assert_eq!(breaker.admit(22_002, &RULES), Admission::Go);
    }

    #[test]
    fn a_probe_that_fails_opens_it_again_and_an_undecided_one_makes_room() {
        let mut breaker = Breaker::default();
        fail(&mut breaker, 0, 5);
        assert_eq!(breaker.admit(20_000, &RULES), Admission::Probe);
        breaker.undecided();
        assert_eq!(breaker.admit(20_000, &RULES), Admission::Probe);
        fail(&mut breaker, 20_000, 1);
        assert!(matches!(breaker.admit(20_001, &RULES), Admission::Open(_)));
        assert_eq!(breaker.admit(32_000, &RULES), Admission::Probe);
    }

    #[test]
    fn half_of_twenty_open_it_but_only_within_30_s() {
        let mut breaker = Breaker::default();
        for n in 0..9 {
            breaker.succeeded(n * 100);
            fail(&mut breaker, n * 100, 1);
        }
        breaker.succeeded(1_000);
        assert_eq!(breaker.admit(1_000, &RULES), Admission::Go);
        let mut late = breaker.clone();
        fail(&mut breaker, 1_100, 1);
        assert!(matches!(breaker.admit(1_100, &RULES), Admission::Open(_)));
        fail(&mut late, 40_000, 1);
        assert_eq!(late.admit(40_000, &RULES), Admission::Go);
    }

    #[test]
    fn a_short_row_among_many_answers_is_chance_and_a_long_one_is_not() {
        let mut breaker = Breaker::default();
        for n in 0..100 {
            breaker.succeeded(n);
        }
        fail(&mut breaker, 200, 19);
        assert_eq!(breaker.admit(200, &RULES), Admission::Go);
        fail(&mut breaker, 200, 1);
        assert!(matches!(breaker.admit(200, &RULES), Admission::Open(_)));
        // What was long ago says nothing.
        let mut quiet = Breaker::default();
        for n in 0..100 {
            quiet.succeeded(n);
        }
        fail(&mut quiet, 60_000, 5);
        assert!(matches!(quiet.admit(60_000, &RULES), Admission::Open(_)));
    }

    /// 15 % of the calls fail by chance: that is no outage, however few or many they are.
    #[test]
    fn chance_seldom_opens_it() {
        let mut state = 20_261_126_u64;
        let mut fails = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % 100 < 15
        };
        let mut opened = 0;
        for run in 0..2_000 {
            let every = [20, 1_000][run % 2];
            let mut breaker = Breaker::default();
            for n in 0..200 {
                if fails() {
                    fail(&mut breaker, n * every, 1);
                } else {
                    breaker.succeeded(n * every);
                }
                if breaker.open_for(n * every).is_some() {
                    opened += 1;
                    break;
                }
            }
        }
        assert!(opened <= 10, "{opened} of 2,000");
    }

    #[test]
    fn looking_takes_nobodys_turn() {
        let mut breaker = Breaker::default();
        assert!(breaker.lets_through(0));
        fail(&mut breaker, 0, 5);
        assert!(!breaker.lets_through(11_999));
        assert!(breaker.lets_through(12_000) && breaker.lets_through(12_000));
        assert_eq!(breaker.admit(12_000, &RULES), Admission::Probe);
        assert!(!breaker.lets_through(12_001));
        assert!(breaker.lets_through(22_000));
    }

    #[test]
    fn the_service_may_say_how_long() {
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            breaker.failed(0, u64::MAX, Some(Duration::from_mins(1)), &RULES);
        }
        assert_eq!(breaker.open_for(0), Some(Duration::from_mins(1)));
    }

    #[test]
    fn a_success_of_a_call_that_was_under_way_closes_it() {
        let mut breaker = Breaker::default();
        fail(&mut breaker, 0, 5);
        breaker.succeeded(10);
        assert_eq!(breaker.admit(10, &RULES), Admission::Go);
        assert_eq!(breaker.in_a_row(), 0);
    }

    proptest! {
        /// However calls go, an open breaker lets at most one through per lease, and it never stays
        /// open once a probe succeeded.
        #[test]
        fn at_most_one_probe_per_lease(steps in prop::collection::vec((0u64..4_000, 0u8..4, any::<u64>()), 1..300)) {
            let mut breaker = Breaker::default();
            let (mut now, mut probing) = (0u64, None::<u64>);
            for (pass, what, random) in steps {
                now += pass;
                match what {
                    0 => { breaker.succeeded(now); prop_assert_eq!(breaker.admit(now, &RULES), Admission::Go); probing = None; }
                    1 => { breaker.failed(now, random, None, &RULES); if breaker.open_for(now).is_some_and(|t| !t.is_zero()) { probing = None; } }
                    _ => match breaker.admit(now, &RULES) {
                        Admission::Probe => {
                            prop_assert!(probing.is_none_or(|lease| now >= lease));
                            probing = Some(now + 10_000);
                        }
                        Admission::Open(time) => prop_assert!(time <= Duration::from_secs(18)),
                        Admission::Go => prop_assert!(breaker.open_for(now).is_none()),
                    }
                }
            }
        }
    }
}
