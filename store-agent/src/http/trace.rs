//! W3C Trace Context: takes up the caller's trace, or begins one, and gives it back with the answer.

use axum::http::{HeaderMap, HeaderValue};
use sync_protocol::TraceId;

/// The header of both directions.
pub const TRACEPARENT: &str = "traceparent";

/// The trace a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    pub id: TraceId,
    /// The caller records this trace, so it is worth carrying on to the hub.
    pub sampled: bool,
    span: [u8; 8],
}

impl Trace {
    /// The trace of a request with these headers. `random` makes up what the caller did not give.
    #[must_use]
    pub fn of(headers: &HeaderMap, random: [u8; 24]) -> Trace {
        let (id, span) = random.split_at(16);
        let span = span.try_into().expect("24 less 16 is 8");
        let given = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(parse);
        match given {
            Some((id, sampled)) => Trace { id, sampled, span },
            None => Trace { id: TraceId(id.try_into().expect("16 is 16")), sampled: false, span },
        }
    }

    /// The id, where the caller asked for the trace to be kept.
    #[must_use]
    pub fn carried(&self) -> Option<TraceId> {
        self.sampled.then_some(self.id)
    }

    #[must_use]
    pub fn header(&self) -> HeaderValue {
        let span = u64::from_be_bytes(self.span);
        let text = format!("00-{}-{span:016x}-{:02x}", self.id, u8::from(self.sampled));
        HeaderValue::from_str(&text).expect("digits and dashes are a header value")
    }
}

/// `version-trace-parent-flags`. Later versions may append more; only version ff is void.
fn parse(text: &str) -> Option<(TraceId, bool)> {
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let shaped = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    let ended = parts.next().is_none() || version != "00";
    if !shaped || !ended || version == "ff" || parent.bytes().all(|b| b == b'0') {
        return None;
    }
    let id: TraceId = trace.parse().ok()?;
    let flags = u8::from_str_radix(flags, 16).ok()?;
    (id.0 != [0; 16]).then_some((id, flags & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn with(value: &str) -> Trace {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, value.parse().unwrap());
        Trace::of(&headers, [7; 24])
    }

    #[test]
    fn a_sampled_trace_is_taken_up_and_given_back_under_a_span_of_our_own() {
        let trace = with(GIVEN);
        assert_eq!(trace.carried().unwrap().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.header(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0707070707070707-01");
    }

    #[test]
    fn a_trace_that_is_not_sampled_is_not_carried() {
        let trace = with(&GIVEN.replace("-01", "-00"));
        assert_eq!(trace.id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.carried(), None);
    }

    #[test]
    fn what_is_no_traceparent_begins_a_new_trace() {
        let zeros = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        let upper = "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01";
        for text in ["", "x", zeros, upper, &GIVEN.replacen("00", "ff", 1), &format!("{GIVEN}-more")] {
            let trace = with(text);
            assert_eq!((trace.id, trace.sampled), (TraceId([7; 16]), false), "{text}");
        }
    }
}
