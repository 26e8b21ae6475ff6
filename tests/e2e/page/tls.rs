//! The page where tablets reach it: on all addresses, with the certificate that the hub issues, in a browser that trusts the hub's
//! authority and nothing else of ours.

use super::scene;
use super::shop::Counter;
use crate::harness::{Browser, Scene};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name that tablets know the store's server by.
const NAME: &str = "store.test";

/// A home in which a browser trusts the hub's authority.
fn trusting(scene: &Scene, authority: &Path) -> PathBuf {
    let home = scene.join("home");
    let trusted = home.join(".pki/nssdb");
    fs::create_dir_all(&trusted).expect("a folder can be made");
    let database = format!("sql:{}", trusted.display());
    for arguments in [&["-N", "--empty-password"][..], &["-A", "-t", "C,,", "-n", "hub", "-i"]] {
        let mut command = Command::new("certutil");
        command.args(["-d", &database]).args(arguments);
        if arguments[0] == "-A" {
            command.arg(authority);
        }
        assert!(command.status().expect("certutil is installed").success(), "{command:?}");
    }
    home
}

fn wide(scene: &Scene) -> (Counter, u16, PathBuf) {
    let mut counter = Counter::open(scene);
    let out = scene.join("page-tls");
    let text = out.to_str().expect("a folder's name is text");
    counter.hub.run(&["store", "page-certificate"], &["--id", "S0001", "--host", NAME, "--out", text]);
    counter.store.page_is(&format!(
        "listen = \"0.0.0.0:0\"\nhosts = [\"{NAME}\"]\ncertificate = \"{text}/page.pem\"\nkey = \"{text}/page.key\""
    ));
    let port = counter.store.page().port();
    (counter, port, out)
}

/// Names are looked up nowhere: both lead to this machine, as an evil name server would have it.
fn mapped() -> Vec<String> {
    vec![format!("--host-resolver-rules=MAP {NAME} 127.0.0.1, MAP evil.test 127.0.0.1")]
}

#[test]
fn tablets_trust_the_hubs_certificate_and_their_cookies_stay_on_it() {
    let scene = scene("page-tls");
    let (counter, port, out) = wide(&scene);
    let home = trusting(&scene, &out.join("ca.pem"));
    let origin = format!("https://{NAME}:{port}");
    let tablet = Browser::open_with(&scene, "tablet", &origin, &mapped(), &[("HOME", &home)]);
    let tablet = counter.set_up_in(tablet);
    tablet.shows("#screen-says", "connected");
    tablet.click("a[href='/items']");
    tablet.scans(super::shop::TEA);
    tablet.shows("h1", "Green tea");
    let cookies = tablet.devtools("Network.getCookies", &serde_json::json!({}));
    let cookies: Vec<Value> = cookies["cookies"].as_array().cloned().unwrap_or_default();
    assert!(cookies.len() >= 2, "{cookies:?}");
    for cookie in cookies {
        let name = cookie["name"].as_str().unwrap_or_default();
        assert!(name.starts_with("__Host-"), "{cookie}");
        let is_guarded =
            cookie["secure"] == true && cookie["httpOnly"] == true && cookie["sameSite"] == "Strict";
        assert!(is_guarded, "{cookie}");
    }
    tablet.is_clean();
}

#[test]
fn a_stranger_to_the_authority_and_a_name_that_was_pointed_here_get_no_page() {
    let scene = scene("page-tls-strangers");
    let (counter, port, out) = wide(&scene);
    // The hub's authority is not known here.
    let stranger = Browser::open_with(&scene, "stranger", &format!("https://{NAME}:{port}"), &mapped(), &[]);
    stranger.refuses("/", "ERR_CERT_AUTHORITY_INVALID");
    // Here it is, but the certificate is not for that name.
    let home = trusting(&scene, &out.join("ca.pem"));
    let evil = format!("https://evil.test:{port}");
    let fooled = Browser::open_with(&scene, "fooled", &evil, &mapped(), &[("HOME", &home)]);
    fooled.refuses("/", "ERR_CERT_COMMON_NAME_INVALID");
    // And whoever waves all that through hears from the page itself that it does not go by that name.
    let mut careless = mapped();
    careless.push("--ignore-certificate-errors".to_owned());
    let careless = Browser::open_with(&scene, "careless", &evil, &careless, &[]);
    careless.goto("/");
    careless.shows("body", "This address is not the store's page.");
    assert!(!careless.text("body").contains("Set up"), "{}", counter.store.id());
}
