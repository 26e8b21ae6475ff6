//! Gathers the lines of a sales file into baskets, in bounded memory: lines of one basket may be interleaved with those
//! of others as long as no more than [`OPEN_MAX`] baskets are open at once; a line that comes later still counts, as a
//! basket of its own.

use super::sales_file::{BadLines, SalesFile, SalesLine};
use super::survey::Survey;
use super::{Basket, BasketKind, BasketLine};
use anyhow::Result;
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use sync_protocol::limits::LINES_MAX;

/// Baskets that may be open (their last line not yet seen) at once.
const OPEN_MAX: usize = 256;

type Key = (usize, Box<str>);

/// The baskets of the stores that take part, in the order in which their first lines stand in the file.
pub struct FileBaskets {
    file: SalesFile,
    stores: HashMap<Box<str>, usize>,
    /// Invariant: the same keys as `baskets`, oldest first.
    order: VecDeque<Key>,
    baskets: HashMap<Key, Basket>,
}

impl FileBaskets {
    pub fn open(path: &Path, survey: &Survey) -> Result<Self> {
        Ok(Self::new(SalesFile::open(path)?, survey.stores.iter().map(|store| store.name.clone())))
    }

    fn new(file: SalesFile, stores: impl Iterator<Item = Box<str>>) -> Self {
        let stores = stores.enumerate().map(|(place, name)| (name, place)).collect();
        Self { file, stores, order: VecDeque::new(), baskets: HashMap::new() }
    }

    #[must_use]
    pub fn bad_lines(&self) -> &BadLines {
        self.file.bad_lines()
    }

    /// Takes a line in, and gives back the basket that had to be closed for it.
    fn take(&mut self, line: SalesLine) -> Option<Basket> {
        let store = *self.stores.get(&line.store)?;
        let key = (store, line.basket.clone());
        let sold = BasketLine { sku: line.sku.clone(), quantity: line.quantity };
        if let Some(basket) = self.baskets.get_mut(&key) {
            basket.lines.push(sold);
            return if basket.lines.len() >= LINES_MAX { self.close(&key) } else { None };
        }
        let closed = if self.baskets.len() >= OPEN_MAX { self.close_oldest() } else { None };
        self.order.push_back(key.clone());
        self.baskets.insert(key, open_basket(store, &line, sold));
        closed
    }

    fn close(&mut self, key: &Key) -> Option<Basket> {
        self.order.retain(|other| other != key);
        self.baskets.remove(key)
    }

    fn close_oldest(&mut self) -> Option<Basket> {
        let key = self.order.pop_front()?;
        self.baskets.remove(&key)
    }
}

impl Iterator for FileBaskets {
    type Item = Basket;

    fn next(&mut self) -> Option<Basket> {
        while let Some(line) = self.file.next() {
            if let Some(basket) = self.take(line) {
                return Some(basket);
            }
        }
        self.close_oldest()
    }
}

/// The reference names the first line too, so that a basket whose late lines make a second one never meets it.
fn open_basket(store: usize, line: &SalesLine, sold: BasketLine) -> Basket {
    let reference = format!("{}/{}", line.basket, line.number)
        .parse()
        .expect("a basket id of at most 96 bytes without control characters, and a number");
    Basket { store, at: line.at, reference, kind: BasketKind::Sale, lines: vec![sold] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::fmt::Write;
    use std::io::Cursor;

    const HEADER: &str = "transaction_timestamp,store_id,basket_id,product_id,quantity\n";

    fn baskets(lines: &str) -> Vec<Basket> {
        let file = SalesFile::read(Cursor::new(HEADER.to_owned() + lines)).unwrap();
        FileBaskets::new(file, ["7".into(), "3".into()].into_iter()).collect()
    }

    #[test]
    fn interleaved_lines_find_their_baskets() {
        let found = baskets(
            "2017-10-01 00:00:02,7,b,x,1\n2017-10-01 00:00:01,3,a,x,2\n2017-10-01 00:00:02,7,b,y,3\n\
            2017-10-01 00:00:02,99,c,y,3\n",
        );
        assert_eq!(found.len(), 2, "store 99 does not take part");
        assert_eq!((found[0].store, found[0].lines.len(), found[0].reference.as_str()), (0, 2, "b/2"));
        assert_eq!((found[1].store, found[1].reference.as_str()), (1, "a/3"));
    }

    #[test]
    fn the_same_basket_id_in_two_stores_is_two_baskets() {
        let found = baskets("2017-10-01 00:00:02,7,b,x,1\n2017-10-01 00:00:01,3,b,x,2\n");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_line_that_comes_very_late_makes_a_basket_of_its_own() {
        let mut lines = String::new();
        for basket in (0..2 * OPEN_MAX).chain([0]) {
            writeln!(lines, "2017-10-01 00:00:02,7,{basket},x,1").unwrap();
        }
        let found = baskets(&lines);
        assert_eq!(found.iter().map(|basket| basket.lines.len()).sum::<usize>(), 2 * OPEN_MAX + 1);
        let references: HashSet<_> = found.iter().map(|basket| basket.reference.as_str()).collect();
        assert_eq!(references.len(), found.len());
    }

    #[test]
    fn real_till_sales_are_read_whole() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../shared/data/till-sales/complete_journey_2017_q4.csv.gz");
        if !path.exists() {
            println!("skipped: the real till sales are not at {}", path.display());
            return;
        }
        let survey = Survey::of(&path, None, 1000).unwrap();
        assert_eq!((survey.stores_in_file, survey.lines(), survey.bad.count()), (267, 374_126, 0));
        assert_eq!((&*survey.stores[0].name, survey.stores[0].lines), ("367", 10_413));
        let mut baskets = FileBaskets::open(&path, &survey).unwrap();
        let (mut count, mut lines, mut zeros) = (0, 0, 0);
        for basket in baskets.by_ref() {
            count += 1;
            lines += basket.lines.len();
            zeros += basket.lines.iter().filter(|line| line.quantity.thousandths() == 0).count();
        }
        assert_eq!((count, lines, zeros), (39_144, 374_126, 2400));
    }
}
