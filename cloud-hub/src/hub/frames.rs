//! What the hub does with each frame of a store, in memory; committing the step is the caller's.

use super::ledger::Joined;
use super::{Hub, LinkId, Output};
use crate::storage::{Quarantined, StoredOrder};
use sync_protocol::frame::{
    self, Ack, Body, Buckets, Direction, Frame, Heartbeat, Hello, HistoryBatch, Marks, Offer, Pulse, Refusal,
    Refused, Resend, StateBatch, Stream, VERSION_MAX, Welcome,
};
use sync_protocol::link::greeting::{Fence, Verdict, judge};
use sync_protocol::record::{Note, Unreadable};
use sync_protocol::stock::EscrowError;
use sync_protocol::time::Now;
use sync_protocol::{Boot, Epoch, Seq, StoreId, UnixMillis};

/// How much of a quarantined record is kept: enough to see what it was.
const QUARANTINED_BYTES_MAX: usize = 4_096;
/// After how long a digest mismatch of one store is looked into again.
const DIGEST_PAUSE_MS: u64 = 60_000;

impl Hub {
    pub(super) fn frame(&mut self, link: LinkId, bytes: &[u8], now: Now) {
        let Some(store) = self.links.get(&link).map(|link| link.store().clone()) else { return };
        self.counters.frames += 1;
        let frame = match frame::decode(bytes) {
            Ok(frame) => frame,
            Err(error) => {
                self.counters.frames_unreadable += 1;
                let reason = format!("a frame of store `{store}` can't be read: {error}");
                tracing::warn!(%store, %error, "a frame can't be read");
                self.quarantine(&store, "frame", &error.to_string(), bytes, now.wall);
                self.answers.push(Output::HangUp { link, reason });
                return;
            }
        };
        if frame.store != store {
            self.counters.frames_of_other_stores += 1;
            tracing::warn!(%store, claimed = %frame.store, "a certificate was used for another store");
            let detail = format!("this certificate speaks for store `{store}` only");
            self.refuse(link, &frame, Refusal::WrongStore, &detail);
            let reason = format!("{detail}, not for `{}`", frame.store);
            self.answers.push(Output::HangUp { link, reason });
            return;
        }
        self.heard.insert(store.clone());
        if let Some(store) = self.stores.get_mut(&store) {
            store.heard(now.wall);
        }
        self.take_frame(link, &store, frame, bytes, now);
    }

    fn take_frame(&mut self, link: LinkId, store: &StoreId, frame: Frame, bytes: &[u8], now: Now) {
        let (epoch, boot) = (frame.epoch, frame.boot);
        if let Body::Hello(hello) = frame.body {
            return self.hello(link, store, epoch, boot, &hello, now);
        }
        let Some(ledger) = self.stores.get(store) else { return };
        if ledger.facts.epoch != epoch || ledger.boot() != Some(boot) {
            self.counters.frames_fenced += 1;
            return self.refuse(
                link,
                &frame,
                Refusal::SayHello,
                "another epoch or start than the hub goes by",
            );
        }
        if !ledger.is_greeted {
            // Only a hello shows whether this hub was restored to before what the caller counts on.
            return self.refuse(link, &frame, Refusal::SayHello, "the hub has started again");
        }
        match frame.body {
            Body::State(batch) => self.state(link, store, epoch, boot, batch, now),
            Body::History(batch) => self.history(link, store, epoch, boot, batch, bytes, now),
            Body::Ack(ack) => self.acknowledged(link, store, ack, now),
            Body::Heartbeat(heartbeat) => self.heartbeat(link, store, epoch, boot, &heartbeat, now),
            Body::Offer(offer) => self.offer(store, &offer, now),
            Body::Resend(resend) => self.resend(store, &resend, now),
            body => {
                let reason = format!("an agent does not send `{}`", body.kind());
                self.answers.push(Output::HangUp { link, reason });
            }
        }
    }

    pub(super) fn answer(&mut self, link: LinkId, epoch: Epoch, boot: Boot, body: Body) {
        if let Some(link) = self.links.get_mut(&link) {
            link.answer(epoch, boot, body);
        }
    }

    fn refuse(&mut self, link: LinkId, frame: &Frame, why: Refusal, detail: &str) {
        let refused = Refused { why, detail: detail.to_owned() };
        self.answer(link, frame.epoch, frame.boot, Body::Refused(refused));
    }

    fn quarantine(&mut self, store: &StoreId, what: &str, reason: &str, bytes: &[u8], at: UnixMillis) {
        self.counters.records_quarantined += 1;
        tracing::warn!(%store, what, reason, "quarantined");
        self.heard.insert(store.clone());
        if let Some(ledger) = self.stores.get_mut(store) {
            let (what, reason) = (what.to_owned(), reason.to_owned());
            let bytes = bytes[..bytes.len().min(QUARANTINED_BYTES_MAX)].to_vec();
            ledger.quarantine(Quarantined { at, what, reason, bytes });
        }
    }

    fn quarantine_all(&mut self, store: &StoreId, unreadable: &[Unreadable], at: UnixMillis) {
        for record in unreadable {
            self.quarantine(store, record.what, &record.reason, &record.bytes, at);
        }
    }

    fn hello(&mut self, link: LinkId, store: &StoreId, epoch: Epoch, boot: Boot, hello: &Hello, now: Now) {
        self.twins.hello(store, link, boot, now.ticks);
        let Some(ledger) = self.stores.get_mut(store) else { return };
        let verdict = judge(&ledger.memory(self.facts.life), epoch, boot, hello);
        tracing::info!(%store, %epoch, %boot, ?verdict, software = hello.software, "hello");
        match verdict {
            Verdict::Continue { hub_restored } => {
                self.welcome(link, store, epoch, boot, hello, hub_restored, now)
            }
            Verdict::ContinueLaterEpoch => {
                ledger.enter_later_epoch(epoch);
                self.welcome(link, store, epoch, boot, hello, true, now);
            }
            Verdict::Grant { epoch: granted, fence } => {
                let other_life = hello.hub_life != 0 && hello.hub_life != self.facts.life;
                if other_life || hello.down_mark > ledger.facts.down_head {
                    self.has_forgotten(store, hello);
                }
                self.grant(link, store, epoch, boot, granted, fence);
            }
            Verdict::GrantAgain => self.handovers_due.push((link, store.clone(), epoch, boot)),
            Verdict::Incompatible => {
                let detail = format!(
                    "the agent speaks protocol {} to {}, the hub up to {VERSION_MAX}; upgrade the older of the two",
                    hello.version_min, hello.version_max
                );
                let refused = Refused { why: Refusal::Version, detail: detail.clone() };
                self.answer(link, epoch, boot, Body::Refused(refused));
                self.answers.push(Output::HangUp { link, reason: detail });
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one caller; the arguments are the hello itself")]
    fn welcome(
        &mut self,
        link: LinkId,
        store: &StoreId,
        epoch: Epoch,
        boot: Boot,
        hello: &Hello,
        hub_restored: bool,
        now: Now,
    ) {
        if hub_restored {
            self.has_forgotten(store, hello);
        }
        let Some(ledger) = self.stores.get_mut(store) else { return };
        ledger.facts.boots.clone_from(&hello.boots);
        ledger.facts.granted_to = None;
        ledger.facts.heard_life = self.facts.life;
        ledger.is_greeted = true;
        ledger.facts_changed();
        let welcome = Welcome {
            version: VERSION_MAX.min(hello.version_max),
            state_mark: ledger.facts.state_mark,
            history_mark: ledger.facts.history_mark,
            down_head: ledger.facts.down_head,
            hub_life: self.facts.life,
            wants_offer: !ledger.facts.trusted,
            clock: now.wall,
        };
        ledger.expect_offer();
        // After a restore the store's copy can't be trusted to be where its mark says: send it everything.
        let down_mark = if hub_restored { Seq(0) } else { hello.down_mark };
        self.dismiss_all_but(store, Some((epoch, boot)));
        if let Some(link) = self.links.get_mut(&link) {
            link.welcome(epoch, boot, welcome, down_mark, now.ticks);
        }
    }

    /// The caller remembers more of the hub than the hub itself: nothing is promised from its store until it has told.
    fn has_forgotten(&mut self, store: &StoreId, hello: &Hello) {
        if hello.hub_life == self.facts.life || hello.hub_life == 0 {
            self.start_new_life("a store holds acknowledgements the hub does not remember");
        }
        let Some(ledger) = self.stores.get_mut(store) else { return };
        ledger.facts.trusted = false;
        // Numbers the store has seen must not be given out again.
        ledger.facts.down_head = ledger.facts.down_head.max(hello.down_mark);
        ledger.facts_changed();
    }

    fn grant(
        &mut self,
        link: LinkId,
        store: &StoreId,
        epoch: Epoch,
        boot: Boot,
        granted: Epoch,
        fence: Fence,
    ) {
        let Some(ledger) = self.stores.get_mut(store) else { return };
        if fence == Fence::FirstContact {
            tracing::info!(%store, epoch = %granted, "first contact with a store");
        } else {
            tracing::warn!(%store, epoch = %granted, reason = fence.name(), "the store's agent starts over from the hub's copy");
        }
        *self.counters.granted.entry(fence.name()).or_default() += 1;
        // Where the hub was restored, the store stays untrusted: the new incarnation keeps what its disk knows of the hub's halves
        // and offers it.
        ledger.grant(granted, boot);
        ledger.facts.heard_life = self.facts.life;
        self.dismiss_all_but(store, None);
        self.handovers_due.push((link, store.clone(), epoch, boot));
    }

    fn dismiss_all_but(&mut self, store: &StoreId, heir: Option<(Epoch, Boot)>) {
        let links = self.links.values_mut().filter(|link| link.store() == store);
        links.for_each(|link| link.dismiss_unless(heir));
    }

    fn state(
        &mut self,
        link: LinkId,
        store: &StoreId,
        epoch: Epoch,
        boot: Boot,
        batch: StateBatch,
        now: Now,
    ) {
        self.trace_merge(store, &batch);
        let Some(ledger) = self.stores.get_mut(store) else { return };
        // An older batch than what is there may carry older items and cursors; halves join in any order.
        if batch.upto > ledger.facts.state_mark {
            for record in batch.items {
                let before = if ledger.changed_item(record.item).is_some() {
                    None
                } else {
                    self.storage.item(ledger.key, record.item).ok().flatten()
                };
                ledger.take_item(record, before.as_ref());
            }
            batch.cursors.iter().for_each(|cursor| ledger.take_cursor(cursor));
        }
        let is_newer = batch.upto > ledger.facts.state_mark;
        let notes: Vec<(Note, String)> = batch
            .notes
            .into_iter()
            .filter(|_| is_newer)
            .filter_map(|note| {
                Some((ledger.take_store_note(&note)?, note)).map(|(before, note)| (note, before))
            })
            .collect();
        // Orders first: they say what the units that the cells bring are for.
        let news: Vec<StoredOrder> =
            batch.orders.iter().filter_map(|record| ledger.join_store_order(record).cloned()).collect();
        let mut returned = false;
        for stock in &batch.stock {
            returned |= ledger.join(stock) == Joined::AndReturned;
        }
        self.counters.cells_merged += batch.stock.len() as u64;
        ledger.state_taken(batch.base, batch.upto, batch.head, batch.position);
        returned |= ledger.settle();
        if ledger.is_complete() {
            ledger.facts.as_of = now.wall;
        }
        let mark = ledger.facts.state_mark;
        self.note_orders(store, &news, now);
        self.heed_notes(store, &notes, now);
        self.quarantine_all(store, &batch.unreadable, now.wall);
        if returned {
            self.down_changed(store, false, now);
        }
        self.acknowledge(link, epoch, boot, Marks { state: Some(mark), history: None });
        if let Some(history) = batch.history {
            self.riding_history(link, store, epoch, boot, history, now);
        }
    }

    fn trace_merge(&mut self, store: &StoreId, batch: &StateBatch) {
        self.traces_due.extend(batch.traces.iter().map(|trace| (store.clone(), *trace, batch.upto)));
        tracing::debug!(%store, base = %batch.base, upto = %batch.upto, cells = batch.stock.len(), "state batch");
    }

    /// Whoever follows a till's trace finds here that its sale is durable at the hub.
    pub(super) fn log_traces(&mut self) {
        for (store, trace, upto) in std::mem::take(&mut self.traces_due) {
            tracing::info!(trace_id = %trace, %store, %upto, "merged at the hub");
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one caller; the arguments are the frame's own parts")]
    fn history(
        &mut self,
        link: LinkId,
        store: &StoreId,
        epoch: Epoch,
        boot: Boot,
        batch: HistoryBatch,
        bytes: &[u8],
        now: Now,
    ) {
        let Some(ledger) = self.stores.get_mut(store) else { return };
        for record in batch.items {
            // State brings newer records; here only what is not known at all is taken.
            let known = ledger.changed_item(record.item).is_some()
                || self.storage.item(ledger.key, record.item).is_ok_and(|item| item.is_some());
            if !known {
                ledger.take_item(record, None);
            }
        }
        // A document is worth nothing to a new incarnation while nobody can say what it is about: it waits for the state.
        let mut items = batch.documents.iter().flat_map(|document| &document.lines).map(|line| line.item);
        if ledger.is_complete() || items.all(|item| ledger.is_named(item)) {
            self.counters.documents += batch.documents.len() as u64;
            ledger.history_taken(batch.base, batch.upto, bytes);
        }
        let mark = ledger.facts.history_mark;
        self.quarantine_all(store, &batch.unreadable, now.wall);
        self.acknowledge(link, epoch, boot, Marks { state: None, history: Some(mark) });
    }

    /// History that came with a state batch is kept like history that came by itself.
    fn riding_history(
        &mut self,
        link: LinkId,
        store: &StoreId,
        epoch: Epoch,
        boot: Boot,
        history: HistoryBatch,
        now: Now,
    ) {
        let frame = Frame { store: store.clone(), epoch, boot, body: Body::History(history.clone()) };
        self.history(link, store, epoch, boot, history, &frame::encode(&frame), now);
    }

    /// One answer for all of a step's batches on a link; it leaves after the commit.
    fn acknowledge(&mut self, link: LinkId, epoch: Epoch, boot: Boot, marks: Marks) {
        let (_, _, due) = self.marks_due.entry(link).or_insert((epoch, boot, Marks::default()));
        due.state = marks.state.or(due.state);
        due.history = marks.history.or(due.history);
    }

    fn acknowledged(&mut self, link: LinkId, store: &StoreId, ack: Ack, now: Now) {
        let Some(head) = self.stores.get(store).map(|ledger| ledger.facts.down_head) else { return };
        if let Some(link) = self.links.get_mut(&link).filter(|_| ack.stream == Stream::State) {
            link.acknowledged(Seq(ack.upto), head, now.ticks);
        }
    }

    fn heartbeat(
        &mut self,
        link: LinkId,
        store: &StoreId,
        epoch: Epoch,
        boot: Boot,
        beat: &Heartbeat,
        now: Now,
    ) {
        let Some(ledger) = self.stores.get_mut(store) else { return };
        let caught_up =
            ledger.facts.state_mark == beat.state_head && ledger.facts.boot_head <= beat.state_head;
        if caught_up {
            ledger.complete(beat.state_head, beat.history_head);
            ledger.facts.as_of = now.wall;
        }
        let settled = ledger.settle();
        let pulse = Pulse {
            state_mark: ledger.facts.state_mark,
            history_mark: ledger.facts.history_mark,
            down_head: ledger.facts.down_head,
            clock: now.wall,
        };
        // History that is ahead of the heartbeat may have brought items that the heartbeat's digest did not hold yet.
        let comparable = caught_up && ledger.facts.history_mark <= beat.history_head;
        let up = (comparable && ledger.up.root() != beat.up_root).then(|| Buckets {
            direction: Direction::Up,
            head: beat.state_head,
            sums: ledger.up.sums().to_vec(),
        });
        let down_even = beat.down_mark == ledger.facts.down_head;
        let down = (down_even && ledger.down.root() != beat.down_root).then(|| Buckets {
            direction: Direction::Down,
            head: beat.down_mark,
            sums: ledger.down.sums().to_vec(),
        });
        let trusted = ledger.facts.trusted;
        if settled {
            self.down_changed(store, false, now);
        }
        if let Some(link) = self.links.get_mut(&link) {
            link.keep_up(epoch, boot, beat.down_mark.min(pulse.down_head), now.ticks);
        }
        self.note_down_mark(store, beat.down_mark, now);
        self.answer(link, epoch, boot, Body::Pulse(pulse));
        if !trusted {
            // The offer that was to come with the last hello has been lost.
            let refused = Refused {
                why: Refusal::SayHello,
                detail: "the hub was restored and waits for an offer".to_owned(),
            };
            self.answer(link, epoch, boot, Body::Refused(refused));
        }
        for buckets in [up, down].into_iter().flatten() {
            self.digests_differ(link, store, epoch, boot, buckets, now);
        }
    }

    /// Should never happen: counted, logged as an error, and mended.
    fn digests_differ(
        &mut self,
        link: LinkId,
        store: &StoreId,
        epoch: Epoch,
        boot: Boot,
        buckets: Buckets,
        now: Now,
    ) {
        let checked = self.digest_checked_at.get(store);
        if checked.is_some_and(|checked| now.ticks.since(*checked) < DIGEST_PAUSE_MS) {
            return;
        }
        self.digest_checked_at.insert(store.clone(), now.ticks);
        self.counters.digest_mismatches += 1;
        tracing::error!(%store, direction = ?buckets.direction, "digests differ at equal heads");
        self.answer(link, epoch, boot, Body::Buckets(buckets));
    }

    /// A store's copy of the hub's halves, after the hub was restored. With all its parts the store is trusted again.
    fn offer(&mut self, store: &StoreId, offer: &Offer, now: Now) {
        let Some(ledger) = self.stores.get_mut(store) else { return };
        for stock in &offer.halves {
            let joined = ledger.raise_hub_half(stock.item, |cell| {
                cell.hub.join(&stock.half);
                Ok::<(), EscrowError>(())
            });
            debug_assert!(joined.is_ok(), "joining refuses nothing");
        }
        offer.orders.iter().for_each(|record| ledger.join_hub_order(record));
        if offer.unreadable.is_empty() && ledger.take_part(offer.part, offer.last) && !ledger.facts.trusted {
            ledger.trust();
            tracing::info!(%store, "the store has been heard since the restore");
        }
        offer.orders.iter().for_each(|record| self.note_forgotten(store, record.order, now));
        self.quarantine_all(store, &offer.unreadable, now.wall);
        self.down_changed(store, false, now);
    }

    fn resend(&mut self, store: &StoreId, resend: &Resend, now: Now) {
        let Some(ledger) = self.stores.get_mut(store) else { return };
        if resend.direction == Direction::Down && resend.head == ledger.facts.down_head {
            ledger.restamp(&resend.buckets);
            self.down_changed(store, true, now);
        }
    }
}
