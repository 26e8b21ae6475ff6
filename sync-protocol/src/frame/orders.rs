//! Order halves as records: blobs, so that one that can't be read takes no other along.

use super::codec::{DecodeError, Reader, Writer};
use super::read_bool;
use super::sections::{SetAside, item_no, read_each, write_each};
use crate::ids::{Epoch, ItemNo};
use crate::limits::RECORDS_MAX;
use crate::order::lifecycle::{
    Progress, Proof, REFUSAL_BYTES_MAX, ShortReason, Stage, StoreOrder, WHO_BYTES_MAX,
};
use crate::order::lines::{
    Cancel, DISPLAY_NAME_BYTES_MAX, HubOrder, Line, ORDER_LINES_MAX, OrderId, PHONE_BYTES_MAX,
};
use crate::quantity::Quantity;
use crate::record::{HubOrderRecord, StoreOrderRecord};
use crate::time::UnixMillis;

pub(super) fn write_hub(out: &mut Writer, orders: &[HubOrderRecord]) {
    debug_assert!(orders.len() <= RECORDS_MAX, "senders close batches well below the bound");
    write_each(out, orders, write_hub_order);
}

/// The layout on the wire, and what a digest hashes.
pub(crate) fn write_hub_order(out: &mut Writer, record: &HubOrderRecord) {
    let half = &record.half;
    out.varint(record.order.number());
    out.varint(half.revision.into());
    out.zigzag(half.placed_at.0);
    out.zigzag(half.ready_by.0.wrapping_sub(half.placed_at.0));
    out.zigzag(half.hold_until.0.wrapping_sub(half.placed_at.0));
    out.text(&half.display_name);
    out.text(&half.phone);
    out.fixed(&half.code_hash);
    out.u8(half.cancel.map_or(0, Cancel::code));
    out.u8(half.closed.into());
    for line in &half.lines {
        out.varint(line.item.0.into());
        write_quantity(out, line.quantity);
    }
}

pub(super) fn read_hub(
    reader: &mut Reader<'_>,
    unreadable: &mut SetAside,
) -> Result<Vec<HubOrderRecord>, DecodeError> {
    read_each(reader, "order", unreadable, read_hub_order)
}

fn read_hub_order(reader: &mut Reader<'_>) -> Result<HubOrderRecord, DecodeError> {
    let order = read_id(reader)?;
    let revision = reader.u32("revision")?;
    let placed_at = reader.zigzag("placed at")?;
    let mut half = HubOrder {
        revision,
        placed_at: UnixMillis(placed_at),
        ready_by: UnixMillis(placed_at.wrapping_add(reader.zigzag("ready by")?)),
        hold_until: UnixMillis(placed_at.wrapping_add(reader.zigzag("hold until")?)),
        lines: Vec::new(),
        display_name: reader.text("display name", DISPLAY_NAME_BYTES_MAX)?.to_owned(),
        phone: reader.text("phone", PHONE_BYTES_MAX)?.to_owned(),
        code_hash: reader.array("code hash")?,
        cancel: read_choice(reader, "cancel", Cancel::from_code)?,
        closed: read_bool(reader, "closed")?,
    };
    while !reader.is_empty() && half.lines.len() <= ORDER_LINES_MAX {
        let item = item_no(reader.varint("item")?)?;
        half.lines.push(Line { item, quantity: read_quantity(reader)? });
    }
    half.validate().map_err(|error| DecodeError::invalid("order", error))?;
    Ok(HubOrderRecord { order, half })
}

/// As on the wire, for whoever keeps records.
impl HubOrderRecord {
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        write_hub_order(&mut out, self);
        out.bytes
    }

    /// # Errors
    /// The bytes are not what [`Self::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<HubOrderRecord, DecodeError> {
        read_hub_order(&mut Reader::new(bytes))
    }
}

pub(super) fn write_store(out: &mut Writer, orders: &[StoreOrderRecord]) {
    debug_assert!(orders.len() <= RECORDS_MAX, "senders close batches well below the bound");
    write_each(out, orders, write_store_order);
}

/// The layout on the wire, and what a digest hashes. The epoch is the frame's.
pub(crate) fn write_store_order(out: &mut Writer, record: &StoreOrderRecord) {
    let half = &record.half;
    out.varint(record.order.number());
    out.varint(half.revision.into());
    out.u8(half.stage.code());
    out.zigzag(half.since.0);
    out.text(&half.by);
    out.text(&half.reason);
    out.u8(half.proof.map_or(0, Proof::code));
    out.u8(half.put_back.into());
    for line in &half.progress {
        out.varint(line.item.0.into());
        [line.ordered, line.picked, line.short]
            .into_iter()
            .for_each(|quantity| write_quantity(out, quantity));
        out.u8(line.why.map_or(0, ShortReason::code));
        out.varint(line.fulfilled);
    }
}

pub(super) fn read_store(
    reader: &mut Reader<'_>,
    epoch: Epoch,
    unreadable: &mut SetAside,
) -> Result<Vec<StoreOrderRecord>, DecodeError> {
    read_each(reader, "order", unreadable, |reader| read_store_order(reader, epoch))
}

fn read_store_order(reader: &mut Reader<'_>, epoch: Epoch) -> Result<StoreOrderRecord, DecodeError> {
    let order = read_id(reader)?;
    let revision = reader.u32("revision")?;
    let stage = reader.u8("stage")?;
    let stage = Stage::from_code(stage).ok_or_else(|| DecodeError::invalid("stage", stage))?;
    let mut half = StoreOrder {
        epoch,
        revision,
        stage,
        since: UnixMillis(reader.zigzag("since")?),
        by: reader.text("by", WHO_BYTES_MAX)?.to_owned(),
        reason: reader.text("reason", REFUSAL_BYTES_MAX)?.to_owned(),
        proof: read_choice(reader, "proof", Proof::from_code)?,
        put_back: read_bool(reader, "put back")?,
        progress: Vec::new(),
    };
    while !reader.is_empty() && half.progress.len() <= ORDER_LINES_MAX {
        let item = item_no(reader.varint("item")?)?;
        half.progress.push(read_progress(reader, item)?);
    }
    half.validate().map_err(|error| DecodeError::invalid("order", error))?;
    Ok(StoreOrderRecord { order, half })
}

/// As on the wire, for whoever keeps records. The epoch is kept beside.
impl StoreOrderRecord {
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        write_store_order(&mut out, self);
        out.bytes
    }

    /// # Errors
    /// The bytes are not what [`Self::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8], epoch: Epoch) -> Result<StoreOrderRecord, DecodeError> {
        read_store_order(&mut Reader::new(bytes), epoch)
    }
}

fn read_progress(reader: &mut Reader<'_>, item: ItemNo) -> Result<Progress, DecodeError> {
    Ok(Progress {
        item,
        ordered: read_quantity(reader)?,
        picked: read_quantity(reader)?,
        short: read_quantity(reader)?,
        why: read_choice(reader, "why short", ShortReason::from_code)?,
        fulfilled: reader.bounded("fulfilled", crate::stock::TOTAL_MAX)?,
    })
}

fn read_id(reader: &mut Reader<'_>) -> Result<OrderId, DecodeError> {
    OrderId::from_number(reader.varint("order")?).map_err(|error| DecodeError::invalid("order", error))
}

/// Zero for none.
fn read_choice<T>(
    reader: &mut Reader<'_>,
    what: &'static str,
    from_code: impl Fn(u8) -> Option<T>,
) -> Result<Option<T>, DecodeError> {
    match reader.u8(what)? {
        0 => Ok(None),
        code => from_code(code).map(Some).ok_or_else(|| DecodeError::invalid(what, code)),
    }
}

/// Never below zero here.
fn write_quantity(out: &mut Writer, quantity: Quantity) {
    out.varint(quantity.thousandths().unsigned_abs());
}

fn read_quantity(reader: &mut Reader<'_>) -> Result<Quantity, DecodeError> {
    let most = Quantity::MAX.thousandths().unsigned_abs();
    Ok(Quantity::from_thousandths(reader.bounded("quantity", most)?.cast_signed()))
}
