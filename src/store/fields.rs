//! JSON objects as the store's files have them: written field by field, without a serializer.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::domain::time::with_rfc3339;

/// Writes one JSON object field by field, in the order in which people look for them.
pub(in crate::store) struct Fields {
    out: Vec<u8>,
}

impl Fields {
    pub(in crate::store) fn new() -> Self {
        Self { out: Vec::with_capacity(640) }
    }

    fn name(&mut self, name: &str) {
        self.out.push(if self.out.is_empty() { b'{' } else { b',' });
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(in crate::store) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.name(name);
        // Writing a string to a vector cannot fail.
        let _ = serde_json::to_writer(&mut self.out, text);
        self
    }

    /// A text of ours that needs no escapes.
    pub(in crate::store) fn plain(&mut self, name: &str, text: &str) -> &mut Self {
        debug_assert!(text.bytes().all(|c| c.is_ascii_graphic() && c != b'"' && c != b'\\'));
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(b'"');
        self
    }

    /// Sixteen hex digits.
    pub(in crate::store) fn hex(&mut self, name: &str, number: u64) -> &mut Self {
        self.bytes(name, &number.to_be_bytes())
    }

    /// Two hex digits for each byte.
    pub(in crate::store) fn bytes(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        self.name(name);
        self.out.push(b'"');
        for byte in bytes {
            let digits = [byte >> 4, byte & 15].map(|d| b"0123456789abcdef"[usize::from(d)]);
            self.out.extend_from_slice(&digits);
        }
        self.out.push(b'"');
        self
    }

    pub(in crate::store) fn text_if(&mut self, name: &str, text: Option<&str>) -> &mut Self {
        if let Some(text) = text {
            self.text(name, text);
        }
        self
    }

    pub(in crate::store) fn number(&mut self, name: &str, number: u64) -> &mut Self {
        self.name(name);
        let mut digits = [0u8; 20];
        let (mut at, mut rest) = (digits.len(), number);
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[at..]);
        self
    }

    pub(in crate::store) fn number_if(&mut self, name: &str, number: Option<u64>) -> &mut Self {
        if let Some(number) = number {
            self.number(name, number);
        }
        self
    }

    pub(in crate::store) fn truth(&mut self, name: &str, truth: bool) -> &mut Self {
        if truth {
            self.name(name);
            self.out.extend_from_slice(b"true");
        }
        self
    }

    pub(in crate::store) fn value(&mut self, name: &str, value: &Value) -> &mut Self {
        self.name(name);
        let _ = serde_json::to_writer(&mut self.out, value);
        self
    }

    pub(in crate::store) fn list<T: AsRef<str>>(&mut self, name: &str, list: &[T]) -> &mut Self {
        if !list.is_empty() {
            self.name(name);
            for (at, text) in list.iter().enumerate() {
                self.out.push(if at == 0 { b'[' } else { b',' });
                let _ = serde_json::to_writer(&mut self.out, text.as_ref());
            }
            self.out.push(b']');
        }
        self
    }

    pub(in crate::store) fn time(&mut self, name: &str, time: DateTime<Utc>) -> &mut Self {
        with_rfc3339(time, |text| {
            self.plain(name, text);
        });
        self
    }

    pub(in crate::store) fn time_if(
        &mut self,
        name: &str,
        time: Option<DateTime<Utc>>,
    ) -> &mut Self {
        if let Some(time) = time {
            self.time(name, time);
        }
        self
    }

    /// Closes the object with the link to the line before it, and ends the line.
    pub(in crate::store) fn end(&mut self, prev: u64) -> Vec<u8> {
        let mut line = self.hex("prev", prev).close();
        line.push(b'\n');
        line
    }

    /// Closes the object.
    pub(in crate::store) fn close(&mut self) -> Vec<u8> {
        self.out.push(b'}');
        std::mem::take(&mut self.out)
    }
}
