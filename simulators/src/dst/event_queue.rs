//! What will happen when, in virtual time. Two things due at the same moment happen in the order they were put in.

use std::collections::BTreeMap;

/// Events by the moment they are due, in milliseconds of virtual time.
#[derive(Debug)]
pub struct EventQueue<E> {
    events: BTreeMap<(u64, u64), E>,
    put_in: u64,
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self { events: BTreeMap::new(), put_in: 0 }
    }
}

impl<E> EventQueue<E> {
    pub fn put(&mut self, at: u64, event: E) {
        self.put_in += 1;
        self.events.insert((at, self.put_in), event);
    }

    /// The next event and when it is due.
    pub fn next(&mut self) -> Option<(u64, E)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_by_the_order_they_were_put_in() {
        let mut queue = EventQueue::default();
        for (at, name) in [(5, "b"), (3, "a"), (5, "c")] {
            queue.put(at, name);
        }
        let order: Vec<(u64, &str)> = std::iter::from_fn(|| queue.next()).collect();
        assert_eq!(order, [(3, "a"), (5, "b"), (5, "c")]);
    }
}
