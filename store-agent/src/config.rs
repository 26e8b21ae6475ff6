//! The configuration file: read strictly, checked whole, and explained line by line when it is wrong.
//!
//! `File` mirrors the text; `Config` is what the rest of the agent sees: every value parsed, every path absolute, every bound
//! held. `agent.example.toml` documents each key with its default and the reason for it, and a test reads it with this code.

pub mod canary;
pub mod page;
pub mod pickup_key;
pub mod pos;
pub mod webhooks;

pub use page::{Language, PageConfig, PageTls};

use page::PageTable;
use serde::Deserialize;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use sync_protocol::stock::policy::ReservePolicy;
use sync_protocol::{Quantity, StoreId};
use toml::Spanned;

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    pub store: StoreId,
    pub data_dir: PathBuf,
    pub http: HttpConfig,
    /// `None`: switched off.
    pub page: Option<PageConfig>,
    /// `None`: this agent works without a hub.
    pub hub: Option<HubConfig>,
    pub reserve: ReservePolicy,
    pub log: LogConfig,
    /// POS systems whose databases are read.
    pub pos: Vec<pos::PosConfig>,
    pub canary: canary::CanaryConfig,
    /// POS systems that send. `None`: there are none, and no address is opened for them.
    pub webhooks: Option<webhooks::WebhooksConfig>,
}

/// The local HTTP API.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    pub listen: SocketAddr,
    pub tokens_file: PathBuf,
    pub body_bytes_max: usize,
    /// Host names accepted in requests beside loopback and the listen address.
    pub hosts: Vec<String>,
}

/// Where the hub is and how this store proves who it is.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// Which ways to the hub may be used.
    pub transport: TransportMode,
    /// `host:port` for QUIC; the name is looked up at each dial.
    pub address: String,
    pub mqtt_address: HostPort,
    /// An HTTP proxy for MQTT; QUIC never uses one.
    pub proxy: Option<HostPort>,
    pub server_name: String,
    pub ca_file: PathBuf,
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
    /// The hub's public key for pickup codes. `None`: signed codes can't be checked here.
    pub pickup_key_file: Option<PathBuf>,
    pub disable_gso: bool,
    pub mtu_max: u16,
}

/// Which ways to the hub may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportMode {
    /// QUIC, and MQTT for as long as QUIC does not get through.
    Auto,
    Quic,
    Mqtt,
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

/// What is logged, and how. Logs go to stderr.
#[derive(Debug, Clone)]
pub struct LogConfig {
    pub format: LogFormat,
    pub level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// Reads and checks the file at `path`. Relative paths inside it are relative to its folder.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Config::parse(&text, path)
    }

    /// Checks `text` as if it had been read from `path`.
    pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            wrong(text, path, at, explain(error.message()))
        })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        Checker { text, path, folder }.config(file)
    }

    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data_dir.join("agent.db")
    }

    /// The store's people, the page's devices and what was done on it.
    #[must_use]
    pub fn people_database(&self) -> PathBuf {
        self.data_dir.join("people.db")
    }

    /// The code that the first manager is set up with.
    #[must_use]
    pub fn setup_code_file(&self) -> PathBuf {
        self.data_dir.join("setup-code")
    }

    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.data_dir.join("agent.lock")
    }

    #[must_use]
    pub fn addresses_file(&self) -> PathBuf {
        self.data_dir.join("addresses.json")
    }
}

/// Why a configuration file is no use. Says where, and what to write instead where that is clear.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {path}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}, line {line}{}: {message}", in_key(key), path = path.display())]
    Wrong { path: PathBuf, line: usize, key: String, message: String },
}

fn in_key(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!(", key `{key}`") }
}

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    store: Spanned<String>,
    data_dir: Spanned<PathBuf>,
    #[serde(default)]
    http: HttpTable,
    #[serde(default)]
    page: PageTable,
    hub: Option<HubTable>,
    #[serde(default)]
    reserve: ReserveTable,
    #[serde(default)]
    log: LogTable,
    #[serde(default)]
    pos: Vec<pos::PosTable>,
    #[serde(default)]
    canary: canary::CanaryTable,
    webhooks: Option<webhooks::WebhooksTable>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct HttpTable {
    listen: Option<Spanned<String>>,
    tokens_file: Option<PathBuf>,
    body_max_bytes: Option<Spanned<u64>>,
    #[serde(default)]
    hosts: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HubTable {
    transport: Option<TransportMode>,
    address: Spanned<String>,
    mqtt_address: Option<Spanned<String>>,
    proxy: Option<Spanned<String>>,
    server_name: Option<Spanned<String>>,
    ca_file: PathBuf,
    certificate_file: PathBuf,
    key_file: PathBuf,
    pickup_key_file: Option<PathBuf>,
    #[serde(default)]
    disable_gso: bool,
    max_mtu: Option<Spanned<u16>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ReserveTable {
    safety_stock: Option<Spanned<Amount>>,
    exposure_s: Option<Spanned<u32>>,
    z: Option<Spanned<f64>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct LogTable {
    format: Option<LogFormat>,
    level: Option<Spanned<String>>,
}

/// A quantity as TOML can write it: `2`, `0.5` or `"0.5"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Amount {
    Whole(i64),
    Decimal(f64),
    Text(String),
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Amount::Whole(number) => number.fmt(f),
            // The shortest text that reads back as this number is what was written, for anything a shelf can hold.
            Amount::Decimal(number) => number.fmt(f),
            Amount::Text(text) => text.fmt(f),
        }
    }
}

const LISTEN: &str = "127.0.0.1:7070";
const TOKENS_FILE: &str = "tokens";
const BODY_BYTES_MAX: u64 = 16 << 20;
/// One document at its bounds must fit, or a till could not report it at all.
const BODY_BYTES_RANGE: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 30;
const EXPOSURE_S: u32 = 900;
const EXPOSURE_S_MAX: u32 = 7 * 24 * 3600;
const Z: f64 = 1.65;
const Z_MAX: f64 = 10.0;
/// 1,500 bytes of Ethernet less IPv6 and UDP headers.
const MTU_MAX: u16 = 1452;
/// QUIC itself demands 1,200.
const MTU_RANGE: std::ops::RangeInclusive<u16> = 1200..=9000;
/// The port of MQTT over TLS by registration.
const MQTT_PORT: u16 = 8883;
const LEVEL: &str = "info";

/// Turns the mirror into checked values; knows where in the text each one stands.
struct Checker<'a> {
    text: &'a str,
    path: &'a Path,
    folder: PathBuf,
}

impl Checker<'_> {
    fn config(&self, file: File) -> Result<Config, ConfigError> {
        let data_dir = file.data_dir.get_ref();
        if data_dir.as_os_str().is_empty() {
            return Err(self.wrong(&file.data_dir, "is empty; name the folder that holds the database"));
        }
        let pos = self.pos(file.pos)?;
        let webhooks = file.webhooks.map(|table| self.webhooks(table, &pos)).transpose()?;
        Ok(Config {
            store: self.parsed::<StoreId, _>(&file.store)?,
            data_dir: self.folder.join(data_dir),
            http: self.http(file.http)?,
            page: self.page(file.page)?,
            hub: file.hub.map(|hub| self.hub(hub)).transpose()?,
            reserve: self.reserve(&file.reserve)?,
            log: self.log(file.log)?,
            pos,
            webhooks,
            canary: self.canary(&file.canary)?,
        })
    }

    fn http(&self, table: HttpTable) -> Result<HttpConfig, ConfigError> {
        let listen = table.listen.unwrap_or_else(|| Spanned::new(0..0, LISTEN.to_owned()));
        let bytes = table.body_max_bytes.unwrap_or_else(|| Spanned::new(0..0, BODY_BYTES_MAX));
        let body_bytes_max = usize::try_from(*bytes.get_ref()).unwrap_or(usize::MAX);
        if !BODY_BYTES_RANGE.contains(bytes.get_ref()) {
            return Err(self.wrong(&bytes, "must be between 65536 (64 KiB) and 1073741824 (1 GiB)"));
        }
        Ok(HttpConfig {
            listen: self.parsed::<SocketAddr, _>(&listen)?,
            tokens_file: self.folder.join(table.tokens_file.unwrap_or_else(|| TOKENS_FILE.into())),
            body_bytes_max,
            hosts: table.hosts.iter().map(|host| self.host(host)).collect::<Result<_, _>>()?,
        })
    }

    fn host(&self, host: &Spanned<String>) -> Result<String, ConfigError> {
        let name = host.get_ref();
        if name.is_empty() || name.contains(['/', '*']) || name.contains(char::is_whitespace) {
            return Err(self.wrong(host, "is no host name; write it as in the address bar, without port"));
        }
        Ok(name.to_ascii_lowercase())
    }

    fn hub(&self, table: HubTable) -> Result<HubConfig, ConfigError> {
        let Some(HostPort { host, .. }) = host_port(table.address.get_ref()) else {
            return Err(self.wrong(&table.address, "must be `host:port`, such as `hub.example:7443`"));
        };
        let mqtt_address = self.mqtt_address(table.mqtt_address, &host)?;
        let proxy = table.proxy.map(|proxy| self.proxy(&proxy)).transpose()?;
        let mtu = table.max_mtu.unwrap_or_else(|| Spanned::new(0..0, MTU_MAX));
        if !MTU_RANGE.contains(mtu.get_ref()) {
            return Err(self.wrong(&mtu, "must be between 1200 (the least QUIC works with) and 9000"));
        }
        Ok(HubConfig {
            transport: table.transport.unwrap_or(TransportMode::Auto),
            address: table.address.into_inner(),
            mqtt_address,
            proxy,
            server_name: self.server_name(table.server_name, host)?,
            ca_file: self.folder.join(table.ca_file),
            certificate_file: self.folder.join(table.certificate_file),
            key_file: self.folder.join(table.key_file),
            pickup_key_file: table.pickup_key_file.map(|file| self.folder.join(file)),
            disable_gso: table.disable_gso,
            mtu_max: *mtu.get_ref(),
        })
    }

    fn mqtt_address(&self, given: Option<Spanned<String>>, host: &str) -> Result<HostPort, ConfigError> {
        let Some(given) = given else { return Ok(HostPort { host: host.to_owned(), port: MQTT_PORT }) };
        // The name goes into the TLS handshake, so it has to be one.
        let named = |at: &HostPort| rustls::pki_types::ServerName::try_from(at.host.as_str()).is_ok();
        host_port(given.get_ref())
            .filter(named)
            .ok_or_else(|| self.wrong(&given, "must be `host:port`, such as `hub.example:8883`"))
    }

    fn proxy(&self, given: &Spanned<String>) -> Result<HostPort, ConfigError> {
        let text = given.get_ref();
        if text.contains('@') {
            return Err(self.wrong(given, "carries a user name; proxies that ask for one are not supported"));
        }
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(
                self.wrong(given, "must begin with `http://`; the connection through it is TLS anyway")
            );
        };
        host_port(rest.strip_suffix('/').unwrap_or(rest)).filter(|at| !at.host.contains('/')).ok_or_else(
            || self.wrong(given, "must be `http://host:port`, such as `http://proxy.example:3128`"),
        )
    }

    fn server_name(&self, given: Option<Spanned<String>>, host: String) -> Result<String, ConfigError> {
        let Some(given) = given else { return Ok(host) };
        match rustls::pki_types::ServerName::try_from(given.get_ref().as_str()) {
            Ok(_) => Ok(given.into_inner()),
            Err(_) => Err(self.wrong(&given, "is neither a host name nor an IP address")),
        }
    }

    fn reserve(&self, table: &ReserveTable) -> Result<ReservePolicy, ConfigError> {
        let safety_stock = match &table.safety_stock {
            Some(amount) => self.safety_stock(amount)?,
            None => Quantity::ZERO,
        };
        let exposure_s = table.exposure_s.as_ref().map_or(EXPOSURE_S, |s| *s.get_ref());
        if let Some(given) = table.exposure_s.as_ref().filter(|_| exposure_s > EXPOSURE_S_MAX) {
            return Err(self.wrong(given, "is more than 604800 seconds, a week"));
        }
        let z = table.z.as_ref().map_or(Z, |z| *z.get_ref());
        if let Some(given) = table.z.as_ref().filter(|_| !(0.0..=Z_MAX).contains(&z)) {
            return Err(self.wrong(given, "must be between 0 and 10 standard deviations"));
        }
        Ok(ReservePolicy { safety_stock, exposure_s, z })
    }

    fn safety_stock(&self, amount: &Spanned<Amount>) -> Result<Quantity, ConfigError> {
        let text = amount.get_ref().to_string();
        let quantity = Quantity::from_str(&text).map_err(|error| self.wrong(amount, &error.to_string()))?;
        if quantity < Quantity::ZERO {
            return Err(self.wrong(amount, "cannot be negative"));
        }
        Ok(quantity)
    }

    fn log(&self, table: LogTable) -> Result<LogConfig, ConfigError> {
        let level = table.level.unwrap_or_else(|| Spanned::new(0..0, LEVEL.to_owned()));
        if tracing_subscriber::EnvFilter::try_new(level.get_ref()).is_err() {
            return Err(
                self.wrong(&level, "must be error, warn, info, debug or trace, or such as `info,quinn=warn`")
            );
        }
        Ok(LogConfig { format: table.format.unwrap_or(LogFormat::Text), level: level.into_inner() })
    }

    fn parsed<T, E: fmt::Display>(&self, value: &Spanned<String>) -> Result<T, ConfigError>
    where
        T: FromStr<Err = E>,
    {
        T::from_str(value.get_ref())
            .map_err(|error| self.wrong(value, &format!("`{}`: {error}", value.get_ref())))
    }

    fn wrong<T>(&self, value: &Spanned<T>, message: &str) -> ConfigError {
        wrong(self.text, self.path, value.span().start, message.to_owned())
    }
}

/// `host:port` with a port from 1 on.
fn host_port(text: &str) -> Option<HostPort> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let host = host.trim_matches(['[', ']']);
    (!host.is_empty()).then(|| HostPort { host: host.to_owned(), port })
}

fn wrong(text: &str, path: &Path, at: usize, message: String) -> ConfigError {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    ConfigError::Wrong { path: path.to_owned(), line, key: key_at(text, line), message }
}

/// The dotted key that stands on a line, with the table it belongs to.
fn key_at(text: &str, line: usize) -> String {
    let Some(key) = text.lines().nth(line - 1).and_then(|l| l.split_once('=')) else {
        return String::new();
    };
    let key = key.0.trim();
    let above = text.lines().take(line - 1).collect::<Vec<_>>();
    let table = above.iter().rev().find_map(|l| {
        let inside = l.trim().trim_start_matches('[');
        let inside = (inside.len() < l.trim().len()).then_some(inside)?;
        inside.split_once(']').map(|(name, _)| name.trim())
    });
    table.map_or_else(|| key.to_owned(), |table| format!("{table}.{key}"))
}

/// Adds the nearest known key to serde's "unknown field `x`, expected one of `a`, `b`".
fn explain(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    if !message.starts_with("unknown field") {
        return message.to_owned();
    }
    let Some(found) = names.next() else {
        return message.to_owned();
    };
    let known: Vec<&str> = names.collect();
    match nearest(found, &known) {
        Some(name) => format!("unknown key `{found}`; did you mean `{name}`?"),
        None => format!("unknown key `{found}`; known here: {}", known.join(", ")),
    }
}

/// The known name that takes the fewest typing slips to reach, if that is few enough to be meant.
fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let close = |name: &&str| slips(found, name);
    let best = known.iter().copied().min_by_key(close)?;
    (slips(found, best) <= found.len().max(best.len()) / 3 + 1).then_some(best)
}

/// How many letters must be put in, left out or changed to get from one name to the other.
fn slips(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
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

    const SMALLEST: &str = "store = \"S0001\"\ndata_dir = \"data\"\n";

    fn read(text: &str) -> Config {
        Config::parse(text, Path::new("/etc/shopsmart/agent.toml")).unwrap()
    }

    fn complaint(text: &str) -> String {
        Config::parse(text, Path::new("agent.toml")).unwrap_err().to_string()
    }

    #[test]
    fn the_printed_example_is_a_configuration() {
        let config = read(include_str!("../agent.example.toml"));
        assert_eq!(config.store.as_str(), "S0001");
        assert_eq!(config.http.tokens_file, Path::new("/etc/shopsmart/tokens"));
        assert_eq!(config.hub.unwrap().server_name, "hub.example");
    }

    #[test]
    fn the_example_shows_the_defaults() {
        let (shown, bare) = (read(include_str!("../agent.example.toml")), read(SMALLEST));
        assert_eq!(shown.http.listen, bare.http.listen);
        assert_eq!(shown.http.tokens_file, bare.http.tokens_file);
        assert_eq!(shown.http.body_bytes_max, bare.http.body_bytes_max);
        assert_eq!(shown.http.hosts, bare.http.hosts);
        assert_eq!(shown.reserve.safety_stock, bare.reserve.safety_stock);
        assert_eq!(shown.reserve.exposure_s, bare.reserve.exposure_s);
        assert!((shown.reserve.z - bare.reserve.z).abs() < f64::EPSILON);
        assert_eq!((shown.log.format, shown.log.level), (bare.log.format, bare.log.level));
        let (page, bare_page) = (shown.page.unwrap(), bare.page.unwrap());
        assert_eq!((page.listen, page.hosts, page.tls), (bare_page.listen, bare_page.hosts, bare_page.tls));
        assert_eq!((page.language, page.time_zone), (bare_page.language, bare_page.time_zone));
        assert_eq!((page.lock_after, page.step_up), (bare_page.lock_after, bare_page.step_up));
        assert_eq!(shown.canary, bare.canary);
        let hub = shown.hub.unwrap();
        assert_eq!((hub.disable_gso, hub.mtu_max), (false, MTU_MAX));
        assert_eq!((hub.transport, hub.proxy), (TransportMode::Auto, None));
        assert_eq!(hub.mqtt_address.to_string(), "hub.example:8883");
        assert_eq!(hub.pickup_key_file, None);
    }

    fn hub(keys: &str) -> String {
        let files = "ca_file=\"a\"\ncertificate_file=\"b\"\nkey_file=\"c\"\n";
        format!("{SMALLEST}[hub]\n{keys}\n{files}")
    }

    #[test]
    fn mqtt_is_looked_for_where_quic_is_unless_told_otherwise() {
        let hub_of = |keys: &str| read(&hub(keys)).hub.unwrap();
        assert_eq!(hub_of("address = \"hub:7443\"").mqtt_address.to_string(), "hub:8883");
        assert_eq!(hub_of("address = \"[::1]:7443\"").mqtt_address.to_string(), "[::1]:8883");
        let told = hub_of(
            "address = \"hub:7443\"\nmqtt_address = \"broker:443\"\nproxy = \"http://proxy:3128/\"\ntransport = \"mqtt\"",
        );
        assert_eq!(told.mqtt_address, HostPort { host: "broker".to_owned(), port: 443 });
        assert_eq!(told.proxy, Some(HostPort { host: "proxy".to_owned(), port: 3128 }));
        assert_eq!(told.transport, TransportMode::Mqtt);
    }

    #[test]
    fn a_bad_way_to_the_hub_is_named_with_what_to_write() {
        let cases = [
            ("transport = \"tcp\"", "key `hub.transport`", "`auto`, `quic`, `mqtt`"),
            ("mqtt_address = \"broker\"", "key `hub.mqtt_address`", "hub.example:8883"),
            ("mqtt_address = \"tcp://broker:1\"", "key `hub.mqtt_address`", "hub.example:8883"),
            ("mqtt_address = \"broker:0\"", "key `hub.mqtt_address`", "hub.example:8883"),
            ("proxy = \"proxy:3128\"", "key `hub.proxy`", "begin with `http://`"),
            ("proxy = \"https://proxy:3128\"", "key `hub.proxy`", "begin with `http://`"),
            ("proxy = \"http://me:secret@proxy:3128\"", "key `hub.proxy`", "user name"),
            ("proxy = \"http://proxy\"", "key `hub.proxy`", "http://proxy.example:3128"),
            ("mqt_address = \"broker:1\"", "key `hub.mqt_address`", "did you mean `mqtt_address`?"),
        ];
        for (key, place, advice) in cases {
            let said = complaint(&hub(&format!("address = \"hub:7443\"\n{key}")));
            assert!(
                said.contains("line 5") && said.contains(place) && said.contains(advice),
                "{key}: {said}"
            );
            assert!(!said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn relative_paths_are_relative_to_the_file() {
        assert_eq!(read(SMALLEST).data_dir, Path::new("/etc/shopsmart/data"));
    }

    #[test]
    fn the_key_for_pickup_codes_lies_beside_the_file_too() {
        let config = read(&hub("address = \"hub:7443\"\npickup_key_file = \"pickup.pub\""));
        let file = config.hub.unwrap().pickup_key_file.unwrap();
        assert_eq!(file, Path::new("/etc/shopsmart/pickup.pub"));
    }

    #[test]
    fn without_a_hub_table_the_agent_is_on_its_own() {
        assert!(read(SMALLEST).hub.is_none());
    }

    #[test]
    fn a_mistyped_key_is_named_with_line_and_nearest_key() {
        let said = complaint(&format!("{SMALLEST}[http]\nlisen = \"127.0.0.1:1\"\n"));
        assert_eq!(said, "agent.toml, line 4, key `http.lisen`: unknown key `lisen`; did you mean `listen`?");
    }

    #[test]
    fn a_key_like_no_other_gets_the_list() {
        let said = complaint(&format!("{SMALLEST}[log]\nrotation_period = 3\n"));
        assert!(said.contains("line 4") && said.contains("known here: format, level"), "{said}");
    }

    #[test]
    fn a_bad_value_is_named_with_line_and_key() {
        let cases = [
            ("[http]\nlisten = \"here\"\n", "line 4, key `http.listen`"),
            ("[http]\nbody_max_bytes = 10\n", "line 4, key `http.body_max_bytes`"),
            ("[http]\nhosts = [\"a b\"]\n", "line 4, key `http.hosts`"),
            ("[reserve]\nsafety_stock = 0.0001\n", "line 4, key `reserve.safety_stock`"),
            ("[reserve]\nsafety_stock = -1\n", "cannot be negative"),
            ("[reserve]\nz = nan\n", "line 4, key `reserve.z`"),
            ("[log]\nlevel = \"loud,,=\"\n", "line 4, key `log.level`"),
            ("[log]\nformat = \"xml\"\n", "line 4, key `log.format`"),
            (
                "[hub]\naddress = \"hub\"\nca_file=\"a\"\ncertificate_file=\"b\"\nkey_file=\"c\"\n",
                "line 4, key `hub.address`",
            ),
        ];
        for (text, expected) in cases {
            let said = complaint(&format!("{SMALLEST}{text}"));
            assert!(said.contains(expected), "{text}: {said}");
        }
    }

    #[test]
    fn a_bad_store_id_is_named_too() {
        let said = complaint("store = \"S 1\"\ndata_dir = \"data\"\n");
        assert!(said.starts_with("agent.toml, line 1, key `store`"), "{said}");
    }

    #[test]
    fn text_that_is_no_toml_has_a_line() {
        let said = complaint("store = \"S0001\"\ndata_dir = \n");
        assert!(said.contains("line 2"), "{said}");
    }

    #[test]
    fn safety_stock_may_be_weighed() {
        let half = read(&format!("{SMALLEST}[reserve]\nsafety_stock = 0.5\n")).reserve.safety_stock;
        assert_eq!(half, Quantity::from_thousandths(500));
        let text = read(&format!("{SMALLEST}[reserve]\nsafety_stock = \"0.5\"\n")).reserve.safety_stock;
        assert_eq!(text, half);
    }
}
