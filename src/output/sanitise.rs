//! Text that others wrote, made safe for a terminal.
//!
//! Titles, names and answers can hold escape sequences that retitle a window, write to the
//! clipboard or hide text. Nothing of that kind is printed: this is security, not taste.

use std::borrow::Cow;
use std::io;

/// Makes one line of it: line breaks and tabs become spaces as well.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|c| (0x20..0x7f).contains(&c)) {
        return Cow::Borrowed(text);
    }
    let strict = |c: char| if matches!(c, '\n' | '\r' | '\t') { Some(' ') } else { keep(c) };
    Cow::Owned(strip_sequences(text).chars().filter_map(strict).collect())
}

/// Keeps its line breaks and tabs.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|c| (0x20..0x7f).contains(&c) || c == b'\n' || c == b'\t') {
        return Cow::Borrowed(text);
    }
    let loose = |c: char| if matches!(c, '\n' | '\t') { Some(c) } else { keep(c) };
    Cow::Owned(strip_sequences(text).chars().filter_map(loose).collect())
}

/// Writes JSON whose texts cannot act on a terminal: what [`line()`] would drop is spelt as an escape.
pub(super) struct Spelt;

impl serde_json::ser::Formatter for Spelt {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for part in fragment.split_inclusive(|c| keep(c).is_none()) {
            match part.chars().next_back().filter(|c| keep(*c).is_none()) {
                Some(c) => {
                    out.write_all(&part.as_bytes()[..part.len() - c.len_utf8()])?;
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        write!(out, "\\u{unit:04x}")?;
                    }
                }
                None => out.write_all(part.as_bytes())?,
            }
        }
        Ok(())
    }
}

/// Drops what is invisible and acts: control characters, bidirectional overrides, tags.
fn keep(c: char) -> Option<char> {
    let harmful = c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    // The joiner stays where it makes one picture of several.
    if c == '\u{200d}' || !harmful { Some(c) } else { None }
}

/// Takes out whole escape sequences, so that no `[31m` or `0;title` is left of them.
fn strip_sequences(text: &str) -> Cow<'_, str> {
    if !text.contains(['\u{1b}', '\u{9b}', '\u{9d}', '\u{90}', '\u{9e}', '\u{9f}', '\u{98}']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let introducer = match c {
            '\u{1b}' => rest.next_if(|c| matches!(c, '\u{20}'..='\u{7e}')),
            '\u{9b}' => Some('['),
            '\u{9d}' => Some(']'),
            '\u{90}' | '\u{98}' | '\u{9e}' | '\u{9f}' => Some('P'),
            other => {
                out.push(other);
                continue;
            }
        };
        match introducer {
            // A control sequence ends with its first byte from @ to ~.
            Some('[') => {
                while let Some(c) = rest.next_if(|c| matches!(c, '\u{20}'..='\u{7e}')) {
                    if matches!(c, '\u{40}'..='\u{7e}') {
                        break;
                    }
                }
            }
            // A string ends with BEL or ST; one that never ends takes its line with it.
            Some(']' | 'P' | '_' | '^' | 'X') => {
                while let Some(c) = rest.next_if(|c| *c != '\n') {
                    if matches!(c, '\u{7}' | '\u{9c}') {
                        break;
                    }
                    if c == '\u{1b}' {
                        let _ = rest.next_if_eq(&'\\');
                        break;
                    }
                }
            }
            // Two-character sequences, with intermediates.
            Some(c @ '\u{20}'..='\u{2f}') => {
                let _ = c;
                while rest.next_if(|c| matches!(c, '\u{20}'..='\u{2f}')).is_some() {}
                let _ = rest.next_if(|c| matches!(c, '\u{30}'..='\u{7e}'));
            }
            _ => {}
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_for_a_terminal_says_the_same_and_cannot_act() {
        let value = "a\u{202e}b\u{9b}31m\u{e0041}\u{1b}[31m \u{e9}\u{1f600}\u{2028}\"\\";
        let mut out = Vec::new();
        let mut writer = serde_json::Serializer::with_formatter(&mut out, Spelt);
        serde::Serialize::serialize(value, &mut writer).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.chars().all(|c| keep(c).is_some()), "{text:?}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), value);
    }

    #[test]
    fn takes_out_what_acts_and_keeps_what_shows() {
        for (from, to) in [
            ("plain", "plain"),
            ("\u{1b}]0;PWNED\u{7}title", "title"),
            ("\u{1b}]8;;http://evil\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{9b}31mred", "red"),
            ("a\u{202e}b\u{200b}c\u{e0041}d", "abcd"),
            ("a\r\nb\tc", "a  b c"),
            ("Grüße, 世界 👩‍💻", "Grüße, 世界 👩‍💻"),
        ] {
            assert_eq!(line(from), to, "{from:?}");
        }
        assert_eq!(text("a\n\tb\u{1b}[2Jc"), "a\n\tbc");
    }

    proptest! {
        #[test]
        fn nothing_acts_and_twice_is_once(input in "\\PC*|[\\x00-\\xff\u{1b}\u{9b}\u{202e}]*") {
            let once = text(&input).into_owned();
            prop_assert!(once.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
            prop_assert_eq!(&*text(&once), once.as_str());
        }
    }
}
