//! Who may wait at the door: connections that have not shown a certificate and introduced themselves yet. There is room
//! for so many; when it is full, the one that has been there longest must leave for the next, once it had its chance.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

/// Most strangers at a time. Each holds a socket and, once it has begun with TLS, some ten kilobytes.
const STRANGERS_MAX: usize = 512;
/// What everybody gets before they may have to make way. Enough for a few round trips on a poor line.
const CHANCE: Duration = Duration::from_secs(1);

/// The door.
pub(crate) struct Door {
    places: Arc<Semaphore>,
    /// Oldest first; with some that have left or have become links.
    waiting: VecDeque<Waiting>,
    /// One was told to leave, and its place is not free yet.
    making_way: bool,
}

const NEVER_CLOSED: &str = "the semaphore is never closed";

struct Waiting {
    since: Instant,
    leave: oneshot::Sender<()>,
}

/// A stranger's right to be at the door. Dropped when it comes in, or goes.
pub(crate) struct Stranger {
    _place: OwnedSemaphorePermit,
    leave: oneshot::Receiver<()>,
}

impl Default for Door {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(STRANGERS_MAX)), waiting: VecDeque::new(), making_way: false }
    }
}

impl Door {
    /// Waits for a place; when all are taken, at most until the oldest stranger has had its chance. Can be dropped
    /// while waiting.
    pub async fn place(&mut self) -> OwnedSemaphorePermit {
        let free = Arc::clone(&self.places).acquire_owned();
        let mut free = std::pin::pin!(free);
        if !self.making_way {
            let had_its_chance = async {
                match self.oldest() {
                    Some(oldest) => tokio::time::sleep_until(oldest.since + CHANCE).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                place = &mut free => return place.expect(NEVER_CLOSED),
                () = had_its_chance => {}
            }
            self.making_way = true;
            self.clear_one();
        }
        // One leaves for one who comes; the others stay, however long they have been here.
        let place = free.await.expect(NEVER_CLOSED);
        self.making_way = false;
        place
    }

    /// Takes note of a stranger.
    pub fn enter(&mut self, place: OwnedSemaphorePermit) -> Stranger {
        if self.waiting.len() >= 2 * STRANGERS_MAX {
            self.waiting.retain(|waiting| !waiting.leave.is_closed());
        }
        let (leave, told) = oneshot::channel();
        self.waiting.push_back(Waiting { since: Instant::now(), leave });
        Stranger { _place: place, leave: told }
    }

    /// Makes the oldest stranger leave, if there is one.
    pub fn clear_one(&mut self) {
        while let Some(oldest) = self.waiting.pop_front() {
            if oldest.leave.send(()).is_ok() {
                return;
            }
        }
    }

    fn oldest(&mut self) -> Option<&Waiting> {
        while self.waiting.front().is_some_and(|oldest| oldest.leave.is_closed()) {
            self.waiting.pop_front();
        }
        self.waiting.front()
    }
}

impl Stranger {
    /// Waits until the stranger must make way, or the door is closed.
    pub async fn must_leave(&mut self) {
        // Whether it is told or the door is gone makes no difference.
        let _ = (&mut self.leave).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_stranger_makes_way_once_it_had_its_chance() {
        let mut door = Door::default();
        let mut strangers = Vec::new();
        for _ in 0..STRANGERS_MAX {
            let place = door.place().await;
            strangers.push(door.enter(place));
        }
        let mut oldest = strangers.remove(0);
        let before = Instant::now();
        let leaving = async {
            oldest.must_leave().await;
            drop(oldest);
        };
        let (_place, ()) = tokio::join!(door.place(), leaving);
        assert!(before.elapsed() >= CHANCE);
        assert!(strangers[0].leave.try_recv().is_err(), "the others stay");
    }
}
