//! The two ends of one cell, each a few lines around the stock core, with every rule in one place where a test can break it.

use crate::chance::Seen;
use sync_protocol::stock::{Cell, HubHalf, StoreHalf, target_claim};
use sync_protocol::{Boot, Epoch, Quantity};

/// The design's rules, or the one of them that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rules {
    AsDesigned,
    GrantsIgnoreTheClaim,
    PromisesIgnoreFree,
    ReturnsIgnorePromises,
    RecallsAreNotHonoured,
    ReleasesWithoutTheStore,
    HandoversAreForgotten,
    EpochsAreMixed,
    FencedFramesMoveTheCursor,
    FencedFramesRefuseOrders,
    BootsAreIgnored,
    OldDisksKeepTheirEpoch,
    IncarnationsKeepTheirHalf,
    PosIsReadFromTheStart,
    LastFrameWins,
}

pub fn q(thousandths: i64) -> Quantity {
    Quantity::from_thousandths(thousandths)
}

/// Sets of orders, one bit each. `placed` and `released` are the hub's to say, `handed` and `refused` the store's.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Orders {
    pub placed: u64,
    pub released: u64,
    pub handed: u64,
    pub refused: u64,
}

pub const ORDERS_MAX: usize = 64;

pub fn bits(set: u64) -> impl Iterator<Item = usize> {
    (0..ORDERS_MAX).filter(move |order| set >> order & 1 == 1)
}

/// What the POS remembers: every line, and on hand after each of them.
#[derive(Debug, Default)]
pub struct Pos {
    pub lines: Vec<i64>,
    pub sums: Vec<i64>,
}

impl Pos {
    pub fn ring_up(&mut self, line: i64) {
        self.sums.push(self.shelf() + line);
        self.lines.push(line);
    }

    /// What lies on the shelf: the POS sees everything, only later than it happens.
    pub fn shelf(&self) -> i64 {
        self.on_hand_at(self.lines.len())
    }

    pub fn on_hand_at(&self, cursor: usize) -> i64 {
        cursor.checked_sub(1).map_or(0, |last| self.sums[last])
    }
}

/// The agent's disk, and the agent running on it.
#[derive(Debug, Clone)]
pub struct Agent {
    pub cell: Cell,
    pub cursor: usize,
    pub orders: Orders,
    /// Counts this disk's changes in its epoch.
    pub seq: u64,
    /// Every start in this epoch: its boot and the first change it may have made. The last one is running.
    pub boots: Vec<(Boot, u64)>,
    /// Its disk is older than what this store has done, and nobody has told it yet.
    pub behind: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Frame {
    pub half: StoreHalf,
    pub cursor: usize,
    pub orders: Orders,
    pub boot: Boot,
    pub seq: u64,
}

#[derive(Debug, Clone, Copy)]
pub struct News {
    pub half: HubHalf,
    pub orders: Orders,
}

impl Agent {
    pub fn on_new_disk(boot: Boot) -> Agent {
        let (cell, orders) = (Cell::default(), Orders::default());
        Agent { cell, cursor: 0, orders, seq: 0, boots: vec![(boot, 1)], behind: true }
    }

    /// The same disk under a new process.
    pub fn restarted(mut self, boot: Boot) -> Agent {
        self.boots.push((boot, self.seq + 1));
        self
    }

    pub fn boot(&self) -> Boot {
        self.boots.last().unwrap().0
    }

    pub fn frame(&self) -> Frame {
        let (half, cursor, orders) = (self.cell.store, self.cursor, self.orders);
        Frame { half, cursor, orders, boot: self.boot(), seq: self.seq }
    }

    /// A coarse read sees only what the lines come to together, so that two incarnations need not split the same lines
    /// into the same `in` and `out`.
    pub fn read_pos(&mut self, pos: &Pos, coarse: bool) {
        let unread = &pos.lines[self.cursor..];
        if unread.is_empty() {
            return;
        }
        if coarse {
            self.cell.move_stock(q(unread.iter().sum())).unwrap();
        } else {
            unread.iter().for_each(|line| self.cell.move_stock(q(*line)).unwrap());
        }
        self.cursor = pos.lines.len();
        self.seq += 1;
    }

    pub fn settle(&mut self, reserve: i64, rules: Rules, seen: &mut Seen) {
        let target = target_claim(self.cell.open(), self.cell.on_hand(), q(reserve));
        let net = self.cell.store.granted.cast_signed()
            - (self.cell.store.recalled + self.cell.store.fulfilled).cast_signed();
        let wanted = target.thousandths() - net;
        self.seq += 1;
        if rules == Rules::GrantsIgnoreTheClaim && wanted > 0 {
            self.cell.store.granted += wanted.unsigned_abs();
            return;
        }
        let settled = self.cell.settle(target);
        if settled.granted.thousandths() < wanted {
            seen.note("a grant was held down by the claim");
        }
    }

    pub fn hear(&mut self, news: &News) {
        self.cell.hub.join(&news.half);
        self.orders.placed |= news.orders.placed;
        self.orders.released |= news.orders.released;
    }

    pub fn hand_over(&mut self, order: usize, size: i64) -> bool {
        let done = self.cell.hand_over(q(size)).is_ok();
        if done {
            self.orders.handed |= 1 << order;
            self.seq += 1;
        }
        done
    }

    /// Starts over in a new epoch from the hub's copy of everything.
    pub fn adopt(&mut self, hub: &Hub, rules: Rules) {
        let boot = self.boot();
        let own_half = self.cell.store;
        self.cell = hub.cell;
        self.orders = hub.orders;
        self.seq = 0;
        self.boots = vec![(boot, 1)];
        match rules {
            Rules::PosIsReadFromTheStart => self.cursor = 0,
            Rules::IncarnationsKeepTheirHalf => {
                self.cell.store = StoreHalf { epoch: hub.cell.store.epoch, ..own_half };
            }
            _ => self.cursor = hub.cursor,
        }
    }
}

#[derive(Debug)]
pub struct Hub {
    pub cell: Cell,
    pub cursor: usize,
    pub orders: Orders,
    /// The process whose frames count, and the last of its changes that has arrived.
    pub boot: Boot,
    pub seq: u64,
}

impl Hub {
    pub fn news(&self) -> News {
        News { half: self.cell.hub, orders: self.orders }
    }

    pub fn is_current(&self, frame: &Frame, rules: Rules) -> bool {
        let boot = frame.boot == self.boot || rules == Rules::BootsAreIgnored;
        frame.half.epoch == self.cell.store.epoch && boot
    }

    pub fn receive(&mut self, frame: &Frame, sizes: &[i64], rules: Rules, seen: &mut Seen) {
        if !self.is_current(frame, rules) {
            return self.drop_frame(frame, sizes, rules, seen);
        }
        if frame.seq < self.seq {
            seen.note("a frame was overtaken by a later one");
        }
        if rules == Rules::LastFrameWins {
            (self.cell.store, self.cursor) = (frame.half, frame.cursor);
        } else {
            self.cell.store.join(&frame.half);
            self.cursor = self.cursor.max(frame.cursor);
        }
        self.seq = self.seq.max(frame.seq);
        self.orders.handed |= frame.orders.handed;
        self.orders.refused |= frame.orders.refused;
        self.answer_the_store(sizes, rules, seen);
    }

    /// Whole, unless a rule is to be broken.
    pub fn drop_frame(&mut self, frame: &Frame, sizes: &[i64], rules: Rules, seen: &mut Seen) {
        let old_epoch = frame.half.epoch < self.cell.store.epoch;
        seen.note(match old_epoch {
            true => "a late frame of an old incarnation was dropped",
            false => "a frame of a copied or replaced disk was dropped",
        });
        match rules {
            Rules::EpochsAreMixed => {
                self.cell.store.join(&StoreHalf { epoch: self.cell.store.epoch, ..frame.half });
                self.cursor = self.cursor.max(frame.cursor);
                self.orders.handed |= frame.orders.handed;
                self.answer_the_store(sizes, rules, seen);
            }
            Rules::FencedFramesMoveTheCursor => self.cursor = self.cursor.max(frame.cursor),
            Rules::FencedFramesRefuseOrders => {
                self.orders.refused |= frame.orders.refused;
                self.answer_the_store(sizes, rules, seen);
            }
            _ => {}
        }
    }

    /// H3 for every order the store has newly refused, then H2.
    pub fn answer_the_store(&mut self, sizes: &[i64], rules: Rules, seen: &mut Seen) {
        let Orders { released, handed, refused, .. } = self.orders;
        for order in bits(refused & !released & !handed) {
            self.release(order, sizes[order], seen);
        }
        let asked = self.cell.store.recalled.saturating_sub(self.cell.hub.returned);
        match rules {
            Rules::ReturnsIgnorePromises => self.cell.hub.returned += asked,
            Rules::RecallsAreNotHonoured => {}
            _ if self.cell.honour_recalls() < q(asked.cast_signed()) => {
                seen.note("a recall waited for a promise")
            }
            _ => {}
        }
    }

    pub fn release(&mut self, order: usize, size: i64, seen: &mut Seen) {
        if self.cell.release(q(size)).is_ok() {
            self.orders.released |= 1 << order;
            seen.note("an order was refused and released");
        }
    }

    /// True if the disk holds everything this hub has heard from its store.
    pub fn knows_all_i_heard(&self, agent: &Agent) -> bool {
        let Some(at) = agent.boots.iter().position(|(boot, _)| *boot == self.boot) else {
            return false;
        };
        let written_until = agent.boots.get(at + 1).map_or(agent.seq, |(_, first)| first - 1);
        self.seq <= written_until
    }

    /// Lets the agent go on in its epoch, or starts the next one.
    pub fn admits(&mut self, agent: &Agent, rules: Rules) -> bool {
        let same_epoch = agent.cell.store.epoch == self.cell.store.epoch && agent.cell.store.epoch > Epoch(0);
        let goes_on = same_epoch && (self.knows_all_i_heard(agent) || rules == Rules::OldDisksKeepTheirEpoch);
        if !goes_on {
            self.cell.store.epoch = self.cell.store.epoch.next();
            self.seq = 0;
        }
        self.boot = agent.boot();
        goes_on
    }
}
