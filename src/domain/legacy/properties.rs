//! What holds for every input.

use chrono::DateTime;
use proptest::prelude::*;

use super::*;

const NOW: DateTime<chrono::Utc> = DateTime::UNIX_EPOCH;

fn read_all(bytes: &[u8]) -> Merged {
    let _ = (agents(bytes, NOW), velocity(bytes), spans(bytes));
    let sources = [
        claims(bytes, NOW),
        queue(bytes, NOW),
        backlog(bytes, NOW).items,
        sprints(bytes, NOW).items,
    ];
    let sources = sources.into_iter().map(|parsed| Source { name: "file", parsed }).collect();
    merge(sources, completions(bytes), NOW)
}

fn row(n: usize) -> String {
    format!(
        "{{\n    \"work_item_id\": \"w-{n}\",\n    \"status\": \"pending\",\n    \"telemetry\": {{\n      \"trace_id\": \"t\"\n    }}\n  }}"
    )
}

/// Text like what a torn or doubled write leaves: JSON's own characters in any order, no record.
fn debris() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("\"a\": "),
        Just("\n"),
        Just("  "),
        Just("["),
        Just("]"),
        Just("\"x\""),
        Just(":"),
        Just("1"),
        Just("{\"k\": 1}"),
        Just("text"),
        Just("nul"),
        Just("\\"),
        Just("}"),
        Just("{"),
        Just("\"status\": {\"code\": \"OK\"}"),
    ];
    prop::collection::vec(part, 1..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_all(&bytes);
    }

    #[test]
    fn no_text_of_json_and_yaml_makes_it_panic(text in "[\\[\\]{}\":,a-z0-9 \n'&*#!|>-]{0,200}") {
        let merged = read_all(text.as_bytes());
        let mut ids: Vec<_> = merged.items.iter().map(|(_, i)| i.id.clone()).collect();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), merged.items.len());
    }

    #[test]
    fn a_file_cut_anywhere_keeps_every_whole_record(rows in 1usize..6, cut in 0.0f64..1.0) {
        let text = format!("[\n  {}\n]\n", (0..rows).map(row).collect::<Vec<_>>().join(",\n  "));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a short text")]
        let cut = (text.len() as f64 * cut) as usize;
        let whole = (0..rows).filter(|n| text[..cut].contains(&row(*n))).count();
        let parsed = claims(&text.as_bytes()[..cut], NOW);
        prop_assert_eq!(parsed.report.read, whole);
        // Something is always told about it.
        prop_assert!(parsed.report.refused.len() + parsed.report.mended.len() > 0);
    }

    #[test]
    fn debris_between_records_never_takes_one_with_it(before in 1usize..4, after in 1usize..4, debris in debris()) {
        // A quote that is never closed swallows what follows up to the next quote: that is no debris
        // between records but a record of its own, so quotes are even here.
        let rows = |from: usize, n: usize| (from..from + n).map(row).collect::<Vec<_>>().join("\n");
        let text = format!("{}\n{debris}\n{}\n", rows(0, before), rows(10, after));
        let parsed = claims(text.as_bytes(), NOW);
        let ids: Vec<_> = parsed.records.iter().map(|r| r.value.id.to_string()).collect();
        for n in (0..before).chain(10..10 + after) {
            prop_assert!(ids.contains(&format!("w-{n}")), "{text}\n{ids:?}");
        }
    }

    #[test]
    fn a_list_with_a_bad_element_keeps_the_good_ones(good in 1usize..5, at in 0usize..5, debris in debris(), compact in any::<bool>()) {
        let mut rows: Vec<String> = (0..good).map(row).collect();
        rows.insert(at.min(good), debris.replace([']', '['], ""));
        let text = format!("[\n  {}\n]\n", rows.join(",\n  "));
        let text = if compact { text.replace(['\n', ' '], "") } else { text };
        let parsed = claims(text.as_bytes(), NOW);
        for n in 0..good {
            let id = format!("w-{n}");
            prop_assert!(parsed.records.iter().any(|r| r.value.id.as_str() == id), "{text}");
        }
    }

    #[test]
    fn every_item_keeps_the_limits(id in "\\PC{0,80}", title in "\\PC{0,1200}", points in any::<i64>(), time in "\\PC{0,30}") {
        let text = serde_json::json!([{
            "work_item_id": id, "description": title, "velocity_points": points, "claimed_at": time,
            "priority": title, "team": id, "work_type": title, "status": title, "agent_id": id,
        }]).to_string();
        for record in claims(text.as_bytes(), NOW).records {
            let item = record.value;
            prop_assert!(crate::domain::name::check(item.id.as_str()).is_ok());
            prop_assert!(!item.title.trim().is_empty());
            prop_assert!(item.title.chars().count() <= crate::domain::work::Limits::TITLE);
            prop_assert!(item.points.unwrap_or(0) <= crate::domain::work::Limits::NUMBER);
        }
    }
}
