//! What upgrades have to remember, in one file that is replaced whole: what was here, how far an upgrade is, and how the last one ended.
//!
//! An act is written down before it is done, so whoever comes after a power cut knows how to go on.

use crate::fault::{Code, Fault};
use crate::files::{self, Access};
use crate::layout::Layout;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use sync_protocol::releases::End;

const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    format: u32,
    /// The highest release that was ever in force here: an older one, however well signed, does not come back.
    pub sequence_max: u64,
    /// The highest list of release keys that was ever seen here.
    pub keys_sequence_max: u64,
    /// What is known of the folders of programs.
    pub releases: BTreeMap<String, Known>,
    /// Where `rollback` leads.
    pub previous: Option<String>,
    pub under_way: Option<UnderWay>,
    pub last: Option<Ended>,
    /// What head office wished last, and what has become of it.
    #[serde(default)]
    pub attempt: Option<Attempt>,
}

/// A release that head office wished here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Of the wish.
    pub number: u64,
    /// Of the release.
    pub sequence: u64,
    /// `None`: not yet, and it is tried again.
    pub end: Option<End>,
    /// What was in the way, by its code and in words.
    pub code: String,
    pub says: String,
}

/// A release that was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub sequence: u64,
    /// The SHA-256 of its manifest.
    pub manifest: String,
}

/// From one folder of programs to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    pub from: String,
    pub to: String,
    pub stage: Stage,
    /// The agent's start that was there before the switch.
    pub boot_before: Option<String>,
    /// The one that was there when the link had been changed: another one runs the program that it leads to.
    pub boot: Option<String>,
    pub began_at: String,
    /// Why it does not go on.
    pub why: Option<String>,
}

/// What is being done, and is done again by whoever finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The link is changed to the new programs.
    Switching,
    /// The new agent is started and watched.
    Trial,
    /// The link is changed back.
    GoingBack,
    /// The old agent is started and watched.
    Back,
    /// Neither is well, or the old one can't go on with the data: a person has to look.
    Inconsistent,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub from: String,
    pub to: String,
    /// Where it ended: `from` or `to`.
    pub at: String,
    pub when: String,
    pub why: Option<String>,
}

impl Books {
    /// Those of a store that has never been upgraded, where there are none.
    pub fn read(layout: &Layout) -> Result<Books, Fault> {
        let path = layout.books();
        let Some(text) = files::read(&path)? else {
            return Ok(Books {
                format: FORMAT,
                sequence_max: 0,
                keys_sequence_max: 0,
                releases: BTreeMap::new(),
                previous: None,
                under_way: None,
                last: None,
                attempt: None,
            });
        };
        let books: Books = serde_json::from_str(&text)
            .map_err(|error| Fault::caused(Code::E202, format!("cannot read `{}`", path.display()), error))?;
        match books.format {
            FORMAT => Ok(books),
            other => {
                let says =
                    format!("`{}` has format {other}: a newer storectl wrote it; use that", path.display());
                Err(Fault::new(Code::E202, says))
            }
        }
    }

    pub fn write(&self, layout: &Layout) -> Result<(), Fault> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Fault::caused(Code::E901, "the books can't be written", error))?;
        files::make_folder(&layout.upgrade_folder(), Access { mode: 0o755, owner: None })?;
        files::replace(&layout.books(), &text, Access::public())
    }

    /// What an upgrade or a way back that has ended means for what head office has wished.
    pub fn judge_attempt(&mut self, ended: &Ended) {
        let (from, to) = (self.sequence_of(&ended.from), self.sequence_of(&ended.to));
        let Some(attempt) = &mut self.attempt else { return };
        let is_at_to = ended.at == ended.to;
        let failed = if attempt.sequence == to && !is_at_to {
            Some((Code::E809.name(), ended.why.clone().unwrap_or_default()))
        } else if attempt.sequence == from && to < from && is_at_to {
            Some(("", format!("somebody has gone back to `{}`", ended.to)))
        } else {
            None
        };
        if let Some((code, says)) = failed {
            (attempt.end, attempt.code, attempt.says) = (Some(End::Failed), code.to_owned(), says);
        } else if attempt.sequence == to {
            (attempt.end, attempt.code, attempt.says) = (Some(End::Done), String::new(), String::new());
        }
    }

    /// Of the release in a folder; 0 for what a person has given.
    #[must_use]
    pub fn sequence_of(&self, name: &str) -> u64 {
        self.releases.get(name).map_or(0, |known| known.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_the_end_of_what_was_wished_if_it_was_that() {
        let folder = tempfile::tempdir().unwrap();
        let mut books = Books::read(&Layout::at(folder.path())).unwrap();
        for (name, sequence) in [("0.1.7", 7), ("0.1.8", 8)] {
            books.releases.insert(name.to_owned(), Known { sequence, manifest: String::new() });
        }
        let mut judged = |from: &str, to: &str, at: &str| {
            let words = String::new();
            books.attempt =
                Some(Attempt { number: 1, sequence: 8, end: None, code: words.clone(), says: words.clone() });
            let [from, to, at] = [from, to, at].map(str::to_owned);
            books.judge_attempt(&Ended { from, to, at, when: words, why: None });
            books.attempt.take().and_then(|attempt| attempt.end)
        };
        assert_eq!(judged("0.1.7", "0.1.8", "0.1.8"), Some(End::Done));
        assert_eq!(judged("0.1.7", "0.1.8", "0.1.7"), Some(End::Failed), "it was taken back");
        assert_eq!(judged("0.1.8", "0.1.7", "0.1.7"), Some(End::Failed), "somebody went back");
        assert_eq!(judged("0.1.8", "0.1.7", "0.1.8"), None, "somebody wanted to");
        assert_eq!(judged("installed", "0.1.7", "0.1.7"), None, "that was another one");
    }

    #[test]
    fn what_is_written_is_read_again_and_another_format_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        let mut books = Books::read(&layout).unwrap();
        books.under_way = Some(UnderWay {
            from: "installed".to_owned(),
            to: "0.2.0".to_owned(),
            stage: Stage::GoingBack,
            boot_before: None,
            boot: Some("00ff".to_owned()),
            began_at: "2026-11-30T02:00:00Z".to_owned(),
            why: None,
        });
        books.write(&layout).unwrap();
        assert_eq!(Books::read(&layout).unwrap(), books);
        let text = files::read(&layout.books()).unwrap().unwrap().replace("\"format\": 1", "\"format\": 2");
        std::fs::write(layout.books(), text).unwrap();
        assert_eq!(Books::read(&layout).unwrap_err().code, Code::E202);
    }
}
