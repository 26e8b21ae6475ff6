//! What a store does with an order, and how an order stands.
//!
//! The store's half moves through stages by [`Act`]s. Each act either is refused, and then nothing has changed, or gives
//! the [`Effect`]s that the caller applies to the store's stock in the same transaction. Some act is always possible while
//! an order is open, so none gets stuck.

use super::lines::{Cancel, HubOrder, InvalidOrder, Line, validate_lines, within};
use crate::ids::{Epoch, ItemNo};
use crate::limits::clipped;
use crate::numbered::numbered;
use crate::quantity::Quantity;
use crate::time::UnixMillis;
use std::cmp::Ordering;

/// How long a handover can be taken back, in milliseconds.
pub const UNDO_WITHIN: u64 = 10 * 60 * 1000;
/// Longest name of who did something, in bytes.
pub const WHO_BYTES_MAX: usize = 64;
/// Longest reason of a refusal, in bytes.
pub const REFUSAL_BYTES_MAX: usize = 200;

/// The store's half of an order, written by the store's agent in its current epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOrder {
    pub epoch: Epoch,
    /// Raised with every change.
    pub revision: u32,
    pub stage: Stage,
    /// When it came to this stage, and by whom.
    pub since: UnixMillis,
    pub by: String,
    /// Why the store refused it, in words. Empty otherwise.
    pub reason: String,
    /// What showed that it went to the right person. Set while it is handed over.
    pub proof: Option<Proof>,
    /// What was picked and will not be handed over is on its shelf again.
    pub put_back: bool,
    /// Invariant: an entry for each line of the order, sorted by item.
    pub progress: Vec<Progress>,
}

/// How far a store is with an order. The numbers are the ones on the wire and on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stage {
    /// It is at the store, and nobody has taken it on.
    Received = 1,
    /// Somebody has taken it on.
    Accepted = 2,
    /// It waits for the shopper.
    Ready = 3,
    HandedOver = 4,
    /// The store can't do it.
    Refused = 5,
    /// The store has ended it at the hub's request.
    Cancelled = 6,
}

numbered!(Stage { Received, Accepted, Ready, HandedOver, Refused, Cancelled });

impl Stage {
    /// Whether the store still means to hand it over.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Stage::Received | Stage::Accepted | Stage::Ready)
    }

    /// As in "an order that is …".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::Received => "received",
            Stage::Accepted => "accepted",
            Stage::Ready => "ready",
            Stage::HandedOver => "handed over",
            Stage::Refused => "refused",
            Stage::Cancelled => "cancelled",
        }
    }
}

/// How far the store is with one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub item: ItemNo,
    pub ordered: Quantity,
    pub picked: Quantity,
    /// What will not be there; never so much that with `picked` it is more than `ordered`.
    pub short: Quantity,
    pub why: Option<ShortReason>,
    /// Everything ever handed over for this line, in thousandths, with what came back by an undo. Only grows: it is this
    /// order's part of the cell's `fulfilled`.
    pub fulfilled: u64,
}

/// Why a line can't be handed over in full. The numbers are the ones on the wire and on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ShortReason {
    /// It is not where it should be: on hand stays, and somebody has to count.
    NotFound = 1,
    /// It is there and can't be sold: it goes out as waste.
    Damaged = 2,
    /// It is somewhere else in the store, out of reach for now: nothing moves.
    WrongShelf = 3,
    /// The shopper did not want it: nothing moves.
    NotTaken = 4,
}

numbered!(ShortReason { NotFound, Damaged, WrongShelf, NotTaken });

impl ShortReason {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ShortReason::NotFound => "not_found",
            ShortReason::Damaged => "damaged",
            ShortReason::WrongShelf => "wrong_shelf",
            ShortReason::NotTaken => "not_taken",
        }
    }
}

/// What showed that an order went to the right person. The numbers are the ones on the wire and on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Proof {
    /// The pickup code that the hub has signed.
    Code = 1,
    /// The short code, said or typed.
    ShortCode = 2,
    /// Somebody of the store knows the person, or has looked at papers.
    Person = 3,
    /// The till rang it up. Its document moved the stock.
    Till = 4,
}

numbered!(Proof { Code, ShortCode, Person, Till });

impl Proof {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Proof::Code => "code",
            Proof::ShortCode => "short_code",
            Proof::Person => "person",
            Proof::Till => "till",
        }
    }
}

/// Something a person at the store does with an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Accept,
    /// So much of an item is in the bag, on top of what was there.
    Pick {
        item: ItemNo,
        quantity: Quantity,
    },
    /// So much of an item will not come.
    Short {
        item: ItemNo,
        quantity: Quantity,
        why: ShortReason,
    },
    Ready,
    HandOver {
        proof: Proof,
    },
    /// It was not handed over after all.
    Undo,
    Refuse {
        reason: String,
    },
    /// Ends it because the hub asked for that.
    AcknowledgeCancel,
    PutBack,
}

/// What an act does to the store's stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Out of the store with the shopper: `out` and `fulfilled` rise.
    HandedOver { item: ItemNo, quantity: Quantity },
    /// Back from the shopper: `in` rises, and the store grants it anew for the same order.
    TakenBack { item: ItemNo, quantity: Quantity },
    /// Unfit for sale: `out` rises.
    Wasted { item: ItemNo, quantity: Quantity },
    /// Nobody knows whether it is there: it is not offered until somebody has counted.
    InDoubt { item: ItemNo, quantity: Quantity },
}

/// Why an act can't be done. For the person who tried, and so with what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActRefused {
    #[error("the order is {stage}; {instead}")]
    Stage { stage: &'static str, instead: &'static str },
    #[error("the order has no such item")]
    NoSuchItem,
    #[error("{found} would be more than the {left} still to pick")]
    TooMuch { found: Quantity, left: Quantity },
    #[error("the quantity must be above zero")]
    NotPositive,
    #[error("item number {item} is neither picked nor reported short in full")]
    Unfinished { item: ItemNo },
    #[error("nothing of the order is there; refuse it instead")]
    Empty,
    #[error(
        "head office wants the order cancelled; acknowledge that, or hand it over if the shopper is here"
    )]
    CancelWanted,
    #[error("head office has not asked to cancel the order; refuse it instead")]
    NoCancelWanted,
    #[error("a handover can be taken back for {} minutes, and that time is over", UNDO_WITHIN / 60_000)]
    TooLate,
    #[error("the till has rung it up; take it back with a return at the till")]
    RungUp,
    #[error("there is nothing to put back")]
    NothingToPutBack,
}

impl StoreOrder {
    /// What a store makes of an order it has just heard of.
    #[must_use]
    pub fn received(epoch: Epoch, lines: &[Line], now: UnixMillis) -> StoreOrder {
        let fresh = |line: &Line| Progress {
            item: line.item,
            ordered: line.quantity,
            picked: Quantity::ZERO,
            short: Quantity::ZERO,
            why: None,
            fulfilled: 0,
        };
        StoreOrder {
            epoch,
            revision: 1,
            stage: Stage::Received,
            since: now,
            by: String::new(),
            reason: String::new(),
            proof: None,
            put_back: false,
            progress: lines.iter().map(fresh).collect(),
        }
    }

    /// Takes `other` over when it is newer; true if that changed anything. The higher epoch wins whole; within one epoch,
    /// the higher revision.
    pub fn join(&mut self, other: &StoreOrder) -> bool {
        let newer = (other.epoch, other.revision).cmp(&(self.epoch, self.revision)) == Ordering::Greater;
        if newer {
            self.clone_from(other);
        }
        newer
    }

    /// To be asked of every half that comes from outside.
    ///
    /// # Errors
    /// What no honest store writes.
    pub fn validate(&self) -> Result<(), InvalidOrder> {
        let line = |progress: &Progress| Line { item: progress.item, quantity: progress.ordered };
        validate_lines(&self.progress.iter().map(line).collect::<Vec<_>>())?;
        for progress in &self.progress {
            let parts = [progress.picked, progress.short];
            let sum = progress.picked.thousandths().checked_add(progress.short.thousandths());
            let fits = sum.is_some_and(|sum| sum <= progress.ordered.thousandths());
            if !fits || parts.iter().any(|part| *part < Quantity::ZERO) {
                return Err(InvalidOrder::Quantity { found: progress.picked });
            }
        }
        within("person", &self.by, WHO_BYTES_MAX)?;
        within("reason", &self.reason, REFUSAL_BYTES_MAX)
    }

    /// Does `act`, as `by`. `hub` is what the hub wants of this order, where the store has heard of it: with a pickup code
    /// an order can be handed over that the store has never heard of.
    ///
    /// # Errors
    /// Why it can't be done; then nothing has changed.
    pub fn act(
        &mut self,
        act: &Act,
        hub: Option<&HubOrder>,
        by: &str,
        now: UnixMillis,
    ) -> Result<Vec<Effect>, ActRefused> {
        let mut next = self.clone();
        let effects = next.step(act, hub.and_then(|hub| hub.cancel), now)?;
        if next.stage != self.stage {
            next.since = now;
            clipped(by, WHO_BYTES_MAX).clone_into(&mut next.by);
        }
        next.revision += 1;
        *self = next;
        Ok(effects)
    }

    fn step(
        &mut self,
        act: &Act,
        cancel: Option<Cancel>,
        now: UnixMillis,
    ) -> Result<Vec<Effect>, ActRefused> {
        match act {
            Act::HandOver { proof } => self.hand_over(*proof),
            Act::Undo => self.undo(now),
            Act::PutBack => self.put_back(),
            Act::AcknowledgeCancel => match cancel {
                Some(_) => self.end(Stage::Cancelled),
                None => Err(ActRefused::NoCancelWanted),
            },
            Act::Refuse { reason } => {
                clipped(reason, REFUSAL_BYTES_MAX).clone_into(&mut self.reason);
                self.end(Stage::Refused)
            }
            _ if cancel.is_some() && self.stage.is_open() => Err(ActRefused::CancelWanted),
            Act::Accept => self.accept(),
            Act::Pick { item, quantity } => self.pick(*item, *quantity),
            Act::Short { item, quantity, why } => self.short(*item, *quantity, *why),
            Act::Ready => self.ready(),
        }
    }

    fn accept(&mut self) -> Result<Vec<Effect>, ActRefused> {
        match self.stage {
            Stage::Received => {
                self.stage = Stage::Accepted;
                Ok(Vec::new())
            }
            _ => self.refused("somebody has it already"),
        }
    }

    /// Picking takes an order on.
    fn pick(&mut self, item: ItemNo, quantity: Quantity) -> Result<Vec<Effect>, ActRefused> {
        let line = self.unfinished_line(item, quantity)?;
        line.picked = sum(line.picked, quantity);
        self.stage = Stage::Accepted;
        Ok(Vec::new())
    }

    fn short(
        &mut self,
        item: ItemNo,
        quantity: Quantity,
        why: ShortReason,
    ) -> Result<Vec<Effect>, ActRefused> {
        let line = self.unfinished_line(item, quantity)?;
        line.short = sum(line.short, quantity);
        line.why = Some(why);
        self.stage = Stage::Accepted;
        Ok(match why {
            ShortReason::Damaged => vec![Effect::Wasted { item, quantity }],
            ShortReason::NotFound => vec![Effect::InDoubt { item, quantity }],
            ShortReason::WrongShelf | ShortReason::NotTaken => Vec::new(),
        })
    }

    /// The line of `item`, which has at least `quantity` to go.
    fn unfinished_line(&mut self, item: ItemNo, quantity: Quantity) -> Result<&mut Progress, ActRefused> {
        if !matches!(self.stage, Stage::Received | Stage::Accepted) {
            return Err(ActRefused::Stage {
                stage: self.stage.name(),
                instead: "it can't be picked any more",
            });
        }
        if quantity <= Quantity::ZERO {
            return Err(ActRefused::NotPositive);
        }
        let line = self.progress.iter_mut().find(|line| line.item == item).ok_or(ActRefused::NoSuchItem)?;
        let left = line.left();
        if quantity > left { Err(ActRefused::TooMuch { found: quantity, left }) } else { Ok(line) }
    }

    fn ready(&mut self) -> Result<Vec<Effect>, ActRefused> {
        if self.stage != Stage::Accepted {
            return self.refused("only an order that is being picked becomes ready");
        }
        if let Some(line) = self.progress.iter().find(|line| line.left() > Quantity::ZERO) {
            return Err(ActRefused::Unfinished { item: line.item });
        }
        if self.progress.iter().all(|line| line.picked == Quantity::ZERO) {
            return Err(ActRefused::Empty);
        }
        self.stage = Stage::Ready;
        Ok(Vec::new())
    }

    /// The shopper is here, and gets everything that is not short: also of an order that nobody has picked before.
    fn hand_over(&mut self, proof: Proof) -> Result<Vec<Effect>, ActRefused> {
        if !self.stage.is_open() {
            return self.refused("it can't be handed over any more");
        }
        let mut effects = Vec::new();
        for line in &mut self.progress {
            line.picked = sum(line.picked, line.left());
            if line.picked > Quantity::ZERO {
                line.fulfilled = line.fulfilled.saturating_add(line.picked.thousandths().unsigned_abs());
                effects.push(Effect::HandedOver { item: line.item, quantity: line.picked });
            }
        }
        if effects.is_empty() {
            return Err(ActRefused::Empty);
        }
        self.stage = Stage::HandedOver;
        self.proof = Some(proof);
        Ok(effects)
    }

    fn undo(&mut self, now: UnixMillis) -> Result<Vec<Effect>, ActRefused> {
        if self.stage != Stage::HandedOver {
            return self.refused("there is no handover to take back");
        }
        if self.proof == Some(Proof::Till) {
            return Err(ActRefused::RungUp);
        }
        // A clock that was set back in between makes the time longer, never shorter.
        if now.0.saturating_sub(self.since.0) > UNDO_WITHIN.cast_signed() {
            return Err(ActRefused::TooLate);
        }
        self.stage = Stage::Ready;
        self.proof = None;
        let picked = self.progress.iter().filter(|line| line.picked > Quantity::ZERO);
        Ok(picked.map(|line| Effect::TakenBack { item: line.item, quantity: line.picked }).collect())
    }

    fn end(&mut self, stage: Stage) -> Result<Vec<Effect>, ActRefused> {
        if !self.stage.is_open() {
            return self.refused("it has come to its end");
        }
        self.stage = stage;
        // What nobody has picked is on its shelf already.
        self.put_back = !self.has_picked();
        Ok(Vec::new())
    }

    fn put_back(&mut self) -> Result<Vec<Effect>, ActRefused> {
        let ended = matches!(self.stage, Stage::Refused | Stage::Cancelled);
        if !ended || self.put_back {
            return Err(ActRefused::NothingToPutBack);
        }
        self.put_back = true;
        Ok(Vec::new())
    }

    fn refused<T>(&self, instead: &'static str) -> Result<T, ActRefused> {
        Err(ActRefused::Stage { stage: self.stage.name(), instead })
    }

    /// Whether anything of it has been taken from its shelf.
    #[must_use]
    pub fn has_picked(&self) -> bool {
        self.progress.iter().any(|line| line.picked > Quantity::ZERO)
    }

    /// What of each line the hub's promises stand for, in thousandths: everything ever handed over, and what the store still
    /// means to hand over.
    pub fn backed(&self) -> impl Iterator<Item = (ItemNo, u64)> {
        let open = self.stage.is_open();
        self.progress.iter().map(move |line| {
            let due = difference(line.ordered, line.short).thousandths().unsigned_abs();
            (line.item, line.fulfilled.saturating_add(if open { due } else { 0 }))
        })
    }
}

impl Progress {
    /// What is neither picked nor short.
    #[must_use]
    pub fn left(&self) -> Quantity {
        difference(difference(self.ordered, self.picked), self.short)
    }
}

/// Quantities of lines are bounded well below what could overflow.
fn sum(one: Quantity, other: Quantity) -> Quantity {
    Quantity::from_thousandths(one.thousandths().saturating_add(other.thousandths()))
}

fn difference(one: Quantity, other: Quantity) -> Quantity {
    Quantity::from_thousandths(one.thousandths().saturating_sub(other.thousandths()))
}

/// How an order stands, as pages and API say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// The hub has promised it; the store has not heard of it.
    Placed,
    /// It is on the store's list.
    Sent,
    Accepted,
    Picking,
    Ready,
    /// The hub wants it to end, and the store has not answered.
    Cancelling,
    Collected,
    /// The store can't do it.
    Refused,
    Cancelled,
    /// Nobody came for it.
    Expired,
    /// Another store has it now.
    Rerouted,
}

impl Status {
    pub const ALL: [Status; 11] = [
        Status::Placed,
        Status::Sent,
        Status::Accepted,
        Status::Picking,
        Status::Ready,
        Status::Cancelling,
        Status::Collected,
        Status::Refused,
        Status::Cancelled,
        Status::Expired,
        Status::Rerouted,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::Placed => "placed",
            Status::Sent => "sent",
            Status::Accepted => "accepted",
            Status::Picking => "picking",
            Status::Ready => "ready",
            Status::Cancelling => "cancelling",
            Status::Collected => "collected",
            Status::Refused => "refused",
            Status::Cancelled => "cancelled",
            Status::Expired => "expired",
            Status::Rerouted => "rerouted",
        }
    }

    /// Whether nothing changes any more, but for an undone handover.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Status::Collected | Status::Refused | Status::Cancelled | Status::Expired | Status::Rerouted
        )
    }
}

/// How an order stands, from what is known of its halves. Both ends, the pages and the API use this one table.
#[must_use]
pub fn status(hub: Option<&HubOrder>, store: Option<&StoreOrder>) -> Status {
    let cancel = hub.and_then(|hub| hub.cancel);
    match (store.map_or(Stage::Received, |store| store.stage), cancel) {
        // A handover that happened beats everything the hub may have wanted meanwhile.
        (Stage::HandedOver, _) => Status::Collected,
        (Stage::Refused, Some(Cancel::Rerouted)) => Status::Rerouted,
        (Stage::Refused, _) => Status::Refused,
        (Stage::Cancelled, Some(Cancel::Expired)) => Status::Expired,
        (Stage::Cancelled, Some(Cancel::Rerouted)) => Status::Rerouted,
        (Stage::Cancelled, _) => Status::Cancelled,
        (Stage::Received | Stage::Accepted | Stage::Ready, Some(_)) => Status::Cancelling,
        (Stage::Received, None) => store.map_or(Status::Placed, |_| Status::Sent),
        (Stage::Accepted, None) => match store {
            Some(store) if store.progress.iter().any(|line| line.left() != line.ordered) => Status::Picking,
            _ => Status::Accepted,
        },
        (Stage::Ready, None) => Status::Ready,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
