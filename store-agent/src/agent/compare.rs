//! When the sums of both sides differ although they stand at the same mark: what differs is sent again.

use super::Work;
use sync_protocol::frame::{Buckets, Direction, Resend};

impl Work<'_> {
    /// The hub's sums differ from ours (`Up`: our records, write the differing ones anew) or ours from the hub's (`Down`).
    pub(super) fn compare(&mut self, buckets: &Buckets) -> rusqlite::Result<()> {
        match buckets.direction {
            Direction::Up if buckets.head == self.mind.inventory.change_seq => {
                let differing = self.mind.inventory.up.differing(&buckets.sums);
                if !differing.is_empty() {
                    tracing::error!(
                        buckets = differing.len(),
                        "the hub's copy of this store differs; sending those records again"
                    );
                    self.counters.digest_mismatches += 1;
                    self.mind.inventory.restamp(self.db, &differing)?;
                }
            }
            Direction::Down if buckets.head == self.mind.down_mark => {
                let differing = self.mind.inventory.down.differing(&buckets.sums);
                if !differing.is_empty() {
                    tracing::error!(
                        buckets = differing.len(),
                        "this store's copy of the hub's records differs; asking for them again"
                    );
                    self.counters.digest_mismatches += 1;
                    self.link.ask_again(Resend {
                        direction: Direction::Down,
                        head: buckets.head,
                        buckets: differing,
                    });
                }
            }
            // One side has moved on since; the next heartbeat compares again.
            _ => {}
        }
        Ok(())
    }
}
