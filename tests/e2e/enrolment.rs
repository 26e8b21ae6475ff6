//! A store's identity from its token to the day it is shut out: real hub, real agent, and the agent is never restarted for it.

use crate::harness::{Ground, Hub, Scene, Store, Transport, eventually};

fn hub(scene: &Scene) -> Hub {
    let door = "[enrolment]\nlisten = \"127.0.0.1:0\"\naddresses = [\"localhost:7445\"]\n";
    Hub::open_with(scene, Ground::Machine, door)
}

/// Waits until the store hears why it has no link.
#[track_caller]
fn hears(store: &Store, why: &str) {
    eventually(&format!("{} to hear `{why}`", store.id()), || {
        let sync = store.sync();
        let said = sync["last_link_error"]["reason"].as_str().unwrap_or_default().contains(why);
        if said && sync["link"] != "streaming" { Ok(()) } else { Err(sync.to_string()) }
    });
}

#[test]
fn a_store_enrols_renews_is_shut_out_and_comes_back_while_it_sells() {
    for transport in [Transport::Quic, Transport::Mqtt] {
        let scene = Scene::over(transport, "enrolment");
        let hub = hub(&scene);
        let (store, installer) = Store::enrolled(&scene, &hub, "S0001");
        store.receive("4011", "10");
        hub.shows("S0001", "4011", "10");
        let before = store.sync()["certificate"].clone();
        assert_eq!(before["expired"], false, "{before}");
        let days = before["expires_in_s"].as_u64().unwrap() / 86_400;
        assert!((59..=60).contains(&days), "{before}");
        assert!(
            store.client().get("/metrics").unwrap().body.contains("certificate_expires_timestamp_seconds 1")
        );

        // The link that is up stays; the next one shows the new certificate, and the old one is good for nothing from then on.
        let (status, answer) = installer.renew();
        assert_eq!(status, 200, "{answer}");
        store.sell("4011", "1");
        hub.shows("S0001", "4011", "9");
        store.line.cut();
        store.sell("4011", "1");
        // A link over QUIC outlives a short cut.
        eventually("the link to end", || {
            let link = store.sync()["link"].clone();
            if link == "streaming" { Err(link.to_string()) } else { Ok(()) }
        });
        store.line.mend();
        hub.shows("S0001", "4011", "8");
        eventually("the hub to have seen the new certificate", || {
            let shown = String::from_utf8(hub.run(&["store", "show"], &["S0001"]).stdout).unwrap();
            if shown.contains(" outdated,") { Ok(()) } else { Err(shown) }
        });

        hub.run(&["store", "revoke"], &["S0001"]);
        hears(&store, "revoked");
        store.sell("4011", "3");
        store.has("4011", "5");
        assert_eq!(installer.renew().0, 403);

        installer.enrol(&hub.token("S0001"));
        hub.shows("S0001", "4011", "5");
        store.is_synced();
    }
}

/// Both were made from one image, after it had been enrolled: they show the same certificate.
#[test]
fn two_machines_from_one_image_are_both_shut_out_until_one_is_enrolled_anew() {
    let scene = Scene::over(Transport::Quic, "image");
    let hub = hub(&scene);
    let (mut store, installer) = Store::enrolled(&scene, &hub, "S0001");
    store.receive("4011", "10");
    hub.shows("S0001", "4011", "10");
    store.is_synced();
    store.stop();
    let clone = store.cloned(&scene, "S0001-clone");
    store.start();
    hears(&store, "must choose");
    hears(&clone, "must choose");
    store.sell("4011", "1");
    store.has("4011", "9");

    installer.enrol(&hub.token("S0001"));
    store.is_synced();
    hub.shows("S0001", "4011", "9");
    hears(&clone, "no longer the store's");
}
