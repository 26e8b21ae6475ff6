//! What goes wrong: drawn by the seed's plan, one fault at a time, any of them at any moment.

use super::checkers::{self, Check};
use super::disk;
use super::hub_host::HubImage;
use super::machine::{Crash, Image, Machine};
use super::truth::{self, Books, HubHistory, Truth};
use super::world::{Event, World};
use cloud_hub::storage::Storage;
use sync_protocol::Epoch;

/// Most servers of one store at a time.
const COPIES_MAX: usize = 3;
/// Most backups kept of one disk.
const BACKUPS_MAX: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    BreakLine,
    Partition,
    CrashAgent,
    CrashHub,
    BackUpDisk,
    RestoreDisk,
    LoseDisk,
    CloneDisk,
    ScrapServer,
    BackUpHub,
    RestoreHub,
    TurnClock,
    FillDisk,
    FillHubDisk,
    /// A sector of the hub's disk, or of a server's, falls back to what it held before.
    Rot,
}

/// Whether a server's memory of what it took over is the only proof left of a document: its figures hold the document, but neither its
/// ledger nor the hub does. Once that server is gone as well, the document would count again if it were reported again; more
/// than that is not promised of a hub that is restored from an old copy.
fn is_proof(books: &Books, at_hub: &HubHistory) -> bool {
    books.known.iter().any(|no| !books.ledger.contains_key(no) && !at_hub.contains_key(no))
}

/// Whether a server that took over after this copy of the hub was made lacks documents of it: it took over from an even older copy,
/// and the hub can't know which of its documents that one had. A hub is restored to newer and older copies by turns at the
/// price of what the store's disk does not have.
fn is_fork(server: (Epoch, &Books), at_hub: &HubHistory) -> bool {
    let (epoch, books) = server;
    let took_over_later = at_hub.values().all(|(place, _)| place.0 < epoch);
    took_over_later && at_hub.keys().any(|no| !books.has(*no))
}

/// Whether a server that took over counts a document as the hub did, while its own ledger has it with another effect (a count that
/// met other sales there, a barcode that meant another item), and this copy of the hub has forgotten it. A hand-over names what the
/// hub knows, not what it did: told again, it would be the ledger's. The figures stay right; the hub's history does not add up to
/// them any more.
fn is_told_otherwise(books: &Books, at_hub: &HubHistory, truth: &Truth, store: usize) -> bool {
    books.ledger.iter().any(|(no, effects)| {
        books.known.contains(no)
            && !at_hub.contains_key(no)
            && truth.hub_effects(store, *no).is_some_and(|counted| counted != effects)
    })
}

impl Fault {
    /// Every fault with its usual weight.
    pub const USUAL: [(Fault, u64); 14] = [
        (Fault::BreakLine, 10),
        (Fault::Partition, 10),
        (Fault::CrashAgent, 12),
        (Fault::CrashHub, 8),
        (Fault::BackUpDisk, 8),
        (Fault::RestoreDisk, 5),
        (Fault::LoseDisk, 3),
        (Fault::CloneDisk, 3),
        (Fault::ScrapServer, 4),
        (Fault::BackUpHub, 6),
        (Fault::RestoreHub, 3),
        (Fault::TurnClock, 4),
        (Fault::FillDisk, 4),
        (Fault::FillHubDisk, 4),
    ];

    /// What may go wrong beside rot: nothing that makes an agent start over from a rotten copy.
    pub const WITH_ROT: [(Fault, u64); 8] = [
        (Fault::BreakLine, 10),
        (Fault::Partition, 6),
        (Fault::CrashAgent, 6),
        (Fault::CrashHub, 4),
        (Fault::TurnClock, 4),
        (Fault::FillDisk, 4),
        (Fault::FillHubDisk, 4),
        (Fault::Rot, 30),
    ];
}

impl World {
    pub(super) fn fault_turn(&mut self) -> Check {
        if self.healed || self.plan.faults.is_empty() {
            return Ok(());
        }
        let pause = self.pause(self.plan.fault_every);
        self.queue.put(self.now + pause, Event::FaultTurn);
        let Some(fault) = self.plan.draw_fault(&mut self.rng) else { return Ok(()) };
        let serving: Vec<usize> =
            (0..self.machines.len()).filter(|at| self.machines[*at].in_service).collect();
        let machine = serving[self.rng.index(serving.len())];
        self.trace.note(self.now, format_args!("fault {fault:?} machine {machine}"));
        self.strike(fault, machine)
    }

    fn strike(&mut self, fault: Fault, machine: usize) -> Check {
        match fault {
            Fault::BreakLine => {
                if let Some(link) = self.machines[machine].link {
                    self.break_link(link);
                }
            }
            Fault::Partition => self.cut_off(self.machines[machine].store),
            Fault::CrashAgent => self.crash_agent_soon(machine),
            Fault::CrashHub => self.crash_hub_soon(),
            Fault::BackUpDisk => self.back_up_disk(machine),
            Fault::RestoreDisk => self.restore_disk(machine),
            Fault::LoseDisk => self.lose_disk(machine),
            Fault::CloneDisk => self.clone_disk(machine),
            Fault::ScrapServer => self.scrap(machine),
            Fault::BackUpHub => self.back_up_hub(),
            Fault::RestoreHub => return self.restore_hub(),
            Fault::TurnClock => self.turn_clock(machine),
            Fault::FillDisk => self.fill_disk(machine),
            Fault::FillHubDisk => {
                let commits = u32::try_from(self.rng.between(1, 5)).unwrap_or(1);
                self.hub.with_storage(|storage| storage.failing = commits);
            }
            Fault::Rot => self.rot(machine),
        }
        Ok(())
    }

    fn cut_off(&mut self, store: usize) {
        self.coverage.hit("net: partition");
        let lasts = self.rng.between(500, 90_000);
        self.network.cut_until[store] = self.now + lasts;
        // A line that is dead for long breaks at both ends.
        let links: Vec<u64> =
            self.network.links.iter().filter(|(_, link)| link.store == store).map(|(id, _)| *id).collect();
        if lasts > 20_000 {
            links.into_iter().for_each(|link| self.break_link(link));
        }
    }

    /// At the next commit, on one side of it or the other.
    fn crash_agent_soon(&mut self, machine: usize) {
        let side = if self.rng.chance(0.5) { Crash::BeforeCommit } else { Crash::AfterCommit };
        self.machines[machine].crash = Some(side);
        let back = self.now + self.rng.between(100, 20_000);
        self.queue.put(back, Event::StartMachine { machine });
    }

    fn crash_hub_soon(&mut self) {
        self.hub.crash = Some(if self.rng.chance(0.5) { Crash::BeforeCommit } else { Crash::AfterCommit });
        let back = self.now + self.rng.between(100, 20_000);
        self.queue.put(back, Event::StartHub);
    }

    fn back_up_disk(&mut self, machine: usize) {
        let image = self.machines[machine].image();
        let backups = &mut self.machines[machine].backups;
        if backups.len() == BACKUPS_MAX {
            backups.remove(0);
        }
        backups.push(image);
    }

    fn restore_disk(&mut self, at: usize) {
        let backups = self.machines[at].backups.len();
        let Some(image) = self.machines[at].backup(self.rng.index(backups)) else { return };
        if self.hub.restores > 0 && is_proof(&image.books, &self.truth.at_hub[self.machines[at].store]) {
            return;
        }
        self.coverage.hit("disk: restored");
        self.change_disk(at, image);
        self.machines[at].restored = true;
    }

    fn lose_disk(&mut self, at: usize) {
        self.coverage.hit("disk: lost");
        self.change_disk(at, Image { disk: disk::blank(), books: Books::default() });
    }

    fn change_disk(&mut self, at: usize, image: Image) {
        self.crash_machine(at);
        self.machines[at].replace_disk(image);
        self.machines[at].is_apart = true;
        self.ends.went_apart(self.machines[at].store);
        self.reckon_losses();
        let back = self.now + self.rng.between(100, 30_000);
        self.queue.put(back, Event::StartMachine { machine: at });
    }

    /// A second server from a copy of the first one's disk; some tills talk to it from now on.
    fn clone_disk(&mut self, at: usize) {
        let store = self.machines[at].store;
        if self.machines_of(store).len() >= COPIES_MAX || self.hub.restores > 0 {
            return;
        }
        let image = self.machines[at].image();
        let clone = self.machines.len();
        self.ends.went_apart(store);
        let mut machine = Machine::new(store, self.machines[at].carriage, image);
        machine.clock_ahead = self.machines[at].clock_ahead;
        self.machines.push(machine);
        self.queue.put(self.now + self.rng.between(100, 30_000), Event::StartMachine { machine: clone });
        self.start_reader(clone);
        for till in 0..self.tills.len() {
            if self.tills[till].machine == at && self.rng.chance(0.5) {
                self.tills[till].machine = clone;
            }
        }
    }

    /// One of two servers goes for good, with whatever only its disk has.
    pub(super) fn scrap(&mut self, at: usize) {
        let store = self.machines[at].store;
        let others: Vec<usize> = self.machines_of(store).into_iter().filter(|other| *other != at).collect();
        if others.is_empty() {
            return;
        }
        let heir = others[self.rng.index(others.len())];
        self.crash_machine(at);
        self.machines[at].in_service = false;
        self.tills.iter_mut().filter(|till| till.machine == at).for_each(|till| till.machine = heir);
        self.reckon_losses();
    }

    fn back_up_hub(&mut self) {
        let database = self.hub.with_storage(|storage| storage.image());
        let image = HubImage { database, documents: self.truth.at_hub.clone() };
        if self.hub.backups.len() == BACKUPS_MAX {
            self.hub.backups.remove(0);
        }
        self.hub.backups.push(image);
    }

    /// Histories with copied disks have no hub restores and the other way round: a hub that forgets which of two copies it went
    /// by is more than is promised.
    fn restore_hub(&mut self) -> Check {
        let copies = self.machines.len() > self.store_ids.len();
        let backups = self.hub.backups.len();
        if copies || backups == 0 {
            return Ok(());
        }
        let told = self.rng.chance(0.5);
        let at = self.rng.index(backups);
        let serving = self.machines.iter().filter(|machine| machine.in_service);
        let documents = &self.hub.backups[at].documents;
        if serving.map(|machine| (machine, &machine.books, &documents[machine.store])).any(
            |(machine, books, at_hub)| {
                is_proof(books, at_hub)
                    || is_fork((truth::epoch(machine.database()), books), at_hub)
                    || is_told_otherwise(books, at_hub, &self.truth, machine.store)
            },
        ) {
            return Ok(());
        }
        self.coverage.sometimes("hub: restored, and told so", told);
        self.crash_hub();
        let image = &self.hub.backups[at];
        let (database, documents) = (disk::copy(&image.database), image.documents.clone());
        self.hub.with_storage(|storage| storage.replace(database));
        self.truth.at_hub = documents;
        self.hub.restores += 1;
        let reservations = self.hub.with_storage(|storage| storage.sqlite.reservations());
        self.reserving.restored(reservations.expect("the hub's storage can be read"));
        self.ends.restored();
        self.payments.restored();
        self.hub.catching_up.fill(true);
        self.hub.unheard.fill(true);
        self.start_hub(told)?;
        self.reckon_losses();
        if told {
            self.hub.unheard.fill(false);
        }
        checkers::escrow::after_hub_step(self)
    }

    fn turn_clock(&mut self, machine: usize) {
        let by = i64::try_from(self.rng.below(7_200_000)).unwrap_or(0) - 3_600_000;
        if self.rng.chance(0.3) {
            self.hub.clock_ahead += by;
        } else {
            self.machines[machine].clock_ahead += by;
        }
    }

    fn fill_disk(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        let Some(process) = &machine.process else { return };
        let db = process.agent.database();
        let pages: i64 = db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap_or(0);
        if db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).is_ok() {
            machine.disk_full = true;
            let life = process.life;
            self.queue.put(self.now + self.rng.between(500, 20_000), Event::FreeDisk { machine: at, life });
        }
    }

    pub(super) fn free_disk(&mut self, at: usize, life: u64) {
        let machine = &mut self.machines[at];
        let Some(process) = machine.process.as_ref().filter(|process| process.life == life) else { return };
        let freed = process.agent.database().query_row("PRAGMA max_page_count = 1073741823", [], |_| Ok(()));
        machine.disk_full = freed.is_err();
    }

    /// Something old comes back on a disk: exactly what digests are for.
    fn rot(&mut self, machine: usize) {
        let store = self.machines[machine].store;
        if self.rng.chance(0.5) {
            self.crash_hub();
            let id = self.store_ids[store].clone();
            self.hub.with_storage(|storage| storage.rot(&id));
            self.queue.put(self.now + 1_000, Event::StartHub);
        } else {
            self.crash_machine(machine);
            self.machines[machine].rot();
            self.queue.put(self.now + 1_000, Event::StartMachine { machine });
        }
        self.rotted = true;
    }
}
