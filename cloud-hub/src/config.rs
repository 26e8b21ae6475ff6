//! The hub's configuration file: what the operator may say, checked whole before anything starts.
//!
//! A mistake is answered with the file, the line, the key and, for an unknown key, the nearest known one. Relative
//! paths come out resolved against the folder of the file. `hub.example.toml` documents every key with its default.

mod enrolment;
mod outgoing;

pub use enrolment::Enrolment;
pub use outgoing::{HttpUrl, Participant, Webhook};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::fmt::{self, Write as _};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tracing_subscriber::filter::Targets;

/// What the hub was told, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Holds `hub.db`, `pki/` and `addresses.json`.
    pub data_dir: PathBuf,
    pub quic: Quic,
    pub mqtt: Mqtt,
    /// None: the hub is reached directly, which needs nothing else to run.
    pub broker: Option<Broker>,
    /// None: no store can enrol or renew its certificate over the network.
    pub enrolment: Option<Enrolment>,
    pub storefront: Storefront,
    pub orders: Orders,
    pub freshness: Freshness,
    pub log: Log,
    /// Who hears what happens to orders.
    pub webhooks: Vec<Webhook>,
    /// Who captures, refunds and voids payments. None: nobody is told.
    pub payment: Option<Participant>,
    /// Who tells shoppers. None: nobody is told.
    pub notification: Option<Participant>,
}

/// Where store agents connect.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quic {
    /// Default `0.0.0.0:7443`. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// The largest UDP payload to try on a path. Default 1452: an Ethernet frame over IPv6.
    #[serde(deserialize_with = "udp_payload")]
    pub mtu_max: u16,
    /// Several datagrams in one system call. Default true; some network drivers garble them.
    pub segmentation_offload: bool,
}

/// Where store agents connect whose network lets no UDP through.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mqtt {
    /// Default true: an agent behind a firewall that drops UDP finds its way without anybody's doing.
    pub enabled: bool,
    /// Default `0.0.0.0:8883`, the port of MQTT over TLS. Port 0 takes any free port.
    pub listen: SocketAddr,
}

/// An MQTT 5 broker of the customer's, by which stores reach the hub as well.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// `host:port`; the host is the name in the broker's certificate.
    pub address: HostPort,
    /// Whose certificate the broker must show. Default: one of the hub's own authority.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What the hub shows the broker. Default: a certificate that its own authority makes for each connection.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// The name of the shared subscription, the same for all hubs of one chain. Default `hub`.
    #[serde(default = "share_of_hubs", deserialize_with = "share_name")]
    pub share: String,
}

/// A machine and a port on it. The host of an IPv6 address stands without its brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<HostPort, D::Error> {
        let text = String::deserialize(from)?;
        host_port(&text).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is not `host:port`, such as `mqtt.example.com:8883`"))
        })
    }
}

fn host_port(text: &str) -> Option<HostPort> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = bracketed.unwrap_or(host);
    // The name goes into the TLS handshake, so it has to be one; a colon belongs to an IPv6 address in brackets.
    let named = rustls::pki_types::ServerName::try_from(host).is_ok();
    (named && host.contains(':') == bracketed.is_some()).then(|| HostPort { host: host.to_owned(), port })
}

/// Where the web shop asks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storefront {
    /// Default `127.0.0.1:8080`: TLS is the business of a proxy in front.
    pub listen: SocketAddr,
    /// Lines `name key`. Default `keys`, beside the configuration file.
    pub keys_file: PathBuf,
    /// Requests per second of each key; 0, the default, sets no limit.
    pub requests_per_second: u32,
}

/// What shoppers are told when they order, and how long their orders are kept.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Orders {
    /// How long a store gets to have an order ready. Default 120.
    #[serde(deserialize_with = "positive")]
    pub ready_minutes: u32,
    /// How long it is kept for its shopper. Default 72.
    #[serde(deserialize_with = "positive")]
    pub hold_hours: u32,
    /// How far from the first store another one may be, where the shopper gave no radius. Default 10.
    #[serde(deserialize_with = "positive")]
    pub reroute_km: u32,
    /// How long after an order's end its customer is known. Default 30.
    #[serde(deserialize_with = "positive")]
    pub customers_kept_days: u32,
}

/// How the age of a store's numbers is judged.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Freshness {
    /// Numbers up to this age are `live`. Default 60: three missed heartbeats.
    pub live_s: u32,
    /// Numbers above this age are `offline`. Default 900.
    pub offline_s: u32,
    /// Share of what is free that is held back for each hour without contact. Default 0: escrow alone protects.
    #[serde(deserialize_with = "share")]
    pub hold_back_share_per_hour: f64,
    /// Nothing is offered above this age; 0, the default, never stops.
    pub stop_after_s: u32,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub format: LogFormat,
    /// A level, or levels per part (`info,quinn=warn`). Default `info`.
    #[serde(deserialize_with = "log_level")]
    pub level: String,
}

/// For people or for collectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it can't be read, or says what is not understood.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Config::parse(&text, path)
    }

    /// Checks the text of a file; `path` is where it stood.
    ///
    /// # Errors
    /// When it says what is not understood.
    pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
        let file: File = toml::from_str(text).map_err(|error| Place { path, text }.refused(&error))?;
        let config = file.resolved(path.parent().unwrap_or(Path::new("")));
        Place { path, text }.check_ages(&config.freshness)?;
        config.broker.as_ref().map_or(Ok(()), |broker| Place { path, text }.check_pair(broker))?;
        Place { path, text }.check_outgoing(&config)?;
        Ok(config)
    }

    #[must_use]
    pub fn database_file(&self) -> PathBuf {
        self.data_dir.join("hub.db")
    }

    #[must_use]
    pub fn courier_file(&self) -> PathBuf {
        self.data_dir.join("courier.db")
    }

    #[must_use]
    pub fn enrolment_file(&self) -> PathBuf {
        self.data_dir.join("enrolment.db")
    }

    #[must_use]
    pub fn pki_folder(&self) -> PathBuf {
        self.data_dir.join("pki")
    }

    #[must_use]
    pub fn addresses_file(&self) -> PathBuf {
        self.data_dir.join("addresses.json")
    }

    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.data_dir.join("hub.lock")
    }
}

impl Default for Quic {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([0, 0, 0, 0], 7443)), mtu_max: 1452, segmentation_offload: true }
    }
}

impl Default for Mqtt {
    fn default() -> Self {
        Self { enabled: true, listen: SocketAddr::from(([0, 0, 0, 0], 8883)) }
    }
}

impl Default for Storefront {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            keys_file: PathBuf::from("keys"),
            requests_per_second: 0,
        }
    }
}

impl Default for Orders {
    fn default() -> Self {
        Self { ready_minutes: 120, hold_hours: 72, reroute_km: 10, customers_kept_days: 30 }
    }
}

impl Default for Freshness {
    fn default() -> Self {
        Self { live_s: 60, offline_s: 900, hold_back_share_per_hour: 0.0, stop_after_s: 0 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// Why a configuration file was refused. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("can't read the configuration file `{path}`", path = path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path}, line {line}: unknown key `{key}`; {hint}", path = path.display())]
    UnknownKey { path: PathBuf, line: usize, key: String, hint: String },
    #[error("{path}, line {line}: `{key}`: {reason}", path = path.display())]
    Value { path: PathBuf, line: usize, key: String, reason: String },
    #[error("{path}: {reason}", path = path.display())]
    Missing { path: PathBuf, reason: String },
    #[error("{path}, line {line}: this is not TOML: {reason}", path = path.display())]
    Syntax { path: PathBuf, line: usize, reason: String },
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data_dir: PathBuf,
    #[serde(default)]
    quic: Quic,
    #[serde(default)]
    mqtt: Mqtt,
    broker: Option<Broker>,
    enrolment: Option<Enrolment>,
    #[serde(default)]
    storefront: Storefront,
    #[serde(default)]
    orders: Orders,
    #[serde(default)]
    freshness: Freshness,
    #[serde(default)]
    log: Log,
    #[serde(default)]
    webhook: Vec<Webhook>,
    payment: Option<Participant>,
    notification: Option<Participant>,
}

impl File {
    fn resolved(self, folder: &Path) -> Config {
        let File {
            data_dir, quic, mqtt, mut broker, enrolment, mut storefront, orders, freshness, log, ..
        } = self;
        let (mut webhooks, mut payment, mut notification) = (self.webhook, self.payment, self.notification);
        webhooks.iter_mut().for_each(|webhook| webhook.secrets_file = folder.join(&webhook.secrets_file));
        let tokens = [&mut payment, &mut notification].into_iter().flatten();
        tokens.filter_map(|to| to.token_file.as_mut()).for_each(|file| *file = folder.join(&*file));
        storefront.keys_file = folder.join(storefront.keys_file);
        if let Some(broker) = &mut broker {
            let files = [&mut broker.ca_file, &mut broker.certificate_file, &mut broker.key_file];
            files.into_iter().flatten().for_each(|file| *file = folder.join(&*file));
        }
        let data_dir = folder.join(data_dir);
        Config {
            data_dir,
            quic,
            mqtt,
            broker,
            enrolment,
            storefront,
            orders,
            freshness,
            log,
            webhooks,
            payment,
            notification,
        }
    }
}

fn positive<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let number = u32::deserialize(from)?;
    if !(1..=100_000).contains(&number) {
        return Err(D::Error::custom(format!("`{number}` is not between 1 and 100000")));
    }
    Ok(number)
}

fn udp_payload<'de, D: Deserializer<'de>>(from: D) -> Result<u16, D::Error> {
    let bytes = u16::deserialize(from)?;
    if !(1200..=65_527).contains(&bytes) {
        return Err(D::Error::custom(format!("`{bytes}` is not between 1200 and 65527")));
    }
    Ok(bytes)
}

fn share_of_hubs() -> String {
    "hub".to_owned()
}

fn share_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if !(1..=64).contains(&name.len()) || !name.chars().all(fits) {
        return Err(D::Error::custom(format!("`{name}` is not 1 to 64 letters, digits, `-` and `_`")));
    }
    Ok(name)
}

fn share<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(from)?;
    if !(0.0..=1.0).contains(&share) {
        return Err(D::Error::custom(format!("`{share}` is not between 0.0 and 1.0")));
    }
    Ok(share)
}

fn log_level<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let level = String::deserialize(from)?;
    level.parse::<Targets>().map_err(|_| {
        D::Error::custom(format!("`{level}` is no level; write error, warn, info, debug or trace"))
    })?;
    Ok(level)
}

/// The file at hand, to say where in it something is wrong.
struct Place<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Place<'_> {
    /// Puts what the TOML reader says in the operator's terms.
    fn refused(&self, error: &toml::de::Error) -> ConfigError {
        let path = self.path.to_owned();
        let reason = error.message().to_owned();
        let Some(span) = error.span() else {
            return ConfigError::Missing { path, reason };
        };
        let line = self.line(&span);
        if reason.starts_with("missing field") {
            ConfigError::Missing { path, reason: reason.replacen("missing field", "there must be a key", 1) }
        } else if let Some((key, known)) = unknown_field(&reason) {
            ConfigError::UnknownKey { path, line, key: self.key(&span, Some(&key)), hint: hint(&key, &known) }
        } else if self.is_value(&span) {
            ConfigError::Value { path, line, key: self.key(&span, None), reason }
        } else {
            ConfigError::Syntax { path, line, reason }
        }
    }

    fn check_ages(&self, freshness: &Freshness) -> Result<(), ConfigError> {
        if freshness.offline_s > freshness.live_s {
            return Ok(());
        }
        let line = self.line_of("offline_s").or_else(|| self.line_of("live_s")).unwrap_or(1);
        let reason =
            format!("`{}` is not more than `live_s`, which is {}", freshness.offline_s, freshness.live_s);
        Err(ConfigError::Value {
            path: self.path.to_owned(),
            line,
            key: "freshness.offline_s".to_owned(),
            reason,
        })
    }

    fn check_pair(&self, broker: &Broker) -> Result<(), ConfigError> {
        let (given, missing) = match (&broker.certificate_file, &broker.key_file) {
            (Some(_), None) => ("certificate_file", "key_file"),
            (None, Some(_)) => ("key_file", "certificate_file"),
            _ => return Ok(()),
        };
        Err(ConfigError::Value {
            path: self.path.to_owned(),
            line: self.line_of(given).unwrap_or(1),
            key: format!("broker.{given}"),
            reason: format!("`{missing}` must be given with it"),
        })
    }

    fn check_outgoing(&self, config: &Config) -> Result<(), ConfigError> {
        let value = |key: String, reason: &str| {
            let line = self.line_of(key.rsplit('.').next().unwrap_or(&key)).unwrap_or(1);
            Err(ConfigError::Value { path: self.path.to_owned(), line, key, reason: reason.to_owned() })
        };
        for (at, webhook) in config.webhooks.iter().enumerate() {
            if config.webhooks[..at].iter().any(|earlier| earlier.name == webhook.name) {
                return value("webhook.name".to_owned(), &format!("`{}` is given twice", webhook.name));
            }
        }
        let webhooks = config.webhooks.iter().map(|to| ("webhook", &to.url, to.allow_private_addresses));
        let participants = [("payment", &config.payment), ("notification", &config.notification)];
        let participants = participants.into_iter().filter_map(|(table, to)| {
            let to = to.as_ref()?;
            Some((table, &to.url, to.allow_private_addresses))
        });
        for (table, url, allow_private) in webhooks.chain(participants) {
            if !url.is_tls && !allow_private {
                let reason = "plain HTTP is only for one's own network: write https, or \
                              `allow_private_addresses = true`";
                return value(format!("{table}.url"), reason);
            }
        }
        Ok(())
    }

    fn line(&self, span: &Range<usize>) -> usize {
        self.before(span.start).matches('\n').count() + 1
    }

    fn before(&self, offset: usize) -> &str {
        self.text.get(..offset).unwrap_or(self.text)
    }

    fn line_of(&self, key: &str) -> Option<usize> {
        self.text.lines().position(|line| key_of(line) == Some(key)).map(|at| at + 1)
    }

    /// The dotted name of what stands at `span`, as `quic.listen`.
    fn key(&self, span: &Range<usize>, named: Option<&str>) -> String {
        let line = self.text.lines().nth(self.line(span) - 1).unwrap_or_default();
        let key = named.or_else(|| key_of(line)).unwrap_or("?");
        let before = self.before(span.start);
        let above = before.rfind('\n').map_or("", |end| &before[..end]);
        match above.lines().rev().find_map(table_of) {
            Some(table) if !line.trim_start().starts_with('[') => format!("{table}.{key}"),
            _ => key.to_owned(),
        }
    }

    /// Whether `span` stands right of an equals sign, in text that reads as TOML.
    fn is_value(&self, span: &Range<usize>) -> bool {
        let before = self.before(span.start);
        let line = &before[before.rfind('\n').map_or(0, |end| end + 1)..];
        line.contains('=') && toml::from_str::<toml::Table>(self.text).is_ok()
    }
}

fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    (!key.starts_with('#')).then_some(key)
}

fn table_of(line: &str) -> Option<&str> {
    line.trim().strip_prefix('[')?.trim_start_matches('[').split(']').next().map(str::trim)
}

/// Takes serde's "unknown field `a`, expected one of `b`, `c`" apart.
fn unknown_field(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message.strip_prefix("unknown field")?;
    let mut quoted = rest.split('`').skip(1).step_by(2).map(str::to_owned);
    Some((quoted.next()?, quoted.collect()))
}

fn hint(key: &str, known: &[String]) -> String {
    let nearest = known.iter().map(|k| (edits(key, k), k)).min();
    let mut hint = String::new();
    if let Some((distance, nearest)) = nearest
        && distance * 2 <= key.len().max(nearest.len())
    {
        let _ = write!(hint, "did you mean `{nearest}`? ");
    }
    let _ = write!(hint, "known here: {}", known.join(", "));
    hint
}

/// How many letters to insert, drop or change to get from one word to the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../hub.example.toml");

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/etc/shopsmart/hub.toml"))
    }

    fn complaint(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_example_says_the_defaults() {
        let example = parse(EXAMPLE).unwrap();
        assert_eq!(example, parse("data_dir = '/var/lib/shopsmart/hub'").unwrap());
        assert_eq!(example.quic, Quic::default());
        assert_eq!(example.mqtt, Mqtt::default());
        assert_eq!(example.orders, Orders::default());
        assert_eq!(example.storefront.keys_file, Path::new("/etc/shopsmart/keys"));
    }

    #[test]
    fn times_of_orders_are_in_their_range() {
        let orders = parse("data_dir = 'hub'\n[orders]\nhold_hours = 24").unwrap().orders;
        assert_eq!(orders, Orders { hold_hours: 24, ..Orders::default() });
        let complaint = complaint("data_dir = 'hub'\n[orders]\ncustomers_kept_days = 0");
        assert!(complaint.contains("customers_kept_days") && complaint.contains("between 1"), "{complaint}");
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = parse("data_dir = 'hub'\n[storefront]\nkeys_file = 'secret/keys'").unwrap();
        assert_eq!(config.data_dir, Path::new("/etc/shopsmart/hub"));
        assert_eq!(config.storefront.keys_file, Path::new("/etc/shopsmart/secret/keys"));
        assert_eq!(config.pki_folder(), Path::new("/etc/shopsmart/hub/pki"));
    }

    #[test]
    fn a_broker_is_named_with_its_files() {
        assert_eq!(parse("data_dir = 'hub'").unwrap().broker, None);
        let text = "data_dir = 'hub'\n[broker]\naddress = '[::1]:8883'\nca_file = 'ca.pem'";
        let broker = parse(text).unwrap().broker.unwrap();
        assert_eq!(broker.address.host, "::1");
        assert_eq!(broker.address.to_string(), "[::1]:8883");
        assert_eq!(broker.ca_file.unwrap(), Path::new("/etc/shopsmart/ca.pem"));
        assert_eq!(broker.key_file, None);
        assert_eq!(broker.share, "hub");
    }

    #[test]
    fn enrolment_has_a_door_only_where_it_is_named() {
        assert_eq!(parse("data_dir = 'hub'").unwrap().enrolment, None);
        let text = "data_dir = 'hub'\n[enrolment]\naddresses = ['hub.example:7445']";
        let enrolment = parse(text).unwrap().enrolment.unwrap();
        assert_eq!(enrolment.addresses[0].to_string(), "hub.example:7445");
        assert_eq!((enrolment.certificate_days, enrolment.recoveries_max), (60, 3));
        let said = complaint("data_dir = 'x'\n[enrolment]\naddresses = ['https://hub']");
        assert!(said.contains("line 3: `enrolment.addresses`") && said.contains("host:port"), "{said}");
        let said = complaint("data_dir = 'x'\n[enrolment]\ncertificate_days = 1");
        assert!(said.contains("`1` is not between 7 and 366"), "{said}");
    }

    #[test]
    fn endpoints_are_read_with_their_files_and_defaults() {
        let text = "data_dir = 'hub'\n[[webhook]]\nname = 'shop'\nurl = 'https://shop.example/hooks'\nsecrets_file = 's'\n\
                    [payment]\nurl = 'http://10.0.0.7:8081/pay'\ntoken_file = 't'\nallow_private_addresses = true";
        let config = parse(text).unwrap();
        assert_eq!(config.webhooks[0].secrets_file, Path::new("/etc/shopsmart/s"));
        let payment = config.payment.unwrap();
        assert_eq!(payment.token_file.as_deref(), Some(Path::new("/etc/shopsmart/t")));
        assert_eq!((payment.timeout_s, payment.open_after_failures, payment.dead_after_h), (10, 5, 24));
        let hook = "[[webhook]]\nname = 'shop'\nsecrets_file = 's'\n";
        let cases = [
            (format!("{hook}url = 'shop'"), "line 5: `webhook.url`: this is no URL"),
            (format!("{hook}url = 'http://shop.example'"), "line 5: `webhook.url`: plain HTTP"),
            (format!("{hook}adress = 'x'"), "unknown key `webhook.adress`"),
            (
                format!("{hook}url = 'https://a.example'\n{hook}url = 'https://b.example'"),
                "`shop` is given twice",
            ),
            (
                "[payment]\nurl = 'https://p.example'\ntimeout_s = 0".to_owned(),
                "`0` is not between 1 and 120",
            ),
        ];
        for (text, expected) in cases {
            let said = complaint(&format!("data_dir = 'x'\n{text}"));
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_one() {
        let text = "data_dir = 'x'\n\n[quic]\nlisen = '0.0.0.0:1'\n";
        let said = complaint(text);
        assert!(said.starts_with("/etc/shopsmart/hub.toml, line 4: unknown key `quic.lisen`"), "{said}");
        assert!(said.contains("did you mean `listen`?"), "{said}");
    }

    #[test]
    fn an_unknown_table_names_the_tables_there_are() {
        let said = complaint("data_dir = 'x'\n[amqp]\nport = 1\n");
        assert!(said.contains("line 2: unknown key `amqp`; known here: data_dir, quic"), "{said}");
    }

    #[test]
    fn a_bad_value_is_answered_with_its_line_and_key() {
        let cases = [
            ("data_dir = 'x'\n[quic]\nlisten = 'seven'", "line 3: `quic.listen`: "),
            ("data_dir = 'x'\n[quic]\nmtu_max = 100", "line 3: `quic.mtu_max`: `100` is not between"),
            ("data_dir = 'x'\n[freshness]\nhold_back_share_per_hour = 1.5", "`1.5` is not between"),
            ("data_dir = 'x'\n[freshness]\nlive_s = -1", "line 3: `freshness.live_s`: "),
            ("data_dir = 'x'\n[log]\nformat = 'xml'", "line 3: `log.format`: "),
            ("data_dir = 'x'\n[log]\nlevel = 'loud=very'", "line 3: `log.level`: `loud=very` is no level"),
            (
                "data_dir = 'x'\n[broker]\naddress = 'mqtt'",
                "line 3: `broker.address`: `mqtt` is not `host:port`",
            ),
            ("data_dir = 'x'\n[broker]\naddress = '::1:8883'", "`::1:8883` is not `host:port`"),
            (
                "data_dir = 'x'\n[broker]\naddress = 'm:1'\nshare = 'a/b'",
                "line 4: `broker.share`: `a/b` is not 1 to 64 letters",
            ),
            ("data_dir = 'x'\n[broker]\nca_file = 'ca.pem'", "there must be a key `address`"),
            (
                "data_dir = 'x'\n[broker]\naddress = 'm:1'\nkey_file = 'k'",
                "line 4: `broker.key_file`: `certificate_file` must be given with it",
            ),
            ("data_dir = 7", "line 1: `data_dir`: "),
        ];
        for (text, expected) in cases {
            let said = complaint(text);
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn ages_must_grow() {
        let said = complaint("data_dir = 'x'\n[freshness]\nlive_s = 100\noffline_s = 100\n");
        assert!(said.contains("line 4: `freshness.offline_s`: `100` is not more than `live_s`"), "{said}");
    }

    #[test]
    fn what_is_no_toml_says_where() {
        let said = complaint("data_dir = 'x'\n[quic\nlisten = 1\n");
        assert!(said.contains("line 2: this is not TOML"), "{said}");
    }

    #[test]
    fn the_data_folder_must_be_named() {
        let said = complaint("[quic]\n");
        assert!(said.contains("there must be a key `data_dir`"), "{said}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::load(Path::new("/nowhere/hub.toml")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/hub.toml"), "{error}");
    }
}
