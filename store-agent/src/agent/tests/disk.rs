//! The disk: full, restarted from, or somebody else's.

use super::conversation::Hub;
use super::shop::{OPENS, document, settings};
use super::*;
use std::path::Path;

fn on_disk(folder: &Path, boot: u64) -> Shop {
    Shop::with(store::open(&folder.join("agent.db")).unwrap(), settings(), boot)
}

/// Leaves room for a few pages only.
fn fill_up(shop: &Shop) {
    let used = shop.number("PRAGMA page_count");
    shop.agent.database().pragma_update(None, "max_page_count", used).unwrap();
}

fn make_room(shop: &Shop) {
    shop.agent.database().pragma_update(None, "max_page_count", 1_000_000).unwrap();
}

fn basket(n: u64) -> Document {
    let lines: Vec<(&str, Quantity)> = vec![("milk", units(1)); 40];
    document(Kind::Sale, &format!("basket {n}"), &lines)
}

/// Sells until the disk is full; says how many baskets fitted.
fn sell_until_full(shop: &mut Shop) -> u64 {
    for n in 0..2_000 {
        let before = shop.cell("milk");
        match shop.record(basket(n)) {
            Ok(_) => {}
            Err(RecordError::Storage { disk_full, reason }) => {
                assert!(disk_full, "{reason}");
                assert_eq!(shop.cell("milk"), before, "nothing of it has happened");
                return n;
            }
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the disk never filled up")
}

#[test]
fn a_full_disk_refuses_the_document_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    for mut shop in [Shop::open(), on_disk(folder.path(), 1)] {
        shop.receive("milk", 100);
        fill_up(&shop);
        let fitted = sell_until_full(&mut shop);
        shop.holds_together();
        assert_eq!(shop.agent.status().failed_commits, 1);
        assert!(shop.agent.status().last_disk_error.is_some());
        assert!(
            matches!(shop.record(basket(0)), Ok(Recorded::Duplicate { .. })),
            "what was recorded is still known"
        );
        make_room(&shop);
        assert!(
            matches!(shop.record(basket(fitted)), Ok(Recorded::New { .. })),
            "and what was refused is not"
        );
        assert_eq!(shop.on_hand("milk"), units(100 - 40 * (fitted.cast_signed() + 1)));
        shop.holds_together();
    }
}

#[test]
fn everyone_who_waits_on_a_failed_step_is_told() {
    let mut shop = Shop::open();
    fill_up(&shop);
    let record = |n: u64| Input::Record {
        ticket: Ticket(n),
        documents: (0..30).map(|at| basket(n * 100 + at)).collect(),
    };
    let entry =
        ItemEntry { sku: sku("milk"), gtins: Vec::new(), name: "Milk".to_owned(), unit: "each".to_owned() };
    let inputs =
        vec![record(1), Input::PutItems { ticket: Ticket(2), items: vec![entry] }, Input::Tick, record(3)];
    let outputs = shop.agent.drain(inputs, shop.now);
    let told: Vec<(u64, usize)> = outputs
        .iter()
        .map(|output| match output {
            Output::Answer { ticket, answer: Answer::Recorded(answers) } => {
                assert!(
                    answers
                        .iter()
                        .all(|answer| matches!(answer, Err(RecordError::Storage { disk_full: true, .. })))
                );
                (ticket.0, answers.len())
            }
            Output::Answer { ticket, answer: Answer::Items(answers) } => {
                assert!(
                    answers
                        .iter()
                        .all(|answer| matches!(answer, Err(RecordError::Storage { disk_full: true, .. })))
                );
                (ticket.0, answers.len())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [(1, 30), (2, 1), (3, 30)]);
    assert_eq!(shop.number("SELECT count(*) FROM movement"), 0);
    shop.holds_together();
}

/// Going on with what a failed step left in memory would count what nobody was promised.
#[test]
fn a_disk_that_can_not_be_read_either_is_read_before_anything_else_happens() {
    let mut shop = Shop::open();
    Hub::connected(&mut shop);
    shop.receive("milk", 10);
    shop.agent.database().execute_batch("ALTER TABLE stock RENAME TO elsewhere").unwrap();
    for _ in 0..3 {
        assert!(matches!(shop.record(basket(1)), Err(RecordError::Storage { disk_full: false, .. })));
    }
    assert_eq!(shop.agent.status().link, LinkState::Down, "nothing is said that rests on it");
    shop.agent.database().execute_batch("ALTER TABLE elsewhere RENAME TO stock").unwrap();
    assert!(matches!(shop.record(basket(1)), Ok(Recorded::New { .. })));
    assert_eq!(shop.on_hand("milk"), units(-30));
    shop.holds_together();
}

#[test]
fn what_was_counted_before_a_failed_step_is_still_counted() {
    let mut shop = Shop::open();
    shop.receive("milk", 100);
    fill_up(&shop);
    let fitted = sell_until_full(&mut shop);
    assert_eq!(shop.agent.status().movements_recorded, 1 + 40 * fitted);
}

#[test]
fn a_restart_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let mut shop = on_disk(folder.path(), 1);
    shop.receive("milk", 10);
    shop.sell("milk", 3);
    shop.record(Document { cursor: Some(vec![7]), ..document(Kind::Sale, "42", &[("salt", units(1))]) })
        .unwrap();
    shop.name("milk", &["4006381333931"]).unwrap();
    let (cell, status) = (shop.cell("milk"), shop.agent.status());
    drop(shop);
    let mut shop = on_disk(folder.path(), 2);
    shop.holds_together();
    assert_eq!(shop.cell("milk"), cell);
    assert_eq!(shop.agent.status().state_head, status.state_head);
    assert_eq!(shop.agent.status().records_pending, status.records_pending);
    let again = document(Kind::Sale, "42", &[("salt", units(1))]);
    assert_eq!(shop.record(again), Ok(Recorded::Duplicate { positions: vec![Position(3)] }));
    assert_eq!(shop.sell("milk", 1), Position(4));
    let boots = shop.agent.mind.boots.clone();
    assert_eq!(boots.iter().map(|mark| mark.boot).collect::<Vec<_>>(), [Boot(1), Boot(2)]);
    assert_eq!(
        boots[1].first_seq,
        status.state_head.next(),
        "so that the hub can tell what came before the restart"
    );
    shop.holds_together();
}

#[test]
fn a_clean_stop_is_remembered_until_the_next_change() {
    let folder = tempfile::tempdir().unwrap();
    let mut shop = on_disk(folder.path(), 1);
    shop.receive("milk", 10);
    assert_eq!(shop.number("SELECT stopped_cleanly FROM agent"), 0);
    shop.agent.close().unwrap();
    let db = store::open(&folder.path().join("agent.db")).unwrap();
    assert_eq!(db.query_row("SELECT stopped_cleanly FROM agent", [], |row| row.get(0)), Ok(1));
    let shop = Shop::with(db, settings(), 2);
    assert_eq!(shop.number("SELECT stopped_cleanly FROM agent"), 0, "from the start on");
}

#[test]
fn another_stores_database_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    drop(on_disk(folder.path(), 1));
    let db = store::open(&folder.path().join("agent.db")).unwrap();
    let other = Settings { store: "S0002".parse().unwrap(), ..settings() };
    let refused = Agent::open(db, other, Boot(2), Now { wall: OPENS, ticks: Ticks(0) }).unwrap_err();
    assert!(
        matches!(&refused, OpenError::OtherStore { found, expected } if found == "S0001" && expected == "S0002")
    );
    assert!(refused.to_string().contains("use another data_dir"), "{refused}");
    let shop = on_disk(folder.path(), 3);
    assert_eq!(shop.agent.mind.boots.len(), 2, "the refused start left no trace");
}

#[test]
fn an_old_chain_of_starts_keeps_its_newest() {
    let folder = tempfile::tempdir().unwrap();
    for boot in 1..=70 {
        drop(on_disk(folder.path(), boot));
    }
    let shop = on_disk(folder.path(), 71);
    let boots: Vec<u64> = shop.agent.mind.boots.iter().map(|mark| mark.boot.0).collect();
    assert_eq!(boots, (8..=71).collect::<Vec<_>>());
}
