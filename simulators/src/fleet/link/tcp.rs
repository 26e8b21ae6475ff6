//! Moves the bytes of TCP connections over a line.

use super::Line;
use super::lane::Direction;
use super::segments::{Arrived, HEADER_BYTES, SEGMENT_BYTES_MAX, Segments};
use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

/// Connections carried at once: an agent has one, and those it gave up during a cut. The oldest make room.
const CONNECTIONS_MAX: usize = 16;
const BACKLOG: i32 = 64;
const READ_BYTES: usize = 16 * 1024;
/// How long a connection's first packet is waited for before it is sent again, at first.
const OPENING_TIMEOUT: Duration = Duration::from_secs(1);
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Opens a line's TCP side, and says at which address. Must be called inside a tokio runtime.
pub fn start(hub: SocketAddr, line: &Arc<Line>, carrying: &mut JoinSet<()>) -> Result<SocketAddr> {
    let listener = listener().context("opening a line's TCP side")?;
    let address = listener.local_addr().context("asking for the line's address")?;
    carrying.spawn(accept(listener, hub, Arc::clone(line)));
    Ok(address)
}

/// Loopback carries 64 KiB in one segment. Here segments are as long as on a line, so that they can be counted.
fn listener() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_tcp_mss(u32::try_from(SEGMENT_BYTES_MAX).expect("a segment is short"))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, hub: SocketAddr, line: Arc<Line>) {
    // Dropped with this task, which ends them.
    let mut connections = JoinSet::new();
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((store_side, _)) = listener.accept().await else {
            sleep(ACCEPT_AGAIN_AFTER).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        open.retain(|connection| !connection.is_finished());
        if line.refuses_tcp() {
            continue;
        }
        let line = Arc::clone(&line);
        open.push_back(connections.spawn(async move {
            // Either end's error has closed the connection for both; there is nobody to tell.
            let _ = carry(store_side, hub, &line).await;
        }));
        if open.len() > CONNECTIONS_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
    }
}

/// Carries one connection to its end.
async fn carry(store_side: TcpStream, hub: SocketAddr, line: &Line) -> io::Result<()> {
    open(line).await;
    let hub_side = TcpStream::connect(hub).await?;
    store_side.set_nodelay(true)?;
    hub_side.set_nodelay(true)?;
    let (from_store, to_store) = store_side.into_split();
    let (from_hub, to_hub) = hub_side.into_split();
    let there = carry_one_way(from_store, to_hub, line, Direction::ToHub);
    let back = carry_one_way(from_hub, to_store, line, Direction::ToStore);
    tokio::try_join!(there, back).map(drop)
}

/// The first packet there and the answer back. The agent's own kernel believes it has a connection already; it will see that
/// nothing comes over it.
async fn open(line: &Line) {
    let mut timeout = OPENING_TIMEOUT;
    while !(crossed(line, Direction::ToHub).await && crossed(line, Direction::ToStore).await) {
        sleep(timeout).await;
        timeout *= 2;
    }
}

async fn crossed(line: &Line, direction: Direction) -> bool {
    let arrives = line.lane(direction).segment(line.now(), HEADER_BYTES);
    if arrives.is_some() {
        line.reach(arrives).await;
    }
    arrives.is_some()
}

async fn carry_one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    line: &Line,
    direction: Direction,
) -> io::Result<()> {
    let mut segments = Segments::new(line.profile.round_trip());
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let room_at = line.lane(direction).room_at();
        tokio::select! {
            read = read_when(line, room_at, &mut from, &mut buffer), if segments.has_room() => {
                let mut lane = line.lane(direction);
                match read {
                    // A connection that broke ends for the other side like one that was closed, and not sooner.
                    Ok(0) | Err(_) => segments.end(line.now(), &mut lane),
                    Ok(length) => segments.send(line.now(), &buffer[..length], &mut lane),
                }
            }
            () = line.reach(segments.next_deadline()) => {}
        }
        let (bytes, is_over) = arrived(&mut segments, line, direction);
        if !bytes.is_empty() {
            to.write_all(&bytes).await?;
        }
        if is_over {
            return to.shutdown().await;
        }
    }
}

/// Can be dropped while waiting.
async fn read_when(
    line: &Line,
    room_at: Duration,
    from: &mut OwnedReadHalf,
    buffer: &mut [u8],
) -> io::Result<usize> {
    line.reach(Some(room_at)).await;
    from.read(buffer).await
}

/// What has arrived by now, and whether that was all.
fn arrived(segments: &mut Segments, line: &Line, direction: Direction) -> (Vec<u8>, bool) {
    let (now, mut lane, mut all) = (line.now(), line.lane(direction), Vec::new());
    while let Some(arrived) = segments.arrived(now, &mut lane) {
        match arrived {
            Arrived::Bytes(bytes) => all.extend(bytes),
            Arrived::End => return (all, true),
        }
    }
    (all, false)
}

#[cfg(test)]
mod tests {
    use super::super::profile::{LinkProfile, Loss, Rate};
    use super::super::{HubEnds, Link};
    use super::*;
    use crate::clock;
    use crate::rng::Rng;
    use tokio::time::timeout;

    const SHORT: Duration = Duration::from_millis(300);

    /// A hub that sends every byte back.
    async fn echo() -> HubEnds {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut from, mut to) = socket.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        HubEnds { quic: address, mqtt: address }
    }

    async fn connected(profile: LinkProfile) -> (Link, TcpStream) {
        let link = Link::start(echo().await, profile, Rng::seeded(1)).await.unwrap();
        let store = TcpStream::connect(link.ends().mqtt).await.unwrap();
        (link, store)
    }

    async fn ask(store: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
        let mut answer = vec![0; bytes.len()];
        store.write_all(bytes).await.unwrap();
        store.read_exact(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn bytes_come_back_as_they_went_over_a_bad_line() {
        let profile = LinkProfile {
            one_way: Duration::from_millis(5),
            jitter: Duration::from_millis(5),
            loss: Loss::bursts(0.02, 3.0),
            to_hub: Rate { bits_per_second: Some(20_000_000), queue_max: Duration::from_millis(50) },
            ..LinkProfile::PERFECT
        };
        let (_link, mut store) = connected(profile).await;
        let sent: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        assert!(ask(&mut store, &sent).await == sent);
    }

    #[tokio::test]
    async fn a_connection_takes_a_round_trip_to_open_and_one_to_answer() {
        let one_way = Duration::from_millis(40);
        let start = clock::now();
        let (_link, mut store) = connected(LinkProfile { one_way, ..LinkProfile::PERFECT }).await;
        assert_eq!(ask(&mut store, b"hello").await, b"hello");
        assert!(start.elapsed() >= 4 * one_way, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn a_cut_holds_a_connection_until_the_line_is_mended() {
        let (link, mut store) = connected(LinkProfile::PERFECT).await;
        assert_eq!(ask(&mut store, b"before").await, b"before");
        link.cut();
        assert!(timeout(SHORT, ask(&mut store, b"x")).await.is_err());
        link.mend();
        let mut answer = [0; 1];
        store.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"x");
    }

    #[tokio::test]
    async fn cutting_udp_leaves_tcp_alone() {
        let (link, mut store) = connected(LinkProfile::PERFECT).await;
        link.cut_udp();
        assert_eq!(ask(&mut store, b"hello").await, b"hello");
    }

    #[tokio::test]
    async fn the_end_of_a_connection_crosses_too() {
        let (_link, mut store) = connected(LinkProfile::PERFECT).await;
        assert_eq!(ask(&mut store, b"hello").await, b"hello");
        store.shutdown().await.unwrap();
        assert_eq!(store.read(&mut [0; 1]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_portal_refuses_connections_until_it_opens() {
        let profile = LinkProfile { tcp_opens_after: SHORT, ..LinkProfile::PERFECT };
        let (link, mut store) = connected(profile).await;
        assert!(!matches!(store.read(&mut [0; 1]).await, Ok(1..)));
        sleep(SHORT).await;
        let mut store = TcpStream::connect(link.ends().mqtt).await.unwrap();
        assert_eq!(ask(&mut store, b"hello").await, b"hello");
    }
}
