//! How many cells a second one core merges: the join alone, and all of the hub's core (reading frames, joining, honouring
//! recalls, updates for the index) on a storage that keeps nothing.

use super::figure::{Figure, Target, as_f64};
use super::wire::SoldStore;
use crate::clock;
use anyhow::{Context, Result};
use cloud_hub::availability::StoreInfo;
use cloud_hub::hub::{Hub, Input, LinkId, Settings};
use cloud_hub::storage::{
    Changes, HubFacts, Reservation, ShopOrder, Storage, StorageError, StoreKey, StoredStore,
};
use std::time::Duration;
use sync_protocol::frame::{self, Body, BootMark, Frame, Hello, StateBatch};
use sync_protocol::link::Timing;
use sync_protocol::order::OrderId;
use sync_protocol::record::{HistoryDocument, ItemRecord};
use sync_protocol::stock::Cell;
use sync_protocol::time::Now;
use sync_protocol::{Boot, Epoch, ItemNo, Position, Seq, Sku, StoreId, Ticks, UnixMillis};

const STORES: usize = 20;
const ITEMS: usize = 30_000;
const CELLS_PER_FRAME: usize = 10_000;
const FRAMES_PER_STORE: usize = 20;
const BOOT: Boot = Boot(7);

pub fn measure() -> Result<Vec<Figure>> {
    let batches = batches();
    let cells = as_f64(u64::try_from(batches.iter().map(|batch| batch.stock.len()).sum::<usize>())?);
    let joined = cells * as_f64(u64::try_from(STORES)?) / time_joins(&batches).as_secs_f64();
    let merged = cells * as_f64(u64::try_from(STORES)?) / time_hub(&batches)?.as_secs_f64();
    Ok(vec![
        Figure::new("merge", "cell merges in memory, one core", joined, "/s")
            .target(Target::AtLeast(2_000_000.0))
            .how("join of the store's half and honouring its recalls, 600,000 cells of 20 stores in turn"),
        Figure::new("merge", "… through the hub's whole core, without its disk", merged, "/s")
            .how("frames of 10,000 cells: inflate, decode, join, collect the commit and the index updates"),
    ])
}

fn batches() -> Vec<StateBatch> {
    let mut store = SoldStore::open(ITEMS);
    (0..FRAMES_PER_STORE).map(|_| store.sell_until_changed(CELLS_PER_FRAME)).collect()
}

fn time_joins(batches: &[StateBatch]) -> Duration {
    let mut stores = vec![vec![Cell::default(); ITEMS + 1]; STORES];
    let start = clock::now();
    for batch in batches {
        for cells in &mut stores {
            for stock in &batch.stock {
                if let Some(cell) = usize::try_from(stock.item.0).ok().and_then(|item| cells.get_mut(item)) {
                    cell.store.join(&stock.half);
                    cell.honour_recalls();
                }
            }
        }
    }
    let elapsed = start.elapsed();
    std::hint::black_box(&stores);
    elapsed
}

fn time_hub(batches: &[StateBatch]) -> Result<Duration> {
    let settings =
        Settings { timing: Timing::default(), fresh_life: 1, restored: false, customers_kept_ms: i64::MAX };
    let mut hub = Hub::open(Box::new(Forgetful), settings).context("opening a hub's core")?;
    let stores: Vec<StoreId> = (0..STORES).map(store).collect();
    let epoch = greet(&mut hub, &stores)?;
    let frames: Vec<Vec<Vec<u8>>> =
        batches.iter().map(|batch| encode_for_all(batch, &stores, epoch)).collect();
    let start = clock::now();
    for (round, frames) in frames.into_iter().enumerate() {
        for (link, bytes) in frames.into_iter().enumerate() {
            let now = at(round);
            std::hint::black_box(hub.drain(vec![Input::Frame { link: link_id(link), bytes }], now));
            std::hint::black_box(hub.take_updates());
        }
    }
    Ok(start.elapsed())
}

/// Opens a link for each store and takes over the epoch it is granted.
fn greet(hub: &mut Hub, stores: &[StoreId]) -> Result<Epoch> {
    let mut granted = Epoch(1);
    for (link, store) in stores.iter().enumerate() {
        let link = link_id(link);
        hub.drain(vec![Input::LinkUp { link, store: store.clone() }], at(0));
        for epoch in [Epoch(0), Epoch(1)] {
            let hello = frame_of(store, epoch, Body::Hello(hello()));
            for output in hub.drain(vec![Input::Frame { link, bytes: frame::encode(&hello) }], at(0)) {
                if let cloud_hub::hub::Output::Send { bytes, .. } = output
                    && let Body::Handover(handover) = frame::decode(&bytes)?.body
                {
                    granted = handover.granted;
                }
            }
        }
    }
    Ok(granted)
}

fn hello() -> Hello {
    Hello {
        version_min: frame::VERSION_MIN,
        version_max: frame::VERSION_MAX,
        boots: vec![BootMark { boot: BOOT, first_seq: Seq(1), first_position: Position(1) }],
        state_head: Seq(1),
        history_head: Position(0),
        state_acked: Seq(0),
        history_acked: Position(0),
        down_mark: Seq(0),
        hub_life: 0,
        clock: at(0).wall,
        software: "bench".into(),
    }
}

fn encode_for_all(batch: &StateBatch, stores: &[StoreId], epoch: Epoch) -> Vec<Vec<u8>> {
    let mut batch = batch.clone();
    batch.stock.iter_mut().for_each(|stock| stock.half.epoch = epoch);
    stores.iter().map(|store| frame::encode(&frame_of(store, epoch, Body::State(batch.clone())))).collect()
}

fn frame_of(store: &StoreId, epoch: Epoch, body: Body) -> Frame {
    Frame { store: store.clone(), epoch, boot: BOOT, body }
}

fn store(place: usize) -> StoreId {
    crate::fleet::store_id(place).parse().expect("a letter and digits")
}

fn link_id(place: usize) -> LinkId {
    LinkId(u64::try_from(place).unwrap_or(u64::MAX))
}

fn at(round: usize) -> Now {
    let millis = i64::try_from(round).unwrap_or(0);
    Now { wall: UnixMillis(1_793_462_400_000 + millis), ticks: Ticks(u64::try_from(round).unwrap_or(0)) }
}

/// Takes every commit and keeps none.
struct Forgetful;

impl Storage for Forgetful {
    fn hub(&mut self, fresh_life: u64) -> Result<HubFacts, StorageError> {
        Ok(HubFacts { life: fresh_life, feed: 0 })
    }

    fn stores(&mut self) -> Result<Vec<(StoreKey, StoreInfo)>, StorageError> {
        let known = |place: usize| {
            let (name, timezone) = (String::new(), "UTC".to_owned());
            let key = StoreKey(i64::try_from(place).unwrap_or(i64::MAX));
            (key, StoreInfo { id: store(place), name, lat: 0.0, lon: 0.0, timezone })
        };
        Ok((0..STORES).map(known).collect())
    }

    fn put_store(&mut self, _: &StoreInfo) -> Result<StoreKey, StorageError> {
        Ok(StoreKey(0))
    }

    fn load(&mut self, _: StoreKey) -> Result<StoredStore, StorageError> {
        Ok(StoredStore::default())
    }

    fn items(&mut self, _: StoreKey) -> Result<Vec<ItemRecord>, StorageError> {
        Ok(Vec::new())
    }

    fn item(&mut self, _: StoreKey, _: ItemNo) -> Result<Option<ItemRecord>, StorageError> {
        Ok(None)
    }

    fn item_of_sku(&mut self, _: StoreKey, _: &Sku) -> Result<Option<ItemNo>, StorageError> {
        Ok(None)
    }

    fn history(
        &mut self,
        _: StoreKey,
        _: &mut dyn FnMut(Epoch, HistoryDocument),
    ) -> Result<(), StorageError> {
        Ok(())
    }

    fn commit(&mut self, _: &Changes) -> Result<(), StorageError> {
        Ok(())
    }

    fn shop_orders(&mut self) -> Result<Vec<ShopOrder>, StorageError> {
        Ok(Vec::new())
    }

    fn reservations(&mut self) -> Result<Vec<(OrderId, Reservation)>, StorageError> {
        Ok(Vec::new())
    }

    fn quarantined(&mut self) -> Result<(u64, Option<UnixMillis>), StorageError> {
        Ok((0, None))
    }
}
