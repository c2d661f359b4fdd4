//! The table of key figures.

/// Which way is up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Better {
    /// The target is the least.
    Higher,
    /// The target is the most.
    Lower,
}

impl Better {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Higher => "higher",
            Self::Lower => "lower",
        }
    }
}

/// In what a figure is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// Percent.
    Percent,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Millions of bytes.
    Megabytes,
    /// Operations in an hour.
    PerHour,
    /// Points of work.
    Points,
    /// Scripts.
    Scripts,
}

impl Unit {
    /// The word in machine output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Percent => "percent",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Megabytes => "mb",
            Self::PerHour => "per-hour",
            Self::Points => "points",
            Self::Scripts => "scripts",
        }
    }
}

/// How many scripts the old system had.
pub const SCRIPTS_BEFORE: u64 = 164;

/// A key figure.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kpi {
    /// Operations that did not fail by this program's fault.
    Availability,
    /// What 95 of 100 answers take at most.
    ResponseP95,
    /// What 99 of 100 answers take at most.
    ResponseP99,
    /// Calls that Claude answered.
    ClaudeSuccess,
    /// The most memory of any process.
    Memory,
    /// Operations in the busiest clock hour.
    OperationsPerHour,
    /// Deployments that succeeded.
    DeploymentSuccess,
    /// How long a deployment takes.
    DeploymentTime,
    /// The longest time in which operations failed and none was ok.
    Recovery,
    /// Lines that tests run.
    TestCoverage,
    /// Scripts that are left.
    Scripts,
    /// Points of finished work.
    Velocity,
    /// From adding an item to its completion, the median.
    LeadTime,
    /// From an item's last claim to its completion, the median.
    CycleTime,
    /// The share of lead time in which somebody worked.
    FlowEfficiency,
}

impl Kpi {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 15] = [
        Self::Availability,
        Self::ResponseP95,
        Self::ResponseP99,
        Self::ClaudeSuccess,
        Self::Memory,
        Self::OperationsPerHour,
        Self::DeploymentSuccess,
        Self::DeploymentTime,
        Self::Recovery,
        Self::TestCoverage,
        Self::Scripts,
        Self::Velocity,
        Self::LeadTime,
        Self::CycleTime,
        Self::FlowEfficiency,
    ];

    /// Its name: that of the setting with its target, without `kpi.`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// Its title.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.row().1
    }

    /// In what it is measured.
    #[must_use]
    pub const fn unit(self) -> Unit {
        self.row().2
    }

    /// Which way is up.
    #[must_use]
    pub const fn better(self) -> Better {
        self.row().3
    }

    /// What is measured, in a sentence.
    #[must_use]
    pub const fn about(self) -> &'static str {
        self.row().4
    }

    /// The figure of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kpi| kpi.name() == name)
    }

    /// Whether it is a fact of the moment, read from a file or a tree, and not of a window of time.
    #[must_use]
    pub const fn is_of_the_moment(self) -> bool {
        matches!(self, Self::TestCoverage | Self::Scripts)
    }

    const fn row(self) -> (&'static str, &'static str, Unit, Better, &'static str) {
        use Better::{Higher, Lower};
        use Unit::{Megabytes, Milliseconds, PerHour, Percent, Points, Scripts, Seconds};
        match self {
            Self::Availability => (
                "availability",
                "Availability",
                Percent,
                Higher,
                "operations that did not fail by this program's fault",
            ),
            Self::ResponseP95 => (
                "response-p95",
                "Response time p95",
                Milliseconds,
                Lower,
                "what 95 of 100 answers took at most; commands that last, such as `agent run` and `claude ask`, are left out",
            ),
            Self::ResponseP99 => (
                "response-p99",
                "Response time p99",
                Milliseconds,
                Lower,
                "what 99 of 100 answers took at most; commands that last, such as `agent run` and `claude ask`, are left out",
            ),
            Self::ClaudeSuccess => (
                "claude-success",
                "Claude success",
                Percent,
                Higher,
                "calls that Claude answered, of those that asked it",
            ),
            Self::Memory => (
                "memory",
                "Memory",
                Megabytes,
                Lower,
                "the most memory that a process had, of those that ran longer than 5 ms",
            ),
            Self::OperationsPerHour => (
                "operations-per-hour",
                "Operations per hour",
                PerHour,
                Higher,
                "operations in the busiest clock hour",
            ),
            Self::DeploymentSuccess => (
                "deployment-success",
                "Deployment success",
                Percent,
                Higher,
                "deployments that succeeded",
            ),
            Self::DeploymentTime => {
                ("deployment-time", "Time to deploy", Seconds, Lower, "how long a deployment took")
            }
            Self::Recovery => (
                "recovery",
                "Recovery",
                Seconds,
                Lower,
                "the longest time in which operations failed by this program's fault and none was ok: from the end of the first to the end of the last",
            ),
            Self::TestCoverage => (
                "test-coverage",
                "Test coverage",
                Percent,
                Higher,
                "lines that tests ran, from the report that was given",
            ),
            Self::Scripts => (
                "scripts",
                "Scripts",
                Scripts,
                Lower,
                "scripts in the tree that was given, shims not counted; the old system had 164",
            ),
            Self::Velocity => {
                ("velocity", "Velocity", Points, Higher, "the points of the items that were done")
            }
            Self::LeadTime => (
                "lead-time",
                "Lead time",
                Seconds,
                Lower,
                "from being added to being done, the median of the items that were done",
            ),
            Self::CycleTime => (
                "cycle-time",
                "Cycle time",
                Seconds,
                Lower,
                "from the last claim to being done, the median of the items that were done",
            ),
            Self::FlowEfficiency => (
                "flow-efficiency",
                "Flow efficiency",
                Percent,
                Higher,
                "the share of the lead time of all items that were done in which somebody worked on them",
            ),
        }
    }
}

/// The targets, each in the unit of its figure; nothing where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Targets([Option<f64>; Kpi::ALL.len()]);

impl Targets {
    /// The target of a figure.
    #[must_use]
    pub const fn get(&self, kpi: Kpi) -> Option<f64> {
        self.0[kpi as usize]
    }

    /// Sets it.
    pub const fn set(&mut self, kpi: Kpi, target: Option<f64>) {
        self.0[kpi as usize] = target;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_stand_once() {
        for (at, kpi) in Kpi::ALL.into_iter().enumerate() {
            assert_eq!(kpi as usize, at);
            assert_eq!(Kpi::from_name(kpi.name()), Some(kpi));
            assert!(
                kpi.name()
                    .bytes()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
            );
        }
        assert_eq!(Kpi::from_name("uptime"), None);
    }
}
