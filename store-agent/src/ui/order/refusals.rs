//! Why something was not done with an order: a stable word for the trail, and the words for whoever stands there.

use crate::agent::{PickupError, RecordError};
use crate::counter::{ShortCodeRefused, SignedCodeRefused, Wrong};
use crate::inbox::NoAnswer;
use crate::ui::texts::{Text, hand_over, order as texts};
use crate::ui::words::Words;
use sync_protocol::order::ActRefused;
use sync_protocol::pickup_code::CodeRefused;

/// A word, and what it speaks of: `wrong-code 3`.
fn with(word: &str, what: impl std::fmt::Display) -> String {
    format!("{word} {what}")
}

#[must_use]
pub fn pickup(error: &PickupError) -> String {
    match error {
        PickupError::NoSuchOrder { order } => with("no-such-order", order),
        PickupError::MovedOn { .. } => "moved-on".to_owned(),
        PickupError::Refused(refused) => act(refused),
        PickupError::Code(refused) => code(refused),
        PickupError::UnknownItem { .. } => "unknown-item".to_owned(),
        PickupError::Record(RecordError::Storage { .. }) => "storage".to_owned(),
        PickupError::Record(error) => with("other", error),
    }
}

fn act(refused: &ActRefused) -> String {
    match refused {
        ActRefused::Stage { .. } | ActRefused::NoCancelWanted | ActRefused::NothingToPutBack => {
            "stage".to_owned()
        }
        ActRefused::NoSuchItem => "not-in-order".to_owned(),
        ActRefused::TooMuch { left, .. } => with("too-much", left),
        ActRefused::NotPositive => "amount".to_owned(),
        ActRefused::Unfinished { .. } => "unfinished".to_owned(),
        ActRefused::Empty => "empty".to_owned(),
        ActRefused::CancelWanted => "cancel-wanted".to_owned(),
        ActRefused::TooLate => "too-late".to_owned(),
        ActRefused::RungUp => "rung-up".to_owned(),
    }
}

#[must_use]
pub fn code(refused: &CodeRefused) -> String {
    match refused {
        CodeRefused::Unreadable => "no-code-fits".to_owned(),
        CodeRefused::Version => "newer-code".to_owned(),
        CodeRefused::Forged => "forged-code".to_owned(),
        CodeRefused::OtherStore { store } => with("other-store", store),
        CodeRefused::Expired => "expired-code".to_owned(),
        CodeRefused::Used => "used-code".to_owned(),
    }
}

#[must_use]
pub fn signed(refused: &SignedCodeRefused) -> String {
    match refused {
        SignedCodeRefused::NoKey => "no-key".to_owned(),
        SignedCodeRefused::Code(refused) => code(refused),
    }
}

#[must_use]
pub fn short_code(refused: ShortCodeRefused) -> String {
    match refused {
        ShortCodeRefused::NotKnownYet => "no-short-code".to_owned(),
        ShortCodeRefused::Wrong(Wrong::Code { left }) => with("wrong-code", left),
        ShortCodeRefused::Wrong(Wrong::Blocked { wait }) => with("blocked", wait.as_secs().div_ceil(60)),
    }
}

/// The agent did not answer; it may have been done.
#[must_use]
pub fn unheard(_: NoAnswer) -> String {
    "busy".to_owned()
}

/// The words for a refusal as the trail has it. `faster` is who changed the order meanwhile, where that is known.
#[must_use]
pub fn words(words: &Words<'_>, detail: &str, faster: Option<&str>) -> String {
    let (word, what) = detail.split_once(' ').unwrap_or((detail, ""));
    let somebody = words.say(texts::SOMEBODY);
    let what = if word == "moved-on" { faster.unwrap_or(somebody) } else { what };
    words.fill(
        text(word).unwrap_or(texts::NO_OTHER),
        &[("what", if text(word).is_some() { what } else { detail })],
    )
}

fn text(word: &str) -> Option<Text> {
    Some(match word {
        "no-such-order" => hand_over::NO_SUCH_ORDER,
        "moved-on" => texts::NO_MOVED_ON,
        "unknown-item" => hand_over::NO_UNKNOWN_ITEM,
        "storage" => texts::NO_STORAGE,
        "stage" => texts::NO_STAGE,
        "not-in-order" => texts::NO_NOT_IN_ORDER,
        "enough" => texts::NO_ENOUGH_ALREADY,
        "too-much" => texts::NO_TOO_MUCH,
        "amount" => texts::NO_AMOUNT,
        "unfinished" => texts::NO_UNFINISHED,
        "empty" => texts::NO_EMPTY,
        "cancel-wanted" => texts::NO_CANCEL_WANTED,
        "too-late" => texts::NO_TOO_LATE,
        "rung-up" => texts::NO_RUNG_UP,
        "no-code-fits" => hand_over::NO_CODE_FITS,
        "newer-code" => hand_over::NO_NEWER,
        "forged-code" => hand_over::NO_FORGED,
        "other-store" => hand_over::NO_OTHER_STORE,
        "expired-code" => hand_over::NO_EXPIRED,
        "used-code" => hand_over::NO_USED,
        "no-key" => hand_over::NO_KEY,
        "no-short-code" => hand_over::NO_SHORT_CODE,
        "not-a-code" => hand_over::NO_NOT_A_CODE,
        "wrong-code" => hand_over::NO_WRONG_CODE,
        "another-order" => hand_over::NO_ANOTHER_ORDER,
        "blocked" => hand_over::NO_BLOCKED,
        "busy" => texts::NO_BUSY,
        "reason" => texts::NO_REASON,
        "unreadable" => texts::NO_UNREADABLE,
        _ => return None,
    })
}
