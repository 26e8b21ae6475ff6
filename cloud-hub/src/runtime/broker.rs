//! What the hub shows the customer's broker, and whom it takes for the broker: its own authority's certificates, or the
//! files of the configuration.

use crate::config::Broker;
use crate::enrol::ca::{ClientCertificate, Pki, PkiError};
use crate::ingest::ClientCertificates;
use crate::ingest::broker::{Credentials, NoCertificates};
use crate::runtime::clock::Clock;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};

/// A file that can't be used. The operator's to mend.
#[derive(Debug, thiserror::Error)]
#[error("`{path}` holds no {what}", path = path.display())]
struct NotInFile {
    path: PathBuf,
    what: &'static str,
    source: pem::Error,
}

/// Reads everything anew each time.
pub(super) fn credentials(config: &Broker, pki_folder: PathBuf, clock: Clock) -> Credentials {
    let config = config.clone();
    Box::new(move || certificates(&config, &pki_folder, clock))
}

fn certificates(
    config: &Broker,
    pki_folder: &Path,
    clock: Clock,
) -> Result<ClientCertificates, NoCertificates> {
    let in_file = |error: NotInFile| NoCertificates(error.into());
    let in_pki = |error: PkiError| NoCertificates(error.into());
    let pki = Pki::open(pki_folder).map_err(in_pki)?;
    let authorities = match &config.ca_file {
        Some(path) => certificates_in(path).map_err(in_file)?,
        None => vec![pki.ca().map_err(in_pki)?],
    };
    let (chain, key) = match (&config.certificate_file, &config.key_file) {
        (Some(certificate), Some(key)) => {
            (certificates_in(certificate).map_err(in_file)?, key_in(key).map_err(in_file)?)
        }
        _ => {
            let ClientCertificate { chain, key } = pki.hub_client(clock.wall()).map_err(in_pki)?;
            (chain, key)
        }
    };
    Ok(ClientCertificates { authorities, chain, key })
}

fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, NotInFile> {
    let refused = |source| NotInFile { path: path.to_owned(), what: "certificate", source };
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(refused)?.collect::<Result<_, _>>().map_err(refused)?;
    if found.is_empty() { Err(refused(pem::Error::NoItemsFound)) } else { Ok(found) }
}

fn key_in(path: &Path) -> Result<PrivateKeyDer<'static>, NotInFile> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| NotInFile {
        path: path.to_owned(),
        what: "private key",
        source,
    })
}
