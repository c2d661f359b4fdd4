//! One figure, and what is said of it.

use super::table::{Better, Kpi};

/// What is said of a figure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The target is reached, and the number proves it.
    Met,
    /// The target is not reached.
    Missed,
    /// What was measured reaches the target or may do so, but there is too little of it to prove it.
    NotShown,
    /// It was measured, and there is no target.
    NoTarget,
    /// Nobody recorded anything.
    NothingRecorded,
}

impl Verdict {
    /// The word in machine output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::NotShown => "not-shown",
            Self::NoTarget => "no-target",
            Self::NothingRecorded => "nothing-recorded",
        }
    }

    /// A sign and words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Met => "✓ met",
            Self::Missed => "✗ missed",
            Self::NotShown => "? not proven",
            Self::NoTarget => "· no target",
            Self::NothingRecorded => "· nothing recorded",
        }
    }
}

/// A figure of a window of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Which one.
    pub kpi: Kpi,
    /// Its value, in its unit; nothing if nothing is recorded.
    pub value: Option<f64>,
    /// Its target, in its unit.
    pub target: Option<f64>,
    /// What is said of it.
    pub verdict: Verdict,
    /// How many things were measured.
    pub sample: u64,
    /// How many of them were not as they should be, for figures that are a share.
    pub bad: Option<u64>,
    /// The share, in percent, that the sample proves at 95 % confidence.
    pub bound: Option<f64>,
    /// How many it takes in all to prove the target if no more fail.
    pub needed: Option<u64>,
    /// What it rests on, in a few words.
    pub why: String,
}

impl Figure {
    /// Nobody recorded anything.
    #[must_use]
    pub fn nothing(kpi: Kpi, target: Option<f64>, why: impl Into<String>) -> Self {
        Self {
            kpi,
            value: None,
            target,
            verdict: Verdict::NothingRecorded,
            sample: 0,
            bad: None,
            bound: None,
            needed: None,
            why: why.into(),
        }
    }

    /// A value that is what it is, not an estimate from a sample.
    #[must_use]
    pub fn exact(
        kpi: Kpi,
        value: f64,
        target: Option<f64>,
        sample: u64,
        why: impl Into<String>,
    ) -> Self {
        let verdict = match target {
            None => Verdict::NoTarget,
            Some(target) if reaches(kpi, value, target) => Verdict::Met,
            Some(_) => Verdict::Missed,
        };
        Self { value: Some(value), verdict, sample, ..Self::nothing(kpi, target, why) }
    }
}

/// Whether a value is as good as the target.
fn reaches(kpi: Kpi, value: f64, target: f64) -> bool {
    match kpi.better() {
        Better::Higher => value >= target,
        Better::Lower => value <= target,
    }
}

/// How a figure compares with the one of the time before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trend {
    /// It is better.
    Better,
    /// It is worse.
    Worse,
    /// It is the same.
    Same,
}

impl Trend {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "same",
        }
    }
}

/// Compares a value with the one of the time before; nothing where one of them is not recorded. What
/// differs by less than a thousandth is the same.
#[must_use]
pub fn trend(kpi: Kpi, now: Option<f64>, before: Option<f64>) -> Option<Trend> {
    let (now, before) = (now?, before?);
    let slack = match kpi.unit() {
        // A hundredth of a percent is a lot near a hundred.
        super::Unit::Percent => 1e-9,
        _ => before.abs() / 1000.0,
    };
    if (now - before).abs() <= slack {
        return Some(Trend::Same);
    }
    let up = now > before;
    Some(if up == (kpi.better() == Better::Higher) { Trend::Better } else { Trend::Worse })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_reached_by_being_as_good() {
        let verdict = |kpi, value, target| Figure::exact(kpi, value, target, 1, "").verdict;
        assert_eq!(verdict(Kpi::Memory, 80.0, Some(80.0)), Verdict::Met);
        assert_eq!(verdict(Kpi::Memory, 80.1, Some(80.0)), Verdict::Missed);
        assert_eq!(verdict(Kpi::TestCoverage, 95.0, Some(95.0)), Verdict::Met);
        assert_eq!(verdict(Kpi::TestCoverage, 94.9, Some(95.0)), Verdict::Missed);
        assert_eq!(verdict(Kpi::Velocity, 0.0, None), Verdict::NoTarget);
    }

    #[test]
    fn up_is_not_always_better() {
        assert_eq!(trend(Kpi::Memory, Some(70.0), Some(60.0)), Some(Trend::Worse));
        assert_eq!(trend(Kpi::Memory, Some(60.01), Some(60.0)), Some(Trend::Same));
        assert_eq!(trend(Kpi::Availability, Some(99.99), Some(99.98)), Some(Trend::Better));
        assert_eq!(trend(Kpi::Velocity, Some(0.0), Some(0.0)), Some(Trend::Same));
        assert_eq!(trend(Kpi::Velocity, Some(1.0), None), None);
    }
}
