//! `install` and `enroll`: make this machine the store that is wanted, and nothing more than is needed for that.

use super::status::{Patience, wait_healthy};
use super::steps::installation;
use super::{Report, Site, told, upgrade};
use crate::answers::Answers;
use crate::books::Books;
use crate::console;
use crate::fault::{Code, Exit, Fault};
use crate::service::Manager;
use crate::settings::Settings;
use serde_json::json;

/// What is asked of `install` and `enroll` beside the answers.
#[derive(Debug, Default, Clone, Copy)]
pub struct Asked {
    /// A new certificate, although there is one.
    pub anew: bool,
    /// Only where something is installed already.
    pub installed_only: bool,
}

pub fn run(site: &Site, answers: Answers, asked: Asked) -> Result<Report, Fault> {
    let there = Settings::read(&site.layout)?;
    if asked.installed_only && there.is_none() {
        return Err(Fault::new(Code::E509, format!("there is no `{}`", site.layout.config().display())));
    }
    let enrolled = !asked.anew && site.identity()?.held()?.is_some();
    let ask = !site.non_interactive && console::has_somebody();
    let wanted = answers.wanted(there.as_ref(), enrolled, ask)?;
    let plan = installation(site, &wanted, asked.anew);
    let _alone = if site.dry_run { None } else { Some(site.alone()?) };
    no_upgrade_waits(site)?;
    if site.dry_run {
        return Ok(Report::preview(&plan.preview()?));
    }
    let outcomes = plan.run(&site.points, |outcome| console::say(&told(outcome)))?;
    let changed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.changes.is_empty()).collect();
    let store = &wanted.store;
    let mut text = match changed.len() {
        0 => format!("store {store}: everything is as it should be, nothing was changed"),
        steps => format!("store {store}: installed ({steps} steps changed something)"),
    };
    let mut exit = Exit::Done;
    if site.manager.is_live(&site.layout) {
        let well = wait_healthy(site, Patience::FOR_A_START)?;
        text.push_str(&format!("\n{}", well.text));
        exit = well.exit;
    } else if site.manager == Manager::None {
        text.push_str(&format!("\nrun the agent with: {}", site.how_to_run()));
    } else {
        text.push_str("\nthe agent starts when this image does");
    }
    let json = json!({ "store": store, "changed": changed, "run": site.how_to_run() });
    Ok(Report { exit, text, json })
}

/// Whoever changed programs or configuration in the middle of an upgrade would have it judge something else than it began.
fn no_upgrade_waits(site: &Site) -> Result<(), Fault> {
    // A package's programs are upgraded by the package, and what storectl began with its own is of the past.
    if site.layout.packaged_program().exists() {
        return Ok(());
    }
    match upgrade::state(&Books::read(&site.layout)?) {
        None => Ok(()),
        Some(fault) => Err(Fault::new(
            Code::E810,
            format!("{}; run `storectl upgrade --resume` before anything is installed", fault.story()),
        )),
    }
}
