//! Records of the hub that could not be taken, tried once more: most lacked something that has come since, such as their item.
//!
//! A retry changes nothing unless it succeeds, and a record that has been taken leaves the quarantine in the same transaction.

use super::document::RecordError;
use super::{Mind, pickup, tasks};
use crate::store::ledger;
use rusqlite::{Connection, Result};
use sync_protocol::record::{HubOrderRecord, HubStock, Note, Topic};
use sync_protocol::stock::HubHalf;
use sync_protocol::{ItemNo, UnixMillis};

/// What a record in quarantine is.
pub(super) const ORDER: &str = "order";
pub(super) const STOCK: &str = "stock";
pub(super) const WISH: &str = "count_wish";
/// A row of a POS. Its reader takes it no second time; somebody corrects the mapping or records what it meant.
pub(super) const POS_ROW: &str = "pos_row";
/// No agent of this version can read it.
pub(super) const UNREADABLE: &str = "unreadable";

/// Why a record stays where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetryRefused {
    #[error("it is not in quarantine any more")]
    Gone,
    #[error("this version can't read it; upgrade the agent, then ask head office to send it again")]
    Unreadable,
    #[error("{0}")]
    StillAmiss(String),
    #[error(transparent)]
    Record(#[from] RecordError),
}

pub(super) fn stock_bytes(stock: &HubStock) -> Vec<u8> {
    let HubHalf { promised, released, returned } = stock.half;
    let mut bytes = stock.item.0.to_le_bytes().to_vec();
    [promised, released, returned].iter().for_each(|total| bytes.extend(total.to_le_bytes()));
    bytes
}

fn stock_of(bytes: &[u8]) -> Option<HubStock> {
    let (item, totals) = bytes.split_first_chunk::<4>()?;
    let (totals, rest) = totals.as_chunks::<8>();
    let [promised, released, returned] = <[[u8; 8]; 3]>::try_from(totals).ok()?.map(u64::from_le_bytes);
    let half = HubHalf { promised, released, returned };
    let is_whole = rest.is_empty() && half.validate().is_ok();
    is_whole.then_some(HubStock { item: ItemNo(u32::from_le_bytes(*item)), half })
}

pub(super) fn wish_bytes(note: &Note) -> Vec<u8> {
    let mut bytes = note.key.to_le_bytes().to_vec();
    bytes.extend(note.text.as_bytes());
    bytes
}

fn wish_of(bytes: &[u8]) -> Option<Note> {
    let (key, text) = bytes.split_first_chunk::<4>()?;
    let text = str::from_utf8(text).ok()?.to_owned();
    Some(Note { topic: Topic::COUNT_WISH, key: u32::from_le_bytes(*key), text })
}

/// Tries a record once more. The outer error is the disk's.
pub(super) fn retry(
    db: &Connection,
    mind: &mut Mind,
    id: i64,
    now: UnixMillis,
) -> Result<std::result::Result<(), RetryRefused>> {
    let Some(row) = ledger::quarantine_row(db, id)? else { return Ok(Err(RetryRefused::Gone)) };
    let taken = match row.what.as_str() {
        ORDER => match HubOrderRecord::from_bytes(&row.bytes) {
            Ok(record) => pickup::take_hub_half(db, mind, &record, now)?,
            Err(_) => return Ok(Err(RetryRefused::Unreadable)),
        },
        STOCK => match stock_of(&row.bytes) {
            Some(stock) => take_stock(db, mind, &stock)?,
            None => return Ok(Err(RetryRefused::Unreadable)),
        },
        WISH => match wish_of(&row.bytes) {
            Some(note) => tasks::take_wish(db, mind, &note, now)?,
            None => return Ok(Err(RetryRefused::Unreadable)),
        },
        POS_ROW => {
            Err("rows of a POS are not tried again; correct `[[pos]]`, and record what this one meant"
                .to_owned())
        }
        _ => return Ok(Err(RetryRefused::Unreadable)),
    };
    if let Err(reason) = taken {
        return Ok(Err(RetryRefused::StillAmiss(reason)));
    }
    tracing::info!(id, what = row.what, "a record that was in quarantine has been taken");
    ledger::forget_quarantined(db, id)?;
    Ok(Ok(()))
}

fn take_stock(db: &Connection, mind: &mut Mind, stock: &HubStock) -> Result<std::result::Result<(), String>> {
    if mind.inventory.slot(stock.item).is_none() {
        return Ok(Err(format!("hub half of item {}, which this store does not have", stock.item)));
    }
    // Totals only grow: what has come since is not set back.
    mind.inventory.join_hub_half(db, stock).map(Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_as_what_was_set_aside() {
        let half = HubHalf { promised: 9_000, released: 2_000, returned: 1_000 };
        let stock = HubStock { item: ItemNo(7), half };
        assert_eq!(stock_of(&stock_bytes(&stock)), Some(stock));
        let note = Note { topic: Topic::COUNT_WISH, key: 3, text: "{}".to_owned() };
        assert_eq!(wish_of(&wish_bytes(&note)), Some(note));
        for bytes in [&b""[..], b"123", &[0; 27], &[0xff; 28]] {
            assert_eq!(stock_of(bytes), None, "{bytes:?}");
        }
        assert_eq!(wish_of(b"1234\xff"), None);
    }
}
