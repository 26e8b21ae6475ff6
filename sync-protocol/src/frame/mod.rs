//! Frames: what travels between an agent and the hub, the same bytes over every transport.
//!
//! A frame says by itself whom it concerns (`store`, `epoch`, `boot`), so the hub needs no memory of the connection. It is
//!
//! ```text
//! version u8 │ kind u8, top bit = body is deflated │ store: length, bytes │ epoch varint │ boot varint │ body
//! ```
//!
//! and a deflated body is its inflated length as a varint, then the deflate bytes. Bodies of batches are tagged,
//! length-prefixed sections; a section or record that can't be understood is handed on as [`Unreadable`] and the rest goes
//! on. Decoding is total: any bytes give a frame or an error, in memory bounded by [`crate::limits`].

pub(crate) mod codec;
mod columns;
mod deflate;
pub mod measure;
pub(crate) mod orders;
pub(crate) mod sections;

pub use codec::DecodeError;

use crate::ids::{Boot, Epoch, ItemNo, Position, Seq, StoreId, TraceId};
use crate::limits::{
    BODY_BYTES_MAX, BOOTS_MAX, DIGEST_BUCKETS, FRAME_BYTES_MAX, STORE_ID_BYTES_MAX, TRACES_MAX, clipped,
};
use crate::record::{
    CursorRecord, HistoryDocument, HubOrderRecord, HubStock, ItemRecord, KnownDocument, Note,
    StoreOrderRecord, StoreStock, Unreadable,
};
use crate::time::UnixMillis;
use codec::{Reader, Writer};

/// The oldest and newest protocol versions this build speaks.
pub const VERSION_MIN: u8 = 1;
pub const VERSION_MAX: u8 = 1;

/// The bit of a kind that says that the body is deflated.
const DEFLATED: u8 = 0x80;

/// The two record streams of a link. State is the latest value per record; history is every movement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    State,
    History,
}

impl Stream {
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Stream::State => 0,
            Stream::History => 1,
        }
    }

    #[must_use]
    pub fn from_code(code: u8) -> Option<Stream> {
        match code {
            0 => Some(Stream::State),
            1 => Some(Stream::History),
            _ => None,
        }
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stream::State => "state",
            Stream::History => "history",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub store: StoreId,
    pub epoch: Epoch,
    pub boot: Boot,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Agent: the first frame of a link.
    Hello(Hello),
    /// Hub: the agent may go on as it is.
    Welcome(Welcome),
    /// Hub: one part of what a new incarnation starts from.
    Handover(Handover),
    /// Agent: its copy of the hub's halves, for a hub that was restored.
    Offer(Offer),
    /// Agent: records of stream `state`.
    State(StateBatch),
    /// Agent: movements, stream `history`.
    History(HistoryBatch),
    /// Hub: its halves, stream `state` in the other direction.
    Down(DownBatch),
    /// Agent: the hub's records up to `upto` are durable here.
    Ack(Ack),
    /// Agent: still here; heads and digest.
    Heartbeat(Heartbeat),
    /// Hub: the answer to a heartbeat.
    Pulse(Pulse),
    /// Either: the digest of each bucket, after equal heads with unequal roots.
    Buckets(Buckets),
    /// Either: send the records of these buckets again.
    Resend(Resend),
    /// Hub: this frame can't be taken, and why.
    Refused(Refused),
    /// Hub: everything up to these marks is durable here.
    Marks(Marks),
}

impl Body {
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Body::Hello(_) => "hello",
            Body::Welcome(_) => "welcome",
            Body::Handover(_) => "handover",
            Body::Offer(_) => "offer",
            Body::State(_) => "state",
            Body::History(_) => "history",
            Body::Down(_) => "down",
            Body::Ack(_) => "ack",
            Body::Heartbeat(_) => "heartbeat",
            Body::Pulse(_) => "pulse",
            Body::Buckets(_) => "buckets",
            Body::Resend(_) => "resend",
            Body::Refused(_) => "refused",
            Body::Marks(_) => "marks",
        }
    }

    /// Which stream of the transport carries it: history has its own, so that it can't block state.
    #[must_use]
    pub fn stream(&self) -> Stream {
        match self {
            Body::History(_)
            | Body::Ack(Ack { stream: Stream::History, .. })
            | Body::Marks(Marks { state: None, .. }) => Stream::History,
            _ => Stream::State,
        }
    }

    fn code(&self) -> u8 {
        match self {
            Body::Hello(_) => 1,
            Body::Welcome(_) => 2,
            Body::Handover(_) => 3,
            Body::Offer(_) => 4,
            Body::State(_) => 5,
            Body::History(_) => 6,
            Body::Down(_) => 7,
            Body::Ack(_) => 8,
            Body::Heartbeat(_) => 9,
            Body::Pulse(_) => 10,
            Body::Buckets(_) => 11,
            Body::Resend(_) => 12,
            Body::Refused(_) => 13,
            Body::Marks(_) => 14,
        }
    }
}

/// One start of an agent in its epoch, and the first `change_seq` and ledger position it gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootMark {
    pub boot: Boot,
    pub first_seq: Seq,
    pub first_position: Position,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    pub version_min: u8,
    pub version_max: u8,
    /// Starts of this agent in its epoch that the hub may know, oldest first; the last one is the sender's own.
    pub boots: Vec<BootMark>,
    pub state_head: Seq,
    pub history_head: Position,
    /// What the hub has confirmed so far: a hub that remembers less was itself restored.
    pub state_acked: Seq,
    pub history_acked: Position,
    /// How far the hub's own records have been applied here, and of which life of the hub.
    pub down_mark: Seq,
    pub hub_life: u64,
    pub clock: UnixMillis,
    pub software: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    pub version: u8,
    pub state_mark: Seq,
    pub history_mark: Position,
    pub down_head: Seq,
    pub hub_life: u64,
    /// The hub was restored: send it your copy of its halves before anything is promised from your store again.
    pub wants_offer: bool,
    pub clock: UnixMillis,
}

/// One part of a hand-over. All parts together are what the incarnation with the granted epoch starts from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handover {
    pub granted: Epoch,
    /// Counts from 0.
    pub part: u32,
    pub last: bool,
    pub hub_life: u64,
    pub down_head: Seq,
    /// The first ledger position nobody has used yet, as far as the hub knows.
    pub next_position: Position,
    pub items: Vec<ItemRecord>,
    pub stock: Vec<StoreStock>,
    pub halves: Vec<HubStock>,
    pub cursors: Vec<CursorRecord>,
    /// Every document the hub's history has.
    pub known: Vec<KnownDocument>,
    /// Those of them that the handed-over stock does not contain: to be applied again.
    pub documents: Vec<HistoryDocument>,
    /// Both halves of the store's orders. The store's halves come in the granted epoch.
    pub hub_orders: Vec<HubOrderRecord>,
    pub store_orders: Vec<StoreOrderRecord>,
    pub hub_notes: Vec<Note>,
    pub store_notes: Vec<Note>,
    pub unreadable: Vec<Unreadable>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    pub part: u32,
    pub last: bool,
    pub halves: Vec<HubStock>,
    pub orders: Vec<HubOrderRecord>,
    pub unreadable: Vec<Unreadable>,
}

/// The records of stream `state` changed after `base`, up to `upto`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateBatch {
    pub base: Seq,
    pub upto: Seq,
    /// The sender's newest `change_seq` when this was written; equal to `upto` when nothing is left to send.
    pub head: Seq,
    /// The ledger's last position when this was written: what the figures contain.
    pub position: Position,
    /// Invariant: sorted by item, no item twice; so for `stock`.
    pub items: Vec<ItemRecord>,
    pub stock: Vec<StoreStock>,
    pub cursors: Vec<CursorRecord>,
    pub traces: Vec<TraceId>,
    pub orders: Vec<StoreOrderRecord>,
    pub notes: Vec<Note>,
    /// The documents behind these records, where they are few enough to ride along; otherwise history goes its own way.
    pub history: Option<HistoryBatch>,
    pub unreadable: Vec<Unreadable>,
}

/// Documents with positions above `base`, up to `upto`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryBatch {
    pub base: Position,
    pub upto: Position,
    pub documents: Vec<HistoryDocument>,
    /// Items the documents name and the hub may not know yet.
    pub items: Vec<ItemRecord>,
    pub unreadable: Vec<Unreadable>,
}

/// The hub's halves changed after `base`, up to `upto`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DownBatch {
    pub base: Seq,
    pub upto: Seq,
    pub halves: Vec<HubStock>,
    pub orders: Vec<HubOrderRecord>,
    pub notes: Vec<Note>,
    pub unreadable: Vec<Unreadable>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    pub stream: Stream,
    /// A `Seq` for state, a `Position` for history.
    pub upto: u64,
}

/// The hub's answer to batches: how far it holds each stream, durably. `None` where nothing of that stream is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    pub state: Option<Seq>,
    pub history: Option<Position>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    pub state_head: Seq,
    pub history_head: Position,
    pub down_mark: Seq,
    /// Digest root of the records the agent writes, and of its copy of the hub's.
    pub up_root: u128,
    pub down_root: u128,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    pub state_mark: Seq,
    pub history_mark: Position,
    pub down_head: Seq,
    pub clock: UnixMillis,
}

/// Which records a digest speaks of: those written by the agent (`up`) or those written by the hub (`down`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    pub direction: Direction,
    /// The head both sides had when the roots differed; the comparison holds only while it has not moved.
    pub head: Seq,
    /// Invariant: `DIGEST_BUCKETS` sums.
    pub sums: Vec<u128>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resend {
    pub direction: Direction,
    pub head: Seq,
    /// Bucket numbers, strictly growing.
    pub buckets: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub why: Refusal,
    /// For a person reading a log.
    pub detail: String,
}

/// Why the hub can't take a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The epoch or boot is not the one the hub goes by: say hello.
    SayHello,
    /// The hub has no store of this name.
    UnknownStore,
    /// The certificate speaks for another store.
    WrongStore,
    /// No common protocol version.
    Version,
    /// The frame could not be read.
    Unreadable,
    /// The hub could not write; nothing was taken, try again later.
    Unavailable,
}

impl Refusal {
    const ALL: [Refusal; 6] = [
        Refusal::SayHello,
        Refusal::UnknownStore,
        Refusal::WrongStore,
        Refusal::Version,
        Refusal::Unreadable,
        Refusal::Unavailable,
    ];

    fn code(self) -> u8 {
        match self {
            Refusal::SayHello => 1,
            Refusal::UnknownStore => 2,
            Refusal::WrongStore => 3,
            Refusal::Version => 4,
            Refusal::Unreadable => 5,
            Refusal::Unavailable => 6,
        }
    }
}

/// Writes a frame.
#[must_use]
pub fn encode(frame: &Frame) -> Vec<u8> {
    let mut body = Writer::default();
    write_body(&mut body, &frame.body);
    debug_assert!(body.bytes.len() <= BODY_BYTES_MAX, "senders close batches well below the bound");
    let deflated = deflate::deflate(&body.bytes);
    let mut out = Writer::default();
    out.u8(VERSION_MAX);
    out.u8(frame.body.code() | if deflated.is_some() { DEFLATED } else { 0 });
    out.text(frame.store.as_str());
    out.varint(frame.epoch.0.into());
    out.varint(frame.boot.0);
    match deflated {
        Some(deflated) => {
            out.varint(body.bytes.len() as u64);
            out.fixed(&deflated);
        }
        None => out.fixed(&body.bytes),
    }
    out.bytes
}

/// Reads a frame.
///
/// # Errors
/// [`DecodeError`] names what is wrong; nothing was allocated beyond [`BODY_BYTES_MAX`] and what the records need.
pub fn decode(bytes: &[u8]) -> Result<Frame, DecodeError> {
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(DecodeError::TooLarge {
            what: "frame",
            found: bytes.len() as u64,
            max: FRAME_BYTES_MAX as u64,
        });
    }
    let mut reader = Reader::new(bytes);
    let version = reader.u8("version")?;
    if !(VERSION_MIN..=VERSION_MAX).contains(&version) {
        return Err(DecodeError::Version { found: version, min: VERSION_MIN, max: VERSION_MAX });
    }
    let kind = reader.u8("kind")?;
    let store: StoreId = reader.parsed("store", STORE_ID_BYTES_MAX)?;
    let epoch = Epoch(reader.u32("epoch")?);
    let boot = Boot(reader.varint("boot")?);
    let inflated;
    let mut body_reader = if kind & DEFLATED == 0 {
        reader
    } else {
        inflated = deflate::inflate(&mut reader)?;
        Reader::new(&inflated)
    };
    let body = read_body(&mut body_reader, kind & !DEFLATED, epoch)?;
    body_reader.finish()?;
    Ok(Frame { store, epoch, boot, body })
}

fn write_body(out: &mut Writer, body: &Body) {
    match body {
        Body::Hello(hello) => write_hello(out, hello),
        Body::Welcome(welcome) => write_welcome(out, welcome),
        Body::Handover(handover) => sections::write_handover(out, handover),
        Body::Offer(offer) => sections::write_offer(out, offer),
        Body::State(batch) => sections::write_state(out, batch),
        Body::History(batch) => sections::write_history(out, batch),
        Body::Down(batch) => sections::write_down(out, batch),
        Body::Ack(ack) => {
            out.u8(ack.stream.code());
            out.varint(ack.upto);
        }
        Body::Heartbeat(heartbeat) => write_heartbeat(out, heartbeat),
        Body::Pulse(pulse) => {
            out.varint(pulse.state_mark.0);
            out.varint(pulse.history_mark.0);
            out.varint(pulse.down_head.0);
            out.zigzag(pulse.clock.0);
        }
        Body::Buckets(buckets) => {
            write_direction(out, buckets.direction);
            out.varint(buckets.head.0);
            for sum in &buckets.sums {
                out.fixed(&sum.to_le_bytes());
            }
        }
        Body::Resend(resend) => {
            write_direction(out, resend.direction);
            out.varint(resend.head.0);
            out.blob(&resend.buckets);
        }
        Body::Refused(refused) => {
            out.u8(refused.why.code());
            out.text(clipped(&refused.detail, DETAIL_BYTES_MAX));
        }
        Body::Marks(marks) => write_marks(out, *marks),
    }
}

fn read_body(reader: &mut Reader<'_>, code: u8, epoch: Epoch) -> Result<Body, DecodeError> {
    Ok(match code {
        1 => Body::Hello(read_hello(reader)?),
        2 => Body::Welcome(read_welcome(reader)?),
        3 => Body::Handover(sections::read_handover(reader)?),
        4 => Body::Offer(sections::read_offer(reader)?),
        5 => Body::State(sections::read_state(reader, epoch)?),
        6 => Body::History(sections::read_history(reader)?),
        7 => Body::Down(sections::read_down(reader)?),
        8 => Body::Ack(read_ack(reader)?),
        9 => Body::Heartbeat(read_heartbeat(reader)?),
        10 => Body::Pulse(Pulse {
            state_mark: Seq(reader.mark("state mark")?),
            history_mark: Position(reader.mark("history mark")?),
            down_head: Seq(reader.mark("down head")?),
            clock: UnixMillis(reader.zigzag("clock")?),
        }),
        11 => Body::Buckets(read_buckets(reader)?),
        12 => Body::Resend(read_resend(reader)?),
        13 => Body::Refused(read_refused(reader)?),
        14 => Body::Marks(read_marks(reader)?),
        found => return Err(DecodeError::Kind { found }),
    })
}

const SOFTWARE_BYTES_MAX: usize = 64;
const DETAIL_BYTES_MAX: usize = 300;

fn write_hello(out: &mut Writer, hello: &Hello) {
    out.u8(hello.version_min);
    out.u8(hello.version_max);
    let boots = &hello.boots[hello.boots.len().saturating_sub(BOOTS_MAX)..];
    out.varint(boots.len() as u64);
    for mark in boots {
        out.varint(mark.boot.0);
        out.varint(mark.first_seq.0);
        out.varint(mark.first_position.0);
    }
    out.varint(hello.state_head.0);
    out.varint(hello.history_head.0);
    out.varint(hello.state_acked.0);
    out.varint(hello.history_acked.0);
    out.varint(hello.down_mark.0);
    out.varint(hello.hub_life);
    out.zigzag(hello.clock.0);
    out.text(clipped(&hello.software, SOFTWARE_BYTES_MAX));
}

fn read_hello(reader: &mut Reader<'_>) -> Result<Hello, DecodeError> {
    let version_min = reader.u8("oldest version")?;
    let version_max = reader.u8("newest version")?;
    let count = reader.count("boots", BOOTS_MAX)?;
    let mut boots = Vec::with_capacity(count);
    for _ in 0..count {
        boots.push(BootMark {
            boot: Boot(reader.varint("boot")?),
            first_seq: Seq(reader.mark("first seq")?),
            first_position: Position(reader.mark("first position")?),
        });
    }
    Ok(Hello {
        version_min,
        version_max,
        boots,
        state_head: Seq(reader.mark("state head")?),
        history_head: Position(reader.mark("history head")?),
        state_acked: Seq(reader.mark("state acked")?),
        history_acked: Position(reader.mark("history acked")?),
        down_mark: Seq(reader.mark("down mark")?),
        hub_life: reader.varint("hub life")?,
        clock: UnixMillis(reader.zigzag("clock")?),
        software: reader.text("software", SOFTWARE_BYTES_MAX)?.to_owned(),
    })
}

fn write_welcome(out: &mut Writer, welcome: &Welcome) {
    out.u8(welcome.version);
    out.varint(welcome.state_mark.0);
    out.varint(welcome.history_mark.0);
    out.varint(welcome.down_head.0);
    out.varint(welcome.hub_life);
    out.u8(welcome.wants_offer.into());
    out.zigzag(welcome.clock.0);
}

fn read_welcome(reader: &mut Reader<'_>) -> Result<Welcome, DecodeError> {
    Ok(Welcome {
        version: reader.u8("version")?,
        state_mark: Seq(reader.mark("state mark")?),
        history_mark: Position(reader.mark("history mark")?),
        down_head: Seq(reader.mark("down head")?),
        hub_life: reader.varint("hub life")?,
        wants_offer: read_bool(reader, "wants offer")?,
        clock: UnixMillis(reader.zigzag("clock")?),
    })
}

fn write_heartbeat(out: &mut Writer, heartbeat: &Heartbeat) {
    out.varint(heartbeat.state_head.0);
    out.varint(heartbeat.history_head.0);
    out.varint(heartbeat.down_mark.0);
    out.fixed(&heartbeat.up_root.to_le_bytes());
    out.fixed(&heartbeat.down_root.to_le_bytes());
}

fn read_heartbeat(reader: &mut Reader<'_>) -> Result<Heartbeat, DecodeError> {
    Ok(Heartbeat {
        state_head: Seq(reader.mark("state head")?),
        history_head: Position(reader.mark("history head")?),
        down_mark: Seq(reader.mark("down mark")?),
        up_root: u128::from_le_bytes(reader.array("up root")?),
        down_root: u128::from_le_bytes(reader.array("down root")?),
    })
}

fn read_ack(reader: &mut Reader<'_>) -> Result<Ack, DecodeError> {
    let code = reader.u8("stream")?;
    let stream = Stream::from_code(code).ok_or_else(|| DecodeError::invalid("stream", code))?;
    Ok(Ack { stream, upto: reader.mark("upto")? })
}

/// Which marks follow: 1 state, 2 history; then those.
fn write_marks(out: &mut Writer, marks: Marks) {
    out.u8(u8::from(marks.state.is_some()) | u8::from(marks.history.is_some()) << 1);
    marks.state.iter().for_each(|mark| out.varint(mark.0));
    marks.history.iter().for_each(|mark| out.varint(mark.0));
}

fn read_marks(reader: &mut Reader<'_>) -> Result<Marks, DecodeError> {
    let which = reader.u8("which marks")?;
    if which == 0 || which > 3 {
        return Err(DecodeError::invalid("which marks", which));
    }
    let state = if which & 1 == 1 { Some(Seq(reader.mark("state mark")?)) } else { None };
    let history = if which & 2 == 2 { Some(Position(reader.mark("history mark")?)) } else { None };
    Ok(Marks { state, history })
}

fn write_direction(out: &mut Writer, direction: Direction) {
    out.u8(match direction {
        Direction::Up => 0,
        Direction::Down => 1,
    });
}

fn read_direction(reader: &mut Reader<'_>) -> Result<Direction, DecodeError> {
    let down = read_bool(reader, "direction")?;
    Ok(if down { Direction::Down } else { Direction::Up })
}

fn read_buckets(reader: &mut Reader<'_>) -> Result<Buckets, DecodeError> {
    let direction = read_direction(reader)?;
    let head = Seq(reader.mark("head")?);
    let mut sums = Vec::with_capacity(DIGEST_BUCKETS);
    for _ in 0..DIGEST_BUCKETS {
        sums.push(u128::from_le_bytes(reader.array("bucket")?));
    }
    Ok(Buckets { direction, head, sums })
}

fn read_resend(reader: &mut Reader<'_>) -> Result<Resend, DecodeError> {
    let direction = read_direction(reader)?;
    let head = Seq(reader.mark("head")?);
    let buckets = reader.blob("buckets", DIGEST_BUCKETS)?.to_vec();
    if !buckets.is_sorted_by(|a, b| a < b) {
        return Err(DecodeError::invalid("buckets", "their numbers must grow"));
    }
    Ok(Resend { direction, head, buckets })
}

fn read_refused(reader: &mut Reader<'_>) -> Result<Refused, DecodeError> {
    let code = reader.u8("refusal")?;
    let why = Refusal::ALL.into_iter().find(|why| why.code() == code);
    let why = why.ok_or_else(|| DecodeError::invalid("refusal", code))?;
    Ok(Refused { why, detail: reader.text("detail", DETAIL_BYTES_MAX)?.to_owned() })
}

fn read_bool(reader: &mut Reader<'_>, what: &'static str) -> Result<bool, DecodeError> {
    match reader.u8(what)? {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(DecodeError::invalid(what, found)),
    }
}

/// The last item of a sorted list of halves: where the next part goes on.
#[must_use]
pub fn last_item(halves: &[HubStock]) -> ItemNo {
    halves.last().map_or(ItemNo(0), |stock| stock.item)
}

/// At most this many trace ids travel with a batch; the newest are kept.
#[must_use]
pub fn newest_traces(traces: &[TraceId]) -> Vec<TraceId> {
    traces[traces.len().saturating_sub(TRACES_MAX)..].to_vec()
}

#[cfg(test)]
mod tests;
