//! A store's own pause from new pickup orders: a note of its manager's to the hub. Orders that it has are not touched.

use crate::record::{Note, Topic};
use serde::{Deserialize, Serialize};

/// Longest reason, in bytes.
pub const REASON_BYTES_MAX: usize = 200;
/// Longest pause, in milliseconds: 31 days. A store that is away for longer is switched off by head office.
pub const PAUSE_MS_MAX: i64 = 31 * 24 * 60 * 60 * 1000;

/// No new orders for this store until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorePause {
    /// Milliseconds since 1970.
    pub until: i64,
    pub reason: String,
    /// Who at the store.
    #[serde(default)]
    pub by: String,
}

impl StorePause {
    /// # Errors
    /// The text is no pause.
    pub fn read(text: &str) -> serde_json::Result<StorePause> {
        serde_json::from_str(text)
    }

    /// `None` ends a pause.
    #[must_use]
    pub fn note(pause: Option<&StorePause>) -> Note {
        let text =
            pause.map(|pause| serde_json::to_string(pause).expect("text keys, numbers and no failing parts"));
        Note { topic: Topic::PAUSE, key: 0, text: text.unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_reads_back_as_what_was_written_and_its_end_is_an_empty_note() {
        let pause = StorePause { until: 7, reason: "stock-taking".to_owned(), by: "Ana".to_owned() };
        let note = StorePause::note(Some(&pause));
        assert_eq!((note.topic, StorePause::read(&note.text).unwrap()), (Topic::PAUSE, pause));
        assert_eq!(StorePause::note(None).text, "");
    }
}
