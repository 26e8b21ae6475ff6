//! A document as a till writes it in JSON, and what can be wrong with it.
//!
//! ```json
//! {"source": "till-3", "reference": "2026-10-31/3/0042", "kind": "sale", "occurred_at": "2026-10-31T17:03:22-04:00",
//!  "lines": [{"sku": "4011", "quantity": 1.235}, {"gtin": "00012345678905", "quantity": 2}]}
//! ```
//!
//! Besides: `reason` (an adjustment needs one), `counted_at` or `counted_position` (a count needs one of them), `cursor` (how
//! far the source was read; given back by `GET /v1/cursors/{source}`), `order` (the pickup order that a sale hands over). A
//! field nobody knows is refused: a mistyped `reason` must show when the till is connected, not in the stock a month later.
//! Whether the ledger takes the document is the
//! core's to say.

use crate::agent::{Counted, Document, ItemKey, Line};
use crate::http::{Problem, json};
use serde::Deserialize;
use std::fmt::Display;
use sync_protocol::limits::{CURSOR_BYTES_MAX, LINES_MAX, REASON_BYTES_MAX};
use sync_protocol::order::OrderId;
use sync_protocol::record::Kind;
use sync_protocol::{Position, Quantity, TraceId, UnixMillis};

/// Longest text of one document.
pub const DOCUMENT_BYTES_MAX: usize = 2 << 20;

/// The fields as written. Whoever wraps documents may fill in what an envelope says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DocumentText {
    pub(super) source: Option<String>,
    pub(super) reference: Option<String>,
    kind: Option<Kind>,
    reason: Option<String>,
    pub(super) occurred_at: Option<String>,
    counted_at: Option<String>,
    counted_position: Option<u64>,
    cursor: Option<String>,
    lines: Option<Vec<LineText>>,
    order: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineText {
    sku: Option<String>,
    gtin: Option<String>,
    quantity: Option<Quantity>,
}

/// Reads one document. `trace` is the request's, where it is to be carried on.
pub fn document(text: &[u8], trace: Option<TraceId>) -> Result<Document, Problem> {
    json::read::<DocumentText>(text)?.judged(trace)
}

impl DocumentText {
    pub(super) fn judged(self, trace: Option<TraceId>) -> Result<Document, Problem> {
        let kind = needed("kind", self.kind)?;
        if kind == Kind::Pickup {
            let detail = "is written by the agent itself; report a sale with the `order` it hands over";
            return Err(Problem::invalid("kind", detail));
        }
        let counted = counted(kind, self.counted_at, self.counted_position)?;
        Ok(Document {
            source: parsed("source", needed("source", self.source)?)?,
            reference: parsed("reference", needed("reference", self.reference)?)?,
            kind,
            reason: reason(kind, self.reason)?,
            occurred_at: moment("occurred_at", &needed("occurred_at", self.occurred_at)?)?,
            counted,
            cursor: cursor(self.cursor)?,
            lines: lines(kind, needed("lines", self.lines)?)?,
            order: order(kind, self.order)?,
            trace,
        })
    }
}

fn order(kind: Kind, order: Option<String>) -> Result<Option<OrderId>, Problem> {
    match order {
        Some(_) if kind != Kind::Sale => Err(Problem::invalid("order", "only a sale hands an order over")),
        Some(order) => order.parse().map(Some).map_err(|error| Problem::invalid("order", format!("{error}"))),
        None => Ok(None),
    }
}

fn needed<T>(field: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::invalid(field, "is missing"))
}

fn parsed<T: TryFrom<String, Error: Display>>(field: &str, text: String) -> Result<T, Problem> {
    T::try_from(text).map_err(|error| Problem::invalid(field, error.to_string()))
}

fn moment(field: &str, text: &str) -> Result<UnixMillis, Problem> {
    let moment: Result<jiff::Timestamp, _> = text.parse();
    moment.map(|moment| UnixMillis(moment.as_millisecond())).map_err(|_| {
        let found = text.chars().take(40).collect::<String>();
        Problem::invalid(
            field,
            format!(
                "`{found}` is not a time with its offset, such as `2026-10-31T17:03:22-04:00` (RFC 3339)"
            ),
        )
    })
}

fn reason(kind: Kind, reason: Option<String>) -> Result<Option<String>, Problem> {
    let wrong = |detail: String| Err(Problem::invalid("reason", detail));
    match &reason {
        None if kind == Kind::Adjustment => wrong("an adjustment needs a reason".to_owned()),
        Some(text) if text.trim().is_empty() => wrong("is empty".to_owned()),
        Some(text) if text.len() > REASON_BYTES_MAX => {
            wrong(format!("has {} bytes, more than the {REASON_BYTES_MAX} allowed", text.len()))
        }
        Some(text) if text.chars().any(char::is_control) => wrong("has a control character".to_owned()),
        _ => Ok(reason),
    }
}

fn counted(kind: Kind, at: Option<String>, position: Option<u64>) -> Result<Option<Counted>, Problem> {
    let counted = match (at, position) {
        (Some(_), Some(_)) => {
            return Err(Problem::invalid(
                "counted_position",
                "give `counted_at` or `counted_position`, not both",
            ));
        }
        (Some(at), None) => Some(Counted::At(moment("counted_at", &at)?)),
        (None, Some(position)) => Some(Counted::Position(Position(position))),
        (None, None) => None,
    };
    match (kind, &counted) {
        (Kind::Count, None) => {
            Err(Problem::invalid("counted_at", "a count needs the time at which the shelf was counted"))
        }
        (Kind::Count, Some(_)) | (_, None) => Ok(counted),
        (_, Some(_)) => Err(Problem::invalid("counted_at", "only a count has this")),
    }
}

fn cursor(cursor: Option<String>) -> Result<Option<Vec<u8>>, Problem> {
    match cursor {
        Some(text) if text.len() > CURSOR_BYTES_MAX => {
            let bytes = text.len();
            Err(Problem::invalid(
                "cursor",
                format!("has {bytes} bytes, more than the {CURSOR_BYTES_MAX} allowed"),
            ))
        }
        cursor => Ok(cursor.map(String::into_bytes)),
    }
}

fn lines(kind: Kind, lines: Vec<LineText>) -> Result<Vec<Line>, Problem> {
    if lines.is_empty() {
        return Err(Problem::invalid("lines", "is empty; a document has at least one line"));
    }
    if lines.len() > LINES_MAX {
        let found = lines.len();
        let detail =
            format!("has {found} lines, more than the {LINES_MAX} allowed; send it as several documents");
        return Err(Problem::invalid("lines", detail));
    }
    lines.into_iter().enumerate().map(|(index, text)| line(kind, index, text)).collect()
}

fn line(kind: Kind, index: usize, text: LineText) -> Result<Line, Problem> {
    let field = |name: &str| format!("lines[{index}].{name}");
    // Many tills send both; the sku is what the shop itself calls the item.
    let item = match (text.sku, text.gtin) {
        (Some(sku), _) => ItemKey::Sku(parsed(&field("sku"), sku)?),
        (None, Some(gtin)) => ItemKey::Gtin(parsed(&field("gtin"), gtin)?),
        (None, None) => {
            return Err(Problem::invalid(field("sku"), "is missing; a line needs `sku` or `gtin`"));
        }
    };
    let quantity = text.quantity.ok_or_else(|| Problem::invalid(field("quantity"), "is missing"))?;
    if kind == Kind::Count && quantity.is_negative() {
        return Err(Problem::invalid(field("quantity"), "a count cannot find fewer than none"));
    }
    Ok(Line { item, quantity })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALE: &str = r#"{"source":"till-3","reference":"2026-10-31/3/0042","kind":"sale",
        "occurred_at":"2026-10-31T17:03:22-04:00",
        "lines":[{"sku":"4011","quantity":1.235},{"gtin":"00012345678905","quantity":"2"}]}"#;

    fn read(text: &str) -> Result<Document, Problem> {
        document(text.as_bytes(), None)
    }

    fn complaint(text: &str) -> (u16, String, String) {
        let problem = read(text).unwrap_err();
        (problem.status.as_u16(), problem.field.unwrap_or_default(), problem.detail)
    }

    #[test]
    fn a_sale_is_read_exactly() {
        let sale = read(SALE).unwrap();
        assert_eq!((sale.source.as_str(), sale.reference.as_str()), ("till-3", "2026-10-31/3/0042"));
        assert_eq!(sale.occurred_at, UnixMillis(1_793_480_602_000));
        assert_eq!(sale.lines[0].item, ItemKey::Sku("4011".parse().unwrap()));
        assert_eq!(sale.lines[0].quantity.thousandths(), 1_235);
        assert_eq!(
            sale.lines[1].item,
            ItemKey::Gtin(
                "12345678905".parse::<u64>().map(|n| sync_protocol::Gtin::from_number(n).unwrap()).unwrap()
            )
        );
        assert_eq!(sale.lines[1].quantity.thousandths(), 2_000);
    }

    #[test]
    fn a_wrong_field_is_named() {
        let cases = [
            (SALE.replace("1.235", "1.2351"), "lines[0].quantity"),
            (SALE.replace("\"2\"", "\"two\""), "lines[1].quantity"),
            (SALE.replace("\"2\"", "[2]"), "lines[1].quantity"),
            (SALE.replace(",\"quantity\":\"2\"", ""), "lines[1].quantity"),
            (SALE.replace("\"4011\"", "4011"), "lines[0].sku"),
            (SALE.replace("\"sku\":\"4011\",", ""), "lines[0].sku"),
            (SALE.replace("00012345678905", "123"), "lines[1].gtin"),
            (SALE.replace("-04:00", ""), "occurred_at"),
            (SALE.replace("\"sale\"", "\"sold\""), "kind"),
            (SALE.replace("\"sale\"", "\"adjustment\""), "reason"),
            (SALE.replace("\"sale\"", "\"count\""), "counted_at"),
            (SALE.replace("\"till-3\"", "\"\""), "source"),
            (SALE.replace("\"till-3\"", "null"), "source"),
            (SALE.replace("\"kind\"", "\"knid\""), "knid"),
            (SALE.replace("\"gtin\"", "\"gtn\""), "lines[1].gtn"),
            (SALE.replace("\"kind\"", "\"counted_at\":\"2026-10-31T17:03:22Z\",\"kind\""), "counted_at"),
        ];
        for (text, field) in cases {
            let (status, found, detail) = complaint(&text);
            assert_eq!((status, found.as_str()), (422, field), "{text}: {detail}");
            assert!(!detail.contains("at line"), "{detail}");
        }
    }

    #[test]
    fn what_is_no_json_is_a_bad_request() {
        for text in ["", "{", "{\"source\": }", "nonsense", &SALE[..SALE.len() - 2]] {
            assert_eq!(complaint(text).0, 400, "{text}");
        }
        let bad_unicode = [&b"{\"source\":\"\xff\xfe\"}"[..], b"{\"source\":\"\\ud800\"}"];
        for text in bad_unicode {
            assert_eq!(document(text, None).unwrap_err().status.as_u16(), 400);
        }
    }

    #[test]
    fn a_text_that_is_json_but_no_document_says_so() {
        for text in ["[]", "1", "\"sale\"", "null"] {
            assert_eq!(complaint(text).0, 422, "{text}");
        }
    }

    #[test]
    fn a_count_carries_when_the_shelf_was_counted() {
        let count = SALE.replace("\"sale\"", "\"count\"");
        let at = count.replace("\"kind\"", "\"counted_at\":\"2026-10-31T20:00:00Z\",\"kind\"");
        assert_eq!(read(&at).unwrap().counted, Some(Counted::At(UnixMillis(1_793_476_800_000))));
        let position = count.replace("\"kind\"", "\"counted_position\":17,\"kind\"");
        assert_eq!(read(&position).unwrap().counted, Some(Counted::Position(Position(17))));
        let negative = position.replace("1.235", "-1");
        assert_eq!(complaint(&negative).1, "lines[0].quantity");
    }

    #[test]
    fn a_void_and_a_zero_are_quantities() {
        let voided = read(&SALE.replace("1.235", "-1").replace("\"2\"", "0")).unwrap();
        assert_eq!(voided.lines[0].quantity.thousandths(), -1_000);
        assert!(voided.lines[1].quantity.is_zero());
    }

    #[test]
    fn bounds_are_named_with_the_field() {
        let many = format!("[{}]", vec!["{\"sku\":\"1\",\"quantity\":1}"; LINES_MAX + 1].join(","));
        let start = SALE.find("[{").unwrap();
        let (status, field, detail) = complaint(&format!("{}{many}}}", &SALE[..start]));
        assert_eq!((status, field.as_str()), (422, "lines"), "{detail}");
        let long = format!("\"reason\":\"{}\",\"kind\"", "x".repeat(REASON_BYTES_MAX + 1));
        assert_eq!(complaint(&SALE.replace("\"kind\"", &long)).1, "reason");
        let long = format!("\"cursor\":\"{}\",\"kind\"", "x".repeat(CURSOR_BYTES_MAX + 1));
        assert_eq!(complaint(&SALE.replace("\"kind\"", &long)).1, "cursor");
    }
}
