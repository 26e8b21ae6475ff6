//! `[canary]`: which movement of each source is followed to the hub, and when it is overdue.

use super::{Checker, ConfigError};
use serde::Deserialize;
use std::collections::BTreeMap;
use sync_protocol::canary::CANARIES_MAX;
use sync_protocol::limits::SKU_BYTES_MAX;
use sync_protocol::{Sku, SourceId};
use toml::Spanned;

const OVERDUE_AFTER_H: u64 = 26;
const OVERDUE_AFTER_H_RANGE: std::ops::RangeInclusive<u64> = 1..=24 * 31;
const FOLLOW_EVERY_MIN: u64 = 60;
const FOLLOW_EVERY_MIN_MAX: u64 = 24 * 60;
const MINUTE_MS: u64 = 60_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanaryConfig {
    pub overdue_after_ms: i64,
    pub follow_every_ms: u64,
    /// By source: the item whose movements count.
    pub items: BTreeMap<SourceId, String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct CanaryTable {
    overdue_after_h: Option<Spanned<u64>>,
    follow_every_min: Option<Spanned<u64>>,
    #[serde(default)]
    items: BTreeMap<String, Spanned<String>>,
}

impl Checker<'_> {
    pub(super) fn canary(&self, table: &CanaryTable) -> Result<CanaryConfig, ConfigError> {
        let hours = table.overdue_after_h.as_ref().map_or(OVERDUE_AFTER_H, |hours| *hours.get_ref());
        if let Some(given) =
            table.overdue_after_h.as_ref().filter(|_| !OVERDUE_AFTER_H_RANGE.contains(&hours))
        {
            return Err(self.wrong(given, "must be between 1 and 744 hours, a month"));
        }
        let minutes = table.follow_every_min.as_ref().map_or(FOLLOW_EVERY_MIN, |min| *min.get_ref());
        if let Some(given) = table.follow_every_min.as_ref().filter(|_| minutes > FOLLOW_EVERY_MIN_MAX) {
            return Err(self.wrong(given, "must be 1440 minutes, a day, at most"));
        }
        let mut items = BTreeMap::new();
        for (name, item) in &table.items {
            let source: SourceId =
                name.parse().map_err(|error| self.wrong(item, &format!("`{name}`: {error}")))?;
            if item.get_ref().parse::<Sku>().is_err() {
                let message = format!("names no item; write a sku or barcode of up to {SKU_BYTES_MAX} bytes");
                return Err(self.wrong(item, &message));
            }
            if items.len() == CANARIES_MAX {
                return Err(self.wrong(item, "is the 257th source; 256 are followed"));
            }
            items.insert(source, item.get_ref().clone());
        }
        Ok(CanaryConfig {
            overdue_after_ms: (hours * 60 * MINUTE_MS).cast_signed(),
            follow_every_ms: minutes * MINUTE_MS,
            items,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use std::path::Path;

    fn parse(text: &str) -> Result<Config, String> {
        let text = format!("store = \"S0001\"\ndata_dir = \"data\"\n[canary]\n{text}");
        Config::parse(&text, Path::new("agent.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_source_may_have_an_item_of_its_own() {
        let canary =
            parse("items = { till-3 = \"4011\", \"till 4\" = \"00012345678905\" }\n").unwrap().canary;
        let items: Vec<_> = canary.items.iter().map(|(name, item)| (name.as_str(), item.as_str())).collect();
        assert_eq!(items, [("till 4", "00012345678905"), ("till-3", "4011")]);
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        for (text, expected) in [
            ("overdue_after_h = 0", "between 1 and 744"),
            ("follow_every_min = 1441", "a day, at most"),
            ("items = { till-3 = \"\" }", "names no item"),
            ("item = {}", "did you mean `items`"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains("line 4") && said.contains(expected), "{text}: {said}");
        }
    }
}
