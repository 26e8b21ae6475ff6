//! Backups, restores, and taking an agent away without losing anything.

use super::Office;
use std::fs;

const DATABASE: &str = "var/lib/shopsmart/agent/agent.db";

#[test]
fn uninstalling_keeps_the_data_and_installing_again_goes_on_with_it() {
    let office = Office::open("storectl-uninstall");
    let (mut server, token) = office.bare("S0042");
    server.ends(0, &office.install("S0042", &token));
    server.start();
    server.report("receipt", "4011", 10);
    let refused = server.ends(5, &["uninstall"]);
    assert!(refused.contains("E505"), "{refused}");
    server.stop();
    server.ends(0, &["uninstall"]);
    assert!(!server.path("opt/shopsmart/bin/store-agent").exists() && server.path(DATABASE).exists());

    // Without a token: the certificate is still there.
    server.ends(0, &["install", "--agent", office.agent.to_str().unwrap()]);
    server.start();
    server.report("sale", "4011", 4);
    office.hub.shows("S0042", "4011", "6");
    server.stop();
}

#[test]
fn purging_is_refused_while_the_hub_lacks_something() {
    let office = Office::open("storectl-purge");
    let (mut server, token) = office.bare("S0042");
    let mut install = office.install("S0042", &token);
    server.ends(0, &install);
    assert!(server.ends(5, &["uninstall", "--purge"]).contains("E510"));
    // The line is dead: nothing listens where the hub is looked for.
    server.ends(0, &["install", "--hub", "127.0.0.1:9", "--mqtt", "127.0.0.1:9"]);
    server.start();
    server.report("receipt", "4011", 10);
    server.stop();
    let refused = server.ends(5, &["uninstall", "--purge", "--yes"]);
    assert!(refused.contains("E508") && refused.contains("1 movements"), "{refused}");
    assert!(server.path(DATABASE).exists() && server.path("opt/shopsmart/bin/store-agent").exists());

    install.retain(|word| word != "--token-file" && *word != token.display().to_string());
    server.ends(0, &install);
    server.start();
    server.is_synced();
    server.stop();
    server.ends(0, &["uninstall", "--purge", "--yes"]);
    assert_eq!(
        server.tree().iter().filter(|line| line.contains("shopsmart/")).count(),
        0,
        "{:?}",
        server.tree()
    );
}

#[test]
fn what_has_not_reached_the_hub_goes_only_when_that_is_said() {
    let office = Office::open("storectl-even-unsent");
    let server = office.server("S0042");
    let agent = office.agent.to_str().unwrap();
    server.ends(
        0,
        &[
            "install",
            "--store",
            "S0042",
            "--without-hub",
            "--listen",
            "127.0.0.1:0",
            "--page-listen",
            "127.0.0.1:0",
            "--agent",
            agent,
        ],
    );
    let mut server = server;
    server.start();
    server.report("receipt", "4011", 10);
    server.stop();
    server.ends(5, &["uninstall", "--purge", "--yes"]);
    server.ends(0, &["uninstall", "--purge", "--yes", "--even-unsent"]);
    assert!(!server.path("var/lib/shopsmart").exists());
}

#[test]
fn a_backup_of_a_running_store_brings_it_back_on_a_bare_machine() {
    let office = Office::open("storectl-backup");
    let (mut server, token) = office.bare("S0042");
    server.ends(0, &office.install("S0042", &token));
    server.start();
    server.report("receipt", "4011", 10);
    server.report("sale", "4011", 3);
    server.is_synced();
    let backup = office.scene.join("S0042.backup");
    let out = backup.to_str().unwrap();
    server.ends(0, &["backup", "--out", out]);
    server.report("sale", "4011", 1);
    office.hub.shows("S0042", "4011", "6");
    server.is_synced();
    server.stop();

    let mut other = office.server("other-machine");
    other.ends(0, &["restore", "--from", out]);
    other.ends(0, &["install", "--agent", office.agent.to_str().unwrap()]);
    other.references = server.references;
    other.start();
    other.report("sale", "4011", 2);
    other.is_synced();
    office.hub.shows("S0042", "4011", "4");
    other.stop();

    let again = other.ends(5, &["restore", "--from", out]);
    assert!(again.contains("E703"), "{again}");
    let said = other.ends(0, &["restore", "--from", out, "--replace"]);
    assert!(said.contains("what was there lies in"), "{said}");
}

#[test]
fn what_is_no_backup_or_another_stores_changes_nothing() {
    let office = Office::open("storectl-no-backup");
    let (server, token) = office.bare("S0001");
    server.ends(0, &office.install("S0001", &token));
    let (other, token) = office.bare("S0002");
    other.ends(0, &office.install("S0002", &token));
    let backup = office.scene.join("S0002.backup");
    other.ends(0, &["backup", "--out", backup.to_str().unwrap()]);
    let before = server.tree();
    assert!(server.ends(5, &["restore", "--from", backup.to_str().unwrap()]).contains("E702"));
    let bytes = fs::read(&backup).unwrap();
    let half = office.scene.join("half.backup");
    fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let bare = office.server("bare");
    assert!(bare.ends(2, &["restore", "--from", half.to_str().unwrap()]).contains("E701"));
    assert!(!bare.path("etc/shopsmart/agent.toml").exists());
    fs::write(&half, "not at all").unwrap();
    assert!(bare.ends(2, &["restore", "--from", half.to_str().unwrap()]).contains("E701"));
    assert_eq!(server.tree(), before);
}
