//! What an installer does on a store's server: makes the keys, asks the hub for a certificate, and puts it where the agent looks.

use super::daemon::write;
use rcgen::{CertificateParams, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use sync_protocol::enrolment::{
    BoundKey, ENROLMENTS, Enrolled, EnrolmentRequest, Machine, RENEWALS, RenewalRequest, Signature, Token,
    VERSION, enrolment_message,
};

/// On one store's server.
pub struct Installer {
    door: SocketAddr,
    authority: PathBuf,
    folder: PathBuf,
}

impl Installer {
    pub fn new(door: SocketAddr, authority: PathBuf, folder: PathBuf) -> Installer {
        Installer { door, authority, folder }
    }

    /// Enrols the store. What was there is replaced.
    pub fn enrol(&self, token: &Token) {
        let key = KeyPair::generate().expect("a key");
        let bound = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let bound = Ed25519KeyPair::from_pkcs8(bound.as_ref()).expect("a key in PKCS #8");
        let csr = request(&key);
        let signature = bound.sign(&enrolment_message(&csr));
        let asked = EnrolmentRequest {
            version: VERSION,
            secret: token.secret,
            store: token.store.clone(),
            bound_key: BoundKey(bound.public_key().as_ref().try_into().expect("32 bytes")),
            bound_signature: Signature(signature.as_ref().try_into().expect("64 bytes")),
            csr,
            machine: Machine::default(),
        };
        let body = serde_json::to_string(&asked).expect("a request is JSON");
        let (status, answer) = self.post(ENROLMENTS, &body, false);
        assert_eq!(status, 200, "{answer}");
        self.put(&key, &answer);
    }

    /// Renews the certificate that is there: the status, and what the hub said.
    pub fn renew(&self) -> (u16, String) {
        let key = KeyPair::generate().expect("a key");
        let asked = RenewalRequest { version: VERSION, csr: request(&key), bound: None, recovery: None };
        let body = serde_json::to_string(&asked).expect("a request is JSON");
        let (status, answer) = self.post(RENEWALS, &body, true);
        if status == 200 {
            self.put(&key, &answer);
        }
        (status, answer)
    }

    /// Each file at once, the key first.
    fn put(&self, key: &KeyPair, answer: &str) {
        let enrolled: Enrolled = serde_json::from_str(answer).expect("an answer is understood");
        let files = [
            ("store.key", &key.serialize_pem()),
            ("store.pem", &enrolled.certificate),
            ("ca.pem", &enrolled.ca),
            ("pickup.pub", &enrolled.pickup_key),
        ];
        for (name, text) in files {
            let unnamed = self.folder.join(format!("{name}.new"));
            write(&unnamed, text);
            fs::rename(&unnamed, self.folder.join(name)).expect("a file can be named");
        }
    }

    fn post(&self, path: &str, body: &str, showing: bool) -> (u16, String) {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.authority)).expect("the hub's authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_root_certificates(roots);
        let tls = if showing {
            let key = PrivateKeyDer::from_pem_file(self.folder.join("store.key")).expect("a key");
            let chain = vec![certificate(&self.folder.join("store.pem"))];
            tls.with_client_auth_cert(chain, key).expect("a certificate with its key")
        } else {
            tls.with_no_client_auth()
        };
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::new(tls), name).expect("a connection");
        let tcp = TcpStream::connect(self.door).expect("the hub's door");
        let mut line = StreamOwned::new(connection, tcp);
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        line.write_all(format!("{head}{body}").as_bytes()).expect("the hub listens");
        let mut answer = String::new();
        line.read_to_string(&mut answer).expect("the hub answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("an answer has a status"), body.to_owned())
    }
}

fn request(key: &KeyPair) -> String {
    let request = CertificateParams::default().serialize_request(key).expect("a request");
    request.pem().expect("PEM")
}

fn certificate(file: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file).expect("a certificate")
}
