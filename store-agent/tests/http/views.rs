//! What the agent shows of the store.

use crate::shop::{SALE, Shop};

fn stocked() -> Shop {
    let shop = Shop::open();
    let items = r#"{"sku":"4011","gtins":["00012345678905"],"name":"Bananas","unit":"kg"}
{"sku":"a/b c","name":"Tea & more"}
{"sku":"tea-2","name":"Green tea 100%"}"#;
    assert_eq!(shop.put_items(items).status, 200);
    assert_eq!(shop.report(&SALE.replace("sale", "receipt")).status, 201);
    shop
}

#[test]
fn an_item_shows_its_figures_and_says_why_the_web_sees_what() {
    let shop = stocked();
    let item = shop.get("/v1/items/4011").json();
    assert_eq!(item["on_hand"].to_string(), "3.235", "sku and barcode are one item");
    for key in ["claim", "open", "free", "shortfall", "reserve"] {
        assert!(item[key].is_number(), "{key} in {item}");
    }
    assert_eq!(item["position"], 2);
    assert_eq!(item["unnamed"], false);
    assert_eq!(item["web"]["sees"], serde_json::Value::Null);
    let because = item["web"]["because"].as_str().unwrap();
    assert!(because.contains("3.235 kg on hand") && because.contains("no hub"), "{because}");
}

#[test]
fn an_unknown_sku_at_the_till_becomes_an_unnamed_item() {
    let shop = Shop::open();
    shop.report(SALE);
    assert_eq!(shop.get("/v1/items/4011").json()["unnamed"], true);
    let missing = shop.get("/v1/items/never-seen");
    assert_eq!(missing.status, 404);
    missing.problem_field();
}

#[test]
fn a_sku_with_blanks_and_slashes_can_be_asked_for() {
    let shop = stocked();
    assert_eq!(shop.get("/v1/items/a%2Fb%20c").json()["name"], "Tea & more");
}

#[test]
fn stock_is_searched_and_paged() {
    let shop = stocked();
    let skus = |path: &str| {
        let page = shop.get(path).json();
        let items = page["items"].as_array().unwrap().clone();
        let skus: Vec<String> = items.iter().map(|item| item["sku"].as_str().unwrap().to_owned()).collect();
        (skus, page["next"].as_str().map(str::to_owned))
    };
    assert_eq!(
        skus("/v1/stock?limit=2"),
        (vec!["4011".to_owned(), "a/b c".to_owned()], Some("a/b c".to_owned()))
    );
    assert_eq!(skus("/v1/stock?limit=2&after=a%2Fb+c"), (vec!["tea-2".to_owned()], None));
    assert_eq!(skus("/v1/stock?query=TEA").0, ["a/b c", "tea-2"]);
    assert_eq!(skus("/v1/stock?query=100%25").0, ["tea-2"]);
    assert_eq!(skus("/v1/stock?query=012345678905").0, ["4011"]);
}

#[test]
fn the_ledger_is_paged_by_position() {
    let shop = stocked();
    shop.report(&SALE.replace("0042", "0043"));
    let first = shop.get("/v1/movements?limit=3").json();
    assert_eq!((first["movements"].as_array().unwrap().len(), first["next"].as_u64()), (3, Some(3)));
    let line = &first["movements"][0];
    assert_eq!(line["quantity"].to_string(), "1.235");
    assert_eq!((line["kind"].as_str(), line["source"].as_str()), (Some("receipt"), Some("till-3")));
    assert_eq!(line["occurred_at"], "2026-10-31T21:03:22Z");
    let rest = shop.get("/v1/movements?limit=3&after=3").json();
    assert_eq!((rest["movements"].as_array().unwrap().len(), rest["next"].as_u64()), (1, None));
    assert_eq!(rest["movements"][0]["effect"].to_string(), "-2");
}

#[test]
fn a_wrong_parameter_is_named() {
    let shop = Shop::open();
    for (path, name) in [
        ("/v1/stock?limit=0", "limit"),
        ("/v1/stock?limit=1001", "limit"),
        ("/v1/stock?lmit=5", "lmit"),
        ("/v1/movements?after=x", "after"),
        ("/v1/movements?sku=", "sku"),
        ("/v1/items/%FF", "sku"),
        ("/v1/items/%07", "sku"),
        ("/v1/cursors/%20x", "source"),
    ] {
        let reply = shop.get(path);
        assert_eq!((reply.status, reply.problem_field().as_str()), (400, name), "{path}: {}", reply.body);
    }
}

#[test]
fn the_state_of_the_sync_is_shown_also_without_a_hub() {
    let shop = stocked();
    let sync = shop.get("/v1/sync").json();
    assert_eq!((sync["store"].as_str(), sync["link"].as_str()), (Some("S0001"), Some("off")));
    assert_eq!((sync["caught_up"].as_bool(), sync["epoch"].as_u64()), (Some(false), Some(0)));
    assert!(sync["backlog"]["records"].as_u64().unwrap() > 0, "{sync}");
    assert_eq!(sync["backlog"]["movements"], 2);
    assert!(sync["transport"].is_null() && sync["transport_since"].is_null(), "{sync}");
    assert_eq!(sync["switches"], 0);
}

#[test]
fn health_and_metrics_tell_of_the_agent() {
    let shop = stocked();
    let health = shop.get("/healthz").json();
    assert_eq!((health["status"].as_str(), health["store"].as_str()), (Some("ok"), Some("S0001")));
    let metrics = shop.get("/metrics");
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    for line in [
        "shopsmart_agent_documents_total{outcome=\"new\"} 1",
        "shopsmart_agent_movements_total{kind=\"receipt\"} 2",
        "shopsmart_agent_items_known 3",
        "shopsmart_agent_http_requests_total{route=\"/v1/movements\",status=\"201\"} 1",
    ] {
        assert!(metrics.body.contains(line), "{line} is not in\n{}", metrics.body);
    }
}
