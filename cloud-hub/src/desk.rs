//! The desk where orders are placed, asked for and cancelled: what whoever serves shoppers holds, and the driver the other end.
//!
//! An answer comes only after the commit it rests on.

use crate::hub::counting::{CountAsk, CountError, Tasks};
use crate::hub::orders::{Choice, Listing, NewOrder, OrderError, OrderView};
use crate::hub::pickups::{SettingsChange, SettingsError};
use crate::hub::reservations::{ReservationAsk, ReservationView};
use crate::orders::pickup_settings::Revised;
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::StoreId;
use sync_protocol::order::{Cancel, OrderId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How many requests may wait for the driver.
const REQUESTS_MAX: usize = 1024;
/// How long to wait for room, and how long for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub type OrderAnswer = Result<Box<OrderView>, OrderError>;
pub type SettingsAnswer = Result<Arc<Revised>, SettingsError>;
pub type ReservationAnswer = Result<Box<ReservationView>, OrderError>;
pub type CountAnswer = Result<Tasks, CountError>;

/// What is asked of the core.
#[derive(Debug)]
pub enum Request {
    Place {
        order: Box<NewOrder>,
        reply: oneshot::Sender<OrderAnswer>,
    },
    Cancel {
        order: OrderId,
        why: Cancel,
        reply: oneshot::Sender<OrderAnswer>,
    },
    Show {
        order: OrderId,
        reply: oneshot::Sender<OrderAnswer>,
    },
    List {
        wanted: Listing,
        reply: oneshot::Sender<Vec<OrderView>>,
    },
    Erase {
        order: OrderId,
        reply: oneshot::Sender<OrderAnswer>,
    },
    Settings {
        store: StoreId,
        change: Box<SettingsChange>,
        reply: oneshot::Sender<SettingsAnswer>,
    },
    LookedFor {
        reply: oneshot::Sender<Vec<OrderView>>,
    },
    Reroute {
        order: OrderId,
        choices: Vec<Choice>,
        decision: Option<String>,
        reply: oneshot::Sender<OrderAnswer>,
    },
    Reservation {
        ask: ReservationAsk,
        reply: oneshot::Sender<ReservationAnswer>,
    },
    Count {
        ask: Box<CountAsk>,
        reply: oneshot::Sender<CountAnswer>,
    },
}

/// Why there is no answer. What was asked may still happen: ask again with the same idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    #[error("the hub has more to do than it can keep up with")]
    Busy,
    #[error("the hub did not answer in time")]
    Late,
    #[error("the hub is stopping")]
    Stopping,
}

/// The way in.
#[derive(Debug, Clone)]
pub struct Desk {
    requests: mpsc::Sender<Request>,
}

impl Desk {
    #[must_use]
    pub fn new() -> (Desk, mpsc::Receiver<Request>) {
        let (requests, taken) = mpsc::channel(REQUESTS_MAX);
        (Desk { requests }, taken)
    }

    /// # Errors
    /// There is no answer.
    pub async fn place(&self, order: Box<NewOrder>) -> Result<OrderAnswer, NoAnswer> {
        self.ask(|reply| Request::Place { order, reply }).await
    }

    /// # Errors
    /// There is no answer.
    pub async fn cancel(&self, order: OrderId, why: Cancel) -> Result<OrderAnswer, NoAnswer> {
        self.ask(|reply| Request::Cancel { order, why, reply }).await
    }

    /// # Errors
    /// There is no answer.
    pub async fn show(&self, order: OrderId) -> Result<OrderAnswer, NoAnswer> {
        self.ask(|reply| Request::Show { order, reply }).await
    }

    /// # Errors
    /// There is no answer.
    pub async fn list(&self, wanted: Listing) -> Result<Vec<OrderView>, NoAnswer> {
        self.ask(|reply| Request::List { wanted, reply }).await
    }

    /// Removes what is known of an order's customer.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn erase(&self, order: OrderId) -> Result<OrderAnswer, NoAnswer> {
        self.ask(|reply| Request::Erase { order, reply }).await
    }

    /// # Errors
    /// There is no answer.
    pub async fn change_settings(
        &self,
        store: StoreId,
        change: SettingsChange,
    ) -> Result<SettingsAnswer, NoAnswer> {
        let change = Box::new(change);
        self.ask(|reply| Request::Settings { store, change, reply }).await
    }

    /// Orders for which the hub is to find another store.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn looked_for(&self) -> Result<Vec<OrderView>, NoAnswer> {
        self.ask(|reply| Request::LookedFor { reply }).await
    }

    /// # Errors
    /// There is no answer.
    pub async fn reroute(
        &self,
        order: OrderId,
        choices: Vec<Choice>,
        decision: Option<String>,
    ) -> Result<OrderAnswer, NoAnswer> {
        self.ask(|reply| Request::Reroute { order, choices, decision, reply }).await
    }

    /// # Errors
    /// There is no answer.
    pub async fn reservation(&self, ask: ReservationAsk) -> Result<ReservationAnswer, NoAnswer> {
        self.ask(|reply| Request::Reservation { ask, reply }).await
    }

    /// What stores are to count.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn count(&self, ask: CountAsk) -> Result<CountAnswer, NoAnswer> {
        let ask = Box::new(ask);
        self.ask(|reply| Request::Count { ask, reply }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        match timeout(PATIENCE, self.requests.send(request(reply))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(NoAnswer::Stopping),
            Err(_) => return Err(NoAnswer::Busy),
        }
        match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(NoAnswer::Stopping),
            Err(_) => Err(NoAnswer::Late),
        }
    }
}
