//! Documents inside CloudEvents 1.0, as JSON: one (`application/cloudevents+json`) or an array of them
//! (`application/cloudevents-batch+json`).
//!
//! `data` is the document. What it leaves out the event says: `source` is the source, `id` the reference, `time` when it happened; each
//! as it is written, since a part of it could be another event's too. `type` has to be there and is not looked at: the document has a `kind`.
//! Attributes that are none of these are passed over, as the specification wants it.

use super::json::DocumentText;
use crate::agent::Document;
use crate::http::ndjson::LINES_MAX;
use crate::http::{Problem, json};
use axum::http::{HeaderMap, header};
use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;
use sync_protocol::TraceId;

const VERSION: &str = "1.0";

/// What a request's documents come in, by its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    None,
    Event,
    Events,
}

impl Wrapping {
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Wrapping {
        let given =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = given.split(';').next().unwrap_or_default().trim();
        if media.eq_ignore_ascii_case("application/cloudevents+json") {
            Wrapping::Event
        } else if media.eq_ignore_ascii_case("application/cloudevents-batch+json") {
            Wrapping::Events
        } else {
            Wrapping::None
        }
    }
}

#[derive(Deserialize)]
struct EventText<'a> {
    specversion: Option<String>,
    id: Option<String>,
    source: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    time: Option<String>,
    datacontenttype: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<IgnoredAny>,
}

/// Reads the document in one event. A problem names the event's own field, or the document's behind `data.`.
pub fn document(text: &[u8], trace: Option<TraceId>) -> Result<Document, Problem> {
    let event: EventText<'_> = json::read(text)?;
    let data = event.judged()?;
    let mut document: DocumentText =
        json::read(data.get().as_bytes()).map_err(|problem| inside(problem, &[]))?;
    let lent = [
        lend(&mut document.source, event.source, "source", "source"),
        lend(&mut document.reference, event.id, "reference", "id"),
        lend(&mut document.occurred_at, event.time, "occurred_at", "time"),
    ];
    document.judged(trace).map_err(|problem| inside(problem, &lent))
}

impl<'a> EventText<'a> {
    fn judged(&self) -> Result<&'a RawValue, Problem> {
        match self.specversion.as_deref() {
            Some(VERSION) => {}
            Some(_) => return Err(Problem::invalid("specversion", "must be `1.0`")),
            None => return Err(missing("specversion")),
        }
        for (name, value) in [("id", &self.id), ("source", &self.source), ("type", &self.kind)] {
            if value.as_deref().is_none_or(str::is_empty) {
                return Err(missing(name));
            }
        }
        if self.datacontenttype.as_deref().is_some_and(|given| !is_json(given)) {
            return Err(Problem::invalid("datacontenttype", "must be `application/json`, or left out"));
        }
        if self.data_base64.is_some() {
            return Err(Problem::invalid(
                "data_base64",
                "is not taken; put the document into `data` as JSON",
            ));
        }
        self.data.ok_or_else(|| missing("data"))
    }
}

fn missing(field: &str) -> Problem {
    Problem::invalid(field, "is missing")
}

fn is_json(media: &str) -> bool {
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media == "application/json" || media.ends_with("+json")
}

/// Fills in what the document leaves out. Gives the field's name and the attribute's, where it did.
fn lend(
    own: &mut Option<String>,
    attribute: Option<String>,
    field: &'static str,
    name: &'static str,
) -> Option<(&'static str, &'static str)> {
    if own.is_some() || attribute.is_none() {
        return None;
    }
    *own = attribute;
    Some((field, name))
}

/// A problem of the document, told of the event.
fn inside(problem: Problem, lent: &[Option<(&str, &str)>]) -> Problem {
    let field = problem.field.as_deref().unwrap_or_default();
    let attribute = lent.iter().flatten().find(|(lent, _)| *lent == field);
    let field = match attribute {
        Some((_, name)) => (*name).to_owned(),
        None if field.is_empty() => "data".to_owned(),
        None if field.starts_with('[') => format!("data{field}"),
        None => format!("data.{field}"),
    };
    Problem { field: Some(field), ..problem }
}

/// Cuts an array of events apart without reading them.
pub fn split(text: &[u8]) -> Result<Vec<&RawValue>, Problem> {
    json::read::<Array<'_>>(text).map(|array| array.0)
}

struct Array<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Array<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ArrayVisitor)
    }
}

struct ArrayVisitor;

impl<'de> Visitor<'de> for ArrayVisitor {
    type Value = Array<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        while let Some(event) = seq.next_element::<&'de RawValue>()? {
            if events.len() == LINES_MAX {
                return Err(A::Error::custom(format!(
                    "has more than {LINES_MAX} events, nothing of it was taken; send it in smaller pieces"
                )));
            }
            events.push(event);
        }
        Ok(Array(events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EVENT: &str = r#"{"specversion":"1.0","type":"shop.sold","source":"till-3","id":"2026-10-31/3/0042",
        "time":"2026-10-31T17:03:22-04:00","subject":"basket","comexampleregion":7,
        "data":{"kind":"sale","lines":[{"sku":"4011","quantity":1.235}]}}"#;

    fn read(text: &str) -> Result<Document, Problem> {
        document(text.as_bytes(), None)
    }

    fn complaint(text: &str) -> (u16, String) {
        let problem = read(text).unwrap_err();
        (problem.status.as_u16(), problem.field.unwrap_or_default())
    }

    #[test]
    fn what_the_document_leaves_out_the_event_says() {
        let sale = read(EVENT).unwrap();
        assert_eq!((sale.source.as_str(), sale.reference.as_str()), ("till-3", "2026-10-31/3/0042"));
        assert_eq!(sale.occurred_at.0, 1_793_480_602_000);
        assert_eq!(sale.lines[0].quantity.thousandths(), 1_235);
    }

    #[test]
    fn what_the_document_says_itself_counts() {
        let own = r#""data":{"source":"till-4","reference":"r","occurred_at":"1970-01-01T00:00:01Z","#;
        let sale = read(&EVENT.replace("\"data\":{", own)).unwrap();
        assert_eq!((sale.source.as_str(), sale.reference.as_str()), ("till-4", "r"));
        assert_eq!(sale.occurred_at.0, 1_000);
    }

    #[test]
    fn a_wrong_field_is_named_where_it_stands() {
        let cases = [
            (EVENT.replace("\"1.0\"", "\"0.3\""), "specversion"),
            (EVENT.replace("\"specversion\"", "\"version\""), "specversion"),
            (EVENT.replace("\"id\":", "\"di\":"), "id"),
            (EVENT.replace("\"shop.sold\"", "\"\""), "type"),
            (EVENT.replace("\"till-3\"", "7"), "source"),
            (EVENT.replace("till-3", &"x".repeat(500)), "source"),
            (EVENT.replace("2026-10-31/3/0042", &"x".repeat(500)), "id"),
            (EVENT.replace("-04:00", ""), "time"),
            (EVENT.replace("\"time\"", "\"tame\""), "data.occurred_at"),
            (EVENT.replace("1.235", "1.2351"), "data.lines[0].quantity"),
            (EVENT.replace("\"sale\"", "\"sold\""), "data.kind"),
            (EVENT.replace("\"data\"", "\"datum\""), "data"),
            (EVENT.replace("\"data\":{", "\"data_base64\":\"e30=\",\"data\":{"), "data_base64"),
            (
                EVENT.replace("\"subject\":", "\"datacontenttype\":\"text/xml\",\"subject\":"),
                "datacontenttype",
            ),
        ];
        for (text, field) in cases {
            assert_eq!(complaint(&text), (422, field.to_owned()), "{text}");
        }
        assert_eq!(
            complaint(&EVENT.replace("\"data\":{", "\"data\":[1],\"x\":{")),
            (422, "data[0]".to_owned())
        );
    }

    #[test]
    fn an_array_is_cut_apart_and_a_bad_event_stays_one_of_many() {
        let text = format!("[{EVENT}, 7 ,\"x\",{{}}]");
        let events = split(text.as_bytes()).unwrap();
        assert_eq!(events.len(), 4);
        assert!(document(events[0].get().as_bytes(), None).is_ok());
        assert!(events[1..].iter().all(|event| document(event.get().as_bytes(), None).is_err()));
        assert_eq!(split(b"[]").unwrap().len(), 0);
    }

    #[test]
    fn what_is_no_array_or_a_giant_one_is_refused() {
        for text in ["", "[", "[1", "[1,]", "[{\"a\":}]"] {
            assert_eq!(split(text.as_bytes()).unwrap_err().status.as_u16(), 400, "{text}");
        }
        assert_eq!(split(b"{}").unwrap_err().status.as_u16(), 422);
        let many = format!("[{}0]", "0,".repeat(LINES_MAX));
        assert_eq!(split(many.as_bytes()).unwrap_err().status.as_u16(), 422);
    }

    #[test]
    fn content_types_are_told_apart_whatever_their_case_and_parameters() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, text.parse().unwrap());
            Wrapping::of(&headers)
        };
        assert_eq!(of("application/cloudevents+json; charset=utf-8"), Wrapping::Event);
        assert_eq!(of("Application/CloudEvents-Batch+JSON"), Wrapping::Events);
        assert_eq!(of("application/json"), Wrapping::None);
        assert_eq!(Wrapping::of(&HeaderMap::new()), Wrapping::None);
    }

    proptest! {
        /// Whatever arrives is a document or a problem; and of an array every event is looked at by itself.
        #[test]
        fn any_bytes_are_a_document_or_a_problem(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = document(&bytes, None);
            let _ = split(&bytes);
        }

        #[test]
        fn a_damaged_event_is_a_document_or_a_problem(at in 0..EVENT.len(), byte: u8, cut in 0..EVENT.len()) {
            let mut bytes = EVENT.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = document(&bytes, None);
            let _ = document(&bytes[..cut], None);
            let batch = [b"[", &bytes[..], b",", EVENT.as_bytes(), b"]"].concat();
            if let Ok(events) = split(&batch) {
                let last = events.last().unwrap().get().as_bytes();
                prop_assert!(document(last, None).is_ok());
            }
        }
    }

    #[test]
    fn deep_nesting_is_a_problem() {
        for depth in [200, 100_000] {
            let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert!(
                read(&EVENT.replace("\"data\":{", &format!("\"x\":{deep},\"data\":{{"))).is_ok()
                    || depth > 127
            );
            assert!(read(&EVENT.replace("\"data\":{", &format!("\"data\":{deep},\"x\":{{"))).is_err());
            let _ = split(deep.as_bytes());
        }
    }
}
