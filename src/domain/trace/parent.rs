//! What a process is told about the operation that started it.

use super::{SpanId, TraceId};

/// The operation that ours is a part of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parent {
    /// Its trace.
    pub trace: TraceId,
    /// Its span; the old variables name only the trace.
    pub span: Option<SpanId>,
    /// Whether the caller records it.
    pub sampled: bool,
}

impl Parent {
    /// The value of `traceparent`; nothing where only the trace is known.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let span = self.span?;
        Some(format!("00-{}-{span}-0{}", self.trace, u8::from(self.sampled)))
    }
}

/// Reads a `traceparent` as the W3C wants it: of a version that is not known, the fields that are.
#[must_use]
pub fn parse_parent(text: &str) -> Option<Parent> {
    let mut parts = text.trim().split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str| {
        text.len() == 2 && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
    };
    if !is_hex(version) || version == "ff" || !is_hex(flags) {
        return None;
    }
    if version == "00" && parts.next().is_some() {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some(Parent {
        trace: trace.parse().ok()?,
        span: Some(span.parse().ok()?),
        sampled: flags & 1 == 1,
    })
}

/// The trace that an old variable such as `TRACE_ID` names: hex digits as the old programs made them.
/// Fewer than 32 are filled up from the left; anything else names no trace.
#[must_use]
pub fn trace_of_text(text: &str) -> Option<TraceId> {
    let text = text.trim();
    if text.is_empty() || text.len() > 32 {
        return None;
    }
    format!("{:0>32}", text.to_ascii_lowercase()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let parent = parse_parent(GOOD).unwrap();
        assert!(parent.sampled);
        assert_eq!(parent.traceparent().unwrap(), GOOD);
        let later = parse_parent(&format!("cc{}-what-the-future-will-be", &GOOD[2..])).unwrap();
        assert_eq!(later, parent);
        assert!(!parse_parent(&GOOD.replace("-01", "-00")).unwrap().sampled);
    }

    #[test]
    fn what_the_standard_forbids_is_no_parent() {
        for bad in [
            "",
            "00",
            &GOOD[..54],
            &GOOD.to_uppercase(),
            &format!("{GOOD}-more"),
            &GOOD.replace("00-0a", "ff-0a"),
            &GOOD.replace("b7ad6b7169203331", "0000000000000000"),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
        ] {
            assert_eq!(parse_parent(bad), None, "{bad}");
        }
    }

    #[test]
    fn old_traces_are_filled_up() {
        let trace = |text| trace_of_text(text).map(|trace| trace.to_string());
        assert_eq!(
            trace("0af7651916cd43dd8448eb211c80319c").unwrap(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        assert_eq!(trace("AF7").unwrap(), format!("{}af7", "0".repeat(29)));
        assert_eq!(trace("trace_12"), None);
        assert_eq!(trace(""), None);
        assert_eq!(trace("0"), None);
    }
}
