//! A web server with a folder: HTTPS under an authority of its own, ranges, and lines that break.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::VecDeque;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

/// Programs are longer, texts are not.
const LONG: usize = 100_000;

type Line = StreamOwned<ServerConnection, TcpStream>;

/// Serves until the test ends.
pub struct Web {
    pub address: SocketAddr,
    /// The certificate of its authority, in PEM.
    pub authority: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    /// The next long answers break after so many bytes.
    breaks: Mutex<VecDeque<usize>>,
    /// First line and range of each request.
    asked: Mutex<Vec<String>>,
}

impl Web {
    pub fn open(folder: &Path, authority: PathBuf) -> Web {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = KeyPair::generate().expect("a key");
        let certificate = params.clone().self_signed(&root).expect("a certificate");
        fs::write(&authority, certificate.pem()).expect("a file can be written");
        let issuer = Issuer::new(params, root);
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .expect("a certificate with its key");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Shared { folder: folder.to_owned(), breaks: Mutex::default(), asked: Mutex::default() };
        let (shared, config) = (Arc::new(shared), Arc::new(config));
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = ServerConnection::new(Arc::clone(&config)).expect("a configuration is good");
                // Whoever does not like the certificate goes away, which is no failure of ours.
                let _ = answer(StreamOwned::new(connection, stream), &serving);
            }
        });
        Web { address, authority, shared }
    }

    /// The next long answers break after so many bytes, one after the other.
    pub fn breaks_after(&self, bytes: &[usize]) {
        self.shared.breaks.lock().expect("nobody panics with it").extend(bytes);
    }

    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("nobody panics with it").clone()
    }
}

fn answer(mut line: Line, shared: &Shared) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        line.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let from: usize =
        head.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next()?.parse().ok()).unwrap_or(0);
    shared.asked.lock().expect("nobody panics with it").push(format!("{path} from {from}"));
    let Ok(bytes) = fs::read(shared.folder.join(&path)) else {
        return line.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    };
    let rest = &bytes[from.min(bytes.len())..];
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    let range = format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len().saturating_sub(1), bytes.len());
    let range = if from > 0 { range } else { String::new() };
    line.write_all(format!("HTTP/1.1 {status}\r\n{range}Content-Length: {}\r\n\r\n", rest.len()).as_bytes())?;
    let is_long = rest.len() > LONG;
    let breaks = is_long.then(|| shared.breaks.lock().expect("nobody panics with it").pop_front());
    if let Some(bytes) = breaks.flatten() {
        line.write_all(&rest[..bytes])?;
        return line.flush();
    }
    line.write_all(rest)?;
    line.conn.send_close_notify();
    line.flush()
}
