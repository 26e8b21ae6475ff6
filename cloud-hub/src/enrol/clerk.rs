//! Answers what stores ask for their identity: from bytes to bytes, with the books and the authority between. Knows no socket; takes
//! a few milliseconds of disk and must not be called where others wait.

use super::books::{Asked, Books, BooksError, Given, Signed};
use super::ca::{Pki, PkiError};
use super::csr::{Csr, is_signed};
use super::nonce::Nonces;
use crate::identity::{end_of, serial_of, store_of};
use crate::standing::Serial;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::{Mutex, MutexGuard, PoisonError};
use sync_protocol::enrolment::{
    ENROLMENTS, Enrolled, EnrolmentRequest, NONCES, NonceAnswer, Pending, RENEWALS, Recovery, Refusal,
    RefusalCode, RenewalRequest, VERSION, enrolment_message, recovery_message,
};
use sync_protocol::releases::{RELEASES, ReleaseAnswer, ReleaseRequest};
use sync_protocol::{StoreId, UnixMillis};
use tokio::sync::Notify;

/// When a machine that waits for head office asks again.
const ASK_AGAIN_S: u32 = 15;

/// Whether head office expects a store. The error is the environment's.
pub type IsExpected =
    Box<dyn Fn(&StoreId) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// What the clerk goes by.
pub struct Rules {
    /// The hub's key for pickup codes, as `pickup.pub` has it.
    pub pickup_key: String,
    pub certificate_days: u32,
    /// Recoveries by the bound key between two enrolments.
    pub recoveries_max: u32,
}

/// Whoever answers stores. Shared by all connections.
pub struct Clerk {
    books: Mutex<Books>,
    pki: Pki,
    is_expected: IsExpected,
    nonces: Nonces,
    rules: Rules,
    ca_pem: String,
    /// Something was written.
    written: Notify,
}

/// What leaves: a status, a JSON body, and a word for the metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    pub retry_after_s: Option<u32>,
    pub outcome: &'static str,
}

/// Why there is no clerk. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ClerkError {
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("the system gives no random numbers")]
    Random(#[source] getrandom::Error),
}

/// A certificate of the hub's authority that was shown in the handshake.
struct Shown {
    store: StoreId,
    serial: Serial,
    ends: UnixMillis,
}

/// A request that came from somewhere, at some time.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub path: &'a str,
    pub is_post: bool,
    pub body: &'a [u8],
    pub peer: &'a str,
    /// The certificate (DER) the caller has shown; TLS has checked who signed it, and that it is still good.
    pub certificate: Option<&'a [u8]>,
    pub now: UnixMillis,
}

impl Clerk {
    /// # Errors
    /// The authority's files can't be read, or the system gives no random numbers.
    pub fn new(books: Books, pki: Pki, is_expected: IsExpected, rules: Rules) -> Result<Clerk, ClerkError> {
        let ca_pem = pki.ca_pem()?;
        let nonces = Nonces::new().map_err(ClerkError::Random)?;
        let books = Mutex::new(books);
        Ok(Clerk { books, pki, is_expected, nonces, rules, ca_pem, written: Notify::new() })
    }

    /// Waits until something may have been written.
    pub async fn has_written(&self) {
        self.written.notified().await;
    }

    /// The answer to a request, whatever it is.
    #[must_use]
    pub fn answer(&self, call: Call<'_>) -> Reply {
        let answered = match (call.is_post, call.path) {
            (true, ENROLMENTS) => parsed(call.body).and_then(|request| self.enrol(&request, call)),
            (true, RENEWALS) => parsed(call.body).and_then(|request| self.renew(&request, call)),
            (true, NONCES) => self.nonce(call.now),
            (true, RELEASES) => parsed(call.body).and_then(|request| self.release(&request, call)),
            (false, ENROLMENTS | RENEWALS | NONCES | RELEASES) => {
                Err(refusal(RefusalCode::NotFound, "this is asked for with POST"))
            }
            _ => Err(refusal(RefusalCode::NotFound, "there is nothing at this path")),
        };
        answered.unwrap_or_else(|refusal| refused(&refusal))
    }

    fn enrol(&self, request: &EnrolmentRequest, call: Call<'_>) -> Result<Reply, Refusal> {
        understood(request.version)?;
        let csr = csr_in(&request.csr)?;
        let message = enrolment_message(&request.csr);
        if !is_signed(&request.bound_key, &message, &request.bound_signature) {
            return Err(refusal(RefusalCode::ProofRefused, "the bound key has not signed this request"));
        }
        let asked = Asked { key: &csr.key_hash, peer: call.peer, now: call.now };
        let not_asked = std::cell::Cell::new(None);
        let is_known = |store: &StoreId| match (self.is_expected)(store) {
            Ok(known) => known,
            Err(error) => {
                not_asked.set(Some(error));
                false
            }
        };
        let given = self.books().enrol(
            &asked,
            (&request.secret, request.store.as_ref()),
            (&request.bound_key, &request.machine),
            &is_known,
            &self.signing(&csr, call.now),
        );
        if let Some(error) = not_asked.take() {
            return Err(unavailable("looking up a store", error.as_ref()));
        }
        self.said(given, "enrolled")
    }

    fn renew(&self, request: &RenewalRequest, call: Call<'_>) -> Result<Reply, Refusal> {
        understood(request.version)?;
        let csr = csr_in(&request.csr)?;
        if let Some(recovery) = &request.recovery {
            return self.recover(request, recovery, &csr, call);
        }
        let Shown { store, serial, ends } = shown_in(call)?;
        let bound = request.bound.as_ref();
        if bound
            .is_some_and(|bound| !is_signed(&bound.key, &enrolment_message(&request.csr), &bound.signature))
        {
            return Err(refusal(RefusalCode::ProofRefused, "the bound key has not signed this request"));
        }
        let asked = Asked { key: &csr.key_hash, peer: call.peer, now: call.now };
        let given = self.books().renew(
            &asked,
            (&store, &serial, ends),
            bound.map(|bound| &bound.key),
            &self.signing(&csr, call.now),
        );
        self.said(given, "renewed")
    }

    fn recover(
        &self,
        request: &RenewalRequest,
        recovery: &Recovery,
        csr: &Csr,
        call: Call<'_>,
    ) -> Result<Reply, Refusal> {
        if !self.nonces.knows(&recovery.nonce, call.now) {
            return Err(refusal(RefusalCode::NonceRefused, "this nonce is not the hub's, or too old"));
        }
        let message = recovery_message(&recovery.store, &recovery.nonce, &request.csr);
        let asked = Asked { key: &csr.key_hash, peer: call.peer, now: call.now };
        let given = self.books().recover(
            &asked,
            &recovery.store,
            &|key| is_signed(key, &message, &recovery.signature),
            self.rules.recoveries_max,
            &self.signing(csr, call.now),
        );
        self.said(given, "recovered")
    }

    fn release(&self, request: &ReleaseRequest, call: Call<'_>) -> Result<Reply, Refusal> {
        understood(request.version)?;
        let Shown { store, serial, .. } = shown_in(call)?;
        let given = self.books().wish_for((&store, &serial), request, call.now);
        self.said(given, "release")
    }

    fn nonce(&self, now: UnixMillis) -> Result<Reply, Refusal> {
        let made = self.nonces.make(now);
        let (nonce, expires) = made.map_err(|error| unavailable("drawing a nonce", &error))?;
        Ok(reply(200, &NonceAnswer { version: VERSION, nonce, expires }, "nonce"))
    }

    fn signing<'a>(
        &'a self,
        csr: &'a Csr,
        now: UnixMillis,
    ) -> impl Fn(&StoreId) -> Result<Signed, PkiError> + 'a {
        move |store| self.pki.certify(store, csr, self.rules.certificate_days, now)
    }

    fn said(&self, given: Result<Given, BooksError>, outcome: &'static str) -> Result<Reply, Refusal> {
        let given = given.map_err(|error| unavailable(error.act, &error))?;
        self.written.notify_one();
        match given {
            Given::Certificate(kept) => {
                let enrolled = Enrolled {
                    version: VERSION,
                    store: kept.store,
                    certificate: kept.pem,
                    ca: self.ca_pem.clone(),
                    pickup_key: self.rules.pickup_key.clone(),
                    not_after: kept.not_after,
                    renew_after: kept.renew_after,
                };
                Ok(reply(200, &enrolled, outcome))
            }
            Given::Pending(number) => {
                let pending = Pending {
                    version: VERSION,
                    registration: number.to_string(),
                    retry_after_s: ASK_AGAIN_S,
                };
                let reply = reply(202, &pending, "pending");
                Ok(Reply { retry_after_s: Some(ASK_AGAIN_S), ..reply })
            }
            Given::Release(wish) => Ok(reply(200, &ReleaseAnswer { version: VERSION, wish }, outcome)),
            Given::Refused(code, detail) => Err(refusal(code, detail)),
        }
    }

    // A panic while holding the lock leaves a transaction that was never committed.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown_in(call: Call<'_>) -> Result<Shown, Refusal> {
    let missing = |detail: String| refusal(RefusalCode::IdentityMissing, detail);
    let der = call.certificate.ok_or_else(|| missing("no certificate was shown".to_owned()))?;
    let store = store_of(der).map_err(|error| missing(error.to_string()))?;
    let serial = serial_of(der).map_err(|error| missing(error.to_string()))?;
    let ends = end_of(der).map_err(|error| missing(error.to_string()))?;
    Ok(Shown { store, serial, ends })
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    // What was wrong is named by its field, never by its value: that may be a secret.
    let mut json = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        refusal(RefusalCode::BadRequest, format!("the body can't be read at `{}`", field.escape_debug()))
    })
}

fn understood(version: u16) -> Result<(), Refusal> {
    if version == VERSION {
        return Ok(());
    }
    Err(refusal(RefusalCode::Version, format!("the hub understands version {VERSION}, not {version}")))
}

fn csr_in(pem: &str) -> Result<Csr, Refusal> {
    Csr::read(pem).map_err(|error| refusal(RefusalCode::CsrRefused, error.to_string()))
}

pub(super) fn refusal(code: RefusalCode, detail: impl Into<String>) -> Refusal {
    let retry_after_s = match code {
        RefusalCode::TooManyRequests => Some(5),
        RefusalCode::Unavailable => Some(60),
        _ => None,
    };
    Refusal { code, detail: detail.into(), retry_after_s }
}

fn unavailable(act: &str, error: &(dyn std::error::Error + 'static)) -> Refusal {
    tracing::error!(act, error, "a store could not be answered");
    refusal(RefusalCode::Unavailable, "the hub can't do this right now; its log says why")
}

pub(super) fn refused(refusal: &Refusal) -> Reply {
    let answer = reply(refusal.code.status(), refusal, refusal.code.name());
    Reply { retry_after_s: refusal.retry_after_s, ..answer }
}

fn reply(status: u16, answer: &impl Serialize, outcome: &'static str) -> Reply {
    let body = serde_json::to_vec(answer).expect("answers have text keys and are written to memory");
    Reply { status, body, retry_after_s: None, outcome }
}
