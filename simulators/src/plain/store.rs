//! The hand-made store, a process of its own: commits changes with an outbox row each, and publishes the outbox to the
//! broker at QoS 1. It is told what to do on standard input and answers there when it is done.

use super::marks::{Mark, MarkWriter};
use super::mqtt::{self, Packet};
use crate::clock;
use crate::rng::{Rng, Skew};
use anyhow::{Context, Result, bail};
use rusqlite::{Connection, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// Messages sent and not yet confirmed by the broker.
const IN_FLIGHT_MAX: usize = 2000;
/// Messages read from the outbox and written to the socket at once.
const PUBLISH_AT_ONCE: u32 = 500;
/// Confirmed messages are deleted this many at a time: each deletion is a commit that the tills would wait for.
const FORGET_AT: u64 = 5000;
const TOPIC: &str = "stores/S0001/stock";
/// What a TCP/IPv4 segment carries beside its payload, and how much payload on an Ethernet path.
const SEGMENT_HEADER: u64 = 40;
const SEGMENT_PAYLOAD: usize = 1460;

/// What the store is told: commit so many changes, so many at once, at this rate (0: as fast as it goes).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Order {
    pub changes: u64,
    pub at_once: u64,
    pub per_second: u64,
}

/// What the store says of an order.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Done {
    pub last_seq: u64,
    pub first_commit_micros: u64,
    pub payload_bytes: u64,
    /// TCP payload in both directions, with 40 bytes for each write, each read and each full segment beyond.
    pub wire_bytes: u64,
}

/// Serves orders from standard input until it closes.
pub fn run(folder: &Path, broker: SocketAddr, items: usize) -> Result<()> {
    let database = folder.join("store.db");
    let mut store = CommittingStore::create(&database, items, &folder.join("committed"))?;
    let (wake, woken) = sync_channel::<()>(1);
    let (confirm, confirmed) = sync_channel::<Traffic>(16);
    let publisher = Publisher::connect(&database, broker)?;
    thread::Builder::new().name("publisher".into()).spawn(move || publisher.run(&woken, &confirm))?;
    for line in std::io::stdin().lock().lines() {
        let order: Order =
            serde_json::from_str(&line.context("reading an order")?).context("understanding it")?;
        let done = store.carry_out(order, &wake, &confirmed)?;
        let mut answer = serde_json::to_vec(&done)?;
        answer.push(b'\n');
        std::io::stdout().write_all(&answer).context("answering")?;
    }
    Ok(())
}

struct CommittingStore {
    db: Connection,
    rng: Rng,
    skew: Skew,
    marks: MarkWriter,
    last_seq: u64,
    traffic: Traffic,
}

impl CommittingStore {
    fn create(database: &PathBuf, items: usize, marks: &Path) -> Result<Self> {
        let db = open(database)?;
        db.execute_batch(include_str!("store.sql")).context("creating the store's tables")?;
        let marks = MarkWriter::create(marks)?;
        let (rng, skew) = (Rng::seeded(1), Skew::over(items));
        Ok(Self { db, rng, skew, marks, last_seq: 0, traffic: Traffic::default() })
    }

    /// Commits the changes, and waits until the broker has confirmed them all.
    fn carry_out(
        &mut self,
        order: Order,
        wake: &SyncSender<()>,
        confirmed: &Receiver<Traffic>,
    ) -> Result<Done> {
        let (start, before) = (clock::now(), self.traffic);
        let first_commit_micros = Mark::now(0).micros;
        let mut committed = 0;
        while committed < order.changes {
            if let Some(due) = (1_000_000_000 * committed).checked_div(order.per_second) {
                thread::sleep(Duration::from_nanos(due).saturating_sub(start.elapsed()));
            }
            let count = order.at_once.min(order.changes - committed);
            self.commit(count)?;
            committed += count;
            // When one wake-up is waiting already, it stands for this commit too.
            let _ = wake.try_send(());
            self.traffic = confirmed.try_iter().last().unwrap_or(self.traffic);
        }
        while self.traffic.confirmed < self.last_seq {
            self.traffic = confirmed.recv().context("the publisher has ended; see the log")?;
        }
        Ok(Done {
            last_seq: self.last_seq,
            first_commit_micros,
            payload_bytes: self.traffic.payload - before.payload,
            wire_bytes: self.traffic.wire - before.wire,
        })
    }

    fn commit(&mut self, count: u64) -> Result<()> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).context("beginning")?;
        for seq in self.last_seq + 1..=self.last_seq + count {
            change(&tx, seq, 100_000 + self.skew.draw(&mut self.rng)).context("recording a change")?;
        }
        tx.commit().context("committing")?;
        self.last_seq += count;
        self.marks.write(Mark::now(self.last_seq))
    }
}

fn open(database: &PathBuf) -> Result<Connection> {
    let db = Connection::open(database).context("opening the store's database")?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    db.busy_timeout(Duration::from_secs(30))?;
    Ok(db)
}

/// One sale of one piece: a ledger row, the stock, and the message about it.
fn change(db: &Connection, seq: u64, item: usize) -> rusqlite::Result<()> {
    let (sku, reference) = (item.to_string(), format!("2026-10-31/3/{seq:07}"));
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    db.prepare_cached("INSERT INTO movement (id, reference, sku, quantity) VALUES (?1, ?2, ?3, -1000)")?
        .execute(params![seq, reference, sku])?;
    let on_hand: i64 = db
        .prepare_cached(
            "INSERT INTO stock (sku, on_hand) VALUES (?1, 99000)
            ON CONFLICT (sku) DO UPDATE SET on_hand = on_hand - 1000 RETURNING on_hand",
        )?
        .query_row([&sku], |row| row.get(0))?;
    let payload = format!(
        r#"{{"store":"S0001","seq":{seq},"sku":"{sku}","delta":-1,"on_hand":{},"reference":"{reference}","at":"2026-10-31T17:03:22Z"}}"#,
        on_hand / 1000
    );
    db.prepare_cached("INSERT INTO outbox (seq, payload) VALUES (?1, ?2)")?.execute(params![seq, payload])?;
    Ok(())
}

/// What the publisher has sent, and how far the broker has confirmed it.
#[derive(Debug, Clone, Copy, Default)]
struct Traffic {
    confirmed: u64,
    payload: u64,
    wire: u64,
}

struct Publisher {
    db: Connection,
    socket: TcpStream,
    received: Vec<u8>,
    /// Sequence numbers sent and not yet confirmed, oldest first; the broker confirms in this order.
    in_flight: VecDeque<u64>,
    sent: u64,
    deleted: u64,
    traffic: Traffic,
}

impl Publisher {
    fn connect(database: &PathBuf, broker: SocketAddr) -> Result<Self> {
        let mut socket = TcpStream::connect(broker).context("connecting to the broker")?;
        socket.set_nodelay(true)?;
        let mut hello = Vec::new();
        mqtt::connect(&mut hello, "S0001");
        socket.write_all(&hello).context("greeting the broker")?;
        let (received, in_flight) = (Vec::new(), VecDeque::new());
        let db = open(database)?;
        Ok(Self { db, socket, received, in_flight, sent: 0, deleted: 0, traffic: Traffic::default() })
    }

    /// Publishes what is in the outbox whenever it is woken, until the store ends.
    fn run(mut self, woken: &Receiver<()>, confirm: &SyncSender<Traffic>) -> Result<()> {
        while woken.recv().is_ok() {
            loop {
                let published = self.publish()?;
                while self.in_flight.len() >= IN_FLIGHT_MAX || (published == 0 && !self.in_flight.is_empty())
                {
                    self.receive()?;
                }
                if published == 0 {
                    break;
                }
            }
            self.forget_confirmed()?;
            if confirm.send(self.traffic).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<usize> {
        let mut bytes = Vec::with_capacity(64 * 1024);
        let mut rows =
            self.db.prepare_cached("SELECT seq, payload FROM outbox WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        let mut rows = rows.query(params![as_i64(self.sent), PUBLISH_AT_ONCE])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let (seq, payload): (i64, String) = (row.get(0)?, row.get(1)?);
            let seq = u64::try_from(seq).context("a negative sequence number")?;
            mqtt::publish(&mut bytes, packet_id(seq), TOPIC, payload.as_bytes());
            self.traffic.payload += as_u64(payload.len());
            self.in_flight.push_back(seq);
            self.sent = seq;
            count += 1;
        }
        if count > 0 {
            self.socket.write_all(&bytes).context("publishing")?;
            self.traffic.wire += on_the_wire(bytes.len());
        }
        Ok(count)
    }

    fn receive(&mut self) -> Result<()> {
        let mut buffer = [0; 16 * 1024];
        let length = self.socket.read(&mut buffer).context("listening to the broker")?;
        if length == 0 {
            bail!("the broker closed the connection");
        }
        self.traffic.wire += on_the_wire(length);
        self.received.extend_from_slice(&buffer[..length]);
        let mut used = 0;
        while let Some((packet, length)) = mqtt::decode(&self.received[used..])? {
            used += length;
            match packet {
                Packet::Acknowledged { .. } => {
                    self.traffic.confirmed = self.in_flight.pop_front().unwrap_or_default()
                }
                Packet::Connected { code } if code != 0 => bail!("the broker refused: code {code}"),
                _ => {}
            }
        }
        self.received.drain(..used);
        Ok(())
    }

    fn forget_confirmed(&mut self) -> Result<()> {
        if self.traffic.confirmed >= self.deleted + FORGET_AT {
            let mut delete = self.db.prepare_cached("DELETE FROM outbox WHERE seq <= ?1")?;
            delete.execute([as_i64(self.traffic.confirmed)]).context("emptying the outbox")?;
            self.deleted = self.traffic.confirmed;
        }
        Ok(())
    }
}

/// Never 0, and far more of them than are in flight.
fn packet_id(seq: u64) -> u16 {
    u16::try_from(seq % 65_535 + 1).expect("1 to 65,535")
}

fn on_the_wire(length: usize) -> u64 {
    as_u64(length) + SEGMENT_HEADER * as_u64(length.div_ceil(SEGMENT_PAYLOAD))
}

fn as_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
