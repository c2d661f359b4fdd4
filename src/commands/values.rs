//! Values of arguments that are checked where they are parsed.

use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::domain::time::{Moment, parse_moment};
use crate::domain::work::{Priority, Sort, State};

/// One of the priorities.
pub(crate) fn priority() -> impl TypedValueParser<Value = Priority> {
    words(Priority::ALL.map(Priority::as_str))
}

/// One of the states.
pub(crate) fn state() -> impl TypedValueParser<Value = State> {
    words(State::ALL.map(State::as_str))
}

fn words<T, const N: usize>(all: [&'static str; N]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = ()> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(all).try_map(|word| word.parse().map_err(|()| "an unknown word"))
}

/// One of the orders of a list.
pub(crate) fn sort() -> impl TypedValueParser<Value = Sort> {
    let names = SORTS.map(|(name, _)| name);
    PossibleValuesParser::new(names).map(|word| {
        SORTS.iter().find(|(name, _)| *name == word).map_or(Sort::default(), |(_, sort)| *sort)
    })
}

const SORTS: [(&str, Sort); 8] = [
    ("priority", Sort::Priority),
    ("added", Sort::Added),
    ("created", Sort::Created),
    ("updated", Sort::Updated),
    ("status", Sort::Status),
    ("team", Sort::Team),
    ("agent", Sort::Agent),
    ("points", Sort::Points),
];

/// A percentage from 0 to 100, with or without the sign.
pub(crate) fn percent(text: &str) -> Result<u64, &'static str> {
    let digits = text.strip_suffix('%').unwrap_or(text);
    let all_digits = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    let percent = all_digits.then(|| digits.parse::<u64>().ok()).flatten();
    percent.filter(|p| *p <= 100).ok_or("expected a whole number from 0 to 100")
}

/// Points or attempts: a whole number up to a million.
pub(crate) fn number(text: &str) -> Result<u32, &'static str> {
    let all_digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let number = all_digits.then(|| text.parse().ok()).flatten();
    number.filter(|n| *n <= 1_000_000).ok_or("expected a whole number from 0 to 1000000")
}

/// A fencing token.
pub(crate) fn token(text: &str) -> Result<u64, &'static str> {
    let all_digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    all_digits.then(|| text.parse().ok()).flatten().ok_or("expected a whole number")
}

/// How much Claude may write.
pub(crate) fn tokens(text: &str) -> Result<u32, &'static str> {
    let tokens = number(text).ok().filter(|n| (1..=128_000).contains(n));
    tokens.ok_or("expected a whole number from 1 to 128000")
}

/// A number above zero.
pub(crate) fn count(text: &str) -> Result<usize, &'static str> {
    let all_digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let number = all_digits.then(|| text.parse().ok()).flatten();
    number.filter(|n| *n > 0).ok_or("expected a whole number above 0")
}

/// A length of time before now, a date, or a moment.
pub(crate) fn moment(text: &str) -> Result<Moment, &'static str> {
    parse_moment(text)
}

/// A share: 0.1 is a tenth.
pub(crate) fn share(text: &str) -> Result<f64, &'static str> {
    let number = text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    number.ok_or("expected a number from 0 on, such as 0.1 for a tenth")
}

/// A whole number within bounds.
pub(crate) fn within<T: TryFrom<u64>, const LEAST: u64, const MOST: u64>(
    text: &str,
) -> Result<T, String> {
    let all_digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let number = all_digits.then(|| text.parse::<u64>().ok()).flatten();
    let number = number.filter(|n| (LEAST..=MOST).contains(n)).and_then(|n| T::try_from(n).ok());
    number.ok_or_else(|| format!("expected a whole number from {LEAST} to {MOST}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_out_of_bounds_is_told_what_would_do() {
        assert_eq!(within::<u32, 1, 53>("53"), Ok(53));
        for text in ["0", "54", "", "-1", "+1", "1.5", "99999999999999999999"] {
            let wrong = within::<u32, 1, 53>(text).unwrap_err();
            assert_eq!(wrong, "expected a whole number from 1 to 53", "{text}");
        }
    }
}
