//! Items: known by sku or barcode, first seen at a till or named by master data.

use super::shop::document;
use super::*;
use sync_protocol::record::ItemRecord;

const MILK: &str = "4006381333931";
const MILK_SKU: &str = "04006381333931";

fn sale_of(reference: &str, gtin_text: &str, pieces: i64) -> Document {
    let lines = vec![Line { item: ItemKey::Gtin(gtin(gtin_text)), quantity: units(pieces) }];
    Document { lines, ..document(Kind::Sale, reference, &[]) }
}

fn record_of(shop: &Shop, item: &str) -> ItemRecord {
    let number = shop.agent.mind.inventory.by_sku(&sku(item)).unwrap();
    ledger::item(shop.agent.database(), number).unwrap()
}

#[test]
fn an_unknown_sku_is_taken_as_an_item_nobody_has_named() {
    let mut shop = Shop::open();
    shop.sell("milk", 2);
    let record = record_of(&shop, "milk");
    assert!(record.unnamed && record.name.is_empty() && record.gtins.is_empty());
    assert_eq!(shop.on_hand("milk"), units(-2));
    assert_eq!(shop.name("milk", &[MILK]), Ok(ItemPut::Changed));
    let record = record_of(&shop, "milk");
    assert_eq!((record.unnamed, record.name.as_str(), record.gtins.len()), (false, "the milk", 1));
    shop.record(sale_of("1", MILK, 1)).unwrap();
    assert_eq!(shop.on_hand("milk"), units(-3), "its movements stay with it");
    shop.holds_together();
}

#[test]
fn an_unknown_barcode_is_taken_under_its_own_number() {
    let mut shop = Shop::open();
    shop.record(sale_of("1", MILK, 1)).unwrap();
    shop.record(sale_of("2", "04006381333931", 2)).unwrap();
    assert_eq!(shop.on_hand(MILK_SKU), units(-3), "13 and 14 digits are one item");
    assert!(record_of(&shop, MILK_SKU).unnamed);
    assert_eq!(shop.number("SELECT count(*) FROM item"), 1);
    shop.holds_together();
}

#[test]
fn a_barcode_seen_at_a_till_is_later_claimed_by_master_data() {
    let mut shop = Shop::open();
    shop.record(sale_of("1", MILK, 5)).unwrap();
    assert_eq!(shop.name("milk", &[MILK]), Ok(ItemPut::Created));
    shop.record(sale_of("2", MILK, 1)).unwrap();
    assert_eq!((shop.on_hand(MILK_SKU), shop.on_hand("milk")), (units(-5), units(-1)));
    assert!(record_of(&shop, MILK_SKU).gtins.is_empty());
    assert_eq!(shop.record(sale_of("1", MILK, 5)), Ok(Recorded::Duplicate { positions: vec![Position(1)] }));
    shop.holds_together();
}

#[test]
fn an_item_whose_sku_is_its_barcode_is_found_by_it() {
    let mut shop = Shop::open();
    assert_eq!(shop.name(MILK_SKU, &[]), Ok(ItemPut::Created));
    shop.record(sale_of("1", MILK, 1)).unwrap();
    assert_eq!(shop.on_hand(MILK_SKU), units(-1));
    assert_eq!(record_of(&shop, MILK_SKU).gtins, [gtin(MILK)]);
    assert!(!record_of(&shop, MILK_SKU).unnamed);
    shop.holds_together();
}

#[test]
fn a_barcode_belongs_to_one_named_item() {
    let mut shop = Shop::open();
    shop.name("milk", &[MILK]).unwrap();
    let Err(RecordError::Invalid { field, reason }) = shop.name("butter", &["96385074", MILK]) else {
        panic!("it has an owner")
    };
    assert_eq!(field, "gtins[1]");
    assert!(reason.contains("`milk`"), "{reason}");
    assert_eq!(shop.agent.mind.inventory.by_sku(&sku("butter")), None);
    assert_eq!(shop.agent.mind.inventory.by_gtin(gtin("96385074")), None);
    shop.holds_together();
}

#[test]
fn a_barcode_that_an_item_gives_up_is_free_again() {
    let mut shop = Shop::open();
    shop.name("milk", &[MILK]).unwrap();
    assert_eq!(shop.name("milk", &["96385074"]), Ok(ItemPut::Changed));
    assert_eq!(shop.name("butter", &[MILK]), Ok(ItemPut::Created));
    shop.record(sale_of("1", MILK, 1)).unwrap();
    shop.record(sale_of("2", "96385074", 1)).unwrap();
    assert_eq!((shop.on_hand("butter"), shop.on_hand("milk")), (units(-1), units(-1)));
    shop.holds_together();
}

#[test]
fn an_item_put_again_as_it_is_is_no_news() {
    let mut shop = Shop::open();
    assert_eq!(shop.name("milk", &[MILK, "96385074"]), Ok(ItemPut::Created));
    let head = shop.agent.status().state_head;
    assert_eq!(shop.name("milk", &["96385074", MILK, MILK]), Ok(ItemPut::Unchanged));
    assert_eq!(shop.agent.status().state_head, head);
}

#[test]
fn an_item_has_its_bounds() {
    let mut shop = Shop::open();
    let entry =
        ItemEntry { sku: sku("milk"), gtins: Vec::new(), name: "Milk".to_owned(), unit: "each".to_owned() };
    let gtins =
        (0..=GTINS_MAX as u64).map(|n| sync_protocol::Gtin::from_number(10_000_000 + n).unwrap()).collect();
    let bad = [
        ("name", ItemEntry { name: "n".repeat(NAME_BYTES_MAX + 1), ..entry.clone() }),
        ("unit", ItemEntry { unit: "u".repeat(17), ..entry.clone() }),
        ("gtins", ItemEntry { gtins, ..entry.clone() }),
    ];
    for (wrong, entry) in bad {
        let Err(RecordError::Invalid { field, .. }) = shop.put(entry) else { panic!("{wrong} is too long") };
        assert_eq!(field, wrong);
    }
    assert_eq!(shop.put(entry), Ok(ItemPut::Created));
}

/// A barcode that master data claims may take an unnamed item's place among the till's lookups, never its stock.
#[test]
fn items_are_numbered_without_gaps_whatever_is_refused() {
    let mut shop = Shop::open();
    shop.name("milk", &[MILK]).unwrap();
    shop.name("butter", &[MILK]).unwrap_err();
    shop.name("salt", &[]).unwrap();
    assert_eq!(record_of(&shop, "salt").item, ItemNo(2));
}
