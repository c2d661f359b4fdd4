//! What the figures are held against: the targets, and an earlier run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stats::thousandth;

/// Which way is better.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Bound {
    /// The value may not be above the bound.
    AtMost,
    /// The value may not be below the bound.
    AtLeast,
}

/// A figure and what it should be.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub(super) struct Target {
    /// Its stable name.
    pub(super) name: String,
    /// What it says.
    pub(super) what: String,
    /// The unit: `x` for ratios.
    pub(super) unit: String,
    /// Which way is better.
    pub(super) bound: Bound,
    /// What it should be.
    pub(super) wanted: f64,
    /// What it is; nothing where it was not measured.
    pub(super) value: Option<f64>,
    /// Whether it is as it should be; nothing where it was not measured, or is not judged.
    pub(super) met: Option<bool>,
    /// Why it was not measured, or is not judged.
    pub(super) unmeasured: Option<String>,
}

impl Target {
    /// A figure that should be at most `wanted`.
    pub(super) fn at_most(name: &str, what: &str, unit: &str, wanted: f64) -> Self {
        Self::new(name, what, unit, Bound::AtMost, wanted)
    }

    /// A figure that should be at least `wanted`.
    pub(super) fn at_least(name: &str, what: &str, unit: &str, wanted: f64) -> Self {
        Self::new(name, what, unit, Bound::AtLeast, wanted)
    }

    fn new(name: &str, what: &str, unit: &str, bound: Bound, wanted: f64) -> Self {
        Self {
            name: name.to_owned(),
            what: what.to_owned(),
            unit: unit.to_owned(),
            bound,
            wanted,
            value: None,
            met: None,
            unmeasured: None,
        }
    }

    /// With what was measured, or why nothing was.
    pub(super) fn with(mut self, value: Option<f64>, otherwise: &str) -> Self {
        self.value = value.filter(|v| v.is_finite()).map(thousandth);
        self.met = self.value.map(|value| match self.bound {
            Bound::AtMost => value <= self.wanted,
            Bound::AtLeast => value >= self.wanted,
        });
        self.unmeasured = self.value.is_none().then(|| otherwise.to_owned());
        self
    }

    /// Judged only where the target is meant for this build.
    pub(super) fn only_if(mut self, meant: bool, otherwise: &str) -> Self {
        if !meant && self.value.is_some() {
            self.met = None;
            self.unmeasured = Some(otherwise.to_owned());
        }
        self
    }
}

/// A figure that has become worse since an earlier run.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub(super) struct Regression {
    /// Its name.
    pub(super) name: String,
    /// What it was.
    pub(super) before: f64,
    /// What it is.
    pub(super) now: f64,
    /// How much worse, as a share of what it was.
    pub(super) worse_by: f64,
}

/// The figures that are worse than `before` by more than `tolerance` (0.2 is a fifth). A figure that
/// one of the runs does not have is passed over.
pub(super) fn regressions(before: &[Target], now: &[Target], tolerance: f64) -> Vec<Regression> {
    let mut found = Vec::new();
    for target in now {
        let old = before.iter().find(|b| b.name == target.name && b.unit == target.unit);
        let (Some(old), Some(now)) = (old.and_then(|b| b.value), target.value) else { continue };
        if old <= 0.0 {
            continue;
        }
        let worse_by = match target.bound {
            Bound::AtMost => now / old - 1.0,
            Bound::AtLeast => 1.0 - now / old,
        };
        if worse_by > tolerance {
            let worse_by = thousandth(worse_by);
            found.push(Regression { name: target.name.clone(), before: old, now, worse_by });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(value: Option<f64>) -> Target {
        Target::at_most("claim", "a claim", "x", 1.9).with(value, "no reason")
    }

    #[test]
    fn judges_both_ways() {
        assert_eq!(claim(Some(1.9)).met, Some(true));
        assert_eq!(claim(Some(1.95)).met, Some(false));
        assert_eq!(claim(Some(f64::NAN)).met, None);
        let other = claim(Some(9.0)).only_if(false, "another build");
        assert_eq!((other.value, other.met), (Some(9.0), None));
        assert_eq!(claim(Some(9.0)).only_if(true, "another build").met, Some(false));
        let least = |v| Target::at_least("t", "throughput", "x", 0.75).with(Some(v), "");
        assert_eq!((least(0.7).met, least(0.75).met), (Some(false), Some(true)));
    }

    #[test]
    fn only_what_became_worse_beyond_the_tolerance_is_a_regression() {
        let names = |before: Option<f64>, now: Option<f64>| {
            regressions(&[claim(before)], &[claim(now)], 0.2).len()
        };
        assert_eq!(names(Some(1.0), Some(1.19)), 0);
        assert_eq!(names(Some(1.0), Some(1.21)), 1);
        assert_eq!(names(Some(1.0), Some(0.5)), 0);
        assert_eq!(names(None, Some(9.0)), 0);
        assert_eq!(names(Some(1.0), None), 0);
        let least = |v| Target::at_least("t", "throughput", "x", 0.75).with(Some(v), "");
        let found = regressions(&[least(1.0)], &[least(0.7)], 0.2);
        assert_eq!(found.len(), 1);
        assert!((found[0].worse_by - 0.3).abs() < 1e-9);
    }
}
