//! What a transaction moves: one document for what was sold, one for what came back.
//!
//! Its reference is store, workstation, sequence number and business day, so a transaction counts once however often and in whatever
//! file it comes. Lines of one item are added up: what was voided within the ticket is gone before anything is recorded. A line that
//! can't be read is set aside, the rest of its ticket stands.

use super::xml::{Ticket, TicketLine};
use crate::agent::{Document, ItemKey, Line, SetAside, SourceDocument};
use crate::config::pos::{Factor, ItemFrom, Mapping, PoslogConfig, Times, VoidLines, WeighedBy};
use crate::pos::card;
use crate::pos::decimal;
use crate::pos::files::piece::{Piece, shown};
use crate::pos::mapping::{self, Cell};
use crate::pos::times::Clockwork;
use std::collections::HashMap;
use sync_protocol::record::Kind;
use sync_protocol::{Quantity, SourceId, UnixMillis};

/// Characters of a date.
const DATE_CHARS: usize = 10;
/// Codes for "by the piece".
const PIECES: [&str; 7] = ["", "EA", "EACH", "PCE", "PC", "C62", "H87"];

/// The rules of one source.
#[derive(Debug, Clone)]
pub struct Rules {
    pub source: SourceId,
    pub config: PoslogConfig,
    pub mapping: Mapping,
}

/// How a transaction counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Completed,
    /// Parked, cancelled, practised.
    Nothing,
    /// It was completed, and taken back as a whole later.
    TakenBack,
    /// It takes another one back.
    TakesBack,
}

/// Why a line moves nothing, or can't be read.
enum Unmoved {
    LeftOut,
    Wrong(String),
    Card,
}

/// What a ticket moves of each item, in the order of its lines.
#[derive(Debug, Default)]
struct Sums {
    places: HashMap<(bool, ItemKey), usize>,
    sums: Vec<(bool, ItemKey, i64)>,
}

impl Sums {
    fn add(&mut self, is_return: bool, item: ItemKey, thousandths: i64) {
        let place = *self.places.entry((is_return, item.clone())).or_insert(self.sums.len());
        match self.sums.get_mut(place) {
            Some((_, _, sum)) => *sum = sum.saturating_add(thousandths),
            None => self.sums.push((is_return, item, thousandths)),
        }
    }

    /// `change` says what is recorded of a sum.
    fn lines(&self, is_return: bool, change: impl Fn(i64) -> i64) -> Vec<Line> {
        let of = |(_, item, sum): &(bool, ItemKey, i64)| Line {
            item: item.clone(),
            quantity: Quantity::from_thousandths(change(*sum)),
        };
        self.sums.iter().filter(|sum| sum.0 == is_return && sum.2 != 0).map(of).collect()
    }
}

impl Rules {
    pub fn piece(&self, ticket: &Ticket, file: &str) -> Piece {
        let mut piece = self.judged(ticket, file);
        piece.notes.card_numbers += u64::from(ticket.shows_card);
        piece
    }

    fn judged(&self, ticket: &Ticket, file: &str) -> Piece {
        let is_elsewhere =
            self.mapping.location.as_ref().is_some_and(|store| ticket.store.as_ref() != Some(store));
        if is_elsewhere || (ticket.lines.is_empty() && !ticket.is_post_void) {
            return Piece::left_out();
        }
        let place = format!("{file}, line {}", ticket.line);
        match self.standing(ticket) {
            Ok(Standing::Nothing) => Piece::left_out(),
            Ok(standing) => self
                .documents(ticket, standing, file, &place)
                .unwrap_or_else(|reason| Piece::aside(format!("{place}: {reason}"), row(file, ticket, None))),
            Err(reason) => Piece::aside(format!("{place}: {reason}"), row(file, ticket, None)),
        }
    }

    fn standing(&self, ticket: &Ticket) -> Result<Standing, String> {
        if ticket.is_cancelled || ticket.is_training || ticket.is_suspended {
            return Ok(Standing::Nothing);
        }
        let status = ticket.status.as_deref().unwrap_or_default();
        let said = self.config.statuses.iter().find(|(name, _)| name.eq_ignore_ascii_case(status));
        let standing = match (said, status.to_ascii_lowercase().as_str()) {
            (Some((_, true)), _) => Standing::Completed,
            (Some((_, false)), _) => Standing::Nothing,
            (None, "" | "totaled" | "tendered" | "finished" | "completed" | "delivered" | "shipped") => {
                Standing::Completed
            }
            (None, "postvoided") => Standing::TakenBack,
            (None, other) if other.starts_with("suspend") || other.starts_with("cancel") => Standing::Nothing,
            (None, "voided" | "failed") => Standing::Nothing,
            (None, _) => {
                return Err(format!(
                    "no rule for the transaction status `{}`; say in `statuses` whether it counts",
                    shown(status)
                ));
            }
        };
        Ok(if ticket.is_post_void && standing != Standing::Nothing { Standing::TakesBack } else { standing })
    }

    fn documents(
        &self,
        ticket: &Ticket,
        standing: Standing,
        file: &str,
        place: &str,
    ) -> Result<Piece, String> {
        let mut piece = Piece::default();
        if ticket.is_too_long {
            return Err("it has more lines than a document may have; record it in parts".to_owned());
        }
        if ticket.lines.is_empty() {
            return Err(
                "it takes another transaction back without saying what was in it; record that by hand"
                    .to_owned(),
            );
        }
        let (occurred_at, text) = self.moment(ticket)?;
        let name = name(ticket, text)?;
        let sums = self.sums(ticket, &name, standing, file, place, &mut piece);
        let row = row(file, ticket, None);
        for (name, kind, reason, lines) in recorded(&name, standing, &sums) {
            if lines.is_empty() {
                continue;
            }
            let beyond = |line: &Line| line.quantity.thousandths().abs() > Quantity::MAX.thousandths();
            if lines.iter().any(beyond) {
                return Err(format!("`{name}` moves more than {} of an item", Quantity::MAX));
            }
            let document = Document {
                source: self.source.clone(),
                reference: name.parse().map_err(|error| format!("{error}"))?,
                kind,
                reason: reason.map(ToOwned::to_owned),
                occurred_at,
                counted: None,
                cursor: None,
                lines,
                order: None,
                trace: None,
            };
            piece.documents.push(SourceDocument { document, row: row.clone(), is_figure: false });
        }
        piece.is_left_out = piece.documents.is_empty() && piece.set_aside.is_empty();
        Ok(piece)
    }

    fn sums(
        &self,
        ticket: &Ticket,
        name: &str,
        standing: Standing,
        file: &str,
        place: &str,
        piece: &mut Piece,
    ) -> Sums {
        // A post-void may repeat all lines as void: then that is what it is about.
        let are_voids = standing == Standing::TakesBack && ticket.lines.iter().all(|line| line.is_void);
        let mut sums = Sums::default();
        for line in &ticket.lines {
            match self.moved(line, are_voids) {
                Ok((item, rounded)) => {
                    piece.notes.rounded += u64::from(rounded.is_off);
                    sums.add(line.is_return, item, rounded.thousandths);
                }
                Err(Unmoved::LeftOut) => {}
                Err(Unmoved::Wrong(reason)) => {
                    let number = line.number.as_deref().unwrap_or("?");
                    piece.set_aside.push(SetAside {
                        reason: format!(
                            "{place}: transaction `{name}`, line item `{}`: {reason}",
                            shown(number)
                        ),
                        row: row(file, ticket, Some(line)),
                    });
                }
                Err(Unmoved::Card) => {
                    piece.notes.card_numbers += 1;
                    piece.set_aside.push(SetAside {
                        reason: format!(
                            "{place}: transaction `{name}` has a line with what looks like a card number; nothing of the line was kept"
                        ),
                        row: row(file, ticket, None),
                    });
                }
            }
        }
        sums
    }

    fn moved(&self, line: &TicketLine, counts_voids: bool) -> Result<(ItemKey, decimal::Rounded), Unmoved> {
        let kept = [&line.item_id, &line.pos_item_id, &line.quantity, &line.units];
        if kept.into_iter().flatten().any(|text| card::holds_card_number(text)) {
            return Err(Unmoved::Card);
        }
        if line.is_deleted || line.is_not_stocked {
            return Err(Unmoved::LeftOut);
        }
        if let Some(name) = &line.unknown {
            let reason = format!("no rule for `{}`; record it by hand if goods have left", shown(name));
            return Err(Unmoved::Wrong(reason));
        }
        let is_stock = |kind: &String| self.config.item_types.iter().any(|of| of.eq_ignore_ascii_case(kind));
        if line.item_type.as_ref().is_some_and(|kind| !is_stock(kind)) {
            return Err(Unmoved::LeftOut);
        }
        let mut rounded = self.quantity(line).map_err(Unmoved::Wrong)?;
        if line.is_void && rounded.thousandths >= 0 && !counts_voids {
            match self.config.void_lines {
                VoidLines::LeftOut => return Err(Unmoved::LeftOut),
                VoidLines::TakeBack => rounded.thousandths = -rounded.thousandths,
            }
        }
        let item = self.item(line).map_err(Unmoved::Wrong)?;
        Ok((item, rounded))
    }

    fn item(&self, line: &TicketLine) -> Result<ItemKey, String> {
        let (first, second) = match self.config.item_from {
            ItemFrom::ItemId => (&line.item_id, &line.pos_item_id),
            ItemFrom::PosItemId => (&line.pos_item_id, &line.item_id),
        };
        let given = |text: &&String| !text.is_empty();
        let text = first.as_ref().filter(given).or(second.as_ref().filter(given));
        let text = text.ok_or("it names no item: neither `ItemID` nor `POSItemID`")?;
        mapping::item(self.mapping.item_is, &Cell::Text(text.clone()))
    }

    /// Pieces by their number, weighed goods by their weight.
    fn quantity(&self, line: &TicketLine) -> Result<decimal::Rounded, String> {
        let unit = line.unit_of_measure.as_deref().unwrap_or_default();
        let factor = self.config.units.iter().find(|(code, _)| code.eq_ignore_ascii_case(unit));
        let factor = factor.map_or(Factor::ONE, |(_, factor)| *factor);
        let is_weighed = self.config.weighed_by == WeighedBy::Units
            && !PIECES.iter().any(|piece| piece.eq_ignore_ascii_case(unit));
        let read = |text: &Option<String>| {
            let text = text.clone().ok_or_else(|| "it has no `Quantity`".to_owned())?;
            mapping::quantity(&Cell::Text(text), factor)
        };
        let quantity = read(&line.quantity);
        if !is_weighed || line.units.is_none() {
            return quantity;
        }
        let mut weight = read(&line.units)?;
        // A void has its sign on the quantity and sometimes not on the weight.
        if quantity.is_ok_and(|quantity| quantity.thousandths < 0) {
            weight.thousandths = -weight.thousandths.abs();
        }
        Ok(weight)
    }

    /// When goods changed hands: by the clock, never by the business day, which may have begun yesterday.
    fn moment<'a>(&self, ticket: &'a Ticket) -> Result<(UnixMillis, &'a str), String> {
        let text =
            [&ticket.ended, &ticket.began, &ticket.logged].into_iter().flatten().find(|at| !at.is_empty());
        let text = text.ok_or("it has no `EndDateTime`")?;
        // Each time by itself: the same transaction means the same moment in whatever file it comes.
        let mut clock = Clockwork::new(Times::Text, self.mapping.time_zone.clone());
        let at = clock.text(text).ok_or_else(|| format!("`{}` is no date and time", shown(text)))?;
        Ok((at, text))
    }
}

type Recorded = (String, Kind, Option<&'static str>, Vec<Line>);

/// What is recorded of a transaction: what was sold, what came back.
fn recorded(name: &str, standing: Standing, sums: &Sums) -> Vec<Recorded> {
    let both = |suffix: &str, reason: Option<&'static str>, change: &dyn Fn(i64) -> i64| {
        [
            (format!("{name}{suffix}"), Kind::Sale, reason, sums.lines(false, change)),
            (format!("{name}/return{suffix}"), Kind::Return, reason, sums.lines(true, change)),
        ]
    };
    match standing {
        Standing::Nothing => Vec::new(),
        Standing::Completed => both("", None, &|sum| sum).into(),
        // Whichever sign its lines have: what it names is back where it was.
        Standing::TakesBack => both("", Some("post-void"), &|sum| -sum.abs()).into(),
        // Both ways: it may have come before as it was, or never.
        Standing::TakenBack => {
            let mut all = Vec::from(both("", None, &|sum| sum));
            all.extend(both("/void", Some("post-voided"), &|sum| -sum));
            all
        }
    }
}

/// `store/workstation/sequence/business day`.
fn name(ticket: &Ticket, time: &str) -> Result<String, String> {
    let day: String = match &ticket.business_day {
        Some(day) => day.clone(),
        None => time.chars().take(DATE_CHARS).collect(),
    };
    let part = |what: &str, part: &Option<String>| match part {
        Some(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err(format!("it has no {what}, so nothing would tell it from another")),
    };
    let store = ticket.store.clone().unwrap_or_default();
    let workstation = part("`WorkstationID`", &ticket.workstation)?;
    let sequence = part("`SequenceNumber`", &ticket.sequence)?;
    let name = format!("{store}/{workstation}/{sequence}/{day}");
    if card::holds_card_number(&name) {
        return Err("its numbers look like a card number".to_owned());
    }
    // With room for `/return/void`.
    if name.len() + 16 > sync_protocol::limits::REFERENCE_BYTES_MAX {
        return Err(
            "its store, workstation, sequence number and business day are too long together".to_owned()
        );
    }
    Ok(name)
}

/// What quarantine keeps: enough to find the line in the file, nothing of tenders.
fn row(file: &str, ticket: &Ticket, line: Option<&TicketLine>) -> String {
    let plain = |text: &Option<String>| text.as_ref().filter(|text| !card::holds_card_number(text)).cloned();
    let mut row = serde_json::json!({
        "file": file, "line": ticket.line, "store": plain(&ticket.store), "workstation": plain(&ticket.workstation),
        "sequence": plain(&ticket.sequence), "business_day": plain(&ticket.business_day),
    });
    if let (Some(line), Some(row)) = (line, row.as_object_mut()) {
        let more = [("number", &line.number), ("item", &line.item_id), ("quantity", &line.quantity)];
        row.extend(more.map(|(name, text)| (name.to_owned(), serde_json::json!(plain(text)))));
    }
    row.to_string()
}

#[cfg(test)]
mod tests;
