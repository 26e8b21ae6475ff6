//! Tokens, certificates, and whoever stands in the way.

use super::{Office, Server};
use crate::harness::eventually;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;
use sync_protocol::enrolment::Token;

const IDENTITY: &str = "var/lib/shopsmart/identity/store.pem";

#[test]
fn a_token_is_good_once_and_for_its_own_store_only() {
    let office = Office::open("storectl-tokens");
    let (first, token) = office.bare("S0001");
    first.ends(0, &office.install("S0001", &token));

    let thief = office.server("thief");
    let said = thief.ends(1, &office.install("S0001", &token));
    assert!(said.contains("E401") && said.contains("token_used"), "{said}");
    assert!(!thief.path(IDENTITY).exists());

    office.expect("S0002");
    let other = office.server("S0002");
    let said = other.ends(2, &office.install("S0002", &token));
    assert!(said.contains("E106") && said.contains("S0001"), "{said}");
    let missing = other.ends(2, &office.install("S0002", Path::new("/nowhere/token")));
    assert!(missing.contains("E101"), "{missing}");
}

#[test]
fn a_certificate_is_renewed_while_the_agent_runs_and_got_back_when_it_has_ended() {
    let mut office = Office::open("storectl-renew");
    let old_door = office.hub.enrolment_address().to_string();
    let (mut server, token) = office.bare("S0042");
    server.ends(0, &office.install("S0042", &token));
    assert_eq!(server.json(&["renew"])["renewed"], false, "it is not time yet");
    server.start();
    server.report("receipt", "4011", 10);
    server.is_synced();
    let before = server.text(IDENTITY);
    assert_eq!(server.json(&["renew", "--now"])["how"], "renewed");
    assert_ne!(server.text(IDENTITY), before);
    server.report("sale", "4011", 1);
    office.hub.shows("S0042", "4011", "9");
    server.stop();

    // After a summer in a cupboard the certificate has ended, and only the second key is left to speak for the store.
    office.hub.stop();
    office.hub.live_days_later(70);
    office.hub.start();
    assert!(server.ends(4, &["doctor"]).contains("[E302]"), "the hub has moved");
    let known = server.path("var/lib/shopsmart/identity/enrolment.json");
    let moved =
        fs::read_to_string(&known).unwrap().replace(&old_door, &office.hub.enrolment_address().to_string());
    fs::write(&known, moved).unwrap();
    let behind = server.ends(4, &["doctor"]);
    assert!(behind.contains("[E205]") && behind.contains("behind the hub's"), "{behind}");

    server.days_ahead = 70;
    let (quic, mqtt) = (office.hub.quic_address().to_string(), office.hub.mqtt_address().to_string());
    server.ends(0, &["install", "--hub", &quic, "--mqtt", &mqtt]);
    assert!(server.ends(4, &["doctor"]).contains("[E602]"));
    assert_eq!(server.json(&["renew"])["how"], "recovered");
    server.start();
    server.report("sale", "4011", 1);
    office.hub.shows("S0042", "4011", "8");
    server.stop();
}

#[test]
fn who_opens_the_encryption_on_the_way_is_named_and_gets_nothing() {
    let office = Office::open("storectl-intercepted");
    let (server, token) = office.bare("S0001");
    let filter = Interceptor::open("Acme Web Filter");
    let genuine = fs::read_to_string(&token).unwrap();
    let mut rerouted: Token = genuine.parse().unwrap();
    rerouted.addresses = vec![filter.address.to_string().parse().unwrap()];
    fs::write(&token, rerouted.reveal()).unwrap();

    let install = office.install("S0001", &token);
    let said = server.ends(4, &install);
    assert!(said.contains("E305") && said.contains("CN=Acme Web Filter"), "{said}");
    let mut doctor = install.clone();
    doctor[0] = "doctor".to_owned();
    doctor.push("--pre-install".to_owned());
    let said = server.ends(4, &doctor);
    assert!(said.contains("[E305]") && said.contains("CN=Acme Web Filter"), "{said}");
    assert_eq!(filter.heard(), 0, "not a byte of the request was sent");

    fs::write(&token, genuine).unwrap();
    server.ends(0, &install);
}

#[test]
fn a_store_behind_a_proxy_is_enrolled_and_sells_through_it() {
    let office = Office::open("storectl-proxy");
    let (mut server, token) = office.bare("S0001");
    let proxy = Proxy::open();
    let mut install = office.install("S0001", &token);
    install.extend([
        "--proxy".to_owned(),
        format!("http://{}", proxy.address),
        "--transport".to_owned(),
        "mqtt".to_owned(),
    ]);
    server.ends(0, &install);
    let asked = proxy.asked();
    assert_eq!(asked, [format!("CONNECT {} HTTP/1.1", office.hub.enrolment_address())]);
    server.start();
    server.report("receipt", "4011", 4);
    office.hub.shows("S0001", "4011", "4");
    let said = server.ends(0, &["doctor"]);
    assert!(said.contains("TCP to the hub: gets through the proxy"), "{said}");
    server.stop();
}

#[test]
fn no_secret_is_in_arguments_logs_or_what_is_given_to_support() {
    let office = Office::open("storectl-secrets");
    let (mut server, token) = office.bare("S0001");
    let secret = fs::read_to_string(&token).unwrap().trim().to_owned();
    let mut install = office.install("S0001", &token);
    install.extend(["--stop-at", "answered"].map(str::to_owned));
    let log = office.scene.join("install.log");
    let mut command = server.command(&install);
    let mut child = command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    eventually("storectl to have the hub's answer", || {
        let said = fs::read_to_string(&log).unwrap();
        if said.contains("stopped at answered") { Ok(()) } else { Err(said) }
    });
    let arguments = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    server.ends(0, &office.install("S0001", &token));
    server.start();
    server.report("receipt", "4011", 4);
    server.is_synced();

    let bundle = office.scene.join("diag.tar.gz");
    server.ends(0, &["diag", "--out", bundle.to_str().unwrap()]);
    let unpacked = std::process::Command::new("tar").arg("-xzOf").arg(&bundle).output().unwrap();
    assert!(unpacked.status.success() && !unpacked.stdout.is_empty());
    let given = String::from_utf8_lossy(&unpacked.stdout).into_owned();
    assert!(given.contains("nothing is wrong") && given.contains("store = \"S0001\""), "{given}");
    let tokens = server.text("etc/shopsmart/tokens");
    let till = tokens.lines().last().unwrap().split(' ').nth(1).unwrap();
    let key = server.text(IDENTITY);
    let key = key.lines().rev().nth(1).unwrap();
    let logs = fs::read_to_string(&log).unwrap() + &server.text("agent.log");
    for (what, text) in
        [("arguments", String::from_utf8_lossy(&arguments).into_owned()), ("logs", logs), ("bundle", given)]
    {
        for hidden in [&secret[..], till, key, "PRIVATE KEY-----"] {
            assert!(!text.contains(hidden), "{what} hold a secret");
        }
    }
    server.stop();
}

/// Answers every TLS connection in somebody else's name, as a filter does.
struct Interceptor {
    address: SocketAddr,
    heard: Arc<Mutex<usize>>,
}

impl Interceptor {
    fn open(name: &str) -> Interceptor {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = Issuer::new(params, KeyPair::generate().expect("a stand-in of the tests works"));
        let key = KeyPair::generate().expect("a stand-in of the tests works");
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])
            .expect("a stand-in of the tests works")
            .signed_by(&key, &issuer)
            .expect("a stand-in of the tests works");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a stand-in of the tests works");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("a stand-in of the tests works")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a stand-in of the tests works");
        let (config, heard) = (Arc::new(config), Arc::new(Mutex::new(0)));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a stand-in of the tests works");
        let address = listener.local_addr().expect("a stand-in of the tests works");
        let counted = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = rustls::ServerConnection::new(Arc::clone(&config))
                    .expect("a stand-in of the tests works");
                let mut tls = rustls::StreamOwned::new(connection, stream);
                let mut bytes = [0; 4096];
                if let Ok(count) = tls.read(&mut bytes) {
                    *counted.lock().expect("a stand-in of the tests works") += count;
                }
            }
        });
        Interceptor { address, heard }
    }

    fn heard(&self) -> usize {
        *self.heard.lock().expect("a stand-in of the tests works")
    }
}

/// An HTTP proxy that only knows CONNECT.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn open() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a stand-in of the tests works");
        let address = listener.local_addr().expect("a stand-in of the tests works");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let noted = Arc::clone(&noted);
                thread::spawn(move || serve(stream, &noted));
            }
        });
        Proxy { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("a stand-in of the tests works").clone()
    }
}

fn serve(mut from: TcpStream, noted: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && from.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let first = head.lines().next().unwrap_or_default().to_owned();
    let Some(Ok(mut to)) = first.split(' ').nth(1).map(TcpStream::connect) else { return };
    noted.lock().expect("a stand-in of the tests works").push(first);
    if from.write_all(b"HTTP/1.1 200 OK\r\n\r\n").is_err() {
        return;
    }
    let (mut back_from, mut back_to) = (
        to.try_clone().expect("a stand-in of the tests works"),
        from.try_clone().expect("a stand-in of the tests works"),
    );
    thread::spawn(move || {
        let _ = std::io::copy(&mut back_from, &mut back_to);
        let _ = back_to.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}

#[test]
fn a_server_without_an_installation_says_so() {
    let office = Office::open("storectl-nothing");
    let server: Server = office.server("bare");
    for command in ["status", "renew", "enroll"] {
        let said = server.ends(1, &[command]);
        assert!(said.contains("E509") && said.contains("storectl install"), "{said}");
    }
}
