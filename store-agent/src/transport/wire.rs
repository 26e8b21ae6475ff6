//! What goes over the wire of one connection: counted for the metrics, and watched for a hub that no longer answers.

use crate::telemetry::{Direction, Metrics};
use quinn::{Connection, ConnectionStats};

/// A connection's wire. The metrics are brought up to date at each look, and a last time when this is dropped.
pub struct Wire<'a> {
    connection: &'a Connection,
    metrics: &'a Metrics,
    counted: [u64; 4],
    silence: Silence,
}

impl<'a> Wire<'a> {
    pub fn new(connection: &'a Connection, metrics: &'a Metrics) -> Wire<'a> {
        Wire { connection, metrics, counted: [0; 4], silence: Silence::default() }
    }

    /// Counts what went by since the last look. Says for how many looks the hub has left unanswered what was sent.
    pub fn look(&mut self) -> u32 {
        let stats = self.connection.stats();
        self.count(&stats);
        // All of these ask for an acknowledgement; what is sent again counts again.
        let sent = &stats.frame_tx;
        let asked = sent.stream.saturating_add(sent.ping).saturating_add(sent.immediate_ack);
        self.silence.look(asked, stats.frame_rx.acks)
    }

    fn count(&mut self, stats: &ConnectionStats) {
        let (sent, received) = (&stats.udp_tx, &stats.udp_rx);
        let now = [sent.datagrams, sent.bytes, received.datagrams, received.bytes];
        let more = |at: usize| now[at].saturating_sub(self.counted[at]);
        self.metrics.udp(Direction::Sent, more(0), more(1));
        self.metrics.udp(Direction::Received, more(2), more(3));
        self.metrics.round_trip_seconds.set(stats.path.rtt.as_secs_f64());
        self.counted = now;
    }
}

impl Drop for Wire<'_> {
    fn drop(&mut self) {
        let stats = self.connection.stats();
        self.count(&stats);
    }
}

/// How long nothing that was sent has been acknowledged, in looks. Nobody asking is no silence.
#[derive(Debug, Default)]
struct Silence {
    asked: u64,
    answered: u64,
    looks: u32,
}

impl Silence {
    fn look(&mut self, asked: u64, answered: u64) -> u32 {
        if answered != self.answered {
            *self = Silence { asked, answered, looks: 0 };
        } else if asked > self.asked {
            self.looks += 1;
        }
        self.looks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_can_stay_unanswered() {
        let mut silence = Silence::default();
        assert_eq!(silence.look(1, 1), 0);
        assert_eq!((silence.look(1, 1), silence.look(1, 1)), (0, 0), "nobody asks");
        assert_eq!((silence.look(2, 1), silence.look(2, 1), silence.look(5, 1)), (1, 2, 3));
        assert_eq!(silence.look(5, 2), 0, "an answer ends the silence");
        assert_eq!(silence.look(5, 2), 0);
    }
}
