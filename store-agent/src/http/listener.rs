//! Accepts connections and serves them, within bounds: of number, of header size, and of the time a header may take. With a
//! certificate it speaks TLS, and HTTP/2 to those who want that.
//!
//! Stops in order: no new connections, requests in flight finish within `STOP_WITHIN`, the rest is cut. Every connection is a
//! task of this one; none outlives it.

use super::guard::Peer;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::Instrument;

/// Connections at once. Further ones wait in the kernel until one ends.
const CONNECTIONS_MAX: usize = 512;
/// Request line and headers, and the read buffer of a body.
const BUFFER_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 64;
/// Requests at once on one HTTP/2 connection, and what its headers may come to.
const STREAMS_MAX: u32 = 32;
const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;
/// How HTTP/2 is called in the TLS handshake.
const H2: &[u8] = b"h2";
/// How long an answer may wait to be taken.
const UNREAD_MAX: Duration = Duration::from_secs(30);
/// How long requests in flight may take once the agent is to stop.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// How patient the listener is.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Longest time for a request's header to arrive, and longest rest of a connection between two requests.
    pub header: Duration,
    /// Longest pause inside a request's body.
    pub body_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { header: Duration::from_secs(60), body_pause: Duration::from_secs(15) }
    }
}

/// Serves `router` on `listener` until `stop` turns true.
pub async fn serve(listener: TcpListener, router: Router, patience: Patience, stop: watch::Receiver<bool>) {
    serve_over(listener, None, router, patience, stop).await;
}

/// As `serve`, over TLS where there is a certificate to show.
pub async fn serve_over(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    patience: Patience,
    mut stop: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = asked_to_stop(&mut stop) => break,
            Some(ended) = connections.join_next() => log_panic(ended),
            (stream, peer, permit) = accept(&listener, &room) => {
                let served = Served { peer, router: router.clone(), patience, stop: stop.clone() };
                let connection = connection(stream, tls.clone(), permit, served);
                connections.spawn(connection.instrument(tracing::Span::current()));
            }
        }
    }
    drop(listener);
    let all = async {
        while let Some(ended) = connections.join_next().await {
            log_panic(ended)
        }
    };
    if timeout(STOP_WITHIN, all).await.is_err() {
        tracing::warn!(open = connections.len(), "cut connections whose requests did not end in time");
        connections.shutdown().await;
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let permit = Arc::clone(room).acquire_owned().await.expect("this semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
            Err(error) => {
                // Out of file descriptors, usually; asking again at once would only spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// What a connection is served with.
struct Served {
    peer: SocketAddr,
    router: Router,
    patience: Patience,
    stop: watch::Receiver<bool>,
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    _room: OwnedSemaphorePermit,
    served: Served,
) {
    tune(&stream);
    let Some(tls) = tls else { return served.http1(stream).await };
    // Who does not finish the handshake in time holds a place for nothing.
    match timeout(served.patience.header, tls.accept(stream)).await {
        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(H2) => served.http2(stream).await,
        Ok(Ok(stream)) => served.http1(stream).await,
        Ok(Err(error)) => tracing::debug!(peer = %served.peer, %error, "no TLS came about"),
        Err(_) => tracing::debug!(peer = %served.peer, "the TLS handshake did not end in time"),
    }
}

impl Served {
    async fn http1(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let routes = TowerToHyperService::new(self.router);
        let peer = Peer(self.peer);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            hyper::service::Service::call(&routes, came_from(request, peer))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.patience.header)
            .max_buf_size(BUFFER_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = asked_to_stop(&mut self.stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        log_end(self.peer, ended);
    }

    async fn http2(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let routes = TowerToHyperService::new(self.router);
        let peer = Peer(self.peer);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            hyper::service::Service::call(&routes, came_from(request, peer))
        });
        // A connection that rests is asked whether anybody is there, as HTTP/2 has no time between requests to bound.
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADER_LIST_BYTES_MAX)
            .keep_alive_interval(self.patience.header)
            .keep_alive_timeout(self.patience.body_pause)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = asked_to_stop(&mut self.stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        log_end(self.peer, ended);
    }
}

fn came_from(request: Request<Incoming>, peer: Peer) -> Request<Body> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    request
}

fn log_end(peer: SocketAddr, ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// What cannot be set costs speed or patience, not correctness.
fn tune(stream: &TcpStream) {
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    // Who does not take the answer must not hold its place for ever.
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(UNREAD_MAX));
}

/// Also when nobody is left who could ask.
async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
