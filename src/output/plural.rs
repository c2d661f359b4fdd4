//! Counts with their nouns.

/// `1 item`, `2 items`; the plural is the singular with an `s` unless it is given after a slash
/// (`entry/entries`).
#[must_use]
pub fn plural(count: u64, noun: &str) -> String {
    let (one, many) = noun.split_once('/').map_or((noun, None), |(o, m)| (o, Some(m)));
    match (count, many) {
        (1, _) => format!("1 {one}"),
        (n, Some(many)) => format!("{n} {many}"),
        (n, None) => format!("{n} {one}s"),
    }
}
