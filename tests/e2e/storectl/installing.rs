//! From a bare server to a sale at the hub, and what a second run does.

use super::{Office, Server};
use crate::harness::{binary, eventually};
use std::fs;
use std::process::Command;
use std::thread;

#[test]
fn from_a_bare_server_to_a_sale_that_the_hub_shows() {
    let office = Office::open("storectl-first-sale");
    let (mut server, token) = office.bare("S0042");
    let answers = office.scene.join("answers.toml");
    let text = format!(
        "store = \"S0042\"\nhub = \"{}\"\nmqtt = \"{}\"\ntoken_file = \"{}\"\nlisten = \"127.0.0.1:0\"\npage_listen = \"127.0.0.1:0\"\n\
         time_zone = \"America/New_York\"\nagent = \"store-agent\"\n",
        office.hub.quic_address(),
        office.hub.mqtt_address(),
        token.display()
    );
    fs::write(&answers, text).unwrap();
    let install = ["install", "--answers", answers.to_str().unwrap()];

    let foreseen = server.ends(3, &[&install[..], &["--dry-run"]].concat());
    assert!(foreseen.contains("would change certificate"), "{foreseen}");
    assert_eq!(server.tree(), ["644 etc/machine-id", "755 etc"], "a preview changes nothing");

    server.ends(0, &install);
    server.start();
    let well = server.ends(0, &["status", "--wait-healthy"]);
    assert!(well.contains("store S0042") && well.contains("healthy"), "{well}");
    server.report("receipt", "4011", 10);
    server.report("sale", "4011", 3);
    office.hub.shows("S0042", "4011", "7");

    server.is_synced();
    let said = server.ends(0, &["doctor"]);
    assert!(said.contains("nothing is wrong") && said.contains("it is our hub that answers"), "{said}");
}

#[test]
fn a_second_run_changes_nothing_and_what_a_person_changed_stays() {
    let office = Office::open("storectl-again");
    let (server, token) = office.bare("S0001");
    let install = office.install("S0001", &token);
    server.ends(0, &install);
    let config = server.path("etc/shopsmart/agent.toml");
    let by_hand =
        format!("# the shop by the river\n{}\n[reserve]\nz = 2.0\n", fs::read_to_string(&config).unwrap());
    fs::write(&config, &by_hand).unwrap();

    let before = server.tree();
    fs::remove_file(&token).unwrap();
    assert!(server.ends(0, &install).contains("nothing was changed"));
    assert!(
        server.ends(0, &["install"]).contains("nothing was changed"),
        "what is installed is answer enough"
    );
    server.ends(0, &["install", "--dry-run"]);
    assert_eq!((server.tree(), fs::read_to_string(&config).unwrap()), (before, by_hand));

    let other = server.ends(3, &["install", "--dry-run", "--listen", "127.0.0.1:7171"]);
    assert!(
        other.contains("- listen = \"127.0.0.1:0\"") && other.contains("+ listen = \"127.0.0.1:7171\""),
        "{other}"
    );
    let other_store = server.ends(2, &["install", "--store", "S0002"]);
    assert!(other_store.contains("E102") && other_store.contains("uninstall it first"), "{other_store}");
}

#[test]
fn a_configuration_the_agent_does_not_accept_never_takes_the_place_of_one_that_works() {
    let office = Office::open("storectl-bad-config");
    let (server, token) = office.bare("S0001");
    server.ends(0, &office.install("S0001", &token));
    let before = server.text("etc/shopsmart/agent.toml");
    let said = server.ends(1, &["install", "--time-zone", "America/Atlantis"]);
    assert!(said.contains("E502") && said.contains("time_zone"), "{said}");
    assert_eq!(server.text("etc/shopsmart/agent.toml"), before);
    assert!(!server.path("etc/shopsmart/agent.toml.candidate").exists());
}

#[test]
fn a_pos_that_is_known_is_named_and_its_password_lies_where_the_agent_looks_for_it() {
    use std::os::unix::fs::PermissionsExt;
    let office = Office::open("storectl-preset");
    let (server, token) = office.bare("S0042");
    let password = office.scene.join("unicenta.password");
    fs::write(&password, "a-secret-of-the-pos\r\n").unwrap();
    let mut args = office.install("S0042", &token);
    args.extend(
        ["--time-zone", "Asia/Kolkata", "--preset", "unicenta", "--pos", "location=3"].map(str::to_owned),
    );
    args.extend(["--pos".to_owned(), "address=127.0.0.1:9".to_owned()]);
    let before = server.tree();
    let said = server.ends(2, &[&args[..], &["--pos".to_owned(), "nonsense".to_owned()]].concat());
    assert!(said.contains("E102") && said.contains("`nonsense` is not `key=value`"), "{said}");
    assert_eq!(server.tree(), before);
    args.extend(["--pos-password-file".to_owned(), password.display().to_string()]);
    let said = server.ends(0, &args);
    assert!(!said.contains("a-secret-of-the-pos"), "{said}");
    let config = server.text("etc/shopsmart/agent.toml");
    for line in
        ["location = \"3\"", "address = \"127.0.0.1:9\"", "time_zone = \"Asia/Kolkata\"", "key_is = \"text\""]
    {
        assert!(config.contains(line), "{line}: {config}");
    }
    assert_eq!(server.text("etc/shopsmart/unicenta.password"), "a-secret-of-the-pos\n");
    let mode = fs::metadata(server.path("etc/shopsmart/unicenta.password")).unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0, "{mode:o}");
    // The same again changes nothing; without a POS there is nowhere to put a password.
    assert!(server.ends(0, &args).contains("nothing was changed"));
    let (bare, token) = office.bare("S0043");
    let mut args = office.install("S0043", &token);
    args.extend(["--pos-password-file".to_owned(), password.display().to_string()]);
    let said = bare.ends(2, &args);
    assert!(said.contains("needs one [[pos]]"), "{said}");
}

#[test]
fn modes_that_somebody_changed_are_named_and_mended() {
    use std::os::unix::fs::PermissionsExt;
    let office = Office::open("storectl-modes");
    let (server, token) = office.bare("S0001");
    server.ends(0, &office.install("S0001", &token));
    let key = server.path("var/lib/shopsmart/identity/store.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let said = server.ends(4, &["doctor"]);
    assert!(said.contains("[E208]") && said.contains("store.pem"), "{said}");
    assert!(server.ends(0, &["install"]).contains("644 → 600"));
    assert!(server.ends(0, &["install"]).contains("nothing was changed"));
}

#[test]
fn twenty_stores_are_installed_at_once_from_one_answers_file() {
    let office = Office::open("storectl-twenty");
    let stores: Vec<String> = (1..=20).map(|number| format!("S{number:04}")).collect();
    for store in &stores {
        office.expect(store);
        office.token(store);
    }
    let answers = office.scene.join("answers.toml");
    let text = format!(
        "hub = \"{}\"\nmqtt = \"{}\"\ntoken_file = \"{{store}}.token\"\nlisten = \"127.0.0.1:0\"\npage_listen = \"127.0.0.1:0\"\nagent = \"store-agent\"\n",
        office.hub.quic_address(),
        office.hub.mqtt_address()
    );
    fs::write(&answers, text).unwrap();
    let servers: Vec<Server> = stores.iter().map(|store| office.server(store)).collect();
    thread::scope(|scope| {
        for (store, server) in stores.iter().zip(&servers) {
            let answers = answers.to_str().unwrap();
            scope.spawn(move || server.ends(0, &["install", "--answers", answers, "--store", store]));
        }
    });
    let mut servers = servers;
    for at in [0, 19] {
        let server = &mut servers[at];
        server.start();
        server.report("receipt", "4011", 5);
        server.is_synced();
        server.stop();
    }
}

#[test]
fn an_image_is_made_ready_for_systemd_without_a_hub_and_without_starting_anything() {
    let office = Office::open("storectl-image");
    let server = office.server("image");
    let run = |args: &[&str]| {
        let mut command = Command::new(binary("storectl"));
        command.arg("--root").arg(&server.root).args(["--non-interactive", "install"]).args(args);
        let output = command.arg("--agent").arg(&office.agent).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run(&["--without-hub", "--store", "S0009"]);
    let unit = server.text("etc/systemd/system/store-agent.service");
    assert!(
        unit.contains("ExecStart=/opt/shopsmart/bin/store-agent run --config /etc/shopsmart/agent.toml"),
        "{unit}"
    );
    for enabled in
        ["multi-user.target.wants/store-agent.service", "timers.target.wants/shopsmart-renew.timer"]
    {
        assert!(server.path("etc/systemd/system").join(enabled).symlink_metadata().is_ok(), "{enabled}");
    }
    let config = server.text("etc/shopsmart/agent.toml");
    assert!(!config.contains(server.root.to_str().unwrap()) && !config.contains("[hub]"), "{config}");
    assert!(run(&[]).contains("nothing was changed"));
}

#[test]
fn the_agent_takes_what_was_changed_when_it_is_started_again() {
    let office = Office::open("storectl-restart");
    let (mut server, token) = office.bare("S0001");
    server.ends(0, &office.install("S0001", &token));
    server.start();
    let said = server.ends(0, &["install", "--time-zone", "Asia/Kolkata"]);
    assert!(said.contains("start it again"), "{said}");
    let quiet = server.ends(0, &["install"]);
    assert!(!quiet.contains("start it again"), "{quiet}");
    server.stop();
    server.start();
    eventually("the agent to be healthy", || {
        let status = server.json(&["status"]);
        if status["healthy"] == true { Ok(()) } else { Err(status.to_string()) }
    });
}
