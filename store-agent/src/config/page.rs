//! The store's page: where it listens, for whom, and how it is protected where others than this machine can reach it.
//!
//! **Invariant:** beyond loopback there is always a list of hosts and a certificate.

use super::{Checker, ConfigError};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use sync_protocol::Quantity;
use toml::Spanned;

/// The checked settings of the page.
#[derive(Debug, Clone)]
pub struct PageConfig {
    pub listen: SocketAddr,
    /// Host names accepted in requests beside loopback and the listen address, in lower case.
    pub hosts: Vec<String>,
    pub tls: Option<PageTls>,
    /// Of a screen on which nobody has chosen another yet.
    pub language: Language,
    /// An IANA name.
    pub time_zone: String,
    pub lock_after: Duration,
    pub step_up: Duration,
    /// A count that differs from the books by more waits for a manager.
    pub count_approval: Quantity,
}

/// What the page proves itself with, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageTls {
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

/// The languages the page is written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Language {
    #[default]
    #[serde(rename = "en")]
    English,
    #[serde(rename = "es")]
    Spanish,
    #[serde(rename = "hi")]
    Hindi,
}

impl Language {
    pub const ALL: [Language; 3] = [Language::English, Language::Spanish, Language::Hindi];

    /// As in `lang="…"`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Spanish => "es",
            Language::Hindi => "hi",
        }
    }

    /// As those who speak it call it.
    #[must_use]
    pub fn own_name(self) -> &'static str {
        match self {
            Language::English => "English",
            Language::Spanish => "Español",
            Language::Hindi => "हिन्दी",
        }
    }

    #[must_use]
    pub fn of(code: &str) -> Option<Language> {
        Language::ALL.into_iter().find(|language| language.code() == code)
    }
}

/// As written in the file.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct PageTable {
    enabled: Option<bool>,
    listen: Option<Spanned<String>>,
    #[serde(default)]
    hosts: Vec<Spanned<String>>,
    certificate: Option<Spanned<PathBuf>>,
    key: Option<Spanned<PathBuf>>,
    language: Option<Language>,
    time_zone: Option<Spanned<String>>,
    lock_after_s: Option<Spanned<u64>>,
    step_up_s: Option<Spanned<u64>>,
    count_approval_units: Option<Spanned<u32>>,
}

const LISTEN: &str = "127.0.0.1:8181";
const TIME_ZONE: &str = "UTC";
const LOCK_AFTER_S: u64 = 300;
/// Shorter, and nobody gets anything done; longer than a shift, and it is no lock.
const LOCK_AFTER_S_RANGE: std::ops::RangeInclusive<u64> = 30..=12 * 3600;
const STEP_UP_S: u64 = 120;
const STEP_UP_S_MAX: u64 = 3600;
/// Two pieces behind another is a slip; more is worth a second look.
const COUNT_APPROVAL_UNITS: u32 = 2;
const COUNT_APPROVAL_UNITS_MAX: u32 = 100_000;

impl Checker<'_> {
    /// `None` where the page is switched off.
    pub(super) fn page(&self, table: PageTable) -> Result<Option<PageConfig>, ConfigError> {
        if table.enabled == Some(false) {
            return Ok(None);
        }
        let given = table.listen.unwrap_or_else(|| Spanned::new(0..0, LISTEN.to_owned()));
        let listen: SocketAddr = self.parsed(&given)?;
        let hosts = table.hosts.iter().map(|host| self.host(host)).collect::<Result<Vec<_>, _>>()?;
        let tls = match (table.certificate, table.key) {
            (Some(certificate), Some(key)) => Some(PageTls {
                certificate_file: self.folder.join(certificate.into_inner()),
                key_file: self.folder.join(key.into_inner()),
            }),
            (None, None) => None,
            (Some(one), None) => return Err(self.wrong(&one, "needs `key` beside it")),
            (None, Some(one)) => return Err(self.wrong(&one, "needs `certificate` beside it")),
        };
        if !listen.ip().is_loopback() && (tls.is_none() || hosts.is_empty()) {
            let message = "can be reached from other machines, so the page needs `hosts`, `certificate` and `key`; \
                           `cloud-hub store page-certificate` issues the two files";
            return Err(self.wrong(&given, message));
        }
        Ok(Some(PageConfig {
            listen,
            hosts,
            tls,
            language: table.language.unwrap_or_default(),
            time_zone: self.time_zone(table.time_zone)?,
            lock_after: self.lock_after(table.lock_after_s)?,
            step_up: self.step_up(table.step_up_s)?,
            count_approval: self.count_approval(table.count_approval_units)?,
        }))
    }

    fn time_zone(&self, given: Option<Spanned<String>>) -> Result<String, ConfigError> {
        let Some(given) = given else { return Ok(TIME_ZONE.to_owned()) };
        if jiff::tz::TimeZone::get(given.get_ref()).is_err() {
            return Err(self.wrong(&given, "is no time zone; write an IANA name, such as `America/New_York`"));
        }
        Ok(given.into_inner())
    }

    fn lock_after(&self, given: Option<Spanned<u64>>) -> Result<Duration, ConfigError> {
        let given = given.unwrap_or_else(|| Spanned::new(0..0, LOCK_AFTER_S));
        if !LOCK_AFTER_S_RANGE.contains(given.get_ref()) {
            return Err(self.wrong(&given, "must be between 30 seconds and 43200, twelve hours"));
        }
        Ok(Duration::from_secs(given.into_inner()))
    }

    fn count_approval(&self, given: Option<Spanned<u32>>) -> Result<Quantity, ConfigError> {
        let given = given.unwrap_or_else(|| Spanned::new(0..0, COUNT_APPROVAL_UNITS));
        if *given.get_ref() > COUNT_APPROVAL_UNITS_MAX {
            return Err(self.wrong(&given, "must be 100000 units at most"));
        }
        Ok(Quantity::from_units(given.into_inner().into()))
    }

    fn step_up(&self, given: Option<Spanned<u64>>) -> Result<Duration, ConfigError> {
        let given = given.unwrap_or_else(|| Spanned::new(0..0, STEP_UP_S));
        if *given.get_ref() > STEP_UP_S_MAX {
            return Err(self.wrong(&given, "must be 3600 seconds, an hour, at most"));
        }
        Ok(Duration::from_secs(given.into_inner()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    fn parse(page: &str) -> Result<Config, ConfigError> {
        let text = format!("store = \"S0001\"\ndata_dir = \"data\"\n[page]\n{page}\n");
        Config::parse(&text, Path::new("/etc/shopsmart/agent.toml"))
    }

    fn complaint(page: &str) -> String {
        parse(page).unwrap_err().to_string()
    }

    #[test]
    fn without_a_word_the_page_is_there_for_this_machine_only() {
        let text = "store = \"S0001\"\ndata_dir = \"data\"\n";
        let page = Config::parse(text, Path::new("agent.toml")).unwrap().page.unwrap();
        assert_eq!(page.listen.to_string(), LISTEN);
        assert!(page.listen.ip().is_loopback() && page.tls.is_none());
    }

    #[test]
    fn it_can_be_switched_off() {
        assert!(parse("enabled = false").unwrap().page.is_none());
    }

    #[test]
    fn wider_than_this_machine_it_needs_hosts_and_a_certificate() {
        let files = "certificate = \"page.pem\"\nkey = \"page.key\"";
        let hosts = "hosts = [\"Store.example\"]";
        for lacking in [String::new(), files.to_owned(), hosts.to_owned()] {
            let said = complaint(&format!("listen = \"0.0.0.0:8181\"\n{lacking}"));
            assert!(said.contains("key `page.listen`") && said.contains("page-certificate"), "{said}");
        }
        let page = parse(&format!("listen = \"0.0.0.0:8181\"\n{files}\n{hosts}")).unwrap().page.unwrap();
        assert_eq!(page.hosts, ["store.example"]);
        assert_eq!(page.tls.unwrap().key_file, Path::new("/etc/shopsmart/page.key"));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let cases = [
            ("certificate = \"page.pem\"", "needs `key`"),
            ("key = \"page.key\"", "needs `certificate`"),
            ("time_zone = \"Mars/Olympus\"", "key `page.time_zone`"),
            ("language = \"fr\"", "key `page.language`"),
            ("lock_after_s = 5", "key `page.lock_after_s`"),
            ("step_up_s = 9999", "key `page.step_up_s`"),
            ("count_approval_units = 100001", "key `page.count_approval_units`"),
            ("hosts = [\"a b\"]", "key `page.hosts`"),
            ("listen = \"there\"", "key `page.listen`"),
        ];
        for (text, expected) in cases {
            let said = complaint(text);
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
