//! Load over HTTP/1.1 keep-alive with as little work as possible on the asking side: blocking threads, one connection each,
//! requests written as they are, answers read to their announced length.

use crate::clock;
use crate::latency::Latencies;
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

const READ_BYTES: usize = 64 * 1024;

/// One connection.
pub struct Asker {
    socket: TcpStream,
    received: Vec<u8>,
}

impl Asker {
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { socket, received: Vec::with_capacity(READ_BYTES) })
    }

    /// Sends a request and reads its answer: the status and how long the body is.
    pub fn ask(&mut self, request: &[u8]) -> Result<(u16, usize)> {
        self.socket.write_all(request).context("asking")?;
        self.received.clear();
        let head = loop {
            if let Some(head) = parse_head(&self.received)? {
                break head;
            }
            self.receive()?;
        };
        while self.received.len() < head.length + head.body {
            self.receive()?;
        }
        Ok((head.status, head.body))
    }

    /// The body of the last answer.
    #[must_use]
    pub fn body(&self, length: usize) -> &[u8] {
        &self.received[self.received.len() - length..]
    }

    fn receive(&mut self) -> Result<()> {
        let filled = self.received.len();
        self.received.resize(filled + READ_BYTES, 0);
        let count = self.socket.read(&mut self.received[filled..]).context("reading the answer")?;
        self.received.truncate(filled + count);
        if count == 0 {
            bail!("the connection was closed");
        }
        Ok(())
    }
}

struct Head {
    status: u16,
    /// How long the head is, and how long the body that follows it.
    length: usize,
    body: usize,
}

fn parse_head(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end]).context("the head is no text")?;
    let status = text.get(9..12).and_then(|status| status.parse().ok()).context("no status")?;
    let announced = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let body = announced.context("the answer does not announce its length")?.context("an odd length")?;
    Ok(Some(Head { status, length: end + 4, body }))
}

/// A request ready to be sent.
#[must_use]
pub fn request(method: &str, path: &str, token: &str, content_type: &str, body: &str) -> Vec<u8> {
    let content = if body.is_empty() {
        String::new()
    } else {
        format!("content-type: {content_type}\r\ncontent-length: {}\r\n", body.len())
    };
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{content}\r\n{body}"
    )
    .into_bytes()
}

/// What a load came to.
#[derive(Debug, Default)]
pub struct Loaded {
    pub answers: u64,
    pub bytes: u64,
    pub seconds: f64,
    pub latencies: Latencies,
}

impl Loaded {
    #[must_use]
    pub fn per_second(&self) -> f64 {
        super::figure::as_f64(self.answers) / self.seconds
    }
}

/// Asks on `connections` connections for `time`, each as fast as it is answered. `requests` makes the n-th request of a
/// connection.
pub fn run(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    requests: &(dyn Fn(usize, u64) -> Vec<u8> + Sync),
) -> Result<Loaded> {
    let over = AtomicBool::new(false);
    let start = clock::now();
    let parts: Vec<Result<Loaded>> = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..connections)
            .map(|connection| {
                let over = &over;
                scope.spawn(move || ask_on(address, over, &|number| requests(connection, number)))
            })
            .collect();
        std::thread::sleep(time);
        over.store(true, Relaxed);
        askers.into_iter().map(|asker| asker.join().unwrap_or_else(|_| bail!("an asker panicked"))).collect()
    });
    let mut loaded = Loaded { seconds: start.elapsed().as_secs_f64(), ..Loaded::default() };
    for part in parts {
        let part = part?;
        loaded.answers += part.answers;
        loaded.bytes += part.bytes;
        loaded.latencies.append(part.latencies);
    }
    Ok(loaded)
}

fn ask_on(address: SocketAddr, over: &AtomicBool, requests: &dyn Fn(u64) -> Vec<u8>) -> Result<Loaded> {
    let mut asker = Asker::connect(address)?;
    let mut loaded = Loaded::default();
    while !over.load(Relaxed) {
        let request = requests(loaded.answers);
        let start = clock::now();
        let (status, length) = asker.ask(&request)?;
        loaded.latencies.add(start.elapsed());
        if !(200..300).contains(&status) {
            bail!("answered {status}: {}", String::from_utf8_lossy(asker.body(length)));
        }
        loaded.answers += 1;
        loaded.bytes += u64::try_from(length).unwrap_or(0);
    }
    Ok(loaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answers_length_is_found_whatever_the_case() {
        let head = parse_head(b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello").unwrap().unwrap();
        assert_eq!((head.status, head.body, head.length), (201, 5, 43));
        assert!(parse_head(b"HTTP/1.1 200 OK\r\n").unwrap().is_none());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn requests_are_answered_one_after_the_other() {
        use crate::http::testing::{Act, serve};
        let (address, mut bodies) = serve(vec![Act::Answer(200, "one"), Act::Answer(500, "two")]).await;
        let asked = tokio::task::spawn_blocking(move || -> Result<(u16, u16)> {
            let mut asker = Asker::connect(address)?;
            let first = asker.ask(&request("POST", "/", "t", "text/plain", "hello"))?;
            assert_eq!(asker.body(first.1), b"one");
            Ok((first.0, asker.ask(&request("GET", "/", "t", "", ""))?.0))
        });
        assert_eq!(asked.await.unwrap().unwrap(), (200, 500));
        assert_eq!(bodies.recv().await.unwrap(), "hello");
    }
}
