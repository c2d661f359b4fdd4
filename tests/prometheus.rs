//! A real Prometheus scrapes what `coord telemetry report --prometheus` prints, and reads the same
//! numbers in it.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::disallowed_methods, reason = "tests stand outside the program")]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than this nothing takes, however slow the machine is.
const PATIENCE: Duration = Duration::from_mins(2);

fn coord(home: &Path, args: &[&str]) -> Output {
    let out = Command::new(env!("CARGO_BIN_EXE_coord"))
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("COORD_AGENT", "nova")
        .args(args)
        .output()
        .unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    out
}

/// A store in which something has happened.
fn used_store() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    coord(home.path(), &["init"]);
    coord(home.path(), &["add", "one", "--team", "core"]);
    coord(home.path(), &["add", "two", "--priority", "high"]);
    coord(home.path(), &["claim", "-q"]);
    coord(home.path(), &["complete", "-q"]);
    let mut lines = String::new();
    for us in [300, 99_000, 100_000, 100_001, 90_000_000] {
        let _ = writeln!(
            lines,
            "{{\"at\":\"2026-01-02T03:04:05Z\",\"command\":\"odd \\\"name\\\"\\\\\\n\",\"outcome\":\"ok\",\
             \"exit_code\":0,\"duration_us\":{us},\"memory_kib\":1024,\
             \"trace_id\":\"00000000000000000000000000000001\",\"span_id\":\"0000000000000001\"}}"
        );
    }
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(home.path().join(".coord/ops.jsonl"))
        .unwrap();
    file.write_all(lines.as_bytes()).unwrap();
    home
}

/// Answers every request with the text, as a textfile collector's host would.
fn serve(text: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while request.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                text.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&text));
        }
    });
    port
}

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(port: u16, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

fn encoded(query: &str) -> String {
    query.bytes().fold(String::new(), |mut text, c| {
        let _ = write!(text, "%{c:02X}");
        text
    })
}

/// What a query gives, once it gives anything.
fn ask(port: u16, query: &str) -> Vec<Value> {
    let start = Instant::now();
    loop {
        let answer = get(port, &format!("/api/v1/query?query={}", encoded(query)));
        let rows = answer.as_ref().and_then(|a| a["data"]["result"].as_array()).cloned();
        match rows {
            Some(rows) if !rows.is_empty() => return rows,
            _ => assert!(start.elapsed() < PATIENCE, "{query}: {answer:?}"),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn number(row: &Value) -> f64 {
    row["value"][1].as_str().unwrap().parse().unwrap()
}

#[test]
fn prometheus_reads_the_same_numbers() {
    let home = used_store();
    let text = coord(home.path(), &["telemetry", "report", "--prometheus"]).stdout;
    let target = serve(text);
    // Bound once to find a port that is free.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: coord\n    static_configs:\n      \
         - targets: ['127.0.0.1:{target}']\n"
    );
    let file = home.path().join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let log = std::fs::File::create(home.path().join("prometheus.log")).unwrap();
    let _server = Server(
        Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", home.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{free}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap(),
    );
    let up = ask(free, "up{job=\"coord\"} == 1");
    assert_eq!(up.len(), 1);
    let claims = ask(free, "coord_operations_total{command=\"work claim\",outcome=\"ok\"}");
    assert!((number(&claims[0]) - 1.0).abs() < 1e-9);
    let odd = ask(
        free,
        "coord_operation_duration_seconds_bucket{command=\"odd \\\"name\\\"\\\\\\n\",le=\"0.1\"}",
    );
    assert!((number(&odd[0]) - 3.0).abs() < 1e-9, "{odd:?}");
    let sum = ask(free, "sum(coord_work_items)");
    assert!((number(&sum[0]) - 2.0).abs() < 1e-9);
    let p50 = ask(
        free,
        "histogram_quantile(0.5, coord_operation_duration_seconds_bucket{command=~\"(?s)odd.*\"})",
    );
    assert!((0.05..=0.1).contains(&number(&p50[0])), "{p50:?}");
    let log = std::fs::read_to_string(home.path().join("prometheus.log")).unwrap();
    assert!(!log.contains("level=error") && !log.contains("append failed"), "{log}");
    let targets = get(free, "/api/v1/targets").unwrap();
    assert_eq!(targets["data"]["activeTargets"][0]["lastError"], "");
}

#[test]
fn promtool_has_nothing_to_say() {
    let home = used_store();
    let text = coord(home.path(), &["telemetry", "report", "--prometheus"]).stdout;
    let check = |text: &[u8]| {
        let mut child = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text).unwrap();
        let out = child.wait_with_output().unwrap();
        let said = [out.stdout, out.stderr].concat();
        (out.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    assert_eq!(check(&text), (true, String::new()));
    // A text that is damaged is noticed, so that the check means something.
    let broken = String::from_utf8(text)
        .unwrap()
        .replace("# TYPE coord_up gauge", "# TYPE coord_up rubbish");
    assert!(!check(broken.as_bytes()).0);
}
