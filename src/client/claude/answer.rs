//! What a call gave, from whichever rung of the ladder.

use std::borrow::Cow;
use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::BackendName;

/// Which rung of the ladder answered.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The API, now.
    Api,
    /// The `claude` program, now.
    Cli,
    /// A cached answer younger than its time to live.
    Cache,
    /// An older cached answer, because nothing better was to be had.
    Stale,
    /// The caller's own rules.
    Heuristic,
}

impl Source {
    /// Whether it is less than what was asked for: it counts as no success of the service.
    #[must_use]
    pub const fn is_degraded(self) -> bool {
        matches!(self, Self::Stale | Self::Heuristic)
    }

    /// Its name in machine output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Cli => "cli",
            Self::Cache => "cache",
            Self::Stale => "stale",
            Self::Heuristic => "heuristic",
        }
    }
}

impl From<BackendName> for Source {
    fn from(backend: BackendName) -> Self {
        match backend {
            BackendName::Api => Self::Api,
            BackendName::Cli => Self::Cli,
        }
    }
}

/// Why Claude stopped writing.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It had said all.
    EndTurn,
    /// A stop sequence came up.
    StopSequence,
    /// It wants a tool to be used.
    ToolUse,
    /// `max_tokens` was reached.
    MaxTokens,
    /// It refused.
    Refusal,
    /// It paused in a long turn.
    PauseTurn,
    /// The context window is full.
    ModelContextWindowExceeded,
    /// A reason that this version does not know.
    #[serde(untagged)]
    Other(String),
}

impl StopReason {
    /// Reads the service's word.
    #[must_use]
    pub fn read(word: &str) -> Self {
        match word {
            "end_turn" => Self::EndTurn,
            "stop_sequence" => Self::StopSequence,
            "tool_use" => Self::ToolUse,
            "max_tokens" => Self::MaxTokens,
            "refusal" => Self::Refusal,
            "pause_turn" => Self::PauseTurn,
            "model_context_window_exceeded" => Self::ModelContextWindowExceeded,
            other => Self::Other(other.chars().take(64).collect()),
        }
    }

    /// The service's word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::EndTurn => "end_turn",
            Self::StopSequence => "stop_sequence",
            Self::ToolUse => "tool_use",
            Self::MaxTokens => "max_tokens",
            Self::Refusal => "refusal",
            Self::PauseTurn => "pause_turn",
            Self::ModelContextWindowExceeded => "model_context_window_exceeded",
            Self::Other(word) => word,
        }
    }
}

/// How many tokens were used.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
pub struct Usage {
    /// Read in full.
    pub input_tokens: u64,
    /// Written to the service's prompt cache for 5 minutes.
    pub cache_write_5m_tokens: u64,
    /// Written to the service's prompt cache for an hour.
    pub cache_write_1h_tokens: u64,
    /// Read from the service's prompt cache.
    pub cache_read_tokens: u64,
    /// Written by Claude, thinking included.
    pub output_tokens: u64,
}

impl Usage {
    /// Everything that was read.
    #[must_use]
    pub const fn total_input(&self) -> u64 {
        self.input_tokens
            .saturating_add(self.cache_write_5m_tokens)
            .saturating_add(self.cache_write_1h_tokens)
            .saturating_add(self.cache_read_tokens)
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            cache_write_5m_tokens: self
                .cache_write_5m_tokens
                .saturating_add(other.cache_write_5m_tokens),
            cache_write_1h_tokens: self
                .cache_write_1h_tokens
                .saturating_add(other.cache_write_1h_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_add(other.cache_read_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
        }
    }
}

/// An amount of money in billionths of a US dollar, the unit in which every price per token is whole.
/// As JSON it is a number of dollars.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Usd(pub u64);

impl Usd {
    /// Reads dollars; negative, infinite and absurd amounts are none.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    #[expect(clippy::cast_sign_loss, reason = "the range is checked")]
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        (0.0..=1e9).contains(&dollars).then(|| Self((dollars * 1e9).round() as u64))
    }

    /// In dollars.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "more than nine digits of money interest nobody"
    )]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add for Usd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.0 < 10_000_000 { 6 } else { 2 };
        write!(f, "${:.*}", digits, self.dollars())
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.dollars())
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::from_dollars(f64::deserialize(from)?)
            .ok_or_else(|| serde::de::Error::custom("no amount of money"))
    }
}

impl JsonSchema for Usd {
    fn schema_name() -> Cow<'static, str> {
        "Usd".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0 })
    }
}

impl JsonSchema for StopReason {
    fn schema_name() -> Cow<'static, str> {
        "StopReason".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// One attempt of a call, as told with its answer.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Attempt {
    /// Who was asked.
    pub backend: BackendName,
    /// Which model.
    pub model: String,
    /// The HTTP status, if one came.
    pub status: Option<u16>,
    /// `ok`, the service's error type (`overloaded_error`), or what was seen (`timeout`, `connect`).
    pub outcome: String,
    /// How long the attempt took.
    pub duration_ms: u64,
    /// How long was waited before it.
    pub wait_ms: u64,
    /// The service's id for it.
    pub request_id: Option<String>,
    /// For the telemetry: when it began, how long it took, and what was used.
    #[serde(skip)]
    pub exact: Exact,
}

/// What is noted of an attempt and not told with the answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Exact {
    /// When it began.
    pub at: DateTime<Utc>,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// Tokens that it used, if that was told.
    pub usage: Option<Usage>,
}

/// The answer to a call.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct Answer {
    /// Which rung gave it.
    pub source: Source,
    /// Whether it is less than what was asked for: stale or by heuristic.
    pub degraded: bool,
    /// Why it is degraded, for people.
    pub reason: Option<String>,
    /// The model that wrote it; none for a heuristic.
    pub model: Option<String>,
    /// How old it is: absent unless it was cached.
    pub age_s: Option<u64>,
    /// What was tried for it, in order. Empty if it was cached and fresh.
    pub attempts: Vec<Attempt>,
    /// The service's id for the reply.
    pub request_id: Option<String>,
    /// The tokens of all attempts of this call together; absent if nothing was used.
    pub usage: Option<Usage>,
    /// What this call cost; absent if that is not known, 0 if nothing was used.
    pub cost_usd: Option<Usd>,
    /// The text. It is untrusted: never run, stripped of control characters before it is shown.
    pub text: String,
    /// The same, parsed, if a schema was asked for. It fits the schema.
    pub structured: Option<Value>,
    /// Why Claude stopped; absent for a heuristic.
    pub stop_reason: Option<StopReason>,
    /// The key under which it is cached.
    pub cache_key: Option<String>,
}
