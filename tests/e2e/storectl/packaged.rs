//! The Debian packages on a whole Debian with its own systemd: installed, enrolled, selling, killed, without power, upgraded, removed.

use super::{Office, Server};
use crate::harness::{BROUGHT, Machine, Stopwatch, binary, eventually};
use std::fs;
use std::path::Path;
use std::process::Command;

const UNIT: &str = "store-agent.service";
const POS_FOLDER: &str = "/var/lib/pos/out";
const FILES: &str = r#"
[[pos]]
source = "files"
kind = "csv"
path = "/var/lib/pos/out"
kinds = [{ starts = "*", kind = "receipt", quantity_is = "amount" }]
[pos.files]
settle_ms = 1000
[pos.files.csv]
columns = { key = "id", item = "item", quantity = "qty", at = "at", what = "what" }
"#;

/// Packages of the development build.
pub(super) fn packages(folder: &Path, version: &str) {
    let mut command = Command::new(binary("xtask"));
    command.args(["deb", "--profile", "dev", "--version", version, "--out"]).arg(folder);
    let output = command.output().expect("a built binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn package(version: &str) -> String {
    let output = Command::new("dpkg").arg("--print-architecture").output().expect("dpkg is there");
    let architecture = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    format!("{BROUGHT}/shopsmart-agent_{version}_{architecture}.deb")
}

/// A machine on which the agent is somebody else's business: systemd's.
struct Store {
    machine: Machine,
    server: Server,
}

impl Store {
    fn pid(&self) -> String {
        self.machine.does(&["systemctl", "show", "--property=MainPID", "--value", UNIT]).trim().to_owned()
    }

    fn state(&self) -> String {
        let output = self.machine.run(&["systemctl", "is-active", UNIT]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// One is sold, and the hub hears of it.
    fn sells(&mut self, office: &Office, left: &str) {
        self.is_healthy();
        self.server.report("sale", "tea", 1);
        office.hub.shows("S0042", "tea", left);
    }

    fn is_healthy(&self) {
        self.machine.does(&["storectl", "status", "--wait-healthy", "--non-interactive"]);
    }
}

/// A bare system with packages of two versions beside it and a token; `None` where no system can be had.
fn bare(office: &Office) -> Option<Store> {
    let brought = office.scene.join("brought");
    fs::create_dir(&brought).expect("a folder can be made");
    let machine = Machine::boot(&office.scene, "store", &brought)?;
    packages(&brought, "0.1.0");
    packages(&brought, "0.1.1");
    office.expect("S0042");
    fs::copy(office.token("S0042"), brought.join("token")).expect("a file can be copied");
    let root = machine.root().to_owned();
    Some(Store { machine, server: Server { root, agent: None, references: 0, days_ahead: 0 } })
}

fn installed(store: &mut Store, office: &Office) {
    let watch = Stopwatch::started();
    store.machine.does(&["dpkg", "--install", &package("0.1.0")]);
    assert_eq!(store.state(), "inactive", "nothing runs before it has been set up");
    let (hub, mqtt) = (office.hub.quic_address().to_string(), office.hub.mqtt_address().to_string());
    let token = format!("{BROUGHT}/token");
    let mut install = vec!["storectl", "install", "--non-interactive", "--store", "S0042"];
    install.extend(["--hub", &hub, "--mqtt", &mqtt, "--token-file", &token]);
    install.extend(["--listen", "127.0.0.1:0", "--page-listen", "127.0.0.1:0"]);
    install.extend(["--time-zone", "America/New_York"]);
    store.machine.does(&install);
    store.server.report("receipt", "tea", 10);
    store.server.is_synced();
    eprintln!("from the bare system with the package present to stock at the hub: {:.1?}", watch.elapsed());
    // Run again, it changes nothing.
    let pid = store.pid();
    let said = store.machine.does(&["storectl", "install", "--non-interactive"]);
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(store.pid(), pid);
}

#[test]
fn a_package_makes_a_store_of_a_bare_debian_and_loses_nothing_whatever_happens_to_it() {
    let office = Office::open("packaged");
    let Some(mut store) = bare(&office) else { return };
    installed(&mut store, &office);

    // All of the stock is the web's, so that the hub shows what the ledger says; and a person's own words stay.
    let config = store.server.path("etc/shopsmart/agent.toml");
    let text = fs::read_to_string(&config).unwrap();
    let text = format!("{text}\n# ours\n[reserve]\nexposure_s = 0\nz = 0.0\n{FILES}");
    fs::write(&config, &text).unwrap();
    // Files of a POS, in a folder that only this store's settings open to the agent.
    store.machine.does(&["install", "--directory", "--owner=shopsmart", POS_FOLDER]);
    store.machine.does(&["storectl", "install", "--non-interactive"]);
    store.machine.does(&["systemctl", "restart", UNIT]);
    store.sells(&office, "9");
    let folder = store.server.path(&POS_FOLDER[1..]);
    fs::write(folder.join("day.tmp"), "id,item,qty,at,what\n1,ham,5,2026-11-28 10:00:00,in\n").unwrap();
    fs::rename(folder.join("day.tmp"), folder.join("day.csv")).unwrap();
    office.hub.shows("S0042", "ham", "5");
    eventually("the file to have been put away", || {
        if folder.join("day.csv").exists() { Err("it lies there") } else { Ok(()) }
    });

    // Killed: systemd starts it again.
    let pid = store.pid();
    store.machine.does(&["systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT]);
    eventually("systemd to have started the agent again", || {
        let now = store.pid();
        if now != "0" && now != pid { Ok(()) } else { Err(now) }
    });
    store.sells(&office, "8");

    // Without power: what was acknowledged is there, and the store opens by itself.
    store.server.report("sale", "tea", 1);
    store.machine.cut_power();
    let _ = fs::remove_file(store.server.path("var/lib/shopsmart/agent/addresses.json"));
    store.machine.start();
    store.sells(&office, "6");

    // The next version: another process, the same store.
    let pid = store.pid();
    store.machine.does(&["dpkg", "--install", &package("0.1.1")]);
    store.sells(&office, "5");
    assert_ne!(store.pid(), pid);
    assert_eq!(fs::read_to_string(&config).unwrap(), text);

    // Removed and installed again.
    store.machine.does(&["dpkg", "--remove", "shopsmart-agent"]);
    assert_ne!(store.state(), "active");
    store.machine.does(&["dpkg", "--install", &package("0.1.1")]);
    store.machine.does(&["storectl", "install", "--non-interactive"]);
    store.sells(&office, "4");

    // Purged: what can be had again goes, what was sold stays.
    let said = store.machine.does(&["dpkg", "--purge", "shopsmart-agent"]);
    assert!(said.contains("/var/lib/shopsmart/agent"), "{said}");
    let is_there = ["etc/shopsmart", "var/lib/shopsmart/identity", "var/lib/shopsmart/agent/agent.db"]
        .map(|path| store.server.path(path).exists());
    assert_eq!(is_there, [false, false, true]);
    let wanted = ["multi-user", "timers"].map(|target| format!("etc/systemd/system/{target}.target.wants"));
    let left = wanted.iter().flat_map(|folder| fs::read_dir(store.server.path(folder)).into_iter().flatten());
    let left: Vec<String> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(
        !left.iter().any(|unit| unit.starts_with("shopsmart") || unit.starts_with("store-agent")),
        "{left:?}"
    );
}
