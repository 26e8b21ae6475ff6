//! What a store's line carries, as a metered line would count it: IP packets, both directions, with their headers.
//!
//! Datagrams are counted by the line itself. Segments of TCP nobody but the kernel sees; `ss` tells how many there were on the sockets
//! between the agent and the line, pure acknowledgements included.

use super::figure::as_f64;
use crate::clock;
use crate::fleet::link::Link;
use crate::fleet::store::Store;
use anyhow::{Context, Result, ensure};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use tokio::process::Command;

/// What IPv4 and UDP add to each datagram, and what IPv4 and TCP add to each segment at least.
const DATAGRAM_HEADER: f64 = 28.0;
const SEGMENT_HEADER: f64 = 40.0;

/// A reading of one line.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    pub at: Instant,
    pub packets: f64,
    pub bytes: f64,
}

impl Reading {
    pub async fn of(store: &Store) -> Result<Self> {
        let link = store.link().context("this store's line is not simulated")?;
        let (datagrams, payload) = datagrams(link);
        let tcp = Sockets::of_port(link.ends().mqtt.port()).await?;
        Ok(Self {
            at: clock::now(),
            packets: datagrams + tcp.segments,
            bytes: payload + DATAGRAM_HEADER * datagrams + tcp.payload + SEGMENT_HEADER * tcp.segments,
        })
    }

    /// Bytes and packets since an earlier reading. The TCP connection must have stood all the while: the kernel forgets one that ends.
    pub fn since(self, earlier: Self) -> Result<Used> {
        ensure!(
            self.bytes >= earlier.bytes && self.packets >= earlier.packets,
            "a connection ended while it was measured"
        );
        let seconds = self.at.duration_since(earlier.at).as_secs_f64();
        Ok(Used { seconds, packets: self.packets - earlier.packets, bytes: self.bytes - earlier.bytes })
    }
}

/// What went over a line in a while.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    pub seconds: f64,
    pub packets: f64,
    pub bytes: f64,
}

fn datagrams(link: &Link) -> (f64, f64) {
    let line = link.line();
    let both = [&line.datagrams_to_hub, &line.datagrams_to_store];
    let datagrams = both.iter().map(|traffic| traffic.datagrams.load(Relaxed)).sum();
    let payload = both.iter().map(|traffic| traffic.bytes.load(Relaxed)).sum();
    (as_f64(datagrams), as_f64(payload))
}

/// Whether this machine can count segments: Debian has `ss` in the package iproute2.
pub async fn counts_segments() -> bool {
    Command::new("ss").arg("-V").output().await.is_ok_and(|output| output.status.success())
}

/// What the TCP sockets of one local port have moved, in and out.
#[derive(Debug, Default, PartialEq)]
struct Sockets {
    segments: f64,
    payload: f64,
}

impl Sockets {
    async fn of_port(port: u16) -> Result<Self> {
        let output = Command::new("ss").args(["-tinH", &format!("sport = :{port}")]).output().await;
        let output = output.context("running `ss` (Debian package iproute2)")?;
        ensure!(output.status.success(), "`ss` failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    fn parse(said: &str) -> Self {
        let sum = |names: [&str; 2]| {
            let values = said.split_whitespace().filter_map(|word| {
                let (name, value) = word.split_once(':')?;
                names.contains(&name).then(|| value.parse::<f64>().ok()).flatten()
            });
            values.sum()
        };
        Self { segments: sum(["segs_out", "segs_in"]), payload: sum(["bytes_sent", "bytes_received"]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_and_payload_are_summed_over_all_sockets() {
        let said = "ESTAB 0 0 127.0.0.1:7000 127.0.0.1:40000\n\t cubic wscale:7,7 rto:204 mss:1448 \
            bytes_sent:100 bytes_acked:100 bytes_received:50 segs_out:7 segs_in:5 data_segs_out:3\n\
            ESTAB 0 0 127.0.0.1:7000 127.0.0.1:40001\n\t cubic bytes_received:1 segs_out:1 segs_in:2\n";
        assert_eq!(Sockets::parse(said), Sockets { segments: 15.0, payload: 151.0 });
        assert_eq!(Sockets::parse(""), Sockets::default());
    }

    #[tokio::test]
    async fn the_kernel_counts_the_segments_of_a_connection() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        use tokio::net::{TcpListener, TcpStream};
        if !counts_segments().await {
            println!("SKIPPED: there is no `ss`");
            return;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(b"hello").await.unwrap();
        server.read_exact(&mut [0; 5]).await.unwrap();
        let sockets = Sockets::of_port(port).await.unwrap();
        assert!(sockets.segments >= 3.0 && (sockets.payload - 5.0).abs() < 1e-9, "{sockets:?}");
    }
}
