//! From one folder of programs to another, written down act by act.
//!
//! Each act can be done twice, and is written into the books before it is done. Whoever finds one there does it, and goes on.

use super::super::Site;
use super::super::trial::{self, Sought, Starter, Terms, Verdict};
use super::{Way, ended, tell};
use crate::books::{Books, Ended, Stage, UnderWay};
use crate::clock::{self, rfc3339};
use crate::console;
use crate::fault::{Code, Fault};
use crate::files;
use crate::program::Program;
use crate::release::PROGRAMS;
use crate::service::{AGENT_UNIT, Manager};
use crate::slots::Slots;
use std::time::Duration;

/// What runs again after a while that it ran before is believed sooner.
const BACK_STAYS_FOR: Duration = Duration::from_secs(5);

/// The agent's program in a folder, run as the agent's user.
pub fn program(site: &Site, name: &str) -> Result<Program, Fault> {
    let path = Slots(&site.layout).program(name, "store-agent");
    Ok(Program { user: site.owner()?, ..Program::at(&path) })
}

/// Removes what no upgrade needs any more.
pub fn tidy(site: &Site, books: &Books) -> Result<(), Fault> {
    let slots = Slots(&site.layout);
    let Some(current) = slots.current()? else { return Ok(()) };
    let under_way = books.under_way.as_ref();
    let kept = [
        Some(&current),
        books.previous.as_ref(),
        under_way.map(|way| &way.from),
        under_way.map(|way| &way.to),
    ];
    slots.keep_only(&kept.into_iter().flatten().map(String::as_str).collect::<Vec<_>>())
}

/// Begins it and brings it to its end.
pub(super) fn from_one_to_another(
    site: &Site,
    books: &mut Books,
    starter: &Starter,
    terms: &Terms,
    way: Way,
) -> Result<Ended, Fault> {
    let Way { from, to } = way;
    let boot_before = trial::seen(site)?.map(|seen| seen.boot);
    let (stage, began_at) = (Stage::Switching, rfc3339(clock::now()));
    books.under_way = Some(UnderWay { from, to, stage, boot_before, boot: None, began_at, why: None });
    books.write(&site.layout)?;
    site.points.reach("begun")?;
    finish(site, books, starter, terms)
}

/// Brings to its end what the books say has begun.
pub fn finish(site: &Site, books: &mut Books, starter: &Starter, terms: &Terms) -> Result<Ended, Fault> {
    console::stays()?;
    let change = Change { site, starter, terms };
    loop {
        let Some(under_way) = books.under_way.clone() else {
            return books
                .last
                .clone()
                .ok_or_else(|| Fault::new(Code::E901, "an upgrade has ended without an end"));
        };
        let done = match under_way.stage {
            Stage::Switching => change.switch(books, under_way),
            Stage::Trial => change.trial(books, under_way),
            Stage::GoingBack => change.go_back(books, under_way),
            Stage::Back => change.back(books, under_way),
            Stage::Inconsistent => change.judge_anew(books, under_way),
        };
        if done.is_err() {
            change.revive();
        }
        done?;
    }
}

struct Change<'a> {
    site: &'a Site,
    starter: &'a Starter,
    terms: &'a Terms,
}

impl Change<'_> {
    fn switch(&self, books: &mut Books, under_way: UnderWay) -> Result<(), Fault> {
        if let Err(fault) = Slots(&self.site.layout).holds(&under_way.to, &self.linked()) {
            self.lead_to(&under_way.from)?;
            return self.end(books, &under_way, &under_way.from, Some(fault.story()));
        }
        self.lead_to(&under_way.to)?;
        self.site.points.reach("switched")?;
        let boot = trial::seen(self.site)?.map(|seen| seen.boot);
        self.write(books, UnderWay { stage: Stage::Trial, boot, ..under_way })?;
        self.site.points.reach("trial")
    }

    fn trial(&self, books: &mut Books, under_way: UnderWay) -> Result<(), Fault> {
        if *self.starter == Starter::Person && !self.site.agent_runs()? {
            let remark = "the agent was not running, so the new version was not tried".to_owned();
            return self.end(books, &under_way, &under_way.to, Some(remark));
        }
        tell(&format!("the agent is started with the programs in `{}`, and watched", under_way.to));
        let verdict = self.started_and_watched(&under_way, &under_way.to, self.terms, "restarted")?;
        match verdict {
            Verdict::Well => {
                self.site.points.reach("stood")?;
                self.end(books, &under_way, &under_way.to, None)
            }
            Verdict::Ill(why) => {
                tell(&format!("it is not well ({why}); going back to `{}`", under_way.from));
                self.write(books, UnderWay { stage: Stage::GoingBack, why: Some(why), ..under_way })?;
                self.site.points.reach("going-back")
            }
        }
    }

    fn go_back(&self, books: &mut Books, under_way: UnderWay) -> Result<(), Fault> {
        // What is not well shall not change the databases between the look at them and the switch.
        self.site.manager.stop(&self.site.layout, AGENT_UNIT)?;
        let old = program(self.site, &under_way.from)?;
        if let Err(fault) = old.check_data(&self.site.layout.config()) {
            let why = format!(
                "{}; and the version before can't go on with the databases, which hold what was sold since: {}",
                under_way.why.as_deref().unwrap_or("it is not well"),
                fault.story()
            );
            return self.inconsistent(books, under_way, why);
        }
        self.lead_to(&under_way.from)?;
        self.site.points.reach("switched-back")?;
        let boot = trial::seen(self.site)?.map(|seen| seen.boot);
        self.write(books, UnderWay { stage: Stage::Back, boot, ..under_way })?;
        self.site.points.reach("back")
    }

    fn back(&self, books: &mut Books, under_way: UnderWay) -> Result<(), Fault> {
        let why = under_way.why.clone();
        let now = trial::seen(self.site)?.map(|seen| seen.boot);
        // Nobody has started the new one: what runs is the old one still.
        if now.is_some() && now == under_way.boot_before {
            return self.end(books, &under_way, &under_way.from, why);
        }
        let stays_for = self.terms.stays_for.min(BACK_STAYS_FOR);
        let terms = Terms { stays_for, ..*self.terms };
        let verdict = self.started_and_watched(&under_way, &under_way.from, &terms, "restarted-back")?;
        match verdict {
            Verdict::Well => self.end(books, &under_way, &under_way.from, why),
            Verdict::Ill(ill) => {
                let why =
                    format!("{}; and the version before is not well either: {ill}", why.unwrap_or_default());
                self.inconsistent(books, under_way, why)
            }
        }
    }

    /// A person has looked, or time has passed: whatever is well now is taken for the end.
    fn judge_anew(&self, books: &mut Books, under_way: UnderWay) -> Result<(), Fault> {
        let at = Slots(&self.site.layout).current()?.unwrap_or_default();
        let sought = Sought { version: program(self.site, &at)?.version().ok(), ..Sought::default() };
        match self.in_earnest(trial::watch(self.site, self.starter, self.terms, &sought)?)? {
            Verdict::Well => {
                let why = under_way.why.clone();
                self.end(books, &under_way, &at, why)
            }
            Verdict::Ill(ill) => {
                let (from, to) = (&under_way.from, &under_way.to);
                Err(Fault::new(Code::E810, format!("from `{from}` to `{to}`: {ill}")))
            }
        }
    }

    /// Better ill than none: an agent that was stopped on the way back may get well.
    fn revive(&self) {
        let Site { manager, layout, .. } = self.site;
        if manager.is_live(layout) && !manager.is_active(layout, AGENT_UNIT).unwrap_or(false) {
            let _ = manager.restart(layout, AGENT_UNIT);
        }
    }

    fn linked(&self) -> Vec<&'static str> {
        let is_linked = |program: &&str| *program == "store-agent" || self.site.manager == Manager::Systemd;
        PROGRAMS.into_iter().filter(is_linked).collect()
    }

    fn lead_to(&self, name: &str) -> Result<(), Fault> {
        let slots = Slots(&self.site.layout);
        slots.switch(name)?;
        self.linked().into_iter().try_for_each(|program| slots.link(program))
    }

    /// Starts the agent of the folder `name`, unless that one runs already.
    fn started_and_watched(
        &self,
        under_way: &UnderWay,
        name: &str,
        terms: &Terms,
        point: &str,
    ) -> Result<Verdict, Fault> {
        let UnderWay { from, to, boot, boot_before, .. } = under_way;
        let (other, before) = if name == to { (from, boot_before.clone()) } else { (to, None) };
        let version = program(self.site, name)?.version().ok();
        // Where nobody answered when the link was changed, only its version tells who answers now.
        let tells = boot.is_some() || version != program(self.site, other)?.version().ok();
        let mut sought = Sought { version, not: boot.clone().into_iter().chain(before).collect() };
        let now = trial::seen(self.site)?;
        let is_started = tells && now.as_ref().is_some_and(|seen| sought.is(seen));
        if !is_started {
            sought.not.extend(now.map(|seen| seen.boot));
        }
        if !is_started && let Err(fault) = self.starter.restart(self.site) {
            return self.in_earnest(Verdict::Ill(fault.story()));
        }
        self.site.points.reach(point)?;
        self.in_earnest(trial::watch(self.site, self.starter, terms, &sought)?)
    }

    /// On a machine that goes down nothing is well; it is judged at the next start.
    fn in_earnest(&self, verdict: Verdict) -> Result<Verdict, Fault> {
        match verdict {
            Verdict::Ill(why) if self.site.manager.is_going_down(&self.site.layout) => {
                let says = format!(
                    "the machine goes down in the middle of an upgrade, which goes on when it is up again: {why}"
                );
                Err(Fault::new(Code::E503, says))
            }
            verdict => Ok(verdict),
        }
    }

    fn end(
        &self,
        books: &mut Books,
        under_way: &UnderWay,
        at: &str,
        why: Option<String>,
    ) -> Result<(), Fault> {
        if at == under_way.to && at != under_way.from {
            books.previous = Some(under_way.from.clone());
            books.sequence_max = books.sequence_max.max(books.sequence_of(at));
        }
        let ended = ended(under_way, at, why);
        books.judge_attempt(&ended);
        books.last = Some(ended);
        books.under_way = None;
        books.write(&self.site.layout)?;
        self.site.points.reach("ended")?;
        files::remove_folder(&self.site.layout.downloads())?;
        tidy(self.site, books)
    }

    fn inconsistent(&self, books: &mut Books, under_way: UnderWay, why: String) -> Result<(), Fault> {
        let says = format!("from `{}` to `{}`: {why}", under_way.from, under_way.to);
        self.write(books, UnderWay { stage: Stage::Inconsistent, why: Some(why), ..under_way })?;
        Err(Fault::new(Code::E810, says))
    }

    fn write(&self, books: &mut Books, under_way: UnderWay) -> Result<(), Fault> {
        books.under_way = Some(under_way);
        books.write(&self.site.layout)
    }
}
