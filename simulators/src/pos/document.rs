//! The documents a till or a back office sends, as the store-agent's HTTP API reads them.
//!
//! Written by hand rather than derived: numbers appear exactly as a till would print them.

use crate::scenario::{Basket, BasketKind};
use std::fmt::Write;
use sync_protocol::{Quantity, Sku, UnixMillis};

/// One document for `POST /v1/movements`, or one line for `POST /v1/movements:batch`.
#[must_use]
pub fn movement<'a>(
    source: &str,
    reference: &str,
    kind: &str,
    occurred_at: UnixMillis,
    lines: impl Iterator<Item = (&'a Sku, Quantity)>,
) -> String {
    let mut text = String::with_capacity(512);
    // Writing into a string never fails.
    let _ = write!(
        text,
        r#"{{"source":{},"reference":{},"kind":"{kind}","occurred_at":"{}","lines":["#,
        quoted(source),
        quoted(reference),
        rfc3339(occurred_at),
    );
    for (place, (sku, quantity)) in lines.enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let _ = write!(text, r#"{comma}{{"sku":{},"quantity":{quantity}}}"#, quoted(sku.as_str()));
    }
    text.push_str("]}");
    text
}

/// A basket as this till reports it.
#[must_use]
pub fn basket(source: &str, basket: &Basket) -> String {
    let kind = match basket.kind {
        BasketKind::Sale => "sale",
        BasketKind::Return => "return",
    };
    let lines = basket.lines.iter().map(|line| (&line.sku, line.quantity));
    movement(source, basket.reference.as_str(), kind, basket.at, lines)
}

/// One line for `PUT /v1/items`.
#[must_use]
pub fn item(sku: &Sku, name: &str, unit: &str) -> String {
    format!(r#"{{"sku":{},"name":{},"unit":{}}}"#, quoted(sku.as_str()), quoted(name), quoted(unit))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn rfc3339(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::BasketLine;

    #[test]
    fn a_basket_reads_as_the_api_documents_it() {
        let sold = Basket {
            store: 0,
            at: UnixMillis(1_793_480_602_000),
            reference: "2026-10-31/3/0042".parse().unwrap(),
            kind: BasketKind::Sale,
            lines: vec![
                BasketLine { sku: "4011".parse().unwrap(), quantity: "1.235".parse().unwrap() },
                BasketLine { sku: "a\"b".parse().unwrap(), quantity: "-2".parse().unwrap() },
            ],
        };
        assert_eq!(
            basket("till-3", &sold),
            concat!(
                r#"{"source":"till-3","reference":"2026-10-31/3/0042","kind":"sale","#,
                r#""occurred_at":"2026-10-31T21:03:22Z","lines":["#,
                r#"{"sku":"4011","quantity":1.235},{"sku":"a\"b","quantity":-2}]}"#
            )
        );
    }
}
