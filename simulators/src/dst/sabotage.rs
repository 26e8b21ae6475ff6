//! Faults planted on purpose: each breaks one promise the way a careless change would, to show that a checker notices. Used by
//! tests only.

use super::truth::DocNo;
use super::world::World;
use store_agent::agent::Document;
use sync_protocol::frame;

/// In thousandths.
const GRANTED_FROM_NOTHING: u64 = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Answers leave the agent, then the commit is lost in a crash.
    AgentAnswersBeforeCommit,
    /// Acknowledgements leave the hub, then the commit is lost in a crash.
    HubAcknowledgesBeforeCommit,
    /// A document that is sent again counts again.
    NoDedupe,
    /// The hub takes frames of fenced epochs and starts.
    NoFencing,
    /// The hub takes every store to have granted more than it has.
    PromisesFromNothing,
    /// Stream `history` is never sent again.
    HistoryStops,
    /// An agent forgets that it has handed over an order.
    HandsOverTwice,
    /// What stores say of orders never reaches the hub.
    OrdersStay,
}

impl World {
    /// What the hub gets for a frame: itself, unless it is to be misled.
    pub(super) fn tampered(&self, store: usize, bytes: Vec<u8>) -> Option<Vec<u8>> {
        if self.sabotage == Some(Sabotage::HistoryStops) && is_history(&bytes) && self.now > 30_000 {
            return None;
        }
        Some(self.without_orders(self.with_more_granted(self.unfenced(store, bytes))))
    }

    fn without_orders(&self, bytes: Vec<u8>) -> Vec<u8> {
        if self.sabotage != Some(Sabotage::OrdersStay) {
            return bytes;
        }
        let Ok(mut frame) = frame::decode(&bytes) else { return bytes };
        let frame::Body::State(batch) = &mut frame.body else { return bytes };
        batch.orders.clear();
        frame::encode(&frame)
    }

    fn with_more_granted(&self, bytes: Vec<u8>) -> Vec<u8> {
        if self.sabotage != Some(Sabotage::PromisesFromNothing) {
            return bytes;
        }
        let Ok(mut frame) = frame::decode(&bytes) else { return bytes };
        let frame::Body::State(batch) = &mut frame.body else { return bytes };
        batch.stock.iter_mut().for_each(|stock| stock.half.granted += GRANTED_FROM_NOTHING);
        frame::encode(&frame)
    }

    fn unfenced(&self, store: usize, bytes: Vec<u8>) -> Vec<u8> {
        if self.sabotage != Some(Sabotage::NoFencing) {
            return bytes;
        }
        let (Ok(mut frame), Some(hub)) = (frame::decode(&bytes), self.hub.hub()) else { return bytes };
        if matches!(frame.body, frame::Body::Hello(_)) {
            return bytes;
        }
        let Some((epoch, ..)) = hub.marks(&self.store_ids[store]) else { return bytes };
        let Some(boot) = self.welcomed.get(&store) else { return bytes };
        (frame.epoch, frame.boot) = (epoch, *boot);
        if let frame::Body::State(batch) = &mut frame.body {
            batch.stock.iter_mut().for_each(|stock| stock.half.epoch = epoch);
        }
        frame::encode(&frame)
    }

    pub(super) fn without_dedupe(&mut self, no: DocNo, document: Document) -> Document {
        if self.sabotage != Some(Sabotage::NoDedupe) {
            return document;
        }
        self.tickets += 1;
        let reference =
            format!("{}+{}", document.reference, self.tickets).parse().expect("still short and printable");
        let renamed = Document { reference, ..document };
        self.truth.also_known_as(no, &renamed);
        renamed
    }
}

fn is_history(bytes: &[u8]) -> bool {
    frame::decode(bytes).is_ok_and(|frame| matches!(frame.body, frame::Body::History(_)))
}
