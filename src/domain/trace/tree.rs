//! Spans as trees: parts under their wholes, in the order in which they began.

use std::collections::{BTreeMap, HashMap};

use super::Known;

/// A span and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// How many wholes it is a part of, within its branch.
    pub depth: usize,
    /// Whether another part of the same whole comes later.
    pub more: bool,
    /// The span.
    pub span: Known,
}

/// What a branch hangs under that is not among the spans.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Under {
    /// Nothing: it begins its trace.
    Nothing,
    /// A span that another program may have recorded.
    Elsewhere(String),
    /// A span that should be here and is not.
    Missing(String),
    /// A part of itself, by way of others.
    Itself,
}

/// Trees that hang under the same thing, in the order in which they began.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// What that is.
    pub under: Under,
    /// The spans, each followed by its parts.
    pub rows: Vec<Row>,
}

/// Puts spans in order. Every span is in exactly one branch, whatever the ids say.
#[must_use]
pub fn tree(mut spans: Vec<Known>) -> Vec<Branch> {
    spans.sort_by(|a, b| {
        let key = |s: &Known| (s.start.is_none(), s.start, std::cmp::Reverse(s.duration_us));
        key(a).cmp(&key(b)).then_with(|| (&a.name, &a.span).cmp(&(&b.name, &b.span)))
    });
    // Where several have the same id, the first is the whole.
    let mut at: HashMap<(&str, &str), usize> = HashMap::new();
    for (i, span) in spans.iter().enumerate() {
        if let Some(id) = &span.span {
            at.entry((&span.trace, id)).or_insert(i);
        }
    }
    let mut parts: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    let mut tops: BTreeMap<Under, Vec<usize>> = BTreeMap::new();
    for (i, span) in spans.iter().enumerate() {
        let Some(parent) = &span.parent else {
            tops.entry(Under::Nothing).or_default().push(i);
            continue;
        };
        match at.get(&(span.trace.as_str(), parent.as_str())) {
            Some(whole) => parts[*whole].push(i),
            None if span.remote_parent => {
                tops.entry(Under::Elsewhere(parent.clone())).or_default().push(i);
            }
            None => tops.entry(Under::Missing(parent.clone())).or_default().push(i),
        }
    }
    let mut spans: Vec<Option<Known>> = spans.into_iter().map(Some).collect();
    let mut branches = Vec::new();
    for (under, tops) in tops {
        let mut rows = Vec::new();
        grow(&tops, &parts, &mut spans, &mut rows);
        branches.push(Branch { under, rows });
    }
    // What is left hangs in circles; each is cut where it began.
    let mut rows = Vec::new();
    for i in 0..spans.len() {
        grow(&[i], &parts, &mut spans, &mut rows);
    }
    if !rows.is_empty() {
        branches.push(Branch { under: Under::Itself, rows });
    }
    branches
}

/// Takes spans and their parts out, depth first. Depth is a stranger's to choose: no recursion.
fn grow(tops: &[usize], parts: &[Vec<usize>], spans: &mut [Option<Known>], rows: &mut Vec<Row>) {
    let last = tops.len().saturating_sub(1);
    let mut todo: Vec<(usize, usize, bool)> =
        tops.iter().enumerate().rev().map(|(n, i)| (*i, 0, n < last)).collect();
    while let Some((i, depth, more)) = todo.pop() {
        let Some(span) = spans[i].take() else { continue };
        rows.push(Row { depth, more, span });
        let below = &parts[i];
        let last = below.len().saturating_sub(1);
        todo.extend(below.iter().enumerate().rev().map(|(n, i)| (*i, depth + 1, n < last)));
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;

    use super::super::{Kind, Outcome};
    use super::*;

    fn span(id: &str, parent: Option<&str>, start: i64) -> Known {
        Known {
            trace: "t".into(),
            span: Some(id.into()),
            parent: parent.map(Into::into),
            remote_parent: false,
            name: id.into(),
            kind: Kind::Internal,
            start: Some(DateTime::UNIX_EPOCH + TimeDelta::seconds(start)),
            duration_us: Some(1),
            open: false,
            outcome: Outcome::Ok,
            message: None,
            service: None,
            attributes: BTreeMap::new(),
            imported: false,
        }
    }

    fn told(spans: Vec<Known>) -> Vec<String> {
        let lines = tree(spans).into_iter().flat_map(|branch| {
            let under = format!("{:?}", branch.under);
            let row = |row: Row| format!("{under} {}{}", "-".repeat(row.depth), row.span.name);
            branch.rows.into_iter().map(row).collect::<Vec<_>>()
        });
        lines.collect()
    }

    #[test]
    fn parts_follow_their_wholes_in_the_order_in_which_they_began() {
        let spans = vec![
            span("late", Some("root"), 9),
            span("part", Some("early"), 3),
            span("early", Some("root"), 2),
            span("root", None, 1),
        ];
        assert_eq!(
            told(spans),
            ["Nothing root", "Nothing -early", "Nothing --part", "Nothing -late"]
        );
    }

    #[test]
    fn what_has_lost_its_whole_has_a_place_of_its_own() {
        let far = Known { remote_parent: true, ..span("far", Some("x"), 1) };
        let circle = [span("a", Some("b"), 1), span("b", Some("a"), 2), span("me", Some("me"), 3)];
        let mut spans = vec![span("lost", Some("gone"), 2), far, span("below", Some("lost"), 3)];
        spans.extend(circle);
        assert_eq!(
            told(spans),
            [
                "Elsewhere(\"x\") far",
                "Missing(\"gone\") lost",
                "Missing(\"gone\") -below",
                "Itself a",
                "Itself -b",
                "Itself me"
            ]
        );
    }

    #[test]
    fn a_deep_chain_is_no_danger() {
        let id = |n: i64| format!("s{n}");
        let chain = (0..50_000).map(|n| span(&id(n), Some(&id(n - 1)), n)).collect();
        let branches = tree(chain);
        assert_eq!(branches[0].rows.last().unwrap().depth, 49_999);
    }

    proptest! {
        #[test]
        fn no_span_is_lost_and_none_is_doubled(
            links in proptest::collection::vec((0u8..12, proptest::option::of(0u8..12)), 0..40)
        ) {
            let spans: Vec<Known> = links.iter().enumerate().map(|(n, (id, parent))| {
                let parent = parent.map(|p| p.to_string());
                let mut span = span(&id.to_string(), parent.as_deref(), 0);
                span.name = n.to_string();
                span
            }).collect();
            let mut names: Vec<usize> = tree(spans).into_iter().flat_map(|b| b.rows)
                .map(|row| row.span.name.parse().unwrap()).collect();
            names.sort_unstable();
            prop_assert_eq!(names, (0..links.len()).collect::<Vec<_>>());
        }
    }
}
