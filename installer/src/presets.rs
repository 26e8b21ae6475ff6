//! POS systems that are known: their `[[pos]]` tables, with what differs from store to store put in.

use crate::fault::{Code, Fault};
use toml_edit::{DocumentMut, Table, Value, value};

const PRESETS: [(&str, &str); 5] = [
    ("opensourcepos", include_str!("../../store-agent/presets/opensourcepos.toml")),
    ("nexopos", include_str!("../../store-agent/presets/nexopos.toml")),
    ("unicenta", include_str!("../../store-agent/presets/unicenta.toml")),
    ("erpnext", include_str!("../../store-agent/presets/erpnext.toml")),
    ("odoo", include_str!("../../store-agent/presets/odoo.toml")),
];
/// Keys that are texts, however they look: `location=1` is the text `1`.
const TEXTS: [&str; 9] =
    ["source", "address", "socket", "user", "password_file", "database", "ca_file", "time_zone", "location"];
/// A POS that writes by this clock does so in every store.
const EVERYWHERE: &str = "UTC";

/// The tables of a preset, changed by `key=value`. Where it names a time zone, `time_zone` is the store's.
pub fn made(name: &str, changes: &[String], time_zone: Option<&str>) -> Result<String, Fault> {
    let wrong = |says: String| Fault::new(Code::E102, says);
    let Some((_, text)) = PRESETS.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = PRESETS.iter().map(|(known, _)| *known).collect();
        return Err(wrong(format!("there is no preset `{name}`; there are {}", known.join(", "))));
    };
    let mut document: DocumentMut =
        text.parse().map_err(|error| Fault::caused(Code::E901, format!("the preset `{name}`"), error))?;
    let table =
        document.get_mut("pos").and_then(|pos| pos.as_array_of_tables_mut()).and_then(|of| of.get_mut(0));
    let Some(table) = table else { return Err(Fault::new(Code::E901, format!("the preset `{name}`"))) };
    let is_local =
        table.get("time_zone").and_then(|zone| zone.as_str()).is_some_and(|zone| zone != EVERYWHERE);
    if let Some(zone) = time_zone.filter(|_| is_local) {
        put(table, "time_zone", zone.into());
    }
    for change in changes {
        let (key, text) = change
            .split_once('=')
            .ok_or_else(|| wrong(format!("`{change}` is not `key=value`, as in `location=2`")))?;
        let (key, text) = (key.trim(), text.trim());
        let new = match TEXTS.contains(&key) {
            true => Value::from(text),
            false => text.parse().unwrap_or_else(|_| Value::from(text)),
        };
        // A server is reached one way.
        match key {
            "socket" => drop(table.remove("address")),
            "address" => drop(table.remove("socket")),
            _ => {}
        }
        put(table, key, new);
    }
    Ok(document.to_string())
}

/// What is said about the key before stays.
fn put(table: &mut Table, key: &str, new: Value) {
    match table.get_mut(key).and_then(|item| item.as_value_mut()) {
        Some(old) => *old = new,
        None => drop(table.insert(key, value(new))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(name: &str, changes: &[&str], zone: Option<&str>) -> Vec<String> {
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        let text = made(name, &changes, zone).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn what_differs_from_store_to_store_is_put_in() {
        let found = lines(
            "opensourcepos",
            &["location=2", "socket=/run/mysqld/mysqld.sock", "pos_is_truth=false"],
            Some("Asia/Kolkata"),
        );
        for line in [
            "location = \"2\"",
            "socket = \"/run/mysqld/mysqld.sock\"",
            "pos_is_truth = false",
            "time_zone = \"Asia/Kolkata\"",
        ] {
            assert!(found.iter().any(|of| of == line), "{line}: {found:?}");
        }
        assert!(!found.iter().any(|line| line.starts_with("address")), "{found:?}");
        let found = lines("nexopos", &[], Some("Asia/Kolkata"));
        assert!(
            found.iter().any(|line| line == "time_zone = \"UTC\""),
            "it writes UTC everywhere: {found:?}"
        );
    }

    #[test]
    fn every_preset_is_one_pos_and_a_wrong_one_is_named() {
        for (name, _) in PRESETS {
            let document: DocumentMut = made(name, &[], None).unwrap().parse().unwrap();
            assert_eq!(
                (document.len(), document["pos"].as_array_of_tables().unwrap().len()),
                (1, 1),
                "{name}"
            );
        }
        let said = |name: &str, change: &str| made(name, &[change.to_owned()], None).unwrap_err().to_string();
        assert!(said("unicentra", "a=b").contains("unicenta, erpnext"));
        assert!(said("odoo", "location 2").contains("`location 2` is not `key=value`"));
    }
}
