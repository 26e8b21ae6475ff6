//! The store's own pause from new orders.

use super::{Answer, Output, RecordError, Ticket, Work};
use sync_protocol::UnixMillis;
use sync_protocol::order::lifecycle::WHO_BYTES_MAX;
use sync_protocol::pause::{PAUSE_MS_MAX, REASON_BYTES_MAX, StorePause};

impl Work<'_> {
    pub(super) fn pause(&mut self, ticket: Ticket, pause: Option<&StorePause>) -> rusqlite::Result<()> {
        let answer = match pause.map_or(Ok(()), |pause| judge_pause(pause, self.now.wall)) {
            Ok(()) => {
                self.mind.inventory.put_note(self.db, &StorePause::note(pause))?;
                Ok(())
            }
            Err(refused) => Err(refused),
        };
        self.outputs.push(Output::Answer { ticket, answer: Answer::Paused(answer) });
        Ok(())
    }
}

fn judge_pause(pause: &StorePause, now: UnixMillis) -> Result<(), RecordError> {
    let invalid = |field: &str, reason: &str| {
        Err(RecordError::Invalid { field: field.to_owned(), reason: reason.to_owned() })
    };
    if pause.until <= now.0 {
        return invalid("until", "is not in the future; to end a pause, resume");
    }
    if pause.until.saturating_sub(now.0) > PAUSE_MS_MAX {
        return invalid("until", "is more than 31 days ahead; ask head office to switch the store off");
    }
    if pause.reason.trim().is_empty() {
        return invalid("reason", "is missing; say why, for those who will ask");
    }
    let is_long = pause.reason.len() > REASON_BYTES_MAX || pause.by.len() > WHO_BYTES_MAX;
    if is_long || pause.reason.chars().chain(pause.by.chars()).any(char::is_control) {
        return invalid("reason", "or the name is too long, or has a control character; shorten it");
    }
    Ok(())
}
