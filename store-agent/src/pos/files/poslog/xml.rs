//! POSLog XML as a stream of transactions, each small whatever the file holds.
//!
//! **Invariants:** nothing is expanded: a DTD or an entity that XML itself does not know refuses the file; what is held at a time is
//! bounded by [`EVENT_BYTES_MAX`], [`DEPTH_MAX`], [`FIELD_BYTES_MAX`] and the lines of one document. Elements count by their namespace
//! and their place, so that what a vendor hangs in between is passed over.

use crate::config::pos::Encoding;
use crate::pos::card;
use crate::pos::files::piece::{Broken, refused_by_its_first_bytes, shown};
use crate::pos::files::text::{Lines, encoding_named};
use quick_xml::NsReader;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use std::io::{self, BufRead};
use sync_protocol::limits::LINES_MAX;

/// The longest tag, text or comment.
const EVENT_BYTES_MAX: usize = 256 * 1024;
const DEPTH_MAX: usize = 64;
/// The longest value that is kept; ours are shorter.
pub const FIELD_BYTES_MAX: usize = 128;
/// Stands for a longer value: no number, no time and no id has a control character.
const TOO_LONG: &str = "longer than any\u{1a}";
/// Lines of one transaction that are looked at.
pub const TICKET_LINES_MAX: usize = LINES_MAX;
/// Where the XML declaration has to be.
const DECLARATION_BYTES: usize = 256;
const NAMESPACE: &str = "http://www.nrf-arts.org/IXRetail/namespace";

/// A transaction as the file has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ticket {
    /// The line of the file that it begins at.
    pub line: u64,
    pub store: Option<String>,
    pub workstation: Option<String>,
    pub sequence: Option<String>,
    pub business_day: Option<String>,
    pub began: Option<String>,
    pub ended: Option<String>,
    /// When its receipt or its log was written, for those without any other time.
    pub logged: Option<String>,
    pub status: Option<String>,
    pub is_cancelled: bool,
    pub is_training: bool,
    pub is_suspended: bool,
    pub is_post_void: bool,
    pub lines: Vec<TicketLine>,
    /// It has more lines than a document may have.
    pub is_too_long: bool,
    /// A tender shows what looks like a card number. Nothing of tenders is kept.
    pub shows_card: bool,
}

/// One line of goods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TicketLine {
    pub number: Option<String>,
    pub is_return: bool,
    pub is_void: bool,
    pub is_deleted: bool,
    pub is_not_stocked: bool,
    pub item_type: Option<String>,
    pub item_id: Option<String>,
    pub pos_item_id: Option<String>,
    pub quantity: Option<String>,
    pub units: Option<String>,
    pub unit_of_measure: Option<String>,
    /// Goods in a way that has no rule here, by the element's name.
    pub unknown: Option<String>,
}

/// Elements by their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    PosLog,
    Transaction,
    RetailStoreId,
    BusinessUnit,
    UnitId,
    WorkstationId,
    SequenceNumber,
    BusinessDayDate,
    BeginDateTime,
    EndDateTime,
    LogDateTime,
    RetailTransaction,
    TransactionLink,
    PostVoid,
    LineItem,
    Sale,
    Return,
    OtherGoods,
    PosIdentity,
    PosItemId,
    ItemId,
    Quantity,
    Tender,
    Other,
}

impl Tag {
    fn of(name: &str) -> Tag {
        match name {
            "POSLog" => Tag::PosLog,
            "Transaction" => Tag::Transaction,
            "RetailStoreID" => Tag::RetailStoreId,
            "BusinessUnit" => Tag::BusinessUnit,
            "UnitID" => Tag::UnitId,
            "WorkstationID" => Tag::WorkstationId,
            "SequenceNumber" => Tag::SequenceNumber,
            "BusinessDayDate" => Tag::BusinessDayDate,
            "BeginDateTime" => Tag::BeginDateTime,
            "EndDateTime" => Tag::EndDateTime,
            "ReceiptDateTime" | "POSLogDateTime" => Tag::LogDateTime,
            "RetailTransaction" => Tag::RetailTransaction,
            "TransactionLink" => Tag::TransactionLink,
            "PostVoid" | "PostVoidTransaction" => Tag::PostVoid,
            "LineItem" => Tag::LineItem,
            "Sale" => Tag::Sale,
            "Return" => Tag::Return,
            "POSIdentity" => Tag::PosIdentity,
            "POSItemID" => Tag::PosItemId,
            "ItemID" => Tag::ItemId,
            "Quantity" => Tag::Quantity,
            "Tender" => Tag::Tender,
            other if other.starts_with("Sale") || other.starts_with("Return") => Tag::OtherGoods,
            _ => Tag::Other,
        }
    }
}

/// The transactions of one file.
#[derive(Debug)]
pub struct Tickets<R> {
    xml: NsReader<Lines<R>>,
    event: Vec<u8>,
    reading: Reading,
}

impl<R: BufRead> Tickets<R> {
    pub fn new(mut from: R) -> Result<Tickets<R>, Broken> {
        let head = from.fill_buf().map_err(Broken::Io)?;
        if let Some(why) = refused_by_its_first_bytes(head) {
            return Err(Broken::format(why));
        }
        let encoding = declared(&head[..head.len().min(DECLARATION_BYTES)])?;
        let mut xml = NsReader::from_reader(Lines::new(from, encoding));
        xml.config_mut().expand_empty_elements = true;
        Ok(Tickets { xml, event: Vec::new(), reading: Reading::default() })
    }

    /// The next transaction; `None` at the end of the file.
    pub fn next(&mut self) -> Result<Option<Ticket>, Broken> {
        loop {
            self.xml.get_mut().allow(EVENT_BYTES_MAX);
            self.event.clear();
            let line = self.xml.get_mut().line();
            let (namespace, event) = self.xml.read_resolved_event_into(&mut self.event).map_err(broken)?;
            match event {
                Event::Start(start) => {
                    let is_ours = is_ours(&namespace)?;
                    self.reading.open(&start, is_ours, line)?;
                }
                Event::End(_) => {
                    if let Some(ticket) = self.reading.close() {
                        return Ok(Some(ticket));
                    }
                }
                Event::Text(text) => self.reading.text(&text),
                Event::CData(text) => self.reading.text(&text),
                Event::GeneralRef(name) => {
                    let known = match name.resolve_char_ref() {
                        Ok(Some(character)) => Some(character.to_string()),
                        _ => quick_xml::escape::resolve_predefined_entity(&name).map(ToOwned::to_owned),
                    };
                    let text = known.ok_or_else(|| unknown_entity(&name))?;
                    self.reading.text(&text);
                }
                Event::DocType(_) => {
                    return Err(Broken::format("it has a DTD; POSLog has none, and none is read"));
                }
                Event::Eof if self.reading.is_whole() => return Ok(None),
                Event::Eof => return Err(Broken::Unfinished),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
    }

    /// The line that the reader has come to.
    pub fn line(&self) -> u64 {
        self.xml.get_ref().line()
    }
}

fn unknown_entity(name: &str) -> Broken {
    Broken::format(format!("it uses the entity `&{};`, which XML itself does not know", shown(name)))
}

/// The encoding of the XML declaration; UTF-8 without one.
fn declared(head: &[u8]) -> Result<Encoding, Broken> {
    let text = String::from_utf8_lossy(head);
    let Some(declaration) = text.trim_start_matches('\u{feff}').strip_prefix("<?xml") else {
        return Ok(Encoding::Utf8);
    };
    let declaration = declaration.split("?>").next().unwrap_or_default();
    let Some((_, rest)) = declaration.split_once("encoding") else { return Ok(Encoding::Utf8) };
    let rest = rest.trim_start().trim_start_matches('=').trim_start();
    let name = rest.trim_start_matches(['"', '\'']).split(['"', '\'']).next().unwrap_or_default();
    encoding_named(name).ok_or_else(|| {
        Broken::format(format!(
            "it is written in `{}`; UTF-8, Latin-1 and Windows-1252 are read",
            shown(name)
        ))
    })
}

/// ARTS's own element, or one without any namespace.
fn is_ours(namespace: &ResolveResult<'_>) -> Result<bool, Broken> {
    match namespace {
        ResolveResult::Unbound => Ok(true),
        ResolveResult::Bound(name) => Ok(name.0.trim_end_matches('/') == NAMESPACE),
        ResolveResult::Unknown(prefix) => {
            Err(Broken::format(format!("the prefix `{}` is not declared", shown(prefix))))
        }
    }
}

fn broken(error: quick_xml::Error) -> Broken {
    match error {
        // All of them mean that the input ended too early.
        quick_xml::Error::Syntax(_) => Broken::Unfinished,
        quick_xml::Error::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Broken::format(format!("a tag or text of it is longer than {EVENT_BYTES_MAX} bytes"))
        }
        quick_xml::Error::Io(error) => Broken::Io(io::Error::new(error.kind(), error.to_string())),
        quick_xml::Error::Encoding(_) => {
            Broken::format("it has bytes that are no text of the encoding it declares")
        }
        other => Broken::format(format!("it is no well-formed XML: {}", shown(&other.to_string()))),
    }
}

/// Where in the file the reader is, and the transaction it is in.
#[derive(Debug, Default)]
struct Reading {
    path: Vec<Tag>,
    ticket: Option<Ticket>,
    /// The line item it is in: its flags and number, and its goods once they have come.
    item: TicketLine,
    has_goods: bool,
    /// The value of the element it is in, where it is one of ours.
    value: Option<String>,
    is_value_cut: bool,
    has_root: bool,
}

impl Reading {
    fn is_whole(&self) -> bool {
        self.has_root && self.path.is_empty()
    }

    /// The `up`-th element above the innermost.
    fn above(&self, up: usize) -> Option<Tag> {
        self.path.iter().rev().nth(up).copied()
    }

    fn open(&mut self, start: &BytesStart<'_>, is_ours: bool, line: u64) -> Result<(), Broken> {
        if self.path.len() == DEPTH_MAX {
            return Err(Broken::format(format!("its elements are nested deeper than {DEPTH_MAX}")));
        }
        let local = start.local_name();
        let name: &str = local.as_ref();
        let tag = if is_ours { Tag::of(name) } else { Tag::Other };
        if self.path.is_empty() {
            if tag != Tag::PosLog {
                return Err(Broken::format(format!(
                    "it is no POSLog: its first element is `{}`",
                    shown(name)
                )));
            }
            self.has_root = true;
        }
        self.path.push(tag);
        self.value = self.is_value().then(String::new);
        self.is_value_cut = false;
        match (self.above(1), tag) {
            (Some(Tag::PosLog), Tag::Transaction) => self.begin_ticket(start, line)?,
            (Some(Tag::Transaction), Tag::RetailTransaction) => self.begin_retail(start)?,
            (Some(Tag::Transaction | Tag::RetailTransaction), Tag::TransactionLink) => {
                let mut reason = None;
                each_attribute(start, |name, value| {
                    if name == "ReasonCode" {
                        reason = Some(value);
                    }
                })?;
                let voids = |of: &String| {
                    matches!(of.to_ascii_lowercase().as_str(), "void" | "voided" | "postvoid" | "postvoided")
                };
                let is_void = reason.as_ref().is_some_and(voids);
                self.with_ticket(|ticket| ticket.is_post_void |= is_void);
            }
            (Some(Tag::Transaction | Tag::RetailTransaction), Tag::PostVoid) => {
                self.with_ticket(|ticket| ticket.is_post_void = true);
            }
            (Some(Tag::Transaction | Tag::RetailTransaction), Tag::LineItem) => self.begin_item(start)?,
            (Some(Tag::LineItem), Tag::Sale | Tag::Return | Tag::OtherGoods) if !self.has_goods => {
                self.begin_goods(start, tag, name)?;
            }
            (Some(Tag::Sale | Tag::Return), Tag::Quantity) => self.begin_quantity(start)?,
            _ => {}
        }
        Ok(())
    }

    fn with_ticket(&mut self, change: impl FnOnce(&mut Ticket)) {
        if let Some(ticket) = &mut self.ticket {
            change(ticket);
        }
    }

    fn begin_ticket(&mut self, start: &BytesStart<'_>, line: u64) -> Result<(), Broken> {
        let mut ticket = Ticket { line, ..Ticket::default() };
        each_attribute(start, |name, value| match name {
            "CancelFlag" => ticket.is_cancelled = is_true(&value),
            "TrainingModeFlag" => ticket.is_training = is_true(&value),
            "SuspendFlag" => ticket.is_suspended = is_true(&value),
            _ => {}
        })?;
        self.ticket = Some(ticket);
        Ok(())
    }

    fn begin_retail(&mut self, start: &BytesStart<'_>) -> Result<(), Broken> {
        let mut status = None;
        each_attribute(start, |name, value| {
            if name == "TransactionStatus" {
                status = Some(value);
            }
        })?;
        self.with_ticket(|ticket| ticket.status = status);
        Ok(())
    }

    fn begin_item(&mut self, start: &BytesStart<'_>) -> Result<(), Broken> {
        let mut item = TicketLine::default();
        each_attribute(start, |name, value| match name {
            "VoidFlag" => item.is_void = is_true(&value),
            "CancelFlag" | "DeleteFlag" => item.is_deleted |= is_true(&value),
            _ => {}
        })?;
        (self.item, self.has_goods) = (item, false);
        Ok(())
    }

    fn begin_goods(&mut self, start: &BytesStart<'_>, tag: Tag, name: &str) -> Result<(), Broken> {
        let item = &mut self.item;
        item.is_return = tag == Tag::Return;
        item.unknown = (tag == Tag::OtherGoods).then(|| cut(name));
        each_attribute(start, |name, value| match name {
            "ItemType" => item.item_type = Some(value),
            "NotNormallyStockedFlag" => item.is_not_stocked = is_true(&value),
            _ => {}
        })?;
        self.has_goods = true;
        Ok(())
    }

    fn begin_quantity(&mut self, start: &BytesStart<'_>) -> Result<(), Broken> {
        let item = &mut self.item;
        if item.quantity.is_some() {
            return Ok(());
        }
        each_attribute(start, |name, value| match name {
            "Units" => item.units = Some(value),
            "UnitOfMeasureCode" => item.unit_of_measure = Some(value),
            _ => {}
        })
    }

    /// Whether the innermost element is a value that is kept.
    fn is_value(&self) -> bool {
        use Tag::{
            BeginDateTime, BusinessDayDate, BusinessUnit, EndDateTime, ItemId, LineItem, LogDateTime,
            PosIdentity, PosItemId, Quantity, RetailStoreId, RetailTransaction, Return, Sale, SequenceNumber,
            Transaction, UnitId, WorkstationId,
        };
        let here = (self.above(2), self.above(1), self.above(0));
        let (Some(grand), Some(parent), Some(tag)) = here else { return false };
        matches!(
            (grand, parent, tag),
            (
                _,
                Transaction,
                RetailStoreId
                    | WorkstationId
                    | SequenceNumber
                    | BusinessDayDate
                    | BeginDateTime
                    | EndDateTime
            ) | (Transaction, BusinessUnit, UnitId)
                | (_, Transaction | RetailTransaction, LogDateTime)
                | (_, LineItem, SequenceNumber)
                | (LineItem, Sale | Return, ItemId | Quantity)
                | (Sale | Return, PosIdentity, PosItemId)
        )
    }

    fn text(&mut self, text: &str) {
        if let Some(value) = &mut self.value {
            let room = FIELD_BYTES_MAX - value.len().min(FIELD_BYTES_MAX);
            if text.len() <= room {
                value.push_str(text);
            } else {
                self.is_value_cut = true;
            }
        }
        let is_tender = || self.path.contains(&Tag::Tender);
        if text.len() > 12 && is_tender() && card::holds_card_number(text) {
            self.with_ticket(|ticket| ticket.shows_card = true);
        }
    }

    /// Leaves the innermost element; gives the transaction that ends with it.
    fn close(&mut self) -> Option<Ticket> {
        self.keep_value();
        let tag = self.path.pop();
        let is_inner = self.value.take().is_some();
        match (self.above(0), tag) {
            (Some(Tag::PosLog), Some(Tag::Transaction)) => self.ticket.take(),
            (Some(Tag::Transaction | Tag::RetailTransaction), Some(Tag::LineItem)) if !is_inner => {
                self.end_item();
                None
            }
            _ => None,
        }
    }

    fn end_item(&mut self) {
        let item = std::mem::take(&mut self.item);
        if !std::mem::take(&mut self.has_goods) {
            return;
        }
        self.with_ticket(|ticket| {
            if ticket.lines.len() < TICKET_LINES_MAX {
                ticket.lines.push(item);
            } else {
                ticket.is_too_long = true;
            }
        });
    }

    fn keep_value(&mut self) {
        let Some(value) = &self.value else { return };
        // A value that is too long becomes one that nothing of ours can be, never its beginning.
        let text = if self.is_value_cut { TOO_LONG.to_owned() } else { value.trim().to_owned() };
        let (parent, Some(tag)) = (self.above(1), self.above(0)) else { return };
        let item = &mut self.item;
        let place = match (parent, tag) {
            (Some(Tag::LineItem), Tag::SequenceNumber) => Some(&mut item.number),
            (_, Tag::ItemId) => Some(&mut item.item_id),
            (_, Tag::PosItemId) => Some(&mut item.pos_item_id),
            (_, Tag::Quantity) => Some(&mut item.quantity),
            _ => self.ticket.as_mut().and_then(|ticket| match tag {
                Tag::RetailStoreId | Tag::UnitId => Some(&mut ticket.store),
                Tag::WorkstationId => Some(&mut ticket.workstation),
                Tag::SequenceNumber => Some(&mut ticket.sequence),
                Tag::BusinessDayDate => Some(&mut ticket.business_day),
                Tag::BeginDateTime => Some(&mut ticket.began),
                Tag::EndDateTime => Some(&mut ticket.ended),
                Tag::LogDateTime => Some(&mut ticket.logged),
                _ => None,
            }),
        };
        // The first of several counts.
        if let Some(place) = place.filter(|place| place.is_none()) {
            *place = Some(text);
        }
    }
}

fn each_attribute(start: &BytesStart<'_>, mut each: impl FnMut(&str, String)) -> Result<(), Broken> {
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| {
            Broken::format(format!("it is no well-formed XML: {}", shown(&error.to_string())))
        })?;
        let plain = quick_xml::escape::unescape(&attribute.value)
            .map_err(|_| Broken::format("it uses an entity in an attribute that XML itself does not know"))?;
        // Those with a prefix are a vendor's own.
        each(attribute.key.0, cut(plain.trim()));
    }
    Ok(())
}

fn is_true(value: &str) -> bool {
    matches!(value, "true" | "1" | "TRUE" | "True")
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(FIELD_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
