//! Writes frames to the two streams of a connection without ever blocking whoever hands them over.

use crate::inbox::Flight;
use quinn::SendStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use sync_protocol::frame::Stream;
use sync_protocol::limits::FRAME_BYTES_MAX;
use tokio::sync::mpsc;

/// What may wait to be sent on one stream before the link is dropped.
const LANE_BYTES_MAX: usize = 8 << 20;

/// Writes what the core wants sent; ends with the reason when the link is to be dropped.
pub struct Writer {
    flights: mpsc::Receiver<Flight>,
    state: Lane,
    history: Lane,
}

impl Writer {
    pub fn new(flights: mpsc::Receiver<Flight>, state: SendStream, history: SendStream) -> Writer {
        Writer { flights, state: Lane::new(state), history: Lane::new(history) }
    }

    /// Takes everything that has been handed over, then writes state and history without a pause between, so that what
    /// belongs together shares a packet.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        while let Poll::Ready(flight) = self.flights.poll_recv(cx) {
            match flight {
                Some(Flight::Frames(frames)) => {
                    for (stream, bytes) in frames {
                        self.lane(stream).add(&bytes);
                    }
                }
                Some(Flight::HangUp { reason }) => return Poll::Ready(reason),
                None => return Poll::Ready("the core gave the link up: it could not keep pace".to_owned()),
            }
        }
        for lane in [&mut self.state, &mut self.history] {
            if let Poll::Ready(Err(error)) = lane.poll_flush(cx) {
                return Poll::Ready(format!("cannot send: {error}"));
            }
            if lane.waiting() > LANE_BYTES_MAX {
                return Poll::Ready("the hub takes too little of what is sent".to_owned());
            }
        }
        Poll::Pending
    }

    fn lane(&mut self, stream: Stream) -> &mut Lane {
        match stream {
            Stream::State => &mut self.state,
            Stream::History => &mut self.history,
        }
    }
}

/// One stream with what waits to be written to it.
struct Lane {
    stream: SendStream,
    bytes: Vec<u8>,
    written: usize,
}

impl Lane {
    /// An empty lane gives back a buffer larger than this.
    const KEPT_BYTES: usize = 64 << 10;

    fn new(stream: SendStream) -> Lane {
        Lane { stream, bytes: Vec::new(), written: 0 }
    }

    fn add(&mut self, frame: &[u8]) {
        let length = u32::try_from(frame.len()).expect("frames are at most FRAME_BYTES_MAX");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(frame);
    }

    fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), quinn::WriteError>> {
        while self.waiting() > 0 {
            self.written += ready!(Pin::new(&mut self.stream).poll_write(cx, &self.bytes[self.written..]))?;
        }
        self.written = 0;
        self.bytes.clear();
        if self.bytes.capacity() > Self::KEPT_BYTES {
            self.bytes = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

// A length prefix is a u32.
const _: () = assert!(FRAME_BYTES_MAX <= u32::MAX as usize);
