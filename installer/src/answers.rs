//! What a person answers about a store: by flags, by an answers file, by what is installed already, or when asked.
//!
//! A flag counts more than the file, the file more than what is there. The token is never an argument: it comes from a file, from
//! standard input or from the environment.

use crate::console;
use crate::fault::{Code, Fault};
use crate::files;
use crate::presets;
use crate::settings::Settings;
use crate::wanted::{Wanted, WantedPage, proxy_address, with_port};
use clap::Args;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use sync_protocol::StoreId;
use sync_protocol::enrolment::{Address, Token};

/// The hub's port for QUIC.
const HUB_PORT: u16 = 7443;
/// In a path of the answers file this stands for the store.
const STORE_IN_PATHS: &str = "{store}";

/// As typed or written.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Answers {
    /// The store's id, as the hub knows it, such as S0042.
    #[arg(long)]
    store: Option<String>,
    /// The hub's QUIC address. Default: the host of the token's address, port 7443.
    #[arg(long, value_name = "HOST:PORT")]
    hub: Option<String>,
    /// The hub's MQTT address. Default: the hub's host, port 8883.
    #[arg(long, value_name = "HOST:PORT")]
    mqtt: Option<String>,
    /// The name in the hub's certificate, where it is not the host of its address.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// Which ways to the hub may be used: auto, quic or mqtt.
    #[arg(long)]
    transport: Option<String>,
    /// An HTTP proxy that lets TCP out with CONNECT.
    #[arg(long, value_name = "http://HOST:PORT")]
    proxy: Option<String>,
    /// The file with the enrolment token; `-`: standard input. Or SHOPSMART_TOKEN in the environment.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// SHA-256 of the hub's authority (64 hexadecimal digits): the token must name the same.
    #[arg(long, value_name = "HEX")]
    ca_pin: Option<String>,
    /// Where tills reach the agent. Default: 127.0.0.1:7070.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where browsers reach the store's page. Default: 127.0.0.1:8181.
    #[arg(long, value_name = "ADDRESS:PORT")]
    page_listen: Option<String>,
    /// A host name of the page; may be given several times.
    #[arg(long = "page-host", value_name = "NAME")]
    page_hosts: Vec<String>,
    /// The page's certificate (PEM), for others than this machine.
    #[arg(long, value_name = "FILE")]
    page_certificate: Option<String>,
    /// The page's private key (PEM).
    #[arg(long, value_name = "FILE")]
    page_key: Option<String>,
    /// The page's first language: en, es or hi.
    #[arg(long)]
    language: Option<String>,
    /// The store's time zone, such as America/New_York.
    #[arg(long)]
    time_zone: Option<String>,
    /// A file with [[pos]] tables: the POS systems that are read.
    #[arg(long, value_name = "FILE")]
    pos_file: Option<PathBuf>,
    /// A POS that is known, instead of a file: opensourcepos, nexopos, unicenta, erpnext or odoo.
    #[arg(long, value_name = "NAME", conflicts_with = "pos_file")]
    preset: Option<String>,
    /// A key of the preset's [[pos]], such as location=2 or address=db.shop:3306; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pos: Vec<String>,
    /// A file with the password of the POS's database; it is copied to where the configuration names it.
    #[arg(long, value_name = "FILE")]
    pos_password_file: Option<PathBuf>,
    /// The agent's program. Default: the one that is installed; at first a package's, or `store-agent` beside storectl.
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Works without a hub for now; `storectl enroll` adds it later.
    #[arg(long)]
    #[serde(rename = "without_hub")]
    without_hub: bool,
    /// Whoever works without a hub does not stay so.
    #[arg(skip)]
    #[serde(skip)]
    must_enrol: bool,
}

impl Answers {
    /// The answers of a file. Relative paths in it are relative to it.
    pub fn read(path: &Path) -> Result<Answers, Fault> {
        let text = files::read(path)?
            .ok_or_else(|| Fault::new(Code::E103, format!("there is no `{}`", path.display())))?;
        let mut answers: Answers = toml::from_str(&text)
            .map_err(|error| Fault::caused(Code::E103, format!("`{}`", path.display()), error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let files = [
            &mut answers.token_file,
            &mut answers.pos_file,
            &mut answers.pos_password_file,
            &mut answers.agent,
        ];
        for file in files {
            *file = file.take().map(|file| folder.join(file));
        }
        Ok(answers)
    }

    /// These, and where they say nothing those.
    #[must_use]
    pub fn or(self, other: Answers) -> Answers {
        // Whoever names a POS in one way does not want the other; nor, with a file, what was to change in a preset.
        let is_named = self.pos_file.is_some() || self.preset.is_some();
        let pos = if self.pos_file.is_some() || !self.pos.is_empty() { self.pos } else { other.pos };
        let (pos_file, preset) =
            if is_named { (self.pos_file, self.preset) } else { (other.pos_file, other.preset) };
        Answers {
            store: self.store.or(other.store),
            hub: self.hub.or(other.hub),
            mqtt: self.mqtt.or(other.mqtt),
            server_name: self.server_name.or(other.server_name),
            transport: self.transport.or(other.transport),
            proxy: self.proxy.or(other.proxy),
            token_file: self.token_file.or(other.token_file),
            ca_pin: self.ca_pin.or(other.ca_pin),
            listen: self.listen.or(other.listen),
            page_listen: self.page_listen.or(other.page_listen),
            page_hosts: if self.page_hosts.is_empty() { other.page_hosts } else { self.page_hosts },
            page_certificate: self.page_certificate.or(other.page_certificate),
            page_key: self.page_key.or(other.page_key),
            language: self.language.or(other.language),
            time_zone: self.time_zone.or(other.time_zone),
            pos_file,
            preset,
            pos,
            pos_password_file: self.pos_password_file.or(other.pos_password_file),
            agent: self.agent.or(other.agent),
            without_hub: self.without_hub || other.without_hub,
            must_enrol: self.must_enrol || other.must_enrol,
        }
    }

    /// These answers for a store that is to be enrolled now, whatever it was before.
    #[must_use]
    pub fn enrolling(self) -> Answers {
        Answers { must_enrol: true, ..self }
    }

    /// What these answers want of a store where `there` is configured and, if `enrolled`, a certificate is in force. Asks for what is
    /// missing, if somebody sits there.
    pub fn wanted(self, there: Option<&Settings>, enrolled: bool, ask: bool) -> Result<Wanted, Fault> {
        let store = self.store(there, ask)?;
        let with_hub = self.with_hub(there);
        let token = if with_hub { self.token(&store, enrolled, ask)? } else { None };
        let hub = match (parsed::<Address>("--hub", self.hub)?, &token, there.and_then(Settings::hub)) {
            (Some(hub), ..) => Some(hub),
            (None, _, Some(_)) => None,
            (None, Some(token), None) => token.addresses.first().and_then(|at| with_port(at, HUB_PORT)),
            (None, None, None) if with_hub => {
                return Err(Fault::new(Code::E101, "the hub's address (--hub) is not known"));
            }
            (None, None, None) => None,
        };
        let proxy = match self.proxy {
            None => None,
            Some(text) => Some(proxy_address(&text).ok_or_else(|| {
                Fault::new(Code::E102, "the proxy must be `http://host:port`, without a user name")
            })?),
        };
        let pos = match (&self.preset, &self.pos_file) {
            (Some(_), Some(_)) => {
                return Err(Fault::new(Code::E103, "`preset` and `pos_file` don't go together"));
            }
            (Some(preset), None) => Some(presets::made(preset, &self.pos, self.time_zone.as_deref())?),
            (None, _) if !self.pos.is_empty() => {
                return Err(Fault::new(
                    Code::E102,
                    "`--pos` changes keys of a preset, and none is named (--preset)",
                ));
            }
            (None, Some(file)) => Some(needed(&of_store(file, &store))?),
            (None, None) => None,
        };
        let pos_password = self.pos_password_file.map(|file| needed(&of_store(&file, &store))).transpose()?;
        Ok(Wanted {
            with_hub,
            hub,
            mqtt: parsed("--mqtt", self.mqtt)?,
            server_name: self.server_name,
            transport: self.transport,
            proxy,
            token,
            listen: parsed("--listen", self.listen)?,
            page: WantedPage {
                listen: parsed("--page-listen", self.page_listen)?,
                hosts: self.page_hosts,
                certificate: self.page_certificate,
                key: self.page_key,
                language: self.language,
                time_zone: self.time_zone,
            },
            pos,
            pos_password,
            agent: self.agent,
            store,
        })
    }

    /// A store that works without a hub goes on so until it is given a token.
    fn with_hub(&self, there: Option<&Settings>) -> bool {
        let alone = there.is_some_and(|there| there.hub().is_none());
        let offered = self.token_file.is_some() || console::token_in_environment().is_some();
        !self.without_hub && (!alone || offered || self.must_enrol)
    }

    fn store(&self, there: Option<&Settings>, ask: bool) -> Result<StoreId, Fault> {
        let known = there.and_then(Settings::store);
        let text = match (&self.store, &known) {
            (Some(text), _) => text.clone(),
            (None, Some(known)) => return Ok(known.clone()),
            (None, None) if ask => console::ask("Which store is this (such as S0042)")?.unwrap_or_default(),
            (None, None) => return Err(Fault::new(Code::E101, "the store (--store) is not known")),
        };
        let store: StoreId =
            text.parse().map_err(|error| Fault::caused(Code::E102, "the store's id is none", error))?;
        match known.filter(|known| *known != store) {
            None => Ok(store),
            Some(known) => {
                let says =
                    format!("this machine is store {known}, and was asked to be {store}; uninstall it first");
                Err(Fault::new(Code::E102, says))
            }
        }
    }

    /// The token, if one is given or needed.
    fn token(&self, store: &StoreId, enrolled: bool, ask: bool) -> Result<Option<Token>, Fault> {
        let text = match &self.token_file {
            Some(file) if file == Path::new("-") => Some(console::line()?),
            // A file with tokens may be gone once they are used.
            Some(file) if enrolled => files::read(&of_store(file, store))?,
            Some(file) => Some(needed(&of_store(file, store))?),
            None => console::token_in_environment(),
        };
        let text = match text {
            None if !enrolled && ask => console::ask("The enrolment token, one line")?,
            text => text,
        };
        let Some(text) = text else {
            return if enrolled { Ok(None) } else { Err(Fault::new(Code::E104, format!("store {store}"))) };
        };
        let token: Token =
            text.parse().map_err(|error| Fault::caused(Code::E105, "the token can't be read", error))?;
        if let Some(other) = token.store.as_ref().filter(|named| *named != store) {
            return Err(Fault::new(Code::E106, format!("the token is for {other}, and this is {store}")));
        }
        match &self.ca_pin {
            Some(pin) if !pin.replace(':', "").eq_ignore_ascii_case(&token.pin.to_string()) => {
                Err(Fault::new(Code::E107, format!("the token's authority is {}", token.pin)))
            }
            _ => Ok(Some(token)),
        }
    }
}

fn of_store(path: &Path, store: &StoreId) -> PathBuf {
    PathBuf::from(path.to_string_lossy().replace(STORE_IN_PATHS, store.as_str()))
}

fn needed(path: &Path) -> Result<String, Fault> {
    files::read(path)?.ok_or_else(|| Fault::new(Code::E101, format!("there is no `{}`", path.display())))
}

fn parsed<T: std::str::FromStr>(flag: &str, text: Option<String>) -> Result<Option<T>, Fault>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let Some(text) = text else { return Ok(None) };
    let read = text.parse().map(Some);
    read.map_err(|error| Fault::caused(Code::E102, format!("{flag}: `{}`", text.escape_debug()), error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_protocol::UnixMillis;
    use sync_protocol::enrolment::{Pin, Secret};

    fn token(store: Option<&str>) -> String {
        let store = store.map(|store| store.parse().unwrap());
        let addresses = vec!["hub.example:7445".parse().unwrap()];
        Token { addresses, pin: Pin([7; 32]), store, secret: Secret([5; 32]), expires: UnixMillis(0) }
            .reveal()
    }

    fn given(folder: &Path, text: &str) -> Answers {
        let file = folder.join("answers.toml");
        std::fs::write(&file, text).unwrap();
        Answers::read(&file).unwrap()
    }

    fn code(answers: Answers) -> Code {
        answers.wanted(None, false, false).unwrap_err().code
    }

    #[test]
    fn one_answers_file_does_for_many_stores() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("S0042.token"), token(Some("S0042"))).unwrap();
        let file = given(folder.path(), "token_file = \"{store}.token\"\nproxy = \"http://proxy:3128\"\n");
        let flags = Answers { store: Some("S0042".to_owned()), ..Answers::default() };
        let wanted = flags.or(file).wanted(None, false, false).unwrap();
        assert_eq!(wanted.hub.unwrap().to_string(), "hub.example:7443");
        assert_eq!(wanted.proxy.unwrap().to_string(), "proxy:3128");
    }

    #[test]
    fn a_pos_that_is_named_by_a_flag_takes_the_place_of_the_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pos.toml"), "[[pos]]\n").unwrap();
        let preset = "without_hub = true\nstore = \"S0042\"\npreset = \"unicenta\"\npos = [\"location=3\"]\n";
        let pos = |flags: Answers, file: &str| {
            flags.or(given(folder.path(), file)).wanted(None, false, false).unwrap().pos.unwrap()
        };
        let by_file = Answers { pos_file: Some(folder.path().join("pos.toml")), ..Answers::default() };
        assert_eq!(pos(by_file, preset), "[[pos]]\n");
        assert!(pos(Answers::default(), preset).contains("location = \"3\""));
        let by_key = Answers { pos: vec!["location=4".to_owned()], ..Answers::default() };
        assert!(pos(by_key, preset).contains("location = \"4\""));
        let by_preset = Answers { preset: Some("odoo".to_owned()), ..Answers::default() };
        let file = "without_hub = true\nstore = \"S0042\"\npos_file = \"pos.toml\"\n";
        assert!(pos(by_preset, file).contains("stock_quant"));
    }

    #[test]
    fn what_is_missing_or_wrong_has_a_code_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("good", &token(Some("S0042")));
        write("other", &token(Some("S0043")));
        write("broken", &token(None)[..30]);
        let of = |text: &str| given(folder.path(), text);
        assert_eq!(code(Answers::default()), Code::E101);
        assert_eq!(code(of("store = \"S 1\"")), Code::E102);
        assert_eq!(code(of("store = \"S0042\"\ntoken_file = \"none\"")), Code::E101);
        assert_eq!(code(of("store = \"S0042\"\ntoken_file = \"broken\"")), Code::E105);
        assert_eq!(code(of("store = \"S0042\"\ntoken_file = \"other\"")), Code::E106);
        assert_eq!(code(of("store = \"S0042\"\ntoken_file = \"good\"\nca_pin = \"00\"")), Code::E107);
        assert_eq!(
            code(of("store = \"S0042\"\ntoken_file = \"good\"\nproxy = \"http://me:pw@x:1\"")),
            Code::E102
        );
        let pin = format!("store = \"S0042\"\ntoken_file = \"good\"\nca_pin = \"{}\"", "07".repeat(32));
        assert!(of(&pin).wanted(None, false, false).is_ok());
    }

    #[test]
    fn a_mistyped_answer_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("answers.toml");
        std::fs::write(&file, "stroe = \"S0042\"\n").unwrap();
        let fault = Answers::read(&file).unwrap_err();
        assert!(fault.code == Code::E103 && fault.to_string().contains("stroe"), "{fault}");
    }

    #[test]
    fn a_token_is_in_no_debug_text() {
        let wanted = Wanted { token: token(None).parse().ok(), ..Wanted::of("S1".parse().unwrap()) };
        assert!(wanted.token.is_some() && !format!("{wanted:?}").contains("BQUF"));
    }
}
