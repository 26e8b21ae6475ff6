//! `uninstall`: takes the agent away and keeps the store's data, configuration and keys; `--purge` removes those too.
//!
//! Purging is refused while the hub lacks something of this store, as the stopped agent's own database says it.

use super::{Report, Site, told};
use crate::books::Books;
use crate::console;
use crate::fault::{Code, Exit, Fault};
use crate::files;
use crate::plan::{Plan, Points, Step, Undo};
use crate::service::{ENABLED, Manager, UNITS};
use serde_json::json;
use std::path::PathBuf;
use std::rc::Rc;

/// How much is to go.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Data, configuration and keys too.
    pub purge: bool,
    pub yes: bool,
    /// Also what the hub does not have.
    pub even_unsent: bool,
}

pub fn run(site: &Site, asked: Asked) -> Result<Report, Fault> {
    if asked.purge && !asked.yes && !site.dry_run {
        return Err(Fault::new(Code::E510, "data, configuration and keys would go"));
    }
    let plan = removal(site, asked);
    if site.dry_run {
        return Ok(Report::preview(&plan.preview()?));
    }
    let alone = site.alone()?;
    plan.run(&site.points, |outcome| console::say(&told(outcome)))?;
    drop(alone);
    let mut text = "the agent is uninstalled".to_owned();
    if asked.purge {
        files::remove_folder(&site.layout.state_folder())?;
        text.push_str(", and everything of the store is gone");
    } else {
        let kept =
            [site.layout.config_folder(), site.layout.state_folder()].map(|path| path.display().to_string());
        text.push_str(&format!("; kept: {}", kept.join(" and ")));
    }
    Ok(Report { exit: Exit::Done, text, json: json!({ "uninstalled": true, "purged": asked.purge }) })
}

fn removal(site: &Site, asked: Asked) -> Plan {
    let site = Rc::new(site.clone());
    let layout = &site.layout;
    let mut plan = Plan::default();
    plan.add(Stopped(Rc::clone(&site)));
    if asked.purge && !asked.even_unsent {
        plan.add(NothingUnsent(Rc::clone(&site)));
    }
    plan.add(Gone { name: "units", paths: units(&site), site: Rc::clone(&site) });
    plan.add(Forgotten(Rc::clone(&site)));
    let programs = vec![layout.own_programs()];
    plan.add(Gone { name: "program", paths: programs, site: Rc::clone(&site) });
    if asked.purge {
        let paths = vec![layout.config_folder(), layout.data(), layout.identity()];
        plan.add(Gone { name: "data", paths, site });
    }
    plan
}

fn units(site: &Site) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = UNITS.map(|unit| site.layout.unit(unit)).into();
    paths.push(site.layout.unit_addition());
    paths
}

/// Nothing of ours runs, or will by itself.
struct Stopped(Rc<Site>);

impl Stopped {
    fn units(&self) -> Vec<&'static str> {
        let layout = &self.0.layout;
        let packaged = layout.packaged_program().exists();
        ENABLED.into_iter().filter(|unit| packaged || layout.unit(unit).exists()).collect()
    }
}

impl Step for Stopped {
    fn name(&self) -> &'static str {
        "service"
    }

    fn differences(&self) -> Result<Vec<String>, Fault> {
        let Site { layout, manager, .. } = &*self.0;
        if *manager == Manager::None {
            return match self.0.agent_runs()? {
                true => Err(Fault::new(Code::E505, "storectl did not start it, and does not stop it")),
                false => Ok(Vec::new()),
            };
        }
        let enabled_not = manager.not_enabled(layout)?;
        let mut differences = Vec::new();
        for unit in self.units() {
            if !enabled_not.contains(&unit) || manager.is_active(layout, unit)? {
                differences.push(format!("{unit}: is stopped, and no longer starts with the machine"));
            }
        }
        Ok(differences)
    }

    fn apply(&self, _: &Points) -> Result<Undo, Fault> {
        let units = self.units();
        for unit in &units {
            self.0.manager.stop(&self.0.layout, unit)?;
            self.0.manager.disable(&self.0.layout, unit)?;
        }
        let site = Rc::clone(&self.0);
        Ok(Undo::by(move || {
            for unit in units {
                site.manager.enable(&site.layout, unit)?;
                site.manager.restart(&site.layout, unit)?;
            }
            Ok(())
        }))
    }
}

/// The hub has all that this store has.
struct NothingUnsent(Rc<Site>);

impl Step for NothingUnsent {
    fn name(&self) -> &'static str {
        "unsent"
    }

    fn differences(&self) -> Result<Vec<String>, Fault> {
        let layout = &self.0.layout;
        // A preview looks while the agent still runs; what counts is the look after it has been stopped.
        if !layout.database().exists() || self.0.agent_runs()? {
            return Ok(Vec::new());
        }
        let backlog = self.0.program()?.backlog(&layout.config())?;
        match backlog.is_empty() {
            true => Ok(Vec::new()),
            false => {
                let says = format!(
                    "{} records and {} movements have not reached the hub",
                    backlog.records, backlog.movements
                );
                Err(Fault::new(Code::E508, says))
            }
        }
    }

    fn apply(&self, _: &Points) -> Result<Undo, Fault> {
        Ok(Undo::Kept("it only looks"))
    }
}

/// No upgrade is under way between programs that are gone, and nothing leads back to them. How far releases have come stays known.
struct Forgotten(Rc<Site>);

impl Step for Forgotten {
    fn name(&self) -> &'static str {
        "upgrades"
    }

    fn differences(&self) -> Result<Vec<String>, Fault> {
        let books = Books::read(&self.0.layout)?;
        let is_known = books.under_way.is_some() || books.previous.is_some();
        Ok(if is_known {
            vec!["the way back to the version before is forgotten".to_owned()]
        } else {
            Vec::new()
        })
    }

    fn apply(&self, _: &Points) -> Result<Undo, Fault> {
        let mut books = Books::read(&self.0.layout)?;
        (books.under_way, books.previous) = (None, None);
        books.write(&self.0.layout)?;
        Ok(Undo::Kept("the programs it leads to are going"))
    }
}

/// Files and folders that are no longer there.
struct Gone {
    name: &'static str,
    paths: Vec<PathBuf>,
    site: Rc<Site>,
}

impl Step for Gone {
    fn name(&self) -> &'static str {
        self.name
    }

    fn differences(&self) -> Result<Vec<String>, Fault> {
        Ok(self
            .paths
            .iter()
            .filter(|path| path.exists())
            .map(|path| format!("{}: is removed", path.display()))
            .collect())
    }

    fn apply(&self, _: &Points) -> Result<Undo, Fault> {
        for path in &self.paths {
            if path.is_dir() { files::remove_folder(path)? } else { files::remove(path)? }
        }
        if self.name == "units" {
            self.site.manager.reload(&self.site.layout)?;
        }
        Ok(Undo::Kept("run `storectl install` to have it back"))
    }
}
