//! What tokens cost: a table, and a file that overrides it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{Failure, FailureKind, Request, Usage, Usd};
use crate::sys::input;

/// Prices per token in billionths of a dollar (thousandths of a dollar per million tokens).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Price {
    /// Read in full.
    pub(super) input: u64,
    /// Written by Claude.
    pub(super) output: u64,
    /// Written to the prompt cache for 5 minutes.
    pub(super) write_5m: u64,
    /// Written to the prompt cache for an hour.
    pub(super) write_1h: u64,
    /// Read from the prompt cache.
    pub(super) read: u64,
}

const fn price(input: u64, output: u64, write_5m: u64, hour: u64, read: u64) -> Price {
    Price { input, output, write_5m, write_1h: hour, read }
}

/// A model, its price, and its price once the prompt has more than so many tokens.
type Row = (&'static str, Price, Option<(u64, Price)>);

const TABLE: [Row; 11] = [
    (
        "claude-haiku-5-5",
        price(100, 500, 125, 200, 10),
        Some((100_000, price(500, 2_500, 625, 1_000, 50))),
    ),
    ("claude-sonnet-5-5", price(2_000, 10_000, 2_500, 4_000, 100), None),
    ("claude-opus-5-5", price(4_000, 20_000, 5_000, 8_000, 200), None),
    ("claude-fable-5-2", price(8_000, 40_000, 10_000, 16_000, 200), None),
    ("claude-fable-5-1", price(10_000, 50_000, 12_500, 20_000, 250), None),
    ("claude-opus-5", price(5_000, 25_000, 6_250, 10_000, 500), None),
    ("claude-opus-4-8", price(5_000, 25_000, 6_250, 10_000, 500), None),
    ("claude-sonnet-5", price(2_000, 10_000, 2_500, 4_000, 200), None),
    ("claude-sonnet-4-6", price(3_000, 15_000, 3_750, 6_000, 300), None),
    ("claude-haiku-4-5", price(1_000, 5_000, 1_250, 2_000, 100), None),
    ("claude-haiku-4-5-20251001", price(1_000, 5_000, 1_250, 2_000, 100), None),
];

/// The short names that the `claude` program takes.
const ALIASES: [(&str, &str); 4] = [
    ("haiku", "claude-haiku-5-5"),
    ("sonnet", "claude-sonnet-5-5"),
    ("opus", "claude-opus-5-5"),
    ("fable", "claude-fable-5-2"),
];

/// The families that share their limits.
const LINES: [&str; 5] = ["haiku", "sonnet", "opus", "fable", "mythos"];

/// The line of a model: all models of a line share one limit. An unknown model is a line of its own.
#[must_use]
pub(super) fn line(model: &str) -> &str {
    LINES.into_iter().find(|line| model.contains(line)).unwrap_or(model)
}

/// The prices in force.
#[derive(Clone, Debug, Default)]
pub(super) struct Prices {
    file: BTreeMap<String, Price>,
}

/// A model in the file, in dollars per million tokens.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FileRow {
    input: f64,
    output: f64,
    cache_write_5m: Option<f64>,
    cache_write_1h: Option<f64>,
    cache_read: Option<f64>,
}

impl Prices {
    /// The built-in prices, overridden by a TOML file with a table per model: `[claude-haiku-5-5]`,
    /// `input = 0.1`, `output = 0.5`, and optionally `cache-write-5m`, `cache-write-1h`,
    /// `cache-read`, all in dollars per million tokens.
    pub(super) fn load(file: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = file else { return Ok(Self::default()) };
        let wrong = |why: String| {
            let message = format!("the price file `{}`: {why}", path.display());
            Failure::new(FailureKind::NoBackend, message)
                .hint("a table per model, with `input` and `output` in dollars per million tokens")
        };
        let bytes = input::read_file(path, 1 << 18).map_err(|e| wrong(e.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
        let rows: BTreeMap<String, FileRow> =
            toml::from_str(&text).map_err(|e| wrong(e.message().replace('\n', ", ")))?;
        let mut prices = Self::default();
        for (model, row) in rows {
            let read = |dollars: f64| {
                Usd::from_dollars(dollars / 1e6)
                    .map(|usd| usd.0)
                    .ok_or_else(|| wrong(format!("`{model}`: {dollars} is no price")))
            };
            let or = |given: Option<f64>, factor: f64| read(given.unwrap_or(row.input * factor));
            let price = Price {
                input: read(row.input)?,
                output: read(row.output)?,
                write_5m: or(row.cache_write_5m, 1.25)?,
                write_1h: or(row.cache_write_1h, 2.0)?,
                read: or(row.cache_read, 0.1)?,
            };
            prices.file.insert(model, price);
        }
        Ok(prices)
    }

    /// What was used costs; none if the model's price is not known.
    #[must_use]
    pub(super) fn cost(&self, model: &str, usage: &Usage) -> Option<Usd> {
        let price = self.price(model, usage.total_input())?;
        Some(Usd([
            (usage.input_tokens, price.input),
            (usage.output_tokens, price.output),
            (usage.cache_write_5m_tokens, price.write_5m),
            (usage.cache_write_1h_tokens, price.write_1h),
            (usage.cache_read_tokens, price.read),
        ]
        .into_iter()
        .fold(0u64, |sum, (tokens, price)| sum.saturating_add(tokens.saturating_mul(price)))))
    }

    /// The most that one attempt can cost: every token that may be written is, and every three bytes
    /// that are sent are a token.
    #[must_use]
    pub(super) fn most(&self, model: &str, request: &Request) -> Option<Usd> {
        let system = request.system.as_ref().map_or(0, String::len);
        let schema = request.schema.as_ref().map_or(0, |schema| schema.to_string().len());
        let messages: usize = request.messages.iter().map(|m| m.content.len() + 16).sum();
        let usage = Usage {
            input_tokens: ((system + schema + messages) / 3 + 64) as u64,
            output_tokens: request.max_tokens.unwrap_or(0).into(),
            ..Usage::default()
        };
        self.cost(model, &usage)
    }

    fn price(&self, model: &str, prompt: u64) -> Option<Price> {
        let full = ALIASES.iter().find(|(alias, _)| *alias == model).map_or(model, |(_, id)| id);
        if let Some(price) = self.file.get(model).or_else(|| self.file.get(full)) {
            return Some(*price);
        }
        let (_, price, large) = TABLE.iter().find(|(id, ..)| *id == full)?;
        Some(match large {
            Some((over, large)) if prompt > *over => *large,
            _ => *price,
        })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test sets its own scene")]
mod tests {
    use super::*;

    #[test]
    fn tokens_cost_what_the_table_says() {
        let prices = Prices::default();
        let usage = Usage {
            input_tokens: 1_000_000,
            output_tokens: 1_000_000,
            cache_write_5m_tokens: 1_000_000,
            cache_write_1h_tokens: 1_000_000,
            cache_read_tokens: 1_000_000,
        };
        for (model, dollars) in [
            ("claude-sonnet-5-5", 2.0 + 10.0 + 2.5 + 4.0 + 0.10),
            ("sonnet", 2.0 + 10.0 + 2.5 + 4.0 + 0.10),
            ("claude-opus-5-5", 4.0 + 20.0 + 5.0 + 8.0 + 0.20),
            ("claude-fable-5-2", 8.0 + 40.0 + 10.0 + 16.0 + 0.20),
            ("claude-haiku-4-5", 1.0 + 5.0 + 1.25 + 2.0 + 0.10),
            // The prompt has more than 100,000 tokens.
            ("claude-haiku-5-5", 0.5 + 2.5 + 0.625 + 1.0 + 0.05),
        ] {
            let cost = prices.cost(model, &usage).unwrap().dollars();
            assert!((cost - dollars).abs() < 1e-9, "{model}: {cost}");
        }
        let small = Usage { input_tokens: 1000, output_tokens: 100, ..Usage::default() };
        assert_eq!(prices.cost("claude-haiku-5-5", &small), Some(Usd(150_000)));
        assert_eq!(prices.cost("claude-unheard-1", &small), None);
    }

    #[test]
    fn a_file_overrides_the_table() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("prices.toml");
        std::fs::write(&file, "[claude-unheard-1]\ninput = 3\noutput = 4.5\n").unwrap();
        let prices = Prices::load(Some(&file)).unwrap();
        let usage = Usage { input_tokens: 2, output_tokens: 2, ..Usage::default() };
        assert_eq!(prices.cost("claude-unheard-1", &usage), Some(Usd(15_000)));
        for wrong in ["[m]\ninput = -1\noutput = 2\n", "[m]\nin = 1\n", "["] {
            std::fs::write(&file, wrong).unwrap();
            assert!(Prices::load(Some(&file)).is_err(), "{wrong}");
        }
        assert!(Prices::load(Some(Path::new("/nonexistent"))).is_err());
    }

    #[test]
    fn models_of_a_line_share_it() {
        assert_eq!(line("claude-opus-5-5"), line("claude-opus-4-8"));
        assert_eq!(line("claude-unheard-1"), "claude-unheard-1");
    }
}
