//! HTTP/1.1 as the scripted server speaks it: rightly, or wrongly on purpose.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::act::{self, Act, Way};

/// The most that a request may have.
const MOST: usize = 64 << 20;
/// Nobody waits longer than this for a client that does nothing.
const PATIENCE: Duration = Duration::from_mins(1);

/// A request.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// One connection.
pub(super) struct Line {
    tcp: TcpStream,
    stream: Box<dyn Stream>,
    plain: bool,
    buffer: Vec<u8>,
    /// Whether the last byte of the request was left with the kernel: a socket that is closed with
    /// something unread is reset.
    unread: bool,
}

impl Line {
    pub(super) fn open(tcp: TcpStream, tls: Option<Arc<rustls::ServerConfig>>) -> Option<Self> {
        tcp.set_nodelay(true).ok()?;
        tcp.set_read_timeout(Some(PATIENCE)).ok()?;
        let (raw, plain) = (tcp.try_clone().ok()?, tls.is_none());
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(raw),
            Some(config) => {
                let session = rustls::ServerConnection::new(config).ok()?;
                Box::new(rustls::StreamOwned::new(session, raw))
            }
        };
        Some(Self { tcp, stream, plain, buffer: Vec::new(), unread: false })
    }

    fn more(&mut self, most: usize) -> Option<()> {
        let mut piece = vec![0; most.clamp(1, 1 << 16)];
        let n = self.stream.read(&mut piece).ok().filter(|n| *n > 0)?;
        self.buffer.extend_from_slice(&piece[..n]);
        Some(())
    }

    /// The next request; nothing when the client has gone. The last byte of its body is not taken
    /// from the kernel yet.
    pub(super) fn request(&mut self) -> Option<Request> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            if self.plain {
                // Just the head, so that of the body one byte can be left.
                let mut seen = [0; 1 << 14];
                let n = self.tcp.peek(&mut seen).ok().filter(|n| *n > 0)?;
                let start = self.buffer.len().saturating_sub(3);
                let mut all = self.buffer[start..].to_vec();
                let old = all.len();
                all.extend_from_slice(&seen[..n]);
                let found = all.windows(4).position(|w| w == b"\r\n\r\n");
                self.more(found.map_or(n, |at| at + 4 - old))?;
            } else {
                self.more(1 << 14)?;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let path = target.split('?').next()?.to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length: usize = length.and_then(|(_, n)| n.parse().ok()).unwrap_or(0).min(MOST);
        let keep = usize::from(self.plain && length > 0);
        while self.buffer.len() + keep < length {
            self.more(length - keep - self.buffer.len())?;
        }
        if keep == 1 {
            let mut last = [0];
            let n = self.tcp.peek(&mut last).ok()?;
            self.buffer.extend_from_slice(&last[..n]);
            self.unread = true;
        }
        let body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        Some(Request { method, path, headers, body })
    }

    /// Takes what was left of the request.
    fn finish(&mut self) {
        if std::mem::take(&mut self.unread) {
            let _ = self.stream.read_exact(&mut [0]);
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Waits until the client gives up.
    fn wait(&mut self) -> bool {
        let _ = self.tcp.set_read_timeout(Some(PATIENCE));
        let _ = self.stream.read(&mut [0; 64]);
        false
    }

    /// Ends the connection in order.
    fn end(&mut self) -> bool {
        let _ = self.stream.flush();
        let _ = self.tcp.shutdown(Shutdown::Write);
        false
    }

    /// Answers what is no request for a message.
    pub(super) fn other(&mut self, method: &str, path: &str, body: &Value, number: usize) -> bool {
        self.finish();
        let models = ["claude-haiku-5-5", "claude-sonnet-5-5"].map(|id| {
            json!({ "type": "model", "id": id, "display_name": id,
                "created_at": "2026-01-01T00:00:00Z", "lifecycle": "active" })
        });
        let (status, answer) = if path.ends_with("/count_tokens") {
            (200, json!({ "input_tokens": body.to_string().len() / 4 }))
        } else if method == "GET" && path.ends_with("/v1/models") {
            let (first, last) = (models[0]["id"].clone(), models[1]["id"].clone());
            let page =
                json!({ "data": models, "has_more": false, "first_id": first, "last_id": last });
            (200, page)
        } else {
            (404, Act::status(404).error_body(&format!("req_{number:06}")))
        };
        let head = head(status, &Act::ok(), "application/json", number);
        self.whole(&head, answer.to_string().as_bytes()).is_ok()
    }

    /// Plays an act. Tells whether the connection can be used again.
    pub(super) fn answer(&mut self, act: &Act, body: &Value, number: usize) -> bool {
        if act.delay_ms > 0 {
            std::thread::sleep(Duration::from_millis(act.delay_ms));
        }
        if !matches!(act.way, Way::Reset | Way::ResetBody) {
            self.finish();
        }
        let request_id = format!("req_{number:06}");
        let json = "application/json";
        match act.way {
            Way::Reset => false,
            Way::Close => self.end(),
            Way::Silent => self.wait(),
            Way::NotHttp => {
                let _ = self.send(b"SSH-2.0-Elsewhere\r\n");
                self.end()
            }
            Way::Redirect => {
                let head = head(307, act, json, number);
                self.whole(&head, b"").is_ok()
            }
            Way::Error => {
                let head = head(act.status, act, json, number);
                self.whole(&head, act.error_body(&request_id).to_string().as_bytes()).is_ok()
            }
            Way::Html => {
                let head = head(act.status, act, "text/html", number);
                let page = b"<html><body><h1>Bad Gateway</h1></body></html>";
                self.whole(&head, page).is_ok()
            }
            _ if body["stream"] == true => self.stream(act, body, number),
            way => {
                let head = head(200, act, json, number);
                let answer = match way {
                    Way::WrongShape => json!({ "hello": "world" }).to_string(),
                    Way::NotJson => "not json at all {".to_owned(),
                    // Without a stream this comes as an answer whose body is an error.
                    Way::StreamError => self::act::Act::error_body(act, &request_id).to_string(),
                    _ => act::message(act, body, number).to_string(),
                };
                self.body(act, &head, answer.as_bytes())
            }
        }
    }

    /// An answer with a body in one piece, or what becomes of it.
    fn body(&mut self, act: &Act, head: &str, body: &[u8]) -> bool {
        let half = body.len() / 2;
        let partly = format!("{head}content-length: {}\r\n\r\n", body.len());
        match act.way {
            Way::ResetBody | Way::CutBody | Way::Truncated | Way::Stall => {
                let _ = self.send(partly.as_bytes()).and_then(|()| self.send(&body[..half]));
                match act.way {
                    Way::Stall => self.wait(),
                    Way::ResetBody => {
                        // The client shall see the half before the reset.
                        std::thread::sleep(Duration::from_millis(20));
                        false
                    }
                    _ => self.end(),
                }
            }
            Way::BadChunk => {
                let text = format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n");
                let _ = self.send(text.as_bytes()).and_then(|()| self.send(&body[..half]));
                self.end()
            }
            Way::Slow => {
                let pause = Duration::from_millis(act.pause_ms);
                let sent = self.send(partly.as_bytes()).and_then(|()| {
                    body.iter().try_for_each(|byte| {
                        std::thread::sleep(pause);
                        self.send(&[*byte])
                    })
                });
                sent.is_ok()
            }
            _ => self.whole(head, body).is_ok(),
        }
    }

    fn whole(&mut self, head: &str, body: &[u8]) -> io::Result<()> {
        let mut all = format!("{head}content-length: {}\r\n\r\n", body.len()).into_bytes();
        all.extend_from_slice(body);
        self.send(&all)
    }

    /// An answer as server-sent events in chunks, or what becomes of it.
    fn stream(&mut self, act: &Act, body: &Value, number: usize) -> bool {
        let head = head(200, act, "text/event-stream; charset=utf-8", number);
        let head = format!("{head}cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n");
        if self.send(head.as_bytes()).is_err() {
            return false;
        }
        let events = match act.way {
            Way::WrongShape => vec![("hello", json!({ "hello": "world" }))],
            _ => act::events(act, &act::message(act, body, number)),
        };
        let last = events.len() - 1;
        for (at, (name, data)) in events.into_iter().enumerate() {
            let spoiled = at * 2 > last;
            match act.way {
                Way::StreamError if spoiled => {
                    let status = if act.status == 200 { 529 } else { act.status };
                    let error =
                        Act { status, ..act.clone() }.error_body(&format!("req_{number:06}"));
                    let _ = self.event("error", &error.to_string());
                    let _ = self.send(b"0\r\n\r\n");
                    return self.end();
                }
                Way::ResetBody if spoiled => {
                    std::thread::sleep(Duration::from_millis(20));
                    return false;
                }
                Way::CutBody if spoiled => return self.end(),
                Way::Stall if spoiled => return self.wait(),
                Way::BadChunk if spoiled => {
                    let _ = self.send(b"zz\r\ndata: {}\r\n");
                    return self.end();
                }
                _ => {}
            }
            if act.pause_ms > 0 {
                std::thread::sleep(Duration::from_millis(act.pause_ms));
            }
            let data = if act.way == Way::NotJson && spoiled {
                "{not json".to_owned()
            } else {
                data.to_string()
            };
            if self.event(name, &data).is_err() {
                return false;
            }
        }
        self.send(b"0\r\n\r\n").is_ok()
    }

    /// One event; every fourth one in two chunks, cut within a line.
    fn event(&mut self, name: &str, data: &str) -> io::Result<()> {
        let text = format!("event: {name}\ndata: {data}\n\n");
        let bytes = text.as_bytes();
        let cut = if bytes.len() % 4 == 0 { bytes.len() / 3 } else { bytes.len() };
        for piece in [&bytes[..cut], &bytes[cut..]] {
            if piece.is_empty() {
                continue;
            }
            let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
            chunk.extend_from_slice(piece);
            chunk.extend_from_slice(b"\r\n");
            self.send(&chunk)?;
        }
        Ok(())
    }
}

/// The head of an answer, up to the headers that tell the length.
fn head(status: u16, act: &Act, kind: &str, number: usize) -> String {
    let usual = [
        ("content-type", kind.to_owned()),
        ("request-id", format!("req_{number:06}")),
        ("anthropic-organization-id", "00000000-0000-0000-0000-000000000000".to_owned()),
        ("anthropic-ratelimit-requests-limit", "4000".to_owned()),
        ("anthropic-ratelimit-requests-remaining", "3999".to_owned()),
        ("anthropic-ratelimit-requests-reset", "2099-01-01T00:00:00Z".to_owned()),
    ];
    let mut text = format!("HTTP/1.1 {status} Scripted\r\n");
    for (name, value) in usual {
        if !act.headers.contains_key(name) {
            text.extend([name, ": ", &value, "\r\n"]);
        }
    }
    for (name, value) in &act.headers {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        text.extend([name, ": ", &value, "\r\n"]);
    }
    text
}
