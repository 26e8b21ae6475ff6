//! What somebody at the store wants done with an order, as it is written in JSON.
//!
//! Every body says who (`by`), and may say which `revision` of the order it was decided on. A field nobody knows is refused.

use super::problems;
use crate::api::items;
use crate::counter::LineKey;
use crate::http::{Problem, json};
use crate::store::reader::OrderView;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use sync_protocol::order::lifecycle::{REFUSAL_BYTES_MAX, WHO_BYTES_MAX};
use sync_protocol::order::{Act, Proof, ShortCode, ShortReason};
use sync_protocol::{ItemNo, Quantity};

/// An act with who wants it.
#[derive(Debug)]
pub struct Wanted {
    pub by: String,
    pub revision: Option<u32>,
    pub deed: Deed,
}

/// What is to be done, as far as it can be said without the order.
#[derive(Debug)]
pub enum Deed {
    Act(Act),
    Pick { key: LineKey, quantity: Quantity },
    Short { key: LineKey, quantity: Quantity, why: ShortReason },
    HandOverOn(ShortCode),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainText {
    by: Option<String>,
    revision: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PickText {
    by: Option<String>,
    revision: Option<u32>,
    sku: Option<String>,
    gtin: Option<String>,
    quantity: Option<Quantity>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShortText {
    by: Option<String>,
    revision: Option<u32>,
    sku: Option<String>,
    gtin: Option<String>,
    quantity: Option<Quantity>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HandOverText {
    by: Option<String>,
    revision: Option<u32>,
    short_code: Option<String>,
    #[serde(default)]
    person: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefuseText {
    by: Option<String>,
    revision: Option<u32>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScannedText {
    code: Option<String>,
    by: Option<String>,
}

/// Reads the body of the act called `act`.
pub fn read(act: &str, text: &[u8]) -> Result<Wanted, Problem> {
    match act {
        "accept" => plain(text, Act::Accept),
        "ready" => plain(text, Act::Ready),
        "undo" => plain(text, Act::Undo),
        "acknowledge-cancel" => plain(text, Act::AcknowledgeCancel),
        "put-back" => plain(text, Act::PutBack),
        "pick" => pick(body(text)?),
        "short" => short(body(text)?),
        "hand-over" => hand_over(body(text)?),
        "refuse" => refuse(body(text)?),
        other => Err(problems::no_such_act(other)),
    }
}

/// The code that was scanned, and by whom.
pub fn scanned(text: ScannedText) -> Result<(String, String), Problem> {
    Ok((needed("code", text.code)?, who(text.by)?))
}

fn body<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    json::read(text)
}

fn plain(text: &[u8], act: Act) -> Result<Wanted, Problem> {
    let text: PlainText = body(text)?;
    Ok(Wanted { by: who(text.by)?, revision: text.revision, deed: Deed::Act(act) })
}

fn pick(text: PickText) -> Result<Wanted, Problem> {
    let (key, quantity) = (line_key(text.sku, text.gtin)?, above_zero(text.quantity)?);
    Ok(Wanted { by: who(text.by)?, revision: text.revision, deed: Deed::Pick { key, quantity } })
}

fn short(text: ShortText) -> Result<Wanted, Problem> {
    let (key, quantity) = (line_key(text.sku, text.gtin)?, above_zero(text.quantity)?);
    let reason = needed("reason", text.reason)?;
    let known = [ShortReason::NotFound, ShortReason::Damaged, ShortReason::WrongShelf, ShortReason::NotTaken];
    let why = known.into_iter().find(|why| why.name() == reason).ok_or_else(|| {
        Problem::invalid("reason", "must be `not_found`, `damaged`, `wrong_shelf` or `not_taken`")
    })?;
    Ok(Wanted { by: who(text.by)?, revision: text.revision, deed: Deed::Short { key, quantity, why } })
}

fn hand_over(text: HandOverText) -> Result<Wanted, Problem> {
    let deed = match (text.short_code, text.person) {
        (Some(code), false) => Deed::HandOverOn(parsed("short_code", code.parse())?),
        (None, true) => Deed::Act(Act::HandOver { proof: Proof::Person }),
        (Some(_), true) => {
            return Err(Problem::invalid("person", "give `short_code` or `person`, not both"));
        }
        (None, false) => {
            let detail = "is missing; give the customer's short code, or `\"person\": true` once you have checked who it is";
            return Err(Problem::invalid("short_code", detail));
        }
    };
    Ok(Wanted { by: who(text.by)?, revision: text.revision, deed })
}

fn refuse(text: RefuseText) -> Result<Wanted, Problem> {
    let reason = words("reason", text.reason, REFUSAL_BYTES_MAX)?;
    Ok(Wanted { by: who(text.by)?, revision: text.revision, deed: Deed::Act(Act::Refuse { reason }) })
}

fn who(by: Option<String>) -> Result<String, Problem> {
    words("by", by, WHO_BYTES_MAX)
}

fn words(field: &str, text: Option<String>, bytes_max: usize) -> Result<String, Problem> {
    items::plain(field, needed(field, text)?, bytes_max)
}

fn needed<T>(field: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::invalid(field, "is missing"))
}

fn above_zero(quantity: Option<Quantity>) -> Result<Quantity, Problem> {
    let quantity = needed("quantity", quantity)?;
    if quantity.is_positive() {
        Ok(quantity)
    } else {
        Err(Problem::invalid("quantity", "must be above zero"))
    }
}

fn line_key(sku: Option<String>, gtin: Option<String>) -> Result<LineKey, Problem> {
    match (sku, gtin) {
        (Some(sku), None) => Ok(LineKey::Sku(parsed("sku", sku.parse())?)),
        (None, Some(gtin)) => Ok(LineKey::Gtin(parsed("gtin", gtin.parse())?)),
        (Some(_), Some(_)) => Err(Problem::invalid("gtin", "give `sku` or `gtin`, not both")),
        (None, None) => Err(Problem::invalid("sku", "is missing; give `sku` or `gtin`")),
    }
}

fn parsed<T, E: Display>(field: &str, read: Result<T, E>) -> Result<T, Problem> {
    read.map_err(|error| Problem::invalid(field, error.to_string()))
}

/// The item of the line that is meant.
pub fn line(key: &LineKey, view: &OrderView) -> Result<ItemNo, Problem> {
    let found = key.among(view).map(|item| item.item);
    found.ok_or_else(|| problems::no_such_line(&key.to_string(), view.row.order))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(act: &str, text: &str) -> (u16, String) {
        let problem = read(act, text.as_bytes()).unwrap_err();
        (problem.status.as_u16(), problem.field.unwrap_or_default())
    }

    #[test]
    fn every_act_needs_somebody_who_does_it() {
        let acts = ["accept", "ready", "undo", "acknowledge-cancel", "put-back"];
        for act in acts {
            assert!(read(act, br#"{"by":"Ana"}"#).is_ok(), "{act}");
            for wrong in
                ["{}", r#"{"by":""}"#, r#"{"by":"\u0007"}"#, &format!(r#"{{"by":"{}"}}"#, "x".repeat(65))]
            {
                assert_eq!(field(act, wrong), (422, "by".to_owned()), "{act} {wrong}");
            }
        }
        assert_eq!(read("dance", br#"{"by":"Ana"}"#).unwrap_err().status.as_u16(), 404);
    }

    #[test]
    fn a_wrong_field_is_named() {
        let cases = [
            ("accept", r#"{"by":"Ana","sku":"4011"}"#, "sku"),
            ("accept", r#"{"by":"Ana","revision":-1}"#, "revision"),
            ("pick", r#"{"by":"Ana","quantity":1}"#, "sku"),
            ("pick", r#"{"by":"Ana","sku":"4011","gtin":"00012345678905","quantity":1}"#, "gtin"),
            ("pick", r#"{"by":"Ana","gtin":"123","quantity":1}"#, "gtin"),
            ("pick", r#"{"by":"Ana","sku":"4011"}"#, "quantity"),
            ("pick", r#"{"by":"Ana","sku":"4011","quantity":0}"#, "quantity"),
            ("pick", r#"{"by":"Ana","sku":"4011","quantity":-1}"#, "quantity"),
            ("short", r#"{"by":"Ana","sku":"4011","quantity":1}"#, "reason"),
            ("short", r#"{"by":"Ana","sku":"4011","quantity":1,"reason":"gone"}"#, "reason"),
            ("hand-over", r#"{"by":"Ana"}"#, "short_code"),
            ("hand-over", r#"{"by":"Ana","person":false}"#, "short_code"),
            ("hand-over", r#"{"by":"Ana","short_code":"7KQ2"}"#, "short_code"),
            ("hand-over", r#"{"by":"Ana","short_code":"7KQ2-M9XT","person":true}"#, "person"),
            ("refuse", r#"{"by":"Ana"}"#, "reason"),
            ("refuse", r#"{"by":"Ana","reason":" "}"#, "reason"),
        ];
        for (act, text, named) in cases {
            assert_eq!(field(act, text), (422, named.to_owned()), "{act} {text}");
        }
    }
}
