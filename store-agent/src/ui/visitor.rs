//! Who is at the screen, as far as its cookies say: which device it is, who is signed in on it, whether it is locked.

use super::PageDesk;
use super::people::devices::{self, Device};
use super::people::roles::{Deed, May, Role, may};
use super::people::sessions::{self, Session};
use super::people::{hashed, hex, new_secret, staff};
use super::texts::Language;
use super::words::Words;
use axum::http::{HeaderMap, header};
use sync_protocol::UnixMillis;

/// How long a device's cookie lives without being shown; browsers cut it at some 400 days.
const DEVICE_COOKIE_S: u64 = 400 * 24 * 3600;
/// Writing on each request would wear the disk for nothing.
const TOUCH_EVERY_MS: u64 = 10_000;

/// The cookies of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    Device,
    Session,
    /// Of a screen that is nobody's yet: what its forms are bound to.
    Door,
    Language,
}

/// Whoever asks.
#[derive(Debug, Clone)]
pub struct Visitor {
    pub device: Option<Device>,
    pub session: Option<Session>,
    /// Signed in, and away for too long.
    pub is_locked: bool,
    /// Somebody has been set up.
    pub is_set_up: bool,
    pub language: Language,
    /// What every form of this visitor has to carry.
    pub token: String,
    pub now: UnixMillis,
    /// Where they are: path and what stands after it.
    pub path: String,
    pub new_door: Option<String>,
}

impl Visitor {
    pub async fn of(
        desk: &PageDesk,
        headers: &HeaderMap,
        path: String,
    ) -> Result<Visitor, super::failure::Failure> {
        let now = (desk.clocks.wall)();
        let cookie = |cookie: Cookie| cookie.read(desk, headers).map(str::to_owned);
        let (device_secret, session_secret) = (cookie(Cookie::Device), cookie(Cookie::Session));
        let door = cookie(Cookie::Door).filter(|door| door.len() == 64);
        let (asked_device, asked_session) = (device_secret.clone(), session_secret.clone());
        let (is_set_up, device, session) = desk
            .people
            .ask(move |db| {
                let is_set_up = staff::is_anybody_here(db)?;
                let device =
                    asked_device.map(|secret| devices::of_secret(db, &secret)).transpose()?.flatten();
                let session = match (&device, asked_session) {
                    (Some(device), Some(secret)) => sessions::of_secret(db, &secret, device.id)?,
                    _ => None,
                };
                Ok((is_set_up, device, session))
            })
            .await?;
        let is_locked = session.as_ref().is_some_and(|session| is_lapsed(desk, session, now));
        let new_door = if device.is_none() && door.is_none() { Some(new_secret()?) } else { None };
        let bound_to = match (&session, &device) {
            (Some(_), _) => session_secret,
            (None, Some(_)) => device_secret,
            (None, None) => door.or_else(|| new_door.clone()),
        };
        let chosen = cookie(Cookie::Language).and_then(|code| Language::of(&code));
        let persons = session.as_ref().and_then(|session| session.person.language);
        Ok(Visitor {
            language: persons.or(chosen).unwrap_or(desk.config.language),
            token: token_for(&bound_to.unwrap_or_default()),
            device,
            session,
            is_locked,
            is_set_up,
            now,
            path,
            new_door,
        })
    }

    #[must_use]
    pub fn words<'a>(&self, desk: &'a PageDesk) -> Words<'a> {
        Words { language: self.language, zone: &desk.zone, now: self.now }
    }

    /// Who is signed in; the guard lets nobody else reach the screens.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.session.as_ref().map(|session| session.person.role)
    }

    #[must_use]
    pub fn may(&self, deed: Deed) -> May {
        self.role().map_or(May::No, |role| may(role, deed))
    }

    #[must_use]
    pub fn name(&self) -> &str {
        self.session.as_ref().map_or("", |session| &session.person.name)
    }

    #[must_use]
    pub fn device_name(&self) -> &str {
        self.device.as_ref().map_or("", |device| &device.name)
    }

    /// Notes that somebody is there.
    pub async fn touch(&self, desk: &PageDesk) -> Result<(), super::failure::Failure> {
        let Some(session) = &self.session else { return Ok(()) };
        if self.now.since(session.last_act) < TOUCH_EVERY_MS {
            return Ok(());
        }
        let (session, device, now) = (session.id, session.device, self.now);
        desk.people
            .ask(move |db| {
                devices::seen(db, device, now)?;
                sessions::touched(db, session, now)
            })
            .await?;
        Ok(())
    }
}

/// Whether nobody has touched it for too long. A clock that was set back locks nothing.
#[must_use]
pub fn is_lapsed(desk: &PageDesk, session: &Session, now: UnixMillis) -> bool {
    let idle = now.since(session.last_act);
    u128::from(idle) > desk.config.lock_after.as_millis()
}

/// What the forms of whoever holds this cookie carry.
#[must_use]
pub fn token_for(secret: &str) -> String {
    hex(&hashed(format!("form\0{secret}").as_bytes())[..16])
}

impl Cookie {
    fn name(self, desk: &PageDesk) -> String {
        let kind = match self {
            Cookie::Device => "device",
            Cookie::Session => "session",
            Cookie::Door => "door",
            Cookie::Language => "language",
        };
        // With this prefix a browser takes the cookie from this very host over TLS only. Cookies know no ports, so the store is in the name.
        let prefix = if desk.config.tls.is_some() { "__Host-" } else { "" };
        format!("{prefix}shopsmart-{kind}-{}", desk.store)
    }

    fn read<'a>(self, desk: &PageDesk, headers: &'a HeaderMap) -> Option<&'a str> {
        let name = self.name(desk);
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut cookies =
            lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        cookies.find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// As a `Set-Cookie` says it. An empty value takes the cookie away.
    #[must_use]
    pub fn set(self, desk: &PageDesk, value: &str) -> String {
        let age = match (self, value) {
            (_, "") => "; Max-Age=0".to_owned(),
            (Cookie::Device | Cookie::Language, _) => format!("; Max-Age={DEVICE_COOKIE_S}"),
            (Cookie::Session | Cookie::Door, _) => String::new(),
        };
        let secure = if desk.config.tls.is_some() { "; Secure" } else { "" };
        format!("{}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}", self.name(desk))
    }
}
