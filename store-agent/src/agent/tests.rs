//! The core without a network: documents in, answers and figures out.

use super::*;
use crate::store;
use shop::{Shop, gtin, kilos, sku, source, units};
use sync_protocol::Quantity;
use sync_protocol::limits::{CURSOR_BYTES_MAX, GTINS_MAX, LINES_MAX, NAME_BYTES_MAX, REASON_BYTES_MAX};
use sync_protocol::record::Kind;

mod canary;
mod conversation;
mod counting;
mod disk;
mod items;
mod pickups;
mod pickups_adopted;
mod recording;
mod reserves;
mod shop;
mod tasks;
