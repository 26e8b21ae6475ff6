//! Why something is not done with an order, for whoever stands at the counter: each with what to do instead.

use crate::agent::PickupError;
use crate::counter::{ShortCodeRefused, SignedCodeRefused, WRONG_MAX, Wrong};
use crate::http::Problem;
use crate::inbox::NoAnswer;
use axum::http::StatusCode;
use sync_protocol::order::{ActRefused, OrderId};
use sync_protocol::pickup_code::CodeRefused;

pub fn refused(error: PickupError) -> Problem {
    let detail = error.to_string();
    match error {
        PickupError::NoSuchOrder { order } => no_such_order(order),
        PickupError::MovedOn { .. } => {
            Problem::new(StatusCode::CONFLICT, "moved-on", "The order has moved on", detail)
        }
        PickupError::Refused(ActRefused::NotPositive) => Problem::invalid("quantity", detail),
        PickupError::Refused(_) => {
            Problem::new(StatusCode::CONFLICT, "act-refused", "The order does not allow this", detail)
        }
        PickupError::Code(refused) => code_refused(refused),
        PickupError::UnknownItem { .. } => {
            Problem::new(StatusCode::CONFLICT, "unknown-item", "The store has no such item", detail)
        }
        PickupError::Record(error) => error.into(),
    }
}

/// An expired code is gone for good (410), one for elsewhere or used is in conflict with what is here (409).
pub fn code_refused(refused: CodeRefused) -> Problem {
    let detail = refused.to_string();
    let (status, code, title) = match refused {
        CodeRefused::Unreadable | CodeRefused::Version => return Problem::invalid("code", detail),
        CodeRefused::Forged => (StatusCode::FORBIDDEN, "forged-code", "The pickup code is forged"),
        CodeRefused::OtherStore { .. } => {
            (StatusCode::CONFLICT, "other-store", "The pickup code is for another store")
        }
        CodeRefused::Expired => (StatusCode::GONE, "expired-code", "The pickup code has expired"),
        CodeRefused::Used => (StatusCode::CONFLICT, "used-code", "The pickup code has been used"),
    };
    Problem::new(status, code, title, detail)
}

pub fn signed_code_refused(refused: SignedCodeRefused) -> Problem {
    match refused {
        SignedCodeRefused::NoKey => no_key(),
        SignedCodeRefused::Code(refused) => code_refused(refused),
    }
}

pub fn short_code_refused(order: OrderId, refused: ShortCodeRefused) -> Problem {
    match refused {
        ShortCodeRefused::NotKnownYet => no_short_code_yet(order),
        ShortCodeRefused::Wrong(wrong) => wrong_code(order, wrong),
    }
}

fn wrong_code(order: OrderId, wrong: Wrong) -> Problem {
    match wrong {
        Wrong::Code { left } => {
            let detail = format!(
                "this is not the short code of order {order}; compare the order's number and the code with what the \
                 customer shows ({left} more tries within ten minutes)"
            );
            let problem =
                Problem::new(StatusCode::FORBIDDEN, "wrong-code", "The short code is wrong", detail);
            Problem { field: Some("short_code".to_owned()), ..problem }
        }
        Wrong::Blocked { wait } => {
            let minutes = wait.as_secs().div_ceil(60);
            let detail = format!(
                "{WRONG_MAX} wrong short codes were tried for order {order}; scan the signed code, hand over to a person you \
                 have checked, or try again in {minutes} min"
            );
            Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-codes",
                "Too many wrong short codes",
                detail,
            )
        }
    }
}

pub fn no_such_order(order: OrderId) -> Problem {
    Problem::not_found(PickupError::NoSuchOrder { order }.to_string())
}

pub fn no_such_act(act: &str) -> Problem {
    Problem::not_found(format!(
        "nothing called `{act}` can be done with an order; it is accept, pick, short, ready, hand-over, undo, refuse, \
         acknowledge-cancel or put-back"
    ))
}

pub fn no_such_line(named: &str, order: OrderId) -> Problem {
    let detail =
        format!("order {order} has no item `{named}`; leave it on its shelf, and pick what the order lists");
    Problem::new(StatusCode::CONFLICT, "not-in-order", "The order has no such item", detail)
}

fn no_short_code_yet(order: OrderId) -> Problem {
    let detail = format!(
        "order {order} has not reached this store from head office, so its short code is not known here; scan the signed code"
    );
    Problem::new(StatusCode::CONFLICT, "no-short-code", "The short code is not known here", detail)
}

fn no_key() -> Problem {
    let detail = "this store can't check signed codes; ask for the short code, and have `hub.pickup_key_file` set in agent.toml";
    Problem::new(StatusCode::NOT_IMPLEMENTED, "no-pickup-key", "Signed codes can't be checked here", detail)
}

/// Picking the same twice is twice as much, so nobody is told to simply send it again.
pub fn unheard(no: NoAnswer) -> Problem {
    let detail = format!("{no}; look at the order before you do it again, it may have been done");
    Problem::unavailable("busy", "The agent cannot answer now", detail)
}
