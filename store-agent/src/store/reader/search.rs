//! Finding items as people look for them: by words, a number, or what a scanner read.

use super::{ItemView, Reader, contains, gtins, item_view};
use rusqlite::{OptionalExtension, params};
use sync_protocol::{Gtin, Sku};

const SEARCH: &str = include_str!("../queries/search.sql");
/// So many matches are looked at: a search for one letter sorts no more than these.
const LOOKED_AT_MAX: u32 = 400;

/// What a search has found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Searched {
    pub items: Vec<ItemView>,
    /// There are others.
    pub more: bool,
}

impl Reader {
    /// Items that have all of these words, or words that begin so, in name or sku; without minding case or accents. Then also the item
    /// whose sku or barcode it is, in the first place.
    pub fn search(&self, text: &str, limit: u32) -> rusqlite::Result<Searched> {
        let words = words(text);
        self.ask(|db| {
            let snapshot = db.unchecked_transaction()?;
            let mut items = Vec::new();
            if !words.is_empty() {
                let begins = contains(text.trim());
                let begins = begins.trim_start_matches('%');
                let mut query = snapshot.prepare_cached(SEARCH)?;
                let rows = query.query_map(params![words, begins, limit + 1, LOOKED_AT_MAX], item_view)?;
                items = rows.collect::<rusqlite::Result<Vec<ItemView>>>()?;
            }
            if let Some(named) = named(&snapshot, text)? {
                items.retain(|item| item.item != named.item);
                items.insert(0, named);
            }
            let shown = usize::try_from(limit).unwrap_or(usize::MAX);
            let more = items.len() > shown;
            items.truncate(shown);
            for item in &mut items {
                item.gtins = gtins(&snapshot, item.item)?;
            }
            Ok(Searched { items, more })
        })
    }

    /// The item whose sku or barcode this is: what a scanner read, or somebody typed in full.
    pub fn item_named(&self, code: &str) -> rusqlite::Result<Option<ItemView>> {
        self.ask(|db| {
            let snapshot = db.unchecked_transaction()?;
            let Some(item) = named(&snapshot, code)? else { return Ok(None) };
            let gtins = gtins(&snapshot, item.item)?;
            Ok(Some(ItemView { gtins, ..item }))
        })
    }
}

fn named(db: &rusqlite::Connection, code: &str) -> rusqlite::Result<Option<ItemView>> {
    let code = code.trim();
    if let Ok(sku) = code.parse::<Sku>() {
        let mut query = db.prepare_cached(super::ITEM)?;
        if let Some(found) = query.query_row([sku.as_str()], item_view).optional()? {
            return Ok(Some(found));
        }
    }
    let Ok(gtin) = code.parse::<Gtin>() else { return Ok(None) };
    let sql = "SELECT item FROM gtin WHERE gtin = ?1";
    let item: Option<u32> =
        db.prepare_cached(sql)?.query_row([gtin.number()], |row| row.get(0)).optional()?;
    let Some(item) = item else { return Ok(None) };
    db.prepare_cached(super::ITEM_OF_ORDER)?.query_row([item], item_view).optional()
}

/// As MATCH takes it: each word in quotes, and as the beginning of one. Empty where there is no letter or digit.
fn words(text: &str) -> String {
    let words = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| word.chars().any(char::is_alphanumeric));
    let quoted: Vec<String> =
        words.take(8).map(|word| format!("\"{}\"*", word.replace('"', "\"\""))).collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;
    use rusqlite::Connection;
    use std::time::Instant;

    fn shelf(items: &[(u32, &str, &str)]) -> (tempfile::TempDir, Connection, Reader) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        let db = store::open(&path).unwrap();
        let sql = "INSERT INTO item (item, sku, name, change_seq) VALUES (?1, ?2, ?3, 1)";
        for (item, sku, name) in items {
            db.execute(sql, params![item, sku, name]).unwrap();
        }
        db.execute("INSERT INTO gtin (gtin, item) VALUES (12345678905, 1)", []).unwrap();
        let reader = Reader::open(&path).unwrap();
        (folder, db, reader)
    }

    const SHOP: [(u32, &str, &str); 5] = [
        (1, "10-200", "Café molido 250 g"),
        (2, "10-201", "CAFE\u{301} DE OLLA"),
        (3, "4011", "Bananas, loose"),
        (4, "D-7", "अमूल दूध 1 ली"),
        (5, "x\"y", "Tea \"Assam\" 100%"),
    ];

    fn found(reader: &Reader, text: &str) -> Vec<u32> {
        let mut items: Vec<u32> =
            reader.search(text, 30).unwrap().items.iter().map(|item| item.item.0).collect();
        items.sort_unstable();
        items
    }

    #[test]
    fn case_and_accents_do_not_matter_and_the_beginning_of_a_word_is_enough() {
        let (_folder, _db, reader) = shelf(&SHOP);
        for text in ["cafe", "CAFÉ", "cafe\u{301}", "caf", " café "] {
            assert_eq!(found(&reader, text), [1, 2], "{text}");
        }
        assert_eq!(found(&reader, "molido caf"), [1]);
        assert_eq!(found(&reader, "banan loo"), [3]);
        assert_eq!(found(&reader, "10-20"), [1, 2]);
        assert_eq!(found(&reader, "nana"), [0; 0]);
    }

    #[test]
    fn hindi_words_are_found_whole_and_by_their_beginning() {
        let (_folder, _db, reader) = shelf(&SHOP);
        for text in ["दूध", "दू", "अमूल दूध"] {
            assert_eq!(found(&reader, text), [4], "{text}");
        }
        assert_eq!(found(&reader, "ध"), [0; 0], "a word does not begin inside another");
    }

    #[test]
    fn what_looks_like_a_question_to_the_index_is_text_all_the_same() {
        let (_folder, _db, reader) = shelf(&SHOP);
        for text in ["\"", "*", "name:tea", "tea OR cafe", "(", "NEAR(a b)", "-", "a\u{0}b", ""] {
            reader.search(text, 30).unwrap();
        }
        assert_eq!(found(&reader, "\"assam\""), [5]);
        assert_eq!(found(&reader, "x\"y"), [5]);
    }

    #[test]
    fn a_barcode_or_a_whole_number_names_its_item() {
        let (_folder, _db, reader) = shelf(&SHOP);
        for code in ["0012345678905", "10-200"] {
            assert_eq!(reader.item_named(code).unwrap().unwrap().item.0, 1, "{code}");
            assert_eq!(reader.search(code, 30).unwrap().items[0].item.0, 1, "{code}");
        }
        assert_eq!(reader.item_named("caf").unwrap(), None);
    }

    #[test]
    fn the_index_follows_what_is_renamed_and_removed() {
        let (_folder, db, reader) = shelf(&SHOP);
        db.execute("UPDATE item SET name = 'Plátanos' WHERE item = 3", []).unwrap();
        assert_eq!((found(&reader, "banan"), found(&reader, "platanos")), (vec![], vec![3]));
        db.execute_batch("DELETE FROM item").unwrap();
        assert_eq!(found(&reader, "platanos"), [0; 0]);
        db.execute_batch("INSERT INTO item_search (item_search) VALUES ('integrity-check')").unwrap();
    }

    #[test]
    fn the_time_a_search_takes_among_thirty_thousand_is_printed() {
        let kinds = ["Café", "Milk", "Bread", "Apple", "Soap", "Rice", "Cheese", "Juice", "Beans", "Noodles"];
        let names: Vec<(u32, String, String)> = (1..=30_000)
            .map(|number| {
                let kind = kinds[number as usize % kinds.len()];
                (
                    number,
                    format!("SKU-{number:05}"),
                    format!("{kind} brand{} {} g", number % 997, number % 50 * 10),
                )
            })
            .collect();
        let items: Vec<(u32, &str, &str)> =
            names.iter().map(|(item, sku, name)| (*item, sku.as_str(), name.as_str())).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        let mut db = store::open(&path).unwrap();
        let step = db.transaction().unwrap();
        for (item, sku, name) in &items {
            let sql = "INSERT INTO item (item, sku, name, change_seq) VALUES (?1, ?2, ?3, 1)";
            step.execute(sql, params![item, sku, name]).unwrap();
        }
        step.commit().unwrap();
        let reader = Reader::open(&path).unwrap();
        for text in ["c", "ca", "cafe", "cafe brand12", "sku-29", "brand 40 g", "SKU-12345", "zzz"] {
            #[expect(clippy::disallowed_methods, reason = "prints a duration, and decides nothing by it")]
            let started = Instant::now();
            let found = reader.search(text, 30).unwrap();
            let taken = started.elapsed();
            println!("{text:>14}: {} found, {:.2} ms", found.items.len(), taken.as_secs_f64() * 1e3);
        }
    }
}
