//! The gate: whether figures are good enough to go on.
//!
//! A missed target fails it. What is not recorded or not shown fails it only where it is required:
//! then nothing but a target that is met, and proven, will do.

use super::{Figure, Kpi, Verdict};

/// What must be met.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Required(pub Vec<Kpi>);

/// What the gate found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gate {
    /// Figures that fail it, in the order of the report, each with why.
    pub failures: Vec<(Kpi, String)>,
}

impl Gate {
    /// Judges.
    #[must_use]
    pub fn new(figures: &[Figure], required: &Required) -> Self {
        let failure = |figure: &Figure| {
            let why = match figure.verdict {
                Verdict::Missed => "the target is missed",
                Verdict::Met => return None,
                _ if !required.0.contains(&figure.kpi) => return None,
                Verdict::NotShown => "it is required, and what is recorded does not prove it",
                Verdict::NoTarget => "it is required and has no target",
                Verdict::NothingRecorded => "it is required and nothing is recorded",
            };
            Some((figure.kpi, why.to_owned()))
        };
        Self { failures: figures.iter().filter_map(failure).collect() }
    }

    /// Whether a figure fails it.
    #[must_use]
    pub fn fails(&self, kpi: Kpi) -> bool {
        self.failures.iter().any(|(failed, _)| *failed == kpi)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missed_or_required_fails() {
        let figure = |kpi, verdict| Figure { verdict, ..Figure::nothing(kpi, None, "") };
        let figures = [
            figure(Kpi::Availability, Verdict::Met),
            figure(Kpi::Memory, Verdict::Missed),
            figure(Kpi::Recovery, Verdict::NothingRecorded),
            figure(Kpi::Velocity, Verdict::NoTarget),
            figure(Kpi::ResponseP95, Verdict::NotShown),
        ];
        let failed = |required: &[Kpi]| {
            let gate = Gate::new(&figures, &Required(required.to_vec()));
            gate.failures.into_iter().map(|(kpi, _)| kpi).collect::<Vec<_>>()
        };
        assert_eq!(failed(&[]), [Kpi::Memory]);
        assert_eq!(failed(&[Kpi::Availability]), [Kpi::Memory]);
        assert_eq!(
            failed(&Kpi::ALL),
            [Kpi::Memory, Kpi::Recovery, Kpi::Velocity, Kpi::ResponseP95]
        );
    }
}
