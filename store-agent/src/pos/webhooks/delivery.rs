//! What a delivery says, whoever sent it: figures of what is there, or what was sold; and what of it could not be understood.

use super::items::Items;
use crate::agent::{Counted, Document, ItemKey, Line, SetAside, SourceDocument};
use crate::config::pos::Factor;
use crate::pos::{card, decimal};
use serde_json::json;
use sync_protocol::record::Kind;
use sync_protocol::{Quantity, Reference, SourceId, UnixMillis};

/// How much of a text from outside is repeated.
const SHOWN_CHARS_MAX: usize = 80;

/// A delivery that was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    pub entries: Vec<Entry>,
    pub set_aside: Vec<SetAside>,
    /// Other locations, other states: nothing of this store's shelf.
    pub left_out: u64,
    pub card_numbers: u64,
    pub rounded: u64,
}

/// What became of a signed body.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Delivery(Delivery),
    /// A topic that this source does not take.
    NotTaken(String),
}

/// One line of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub reference: String,
    pub what: What,
    pub item: ItemKey,
    pub thousandths: i64,
    pub at: UnixMillis,
    pub row: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// So much is there, as of `at`. Never added to anything.
    Figure,
    /// So much was sold.
    Sale,
}

/// A line as the vendor writes it.
pub struct Given<'a> {
    pub reference: String,
    pub what: What,
    /// The vendor's id of the item, and the item's sku where the delivery says it.
    pub id: Option<&'a str>,
    pub sku: Option<&'a str>,
    pub quantity: Option<&'a str>,
    pub at: Option<&'a str>,
}

impl Delivery {
    /// Takes a line, or sets it aside with what is wrong.
    pub fn take(&mut self, given: Given<'_>, items: &Items) {
        // The vendors' ids are long numbers of their own, and one in some hundred looks like a card's.
        let is_id = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let id = given.id.filter(|id| !is_id(id));
        if [id, given.sku, given.quantity].into_iter().flatten().any(card::holds_card_number) {
            self.card_numbers += 1;
            let reason = "holds what looks like a card number; nothing of it was kept";
            self.aside(&given.reference, reason, "{}".to_owned());
            return;
        }
        let shown =
            |text: Option<&str>| text.map(|text| text.chars().take(SHOWN_CHARS_MAX).collect::<String>());
        let row = json!({
            "reference": given.reference, "id": shown(given.id), "sku": shown(given.sku),
            "quantity": shown(given.quantity), "at": shown(given.at),
        });
        let row = row.to_string();
        match read(&given, items) {
            Ok((item, quantity, at)) => {
                self.rounded += u64::from(quantity.is_off);
                let (reference, what) = (given.reference, given.what);
                self.entries.push(Entry {
                    reference,
                    what,
                    item,
                    thousandths: quantity.thousandths,
                    at,
                    row,
                });
            }
            Err(reason) => self.aside(&given.reference, &reason, row),
        }
    }

    pub fn aside(&mut self, reference: &str, reason: &str, row: String) {
        let reference: String =
            reference.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
        self.set_aside.push(SetAside { reason: format!("`{reference}`: {reason}"), row });
    }
}

fn read(given: &Given<'_>, items: &Items) -> Result<(ItemKey, decimal::Rounded, UnixMillis), String> {
    let id = given.id.ok_or("does not say which item it is about")?;
    let item = items.item(id, given.sku.filter(|sku| !sku.trim().is_empty()))?;
    let quantity = given.quantity.ok_or("has no quantity")?;
    let quantity =
        decimal::thousandths(quantity, Factor::ONE).map_err(|error| format!("its quantity {error}"))?;
    let at = given.at.ok_or("does not say when")?;
    let at: jiff::Timestamp = at.parse().map_err(|_| "its time is no RFC 3339 time".to_owned())?;
    Ok((item, quantity, UnixMillis(at.as_millisecond())))
}

impl Entry {
    /// A figure is a count of the shelf as it was then: what has moved since stays. Fewer than none can't be counted: that is a count of nothing
    /// and the rest as an adjustment.
    pub fn documents(&self, source: &SourceId) -> Result<Vec<SourceDocument>, String> {
        let document = |reference: &str, kind, reason: Option<&str>, thousandths| {
            let reference: Reference = reference.parse().map_err(|error| format!("{error}"))?;
            let document = Document {
                source: source.clone(),
                reference,
                kind,
                reason: reason.map(ToOwned::to_owned),
                occurred_at: self.at,
                counted: (kind == Kind::Count).then_some(Counted::At(self.at)),
                cursor: None,
                lines: vec![Line {
                    item: self.item.clone(),
                    quantity: Quantity::from_thousandths(thousandths),
                }],
                order: None,
                trace: None,
            };
            let is_figure = self.what == What::Figure;
            Ok::<_, String>(SourceDocument { document, row: self.row.clone(), is_figure })
        };
        if self.what == What::Sale {
            return Ok(vec![document(&self.reference, Kind::Sale, None, self.thousandths)?]);
        }
        let mut made = vec![document(&self.reference, Kind::Count, None, self.thousandths.max(0))?];
        if self.thousandths < 0 {
            let below = format!("{}/below", self.reference);
            let reason = "the POS has less than nothing";
            made.push(document(&below, Kind::Adjustment, Some(reason), self.thousandths)?);
        }
        Ok(made)
    }
}
