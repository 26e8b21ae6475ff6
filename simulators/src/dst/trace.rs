//! What happened, line by line, and one number that stands for all of it: two runs of a seed must agree in it.

use std::fmt::{self, Write};
use sync_protocol::frame::{self, Body};

/// FNV-1a, 64 bits: the same on every machine and with every release.
#[derive(Debug, Clone, Copy)]
struct Fnv(u64);

impl Fnv {
    const EMPTY: Fnv = Fnv(0xcbf2_9ce4_8422_2325);

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// The record of one run.
#[derive(Debug)]
pub struct Trace {
    hash: Fnv,
    line: String,
    kept: Option<Vec<String>>,
}

impl Trace {
    /// `keep`: remember the lines, not only their hash.
    #[must_use]
    pub fn new(keep: bool) -> Self {
        Self { hash: Fnv::EMPTY, line: String::new(), kept: keep.then(Vec::new) }
    }

    pub fn note(&mut self, at: u64, what: fmt::Arguments<'_>) {
        self.line.clear();
        // Writing to a string cannot fail.
        let _ = write!(self.line, "{at:>9} {what}");
        self.hash.add(self.line.as_bytes());
        self.hash.add(b"\n");
        if let Some(kept) = &mut self.kept {
            kept.push(self.line.clone());
        }
    }

    /// A frame: its bytes count, what they mean is written out for people.
    pub fn frame(&mut self, at: u64, what: fmt::Arguments<'_>, bytes: &[u8]) {
        self.line.clear();
        let _ = write!(self.line, "{at:>9} {what} ");
        self.hash.add(self.line.as_bytes());
        self.hash.add(bytes);
        if let Some(kept) = &mut self.kept {
            self.line.push_str(&summary(bytes));
            kept.push(self.line.clone());
        }
    }

    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash.0
    }

    #[must_use]
    pub fn into_lines(self) -> Vec<String> {
        self.kept.unwrap_or_default()
    }
}

fn summary(bytes: &[u8]) -> String {
    let Ok(frame) = frame::decode(bytes) else { return format!("unreadable {} bytes", bytes.len()) };
    let about = match &frame.body {
        Body::Hello(hello) => format!(
            "head {} pos {} acked {}/{} down {} boots {:?}",
            hello.state_head,
            hello.history_head,
            hello.state_acked,
            hello.history_acked,
            hello.down_mark,
            hello.boots.iter().map(|mark| (mark.boot.0 % 1000, mark.first_seq.0)).collect::<Vec<_>>()
        ),
        Body::Welcome(welcome) => format!(
            "marks {}/{} down {} offer {}",
            welcome.state_mark, welcome.history_mark, welcome.down_head, welcome.wants_offer
        ),
        Body::Handover(part) => format!(
            "epoch {} part {} last {} items {} cells {} known {} docs {} next {}",
            part.granted,
            part.part,
            part.last,
            part.items.len(),
            part.stock.len(),
            part.known.len(),
            part.documents.len(),
            part.next_position
        ),
        Body::Offer(offer) => {
            format!("part {} last {} halves {}", offer.part, offer.last, offer.halves.len())
        }
        Body::State(batch) => format!(
            "({},{}] head {} pos {} items {} cells {} cursors {}",
            batch.base,
            batch.upto,
            batch.head,
            batch.position,
            batch.items.len(),
            batch.stock.len(),
            batch.cursors.len()
        ),
        Body::History(batch) => format!("({},{}] docs {}", batch.base, batch.upto, batch.documents.len()),
        Body::Down(batch) => format!("({},{}] halves {}", batch.base, batch.upto, batch.halves.len()),
        Body::Ack(ack) => format!("{} {}", ack.stream.name(), ack.upto),
        Body::Heartbeat(beat) => {
            format!("head {} pos {} down {}", beat.state_head, beat.history_head, beat.down_mark)
        }
        Body::Pulse(pulse) => {
            format!("marks {}/{} down {}", pulse.state_mark, pulse.history_mark, pulse.down_head)
        }
        Body::Buckets(buckets) => format!("{:?} head {}", buckets.direction, buckets.head),
        Body::Marks(marks) => format!("{marks:?}"),
        Body::Resend(resend) => {
            format!("{:?} head {} buckets {}", resend.direction, resend.head, resend.buckets.len())
        }
        Body::Refused(refused) => format!("{:?}", refused.why),
    };
    format!("{} epoch {} boot {}: {about}", frame.body.kind(), frame.epoch, frame.boot.0 % 1000)
}
