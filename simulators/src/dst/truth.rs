//! What really happened: every document the tills and the POS have ever reported, who was told that it is recorded, and on whose
//! disks it is. Kept outside of agent and hub, so that nothing they believe can change it.

use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use store_agent::agent::Document;
use sync_protocol::record::{Kind, document_key};
use sync_protocol::{Epoch, ItemNo, Position, Sku, SourceId};

/// Names a document, in the order they came into the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocNo(pub usize);

/// Names an item over all stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SkuNo(pub usize);

/// What a document did to each item's on hand, in thousandths. Holds no zeros.
pub type Effects = BTreeMap<SkuNo, i64>;

/// A document and what is known of its fate.
#[derive(Debug)]
pub struct Reported {
    pub store: usize,
    pub document: Document,
    pub from_journal: bool,
    /// Somebody was told that it is recorded.
    pub answered: bool,
    /// No disk of the store has it, nor has the hub: it may be missing.
    pub lost: bool,
}

/// The witness.
#[derive(Debug, Default)]
pub struct Truth {
    pub documents: Vec<Reported>,
    by_key: Vec<BTreeMap<[u8; 16], DocNo>>,
    skus: Vec<Sku>,
    by_sku: BTreeMap<String, SkuNo>,
    /// What the hub's history holds on disk, by store.
    pub at_hub: Vec<HubHistory>,
    /// The most that any server of a store has granted of a sku.
    pub granted: Vec<BTreeMap<String, u64>>,
    /// What the hub ever took a document for: an agent may have started from a hub that has been restored since.
    ever_at_hub: BTreeMap<DocNo, Effects>,
}

/// The hub's history of one store: where it holds each document first, and what that did.
pub type HubHistory = BTreeMap<DocNo, ((Epoch, Position), Effects)>;

impl Truth {
    #[must_use]
    pub fn of_stores(stores: usize) -> Truth {
        Truth {
            by_key: vec![BTreeMap::new(); stores],
            at_hub: vec![BTreeMap::new(); stores],
            granted: vec![BTreeMap::new(); stores],
            ..Truth::default()
        }
    }

    pub fn note_granted(&mut self, store: usize, no: SkuNo, granted: u64) {
        let sku = self.skus[no.0].as_str();
        match self.granted[store].get_mut(sku) {
            Some(most) => *most = granted.max(*most),
            None => drop(self.granted[store].insert(sku.to_owned(), granted)),
        }
    }

    pub fn report(&mut self, store: usize, document: Document, from_journal: bool) -> DocNo {
        let no = DocNo(self.documents.len());
        self.by_key[store].insert(document_key(&document.source, &document.reference), no);
        self.documents.push(Reported { store, document, from_journal, answered: false, lost: false });
        no
    }

    #[must_use]
    pub fn document(&self, no: DocNo) -> &Reported {
        &self.documents[no.0]
    }

    #[must_use]
    pub fn by_key(&self, store: usize, key: &[u8; 16]) -> Option<DocNo> {
        self.by_key[store].get(key).copied()
    }

    pub fn sku_no(&mut self, sku: &str) -> SkuNo {
        if let Some(no) = self.by_sku.get(sku) {
            return *no;
        }
        let no = SkuNo(self.skus.len());
        self.skus.push(sku.parse().expect("skus come from agent or hub, which parsed them"));
        self.by_sku.insert(sku.to_owned(), no);
        no
    }

    #[must_use]
    pub fn sku(&self, no: SkuNo) -> &Sku {
        &self.skus[no.0]
    }

    /// What these books say is on hand of an item.
    #[must_use]
    pub fn on_hand_in(&self, books: &Books, sku: &str) -> i64 {
        self.by_sku.get(sku).and_then(|no| books.on_hand.get(no)).copied().unwrap_or(0)
    }

    /// The hub has committed this document.
    pub fn hub_took(&mut self, store: usize, no: DocNo, place: (Epoch, Position), effects: Effects) {
        self.at_hub[store].entry(no).or_insert_with(|| {
            self.ever_at_hub.insert(no, effects.clone());
            (place, effects)
        });
    }

    /// What the hub took a document for, now or before it was restored.
    pub fn hub_effects(&self, store: usize, no: DocNo) -> Option<&Effects> {
        self.at_hub[store].get(&no).map(|(_, effects)| effects).or_else(|| self.ever_at_hub.get(&no))
    }

    /// What the hub's figures must be where they hold everything up to `cut` and nothing beyond.
    #[must_use]
    pub fn at_cut(&self, store: usize, cut: (Epoch, Position)) -> BTreeMap<&str, i64> {
        let mut on_hand = BTreeMap::new();
        let upto = self.at_hub[store].values().filter(|(place, _)| *place <= cut);
        for (sku, effect) in upto.flat_map(|(_, effects)| effects) {
            *on_hand.entry(self.sku(*sku).as_str()).or_default() += effect;
        }
        on_hand
    }

    /// What a document of this kind must have done in all; `None` for a count, whose effect the ledger decides.
    #[must_use]
    pub fn total_effect(document: &Document) -> Option<i64> {
        if document.kind == Kind::Count {
            return None;
        }
        document
            .lines
            .iter()
            .map(|line| document.kind.effect(line.quantity))
            .map(|effect| Some(effect?.thousandths()))
            .sum()
    }
}

/// What one disk holds, followed from outside.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// Documents in its ledger, and what they did there.
    pub ledger: BTreeMap<DocNo, Effects>,
    /// Documents it knows from the hub.
    pub known: BTreeSet<DocNo>,
    /// What on hand must be, in thousandths.
    pub on_hand: BTreeMap<SkuNo, i64>,
    /// The store's own numbers of the items its documents are about.
    pub numbers: BTreeMap<SkuNo, ItemNo>,
}

impl Books {
    #[must_use]
    pub fn has(&self, no: DocNo) -> bool {
        self.ledger.contains_key(&no) || self.known.contains(&no)
    }

    pub fn record(&mut self, no: DocNo, Moved { effects, numbers }: Moved) {
        self.numbers.extend(numbers);
        for (sku, effect) in &effects {
            *self.on_hand.entry(*sku).or_default() += effect;
        }
        self.ledger.insert(no, effects);
    }

    /// The books of a database as it is. Each document counts once, and where the hub knows it, as the hub counted it.
    #[must_use]
    pub fn read(db: &Connection, store: usize, truth: &mut Truth) -> Books {
        let ledger = ledger(db, store, truth);
        let mut books = Books { ledger, known: known(db, store, truth), ..Books::default() };
        books.numbers = numbers(db, truth);
        let of_hub = books.known.iter().filter_map(|no| truth.hub_effects(store, *no));
        let own = books.ledger.iter().filter(|(no, _)| !books.known.contains(no)).map(|(_, effects)| effects);
        for (sku, effect) in of_hub.chain(own).flatten() {
            *books.on_hand.entry(*sku).or_default() += effect;
        }
        books
    }
}

fn ledger(db: &Connection, store: usize, truth: &mut Truth) -> BTreeMap<DocNo, Effects> {
    let sql = "SELECT s.name, d.reference, i.sku, m.effect FROM movement m JOIN document d ON d.document = m.document
               JOIN source s ON s.source = d.source JOIN item i ON i.item = m.item ORDER BY m.position";
    let mut statement = db.prepare_cached(sql).expect("the ledger's schema has these columns");
    let rows = statement.query_map([], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, i64>(3)?,
        ))
    });
    let mut ledger: BTreeMap<DocNo, Effects> = BTreeMap::new();
    for row in rows.expect("the ledger can be read") {
        let (source, reference, sku, effect) =
            row.expect("a ledger line has a source, a reference and an item");
        let (source, reference) =
            (source.parse().expect("a source"), reference.parse().expect("a reference"));
        let no = truth.by_key(store, &document_key(&source, &reference)).expect("nobody makes documents up");
        let sku = truth.sku_no(&sku);
        add(ledger.entry(no).or_default(), sku, effect);
    }
    ledger
}

pub fn add(effects: &mut Effects, sku: SkuNo, effect: i64) {
    let sum = effects.entry(sku).or_default();
    *sum += effect;
    if *sum == 0 {
        effects.remove(&sku);
    }
}

fn numbers(db: &Connection, truth: &mut Truth) -> BTreeMap<SkuNo, ItemNo> {
    let mut statement = db.prepare_cached("SELECT sku, item FROM item").expect("the schema has this table");
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?)));
    let rows = rows.expect("it can be read").map(|row| row.expect("an item has a sku and a number"));
    rows.map(|(sku, item)| (truth.sku_no(&sku), ItemNo(item))).collect()
}

fn known(db: &Connection, store: usize, truth: &Truth) -> BTreeSet<DocNo> {
    let mut statement =
        db.prepare_cached("SELECT key FROM known_document").expect("the schema has this table");
    let keys = statement.query_map([], |row| row.get::<_, [u8; 16]>(0)).expect("it can be read");
    keys.map(|key| key.expect("a key has 16 bytes"))
        .map(|key| truth.by_key(store, &key).expect("nobody makes documents up"))
        .collect()
}

/// What a document did, and to which of the store's items.
#[derive(Debug, Default)]
pub struct Moved {
    pub effects: Effects,
    numbers: Vec<(SkuNo, ItemNo)>,
}

/// What the document at these positions did, as the ledger has it.
#[must_use]
pub fn moved_at(db: &Connection, positions: &[Position], truth: &mut Truth) -> Moved {
    let sql =
        "SELECT i.sku, i.item, m.effect FROM movement m JOIN item i ON i.item = m.item WHERE m.position = ?1";
    let mut statement = db.prepare_cached(sql).expect("the ledger's schema has these columns");
    let mut moved = Moved::default();
    for position in positions {
        let line = statement.query_row([position.0], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?, row.get::<_, i64>(2)?))
        });
        if let Ok((sku, item, effect)) = line {
            let sku = truth.sku_no(&sku);
            add(&mut moved.effects, sku, effect);
            moved.numbers.push((sku, ItemNo(item)));
        }
    }
    moved
}

/// What a document did, as the ledger has it.
#[must_use]
pub fn moved_by(db: &Connection, document: &Document, truth: &mut Truth) -> Moved {
    let sql = "SELECT m.position FROM movement m JOIN document d ON d.document = m.document
               JOIN source s ON s.source = d.source WHERE s.name = ?1 AND d.reference = ?2 ORDER BY m.position";
    let mut statement = db.prepare_cached(sql).expect("the ledger's schema has these columns");
    let key = [document.source.as_str(), document.reference.as_str()];
    let positions = statement.query_map(key, |row| row.get::<_, u64>(0)).expect("the ledger can be read");
    let positions: Vec<Position> =
        positions.map(|position| Position(position.expect("a line has a position"))).collect();
    moved_at(db, &positions, truth)
}

/// How far the agent says it has read this source.
#[must_use]
pub fn cursor(db: &Connection, source: &SourceId) -> Option<Vec<u8>> {
    let sql = "SELECT c.value FROM cursor c JOIN source s ON s.source = c.source WHERE s.name = ?1";
    let mut statement = db.prepare_cached(sql).expect("the schema has this table");
    statement.query_row([source.as_str()], |row| row.get(0)).ok()
}

/// Which epoch the database has.
#[must_use]
pub fn epoch(db: &Connection) -> Epoch {
    Epoch(db.query_row("SELECT epoch FROM agent", [], |row| row.get(0)).unwrap_or(0))
}

impl Truth {
    /// Another key for a document: only sabotage gives it one.
    pub fn also_known_as(&mut self, no: DocNo, renamed: &Document) {
        let store = self.documents[no.0].store;
        self.by_key[store].insert(document_key(&renamed.source, &renamed.reference), no);
    }
}
