//! The hub's core without a network: frames and orders in, answers, frames and figures out.

use super::*;
use crate::storage::sqlite::Sqlite;
use headquarters::{Caller, Headquarters, MILK, SALT, said, units};
use sync_protocol::frame::{
    Ack, Direction, DownBatch, Frame, Handover, Heartbeat, Hello, HistoryBatch, Offer, Resend, StateBatch,
    VERSION_MAX, Welcome,
};
use sync_protocol::limits::FRAME_BYTES_MAX;
use sync_protocol::record::{
    CursorRecord, HistoryDocument, HistoryLine, HubStock, Kind, KnownDocument, StoreStock, document_key,
};
use sync_protocol::stock::{HubHalf, StoreHalf};

mod counting;
mod doors;
mod epochs;
mod erasing;
mod events;
mod failures;
mod headquarters;
mod merging;
mod orders;
mod pickups;
mod promises;
mod rerouting;
mod reservations;
