//! Which item is which: the vendor's ids beside the shop's skus or barcodes, in a file.
//!
//! ```text
//! # the vendor's id, a comma, the sku or barcode
//! W62UWFY35CWMYGVWK6TWJDNI,4011
//! 271878346596884015,00012345678905
//! ```

use crate::agent::ItemKey;
use crate::config::pos::ItemIs;
use crate::pos::mapping::{self, Cell};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const ITEMS_MAX: usize = 200_000;
const FILE_BYTES_MAX: u64 = 32 << 20;

/// The items of one source, read again when their file has changed.
#[derive(Debug)]
pub struct Items {
    item_is: ItemIs,
    file: Option<ItemsFile>,
}

#[derive(Debug)]
struct ItemsFile {
    path: PathBuf,
    seen: Option<SystemTime>,
    by_id: HashMap<String, ItemKey>,
}

/// Why a file of items is no use.
#[derive(Debug, thiserror::Error)]
pub enum ItemsError {
    #[error("cannot read the items file {path}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}, line {line}: {message}", path = path.display())]
    Line { path: PathBuf, line: usize, message: String },
}

impl Items {
    pub fn load(path: Option<&Path>, item_is: ItemIs) -> Result<Items, ItemsError> {
        let file = match path {
            None => None,
            Some(path) => {
                let (seen, by_id) = read(path, item_is)?;
                Some(ItemsFile { path: path.to_owned(), seen, by_id })
            }
        };
        Ok(Items { item_is, file })
    }

    /// Reads the file again where it has changed. One that can't be used leaves the items of before.
    pub fn refresh(&mut self) {
        let Some(file) = &mut self.file else { return };
        let now = std::fs::metadata(&file.path).and_then(|about| about.modified()).ok();
        if now == file.seen {
            return;
        }
        file.seen = now;
        match read(&file.path, self.item_is) {
            Ok((_, by_id)) => file.by_id = by_id,
            Err(error) => tracing::error!(%error, "the items of before stay"),
        }
    }

    /// The item that the vendor calls `id`; by the sku it says itself where the file has none.
    pub fn item(&self, id: &str, sku: Option<&str>) -> Result<ItemKey, String> {
        if let Some(item) = self.file.as_ref().and_then(|file| file.by_id.get(id)) {
            return Ok(item.clone());
        }
        match (sku, &self.file) {
            (Some(sku), _) => self.named(sku),
            // A vendor's number may look like a barcode, and is none.
            (None, None) => id.parse().map(ItemKey::Sku).map_err(|error| format!("its id: {error}")),
            (None, Some(file)) => Err(format!(
                "the vendor's item `{id}` is not in {}; add a line `{id},SKU`, and have it sent again or counted",
                file.path.display()
            )),
        }
    }

    fn named(&self, text: &str) -> Result<ItemKey, String> {
        mapping::item(self.item_is, &Cell::Text(text.to_owned()))
    }
}

type ById = HashMap<String, ItemKey>;

fn read(path: &Path, item_is: ItemIs) -> Result<(Option<SystemTime>, ById), ItemsError> {
    use std::io::Read;
    let unreadable = |source| ItemsError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let seen = file.metadata().and_then(|about| about.modified()).ok();
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    let mut by_id = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |message: String| ItemsError::Line { path: path.to_owned(), line: index + 1, message };
        let Some((id, item)) = line.split_once(',') else {
            return Err(wrong("expected the vendor's id, a comma, and a sku or barcode".to_owned()));
        };
        let item = mapping::item(item_is, &Cell::Text(item.trim().to_owned())).map_err(wrong)?;
        if by_id.insert(id.trim().to_owned(), item).is_some() {
            return Err(wrong(format!("`{}` stands on an earlier line too", id.trim())));
        }
        if by_id.len() > ITEMS_MAX {
            return Err(wrong(format!("there are more than {ITEMS_MAX} items")));
        }
    }
    Ok((seen, by_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn items(text: &str) -> Result<Items, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("items.csv");
        std::fs::write(&path, text).unwrap();
        Items::load(Some(&path), ItemIs::Any).map_err(|error| error.to_string())
    }

    fn sku(text: &str) -> ItemKey {
        ItemKey::Sku(text.parse().unwrap())
    }

    #[test]
    fn the_file_comes_before_the_sku_of_an_order_and_an_unknown_id_is_named() {
        let items = items("# ours\nV1, 4011\n9007199254740993,4006381333931\n").unwrap();
        assert_eq!(items.item("V1", Some("else")), Ok(sku("4011")));
        assert_eq!(items.item("V2", Some("else")), Ok(sku("else")));
        assert!(matches!(items.item("9007199254740993", None), Ok(ItemKey::Gtin(_))));
        assert!(items.item("9007199254740992", None).unwrap_err().contains("9007199254740992,SKU"));
        let bare = Items::load(None, ItemIs::Any).unwrap();
        assert_eq!(bare.item("4006381333931", None), Ok(sku("4006381333931")));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, expected) in
            [("V1,a\nV1,b\n", "line 2"), ("V1\n", "expected the vendor's id"), ("V1,\n", "line 1")]
        {
            let said = items(text).unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_items_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("items.csv");
            std::fs::write(&path, &bytes).unwrap();
            let _ = Items::load(Some(&path), ItemIs::Any);
        }
    }
}
