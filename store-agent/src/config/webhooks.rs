//! `[webhooks]`: POS systems that live with their vendor and send what happens, and where they reach this agent.

use super::pos::ItemIs;
use super::{Checker, ConfigError};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use sync_protocol::SourceId;
use toml::Spanned;

const LISTEN: &str = "127.0.0.1:7075";
const LOCATION_BYTES_MAX: usize = 64;
const SOURCES_MAX: usize = 64;

#[derive(Debug, Clone)]
pub struct WebhooksConfig {
    pub listen: SocketAddr,
    pub pos: Vec<WebhookPos>,
}

/// One POS that sends.
#[derive(Debug, Clone)]
pub struct WebhookPos {
    pub source: SourceId,
    pub vendor: Vendor,
    pub secrets_file: PathBuf,
    /// Events of other locations are left out.
    pub location: String,
    /// Which item is which, by the vendor's ids. `None`: the vendor's id is the sku, or the order's own sku.
    pub items_file: Option<PathBuf>,
    pub item_is: ItemIs,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vendor {
    /// What it signs begins with the address that it was told to send to.
    Square {
        notification_url: String,
    },
    Shopify {
        takes: Takes,
    },
}

impl Vendor {
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Vendor::Square { .. } => "square",
            Vendor::Shopify { .. } => "shopify",
        }
    }
}

/// Absolute figures or what was sold: never both, for the figures have the sales in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Takes {
    Levels,
    Orders,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhooksTable {
    listen: Option<Spanned<String>>,
    #[serde(default)]
    pos: Vec<WebhookTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookTable {
    source: Spanned<String>,
    kind: Spanned<String>,
    secrets_file: PathBuf,
    location: Spanned<String>,
    notification_url: Option<Spanned<String>>,
    takes: Option<Spanned<Takes>>,
    items_file: Option<PathBuf>,
    item_is: Option<ItemIs>,
}

impl Checker<'_> {
    pub(super) fn webhooks(
        &self,
        table: WebhooksTable,
        read: &[super::pos::PosConfig],
    ) -> Result<WebhooksConfig, ConfigError> {
        let listen = table.listen.unwrap_or_else(|| Spanned::new(0..0, LISTEN.to_owned()));
        let mut pos: Vec<WebhookPos> = Vec::new();
        for given in table.pos {
            let name = given.source.clone();
            let one = self.webhook(given)?;
            let is_taken = pos.iter().map(|of| &of.source).chain(read.iter().map(|of| &of.source));
            if is_taken.into_iter().any(|source| *source == one.source) {
                return Err(self.wrong(&name, "names a source twice; each POS needs a name of its own"));
            }
            if pos.len() == SOURCES_MAX {
                return Err(self.wrong(&name, "is the 65th source; one agent takes 64"));
            }
            pos.push(one);
        }
        Ok(WebhooksConfig { listen: self.parsed::<SocketAddr, _>(&listen)?, pos })
    }

    fn webhook(&self, table: WebhookTable) -> Result<WebhookPos, ConfigError> {
        let location = table.location.get_ref();
        if location.is_empty() || location.len() > LOCATION_BYTES_MAX {
            let message = "must be the vendor's id of this store's location; events of all locations come";
            return Err(self.wrong(&table.location, message));
        }
        Ok(WebhookPos {
            source: self.pos_source(&table.source)?,
            vendor: self.vendor(&table)?,
            secrets_file: self.folder.join(&table.secrets_file),
            items_file: table.items_file.as_ref().map(|file| self.folder.join(file)),
            item_is: table.item_is.unwrap_or(ItemIs::Any),
            location: table.location.into_inner(),
        })
    }

    fn vendor(&self, table: &WebhookTable) -> Result<Vendor, ConfigError> {
        match table.kind.get_ref().as_str() {
            "square" => {
                if let Some(given) = &table.takes {
                    return Err(self.wrong(given, "is for Shopify; of Square the counts are taken"));
                }
                let message = "needs `notification_url`: the address that Square was told to send to";
                let url = table.notification_url.as_ref().ok_or_else(|| self.wrong(&table.kind, message))?;
                if !url.get_ref().starts_with("https://") {
                    return Err(self.wrong(url, "must be as Square has it, and begin with `https://`"));
                }
                Ok(Vendor::Square { notification_url: url.get_ref().clone() })
            }
            "shopify" => {
                if let Some(given) = &table.notification_url {
                    return Err(self.wrong(given, "is for Square; Shopify does not sign it"));
                }
                let takes = table.takes.as_ref().map_or(Takes::Levels, |takes| *takes.get_ref());
                Ok(Vendor::Shopify { takes })
            }
            _ => Err(self.wrong(&table.kind, "must be `square` or `shopify`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use std::path::Path;

    const SQUARE: &str = "[[webhooks.pos]]\nsource = \"square\"\nkind = \"square\"\nsecrets_file = \"square.key\"\nlocation = \"L1\"\nnotification_url = \"https://x.example/webhooks/square\"\n";
    const SHOPIFY: &str =
        "[[webhooks.pos]]\nsource = \"shop\"\nkind = \"shopify\"\nsecrets_file = \"s\"\nlocation = \"7\"\n";

    fn parse(text: &str) -> Result<Config, String> {
        let text = format!("store = \"S0001\"\ndata_dir = \"data\"\n{text}");
        Config::parse(&text, Path::new("/etc/agent.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_vendor_is_read_with_its_defaults() {
        let webhooks = parse(&format!("{SQUARE}{SHOPIFY}")).unwrap().webhooks.unwrap();
        assert_eq!(webhooks.listen.to_string(), LISTEN);
        assert_eq!(webhooks.pos[0].secrets_file, Path::new("/etc/square.key"));
        assert_eq!(webhooks.pos[1].vendor, Vendor::Shopify { takes: Takes::Levels });
        assert!(parse("").unwrap().webhooks.is_none());
    }

    #[test]
    fn what_cannot_work_is_named() {
        for (text, expected) in [
            (SQUARE.replace("notification_url", "# "), "needs `notification_url`"),
            (SQUARE.replace("https", "http"), "begin with `https://`"),
            (SQUARE.replace("\"L1\"", "\"\""), "this store's location"),
            (format!("{SQUARE}takes = \"orders\"\n"), "is for Shopify"),
            (format!("{SHOPIFY}takes = \"both\"\n"), "unknown variant"),
            (format!("{SHOPIFY}notification_url = \"https://x\"\n"), "is for Square"),
            (format!("{SHOPIFY}{SHOPIFY}"), "twice"),
            (SHOPIFY.replace("shopify", "clover"), "must be `square` or `shopify`"),
            (SHOPIFY.replace("\"shop\"", "\"a/b\""), "letters, digits"),
        ] {
            let said = parse(&text).unwrap_err();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
