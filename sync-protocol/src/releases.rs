//! Releases: what a store and the hub say to each other about which programs the store shall have.
//!
//! `POST` [`RELEASES`] with [`ReleaseRequest`], over TLS 1.3 with the store's certificate shown, is answered with [`ReleaseAnswer`] or with
//! a [`Refusal`](crate::enrolment::Refusal). The store says each time what it has and what has become of the last wish that it was told, so
//! no lost answer and no power cut leaves the hub in the dark for longer than until the next request.
//!
//! What the hub says is a wish: which release, by its number, and where it lies. Whether it is one is decided by the signatures of the
//! release, in the store. A hub in the wrong hands can hold releases back, or choose among those that were signed, are newer than
//! what is there, and have not expired.

use crate::enrolment::Fact;
use serde::{Deserialize, Serialize};

/// Where a store asks which release it shall have.
pub const RELEASES: &str = "/v1/releases";
/// Longest address of a release.
pub const SOURCE_BYTES_MAX: usize = 1_024;

/// Who puts programs in place on a store's server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keeper {
    Storectl,
    /// The system's package manager: wishes are of no use.
    Package,
}

/// What a store has, and what has become of what was wished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// As of [`enrolment`](crate::enrolment).
    pub version: u16,
    pub keeper: Keeper,
    /// The version of the agent's program.
    pub agent: Fact,
    /// The number of the release that is in force; 0: none that was signed.
    pub sequence: u64,
    /// The agent runs and says that it is well.
    pub is_well: bool,
    /// Of the last wish that was told here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// What has become of a wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    pub number: u64,
    pub sequence: u64,
    pub end: End,
    /// The code of storectl's catalogue; empty where nothing went wrong.
    #[serde(default)]
    pub code: Fact,
    /// What happened, for a person.
    #[serde(default)]
    pub says: Fact,
}

/// How far a wish has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It was not the time, or the release could not be had: it is tried again.
    Waits,
    Done,
    /// It is not tried again.
    Failed,
    /// Neither the new nor the old version is well: a person has to look.
    Inconsistent,
}

/// What the hub wishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseAnswer {
    pub version: u16,
    /// `None`: the store stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wish: Option<Wish>,
}

/// A release that the store shall have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Tells wishes apart: a release that failed is tried again under another number.
    pub number: u64,
    /// The number of the release. What lies at `source` is another one: it is not taken.
    pub sequence: u64,
    pub source: Source,
}

/// Where a release lies: a folder on a web server, at most [`SOURCE_BYTES_MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Source(String);

/// A text that is no [`Source`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no address of a release; write https://host/folder, with at most {SOURCE_BYTES_MAX} bytes and nothing but letters, digits and -._~/%+:[]"
)]
pub struct NotASource;

impl Source {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Source {
    type Err = NotASource;

    fn from_str(text: &str) -> Result<Source, NotASource> {
        Source::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Source {
    type Error = NotASource;

    fn try_from(text: String) -> Result<Source, NotASource> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%+:[]".contains(&byte);
        let rest = text.strip_prefix("https://").ok_or(NotASource)?;
        if rest.is_empty() || text.len() > SOURCE_BYTES_MAX || !rest.bytes().all(is_plain) {
            return Err(NotASource);
        }
        Ok(Source(text))
    }
}

impl From<Source> for String {
    fn from(source: Source) -> String {
        source.0
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_address_and_nothing_else() {
        for good in ["https://releases.example/stable-1", "https://[::1]:8443/a%20b"] {
            assert_eq!(good.parse::<Source>().unwrap().as_str(), good);
        }
        let long = format!("https://{}", "a".repeat(SOURCE_BYTES_MAX));
        for bad in [
            "",
            "https://",
            "http://a/b",
            "/media/stick",
            "file:///etc",
            "https://a/b c",
            "https://a/\u{7}",
            &long,
        ] {
            bad.parse::<Source>().unwrap_err();
            serde_json::from_value::<Source>(serde_json::json!(bad)).unwrap_err();
        }
    }

    #[test]
    fn what_is_said_is_what_the_page_says() {
        let request = ReleaseRequest {
            version: 1,
            keeper: Keeper::Storectl,
            agent: Fact::clipped("0.1.7"),
            sequence: 7,
            is_well: true,
            outcome: Some(Outcome {
                number: 3,
                sequence: 8,
                end: End::Failed,
                code: Fact::clipped("E802"),
                says: Fact::clipped("no signature"),
            }),
        };
        let said = serde_json::json!({
            "version": 1, "keeper": "storectl", "agent": "0.1.7", "sequence": 7, "is_well": true,
            "outcome": { "number": 3, "sequence": 8, "end": "failed", "code": "E802", "says": "no signature" },
        });
        assert_eq!(serde_json::to_value(&request).unwrap(), said);
        assert_eq!(serde_json::from_value::<ReleaseRequest>(said).unwrap(), request);
        let nothing: ReleaseAnswer = serde_json::from_str("{\"version\":1,\"later\":true}").unwrap();
        assert_eq!(nothing.wish, None);
    }
}
