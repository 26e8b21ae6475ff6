//! The agent's configuration, changed key by key: what a person has written into it stays, comments and all.

use crate::fault::{Code, Fault};
use crate::files;
use crate::layout::Layout;
use crate::wanted::{Wanted, proxy_address, with_port};
use std::net::SocketAddr;
use std::path::PathBuf;
use sync_protocol::StoreId;
use sync_protocol::enrolment::Address;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value, value};

const HEAD: &str = "# The agent's configuration. storectl sets the keys it is asked about; what is changed by hand stays.\n\
                    # Check it with `store-agent check-config --config` and this file.\n";

/// The configuration as it is, or as it is to be.
pub struct Settings {
    document: DocumentMut,
}

impl Settings {
    /// What is there; `None` before the first installation.
    pub fn read(layout: &Layout) -> Result<Option<Settings>, Fault> {
        let path = layout.config();
        let Some(text) = files::read(&path)? else { return Ok(None) };
        let document = text.parse().map_err(|error: toml_edit::TomlError| {
            Fault::caused(Code::E502, format!("cannot read `{}`", path.display()), error)
        })?;
        Ok(Some(Settings { document }))
    }

    #[must_use]
    pub fn store(&self) -> Option<StoreId> {
        self.document.get("store")?.as_str()?.parse().ok()
    }

    /// The hub's QUIC address.
    #[must_use]
    pub fn hub(&self) -> Option<Address> {
        self.text("hub", "address")?.parse().ok()
    }

    #[must_use]
    pub fn mqtt(&self) -> Option<Address> {
        match self.text("hub", "mqtt_address") {
            Some(address) => address.parse().ok(),
            None => with_port(&self.hub()?, 8883),
        }
    }

    /// The name that the hub's certificate must carry.
    #[must_use]
    pub fn server_name(&self) -> Option<String> {
        let host = || Some(self.hub()?.host().to_owned());
        self.text("hub", "server_name").map(str::to_owned).or_else(host)
    }

    #[must_use]
    pub fn proxy(&self) -> Option<Address> {
        proxy_address(self.text("hub", "proxy")?)
    }

    #[must_use]
    pub fn listen(&self) -> Option<SocketAddr> {
        self.text("http", "listen").unwrap_or("127.0.0.1:7070").parse().ok()
    }

    /// `None`: there is no page.
    #[must_use]
    pub fn page_listen(&self) -> Option<SocketAddr> {
        let off = self.document.get("page").and_then(|page| page.get("enabled")).and_then(Item::as_bool);
        if off == Some(false) {
            return None;
        }
        self.text("page", "listen").unwrap_or("127.0.0.1:8181").parse().ok()
    }

    /// Folders of a POS in which the agent moves or removes the files that it has read.
    #[must_use]
    pub fn changed_folders(&self, layout: &Layout) -> Vec<PathBuf> {
        let sources = self.document.get("pos").and_then(Item::as_array_of_tables);
        let folder = |source: &Table| {
            let says = |key: &str| source.get(key).and_then(Item::as_str);
            let after = source.get("files").and_then(|files| files.get("after")).and_then(Item::as_str);
            let is_changed = matches!(says("kind"), Some("csv" | "poslog")) && after != Some("leave");
            says("path").filter(|_| is_changed).map(|path| layout.inside(&layout.meant(path)))
        };
        sources.into_iter().flatten().filter_map(folder).collect()
    }

    /// The one file that the configuration's `[[pos]]` name for a password.
    #[must_use]
    pub fn pos_password(&self, layout: &Layout) -> Option<PathBuf> {
        let sources = self.document.get("pos").and_then(Item::as_array_of_tables);
        let named = sources.into_iter().flatten().filter_map(|source| source.get("password_file")?.as_str());
        let mut files: Vec<PathBuf> = named.map(|path| layout.meant(path)).collect();
        files.dedup();
        files.pop().filter(|_| files.is_empty())
    }

    /// As this text says it.
    pub fn of(text: &str) -> Result<Settings, Fault> {
        let document = text.parse().map_err(|error: toml_edit::TomlError| {
            Fault::caused(Code::E102, "the POS file is no TOML", error)
        })?;
        Ok(Settings { document })
    }

    fn text(&self, table: &str, key: &str) -> Option<&str> {
        self.document.get(table)?.get(key)?.as_str()
    }

    /// The text of the configuration that has what is wanted, and of what is there all else.
    pub fn with(before: Option<Settings>, wanted: &Wanted, layout: &Layout) -> Result<String, Fault> {
        let mut settings = before.unwrap_or_else(|| Settings { document: DocumentMut::new() });
        let fresh = settings.document.is_empty();
        settings.set("", "store", wanted.store.as_str());
        settings.set_path(layout, "", "data_dir", &layout.data());
        settings.set_path(layout, "http", "tokens_file", &layout.tokens());
        if let Some(listen) = &wanted.listen {
            settings.set("http", "listen", &listen.to_string());
        }
        settings.page(wanted);
        if wanted.with_hub {
            settings.hub_table(wanted, layout);
        }
        if let Some(pos) = &wanted.pos {
            settings.pos(pos)?;
        }
        let text = settings.document.to_string();
        Ok(if fresh { format!("{HEAD}{text}") } else { text })
    }

    fn page(&mut self, wanted: &Wanted) {
        let page = &wanted.page;
        if let Some(listen) = &page.listen {
            self.set("page", "listen", &listen.to_string());
        }
        if !page.hosts.is_empty() {
            let hosts: toml_edit::Array = page.hosts.iter().map(String::as_str).collect();
            self.put("page", "hosts", hosts.into());
        }
        let texts = [
            ("certificate", &page.certificate),
            ("key", &page.key),
            ("language", &page.language),
            ("time_zone", &page.time_zone),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                self.set("page", key, text);
            }
        }
    }

    fn hub_table(&mut self, wanted: &Wanted, layout: &Layout) {
        let texts = [
            ("address", wanted.hub.as_ref().map(ToString::to_string)),
            ("mqtt_address", wanted.mqtt.as_ref().map(ToString::to_string)),
            ("server_name", wanted.server_name.clone()),
            ("transport", wanted.transport.clone()),
            ("proxy", wanted.proxy.as_ref().map(|proxy| format!("http://{proxy}"))),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                self.set("hub", key, &text);
            }
        }
        self.set_path(layout, "hub", "ca_file", &layout.authority());
        self.set_path(layout, "hub", "certificate_file", &layout.certificate());
        self.set_path(layout, "hub", "key_file", &layout.certificate());
        self.set_path(layout, "hub", "pickup_key_file", &layout.pickup_key());
    }

    /// Puts the `[[pos]]` tables of a file in the place of those that are there.
    fn pos(&mut self, text: &str) -> Result<(), Fault> {
        let given = Settings::of(text)?.document;
        let tables: ArrayOfTables = match given.get("pos").and_then(Item::as_array_of_tables) {
            Some(tables) if given.len() == 1 => tables.clone(),
            _ => {
                return Err(Fault::new(
                    Code::E102,
                    "the POS file has to hold [[pos]] tables, and nothing else",
                ));
            }
        };
        let is = self.document.get("pos").map(ToString::to_string);
        if is.as_deref().map(str::trim) != Some(Item::ArrayOfTables(tables.clone()).to_string().trim()) {
            self.document.insert("pos", Item::ArrayOfTables(tables));
        }
        Ok(())
    }

    fn set(&mut self, table: &str, key: &str, text: &str) {
        self.put(table, key, text.into());
    }

    /// Leaves a path alone that means the same file already, however it is written.
    fn set_path(&mut self, layout: &Layout, table: &str, key: &str, path: &std::path::Path) {
        let is = match table {
            "" => self.document.get(key).and_then(Item::as_str),
            table => self.text(table, key),
        };
        if is.is_none_or(|written| layout.meant(written) != path) {
            self.set(table, key, &layout.written(path));
        }
    }

    /// Changes the value only: the comment behind it stays, and what is the same is not touched.
    fn put(&mut self, table: &str, key: &str, new: Value) {
        let place: &mut Table = match table {
            "" => self.document.as_table_mut(),
            table => match self.document.entry(table).or_insert_with(toml_edit::table).as_table_mut() {
                Some(place) => place,
                // Written as an inline table, or as no table at all: the agent's own check says so.
                None => return,
            },
        };
        match place.get_mut(key).and_then(Item::as_value_mut) {
            Some(old) if old.to_string().trim() == new.to_string().trim() => {}
            Some(old) => {
                let decor = old.decor().clone();
                *old = new;
                *old.decor_mut() = decor;
            }
            None => drop(place.insert(key, value(new))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn layout() -> Layout {
        Layout::at(Path::new("/"))
    }

    fn read(text: &str) -> Option<Settings> {
        Some(Settings { document: text.parse().unwrap() })
    }

    fn wanted() -> Wanted {
        let hub = Some("hub.example:7443".parse().unwrap());
        Wanted { hub, with_hub: true, ..Wanted::of("S0042".parse().unwrap()) }
    }

    #[test]
    fn the_first_text_has_all_that_the_agent_needs_and_the_second_is_the_same() {
        let first = Settings::with(None, &wanted(), &layout()).unwrap();
        assert!(
            first.contains("store = \"S0042\"") && first.contains("[hub]\naddress = \"hub.example:7443\""),
            "{first}"
        );
        let again = Settings::with(read(&first), &wanted(), &layout()).unwrap();
        assert_eq!(again, first);
        let settings = read(&first).unwrap();
        assert_eq!(settings.mqtt().unwrap().to_string(), "hub.example:8883");
        assert_eq!(settings.server_name().as_deref(), Some("hub.example"));
    }

    #[test]
    fn the_agent_changes_folders_of_files_unless_they_are_left_alone() {
        let text = "[[pos]]\nkind = \"csv\"\npath = \"/var/lib/pos/out\"\n\
                    [[pos]]\nkind = \"poslog\"\npath = \"/var/lib/pos/log\"\n[pos.files]\nafter = \"leave\"\n\
                    [[pos]]\nkind = \"sqlite\"\npath = \"/var/lib/pos/pos.db\"\n";
        assert_eq!(read(text).unwrap().changed_folders(&layout()), [PathBuf::from("/var/lib/pos/out")]);
    }

    #[test]
    fn what_a_person_has_written_stays() {
        let by_hand = "# ours\nstore = \"S0042\" # the small one\ndata_dir = \"/var/lib/../lib/shopsmart/agent\"\n\
                       [reserve]\nz = 2.0\n[hub]\naddress = \"old:1\" # moved in May\n";
        let text = Settings::with(read(by_hand), &wanted(), &layout()).unwrap();
        for kept in
            ["# ours", "# the small one", "/var/lib/../lib", "z = 2.0", "\"hub.example:7443\" # moved in May"]
        {
            assert!(text.contains(kept), "{kept} in {text}");
        }
    }

    #[test]
    fn pos_tables_are_replaced_whole_and_nothing_else_comes_with_them() {
        let pos = "[[pos]]\nsource = \"till-db\"\nkind = \"sqlite\"\n";
        let asked = Wanted { pos: Some(pos.to_owned()), ..wanted() };
        let text = Settings::with(None, &asked, &layout()).unwrap();
        assert_eq!(text.matches("[[pos]]").count(), 1);
        assert_eq!(Settings::with(read(&text), &asked, &layout()).unwrap(), text);
        let more = Wanted { pos: Some(format!("store = \"S1\"\n{pos}")), ..wanted() };
        assert_eq!(Settings::with(None, &more, &layout()).unwrap_err().code, Code::E102);
    }
}
