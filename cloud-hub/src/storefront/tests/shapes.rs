//! What is answered is what is documented: real answers are held against the schemas of the OpenAPI document.

use super::{KEY, Reply, Shop};
use crate::availability::{Freshness, Index};
use crate::storefront::{Settings, document};
use axum::http::Method;
use serde_json::{Map, Value, json};

/// The document, for looking things up in it.
struct Document(Value);

impl Document {
    fn read() -> Document {
        Document(serde_json::from_str(&document()).unwrap())
    }

    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(name) => self.resolve(self.0.pointer(name.trim_start_matches('#')).expect(name)),
            None => schema,
        }
    }

    fn response(&self, method: &str, path: &str, reply: &Reply) -> &Value {
        let responses = &self.0["paths"][path][method]["responses"];
        let response = &responses[reply.status.as_str()];
        assert!(!response.is_null(), "{method} {path}: {} is not documented", reply.status);
        let kind = reply.header("content-type").split(';').next().unwrap_or_default();
        let schema = &response["content"][kind]["schema"];
        assert!(!schema.is_null(), "{method} {path}: {kind} is not documented for {}", reply.status);
        schema
    }

    /// Says where a value is not what its schema says. Everything there must be documented, everything required there.
    fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = self.resolve(schema);
        if let Some(choices) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
            let faults: Vec<String> =
                choices.iter().filter_map(|choice| self.check(choice, value, at).err()).collect();
            let fits = choices.len() - faults.len();
            return if fits == 1 {
                Ok(())
            } else {
                Err(format!("{at}: fits {fits} of the choices: {faults:?}"))
            };
        }
        if let Some(parts) = schema["allOf"].as_array() {
            return self.check(&self.merged(parts), value, at);
        }
        self.check_type(schema, value, at)?;
        if let Some(words) = schema["enum"].as_array()
            && !words.contains(value)
        {
            return Err(format!("{at}: {value} is none of {words:?}"));
        }
        match value {
            Value::Object(fields) => self.check_fields(schema, fields, at),
            Value::Array(entries) => {
                let each = |(n, entry)| self.check(&schema["items"], entry, &format!("{at}[{n}]"));
                entries.iter().enumerate().try_for_each(each)
            }
            _ => Ok(()),
        }
    }

    fn check_type(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let name = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let fits = |wanted: &Value| wanted == name || wanted == "integer" && value.is_u64();
        let wanted = &schema["type"];
        let ok = wanted.as_array().map_or_else(|| fits(wanted), |any| any.iter().any(fits));
        if ok { Ok(()) } else { Err(format!("{at}: {value} is no {wanted}")) }
    }

    fn check_fields(&self, schema: &Value, fields: &Map<String, Value>, at: &str) -> Result<(), String> {
        let Some(known) = schema["properties"].as_object() else {
            return Ok(());
        };
        for (name, value) in fields {
            let field = known.get(name).ok_or_else(|| format!("{at}.{name} is not documented"))?;
            self.check(field, value, &format!("{at}.{name}"))?;
        }
        let missing = |name: &&Value| !fields.contains_key(name.as_str().unwrap());
        match schema["required"].as_array().into_iter().flatten().find(missing) {
            Some(name) => Err(format!("{at}: {name} is missing")),
            None => Ok(()),
        }
    }

    /// Parts of an object put together.
    fn merged(&self, parts: &[Value]) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for part in parts {
            let part = self.resolve(part);
            properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
            required.extend(part["required"].as_array().cloned().unwrap_or_default());
        }
        json!({"type": "object", "properties": properties, "required": required})
    }

    fn holds(&self, method: &str, path: &str, reply: &Reply) {
        let schema = self.response(method, path, reply);
        if let Err(fault) = self.check(schema, &reply.json(), "") {
            panic!("{method} {path}: {fault}");
        }
    }
}

/// Stores in every state, with and without stock.
async fn motley() -> Shop {
    let freshness = Freshness { hold_back_share_per_hour: 0.1, stop_after_s: 36_000, ..Freshness::default() };
    let shop = Shop::open_with(Settings { freshness, ..Settings::default() }, Index::new()).await;
    for (id, heard) in [("S1", 0), ("S2", 70), ("S3", 7200), ("S4", 40_000)] {
        shop.store(id, 52.5, 13.4);
        shop.heard(id, heard);
        shop.stock(id, "milk", 3);
        shop.stock_thousandths(id, "cheese", 1_250);
    }
    shop.store("S5", 52.6, 13.5);
    shop.store("S6", 52.7, 13.6);
    shop.contact("S6", 0, false);
    shop
}

#[tokio::test]
async fn answers_are_as_documented() {
    let (shop, document) = (motley().await, Document::read());
    let availability = [
        "?sku=milk",
        "?sku=milk&sku=cheese&sku=none&near=52.5,13.4&limit=2",
        "?sku=milk&explain=true&stores=S1,S9",
        "?sku=milk&detail=band&max_age_s=60",
    ];
    for query in availability {
        let reply = shop.get(&format!("/v1/availability{query}")).await;
        document.holds("get", "/v1/availability", &reply);
    }
    let baskets = [
        json!({"items": [{"sku": "milk", "quantity": 1}, {"sku": "none", "quantity": 2.5}], "limit": 1}),
        json!({"items": [{"sku": "milk", "quantity": 1}], "explain": true, "near": {"lat": 1, "lon": 1}, "radius_km": 1e5}),
        json!({"items": [{"sku": "milk", "quantity": 1}], "detail": "band", "max_age_s": 5, "stores": ["S1", "S0"]}),
    ];
    for basket in baskets {
        let reply = shop.post("/v1/availability:query", &basket.to_string()).await;
        document.holds("post", "/v1/availability:query", &reply);
    }
    for path in
        ["/v1/stores", "/v1/stores?limit=1", "/v1/changes", "/v1/changes?after=f0-0&limit=2", "/healthz"]
    {
        let reply = shop.get(path).await;
        document.holds("get", path.split('?').next().unwrap(), &reply);
    }
    document.holds("get", "/v1/stores/{id}", &shop.get("/v1/stores/S5").await);
}

#[tokio::test]
async fn problems_are_as_documented() {
    let (shop, document) = (motley().await, Document::read());
    let cases = [
        ("/v1/availability", "/v1/availability?sku=", 400),
        ("/v1/stores", "/v1/stores?x=1", 400),
        ("/v1/stores/{id}", "/v1/stores/S1?x=1", 400),
        ("/v1/stores/{id}", "/v1/stores/none", 404),
        ("/v1/changes", "/v1/changes?after=f0-ffffff", 410),
        ("/v1/changes", "/v1/changes?after=x", 400),
        ("/v1/snapshot", "/v1/snapshot?x=1", 400),
    ];
    for (path, asked, status) in cases {
        let reply = shop.get(asked).await;
        assert_eq!(reply.status.as_u16(), status, "{asked}");
        document.holds("get", path, &reply);
    }
    let keyless = shop.ask(Method::GET, "/v1/snapshot", &[], "").await;
    document.holds("get", "/v1/snapshot", &keyless);
}

#[tokio::test]
async fn every_line_of_a_snapshot_is_as_documented() {
    let (shop, document) = (motley().await, Document::read());
    let reply = shop.get("/v1/snapshot").await;
    let schema = document.response("get", "/v1/snapshot", &reply);
    for line in reply.text().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        document.check(schema, &line, "").unwrap_or_else(|fault| panic!("{line}: {fault}"));
    }
}

#[test]
fn every_field_and_parameter_is_described() {
    let document = Document::read();
    let mut bare = Vec::new();
    for (name, schema) in document.0["components"]["schemas"].as_object().unwrap() {
        find_bare(&document, schema, name, &mut bare);
    }
    for (path, methods) in document.0["paths"].as_object().unwrap() {
        for parameter in
            methods.as_object().unwrap().values().filter_map(|m| m["parameters"].as_array()).flatten()
        {
            if parameter["description"].as_str().is_none_or(str::is_empty) {
                bare.push(format!("{path} {}", parameter["name"]));
            }
        }
    }
    assert!(bare.is_empty(), "no description: {bare:#?}");
}

/// Collects the fields that neither they nor what they refer to describe.
fn find_bare(document: &Document, schema: &Value, at: &str, bare: &mut Vec<String>) {
    for part in ["oneOf", "allOf"].iter().filter_map(|part| schema[*part].as_array()).flatten() {
        find_bare(document, part, at, bare);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let fixed = field["enum"].as_array().is_some_and(|words| words.len() == 1);
        let choices = field["oneOf"].as_array().into_iter().flatten();
        let described = |schema: &Value| document.resolve(schema)["description"].as_str().is_some();
        if !fixed && !described(field) && !choices.clone().any(described) {
            bare.push(format!("{at}.{name}"));
        }
    }
}

#[tokio::test]
async fn the_document_is_served_to_anyone() {
    let shop = Shop::open().await;
    let reply = shop.ask(Method::GET, "/openapi.json", &[], "").await;
    assert_eq!(reply.text(), document());
    assert_eq!(reply.json()["openapi"], "3.1.0");
    let with_key = shop.ask(Method::GET, "/openapi.json", &[("x-api-key", KEY)], "").await;
    assert_eq!(with_key.text(), document());
}
