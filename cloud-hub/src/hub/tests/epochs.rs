//! New disks, restored backups and copies: each starts over from what the hub knows for certain.

use super::headquarters::{answer_of, item, kinds, refusal_of, sale};
use super::*;

fn boots(marks: &[(u64, u64)]) -> Vec<sync_protocol::frame::BootMark> {
    let mark = |&(boot, first): &(u64, u64)| sync_protocol::frame::BootMark {
        boot: Boot(boot),
        first_seq: Seq(first),
        first_position: Position(first),
    };
    marks.iter().map(mark).collect()
}

#[test]
fn a_new_store_starts_from_nothing() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::new(&mut hq, "S0001", 1);
    caller.connect(&mut hq);
    let parts = caller.adopt(&mut hq);
    assert_eq!((parts.len(), parts[0].granted, parts[0].next_position), (1, Epoch(1), Position(1)));
    assert_eq!(hq.hub.counters().granted.get("first_contact"), Some(&1));
}

#[test]
fn an_agent_that_restarts_goes_on_and_its_earlier_start_does_not() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    caller.reports(&mut hq, vec![caller.stock(MILK, 10, 0, 5)]);
    let mut earlier = caller.clone();
    caller.boots = boots(&[(1, 1), (2, 2)]);
    caller.connect(&mut hq);
    assert_eq!(caller.welcome(&mut hq).state_mark, Seq(1));
    caller.reports(&mut hq, vec![caller.stock(MILK, 10, 1, 5)]);
    let said = earlier.reports(&mut hq, vec![earlier.stock(MILK, 10, 9, 5)]);
    assert_eq!(refusal_of(&said), Some(Refusal::SayHello));
    assert_eq!(hq.cell("S0001", MILK).on_hand(), units(9));
}

#[test]
fn a_hub_that_restarts_goes_on_with_its_agents() {
    let folder = tempfile::tempdir().unwrap();
    let mut hq = Headquarters::open_at(folder.path());
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let history = caller.history(&["1"]);
    let batch = caller.batch(vec![caller.stock(MILK, 10, 1, 5)]);
    caller.say(&mut hq, Body::State(StateBatch { history: Some(history), ..batch }));
    hq.promise("S0001", MILK, 2).unwrap();
    let (cell, marks) = (hq.cell("S0001", MILK), hq.marks("S0001"));
    drop(hq);
    let mut hq = Headquarters::open_at(folder.path());
    assert_eq!((hq.cell("S0001", MILK), hq.marks("S0001")), (cell, marks));
    caller.connect(&mut hq);
    let said = caller.say(&mut hq, Body::Hello(caller.hello()));
    assert_eq!(kinds(&said), ["welcome", "down"], "and sends down what was not acknowledged");
    caller.reports(&mut hq, vec![caller.stock(MILK, 10, 2, 5)]);
    assert_eq!(hq.cell("S0001", MILK).on_hand(), units(8));
}

/// State is ahead of history: the figures hold two sales whose documents have not arrived. A new disk must not start from them, or
/// the POS, read again from the cut's cursor, would report them twice.
#[test]
fn a_new_disk_starts_from_the_last_consistent_cut() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let cursor = |n: u8| vec![CursorRecord { source: "pos-db".parse().unwrap(), value: vec![n] }];
    let history = caller.history(&["1", "2"]);
    let batch = caller.batch(vec![caller.stock(MILK, 10, 2, 5), caller.stock(SALT, 3, 0, 3)]);
    caller.say(&mut hq, Body::State(StateBatch { history: Some(history), cursors: cursor(1), ..batch }));
    hq.promise("S0001", MILK, 2).unwrap();
    // Beyond the cut: one more document arrives, and figures that hold two.
    let (third, _fourth) = (caller.history(&["3"]), caller.history(&["4"]));
    let batch = caller.batch(vec![caller.stock(MILK, 10, 4, 6)]);
    caller.say(&mut hq, Body::State(StateBatch { cursors: cursor(2), ..batch }));
    caller.say(&mut hq, Body::History(third));
    assert_eq!(hq.cell("S0001", MILK).on_hand(), units(6));

    let mut new_disk = Caller::new(&mut hq, "S0001", 77);
    new_disk.connect(&mut hq);
    let parts = new_disk.adopt(&mut hq);
    let part = &parts[0];
    assert_eq!((parts.len(), part.granted, part.items.len()), (1, Epoch(2), 2));
    let milk = part.stock[0].half;
    assert_eq!(
        (milk.in_, milk.out, milk.granted),
        (10_000, 2_000, 6_000),
        "physical as at the cut, escrow as it is"
    );
    assert_eq!(
        part.halves,
        [HubStock { item: MILK, half: HubHalf { promised: 2_000, ..HubHalf::default() } }]
    );
    assert_eq!(part.cursors, cursor(1));
    let known: Vec<KnownDocument> = ["1", "2", "3"]
        .iter()
        .zip(1..)
        .map(|(reference, at)| KnownDocument {
            key: document_key(&"till-1".parse().unwrap(), &reference.parse().unwrap()),
            content: 1,
            first_position: Position(at),
            lines: 1,
        })
        .collect();
    assert_eq!(part.known, known);
    assert_eq!(part.documents, [sale("3", 3)], "to be applied again on top of the cut");
    assert_eq!(part.next_position, Position(5));
    assert_eq!(hq.hub.counters().granted.get("new_disk"), Some(&1));
    let said = caller.reports(&mut hq, vec![caller.stock(MILK, 10, 5, 6)]);
    assert_eq!(refusal_of(&said), Some(Refusal::SayHello), "the one before is fenced");
}

/// What the hub does with the rights of the new incarnation is nothing an old one's half can cover.
#[test]
fn an_agent_that_another_has_followed_hears_no_more_of_promises() {
    let mut hq = Headquarters::open();
    let mut first = Caller::greeted(&mut hq, "S0001", 1);
    first.reports(&mut hq, vec![first.stock(MILK, 10, 0, 5)]);
    let mut restarted = Caller { boots: boots(&[(1, 1), (2, 2)]), ..first.clone() };
    restarted.connect(&mut hq);
    restarted.welcome(&mut hq);
    let mut new_disk = Caller::new(&mut hq, "S0001", 77);
    for follower in [&mut restarted, &mut new_disk] {
        if follower.epoch == Epoch(0) {
            follower.connect(&mut hq);
            follower.adopt(&mut hq);
            follower.welcome(&mut hq);
            follower.reports(&mut hq, vec![follower.stock(MILK, 10, 0, 8)]);
        }
        let (ticket, order) = hq.order("S0001", MILK, 1);
        let outputs = hq.drain(vec![order]);
        assert_eq!(answer_of(&outputs, ticket), Ok(()));
        assert_eq!(kinds(&said(&outputs, follower.link)), ["down"]);
        assert_eq!(kinds(&said(&outputs, first.link)), [""; 0]);
    }
    let (_, order) = hq.order("S0001", MILK, 1);
    assert_eq!(kinds(&said(&hq.drain(vec![order]), restarted.link)), [""; 0]);
}

#[test]
fn figures_of_a_new_epoch_replace_those_of_the_old_one_also_over_a_restart_of_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let mut hq = Headquarters::open_at(folder.path());
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    caller.reports(&mut hq, vec![caller.stock(MILK, 100, 50, 20), caller.stock(SALT, 30, 0, 30)]);
    drop(hq);
    // The hub's copy is older than a fencing: the agent lives in an epoch that it has not heard of.
    let mut later = Caller { epoch: Epoch(3), boots: boots(&[(9, 1)]), head: Seq(0), ..caller };
    for life in [6, 7] {
        let mut hq = Headquarters::open_in_life(folder.path(), life);
        later.connect(&mut hq);
        assert!(later.welcome(&mut hq).wants_offer);
        assert_eq!(hq.marks("S0001").0, Epoch(3));
    }
    let mut hq = Headquarters::open_at(folder.path());
    later.connect(&mut hq);
    later.welcome(&mut hq);
    later.reports(&mut hq, vec![later.stock(MILK, 90, 45, 10)]);
    let cell = hq.cell("S0001", MILK);
    assert_eq!((cell.store.in_, cell.store.out, cell.store.granted), (90_000, 45_000, 10_000));
}

#[test]
fn a_restored_backup_is_fenced_and_the_store_starts_over() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    caller.reports(&mut hq, vec![caller.stock(MILK, 10, 0, 5)]);
    let backup = caller.clone();
    for sold in 1..=5 {
        caller.reports(&mut hq, vec![caller.stock(MILK, 10, sold, 5)]);
    }
    let mut restored = Caller { boots: boots(&[(1, 1), (2, 2)]), head: Seq(3), ..backup };
    restored.connect(&mut hq);
    restored.adopt(&mut hq);
    assert_eq!((restored.epoch, hq.hub.counters().granted.get("rolled_back")), (Epoch(2), Some(&1)));
    assert_eq!(hq.marks("S0001"), (Epoch(2), Seq(0), Position(0), true));
}

#[test]
fn a_hand_over_that_was_cut_short_is_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut hq = Headquarters::open_at(folder.path());
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    caller.reports(&mut hq, vec![caller.stock(MILK, 10, 0, 5)]);
    let mut new_disk = Caller::new(&mut hq, "S0001", 77);
    new_disk.connect(&mut hq);
    let first = new_disk.handed_over(&mut hq);
    drop(hq);
    let mut hq = Headquarters::open_at(folder.path());
    new_disk.connect(&mut hq);
    assert_eq!(new_disk.handed_over(&mut hq), first, "the same epoch, also by a hub that has restarted");
    assert_eq!(hq.marks("S0001").0, Epoch(2));
    new_disk.adopt(&mut hq);
    assert_eq!(hq.marks("S0001").0, Epoch(2));
}

#[test]
fn a_large_store_is_handed_over_in_parts_that_fit_their_frames() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let mut noise = 1u64;
    for batch in 0..8 {
        let stock = (1..=2_500).map(|n| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mut stock = caller.stock(ItemNo(batch * 2_500 + n), 0, 0, 0);
            (stock.half.in_, stock.half.granted) = (noise >> 12, noise >> 13);
            stock
        });
        let stock = stock.collect();
        let batch = caller.batch(stock);
        caller.say(&mut hq, Body::State(batch));
    }
    let references: Vec<String> = (0..9_000).map(|n| format!("{n:0>128}")).collect();
    for some in references.chunks(1_000) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        let history = caller.history(&some);
        caller.say(&mut hq, Body::History(history));
    }
    let mut new_disk = Caller::new(&mut hq, "S0001", 77);
    new_disk.connect(&mut hq);
    let parts = new_disk.adopt(&mut hq);
    assert!(parts.len() > 3, "{} parts", parts.len());
    let items: Vec<ItemRecord> = parts.iter().flat_map(|part| part.items.clone()).collect();
    assert_eq!(items, (1..=20_000).map(|n| item(ItemNo(n))).collect::<Vec<_>>());
    assert_eq!(parts.iter().map(|part| part.stock.len()).sum::<usize>(), 20_000);
    assert_eq!(parts.iter().map(|part| part.known.len()).sum::<usize>(), 9_000);
    assert_eq!(parts.iter().map(|part| part.documents.len()).sum::<usize>(), 9_000);
    assert!(parts.iter().all(|part| part.unreadable.is_empty()));
}
