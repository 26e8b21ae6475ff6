//! Commands of head office about who may be a store: tokens, machines that wait to be let in, and the identities that stores have; and
//! about which release stores have.
//! All of them may be given beside a running hub, which takes notice within a second.

pub mod identity;
pub mod registration;
pub mod rollout;
pub mod token;

use crate::Configured;
use cloud_hub::config::Config;
use cloud_hub::enrol::books::Books;
use cloud_hub::enrol::rollout::Seen;
use sync_protocol::UnixMillis;
use sync_protocol::releases::Keeper;

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

/// What a store has said of its programs.
fn programs(seen: Option<&Seen>) -> String {
    let Some(seen) = seen else { return "has never asked for a release".to_owned() };
    let by = match seen.keeper {
        Keeper::Package => "by a package".to_owned(),
        Keeper::Storectl => format!("number {}", seen.sequence),
    };
    let well = if seen.is_well { "" } else { ", not well" };
    let outcome = seen.outcome.as_ref().filter(|outcome| !outcome.code.as_str().is_empty());
    let outcome = outcome.map_or(String::new(), |outcome| {
        format!("; of number {}: {} {}", outcome.sequence, outcome.code.as_str(), outcome.says.as_str())
    });
    let (since, asked) = (time(seen.since), time(seen.asked_at));
    format!("agent {} ({by}) since {since}{well}, asked {asked}{outcome}", or_dash(&seen.agent))
}

/// What a machine says of itself may be anything printable; of something missing there is a dash.
fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
