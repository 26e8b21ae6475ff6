//! What becomes of a delivery after an attempt: pure, with time and chance as arguments.

use sync_protocol::UnixMillis;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// How long webhooks wait before each attempt, as Standard Webhooks advises. After the last, three days later, it is a dead letter.
const WEBHOOK_WAITS: [u64; 10] =
    [0, 5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
/// By how much a wait of the table is longer at most, as a share of it: one in so many.
const JITTER_PART: u64 = 10;
/// Shortest wait of a participant, and the longest.
const BACKOFF_MIN: u64 = 100;
const BACKOFF_MAX: u64 = 5 * MINUTE;
/// Longest wait that the other side may ask for with `Retry-After`.
const ASKED_MAX: u64 = HOUR;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `None`: no answer came.
    pub status: Option<u16>,
    /// Milliseconds that the other side asks to wait.
    pub retry_after: Option<u64>,
    /// For people.
    pub words: String,
}

/// When a failed delivery is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// By the table of webhooks; 410 says that nobody wants them any more.
    Table,
    /// Exponential with full jitter, until it is this old, in milliseconds. Most refusals can't be mended by trying again.
    Backoff { dead_after: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    Again {
        at: UnixMillis,
    },
    Dead,
    /// The endpoint wants nothing any more; this delivery waits for a replay.
    Gone,
}

impl Retry {
    /// `attempts`: with the one just made. `dice`: any number.
    #[must_use]
    pub fn verdict(
        self,
        answer: &Answer,
        attempts: u32,
        created_at: UnixMillis,
        now: UnixMillis,
        dice: u32,
    ) -> Verdict {
        if answer.status.is_some_and(|status| (200..300).contains(&status)) {
            return Verdict::Delivered;
        }
        let wait = match self {
            Retry::Table => match answer.status {
                Some(410) => return Verdict::Gone,
                _ => table_wait(attempts, dice),
            },
            Retry::Backoff { dead_after } => {
                let is_old = now.since(created_at) >= dead_after;
                let wait = backoff_wait(attempts, dice);
                (!is_old && is_worth_another_try(answer.status)).then_some(wait)
            }
        };
        match wait {
            Some(wait) => {
                let wait = wait.max(answer.retry_after.unwrap_or(0).min(ASKED_MAX));
                Verdict::Again { at: UnixMillis(now.0.saturating_add(wait.cast_signed())) }
            }
            None => Verdict::Dead,
        }
    }
}

fn is_worth_another_try(status: Option<u16>) -> bool {
    status.is_none_or(|status| matches!(status, 408 | 409 | 425 | 429) || !(400..500).contains(&status))
}

fn table_wait(attempts: u32, dice: u32) -> Option<u64> {
    let wait = *WEBHOOK_WAITS.get(usize::try_from(attempts).unwrap_or(usize::MAX))?;
    Some(wait + share(wait / JITTER_PART, dice))
}

fn backoff_wait(attempts: u32, dice: u32) -> u64 {
    let longest = SECOND.saturating_mul(1 << attempts.min(20)).min(BACKOFF_MAX);
    share(longest, dice).max(BACKOFF_MIN)
}

/// That part of `whole` that `dice` says.
fn share(whole: u64, dice: u32) -> u64 {
    whole.saturating_mul(u64::from(dice)) / u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);
    const PARTICIPANT: Retry = Retry::Backoff { dead_after: 24 * HOUR };

    fn answer(status: u16) -> Answer {
        Answer { status: Some(status), retry_after: None, words: String::new() }
    }

    fn silence() -> Answer {
        Answer { status: None, retry_after: None, words: "timed out".to_owned() }
    }

    fn after(retry: Retry, answer: &Answer, attempts: u32, dice: u32) -> Verdict {
        retry.verdict(answer, attempts, NOW, NOW, dice)
    }

    fn again(wait: u64) -> Verdict {
        Verdict::Again { at: UnixMillis(NOW.0 + wait.cast_signed()) }
    }

    #[test]
    fn a_webhook_is_tried_ten_times_over_three_days() {
        let waits: Vec<Verdict> = (1..=10).map(|made| after(Retry::Table, &answer(500), made, 0)).collect();
        assert_eq!(waits[..3], [again(5 * SECOND), again(5 * MINUTE), again(30 * MINUTE)]);
        assert_eq!(waits[8..], [again(24 * HOUR), Verdict::Dead]);
        assert_eq!(after(Retry::Table, &silence(), 1, u32::MAX), again(5_500));
        for refusal in [301, 400, 404, 503] {
            assert_eq!(after(Retry::Table, &answer(refusal), 1, 0), again(5 * SECOND), "{refusal}");
        }
        assert_eq!(after(Retry::Table, &answer(410), 1, 0), Verdict::Gone);
        assert_eq!(after(Retry::Table, &answer(204), 1, 0), Verdict::Delivered);
    }

    #[test]
    fn a_participant_is_tried_again_only_where_that_may_help() {
        for refusal in [400, 401, 404, 410, 422] {
            assert_eq!(after(PARTICIPANT, &answer(refusal), 1, 0), Verdict::Dead, "{refusal}");
        }
        for trouble in [302, 408, 409, 425, 429, 500, 503] {
            assert_eq!(after(PARTICIPANT, &answer(trouble), 1, 0), again(BACKOFF_MIN), "{trouble}");
        }
        assert_eq!(after(PARTICIPANT, &silence(), 1, u32::MAX), again(2 * SECOND));
        assert_eq!(after(PARTICIPANT, &silence(), 40, u32::MAX), again(BACKOFF_MAX));
        let late = UnixMillis(NOW.0 + (24 * HOUR).cast_signed());
        assert_eq!(PARTICIPANT.verdict(&silence(), 9, NOW, late, 0), Verdict::Dead);
    }

    #[test]
    fn the_other_side_may_ask_for_more_time_within_reason() {
        let busy = |ms| Answer { retry_after: Some(ms), ..answer(503) };
        assert_eq!(after(PARTICIPANT, &busy(MINUTE), 1, 0), again(MINUTE));
        assert_eq!(after(PARTICIPANT, &busy(HOUR * 1_000), 1, 0), again(ASKED_MAX));
    }
}
