//! The HTTPS door for enrolment and renewal: a listener of its own, with the hub's certificate, and the authority's behind it so that
//! whoever has a token knows the hub by its pin.
//!
//! Promises: TLS 1.3; a client certificate is not needed, but one that is shown must be of the hub's authority and good; every
//! connection is bounded in time and bytes, and there is room for so many; those that connect and say nothing make way for those
//! who knock after them. What is asked, and by whom, is never logged with its body.

use super::ca::{Pki, PkiError};
use super::clerk::{Call, Clerk, Reply, refusal, refused};
use super::keeper::Wall;
use super::metrics::Metrics;
use super::rate::Rates;
use crate::door::{Door, Stranger};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::RootCertStore;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use socket2::{Domain, Protocol, Socket, Type};
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::enrolment::{REQUEST_BYTES_MAX, RefusalCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error, warn};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// A handshake takes two round trips; even a poor line is done by then.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// A request's header.
const HEADER_MAX: Duration = Duration::from_secs(10);
/// Its body.
const BODY_MAX: Duration = Duration::from_secs(10);
/// A whole connection. An enrolment takes a nonce and a request at most.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
/// Request line and headers.
const BUFFER_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 32;
/// How long requests in flight get when the hub stops.
const LAST_REQUESTS_MAX: Duration = Duration::from_secs(5);
/// How long to wait when the system has no more files for connections.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Why the hub can't listen for enrolments. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("can't listen for enrolments on TCP {address}")]
    Socket { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("the check of client certificates can't be set up")]
    Verifier(#[from] VerifierBuilderError),
    #[error("the hub's own certificate and key can't be used")]
    Certificate(#[from] rustls::Error),
}

/// A listening endpoint.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    shared: Shared,
}

/// What every connection needs.
#[derive(Clone)]
struct Shared {
    acceptor: TlsAcceptor,
    clerk: Arc<Clerk>,
    rates: Arc<Rates>,
    metrics: Metrics,
    wall: Wall,
}

/// Whom a connection is with.
#[derive(Clone)]
struct Peer {
    address: SocketAddr,
    certificate: Option<Arc<[u8]>>,
}

impl Listener {
    /// Listens. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the address is taken or the certificates are no good.
    pub fn listen(
        address: SocketAddr,
        pki: &Pki,
        clerk: Arc<Clerk>,
        metrics: Metrics,
        wall: Wall,
    ) -> Result<Listener, ListenError> {
        let acceptor = TlsAcceptor::from(Arc::new(server_config(pki)?));
        let failed = |source| ListenError::Socket { address, source };
        let listener = bound_listener(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let rates = Arc::new(Rates::new(Instant::now()));
        Ok(Listener { listener, address, shared: Shared { acceptor, clerk, rates, metrics, wall } })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` says so; requests in flight are answered.
    pub async fn serve(self, mut stop: watch::Receiver<bool>) {
        let Listener { listener, shared, .. } = self;
        let mut connections = JoinSet::new();
        let mut door = Door::default();
        loop {
            let (place, accepted) = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                Some(ended) = connections.join_next() => {
                    log_panic(ended);
                    continue;
                }
                caller = next_caller(&listener, &mut door) => caller,
            };
            match accepted {
                Ok((tcp, peer)) => {
                    let stranger = door.enter(place);
                    connections.spawn(shared.clone().receive(tcp, peer, stranger, stop.clone()));
                }
                Err(error) => {
                    warn!(error = &error as &dyn Error, "can't accept a connection");
                    door.clear_one();
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
        drop((door, listener));
        let all = async {
            while let Some(ended) = connections.join_next().await {
                log_panic(ended);
            }
        };
        if timeout(LAST_REQUESTS_MAX, all).await.is_err() {
            connections.shutdown().await;
        }
    }
}

async fn next_caller(
    listener: &TcpListener,
    door: &mut Door,
) -> (OwnedSemaphorePermit, io::Result<(TcpStream, SocketAddr)>) {
    let place = door.place().await;
    (place, listener.accept().await)
}

impl Shared {
    /// One connection. It holds its place at the door to its end: whoever only asks and never listens makes way too.
    async fn receive(
        self,
        tcp: TcpStream,
        address: SocketAddr,
        mut stranger: Stranger,
        stop: watch::Receiver<bool>,
    ) {
        let failed = tokio::select! {
            served = timeout(CONNECTION_MAX, self.serve(tcp, address, stop)) => match served {
                Ok(Ok(())) => return,
                Ok(Err(reason)) => reason,
                Err(_) => "too_long",
            },
            () = stranger.must_leave() => "crowded",
        };
        debug!(peer = %address, reason = failed, "a connection for enrolment came to nothing");
        self.metrics.failed(failed);
    }

    async fn serve(
        &self,
        tcp: TcpStream,
        address: SocketAddr,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), &'static str> {
        // Answers are small and waited for; what can't be set costs time only.
        let _ = tcp.set_nodelay(true);
        let tls = match timeout(HANDSHAKE_MAX, self.acceptor.accept(tcp)).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => {
                debug!(peer = %address, %error, "no TLS came about");
                return Err("tls");
            }
            Err(_) => return Err("timeout"),
        };
        self.metrics.connected();
        let certificate = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let certificate = certificate.map(|certificate| Arc::from(certificate.as_ref()));
        let peer = Peer { address, certificate };
        let service = service_fn(move |request| {
            let (shared, peer) = (self.clone(), peer.clone());
            async move { Ok::<_, Infallible>(shared.answer(request, peer).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_MAX)
            .max_buf_size(BUFFER_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(tls), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = asked_to_stop(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        ended.map_err(|_| "broken_off")
    }

    async fn answer(self, request: Request<Incoming>, peer: Peer) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let reply = match self.read(request, &peer).await {
            Ok((is_post, body)) => self.asked(path.clone(), is_post, body, peer.clone()).await,
            Err(reply) => reply,
        };
        debug!(peer = %peer.address, path, status = reply.status, outcome = reply.outcome, "answered");
        self.metrics.answered(reply.outcome);
        response(reply)
    }

    async fn read(&self, request: Request<Incoming>, peer: &Peer) -> Result<(bool, Bytes), Reply> {
        let no = |code, detail: &str| refused(&refusal(code, detail));
        if !self.rates.grants(peer.address.ip(), Instant::now()) {
            return Err(no(RefusalCode::TooManyRequests, "too many requests from this address, or in all"));
        }
        let is_post = request.method() == Method::POST;
        let body = Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect();
        match timeout(BODY_MAX, body).await {
            Ok(Ok(body)) => Ok((is_post, body.to_bytes())),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                Err(no(RefusalCode::BadRequest, "the body is too long"))
            }
            Ok(Err(_)) => Err(no(RefusalCode::BadRequest, "the body broke off")),
            Err(_) => Err(no(RefusalCode::BadRequest, "the body did not arrive in time")),
        }
    }

    async fn asked(&self, path: String, is_post: bool, body: Bytes, peer: Peer) -> Reply {
        let (clerk, wall) = (Arc::clone(&self.clerk), Arc::clone(&self.wall));
        let answering = tokio::task::spawn_blocking(move || {
            let from = peer.address.ip().to_canonical().to_string();
            clerk.answer(Call {
                path: &path,
                is_post,
                body: &body,
                peer: &from,
                certificate: peer.certificate.as_deref(),
                now: wall(),
            })
        });
        answering.await.unwrap_or_else(|error| {
            error!(error = &error as &dyn Error, "answering a store failed");
            refused(&refusal(RefusalCode::Unavailable, "the hub could not answer"))
        })
    }
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = reply.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn server_config(pki: &Pki) -> Result<rustls::ServerConfig, ListenError> {
    let server = pki.server()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(server.ca.clone())?;
    // Whoever enrols has no certificate yet.
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()?;
    let mut chain = server.chain;
    // By this a store finds the pin of its token.
    chain.push(server.ca);
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, server.key)?;
    // A resumed session would skip the check of the client's certificate.
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    Ok(tls)
}

fn bound_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Also when nobody is left who could ask.
async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(error = &error as &dyn Error, "a connection's task panicked; the others go on");
    }
}
