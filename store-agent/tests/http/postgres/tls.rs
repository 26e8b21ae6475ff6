//! Who we are to the server, and who it is to us.

use super::{CHANGES, Server, has, mapping, opened, sold, source};
use crate::shop::{Shop, until};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::os::unix::fs::{PermissionsExt, chown};
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

/// A file as the server wants it: its own, and for nobody else.
fn hand_over(server: &Server, name: &str, text: &str) {
    use std::os::unix::fs::MetadataExt;
    let path = server.folder.join("data").join(name);
    std::fs::write(&path, text).unwrap();
    let owner = std::fs::metadata(server.folder.join("data")).unwrap();
    chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn over_a_line_the_server_proves_its_name_and_we_our_password() {
    let (server, mut pos) = opened();
    let (authority, certificate, key) = certificates("localhost");
    let (stranger, ..) = certificates("localhost");
    hand_over(&server, "server.crt", &certificate);
    hand_over(&server, "server.key", &key);
    hand_over(
        &server,
        "pg_hba.conf",
        "local all postgres trust\nhostssl all reader 127.0.0.1/32 scram-sha-256\n",
    );
    for sql in
        ["ALTER ROLE reader PASSWORD 'tr0ub4dor'", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"]
    {
        pos.batch_execute(sql).unwrap();
    }
    sold(&mut pos, "milk", "7");
    let more =
        |host: &str| format!("{}ca_file = \"ca.pem\"\npassword_file = \"password\"\n", server.by_name(host));
    let config = |host: &str| mapping(&server, CHANGES).replace(&server.by_socket(), &more(host));
    let open = |host: &str, authority: &str, password: &str| {
        Shop::prepared(&config(host), Patience::default(), |folder| {
            std::fs::write(folder.join("ca.pem"), authority).unwrap();
            secret(&folder.join("password"), password);
        })
    };
    let shop = open("localhost", &authority, "tr0ub4dor\n");
    has(&shop, "milk", "7");
    let is_tls: bool = pos
        .query_one(
            "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'reader'",
            &[],
        )
        .unwrap()
        .get(0);
    assert!(is_tls);
    drop(shop);
    for (host, authority, password, said) in [
        ("localhost", &authority, "wr0ng-w0rd", "password authentication failed"),
        ("localhost", &stranger, "tr0ub4dor", "certificate"),
        ("127.0.0.1", &authority, "tr0ub4dor", "certificate"),
    ] {
        let shop = open(host, authority, password);
        let reason = || source(&shop)["last_error"]["reason"].as_str().unwrap_or_default().to_owned();
        until(&format!("{host} is refused for its {said}"), || !reason().is_empty());
        let reason = reason();
        assert!(
            reason.contains(said) && !reason.contains("w0rd") && !reason.contains("tr0ub4dor"),
            "{reason}"
        );
    }
}
