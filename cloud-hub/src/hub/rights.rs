//! Units promised without an order: held, and given up again.

use super::{Hub, PromiseError};
use sync_protocol::stock::{Cell, EscrowError};
use sync_protocol::time::Now;
use sync_protocol::{ItemNo, Quantity, StoreId};

impl Hub {
    pub(super) fn promise(
        &mut self,
        id: &StoreId,
        item: ItemNo,
        quantity: Quantity,
        now: Now,
    ) -> Result<(), PromiseError> {
        let nothing = EscrowError::NotFree { asked: quantity, free: Quantity::ZERO };
        self.use_rights(id, item, now, nothing, |cell| cell.promise(quantity))?;
        self.hold(id, item, |held| held.saturating_add(quantity.thousandths().unsigned_abs()));
        Ok(())
    }

    pub(super) fn release(
        &mut self,
        id: &StoreId,
        item: ItemNo,
        quantity: Quantity,
        now: Now,
    ) -> Result<(), PromiseError> {
        let nothing = EscrowError::NotOpen { asked: quantity, open: Quantity::ZERO };
        self.use_rights(id, item, now, nothing, |cell| cell.release(quantity))?;
        self.hold(id, item, |held| held.saturating_sub(quantity.thousandths().unsigned_abs()));
        Ok(())
    }

    pub(super) fn hold(&mut self, id: &StoreId, item: ItemNo, change: impl FnOnce(u64) -> u64) {
        if let Some(store) = self.stores.get_mut(id) {
            store.hold(item, change);
        }
    }

    /// Raises the hub's half of a cell of a store that can be trusted. `nothing`: the refusal where there is no such cell.
    fn use_rights(
        &mut self,
        id: &StoreId,
        item: ItemNo,
        now: Now,
        nothing: EscrowError,
        change: impl FnOnce(&mut Cell) -> Result<(), EscrowError>,
    ) -> Result<(), PromiseError> {
        let store =
            self.stores.get_mut(id).ok_or_else(|| PromiseError::UnknownStore { store: id.clone() })?;
        if !store.facts.trusted {
            return Err(PromiseError::NotTrusted { store: id.clone() });
        }
        if store.cell(item).is_none() {
            return Err(nothing.into());
        }
        store.raise_hub_half(item, change)?;
        self.down_changed(id, true, now);
        Ok(())
    }
}
