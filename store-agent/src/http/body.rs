//! Request bodies within bounds: of size, of time, and of how many large ones are held at once.
//!
//! Most bodies are a basket of a few hundred bytes. Only a few requests at a time may go past `SMALL_BYTES`; the others wait
//! unread, which holds their senders back, so memory stays bounded however many ask.

use super::Problem;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};

/// Up to here a body needs no permit.
const SMALL_BYTES: usize = 64 << 10;
/// How many larger bodies are read at once.
const LARGE_AT_ONCE: usize = 4;
/// Longest time for one body as a whole: 16 MiB arrive in it at half a megabit a second.
const TIME_MAX: Duration = Duration::from_secs(300);
/// A body that is over the limit is still read away up to here, so that the sender gets to see the answer.
const DISCARD_BYTES_MAX: usize = 64 << 20;

/// The bounds all requests of one listener share.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    pub bytes_max: usize,
    /// Longest pause between two pieces of a body.
    pub pause_max: Duration,
    large: Arc<Semaphore>,
}

impl BodyLimits {
    #[must_use]
    pub fn new(bytes_max: usize, pause_max: Duration) -> BodyLimits {
        BodyLimits { bytes_max, pause_max, large: Arc::new(Semaphore::new(LARGE_AT_ONCE)) }
    }

    /// Begins to read a body. `what_fits` is the limit for this kind of request, if it is below the general one.
    pub async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        what_fits: usize,
    ) -> Result<BoundedBody, Problem> {
        let bytes_max = self.bytes_max.min(what_fits);
        let mut bounded = BoundedBody {
            limits: self.clone(),
            bytes_max,
            bytes: 0,
            stream: body.into_data_stream(),
            deadline: Box::pin(sleep(TIME_MAX)),
            permit: None,
        };
        if announced(headers).is_some_and(|length| length > bytes_max) {
            // Who asked first (`Expect: 100-continue`) has sent nothing yet and hears of it at once.
            if !headers.contains_key(header::EXPECT) {
                bounded.discard().await;
            }
            return Err(bounded.over_limit());
        }
        Ok(bounded)
    }
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body that is being read.
#[derive(Debug)]
pub struct BoundedBody {
    limits: BodyLimits,
    bytes_max: usize,
    bytes: usize,
    stream: BodyDataStream,
    deadline: Pin<Box<Sleep>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl BoundedBody {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(piece) = self.piece().await? else {
            return Ok(None);
        };
        self.bytes += piece.len();
        if self.bytes > self.bytes_max {
            self.discard().await;
            return Err(self.over_limit());
        }
        if self.bytes > SMALL_BYTES && self.permit.is_none() {
            self.permit = Arc::clone(&self.limits.large).acquire_owned().await.ok();
        }
        Ok(Some(piece))
    }

    /// The whole rest.
    pub async fn whole(&mut self) -> Result<Vec<u8>, Problem> {
        let mut all = Vec::new();
        while let Some(piece) = self.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    /// Reads away what is left, so that the sender sees the answer instead of a reset.
    pub async fn discard(&mut self) {
        let mut discarded = 0;
        while let Ok(Some(piece)) = self.piece().await {
            discarded += piece.len();
            if discarded > DISCARD_BYTES_MAX {
                return;
            }
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        let next = tokio::select! {
            biased;
            piece = timeout(self.limits.pause_max, self.stream.next()) => piece.ok(),
            () = &mut self.deadline => None,
        };
        match next {
            Some(Some(Ok(piece))) => Ok(Some(piece)),
            Some(Some(Err(error))) => Err(Problem::bad_request(format!("the body broke off: {error}"))),
            Some(None) => Ok(None),
            None => Err(Problem::too_slow("the rest of the body did not come; send it again")),
        }
    }

    fn over_limit(&self) -> Problem {
        let max = self.bytes_max;
        Problem::too_large(format!(
            "the body has more than the {max} bytes allowed; send it in smaller pieces"
        ))
    }
}

/// Cuts a body into lines. A line that is too long is left out and reported, the rest goes on.
#[derive(Debug)]
pub struct Lines {
    held: Vec<u8>,
    start: usize,
    /// Up to where `held` is known to have no line end.
    searched: usize,
    line_bytes_max: usize,
    skipping: bool,
}

/// One line of a body, without its end.
#[derive(Debug, PartialEq, Eq)]
pub enum RawLine<'a> {
    Text(&'a [u8]),
    TooLong,
}

impl Lines {
    #[must_use]
    pub fn new(line_bytes_max: usize) -> Lines {
        Lines { held: Vec::new(), start: 0, searched: 0, line_bytes_max, skipping: false }
    }

    /// Takes the next piece of the body; call `next_line` until it gives nothing before the next `push`.
    pub fn push(&mut self, piece: &[u8]) {
        self.held.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.held.extend_from_slice(piece);
    }

    /// The next whole line.
    pub fn next_line(&mut self) -> Option<RawLine<'_>> {
        let end = self.held[self.searched..].iter().position(|b| *b == b'\n').map(|at| self.searched + at);
        match end {
            Some(end) => {
                let from = std::mem::replace(&mut self.start, end + 1);
                self.searched = self.start;
                Some(self.line(from, end))
            }
            None => {
                self.searched = self.held.len();
                if self.held.len() - self.start > self.line_bytes_max {
                    self.skipping = true;
                    self.start = self.held.len();
                }
                None
            }
        }
    }

    /// What is left after the last piece: a line without an end.
    pub fn last(&mut self) -> Option<RawLine<'_>> {
        let from = std::mem::replace(&mut self.start, self.held.len());
        self.searched = self.held.len();
        (self.skipping || from < self.held.len()).then(|| self.line(from, self.held.len()))
    }

    fn line(&mut self, from: usize, end: usize) -> RawLine<'_> {
        if std::mem::take(&mut self.skipping) || end - from > self.line_bytes_max {
            return RawLine::TooLong;
        }
        let text = &self.held[from..end];
        RawLine::Text(text.strip_suffix(b"\r").unwrap_or(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&str], max: usize) -> Vec<String> {
        let mut lines = Lines::new(max);
        let mut all = Vec::new();
        let show = |line: RawLine<'_>| match line {
            RawLine::Text(text) => String::from_utf8_lossy(text).into_owned(),
            RawLine::TooLong => "(too long)".to_owned(),
        };
        for piece in pieces {
            lines.push(piece.as_bytes());
            while let Some(line) = lines.next_line() {
                all.push(show(line));
            }
        }
        all.extend(lines.last().map(show));
        all
    }

    #[test]
    fn lines_are_the_same_however_the_body_was_cut() {
        let text = "one\r\ntwo\n\nthree";
        let whole = cut(&[text], 10);
        assert_eq!(whole, ["one", "two", "", "three"]);
        for at in 0..text.len() {
            assert_eq!(cut(&[&text[..at], &text[at..]], 10), whole, "cut at {at}");
        }
        let letters: Vec<&str> = text.split("").collect();
        assert_eq!(cut(&letters, 10), whole);
    }

    #[test]
    fn a_line_that_is_too_long_is_one_line_and_the_rest_goes_on() {
        for pieces in [vec!["0123456789abc\nok\n"], vec!["01234567", "89abc", "def\no", "k\n"]] {
            assert_eq!(cut(&pieces, 8), ["(too long)", "ok"], "{pieces:?}");
        }
        assert_eq!(cut(&["0123456789"], 8), ["(too long)"]);
    }

    #[test]
    fn what_is_held_of_a_long_line_stays_bounded() {
        let mut lines = Lines::new(8);
        for _ in 0..1000 {
            lines.push(b"0123456789");
            assert_eq!(lines.next_line(), None);
            assert!(lines.held.len() <= 20);
        }
    }
}
