//! The whole world of one run: stores with their servers and tills, the hub, the lines between them, shoppers, and what goes wrong.
//! Everything happens as an event in virtual time, one after the other, drawn from the seed.

use super::checkers::ends::{self, Ends};
use super::checkers::{Check, convergence};
use super::coverage::Coverage;
use super::disk;
use super::event_queue::EventQueue;
use super::hub_host::HubHost;
use super::machine::{Image, Machine};
use super::network::{Flight, Network, Weather};
use super::orders::Orders;
use super::payments::Payments;
use super::plan::Plan;
use super::reserving::Reserving;
use super::sabotage::Sabotage;
use super::shoppers::Shoppers;
use super::tills::{Journal, Till, Waiting};
use super::trace::Trace;
use super::truth::{Books, Truth};
use crate::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};
use sync_protocol::{Boot, Epoch, StoreId};

/// A wall clock's start: some day in 2026, in milliseconds since 1970.
pub const WALL_START: i64 = 1_790_000_000_000;
/// How long both sides may take to get in step once messages get through, in milliseconds of virtual time.
const CONVERGE_WITHIN: u64 = 20 * 60_000;
/// How often that is looked at.
const LOOK_EVERY: u64 = 1_000;
/// How long every order may take to come to its end after that: until nobody has come for it, and no other store was found.
const END_WITHIN: u64 = 6 * 3_600_000;
const LOOK_FOR_ENDS_EVERY: u64 = 20_000;

/// What can happen next.
#[derive(Debug)]
pub enum Event {
    Connect { machine: usize },
    UpAtHub { link: u64, life: u64 },
    UpAtAgent { link: u64 },
    DownAtHub { link: u64 },
    DownAtAgent { link: u64 },
    Arrive(Flight),
    DrainMachine { machine: usize, life: u64 },
    MachineTimer { machine: usize, timer: u64 },
    StartMachine { machine: usize },
    FreeDisk { machine: usize, life: u64 },
    DrainHub { life: u64 },
    HubTimer { timer: u64 },
    StartHub,
    TillTurn { till: usize },
    JournalTurn { store: usize },
    ReaderTurn { machine: usize },
    MasterTurn { store: usize },
    ShopperTurn,
    OrderTurn,
    DeskTurn,
    CourierTurn,
    StepAgain { at: usize },
    StepAnswered { at: usize, life: u64, status: Option<u16> },
    HubTick,
    StaffTurn { store: usize },
    FaultTurn,
    Look,
}

pub struct World {
    pub now: u64,
    pub queue: EventQueue<Event>,
    pub rng: Rng,
    pub till_rng: Rng,
    pub plan: Plan,
    pub network: Network,
    pub store_ids: Vec<StoreId>,
    pub machines: Vec<Machine>,
    pub hub: HubHost,
    pub tills: Vec<Till>,
    pub journals: Vec<Journal>,
    pub shoppers: Shoppers,
    pub orders: Orders,
    pub reserving: Reserving,
    pub payments: Payments,
    pub ends: Ends,
    pub truth: Truth,
    pub waiting: BTreeMap<u64, Waiting>,
    pub tickets: u64,
    pub lives: u64,
    pub coverage: Coverage,
    pub trace: Trace,
    pub sabotage: Option<Sabotage>,
    /// Hand-overs the hub has sent, to notice repeats.
    pub granted: BTreeSet<(usize, Epoch, Boot)>,
    /// Whom the hub last welcomed, by store.
    pub welcomed: BTreeMap<usize, Boot>,
    pub digest_mismatches: u64,
    pub rotted: bool,
    pub healed: bool,
    healed_at: u64,
    /// When both sides were in step for the first time after that.
    pub(super) converged_at: Option<u64>,
    is_over: bool,
}

impl World {
    #[must_use]
    pub fn new(seed: u64, keep_trace: bool, sabotage: Option<Sabotage>) -> World {
        let mut rng = Rng::seeded(seed);
        let plan = Plan::draw(&mut rng.fork(1));
        let stores = plan.carriages.len();
        let store_ids: Vec<StoreId> = (1..=stores)
            .map(|number| format!("S{number:04}").parse().expect("a letter and digits are a store id"))
            .collect();
        let machines = plan.carriages.iter().enumerate().map(|(store, carriage)| {
            Machine::new(store, *carriage, Image { disk: disk::blank(), books: Books::default() })
        });
        let tills =
            (0..stores).flat_map(|store| (0..plan.tills).map(move |number| Till::new(store, store, number)));
        World {
            now: 0,
            queue: EventQueue::default(),
            till_rng: rng.fork(2),
            network: Network::new(stores, plan.weather, rng.fork(3)),
            machines: machines.collect(),
            hub: HubHost::new(&store_ids),
            tills: tills.collect(),
            journals: (0..stores).map(|_| Journal::default()).collect(),
            shoppers: Shoppers::default(),
            orders: Orders::new(Rng::seeded(plan.orders.unwrap_or(0)), stores),
            reserving: Reserving::default(),
            payments: Payments::new(Rng::seeded(plan.orders.unwrap_or(0) ^ 0x0070_6179)),
            ends: Ends::default(),
            truth: Truth::of_stores(stores),
            waiting: BTreeMap::new(),
            tickets: 0,
            lives: 0,
            coverage: Coverage::default(),
            trace: Trace::new(keep_trace),
            sabotage,
            granted: BTreeSet::new(),
            welcomed: BTreeMap::new(),
            digest_mismatches: 0,
            rotted: false,
            healed: false,
            healed_at: 0,
            converged_at: None,
            is_over: false,
            rng,
            plan,
            store_ids,
        }
    }

    /// Faults for so many steps, then everything is mended and both sides must meet. Says how many steps it took.
    ///
    /// # Errors
    /// A promise did not hold.
    pub fn run(&mut self, steps: u64, steps_done: &mut u64) -> Check {
        self.open_shop()?;
        while *steps_done < steps {
            self.step()?;
            *steps_done += 1;
        }
        self.heal()?;
        while !self.is_over {
            self.step()?;
            *steps_done += 1;
        }
        convergence::all_is_well(self)?;
        ends::all_is_well(self)
    }

    fn open_shop(&mut self) -> Check {
        self.start_hub(false)?;
        for machine in 0..self.machines.len() {
            self.start_machine(machine)?;
            self.start_reader(machine);
        }
        for till in 0..self.tills.len() {
            self.queue.put(self.rng.below(3_000), Event::TillTurn { till });
        }
        for store in 0..self.store_ids.len() {
            self.queue.put(self.rng.below(20_000), Event::MasterTurn { store });
            if self.plan.journals {
                self.queue.put(self.rng.below(5_000), Event::JournalTurn { store });
            }
        }
        self.queue.put(self.rng.below(10_000), Event::ShopperTurn);
        if self.plan.orders.is_some() {
            self.queue.put(2_000, Event::OrderTurn);
            self.queue.put(2_500, Event::DeskTurn);
            self.queue.put(1_500, Event::CourierTurn);
            self.queue.put(1_000, Event::HubTick);
            (0..self.store_ids.len()).for_each(|store| self.queue.put(3_000, Event::StaffTurn { store }));
        }
        self.queue.put(self.plan.fault_every, Event::FaultTurn);
        Ok(())
    }

    pub(super) fn start_reader(&mut self, machine: usize) {
        if self.plan.journals {
            self.queue.put(self.now + 500, Event::ReaderTurn { machine });
        }
    }

    fn step(&mut self) -> Check {
        let (at, event) = self.queue.next().expect("timers never run out while anything is up");
        self.now = self.now.max(at);
        self.happen(event)
    }

    fn happen(&mut self, event: Event) -> Check {
        match event {
            Event::Connect { machine } => self.connect(machine),
            Event::UpAtHub { link, life } => self.up_at_hub(link, life),
            Event::UpAtAgent { link } => self.up_at_agent(link),
            Event::DownAtHub { link } => self.down_at_hub(link),
            Event::DownAtAgent { link } => self.down_at_agent(link),
            Event::Arrive(flight) => return self.arrive(flight),
            Event::DrainMachine { machine, life } if self.machines[machine].life() == Some(life) => {
                return self.drain_machine(machine);
            }
            Event::DrainMachine { .. } => {}
            Event::MachineTimer { machine, timer } => return self.machine_timer(machine, timer),
            Event::StartMachine { machine } => return self.start_machine(machine),
            Event::FreeDisk { machine, life } => self.free_disk(machine, life),
            Event::DrainHub { life } if self.hub.life == life => return self.drain_hub(),
            Event::DrainHub { .. } => {}
            Event::HubTimer { timer } => return self.hub_timer(timer),
            Event::StartHub => return self.start_hub(false),
            Event::TillTurn { till } => self.till_turn(till),
            Event::JournalTurn { store } => self.journal_turn(store),
            Event::ReaderTurn { machine } => self.reader_turn(machine),
            Event::MasterTurn { store } => self.master_turn(store),
            Event::ShopperTurn => self.shopper_turn(),
            Event::OrderTurn => self.order_turn(),
            Event::DeskTurn => self.desk_turn(),
            Event::CourierTurn => return self.courier_turn(),
            Event::StepAgain { at } => return self.step_again(at),
            Event::StepAnswered { at, life, status } => self.step_answered(at, life, status),
            Event::HubTick => self.hub_tick(),
            Event::StaffTurn { store } => self.staff_turn(store),
            Event::FaultTurn => return self.fault_turn(),
            Event::Look => return self.look(),
        }
        Ok(())
    }

    /// Nothing goes wrong any more: one server a store, every line good, every disk with room.
    fn heal(&mut self) -> Check {
        self.trace.note(self.now, format_args!("everything is mended"));
        (self.healed, self.healed_at) = (true, self.now);
        self.network.weather = Weather::CALM;
        self.network.cut_until.fill(0);
        for store in 0..self.store_ids.len() {
            let machines = self.machines_of(store);
            let keep = self.rng.index(machines.len());
            for (place, machine) in machines.into_iter().enumerate() {
                if place != keep {
                    self.scrap(machine);
                }
            }
        }
        self.hub.with_storage(|storage| storage.failing = 0);
        self.hub.crash = None;
        // Somebody puts the hub's clock right; a clock does not go back for that.
        self.hub.clock_ahead = self.hub.clock_ahead.max(0);
        self.start_hub(false)?;
        for machine in 0..self.machines.len() {
            self.machines[machine].crash = None;
            if let Some(life) = self.machines[machine].life() {
                self.free_disk(machine, life);
            }
            self.start_machine(machine)?;
        }
        self.queue.put(self.now + LOOK_EVERY, Event::Look);
        Ok(())
    }

    fn look(&mut self) -> Check {
        let missing =
            (0..self.store_ids.len()).find_map(|store| Some((store, convergence::missing(self, store)?)));
        match (missing, self.converged_at) {
            (Some((store, what)), None) if self.healed_for() > CONVERGE_WITHIN => {
                return Err(convergence::overdue(self, store, &what));
            }
            (Some(_), None) => {}
            (None, None) => {
                self.trace.note(self.now, format_args!("in step after {} ms", self.healed_for()));
                self.converged_at = Some(self.now);
                convergence::all_is_well(self)?;
                self.is_over = self.plan.orders.is_none();
            }
            (missing, Some(since)) => {
                let what = ends::missing(self).or(missing.map(|(_, what)| what));
                self.is_over = what.is_none();
                let is_overdue = self.now - since > END_WITHIN;
                if let Some(what) = what.filter(|_| is_overdue) {
                    return Err(ends::overdue(&what));
                }
            }
        }
        let pause = if self.converged_at.is_none() { LOOK_EVERY } else { LOOK_FOR_ENDS_EVERY };
        self.queue.put(self.now + pause, Event::Look);
        Ok(())
    }

    /// Writes into the trace what every cell looks like.
    pub fn describe(&mut self) {
        for (at, machine) in self.machines.iter().enumerate().filter(|(_, machine)| machine.in_service) {
            let Some(process) = &machine.process else { continue };
            for (item, sku) in convergence::items(process.agent.database()) {
                let cell = sku.parse().ok().and_then(|sku| process.agent.cell(&sku));
                let counted = self.truth.on_hand_in(&machine.books, &sku);
                self.trace
                    .note(self.now, format_args!("machine {at} {item} {sku} {cell:?} counted {counted}"));
            }
        }
        for id in &self.store_ids {
            let Some(hub) = self.hub.hub() else { continue };
            self.trace.note(self.now, format_args!("hub {id} {:?}", hub.marks(id)));
            for (item, cell) in hub.cells(id) {
                self.trace.note(self.now, format_args!("hub {id} {item} {cell:?}"));
            }
        }
    }

    /// How long ago everything was mended.
    #[must_use]
    pub fn healed_for(&self) -> u64 {
        self.now - self.healed_at
    }

    /// How long it took both sides to get in step then.
    #[must_use]
    pub fn converged_after(&self) -> u64 {
        self.converged_at.unwrap_or(self.now) - self.healed_at
    }

    /// A pause around `mean`, the way independent things happen.
    pub(super) fn pause(&mut self, mean: u64) -> u64 {
        // Between a fifth and thrice the mean: integers only, so that no rounding differs between machines.
        1 + self.rng.between(mean / 5, mean * 9 / 5)
    }

    /// The servers of a store that are in service.
    #[must_use]
    pub fn machines_of(&self, store: usize) -> Vec<usize> {
        (0..self.machines.len())
            .filter(|at| self.machines[*at].in_service && self.machines[*at].store == store)
            .collect()
    }
}
