//! The command line, as an operator meets it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A folder with a configuration file, and the commands run on it.
pub struct Site {
    pub folder: TempDir,
}

impl Site {
    pub fn new() -> Site {
        let listen = "listen = \"127.0.0.1:0\"";
        let text =
            format!("data_dir = \"hub\"\n[quic]\n{listen}\n[mqtt]\n{listen}\n[storefront]\n{listen}\n");
        let site = Site { folder: tempfile::tempdir().unwrap() };
        std::fs::write(site.config(), text).unwrap();
        std::fs::write(site.path("keys"), "test key-for-tests-0123456789\n").unwrap();
        std::fs::set_permissions(site.path("keys"), Permissions::from_mode(0o600)).unwrap();
        site
    }

    /// With an authority and one store, S0001.
    pub fn with_a_store() -> Site {
        let site = Site::new();
        site.does(&["init"]);
        site.add_store("S0001");
        site
    }

    pub fn add_store(&self, id: &str) {
        let place = ["--lat=40.7", "--lon=-74.0", "--timezone=America/New_York"];
        self.does(&[&["store", "add", "--id", id, "--name=Broadway"][..], &place].concat());
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("hub.toml")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloud-hub"));
        command.args(arguments).arg("--config").arg(self.config());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed, and gives what it said.
    pub fn does(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", complaint(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail with `code`, and gives its complaint.
    pub fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{}", complaint(&output));
        complaint(&output)
    }
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn init_makes_an_authority_once() {
    let site = Site::new();
    site.does(&["init", "--name", "hub.example", "--name", "10.0.0.7"]);
    let before = std::fs::read(site.path("hub/pki/ca.key")).unwrap();
    assert_eq!(mode(&site.path("hub/pki/ca.key")), 0o600);
    assert_eq!(mode(&site.path("hub/pki/server.key")), 0o600);
    let said = site.fails(1, &["init"]);
    assert!(said.contains("already exists and is never overwritten"), "{said}");
    assert_eq!(std::fs::read(site.path("hub/pki/ca.key")).unwrap(), before);
}

#[test]
fn init_writes_a_first_key_but_leaves_keys_alone() {
    let site = Site::new();
    std::fs::remove_file(site.path("keys")).unwrap();
    let said = site.does(&["init"]);
    assert!(said.contains("first API key"), "{said}");
    assert_eq!(mode(&site.path("keys")), 0o600);
    let site = Site::new();
    let before = std::fs::read(site.path("keys")).unwrap();
    assert!(!site.does(&["init"]).contains("API key"));
    assert_eq!(std::fs::read(site.path("keys")).unwrap(), before);
}

#[test]
fn init_wants_names_that_stores_can_connect_to() {
    let said = Site::new().fails(2, &["init", "--name", "https://hub.example"]);
    assert!(said.contains("neither a DNS name nor an IP address"), "{said}");
}

#[test]
fn a_store_gets_its_certificate_once_it_is_known() {
    let site = Site::new();
    site.does(&["init"]);
    let out = site.path("S0001");
    let issue = ["store", "certificate", "--offline", "--id", "S0001", "--out", out.to_str().unwrap()];
    let said = site.fails(1, &issue);
    assert!(said.contains("no store `S0001`") && said.contains("cloud-hub store add"), "{said}");
    assert!(!out.exists());
    site.add_store("S0001");
    site.does(&issue);
    assert_eq!(mode(&out.join("store.key")), 0o600);
    assert!(out.join("ca.pem").exists() && out.join("store.pem").exists());
    let said = site.fails(1, &issue);
    assert!(said.contains("never overwritten"), "{said}");
}

#[test]
fn nothing_is_issued_without_an_authority() {
    let site = Site::new();
    site.add_store("S0001");
    let said = site.fails(
        1,
        &["store", "certificate", "--offline", "--id", "S0001", "--out", site.path("x").to_str().unwrap()],
    );
    assert!(said.contains("cloud-hub init"), "{said}");
}

#[test]
fn a_store_is_somewhere_and_has_a_time_zone() {
    let site = Site::new();
    let add = |lat: &str, lon: &str, zone: &str| {
        let (lat, lon) = (format!("--lat={lat}"), format!("--lon={lon}"));
        site.fails(2, &["store", "add", "--id=S1", "--name=x", &lat, &lon, "--timezone", zone])
    };
    assert!(add("90.1", "0", "UTC").contains("not between -90 and 90"));
    assert!(add("0", "-181", "UTC").contains("not between -180 and 180"));
    assert!(add("NaN", "0", "UTC").contains("not between -90 and 90"));
    assert!(add("0", "0", "Mars/Olympus").contains("IANA name"));
    let said =
        site.fails(1, &["store", "add", "--id=S1", "--name= ", "--lat=0", "--lon=0", "--timezone=UTC"]);
    assert!(said.contains("1 to 100 characters"), "{said}");
}

#[test]
fn a_wrong_key_in_the_configuration_is_named_with_its_line() {
    let site = Site::new();
    std::fs::write(site.config(), "data_dir = 'hub'\n[storefront]\nlisten_on = '127.0.0.1:1'\n").unwrap();
    let said = site.fails(1, &["run"]);
    assert!(said.contains("hub.toml, line 3: unknown key `storefront.listen_on`"), "{said}");
    assert!(said.contains("did you mean `listen`?"), "{said}");
}

#[test]
fn the_version_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_cloud-hub")).arg("version").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, concat!("cloud-hub ", env!("CARGO_PKG_VERSION"), "\n"));
}
