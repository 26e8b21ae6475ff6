//! The steps of an installation, in the order in which they depend on each other.

use super::Site;
use crate::console;
use crate::enrolling::{self, fingerprint};
use crate::fault::{Code, Fault};
use crate::files::{self, Access, Before};
use crate::plan::{Plan, Points, Step, Undo};
use crate::program::{Program, words};
use crate::service::{AGENT_UNIT, Manager, TIMERS, USER, Unit};
use crate::settings::Settings;
use crate::slots::{INSTALLED, Slots, copy_program};
use crate::wanted::Wanted;
use std::cell::Cell;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

/// Everything that makes a machine the store that is wanted.
pub fn installation(site: &Site, wanted: &Wanted, anew: bool) -> Plan {
    let (site, wanted) = (Rc::new(site.clone()), Rc::new(wanted.clone()));
    let mut plan = Plan::default();
    plan.add(User(Rc::clone(&site)));
    plan.add(Folders(Rc::clone(&site)));
    plan.add(ProgramFile { site: Rc::clone(&site), given: wanted.agent.clone() });
    plan.add(Tokens(Rc::clone(&site)));
    if wanted.pos_password.is_some() {
        plan.add(PosPassword { site: Rc::clone(&site), wanted: Rc::clone(&wanted) });
    }
    if wanted.with_hub {
        plan.add(Keys { site: Rc::clone(&site), anew });
        let due = Cell::new(anew);
        plan.add(Certificate { site: Rc::clone(&site), wanted: Rc::clone(&wanted), due: Rc::new(due) });
    }
    plan.add(Config { site: Rc::clone(&site), wanted });
    plan.add(Machine(Rc::clone(&site)));
    plan.add(Units(Rc::clone(&site)));
    plan.add(Service(site));
    plan
}

/// The user whom the agent runs as.
struct User(Rc<Site>);

impl Step for User {
    fn name(&self) -> &'static str {
        "user"
    }

    fn differences(&self) -> Result<Vec<String>, Fault> {
        let missing = self.0.has_user() && self.0.owner()?.is_none();
        Ok(if missing { vec![format!("system user `{USER}`: is made")] } else { Vec::new() })
    }

    fn apply(&self, _: &Points) -> Result<Undo, Fault> {
        let home = self.0.layout.state_folder();
        let output = Command::new("useradd")
            .args([
                "--system",
                "--user-group",
                "--no-create-home",
                "--shell",
                "/usr/sbin/nologin",
                "--home-dir",
            ])
            .arg(home)
            .arg(USER)
            .output()
            .map_err(|error| Fault::caused(Code::E201, "cannot run `useradd`", error))?;
        match output.status.success() {
            true => Ok(Undo::Kept("a user without files does no harm")),
            false => Err(Fault::new(Code::E201, format!("`useradd`: {}", words(&output)))),
        }
    }
}

/// Folders, and the owners and modes of what is in them.
struct Folders(Rc<Site>);

impl Folders {
    fn wanted(&self) -> Result<Vec<(PathBuf, Access)>, Fault> {
        let (layout, owner) = (&self.0.layout, self.0.owner()?);
        // Root writes what the agent only reads.
        let readable = owner.map(|owner| files::Owner { user: 0, ..owner });
        let private = Access { mode: 0o700, owner };
        Ok(vec![
            (layout.config_folder(), Access { mode: 0o750, owner: readable }),
            (layout.state_folder(), Access { mode: 0o755, owner: None }),
            (layout.data(), private),
            (layout.identity(), private),
            (layout.installer_folder(), Access::folder(owner)),
        ])
    }

    /// Files that are there, with the access they should have.
    fn files(&self) -> Result<Vec<(PathBuf, Access)>, Fault> {
        let (layout, owner) = (&self.0.layout, self.0.owner()?);
        let mut wanted: Vec<(PathBuf, Access)> =
            [layout.certificate(), layout.bound_key(), layout.next_key()]
                .map(|path| (path, Access::secret(owner)))
                .into();
        wanted.extend([layout.tokens(), layout.config()].map(|path| (path, Access::readable(owner))));
        wanted
            .extend([layout.database(), layout.people_database()].map(|path| (path, Access::secret(owner))));
        // The renewals of the agent's user lock it too.
        wanted.push((layout.lock(), Access { mode: 0o640, owner }));
        wanted.retain(|(path, _)| path.exists());
        Ok(wanted)
    }
}

impl Step for Folders {
    fn name(&self) -> &'static str {
        "folders"
    }

    fn differences(&self) -> Result<Vec<String>, Fault> {
        let mut differences = Vec::new();
        for (folder, access) in self.wanted()? {
            match folder.exists() {
                true => differences.extend(access.differences(&folder)?),
                false => differences.push(format!("folder {}: is made", folder.display())),
            }
        }
        for (file, access) in self.files()? {
            differences.extend(access.differences(&file)?);
        }
        Ok(differences)
    }

    fn apply(&self, _: &Points) -> Result<Undo, Fault> {
        for (folder, access) in self.wanted()? {
            files::make_folder(&folder, access)?;
        }
        for (file, access) in self.files()? {
            access.mend(&file)?;
        }
        Ok(Undo::Kept("empty folders do no harm"))
    }
}

/// The agent's program, where no package has brought it, and storectl itself for the renewals: in the release `installed`, which is used
/// until an upgrade brings another.
struct ProgramFile {
    site: Rc<Site>,
    given: Option<PathBuf>,
}

impl ProgramFile {
    /// What is to be copied where.
    fn copies(&self) -> Result<Vec<(PathBuf, PathBuf)>, Fault> {
        let layout = &self.site.layout;
        if layout.packaged_program().exists() {
            return Ok(Vec::new());
        }
        let slots = Slots(layout);
        let own = std::env::current_exe()
            .map_err(|error| Fault::caused(Code::E501, "cannot tell where storectl itself is", error))?;
        let mut copies = Vec::new();
        // What is installed is replaced only when that is asked for.
        let there = layout.own_program().exists();
        let beside = || Some(own.with_file_name("store-agent")).filter(|_| !there);
        let agent = self.given.clone().or_else(beside);
        // A release that was signed is not mixed with what somebody brings.
        let is_signed = slots.current()?.is_some_and(|name| name != INSTALLED);
        let with_storectl = self.site.manager == Manager::Systemd && (agent.is_some() || !is_signed);
        if let Some(agent) = agent {
            if !agent.exists() {
                return Err(Fault::new(Code::E501, format!("there is no `{}`", agent.display())));
            }
            copies.push((agent, "store-agent"));
        }
        if with_storectl {
            copies.push((own, "storectl"));
        }
        for (from, program) in &copies {
            if !same(from, &layout.program_link(program))? {
                // The link changes from one folder to the other, so each program has to be in it, also one that is the same in both.
                let place = |(from, program)| (from, slots.program(INSTALLED, program));
                return Ok(copies.into_iter().map(place).collect());
            }
        }
        Ok(Vec::new())
    }
}

impl Step for ProgramFile {
    fn name(&self) -> &'static str {
        "program"
    }

    fn differences(&self) -> Result<Vec<String>, Fault> {
        let slots = Slots(&self.site.layout);
        let mut differences = Vec::new();
        if !self.site.layout.packaged_program().exists() {
            let moved = |program: &str| {
                format!("{program}: moves to {}", slots.program(INSTALLED, program).display())
            };
            differences.extend(slots.unlinked().into_iter().map(moved));
        }
        for (from, to) in self.copies()? {
            differences.push(format!("{}: is copied from {}", to.display(), from.display()));
        }
        Ok(differences)
    }

    fn apply(&self, points: &Points) -> Result<Undo, Fault> {
        let layout = self.site.layout.clone();
        let slots = Slots(&layout);
        let copies = self.copies()?;
        slots.adopt()?;
        let used = slots.current()?;
        let (mut undo, mut names) = (Vec::new(), Vec::new());
        for (from, to) in copies {
            let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name == "store-agent" && !same(&from, &layout.own_program())? {
                // Whoever can't say its version is not put in the place of one that runs.
                Program::at(&from).version()?;
                due(&self.site)?;
            }
            files::make_folder(&slots.folder(INSTALLED), Access { mode: 0o755, owner: None })?;
            let before = to.with_extension("before");
            if to.exists() {
                std::fs::copy(&to, &before).map_err(|error| files::unwritable(&before, error))?;
            }
            copy_program(&from, &to)?;
            undo.push((before, to));
            names.push(name);
        }
        if !names.is_empty() {
            slots.switch(INSTALLED)?;
            names.iter().try_for_each(|name| slots.link(name))?;
            points.reach("program-copied")?;
        }
        Ok(Undo::by(move || {
            used.map_or(Ok(()), |used| Slots(&layout).switch(&used))?;
            for (before, to) in undo {
                match before.exists() {
                    true => std::fs::rename(&before, &to).map_err(|error| files::unwritable(&to, error))?,
                    false => files::remove(&to)?,
                }
            }
            Ok(())
        }))
    }
}

/// Whether two files hold the same. One that is not there holds nothing.
fn same(one: &Path, other: &Path) -> Result<bool, Fault> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| files::unreadable(path, error));
    Ok(other.exists() && read(one)? == read(other)?)
}

/// The tills' tokens: a first one, where there is none.
struct Tokens(Rc<Site>);

impl Step for Tokens {
    fn name(&self) -> &'static str {
        "tokens"
    }

    fn differences(&self) -> Result<Vec<String>, Fault> {
        let path = self.0.layout.tokens();
        Ok(if path.exists() {
            Vec::new()
        } else {
            vec![format!("{}: a first token for the tills", path.display())]
        })
    }

    fn apply(&self, _: &Points) -> Result<Undo, Fault> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| {
            Fault::caused(Code::E901, "no random numbers can be had", std::io::Error::from(error))
        })?;
        let token = random.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let text = format!(
            "# One line for each till: its source name and its token. `till-*` stands for every source that starts so.\ntill-* {token}\n"
        );
        let path = self.0.layout.tokens();
        files::replace(&path, text.as_bytes(), Access::readable(self.0.owner()?))?;
        Ok(Undo::by(move || files::remove(&path)))
    }
}

/// The password of the POS's database, where the configuration is going to look for it.
struct PosPassword {
    site: Rc<Site>,
    wanted: Rc<Wanted>,
}

impl PosPassword {
    fn path(&self) -> Result<PathBuf, Fault> {
        let layout = &self.site.layout;
        let settings = match &self.wanted.pos {
            Some(pos) => Some(Settings::of(pos)?),
            None => Settings::read(layout)?,
        };
        let path = settings.and_then(|settings| settings.pos_password(layout));
        path.ok_or_else(|| {
            Fault::new(
                Code::E102,
                "--pos-password-file needs one [[pos]] with a `password_file`, and no second",
            )
        })
    }

    fn text(&self) -> String {
        let given = self.wanted.pos_password.as_deref().unwrap_or_default();
        format!("{}\n", given.trim_end_matches(['\r', '\n']))
    }
}

impl Step for PosPassword {
    fn name(&self) -> &'static str {
        "POS password"
    }

    fn differences(&self) -> Result<Vec<String>, Fault> {
        let path = self.path()?;
        let is_there = files::read(&path)?.is_some_and(|text| text == self.text());
        Ok(if is_there {
            Vec::new()
        } else {
            vec![format!("{}: the password of the POS's database", path.display())]
        })
    }

    fn apply(&self, _: &Points) -> Result<Undo, Fault> {
        let path = self.path()?;
        let before = Before::of(&path)?;
        files::replace(&path, self.text().as_bytes(), Access::readable(self.site.owner()?))?;
        Ok(Undo::by(move || before.put_back()))
    }
}

/// The store's two keys, on disk before anybody hears of them.
struct Keys {
    site: Rc<Site>,
    anew: bool,
}

impl Step for Keys {
    fn name(&self) -> &'static str {
        "keys"
    }

    fn differences(&self) -> Result<Vec<String>, Fault> {
        let layout = &self.site.layout;
        let enrolled = layout.certificate().exists() && !self.anew;
        let wanted = [(layout.next_key(), !enrolled), (layout.bound_key(), true)];
        let missing = wanted.iter().filter(|(path, needed)| *needed && !path.exists());
        Ok(missing.map(|(path, _)| format!("{}: a key is made", path.display())).collect())
    }

    fn apply(&self, _: &Points) -> Result<Undo, Fault> {
        let identity = self.site.identity()?;
        identity.bound_key()?;
        if self.anew || !self.site.layout.certificate().exists() {
            identity.next_key()?;
        }
        Ok(Undo::Kept("the hub may know them already"))
    }
}

/// The store's certificate, for the token.
struct Certificate {
    site: Rc<Site>,
    wanted: Rc<Wanted>,
    /// A new one is asked for although there is one.
    due: Rc<Cell<bool>>,
}

impl Step for Certificate {
    fn name(&self) -> &'static str {
        "certificate"
    }

    fn differences(&self) -> Result<Vec<String>, Fault> {
        let store = &self.wanted.store;
        match self.site.identity()?.held()? {
            Some(held) if held.store != *store => {
                let says = format!("the certificate here is of store {}, not of {store}", held.store);
                Err(Fault::new(Code::E102, says))
            }
            Some(_) if !self.due.get() => Ok(Vec::new()),
            _ => Ok(vec![format!("a certificate for store {store} is got from the hub")]),
        }
    }

    fn apply(&self, points: &Points) -> Result<Undo, Fault> {
        let wanted = &self.wanted;
        let Some(token) = &wanted.token else {
            return Err(Fault::new(Code::E104, format!("store {}", wanted.store)));
        };
        let there = Settings::read(&self.site.layout)?;
        let proxy = wanted.proxy.clone().or_else(|| there.as_ref().and_then(Settings::proxy));
        let identity = self.site.identity()?;
        enrolling::enrol(&identity, token, &wanted.store, proxy.as_ref(), points)?;
        self.due.set(false);
        Ok(Undo::Kept("the token is used, and the certificate is good"))
    }
}

/// The agent's configuration, which the agent itself has found to be good.
struct Config {
    site: Rc<Site>,
    wanted: Rc<Wanted>,
}

impl Config {
    fn text(&self) -> Result<String, Fault> {
        Settings::with(Settings::read(&self.site.layout)?, &self.wanted, &self.site.layout)
    }
}

impl Step for Config {
    fn name(&self) -> &'static str {
        "config"
    }

    fn differences(&self) -> Result<Vec<String>, Fault> {
        let path = self.site.layout.config();
        let (is, wanted) = (files::read(&path)?, self.text()?);
        Ok(match is {
            Some(is) if is == wanted => Vec::new(),
            Some(is) => line_differences(&is, &wanted),
            None => vec![format!("{}: is written", path.display())],
        })
    }

    fn apply(&self, points: &Points) -> Result<Undo, Fault> {
        let layout = &self.site.layout;
        let access = Access::readable(self.site.owner()?);
        let text = self.text()?;
        files::replace(&layout.config_candidate(), text.as_bytes(), access)?;
        let checked = self.site.program()?.check_config(&layout.config_candidate());
        files::remove(&layout.config_candidate())?;
        checked?;
        due(&self.site)?;
        let before = Before::of(&layout.config())?;
        if let Some(old) = files::bytes(&layout.config())? {
            files::replace(&layout.config_before(), &old, access)?;
        }
        points.reach("config-checked")?;
        files::replace(&layout.config(), text.as_bytes(), access)?;
        Ok(Undo::by(move || before.put_back()))
    }
}

/// On which machine this store was installed, to notice a copied disk.
struct Machine(Rc<Site>);

impl Step for Machine {
    fn name(&self) -> &'static str {
        "machine"
    }

    fn differences(&self) -> Result<Vec<String>, Fault> {
        let is = files::read(&self.0.layout.machine())?;
        Ok(match fingerprint(&self.0.layout) {
            Some(now) if is.as_deref().map(str::trim) != Some(now.as_str()) => {
                vec!["this machine is the store's from now on".to_owned()]
            }
            _ => Vec::new(),
        })
    }

    fn apply(&self, _: &Points) -> Result<Undo, Fault> {
        let path = self.0.layout.machine();
        let before = Before::of(&path)?;
        let text = format!("{}\n", fingerprint(&self.0.layout).unwrap_or_default());
        files::replace(&path, text.as_bytes(), Access::public())?;
        Ok(Undo::by(move || before.put_back()))
    }
}

/// The unit files.
struct Units(Rc<Site>);

impl Units {
    fn wanted(&self) -> Result<Vec<Unit>, Fault> {
        let Site { layout, manager, .. } = &*self.0;
        let mut units = manager.units(layout);
        let folders = Settings::read(layout)?.map(|settings| settings.changed_folders(layout));
        units.extend(manager.addition(layout, &folders.unwrap_or_default()));
        Ok(units)
    }
}

impl Step for Units {
    fn name(&self) -> &'static str {
        "units"
    }

    fn differences(&self) -> Result<Vec<String>, Fault> {
        let mut differences = Vec::new();
        for unit in self.wanted()? {
            if files::read(&unit.path)?.as_deref() != Some(unit.text.as_str()) {
                differences.push(format!("{}: is written", unit.path.display()));
            }
        }
        Ok(differences)
    }

    fn apply(&self, _: &Points) -> Result<Undo, Fault> {
        due(&self.0)?;
        let mut before = Vec::new();
        for unit in self.wanted()? {
            if files::read(&unit.path)?.as_deref() == Some(unit.text.as_str()) {
                continue;
            }
            if let Some(folder) = unit.path.parent() {
                files::make_folder(folder, Access { mode: 0o755, owner: None })?;
            }
            before.push(Before::of(&unit.path)?);
            files::replace(&unit.path, unit.text.as_bytes(), Access::public())?;
        }
        self.0.manager.reload(&self.0.layout)?;
        let site = Rc::clone(&self.0);
        Ok(Undo::by(move || {
            before.into_iter().try_for_each(Before::put_back)?;
            site.manager.reload(&site.layout)
        }))
    }
}

/// The agent runs, with what was changed, and does so after the next boot too.
struct Service(Rc<Site>);

impl Step for Service {
    fn name(&self) -> &'static str {
        "service"
    }

    fn differences(&self) -> Result<Vec<String>, Fault> {
        let Site { layout, manager, .. } = &*self.0;
        let mut differences = Vec::new();
        let written = layout.unit(AGENT_UNIT).exists() || layout.packaged_program().exists();
        if *manager == Manager::Systemd && !written {
            return Ok(vec!["the agent starts, now and with the machine".to_owned()]);
        }
        differences.extend(
            manager.not_enabled(layout)?.iter().map(|unit| format!("{unit}: starts with the machine")),
        );
        let due = layout.restart_due().exists();
        for unit in [AGENT_UNIT].into_iter().chain(TIMERS) {
            if manager.is_live(layout) && !manager.is_active(layout, unit)? {
                differences.push(format!("{unit}: is started"));
            }
        }
        if due {
            differences.push("the agent takes the changes over with its next start".to_owned());
        }
        Ok(differences)
    }

    fn apply(&self, points: &Points) -> Result<Undo, Fault> {
        let Site { layout, manager, .. } = &*self.0;
        for unit in manager.not_enabled(layout)? {
            manager.enable(layout, unit)?;
        }
        points.reach("enabled")?;
        let due = layout.restart_due().exists();
        if due || (manager.is_live(layout) && !manager.is_active(layout, AGENT_UNIT)?) {
            manager.restart(layout, AGENT_UNIT)?;
        }
        for timer in TIMERS {
            if manager.is_live(layout) && !manager.is_active(layout, timer)? {
                manager.restart(layout, timer)?;
            }
        }
        if *manager == Manager::None && self.0.agent_runs()? {
            console::say("the agent runs with the old settings; start it again when it suits");
        }
        files::remove(&layout.restart_due())?;
        Ok(Undo::Kept("the service goes on"))
    }
}

/// Notes that the running agent has to be started again. Written before the change, so that no interruption loses it.
fn due(site: &Site) -> Result<(), Fault> {
    files::replace(&site.layout.restart_due(), b"", Access::public())
}

/// Lines that go and lines that come, in their order.
fn line_differences(is: &str, wanted: &str) -> Vec<String> {
    let gone = beyond(is, wanted).map(|line| format!("- {line}"));
    let come = beyond(wanted, is).map(|line| format!("+ {line}"));
    let differences: Vec<String> = gone.chain(come).collect();
    match differences.is_empty() {
        true => vec!["the order of its lines".to_owned()],
        false => differences,
    }
}

/// The lines of `text` that `other` has not, or not as often: two tables may hold the same line.
fn beyond<'a>(text: &'a str, other: &'a str) -> impl Iterator<Item = &'a str> {
    let mut left: Vec<&str> = other.lines().collect();
    text.lines().filter(move |line| match left.iter().position(|other| other == line) {
        Some(at) => {
            left.swap_remove(at);
            false
        }
        None => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use std::os::unix::fs::PermissionsExt;

    // Somebody brought an agent beside a signed release whose storectl was the one that ran: only what differed was copied into the
    // folder that the link then led to, and `bin/storectl` led nowhere.
    #[test]
    fn a_program_that_is_given_beside_a_signed_release_leaves_no_link_that_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        let slots = Slots(&layout);
        std::fs::create_dir_all(slots.folder("0.1.7")).unwrap();
        std::fs::create_dir_all(layout.installer_folder()).unwrap();
        std::fs::write(slots.program("0.1.7", "store-agent"), "of the release").unwrap();
        std::fs::copy(std::env::current_exe().unwrap(), slots.program("0.1.7", "storectl")).unwrap();
        slots.switch("0.1.7").unwrap();
        for program in ["store-agent", "storectl"] {
            slots.link(program).unwrap();
        }
        let given = folder.path().join("given");
        std::fs::write(&given, "#!/bin/sh\necho store-agent 0.1.9\n").unwrap();
        std::fs::set_permissions(&given, std::fs::Permissions::from_mode(0o755)).unwrap();
        let (manager, points) = (Manager::Systemd, Points::default());
        let site = Site {
            layout: layout.clone(),
            manager,
            points: points.clone(),
            dry_run: false,
            non_interactive: true,
        };
        let step = ProgramFile { site: Rc::new(site), given: Some(given.clone()) };
        let undo = step.apply(&points).unwrap();
        assert_eq!(step.differences().unwrap(), [""; 0]);
        assert!(same(&given, &layout.own_program()).unwrap() && layout.own_storectl().exists());
        if let Undo::By(undo) = undo {
            undo().unwrap();
        }
        assert_eq!(std::fs::read_to_string(layout.own_program()).unwrap(), "of the release");
    }

    #[test]
    fn a_line_that_stays_in_another_table_goes_all_the_same() {
        assert_eq!(line_differences("[a]\nx\n[b]\nx\n", "[a]\ny\n[b]\nx\n"), ["- x", "+ y"]);
    }

    #[test]
    fn lines_that_differ_are_shown_and_no_others() {
        assert_eq!(line_differences("a\nb\n", "a\nc\n"), ["- b", "+ c"]);
        assert_eq!(line_differences("a\nb\n", "b\na\n"), ["the order of its lines"]);
    }
}
