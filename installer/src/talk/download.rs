//! Files of a folder on a web server, over HTTPS, through a proxy if need be.
//!
//! Promises: only the authorities that are given count; nothing is longer than its bound; what was received before a line broke is not
//! asked for again. What the files hold is believed by nobody here: signatures and digests decide.

use super::dial::dial;
use crate::clock::Stopwatch;
use crate::fault::{Code, Fault};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::enrolment::Address;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Where Debian keeps the authorities that the system trusts.
pub const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(15);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// A line that carries nothing for so long is broken.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// A small file that is not there after so long comes over no line that can be used.
const SMALL_WITHIN: Duration = Duration::from_secs(60);
/// A line that brings less in so long is as good as broken: nobody else may change anything here while this one waits.
const SLOW_AFTER: Duration = Duration::from_secs(60);
const SLOW_BYTES: u64 = 64 << 10;
/// Lines that break without having brought much.
const VAIN_MAX: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

/// A folder on a web server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    address: Address,
    /// Without the slash at its end.
    path: String,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let wrong = || format!("`{}` is no address; write https://host/folder", text.escape_debug());
        let rest = text.strip_prefix("https://").ok_or_else(wrong)?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%+".contains(&byte);
        if !path.bytes().all(is_plain) {
            return Err(wrong());
        }
        let address = host.parse().or_else(|_| format!("{host}:443").parse()).map_err(|_| wrong())?;
        Ok(Place { address, path: format!("/{path}").trim_end_matches('/').to_owned() })
    }
}

/// Gets files.
pub struct Downloads {
    place: Place,
    proxy: Option<Address>,
    tls: Arc<ClientConfig>,
}

impl Downloads {
    pub fn new(place: Place, proxy: Option<Address>, authorities: &Path) -> Result<Downloads, Fault> {
        let unusable = |why: String| Fault::new(Code::E813, format!("`{}`: {why}", authorities.display()));
        let mut roots = RootCertStore::empty();
        for certificate in
            CertificateDer::pem_file_iter(authorities).map_err(|error| unusable(error.to_string()))?
        {
            // The system's list may hold one that is not understood here.
            let _ = roots.add(certificate.map_err(|error| unusable(error.to_string()))?);
        }
        if roots.is_empty() {
            return Err(unusable("it holds no certificate of an authority".to_owned()));
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Fault::caused(Code::E901, "TLS can't be spoken", error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Downloads { place, proxy, tls: Arc::new(tls) })
    }

    /// A small file, whole.
    pub async fn small(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, Fault> {
        let whole = timeout(SMALL_WITHIN, self.whole(name, bytes_max)).await;
        whole.unwrap_or_else(|_| Err(self.fault(name, "the line is too slow")))
    }

    async fn whole(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, Fault> {
        let mut answer = self.ask(name, 0).await?;
        if answer.response.status() != StatusCode::OK {
            return Err(self.odd(name, answer.response.status()));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = answer.piece().await.map_err(|why| self.fault(name, &why))? {
            if (bytes.len() + piece.len()) as u64 > bytes_max {
                return Err(Fault::new(Code::E801, format!("`{name}` is longer than {bytes_max} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Goes on with a file of which `file` holds the beginning, until it has `size` bytes. Never more.
    pub async fn rest(&self, name: &str, file: &mut File, size: u64) -> Result<(), Fault> {
        let unwritable =
            |error: std::io::Error| Fault::caused(Code::E202, format!("cannot keep `{name}`"), error);
        let mut vain = 0;
        loop {
            let have = file.seek(SeekFrom::End(0)).map_err(unwritable)?;
            if have >= size {
                return Ok(());
            }
            let broken = match self.pieces(name, file, have, size).await {
                Ok(()) => "the line ended too early".to_owned(),
                Err(Stopped::Line(why)) => why,
                Err(Stopped::Fault(fault)) => return Err(fault),
            };
            let now = file.metadata().map_err(unwritable)?.len();
            vain = if now >= have + SLOW_BYTES { 0 } else { vain + 1 };
            if now < size && vain > VAIN_MAX {
                return Err(self.fault(name, &broken));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn pieces(&self, name: &str, file: &mut File, have: u64, size: u64) -> Result<(), Stopped> {
        let unwritable = |error: std::io::Error| {
            Stopped::Fault(Fault::caused(Code::E202, format!("cannot keep `{name}`"), error))
        };
        let mut answer = self.ask(name, have).await.map_err(|fault| Stopped::Line(fault.story()))?;
        let mut at = match answer.response.status() {
            StatusCode::PARTIAL_CONTENT if begins_at(&answer.response) == Some(have) => have,
            // It knows no ranges, and begins anew; nothing that was kept is worth more than what comes.
            StatusCode::OK => {
                file.set_len(0).and_then(|()| file.rewind()).map_err(unwritable)?;
                0
            }
            status if status.is_server_error() => return Err(Stopped::Line(format!("it answers {status}"))),
            status => return Err(Stopped::Fault(self.odd(name, status))),
        };
        let (mut clock, mut lately) = (Stopwatch::started(), 0);
        while let Some(piece) = answer.piece().await.map_err(Stopped::Line)? {
            lately += piece.len() as u64;
            if clock.elapsed() >= SLOW_AFTER {
                if lately < SLOW_BYTES {
                    return Err(Stopped::Line("the line is too slow".to_owned()));
                }
                (clock, lately) = (Stopwatch::started(), 0);
            }
            let wanted = usize::try_from(size - at).unwrap_or(usize::MAX).min(piece.len());
            file.write_all(&piece[..wanted]).map_err(unwritable)?;
            at += wanted as u64;
            if at == size {
                break;
            }
        }
        Ok(())
    }

    async fn ask(&self, name: &str, from: u64) -> Result<Answer, Fault> {
        let Place { address, path } = &self.place;
        let server = ServerName::try_from(address.host().to_owned())
            .map_err(|error| Fault::caused(Code::E102, format!("`{}` is no host", address.host()), error))?;
        let stream = dial(address, self.proxy.as_ref()).await?;
        let handshake = tokio_rustls::TlsConnector::from(Arc::clone(&self.tls)).connect(server, stream);
        let stream = timeout(HANDSHAKE_WITHIN, handshake).await.map_err(|_| self.fault(name, "no answer"))?;
        let stream = stream.map_err(|error| self.fault(name, &error.to_string()))?;
        let mut request = Request::get(format!("{path}/{name}"))
            .header(header::HOST, address.to_string())
            .header(header::CONNECTION, "close");
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|error| Fault::caused(Code::E901, "a request can't be made", error))?;
        let talk = async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let line = tokio::spawn(async move { drop(connection.await) });
            sender.send_request(request).await.map(|response| Answer { response, line })
        };
        let answered = timeout(ANSWER_WITHIN, talk).await.map_err(|_| self.fault(name, "no answer"))?;
        answered.map_err(|error| self.fault(name, &error.to_string()))
    }

    fn odd(&self, name: &str, status: StatusCode) -> Fault {
        self.fault(name, &format!("it answers {status}"))
    }

    fn fault(&self, name: &str, why: &str) -> Fault {
        let Place { address, path } = &self.place;
        Fault::new(Code::E813, format!("https://{address}{path}/{name}: {why}"))
    }
}

/// Why a file did not come to its end.
enum Stopped {
    /// Another try may bring the rest.
    Line(String),
    Fault(Fault),
}

struct Answer {
    response: Response<Incoming>,
    line: JoinHandle<()>,
}

impl Answer {
    /// `None`: that was all.
    async fn piece(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            let frame = timeout(SILENT_MAX, self.response.body_mut().frame()).await;
            match frame.map_err(|_| "the line has fallen silent".to_owned())? {
                None => return Ok(None),
                Some(Err(error)) => return Err(error.to_string()),
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.line.abort();
    }
}

/// `Content-Range: bytes 100-199/200` begins at 100.
fn begins_at(response: &Response<Incoming>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_over_https() {
        let place: Place = "https://releases.example/shopsmart/stable/".parse().unwrap();
        assert_eq!(
            (place.address.to_string().as_str(), place.path.as_str()),
            ("releases.example:443", "/shopsmart/stable")
        );
        let bare: Place = "https://10.1.2.3:8443".parse().unwrap();
        assert_eq!((bare.address.port(), bare.path.as_str()), (8443, ""));
        for bad in [
            "http://releases.example/",
            "https://",
            "https://a b/",
            "https://h/x y",
            "https://h/?q",
            "/srv/x",
        ] {
            bad.parse::<Place>().unwrap_err();
        }
    }
}
