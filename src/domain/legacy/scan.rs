//! Finds the records in JSON that may be broken: a list, a list inside an object, or objects one
//! after the other, however they are laid out.
//!
//! A record that cannot be read ends where the next one seems to begin: at a `{` that opens a line
//! no deeper than the broken one did, or at any other `{` that is not the value of a field and
//! opens a whole object which looks like a record. So a broken region never takes a neighbour with it.

use std::cell::RefCell;
use std::fmt;

use memchr::memchr_iter;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{Place, Report};
use crate::domain::work::Limits;

/// Beyond this many broken regions only a whole record ends the next one: the file is something else.
const MAX_REGIONS: usize = 10_000;

/// An object and where it stood.
pub(super) struct Piece {
    pub(super) place: Place,
    pub(super) object: Map<String, Value>,
}

/// Finds the records. `wrappers` are the names under which an object may hold the list; `looks`
/// tells whether an object is a record and not a part of one.
pub(super) fn records(
    bytes: &[u8],
    wrappers: &[&str],
    looks: fn(&Map<String, Value>) -> bool,
    report: &mut Report,
) -> Vec<Piece> {
    let mut scan = Scan { bytes, lines: Lines::new(bytes), looks, regions: 0 };
    let mut pieces = Vec::new();
    let mut at = scan.blank(0);
    if bytes[at..].starts_with(b"\xef\xbb\xbf") {
        report.mended(&scan.place(at, at + 3, None), None, "a byte order mark is left out");
        at = scan.blank(at + 3);
    }
    if at == bytes.len() {
        report.refused(&Place::default(), None, "the file is empty");
        return pieces;
    }
    let (mut list, mut prefix) = (bytes[at] == b'[', String::new());
    let wrapped = wrappers.iter().find_map(|name| Some((*name, scan.wrapper(at, name)?)));
    if let Some((name, inside)) = wrapped {
        (list, at, prefix) = (true, inside, format!(".{name}"));
    } else if list {
        at += 1;
    }
    let (mut index, mut closed) = (0, false);
    loop {
        at = scan.blank(at);
        match bytes.get(at) {
            None => break,
            Some(b',') => {
                at += 1;
                continue;
            }
            Some(b']') if list => {
                closed = true;
                at = scan.blank(at + 1);
                if wrapped.is_some() {
                    at = scan.after_list(at, report);
                }
                if at < bytes.len() {
                    let place = scan.place(at, bytes.len(), None);
                    report.refused(&place, None, "text after the end of the list");
                }
                break;
            }
            Some(_) => {}
        }
        let element = list.then(|| format!("{prefix}[{index}]"));
        index += 1;
        match scan.parse(at) {
            Ok((Loose { value: Value::Object(mut object), twice }, end)) => {
                let place = scan.place(at, end, element);
                for key in twice {
                    report.mended(
                        &place,
                        None,
                        format!("`{key}` stands there twice, the last one counts"),
                    );
                }
                let inner = wrappers.iter().find(|w| !looks(&object) && object.contains_key(**w));
                if let Some(Value::Array(list)) = inner.and_then(|w| object.remove(*w)) {
                    unfold(list, inner.copied().unwrap_or(""), &place, &mut pieces, report);
                } else {
                    pieces.push(Piece { place, object });
                }
                at = end;
            }
            Ok((loose, end)) => {
                // Outside a list it is the beginning of something else.
                scan.regions += 1;
                let alone = list && scan.regions < MAX_REGIONS;
                let end = if alone { end } else { scan.resume(at) };
                closed |= end == bytes.len() && !alone;
                let place = scan.place(at, scan.trimmed(at, end), element);
                report.refused(
                    &place,
                    None,
                    format!("expected an object, found {}", name_of(&loose.value)),
                );
                at = end;
            }
            Err(reason) => {
                let end = scan.resume(at);
                report.refused(&scan.place(at, scan.trimmed(at, end), element), None, reason);
                closed |= end == bytes.len();
                at = end;
            }
        }
    }
    if list && !closed {
        let place = scan.place(bytes.len(), bytes.len(), None);
        report.mended(&place, None, "the list is not closed: the file may have been cut short");
    }
    pieces
}

/// A list that was found inside a whole object.
fn unfold(
    list: Vec<Value>,
    name: &str,
    place: &Place,
    pieces: &mut Vec<Piece>,
    report: &mut Report,
) {
    for (index, value) in list.into_iter().enumerate() {
        let place = Place { element: Some(format!(".{name}[{index}]")), ..place.clone() };
        match value {
            Value::Object(object) => pieces.push(Piece { place, object }),
            other => {
                report.refused(
                    &place,
                    None,
                    format!("expected an object, found {}", name_of(&other)),
                );
            }
        }
    }
}

/// What a value is called.
pub(super) const fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    lines: Lines,
    looks: fn(&Map<String, Value>) -> bool,
    regions: usize,
}

impl Scan<'_> {
    /// The first byte from `at` on that is not blank.
    fn blank(&self, at: usize) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|c| c.is_ascii_whitespace()).count()
    }

    /// Where the list begins in `{"name": [`, if that stands at `at`.
    fn wrapper(&self, at: usize, name: &str) -> Option<usize> {
        let skip = |at: usize, text: &[u8]| {
            let at = self.blank(at);
            self.bytes.get(at..)?.starts_with(text).then_some(at + text.len())
        };
        let at = skip(at, b"{")?;
        let at = skip(at, format!("\"{name}\"").as_bytes())?;
        skip(skip(at, b":")?, b"[")
    }

    /// What follows a list inside an object: its end, or fields beside the list, which are told.
    fn after_list(&self, at: usize, report: &mut Report) -> usize {
        match self.bytes.get(at) {
            Some(b'}') => self.blank(at + 1),
            Some(b',') => {
                let rest = [b"{", &self.bytes[at + 1..]].concat();
                let Ok(beside) = serde_json::from_slice::<Map<String, Value>>(&rest) else {
                    return at;
                };
                let place = self.place(at, self.bytes.len(), None);
                for key in beside.keys() {
                    report.mended(&place, None, format!("`{key}` beside the list is left out"));
                }
                self.bytes.len()
            }
            _ => at,
        }
    }

    fn parse(&self, at: usize) -> Result<(Loose, usize), String> {
        let rest = &self.bytes[at..];
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<Loose>();
        match values.next() {
            Some(Ok(loose)) => Ok((loose, at + values.byte_offset())),
            Some(Err(error)) if error.is_eof() => {
                Err("the file ends in the middle of it".to_owned())
            }
            Some(Err(error)) => {
                let text = error.to_string();
                let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
                // A line break in a text is told as column 0 of the next line.
                let line = error.line() - usize::from(error.column() == 0 && error.line() > 1);
                let line = self.lines.of(at) + line.saturating_sub(1);
                Err(format!("{what} (line {line})"))
            }
            None => Err("nothing stands there".to_owned()),
        }
    }

    /// Where to go on after a record at `at` that could not be read.
    fn resume(&mut self, at: usize) -> usize {
        self.regions += 1;
        let base = self.indent(at).unwrap_or(0);
        let after = at + 1;
        for found in memchr_iter(b'{', &self.bytes[after..]) {
            let found = after + found;
            let indent = self.indent(found);
            if self.regions < MAX_REGIONS && indent.is_some_and(|i| i <= base) {
                return found;
            }
            let before = self.bytes[..found].iter().rposition(|c| !c.is_ascii_whitespace());
            let before = before.map(|b| self.bytes[b]);
            // After a colon it is the value of a field.
            if (indent.is_some() || before != Some(b':'))
                && matches!(self.parse(found), Ok((Loose { value: Value::Object(o), .. }, _)) if (self.looks)(&o))
            {
                return found;
            }
        }
        self.bytes.len()
    }

    /// How many blanks stand before it on its line; nothing if anything else stands there.
    fn indent(&self, at: usize) -> Option<usize> {
        let blanks =
            self.bytes[..at].iter().rev().take_while(|c| matches!(c, b' ' | b'\t')).count();
        let start = at - blanks;
        (start == 0 || self.bytes[start - 1] == b'\n').then_some(blanks)
    }

    /// The end of a region without the separators and blanks behind it.
    fn trimmed(&self, at: usize, end: usize) -> usize {
        let idle = |c: &&u8| c.is_ascii_whitespace() || **c == b',';
        (end - self.bytes[at..end].iter().rev().take_while(idle).count()).max(at + 1)
    }

    fn place(&self, start: usize, end: usize, element: Option<String>) -> Place {
        let last = end.max(start + 1) - 1;
        Place {
            line: Some(self.lines.of(start)),
            last_line: Some(self.lines.of(last)),
            offset: Some(start),
            element,
        }
    }
}

/// Which line a byte stands on.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(memchr_iter(b'\n', bytes).collect())
    }

    pub(super) fn of(&self, at: usize) -> usize {
        self.0.partition_point(|n| *n < at) + 1
    }
}

/// A value, and the keys that stood twice in an object of it.
struct Loose {
    value: Value,
    twice: Vec<String>,
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let twice = RefCell::new(Vec::new());
        let value = Seed { left: Limits::DEPTH, twice: &twice }.deserialize(input)?;
        Ok(Self { value, twice: twice.into_inner() })
    }
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    left: usize,
    twice: &'a RefCell<Vec<String>>,
}

impl<'a> Seed<'a> {
    fn deeper<E: serde::de::Error>(self) -> Result<Seed<'a>, E> {
        let left = self.left.checked_sub(1);
        let left =
            left.ok_or_else(|| E::custom(format!("nested deeper than {} levels", Limits::DEPTH)))?;
        Ok(Seed { left, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper::<A::Error>()?;
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            list.push(value);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper::<A::Error>()?;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(inner)?;
            if object.contains_key(&key) {
                let mut twice = self.twice.borrow_mut();
                if twice.len() < 100 {
                    twice.push(key.clone());
                }
            }
            object.insert(key, value);
        }
        Ok(object.into())
    }
}
