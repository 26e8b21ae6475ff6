//! Reads a sales file once before anything starts: which stores sell most, what they sell, how many lines will come.

use super::sales_file::{BadLines, SalesFile};
use anyhow::{Result, bail};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use sync_protocol::{Sku, UnixMillis};

/// What a sales file holds for the stores that take part.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Busiest first: the first is S0001.
    pub stores: Vec<SurveyedStore>,
    pub stores_in_file: usize,
    pub bad: BadLines,
    /// First and last time of the stores that take part.
    pub first: UnixMillis,
    pub last: UnixMillis,
}

#[derive(Debug, Clone)]
pub struct SurveyedStore {
    /// The store's id in the file.
    pub name: Box<str>,
    pub lines: u64,
    pub skus: BTreeSet<Sku>,
    first: UnixMillis,
    last: UnixMillis,
}

impl Survey {
    /// The busiest stores of the file, `wanted` of them; without a wish up to `at_most`.
    pub fn of(path: &Path, wanted: Option<usize>, at_most: usize) -> Result<Self> {
        Self::of_lines(SalesFile::open(path)?, wanted, at_most)
    }

    fn of_lines(mut file: SalesFile, wanted: Option<usize>, at_most: usize) -> Result<Self> {
        let mut found: HashMap<Box<str>, SurveyedStore> = HashMap::new();
        for line in file.by_ref() {
            let store = found.entry(line.store).or_insert_with_key(|name| SurveyedStore::new(name, line.at));
            store.lines += 1;
            store.first = store.first.min(line.at);
            store.last = store.last.max(line.at);
            store.skus.insert(line.sku);
        }
        let stores_in_file = found.len();
        let stores = busiest(found, wanted, at_most)?;
        let first = stores.iter().map(|store| store.first).min().unwrap_or_default();
        let last = stores.iter().map(|store| store.last).max().unwrap_or_default();
        Ok(Self { stores, stores_in_file, bad: file.bad_lines().clone(), first, last })
    }

    #[must_use]
    pub fn lines(&self) -> u64 {
        self.stores.iter().map(|store| store.lines).sum()
    }
}

impl SurveyedStore {
    fn new(name: &str, at: UnixMillis) -> Self {
        Self { name: name.into(), lines: 0, skus: BTreeSet::new(), first: at, last: at }
    }
}

fn busiest(
    found: HashMap<Box<str>, SurveyedStore>,
    wanted: Option<usize>,
    at_most: usize,
) -> Result<Vec<SurveyedStore>> {
    let mut stores: Vec<SurveyedStore> = found.into_values().collect();
    if stores.is_empty() {
        bail!("the sales file has no readable line");
    }
    if let Some(wanted) = wanted.filter(|wanted| *wanted > stores.len()) {
        bail!(
            "the sales file has {} stores, fewer than the {wanted} asked for: lower --stores",
            stores.len()
        );
    }
    stores.sort_by(|one, two| two.lines.cmp(&one.lines).then_with(|| one.name.cmp(&two.name)));
    stores.truncate(wanted.unwrap_or(at_most));
    Ok(stores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn survey(wanted: Option<usize>) -> Result<Survey> {
        let text = "transaction_timestamp,store_id,basket_id,product_id,quantity\n\
            2017-10-01 00:00:01,quiet,1,a,1\n\
            2017-10-01 00:00:03,busy,2,a,1\n\
            2017-10-01 00:00:02,busy,2,b,1\n\
            nonsense,busy,2,b,1\n";
        Survey::of_lines(SalesFile::read(Cursor::new(text))?, wanted, 8)
    }

    #[test]
    fn the_busiest_stores_come_first() {
        let survey = survey(None).unwrap();
        let names: Vec<&str> = survey.stores.iter().map(|store| &*store.name).collect();
        assert_eq!(names, ["busy", "quiet"]);
        assert_eq!((survey.stores[0].skus.len(), survey.lines(), survey.bad.count()), (2, 3, 1));
        assert_eq!(survey.last.since(survey.first), 2000);
    }

    #[test]
    fn only_the_wanted_stores_count() {
        let survey = survey(Some(1)).unwrap();
        assert_eq!((survey.stores.len(), survey.stores_in_file, survey.lines()), (1, 2, 2));
        assert_eq!(survey.last.since(survey.first), 1000);
    }

    #[test]
    fn more_stores_than_the_file_has_is_an_error_that_says_so() {
        let error = survey(Some(3)).unwrap_err().to_string();
        assert!(error.contains("has 2 stores") && error.contains("--stores"), "{error}");
    }
}
