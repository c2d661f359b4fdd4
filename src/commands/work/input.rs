//! What comes in on standard input: one long text, or items as JSONL or YAML.

use std::io::{IsTerminal as _, Read as _};

use serde_json::Value;

use crate::commands::{Context, explain};
use crate::domain::work::{Draft, Limits, NewItem};
use crate::error::{Error, Kind, Result};

/// The most that is read at once.
const MOST: u64 = 512 << 20;
/// The most YAML that is read at once: its parser costs more than that of JSON.
const MOST_YAML: usize = 1 << 20;

/// Reads a text, such as a result, that shall be kept with one item.
pub(super) fn text(cx: &Context) -> Result<String> {
    let text = stdin(cx, Limits::ITEM_BYTES as u64, "write the text on standard input")?;
    Ok(text.trim_end().to_owned())
}

/// Reads a plan.
pub(super) fn plan(cx: &Context) -> Result<String> {
    stdin(cx, 4 << 20, "give the plan on standard input, or its file")
}

/// Reads all items of a JSONL stream, or none.
pub(super) fn jsonl(cx: &Context) -> Result<Vec<NewItem>> {
    let text = stdin(cx, MOST, "give a TITLE, or items as JSONL on standard input")?;
    let mut items = Vec::new();
    for (at, row) in text.lines().enumerate() {
        let row = row.trim();
        if row.is_empty() {
            continue;
        }
        let place = format!("line {}", at + 1);
        check_size(row.len(), &place)?;
        if depth(row) > Limits::DEPTH {
            let message = format!("{place}: it is nested deeper than {} levels", Limits::DEPTH);
            return Err(Error::new(Kind::Usage, message).hint("an item is one flat JSON object"));
        }
        let draft = serde_json::from_str(row).map_err(|why| misfit_text(row, &why, &place))?;
        push(&mut items, draft, &place)?;
    }
    Ok(items)
}

/// Reads all items of a YAML document, a list of mappings or one mapping, or none.
pub(super) fn yaml(cx: &Context) -> Result<Vec<NewItem>> {
    let text = stdin(cx, MOST_YAML as u64, "give items as YAML on standard input")?;
    parse_yaml(&text)
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Document {
    Many(Vec<Value>),
    One(Value),
}

fn parse_yaml(text: &str) -> Result<Vec<NewItem>> {
    let options = serde_yaml::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_yaml::budget! {
            max_anchors: 0,
            max_aliases: 0,
            max_merge_keys: 0,
            max_documents: 1,
            max_depth: Limits::DEPTH,
            max_events: 2_000_000,
            max_nodes: 1_000_000,
        },
    };
    let document: Option<Document> =
        serde_yaml::from_str_with_options(text, options).map_err(|why| {
            let line = why.location().map_or_else(String::new, |l| format!("line {}: ", l.line()));
            let why = why.without_snippet().to_string();
            let why = why.lines().next().unwrap_or_default().to_owned();
            Error::new(Kind::Usage, format!("{line}this is no YAML that is accepted: {why}"))
                .hint("a list of items without anchors and aliases: `- title: Fix the login`")
        })?;
    let rows = match document {
        None | Some(Document::One(Value::Null)) => Vec::new(),
        Some(Document::Many(rows)) => rows,
        Some(Document::One(row)) => vec![row],
    };
    let mut items = Vec::new();
    for (at, row) in rows.into_iter().enumerate() {
        let place = format!("item {}", at + 1);
        let draft =
            serde_json::from_value(row.clone()).map_err(|why| misfit(&row, &why, &place))?;
        push(&mut items, draft, &place)?;
    }
    Ok(items)
}

fn push(items: &mut Vec<NewItem>, draft: Draft, place: &str) -> Result<()> {
    if items.len() == Limits::BATCH {
        let message = format!("more than {} items at once", Limits::BATCH);
        return Err(Error::new(Kind::Usage, message).hint("add them in several batches"));
    }
    items.push(NewItem::try_from(draft).map_err(|why| explain(&why, Some(place)))?);
    Ok(())
}

fn check_size(bytes: usize, place: &str) -> Result<()> {
    if bytes > Limits::ITEM_BYTES {
        return Err(explain(&crate::domain::work::NewError::TooLarge(bytes), Some(place)));
    }
    Ok(())
}

fn stdin(cx: &Context, most: u64, hint: &str) -> Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let message = format!("`{}` lacks its input: this is a terminal", cx.command);
        return Err(Error::new(Kind::Usage, message).hint(hint));
    }
    let mut bytes = Vec::new();
    let read = stdin.lock().take(most + 1).read_to_end(&mut bytes);
    read.map_err(|source| {
        Error::new(Kind::External, "cannot read standard input").caused_by(source)
    })?;
    if bytes.len() as u64 > most {
        let message = format!("standard input has more than {} MiB", most >> 20);
        return Err(Error::new(Kind::Usage, message).hint("nothing was added; give less at once"));
    }
    String::from_utf8(bytes).map_err(|why| {
        let at = why.utf8_error().valid_up_to();
        let line = memchr::memchr_iter(b'\n', &why.as_bytes()[..at]).count() + 1;
        Error::new(Kind::Usage, format!("line {line}: it is not valid UTF-8"))
            .hint("nothing was added; write the input as UTF-8")
    })
}

/// How deep brackets are nested, those in strings not counted.
fn depth(row: &str) -> usize {
    let (mut now, mut most, mut quoted, mut escaped) = (0usize, 0, false, false);
    for c in row.bytes() {
        match c {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                now += 1;
                most = most.max(now);
            }
            b'}' | b']' if !quoted => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// Explains a line that is no item: no JSON at all, or one field of it.
fn misfit_text(row: &str, why: &serde_json::Error, place: &str) -> Error {
    match serde_json::from_str::<Value>(row) {
        Ok(value) => misfit(&value, why, place),
        Err(broken) => {
            let message = format!("{place}, column {}: {}", broken.column(), bare(&broken));
            Error::new(Kind::Usage, message)
                .hint("each line is one JSON object: {\"title\": \"Fix the login\"}")
        }
    }
}

/// Explains a value that is no item, naming the field.
fn misfit(value: &Value, why: &serde_json::Error, place: &str) -> Error {
    let Some(fields) = value.as_object() else {
        return Error::new(Kind::Usage, format!("{place}: it is not an object with fields"))
            .hint("an item looks like {\"title\": \"Fix the login\", \"priority\": \"high\"}");
    };
    for (name, value) in fields {
        if !FIELDS.contains(&name.as_str()) {
            let error = Error::new(
                Kind::Usage,
                format!("{place}: unknown field `{}`", name.escape_debug()),
            );
            let near = FIELDS.iter().map(|f| (strsim::jaro_winkler(f, name), *f));
            let best = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.7);
            return match best {
                Some((_, field)) => error.hint(format!("did you mean `{field}`?")),
                None => error.hint(format!("the fields are `{}`", FIELDS.join("`, `"))),
            };
        }
        let alone = serde_json::Map::from_iter([(name.clone(), value.clone())]);
        if let Err(why) = serde_json::from_value::<Draft>(alone.into()) {
            return Error::new(Kind::Usage, format!("{place}, field `{name}`: {}", bare(&why)))
                .hint(expected(name));
        }
    }
    Error::new(Kind::Usage, format!("{place}: {}", bare(why))).hint("nothing was added")
}

/// The parser's words without its own idea of the place.
fn bare(why: &serde_json::Error) -> String {
    let text = why.to_string();
    text.rsplit_once(" at line ").map_or_else(|| text.clone(), |(text, _)| text.to_owned())
}

const FIELDS: [&str; 15] = [
    "title",
    "description",
    "id",
    "type",
    "priority",
    "team",
    "labels",
    "capabilities",
    "needs",
    "points",
    "estimate_s",
    "assignee",
    "max_attempts",
    "key",
    "trace_id",
];

fn expected(field: &str) -> &'static str {
    match field {
        "priority" => "expected one of `critical`, `high`, `medium`, `low`",
        "labels" | "capabilities" | "needs" => "expected a list of names: [\"a\", \"b\"]",
        "points" | "max_attempts" => "expected a whole number up to 1000000",
        "estimate_s" => "expected a number of seconds",
        "id" | "type" | "team" | "assignee" => {
            "a name is 1 to 64 letters, digits, `.`, `_` and `-`, and begins with a letter or digit"
        }
        _ => "expected a text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_known_by_the_draft() {
        for field in FIELDS {
            let alone = serde_json::Map::from_iter([(field.to_owned(), Value::Null)]);
            let why = serde_json::from_value::<Draft>(alone.into()).err();
            assert!(!why.is_some_and(|w| w.to_string().contains("unknown field")), "{field}");
        }
        let why = serde_json::from_str::<Draft>("{\"zzz\":1}").unwrap_err().to_string();
        assert_eq!(FIELDS.iter().filter(|f| why.contains(&format!("`{f}`"))).count(), FIELDS.len());
        assert_eq!(why.matches('`').count(), 2 * (FIELDS.len() + 1), "{why}");
    }

    #[test]
    fn brackets_in_strings_are_no_depth() {
        assert_eq!(depth(r#"{"a":"[[[\"[["}"#), 1);
        assert_eq!(depth("[[[]]]"), 3);
    }

    #[test]
    fn yaml_is_strict() {
        let items = parse_yaml("- title: yes\n  labels: [a, b]\n- title: 'No'\n").unwrap();
        assert_eq!(items[0].draft().title, "yes");
        assert_eq!(parse_yaml("title: one\n").unwrap().len(), 1);
        assert!(parse_yaml("").unwrap().is_empty());
        for text in [
            "- &a {title: x}\n- *a\n",
            "- title: &a x\n",
            "- title: x\n  titel: y\n",
            "- title: 5\n",
            "- x\n",
            "- title: [\n",
            "- title: x\n  title: y\n",
            "- title: x\n---\n- title: y\n",
        ] {
            let error = parse_yaml(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{text}");
            assert!(!error.hints().is_empty());
        }
    }
}
