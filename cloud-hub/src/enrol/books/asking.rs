//! What stores ask for, each decided and written in one transaction.

use super::{Books, Done, Identity, failed, identity_of, quarantine, store_in};
use crate::enrol::ca::PkiError;
use crate::enrol::csr::sha256;
use crate::standing::Serial;
use rusqlite::{OptionalExtension, Row, Transaction, params};
use sync_protocol::enrolment::{BoundKey, Machine, RefusalCode, Secret};
use sync_protocol::releases::Wish;
use sync_protocol::{StoreId, UnixMillis};

/// How long the same request is answered again with what its token has given, in milliseconds. Longer than a storectl tries.
const REPEATED_WITHIN_MS: i64 = 15 * 60 * 1000;
/// Most requests that wait for head office: of one token, and of all.
const WAITING_OF_TOKEN_MAX: u32 = 10;
const WAITING_MAX: u32 = 2_000;

/// A certificate for `store`, freshly signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub serial: Serial,
    pub pem: String,
    pub not_after: UnixMillis,
    pub renew_after: UnixMillis,
}

/// Signs for a store, inside the transaction: nothing that was signed is forgotten, and what fails is not written.
pub type Signing<'a> = &'a dyn Fn(&StoreId) -> Result<Signed, PkiError>;

/// Who asks, and with what key.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// SHA-256 of the public key.
    pub key: &'a [u8; 32],
    /// From where, for head office.
    pub peer: &'a str,
    pub now: UnixMillis,
}

/// A certificate as the books have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub store: StoreId,
    pub serial: Serial,
    pub pem: String,
    pub not_after: UnixMillis,
    pub renew_after: UnixMillis,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    Certificate(Kept),
    /// Waits for head office, under this number.
    Pending(i64),
    /// What the store is wished.
    Release(Option<Wish>),
    Refused(RefusalCode, String),
}

/// How a store came by a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Enrolment,
    Renewal,
    Recovery,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Enrolment => "enrolment",
            Self::Renewal => "renewal",
            Self::Recovery => "recovery",
        }
    }
}

/// The certificate that a renewal is for.
struct Present {
    kept: Kept,
    key: [u8; 32],
    way: String,
}

struct TokenFacts {
    id: String,
    store: Option<StoreId>,
    approve: bool,
    expires_at: i64,
    revoked_at: Option<i64>,
    used_at: Option<i64>,
    used_key: Option<[u8; 32]>,
}

/// Why a step ends early: with an answer, or because something broke.
pub(super) enum Early {
    Answer(Given),
    Sql(rusqlite::Error),
    Pki(PkiError),
}

impl From<rusqlite::Error> for Early {
    fn from(error: rusqlite::Error) -> Early {
        Early::Sql(error)
    }
}

fn no(code: RefusalCode, detail: impl Into<String>) -> Early {
    Early::Answer(Given::Refused(code, detail.into()))
}

impl Books {
    /// A store's first certificate, or that of a machine in its predecessor's place.
    ///
    /// # Errors
    /// The books or the authority fail; then nothing has happened.
    pub fn enrol(
        &mut self,
        asked: &Asked<'_>,
        (secret, store): (&Secret, Option<&StoreId>),
        (bound_key, machine): (&BoundKey, &Machine),
        is_known: &dyn Fn(&StoreId) -> bool,
        sign: Signing<'_>,
    ) -> Done<Given> {
        self.decide("enrolling a store", |step| {
            let token = token_of(step, secret)?;
            let wanted = wanted_store(&token, store)?;
            if let Some(used_at) = token.used_at {
                return Ok(used_before(step, &token, used_at, asked)?);
            }
            if asked.now.0 > token.expires_at {
                return Err(no(RefusalCode::TokenExpired, "this token has expired"));
            }
            let store = if token.approve || token.store.is_none() {
                approved_store(step, &token, wanted, machine, asked)?
            } else {
                wanted
                    .ok_or_else(|| no(RefusalCode::StoreMissing, "neither token nor request name a store"))?
            };
            if !is_known(&store) {
                return Err(no(RefusalCode::StoreUnknown, format!("the hub expects no store `{store}`")));
            }
            let signed = sign(&store).map_err(Early::Pki)?;
            // Whatever another machine had of this identity ends here: that is what the token was made for.
            let sql = "UPDATE certificate SET state = 'refused' WHERE store = ?1";
            step.prepare_cached(sql)?.execute([store.as_str()])?;
            let sql = "INSERT INTO identity (store, bound_key) VALUES (?1, ?2)
                       ON CONFLICT (store) DO UPDATE SET bound_key = ?2, recoveries = 0, revoked_at = NULL,
                                                         quarantined_at = NULL, why = ''";
            step.prepare_cached(sql)?.execute(params![store.as_str(), bound_key.0])?;
            let sql = "UPDATE token SET used_at = ?2, used_key = ?3 WHERE id = ?1";
            step.prepare_cached(sql)?.execute(params![token.id, asked.now.0, asked.key])?;
            keep(step, &store, signed, Way::Enrolment, asked).map_err(Early::from)
        })
    }

    /// The next certificate, for whoever has shown the present one.
    ///
    /// # Errors
    /// The books or the authority fail; then nothing has happened.
    pub fn renew(
        &mut self,
        asked: &Asked<'_>,
        (store, shown, shown_ends): (&StoreId, &Serial, UnixMillis),
        bound_key: Option<&BoundKey>,
        sign: Signing<'_>,
    ) -> Done<Given> {
        self.decide("renewing a certificate", |step| {
            let identity = identity_of(step, store)?;
            stands(&identity)?;
            match present_of(step, store)? {
                None => by_hand(step, store, shown, shown_ends, asked)?,
                Some(present) => {
                    if let Some(again) = goes_on_from(step, present, shown, asked)? {
                        return Ok(again);
                    }
                }
            }
            if let Some(key) = bound_key.filter(|_| identity.bound_key.is_none()) {
                let sql = "INSERT INTO identity (store, bound_key) VALUES (?1, ?2)
                           ON CONFLICT (store) DO UPDATE SET bound_key = ?2";
                step.prepare_cached(sql)?.execute(params![store.as_str(), key.0])?;
            }
            let signed = sign(store).map_err(Early::Pki)?;
            step_back(step, store)?;
            keep(step, store, signed, Way::Renewal, asked).map_err(Early::from)
        })
    }

    /// The next certificate, for whoever has the bound key and a certificate that has expired. `has_signed` says whether the
    /// proof was made by a given bound key.
    ///
    /// # Errors
    /// The books or the authority fail; then nothing has happened.
    pub fn recover(
        &mut self,
        asked: &Asked<'_>,
        store: &StoreId,
        has_signed: &dyn Fn(&BoundKey) -> bool,
        recoveries_max: u32,
        sign: Signing<'_>,
    ) -> Done<Given> {
        self.decide("recovering a certificate", |step| {
            let identity = identity_of(step, store)?;
            let key = identity.bound_key.map(BoundKey);
            let key = key.ok_or_else(|| no(RefusalCode::BoundKeyUnknown, "the hub knows no bound key of this store"))?;
            if !has_signed(&key) {
                return Err(no(RefusalCode::ProofRefused, "this is not signed by the store's bound key"));
            }
            stands(&identity)?;
            if let Some(present) = present_of(step, store)? {
                if present.key == *asked.key {
                    return Ok(Given::Certificate(present.kept));
                }
                if present.kept.not_after > asked.now {
                    if present.way == Way::Recovery.name() {
                        let why = format!(
                            "the bound key was used again, from {}, while the certificate it was used for is good",
                            asked.peer
                        );
                        quarantine(step, store, &why, asked.now)?;
                        return Err(no(RefusalCode::CertificateSuperseded, why));
                    }
                    let detail = "by the hub's clock the present certificate is still good";
                    return Err(no(RefusalCode::IdentityMissing, detail));
                }
            }
            if identity.recoveries >= recoveries_max {
                let detail = format!("this store has recovered {} times since it was enrolled", identity.recoveries);
                return Err(no(RefusalCode::RecoveriesUsedUp, detail));
            }
            let signed = sign(store).map_err(Early::Pki)?;
            let sql = "UPDATE identity SET recoveries = recoveries + 1 WHERE store = ?1";
            step.prepare_cached(sql)?.execute([store.as_str()])?;
            step_back(step, store)?;
            keep(step, store, signed, Way::Recovery, asked).map_err(Early::from)
        })
    }

    /// Answers that are refusals are commits too: they may have shut a store out.
    pub(super) fn decide(
        &mut self,
        act: &'static str,
        decide: impl FnOnce(&Transaction<'_>) -> Result<Given, Early>,
    ) -> Done<Given> {
        let step = self.step()?;
        let given = match decide(&step) {
            Ok(given) | Err(Early::Answer(given)) => given,
            Err(Early::Sql(error)) => return Err(failed(act)(error)),
            Err(Early::Pki(error)) => return Err(failed(act)(error)),
        };
        step.commit().map_err(failed(act))?;
        Ok(given)
    }
}

fn token_of(step: &Transaction<'_>, secret: &Secret) -> Result<TokenFacts, Early> {
    let sql =
        "SELECT id, store, approve, expires_at, revoked_at, used_at, used_key FROM token WHERE hash = ?1";
    let read = |row: &Row<'_>| {
        let store: Option<String> = row.get(1)?;
        Ok(TokenFacts {
            id: row.get(0)?,
            store: store.map(|_| store_in(row, 1)).transpose()?,
            approve: row.get(2)?,
            expires_at: row.get(3)?,
            revoked_at: row.get(4)?,
            used_at: row.get(5)?,
            used_key: row.get(6)?,
        })
    };
    let found = step.prepare_cached(sql)?.query_row([sha256(&secret.0)], read).optional()?;
    let token = found.ok_or_else(|| no(RefusalCode::TokenUnknown, "the hub has made no such token"))?;
    if token.revoked_at.is_some() {
        return Err(no(RefusalCode::TokenRevoked, "head office has withdrawn this token"));
    }
    Ok(token)
}

fn wanted_store(token: &TokenFacts, asked: Option<&StoreId>) -> Result<Option<StoreId>, Early> {
    match (&token.store, asked) {
        (Some(named), Some(asked)) if named != asked => {
            let detail = format!("this token is for store `{named}`, not for `{asked}`");
            Err(no(RefusalCode::TokenOtherStore, detail))
        }
        (named, asked) => Ok(named.as_ref().or(asked).cloned()),
    }
}

/// The answer of a token that has given a certificate: the same to the same key, for a while.
fn used_before(
    step: &Transaction<'_>,
    token: &TokenFacts,
    used_at: i64,
    asked: &Asked<'_>,
) -> rusqlite::Result<Given> {
    let refused = || Given::Refused(RefusalCode::TokenUsed, "this token has been used".to_owned());
    if token.used_key.as_ref() != Some(asked.key) || asked.now.0 - used_at > REPEATED_WITHIN_MS {
        return Ok(refused());
    }
    let sql = format!("{CERTIFICATES} WHERE key = ?1 AND state = 'present' AND way = 'enrolment'");
    let kept = step.prepare_cached(&sql)?.query_row([asked.key], kept_in).optional()?;
    Ok(kept.map_or_else(refused, Given::Certificate))
}

/// The store that head office has allowed this machine to be; until it has, the request waits.
fn approved_store(
    step: &Transaction<'_>,
    token: &TokenFacts,
    wanted: Option<StoreId>,
    machine: &Machine,
    asked: &Asked<'_>,
) -> Result<StoreId, Early> {
    let sql = "SELECT number, decision, store FROM registration WHERE token = ?1 AND key = ?2";
    let read = |row: &Row<'_>| {
        let store: Option<String> = row.get(2)?;
        Ok((row.get(0)?, row.get::<_, String>(1)?, store.map(|_| store_in(row, 2)).transpose()?))
    };
    let found: Option<(i64, String, Option<StoreId>)> =
        step.prepare_cached(sql)?.query_row(params![token.id, asked.key], read).optional()?;
    match found {
        None => Err(Early::Answer(Given::Pending(register(step, token, wanted, machine, asked)?))),
        Some((_, decision, Some(store))) if decision == "allowed" => Ok(store),
        Some((_, decision, _)) if decision == "rejected" => {
            Err(no(RefusalCode::Rejected, "head office has turned this machine down"))
        }
        Some((number, ..)) => Err(Early::Answer(Given::Pending(number))),
    }
}

fn register(
    step: &Transaction<'_>,
    token: &TokenFacts,
    wanted: Option<StoreId>,
    machine: &Machine,
    asked: &Asked<'_>,
) -> Result<i64, Early> {
    let sql =
        "SELECT count(*) FILTER (WHERE token = ?1), count(*) FROM registration WHERE decision = 'pending'";
    let (of_token, of_all): (u32, u32) =
        step.prepare_cached(sql)?.query_row([&token.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if of_token >= WAITING_OF_TOKEN_MAX || of_all >= WAITING_MAX {
        return Err(no(RefusalCode::TooManyRequests, "too many requests wait for head office already"));
    }
    let machine = serde_json::to_string(machine).unwrap_or_default();
    let sql = "INSERT INTO registration (token, key, store, peer, machine, asked_at, decision)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'pending') RETURNING number";
    let wanted = wanted.as_ref().map(StoreId::as_str);
    let values = params![token.id, asked.key, wanted, asked.peer, machine, asked.now.0];
    Ok(step.prepare_cached(sql)?.query_row(values, |row| row.get(0))?)
}

fn stands(identity: &Identity) -> Result<(), Early> {
    if identity.revoked_at.is_some() {
        return Err(no(RefusalCode::StoreRevoked, "head office has revoked this store's identity"));
    }
    if identity.quarantined_at.is_some() {
        return Err(no(RefusalCode::StoreQuarantined, "two machines have used this store's identity"));
    }
    Ok(())
}

/// Whether the holder of this certificate speaks for the store.
pub(super) fn is_holder(step: &Transaction<'_>, store: &StoreId, shown: &Serial) -> Result<(), Early> {
    stands(&identity_of(step, store)?)?;
    // Of one that was issued by hand and never renewed the books know nothing.
    let sql = "SELECT count(*), count(*) FILTER (WHERE serial = ?2 AND state IN ('present', 'previous'))
               FROM certificate WHERE store = ?1";
    let (all, good): (u32, u32) = step
        .prepare_cached(sql)?
        .query_row([store.as_str(), shown.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if all > 0 && good == 0 {
        return Err(no(RefusalCode::CertificateSuperseded, format!("certificate {shown} has ended")));
    }
    Ok(())
}

/// Whether a renewal follows from what was shown: `Some` is the answer to a repeated request. Whoever shows what another has renewed
/// already is a second holder.
fn goes_on_from(
    step: &Transaction<'_>,
    present: Present,
    shown: &Serial,
    asked: &Asked<'_>,
) -> Result<Option<Given>, Early> {
    let store = present.kept.store.clone();
    let same_key = present.key == *asked.key;
    if present.kept.serial == *shown {
        // A store that keeps its key asks like one that has not heard the answer: until it is time, it gets what there is.
        let repeated = same_key && asked.now < present.kept.renew_after;
        return Ok(repeated.then_some(Given::Certificate(present.kept)));
    }
    let sql = "SELECT state FROM certificate WHERE store = ?1 AND serial = ?2";
    let state: Option<String> =
        step.prepare_cached(sql)?.query_row([store.as_str(), shown.as_str()], |row| row.get(0)).optional()?;
    match state.as_deref() {
        Some("previous") if same_key => Ok(Some(Given::Certificate(present.kept))),
        Some("previous" | "outdated") => {
            let why =
                format!("certificate {shown}, shown by {}, has been renewed by somebody else", asked.peer);
            quarantine(step, &store, &why, asked.now)?;
            Err(no(RefusalCode::CertificateSuperseded, why))
        }
        _ => {
            let detail = format!("certificate {shown} has ended; the store was enrolled again since");
            Err(no(RefusalCode::CertificateSuperseded, detail))
        }
    }
}

/// Notes a certificate that was issued before the books were kept.
fn by_hand(
    step: &Transaction<'_>,
    store: &StoreId,
    shown: &Serial,
    ends: UnixMillis,
    asked: &Asked<'_>,
) -> Result<(), Early> {
    let sql = "SELECT count(*) FROM certificate WHERE store = ?1";
    let ended: u32 = step.prepare_cached(sql)?.query_row([store.as_str()], |row| row.get(0))?;
    if ended > 0 {
        return Err(no(RefusalCode::CertificateSuperseded, "all certificates of this store have ended"));
    }
    let sql = "INSERT INTO certificate (serial, store, key, pem, way, state, peer, issued_at, not_after, renew_after, seen_at)
               VALUES (?1, ?2, x'', '', 'by_hand', 'present', ?3, ?4, ?5, ?4, ?4)";
    let values = params![shown.as_str(), store.as_str(), asked.peer, asked.now.0, ends.0];
    step.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// The present certificate becomes the previous one, and what was before it is over.
fn step_back(step: &Transaction<'_>, store: &StoreId) -> rusqlite::Result<()> {
    for (from, to) in [("previous", "outdated"), ("present", "previous")] {
        let sql = "UPDATE certificate SET state = ?3 WHERE store = ?1 AND state = ?2";
        step.prepare_cached(sql)?.execute([store.as_str(), from, to])?;
    }
    Ok(())
}

fn keep(
    step: &Transaction<'_>,
    store: &StoreId,
    signed: Signed,
    way: Way,
    asked: &Asked<'_>,
) -> rusqlite::Result<Given> {
    let Signed { serial, pem, not_after, renew_after } = signed;
    let sql = "INSERT INTO certificate (serial, store, key, pem, way, state, peer, issued_at, not_after, renew_after)
               VALUES (?1, ?2, ?3, ?4, ?5, 'present', ?6, ?7, ?8, ?9)";
    let values = params![
        serial.as_str(),
        store.as_str(),
        asked.key,
        pem,
        way.name(),
        asked.peer,
        asked.now.0,
        not_after.0,
        renew_after.0
    ];
    step.prepare_cached(sql)?.execute(values)?;
    tracing::info!(%store, %serial, way = way.name(), peer = asked.peer, "a certificate was given out");
    Ok(Given::Certificate(Kept { store: store.clone(), serial, pem, not_after, renew_after }))
}

const CERTIFICATES: &str = "SELECT store, serial, pem, not_after, renew_after, key, way FROM certificate";

fn kept_in(row: &Row<'_>) -> rusqlite::Result<Kept> {
    Ok(Kept {
        store: store_in(row, 0)?,
        serial: Serial::written(row.get_ref(1)?.as_str()?),
        pem: row.get(2)?,
        not_after: UnixMillis(row.get(3)?),
        renew_after: UnixMillis(row.get(4)?),
    })
}

fn present_of(step: &Transaction<'_>, store: &StoreId) -> rusqlite::Result<Option<Present>> {
    let sql = format!("{CERTIFICATES} WHERE store = ?1 AND state = 'present'");
    let read = |row: &Row<'_>| {
        // One issued by hand has no key in the books, and is like no other.
        let key: Vec<u8> = row.get(5)?;
        Ok(Present { kept: kept_in(row)?, key: key.try_into().unwrap_or_default(), way: row.get(6)? })
    };
    step.prepare_cached(&sql)?.query_row([store.as_str()], read).optional()
}
