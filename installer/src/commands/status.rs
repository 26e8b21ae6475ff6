//! `status`: how the agent is, by its own words; `--wait-healthy` waits for it.
//!
//! A line that is down is not ill health: the store sells without it.

use super::upgrade::{self, following};
use super::{Report, Site};
use crate::books::Books;
use crate::clock::{Stopwatch, rfc3339};
use crate::fault::{Code, Exit, Fault};
use crate::talk::{local, wait_for};
use serde_json::{Value, json};
use std::time::Duration;
use sync_protocol::releases::End;

/// How long a state is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience(pub Duration);

impl Patience {
    pub const FOR_A_START: Patience = Patience(Duration::from_secs(30));
    const PAUSE: Duration = Duration::from_millis(200);
}

pub fn run(site: &Site, wait: Option<Patience>) -> Result<Report, Fault> {
    match wait {
        Some(patience) => wait_healthy(site, patience),
        None => look(site),
    }
}

/// Asks until the agent is healthy, or patience ends.
pub fn wait_healthy(site: &Site, patience: Patience) -> Result<Report, Fault> {
    let watch = Stopwatch::started();
    loop {
        let seen = look(site)?;
        if seen.exit == Exit::Done || watch.elapsed() >= patience.0 {
            return Ok(seen);
        }
        std::thread::sleep(Patience::PAUSE);
    }
}

/// One look.
pub fn look(site: &Site) -> Result<Report, Fault> {
    if !site.layout.config().exists() {
        return Err(Fault::new(Code::E509, format!("there is no `{}`", site.layout.config().display())));
    }
    let books = Books::read(&site.layout)?;
    let unfinished = upgrade::state(&books);
    let certificate = site.identity()?.held()?.map(|held| rfc3339(held.until));
    let (health, sync) = match agent(site) {
        Ok(seen) => seen,
        Err(fault) => {
            let json = json!({ "healthy": false, "why": fault.story(), "certificate_until": certificate, "upgrade": in_json(&books) });
            let text = [Some(&fault), unfinished.as_ref()].into_iter().flatten().map(Fault::to_string);
            return Ok(Report { exit: Exit::NotWell, text: text.collect::<Vec<_>>().join("\n"), json });
        }
    };
    let well = health["status"] == "ok";
    let mut lines = vec![format!(
        "store {}, agent {}: {}",
        word(&health["store"]),
        word(&health["version"]),
        if well { "healthy".to_owned() } else { format!("not healthy: {}", word(&health["reason"])) }
    )];
    let by = sync["transport"].as_str().map(|transport| format!(" by {transport}")).unwrap_or_default();
    lines.push(format!(
        "link {}{by}; {} records and {} movements wait to be confirmed",
        word(&sync["link"]),
        sync["backlog"]["records"],
        sync["backlog"]["movements"]
    ));
    if let Some(until) = &certificate {
        lines.push(format!("certificate good until {until}"));
    }
    lines.extend(wished(site, &books)?);
    lines.extend(unfinished.as_ref().map(Fault::to_string));
    let exit = if well && unfinished.is_none() { Exit::Done } else { Exit::NotWell };
    let upgrade = in_json(&books);
    let json = json!({ "healthy": well, "health": health, "sync": sync, "certificate_until": certificate, "upgrade": upgrade });
    Ok(Report { exit, text: lines.join("\n"), json })
}

/// A release that head office wishes and this store does not have.
fn wished(site: &Site, books: &Books) -> Result<Option<String>, Fault> {
    let outcome = following::outcome(books, following::in_force(site, books)?);
    Ok(outcome.filter(|outcome| outcome.end != End::Done).map(|outcome| {
        let how = if outcome.end == End::Waits { "waits" } else { "failed" };
        let code = if outcome.code.as_str().is_empty() { "" } else { ": " };
        let (sequence, name, says) = (outcome.sequence, outcome.code.as_str(), outcome.says.as_str());
        format!("head office wishes release {sequence}, which {how}: {name}{code}{says}")
    }))
}

/// How the last upgrade ended, and how far the one is that has not.
fn in_json(books: &Books) -> Value {
    json!({ "under_way": books.under_way, "last": books.last, "previous": books.previous, "wished": books.attempt })
}

/// Health and link, as the agent says them.
pub fn agent(site: &Site) -> Result<(Value, Value), Fault> {
    let Some(address) = local::address(&site.layout)? else {
        return Err(Fault::new(Code::E504, "the agent has never been started here"));
    };
    let token = local::any_token(&site.layout)?;
    wait_for(async {
        let (_, health) = local::ask(address, None, "/healthz").await?;
        let (_, sync) = local::ask(address, token.as_deref(), "/v1/sync").await?;
        Ok((health, sync))
    })
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}
