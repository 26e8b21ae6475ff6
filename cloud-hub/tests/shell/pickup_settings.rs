//! How stores take part in pickup, over HTTP and from HQ's file, on a real hub with its real database.

use crate::commands::Site;
use crate::peer::PATIENCE;
use crate::process::Running;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

const PATH: &str = "/v1/stores/S0001/pickup-settings";
const HEADER: &str =
    "store,pickup,monday,tuesday,wednesday,thursday,friday,saturday,sunday,exceptions,per_hour,per_day\n";

struct Reply {
    status: u16,
    tag: String,
    body: Value,
}

fn ask(hub: &Running, method: &str, path: &str, headers: &str, body: &str) -> Reply {
    let mut stream = TcpStream::connect(hub.address("http")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\nX-Api-Key: key-for-tests-0123456789\r\n{headers}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap_or_default().to_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, tag, body: serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}")) }
}

fn get(hub: &Running) -> Reply {
    ask(hub, "GET", PATH, "", "")
}

fn put(hub: &Running, tag: &str, body: &Value) -> Reply {
    ask(hub, "PUT", PATH, &format!("If-Match: {tag}\r\n"), &body.to_string())
}

/// An order of something the store does not have.
fn order(hub: &Running, key: &str) -> Value {
    let body = json!({
        "customer": { "name": "Asha Kulkarni" },
        "lines": [{ "sku": "apples", "quantity": 1 }],
        "pickup": { "store": "S0001" },
    });
    let reply = ask(hub, "POST", "/v1/orders", &format!("Idempotency-Key: {key}\r\n"), &body.to_string());
    assert_eq!(reply.status, 409, "{}", reply.body);
    reply.body
}

fn reason(hub: &Running, key: &str) -> Value {
    let said = order(hub, key);
    let kind = said["type"].as_str().unwrap();
    if kind == "urn:shopsmart:problem:insufficient-availability" {
        return json!("no stock");
    }
    assert_eq!(kind, "urn:shopsmart:problem:store-not-taking-orders", "{said}");
    said["reason"].clone()
}

fn in_an_hour() -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string()
}

#[test]
fn settings_are_read_replaced_paused_and_kept() {
    let mut hub = Running::on(Site::with_a_store());
    let first = get(&hub);
    assert_eq!((first.status, &*first.tag, &first.body), (200, "\"0\"", &json!({ "pickup": true })));
    assert_eq!(reason(&hub, "a"), "no stock");

    let off = json!({ "pickup": false, "capacity": { "per_hour": 5 } });
    let changed = put(&hub, &first.tag, &off);
    assert_eq!((changed.status, &*changed.tag, &changed.body), (200, "\"1\"", &off));
    assert_eq!(get(&hub).body, off);
    assert_eq!(reason(&hub, "b"), "pickup_off");

    let late = put(&hub, &first.tag, &json!({ "pickup": true }));
    assert_eq!((late.status, &late.body["type"]), (412, &json!("urn:shopsmart:problem:changed-meanwhile")));
    let blind = ask(&hub, "PUT", PATH, "", &off.to_string());
    assert_eq!((blind.status, &blind.body["parameter"]), (428, &json!("If-Match")));
    assert_eq!(put(&hub, "W/\"1\"", &off).status, 400, "no tag of ours");
    assert_eq!(put(&hub, "*", &json!({ "pickup": true })).tag, "\"2\"");

    let paused = ask(
        &hub,
        "POST",
        &format!("{PATH}/pause"),
        "",
        &json!({ "until": in_an_hour(), "reason": "cold room" }).to_string(),
    );
    assert_eq!((paused.status, &*paused.tag), (200, "\"3\""), "{}", paused.body);
    let said = order(&hub, "c");
    assert_eq!(
        (&said["reason"], &said["until"]),
        (&json!("paused"), &paused.body["paused"]["until"]),
        "{said}"
    );

    assert!(hub.tell("-KILL").code().is_none());
    std::fs::remove_file(hub.site.path("hub/addresses.json")).unwrap();
    let hub = Running::on(std::mem::replace(&mut hub.site, Site::new()));
    let kept = get(&hub);
    assert_eq!((&kept.body, &*kept.tag), (&paused.body, "\"3\""));
    assert_eq!(reason(&hub, "d"), "paused");
    let resumed = ask(&hub, "POST", &format!("{PATH}/resume"), "", "");
    assert_eq!((resumed.status, &*resumed.tag, &resumed.body), (200, "\"4\"", &json!({ "pickup": true })));
    assert_eq!(reason(&hub, "e"), "no stock");
}

#[test]
fn what_can_not_be_meant_is_refused_with_its_field() {
    let hub = Running::on(Site::with_a_store());
    for (body, field) in [
        (json!({ "pickup": true, "capacity": { "per_hour": 0 } }), "capacity.per_hour"),
        (json!({ "pickup": true, "open": 1 }), "open"),
        (json!({}), "pickup"),
        (
            json!({ "pickup": true, "paused": { "until": "2020-01-01T00:00:00Z", "reason": "x" } }),
            "paused.until",
        ),
        (json!({ "pickup": true, "hours": { "monday": ["18:00-09:00"] } }), "hours.tuesday"),
    ] {
        let refused = put(&hub, "*", &body);
        assert_eq!((refused.status, &refused.body["parameter"]), (400, &json!(field)), "{}", refused.body);
    }
    let pause = |body: &str| ask(&hub, "POST", &format!("{PATH}/pause"), "", body);
    assert_eq!(pause(r#"{"until":"2020-01-01T00:00:00Z","reason":"x"}"#).body["parameter"], "until");
    assert_eq!(pause("{}").body["parameter"], "until");
    assert_eq!(pause("").status, 400);
    assert_eq!(
        put(&hub, "*", &json!({ "pickup": true, "exceptions": { "x": ["9".repeat(70_000)] } })).status,
        413
    );
    let unknown = ask(&hub, "GET", "/v1/stores/S0009/pickup-settings", "", "");
    assert_eq!((unknown.status, &unknown.body["type"]), (404, &json!("urn:shopsmart:problem:unknown-store")));
    assert_eq!(ask(&hub, "POST", "/v1/stores/S0009/pickup-settings/resume", "", "").status, 404);
    assert_eq!(ask(&hub, "DELETE", PATH, "", "").status, 405);
    assert_eq!(get(&hub).tag, "\"0\"", "nothing of that has changed anything");
}

#[test]
fn a_sheet_of_headquarters_is_taken_whole_or_not_at_all() {
    let site = Site::with_a_store();
    site.add_store("S0002");
    let file = site.path("stores.csv");
    let import = |more: &[&'static str]| {
        let mut arguments = vec!["store", "settings", "import", file.to_str().unwrap()];
        arguments.extend(more);
        arguments.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let run = |site: &Site, arguments: &[String]| {
        site.does(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let closed = ",closed".repeat(7);
    std::fs::write(
        &file,
        format!("{HEADER}S0001,off{closed},,,\nS0009,on{closed},,,\nS0002,maybe{closed},,,\n"),
    )
    .unwrap();
    let arguments = import(&[]);
    let said = site.fails(1, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(said.contains("nothing was changed") && said.contains("line 4: pickup: `maybe`"), "{said}");

    std::fs::write(&file, format!("{HEADER}S0001,off{closed},,,\nS0002,on{closed},2026-12-25 closed,20,\n"))
        .unwrap();
    let said = run(&site, &import(&["--dry-run"]));
    assert!(said.contains("S0001: pickup: true → false"), "{said}");
    assert!(said.contains("a dry run: 2 of 2 stores would change, none has"), "{said}");

    // Beside a running hub, which is to take notice.
    let mut hub = Running::on(site);
    assert_eq!(get(&hub).tag, "\"0\"", "a dry run changes nothing");
    let said = run(&hub.site, &import(&[]));
    assert!(said.ends_with("2 of 2 stores changed\n"), "{said}");
    hub.wait(|hub| get(hub).tag == "\"1\"");
    assert_eq!(reason(&hub, "a"), "pickup_off");
    let said = run(&hub.site, &import(&[]));
    assert_eq!(said, "0 of 2 stores changed\n", "it says what there is already");
    assert_eq!(put(&hub, "\"0\"", &json!({ "pickup": true })).status, 412);
    let closed = json!({ "pickup": true, "hours": get(&hub).body["hours"] });
    assert_eq!(put(&hub, "\"1\"", &closed).status, 200);
    assert_eq!(reason(&hub, "b"), "closed");
}
