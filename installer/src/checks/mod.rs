//! What `doctor` looks at. Each check has two halves: gathering facts, which touches the world, and judging them, which is pure.

pub mod agent;
pub mod machine;
pub mod way;

use crate::fault::Code;
use serde::Serialize;

/// What one check came to, in plain words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
    pub says: String,
    /// Of the catalogue, where something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Good,
    /// It works, and somebody should know.
    Note,
    Bad,
    /// It could not be looked at.
    Unknown,
}

impl Finding {
    pub fn good(check: &'static str, says: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Good, says: says.into(), code: None, todo: None }
    }

    pub fn unknown(check: &'static str, says: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Unknown, ..Finding::good(check, says) }
    }

    pub fn bad(check: &'static str, code: Code, says: impl Into<String>) -> Finding {
        let (code, todo) = (Some(code.name()), Some(code.todo()));
        Finding { verdict: Verdict::Bad, code, todo, ..Finding::good(check, says) }
    }

    pub fn note(check: &'static str, code: Code, says: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Note, ..Finding::bad(check, code, says) }
    }

    /// One line, and a second one with what to do.
    #[must_use]
    pub fn line(&self) -> String {
        let mark = match self.verdict {
            Verdict::Good => "ok",
            Verdict::Note => "note",
            Verdict::Bad => "BAD",
            Verdict::Unknown => "?",
        };
        let code = self.code.map(|code| format!(" [{code}]")).unwrap_or_default();
        let todo = self.todo.map(|todo| format!("\n       what to do: {todo}")).unwrap_or_default();
        format!("{mark:<6} {}: {}{code}{todo}", self.check, self.says)
    }
}
