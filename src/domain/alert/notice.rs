//! What people and programs are told of an alert.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Reading, Rule, Unit};

/// Why a notice is sent.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The rule fires.
    Firing,
    /// It no longer does.
    Resolved,
    /// Somebody wants to see whether notices arrive.
    Test,
}

impl Status {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }
}

/// A way by which notices go out.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// An HTTP request.
    Webhook,
    /// A program.
    Command,
    /// A line in a file.
    File,
}

impl Target {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Command => "command",
            Self::File => "file",
        }
    }
}

/// A notice, as it is sent.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Notice {
    /// The same whenever and by whatever way this notice is sent, so that who gets it twice can tell.
    pub id: String,
    /// The same for the firing and the resolution that belong together.
    pub alert_id: String,
    /// Why it is sent.
    pub status: Status,
    /// All of it in a line for people.
    pub text: String,
    /// The rule.
    pub name: String,
    /// How bad it is: `info`, `warning`, `critical`.
    pub severity: String,
    /// What the rule means.
    pub summary: String,
    /// The rule's condition, such as `memory > 80 MB`.
    pub condition: String,
    /// What is measured.
    pub metric: String,
    /// The unit of value and threshold.
    pub unit: String,
    /// The value; null without data.
    pub value: Option<f64>,
    /// What it is compared with.
    pub threshold: f64,
    /// Of how many measurements the value is made.
    pub samples: u64,
    /// Why it resolved: `ok`, `no-data`, `rule-removed`; null otherwise.
    pub reason: Option<String>,
    /// When the condition became true.
    #[serde(with = "crate::domain::time::text")]
    #[schemars(with = "String")]
    pub since: DateTime<Utc>,
    /// When this happened.
    #[serde(with = "crate::domain::time::text")]
    #[schemars(with = "String")]
    pub at: DateTime<Utc>,
    /// The machine it happened on.
    pub host: String,
    /// The state directory it is about.
    pub store: String,
}

/// Where something happens.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The machine.
    pub host: String,
    /// The state directory.
    pub store: String,
}

impl Notice {
    /// A notice about a rule.
    #[must_use]
    pub fn of(
        rule: &Rule,
        reading: Reading,
        status: Status,
        (since, at): (DateTime<Utc>, DateTime<Utc>),
        origin: &Origin,
    ) -> Self {
        let since_us = since.timestamp_micros().to_string();
        let alert_id = digest('a', &[&origin.host, &origin.store, rule.name.as_str(), &since_us]);
        let mut notice = Self {
            id: String::new(),
            alert_id,
            status,
            text: String::new(),
            name: rule.name.to_string(),
            severity: rule.severity.to_string(),
            summary: rule.summary.clone(),
            condition: rule.condition(),
            metric: rule.metric.name.to_owned(),
            unit: rule.metric.unit.as_str().to_owned(),
            value: reading.value,
            threshold: rule.threshold,
            samples: reading.samples,
            reason: None,
            since,
            at,
            host: origin.host.clone(),
            store: origin.store.clone(),
        };
        notice.say(rule.metric.unit);
        notice
    }

    /// The same, with the reason for which it resolved.
    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        self.reason = Some(reason.to_owned());
        let why = match reason {
            "no-data" => ": there is too little data to tell",
            "rule-removed" => ": the rule was removed",
            _ => return self,
        };
        self.text.push_str(why);
        self
    }

    /// That what fired resolved because its rule is gone.
    #[must_use]
    pub fn removed(mut self, now: DateTime<Utc>) -> Self {
        self.status = Status::Resolved;
        (self.at, self.value, self.samples) = (now, None, 0);
        self.say(Unit::Count);
        self.because("rule-removed")
    }

    fn say(&mut self, unit: Unit) {
        let at = self.at.timestamp_micros().to_string();
        self.id = digest('n', &[&self.alert_id, self.status.as_str(), &at]);
        let (status, name, severity) = (self.status.as_str(), &self.name, &self.severity);
        let value = self.value.map(|value| format!(", it is {}", unit.show(value)));
        let (condition, value) = (&self.condition, value.unwrap_or_default());
        self.text = format!("{status}: {name} ({severity}): {condition}{value}");
    }
}

/// An id that is the same for the same parts, wherever it is made.
fn digest(kind: char, parts: &[&str]) -> String {
    let mut hash = hmac_sha256::Hash::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let hex = |text: String, byte: &u8| format!("{text}{byte:02x}");
    hash.finalize().iter().take(12).fold(format!("{kind}-"), hex)
}
