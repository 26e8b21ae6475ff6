//! Keeps an eye on a running fleet for the display: how far the hub is, what went over the wire, who is on line.

use super::convergence::SyncView;
use super::probe::Lag;
use super::screen::View;
use crate::fleet::metrics::Metrics;
use crate::fleet::store::Store;
use crate::http::Client;
use crate::pos::witness::Witness;
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Stores asked in one look; the others keep their last answer until it is their turn.
const ASKED_AT_ONCE: usize = 16;
/// What UDP and IPv4 add to each datagram.
const DATAGRAM_HEADER: f64 = 28.0;

/// Bytes on the wire, both directions, by the hub's count.
#[derive(Debug, Clone, Copy, Default)]
pub struct WireBytes {
    /// With the headers of UDP and IP; those of TCP nobody counts.
    pub all: u64,
    /// Of which TCP.
    pub tcp: u64,
}

impl WireBytes {
    async fn read(hub: &mut Client) -> Result<Self> {
        let metrics = Metrics::read(hub).await?;
        let payload = metrics.sum("shopsmart_hub_quic_udp_bytes_total", &[]);
        let datagrams = metrics.sum("shopsmart_hub_quic_udp_datagrams_total", &[]);
        let tcp = whole(metrics.sum("shopsmart_hub_mqtt_tcp_bytes_total", &[]));
        Ok(Self { all: whole(payload + DATAGRAM_HEADER * datagrams) + tcp, tcp })
    }

    fn since(self, earlier: Self) -> Self {
        Self { all: self.all.saturating_sub(earlier.all), tcp: self.tcp.saturating_sub(earlier.tcp) }
    }
}

/// What was seen so far.
pub struct Watch {
    hub: Client,
    stores: Vec<Arc<Store>>,
    /// Lines visible at the hub and whether the link is up, by store.
    seen: Vec<(u64, bool)>,
    next: usize,
    wire_before: WireBytes,
    /// Ledger lines before the tills began: the opening stock.
    lines_before: u64,
}

impl Watch {
    pub async fn start(mut hub: Client, stores: Vec<Arc<Store>>) -> Result<Self> {
        let wire_before = WireBytes::read(&mut hub).await?;
        let mut seen = Vec::new();
        for store in &stores {
            seen.push((SyncView::of(store).await?.visible(), true));
        }
        let lines_before = seen.iter().map(|(lines, _)| lines).sum();
        Ok(Self { hub, stores, seen, next: 0, wire_before, lines_before })
    }

    /// Bytes on the wire since the start.
    pub async fn wire_bytes(&mut self) -> Result<WireBytes> {
        Ok(WireBytes::read(&mut self.hub).await?.since(self.wire_before))
    }

    /// Takes a look. A daemon that doesn't answer right now is looked at next time.
    pub async fn look(&mut self, witness: &Witness, lag: &Lag, view: &mut View) {
        for _ in 0..ASKED_AT_ONCE.min(self.stores.len()) {
            let place = self.next;
            self.next = (self.next + 1) % self.stores.len();
            if let Ok(sync) = SyncView::of(&self.stores[place]).await {
                let (lines, _) = self.seen[place];
                self.seen[place] = (lines.max(sync.visible()), sync.link == "streaming");
            }
        }
        view.wire_bytes = self.wire_bytes().await.map_or(view.wire_bytes, |wire| wire.all);
        view.lag = lag.percentiles();
        view.lines_sent = witness.tally.lines_sent.load(Relaxed);
        view.recorded = witness.tally.movements_recorded.load(Relaxed);
        view.duplicates = witness.tally.duplicates_refused.load(Relaxed);
        view.visible =
            self.seen.iter().map(|(lines, _)| lines).sum::<u64>().saturating_sub(self.lines_before);
        view.down = self.stores.iter().filter(|store| !store.is_up()).count();
        view.cut_off = self.stores.iter().filter(|store| store.is_up() && store.is_cut()).count();
        view.on_line = self.stores.len() - view.down - view.cut_off;
    }
}

fn whole(number: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count, far below 2^53; saturates"
    )]
    let whole = number as u64;
    whole
}
