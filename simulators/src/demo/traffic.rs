//! Brings the customers to the tills: reads the sales ahead, waits until each basket is due, and hands it to a till of its
//! store. Bounded all the way: when the tills can't keep up, reading waits.

use super::options::Speed;
use crate::clock;
use crate::scenario::Basket;
use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use sync_protocol::UnixMillis;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Baskets read ahead of time.
const READ_AHEAD: usize = 1024;
/// Customers waiting at one till; while an agent is started again, they queue here.
const QUEUE: usize = 512;

/// Where a basket goes.
pub struct Tills {
    queues: Vec<Vec<mpsc::Sender<Basket>>>,
    next: Vec<usize>,
}

impl Tills {
    /// Queues for so many tills in each store, and their other ends.
    #[must_use]
    pub fn open(stores: usize, tills: usize) -> (Self, Vec<Vec<mpsc::Receiver<Basket>>>) {
        let pairs = (0..stores).map(|_| (0..tills).map(|_| mpsc::channel(QUEUE)).unzip());
        let (queues, ends) = pairs.unzip();
        (Self { queues, next: vec![0; stores] }, ends)
    }

    /// To the tills of a store in turn.
    async fn serve(&mut self, basket: Basket) -> Result<()> {
        let (tills, next) = (&self.queues[basket.store], &mut self.next[basket.store]);
        *next = (*next + 1) % tills.len();
        tills[*next].send(basket).await.ok().context("a till has closed")
    }
}

/// How fast the customers come, and for how long.
#[derive(Debug, Clone)]
pub struct Pace {
    pub speed: Speed,
    pub start: UnixMillis,
    pub sell_for: Duration,
    /// Set once the shops close: tills then serve nobody who still waits.
    pub closing: Arc<AtomicBool>,
}

/// Serves baskets until there are none left or the time is over.
pub async fn run(
    baskets: Box<dyn Iterator<Item = Basket> + Send>,
    mut tills: Tills,
    pace: Pace,
) -> Result<()> {
    let (send, mut receive) = mpsc::channel(READ_AHEAD);
    std::thread::Builder::new().name("sales".into()).spawn(move || read_ahead(baskets, &send))?;
    let opened = clock::now();
    let closes = sleep(pace.sell_for);
    tokio::pin!(closes);
    loop {
        tokio::select! {
            () = &mut closes => break,
            served = serve_next(&mut receive, &mut tills, &pace, opened) => if !served? { return Ok(()) },
        }
    }
    pace.closing.store(true, Relaxed);
    Ok(())
}

/// `false` once there are no more baskets.
async fn serve_next(
    baskets: &mut mpsc::Receiver<Basket>,
    tills: &mut Tills,
    pace: &Pace,
    opened: Instant,
) -> Result<bool> {
    let Some(basket) = baskets.recv().await else { return Ok(false) };
    if let Speed::Times(factor) = pace.speed {
        let due = Duration::from_millis(basket.at.since(pace.start)).div_f64(factor);
        sleep(due.saturating_sub(opened.elapsed())).await;
    }
    tills.serve(basket).await?;
    Ok(true)
}

fn read_ahead(baskets: Box<dyn Iterator<Item = Basket> + Send>, send: &mpsc::Sender<Basket>) {
    for basket in baskets {
        if send.blocking_send(basket).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::scenario::generator::{Generator, Trade};

    async fn served(sell_for: Duration, speed: Speed) -> (usize, bool) {
        let trade = Trade { stores: 2, ..Trade::default() };
        let (tills, queues) = Tills::open(2, 2);
        let closing = Arc::new(AtomicBool::new(false));
        let pace = Pace { speed, start: trade.start, sell_for, closing: Arc::clone(&closing) };
        let baskets = Generator::new(trade, Rng::seeded(1)).take(100);
        run(Box::new(baskets), tills, pace).await.unwrap();
        let waiting = queues.into_iter().flatten().map(|queue| queue.len()).sum();
        (waiting, closing.load(Relaxed))
    }

    #[tokio::test]
    async fn all_baskets_reach_a_till_when_there_is_time() {
        assert_eq!(served(Duration::from_secs(60), Speed::Max).await, (100, false));
    }

    #[tokio::test]
    async fn the_shops_close_when_the_time_is_over() {
        let (waiting, closed) = served(Duration::from_millis(50), Speed::Times(1.0)).await;
        assert!(waiting < 100 && closed);
    }
}
