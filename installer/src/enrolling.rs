//! The conversation in which a store gets its certificate, keeps it young, and gets it back when it has ended.
//!
//! Every request may be sent again after any interruption: the keys it speaks of are on disk before it leaves.

use crate::fault::{Code, Fault};
use crate::files;
use crate::identity::{Enrolment, Identity, request};
use crate::layout::Layout;
use crate::plan::Points;
use crate::talk::https::{Answer, Hub};
use crate::talk::tls::Credentials;
use crate::talk::wait_for;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Write;
use std::path::Path;
use sync_protocol::enrolment::{
    self as words, Address, Bound, ENROLMENTS, Enrolled, EnrolmentRequest, Fact, Machine, NONCES,
    NonceAnswer, Pending, Pin, RENEWALS, Recovery, Refusal, RenewalRequest, Token, VERSION,
};
use sync_protocol::releases::{RELEASES, ReleaseAnswer, ReleaseRequest, Wish};
use sync_protocol::{StoreId, UnixMillis};

/// The first certificate, for a token.
pub fn enrol(
    identity: &Identity<'_>,
    token: &Token,
    store: &StoreId,
    proxy: Option<&Address>,
    points: &Points,
) -> Result<(), Fault> {
    identity.settle()?;
    let csr = request(&identity.next_key()?)?;
    let bound = identity.bound_key()?;
    let asked = EnrolmentRequest {
        version: VERSION,
        secret: token.secret,
        store: Some(store.clone()),
        bound_signature: bound.sign(&words::enrolment_message(&csr))?,
        csr,
        bound_key: bound.public()?,
        machine: machine(identity.layout),
    };
    let line = Line { addresses: &token.addresses, proxy, pin: token.pin, credentials: None };
    let answer: Enrolled = line.ask(ENROLMENTS, &asked)?;
    points.reach("answered")?;
    identity.take(&answer, token.pin, &token.addresses)
}

/// What a look at the certificate leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    Not,
    /// By the certificate that is still good.
    Renewal,
    /// By the store's second key: the certificate has ended.
    Recovery,
}

impl Due {
    #[must_use]
    pub fn at(now: UnixMillis, renew_after: UnixMillis, until: UnixMillis) -> Due {
        match () {
            () if now >= until => Due::Recovery,
            () if now >= renew_after => Due::Renewal,
            () => Due::Not,
        }
    }
}

/// The next certificate, for the one that is there.
pub fn renew(
    identity: &Identity<'_>,
    known: &Enrolment,
    due: Due,
    proxy: Option<&Address>,
    points: &Points,
) -> Result<(), Fault> {
    identity.settle()?;
    let csr = request(&identity.next_key()?)?;
    points.reach("key")?;
    let credentials = identity.credentials()?;
    let shown = (due == Due::Renewal).then_some(&credentials);
    let line = Line { addresses: &known.addresses, proxy, pin: known.pin, credentials: shown };
    let bound = identity.bound_key()?;
    let recovery = match due {
        Due::Recovery => {
            let answer: NonceAnswer = line.ask(NONCES, &serde_json::json!({}))?;
            let signature = bound.sign(&words::recovery_message(&known.store, &answer.nonce, &csr))?;
            Some(Recovery { store: known.store.clone(), nonce: answer.nonce, signature })
        }
        _ => None,
    };
    let registered = match due {
        Due::Renewal => {
            Some(Bound { key: bound.public()?, signature: bound.sign(&words::enrolment_message(&csr))? })
        }
        _ => None,
    };
    let asked = RenewalRequest { version: VERSION, csr, bound: registered, recovery };
    let answer: Enrolled = line.ask(RENEWALS, &asked)?;
    points.reach("answered")?;
    identity.take(&answer, known.pin, &known.addresses)
}

/// Which release the hub wishes this store to have. One that knows of no rollouts wishes none.
pub fn release(
    identity: &Identity<'_>,
    known: &Enrolment,
    proxy: Option<&Address>,
    asked: &ReleaseRequest,
) -> Result<Option<Wish>, Fault> {
    let credentials = identity.credentials()?;
    let line = Line { addresses: &known.addresses, proxy, pin: known.pin, credentials: Some(&credentials) };
    let (address, answer) = line.answer(RELEASES, asked)?;
    match answer.status.as_u16() {
        404 => return Ok(None),
        429 | 503 => return Err(Fault::new(Code::E306, format!("{address} has no time now"))),
        _ => {}
    }
    let answer: ReleaseAnswer = understood(address, &answer)?;
    Ok(answer.wish)
}

/// The way to a hub that may be reached at several addresses.
struct Line<'a> {
    addresses: &'a [Address],
    proxy: Option<&'a Address>,
    pin: Pin,
    credentials: Option<&'a Credentials>,
}

impl Line<'_> {
    /// Asks at the first address that answers.
    fn ask<T: DeserializeOwned>(&self, path: &str, asked: &impl Serialize) -> Result<T, Fault> {
        let (address, answer) = self.answer(path, asked)?;
        understood(address, &answer)
    }

    fn answer(&self, path: &str, asked: &impl Serialize) -> Result<(&Address, Answer), Fault> {
        let body = serde_json::to_vec(asked)
            .map_err(|error| Fault::caused(Code::E901, "a request can't be made", error))?;
        let mut last = Fault::new(Code::E306, "no address of the hub is known");
        for address in self.addresses {
            let hub = Hub { address, proxy: self.proxy, pin: self.pin, credentials: self.credentials };
            match wait_for(hub.post(path, body.clone())) {
                Ok(answer) => return Ok((address, answer)),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }
}

fn understood<T: DeserializeOwned>(address: &Address, answer: &Answer) -> Result<T, Fault> {
    let odd = |error: serde_json::Error| {
        Fault::caused(Code::E306, format!("{address} answers {} and something odd", answer.status), error)
    };
    match answer.status.as_u16() {
        202 => {
            let pending: Pending = serde_json::from_slice(&answer.body).map_err(odd)?;
            let says = format!("the registration `{}` waits at the hub", pending.registration.escape_debug());
            Err(Fault::new(Code::E402, says))
        }
        200..=299 => serde_json::from_slice(&answer.body).map_err(odd),
        _ => {
            let refusal: Refusal = serde_json::from_slice(&answer.body).map_err(odd)?;
            let (detail, todo) = (refusal.detail.escape_debug(), refusal.code.what_to_do());
            Err(Fault::new(Code::E401, format!("{}: {detail}; {todo}", refusal.code)))
        }
    }
}

/// What this machine says of itself.
#[must_use]
pub fn machine(layout: &Layout) -> Machine {
    let first_line = |path: &Path| files::read(path).ok().flatten().unwrap_or_default().trim().to_owned();
    let system = first_line(Path::new("/etc/os-release"));
    let system = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("Linux");
    Machine {
        hostname: Fact::clipped(&first_line(Path::new("/proc/sys/kernel/hostname"))),
        system: Fact::clipped(system.trim_matches('"')),
        machine: Fact::clipped(&fingerprint(layout).unwrap_or_default()),
        software: Fact::clipped(concat!("storectl ", env!("CARGO_PKG_VERSION"))),
    }
}

/// Tells this machine from others without giving its machine id away; `None` where it has none yet.
#[must_use]
pub fn fingerprint(layout: &Layout) -> Option<String> {
    let id = files::read(&layout.machine_id()).ok().flatten()?;
    let id = id.trim();
    if id.is_empty() || id == "uninitialized" {
        return None;
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("shopsmart machine {id}").as_bytes());
    let hex = digest.as_ref().iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    Some(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_when_it_is_time_and_recovered_when_it_is_too_late() {
        let due = |now| Due::at(UnixMillis(now), UnixMillis(40), UnixMillis(60));
        assert_eq!(
            [due(39), due(40), due(59), due(60)],
            [Due::Not, Due::Renewal, Due::Renewal, Due::Recovery]
        );
    }

    #[test]
    fn a_machine_id_is_never_given_away() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        assert_eq!(fingerprint(&layout), None);
        std::fs::create_dir_all(folder.path().join("etc")).unwrap();
        std::fs::write(layout.machine_id(), "0123456789abcdef0123456789abcdef\n").unwrap();
        let shown = fingerprint(&layout).unwrap();
        assert!(shown.len() == 32 && shown != "0123456789abcdef0123456789abcdef");
    }
}
