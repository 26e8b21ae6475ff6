//! A small HTTP/1.1 client: one keep-alive connection, opened when it is first needed and again after it broke.
//!
//! It never retries by itself: who asks decides whether asking again is safe.

use anyhow::{Context, Result, anyhow, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long to wait for an answer before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection's worth of asking.
pub struct Client {
    address: SocketAddr,
    authorization: String,
    connection: Option<Connection>,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub body: Bytes,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Client {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, authorization: format!("Bearer {token}"), connection: None }
    }

    /// From now on asks another address: the daemon was started again.
    pub fn redirect(&mut self, address: SocketAddr) {
        if address != self.address {
            self.address = address;
            self.connection = None;
        }
    }

    pub async fn get(&mut self, path: &str) -> Result<Reply> {
        self.ask(Method::GET, path, "", Bytes::new()).await
    }

    pub async fn post(&mut self, path: &str, content_type: &str, body: impl Into<Bytes>) -> Result<Reply> {
        self.ask(Method::POST, path, content_type, body.into()).await
    }

    /// With an idempotency key: the same one again has no further effect.
    pub async fn post_keyed(&mut self, path: &str, key: &str, body: impl Into<Bytes>) -> Result<Reply> {
        let mut request = self.request(Method::POST, path, "application/json", body.into())?;
        request.headers_mut().insert("idempotency-key", key.parse().context("an odd idempotency key")?);
        self.answered(request, path).await
    }

    pub async fn put(&mut self, path: &str, content_type: &str, body: impl Into<Bytes>) -> Result<Reply> {
        self.ask(Method::PUT, path, content_type, body.into()).await
    }

    /// An answer that is read piece by piece; it takes the connection with it.
    pub async fn open(mut self, path: &str, accept: &str) -> Result<Streaming> {
        let mut request = self.request(Method::GET, path, "", Bytes::new())?;
        request.headers_mut().insert(header::ACCEPT, accept.parse().context("an odd accept header")?);
        let response = self.send(request).await?;
        if !response.status().is_success() {
            let status = response.status();
            let body = response.into_body().collect().await.context("reading the refusal")?.to_bytes();
            bail!("GET {path}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(Streaming { body: response.into_body(), buffer: Vec::new(), _connection: self.connection.take() })
    }

    async fn ask(&mut self, method: Method, path: &str, content_type: &str, body: Bytes) -> Result<Reply> {
        let request = self.request(method, path, content_type, body)?;
        self.answered(request, path).await
    }

    async fn answered(&mut self, request: Request<Full<Bytes>>, path: &str) -> Result<Reply> {
        let reply = timeout(PATIENCE, self.exchange(request)).await;
        let reply = reply.unwrap_or_else(|_| Err(anyhow!("no answer within {} s", PATIENCE.as_secs())));
        if reply.is_err() {
            self.connection = None;
        }
        reply.with_context(|| format!("asking {} for {path}", self.address))
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Reply> {
        let response = self.send(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await.context("reading the answer")?.to_bytes();
        Ok(Reply { status, body })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, &self.authorization);
        if !content_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        request.body(Full::new(body)).context("forming the request")
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        if self.connection.as_ref().is_none_or(|connection| connection.sender.is_closed()) {
            self.connection = Some(connect(self.address).await?);
        }
        let connection = self.connection.as_mut().context("it was just opened")?;
        connection.sender.ready().await.context("the connection closed")?;
        connection.sender.send_request(request).await.context("sending the request")
    }
}

impl Reply {
    /// The answer, if it is a success; what the daemon said is wrong, if not.
    pub fn success(self) -> Result<Reply> {
        if self.status.is_success() {
            return Ok(self);
        }
        bail!("{}: {}", self.status, String::from_utf8_lossy(&self.body))
    }

    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("understanding the answer `{}`", String::from_utf8_lossy(&self.body)))
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// An answer that comes line by line, perhaps without end.
pub struct Streaming {
    body: Incoming,
    buffer: Vec<u8>,
    _connection: Option<Connection>,
}

impl Streaming {
    /// Reads on, and hands over every line that is complete by now, without its end. `false` once the answer is over.
    pub async fn read_lines(&mut self, mut take: impl FnMut(&[u8])) -> Result<bool> {
        let Some(frame) = self.body.frame().await else {
            if !self.buffer.is_empty() {
                take(&self.buffer);
                self.buffer.clear();
            }
            return Ok(false);
        };
        if let Ok(data) = frame.context("reading the answer")?.into_data() {
            self.buffer.extend_from_slice(&data);
            self.hand_over_lines(&mut take);
        }
        Ok(true)
    }

    fn hand_over_lines(&mut self, take: &mut impl FnMut(&[u8])) {
        let Some(end) = self.buffer.iter().rposition(|byte| *byte == b'\n') else { return };
        for line in self.buffer[..end].split(|byte| *byte == b'\n') {
            take(line.strip_suffix(b"\r").unwrap_or(line));
        }
        self.buffer.drain(..=end);
    }
}

async fn connect(address: SocketAddr) -> Result<Connection> {
    let socket = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    socket.set_nodelay(true).context("switching off Nagle's delay")?;
    let (sender, connection) = handshake(TokioIo::new(socket)).await.context("opening HTTP")?;
    // Its errors reach us through the request they break.
    let driver = tokio::spawn(async move { drop(connection.await) });
    Ok(Connection { sender, driver })
}

#[cfg(test)]
pub mod testing {
    //! A daemon that answers from a script, for the tests of whoever asks.

    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    /// What to do with the next request.
    pub enum Act {
        Answer(u16, &'static str),
        /// Read the request and close: the daemon died before its answer.
        Die,
    }

    /// Serves one act per request, over as many connections as come; every request's body arrives in the channel.
    pub async fn serve(acts: Vec<Act>) -> (SocketAddr, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (bodies, received) = mpsc::channel(100);
        tokio::spawn(async move {
            let mut acts = acts.into_iter().peekable();
            while acts.peek().is_some() {
                let (mut socket, _) = listener.accept().await.unwrap();
                while let Some(body) = read_request(&mut socket).await {
                    bodies.send(body).await.unwrap();
                    let Some(Act::Answer(status, text)) = acts.next() else { break };
                    let answer =
                        format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{text}", text.len());
                    socket.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        (address, received)
    }

    async fn read_request(socket: &mut tokio::net::TcpStream) -> Option<String> {
        let mut bytes = Vec::new();
        loop {
            if socket.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(body.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Act, serve};
    use super::*;

    #[tokio::test]
    async fn a_connection_is_kept_and_opened_again_when_it_broke() {
        let (address, _bodies) = serve(vec![
            Act::Answer(200, "one"),
            Act::Answer(404, "two"),
            Act::Die,
            Act::Answer(200, "three"),
        ])
        .await;
        let mut client = Client::new(address, "secret");
        assert_eq!(client.get("/").await.unwrap().success().unwrap().text(), "one");
        assert!(client.get("/").await.unwrap().success().unwrap_err().to_string().contains("two"));
        assert!(client.post("/", "text/plain", "hello").await.is_err());
        assert_eq!(client.get("/").await.unwrap().text(), "three");
    }

    #[tokio::test]
    async fn a_stream_is_handed_over_line_by_line() {
        let (address, _bodies) = serve(vec![Act::Answer(200, "one\r\ntwo\nthree")]).await;
        let mut stream = Client::new(address, "secret").open("/", "text/plain").await.unwrap();
        let mut lines = Vec::new();
        while stream.read_lines(|line| lines.push(String::from_utf8(line.to_vec()).unwrap())).await.unwrap() {
        }
        assert_eq!(lines, ["one", "two", "three"]);
    }
}
