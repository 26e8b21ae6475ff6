//! The tills' own memory of what was answered: the outside witness that stores and hub are compared with.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use sync_protocol::{Quantity, Sku};

/// Faults kept word for word; all are counted.
const FAULTS_MAX: usize = 20;

/// What all tills of all stores were answered.
#[derive(Debug)]
pub struct Witness {
    stores: Vec<Mutex<HashMap<Sku, i128>>>,
    pub tally: Tally,
    faults: Mutex<Vec<String>>,
}

/// What the tills did, counted.
#[derive(Debug, Default)]
pub struct Tally {
    /// Lines of baskets that a till began to send.
    pub lines_sent: AtomicU64,
    /// Ledger lines the agents answered for, each counted once.
    pub movements_recorded: AtomicU64,
    /// Documents the agents recognised as already recorded.
    pub duplicates_refused: AtomicU64,
    /// Baskets sent a second time on purpose.
    pub sent_twice: AtomicU64,
    /// Tries that got no answer: the agent was away.
    pub unanswered: AtomicU64,
    /// What should never have happened: refusals, wrong answers.
    pub faults: AtomicU64,
}

impl Witness {
    #[must_use]
    pub fn of_stores(count: usize) -> Self {
        let stores = (0..count).map(|_| Mutex::default()).collect();
        Self { stores, tally: Tally::default(), faults: Mutex::default() }
    }

    /// A line was answered for the first time.
    pub fn answered(&self, store: usize, sku: &Sku, effect: Quantity) {
        let mut sums = self.stores[store].lock().unwrap_or_else(PoisonError::into_inner);
        let effect = i128::from(effect.thousandths());
        if let Some(sum) = sums.get_mut(sku) {
            *sum += effect;
        } else {
            sums.insert(sku.clone(), effect);
        }
    }

    /// Something happened that never may.
    pub fn fault(&self, what: String) {
        self.tally.faults.fetch_add(1, Relaxed);
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.len() < FAULTS_MAX {
            faults.push(what);
        }
    }

    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was answered of each item of a store, in thousandths.
    #[must_use]
    pub fn sums(&self, store: usize) -> HashMap<Sku, i128> {
        self.stores[store].lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
