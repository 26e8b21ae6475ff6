//! What head office writes and asks, and what was seen at the doors.

use super::{Books, Done, failed, quarantine, store_in};
use crate::standing::{Serial, Sighting};
use rusqlite::{OptionalExtension, Row, params};
use sync_protocol::enrolment::{Machine, Secret};
use sync_protocol::{StoreId, UnixMillis};

/// How long registrations that were decided, and tokens and certificates that ended, stay to be looked at, in milliseconds.
const KEPT_MS: i64 = 400 * 24 * 3600 * 1000;
/// Digits of a token's name.
const TOKEN_ID_DIGITS: usize = 12;

/// A token that is about to be handed out.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    pub secret: &'a Secret,
    pub store: Option<&'a StoreId>,
    /// Whether head office is asked when it is used.
    pub approve: bool,
    pub expires: UnixMillis,
}

/// A token as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    pub id: String,
    pub store: Option<StoreId>,
    pub approve: bool,
    pub made_at: UnixMillis,
    pub expires_at: UnixMillis,
    pub state: TokenState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    Open,
    Used(UnixMillis),
    Expired,
    Revoked,
}

impl TokenState {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Used(_) => "used",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// A request for head office.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationRow {
    pub number: i64,
    pub token: String,
    pub store: Option<StoreId>,
    pub peer: String,
    pub machine: Machine,
    pub asked_at: UnixMillis,
    pub decision: String,
}

/// What head office says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Allow { store: Option<StoreId> },
    Reject,
}

/// A certificate of a store, and how the store stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRow {
    pub store: StoreId,
    pub revoked_at: Option<UnixMillis>,
    pub quarantined_at: Option<UnixMillis>,
    pub why: String,
    pub recoveries: u32,
    /// Newest first: serial, state, the way it came, from where, issued at, good until.
    pub certificates: Vec<(Serial, String, String, String, UnixMillis, UnixMillis)>,
}

/// What head office meant is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSuch {
    #[error("there is no open token `{0}`; `cloud-hub token list` shows them")]
    Token(String),
    #[error("no request {0} waits; `cloud-hub registration list` shows those that do")]
    Registration(i64),
    #[error("request {0} names no store; say which with --store")]
    Store(i64),
    #[error("store `{store}` has no certificate {serial}; `cloud-hub store show --id {store}` lists them")]
    Certificate { store: StoreId, serial: Serial },
}

impl Books {
    /// Notes a token, and gives its name for people.
    ///
    /// # Errors
    /// The books can't be written.
    pub fn add_token(&mut self, token: NewToken<'_>, now: UnixMillis) -> Done<String> {
        let act = failed("noting a token");
        let hash = crate::enrol::csr::sha256(&token.secret.0);
        let id: String = hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let id = id[..TOKEN_ID_DIGITS].to_owned();
        let step = self.step()?;
        let sql = "INSERT INTO token (id, hash, store, approve, made_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let store = token.store.map(StoreId::as_str);
        step.execute(sql, params![id, hash, store, token.approve, now.0, token.expires.0]).map_err(&act)?;
        let long_ago = now.0 - KEPT_MS;
        step.execute("DELETE FROM token WHERE expires_at < ?1", [long_ago]).map_err(&act)?;
        step.execute("DELETE FROM registration WHERE asked_at < ?1", [long_ago]).map_err(&act)?;
        step.execute("DELETE FROM certificate WHERE state = 'refused' AND not_after < ?1", [long_ago])
            .map_err(&act)?;
        step.commit().map_err(&act)?;
        Ok(id)
    }

    /// The tokens, newest first.
    ///
    /// # Errors
    /// The books can't be read.
    pub fn tokens(&self, now: UnixMillis) -> Done<Vec<TokenRow>> {
        let act = failed("reading the tokens");
        let sql = "SELECT id, store, approve, made_at, expires_at, used_at, revoked_at FROM token
                   ORDER BY made_at DESC, id";
        let read = |row: &Row<'_>| {
            let (used_at, revoked_at): (Option<i64>, Option<i64>) = (row.get(5)?, row.get(6)?);
            let expires_at: i64 = row.get(4)?;
            let state = match (revoked_at, used_at) {
                (Some(_), _) => TokenState::Revoked,
                (None, Some(at)) => TokenState::Used(UnixMillis(at)),
                (None, None) if now.0 > expires_at => TokenState::Expired,
                (None, None) => TokenState::Open,
            };
            Ok(TokenRow {
                id: row.get(0)?,
                store: row.get::<_, Option<String>>(1)?.map(|_| store_in(row, 1)).transpose()?,
                approve: row.get(2)?,
                made_at: UnixMillis(row.get(3)?),
                expires_at: UnixMillis(expires_at),
                state,
            })
        };
        let mut statement = self.db.prepare(sql).map_err(&act)?;
        let rows = statement.query_map([], read).map_err(&act)?;
        rows.collect::<Result<_, _>>().map_err(&act)
    }

    /// Withdraws a token that has not been used.
    ///
    /// # Errors
    /// The books can't be written.
    pub fn revoke_token(&mut self, id: &str, now: UnixMillis) -> Done<Result<(), NoSuch>> {
        let act = failed("withdrawing a token");
        let step = self.step()?;
        let sql = "UPDATE token SET revoked_at = ?2 WHERE id = ?1 AND used_at IS NULL AND revoked_at IS NULL";
        let found = step.execute(sql, params![id, now.0]).map_err(&act)?;
        step.commit().map_err(&act)?;
        Ok(if found == 0 { Err(NoSuch::Token(id.to_owned())) } else { Ok(()) })
    }

    /// Requests, those that wait first, then the newest.
    ///
    /// # Errors
    /// The books can't be read.
    pub fn registrations(&self) -> Done<Vec<RegistrationRow>> {
        let act = failed("reading the requests");
        let sql = "SELECT number, token, store, peer, machine, asked_at, decision FROM registration
                   ORDER BY decision <> 'pending', number DESC";
        let read = |row: &Row<'_>| {
            Ok(RegistrationRow {
                number: row.get(0)?,
                token: row.get(1)?,
                store: row.get::<_, Option<String>>(2)?.map(|_| store_in(row, 2)).transpose()?,
                peer: row.get(3)?,
                machine: serde_json::from_str(row.get_ref(4)?.as_str()?).unwrap_or_default(),
                asked_at: UnixMillis(row.get(5)?),
                decision: row.get(6)?,
            })
        };
        let mut statement = self.db.prepare(sql).map_err(&act)?;
        let rows = statement.query_map([], read).map_err(&act)?;
        rows.collect::<Result<_, _>>().map_err(&act)
    }

    /// Answers a request that waits. The machine hears of it when it asks again.
    ///
    /// # Errors
    /// The books can't be written.
    pub fn decide_registration(
        &mut self,
        number: i64,
        decision: &Decision,
        now: UnixMillis,
    ) -> Done<Result<(), NoSuch>> {
        let act = failed("answering a request");
        let step = self.step()?;
        let sql = "SELECT store FROM registration WHERE number = ?1 AND decision = 'pending'";
        let found: Option<Option<String>> =
            step.query_row(sql, [number], |row| row.get(0)).optional().map_err(&act)?;
        let Some(wanted) = found else { return Ok(Err(NoSuch::Registration(number))) };
        let (name, store) = match decision {
            Decision::Allow { store } => ("allowed", store.as_ref().map(ToString::to_string).or(wanted)),
            Decision::Reject => ("rejected", wanted),
        };
        if name == "allowed" && store.is_none() {
            return Ok(Err(NoSuch::Store(number)));
        }
        let sql = "UPDATE registration SET decision = ?2, store = ?3, decided_at = ?4 WHERE number = ?1";
        step.execute(sql, params![number, name, store, now.0]).map_err(&act)?;
        step.commit().map_err(&act)?;
        Ok(Ok(()))
    }

    /// Shuts a store out, with its certificates and the tokens that were made for it. A token made later lets it in again.
    ///
    /// # Errors
    /// The books can't be written.
    pub fn revoke_store(&mut self, store: &StoreId, now: UnixMillis) -> Done<()> {
        let act = failed("revoking a store");
        let step = self.step()?;
        let sql = "INSERT INTO identity (store, revoked_at) VALUES (?1, ?2)
                   ON CONFLICT (store) DO UPDATE SET revoked_at = ?2, quarantined_at = NULL, why = ''";
        step.execute(sql, params![store.as_str(), now.0]).map_err(&act)?;
        let sql =
            "UPDATE token SET revoked_at = ?2 WHERE store = ?1 AND used_at IS NULL AND revoked_at IS NULL";
        step.execute(sql, params![store.as_str(), now.0]).map_err(&act)?;
        // Also a request that was allowed and not collected yet.
        let sql = "UPDATE registration SET decision = 'rejected', decided_at = ?2
                   WHERE store = ?1 AND decision = 'allowed'
                     AND token IN (SELECT id FROM token WHERE used_at IS NULL)";
        step.execute(sql, params![store.as_str(), now.0]).map_err(&act)?;
        let sql = "UPDATE certificate SET state = 'refused' WHERE store = ?1";
        step.execute(sql, [store.as_str()]).map_err(&act)?;
        step.commit().map_err(&act)
    }

    /// Ends a store's quarantine: the holder of this certificate is the store, and no other.
    ///
    /// # Errors
    /// The books can't be written.
    pub fn choose(&mut self, store: &StoreId, serial: &Serial) -> Done<Result<(), NoSuch>> {
        let act = failed("choosing a certificate");
        let step = self.step()?;
        let sql = "UPDATE certificate SET state = 'refused' WHERE store = ?1 AND serial <> ?2";
        step.execute(sql, [store.as_str(), serial.as_str()]).map_err(&act)?;
        let sql = "UPDATE certificate SET state = 'present' WHERE store = ?1 AND serial = ?2 AND state <> 'refused'";
        let found = step.execute(sql, [store.as_str(), serial.as_str()]).map_err(&act)?;
        if found == 0 {
            return Ok(Err(NoSuch::Certificate { store: store.clone(), serial: serial.clone() }));
        }
        let sql = "UPDATE identity SET quarantined_at = NULL, why = '' WHERE store = ?1";
        step.execute(sql, [store.as_str()]).map_err(&act)?;
        step.commit().map_err(&act)?;
        Ok(Ok(()))
    }

    /// Ends a store's quarantine without ending any certificate: only one machine is left.
    ///
    /// # Errors
    /// The books can't be written.
    pub fn release(&mut self, store: &StoreId) -> Done<()> {
        let sql = "UPDATE identity SET quarantined_at = NULL, why = '' WHERE store = ?1";
        let act = failed("ending a quarantine");
        self.db.execute(sql, [store.as_str()]).map(drop).map_err(act)
    }

    /// Writes down what was seen at the doors.
    ///
    /// # Errors
    /// The books can't be written.
    pub fn note(&mut self, sightings: &[Sighting], now: UnixMillis) -> Done<()> {
        let act = failed("noting what was seen");
        let step = self.step()?;
        for sighting in sightings {
            match sighting {
                Sighting::Shown { store, serial } => {
                    let sql = "SELECT state FROM certificate WHERE store = ?1 AND serial = ?2";
                    let state: Option<String> = step
                        .query_row(sql, [store.as_str(), serial.as_str()], |row| row.get(0))
                        .optional()
                        .map_err(&act)?;
                    match state.as_deref() {
                        Some("present") => {
                            let sql =
                                "UPDATE certificate SET seen_at = ?2 WHERE serial = ?1 AND seen_at IS NULL";
                            step.execute(sql, params![serial.as_str(), now.0]).map_err(&act)?;
                            let sql = "UPDATE certificate SET state = 'outdated' WHERE store = ?1 AND state = 'previous'";
                            step.execute(sql, [store.as_str()]).map_err(&act)?;
                        }
                        Some("outdated") => {
                            let why =
                                format!("certificate {serial} was shown after the one that replaced it");
                            quarantine(&step, store, &why, now).map_err(&act)?;
                        }
                        _ => {}
                    }
                }
                Sighting::Twins { store, boots: [one, other] } => {
                    let why =
                        format!("two agents run with this identity, started as {one:016x} and {other:016x}");
                    quarantine(&step, store, &why, now).map_err(&act)?;
                }
            }
        }
        step.commit().map_err(&act)
    }

    /// How many requests wait for head office.
    ///
    /// # Errors
    /// The books can't be read.
    pub fn waiting(&self) -> Done<u64> {
        let sql = "SELECT count(*) FROM registration WHERE decision = 'pending'";
        self.db.query_row(sql, [], |row| row.get(0)).map_err(failed("counting the requests"))
    }

    /// The stores that the books speak of, by their ids.
    ///
    /// # Errors
    /// The books can't be read.
    pub fn identities(&self) -> Done<Vec<IdentityRow>> {
        let act = failed("reading the identities of stores");
        let sql = "SELECT store, revoked_at, quarantined_at, why, recoveries FROM identity
                   UNION SELECT store, NULL, NULL, '', 0 FROM certificate
                         WHERE store NOT IN (SELECT store FROM identity)
                   ORDER BY store";
        let read = |row: &Row<'_>| {
            Ok(IdentityRow {
                store: store_in(row, 0)?,
                revoked_at: row.get::<_, Option<i64>>(1)?.map(UnixMillis),
                quarantined_at: row.get::<_, Option<i64>>(2)?.map(UnixMillis),
                why: row.get(3)?,
                recoveries: row.get(4)?,
                certificates: Vec::new(),
            })
        };
        let mut statement = self.db.prepare(sql).map_err(&act)?;
        let rows = statement.query_map([], read).map_err(&act)?;
        let mut identities: Vec<IdentityRow> = rows.collect::<Result<_, _>>().map_err(&act)?;
        let sql = "SELECT serial, state, way, peer, issued_at, not_after FROM certificate WHERE store = ?1
                   ORDER BY issued_at DESC, rowid DESC";
        let read = |row: &Row<'_>| {
            Ok((
                Serial::written(row.get_ref(0)?.as_str()?),
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                UnixMillis(row.get(4)?),
                UnixMillis(row.get(5)?),
            ))
        };
        let mut statement = self.db.prepare(sql).map_err(&act)?;
        for identity in &mut identities {
            let rows = statement.query_map([identity.store.as_str()], read).map_err(&act)?;
            identity.certificates = rows.collect::<Result<_, _>>().map_err(&act)?;
        }
        Ok(identities)
    }
}
