//! The PUBACKs that the hub owes a client, in the order of the publishes: each waits for its frame's commit.

use super::session::{Ending, RECEIVE_MAX};
use std::collections::VecDeque;
use tokio::sync::oneshot::{self, error::TryRecvError};

/// What is owed. MQTT wants the order kept, so a later commit never overtakes an earlier one.
#[derive(Default)]
pub(super) struct Owed {
    waiting: VecDeque<(u16, Fate)>,
}

enum Fate {
    /// Said by the driver; dropped unsaid, the frame was not committed.
    Open(oneshot::Receiver<()>),
    Decided {
        committed: bool,
    },
}

impl Owed {
    /// Notes a publish whose frame the driver is to commit, and gives what the driver says it with.
    pub fn frame(&mut self, id: u16) -> Result<oneshot::Sender<()>, Ending> {
        let (committed, hope) = oneshot::channel();
        self.note(id, Fate::Open(hope))?;
        Ok(committed)
    }

    /// Notes a publish that nobody has to commit.
    pub fn nothing(&mut self, id: u16) -> Result<(), Ending> {
        self.note(id, Fate::Decided { committed: true })
    }

    fn note(&mut self, id: u16, fate: Fate) -> Result<(), Ending> {
        // The library bounds how many are open, but counts an id that is used twice only once.
        if self.waiting.iter().any(|(other, _)| *other == id) {
            return Err(Ending::id_in_use());
        }
        debug_assert!(self.waiting.len() < usize::from(RECEIVE_MAX));
        self.waiting.push_back((id, fate));
        Ok(())
    }

    /// Waits until the oldest can be paid; forever when nothing is owed. Can be dropped while waiting.
    pub async fn due(&mut self) {
        match self.waiting.front_mut() {
            None => std::future::pending().await,
            Some((_, Fate::Decided { .. })) => {}
            Some((_, fate @ Fate::Open(_))) => {
                let Fate::Open(hope) = fate else { return };
                *fate = Fate::Decided { committed: hope.await.is_ok() };
            }
        }
    }

    /// The oldest, when its fate is known.
    pub fn next(&mut self) -> Option<(u16, bool)> {
        let (id, fate) = self.waiting.front_mut()?;
        let id = *id;
        let committed = match fate {
            Fate::Decided { committed } => *committed,
            Fate::Open(hope) => match hope.try_recv() {
                Ok(()) => true,
                Err(TryRecvError::Closed) => false,
                Err(TryRecvError::Empty) => return None,
            },
        };
        self.waiting.pop_front();
        Some((id, committed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_commit_never_overtakes_an_earlier_one() {
        let mut owed = Owed::default();
        let first = owed.frame(1).unwrap();
        let second = owed.frame(2).unwrap();
        owed.nothing(3).unwrap();
        second.send(()).unwrap();
        assert_eq!(owed.next(), None);
        drop(first);
        assert_eq!(owed.next(), Some((1, false)), "dropped unsaid is not committed");
        assert_eq!(owed.next(), Some((2, true)));
        assert_eq!(owed.next(), Some((3, true)));
        assert_eq!(owed.next(), None);
    }

    #[test]
    fn an_id_can_not_be_used_twice_at_once() {
        let mut owed = Owed::default();
        owed.nothing(7).unwrap();
        assert!(owed.frame(7).is_err());
        owed.next();
        assert!(owed.frame(7).is_ok());
    }
}
