//! The agent on this machine, asked over its own HTTP.

use crate::fault::{Code, Fault};
use crate::files;
use crate::layout::Layout;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// `addresses.json`, as the agent writes it.
#[derive(Deserialize)]
struct Addresses {
    http: SocketAddr,
}

/// Where the agent listens for tills; `None` where it has never said.
pub fn address(layout: &Layout) -> Result<Option<SocketAddr>, Fault> {
    let text = files::read(&layout.addresses())?;
    Ok(text.and_then(|text| serde_json::from_str::<Addresses>(&text).ok()).map(|addresses| addresses.http))
}

/// A token that may read; every one may.
pub fn any_token(layout: &Layout) -> Result<Option<String>, Fault> {
    let text = files::read(&layout.tokens())?.unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.filter_map(|line| line.split_whitespace().nth(1)).next().map(str::to_owned))
}

/// What the agent answers; JSON whatever the status.
pub async fn ask(agent: SocketAddr, token: Option<&str>, path: &str) -> Result<(StatusCode, Value), Fault> {
    let answered = timeout(ANSWER_WITHIN, exchange(agent, token, path)).await;
    answered
        .unwrap_or_else(|_| Err("no answer".to_owned()))
        .map_err(|why| Fault::new(Code::E504, format!("the agent does not answer at {agent}: {why}")))
}

async fn exchange(agent: SocketAddr, token: Option<&str>, path: &str) -> Result<(StatusCode, Value), String> {
    let stream = TcpStream::connect(agent).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let mut request = Request::get(path).header(header::HOST, agent.to_string());
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    driver.abort();
    Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}
