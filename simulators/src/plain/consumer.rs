//! The hand-made hub, a process of its own: takes messages from the broker as they come, upserts what has arrived into
//! PostgreSQL in one statement, and only then acknowledges.

use super::marks::{Mark, MarkWriter};
use super::mqtt::{self, Packet};
use super::servers::database_settings;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::{Client, NoTls, Statement};

const READ_BYTES: usize = 256 * 1024;

/// A message, as far as the hub uses it.
#[derive(Deserialize)]
struct Change<'a> {
    store: &'a str,
    seq: i64,
    sku: &'a str,
    on_hand: i64,
}

/// Consumes until the broker goes away.
pub async fn run(broker: SocketAddr, database: &Path, marks: &Path) -> Result<()> {
    let (client, connection) =
        database_settings(database).connect(NoTls).await.context("opening the database")?;
    let connection = tokio::spawn(connection);
    client.batch_execute(include_str!("hub.sql")).await.context("creating the hub's table")?;
    let upsert = client.prepare(include_str!("upsert.sql")).await.context("preparing the upsert")?;
    let socket = subscribe(broker).await?;
    let consumer =
        Consumer { socket, client, upsert, marks: MarkWriter::create(marks)?, received: Vec::new() };
    consumer.run().await?;
    connection.abort();
    Ok(())
}

async fn subscribe(broker: SocketAddr) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(broker).await.context("connecting to the broker")?;
    socket.set_nodelay(true)?;
    let mut hello = Vec::new();
    mqtt::connect(&mut hello, "hub");
    mqtt::subscribe(&mut hello, "stores/+/stock");
    socket.write_all(&hello).await.context("greeting the broker")?;
    Ok(socket)
}

struct Consumer {
    socket: TcpStream,
    client: Client,
    upsert: Statement,
    marks: MarkWriter,
    received: Vec<u8>,
}

impl Consumer {
    async fn run(mut self) -> Result<()> {
        self.received.reserve(READ_BYTES);
        while self.socket.read_buf(&mut self.received).await.context("listening to the broker")? > 0 {
            let received = std::mem::take(&mut self.received);
            let used = self.take(&received).await?;
            self.received = received;
            self.received.drain(..used);
            self.received.reserve(READ_BYTES);
        }
        Ok(())
    }

    /// Deals with all complete packets and says how many bytes they were.
    async fn take(&mut self, bytes: &[u8]) -> Result<usize> {
        let (mut used, mut last_seq, mut acks) = (0, 0, Vec::new());
        let mut newest: HashMap<(&str, &str), Change<'_>> = HashMap::new();
        while let Some((packet, length)) = mqtt::decode(&bytes[used..])? {
            used += length;
            match packet {
                Packet::Published { id, payload } => {
                    let change: Change<'_> =
                        serde_json::from_slice(payload).context("understanding a message")?;
                    last_seq = change.seq;
                    newest.insert((change.store, change.sku), change);
                    mqtt::acknowledge(&mut acks, id);
                }
                Packet::Subscribed => self.marks.write(Mark::now(0))?,
                Packet::Connected { code } if code != 0 => bail!("the broker refused: code {code}"),
                _ => {}
            }
        }
        if !newest.is_empty() {
            self.store(newest.into_values()).await?;
            self.marks.write(Mark::now(u64::try_from(last_seq).unwrap_or_default()))?;
            self.socket.write_all(&acks).await.context("acknowledging")?;
        }
        Ok(used)
    }

    async fn store<'a>(&self, changes: impl Iterator<Item = Change<'a>>) -> Result<()> {
        let (mut stores, mut skus, mut on_hands, mut seqs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for change in changes {
            stores.push(change.store);
            skus.push(change.sku);
            on_hands.push(change.on_hand);
            seqs.push(change.seq);
        }
        self.client.execute(&self.upsert, &[&stores, &skus, &on_hands, &seqs]).await.context("upserting")?;
        Ok(())
    }
}
