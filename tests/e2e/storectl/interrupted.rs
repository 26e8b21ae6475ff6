//! Power cuts and failures at every point of an installation: run again, it comes to the same end.

use super::{Office, Server};
use crate::harness::eventually;
use std::fs::{self, File};
use std::process::Stdio;

/// Every place at which an installation can be stopped, in its order.
const POINTS: [&str; 14] = [
    "user",
    "folders",
    "program-copied",
    "program",
    "tokens",
    "keys",
    "answered",
    "certificate",
    "config-checked",
    "config",
    "machine",
    "units",
    "enabled",
    "service",
];

#[test]
fn killed_at_any_point_and_run_again_it_comes_to_the_same_end() {
    let office = Office::open("storectl-killed");
    let (untouched, token) = office.bare("S0000");
    untouched.ends(0, &office.install("S0000", &token));
    let wanted = untouched.tree();
    for (number, point) in POINTS.iter().enumerate() {
        let store = format!("S{:04}", number + 1);
        let (server, token) = office.bare(&store);
        let install = office.install(&store, &token);
        kill_at(&server, &install, point);
        server.ends(0, &install);
        assert_eq!(server.tree(), wanted, "after a kill at {point}");
        assert!(server.ends(0, &install).contains("nothing was changed"), "{point}");
    }
}

#[test]
fn failed_at_any_point_it_takes_back_what_it_can_and_comes_to_the_same_end_later() {
    let office = Office::open("storectl-failed");
    let (untouched, token) = office.bare("S0000");
    untouched.ends(0, &office.install("S0000", &token));
    let wanted = untouched.tree();
    for (number, point) in POINTS.iter().enumerate() {
        let store = format!("S{:04}", number + 1);
        let (server, token) = office.bare(&store);
        let install = office.install(&store, &token);
        let failing: Vec<String> =
            install.iter().cloned().chain(["--fail-at".to_owned(), (*point).to_owned()]).collect();
        let said = server.ends(1, &failing);
        assert!(said.contains("E901") && said.contains(&format!("told to fail at {point}")), "{said}");
        assert!(!server.path("etc/shopsmart/agent.toml").exists(), "taken back after {point}");
        server.ends(0, &install);
        assert_eq!(server.tree(), wanted, "after a failure at {point}");
    }
}

#[test]
fn a_renewal_that_is_killed_leaves_a_certificate_that_is_good() {
    let office = Office::open("storectl-renew-killed");
    for (number, point) in ["key", "answered"].iter().enumerate() {
        let store = format!("S{number:04}");
        let (mut server, token) = office.bare(&store);
        server.ends(0, &office.install(&store, &token));
        let before = server.text("var/lib/shopsmart/identity/store.pem");
        kill_at(&server, &["renew".to_owned(), "--now".to_owned()], point);
        assert_eq!(server.text("var/lib/shopsmart/identity/store.pem"), before);
        server.ends(0, &["renew", "--now"]);
        assert_ne!(server.text("var/lib/shopsmart/identity/store.pem"), before);
        assert!(!server.path("var/lib/shopsmart/identity/next.key").exists());
        server.start();
        server.report("receipt", "4011", 1);
        server.is_synced();
        server.stop();
    }
}

/// SIGKILL, once storectl has come to this point.
pub(super) fn kill_at(server: &Server, args: &[String], point: &str) {
    let log = server.path("../killed.log");
    let file = File::create(&log).expect("a log can be made");
    let mut command = server.command(args);
    command.args(["--stop-at", point]).stdout(Stdio::null()).stderr(file);
    let mut child = command.spawn().expect("a built binary starts");
    eventually(&format!("storectl to stop at {point}"), || {
        if let Some(status) = child.try_wait().expect("a child can be asked") {
            panic!("it ended with {status} before {point}: {}", fs::read_to_string(&log).unwrap_or_default());
        }
        let said = fs::read_to_string(&log).map_err(|error| error.to_string())?;
        if said.contains(&format!("stopped at {point}")) { Ok(()) } else { Err(said) }
    });
    child.kill().expect("a child can be killed");
    child.wait().expect("a killed child ends");
}
