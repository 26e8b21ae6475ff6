//! Accepts connections and serves them, within bounds: of number, of header size, and of the time a header may take.
//!
//! Stops in order: no new connections, requests in flight finish within `STOP_WITHIN`, the rest is cut. Every connection is a
//! task of this one; none outlives it.

use super::guard::Peer;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::Instrument;

/// Connections at once. Further ones wait in the kernel until one ends.
const CONNECTIONS_MAX: usize = 512;
/// Request line and headers, and the read buffer of a body.
const BUFFER_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 64;
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
pub async fn serve(
    listener: TcpListener,
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
                let connection = connection(stream, peer, permit, router.clone(), patience, stop.clone());
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

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    _room: OwnedSemaphorePermit,
    router: Router,
    patience: Patience,
    mut stop: watch::Receiver<bool>,
) {
    tune(&stream);
    let routes = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        hyper::service::Service::call(&routes, request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.header)
        .max_buf_size(BUFFER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = asked_to_stop(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
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
