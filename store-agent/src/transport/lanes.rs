//! What waits to be sent on a link that carries one thing after the other: state goes before history, each in its own order.

use std::collections::VecDeque;
use sync_protocol::frame::Stream;

#[derive(Debug, Default)]
pub struct Lanes {
    state: VecDeque<Vec<u8>>,
    history: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Lanes {
    pub fn add(&mut self, stream: Stream, frame: Vec<u8>) {
        self.bytes += frame.len();
        match stream {
            Stream::State => self.state.push_back(frame),
            Stream::History => self.history.push_back(frame),
        }
    }

    pub fn next(&mut self) -> Option<(Stream, Vec<u8>)> {
        let state = self.state.pop_front().map(|frame| (Stream::State, frame));
        let (stream, frame) =
            state.or_else(|| self.history.pop_front().map(|frame| (Stream::History, frame)))?;
        self.bytes -= frame.len();
        Some((stream, frame))
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_overtakes_history_and_nothing_else_overtakes() {
        let mut lanes = Lanes::default();
        for (stream, frame) in
            [(Stream::History, 1), (Stream::State, 2), (Stream::History, 3), (Stream::State, 4)]
        {
            lanes.add(stream, vec![frame]);
        }
        assert_eq!(lanes.bytes(), 4);
        let sent: Vec<u8> = std::iter::from_fn(|| lanes.next()).map(|(_, frame)| frame[0]).collect();
        assert_eq!((sent, lanes.bytes()), (vec![2, 4, 1, 3], 0));
    }
}
