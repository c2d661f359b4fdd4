//! A service on loopback that answers as the API of Claude does, or says that it is overloaded: what
//! is measured with it is our own part of a call.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::sys::Clock;

/// The most that a request may have.
const MOST: u64 = 4 << 20;

/// Nobody waits longer than this for a client that does nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// The service, until it is dropped.
pub(super) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    asked: AtomicU64,
    end: AtomicBool,
    service_time: Duration,
    down: bool,
    clock: Arc<dyn Clock>,
}

impl Server {
    /// Begins to serve: an answer after `service_time`, or, if it is `down`, status 529 at once.
    pub(super) fn start(
        service_time: Duration,
        down: bool,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (asked, end) = (AtomicU64::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { asked, end, service_time, down, clock });
        let all = Arc::clone(&shared);
        std::thread::Builder::new().name("service".into()).spawn(move || {
            for stream in listener.incoming() {
                if all.end.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&all);
                let serve = move || drop(shared.serve(stream));
                let _ = std::thread::Builder::new().stack_size(256 << 10).spawn(serve);
            }
        })?;
        Ok(Self { address, shared })
    }

    /// Where it is.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many questions came so far.
    pub(super) fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::Relaxed)
    }

    /// Asks without any layer: a connection, a request, its answer read to the end.
    pub(super) fn exchange(&self, question: &str) -> io::Result<()> {
        let body = json!({
            "model": "claude-haiku-5-5", "max_tokens": 4096,
            "messages": [{ "role": "user", "content": question }],
        })
        .to_string();
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 200 ") {
            Ok(())
        } else {
            Err(io::Error::other("no answer"))
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

impl Shared {
    /// Serves one connection to its end.
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut out = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        while let Some((body, close)) = request(&mut reader)? {
            let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
            let (status, answer) = if self.down {
                ("529 Overloaded", overloaded(number))
            } else {
                self.clock.sleep(self.service_time);
                ("200 OK", message(&body, number))
            };
            let answer = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nrequest-id: req_{number}\r\n\
                 content-length: {}\r\n\r\n",
                answer.len()
            );
            out.write_all((head + &answer).as_bytes())?;
            if close {
                break;
            }
        }
        Ok(())
    }
}

/// The body of the next request, and whether the connection ends with it; nothing at its end.
fn request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<(Value, bool)>> {
    let (mut length, mut close, mut first) = (0, false, true);
    loop {
        let mut line = String::new();
        if reader.by_ref().take(1 << 16).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() && !first {
            break;
        }
        first = false;
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        close |= line.strip_prefix("connection:").is_some_and(|value| value.trim() == "close");
    }
    let mut body = Vec::new();
    reader.by_ref().take(u64::min(length, MOST)).read_to_end(&mut body)?;
    Ok(Some((serde_json::from_slice(&body)?, close)))
}

fn message(body: &Value, number: u64) -> Value {
    json!({
        "id": format!("msg_{number}"), "type": "message", "role": "assistant",
        "model": body["model"],
        "content": [{ "type": "text", "text": format!("answer {number}") }],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": { "input_tokens": 10, "output_tokens": 5 },
    })
}

fn overloaded(number: u64) -> Value {
    json!({
        "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" },
        "request_id": format!("req_{number}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::SystemClock;

    #[test]
    fn answers_and_counts_until_it_is_dropped() {
        let server = Server::start(Duration::ZERO, false, Arc::new(SystemClock)).unwrap();
        for _ in 0..3 {
            server.exchange("Who?").unwrap();
        }
        assert_eq!(server.asked(), 3);
        let down = Server::start(Duration::ZERO, true, Arc::new(SystemClock)).unwrap();
        assert!(down.exchange("Who?").is_err());
        let address = server.address;
        drop(server);
        // The thread may still be about to end.
        let gone = (0..200).any(|_| {
            SystemClock.sleep(Duration::from_millis(5));
            TcpStream::connect(address).is_err()
        });
        assert!(gone);
    }
}
