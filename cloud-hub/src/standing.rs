//! How stores stand with head office: which certificates of each are good, and who is shut out. What the transports ask before they
//! make a connection a link, and while one is up.
//!
//! The list is kept by whoever keeps the books of enrolment; here is only its copy in memory. A store that is not on it stands well
//! with any certificate of the hub's authority: that is how stores came in before they could enrol.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use sync_protocol::StoreId;
use tokio::sync::Notify;

/// Most things seen that wait to be written down. More are the same things again.
const SIGHTINGS_MAX: usize = 1_000;

/// The serial number of a certificate, in small hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(Box<str>);

impl Serial {
    /// As it stands in the certificate; a leading zero byte only says that the number is positive.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Serial {
        let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        Serial(bytes[first..].iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// As people write it: colons and capitals don't matter.
    #[must_use]
    pub fn written(text: &str) -> Serial {
        let digits = text.chars().filter(|c| *c != ':').map(|c| c.to_ascii_lowercase());
        Serial(digits.collect::<String>().into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How one store stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    pub shut: Option<Shut>,
    /// With which it may come; none: with any of the authority.
    pub good: Vec<Serial>,
    /// Replaced by a renewal that has been seen since. Whoever still shows one of these is not the one who renewed.
    pub outdated: Vec<Serial>,
    /// Renewed, and not seen yet.
    pub awaited: Option<Serial>,
}

/// Why a store is shut out with every certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shut {
    Revoked,
    Quarantined,
}

/// Why a certificate does not open a link, though the authority has signed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
pub enum NotAdmitted {
    Revoked,
    Quarantined,
    Superseded,
}

impl NotAdmitted {
    /// The value of the metric's label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Quarantined => "quarantined",
            Self::Superseded => "superseded",
        }
    }

    /// For the peer, with what to do.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Revoked => "head office has revoked this store's identity; it needs a new enrolment token",
            Self::Quarantined => {
                "two machines have used this store's identity; head office must choose one of them"
            }
            Self::Superseded => {
                "this certificate is no longer the store's; put the present one back, or enrol with a new token"
            }
        }
    }
}

/// What was seen at the door that the books should know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sighting {
    /// A certificate, awaited or outdated.
    Shown { store: StoreId, serial: Serial },
    /// Two running agents of one store, by what each drew at its start.
    Twins { store: StoreId, boots: [u64; 2] },
}

/// All stores, shared by transports and enrolment.
#[derive(Debug, Default)]
pub struct Standings {
    stores: RwLock<HashMap<StoreId, Standing>>,
    sightings: Mutex<HashSet<Sighting>>,
    seen: Notify,
}

impl Standings {
    /// Whether `store` may have a link with this certificate; `None` where somebody else has looked at it.
    ///
    /// # Errors
    /// Why not.
    pub fn admits(&self, store: &StoreId, serial: Option<&Serial>) -> Result<(), NotAdmitted> {
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        stores.get(store).map_or(Ok(()), |standing| standing.admits(serial))
    }

    /// As [`Standings::admits`], for somebody who comes to stay: what is new about that is kept for the books.
    ///
    /// # Errors
    /// Why not.
    pub fn greet(&self, store: &StoreId, serial: Option<&Serial>) -> Result<(), NotAdmitted> {
        if let Some(serial) = serial.filter(|serial| self.is_news(store, serial)) {
            self.sighted(Sighting::Shown { store: store.clone(), serial: serial.clone() });
        }
        self.admits(store, serial)
    }

    /// Whether a link that is up may stay. One whose certificate was renewed meanwhile may.
    pub fn keeps(&self, store: &StoreId, serial: Option<&Serial>) -> Result<(), NotAdmitted> {
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        let Some(standing) = stores.get(store) else { return Ok(()) };
        match serial {
            Some(serial) if standing.outdated.contains(serial) => standing.admits(None),
            serial => standing.admits(serial),
        }
    }

    /// Keeps what was seen until it is taken.
    pub fn sighted(&self, sighting: Sighting) {
        let mut sightings = self.waiting();
        if sightings.len() < SIGHTINGS_MAX && sightings.insert(sighting) {
            self.seen.notify_one();
        }
    }

    /// What was seen since the last time.
    pub fn take_sightings(&self) -> Vec<Sighting> {
        self.waiting().drain().collect()
    }

    /// Waits until something is seen.
    pub async fn something_seen(&self) {
        self.seen.notified().await;
    }

    /// Puts the books' list in place of the one that was there.
    pub fn replace(&self, stores: HashMap<StoreId, Standing>) {
        *self.stores.write().unwrap_or_else(PoisonError::into_inner) = stores;
    }

    /// How many are shut out.
    #[must_use]
    pub fn shut(&self, how: Shut) -> usize {
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        stores.values().filter(|standing| standing.shut == Some(how)).count()
    }

    fn is_news(&self, store: &StoreId, serial: &Serial) -> bool {
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        stores.get(store).is_some_and(|standing| {
            standing.shut.is_none()
                && (standing.awaited.as_ref() == Some(serial) || standing.outdated.contains(serial))
        })
    }

    // Each change is one insertion or one assignment: nothing is left half done by a panic.
    fn waiting(&self) -> MutexGuard<'_, HashSet<Sighting>> {
        self.sightings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn admits(&self, serial: Option<&Serial>) -> Result<(), NotAdmitted> {
        match (self.shut, serial) {
            (Some(Shut::Revoked), _) => Err(NotAdmitted::Revoked),
            (Some(Shut::Quarantined), _) => Err(NotAdmitted::Quarantined),
            (None, Some(serial)) if !self.good.is_empty() && !self.good.contains(serial) => {
                Err(NotAdmitted::Superseded)
            }
            (None, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> StoreId {
        "S0042".parse().unwrap()
    }

    fn serial(text: &str) -> Serial {
        Serial::written(text)
    }

    fn standings(standing: Standing) -> Standings {
        let standings = Standings::default();
        standings.replace(HashMap::from([(store(), standing)]));
        standings
    }

    #[test]
    fn a_serial_is_one_number_however_it_is_written() {
        assert_eq!(Serial::from_bytes(&[0, 0x0a, 0xff]), serial("0A:FF"));
        assert_eq!(serial("0a:ff").to_string(), "0aff");
    }

    #[test]
    fn a_store_nobody_speaks_of_may_come_with_any_certificate() {
        let standings = Standings::default();
        assert_eq!(standings.greet(&store(), Some(&serial("1"))), Ok(()));
        assert!(standings.take_sightings().is_empty());
    }

    #[test]
    fn a_store_with_certificates_of_its_own_may_come_with_those_only() {
        let standings = standings(Standing { good: vec![serial("1")], ..Standing::default() });
        assert_eq!(standings.greet(&store(), Some(&serial("1"))), Ok(()));
        assert_eq!(standings.greet(&store(), Some(&serial("2"))), Err(NotAdmitted::Superseded));
        assert_eq!(standings.greet(&store(), None), Ok(()), "a broker has looked at it");
    }

    #[test]
    fn a_shut_store_may_not_come_at_all() {
        for (shut, why) in
            [(Shut::Revoked, NotAdmitted::Revoked), (Shut::Quarantined, NotAdmitted::Quarantined)]
        {
            let standings =
                standings(Standing { shut: Some(shut), good: vec![serial("1")], ..Standing::default() });
            assert_eq!(standings.greet(&store(), Some(&serial("1"))), Err(why));
            assert_eq!(standings.keeps(&store(), Some(&serial("1"))), Err(why));
            assert_eq!(standings.greet(&store(), None), Err(why));
            assert_eq!(standings.shut(shut), 1);
        }
    }

    #[test]
    fn what_is_awaited_or_outdated_is_reported_once() {
        let standings = standings(Standing {
            good: vec![serial("2")],
            outdated: vec![serial("1")],
            awaited: Some(serial("2")),
            ..Standing::default()
        });
        for _ in 0..3 {
            assert_eq!(standings.greet(&store(), Some(&serial("2"))), Ok(()));
            assert_eq!(standings.greet(&store(), Some(&serial("1"))), Err(NotAdmitted::Superseded));
        }
        assert_eq!(standings.keeps(&store(), Some(&serial("1"))), Ok(()), "its link was up before");
        assert_eq!(standings.take_sightings().len(), 2);
        assert!(standings.take_sightings().is_empty());
    }
}
