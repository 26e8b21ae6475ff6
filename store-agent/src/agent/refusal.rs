//! What those who wait are told when the disk did not take it.

use super::document::RecordError;
use super::{Answer, Input, Output};

pub(super) fn refusal(input: &Input, storage: &RecordError) -> Option<Output> {
    let (ticket, answer) = match input {
        Input::Record { ticket, documents } => {
            (*ticket, Answer::Recorded(documents.iter().map(|_| Err(storage.clone())).collect()))
        }
        Input::PutItems { ticket, items } => {
            (*ticket, Answer::Items(items.iter().map(|_| Err(storage.clone())).collect()))
        }
        Input::Enter { ticket, .. } => (*ticket, Answer::Recorded(vec![Err(storage.clone())])),
        Input::Pickup { ticket, .. } => (*ticket, Answer::Pickup(Err(storage.clone().into()))),
        Input::Reading { ticket, .. } => (*ticket, Answer::Read(Err(storage.clone()))),
        Input::Retry { ticket, .. } => (*ticket, Answer::Retried(Err(storage.clone().into()))),
        Input::Pause { ticket, .. } => (*ticket, Answer::Paused(Err(storage.clone()))),
        _ => return None,
    };
    Some(Output::Answer { ticket, answer })
}
