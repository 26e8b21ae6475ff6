//! A POS that puts files into a folder, beside a running agent.

use crate::shop::{Shop, until};
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use store_agent::http::listener::Patience;

const CSV: &str = r#"[[pos]]
source = "back-office"
kind = "csv"
path = "csv"
poll_every_ms = 50
kinds = [{ starts = "sale", kind = "sale", quantity_is = "amount" }, { starts = "*", kind = "receipt" }]
[pos.files]
settle_ms = 50
[pos.files.csv]
columns = { key = "id", item = "item", quantity = "qty", at = "at", what = "what" }
"#;
const POSLOG: &str = r#"[[pos]]
source = "tills"
kind = "poslog"
path = "poslog"
poll_every_ms = 50
[pos.files]
settle_ms = 50
"#;
const HEADER: &str = "id,item,qty,at,what\n";

/// Kept here for its neighbours: both folders as sources.
pub fn config() -> String {
    format!("{CSV}{POSLOG}")
}

pub fn prepared(folder: &Path) {
    for name in ["csv", "poslog"] {
        std::fs::create_dir(folder.join(name)).unwrap();
    }
}

/// As a POS delivers: written under another name, then renamed.
fn deliver(folder: &Path, name: &str, text: &str) {
    let half = folder.join(format!("{name}.tmp"));
    std::fs::write(&half, text).unwrap();
    std::fs::rename(half, folder.join(name)).unwrap();
}

fn rows(ids: std::ops::Range<u32>, items: u32) -> String {
    let mut text = HEADER.to_owned();
    for id in ids {
        writeln!(text, "{id},item-{},1,2026-11-28 10:00:00,sale", id % items).unwrap();
    }
    text
}

fn lane(workstation: u32, sequences: std::ops::Range<u32>, items: u32) -> String {
    let mut text = "<POSLog xmlns=\"http://www.nrf-arts.org/IXRetail/namespace/\">\n".to_owned();
    for sequence in sequences {
        writeln!(
            text,
            "<Transaction><RetailStoreID>1</RetailStoreID><WorkstationID>{workstation}</WorkstationID>\
             <SequenceNumber>{sequence}</SequenceNumber><BusinessDayDate>2026-11-27</BusinessDayDate>\
             <EndDateTime>2026-11-28T01:00:00</EndDateTime><RetailTransaction><LineItem><Sale ItemType=\"Stock\">\
             <ItemID>item-{}</ItemID><Quantity>0.5</Quantity></Sale></LineItem></RetailTransaction></Transaction>",
            sequence % items
        )
        .unwrap();
    }
    text + "</POSLog>\n"
}

/// Files arrive until told otherwise, every third one a second time. Gives what was sold of each item, in halves.
pub fn arriving(folder: &Path, stop: &AtomicBool, items: u32) -> Vec<u64> {
    let mut sold = vec![0; usize::try_from(items).unwrap()];
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) || number < 4 {
        let ids = number * 300..number * 300 + 300;
        for id in ids.clone() {
            sold[usize::try_from(id % items).unwrap()] += 3;
        }
        let (csv, poslog) = (rows(ids.clone(), items), lane(number % 7, ids, items));
        deliver(&folder.join("csv"), &format!("sales-{number}.csv"), &csv);
        deliver(&folder.join("poslog"), &format!("lane-{number}.xml"), &poslog);
        if number % 3 == 0 {
            deliver(&folder.join("csv"), &format!("sales-{number}-again.csv"), &csv);
            deliver(&folder.join("poslog"), &format!("lane-{number}.xml"), &poslog);
        }
        number += 1;
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    sold
}

/// The agent's on hand of each item is what was sold.
pub fn agree(sold: &[u64], on_hand: impl Fn(&str) -> String) {
    for (item, halves) in sold.iter().enumerate() {
        let name = format!("item-{item}");
        let wanted = if halves % 2 == 0 { format!("-{}", halves / 2) } else { format!("-{}.5", halves / 2) };
        until(&format!("{name} to be {wanted}; it is {}", on_hand(&name)), || on_hand(&name) == wanted);
    }
}

fn source(shop: &Shop, at: usize) -> serde_json::Value {
    shop.get("/v1/sources").json()["sources"][at].clone()
}

fn has(shop: &Shop, sku: &str, on_hand: &str) {
    until(&format!("{sku} to be {on_hand}; it is {}", shop.on_hand(sku)), || shop.on_hand(sku) == on_hand);
}

#[test]
fn files_are_read_while_the_agent_runs_and_bad_lines_stop_nothing() {
    let mut shop = Shop::prepared(&config(), Patience::default(), prepared);
    let folder = shop.folder.path().to_owned();
    deliver(
        &folder.join("csv"),
        "a.csv",
        &format!(
            "{HEADER}1,milk,10,2026-11-28 08:00:00,RECV 1\n2,milk,x,2026-11-28 08:00:00,sale\n3,milk,2,2026-11-28 09:00:00,sale\n"
        ),
    );
    deliver(&folder.join("poslog"), "a.xml", &lane(3, 0..4, 2));
    has(&shop, "milk", "8");
    has(&shop, "item-1", "-1");
    until("the bad line is told", || {
        source(&shop, 0)["last_set_aside"].as_str().is_some_and(|said| said.contains("a.csv, line 3"))
    });
    let (csv, tills) = (source(&shop, 0), source(&shop, 1));
    assert_eq!(
        (&csv["kind"], &csv["counts"]["set_aside"], &csv["state"]),
        (&"csv".into(), &1.into(), &"reading".into()),
        "{csv}"
    );
    assert_eq!((&tills["kind"], &tills["counts"]["recorded"]), (&"poslog".into(), &4.into()), "{tills}");
    shop.stop();
    deliver(
        &folder.join("csv"),
        "a.csv",
        &format!("{HEADER}3,milk,2,2026-11-28 09:00:00,sale\n4,milk,1,2026-11-28 09:00:00,sale\n"),
    );
    shop.start();
    has(&shop, "milk", "7");
    assert_eq!(source(&shop, 0)["counts"]["duplicates"], 1);
}

#[test]
fn a_folder_that_is_not_there_is_named_and_read_once_it_is() {
    let shop = Shop::prepared(CSV, Patience::default(), |_| {});
    until("the trouble is told", || {
        source(&shop, 0)["last_error"]["reason"]
            .as_str()
            .is_some_and(|said| said.contains("is the path right"))
    });
    std::fs::create_dir(shop.folder.path().join("csv")).unwrap();
    deliver(&shop.folder.path().join("csv"), "a.csv", &rows(0..3, 1));
    has(&shop, "item-0", "-3");
}
