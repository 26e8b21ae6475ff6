//! TCP and TLS below a session: moves bytes both ways in one task, keeps no read buffer of its own, counts everything.

use super::session::{Ending, Heard, Session};
use crate::ingest::Farewell;
use crate::ingest::links::TcpBytes;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A write buffer that grew beyond this is given back once it is empty.
const KEPT_BYTES_MAX: usize = 4 << 10;

/// A TLS connection and what waits to be written to it.
pub(super) struct Line {
    tls: TlsStream<Counted>,
    out: Vec<u8>,
    written: usize,
    flushed: bool,
}

impl Line {
    pub fn new(tls: TlsStream<Counted>) -> Line {
        Line { tls, out: Vec::new(), written: 0, flushed: true }
    }

    /// Bytes that the peer has not taken.
    pub fn waiting(&self) -> usize {
        self.out.len() - self.written
    }

    /// Writes what is there and, when `reading`, lets `session` hear one packet. Returns what that was; nothing is lost
    /// when this is dropped while waiting.
    pub async fn converse(&mut self, session: &mut Session, reading: bool) -> Result<Heard, Ending> {
        let fresh = session.take_out();
        if self.out.is_empty() {
            self.out = fresh;
        } else {
            self.out.extend_from_slice(&fresh);
        }
        poll_fn(|context| {
            self.poll_write(context).map_err(gone)?;
            if reading { self.poll_hear(context, session) } else { Poll::Pending }
        })
        .await
    }

    fn poll_hear(&mut self, context: &mut Context<'_>, session: &mut Session) -> Poll<Result<Heard, Ending>> {
        let bytes = ready!(Pin::new(&mut self.tls).poll_fill_buf(context)).map_err(gone)?;
        if bytes.is_empty() {
            return Poll::Ready(Err(Farewell::Gone.into()));
        }
        let (taken, heard) = session.hear(bytes);
        Pin::new(&mut self.tls).consume(taken);
        Poll::Ready(heard)
    }

    /// Writes as much as the peer takes.
    fn poll_write(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.waiting() > 0 {
            let bytes = &self.out[self.written..];
            let Poll::Ready(written) = Pin::new(&mut self.tls).poll_write(context, bytes)? else {
                return Ok(());
            };
            self.written += written;
            self.flushed = false;
        }
        self.written = 0;
        self.out.clear();
        if self.out.capacity() > KEPT_BYTES_MAX {
            self.out = Vec::new();
        }
        if !self.flushed {
            self.flushed = Pin::new(&mut self.tls).poll_flush(context)?.is_ready();
        }
        Ok(())
    }

    /// Writes the last words, and waits for the peer to hang up: what has not been read when a TCP connection is
    /// closed takes the last words with it.
    pub async fn close(&mut self, session: &mut Session) -> io::Result<()> {
        self.out.extend_from_slice(&session.take_out());
        self.tls.write_all(&self.out[self.written..]).await?;
        self.tls.shutdown().await?;
        loop {
            let ignored = self.tls.fill_buf().await?.len();
            if ignored == 0 {
                return Ok(());
            }
            self.tls.consume(ignored);
        }
    }
}

fn gone(_: io::Error) -> Ending {
    Farewell::Gone.into()
}

/// A TCP connection whose payload is counted.
pub(super) struct Counted {
    tcp: TcpStream,
    moved: Arc<TcpBytes>,
}

impl Counted {
    pub fn new(tcp: TcpStream, moved: Arc<TcpBytes>) -> Counted {
        Counted { tcp, moved }
    }

    fn sent(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(written)) = written {
            self.moved.sent.fetch_add(*written as u64, Relaxed);
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(context, buffer);
        self.moved.received.fetch_add((buffer.filled().len() - before) as u64, Relaxed);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(context, bytes);
        self.sent(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(context, pieces);
        self.sent(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
