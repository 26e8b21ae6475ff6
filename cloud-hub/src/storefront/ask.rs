//! What a storefront can ask about availability: read from a query string or a body, checked, and put into one form.

use super::cursor::PageCursor;
use super::problem::{Kind, Problem, shown};
use super::query::{number, once, pairs, whole, yes_or_no};
use crate::availability::Place;
use serde::Deserialize;
use std::collections::HashMap;
use sync_protocol::{Quantity, Sku};
use utoipa::{IntoParams, ToSchema};

/// Most skus of one request.
pub(super) const SKUS_MAX: usize = 100;
/// Most stores of one page.
pub(super) const LIMIT_MAX: u32 = 500;
const LIMIT_DEFAULT: u32 = 20;
/// Most stores that can be named as a filter.
const STORES_MAX: usize = 500;

/// A question about availability, checked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ask {
    /// Invariant: 1 to [`SKUS_MAX`] of them, no sku twice, every quantity above zero.
    pub(super) lines: Vec<AskLine>,
    pub(super) scope: Scope,
    pub(super) view: View,
}

/// How many of an item are wanted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AskLine {
    pub(super) sku: Sku,
    pub(super) quantity: Quantity,
}

/// Which stores are asked about, and in which order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Scope {
    pub(super) near: Option<Place>,
    pub(super) radius_km: Option<f64>,
    pub(super) stores: Option<Vec<String>>,
    pub(super) limit: usize,
    pub(super) cursor: Option<PageCursor>,
    /// Leave out stores that can fulfil nothing.
    pub(super) in_stock: bool,
}

/// How the answer is to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct View {
    pub(super) detail: Detail,
    pub(super) max_age_s: Option<u32>,
    pub(super) explain: bool,
}

/// How precisely stock is told: `exact` gives numbers, `band` gives words fit for a public page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Detail {
    #[default]
    Exact,
    Band,
}

/// The query parameters of `GET /v1/availability`, as they are documented; [`read_query`] takes them in.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "stands for the parameters in the OpenAPI document")]
pub(super) struct AvailabilityParams {
    /// An item; repeat the parameter for up to 100 of them. Case and leading zeros count. Percent-encode whatever is not a
    /// letter or digit. A sku given twice is answered once.
    #[param(min_items = 1, max_items = 100)]
    sku: Vec<String>,
    /// How many units of each item are wanted, for `can_fulfil`; up to three decimals. Default 1.
    #[param(value_type = Option<f64>, exclusive_minimum = 0)]
    quantity: Option<Quantity>,
    /// `LAT,LON` in degrees, as `52.52,13.405`: nearest stores first, with `distance_km`. Without it stores come in the order
    /// of their ids.
    #[param(example = "52.52,13.405")]
    near: Option<String>,
    /// Only stores within this distance of `near`, in kilometres.
    #[param(minimum = 0)]
    radius_km: Option<f64>,
    /// Only these stores: ids with commas between them, up to 500. Ids nobody knows are listed in `unknown_stores`.
    #[param(example = "S0001,S0002")]
    stores: Option<String>,
    /// Most stores of one answer. Default 20.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The last answer's `next`, with the other parameters unchanged.
    cursor: Option<String>,
    /// `true` leaves out stores that can't fulfil any of the items even in part. Default `false`.
    in_stock: Option<bool>,
    /// `exact` (the default) or `band`.
    #[param(inline)]
    detail: Option<Detail>,
    /// Numbers older than this, in seconds, are answered as unknown.
    max_age_s: Option<u32>,
    /// `true` adds how each number came about. Not with `detail=band`. Default `false`.
    explain: Option<bool>,
}

/// Their names.
pub(super) const AVAILABILITY_PARAMS: &[&str] = &[
    "sku",
    "quantity",
    "near",
    "radius_km",
    "stores",
    "limit",
    "cursor",
    "in_stock",
    "detail",
    "max_age_s",
    "explain",
];

/// A basket, and the stores it is to be collected at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BasketAsk {
    /// What is wanted, up to 100 items.
    #[schema(min_items = 1, max_items = 100)]
    items: Vec<BasketItem>,
    /// Nearest stores first, with `distance_km`. Without it stores come in the order of their ids.
    near: Option<Near>,
    /// Only stores within this distance of `near`, in kilometres.
    #[schema(minimum = 0)]
    radius_km: Option<f64>,
    /// Only these stores, up to 500 ids. Ids nobody knows are listed in `unknown_stores`.
    #[schema(max_items = 500)]
    stores: Option<Vec<String>>,
    /// Most stores of one answer. Default 20.
    #[schema(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The last answer's `next`, with the other fields unchanged.
    cursor: Option<String>,
    /// `true` leaves out stores that can't fulfil the basket even in part.
    #[serde(default)]
    in_stock: bool,
    /// `exact` (the default) or `band`.
    #[serde(default)]
    detail: Detail,
    /// Numbers older than this, in seconds, are answered as unknown.
    max_age_s: Option<u32>,
    /// `true` adds how each number came about. Not with `detail` `band`.
    #[serde(default)]
    explain: bool,
}

/// One line of a basket. Lines of the same sku are added up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BasketItem {
    /// The item. Case and leading zeros count.
    #[schema(value_type = String, min_length = 1, max_length = 64)]
    sku: Sku,
    /// How many units of it, above 0, with up to three decimals: a number, or a string for exactness.
    #[schema(value_type = f64, exclusive_minimum = 0)]
    quantity: Quantity,
}

/// A place in degrees.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(try_from = "HashMap<String, f64>")]
struct Near {
    /// Degrees north, -90 to 90.
    #[schema(minimum = -90, maximum = 90)]
    lat: f64,
    /// Degrees east, -180 to 180.
    #[schema(minimum = -180, maximum = 180)]
    lon: f64,
}

/// By name only: two bare numbers could be meant either way round.
impl TryFrom<HashMap<String, f64>> for Near {
    type Error = &'static str;

    fn try_from(fields: HashMap<String, f64>) -> Result<Near, Self::Error> {
        match (fields.get("lat"), fields.get("lon"), fields.len()) {
            (Some(&lat), Some(&lon), 2) => Ok(Near { lat, lon }),
            _ => Err("write a place as {\"lat\": 52.52, \"lon\": 13.405}"),
        }
    }
}

/// Reads a query string.
pub(super) fn read_query(query: Option<&str>) -> Result<Ask, Problem> {
    let mut skus: Vec<Sku> = Vec::new();
    let mut given = 0;
    let mut stores: Option<Vec<String>> = None;
    let (mut quantity, mut near, mut radius_km, mut limit, mut cursor) = (None, None, None, None, None);
    let (mut in_stock, mut detail, mut max_age_s, mut explain) = (None, None, None, None);
    for pair in pairs(query, AVAILABILITY_PARAMS) {
        let (name, value) = pair?;
        match name {
            "sku" => {
                given += 1;
                add_sku(&mut skus, &value, given)?;
            }
            "stores" => add_stores(stores.get_or_insert_default(), &value)?,
            "quantity" => once(&mut quantity, name, read_quantity(&value)?)?,
            "near" => once(&mut near, name, read_near(&value)?)?,
            "radius_km" => once(&mut radius_km, name, number(name, &value)?)?,
            "limit" => once(&mut limit, name, whole(name, &value, 1..=LIMIT_MAX)?)?,
            "cursor" => once(&mut cursor, name, PageCursor::read(&value)?)?,
            "in_stock" => once(&mut in_stock, name, yes_or_no(name, &value)?)?,
            "detail" => once(&mut detail, name, read_detail(&value)?)?,
            "max_age_s" => once(&mut max_age_s, name, whole(name, &value, 0..=u32::MAX)?)?,
            _ => once(&mut explain, name, yes_or_no(name, &value)?)?,
        }
    }
    if skus.is_empty() {
        return Err(Problem::invalid("sku", "give at least one `sku`"));
    }
    let quantity = quantity.unwrap_or(Quantity::ONE);
    let limit = usize::try_from(limit.unwrap_or(LIMIT_DEFAULT)).unwrap_or(usize::MAX);
    let in_stock = in_stock.unwrap_or_default();
    let view = View { detail: detail.unwrap_or_default(), max_age_s, explain: explain.unwrap_or_default() };
    let lines = skus.into_iter().map(|sku| AskLine { sku, quantity }).collect();
    Ask { lines, scope: Scope { near, radius_km, stores, limit, cursor, in_stock }, view }.checked()
}

/// Reads a body.
pub(super) fn read_body(body: &[u8]) -> Result<Ask, Problem> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::new(Kind::InvalidBody, "the body must be a JSON object"));
    }
    let json = &mut serde_json::Deserializer::from_slice(body);
    let basket: BasketAsk = serde_path_to_error::deserialize(json).map_err(|error| refused_body(&error))?;
    json_end(body)?;
    let near = basket.near.map(|near| Place::new(near.lat, near.lon)).transpose();
    let limit = basket.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::invalid(
            "limit",
            format!("`limit` is `{limit}`; give a whole number from 1 to {LIMIT_MAX}"),
        ));
    }
    if basket.stores.as_ref().is_some_and(|stores| stores.len() > STORES_MAX) {
        return Err(too_many_stores());
    }
    let scope = Scope {
        near: near.map_err(|error| Problem::invalid("near", error.to_string()))?,
        radius_km: basket.radius_km,
        stores: basket.stores,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        cursor: basket.cursor.as_deref().map(PageCursor::read).transpose()?,
        in_stock: basket.in_stock,
    };
    let view = View { detail: basket.detail, max_age_s: basket.max_age_s, explain: basket.explain };
    Ask { lines: add_up(basket.items)?, scope, view }.checked()
}

/// Nothing but white space may follow the one value of a body.
fn json_end(body: &[u8]) -> Result<(), Problem> {
    let mut rest = serde_json::Deserializer::from_slice(body).into_iter::<serde::de::IgnoredAny>();
    rest.next();
    match rest.next() {
        None => Ok(()),
        Some(_) => Err(Problem::new(Kind::InvalidBody, "something follows the JSON object")),
    }
}

fn refused_body(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let detail = shown_error(error.inner());
    let path = error.path().to_string();
    // A quantity's own text stands one step below its field.
    match path.split(".$serde_json").next().unwrap_or_default() {
        "." | "" => Problem::new(Kind::InvalidBody, detail),
        path => Problem::of(Kind::InvalidBody, path, detail),
    }
}

/// An error of the JSON reader may repeat a text of any length.
fn shown_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.chars().count() <= 300 { text } else { text.chars().take(300).chain(['…']).collect() }
}

impl Ask {
    fn checked(self) -> Result<Ask, Problem> {
        match (self.scope.near, self.scope.radius_km) {
            (_, Some(radius)) if !(radius.is_finite() && radius >= 0.0) => {
                return Err(Problem::invalid(
                    "radius_km",
                    "`radius_km` must be a number of kilometres, 0 or more",
                ));
            }
            (None, Some(_)) => {
                return Err(Problem::invalid(
                    "radius_km",
                    "`radius_km` needs `near`: the place it is measured from",
                ));
            }
            _ => {}
        }
        if self.view.explain && self.view.detail == Detail::Band {
            let detail =
                "`explain` gives exact numbers, `detail=band` is there to keep them back: choose one";
            return Err(Problem::invalid("explain", detail));
        }
        Ok(self)
    }
}

fn add_sku(skus: &mut Vec<Sku>, value: &str, given: usize) -> Result<(), Problem> {
    if given > SKUS_MAX {
        return Err(Problem::invalid(
            "sku",
            format!("more than {SKUS_MAX} skus: ask for them in several requests"),
        ));
    }
    let sku = value
        .parse()
        .map_err(|error: sync_protocol::ids::InvalidId| Problem::invalid("sku", error.to_string()))?;
    if !skus.contains(&sku) {
        skus.push(sku);
    }
    Ok(())
}

fn add_stores(stores: &mut Vec<String>, value: &str) -> Result<(), Problem> {
    stores.extend(value.split(',').filter(|id| !id.is_empty()).take(STORES_MAX + 1).map(str::to_owned));
    if stores.len() > STORES_MAX { Err(too_many_stores()) } else { Ok(()) }
}

fn too_many_stores() -> Problem {
    Problem::invalid(
        "stores",
        format!("more than {STORES_MAX} stores: leave the filter out, or ask several times"),
    )
}

fn read_quantity(value: &str) -> Result<Quantity, Problem> {
    let quantity = value.parse().map_err(|error: sync_protocol::quantity::InvalidQuantity| {
        Problem::invalid("quantity", error.to_string())
    })?;
    above_zero("quantity", quantity)
}

fn above_zero(parameter: &str, quantity: Quantity) -> Result<Quantity, Problem> {
    if quantity.is_positive() {
        return Ok(quantity);
    }
    Err(Problem::invalid(parameter, format!("quantity `{quantity}` is not above 0")))
}

fn read_near(value: &str) -> Result<Place, Problem> {
    let example = || format!("`near` is `{}`; give `LAT,LON` in degrees, as `52.52,13.405`", shown(value));
    let degrees = |text: &str| text.trim().parse::<f64>().map_err(|_| Problem::invalid("near", example()));
    let (lat, lon) = value.split_once(',').ok_or_else(|| Problem::invalid("near", example()))?;
    Place::new(degrees(lat)?, degrees(lon)?).map_err(|error| Problem::invalid("near", error.to_string()))
}

fn read_detail(value: &str) -> Result<Detail, Problem> {
    match value {
        "exact" => Ok(Detail::Exact),
        "band" => Ok(Detail::Band),
        other => {
            Err(Problem::invalid("detail", format!("`detail` is `{}`; give `exact` or `band`", shown(other))))
        }
    }
}

/// One line per sku, in the order in which they first came.
fn add_up(items: Vec<BasketItem>) -> Result<Vec<AskLine>, Problem> {
    if items.is_empty() {
        return Err(Problem::invalid("items", "the basket is empty: give at least one item"));
    }
    if items.len() > SKUS_MAX {
        let detail =
            format!("the basket has {} items, more than {SKUS_MAX}: ask in several requests", items.len());
        return Err(Problem::invalid("items", detail));
    }
    let mut lines: Vec<AskLine> = Vec::with_capacity(items.len());
    let mut at: HashMap<Sku, usize> = HashMap::with_capacity(items.len());
    for (item, BasketItem { sku, quantity }) in items.into_iter().enumerate() {
        let quantity = above_zero(&format!("items[{item}].quantity"), quantity)?;
        let Some(&line) = at.get(&sku) else {
            at.insert(sku.clone(), lines.len());
            lines.push(AskLine { sku, quantity });
            continue;
        };
        // A hundred quantities of 10¹² thousandths each fit an i64.
        lines[line].quantity = lines[line].quantity.checked_add(quantity).unwrap_or(Quantity::MAX);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(result: Result<Ask, Problem>) -> String {
        String::from_utf8(result.unwrap_err().to_json()).unwrap()
    }

    #[test]
    fn a_plain_question_gets_the_defaults() {
        let ask = read_query(Some("sku=0042")).unwrap();
        assert_eq!(ask.lines, [AskLine { sku: "0042".parse().unwrap(), quantity: Quantity::ONE }]);
        assert_eq!(ask.scope, Scope { limit: 20, ..Scope::default() });
        assert_eq!(ask.view, View::default());
    }

    #[test]
    fn every_parameter_is_read() {
        let ask = read_query(Some(
            "sku=a&sku=b&quantity=1.5&near=+52.5,-13&radius_km=2.5&stores=S1,S2&stores=S3&limit=7&in_stock=true\
             &max_age_s=60&explain=true&detail=exact",
        ))
        .unwrap();
        assert_eq!(ask.lines.len(), 2);
        assert_eq!(ask.lines[0].quantity, Quantity::from_thousandths(1500));
        assert_eq!(ask.scope.near, Place::new(52.5, -13.0).ok());
        assert_eq!(ask.scope.stores.unwrap(), ["S1", "S2", "S3"]);
        assert_eq!((ask.scope.limit, ask.scope.in_stock, ask.scope.radius_km), (7, true, Some(2.5)));
        assert_eq!(ask.view, View { detail: Detail::Exact, max_age_s: Some(60), explain: true });
    }

    #[test]
    fn a_bad_parameter_is_named() {
        let cases = [
            ("", "sku"),
            ("sku=", "sku"),
            ("sku=%00", "sku"),
            ("sku=+x", "sku"),
            ("sku=a&near=52.5", "near"),
            ("sku=a&near=NaN,0", "near"),
            ("sku=a&near=0,inf", "near"),
            ("sku=a&near=90.01,0", "near"),
            ("sku=a&near=0,0,0", "near"),
            ("sku=a&near=0,0&radius_km=-1", "radius_km"),
            ("sku=a&near=0,0&radius_km=NaN", "radius_km"),
            ("sku=a&near=0,0&radius_km=inf", "radius_km"),
            ("sku=a&radius_km=1", "radius_km"),
            ("sku=a&limit=0", "limit"),
            ("sku=a&limit=501", "limit"),
            ("sku=a&limit=5&limit=6", "limit"),
            ("sku=a&quantity=0", "quantity"),
            ("sku=a&quantity=-1", "quantity"),
            ("sku=a&quantity=1.2345", "quantity"),
            ("sku=a&quantity=NaN", "quantity"),
            ("sku=a&cursor=x", "cursor"),
            ("sku=a&detail=some", "detail"),
            ("sku=a&max_age_s=-1", "max_age_s"),
            ("sku=a&explain=yes", "explain"),
            ("sku=a&explain=true&detail=band", "explain"),
            ("sku=a&skus=b", "skus"),
        ];
        for (query, parameter) in cases {
            let said = fault(read_query(Some(query)));
            assert!(said.contains(&format!("\"parameter\":\"{parameter}\"")), "{query}: {said}");
        }
    }

    #[test]
    fn a_hundred_skus_are_taken_and_doubles_are_asked_once() {
        let skus = |n: usize| (0..n).map(|i| format!("sku={i}")).collect::<Vec<_>>().join("&");
        assert_eq!(read_query(Some(&skus(100))).unwrap().lines.len(), 100);
        assert!(fault(read_query(Some(&skus(101)))).contains("more than 100 skus"));
        assert_eq!(read_query(Some("sku=a&sku=b&sku=a")).unwrap().lines.len(), 2);
        assert!(read_query(Some(&"sku=a&".repeat(101))).is_err());
    }

    #[test]
    fn a_basket_is_added_up_by_sku() {
        let ask = read_body(br#"{"items":[{"sku":"b","quantity":1},{"sku":"a","quantity":"0.250"},{"sku":"b","quantity":2.5}]}"#);
        let lines: Vec<(String, i64)> = ask
            .unwrap()
            .lines
            .iter()
            .map(|line| (line.sku.to_string(), line.quantity.thousandths()))
            .collect();
        assert_eq!(lines, [("b".to_owned(), 3500), ("a".to_owned(), 250)]);
    }

    #[test]
    fn a_bad_body_is_answered_with_the_field() {
        let cases = [
            (r#"{"items":[]}"#, r#""parameter":"items""#),
            (r#"{"items":[{"sku":"a","quantity":0}]}"#, r#""parameter":"items[0].quantity""#),
            (
                r#"{"items":[{"sku":"a","quantity":1},{"sku":"b","quantity":-2}]}"#,
                r#""parameter":"items[1].quantity""#,
            ),
            (r#"{"items":[{"sku":"a","quantity":1.2345}]}"#, r#""parameter":"items[0].quantity""#),
            (r#"{"items":[{"sku":"a","quantity":null}]}"#, r#""parameter":"items[0].quantity""#),
            (r#"{"items":[{"sku":" a","quantity":1}]}"#, r#""parameter":"items[0].sku""#),
            (r#"{"items":[{"sku":"a"}]}"#, "missing field `quantity`"),
            (r#"{"items":[{"sku":"a","quantity":1}],"nearby":1}"#, "unknown field `nearby`"),
            (r#"{"items":[{"sku":"a","quantity":1}],"near":{"lat":91,"lon":0}}"#, r#""parameter":"near""#),
            (r#"{"items":[{"sku":"a","quantity":1}],"limit":501}"#, r#""parameter":"limit""#),
            (r#"{"items":[{"sku":"a","quantity":1}],"radius_km":5}"#, r#""parameter":"radius_km""#),
            (r#"{"items":[{"sku":"a","quantity":1}]} x"#, "follows"),
            (r#"{"items":[{"sku":"a","quantity":1}],"near":[13.4,52.5]}"#, r#""parameter":"near""#),
            (r#"{"items":[{"sku":"a","quantity":1}],"near":{"lat":1}}"#, "write a place as"),
            ("", "JSON object"),
            ("[]", "JSON object"),
            ("{", "EOF"),
        ];
        for (body, expected) in cases {
            let said = fault(read_body(body.as_bytes()));
            assert!(said.contains(expected), "{body}: {said}");
        }
    }

    #[test]
    fn a_basket_of_101_items_is_refused() {
        let items = vec![r#"{"sku":"a","quantity":1}"#; 101].join(",");
        assert!(fault(read_body(format!("{{\"items\":[{items}]}}").as_bytes())).contains("has 101 items"));
    }

    #[test]
    fn every_documented_parameter_is_taken_and_every_taken_one_documented() {
        let documented: Vec<String> =
            AvailabilityParams::into_params(|| None).into_iter().map(|parameter| parameter.name).collect();
        assert_eq!(documented, AVAILABILITY_PARAMS);
    }
}
