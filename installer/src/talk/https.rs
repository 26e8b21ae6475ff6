//! One request to the hub's enrolment endpoint and its answer.

use super::dial::dial;
use super::tls::{Credentials, Pinned};
use crate::fault::{Code, Fault};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::enrolment::{ANSWER_BYTES_MAX, Address, Pin};
use tokio::time::timeout;

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The hub as this store reaches it.
pub struct Hub<'a> {
    pub address: &'a Address,
    pub proxy: Option<&'a Address>,
    pub pin: Pin,
    /// What this store shows of itself.
    pub credentials: Option<&'a Credentials>,
}

/// What the hub said.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    /// The hub's clock, as its `Date` header has it.
    pub date: Option<String>,
    pub body: Bytes,
}

impl Hub<'_> {
    pub async fn post(&self, path: &str, body: Vec<u8>) -> Result<Answer, Fault> {
        self.ask(Method::POST, path, body).await
    }

    /// Asks for nothing in particular: any answer will do.
    pub async fn knock(&self) -> Result<Answer, Fault> {
        self.ask(Method::GET, "/", Vec::new()).await
    }

    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Answer, Fault> {
        let pinned = Pinned::on(self.pin);
        let config = pinned.client(self.credentials)?;
        let name = ServerName::try_from(self.address.host().to_owned()).map_err(|error| {
            Fault::caused(Code::E102, format!("`{}` is no host", self.address.host()), error)
        })?;
        let stream = dial(self.address, self.proxy).await?;
        let talk = async {
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let stream =
                connector.connect(name, stream).await.map_err(|error| pinned.fault(self.address, &error))?;
            exchange(stream, self.request(method, path, body)?)
                .await
                .map_err(|why| Fault::new(Code::E306, format!("{} gave no answer: {why}", self.address)))
        };
        let answered = timeout(ANSWER_WITHIN, talk).await;
        answered.unwrap_or_else(|_| {
            Err(Fault::new(Code::E306, format!("{} gave no answer within 30 s", self.address)))
        })
    }

    fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Request<Full<Bytes>>, Fault> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .body(Full::new(body.into()))
            .map_err(|error| Fault::caused(Code::E901, "a request can't be made", error))
    }
}

type Secured = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

async fn exchange(stream: Secured, request: Request<Full<Bytes>>) -> Result<Answer, String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // Ends with this request's answer; the runtime is ours alone.
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    driver.abort();
    Ok(Answer { status, date, body })
}
