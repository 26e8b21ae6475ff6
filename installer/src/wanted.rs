//! What is wanted of a store: every answer checked, and what was not asked left as it is.

use std::net::SocketAddr;
use std::path::PathBuf;
use sync_protocol::StoreId;
use sync_protocol::enrolment::{Address, Token};

/// All that is wanted of this store, checked.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub store: StoreId,
    pub with_hub: bool,
    /// `None`: as it is.
    pub hub: Option<Address>,
    pub mqtt: Option<Address>,
    pub server_name: Option<String>,
    pub transport: Option<String>,
    pub proxy: Option<Address>,
    pub token: Option<Token>,
    pub listen: Option<SocketAddr>,
    pub page: WantedPage,
    /// `[[pos]]` tables, as text.
    pub pos: Option<String>,
    /// What the POS's database asks for.
    pub pos_password: Option<String>,
    pub agent: Option<PathBuf>,
}

/// What is wanted of the store's page.
#[derive(Debug, Clone, Default)]
pub struct WantedPage {
    pub listen: Option<SocketAddr>,
    pub hosts: Vec<String>,
    pub certificate: Option<String>,
    pub key: Option<String>,
    pub language: Option<String>,
    pub time_zone: Option<String>,
}

#[cfg(test)]
impl Wanted {
    /// Everything else as it is.
    #[must_use]
    pub fn of(store: StoreId) -> Wanted {
        Wanted {
            store,
            with_hub: false,
            hub: None,
            mqtt: None,
            server_name: None,
            transport: None,
            proxy: None,
            token: None,
            listen: None,
            page: WantedPage::default(),
            pos: None,
            pos_password: None,
            agent: None,
        }
    }
}

/// `http://host:port`, as the agent's configuration has it.
#[must_use]
pub fn proxy_address(text: &str) -> Option<Address> {
    let rest = text.strip_prefix("http://")?;
    rest.strip_suffix('/').unwrap_or(rest).parse().ok()
}

/// The same host at another port.
#[must_use]
pub fn with_port(at: &Address, port: u16) -> Option<Address> {
    match at.host().contains(':') {
        true => format!("[{}]:{port}", at.host()),
        false => format!("{}:{port}", at.host()),
    }
    .parse()
    .ok()
}
