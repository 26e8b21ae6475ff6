//! The units that nobody starts by hand, on a whole Debian with its own systemd: the hub's, and those by which a store follows head office.

use super::Server;
use super::following::Chain;
use super::packaged::packages;
use crate::harness::{BROUGHT, Client, Machine, Scene, Transport, binary, eventually};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

const HUB: &str = "cloud-hub.service";
const UPGRADE: &str = "shopsmart-upgrade.service";
const HUB_CONFIG: &str = "/etc/shopsmart-hub/hub.toml";
const HUB_TABLES: &str = "data_dir = \"/var/lib/shopsmart-hub\"\n[quic]\nlisten = \"127.0.0.1:0\"\n[mqtt]\nlisten = \"127.0.0.1:0\"\n\
                          [storefront]\nlisten = \"127.0.0.1:0\"\nkeys_file = \"/var/lib/shopsmart-hub/keys\"\n[enrolment]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn a_hub_from_its_package_comes_back_from_whatever_happens_to_it() {
    let scene = Scene::over(Transport::Quic, "hub-unit");
    let brought = scene.join("brought");
    fs::create_dir(&brought).expect("a folder can be made");
    let Some(mut machine) = Machine::boot(&scene, "hub", &brought) else { return };
    packages(&brought, "0.1.0");
    let package = fs::read_dir(&brought)
        .expect("a folder can be listed")
        .map(|entry| {
            entry.expect("a folder can be listed").file_name().into_string().expect("a name is text")
        })
        .find(|name| name.starts_with("shopsmart-hub_"))
        .expect("there is a package of the hub");
    let package = format!("{BROUGHT}/{package}");
    machine.does(&["dpkg", "--install", &package]);
    let config = machine.root().join(&HUB_CONFIG[1..]);
    fs::create_dir_all(config.parent().expect("it lies in a folder")).expect("a folder can be made");
    fs::write(&config, HUB_TABLES).expect("a file can be written");
    let as_hub = |machine: &Machine, words: &[&str]| {
        let begin = ["runuser", "--user", "shopsmart-hub", "--", "cloud-hub"];
        machine.does(&[&begin[..], words, &["--config", HUB_CONFIG]].concat())
    };
    as_hub(&machine, &["init"]);
    machine.does(&["systemctl", "enable", "--now", HUB]);
    let first = is_well(&machine, "");
    let place =
        ["--name", "Main Street", "--lat", "40.7", "--lon", "-74.0", "--timezone", "America/New_York"];
    as_hub(&machine, &[&["store", "add", "--id", "S0042"][..], &place].concat());
    assert!(as_hub(&machine, &["rollout", "status"]).contains("S0042"));

    machine.does(&["systemctl", "kill", "--kill-whom=main", "--signal=KILL", HUB]);
    let second = is_well(&machine, &first);
    machine.cut_power();
    machine.start();
    let third = is_well(&machine, &second);
    assert!(as_hub(&machine, &["store", "list"]).contains("S0042"));

    // Removed and purged: what is the whole chain's stays.
    machine.does(&["dpkg", "--purge", "shopsmart-hub"]);
    assert!(machine.root().join("var/lib/shopsmart-hub/hub.db").exists(), "{third}");
}

/// The hub answers, another process than before; gives which.
fn is_well(machine: &Machine, before: &str) -> String {
    let mut now = String::new();
    eventually("the hub to be well", || {
        let shown = machine.does(&["systemctl", "show", "--property=InvocationID", "--value", HUB]);
        shown.trim().clone_into(&mut now);
        if now.is_empty() || now == before {
            return Err(format!("invocation {now}"));
        }
        let addresses = machine.root().join("var/lib/shopsmart-hub/addresses.json");
        let addresses = fs::read_to_string(addresses).map_err(|error| error.to_string())?;
        let addresses: Value = serde_json::from_str(&addresses).map_err(|error| error.to_string())?;
        let address = addresses["http"].as_str().and_then(|text| text.parse().ok());
        let client = Client::new(address.ok_or("no address")?, "");
        let reply = client.get("/healthz").map_err(|error| error.to_string())?;
        if reply.status == 200 { Ok(()) } else { Err(reply.body) }
    });
    now
}

#[test]
fn a_store_follows_head_office_by_its_units_alone_also_when_the_power_fails_in_between() {
    let chain = Chain::open("follow-units");
    let scene = &chain.office.scene;
    let brought = scene.join("brought");
    fs::create_dir(&brought).expect("a folder can be made");
    let Some(mut machine) = Machine::boot(scene, "store", &brought) else { return };
    chain.office.expect("S0042");
    for (from, name) in [(chain.office.token("S0042"), "token"), (chain.office.agent.clone(), "store-agent")]
    {
        fs::copy(from, brought.join(name)).expect("a file can be copied");
    }
    let stripped =
        Command::new("strip").arg("-o").arg(brought.join("storectl")).arg(binary("storectl")).status();
    assert!(stripped.expect("binutils are there").success());
    let (hub, mqtt) =
        (chain.office.hub.quic_address().to_string(), chain.office.hub.mqtt_address().to_string());
    let [storectl, agent, token] =
        ["storectl", "store-agent", "token"].map(|name| format!("{BROUGHT}/{name}"));
    let mut install = vec![storectl.as_str(), "install", "--non-interactive", "--store", "S0042"];
    install.extend(["--hub", &hub, "--mqtt", &mqtt, "--token-file", &token, "--agent", &agent]);
    install.extend(["--listen", "127.0.0.1:0", "--page-listen", "127.0.0.1:0"]);
    machine.does(&install);
    for timer in ["shopsmart-upgrade.timer", "shopsmart-renew.timer"] {
        machine.does(&["systemctl", "is-active", "--quiet", timer]);
    }
    // With nothing to do, each of them ends well.
    for unit in [UPGRADE, "shopsmart-renew.service"] {
        machine.does(&["systemctl", "start", "--wait", unit]);
    }

    let mut server = Server { root: machine.root().to_owned(), agent: None, references: 0, days_ahead: 0 };
    fs::write(server.path("etc/shopsmart/release-roots.pub"), chain.press.roots())
        .expect("a file can be written");
    server.report("receipt", "tea", 10);
    let web = chain.release("0.1.7", 7);
    trusts(&server, &web.authority);
    chain.starts("0.1.7", 7, &web);
    machine.does(&["systemctl", "start", "--wait", UPGRADE]);
    is_version(&server, "0.1.7");
    chain.shows("S0042", "done");
    server.report("sale", "tea", 1);

    let next = chain.release("0.1.8", 8);
    trusts(&server, &next.authority);
    chain.starts("0.1.8", 8, &next);
    // An agent that somebody has stopped is left alone.
    machine.does(&["systemctl", "stop", "store-agent.service"]);
    machine.does(&["systemctl", "start", "--wait", UPGRADE]);
    let active = machine.run(&["systemctl", "is-active", "store-agent.service"]);
    assert_eq!(String::from_utf8_lossy(&active.stdout).trim(), "inactive");
    machine.does(&["systemctl", "start", "store-agent.service"]);
    is_version(&server, "0.1.7");
    machine.does(&["systemctl", "start", "--no-block", UPGRADE]);
    eventually("the new version to be on trial", || {
        let stage = books(&server)["under_way"]["stage"].clone();
        if stage == "trial" { Ok(()) } else { Err(stage.to_string()) }
    });
    machine.cut_power();
    let _ = fs::remove_file(server.path("var/lib/shopsmart/agent/addresses.json"));
    machine.start();
    eventually("the upgrade to have come to its end", || {
        let books = books(&server);
        if books["under_way"].is_null() { Ok(()) } else { Err(books.to_string()) }
    });
    is_version(&server, "0.1.8");
    eventually("head office to know", || {
        let status = chain.status();
        if status["stores"][0]["standing"] == "done" { Ok(()) } else { Err(status.to_string()) }
    });
    server.report("sale", "tea", 1);
    server.is_synced();
}

/// The authority of a web server, where the container finds it.
fn trusts(server: &Server, authority: &Path) {
    fs::copy(authority, server.path("etc/shopsmart/web-ca.pem")).expect("a file can be copied");
    let text = "[upgrade]\nca = \"/etc/shopsmart/web-ca.pem\"\n";
    fs::write(server.path("etc/shopsmart/storectl.toml"), text).expect("a file can be written");
}

fn books(server: &Server) -> Value {
    serde_json::from_str(&server.text("var/lib/shopsmart/upgrade/books.json")).expect("the books are JSON")
}

fn is_version(server: &Server, version: &str) {
    eventually(&format!("an agent {version}"), || {
        let file = server.path("var/lib/shopsmart/agent/addresses.json");
        fs::read(file).map_err(|error| error.to_string())?;
        let reply = server.client().get("/healthz").map_err(|error| error.to_string())?;
        if reply.json()["version"] == version { Ok(()) } else { Err(reply.body) }
    });
}
