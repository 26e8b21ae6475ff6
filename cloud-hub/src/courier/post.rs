//! One HTTP request: resolved, checked, sent to the very address that was checked, answered or given up in time.
//!
//! Redirects are not followed: an answer 3xx is a failure. Of an answer only its status counts; a little of its body is kept for
//! people. Every request has a connection of its own.

use super::address::is_public;
use super::policy::Answer;
use crate::config::HttpUrl;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How much of an answer's head is read, and how much of its body.
const HEAD_BYTES_MAX: usize = 32 * 1024;
const BODY_BYTES_MAX: usize = 4 * 1024;
/// How much of an answer is kept for people, in characters.
const WORDS_CHARS_MAX: usize = 200;
/// Most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 3;

/// What is to be sent.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// Sends messages.
#[derive(Clone)]
pub(super) struct Poster {
    tls: Arc<ClientConfig>,
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the name `{0}` can't be resolved: {1}")]
    Name(String, io::Error),
    #[error("`{0}` has no public address, and private ones are not allowed for it")]
    Private(String),
    #[error("can't connect: {0}")]
    Connect(#[source] io::Error),
    #[error("the TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
    #[error("the request failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request can't be written: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("no complete answer within {} s", .0.as_secs())]
    Late(Duration),
}

impl Poster {
    /// Trusts the authorities that the system trusts, where any endpoint needs them.
    pub(super) fn new(needs_tls: bool) -> Poster {
        let mut roots = RootCertStore::empty();
        if needs_tls {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "an authority of the system can't be read");
            }
            let (taken, _) = roots.add_parsable_certificates(found.certs);
            if taken == 0 {
                tracing::error!("the system trusts no authority; install its ca-certificates");
            }
        }
        Poster::trusting(roots)
    }

    /// Trusts these authorities and no others.
    #[cfg(test)]
    pub(super) fn with_authorities(
        authorities: impl IntoIterator<Item = rustls::pki_types::CertificateDer<'static>>,
    ) -> Poster {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities);
        Poster::trusting(roots)
    }

    fn trusting(roots: RootCertStore) -> Poster {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has what the default versions of TLS need")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Poster { tls: Arc::new(config) }
    }

    /// Never takes longer than `patience`.
    pub(super) async fn post(
        &self,
        url: &HttpUrl,
        allow_private: bool,
        message: Message,
        patience: Duration,
    ) -> Answer {
        let answer = tokio::time::timeout(patience, self.attempt(url, allow_private, message)).await;
        match answer.unwrap_or(Err(Failed::Late(patience))) {
            Ok(answer) => answer,
            Err(failed) => Answer { status: None, retry_after: None, words: failed.to_string() },
        }
    }

    async fn attempt(&self, url: &HttpUrl, allow_private: bool, message: Message) -> Result<Answer, Failed> {
        let stream = connected(url, allow_private).await?;
        if !url.is_tls {
            return exchange(stream, url, message).await;
        }
        let name = ServerName::try_from(url.host.clone());
        let name = name.map_err(|error| Failed::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, stream).await.map_err(Failed::Tls)?;
        exchange(stream, url, message).await
    }
}

/// A connection to an address that was checked after the name had been resolved, and not resolved again.
async fn connected(url: &HttpUrl, allow_private: bool) -> Result<TcpStream, Failed> {
    let named = |error| Failed::Name(url.host.clone(), error);
    let found = tokio::net::lookup_host((url.host.as_str(), url.port)).await.map_err(named)?;
    let allowed: Vec<SocketAddr> =
        found.filter(|address| allow_private || is_public(address.ip())).take(ADDRESSES_MAX).collect();
    let mut last = Failed::Private(url.host.clone());
    for address in allowed {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Failed::Connect(error),
        }
    }
    Err(last)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &HttpUrl,
    message: Message,
) -> Result<Answer, Failed> {
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream)).await?;
    let mut request = Request::post(&url.path)
        .header(HOST, url.authority())
        .header(USER_AGENT, concat!("shopsmart-hub/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .header(CONTENT_LENGTH, message.body.len());
    for (name, value) in &message.headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(Bytes::from(message.body)))?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        Ok::<_, Failed>(answer_of(response).await)
    };
    tokio::pin!(connection, exchange);
    // The connection is driven here and goes with this future: nothing is left behind by a request that was given up. It may end before
    // its answer has been taken, and whether it ended well shows in the answer.
    tokio::select! {
        biased;
        answer = &mut exchange => return answer,
        _ = &mut connection => {}
    }
    exchange.await
}

async fn answer_of(response: Response<Incoming>) -> Answer {
    let status = response.status();
    let after =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let mut words = Vec::new();
    let mut body = response.into_body();
    // A body that breaks off, or has no end, says nothing against the status.
    while words.len() < BODY_BYTES_MAX
        && !status.is_success()
        && let Some(Ok(frame)) = body.frame().await
    {
        words.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
    }
    let words: String = String::from_utf8_lossy(&words).chars().take(WORDS_CHARS_MAX).collect();
    Answer {
        status: Some(status.as_u16()),
        retry_after: after.map(|seconds| seconds.saturating_mul(1_000)),
        words: format!("{status}: {}", words.escape_debug()).trim_end_matches(": ").to_owned(),
    }
}
