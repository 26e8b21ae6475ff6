//! Enrolment: what a store and the hub say to each other before there is a link, and while a certificate is renewed.
//!
//! A store gets its identity once, for a token that head office made: `sse1.` and, in base64url, the token's body. The body is
//!
//! ```text
//! version u8 = 1 │ pin 32 bytes │ secret 32 bytes │ expires: seconds varint │ store: length, bytes (empty: none) │
//! addresses: count, then length and bytes of each │ check 4 bytes
//! ```
//!
//! The pin is the SHA-256 of the authority's certificate (DER). The hub shows that certificate as the last of its chain, so
//! whoever has the token knows the hub before anything is sent to it. The check finds slips of the hand; it keeps no one out.
//!
//! | request | who may | answered with |
//! |---|---|---|
//! | `POST` [`ENROLMENTS`] with [`EnrolmentRequest`] | who knows the token's secret | [`Enrolled`], or [`Pending`] (202) |
//! | `POST` [`RENEWALS`] with [`RenewalRequest`] | who shows the present certificate, or signs with the bound key | [`Enrolled`] |
//! | `POST` [`NONCES`] with nothing | anybody | [`NonceAnswer`] |
//!
//! Anything else is a [`Refusal`]. All are JSON, over TLS 1.3. The same request may be sent again: for the same key of a
//! certificate there is the same certificate, so that no lost answer strands a store.
//!
//! The store makes two keys: the certificate's (ECDSA P-256), a new one for each renewal, written down before it is asked for;
//! and the bound key (Ed25519), which stays as long as the store's server does and speaks for it once no certificate does.
//! This module knows the words; whoever calls it has the keys.

use crate::frame::DecodeError;
use crate::frame::codec::{Reader, Writer};
use crate::ids::StoreId;
use crate::limits::STORE_ID_BYTES_MAX;
use crate::time::UnixMillis;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where a store is enrolled.
pub const ENROLMENTS: &str = "/v1/enrolments";
/// Where its certificate is renewed.
pub const RENEWALS: &str = "/v1/enrolments/renewals";
/// Where the nonce for a renewal by the bound key comes from.
pub const NONCES: &str = "/v1/enrolments/nonces";
/// The version of requests and answers.
pub const VERSION: u16 = 1;
/// What every token begins with.
pub const TOKEN_START: &str = "sse1.";
/// Longest text of a token; longer ones are not looked at.
pub const TOKEN_BYTES_MAX: usize = 2_048;
/// Longest body of a request; the hub reads no further.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Longest body of an answer.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest certificate request (PEM).
pub const CSR_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a SHA-256.
pub const PIN_BYTES: usize = 32;
/// Bytes of a token's secret.
pub const SECRET_BYTES: usize = 32;
/// Bytes of the public half of a bound key (Ed25519).
pub const BOUND_KEY_BYTES: usize = 32;
/// Bytes of its signatures.
pub const SIGNATURE_BYTES: usize = 64;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 56;
/// Most addresses in a token.
pub const ADDRESSES_MAX: usize = 4;
/// Longest address: a DNS name and a port.
pub const ADDRESS_BYTES_MAX: usize = 260;
/// Longest fact about a machine.
pub const FACT_BYTES_MAX: usize = 128;

const TOKEN_VERSION: u8 = 1;
const CHECK_BYTES: usize = 4;
/// What the signatures of a bound key begin with, so that one never stands for the other.
const ENROLMENT_CONTEXT: &[u8] = b"shopsmart enrolment\0";
const RECOVERY_CONTEXT: &[u8] = b"shopsmart recovery\0";

// The longest token there can be is one that is read.
const _: () = assert!(
    TOKEN_START.len()
        + (1 + PIN_BYTES + SECRET_BYTES + 10 + 1 + STORE_ID_BYTES_MAX + 1 + CHECK_BYTES) * 4 / 3
        + ADDRESSES_MAX * (2 + ADDRESS_BYTES_MAX) * 4 / 3
        + 4
        <= TOKEN_BYTES_MAX
);

/// What head office hands to whoever installs a store. Whoever has it is the store, until it is used: it is kept like a
/// password, and `Debug` does not show its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Where the hub takes enrolments; the first that answers is used. Invariant: 1 to [`ADDRESSES_MAX`].
    pub addresses: Vec<Address>,
    /// By this the hub is known.
    pub pin: Pin,
    /// `None`: the token is for whichever store asks, and head office decides.
    pub store: Option<StoreId>,
    pub secret: Secret,
    /// Whole seconds; the rest is cut off.
    pub expires: UnixMillis,
}

/// Why a text is no token. For the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    #[error("this is no enrolment token; it begins with `{TOKEN_START}`")]
    NotAToken,
    #[error("this enrolment token is of a newer kind; use a newer storectl")]
    Version,
    #[error("this enrolment token is damaged; copy all of it, from `{TOKEN_START}` to its end")]
    Damaged,
}

impl Token {
    /// The token as it is handed out. It contains the secret.
    #[must_use]
    pub fn reveal(&self) -> String {
        let mut out = Writer::default();
        out.u8(TOKEN_VERSION);
        out.fixed(&self.pin.0);
        out.fixed(&self.secret.0);
        out.varint(u64::try_from(self.expires.0 / 1000).unwrap_or(0));
        out.text(self.store.as_ref().map_or("", StoreId::as_str));
        out.varint(self.addresses.len() as u64);
        self.addresses.iter().for_each(|address| out.text(&address.to_string()));
        let check = check_of(&out.bytes);
        out.fixed(&check);
        format!("{TOKEN_START}{}", BASE64_URL_SAFE_NO_PAD.encode(out.bytes))
    }

    /// Whether its time is over. The hub asks its own clock too.
    #[must_use]
    pub fn has_expired(&self, now: UnixMillis) -> bool {
        now > self.expires
    }
}

impl FromStr for Token {
    type Err = TokenRefused;

    /// Reads a token; white space around it does not matter.
    fn from_str(text: &str) -> Result<Self, TokenRefused> {
        let text = text.trim();
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenRefused::NotAToken);
        }
        let body = text.strip_prefix(TOKEN_START).ok_or(TokenRefused::NotAToken)?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(body).map_err(|_| TokenRefused::Damaged)?;
        match bytes.first() {
            Some(&TOKEN_VERSION) => {}
            Some(_) => return Err(TokenRefused::Version),
            None => return Err(TokenRefused::Damaged),
        }
        let (body, check) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(TokenRefused::Damaged)?;
        if check_of(body) != *check {
            return Err(TokenRefused::Damaged);
        }
        read_body(body).map_err(|_| TokenRefused::Damaged)
    }
}

fn read_body(body: &[u8]) -> Result<Token, DecodeError> {
    let mut reader = Reader::new(body);
    reader.u8("version")?;
    let pin = Pin(reader.array("pin")?);
    let secret = Secret(reader.array("secret")?);
    let seconds =
        i64::try_from(reader.varint("expires")?).map_err(|error| DecodeError::invalid("expires", error))?;
    let store = match reader.text("store", STORE_ID_BYTES_MAX)? {
        "" => None,
        id => Some(id.parse().map_err(|error| DecodeError::invalid("store", error))?),
    };
    let count = reader.count("addresses", ADDRESSES_MAX)?;
    if count == 0 {
        return Err(DecodeError::invalid("addresses", "there is none"));
    }
    let addresses =
        (0..count).map(|_| reader.parsed("address", ADDRESS_BYTES_MAX)).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(Token { addresses, pin, store, secret, expires: UnixMillis(seconds.saturating_mul(1000)) })
}

fn check_of(body: &[u8]) -> [u8; CHECK_BYTES] {
    let [a, b, c, d, ..] = twox_hash::XxHash3_64::oneshot(body).to_be_bytes();
    [a, b, c, d]
}

/// Where the hub takes enrolments: `hub.example:7445`, `10.1.2.3:7445`, `[::1]:7445`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    host: String,
    port: u16,
}

/// A text that is no [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no address; write `host:port`, such as `hub.example:7445`")]
pub struct NotAnAddress;

impl Address {
    /// A DNS name, or an IP address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(NotAnAddress);
        }
        let (host, port) = text.rsplit_once(':').ok_or(NotAnAddress)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(NotAnAddress)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(host) if host.parse::<std::net::Ipv6Addr>().is_ok() => host,
            None if !host.is_empty() && host.chars().all(is_of_a_host) => host,
            _ => return Err(NotAnAddress),
        };
        Ok(Address { host: host.to_owned(), port })
    }
}

fn is_of_a_host(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')
}

impl TryFrom<String> for Address {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, NotAnAddress> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Bytes of a fixed number, in JSON as base64url.
macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident($bytes:expr)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; $bytes]);

        impl TryFrom<String> for $name {
            type Error = NotBytes;

            fn try_from(text: String) -> Result<Self, NotBytes> {
                let wrong = NotBytes { what: stringify!($name), bytes: $bytes };
                // Twice as many as it takes: nothing longer is looked at.
                if text.len() > $bytes * 2 {
                    return Err(wrong);
                }
                let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
                bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(wrong)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                BASE64_URL_SAFE_NO_PAD.encode(value.0)
            }
        }
    };
}

/// A text that does not stand for so many bytes. It is not repeated: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{what}` is not {bytes} bytes in base64url without padding")]
pub struct NotBytes {
    what: &'static str,
    bytes: usize,
}

fixed_bytes!(
    /// The SHA-256 of the authority's certificate (DER).
    Pin(PIN_BYTES)
);
fixed_bytes!(
    /// What makes a token worth something. The hub keeps only its SHA-256.
    Secret(SECRET_BYTES)
);
fixed_bytes!(
    /// The public half of the store's long-lived key (Ed25519).
    BoundKey(BOUND_KEY_BYTES)
);
fixed_bytes!(
    /// A signature by the bound key.
    Signature(SIGNATURE_BYTES)
);
fixed_bytes!(
    /// The hub's own, good for a few minutes; what is in it is the hub's business.
    Nonce(NONCE_BYTES)
);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

/// As `openssl x509 -fingerprint -sha256` has it, without colons and in small letters.
impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BoundKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoundKey({})", BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(…)")
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(…)")
    }
}

/// A line about a machine, for the person who lets it in: short, and without control characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fact(String);

/// A text that is no [`Fact`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a fact about a machine has at most {FACT_BYTES_MAX} bytes and no control characters")]
pub struct NotAFact;

impl Fact {
    /// As much of `text` as there is room for.
    #[must_use]
    pub fn clipped(text: &str) -> Fact {
        let plain: String = text.chars().filter(|c| !c.is_control()).collect();
        Fact(crate::limits::clipped(&plain, FACT_BYTES_MAX).to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Fact {
    type Error = NotAFact;

    fn try_from(text: String) -> Result<Self, NotAFact> {
        if text.len() > FACT_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(NotAFact);
        }
        Ok(Fact(text))
    }
}

impl From<Fact> for String {
    fn from(fact: Fact) -> String {
        fact.0
    }
}

/// What a machine says of itself. Nobody has checked it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Its name in the network.
    #[serde(default)]
    pub hostname: Fact,
    /// The operating system and its version.
    #[serde(default)]
    pub system: Fact,
    /// Tells machines apart; a hash, never the system's own machine id.
    #[serde(default)]
    pub machine: Fact,
    /// The program that asks, and its version.
    #[serde(default)]
    pub software: Fact,
}

/// Asks for the first certificate of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentRequest {
    pub version: u16,
    /// The token's secret.
    pub secret: Secret,
    /// The store it is for. May be left out where the token names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreId>,
    /// A certificate request (PEM, PKCS #10) for a key that was made in the store. Names in it are not looked at.
    pub csr: String,
    pub bound_key: BoundKey,
    /// By the bound key, over [`enrolment_message`].
    pub bound_signature: Signature,
    #[serde(default)]
    pub machine: Machine,
}

/// Asks for the next certificate of a store. Without `recovery`, the present certificate is shown in the TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewalRequest {
    pub version: u16,
    /// As in [`EnrolmentRequest`]. A new key each time, written down before this is sent.
    pub csr: String,
    /// Registers a bound key where the hub knows none yet: for a store whose certificate was issued by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
    /// Once the certificate has expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
}

/// A bound key and the proof that whoever sends it has its other half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    pub key: BoundKey,
    /// Over [`enrolment_message`].
    pub signature: Signature,
}

/// Stands for a certificate that is no longer good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    pub store: StoreId,
    pub nonce: Nonce,
    /// By the bound key, over [`recovery_message`].
    pub signature: Signature,
}

/// What the bound key signs when it is registered.
#[must_use]
pub fn enrolment_message(csr: &str) -> Vec<u8> {
    [ENROLMENT_CONTEXT, csr.as_bytes()].concat()
}

/// What the bound key signs in place of a certificate.
#[must_use]
pub fn recovery_message(store: &StoreId, nonce: &Nonce, csr: &str) -> Vec<u8> {
    let mut out = Writer::default();
    out.fixed(RECOVERY_CONTEXT);
    out.text(store.as_str());
    out.fixed(&nonce.0);
    out.fixed(csr.as_bytes());
    out.bytes
}

/// A store's new identity. Before it is used, `ca` is held against the pin and `certificate` against the store's own key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    pub version: u16,
    pub store: StoreId,
    /// The store's certificate and what leads from it to the authority (PEM), the store's first.
    pub certificate: String,
    /// The authority's certificate (PEM).
    pub ca: String,
    /// The hub's key for pickup codes, 64 hexadecimal digits: the contents of `pickup.pub`.
    pub pickup_key: String,
    pub not_after: UnixMillis,
    /// From when to ask for the next one. The hub has spread this, so that stores don't ask all at once.
    pub renew_after: UnixMillis,
}

/// The request waits for head office: send the same again after a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub version: u16,
    /// By which head office finds it.
    pub registration: String,
    pub retry_after_s: u32,
}

/// For a renewal by the bound key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonceAnswer {
    pub version: u16,
    pub nonce: Nonce,
    pub expires: UnixMillis,
}

/// Why the hub does not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    #[serde(default)]
    pub code: RefusalCode,
    /// What was wrong with this request, for a person.
    #[serde(default)]
    pub detail: String,
    /// When to try again, where that helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
}

macro_rules! refusal_codes {
    ($($(#[$doc:meta])* $code:ident, $name:literal, $status:literal, $todo:literal;)+) => {
        /// Kinds of refusals. A code that is not known here reads as [`RefusalCode::Unknown`].
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum RefusalCode {
            $($(#[$doc])* #[serde(rename = $name)] $code,)+
            /// From a newer hub.
            #[default]
            #[serde(rename = "unknown", other)]
            Unknown,
        }

        impl RefusalCode {
            /// All that this release knows.
            pub const ALL: &[RefusalCode] = &[$(RefusalCode::$code),+];

            /// As it is written in answers and logs.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)+
                    Self::Unknown => "unknown",
                }
            }

            /// The HTTP status it comes with.
            #[must_use]
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$code => $status,)+
                    Self::Unknown => 400,
                }
            }

            /// What the person in the store can do.
            #[must_use]
            pub fn what_to_do(self) -> &'static str {
                match self {
                    $(Self::$code => $todo,)+
                    Self::Unknown => "read the hub's own words; a newer storectl may know more",
                }
            }
        }
    };
}

refusal_codes! {
    /// The body is not what it should be.
    BadRequest, "bad_request", 400, "use the storectl of the hub's release; if it is, report this as a bug";
    /// There is nothing at this path.
    NotFound, "not_found", 404, "this may be another of the hub's addresses; take the one from the token";
    /// Requests of this version are not understood.
    Version, "version", 400, "upgrade the older of storectl and hub";
    /// The hub has never made such a token.
    TokenUnknown, "token_unknown", 403, "ask head office for a new token, and copy all of it";
    /// It was used for another key.
    TokenUsed, "token_used", 403, "ask head office for a new token; if nobody here has used this one, tell them so: somebody else has";
    TokenExpired, "token_expired", 403, "ask head office for a new token";
    TokenRevoked, "token_revoked", 403, "ask head office why, and for a new token";
    /// The token names another store than the request.
    TokenOtherStore, "token_other_store", 403, "use the token that was made for this store";
    /// Neither token nor request name a store.
    StoreMissing, "store_missing", 400, "name the store with --store";
    /// The hub does not expect such a store.
    StoreUnknown, "store_unknown", 403, "have head office add the store first";
    StoreRevoked, "store_revoked", 403, "head office has shut this store out; it needs a new token from there";
    /// Two hold its identity, and head office has not chosen yet.
    StoreQuarantined, "store_quarantined", 403, "two machines claim to be this store; head office must choose";
    /// Head office has turned the request down.
    Rejected, "rejected", 403, "head office has turned this machine down; ask there";
    /// The certificate request can't be read, or is for a key that is not ECDSA P-256.
    CsrRefused, "csr_refused", 400, "use the storectl of the hub's release; if it is, report this as a bug";
    /// The bound key's signature is not right.
    ProofRefused, "proof_refused", 403, "the key on this disk is not the one this store was enrolled with; enrol it anew with a token";
    /// A renewal without a certificate and without a recovery.
    IdentityMissing, "identity_missing", 401, "show the present certificate, or recover by the bound key if it has expired";
    /// The certificate is of this authority but not the store's present one.
    CertificateSuperseded, "certificate_superseded", 403, "another machine has this store's identity; head office must choose";
    /// The hub knows no bound key of this store.
    BoundKeyUnknown, "bound_key_unknown", 403, "enrol the store anew with a token from head office";
    NonceRefused, "nonce_refused", 409, "ask for another nonce and try again at once";
    /// So many recoveries are not allowed.
    RecoveriesUsedUp, "recoveries_used_up", 403, "enrol the store anew with a token from head office";
    TooManyRequests, "too_many_requests", 429, "wait a little and try again";
    Unavailable, "unavailable", 503, "the hub can't do it right now; try again in a minute";
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> Token {
        Token {
            addresses: vec!["hub.example:7445".parse().unwrap(), "[2001:db8::1]:7445".parse().unwrap()],
            pin: Pin([7; PIN_BYTES]),
            store: Some("S0042".parse().unwrap()),
            secret: Secret([0xA5; SECRET_BYTES]),
            expires: UnixMillis(1_795_000_000_000),
        }
    }

    #[test]
    fn a_token_reads_back() {
        let text = token().reveal();
        assert!(text.starts_with("sse1.") && text.len() < 200, "{text}");
        assert_eq!(format!("\n  {text} \n").parse(), Ok(token()));
        let any_store = Token { store: None, ..token() };
        assert_eq!(any_store.reveal().parse(), Ok(any_store));
    }

    #[test]
    fn a_slip_in_a_token_is_noticed_before_anything_is_sent() {
        let text = token().reveal();
        assert_eq!("".parse::<Token>(), Err(TokenRefused::NotAToken));
        assert_eq!("sse2.AQ".parse::<Token>(), Err(TokenRefused::NotAToken));
        assert_eq!("sse1.".parse::<Token>(), Err(TokenRefused::Damaged));
        assert_eq!("sse1.Ag".parse::<Token>(), Err(TokenRefused::Version));
        assert_eq!(format!("sse1.{}", "A".repeat(9_000)).parse::<Token>(), Err(TokenRefused::NotAToken));
        for end in TOKEN_START.len()..text.len() {
            assert!(text[..end].parse::<Token>().is_err(), "{end}");
        }
        for at in TOKEN_START.len()..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] = if other[at] == b'x' { b'y' } else { b'x' };
            assert!(String::from_utf8(other).unwrap().parse::<Token>().is_err(), "{at}");
        }
    }

    #[test]
    fn the_longest_token_is_read() {
        let address = format!("{}:65535", "h".repeat(ADDRESS_BYTES_MAX - 6));
        let long = Token { addresses: vec![address.parse().unwrap(); 4], ..token() };
        assert!(long.reveal().parse::<Token>().is_ok());
    }

    #[test]
    fn a_secret_is_never_shown() {
        let token = token();
        let shown = format!("{token:?} {:#?}", token.secret);
        let secret = BASE64_URL_SAFE_NO_PAD.encode([0xA5; SECRET_BYTES]);
        assert!(!shown.contains(&secret) && !shown.contains("165") && !shown.to_lowercase().contains("a5a5"));
        let wrong = serde_json::from_str::<Secret>("\"hunter2\"").unwrap_err();
        assert!(!wrong.to_string().contains("hunter2"), "{wrong}");
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["hub.example:7445", "10.1.2.3:1", "[::1]:7445"] {
            assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
        }
        for bad in
            ["", "hub", ":1", "hub:0", "hub:70000", "::1:7445", "https://hub:1", "a/b:1", "[hub]:1", "hub :1"]
        {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn requests_and_answers_read_back() {
        let request = EnrolmentRequest {
            version: VERSION,
            secret: Secret([1; SECRET_BYTES]),
            store: None,
            csr: "-----BEGIN CERTIFICATE REQUEST-----".to_owned(),
            bound_key: BoundKey([2; BOUND_KEY_BYTES]),
            bound_signature: Signature([3; SIGNATURE_BYTES]),
            machine: Machine { hostname: Fact::clipped("till\u{7}-server"), ..Machine::default() },
        };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<EnrolmentRequest>(&text).unwrap(), request);
        assert!(text.contains("till-server"), "{text}");
        let answer = NonceAnswer { version: 1, nonce: Nonce([4; NONCE_BYTES]), expires: UnixMillis(5) };
        let text = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<NonceAnswer>(&text).unwrap(), answer);
        let long = format!("{{\"hostname\":\"{}\"}}", "x".repeat(FACT_BYTES_MAX + 1));
        assert!(serde_json::from_str::<Machine>(&long).is_err());
    }

    #[test]
    fn each_refusal_has_a_name_of_its_own_and_says_what_to_do() {
        let names: std::collections::BTreeSet<&str> =
            RefusalCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), RefusalCode::ALL.len());
        for code in RefusalCode::ALL {
            let text = serde_json::to_string(code).unwrap();
            assert_eq!(text, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<RefusalCode>(&text).unwrap(), *code);
            assert!((400..600).contains(&code.status()) && !code.what_to_do().is_empty());
        }
        let newer: Refusal = serde_json::from_str(r#"{"code":"phase_of_the_moon","detail":"full"}"#).unwrap();
        assert_eq!(newer.code, RefusalCode::Unknown);
    }

    #[test]
    fn what_is_signed_for_one_purpose_is_nothing_for_another() {
        let store = "S1".parse().unwrap();
        let nonce = Nonce([0; NONCE_BYTES]);
        assert_ne!(enrolment_message("x"), recovery_message(&store, &nonce, "x"));
        assert_ne!(
            recovery_message(&store, &nonce, "x"),
            recovery_message(&"S2".parse().unwrap(), &nonce, "x")
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "sse1\\.[0-9A-Za-z_-]{0,400}") {
            let _ = text.parse::<Token>();
        }

        /// Behind a check that is right, whatever it says.
        #[test]
        fn any_body_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let body = [&[TOKEN_VERSION][..], &body].concat();
            let text = BASE64_URL_SAFE_NO_PAD.encode([&body[..], &check_of(&body)].concat());
            if let Ok(token) = format!("{TOKEN_START}{text}").parse::<Token>() {
                prop_assert_eq!(token.reveal().parse::<Token>().unwrap().reveal(), token.reveal());
            }
        }
    }
}
