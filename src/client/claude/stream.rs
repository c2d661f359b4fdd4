//! Server-sent events, and the reply they make up. No clock and no socket.

use serde_json::Value;

use super::api::{said, usage};
use super::{Cause, Fault, Reply, StopReason, Usage};

/// Cuts bytes into events, wherever the pieces end.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    any: bool,
    after_cr: bool,
}

impl Events {
    /// Takes a piece; gives the data of each event that is now complete. The name of an event also
    /// stands in its data.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Vec<Vec<u8>> {
        let mut events = Vec::new();
        for byte in piece {
            match byte {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' | b'\r' => {
                    self.after_cr = *byte == b'\r';
                    self.end_line(&mut events);
                }
                byte => {
                    self.after_cr = false;
                    self.line.push(*byte);
                }
            }
        }
        events
    }

    fn end_line(&mut self, events: &mut Vec<Vec<u8>>) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            if std::mem::take(&mut self.any) {
                events.push(std::mem::take(&mut self.data));
            }
            return;
        }
        let Some(rest) = line.strip_prefix(b"data") else { return };
        let value = match rest {
            [] => &[],
            [b':', b' ', value @ ..] | [b':', value @ ..] => value,
            _ => return,
        };
        if self.any {
            self.data.push(b'\n');
        }
        self.any = true;
        self.data.extend_from_slice(value);
    }
}

/// What an event means for the reader.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Nothing to be seen.
    None,
    /// More text.
    Text(String),
    /// The message is complete.
    Done,
}

/// Puts a reply together.
#[derive(Debug, Default)]
pub(super) struct Message {
    text: String,
    model: String,
    stop_reason: Option<StopReason>,
    usage: Usage,
    started: bool,
    stopped: bool,
}

impl Message {
    /// Takes the data of one event.
    pub(super) fn take(&mut self, data: &[u8]) -> Result<Step, Box<Fault>> {
        let malformed = |what: &str| Box::new(Fault::new(Cause::Malformed, what));
        let event: Value =
            serde_json::from_slice(data).map_err(|_| malformed("an event holds no JSON"))?;
        match event["type"].as_str() {
            Some("message_start") => {
                let message = &event["message"];
                self.started = true;
                message["model"].as_str().unwrap_or_default().clone_into(&mut self.model);
                self.usage = usage(&message["usage"], Usage::default());
            }
            Some("content_block_start") => {
                let block = &event["content_block"];
                if block["type"] == "text" {
                    return Ok(self.text(block["text"].as_str()));
                }
            }
            Some("content_block_delta") => {
                let delta = &event["delta"];
                if delta["type"] == "text_delta" {
                    let text = delta["text"].as_str();
                    let text = text.ok_or_else(|| malformed("a piece of text has no text"))?;
                    return Ok(self.text(Some(text)));
                }
            }
            Some("message_delta") => {
                if let Some(word) = event["delta"]["stop_reason"].as_str() {
                    self.stop_reason = Some(StopReason::read(word));
                }
                // These numbers are totals, not additions.
                self.usage = usage(&event["usage"], self.usage);
            }
            Some("message_stop") => {
                self.stopped = true;
                return Ok(Step::Done);
            }
            Some("error") => {
                let mut fault = Fault::new(Cause::StreamError, "an error within the stream");
                said(&mut fault, &event);
                fault.usage = self.used();
                return Err(Box::new(fault));
            }
            // `ping`, `content_block_stop`, and whatever will be invented.
            _ => {}
        }
        Ok(Step::None)
    }

    fn text(&mut self, text: Option<&str>) -> Step {
        match text.filter(|text| !text.is_empty()) {
            Some(text) => {
                self.text.push_str(text);
                Step::Text(text.to_owned())
            }
            None => Step::None,
        }
    }

    /// What was used as far as it was told.
    pub(super) fn used(&self) -> Option<Usage> {
        (self.usage != Usage::default()).then_some(self.usage)
    }

    /// The reply. It is complete only if the end was seen and a reason for it.
    pub(super) fn finish(self) -> Result<Reply, Box<Fault>> {
        if !self.started || !self.stopped || self.stop_reason.is_none() {
            let mut fault = Fault::new(Cause::Truncated, "the stream ended before the message did");
            fault.usage = self.used();
            return Err(Box::new(fault));
        }
        Ok(Reply {
            text: self.text,
            structured: None,
            stop_reason: self.stop_reason,
            model: self.model,
            usage: self.usage,
            cost: None,
            request_id: None,
            status: Some(200),
            pause: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = concat!(
        "event: message_start\n",
        "data: {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n",
        ": a comment\r\nevent: ping\rdata: {\"type\":\"ping\"}\r\r",
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\"}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}}\n\n",
        "event: never_heard_of\ndata: {\"type\":\"never_heard_of\"}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"Gr\u{fc}\"}}\r\n\r\n",
        "data:{\"type\":\"content_block_delta\",\"index\":1,\ndata: \"delta\":{\"type\":\"text_delta\",\"text\":\"\u{df}e\"}}\n\n",
        "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\n",
        "data: {\"type\":\"message_stop\"}\n\n",
    );

    fn read(pieces: &[&[u8]]) -> Result<Reply, Box<Fault>> {
        let (mut events, mut message) = (Events::default(), Message::default());
        for piece in pieces {
            for data in events.feed(piece) {
                message.take(&data)?;
            }
        }
        message.finish()
    }

    #[test]
    fn a_stream_becomes_a_reply() {
        let reply = read(&[STREAM.as_bytes()]).unwrap();
        assert_eq!((reply.text.as_str(), reply.model.as_str()), ("Gr\u{fc}\u{df}e", "m"));
        assert_eq!(reply.stop_reason, Some(StopReason::EndTurn));
        assert_eq!((reply.usage.input_tokens, reply.usage.output_tokens), (7, 9));
    }

    #[test]
    fn a_stream_that_is_cut_anywhere_is_no_reply() {
        // The blank line that ends the last event may be missing its second half only.
        for end in 0..STREAM.len() - 1 {
            let fault = read(&[&STREAM.as_bytes()[..end]]).unwrap_err();
            assert_eq!(fault.cause, Cause::Truncated, "{end}");
        }
    }

    #[test]
    fn an_error_within_the_stream_is_told_by_its_type() {
        let error = "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"full\"}}\n\n";
        let fault = read(&[&STREAM.as_bytes()[..150], error.as_bytes()]);
        drop(fault);
        let fault = read(&[error.as_bytes()]).unwrap_err();
        assert_eq!(fault.error_type.as_deref(), Some("overloaded_error"));
        assert_eq!(fault.cause, Cause::StreamError);
        assert_eq!(read(&[b"data: <html>\n\n"]).unwrap_err().cause, Cause::Malformed);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_pieces_end(cuts in prop::collection::vec(0..STREAM.len(), 0..40)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|two| &STREAM.as_bytes()[two[0]..two[1]]).collect();
            prop_assert_eq!(read(&pieces).unwrap(), read(&[STREAM.as_bytes()]).unwrap());
        }

        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&[&bytes]);
        }
    }
}
