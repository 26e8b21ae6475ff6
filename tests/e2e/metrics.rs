//! What operators read: each metric that a running daemon shows is explained in their page.

use crate::harness::{Hub, Store};
use std::path::Path;

#[test]
fn every_metric_shown_is_explained() {
    let scene = super::scene("metrics");
    let hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    store.receive("4011", "10");
    hub.shows("S0001", "4011", "10");

    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut missing = Vec::new();
    for client in [hub.client(), store.client()] {
        let shown = client.get("/metrics").unwrap().expect(200).body;
        let families = shown.lines().filter_map(|line| line.strip_prefix("# HELP "));
        missing.extend(families.filter(|family| !is_explained(&page, family)).map(str::to_owned));
    }
    assert!(missing.is_empty(), "not in docs/operating/metrics.md:\n{}", missing.join("\n"));
}

/// `family` is a name and its help text; counters are shown without their `_total`.
fn is_explained(page: &str, family: &str) -> bool {
    let name = family.split(' ').next().unwrap_or(family);
    ["`", "{", "_total`", "_total{", "_info`", "_info{"]
        .iter()
        .any(|end| page.contains(&format!("| `{name}{end}")))
}
