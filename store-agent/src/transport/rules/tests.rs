//! The rules on a clock that only the test moves.

use super::*;

/// The rules with a clock that stands still until told otherwise.
struct Shop {
    rules: Rules,
    now: Duration,
}

impl Shop {
    fn new(mode: TransportMode) -> Shop {
        Shop { rules: Rules::new(mode, Pace::default()), now: Duration::ZERO }
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Dials what is next, with the longest pause.
    fn dial(&mut self) -> Dial {
        let dial = self.rules.dial(1.0);
        self.now += dial.pause;
        self.rules.dialled(self.now);
        dial
    }

    fn heard(&mut self) -> Option<Switch> {
        self.rules.heard(self.now)
    }

    fn end(&mut self, reason: &str) {
        self.rules.ended(self.now, reason);
    }

    /// Dials, hears nothing, gives up.
    fn fail(&mut self) -> Dial {
        let dial = self.dial();
        self.end("nobody answered");
        dial
    }

    /// Probes until the rules want to leave MQTT. Says for how long that took.
    fn probe_until_healthy(&mut self) -> Duration {
        let began = self.rules.probe().unwrap().at;
        loop {
            let probe = self.rules.probe().unwrap();
            self.now = probe.at + probe.stands;
            if self.rules.probed(self.now, Some(probe.stands)) {
                return self.now - began;
            }
        }
    }

    fn on_mqtt(&mut self) {
        assert_eq!(self.dial(), at_once(Transport::Quic));
        self.end("nobody answered");
        assert_eq!(self.dial(), at_once(Transport::Mqtt));
        self.heard();
    }
}

fn at_once(transport: Transport) -> Dial {
    Dial { transport, pause: Duration::ZERO }
}

fn after(transport: Transport, millis: u64) -> Dial {
    Dial { transport, pause: Duration::from_millis(millis) }
}

#[test]
fn quic_is_dialled_first_and_mqtt_at_once_when_it_is_not_heard() {
    let mut shop = Shop::new(TransportMode::Auto);
    assert_eq!(shop.dial(), at_once(Transport::Quic));
    assert_eq!(shop.rules.silent_until(), Some(Duration::from_secs(4)));
    shop.wait(4);
    shop.end("no frame in 4 seconds");
    assert_eq!(shop.dial(), at_once(Transport::Mqtt));
    let switch = Switch { to: Transport::Mqtt, reason: "no frame in 4 seconds".to_owned() };
    assert_eq!(shop.heard(), Some(switch));
    assert_eq!(shop.rules.silent_until(), None, "a hub that was heard is not given up for silence");
}

#[test]
fn when_both_fail_they_take_turns_with_growing_pauses() {
    let mut shop = Shop::new(TransportMode::Auto);
    let dials: Vec<Dial> = (0..7).map(|_| shop.fail()).collect();
    let (quic, mqtt) = (Transport::Quic, Transport::Mqtt);
    assert_eq!(
        dials,
        [
            at_once(quic),
            at_once(mqtt),
            after(quic, 200),
            at_once(mqtt),
            after(quic, 400),
            at_once(mqtt),
            after(quic, 800)
        ]
    );
    let longest = (0..60).map(|_| shop.fail().pause).max().unwrap();
    assert_eq!(longest, Duration::from_secs(30));
    shop.dial();
    shop.heard();
    shop.end("cut");
    let pause = (0..2).map(|_| shop.fail().pause).max().unwrap();
    assert_eq!(pause, Duration::from_millis(200), "a hub that was heard starts the pauses over");
}

#[test]
fn pauses_differ_between_stores() {
    let mut shop = Shop::new(TransportMode::Quic);
    shop.fail();
    assert_eq!(shop.rules.dial(0.0).pause, Duration::from_millis(100));
    assert_eq!(shop.rules.dial(1.0).pause, Duration::from_millis(400));
}

#[test]
fn who_may_not_choose_stays_and_waits_for_the_hub_without_a_limit() {
    for (mode, transport) in [(TransportMode::Quic, Transport::Quic), (TransportMode::Mqtt, Transport::Mqtt)]
    {
        let mut shop = Shop::new(mode);
        assert_eq!(shop.dial(), at_once(transport));
        assert_eq!(shop.rules.silent_until(), None);
        assert_eq!(shop.heard(), None, "there is nothing to switch from");
        assert_eq!(shop.rules.probe(), None);
        shop.wait(1000);
        shop.end("cut");
        assert_eq!(shop.dial(), after(transport, 200));
    }
}

#[test]
fn a_quic_link_that_dies_in_use_is_followed_by_mqtt_at_once() {
    let mut shop = Shop::new(TransportMode::Auto);
    shop.dial();
    assert_eq!(shop.heard(), None, "QUIC is where everyone begins");
    shop.wait(5000);
    shop.end("the hub leaves everything unanswered");
    assert_eq!(shop.dial(), at_once(Transport::Mqtt));
    assert_eq!(shop.heard().unwrap().reason, "the hub leaves everything unanswered");
}

#[test]
fn an_mqtt_link_that_stood_is_dialled_again_and_one_that_did_not_makes_room_for_quic() {
    let mut shop = Shop::new(TransportMode::Auto);
    shop.on_mqtt();
    shop.wait(61);
    shop.end("the hub stopped");
    assert_eq!(shop.dial(), after(Transport::Mqtt, 200));
    assert_eq!(shop.heard(), None, "the same way is no switch");
    shop.wait(5);
    shop.end("the hub stopped");
    assert_eq!(shop.dial().transport, Transport::Quic);
}

#[test]
fn quic_is_probed_from_mqtt_ever_more_rarely_while_it_fails() {
    let mut shop = Shop::new(TransportMode::Auto);
    assert_eq!(shop.rules.probe(), None);
    shop.on_mqtt();
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let probe = shop.rules.probe().unwrap();
        assert_eq!(probe.stands, Duration::from_secs(10));
        pauses.push((probe.at - shop.now).as_secs());
        shop.now = probe.at + Duration::from_secs(6);
        assert!(!shop.rules.probed(shop.now, None));
    }
    assert_eq!(pauses, [5, 10, 20, 30, 30, 30]);
}

#[test]
fn once_probes_are_healthy_mqtt_is_left_for_quic_at_once() {
    let mut shop = Shop::new(TransportMode::Auto);
    shop.on_mqtt();
    assert_eq!(shop.probe_until_healthy(), Duration::from_secs(10));
    assert_eq!(shop.rules.probe(), None, "enough probed");
    shop.end("QUIC has stood for 10 s");
    assert_eq!(shop.dial(), at_once(Transport::Quic));
    assert_eq!(
        shop.heard().unwrap(),
        Switch { to: Transport::Quic, reason: "QUIC has stood for 10 s".to_owned() }
    );
}

#[test]
fn a_return_that_soon_ends_makes_the_next_one_wait_twice_as_long() {
    let mut shop = Shop::new(TransportMode::Auto);
    shop.on_mqtt();
    let mut waits = Vec::new();
    for _ in 0..7 {
        waits.push(shop.probe_until_healthy().as_secs());
        shop.end("QUIC works again");
        assert_eq!(shop.dial(), at_once(Transport::Quic));
        shop.heard();
        shop.wait(59);
        shop.end("the hub leaves everything unanswered");
        assert_eq!(shop.dial(), at_once(Transport::Mqtt));
        shop.heard();
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
}

#[test]
fn a_return_on_which_the_hub_is_never_heard_was_premature_too() {
    let mut shop = Shop::new(TransportMode::Auto);
    shop.on_mqtt();
    shop.probe_until_healthy();
    shop.end("QUIC works again");
    shop.fail();
    assert_eq!(shop.rules.healthy_after(), Duration::from_secs(20));
}

#[test]
fn a_return_that_lasts_a_minute_costs_nothing_and_one_of_ten_minutes_makes_up_for_the_rest() {
    let mut shop = Shop::new(TransportMode::Auto);
    shop.on_mqtt();
    for (lasted, then) in [(10, 20), (60, 20), (599, 20), (10, 40), (600, 10)] {
        shop.probe_until_healthy();
        shop.end("QUIC works again");
        shop.dial();
        shop.heard();
        shop.wait(lasted);
        shop.end("cut");
        assert_eq!(shop.rules.healthy_after(), Duration::from_secs(then), "after {lasted} s");
        shop.dial();
        shop.heard();
    }
}

#[test]
fn long_probes_are_made_of_several_and_a_failure_begins_them_anew() {
    let mut shop = Shop::new(TransportMode::Auto);
    shop.on_mqtt();
    shop.rules.healthy_after = Duration::from_secs(120);
    let mut parts = Vec::new();
    let mut left = false;
    while !left {
        let probe = shop.rules.probe().unwrap();
        parts.push(probe.stands.as_secs());
        shop.now = probe.at + probe.stands;
        left = shop.rules.probed(shop.now, (parts.len() != 2).then_some(probe.stands));
    }
    assert_eq!(parts, [50, 50, 50, 50, 20], "the second one failed");
}

#[test]
fn a_failed_probe_never_ends_the_link_it_ran_beside() {
    let mut shop = Shop::new(TransportMode::Auto);
    shop.on_mqtt();
    shop.wait(3600);
    assert!(!shop.rules.probed(shop.now, None));
    assert!(shop.rules.is_heard());
}
