//! One direction of one TCP connection on a lossy line, without sockets and without a clock: bytes go in, and come out when they
//! would have arrived.
//!
//! A program between two sockets never sees a segment lost, so losses are modelled. Bytes are cut into segments, and each may be lost on
//! its lane like a datagram. Its sender notices when three segments sent later have been acknowledged, a round trip after the third was sent
//! (fast retransmit), or after a retransmission timeout of two round trips and at least 200 ms, which doubles each time the segment
//! is lost again. Until it arrives, everything behind it waits (head of line). A blackout loses segments, so a connection outlives it, and
//! goes on with the retransmission that comes next.
//!
//! Left out: congestion windows (a sender waits only before a full queue), lost acknowledgements (the next one says it all) and
//! tail loss probes (which would find a lost last segment sooner than the timeout).

use super::lane::Lane;
use std::collections::VecDeque;
use std::time::Duration;

/// What fits a packet of 1,500 bytes beside the headers of IPv4 and TCP with time stamps.
pub const SEGMENT_BYTES_MAX: usize = 1448;
/// What IPv4 and TCP add to a segment.
pub const HEADER_BYTES: usize = 40;
/// Bytes under way at most, as in a receive window.
const UNDER_WAY_BYTES_MAX: usize = 256 * 1024;
/// Segments sent later that must have been acknowledged before one counts as lost.
const FOLLOWERS_NEEDED: u8 = 3;
const TIMEOUT_MIN: Duration = Duration::from_millis(200);
/// As RFC 6298 allows.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Segments under way.
#[derive(Debug)]
pub struct Segments {
    round_trip: Duration,
    /// Invariant: in the order they were sent, which is the order they are delivered in.
    under_way: VecDeque<Segment>,
    bytes: usize,
    ended: bool,
}

#[derive(Debug)]
struct Segment {
    /// None: the connection's end (FIN).
    bytes: Option<Vec<u8>>,
    fate: Fate,
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Arrives(Duration),
    Lost { resent_at: Duration, timeout: Duration, followers: u8 },
}

/// What has arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrived {
    Bytes(Vec<u8>),
    End,
}

impl Segments {
    #[must_use]
    pub fn new(round_trip: Duration) -> Self {
        Self { round_trip, under_way: VecDeque::new(), bytes: 0, ended: false }
    }

    /// Whether more may be sent now, as far as this connection goes.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.ended && self.bytes < UNDER_WAY_BYTES_MAX
    }

    /// Sends bytes.
    pub fn send(&mut self, now: Duration, bytes: &[u8], lane: &mut Lane) {
        for piece in bytes.chunks(SEGMENT_BYTES_MAX) {
            self.bytes += piece.len();
            self.send_one(now, Some(piece.to_vec()), lane);
        }
    }

    /// Says that nothing more will be sent.
    pub fn end(&mut self, now: Duration, lane: &mut Lane) {
        self.ended = true;
        self.send_one(now, None, lane);
    }

    fn send_one(&mut self, now: Duration, bytes: Option<Vec<u8>>, lane: &mut Lane) {
        self.resend(now, lane);
        let length = bytes.as_ref().map_or(0, Vec::len);
        let fate = match lane.segment(now, length + HEADER_BYTES) {
            Some(arrives) => Fate::Arrives(arrives),
            None => self.lost(now),
        };
        if matches!(fate, Fate::Arrives(_)) {
            let noticed_at = now + self.round_trip;
            self.under_way.iter_mut().for_each(|segment| segment.fate.followed(noticed_at));
        }
        self.under_way.push_back(Segment { bytes, fate });
    }

    /// When something arrives or is sent again next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        match self.under_way.front()?.fate {
            Fate::Arrives(at) => Some(at),
            Fate::Lost { resent_at, .. } => Some(resent_at),
        }
    }

    /// What has arrived by now, in order.
    pub fn arrived(&mut self, now: Duration, lane: &mut Lane) -> Option<Arrived> {
        self.resend(now, lane);
        let front = self.under_way.front()?;
        if !matches!(front.fate, Fate::Arrives(at) if at <= now) {
            return None;
        }
        let segment = self.under_way.pop_front()?;
        Some(match segment.bytes {
            Some(bytes) => {
                self.bytes -= bytes.len();
                Arrived::Bytes(bytes)
            }
            None => Arrived::End,
        })
    }

    /// Sends again what is due for it.
    fn resend(&mut self, now: Duration, lane: &mut Lane) {
        for segment in &mut self.under_way {
            while let Fate::Lost { resent_at, timeout, .. } = segment.fate
                && resent_at <= now
            {
                let length = segment.bytes.as_ref().map_or(0, Vec::len);
                segment.fate = match lane.segment(resent_at, length + HEADER_BYTES) {
                    Some(arrives) => Fate::Arrives(arrives),
                    None => lost_again(resent_at, timeout),
                };
            }
        }
    }

    fn lost(&self, now: Duration) -> Fate {
        let timeout = TIMEOUT_MIN.max(2 * self.round_trip);
        Fate::Lost { resent_at: now + timeout, timeout, followers: 0 }
    }
}

/// Only its timeout tells now: what follows has been acknowledged already.
fn lost_again(now: Duration, timeout: Duration) -> Fate {
    let timeout = (2 * timeout).min(TIMEOUT_MAX);
    Fate::Lost { resent_at: now + timeout, timeout, followers: FOLLOWERS_NEEDED }
}

impl Fate {
    /// A segment that was sent later gets through; its acknowledgement says so at `noticed_at`.
    fn followed(&mut self, noticed_at: Duration) {
        let Fate::Lost { resent_at, followers, .. } = self else { return };
        if *followers < FOLLOWERS_NEEDED {
            *followers += 1;
            if *followers == FOLLOWERS_NEEDED {
                *resent_at = noticed_at.min(*resent_at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::link::lane::Direction;
    use crate::fleet::link::profile::{Blackouts, LinkName, LinkProfile, Loss};
    use crate::rng::Rng;

    const ROUND_TRIP: Duration = ms(40);

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn line(loss: Loss) -> LinkProfile {
        LinkProfile { one_way: ROUND_TRIP / 2, loss, ..LinkProfile::PERFECT }
    }

    fn lane(profile: &LinkProfile, seed: u64) -> Lane {
        Lane::new(profile, Direction::ToHub, Rng::seeded(seed))
    }

    /// A lane whose next packets have these fates, by a profile that turns at once.
    fn lossy() -> Lane {
        lane(&line(Loss::even(1.0)), 1)
    }

    fn fine() -> Lane {
        lane(&line(Loss::NONE), 1)
    }

    /// All that comes out by `until`, with its moment, looked at every millisecond.
    fn collect(
        segments: &mut Segments,
        lane: &mut Lane,
        from: Duration,
        until: Duration,
    ) -> Vec<(Duration, Arrived)> {
        let mut out = Vec::new();
        let mut now = from;
        while now <= until {
            while let Some(arrived) = segments.arrived(now, lane) {
                out.push((now, arrived));
            }
            now += ms(1);
        }
        out
    }

    #[test]
    fn without_loss_bytes_take_the_way_and_nothing_more() {
        let (mut segments, mut lane) = (Segments::new(ROUND_TRIP), fine());
        segments.send(ms(0), b"hello", &mut lane);
        segments.end(ms(1), &mut lane);
        let out = collect(&mut segments, &mut lane, ms(0), ms(100));
        assert_eq!(out, [(ms(20), Arrived::Bytes(b"hello".to_vec())), (ms(21), Arrived::End)]);
        assert!(!segments.has_room() && segments.next_deadline().is_none());
    }

    #[test]
    fn a_lost_segment_with_three_behind_it_is_sent_again_after_a_round_trip() {
        let mut segments = Segments::new(ROUND_TRIP);
        segments.send(ms(0), b"a", &mut lossy());
        let mut lane = fine();
        for at in [1, 2, 3, 4] {
            segments.send(ms(at), b"b", &mut lane);
        }
        let out = collect(&mut segments, &mut lane, ms(0), ms(400));
        // The third was sent at 3 ms, its acknowledgement came at 43, and the way takes 20.
        assert!(out.iter().all(|(at, _)| *at == ms(63)), "all wait for the first: {out:?}");
        assert_eq!((out.len(), &out[0].1), (5, &Arrived::Bytes(b"a".to_vec())));
    }

    #[test]
    fn a_lost_segment_with_less_behind_it_waits_for_the_timeout() {
        let mut segments = Segments::new(ROUND_TRIP);
        segments.send(ms(0), b"a", &mut lossy());
        let mut lane = fine();
        segments.send(ms(1), b"b", &mut lane);
        segments.send(ms(2), b"c", &mut lane);
        assert_eq!(segments.next_deadline(), Some(ms(200)));
        let out = collect(&mut segments, &mut lane, ms(0), ms(400));
        assert_eq!(out.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [ms(220); 3]);
    }

    #[test]
    fn the_timeout_doubles_when_the_segment_is_lost_again() {
        let mut segments = Segments::new(ms(200));
        let mut lane = lossy();
        segments.send(ms(0), b"a", &mut lane);
        let mut resent = Vec::new();
        for _ in 0..4 {
            let at = segments.next_deadline().unwrap();
            resent.push(at);
            assert_eq!(segments.arrived(at, &mut lane), None);
        }
        assert_eq!(resent, [ms(400), ms(1200), ms(2800), ms(6000)]);
    }

    #[test]
    fn bytes_come_out_as_they_went_in_on_every_line() {
        for (seed, name) in (1..).zip([LinkName::CongestedWifi, LinkName::Satellite, LinkName::LteBackup]) {
            let profile = name.profile();
            let (mut lane, mut rng) = (lane(&profile, seed), Rng::seeded(seed));
            let mut segments = Segments::new(profile.round_trip());
            let sent: Vec<u8> = (0..200_000).map(|_| u8::try_from(rng.below(256)).unwrap()).collect();
            let (mut now, mut out, mut rest) = (ms(0), Vec::new(), &sent[..]);
            let mut ended = false;
            while !ended {
                if segments.has_room() && lane.room_at() <= now && !rest.is_empty() {
                    let (piece, later) = rest.split_at(rest.len().min(1 + rng.index(4000)));
                    segments.send(now, piece, &mut lane);
                    rest = later;
                    if rest.is_empty() {
                        segments.end(now, &mut lane);
                    }
                }
                while let Some(arrived) = segments.arrived(now, &mut lane) {
                    match arrived {
                        Arrived::Bytes(bytes) => out.extend(bytes),
                        Arrived::End => ended = true,
                    }
                }
                now += ms(1);
                assert!(now < Duration::from_secs(600), "{name:?}: {} bytes of {}", out.len(), sent.len());
            }
            assert!(out == sent, "{name:?}");
        }
    }

    #[test]
    fn a_blackout_holds_a_connection_and_does_not_end_it() {
        let blackouts = Blackouts { first: ms(100), every: Duration::from_secs(3600), last_for: ms(1000) };
        let profile = LinkProfile { blackouts: Some(blackouts), ..line(Loss::NONE) };
        let (mut segments, mut lane) = (Segments::new(ROUND_TRIP), lane(&profile, 1));
        segments.send(ms(150), b"a", &mut lane);
        segments.send(ms(1200), b"b", &mut lane);
        let out = collect(&mut segments, &mut lane, ms(0), ms(3000));
        // Sent again at 350, 750 and 1550 ms: only the last finds the line there.
        let bytes = |text: &[u8]| Arrived::Bytes(text.to_vec());
        assert_eq!(out, [(ms(1570), bytes(b"a")), (ms(1570), bytes(b"b"))]);
    }

    #[test]
    fn what_is_under_way_is_bounded() {
        let (mut segments, mut lane) = (Segments::new(ROUND_TRIP), fine());
        while segments.has_room() {
            segments.send(ms(0), &[0; 4096], &mut lane);
        }
        assert!(segments.bytes < UNDER_WAY_BYTES_MAX + 4096);
        assert!(segments.arrived(ms(20), &mut lane).is_some() && segments.next_deadline() == Some(ms(20)));
    }
}
