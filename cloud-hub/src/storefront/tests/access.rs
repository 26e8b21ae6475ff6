//! Keys, limits, and what is at no path.

use super::{KEY, Shop, write_keys};
use crate::availability::Index;
use crate::storefront::{Settings, document};
use axum::http::{Method, StatusCode};
use serde_json::Value;

const OTHER: &str = "another-key-of-length";

async fn status_with(shop: &Shop, header: &str, value: &str) -> StatusCode {
    shop.ask(Method::GET, "/v1/stores", &[(header, value)], "").await.status
}

#[tokio::test]
async fn every_documented_path_but_three_needs_a_key() {
    let shop = Shop::with_stores(&["S1"]).await;
    let document: Value = serde_json::from_str(&document()).unwrap();
    let mut open = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let reply = shop.ask(method, &path.replace("{id}", "S1"), &[], "").await;
            match reply.status {
                StatusCode::OK => open.push(path.as_str()),
                _ => drop(reply.is_problem(401, "unauthorized", None)),
            }
        }
    }
    open.sort_unstable();
    assert_eq!(open, ["/healthz", "/metrics", "/openapi.json"]);
}

#[tokio::test]
async fn a_key_opens_in_either_header_and_an_unknown_one_does_not() {
    let shop = Shop::open().await;
    assert_eq!(status_with(&shop, "authorization", &format!("Bearer {KEY}")).await, StatusCode::OK);
    assert_eq!(status_with(&shop, "x-api-key", KEY).await, StatusCode::OK);
    let refused = shop.ask(Method::GET, "/v1/stores", &[("x-api-key", OTHER)], "").await;
    refused.is_problem(401, "unauthorized", None);
    assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"storefront\"");
    assert!(!refused.text().contains(OTHER));
    assert_eq!(status_with(&shop, "authorization", &format!("Basic {KEY}")).await, StatusCode::UNAUTHORIZED);
    let in_url = shop.ask(Method::GET, &format!("/v1/stores?api_key={KEY}"), &[], "").await;
    in_url.is_problem(401, "unauthorized", None);
}

#[tokio::test]
async fn a_key_is_replaced_without_a_restart() {
    let shop = Shop::open().await;
    write_keys(&shop.keys_file, &format!("web {OTHER}\n"));
    assert!(shop.keys.reload_if_changed().unwrap());
    assert_eq!(status_with(&shop, "x-api-key", KEY).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status_with(&shop, "x-api-key", OTHER).await, StatusCode::OK);
    write_keys(&shop.keys_file, "broken\n");
    assert!(shop.keys.reload_if_changed().is_err());
    assert_eq!(status_with(&shop, "x-api-key", OTHER).await, StatusCode::OK, "a broken file changes nothing");
}

#[tokio::test]
async fn a_key_over_its_limit_is_told_when_to_come_back() {
    let settings = Settings { requests_per_second: 3, ..Settings::default() };
    let shop = Shop::open_with(settings, Index::new()).await;
    for left in ["2", "1", "0"] {
        let reply = shop.get("/v1/stores").await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!((reply.header("ratelimit-limit"), reply.header("ratelimit-remaining")), ("3", left));
        assert_eq!((reply.header("ratelimit-reset"), reply.header("ratelimit-policy")), ("1", "3;w=1"));
    }
    let refused = shop.get("/v1/stores").await;
    refused.is_problem(429, "rate-limited", None);
    assert_eq!((refused.header("retry-after"), refused.header("ratelimit-remaining")), ("1", "0"));
    assert_eq!(shop.ask(Method::GET, "/healthz", &[], "").await.status, StatusCode::OK);
    shop.wait(1);
    assert_eq!(shop.get("/v1/stores").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let shop = Shop::open().await;
    shop.get("/v1/availabilty").await.is_problem(404, "no-such-path", None);
    let wrong = shop.ask(Method::DELETE, "/v1/stores", &[("x-api-key", KEY)], "").await;
    wrong.is_problem(405, "method-not-allowed", None);
    assert!(wrong.header("allow").contains("GET"), "{:?}", wrong.headers);
    shop.ask(Method::GET, "/v1/nothing", &[], "").await.is_problem(401, "unauthorized", None);
    assert_eq!(wrong.header("x-content-type-options"), "nosniff");
    assert_eq!(wrong.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn health_and_metrics_are_for_those_who_run_the_hub() {
    let shop = Shop::open().await;
    let health = shop.ask(Method::GET, "/healthz", &[], "").await;
    assert_eq!(health.text(), "{\"status\":\"ok\"}");
    let metrics = shop.ask(Method::GET, "/metrics", &[], "").await;
    assert_eq!(metrics.text(), "# EOF\n");
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
}
