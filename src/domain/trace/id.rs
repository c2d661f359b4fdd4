//! Identifiers of traces and spans.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A text that is no identifier.
#[derive(Clone, Copy, Debug, Error, Eq, PartialEq)]
#[error("not {digits} lower-case hex digits with one that is not 0")]
pub struct IdError {
    digits: usize,
}

/// A trace: 16 bytes, never all zero; 32 hex digits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TraceId(u128);

/// A span: 8 bytes, never all zero; 16 hex digits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SpanId(u64);

impl TraceId {
    /// From random bits.
    #[must_use]
    pub fn from_bits(high: u64, low: u64) -> Self {
        Self((u128::from(high) << 64 | u128::from(low)).max(1))
    }

    /// The same trace for the same thing, wherever it is asked for: the 128-bit FNV-1a hash of what it is
    /// called and when it was made, in microseconds since 1970. It keeps no secret and needs none.
    #[must_use]
    pub fn of(name: &str, made_us: i64) -> Self {
        const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
        let bytes = name.bytes().chain(made_us.to_be_bytes());
        let hash = bytes.fold(BASIS, |hash, c| (hash ^ u128::from(c)).wrapping_mul(PRIME));
        Self(hash.max(1))
    }

    /// The bytes, the most significant first.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl SpanId {
    /// From random bits.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits.max(1))
    }

    /// The bytes, the most significant first.
    #[must_use]
    pub const fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

/// Exactly `digits` lower-case hex digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let fits = text.len() == digits
        && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    let bits = fits.then(|| u128::from_str_radix(text, 16).ok()).flatten()?;
    (bits != 0).then_some(bits)
}

macro_rules! text {
    ($id:ident, $digits:literal, $doc:literal) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{:0", $digits, "x}"), self.0)
            }
        }

        impl FromStr for $id {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                hex(text, $digits)
                    .and_then(|bits| bits.try_into().ok())
                    .map(Self)
                    .ok_or(IdError { digits: $digits })
            }
        }

        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $id {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($id).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": $doc,
                    "pattern": concat!("^[0-9a-f]{", $digits, "}$"),
                })
            }
        }
    };
}

text!(TraceId, 32, "A trace: 32 hex digits.");
text!(SpanId, 16, "A span: 16 hex digits.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back() {
        let trace = TraceId::from_bits(0x0af7_6519_16cd_43dd, 0x8448_eb21_1c80_319c);
        assert_eq!(trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(trace.to_string().parse(), Ok(trace));
        assert_eq!(trace.bytes()[..3], [0x0a, 0xf7, 0x65]);
        let span = SpanId::from_bits(0x00f0_67aa_0ba9_02b7);
        assert_eq!(span.to_string(), "00f067aa0ba902b7");
        assert_eq!(span.to_string().parse(), Ok(span));
        let json = serde_json::to_string(&(trace, span)).unwrap();
        assert_eq!(serde_json::from_str::<(TraceId, SpanId)>(&json).unwrap(), (trace, span));
    }

    #[test]
    fn a_thing_has_a_trace_of_its_own() {
        let of = |name, made| TraceId::of(name, made).to_string();
        assert_eq!(of("w-1", 1), of("w-1", 1));
        assert_ne!(of("w-1", 1), of("w-2", 1));
        assert_ne!(of("w-1", 1), of("w-1", 2));
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        for text in [
            "",
            "0",
            "00f067aa0ba902bg",
            "00F067AA0BA902B7",
            "0000000000000000",
            "+0f067aa0ba902b7",
        ] {
            assert!(text.parse::<SpanId>().is_err(), "{text}");
        }
        assert!("0".repeat(32).parse::<TraceId>().is_err());
        assert_eq!(TraceId::from_bits(0, 0).to_string().parse(), Ok(TraceId::from_bits(0, 1)));
    }
}
