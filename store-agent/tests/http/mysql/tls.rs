//! Over TLS: the server proves its name, and what is said to it is secret.

use super::binlog::MOVES;
use super::server::Server;
use super::{patiently, with_password};
use crate::shop::Shop;
use mysql::prelude::Queryable;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::path::Path;
use store_agent::http::listener::Patience;

/// An authority, and a certificate of its for a server's name.
fn certificates(name: &str) -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    (authority.pem(), certificate.pem(), key.serialize_pem())
}

fn config(host: &str, port: u16) -> String {
    MOVES
        .replace("address = \"x\"", &format!("address = \"{host}:{port}\"\nca_file = \"ca.pem\""))
        .replace("password_file = \"x\"", "password_file = \"pos.password\"")
        .replace("database = \"x\"", "database = \"shop\"")
}

#[test]
fn over_a_line_the_server_proves_its_name_to_the_reader_and_the_listener() {
    let files = tempfile::tempdir().unwrap();
    let (authority, certificate, key) = certificates("localhost");
    let (stranger, ..) = certificates("localhost");
    let at = |name: &str| files.path().join(name).display().to_string();
    for (name, text) in [("ca", &authority), ("cert", &certificate), ("key", &key)] {
        std::fs::write(at(name), text).unwrap();
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::start_with(&[
        "--bind-address=127.0.0.1",
        &format!("--port={port}"),
        "--log-bin",
        "--server-id=1",
        "--binlog-format=ROW",
        &format!("--ssl-ca={}", at("ca")),
        &format!("--ssl-cert={}", at("cert")),
        &format!("--ssl-key={}", at("key")),
        "--require-secure-transport=ON",
    ]);
    let mut root = server.connect("");
    for statement in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.moves (ID INT AUTO_INCREMENT PRIMARY KEY, CODE VARCHAR(64), UNITS DECIMAL(15,3), AT DATETIME, WHAT VARCHAR(64))",
        "INSERT INTO shop.moves VALUES (1, 'milk', 7, '2026-10-31 12:00:00', 'in')",
    ] {
        root.query_drop(statement).unwrap();
    }
    server.reader("shop", true);
    root.query_drop("ALTER USER 'shopsmart'@'localhost' REQUIRE SSL").unwrap();
    let open = |host: &str, authority: &str| {
        Shop::prepared(&config(host, port), Patience::default(), |folder: &Path| {
            with_password(folder);
            std::fs::write(folder.join("ca.pem"), authority).unwrap();
        })
    };
    let shop = open("localhost", &authority);
    patiently("the row is read", || shop.on_hand("milk") == "7");
    let source = |shop: &Shop| shop.get("/v1/sources").json()["sources"][0].clone();
    patiently("the log is followed", || source(&shop)["log"]["followed"] == true);
    root.query_drop("UPDATE shop.moves SET UNITS = 8").unwrap();
    patiently("the change is read", || shop.on_hand("milk") == "8");
    drop(shop);
    for (host, authority) in [("localhost", &stranger), ("127.0.0.1", &authority)] {
        let shop = open(host, authority);
        let reason = || source(&shop)["last_error"]["reason"].as_str().unwrap_or_default().to_owned();
        patiently("it is refused", || !reason().is_empty());
        let said = reason().to_lowercase();
        assert!(said.contains("certificate") && !said.contains(super::PASSWORD), "{host}: {said}");
    }
}
