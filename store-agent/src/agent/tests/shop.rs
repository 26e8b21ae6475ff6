//! A store with a clock that only tests move.

use super::*;
use sync_protocol::stock::Cell;
use sync_protocol::{Gtin, Reference, Sku, SourceId};

pub(super) const OPENS: UnixMillis = UnixMillis(1_793_480_400_000);

pub(super) fn units(units: i64) -> Quantity {
    Quantity::from_units(units)
}

pub(super) fn kilos(text: &str) -> Quantity {
    text.parse().unwrap()
}

pub(super) fn sku(text: &str) -> Sku {
    text.parse().unwrap()
}

pub(super) fn gtin(text: &str) -> Gtin {
    text.parse().unwrap()
}

pub(super) fn source(text: &str) -> SourceId {
    text.parse().unwrap()
}

pub(super) fn settings() -> Settings {
    let store = "S0001".parse().unwrap();
    Settings { store, reserve: ReservePolicy::default(), timing: Timing::default(), canary: None }
}

/// A document with one line for each (sku, quantity).
pub(super) fn document(kind: Kind, reference: &str, lines: &[(&str, Quantity)]) -> Document {
    Document {
        source: source("till-3"),
        reference: reference.parse::<Reference>().unwrap(),
        kind,
        reason: (kind == Kind::Adjustment).then(|| "found behind the shelf".to_owned()),
        occurred_at: OPENS,
        counted: None,
        cursor: None,
        lines: lines
            .iter()
            .map(|(item, quantity)| Line { item: ItemKey::Sku(sku(item)), quantity: *quantity })
            .collect(),
        order: None,
        trace: None,
    }
}

pub(super) struct Shop {
    pub(super) agent: Agent,
    pub(super) now: Now,
    tickets: u64,
    documents: u64,
}

impl Shop {
    pub(super) fn open() -> Shop {
        Shop::with(store::open_in_memory().unwrap(), settings(), 1)
    }

    pub(super) fn with(db: Connection, settings: Settings, boot: u64) -> Shop {
        let now = Now { wall: OPENS, ticks: Ticks(0) };
        let documents = 1_000 * boot;
        Shop { agent: Agent::open(db, settings, Boot(boot), now).unwrap(), now, tickets: 0, documents }
    }

    pub(super) fn pass(&mut self, millis: u64) {
        self.now.wall.0 += millis.cast_signed();
        self.now.ticks.0 += millis;
    }

    // What happens at the tills and in the back office.

    pub(super) fn record_all(&mut self, documents: Vec<Document>) -> Vec<Result<Recorded, RecordError>> {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let outputs = self.agent.drain(vec![Input::Record { ticket, documents }], self.now);
        let answers: Vec<_> = outputs
            .into_iter()
            .filter_map(|output| match output {
                Output::Answer { ticket: answered, answer: Answer::Recorded(answers) }
                    if answered == ticket =>
                {
                    Some(answers)
                }
                _ => None,
            })
            .collect();
        assert_eq!(answers.len(), 1, "one answer to one request");
        answers.into_iter().next().unwrap()
    }

    pub(super) fn record(&mut self, document: Document) -> Result<Recorded, RecordError> {
        self.record_all(vec![document]).remove(0)
    }

    fn reference(&mut self) -> String {
        self.documents += 1;
        format!("auto-{}", self.documents)
    }

    /// Recorded as it happens, under a reference of its own. Gives the position of its one line.
    pub(super) fn report(&mut self, kind: Kind, item: &str, quantity: Quantity) -> Position {
        let reference = self.reference();
        let document =
            Document { occurred_at: self.now.wall, ..document(kind, &reference, &[(item, quantity)]) };
        match self.record(document) {
            Ok(Recorded::New { positions }) => positions[0],
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn receive(&mut self, item: &str, pieces: i64) -> Position {
        self.report(Kind::Receipt, item, units(pieces))
    }

    pub(super) fn sell(&mut self, item: &str, pieces: i64) -> Position {
        self.report(Kind::Sale, item, units(pieces))
    }

    pub(super) fn count(&mut self, item: &str, pieces: i64, counted: Counted) {
        let reference = self.reference();
        let count = document(Kind::Count, &reference, &[(item, units(pieces))]);
        let count = Document { occurred_at: self.now.wall, counted: Some(counted), ..count };
        assert!(matches!(self.record(count), Ok(Recorded::New { .. })));
    }

    pub(super) fn put(&mut self, entry: ItemEntry) -> Result<ItemPut, RecordError> {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let outputs = self.agent.drain(vec![Input::PutItems { ticket, items: vec![entry] }], self.now);
        match outputs.into_iter().next() {
            Some(Output::Answer { answer: Answer::Items(mut answers), .. }) => answers.remove(0),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn name(&mut self, item: &str, gtins: &[&str]) -> Result<ItemPut, RecordError> {
        let gtins = gtins.iter().map(|text| gtin(text)).collect();
        self.put(ItemEntry { sku: sku(item), gtins, name: format!("the {item}"), unit: "each".to_owned() })
    }

    pub(super) fn tick(&mut self) -> Vec<Output> {
        self.agent.drain(vec![Input::Tick], self.now)
    }

    // What there is to see.

    pub(super) fn cell(&self, item: &str) -> Cell {
        self.agent.cell(&sku(item)).unwrap_or_default()
    }

    pub(super) fn on_hand(&self, item: &str) -> Quantity {
        self.cell(item).on_hand()
    }

    pub(super) fn number(&self, sql: &str) -> i64 {
        self.agent.database().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// **Invariant:** the memory is what is on disk, and on hand is what the ledger adds up to.
    pub(super) fn holds_together(&self) {
        let mind = &self.agent.mind;
        let disk = Mind::load(self.agent.database(), &self.agent.settings, mind.boot).unwrap();
        assert_eq!(
            AgentRow { state_acked: disk.state_acked, history_acked: disk.history_acked, ..mind.row() },
            disk.row()
        );
        assert_eq!((&mind.boots, mind.epoch), (&disk.boots, disk.epoch));
        assert_eq!((mind.next_position, mind.history_head), (disk.next_position, disk.history_head));
        assert_eq!(mind.has_known_documents, disk.has_known_documents);
        let (here, there) = (&mind.inventory, &disk.inventory);
        assert_eq!(here.items(), there.items());
        assert_eq!((&here.up, &here.down), (&there.up, &there.down));
        assert_eq!(mind.canaries.shown(), disk.canaries.shown());
        let pending = |inventory: &Inventory| inventory.pending_after(mind.state_acked).collect::<Vec<_>>();
        assert_eq!(pending(here), pending(there));
        for item in (1..mind.next_item.0).map(ItemNo) {
            let (here, there) = (here.slot(item), there.slot(item));
            assert_eq!(here.map(|slot| slot.cell), there.map(|slot| slot.cell), "item {item}");
        }
        let books = "SELECT count(*) FROM stock s WHERE total_in - total_out
                     <> coalesce((SELECT sum(effect) FROM movement m WHERE m.item = s.item), 0)";
        assert_eq!(self.number(books), 0, "cells that are not what the ledger adds up to");
    }
}
