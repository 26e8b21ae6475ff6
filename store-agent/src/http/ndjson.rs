//! Requests of many lines, each a JSON text, answered line by line in order.
//!
//! A bad line gets a problem of its own and the rest counts. Good lines go on in chunks, so that a chunk shares one commit
//! and memory stays bounded. Empty lines are passed over. The answer is `200` with one line per line:
//! `{"line":7,"status":201,…}` or `{"line":8,"status":422,"problem":{…}}`.

use super::Problem;
use super::body::{BoundedBody, Lines, RawLine};
use crate::agent::RecordError;
use crate::inbox::NoAnswer;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Lines of one request. Bounds the answer, which is kept until the request has been read.
pub const LINES_MAX: usize = 100_000;
/// Longest single line: a document of 10,000 lines fits.
pub const LINE_BYTES_MAX: usize = 2 << 20;
/// A chunk goes on once it holds so many things, or so much weight.
const CHUNK_MAX: usize = 512;
const CHUNK_WEIGHT_MAX: usize = 8_192;

/// What a kind of line is read into, weighed, handed on, and answered with.
pub trait LineService {
    type Thing: Send;
    type Answer: Send;
    type Said: Serialize;

    fn read(&self, line: &[u8]) -> Result<Self::Thing, Problem>;
    /// How much of a chunk it takes; 1 for most.
    fn weight(&self, thing: &Self::Thing) -> usize;
    /// One answer per thing, in order.
    fn put(
        &self,
        things: Vec<Self::Thing>,
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer, RecordError>>, NoAnswer>> + Send;
    fn say(&self, line: usize, answer: Self::Answer) -> Self::Said;
}

/// Reads the whole body and answers it.
pub async fn serve<S: LineService + Sync>(service: &S, mut body: BoundedBody) -> Result<Response, Problem> {
    let mut batch = Batch::new(service);
    let mut lines = Lines::new(LINE_BYTES_MAX);
    while let Some(piece) = body.next().await? {
        lines.push(&piece);
        while let Some(line) = lines.next_line() {
            batch.take(&line);
            if batch.is_full() {
                batch.send().await;
            }
            if batch.line > LINES_MAX {
                batch.send().await;
                body.discard().await;
                return Err(too_many_lines());
            }
        }
    }
    if let Some(line) = lines.last() {
        batch.take(&line);
    }
    Ok(batch.answer().await)
}

/// As `serve`, for texts that came in another way than as lines; they are answered as lines all the same, counted from 1.
pub async fn serve_texts<S: LineService + Sync>(service: &S, texts: &[&[u8]]) -> Response {
    let mut batch = Batch::new(service);
    for text in texts {
        let is_too_long = text.len() > LINE_BYTES_MAX;
        batch.take(&if is_too_long { RawLine::TooLong } else { RawLine::Text(text) });
        if batch.is_full() {
            batch.send().await;
        }
    }
    batch.answer().await
}

fn too_many_lines() -> Problem {
    Problem::too_large(format!(
        "the request has more than {LINES_MAX} lines; those were taken, the rest was not. Send it again in smaller pieces: \
         nothing is counted twice"
    ))
}

struct Batch<'a, S: LineService> {
    service: &'a S,
    line: usize,
    /// What is to be said about each line since the last chunk, in order.
    slots: Vec<Slot>,
    things: Vec<S::Thing>,
    weight: usize,
    said: Vec<u8>,
}

/// A line waiting for its answer: `None` stands for the next thing's.
struct Slot {
    line: usize,
    problem: Option<Problem>,
}

#[derive(Serialize)]
struct SaidProblem<'a> {
    line: usize,
    status: u16,
    problem: &'a Problem,
}

impl<S: LineService> Batch<'_, S> {
    fn new(service: &S) -> Batch<'_, S> {
        Batch { service, line: 0, slots: Vec::new(), things: Vec::new(), weight: 0, said: Vec::new() }
    }

    fn take(&mut self, line: &RawLine<'_>) {
        self.line += 1;
        let read = match line {
            RawLine::Text(text) if text.trim_ascii().is_empty() => return,
            RawLine::Text(text) => self.service.read(text),
            RawLine::TooLong => {
                Err(Problem::too_large(format!("the line has more than the {LINE_BYTES_MAX} bytes allowed")))
            }
        };
        let problem = match read {
            Ok(thing) => {
                self.weight += self.service.weight(&thing);
                self.things.push(thing);
                None
            }
            Err(problem) => Some(problem),
        };
        self.slots.push(Slot { line: self.line, problem });
    }

    fn is_full(&self) -> bool {
        self.things.len() >= CHUNK_MAX || self.weight >= CHUNK_WEIGHT_MAX || self.slots.len() >= 4 * CHUNK_MAX
    }

    async fn answer(mut self) -> Response {
        self.send().await;
        ([(header::CONTENT_TYPE, "application/x-ndjson")], self.said).into_response()
    }

    /// Hands the chunk on and writes the answers of its lines.
    async fn send(&mut self) {
        let things = std::mem::take(&mut self.things);
        self.weight = 0;
        let count = things.len();
        let answers = if count == 0 { Ok(Vec::new()) } else { self.service.put(things).await };
        let mut answers: Box<dyn Iterator<Item = Result<S::Answer, Problem>> + Send> = match answers {
            Ok(answers) => Box::new(answers.into_iter().map(|answer| answer.map_err(Problem::from))),
            Err(no) => Box::new((0..count).map(move |_| Err(Problem::from(no)))),
        };
        for slot in std::mem::take(&mut self.slots) {
            let answer = match slot.problem {
                Some(problem) => Err(problem),
                None => answers
                    .next()
                    .unwrap_or_else(|| Err(Problem::internal("a line got no answer; send it again"))),
            };
            self.say(slot.line, answer);
        }
    }

    fn say(&mut self, line: usize, answer: Result<S::Answer, Problem>) {
        let written = match answer {
            Ok(answer) => serde_json::to_writer(&mut self.said, &self.service.say(line, answer)),
            Err(problem) => {
                let status = problem.status.as_u16();
                serde_json::to_writer(&mut self.said, &SaidProblem { line, status, problem: &problem })
            }
        };
        written.expect("writing numbers and texts into memory does not fail");
        self.said.push(b'\n');
    }
}
