//! The way to the hub: its name, TCP, UDP, the proxy, who really answers, and what time it is there.

use super::Finding;
use crate::clock;
use crate::fault::{Code, Fault};
use crate::talk::https::{Answer, Hub};
use crate::talk::tls::Shown;
use crate::talk::{dial, quic, wait_for};
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use sync_protocol::UnixMillis;
use sync_protocol::enrolment::{Address, Pin};

/// A certificate is good from a day before it is made; further off, and nothing works.
const CLOCK_OFF_BAD_MS: i64 = 5 * 60 * 1000;
const CLOCK_OFF_NOTE_MS: i64 = 30 * 1000;

/// Where the hub is, as far as it is known here.
#[derive(Debug, Clone, Default)]
pub struct Goal {
    pub quic: Option<Address>,
    pub mqtt: Option<Address>,
    pub enrolment: Option<Address>,
    pub server_name: Option<String>,
    pub proxy: Option<Address>,
    pub pin: Option<Pin>,
    /// Known from the enrolment on.
    pub authority: Option<CertificateDer<'static>>,
}

/// What was seen of the way.
#[derive(Debug, Default)]
pub struct Way {
    pub name: Option<Result<Vec<SocketAddr>, Fault>>,
    pub tcp: Option<Result<(), Fault>>,
    pub udp: Option<Result<Option<Shown>, Fault>>,
    /// The enrolment endpoint's answer, and this machine's clock then.
    pub hub: Option<Result<(Answer, UnixMillis), Fault>>,
    pub through_proxy: bool,
}

impl Way {
    #[must_use]
    pub fn look(goal: &Goal) -> Way {
        let mut way = Way { through_proxy: goal.proxy.is_some(), ..Way::default() };
        if let (Some(quic), None) = (&goal.quic, &goal.proxy) {
            way.name = Some(wait_for(dial::look_up(quic)));
        }
        if let Some(mqtt) = &goal.mqtt {
            way.tcp = Some(wait_for(async { dial::dial(mqtt, goal.proxy.as_ref()).await.map(drop) }));
        }
        let name = goal.server_name.clone().or_else(|| goal.quic.as_ref().map(|at| at.host().to_owned()));
        if let (Some(quic), Some(name)) = (&goal.quic, name) {
            way.udp = Some(wait_for(quic::probe(quic, &name, goal.authority.clone())));
        }
        if let (Some(address), Some(pin)) = (&goal.enrolment, goal.pin) {
            let hub = Hub { address, proxy: goal.proxy.as_ref(), pin, credentials: None };
            way.hub = Some(wait_for(async { Ok((hub.knock().await?, clock::now())) }));
        }
        way
    }

    #[must_use]
    pub fn judge(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        findings.extend(self.name.as_ref().map(|name| match name {
            Ok(found) => Finding::good("hub's name", format!("leads to {} addresses", found.len())),
            Err(fault) => Finding::bad("hub's name", fault.code, fault.story()),
        }));
        let by = if self.through_proxy { " through the proxy" } else { "" };
        findings.extend(self.tcp.as_ref().map(|tcp| match tcp {
            Ok(()) if self.through_proxy => Finding::good("TCP to the hub", "gets through the proxy"),
            Ok(()) => Finding::good("TCP to the hub", "gets through"),
            Err(fault) => Finding::bad("TCP to the hub", fault.code, fault.story()),
        }));
        let tcp_works = matches!(self.tcp, Some(Ok(())));
        findings.extend(self.udp.as_ref().map(|udp| judge_udp(udp, tcp_works)));
        findings.extend(self.hub.as_ref().map(|hub| match hub {
            Ok(_) => Finding::good("hub's identity", format!("it is our hub that answers{by}")),
            Err(fault) => Finding::bad("hub's identity", fault.code, fault.story()),
        }));
        if let Some(Ok((answer, now))) = &self.hub {
            findings.push(judge_clock(answer.date.as_deref(), *now));
        }
        findings
    }
}

fn judge_udp(udp: &Result<Option<Shown>, Fault>, tcp_works: bool) -> Finding {
    match udp {
        Ok(Some(Shown { wrong: Some(wrong), issuer, subject })) => {
            let says = format!("`{subject}`, issued by `{issuer}`, answers in the hub's place: {wrong}");
            Finding::bad("UDP to the hub", Code::E305, says)
        }
        Ok(_) => Finding::good("UDP to the hub", "gets through"),
        // The agent has a second way, so a shop can work like this for ever.
        Err(fault) if tcp_works => Finding::note("UDP to the hub", fault.code, fault.story()),
        Err(fault) => Finding::bad("UDP to the hub", fault.code, fault.story()),
    }
}

/// This machine's clock beside the hub's.
#[must_use]
pub fn judge_clock(date: Option<&str>, now: UnixMillis) -> Finding {
    let hub = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let Some(hub) = hub else { return Finding::unknown("clock", "the hub does not say what time it is") };
    let off = now.0.saturating_sub(hub.timestamp().as_millisecond());
    let says = match off {
        0.. => format!("{} s ahead of the hub's", off / 1000),
        _ => format!("{} s behind the hub's", -(off / 1000)),
    };
    match off.abs() {
        CLOCK_OFF_BAD_MS.. => Finding::bad("clock", Code::E205, says),
        CLOCK_OFF_NOTE_MS.. => Finding::note("clock", Code::E205, says),
        _ => Finding::good("clock", says),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Verdict;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn a_clock_that_is_a_day_off_is_bad_and_says_which_way() {
        let date = Some("Wed, 18 Nov 2026 10:00:00 GMT");
        let hub = "2026-11-18T10:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let day = judge_clock(date, UnixMillis(hub - 86_400_000));
        assert_eq!((day.verdict, day.says.as_str()), (Verdict::Bad, "86400 s behind the hub's"));
        assert_eq!(judge_clock(date, UnixMillis(hub + 60_000)).verdict, Verdict::Note);
        assert_eq!(judge_clock(date, UnixMillis(hub + 900)).verdict, Verdict::Good);
        assert_eq!(judge_clock(Some("yesterday"), UnixMillis(hub)).verdict, Verdict::Unknown);
    }

    #[test]
    fn blocked_udp_is_a_note_while_tcp_gets_through() {
        let blocked = || Err(Fault::new(Code::E303, "no answer"));
        assert_eq!(judge_udp(&blocked(), true).verdict, Verdict::Note);
        assert_eq!(judge_udp(&blocked(), false).verdict, Verdict::Bad);
        let other = Shown {
            issuer: "CN=Filter".to_owned(),
            subject: "CN=x".to_owned(),
            wrong: Some("no".to_owned()),
        };
        let found = judge_udp(&Ok(Some(other)), true);
        assert!(found.code == Some("E305") && found.says.contains("CN=Filter"), "{found:?}");
    }

    #[test]
    fn a_way_with_nobody_at_its_end_is_told_piece_by_piece() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // Takes what comes and never answers.
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = |address: SocketAddr| Some(address.to_string().parse().unwrap());
        let goal = Goal {
            quic: at(silent.local_addr().unwrap()),
            mqtt: at(closed),
            enrolment: at(closed),
            server_name: None,
            proxy: None,
            pin: Some(Pin([1; 32])),
            authority: None,
        };
        let found = Way::look(&goal).judge();
        let codes: Vec<_> = found.iter().map(|finding| (finding.check, finding.code)).collect();
        assert_eq!(
            codes,
            [
                ("hub's name", None),
                ("TCP to the hub", Some("E302")),
                ("UDP to the hub", Some("E303")),
                ("hub's identity", Some("E302")),
            ]
        );
    }
}
