//! A shopper's order as it is asked for: read from JSON, checked, and put into one form.
//!
//! ```json
//! {"customer": {"name": "Anna Karenina", "phone": "+49 30 1234567", "email": "anna@example.com"},
//!  "lines": [{"sku": "4011", "quantity": 1.235}, {"sku": "0042", "quantity": 2}],
//!  "pickup": {"near": {"lat": 52.52, "lon": 13.405}, "radius_km": 10}, "reroute": "offer", "split": "never",
//!  "payment_reference": "psp-8851573175100"}
//! ```
//!
//! Every refusal names the field and says what to do. None repeats what stands in the customer's fields or in the payment
//! reference, and none repeats a card number, wherever it stood. A field nobody knows is refused: a mistyped `reroute` must
//! show when the shop is connected, not when a shopper stands before the wrong store.

use super::card_number::holds_card_number;
use super::customer::Customer;
use crate::availability::Place;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use sync_protocol::order::OrderId;
use sync_protocol::order::lines::{NotAnOrderId, ORDER_LINES_MAX};
use sync_protocol::{Quantity, Sku, StoreId};
use utoipa::ToSchema;

/// Longest text of one order: [`ORDER_LINES_MAX`] lines at their longest, twice over.
pub const PLACEMENT_BYTES_MAX: usize = 16 * 1024;
/// Longest name of a customer, in bytes.
pub const CUSTOMER_NAME_BYTES_MAX: usize = 200;
/// Longest telephone number as it is written, in bytes.
pub const CUSTOMER_PHONE_BYTES_MAX: usize = 32;
/// Longest mail address, in bytes: what a mail server takes (RFC 5321).
pub const CUSTOMER_EMAIL_BYTES_MAX: usize = 254;
/// Longest reference of a payment, in bytes.
pub const PAYMENT_REFERENCE_BYTES_MAX: usize = 128;
/// Fewest digits of a telephone number, and the most an international one has (E.164).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 5..=15;
/// How much of an unknown field's name a refusal repeats, in characters.
const FIELD_CHARS_MAX: usize = 64;

/// What a shopper asks for, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    pub customer: Customer,
    pub asked: Asked,
    pub reroute: Reroute,
    /// Whether several stores may have a part of it each.
    pub may_split: bool,
    /// What the payment service calls the payment.
    pub payment_reference: Option<String>,
}

/// What is ordered.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    Basket(Basket),
    /// What has been kept under this number.
    Reservation(OrderId),
}

/// What is wanted, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Basket {
    /// In the order in which they first came. Invariant: 1 to [`ORDER_LINES_MAX`] of them, no sku twice, each quantity above
    /// zero and at most [`Quantity::MAX`].
    pub lines: Vec<PlacedLine>,
    pub pickup: Wanted,
}

/// How much of an item is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedLine {
    pub sku: Sku,
    pub quantity: Quantity,
}

/// Where the shopper will collect.
#[derive(Clone, PartialEq)]
pub enum Wanted {
    Store(StoreId),
    /// At the store that suits best within so many kilometres.
    Near {
        place: Place,
        radius_km: f64,
    },
}

/// What may be done when the store can't have the order ready.
///
/// `never`: it is cancelled. `offer`: the shopper is offered other stores. `auto`: another store gets it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reroute {
    #[default]
    Never,
    Offer,
    Auto,
}

/// Why an order can't be taken as it was sent. The sender's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementRefused {
    #[error(
        "the order has {bytes} bytes, more than the {PLACEMENT_BYTES_MAX} allowed; send it as several orders"
    )]
    TooLarge { bytes: usize },
    #[error("the body is not JSON: {reason}")]
    NotJson { reason: String },
    /// An empty `field` is the body itself.
    #[error("{}: {reason}", if field.is_empty() { "the body" } else { field })]
    Invalid { field: String, reason: String },
}

/// A pickup order.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlacementBody {
    /// Who will collect it.
    #[schema(value_type = CustomerBody)]
    customer: Option<Object<CustomerBody>>,
    /// What is ordered. Lines of the same sku are added up. Needed unless `reservation` is given.
    #[schema(value_type = Option<Vec<LineBody>>, min_items = 1, max_items = 50, nullable = false)]
    lines: Option<Vec<Object<LineBody>>>,
    /// Where it will be collected: either `store`, or `near` with `radius_km`. Needed unless `reservation` is given.
    #[schema(value_type = Option<PickupBody>, nullable = false)]
    pickup: Option<Object<PickupBody>>,
    /// Orders what was reserved under this number, at the store where it was reserved.
    #[schema(value_type = Option<String>, nullable = false, example = "K7M29-QX4TB")]
    reservation: Option<Text>,
    /// What may be done when the store can't have it ready. Default `never`.
    #[schema(value_type = Option<Reroute>, nullable = false)]
    reroute: Option<Text>,
    /// Whether several stores may have a part of it each. Default `never`.
    #[schema(value_type = Option<Split>, nullable = false)]
    split: Option<Text>,
    /// What the payment service calls the payment: up to 128 visible ASCII characters. Card numbers are refused.
    #[schema(value_type = Option<String>, max_length = 128, nullable = false)]
    payment_reference: Option<Text>,
}

/// Who collects an order. A store sees the first name, an initial and three digits of the telephone number.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerBody {
    /// The name to be said at the counter, up to 200 bytes.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: Option<Text>,
    /// A telephone number as people write it, 5 to 15 digits.
    #[schema(value_type = Option<String>, max_length = 32, nullable = false)]
    phone: Option<Text>,
    /// A mail address.
    #[schema(value_type = Option<String>, max_length = 254, nullable = false)]
    email: Option<Text>,
}

/// One line of an order.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineBody {
    /// The item. Case and leading zeros count.
    #[schema(value_type = String, min_length = 1, max_length = 64)]
    sku: Option<Sku>,
    /// How many units of it, above 0, with up to three decimals: a number, or a string for exactness.
    #[schema(value_type = f64, exclusive_minimum = 0)]
    quantity: Option<Quantity>,
}

/// Where an order is collected: a store, or a place with a distance.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PickupBody {
    /// The store's id.
    #[schema(value_type = Option<String>, nullable = false)]
    store: Option<StoreId>,
    /// The place to look for a store around.
    #[schema(value_type = Option<PlaceBody>, nullable = false)]
    near: Option<Object<PlaceBody>>,
    /// How far around `near`, in kilometres, above 0.
    #[schema(exclusive_minimum = 0, nullable = false)]
    radius_km: Option<f64>,
}

/// A place in degrees.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceBody {
    /// Degrees north, -90 to 90.
    #[schema(value_type = f64, minimum = -90, maximum = 90)]
    lat: Option<f64>,
    /// Degrees east, -180 to 180.
    #[schema(value_type = f64, minimum = -180, maximum = 180)]
    lon: Option<f64>,
}

/// Whether an order may be split over stores.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "stands for the field's values in the OpenAPI document")]
enum Split {
    Never,
    Allow,
}

impl Placement {
    /// Reads an order.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(body: &[u8]) -> Result<Placement, PlacementRefused> {
        if body.len() > PLACEMENT_BYTES_MAX {
            return Err(PlacementRefused::TooLarge { bytes: body.len() });
        }
        let Object(body) = read_json::<Object<PlacementBody>>(body)?;
        Ok(Placement {
            customer: customer(needed("customer", body.customer)?)?,
            asked: asked(body.lines, body.pickup, body.reservation)?,
            reroute: body.reroute.map_or(Ok(Reroute::default()), |Text(word)| reroute(&word))?,
            may_split: body.split.map_or(Ok(false), |Text(word)| may_split(&word))?,
            payment_reference: body.payment_reference.map(payment_reference).transpose()?,
        })
    }
}

impl PlacementRefused {
    pub(super) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> PlacementRefused {
        PlacementRefused::Invalid { field: field.into(), reason: reason.into() }
    }

    /// Where in the order, such as `lines[3].quantity`.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid { field, .. } if !field.is_empty() => Some(field),
            _ => None,
        }
    }
}

/// Where a shopper is, is nobody's business who reads a log.
impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(store) => write!(f, "Store({store})"),
            Self::Near { radius_km, .. } => write!(f, "Near(…, {radius_km} km)"),
        }
    }
}

fn needed<T>(field: &str, value: Option<T>) -> Result<T, PlacementRefused> {
    value.ok_or_else(|| PlacementRefused::invalid(field, "is missing; an order needs it"))
}

fn asked(
    lines: Option<Vec<Object<LineBody>>>,
    pickup: Option<Object<PickupBody>>,
    reservation: Option<Text>,
) -> Result<Asked, PlacementRefused> {
    let Some(Text(reservation)) = reservation else {
        return Basket::checked(lines, pickup).map(Asked::Basket);
    };
    for (field, is_given) in [("lines", lines.is_some()), ("pickup", pickup.is_some())] {
        if is_given {
            let reason = "stands beside `reservation`, which says it already; leave it out";
            return Err(PlacementRefused::invalid(field, reason));
        }
    }
    let reservation = reservation.parse().map_err(|error: NotAnOrderId| {
        PlacementRefused::invalid("reservation", error.to_string().replace("order number", "reservation"))
    })?;
    Ok(Asked::Reservation(reservation))
}

impl Basket {
    pub(super) fn checked(
        listed: Option<Vec<Object<LineBody>>>,
        pickup: Option<Object<PickupBody>>,
    ) -> Result<Basket, PlacementRefused> {
        let lines = lines(needed("lines", listed)?)?;
        Ok(Basket { lines, pickup: wanted(needed("pickup", pickup)?)? })
    }
}

fn customer(Object(body): Object<CustomerBody>) -> Result<Customer, PlacementRefused> {
    let name = written("customer.name", needed("customer.name", body.name)?, CUSTOMER_NAME_BYTES_MAX)?;
    if holds_card_number(&name) {
        return Err(card_number("customer.name"));
    }
    Ok(Customer {
        name,
        phone: body.phone.map(phone).transpose()?,
        email: body.email.map(email).transpose()?,
    })
}

fn phone(text: Text) -> Result<String, PlacementRefused> {
    const FIELD: &str = "customer.phone";
    let phone = written(FIELD, text, CUSTOMER_PHONE_BYTES_MAX)?;
    let digits = phone.bytes().filter(u8::is_ascii_digit).count();
    // An international number has up to 15 digits, and one in ten of them would pass for a card's. Nobody writes a card's
    // number with a plus.
    let is_international = phone.starts_with('+') && PHONE_DIGITS.contains(&digits);
    if !is_international && holds_card_number(&phone) {
        return Err(card_number(FIELD));
    }
    let allowed = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '-' | '.' | '/' | '(' | ')');
    if !phone.strip_prefix('+').unwrap_or(&phone).chars().all(allowed) || !PHONE_DIGITS.contains(&digits) {
        let (least, most) = (PHONE_DIGITS.start(), PHONE_DIGITS.end());
        let reason = format!(
            "is no telephone number; write {least} to {most} digits, with `+`, spaces, `-`, `.`, `/` or brackets, as \
             `+49 30 1234567`"
        );
        return Err(PlacementRefused::invalid(FIELD, reason));
    }
    Ok(phone)
}

/// Only so far that a mail could be tried: whether somebody reads it is for the mail to find out.
fn email(text: Text) -> Result<String, PlacementRefused> {
    const FIELD: &str = "customer.email";
    let email = written(FIELD, text, CUSTOMER_EMAIL_BYTES_MAX)?;
    if holds_card_number(&email) {
        return Err(card_number(FIELD));
    }
    let has_parts = email.rsplit_once('@').is_some_and(|(who, host)| !who.is_empty() && !host.is_empty());
    if !has_parts || email.contains(char::is_whitespace) {
        let reason = "is no mail address; write one like `anna@example.com`";
        return Err(PlacementRefused::invalid(FIELD, reason));
    }
    Ok(email)
}

fn payment_reference(text: Text) -> Result<String, PlacementRefused> {
    const FIELD: &str = "payment_reference";
    let reference = written(FIELD, text, PAYMENT_REFERENCE_BYTES_MAX)?;
    if holds_card_number(&reference) {
        return Err(card_number(FIELD));
    }
    if !reference.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(PlacementRefused::invalid(
            FIELD,
            "has a character that is not visible ASCII; send the payment service's own reference as it stands",
        ));
    }
    Ok(reference)
}

fn reroute(word: &str) -> Result<Reroute, PlacementRefused> {
    match word {
        "never" => Ok(Reroute::Never),
        "offer" => Ok(Reroute::Offer),
        "auto" => Ok(Reroute::Auto),
        _ => Err(PlacementRefused::invalid("reroute", "must be `never`, `offer` or `auto`")),
    }
}

fn may_split(word: &str) -> Result<bool, PlacementRefused> {
    match word {
        "never" => Ok(false),
        "allow" => Ok(true),
        _ => Err(PlacementRefused::invalid("split", "must be `never` or `allow`")),
    }
}

/// A text of at most `max` bytes, without the white space around it.
fn written(field: &str, Text(text): Text, max: usize) -> Result<String, PlacementRefused> {
    let text = text.trim();
    let reason = if text.is_empty() {
        "is empty; write something, or leave the field out where it is not needed".to_owned()
    } else if text.len() > max {
        format!("has {} bytes, more than the {max} allowed; shorten it", text.len())
    } else if text.chars().any(char::is_control) {
        "has a control character, such as a line's end; leave it out".to_owned()
    } else {
        return Ok(text.to_owned());
    };
    Err(PlacementRefused::invalid(field, reason))
}

fn card_number(field: &str) -> PlacementRefused {
    let reason = "looks like a card number, and those are never taken here; send the payment service's own reference as \
                  `payment_reference`, and no digits of a card anywhere";
    PlacementRefused::invalid(field, reason)
}

/// One line per sku, in the order in which they first came.
fn lines(bodies: Vec<Object<LineBody>>) -> Result<Vec<PlacedLine>, PlacementRefused> {
    let found = bodies.len();
    if found == 0 {
        return Err(PlacementRefused::invalid("lines", "is empty; order at least one item"));
    }
    if found > ORDER_LINES_MAX {
        let reason =
            format!("has {found} lines, more than the {ORDER_LINES_MAX} allowed; send it as several orders");
        return Err(PlacementRefused::invalid("lines", reason));
    }
    let mut lines: Vec<PlacedLine> = Vec::with_capacity(found);
    let mut places: HashMap<Sku, usize> = HashMap::with_capacity(found);
    for (at, Object(body)) in bodies.into_iter().enumerate() {
        let sku = needed(&format!("lines[{at}].sku"), body.sku)?;
        let quantity_field = format!("lines[{at}].quantity");
        let quantity = needed(&quantity_field, body.quantity)?;
        if !quantity.is_positive() {
            let reason = format!("quantity `{quantity}` is not above 0; leave the line out");
            return Err(PlacementRefused::invalid(quantity_field, reason));
        }
        let Some(&place) = places.get(&sku) else {
            places.insert(sku.clone(), lines.len());
            lines.push(PlacedLine { sku, quantity });
            continue;
        };
        let sum = lines[place].quantity.checked_add(quantity).filter(|sum| *sum <= Quantity::MAX);
        lines[place].quantity = sum.ok_or_else(|| {
            let reason =
                format!("with the lines of the same sku before it comes to more than {}", Quantity::MAX);
            PlacementRefused::invalid(quantity_field, reason + " units; order less")
        })?;
    }
    Ok(lines)
}

fn wanted(Object(body): Object<PickupBody>) -> Result<Wanted, PlacementRefused> {
    match (body.store, body.near, body.radius_km) {
        (Some(store), None, None) => Ok(Wanted::Store(store)),
        (None, Some(Object(place)), Some(radius_km)) => {
            if !(radius_km.is_finite() && radius_km > 0.0) {
                let reason = "is not above 0; give kilometres around `near`";
                return Err(PlacementRefused::invalid("pickup.radius_km", reason));
            }
            let lat = needed("pickup.near.lat", place.lat)?;
            let lon = needed("pickup.near.lon", place.lon)?;
            let place = Place::new(lat, lon)
                .map_err(|error| PlacementRefused::invalid("pickup.near", error.to_string()))?;
            Ok(Wanted::Near { place, radius_km })
        }
        (None, Some(_), None) => {
            let reason = "is missing; say how many kilometres around `near` a store may be";
            Err(PlacementRefused::invalid("pickup.radius_km", reason))
        }
        (None, None, Some(_)) => {
            let reason = "is missing; give the place that `radius_km` is measured from, as {\"lat\": 52.52, \"lon\": 13.405}";
            Err(PlacementRefused::invalid("pickup.near", reason))
        }
        (None, None, None) => {
            let reason = "names no place; give `store`, or `near` with `radius_km`";
            Err(PlacementRefused::invalid("pickup", reason))
        }
        (Some(_), ..) => {
            let reason = "names a store and a place; give `store` alone, or `near` with `radius_km`";
            Err(PlacementRefused::invalid("pickup", reason))
        }
    }
}

/// An object with names. serde would also take a bare list of values, in an order that is nowhere documented: two numbers
/// that are a place could then be meant either way round.
pub struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Object)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object in braces")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// A text that is for the sender alone: an error never repeats it, nor what stands in its place.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let not_text = |_| D::Error::custom("must be a text in double quotes");
        serde_json::from_str(json.get()).map(Text).map_err(not_text)
    }
}

pub(super) fn read_json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, PlacementRefused> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| unread(&error))?;
    json.end()
        .map_err(|_| PlacementRefused::NotJson { reason: "something follows the object".to_owned() })?;
    Ok(value)
}

fn unread(error: &serde_path_to_error::Error<serde_json::Error>) -> PlacementRefused {
    let said = error.inner().to_string();
    match error.inner().classify() {
        Category::Data => {}
        Category::Eof => {
            return PlacementRefused::NotJson { reason: format!("it ends too early: {said}") };
        }
        Category::Syntax | Category::Io => return PlacementRefused::NotJson { reason: said },
    }
    let said = said.rfind(" at line ").map_or(said.as_str(), |end| &said[..end]);
    let (field, reason) = (field_of(error.path(), said), reason_of(said).replace(char::is_control, "?"));
    // What is repeated here is names of fields, skus, store ids and quantities. A card number may stand there too.
    if holds_card_number(&field) {
        return card_number("");
    }
    if holds_card_number(&reason) {
        return card_number(&field);
    }
    PlacementRefused::Invalid { field, reason }
}

/// As in `lines[3].quantity`.
fn field_of(path: &serde_path_to_error::Path, said: &str) -> String {
    let path = path.to_string();
    // Values that are read as JSON's own text stand one step below their field.
    let path = path.split("$serde_json").next().unwrap_or_default().trim_end_matches('.');
    // Errors about a field's name stand at the object around it.
    let unknown = || said.strip_prefix("unknown field `")?.rsplit_once("`, expected ").map(|(name, _)| name);
    let doubled = || said.strip_prefix("duplicate field `")?.strip_suffix('`');
    let path = match unknown().or_else(doubled) {
        Some(name) if path.is_empty() => name.to_owned(),
        Some(name) if path != name && !path.ends_with(&format!(".{name}")) => format!("{path}.{name}"),
        _ => path.to_owned(),
    };
    shortened(&path)
}

/// serde's words, without the value that was found.
fn reason_of(said: &str) -> String {
    let expected =
        said.rsplit_once(", expected ").map(|(_, expected)| expected.trim_start_matches("one of "));
    match (expected, said) {
        (Some(known), _) if said.starts_with("unknown field ") => {
            format!("is not known; known here: {}", known.replace('`', "").replace(" or ", ", "))
        }
        (Some(kind), _) if said.starts_with("invalid ") => format!("must be {}", kind_in_words(kind)),
        (_, said) if said.starts_with("duplicate field ") => "is given twice; give it once".to_owned(),
        (_, said) => said.to_owned(),
    }
}

fn kind_in_words(kind: &str) -> &str {
    match kind {
        "a string" => "a text in double quotes",
        "a sequence" => "a list in square brackets",
        "f64" => "a number",
        kind => kind,
    }
}

/// A name of the sender's choice as a refusal repeats it: short, and without anything a terminal would obey.
fn shortened(name: &str) -> String {
    let mut shown: String = name.chars().take(FIELD_CHARS_MAX).flat_map(char::escape_debug).collect();
    if name.chars().nth(FIELD_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_protocol::limits::SKU_BYTES_MAX;

    const ORDER: &str = r#"{"customer":{"name":"Anna Karenina","phone":"+49 30 1234567","email":"anna@example.com"},
        "lines":[{"sku":"4011","quantity":1.235},{"sku":"0042","quantity":"2"}],
        "pickup":{"store":"S0042"},"reroute":"offer","split":"allow","payment_reference":"psp-17"}"#;
    const NEAR: &str = r#"{"near":{"lat":52.52,"lon":13.405},"radius_km":10}"#;
    const CARD: &str = "4111 1111 1111 1111";

    fn read(text: &str) -> Result<Placement, PlacementRefused> {
        Placement::read(text.as_bytes())
    }

    fn basket(text: &str) -> Basket {
        match read(text).unwrap().asked {
            Asked::Basket(basket) => basket,
            other => panic!("{other:?}"),
        }
    }

    fn with(pickup: &str) -> String {
        ORDER.replace(r#"{"store":"S0042"}"#, pickup)
    }

    fn refusal(text: &str) -> (String, String) {
        let refused = read(text).expect_err(text);
        (refused.field().unwrap_or_default().to_owned(), refused.to_string())
    }

    fn line(sku: &str, thousandths: i64) -> PlacedLine {
        PlacedLine { sku: sku.parse().unwrap(), quantity: Quantity::from_thousandths(thousandths) }
    }

    #[test]
    fn an_order_is_read_exactly() {
        let customer = Customer {
            name: "Anna Karenina".to_owned(),
            phone: Some("+49 30 1234567".to_owned()),
            email: Some("anna@example.com".to_owned()),
        };
        let expected = Placement {
            customer,
            asked: Asked::Basket(Basket {
                lines: vec![line("4011", 1_235), line("0042", 2_000)],
                pickup: Wanted::Store("S0042".parse().unwrap()),
            }),
            reroute: Reroute::Offer,
            may_split: true,
            payment_reference: Some("psp-17".to_owned()),
        };
        assert_eq!(read(ORDER), Ok(expected));
    }

    #[test]
    fn what_may_be_left_out_has_the_careful_default() {
        let least =
            r#"{"customer":{"name":" Anna "},"lines":[{"sku":"1","quantity":1}],"pickup":{"store":"S1"}}"#;
        let order = read(least).unwrap();
        assert_eq!(order.customer, Customer { name: "Anna".to_owned(), phone: None, email: None });
        assert_eq!(
            (order.reroute, order.may_split, &order.payment_reference),
            (Reroute::Never, false, &None)
        );
        let nulls = format!(r#"{{"reroute":null,"split":null,"payment_reference":null,{}"#, &least[1..]);
        assert_eq!(read(&nulls).unwrap(), order);
    }

    #[test]
    fn a_place_is_read_by_its_names() {
        let near = Wanted::Near { place: Place::new(52.52, 13.405).unwrap(), radius_km: 10.0 };
        assert_eq!(basket(&with(NEAR)).pickup, near);
        assert_eq!(
            refusal(&with(&NEAR.replace(r#"{"lat":52.52,"lon":13.405}"#, "[13.405,52.52]"))).0,
            "pickup.near"
        );
    }

    #[test]
    fn lines_of_one_sku_are_added_up() {
        let order = ORDER.replace(
            "0042\",\"quantity\":\"2\"}",
            "0042\",\"quantity\":1},{\"sku\":\"4011\",\"quantity\":0.765}",
        );
        assert_eq!(basket(&order).lines, [line("4011", 2_000), line("0042", 1_000)]);
        let most = ORDER
            .replace("1.235", "1000000000")
            .replace("0042\",\"quantity\":\"2\"", "4011\",\"quantity\":0.001");
        let (field, said) = refusal(&most);
        assert!(field == "lines[1].quantity" && said.contains("order less"), "{said}");
    }

    #[test]
    fn a_wrong_field_is_named() {
        let cases = [
            (ORDER.replace("\"name\":\"Anna Karenina\",", ""), "customer.name", "is missing"),
            (ORDER.replace("\"Anna Karenina\"", "null"), "customer.name", "is missing"),
            (ORDER.replace("Anna Karenina", "  "), "customer.name", "is empty"),
            (ORDER.replace("Anna Karenina", "Anna\\nK"), "customer.name", "control character"),
            (ORDER.replace("Anna Karenina", &"x".repeat(201)), "customer.name", "201 bytes"),
            (ORDER.replace("\"Anna Karenina\"", "17"), "customer.name", "text in double quotes"),
            (ORDER.replace("+49 30 1234567", "1234"), "customer.phone", "5 to 15 digits"),
            (ORDER.replace("+49 30 1234567", "0049 151 2345678901"), "customer.phone", "5 to 15 digits"),
            (ORDER.replace("+49 30 1234567", "12345 x1"), "customer.phone", "5 to 15 digits"),
            (ORDER.replace("+49 30 1234567", "123+45"), "customer.phone", "5 to 15 digits"),
            (ORDER.replace("+49 30 1234567", "١٢٣٤٥٦"), "customer.phone", "5 to 15 digits"),
            (ORDER.replace("+49 30 1234567", ""), "customer.phone", "is empty"),
            (ORDER.replace("anna@example.com", "anna"), "customer.email", "no mail address"),
            (ORDER.replace("anna@example.com", "@example.com"), "customer.email", "no mail address"),
            (ORDER.replace("anna@example.com", "anna k@example.com"), "customer.email", "no mail address"),
            (ORDER.replace("1.235", "1.2351"), "lines[0].quantity", "three decimals"),
            (ORDER.replace("1.235", "0"), "lines[0].quantity", "not above 0"),
            (ORDER.replace("\"2\"", "-2"), "lines[1].quantity", "not above 0"),
            (ORDER.replace("\"2\"", "\"two\""), "lines[1].quantity", "decimal number"),
            (ORDER.replace("\"2\"", "1000000001"), "lines[1].quantity", "beyond"),
            (ORDER.replace("\"2\"", "1e400"), "lines[1].quantity", "beyond"),
            (ORDER.replace("\"2\"", "[2]"), "lines[1].quantity", "decimal number"),
            (ORDER.replace(",\"quantity\":\"2\"", ""), "lines[1].quantity", "is missing"),
            (ORDER.replace("\"sku\":\"0042\",", ""), "lines[1].sku", "is missing"),
            (ORDER.replace("\"0042\"", "42"), "lines[1].sku", "text in double quotes"),
            (ORDER.replace("\"0042\"", "\" 42\""), "lines[1].sku", "white space"),
            (
                ORDER.replace("{\"sku\":\"4011\",\"quantity\":1.235}", "[\"4011\",1]"),
                "lines[0]",
                "object in braces",
            ),
            (ORDER.replace("\"offer\"", "\"ask\""), "reroute", "`never`, `offer` or `auto`"),
            (ORDER.replace("\"allow\"", "true"), "split", "must be"),
            (ORDER.replace("\"allow\"", "\"yes\""), "split", "`never` or `allow`"),
            (ORDER.replace("psp-17", "psp 17"), "payment_reference", "visible ASCII"),
            (ORDER.replace("psp-17", &"x".repeat(129)), "payment_reference", "129 bytes"),
            (ORDER.replace("\"psp-17\"", "{}"), "payment_reference", "text in double quotes"),
            (ORDER.replace("\"psp-17\"", "\"\\ud800\""), "payment_reference", "text in double quotes"),
            (
                ORDER.replace("\"reroute\"", "\"rerute\""),
                "rerute",
                "known here: customer, lines, pickup, reservation, reroute",
            ),
            (ORDER.replace("\"phone\"", "\"fone\""), "customer.fone", "known here: name, phone, email"),
            (
                ORDER.replace("\"quantity\":\"2\"", "\"qty\":\"2\""),
                "lines[1].qty",
                "known here: sku, quantity",
            ),
            (ORDER.replace("\"split\":\"allow\"", "\"reroute\":\"never\""), "reroute", "given twice"),
            (ORDER.replace("\"email\"", "\"name\""), "customer.name", "given twice"),
            (ORDER.replace("\"customer\":{", "\"customer\":[{"), "customer", "object in braces"),
        ];
        for (text, field, expected) in cases {
            let (found, said) = refusal(&text);
            assert!(found == field && said.contains(expected), "{text}: {said}");
            assert!(said.starts_with(field) && !said.contains("at line"), "{said}");
        }
    }

    #[test]
    fn a_reservation_stands_for_lines_and_pickup() {
        let order = |more: &str| format!(r#"{{"customer":{{"name":"Anna"}},"reservation":{more}}}"#);
        let asked = read(&order(r#""k7m29-qx4tb""#)).unwrap().asked;
        assert_eq!(asked, Asked::Reservation("K7M29-QX4TB".parse().unwrap()));
        for (more, field) in [
            (r#""K7M29-QX4TB","lines":[{"sku":"1","quantity":1}]"#, "lines"),
            (r#""K7M29-QX4TB","pickup":{"store":"S1"}"#, "pickup"),
            (r#""17""#, "reservation"),
            ("17", "reservation"),
        ] {
            assert_eq!(refusal(&order(more)).0, field, "{more}");
        }
    }

    #[test]
    fn a_pickup_is_a_store_or_a_place() {
        let cases = [
            ("{}", "pickup", "names no place"),
            (r#"{"store":"S1","near":{"lat":1,"lon":1},"radius_km":1}"#, "pickup", "a store and a place"),
            (r#"{"store":"S1","radius_km":1}"#, "pickup", "a store and a place"),
            (r#"{"near":{"lat":1,"lon":1}}"#, "pickup.radius_km", "is missing"),
            (r#"{"radius_km":1}"#, "pickup.near", "is missing"),
            (r#"{"near":{"lat":1},"radius_km":1}"#, "pickup.near.lon", "is missing"),
            (r#"{"near":{"lat":91,"lon":1},"radius_km":1}"#, "pickup.near", "between -90 and 90"),
            (
                r#"{"near":{"lat":1,"lon":1,"alt":1},"radius_km":1}"#,
                "pickup.near.alt",
                "known here: lat, lon",
            ),
            (r#"{"near":{"lat":1,"lon":1},"radius_km":0}"#, "pickup.radius_km", "not above 0"),
            (r#"{"near":{"lat":1,"lon":1},"radius_km":"5"}"#, "pickup.radius_km", "must be a number"),
            (r#"{"store":"S 1"}"#, "pickup.store", "not allowed"),
            (r#""S1""#, "pickup", "object in braces"),
            ("null", "pickup", "is missing"),
        ];
        for (pickup, field, expected) in cases {
            let (found, said) = refusal(&with(pickup));
            assert!(found == field && said.contains(expected), "{pickup}: {said}");
        }
    }

    #[test]
    fn an_order_has_one_to_fifty_lines() {
        let lines = |count: usize| {
            let lines: Vec<String> =
                (0..count).map(|at| format!(r#"{{"sku":"{at}","quantity":1}}"#)).collect();
            let start = ORDER.find("[{").unwrap();
            let end = ORDER.find("}],").unwrap() + 2;
            format!("{}[{}]{}", &ORDER[..start], lines.join(","), &ORDER[end..])
        };
        assert_eq!(basket(&lines(50)).lines.len(), 50);
        let (field, said) = refusal(&lines(51));
        assert!(field == "lines" && said.contains("has 51 lines"), "{said}");
        assert_eq!(refusal(&lines(0)).0, "lines");
    }

    #[test]
    fn a_card_number_is_refused_wherever_it_stands_and_never_repeated() {
        let digits = CARD.replace(' ', "");
        let spaced = format!("\"{CARD}\"");
        let cases = [
            (ORDER.replace("psp-17", &digits), "payment_reference"),
            (ORDER.replace("psp-17", &format!("card:{CARD};12/28")), "payment_reference"),
            (ORDER.replace("\"psp-17\"", &digits), "payment_reference"),
            (ORDER.replace("Anna Karenina", &format!("Anna {CARD}")), "customer.name"),
            (ORDER.replace("Anna Karenina", "４１１１１１１１１１１１１１１１"), "customer.name"),
            (ORDER.replace("+49 30 1234567", CARD), "customer.phone"),
            (ORDER.replace("+49 30 1234567", &format!("+{CARD}")), "customer.phone"),
            (ORDER.replace("anna@", &format!("{digits}@")), "customer.email"),
            (ORDER.replace("\"offer\"", &spaced), "reroute"),
            (ORDER.replace("\"reroute\":\"offer\"", &format!("{spaced}:1")), ""),
            (ORDER.replace("\"quantity\":1.235", &format!("\"card\":{spaced}")), "lines[0].card"),
            (ORDER.replace("1.235", &spaced), "lines[0].quantity"),
            (ORDER.replace("1.235", &digits), "lines[0].quantity"),
            (ORDER.replace("\"S0042\"", &spaced), "pickup.store"),
            (with(&spaced), "pickup"),
            (ORDER.replace("\"4011\"", &digits), "lines[0].sku"),
        ];
        for (text, field) in cases {
            let refused = read(&text).expect_err(&text);
            let said = format!("{refused} {refused:?}");
            assert_eq!(refused.field().unwrap_or_default(), field, "{said}");
            assert!(!said.contains("4111") && !said.contains("４１"), "{said}");
        }
        assert!(refusal(&ORDER.replace("psp-17", CARD)).1.contains("looks like a card number"));
    }

    /// Of international telephone numbers with 13 digits one in ten has the check digit of a card.
    #[test]
    fn a_telephone_number_is_no_card_number() {
        for number in ["+49 1512 3456789", "+49 151 23456 7890", "004915123456789", "+4 915 123456789 01"] {
            assert!(read(&ORDER.replace("+49 30 1234567", number)).is_ok(), "{number}");
        }
        let national = (0..100).filter(|last| {
            read(&ORDER.replace("+49 30 1234567", &format!("+49151234567{last:02}"))).is_err()
        });
        assert_eq!(national.count(), 0);
    }

    #[test]
    fn no_refusal_repeats_what_is_personal() {
        let cases = [
            ORDER.replace("{\"name\":\"Anna Karenina\"", "\"Anna Karenina\",\"x\":{\"name\":\"\""),
            ORDER.replace("\"Anna Karenina\"", "[\"Anna Karenina\"]"),
            ORDER.replace("\"Anna Karenina\"", "{\"Anna\":\"Karenina\"}"),
            ORDER.replace("Anna Karenina", &"Anna ".repeat(100)),
            ORDER.replace("anna@example.com", "Anna Karenina"),
            ORDER.replace("+49 30 1234567", "Anna Karenina"),
        ];
        for text in cases {
            let refused = read(&text).expect_err(&text);
            assert!(!format!("{refused} {refused:?}").contains("Anna"), "{refused:?}");
        }
        let printed = format!("{:?} {:?}", read(ORDER).unwrap(), read(&with(NEAR)).unwrap());
        for part in ["Anna", "1234567", "example.com", "52.5", "13.4"] {
            assert!(!printed.contains(part), "{printed}");
        }
    }

    #[test]
    fn what_is_no_json_says_so() {
        for text in
            ["", " ", "{", "nonsense", "{\"lines\":}", &ORDER[..ORDER.len() - 2], &format!("{ORDER}x")]
        {
            assert!(matches!(read(text), Err(PlacementRefused::NotJson { .. })), "{text}");
        }
        assert!(matches!(Placement::read(b"{\"reroute\":\"\xff\"}"), Err(PlacementRefused::NotJson { .. })));
        for text in ["[]", "1", "\"order\"", "null"] {
            assert_eq!(
                refusal(text),
                (String::new(), "the body: must be an object in braces".to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_body_is_bounded_and_so_is_what_is_said_of_it() {
        let padded = format!("{ORDER}{}", " ".repeat(PLACEMENT_BYTES_MAX));
        assert!(matches!(read(&padded), Err(PlacementRefused::TooLarge { .. })));
        assert!(read(&padded[..PLACEMENT_BYTES_MAX]).is_ok());
        let long = "x\\u001b".repeat(2_000);
        let cases = [
            ORDER.replace("\"reroute\"", &format!("\"{long}\"")),
            ORDER.replace("\"offer\"", &format!("\"{long}\"")),
            ORDER.replace("\"4011\"", &format!("\"{long}\"")),
            ORDER.replace("1.235", &format!("\"{long}\"")),
            ORDER.replace("\"S0042\"", &format!("\"{long}\"")),
        ];
        for text in cases {
            let said = refusal(&text).1;
            assert!(said.chars().count() < 600 && !said.contains('\u{1b}'), "{said}");
        }
        assert!(read(&"[".repeat(10_000)).is_err());
        assert!(read(&format!("{{\"payment_reference\":{}", "[".repeat(10_000))).is_err());
    }

    #[test]
    fn the_longest_order_fits() {
        let sku = |at: usize| format!("{at:x<SKU_BYTES_MAX$}");
        let lines: Vec<String> = (0..ORDER_LINES_MAX)
            .map(|at| format!("{{ \"sku\": \"{}\", \"quantity\": \"19999999.999\" }}", sku(at)))
            .collect();
        let (start, end) = (ORDER.find("[{").unwrap(), ORDER.find("}],").unwrap() + 2);
        let longest = format!("{}[{}]{}", &ORDER[..start], lines.join(",\n    "), &ORDER[end..]);
        assert!(longest.len() * 2 <= PLACEMENT_BYTES_MAX, "{}", longest.len());
        assert_eq!(basket(&longest).lines.len(), ORDER_LINES_MAX);
    }

    #[test]
    fn any_damage_is_an_order_or_a_refusal() {
        let whole = with(NEAR);
        for at in 0..whole.len() {
            let _ = Placement::read(&whole.as_bytes()[..at]);
            for byte in [0, b'"', b'{', b'}', b'[', b',', b'9', b'\\', 0xff] {
                let mut damaged = whole.clone().into_bytes();
                damaged[at] = byte;
                let _ = Placement::read(&damaged);
            }
        }
    }
}
