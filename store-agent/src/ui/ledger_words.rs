//! What stands in the ledger and in the audit trail, in a person's language. Both keep stable words; what this version does not know is
//! shown as it stands there.

use super::people::audit::Outcome;
use super::texts::{Text, items, ledger as texts};
use super::words::Words;
use crate::agent::{PAGE_SOURCE, pickup};
use sync_protocol::record::Kind;

/// Every kind, in the order of its number.
pub const KINDS: [Kind; 9] = [
    Kind::Sale,
    Kind::Return,
    Kind::Receipt,
    Kind::Adjustment,
    Kind::Count,
    Kind::Waste,
    Kind::TransferOut,
    Kind::TransferIn,
    Kind::Pickup,
];

#[must_use]
pub fn kind(kind: Kind) -> Text {
    match kind {
        Kind::Sale => texts::KIND_SALE,
        Kind::Return => texts::KIND_RETURN,
        Kind::Receipt => texts::KIND_RECEIPT,
        Kind::Adjustment => texts::KIND_ADJUSTMENT,
        Kind::Count => texts::KIND_COUNT,
        Kind::Waste => texts::KIND_WASTE,
        Kind::TransferOut => texts::KIND_TRANSFER_OUT,
        Kind::TransferIn => texts::KIND_TRANSFER_IN,
        Kind::Pickup => texts::KIND_PICKUP,
    }
}

/// The reasons a person can choose, as the ledger keeps them.
pub const REASONS: [(&str, Text); 7] = [
    ("damaged", items::REASON_DAMAGED),
    ("expired", items::REASON_EXPIRED),
    ("spoiled", items::REASON_SPOILED),
    ("stolen", items::REASON_STOLEN),
    ("own_use", items::REASON_OWN_USE),
    ("found", items::REASON_FOUND),
    ("mistake", items::REASON_MISTAKE),
];

/// `damaged: fell off the pallet` is told as the reason in words, and what somebody wrote beside it.
#[must_use]
pub fn reason(words: &Words<'_>, kept: &str) -> String {
    let (code, more) = kept.split_once(": ").unwrap_or((kept, ""));
    match REASONS.iter().find(|(known, _)| *known == code) {
        Some((_, text)) if more.is_empty() => words.say(*text).to_owned(),
        Some((_, text)) => format!("{}: {more}", words.say(*text)),
        None => kept.to_owned(),
    }
}

#[must_use]
pub fn source(words: &Words<'_>, name: &str) -> String {
    match name {
        PAGE_SOURCE => words.say(texts::SOURCE_PAGE).to_owned(),
        pickup::SOURCE => words.say(texts::SOURCE_PICKUP).to_owned(),
        other => other.to_owned(),
    }
}

#[must_use]
pub fn act(words: &Words<'_>, name: &str) -> String {
    let text = match name {
        "adjustment" => texts::ACT_ADJUSTMENT,
        "receipt" => texts::ACT_RECEIPT,
        "waste" => texts::ACT_WASTE,
        "transfer_in" => texts::ACT_TRANSFER_IN,
        "transfer_out" => texts::ACT_TRANSFER_OUT,
        "count" => texts::ACT_COUNT,
        "pause_web" => texts::ACT_PAUSE,
        "resume_web" => texts::ACT_RESUME,
        "retry" => texts::ACT_RETRY,
        "export" => texts::ACT_EXPORT,
        "export_audit" => texts::ACT_EXPORT_AUDIT,
        other => return super::staff_page::act_words(words, other),
    };
    words.say(text).to_owned()
}

#[must_use]
pub fn outcome(outcome: Outcome) -> Text {
    match outcome {
        Outcome::Done => texts::OUTCOME_DONE,
        Outcome::Refused => texts::OUTCOME_REFUSED,
        Outcome::Begun => texts::OUTCOME_BEGUN,
    }
}
