//! Starting the agent anew, and whether it then does its work: judged on this machine alone.
//!
//! The line to the hub counts for nothing: a store whose line is down can be upgraded, and a line that comes down meanwhile takes no
//! upgrade back. What counts: it runs, stays the same process, says that it can record, and answers tills.

use super::Site;
use crate::clock::Stopwatch;
use crate::console;
use crate::fault::{Code, Fault};
use crate::program::words;
use crate::service::AGENT_UNIT;
use crate::talk::{local, wait_for};
use std::process::{Command, Stdio};
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// One answer that stays out may have many reasons; so long a silence has not.
const ILL_FOR: Duration = Duration::from_secs(5);
/// What a till may ask that changes nothing.
const TILLS_ASK: &str = "/v1/movements?limit=1";

/// How the agent is started anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Starter {
    Manager,
    /// A command, where storectl knows no service manager.
    Command(String),
    /// Somebody who is told.
    Person,
}

/// How long what is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Until it is well for the first time.
    pub healthy_within: Duration,
    /// So long it has to stay well.
    pub stays_for: Duration,
}

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Well,
    Ill(String),
}

/// The agent at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Another one with each start.
    pub boot: String,
    pub version: Option<String>,
    /// What it can't do.
    pub ill: Option<String>,
}

/// By what the agent that is on trial is told from the one before, which may still be answering.
#[derive(Debug, Clone, Default)]
pub struct Sought {
    /// The version that its program says, if it can say any.
    pub version: Option<String>,
    /// Starts that were there before.
    pub not: Vec<String>,
}

impl Sought {
    #[must_use]
    pub fn is(&self, seen: &Seen) -> bool {
        let is_other = self.version.is_some() && seen.version.is_some() && self.version != seen.version;
        !is_other && !self.not.contains(&seen.boot)
    }
}

impl Starter {
    #[must_use]
    pub fn of(site: &Site, command: Option<&str>) -> Starter {
        match command {
            Some(command) => Starter::Command(command.to_owned()),
            None if site.manager.is_live(&site.layout) => Starter::Manager,
            None => Starter::Person,
        }
    }

    pub fn restart(&self, site: &Site) -> Result<(), Fault> {
        match self {
            Starter::Manager => site.manager.restart(&site.layout, AGENT_UNIT),
            Starter::Command(command) => {
                let output = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).output();
                let output = output.map_err(|error| Fault::caused(Code::E503, "cannot run `sh`", error))?;
                match output.status.success() {
                    true => Ok(()),
                    false => Err(Fault::new(Code::E503, format!("`{command}`: {}", words(&output)))),
                }
            }
            Starter::Person => {
                console::say(&format!("stop the agent and start it again now: {}", site.how_to_run()));
                Ok(())
            }
        }
    }

    /// A person needs a while from stopping the one to starting the other.
    fn nobody_for(&self) -> Duration {
        match self {
            // Longer than systemd rests between two starts (RestartSec=2).
            Starter::Manager | Starter::Command(_) => Duration::from_secs(3),
            Starter::Person => Duration::from_secs(120),
        }
    }

    fn healthy_within(&self, terms: &Terms) -> Duration {
        match self {
            Starter::Manager | Starter::Command(_) => terms.healthy_within,
            Starter::Person => terms.healthy_within.max(Duration::from_secs(300)),
        }
    }
}

/// The agent as it is now; `None`: it does not answer.
pub fn seen(site: &Site) -> Result<Option<Seen>, Fault> {
    let Some(address) = local::address(&site.layout)? else { return Ok(None) };
    let token = local::any_token(&site.layout)?;
    let asked = wait_for(async {
        let (_, health) = local::ask(address, None, "/healthz").await?;
        let Some(token) = token else { return Ok((health, None)) };
        let (status, _) = local::ask(address, Some(&token), TILLS_ASK).await?;
        Ok((health, Some(status)))
    });
    let Ok((health, tills)) = asked else { return Ok(None) };
    let Some(boot) = health["boot"].as_str() else { return Ok(None) };
    let ill = match tills {
        _ if health["status"] != "ok" => {
            Some(health["reason"].as_str().unwrap_or("it does not say why").to_owned())
        }
        Some(status) if !status.is_success() => Some(format!("tills get the answer {status}")),
        _ => None,
    };
    let version = health["version"].as_str().map(str::to_owned);
    Ok(Some(Seen { boot: boot.to_owned(), version, ill }))
}

/// Until when somebody is at work on an order or a count; `None`: nobody is, or nobody can say.
pub fn at_work_until(site: &Site) -> Result<Option<String>, Fault> {
    let (Some(address), Some(token)) = (local::address(&site.layout)?, local::any_token(&site.layout)?)
    else {
        return Ok(None);
    };
    let answer = wait_for(local::ask(address, Some(&token), "/v1/work"));
    // Who does not answer serves nobody whom a restart could disturb.
    Ok(answer.ok().and_then(|(_, work)| work["busy_until"].as_str().map(str::to_owned)))
}

/// Watches the agent that is sought.
pub fn watch(site: &Site, starter: &Starter, terms: &Terms, sought: &Sought) -> Result<Verdict, Fault> {
    let mut trial = Trial::new(*terms, starter.healthy_within(terms), starter.nobody_for());
    let clock = Stopwatch::started();
    loop {
        let now = seen(site)?.filter(|seen| sought.is(seen));
        let runs = now.is_some() || site.agent_runs()?;
        if let Some(verdict) = trial.judge(clock.elapsed(), now, runs) {
            return Ok(verdict);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What was seen so far. Times count from the start of the trial.
#[derive(Debug)]
struct Trial {
    terms: Terms,
    healthy_within: Duration,
    nobody_for: Duration,
    /// The start that was well first, and since when.
    well: Option<(String, Duration)>,
    ill_since: Option<(Duration, String)>,
    nobody_since: Option<Duration>,
}

impl Trial {
    fn new(terms: Terms, healthy_within: Duration, nobody_for: Duration) -> Trial {
        Trial { terms, healthy_within, nobody_for, well: None, ill_since: None, nobody_since: None }
    }

    /// `None`: it goes on.
    fn judge(&mut self, now: Duration, seen: Option<Seen>, runs: bool) -> Option<Verdict> {
        if let (Some((boot, _)), Some(seen)) = (&self.well, &seen)
            && *boot != seen.boot
        {
            return Some(Verdict::Ill("it ended and was started again".to_owned()));
        }
        self.nobody_since = if runs { None } else { self.nobody_since.or(Some(now)) };
        let Some(Seen { boot, ill: None, .. }) = seen else {
            let why = seen.and_then(|seen| seen.ill).unwrap_or_else(|| "it does not answer".to_owned());
            return self.judge_ill(now, why);
        };
        self.ill_since = None;
        let (_, since) = self.well.get_or_insert((boot, now));
        (now.saturating_sub(*since) >= self.terms.stays_for).then_some(Verdict::Well)
    }

    fn judge_ill(&mut self, now: Duration, why: String) -> Option<Verdict> {
        let (since, why) = self.ill_since.get_or_insert((now, why)).clone();
        let ill = |says: String| Some(Verdict::Ill(says));
        match (&self.well, self.nobody_since) {
            (_, Some(gone)) if now.saturating_sub(gone) >= self.nobody_for => {
                ill("it does not keep running".to_owned())
            }
            (Some(_), _) if now.saturating_sub(since) >= ILL_FOR => {
                ill(format!("it was well and is not any more: {why}"))
            }
            (None, _) if now >= self.healthy_within => {
                ill(format!("it was not well within {} s: {why}", now.as_secs()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms =
        Terms { healthy_within: Duration::from_secs(30), stays_for: Duration::from_secs(10) };

    fn trial() -> Trial {
        Trial::new(TERMS, TERMS.healthy_within, Duration::from_secs(5))
    }

    fn well(boot: &str) -> Option<Seen> {
        Some(Seen { boot: boot.to_owned(), version: None, ill: None })
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn is_ill(verdict: Option<Verdict>, word: &str) -> bool {
        matches!(verdict, Some(Verdict::Ill(why)) if why.contains(word))
    }

    #[test]
    fn well_is_who_stays_well_for_long_enough() {
        let mut trial = trial();
        assert_eq!(trial.judge(at(0), None, false), None);
        assert_eq!(trial.judge(at(3), well("a"), true), None);
        // One silence is no illness.
        assert_eq!(trial.judge(at(8), None, true), None);
        assert_eq!(trial.judge(at(12), well("a"), true), None);
        assert_eq!(trial.judge(at(13), well("a"), true), Some(Verdict::Well));
    }

    #[test]
    fn the_agent_from_before_is_not_taken_for_the_one_on_trial() {
        let old = Seen { version: Some("0.1.0".to_owned()), ..well("a").unwrap() };
        // It answered when the upgrade began, and not when the link was changed.
        let sought = |version: &str, not: &[&str]| Sought {
            version: Some(version.to_owned()),
            not: not.iter().map(|&boot| boot.to_owned()).collect(),
        };
        assert!(!sought("0.1.0", &["a"]).is(&old));
        // It never answered before.
        assert!(!sought("0.1.7", &[]).is(&old));
        assert!(sought("0.1.0", &["b"]).is(&old));
        // One that does not say its version is told by its start alone.
        assert!(sought("0.1.7", &["b"]).is(&well("a").unwrap()));
    }

    #[test]
    fn who_ends_and_comes_back_was_not_well() {
        let mut trial = trial();
        trial.judge(at(0), well("a"), true);
        assert!(is_ill(trial.judge(at(1), well("b"), true), "started again"));
    }

    #[test]
    fn who_does_not_keep_running_is_noticed_long_before_patience_ends() {
        let mut trial = trial();
        assert_eq!(trial.judge(at(1), None, false), None);
        assert_eq!(trial.judge(at(5), None, false), None);
        assert!(is_ill(trial.judge(at(6), None, false), "keep running"));
    }

    #[test]
    fn who_runs_and_never_gets_well_is_given_up() {
        let mut trial = trial();
        let ill = Some(Seen { ill: Some("disk full".to_owned()), ..well("a").unwrap() });
        assert_eq!(trial.judge(at(29), ill.clone(), true), None);
        assert!(is_ill(trial.judge(at(30), ill, true), "disk full"));
    }

    #[test]
    fn who_was_well_and_falls_ill_is_given_up_soon() {
        let mut trial = trial();
        trial.judge(at(1), well("a"), true);
        assert_eq!(trial.judge(at(2), None, true), None);
        assert!(is_ill(trial.judge(at(7), None, true), "not any more"));
    }
}
