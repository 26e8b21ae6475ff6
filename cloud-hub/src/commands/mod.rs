//! Commands of head office about who may be a store: tokens, machines that wait to be let in, and the identities that stores have.
//! All of them may be given beside a running hub, which takes notice within a second.

pub mod identity;
pub mod registration;
pub mod token;

use crate::Configured;
use cloud_hub::config::Config;
use cloud_hub::enrol::books::Books;
use sync_protocol::UnixMillis;

/// The configuration and the books of enrolment that it names.
fn books(configured: &Configured) -> anyhow::Result<(Config, Books)> {
    let config = configured.load()?;
    std::fs::create_dir_all(&config.data_dir)?;
    let books = Books::open(&config.enrolment_file())?;
    Ok((config, books))
}

fn time(at: UnixMillis) -> String {
    jiff::Timestamp::from_second(at.0 / 1000).map_or_else(|_| "?".to_owned(), |at| at.to_string())
}

/// What a machine says of itself may be anything printable; of something missing there is a dash.
fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
