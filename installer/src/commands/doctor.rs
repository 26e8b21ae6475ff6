//! `doctor`: looks at everything a store needs and says in plain words what is wrong and what to do. Changes nothing.

use super::status::agent;
use super::{Report, Site, upgrade};
use crate::answers::Answers;
use crate::books::Books;
use crate::checks::agent::{
    judge_backlog, judge_certificate, judge_database, judge_health, judge_version, look_at_database,
};
use crate::checks::machine::{
    Origin, Port, Room, judge_access, judge_memory, judge_writes, memory_available, time_writes,
};
use crate::checks::way::{Goal, Way};
use crate::checks::{Finding, Verdict};
use crate::clock;
use crate::fault::{Code, Exit, Fault};
use crate::files;
use crate::settings::Settings;
use crate::wanted::with_port;
use serde_json::json;
use std::path::Path;

const LISTEN: &str = "127.0.0.1:7070";
const PAGE_LISTEN: &str = "127.0.0.1:8181";

pub fn run(site: &Site, answers: Answers, pre_install: bool) -> Result<Report, Fault> {
    let mut findings = machine(site)?;
    let goal = goal(site, answers)?;
    findings.extend(Way::look(&goal).judge());
    if !pre_install {
        findings.extend(installed(site)?);
    }
    let bad = findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count();
    let mut lines: Vec<String> = findings.iter().map(Finding::line).collect();
    lines.push(match bad {
        0 => "nothing is wrong".to_owned(),
        1 => "1 thing is wrong".to_owned(),
        bad => format!("{bad} things are wrong"),
    });
    let exit = if bad == 0 { Exit::Done } else { Exit::NotWell };
    Ok(Report { exit, text: lines.join("\n"), json: json!({ "well": bad == 0, "findings": findings }) })
}

fn machine(site: &Site) -> Result<Vec<Finding>, Fault> {
    let layout = &site.layout;
    let mut findings = Vec::new();
    match Room::look(layout) {
        Some(room) => {
            findings.push(room.judge());
            findings.push(match time_writes(&room.folder) {
                Ok(taken) => judge_writes(taken),
                Err(fault) => Finding::unknown("disk speed", fault.story()),
            });
        }
        None => findings.push(Finding::unknown("disk space", "the system does not say")),
    }
    let memory = files::read(Path::new("/proc/meminfo"))?.and_then(|text| memory_available(&text));
    findings.push(judge_memory(memory));
    let there = Settings::read(layout)?;
    let runs = site.agent_runs()?;
    let tills = there.as_ref().map_or_else(|| LISTEN.parse().ok(), Settings::listen);
    let page = there.as_ref().map_or_else(|| PAGE_LISTEN.parse().ok(), Settings::page_listen);
    findings.extend(tills.map(|address| Port::look("tills' port", address, runs).judge()));
    findings.extend(page.map(|address| Port::look("page's port", address, runs).judge()));
    Ok(findings)
}

/// Where the hub is: as installed, else as answered.
fn goal(site: &Site, answers: Answers) -> Result<Goal, Fault> {
    let known = site.identity()?.enrolment()?;
    let there = Settings::read(&site.layout)?;
    if let (Some(known), Some(there)) = (&known, &there) {
        return Ok(Goal {
            quic: there.hub(),
            mqtt: there.mqtt(),
            enrolment: known.addresses.first().cloned(),
            server_name: there.server_name(),
            proxy: there.proxy(),
            pin: Some(known.pin),
            authority: site.identity()?.authority()?,
        });
    }
    // Without answers there is no way to look at yet.
    let Ok(wanted) = answers.wanted(there.as_ref(), false, false) else { return Ok(Goal::default()) };
    let mqtt = wanted.mqtt.or_else(|| wanted.hub.as_ref().and_then(|hub| with_port(hub, 8883)));
    Ok(Goal {
        mqtt,
        quic: wanted.hub,
        enrolment: wanted.token.as_ref().and_then(|token| token.addresses.first().cloned()),
        server_name: wanted.server_name,
        proxy: wanted.proxy,
        pin: wanted.token.map(|token| token.pin),
        authority: None,
    })
}

/// An upgrade that was taken back is told until the next one.
fn judge_upgrade(books: &Books) -> Option<Finding> {
    if let Some(fault) = upgrade::state(books) {
        return Some(Finding::bad("upgrade", fault.code, fault.story()));
    }
    let last = books.last.as_ref()?;
    let why = last.why.as_deref().unwrap_or_default();
    Some(match last.at == last.to {
        true => Finding::good("upgrade", format!("to `{}` at {}", last.to, last.when)),
        false => Finding::note(
            "upgrade",
            Code::E809,
            format!("to `{}` was taken back at {}: {why}", last.to, last.when),
        ),
    })
}

fn installed(site: &Site) -> Result<Vec<Finding>, Fault> {
    let layout = &site.layout;
    let mut findings = vec![judge_access(layout)?, Origin::look(layout)?.judge()];
    let identity = site.identity()?;
    let held = identity.held()?;
    let renew_after = match &held {
        Some(held) => held.renew_after(identity.enrolment()?.as_ref()),
        None => clock::now(),
    };
    findings.push(judge_certificate(held.as_ref(), renew_after, clock::now()));
    let seen = agent(site);
    let health = seen.as_ref().map(|(health, _)| health);
    findings.extend(judge_upgrade(&Books::read(layout)?));
    findings.push(judge_version(site.program()?.version().as_deref(), health.ok()));
    findings.push(judge_health(health));
    if let Ok((_, sync)) = &seen {
        findings.push(judge_backlog(sync));
    }
    findings.push(judge_database(look_at_database(&layout.database()).as_ref()));
    Ok(findings)
}
