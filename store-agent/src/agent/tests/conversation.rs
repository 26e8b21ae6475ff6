//! The core with a hub at its other end that says what a test wants it to say.

use super::shop::{OPENS, document, settings};
use super::*;
use sync_protocol::frame::{Body, DownBatch, Frame, Marks, Refusal, Refused, StateBatch};
use sync_protocol::limits::FRAME_BYTES_MAX;
use sync_protocol::record::{
    CursorRecord, HistoryDocument, HistoryLine, HubOrderRecord, HubStock, ItemRecord, KnownDocument, Note,
    StoreStock,
};
use sync_protocol::record::{Unreadable, document_key};
use sync_protocol::stock::{HubHalf, StoreHalf};

/// What a hub would remember, as far as tests need it.
pub(super) struct Hub {
    pub(super) epoch: Epoch,
    pub(super) boot: Boot,
    pub(super) down_head: Seq,
}

impl Hub {
    /// Connects an agent that no hub has met: first contact, epoch 1, and everything it had is acknowledged.
    pub(super) fn connected(shop: &mut Shop) -> Hub {
        let hello = hello_of(&connect(shop));
        let mut hub = Hub { epoch: Epoch(0), boot: hello.boot, down_head: Seq(0) };
        hub.hands_over(shop, empty_handover(Epoch(1)));
        let said = hub.welcomes(shop);
        hub.acknowledges(shop, &said);
        hub
    }

    pub(super) fn says(&self, shop: &mut Shop, body: Body) -> Vec<Frame> {
        frames(&self.says_raw(shop, body))
    }

    fn says_raw(&self, shop: &mut Shop, body: Body) -> Vec<Output> {
        let frame = Frame { store: "S0001".parse().unwrap(), epoch: self.epoch, boot: self.boot, body };
        shop.agent.drain(vec![Input::Frame(frame::encode(&frame))], shop.now)
    }

    /// Gives the agent an epoch; it says hello again in it.
    pub(super) fn hands_over(&mut self, shop: &mut Shop, handover: Handover) {
        let granted = handover.granted;
        let hello = hello_of(&self.says(shop, Body::Handover(handover)));
        assert_eq!(hello.epoch, granted);
        self.epoch = granted;
    }

    /// Gives what the agent says at once after it.
    pub(super) fn welcomes(&self, shop: &mut Shop) -> Vec<Frame> {
        self.says(shop, Body::Welcome(self.welcome()))
    }

    pub(super) fn welcome(&self) -> Welcome {
        Welcome {
            version: 1,
            state_mark: Seq(0),
            history_mark: Position(0),
            down_head: self.down_head,
            hub_life: 5,
            wants_offer: false,
            clock: UnixMillis(OPENS.0 + 250),
        }
    }

    /// Everything in these frames is durable at the hub.
    pub(super) fn acknowledges(&self, shop: &mut Shop, said: &[Frame]) {
        let mut marks = Marks::default();
        for frame in said {
            match &frame.body {
                Body::State(batch) => {
                    marks.state = Some(batch.upto);
                    marks.history = batch.history.as_ref().map(|history| history.upto).or(marks.history);
                }
                Body::History(batch) => marks.history = Some(batch.upto),
                _ => {}
            }
        }
        if marks != Marks::default() {
            let more = self.says(shop, Body::Marks(marks));
            self.acknowledges(shop, &more);
        }
    }

    pub(super) fn sends_down(&mut self, shop: &mut Shop, item: &str, half: HubHalf) -> Vec<Frame> {
        let item = shop.agent.mind.inventory.by_sku(&sku(item)).unwrap();
        let base = self.down_head;
        self.down_head = base.next();
        let halves = vec![HubStock { item, half }];
        self.says(shop, Body::Down(DownBatch { base, upto: self.down_head, halves, ..DownBatch::default() }))
    }

    pub(super) fn promises(&mut self, shop: &mut Shop, item: &str, pieces: u64) {
        let hub = shop.cell(item).hub;
        self.sends_down(shop, item, HubHalf { promised: hub.promised + 1_000 * pieces, ..hub });
    }

    /// Sends the hub's half of an order.
    pub(super) fn sends_order(&mut self, shop: &mut Shop, record: HubOrderRecord) -> Vec<Frame> {
        let base = self.down_head;
        self.down_head = base.next();
        let orders = vec![record];
        self.says(shop, Body::Down(DownBatch { base, upto: self.down_head, orders, ..DownBatch::default() }))
    }

    /// Sends notes of the hub's.
    pub(super) fn notes(&mut self, shop: &mut Shop, notes: Vec<Note>) -> Vec<Frame> {
        let base = self.down_head;
        self.down_head = base.next();
        self.says(shop, Body::Down(DownBatch { base, upto: self.down_head, notes, ..DownBatch::default() }))
    }

    /// A restored hub welcomes the agent, and asks for its copy of the hub's halves.
    pub(super) fn welcomes_restored(&self, shop: &mut Shop) {
        hello_of(&connect(shop));
        let welcome = Welcome { hub_life: 6, wants_offer: true, ..self.welcome() };
        self.says(shop, Body::Welcome(welcome));
    }

    /// Gives back everything that was recalled.
    pub(super) fn honours_recalls(&mut self, shop: &mut Shop) {
        let mut cell = shop.cell("milk");
        cell.honour_recalls();
        self.sends_down(shop, "milk", cell.hub);
    }
}

pub(super) fn connect(shop: &mut Shop) -> Vec<Frame> {
    frames(&shop.agent.drain(vec![Input::LinkUp], shop.now))
}

pub(super) fn frames(outputs: &[Output]) -> Vec<Frame> {
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Send { stream, bytes } => {
            assert!(bytes.len() <= FRAME_BYTES_MAX, "a frame of {} bytes", bytes.len());
            let frame = frame::decode(bytes).unwrap();
            assert_eq!(frame.body.stream(), *stream);
            Some(frame)
        }
        _ => None,
    });
    sent.collect()
}

pub(super) fn hello_of(said: &[Frame]) -> Frame {
    assert_eq!(kinds(said), ["hello"]);
    said[0].clone()
}

fn kinds(said: &[Frame]) -> Vec<&'static str> {
    said.iter().map(|frame| frame.body.kind()).collect()
}

pub(super) fn state_of(said: &[Frame]) -> StateBatch {
    let states = said.iter().filter_map(|frame| match &frame.body {
        Body::State(batch) => Some(batch.clone()),
        _ => None,
    });
    states.into_iter().next_back().expect("a state batch")
}

fn hang_up_of(outputs: &[Output]) -> Option<&str> {
    outputs.iter().find_map(|output| match output {
        Output::HangUp { reason } => Some(reason.as_str()),
        _ => None,
    })
}

pub(super) fn empty_handover(granted: Epoch) -> Handover {
    Handover { granted, last: true, hub_life: 5, next_position: Position(1), ..Handover::default() }
}

pub(super) fn item(n: u32, text: &str) -> ItemRecord {
    ItemRecord {
        item: ItemNo(n),
        sku: sku(text),
        gtins: Vec::new(),
        name: format!("the hub's {text}"),
        unit: "each".to_owned(),
        unnamed: false,
    }
}

pub(super) fn stock(n: u32, epoch: u32, units_in: u64, units_out: u64) -> StoreStock {
    let (in_, out) = (1_000 * units_in, 1_000 * units_out);
    StoreStock { item: ItemNo(n), half: StoreHalf { epoch: Epoch(epoch), in_, out, ..StoreHalf::default() } }
}

fn known(reference: &str, position: u64) -> KnownDocument {
    let key = document_key(&source("till-3"), &reference.parse().unwrap());
    KnownDocument { key, content: 0, first_position: Position(position), lines: 1 }
}

fn hub_document(reference: &str, position: u64, item: u32, effect: i64) -> HistoryDocument {
    HistoryDocument {
        first_position: Position(position),
        source: source("till-3"),
        reference: reference.parse().unwrap(),
        kind: Kind::Sale,
        reason: None,
        occurred_at: OPENS,
        recorded_at: OPENS,
        content: 0,
        lines: vec![HistoryLine { item: ItemNo(item), quantity: units(-effect), effect: units(effect) }],
    }
}

// Going on.

#[test]
fn nothing_is_said_while_there_is_no_line() {
    let mut shop = Shop::open();
    shop.receive("milk", 10);
    shop.pass(3_600_000);
    assert!(frames(&shop.tick()).is_empty());
    assert_eq!(shop.agent.status().records_pending, 2, "the item and its stock");
}

#[test]
fn a_sale_is_told_with_the_figures_it_leads_to() {
    let mut shop = Shop::open();
    let hub = Hub::connected(&mut shop);
    shop.receive("milk", 10);
    let sale = document(Kind::Sale, "42", &[("milk", units(3))]);
    let trace = Some(TraceId([7; 16]));
    let input = Input::Record { ticket: Ticket(9), documents: vec![Document { trace, ..sale }] };
    let outputs = shop.agent.drain(vec![input], shop.now);
    assert!(matches!(outputs[0], Output::Answer { .. }), "the till first");
    let batch = state_of(&frames(&outputs));
    assert_eq!((batch.stock[0].half.in_, batch.stock[0].half.out), (10_000, 3_000));
    assert_eq!((batch.upto, batch.position), (batch.head, Position(2)));
    assert_eq!(batch.traces, [TraceId([7; 16])]);
    hub.acknowledges(&mut shop, &frames(&outputs));
    assert!(shop.agent.status().is_caught_up() || shop.agent.status().history_acked == Position(2));
    assert_eq!(shop.agent.status().records_pending, 0);
}

#[test]
fn fifty_sales_offline_are_one_record_and_all_their_documents() {
    let mut shop = Shop::open();
    let hub = Hub::connected(&mut shop);
    shop.receive("milk", 100);
    shop.agent.drain(vec![Input::LinkDown { reason: "cut".to_owned() }], shop.now);
    for _ in 0..50 {
        shop.sell("milk", 1);
    }
    hello_of(&connect(&mut shop));
    let said = hub.welcomes(&mut shop);
    let batch = state_of(&said);
    assert_eq!((batch.stock.len(), batch.stock[0].half.out), (1, 50_000));
    hub.acknowledges(&mut shop, &said);
    assert_eq!(shop.agent.status().history_acked, Position(51));
    assert!(shop.agent.status().is_caught_up());
}

#[test]
fn what_the_hub_did_not_confirm_is_sent_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let mut shop = Shop::with(store::open(&path).unwrap(), settings(), 1);
    let mut hub = Hub::connected(&mut shop);
    shop.receive("milk", 10);
    drop(shop);
    let mut shop = Shop::with(store::open(&path).unwrap(), settings(), 2);
    let hello = hello_of(&connect(&mut shop));
    assert_eq!((hello.epoch, hello.boot), (Epoch(1), Boot(2)));
    hub.boot = Boot(2);
    let batch = state_of(&hub.welcomes(&mut shop));
    assert_eq!((batch.items.len(), batch.stock.len()), (1, 1));
    let status = shop.agent.status();
    assert_eq!((status.link, status.hub_clock_ahead_ms), (LinkState::Streaming, Some(250)));
}

#[test]
fn the_hubs_halves_are_applied_and_confirmed_after_the_commit() {
    let mut shop = Shop::open();
    let mut hub = Hub::connected(&mut shop);
    shop.receive("milk", 10);
    let said = hub.sends_down(&mut shop, "milk", HubHalf { promised: 2_000, ..HubHalf::default() });
    assert!(said.iter().any(|frame| matches!(frame.body, Body::Ack(ack) if ack.upto == 1)));
    assert_eq!((shop.cell("milk").open(), shop.agent.status().down_mark), (units(2), Seq(1)));
    shop.holds_together();
}

#[test]
fn a_half_of_an_item_this_store_does_not_have_is_quarantined_and_the_rest_goes_on() {
    let mut shop = Shop::open();
    let hub = Hub::connected(&mut shop);
    shop.receive("milk", 10);
    let half = HubHalf { promised: 1_000, ..HubHalf::default() };
    let halves = vec![HubStock { item: ItemNo(1), half }, HubStock { item: ItemNo(77), half }];
    let said = hub.says(
        &mut shop,
        Body::Down(DownBatch { base: Seq(0), upto: Seq(2), halves, ..DownBatch::default() }),
    );
    assert!(kinds(&said).contains(&"ack"));
    assert_eq!((shop.cell("milk").open(), shop.agent.status().quarantined), (units(1), 1));
    assert_eq!(shop.number("SELECT count(*) FROM quarantine"), 1);
    shop.holds_together();
}

#[test]
fn what_can_not_be_read_or_is_not_the_hubs_to_say_ends_the_link() {
    let mut shop = Shop::open();
    let hub = Hub::connected(&mut shop);
    let outputs = shop.agent.drain(vec![Input::Frame(vec![1, 2, 3])], shop.now);
    assert!(hang_up_of(&outputs).unwrap().contains("can't be read"));
    assert_eq!(shop.agent.status().link, LinkState::Down);
    hello_of(&connect(&mut shop));
    hub.welcomes(&mut shop);
    let outputs = hub.says_raw(&mut shop, Body::State(StateBatch::default()));
    assert!(hang_up_of(&outputs).unwrap().contains("broke the protocol"));
    let refused = Refused { why: Refusal::UnknownStore, detail: "there is no store `S0001`".to_owned() };
    hello_of(&connect(&mut shop));
    let outputs = hub.says_raw(&mut shop, Body::Refused(refused));
    assert_eq!(hang_up_of(&outputs), Some("the hub refused: there is no store `S0001`"));
    let (_, error) = shop.agent.status().last_link_error.unwrap();
    assert!(error.contains("there is no store"), "{error}");
}

/// A frame that the hub can't take would be sent again for ever, and nothing behind it would arrive.
#[test]
fn the_largest_documents_of_the_longest_items_fit_their_frames() {
    let mut shop = Shop::open();
    let hub = Hub::connected(&mut shop);
    shop.agent.drain(vec![Input::LinkDown { reason: "cut".to_owned() }], shop.now);
    let long = |n: usize| format!("{n:0>64}");
    for sheet in 0..3 {
        let lines = (0..LINES_MAX).map(|at| {
            // As hard to deflate as figures get.
            let noise = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 24;
            let quantity = Quantity::from_thousandths((noise % 1_000_000_000_000).cast_signed());
            Line { item: ItemKey::Sku(sku(&long(at + sheet * 5_000))), quantity }
        });
        let count = document(Kind::Count, &"r".repeat(100 + sheet), &[]);
        let counted = Some(Counted::At(shop.now.wall));
        shop.record(Document { counted, lines: lines.collect(), ..count }).unwrap();
    }
    for at in 0..500 {
        let gtins = (0..GTINS_MAX as u64)
            .map(|n| sync_protocol::Gtin::from_number(at * 100 + n + 99_999_999_900_000))
            .collect();
        let (name, unit) = ("ß".repeat(NAME_BYTES_MAX / 2), "u".repeat(16));
        shop.put(ItemEntry {
            sku: sku(&long(usize::try_from(at).unwrap())),
            gtins: Option::unwrap_or_default(gtins),
            name,
            unit,
        })
        .unwrap();
    }
    hello_of(&connect(&mut shop));
    let said = hub.welcomes(&mut shop);
    hub.acknowledges(&mut shop, &said);
    let status = shop.agent.status();
    assert_eq!((status.records_pending, status.history_acked), (0, Position(30_000)));
}

// Starting over.

#[test]
fn first_contact_keeps_what_was_sold_before_it() {
    let mut shop = Shop::open();
    shop.receive("milk", 10);
    shop.sell("milk", 3);
    Hub::connected(&mut shop);
    assert_eq!((shop.on_hand("milk"), shop.agent.status().epoch), (units(7), Epoch(1)));
    assert_eq!(shop.agent.status().history_acked, Position(2), "under the epoch it was granted");
    shop.holds_together();
}

#[test]
fn a_new_disk_takes_over_the_hubs_copy() {
    let mut shop = Shop::open();
    let mut hub = Hub { epoch: Epoch(0), boot: hello_of(&connect(&mut shop)).boot, down_head: Seq(9) };
    let half = HubHalf { promised: 2_000, ..HubHalf::default() };
    hub.hands_over(
        &mut shop,
        Handover {
            down_head: Seq(9),
            next_position: Position(500),
            items: vec![item(4, "milk"), item(7, "salt")],
            stock: vec![stock(4, 4, 50, 20), stock(7, 4, 5, 0)],
            halves: vec![HubStock { item: ItemNo(4), half }],
            cursors: vec![CursorRecord { source: source("pos-db"), value: vec![7] }],
            known: vec![known("41", 480)],
            documents: vec![hub_document("42", 490, 4, -3)],
            ..empty_handover(Epoch(4))
        },
    );
    assert_eq!((shop.on_hand("milk"), shop.on_hand("salt")), (units(27), units(5)));
    assert_eq!((shop.cell("milk").open(), shop.agent.status().down_mark), (units(2), Seq(9)));
    assert_eq!(shop.number("SELECT count(*) FROM cursor WHERE value = x'07'"), 1);
    let again = document(Kind::Sale, "41", &[("milk", units(1))]);
    assert!(
        matches!(shop.record(again), Err(RecordError::Conflict { .. })),
        "known by its key, with other content"
    );
    shop.sell("pepper", 1);
    assert_eq!(shop.agent.mind.inventory.by_sku(&sku("pepper")), Some(ItemNo(8)));
    assert_eq!(shop.agent.status().history_head, Position(501), "the copied document is at 500");
    assert!(shop.cell("milk").claim() > units(20), "and it sets aside anew");
}

#[test]
fn a_restored_disk_adds_what_only_it_has_and_nothing_twice() {
    let mut shop = Shop::open();
    let mut hub = Hub::connected(&mut shop);
    shop.receive("milk", 10);
    for reference in ["known", "unknown"] {
        shop.record(document(Kind::Sale, reference, &[("milk", units(1)), ("salt", units(1))])).unwrap();
    }
    shop.agent.drain(vec![Input::LinkDown { reason: "cut".to_owned() }], shop.now);
    hello_of(&connect(&mut shop));
    let receipt = known("auto-1001", 1);
    hub.hands_over(
        &mut shop,
        Handover {
            next_position: Position(90),
            // Other numbers than this disk has: another incarnation saw `salt` first.
            items: vec![item(1, "salt"), item(2, "milk"), item(3, "bread")],
            stock: vec![stock(1, 2, 0, 5), stock(2, 2, 10, 4), stock(3, 2, 3, 0)],
            known: vec![receipt, known("known", 2), known("later", 7)],
            ..empty_handover(Epoch(2))
        },
    );
    assert_eq!(
        (shop.on_hand("milk"), shop.on_hand("salt"), shop.on_hand("bread")),
        (units(5), units(-6), units(3))
    );
    let said = hub.welcomes(&mut shop);
    let history: Vec<String> = said
        .iter()
        .flat_map(|frame| match &frame.body {
            Body::History(batch) => batch.documents.clone(),
            Body::State(batch) => batch.history.clone().map(|history| history.documents).unwrap_or_default(),
            _ => Vec::new(),
        })
        .map(|document| document.reference.to_string())
        .collect();
    assert_eq!(history, ["unknown"], "the hub has the others");
    let lines = "SELECT count(*) FROM movement m JOIN item i ON i.item = m.item WHERE i.sku = 'salt'";
    assert_eq!(shop.number(lines), 2, "the ledger's lines follow their items");
    assert_eq!(shop.sell("milk", 1), Position(90));
}

#[test]
fn an_epoch_that_is_not_later_is_not_adopted() {
    let mut shop = Shop::open();
    let hub = Hub::connected(&mut shop);
    shop.receive("milk", 10);
    shop.agent.drain(vec![Input::LinkDown { reason: "cut".to_owned() }], shop.now);
    hello_of(&connect(&mut shop));
    let said = hub.says(&mut shop, Body::Handover(empty_handover(Epoch(1))));
    assert!(said.is_empty());
    assert_eq!((shop.on_hand("milk"), shop.agent.status().epoch), (units(10), Epoch(1)));
    shop.holds_together();
}

#[test]
fn what_a_hand_over_could_not_carry_is_quarantined() {
    let mut shop = Shop::open();
    hello_of(&connect(&mut shop));
    let parts = [Handover { items: vec![item(1, "milk")], ..empty_handover(Epoch(2)) }];
    let bad = Unreadable { what: "item", reason: "no sku".to_owned(), bytes: vec![1] };
    let parts: Vec<Handover> =
        parts.into_iter().map(|part| Handover { unreadable: vec![bad.clone()], ..part }).collect();
    let mind = &mut shop.agent.mind;
    let adopted = adopt::adopt(&shop.agent.db, mind, &parts, OPENS).unwrap().unwrap();
    assert_eq!((adopted.epoch, adopted.items), (Epoch(2), 1));
    assert_eq!(shop.number("SELECT count(*) FROM quarantine WHERE reason LIKE '%no sku%'"), 1);
}

/// Nothing was adopted, so nothing is said in the new epoch; the next link brings it again.
#[test]
fn a_hand_over_that_the_disk_does_not_take_has_not_happened() {
    let mut shop = Shop::open();
    let hub = Hub { epoch: Epoch(0), boot: hello_of(&connect(&mut shop)).boot, down_head: Seq(0) };
    let used = shop.number("PRAGMA page_count");
    shop.agent.database().pragma_update(None, "max_page_count", used).unwrap();
    let items = (1..=2_000).map(|n| item(n, &format!("{n}"))).collect();
    let outputs = hub.says_raw(&mut shop, Body::Handover(Handover { items, ..empty_handover(Epoch(1)) }));
    assert!(hang_up_of(&outputs).unwrap().contains("disk"), "{outputs:?}");
    assert!(frames(&outputs).is_empty());
    assert_eq!((shop.agent.status().epoch, shop.agent.status().link), (Epoch(0), LinkState::Down));
    shop.holds_together();
    assert_eq!(hello_of(&connect(&mut shop)).epoch, Epoch(0));
}
