//! A small HTTP/1.1 client: one connection per request, so that nothing of a killed server lingers.

use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Asks one server with one bearer token.
#[derive(Clone)]
pub struct Client {
    server: SocketAddr,
    token: String,
}

/// What a server answered.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: String,
}

impl Client {
    pub fn new(server: SocketAddr, token: &str) -> Client {
        Client { server, token: token.to_owned() }
    }

    pub fn get(&self, path: &str) -> io::Result<Reply> {
        self.send("GET", path, "", &[])
    }

    pub fn post(&self, path: &str, body: &Value) -> io::Result<Reply> {
        self.send("POST", path, &body.to_string(), &[("Content-Type", "application/json")])
    }

    /// What a counter or gauge on `/metrics` shows; `name` with its labels.
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let metrics = self.get("/metrics").expect("the daemon answers").expect(200).body;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no `{name}` in {metrics}"));
        value.parse().expect("a metric is a number")
    }

    pub fn send(&self, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> io::Result<Reply> {
        let mut stream = TcpStream::connect_timeout(&self.server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n",
            self.server,
            self.token,
            body.len()
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes())?;
        // A server that refuses a long body may answer and close before it has read all of it.
        let written = stream.write_all(body.as_bytes());
        let mut bytes = Vec::new();
        match read_answer(&mut stream, &mut bytes) {
            Ok(()) => {}
            Err(_) if bytes.windows(4).any(|four| four == b"\r\n\r\n") => {}
            Err(error) => return Err(written.err().unwrap_or(error)),
        }
        Reply::parse(&bytes)
    }
}

impl Reply {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}) in {self:?}"))
    }

    /// One JSON value per line.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let parse =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}) in {line}"));
        self.body.lines().filter(|line| !line.is_empty()).map(parse).collect()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    fn parse(bytes: &[u8]) -> io::Result<Reply> {
        let broken = |what: &str| io::Error::new(io::ErrorKind::UnexpectedEof, what.to_owned());
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .ok_or_else(|| broken("the answer has no end of head"))?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status =
            head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| broken("no status"))?;
        let rest = &bytes[end + 4..];
        let lower = head.to_ascii_lowercase();
        let length = lower
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|n| n.trim().parse().ok());
        let body = if lower.contains("transfer-encoding: chunked") { unchunk(rest)? } else { rest.to_vec() };
        if length.is_some_and(|length: usize| length != body.len()) {
            return Err(broken("the answer stops in its middle"));
        }
        Ok(Reply { status, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// Up to the length the answer gives, or up to its end: not every server closes because it was asked to.
fn read_answer(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 16 << 10];
    let mut whole = None;
    loop {
        if whole.is_none()
            && let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n")
        {
            let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
            let length =
                text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            whole = Some(length.map(|length: usize| head + 4 + length));
        }
        if whole.flatten().is_some_and(|whole| bytes.len() >= whole) {
            return Ok(());
        }
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
}

fn unchunk(mut rest: &[u8]) -> io::Result<Vec<u8>> {
    let broken = || io::Error::new(io::ErrorKind::UnexpectedEof, "a chunk stops in its middle");
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").ok_or_else(broken)?;
        let digits = String::from_utf8_lossy(&rest[..line]);
        let size = usize::from_str_radix(digits.trim(), 16).map_err(|_| broken())?;
        let chunk = rest.get(line + 2..line + 2 + size).ok_or_else(broken)?;
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(chunk);
        rest = rest.get(line + 2 + size + 2..).ok_or_else(broken)?;
    }
}
