//! The lines between stores and hub.
//!
//! Two ways to travel. Like QUIC: frames of one stream arrive in order and whole until the connection breaks; what is on the way
//! then is gone; loss only costs time. Like MQTT through a broker: each frame by itself, lost, doubled, late or out of order, also
//! across restarts of either end, and a store's frames reach every server that subscribes in the store's name.

use super::checkers::Check;
use super::world::{Event, World};
use crate::rng::Rng;
use std::collections::BTreeMap;
use sync_protocol::frame::{self, Stream};
use sync_protocol::link::store::LinkState;

/// How long a dead line may go unnoticed, in milliseconds.
const UNNOTICED_MAX: u64 = 30_000;
/// How often a broker tries to find somebody for a frame.
const TRIES_MAX: u8 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    Quic,
    Mqtt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
}

/// What lines are like.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Mean delay of a frame.
    pub delay_ms: u64,
    /// Shares of frames that are very late, lost (over QUIC: sent again below), and doubled.
    pub spike: f64,
    pub loss: f64,
    pub doubling: f64,
}

impl Weather {
    /// Nothing goes wrong any more.
    pub const CALM: Weather = Weather { delay_ms: 5, spike: 0.0, loss: 0.0, doubling: 0.0 };
}

/// One connection of one start of an agent.
#[derive(Debug)]
pub struct Link {
    pub machine: usize,
    pub store: usize,
    /// Which start of the agent opened it.
    pub life: u64,
    pub carriage: Carriage,
    pub at_hub: bool,
    pub at_agent: bool,
    /// Nothing gets through any more.
    pub broken: bool,
    /// How many ends have noticed.
    noticed: u8,
    /// When the last frame of each way and stream arrives: later ones don't overtake it.
    last_arrivals: [u64; 4],
}

/// A frame on its way.
#[derive(Debug, Clone)]
pub struct Flight {
    pub link: u64,
    pub store: usize,
    pub carriage: Carriage,
    pub way: Way,
    /// Which start of the agent, or of the hub, it was meant for.
    pub life: u64,
    pub bytes: Vec<u8>,
    tries: u8,
}

#[derive(Debug)]
pub struct Network {
    pub links: BTreeMap<u64, Link>,
    /// Until when each store is cut off.
    pub cut_until: Vec<u64>,
    pub weather: Weather,
    pub rng: Rng,
    links_made: u64,
}

impl Network {
    #[must_use]
    pub fn new(stores: usize, weather: Weather, rng: Rng) -> Network {
        Network { links: BTreeMap::new(), cut_until: vec![0; stores], weather, rng, links_made: 0 }
    }

    #[must_use]
    pub fn is_cut(&self, store: usize, now: u64) -> bool {
        self.cut_until[store] > now
    }

    pub fn delay(&mut self) -> u64 {
        let mean = self.weather.delay_ms;
        let usual = self.rng.between(mean / 2, mean * 2);
        let late = self.rng.chance(self.weather.spike);
        usual + if late { self.rng.below(20_000) } else { 0 }
    }
}

impl World {
    /// A server tries to reach the hub.
    pub(super) fn connect(&mut self, machine: usize) {
        let store = self.machines[machine].store;
        let Some(process) = self.machines[machine].process.as_ref() else { return };
        if self.machines[machine].link.is_some() {
            return;
        }
        if self.hub.process.is_none() || self.network.is_cut(store, self.now) {
            return self.connect_later(machine);
        }
        self.network.links_made += 1;
        let (id, carriage, life) = (self.network.links_made, self.machines[machine].carriage, process.life);
        let link = Link {
            machine,
            store,
            life,
            carriage,
            at_hub: false,
            at_agent: false,
            broken: false,
            noticed: 0,
            last_arrivals: [0; 4],
        };
        self.network.links.insert(id, link);
        self.machines[machine].link = Some(id);
        let (at_hub, at_agent) = (self.network.delay(), self.network.delay());
        self.queue.put(self.now + at_hub, Event::UpAtHub { link: id, life: self.hub.life });
        self.queue.put(self.now + at_hub + at_agent, Event::UpAtAgent { link: id });
    }

    /// As a daemon does: after a pause that varies.
    pub(super) fn connect_later(&mut self, machine: usize) {
        let longest = if self.healed || self.network.rng.chance(0.7) { 2_000 } else { 20_000 };
        let pause = self.network.rng.between(50, longest);
        self.queue.put(self.now + pause, Event::Connect { machine });
    }

    pub(super) fn up_at_hub(&mut self, id: u64, life: u64) {
        let Some(link) = self.network.links.get_mut(&id).filter(|link| !link.broken) else { return };
        if self.hub.life != life || self.hub.process.is_none() {
            return self.break_link(id);
        }
        link.at_hub = true;
        let (store, carriage) = (link.store, link.carriage);
        let name = self.store_ids[store].clone();
        self.tell_hub(cloud_hub::hub::Input::LinkUp { link: cloud_hub::hub::LinkId(id), store: name });
        if carriage == Carriage::Quic {
            self.hang_up_older(store, id);
        }
    }

    /// The hub's listener keeps one connection a store: the newest.
    fn hang_up_older(&mut self, store: usize, newest: u64) {
        let is_older = |link: &Link| link.store == store && link.at_hub && link.carriage == Carriage::Quic;
        let older: Vec<u64> = self
            .network
            .links
            .range(..newest)
            .filter(|(_, link)| is_older(link))
            .map(|(id, _)| *id)
            .collect();
        for id in older {
            self.break_link(id);
        }
    }

    pub(super) fn up_at_agent(&mut self, id: u64) {
        let Some(link) = self.network.links.get_mut(&id).filter(|link| !link.broken) else { return };
        let machine = link.machine;
        if self.machines[machine].life() != Some(link.life) {
            return self.break_link(id);
        }
        link.at_agent = true;
        self.tell_agent(machine, store_agent::agent::Input::LinkUp);
    }

    /// Nothing gets through from now on; each end notices in its own time.
    pub(super) fn break_link(&mut self, id: u64) {
        let Some(link) = self.network.links.get_mut(&id).filter(|link| !link.broken) else { return };
        link.broken = true;
        let machine = link.machine;
        let process = self.machines[machine].process.as_ref();
        let adopting = process.is_some_and(|process| process.agent.status().link == LinkState::Adopting);
        self.coverage.sometimes("agent: hand-over cut short", adopting);
        let unnoticed = if self.healed { 100 } else { UNNOTICED_MAX };
        let (hub, agent) = (self.network.rng.below(unnoticed), self.network.rng.below(unnoticed));
        self.queue.put(self.now + hub, Event::DownAtHub { link: id });
        self.queue.put(self.now + agent, Event::DownAtAgent { link: id });
    }

    pub(super) fn down_at_hub(&mut self, id: u64) {
        let Some(link) = self.network.links.get_mut(&id) else { return };
        if std::mem::take(&mut link.at_hub) && self.hub.process.is_some() {
            self.tell_hub(cloud_hub::hub::Input::LinkDown { link: cloud_hub::hub::LinkId(id) });
        }
        self.forget_link(id);
    }

    pub(super) fn down_at_agent(&mut self, id: u64) {
        let Some(link) = self.network.links.get_mut(&id) else { return };
        let (machine, was_up, life) = (link.machine, std::mem::take(&mut link.at_agent), link.life);
        if self.machines[machine].link == Some(id) && self.machines[machine].life() == Some(life) {
            self.machines[machine].link = None;
            if was_up {
                self.tell_agent(
                    machine,
                    store_agent::agent::Input::LinkDown { reason: "the line broke".to_owned() },
                );
            }
            self.connect_later(machine);
        }
        self.forget_link(id);
    }

    fn forget_link(&mut self, id: u64) {
        let Some(link) = self.network.links.get_mut(&id) else { return };
        link.noticed += 1;
        if link.noticed == 2 {
            self.network.links.remove(&id);
        }
    }

    /// Puts a frame on its way.
    pub(super) fn send(&mut self, id: u64, way: Way, stream: Stream, bytes: Vec<u8>) {
        let Some(link) = self.network.links.get_mut(&id) else { return };
        if link.broken {
            return;
        }
        let life = if way == Way::Up { self.hub.life } else { link.life };
        let (store, carriage) = (link.store, link.carriage);
        let flight = Flight { link: id, store, carriage, way, life, bytes, tries: 0 };
        let weather = self.network.weather;
        let lost = self.network.rng.chance(weather.loss);
        self.coverage.sometimes("net: lost", lost);
        match carriage {
            Carriage::Quic => {
                let again = if lost { self.network.rng.between(100, 1_500) } else { 0 };
                let at = self.now + self.network.delay() + again;
                let lane = usize::from(stream.code()) + if way == Way::Up { 0 } else { 2 };
                if let Some(link) = self.network.links.get_mut(&id) {
                    let at = at.max(link.last_arrivals[lane]);
                    link.last_arrivals[lane] = at;
                    self.queue.put(at, Event::Arrive(flight));
                }
            }
            Carriage::Mqtt if lost => {}
            Carriage::Mqtt => {
                if self.network.rng.chance(weather.doubling) {
                    self.coverage.hit("net: doubled");
                    let at = self.now + self.network.delay() + self.network.rng.below(10_000);
                    self.queue.put(at, Event::Arrive(flight.clone()));
                }
                let at = self.now + self.network.delay();
                self.queue.put(at, Event::Arrive(flight));
            }
        }
    }

    pub(super) fn arrive(&mut self, flight: Flight) -> Check {
        let cut_until = self.network.cut_until[flight.store];
        if cut_until > self.now {
            self.queue.put(cut_until, Event::Arrive(flight));
            return Ok(());
        }
        match (flight.carriage, flight.way) {
            (Carriage::Quic, Way::Up) => {
                let open =
                    self.network.links.get(&flight.link).is_some_and(|link| link.at_hub && !link.broken);
                if open && self.hub.process.is_some() {
                    self.frame_at_hub(flight.link, flight);
                }
            }
            (Carriage::Quic, Way::Down) => {
                let link = self.network.links.get(&flight.link).filter(|link| link.at_agent && !link.broken);
                if let Some(machine) = link.map(|link| link.machine) {
                    self.frame_at_agent(machine, &flight);
                }
            }
            (Carriage::Mqtt, Way::Up) => self.publish_up(flight),
            (Carriage::Mqtt, Way::Down) => self.publish_down(flight),
        }
        Ok(())
    }

    /// A broker hands a store's frame to the hub on whatever connection speaks for the store now.
    fn publish_up(&mut self, flight: Flight) {
        let speaks = |link: &Link| {
            link.at_hub && !link.broken && link.store == flight.store && link.carriage == Carriage::Mqtt
        };
        let own = self.network.links.get(&flight.link).filter(|link| speaks(link)).map(|_| flight.link);
        let any = || self.network.links.iter().find(|(_, link)| speaks(link)).map(|(id, _)| *id);
        match own.or_else(any).filter(|_| self.hub.process.is_some()) {
            Some(link) => self.frame_at_hub(link, flight),
            None => self.try_later(flight),
        }
    }

    fn publish_down(&mut self, flight: Flight) {
        let listening = |(_, link): &(&u64, &Link)| {
            link.at_agent && !link.broken && link.store == flight.store && link.carriage == Carriage::Mqtt
        };
        let machines: Vec<usize> =
            self.network.links.iter().filter(listening).map(|(_, link)| link.machine).collect();
        if machines.is_empty() {
            return self.try_later(flight);
        }
        for machine in machines {
            self.frame_at_agent(machine, &flight);
        }
    }

    fn try_later(&mut self, flight: Flight) {
        if flight.tries < TRIES_MAX {
            let at = self.now + self.network.rng.between(100, 10_000);
            self.queue.put(at, Event::Arrive(Flight { tries: flight.tries + 1, ..flight }));
        }
    }

    fn frame_at_hub(&mut self, link: u64, flight: Flight) {
        self.coverage
            .sometimes("net: late frame reached another life of its receiver", flight.life != self.hub.life);
        let Some(bytes) = self.tampered(flight.store, flight.bytes) else { return };
        self.tell_hub(cloud_hub::hub::Input::Frame { link: cloud_hub::hub::LinkId(link), bytes });
    }

    fn frame_at_agent(&mut self, machine: usize, flight: &Flight) {
        let Some(process) = &self.machines[machine].process else { return };
        let mine = process.life == flight.life;
        self.coverage.sometimes("net: late frame reached another life of its receiver", !mine);
        let other_start = !mine && frame::decode(&flight.bytes).is_ok_and(|frame| frame.boot != process.boot);
        self.coverage.sometimes("agent: frame to another start of it ignored", other_start);
        self.tell_agent(machine, store_agent::agent::Input::Frame(flight.bytes.clone()));
    }
}
