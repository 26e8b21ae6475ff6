//! Datagrams on their way, in the order they arrive in.

use std::collections::VecDeque;
use std::time::Duration;

/// As much as one direction holds: more than any named line has under way.
const BYTES_MAX: usize = 8 << 20;

/// A queue of datagrams, each with its moment and where it goes.
#[derive(Debug)]
pub struct Delayed<T> {
    /// Invariant: moments never fall, as a lane gives them.
    queue: VecDeque<(Duration, T, Vec<u8>)>,
    bytes: usize,
}

impl<T> Default for Delayed<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), bytes: 0 }
    }
}

impl<T> Delayed<T> {
    /// A datagram for which there is no room is lost.
    pub fn push(&mut self, arrives: Duration, to: T, bytes: &[u8]) {
        if self.bytes + bytes.len() <= BYTES_MAX {
            self.bytes += bytes.len();
            self.queue.push_back((arrives, to, bytes.to_vec()));
        }
    }

    /// When the next one arrives.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.queue.front().map(|(at, ..)| *at)
    }

    /// The next one that has arrived by now.
    pub fn pop(&mut self, now: Duration) -> Option<(T, Vec<u8>)> {
        if self.next_deadline()? > now {
            return None;
        }
        let (_, to, bytes) = self.queue.pop_front()?;
        self.bytes -= bytes.len();
        Some((to, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_out_at_their_moment_in_order() {
        let (mut delayed, second) = (Delayed::default(), Duration::from_secs(1));
        delayed.push(second, 'a', b"1");
        delayed.push(second, 'b', b"2");
        delayed.push(2 * second, 'a', b"3");
        assert_eq!(delayed.next_deadline(), Some(second));
        assert_eq!(delayed.pop(second / 2), None);
        assert_eq!(delayed.pop(second), Some(('a', b"1".to_vec())));
        assert_eq!(delayed.pop(second), Some(('b', b"2".to_vec())));
        assert_eq!((delayed.pop(second), delayed.next_deadline()), (None, Some(2 * second)));
    }

    #[test]
    fn the_queue_is_bounded_and_takes_more_once_there_is_room() {
        let (mut delayed, megabyte) = (Delayed::default(), vec![0; 1 << 20]);
        (0..100).for_each(|_| delayed.push(Duration::ZERO, (), &megabyte));
        assert_eq!((delayed.queue.len(), delayed.bytes), (8, BYTES_MAX));
        assert!(delayed.pop(Duration::ZERO).is_some());
        delayed.push(Duration::ZERO, (), &megabyte);
        assert_eq!(delayed.queue.len(), 8);
    }
}
