//! The hub's own certificate authority: made once by `cloud-hub init`, kept under `pki/` in the data folder.
//!
//! Promises: nothing that exists is ever overwritten; keys are born readable by their owner only; a half-made
//! authority is never left behind, because the folder gets its name only when everything in it is on disk. All keys
//! are ECDSA P-256. Every certificate starts a day early, for stores whose clocks are behind.

use super::books::Signed;
use super::csr::{Csr, sha256};
use super::secret::{FileError, PUBLIC, SECRET, create_private_folder, sync_folder, write_new};
use crate::identity::{HUB_URI, store_of, store_uri};
use crate::standing::Serial;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use sync_protocol::enrolment::Pin;
use sync_protocol::{StoreId, UnixMillis};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The authority outlives the machines it runs on.
const CA_DAYS: u32 = 3653;
/// The hub's own certificate.
const SERVER_DAYS: u32 = 366;
/// Milliseconds before its end at which the hub's certificate is signed anew: a third of its life.
const RENEW_BEFORE_END: i64 = 1000 * 60 * 60 * 24 * (SERVER_DAYS as i64) / 3;
/// A store's certificate that was issued by hand, for a place that no network reaches.
pub const STORE_DAYS: u32 = 366;
const DAY_MS: i64 = 1000 * 60 * 60 * 24;
/// Bytes of the serial number of a certificate that a store has asked for.
const SERIAL_BYTES: usize = 16;
/// The certificate of a broker between the stores and the hub.
pub const BROKER_DAYS: u32 = 366;
/// The certificate of a store's page. Browsers take none that lives longer than some thirteen months.
pub const PAGE_DAYS: u32 = 366;
/// What the hub shows a broker. Made anew for each connection.
const HUB_CLIENT_DAYS: u32 = 7;
/// Whom a broker's rules know the hub by. The dot keeps it from ever being a store's id, and so its certificate's name.
pub const HUB_CLIENT_NAME: &str = "shopsmart.hub";

const CA_CERTIFICATE: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const SERVER_CERTIFICATE: &str = "server.pem";
const SERVER_KEY: &str = "server.key";

/// A folder with an authority and the hub's own certificate in it.
#[derive(Debug)]
pub struct Pki {
    folder: PathBuf,
}

/// A name under which stores reach the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerName {
    Dns(Ia5String),
    Ip(IpAddr),
}

/// A certificate for a store or a broker, with its key. The key exists nowhere else.
pub struct Issued {
    /// What its files are called.
    holder: &'static str,
    ca_pem: String,
    certificate_pem: String,
    key_pem: String,
}

/// What became of the hub's own certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    NotDue { ends_at: UnixMillis },
    Renewed { ends_at: UnixMillis },
}

/// What the hub shows and trusts when a store connects.
pub struct ServerCertificates {
    pub ca: CertificateDer<'static>,
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    /// When the first certificate of the chain ends.
    pub ends_at: UnixMillis,
}

/// What the hub shows where it is the client.
pub struct ClientCertificate {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Pki {
    /// Makes an authority and the hub's certificate for `names`.
    ///
    /// # Errors
    /// When `folder` already holds something, or can't be written.
    pub fn create(folder: &Path, names: &[ServerName], now: UnixMillis) -> Result<Pki, PkiError> {
        if folder.exists() {
            return Err(PkiError::Exists { path: folder.to_owned() });
        }
        let unnamed = folder.with_extension("new");
        // An init that was interrupted left this; its keys were never used.
        if unnamed.exists() {
            std::fs::remove_dir_all(&unnamed).map_err(|e| FileError::new("removing", &unnamed, e))?;
        }
        create_private_folder(&unnamed)?;
        let ca = Authority::new(now)?;
        let (server, server_key) = ca.sign(server_params(names, now)?)?;
        write_new(&unnamed.join(CA_KEY), &ca.issuer.key().serialize_pem(), SECRET)?;
        write_new(&unnamed.join(CA_CERTIFICATE), &ca.certificate_pem, PUBLIC)?;
        write_new(&unnamed.join(SERVER_KEY), &server_key.serialize_pem(), SECRET)?;
        write_new(&unnamed.join(SERVER_CERTIFICATE), &server.pem(), PUBLIC)?;
        std::fs::rename(&unnamed, folder).map_err(|e| FileError::new("naming", folder, e))?;
        sync_folder(folder.parent().unwrap_or(Path::new(".")))?;
        Ok(Pki { folder: folder.to_owned() })
    }

    /// The authority that `create` made.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(folder: &Path) -> Result<Pki, PkiError> {
        if !folder.join(CA_CERTIFICATE).exists() {
            return Err(PkiError::Missing { path: folder.to_owned() });
        }
        Ok(Pki { folder: folder.to_owned() })
    }

    /// A new certificate for a store, good for `days`.
    ///
    /// # Errors
    /// When the authority's files can't be read.
    pub fn issue(&self, store: &StoreId, days: u32, now: UnixMillis) -> Result<Issued, PkiError> {
        let ca = self.authority()?;
        let (certificate, key) = ca.sign(store_params(store, days, now)?)?;
        debug_assert_eq!(store_of(certificate.der()).ok().as_ref(), Some(store));
        Ok(Issued::new("store", ca.certificate_pem, &certificate, &key))
    }

    /// A certificate for the key that a store has made itself, good for `days`. It is to be renewed when two thirds of them are
    /// over, some days earlier or later by chance.
    ///
    /// # Errors
    /// When the authority's files can't be read, or the system gives no random numbers.
    pub fn certify(
        &self,
        store: &StoreId,
        csr: &Csr,
        days: u32,
        now: UnixMillis,
    ) -> Result<Signed, PkiError> {
        let ca = self.authority()?;
        let mut random = [0; SERIAL_BYTES + 2];
        getrandom::fill(&mut random).map_err(PkiError::Random)?;
        let (serial, chance) = random.split_at_mut(SERIAL_BYTES);
        // Positive, and always of one length.
        serial[0] = serial[0] & 0x7f | 0x40;
        let mut params = store_params(store, days, now)?;
        params.serial_number = Some(SerialNumber::from_slice(serial));
        let certificate = params.signed_by(&csr.key, &ca.issuer)?;
        let life = i64::from(days) * DAY_MS;
        let chance = i64::from(u16::from_be_bytes([chance[0], chance[1]]));
        // Two days in sixty, to either side.
        let early_or_late = life / 15 * chance / i64::from(u16::MAX) - life / 30;
        Ok(Signed {
            serial: Serial::from_bytes(serial),
            pem: certificate.pem(),
            not_after: end_of(certificate.der()).unwrap_or_default(),
            renew_after: UnixMillis(now.0 + life * 2 / 3 + early_or_late),
        })
    }

    /// By what a store knows the hub before it is enrolled.
    ///
    /// # Errors
    /// When the authority's certificate can't be read.
    pub fn pin(&self) -> Result<Pin, PkiError> {
        Ok(Pin(sha256(&self.ca()?)))
    }

    /// The authority's certificate as it is handed out (PEM).
    ///
    /// # Errors
    /// When its file can't be read.
    pub fn ca_pem(&self) -> Result<String, PkiError> {
        self.read(CA_CERTIFICATE)
    }

    /// A new certificate for a broker that stores and hub reach by `names`, good for `days`.
    ///
    /// # Errors
    /// When the authority's files can't be read.
    pub fn issue_broker(&self, names: &[ServerName], days: u32, now: UnixMillis) -> Result<Issued, PkiError> {
        let ca = self.authority()?;
        let (certificate, key) = ca.sign(broker_params(names, days, now)?)?;
        Ok(Issued::new("broker", ca.certificate_pem, &certificate, &key))
    }

    /// A new certificate for the page of a store, which browsers reach by `names`, good for `days`.
    ///
    /// # Errors
    /// When a name is the hub's own, or the authority's files can't be read.
    pub fn issue_page(
        &self,
        store: &StoreId,
        names: &[ServerName],
        days: u32,
        now: UnixMillis,
    ) -> Result<Issued, PkiError> {
        // Whoever shows a certificate with the hub's name is the hub to every agent.
        let hubs = self.server()?.chain.first().map(names_in).unwrap_or_default();
        if let Some(name) = names.iter().find(|name| hubs.contains(name) && !name.is_loopback()) {
            return Err(PkiError::HubsOwn { name: name.text() });
        }
        let ca = self.authority()?;
        let (certificate, key) = ca.sign(page_params(store, names, days, now)?)?;
        Ok(Issued::new("page", ca.certificate_pem, &certificate, &key))
    }

    /// The authority's own certificate.
    ///
    /// # Errors
    /// When its file can't be read.
    pub fn ca(&self) -> Result<CertificateDer<'static>, PkiError> {
        CertificateDer::from_pem_slice(self.read(CA_CERTIFICATE)?.as_bytes())
            .map_err(|source| self.no_pem(CA_CERTIFICATE, source))
    }

    /// What the hub shows a broker. The key is never on disk.
    ///
    /// # Errors
    /// When the authority's files can't be read.
    pub fn hub_client(&self, now: UnixMillis) -> Result<ClientCertificate, PkiError> {
        let (certificate, key) = self.authority()?.sign(hub_client_params(now)?)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok(ClientCertificate { chain: vec![certificate.der().clone()], key })
    }

    /// Signs the hub's certificate anew, for the same names and key, once two thirds of its life are over. Stores
    /// trust the authority, so none of them notices.
    ///
    /// # Errors
    /// When the files are missing, hold something else or can't be written.
    pub fn renew_server_when_due(&self, now: UnixMillis) -> Result<Renewal, PkiError> {
        let old = self.server()?;
        let names = old.chain.first().map(names_in).unwrap_or_default();
        if old.ends_at.0.saturating_sub(now.0) > RENEW_BEFORE_END {
            return Ok(Renewal::NotDue { ends_at: old.ends_at });
        }
        let key = KeyPair::from_pem(&self.read(SERVER_KEY)?)
            .map_err(|source| PkiError::NotOurs { path: self.folder.join(SERVER_KEY), source })?;
        let certificate = server_params(&names, now)?.signed_by(&key, &self.authority()?.issuer)?;
        let path = self.folder.join(SERVER_CERTIFICATE);
        let unnamed = path.with_extension("pem.new");
        drop(std::fs::remove_file(&unnamed));
        write_new(&unnamed, &certificate.pem(), PUBLIC)?;
        std::fs::rename(&unnamed, &path).map_err(|e| FileError::new("naming", &path, e))?;
        sync_folder(&self.folder)?;
        Ok(Renewal::Renewed { ends_at: end_of(certificate.der()).unwrap_or_default() })
    }

    /// What the hub needs to listen.
    ///
    /// # Errors
    /// When the files are missing or hold something else.
    pub fn server(&self) -> Result<ServerCertificates, PkiError> {
        let ca = self.ca()?;
        let chain = CertificateDer::pem_slice_iter(self.read(SERVER_CERTIFICATE)?.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| self.no_pem(SERVER_CERTIFICATE, source))?;
        let key = PrivateKeyDer::from_pem_slice(self.read(SERVER_KEY)?.as_bytes())
            .map_err(|source| self.no_pem(SERVER_KEY, source))?;
        let ends_at = chain.first().and_then(|first| end_of(first)).unwrap_or_default();
        Ok(ServerCertificates { ca, chain, key, ends_at })
    }

    fn authority(&self) -> Result<Authority, PkiError> {
        let certificate_pem = self.read(CA_CERTIFICATE)?;
        let key = KeyPair::from_pem(&self.read(CA_KEY)?)
            .map_err(|source| PkiError::NotOurs { path: self.folder.join(CA_KEY), source })?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key)
            .map_err(|source| PkiError::NotOurs { path: self.folder.join(CA_CERTIFICATE), source })?;
        Ok(Authority { issuer, certificate_pem })
    }

    fn read(&self, name: &str) -> Result<String, PkiError> {
        let path = self.folder.join(name);
        Ok(std::fs::read_to_string(&path).map_err(|e| FileError::new("reading", &path, e))?)
    }

    fn no_pem(&self, name: &str, source: rustls::pki_types::pem::Error) -> PkiError {
        PkiError::NoPem { path: self.folder.join(name), source }
    }
}

impl ServerName {
    /// The names a hub on one machine answers to.
    #[must_use]
    pub fn local() -> Vec<ServerName> {
        ["localhost", "127.0.0.1", "::1"].iter().filter_map(|name| name.parse().ok()).collect()
    }

    fn text(&self) -> String {
        match self {
            Self::Dns(name) => name.to_string(),
            Self::Ip(address) => address.to_string(),
        }
    }

    /// Such a name leads nowhere but to the machine it is used on.
    fn is_loopback(&self) -> bool {
        match self {
            Self::Dns(name) => name.as_str() == "localhost",
            Self::Ip(address) => address.is_loopback(),
        }
    }

    fn alternative_name(&self) -> SanType {
        match self {
            Self::Dns(name) => SanType::DnsName(name.clone()),
            Self::Ip(address) => SanType::IpAddress(*address),
        }
    }
}

impl FromStr for ServerName {
    type Err = NotAServerName;

    fn from_str(text: &str) -> Result<Self, NotAServerName> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let refused = || NotAServerName(text.to_owned());
        rustls::pki_types::DnsName::try_from(text).map_err(|_| refused())?;
        Ia5String::try_from(text).map(Self::Dns).map_err(|_| refused())
    }
}

/// A text that no store could connect to.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{0}` is neither a DNS name nor an IP address")]
pub struct NotAServerName(String);

impl Issued {
    fn new(holder: &'static str, ca_pem: String, certificate: &Certificate, key: &KeyPair) -> Issued {
        Issued { holder, ca_pem, certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }

    /// Writes `ca.pem` and, for a store, `store.pem` and `store.key` (for a broker, `broker.…`) into `folder`, which is
    /// made when it is missing.
    ///
    /// # Errors
    /// When one of them exists or can't be written; then none of them is left behind.
    pub fn write_to(&self, folder: &Path) -> Result<(), PkiError> {
        let files = [
            (folder.join("ca.pem"), &self.ca_pem, PUBLIC),
            (folder.join(format!("{}.pem", self.holder)), &self.certificate_pem, PUBLIC),
            (folder.join(format!("{}.key", self.holder)), &self.key_pem, SECRET),
        ];
        if let Some((path, ..)) = files.iter().find(|(path, ..)| path.exists()) {
            return Err(PkiError::Exists { path: path.clone() });
        }
        std::fs::create_dir_all(folder).map_err(|e| FileError::new("making", folder, e))?;
        let written = files.iter().try_for_each(|(path, text, mode)| write_new(path, text, *mode));
        if written.is_err() {
            // What is there now is ours: nothing was there before. A file that can't be removed stays, and is named
            // by the next attempt.
            files.iter().for_each(|(path, ..)| drop(std::fs::remove_file(path)));
        }
        written?;
        Ok(sync_folder(folder)?)
    }
}

/// Why there is no certificate. Mostly the operator's to mend; a failing disk is the environment's.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("`{path}` already exists and is never overwritten; move it away first if you mean to replace it", path = path.display())]
    Exists { path: PathBuf },
    #[error("there is no certificate authority in `{path}`; make one with `cloud-hub init`", path = path.display())]
    Missing { path: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("`{path}` does not hold what `cloud-hub init` wrote", path = path.display())]
    NoPem { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("`{path}` does not hold what `cloud-hub init` wrote", path = path.display())]
    NotOurs { path: PathBuf, source: rcgen::Error },
    #[error(
        "`{name}` is the hub's own name; a store's page needs a name of its own, such as `s0042.stores.example`"
    )]
    HubsOwn { name: String },
    #[error("can't make a certificate")]
    Making(#[from] rcgen::Error),
    #[error("the system gives no random numbers")]
    Random(#[source] getrandom::Error),
}

/// The authority at work: its key, and its certificate as it is handed out.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

impl Authority {
    fn new(now: UnixMillis) -> Result<Authority, PkiError> {
        let key = new_key()?;
        let params = ca_params(now);
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Authority { issuer: Issuer::new(params, key), certificate_pem })
    }

    fn sign(&self, params: CertificateParams) -> Result<(Certificate, KeyPair), PkiError> {
        let key = new_key()?;
        Ok((params.signed_by(&key, &self.issuer)?, key))
    }
}

fn new_key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
}

fn ca_params(now: UnixMillis) -> CertificateParams {
    let mut params = params("ShopSmart hub CA", CA_DAYS, now);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server_params(names: &[ServerName], now: UnixMillis) -> Result<CertificateParams, PkiError> {
    let mut params = params("ShopSmart hub", SERVER_DAYS, now);
    params.subject_alt_names = names.iter().map(ServerName::alternative_name).collect();
    params.subject_alt_names.push(SanType::URI(HUB_URI.try_into()?));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn store_params(store: &StoreId, days: u32, now: UnixMillis) -> Result<CertificateParams, PkiError> {
    let mut params = params(store.as_str(), days, now);
    params.subject_alt_names = vec![SanType::URI(store_uri(store).try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn broker_params(names: &[ServerName], days: u32, now: UnixMillis) -> Result<CertificateParams, PkiError> {
    let mut params = params("ShopSmart broker", days, now);
    params.subject_alt_names = names.iter().map(ServerName::alternative_name).collect();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn page_params(
    store: &StoreId,
    names: &[ServerName],
    days: u32,
    now: UnixMillis,
) -> Result<CertificateParams, PkiError> {
    let mut params = params(&format!("ShopSmart page of store {store}"), days, now);
    params.subject_alt_names = names.iter().map(ServerName::alternative_name).collect();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn hub_client_params(now: UnixMillis) -> Result<CertificateParams, PkiError> {
    let mut params = params(HUB_CLIENT_NAME, HUB_CLIENT_DAYS, now);
    params.subject_alt_names = vec![SanType::URI(HUB_URI.try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn params(common_name: &str, days: u32, now: UnixMillis) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "ShopSmart");
    name.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    let since_1970 = Duration::from_millis(u64::try_from(now.0).unwrap_or(0));
    let now = rcgen::date_time_ymd(1970, 1, 1) + since_1970;
    params.not_before = now - DAY;
    params.not_after = now + DAY * days;
    params.distinguished_name = name;
    params
}

fn names_in(certificate: &CertificateDer<'static>) -> Vec<ServerName> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    names.filter_map(server_name_in).collect()
}

fn server_name_in(name: &GeneralName<'_>) -> Option<ServerName> {
    match name {
        GeneralName::DNSName(name) => Ia5String::try_from(*name).ok().map(ServerName::Dns),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|b| ServerName::Ip(b.into())),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|b| ServerName::Ip(b.into())),
        },
        _ => None,
    }
}

fn end_of(certificate: &CertificateDer<'_>) -> Option<UnixMillis> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(UnixMillis(certificate.validity().not_after.timestamp().checked_mul(1000)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    fn pki() -> (TempDir, Pki) {
        let folder = TempDir::new().unwrap();
        let pki = Pki::create(&folder.path().join("pki"), &ServerName::local(), NOW).unwrap();
        (folder, pki)
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn keys_are_their_owners_only() {
        let (folder, pki) = pki();
        let pki_folder = folder.path().join("pki");
        assert_eq!(mode(&pki_folder), 0o700);
        assert_eq!(mode(&pki_folder.join("ca.key")), 0o600);
        assert_eq!(mode(&pki_folder.join("server.key")), 0o600);
        let out = folder.path().join("S0001");
        pki.issue(&"S0001".parse().unwrap(), STORE_DAYS, NOW).unwrap().write_to(&out).unwrap();
        assert_eq!(mode(&out.join("store.key")), 0o600);
    }

    #[test]
    fn an_authority_is_never_made_twice() {
        let (folder, _) = pki();
        let path = folder.path().join("pki");
        let before = std::fs::read(path.join("ca.key")).unwrap();
        let error = Pki::create(&path, &ServerName::local(), NOW).unwrap_err();
        assert!(matches!(error, PkiError::Exists { .. }), "{error}");
        assert_eq!(std::fs::read(path.join("ca.key")).unwrap(), before);
    }

    #[test]
    fn an_interrupted_init_is_no_obstacle() {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("pki.new")).unwrap();
        std::fs::write(folder.path().join("pki.new/ca.key"), "half").unwrap();
        let pki = Pki::create(&folder.path().join("pki"), &ServerName::local(), NOW).unwrap();
        pki.server().unwrap();
        assert!(!folder.path().join("pki.new").exists());
    }

    #[test]
    fn issued_files_are_never_overwritten() {
        let (folder, pki) = pki();
        let issued = pki.issue(&"S0001".parse().unwrap(), STORE_DAYS, NOW).unwrap();
        std::fs::write(folder.path().join("store.key"), "mine").unwrap();
        let error = issued.write_to(folder.path()).unwrap_err();
        assert!(error.to_string().contains("store.key` already exists"), "{error}");
        assert_eq!(std::fs::read(folder.path().join("store.key")).unwrap(), b"mine");
        assert!(!folder.path().join("ca.pem").exists());
    }

    #[test]
    fn a_store_that_brings_its_key_gets_a_certificate_to_be_renewed_at_two_thirds() {
        let (_folder, pki) = pki();
        let request = CertificateParams::default().serialize_request(&new_key().unwrap()).unwrap();
        let csr = Csr::read(&request.pem().unwrap()).unwrap();
        let store = "S0001".parse().unwrap();
        let mut times = std::collections::BTreeSet::new();
        for _ in 0..20 {
            let signed = pki.certify(&store, &csr, 60, NOW).unwrap();
            let der = CertificateDer::from_pem_slice(signed.pem.as_bytes()).unwrap();
            assert_eq!(store_of(&der).unwrap(), store);
            assert_eq!(crate::identity::serial_of(&der).unwrap(), signed.serial);
            assert_eq!((signed.not_after.0 - NOW.0) / DAY_MS, 60);
            let days = (signed.renew_after.0 - NOW.0) / DAY_MS;
            assert!((38..42).contains(&days), "{days}");
            times.insert(signed.renew_after);
        }
        assert!(times.len() > 10, "stores don't ask all at once");
    }

    #[test]
    fn no_store_can_ever_have_the_name_the_hub_shows_a_broker() {
        assert!(HUB_CLIENT_NAME.parse::<StoreId>().is_err());
        let (_folder, pki) = pki();
        let shown = pki.hub_client(NOW).unwrap();
        let (_, certificate) = X509Certificate::from_der(&shown.chain[0]).unwrap();
        let name = certificate.subject().iter_common_name().next().unwrap().as_str().unwrap();
        assert_eq!(name, HUB_CLIENT_NAME);
        assert!(matches!(store_of(&shown.chain[0]), Err(crate::identity::IdentityError::NoStore)));
    }

    #[test]
    fn a_brokers_certificate_carries_its_names() {
        let (folder, pki) = pki();
        let names = ["mqtt.example".parse().unwrap(), "10.1.2.3".parse().unwrap()];
        pki.issue_broker(&names, BROKER_DAYS, NOW).unwrap().write_to(folder.path()).unwrap();
        let certificate = CertificateDer::from_pem_file(folder.path().join("broker.pem")).unwrap();
        assert_eq!(names_in(&certificate), names);
        assert!(matches!(store_of(&certificate), Err(crate::identity::IdentityError::NoStore)));
        assert_eq!(mode(&folder.path().join("broker.key")), 0o600);
    }

    #[test]
    fn a_pages_certificate_carries_its_names_and_never_the_hubs() {
        let folder = TempDir::new().unwrap();
        let hubs = ["hub.example", "localhost"].map(|name| name.parse().unwrap());
        let pki = Pki::create(&folder.path().join("pki"), &hubs, NOW).unwrap();
        let store = "S0001".parse().unwrap();
        let names = ["s0001.example".parse().unwrap(), "localhost".parse().unwrap()];
        pki.issue_page(&store, &names, PAGE_DAYS, NOW).unwrap().write_to(folder.path()).unwrap();
        let certificate = CertificateDer::from_pem_file(folder.path().join("page.pem")).unwrap();
        assert_eq!(names_in(&certificate), names);
        assert!(matches!(store_of(&certificate), Err(crate::identity::IdentityError::NoStore)));
        assert_eq!(mode(&folder.path().join("page.key")), 0o600);
        let stolen = ["hub.example".parse().unwrap()];
        let Err(error) = pki.issue_page(&store, &stolen, PAGE_DAYS, NOW) else { panic!("issued") };
        assert!(error.to_string().contains("the hub's own name"), "{error}");
    }

    #[test]
    fn the_hubs_certificate_carries_its_names_and_end() {
        let folder = TempDir::new().unwrap();
        let names = ["hub.example", "10.1.2.3", "::1"].map(|name| name.parse().unwrap());
        let pki = Pki::create(&folder.path().join("pki"), &names, NOW).unwrap();
        let server = pki.server().unwrap();
        assert_eq!(names_in(&server.chain[0]), names);
        assert_eq!(server.ends_at.0 / DAY_MS, NOW.0 / DAY_MS + i64::from(SERVER_DAYS));
        assert!(matches!(store_of(&server.chain[0]), Err(crate::identity::IdentityError::NoStore)));
    }

    #[test]
    fn the_hubs_certificate_is_renewed_in_the_last_third_of_its_life() {
        let (_folder, pki) = pki();
        let before = pki.server().unwrap();
        let early = UnixMillis(NOW.0 + 200 * DAY_MS);
        assert_eq!(pki.renew_server_when_due(early).unwrap(), Renewal::NotDue { ends_at: before.ends_at });
        let late = UnixMillis(NOW.0 + 300 * DAY_MS);
        assert!(matches!(pki.renew_server_when_due(late).unwrap(), Renewal::Renewed { .. }));
        let after = pki.server().unwrap();
        assert!(after.ends_at.0 >= late.0 + 365 * DAY_MS);
        assert_eq!(names_in(&after.chain[0]), names_in(&before.chain[0]));
        assert_eq!(after.key, before.key);
    }

    #[test]
    fn without_init_the_way_out_is_named() {
        let error = Pki::open(Path::new("/nowhere/pki")).unwrap_err();
        assert!(error.to_string().contains("cloud-hub init"), "{error}");
    }

    #[test]
    fn what_is_no_server_name_is_refused() {
        for text in ["", "hub example", "-hub", "hub..example", "http://hub"] {
            assert!(text.parse::<ServerName>().is_err(), "{text}");
        }
    }
}
