//! What rules can be about: each metric with how it is read from what was recorded, and how
//! Prometheus finds the same in what is exported.

use std::time::Duration;

use super::Unit;
use crate::domain::telemetry::{Latency, Observed, Outcome};
use crate::domain::work::State;

/// A value at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// The value, in the metric's unit; nothing without data.
    pub value: Option<f64>,
    /// Of how many measurements it is made.
    pub samples: u64,
}

/// Something that is measured.
#[derive(Debug)]
pub struct Metric {
    /// Its name in rules.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// What it is, in a few words.
    pub doc: &'static str,
    /// Reads it from what was recorded about a window.
    pub read: fn(&Observed) -> Reading,
    /// The same for Prometheus; `$w` stands for the window, `$f` for outcomes that are faults.
    pub(super) query: &'static str,
    /// The samples it is made of, for Prometheus; empty where there is just the value.
    pub(super) samples: &'static str,
    /// Whether the exporter, and not Prometheus, chooses the window.
    pub exported_window: bool,
    /// Whether Prometheus knows it only to the limits of the exported buckets.
    pub bucketed: bool,
}

impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

macro_rules! metric {
    ($name:literal, $unit:ident, $doc:literal, $read:expr, $query:literal, $samples:literal, $exported:literal, $bucketed:literal) => {
        Metric {
            name: $name,
            unit: Unit::$unit,
            doc: $doc,
            read: $read,
            query: $query,
            samples: $samples,
            exported_window: $exported,
            bucketed: $bucketed,
        }
    };
}

const COUNT: &str = "sum(increase(coord_operation_duration_seconds_count[$w]))";

/// Every metric.
pub static METRICS: [Metric; 15] = [
    response("response-time-p50", "the median time commands take to answer", |all| {
        responses(all, 0.5)
    }),
    response("response-time-p95", "the time within which 95 % of commands answer", |all| {
        responses(all, 0.95)
    }),
    response("response-time-p99", "the time within which 99 % of commands answer", |all| {
        responses(all, 0.99)
    }),
    metric!(
        "lock-wait-p95",
        Seconds,
        "how long 95 % of operations wait for the store's lock at most",
        |all| quantile(&all.operations.total.lock_wait, 0.95),
        "histogram_quantile(0.95, sum by (le) (increase(coord_lock_wait_seconds_bucket[$w])))",
        "sum(increase(coord_lock_wait_seconds_count[$w]))",
        false,
        true
    ),
    metric!(
        "availability",
        Ratio,
        "the share of operations that did not fail by a fault of the system",
        |all| Reading {
            value: all.operations.total.availability(),
            samples: all.operations.total.count(),
        },
        "((sum(increase(coord_operations_total{outcome!~\"$f\"}[$w])) or vector(0)) / \
         sum(increase(coord_operations_total[$w])))",
        "sum(increase(coord_operations_total[$w]))",
        false,
        false
    ),
    metric!(
        "claude-success",
        Ratio,
        "the share of calls that Claude answered",
        |all| Reading { value: all.claude.success(), samples: all.claude.asked },
        "((sum(increase(coord_claude_calls_total{source=~\"api|cli\",outcome!=\"offline\"}[$w])) or \
         vector(0)) / \
         sum(increase(coord_claude_calls_total{source!=\"cache\",outcome!=\"offline\"}[$w])))",
        "sum(increase(coord_claude_calls_total{source!=\"cache\",outcome!=\"offline\"}[$w]))",
        false,
        false
    ),
    metric!(
        "memory",
        Bytes,
        "the most memory that one process had",
        |all| {
            let kib = all.operations.total.memory_kib;
            Reading { value: kib.map(|kib| float(kib) * 1024.0), samples: u64::from(kib.is_some()) }
        },
        "max(coord_process_peak_memory_bytes)",
        "",
        true,
        false
    ),
    metric!(
        "operations-per-hour",
        PerHour,
        "operations in an hour, over the window",
        |all| counted(all, all.operations.per_hour()),
        "sum(increase(coord_operations_total[$w])) * $h",
        "",
        false,
        false
    ),
    metric!(
        "claude-cost",
        Dollars,
        "what the calls to Claude of the window cost",
        |all| counted(all, Some(all.claude.cost_usd)),
        "sum(increase(coord_claude_cost_usd_total[$w]))",
        "",
        false,
        false
    ),
    metric!(
        "lease-expirations",
        Count,
        "leases that ran out in the window",
        |all| counted(all, Some(float(all.flow.expired))),
        "sum(increase(coord_lease_expirations_total[$w]))",
        "",
        false,
        false
    ),
    metric!(
        "oldest-ready-age",
        Seconds,
        "the age of the oldest ready item; 0 without one",
        |all| now(all.queue.oldest_ready.unwrap_or_default().as_secs_f64()),
        "(coord_oldest_ready_item_age_seconds or 0 * coord_up)",
        "",
        false,
        false
    ),
    metric!(
        "work-pending",
        Count,
        "items that are ready",
        |all| now(float(all.queue.count(State::Pending))),
        "(sum(coord_work_items{state=\"pending\"}) or 0 * sum(coord_up))",
        "",
        false,
        false
    ),
    metric!(
        "work-active",
        Count,
        "items that somebody works on",
        |all| now(float(all.queue.count(State::Active))),
        "(sum(coord_work_items{state=\"active\"}) or 0 * sum(coord_up))",
        "",
        false,
        false
    ),
    metric!(
        "work-dead",
        Count,
        "items that used up their attempts",
        |all| now(float(all.queue.count(State::Dead))),
        "(sum(coord_work_items{state=\"dead\"}) or 0 * sum(coord_up))",
        "",
        false,
        false
    ),
    metric!(
        "agents-silent",
        Count,
        "agents not heard of for longer than they may be silent",
        |all| now(float(all.agents.silent)),
        "sum(coord_agents{state=\"silent\"})",
        "",
        false,
        false
    ),
];

const fn response(name: &'static str, doc: &'static str, read: fn(&Observed) -> Reading) -> Metric {
    Metric {
        name,
        unit: Unit::Seconds,
        doc,
        read,
        query: "histogram_quantile($q, sum by (le) (increase(coord_operation_duration_seconds_bucket[$w])))",
        samples: COUNT,
        exported_window: false,
        bucketed: true,
    }
}

/// The metric of this name.
#[must_use]
pub(super) fn named(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

impl Metric {
    /// Its query for Prometheus.
    pub(super) fn query(&self, window: Duration) -> String {
        let share = match self.name.rsplit_once("-p") {
            Some((_, "50")) => "0.5",
            Some((_, "99")) => "0.99",
            _ => "0.95",
        };
        let per_hour = 3600.0 / window.as_secs_f64();
        fill(self.query, window).replace("$q", share).replace("$h", &per_hour.to_string())
    }

    /// Whether its values are made of a number of samples that a rule can ask for.
    #[must_use]
    pub const fn has_samples(&self) -> bool {
        !self.samples.is_empty()
    }

    /// The query for its samples.
    pub(super) fn samples(&self, window: Duration) -> Option<String> {
        (!self.samples.is_empty()).then(|| fill(self.samples, window))
    }
}

fn fill(query: &str, window: Duration) -> String {
    let faults = Outcome::ALL.into_iter().filter(|outcome| outcome.is_fault());
    let faults: Vec<_> = faults.map(Outcome::as_str).collect();
    query.replace("$f", &faults.join("|")).replace("$w", &super::prometheus::duration(window))
}

#[expect(clippy::cast_precision_loss, reason = "counts and sizes far below 2^52")]
const fn float(number: u64) -> f64 {
    number as f64
}

/// Those that answer at once.
fn responses(all: &Observed, share: f64) -> Reading {
    quantile(&all.operations.total.duration, share)
}

fn quantile(latency: &Latency, share: f64) -> Reading {
    let value = latency.quantile_us(share).map(|us| float(us) / 1e6);
    Reading { value, samples: latency.count() }
}

/// A value that is 0 where nothing happened, once anything was ever noted.
fn counted(all: &Observed, value: Option<f64>) -> Reading {
    let known = all.since.is_some();
    Reading { value: value.filter(|_| known), samples: u64::from(known) }
}

/// What is known of this moment.
const fn now(value: f64) -> Reading {
    Reading { value: Some(value), samples: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_once_and_queries_are_filled() {
        for (at, metric) in METRICS.iter().enumerate() {
            assert!(METRICS[..at].iter().all(|m| m.name != metric.name));
            let queries = [
                Some(metric.query(Duration::from_mins(90))),
                metric.samples(Duration::from_mins(90)),
            ];
            for query in queries.into_iter().flatten() {
                assert!(!query.contains('$') && query.contains("coord_"), "{query}");
            }
        }
        let query = named("response-time-p99").unwrap().query(Duration::from_mins(90));
        assert!(
            query.starts_with("histogram_quantile(0.99,") && query.contains("[1h30m]"),
            "{query}"
        );
    }
}
