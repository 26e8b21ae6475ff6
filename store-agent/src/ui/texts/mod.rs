//! Everything the page says, in every language side by side: a table for each screen.
//!
//! A text without one of its translations does not compile; a test holds that none is empty and that the places for values are the
//! same in all of them. A place is written `{name}` and filled by [`Language::fill`].

pub mod count;
pub mod entering;
pub mod hand_over;
pub mod help;
pub mod items;
pub mod ledger;
pub mod order;
pub mod orders;
pub mod people;
pub mod reports;
pub mod shared;
pub mod today;
pub mod web_sales;

pub use crate::config::Language;

/// One text in every language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    pub english: &'static str,
    pub spanish: &'static str,
    pub hindi: &'static str,
}

/// A table of texts: `NAME: "English", "Spanish", "Hindi";`.
macro_rules! texts {
    ($($(#[$note:meta])* $name:ident: $english:literal, $spanish:literal, $hindi:literal;)+) => {
        $($(#[$note])* pub const $name: $crate::ui::texts::Text =
            $crate::ui::texts::Text { english: $english, spanish: $spanish, hindi: $hindi };)+

        /// All of this table, for the tests.
        #[cfg(test)]
        pub const ALL: &[(&str, $crate::ui::texts::Text)] = &[$((stringify!($name), $name)),+];
    };
}
pub(in crate::ui) use texts;

impl Language {
    #[must_use]
    pub fn say(self, text: Text) -> &'static str {
        match self {
            Language::English => text.english,
            Language::Spanish => text.spanish,
            Language::Hindi => text.hindi,
        }
    }

    /// The text with its places filled. One pass: a value that looks like a place stays as it is.
    #[must_use]
    pub fn fill(self, text: Text, values: &[(&str, &str)]) -> String {
        let mut filled = String::new();
        let mut rest = self.say(text);
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let Some((name, after)) = after.split_once('}') else { break };
            let value = values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            filled.push_str(value.unwrap_or_default());
            rest = after;
        }
        filled.push_str(rest);
        filled
    }

    /// The text for so many: `one` where the language speaks of one, with `{count}` filled.
    #[must_use]
    pub fn count(self, count: u64, one: Text, more: Text) -> String {
        let is_one = count == 1 || (count == 0 && self == Language::Hindi);
        self.fill(if is_one { one } else { more }, &[("count", &count.to_string())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<(String, Text)> {
        let tables = [
            ("count", count::ALL),
            ("entering", entering::ALL),
            ("hand_over", hand_over::ALL),
            ("help", help::ALL),
            ("items", items::ALL),
            ("ledger", ledger::ALL),
            ("order", order::ALL),
            ("orders", orders::ALL),
            ("people", people::ALL),
            ("reports", reports::ALL),
            ("shared", shared::ALL),
            ("today", today::ALL),
            ("web_sales", web_sales::ALL),
        ];
        let of = |(table, texts): (&str, &[(&str, Text)])| {
            texts.iter().map(|(name, text)| (format!("{table}::{name}"), *text)).collect::<Vec<_>>()
        };
        tables.into_iter().flat_map(of).collect()
    }

    fn places(text: &str) -> Vec<&str> {
        let mut found: Vec<&str> =
            text.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn no_text_is_empty_and_places_are_the_same_in_every_language() {
        for (name, text) in all() {
            for language in Language::ALL {
                assert!(!language.say(text).trim().is_empty(), "{name} in {}", language.code());
                assert_eq!(places(language.say(text)), places(text.english), "{name} in {}", language.code());
            }
        }
    }

    #[test]
    fn hindi_is_written_in_its_own_letters() {
        for (name, text) in all() {
            let has_letters = text
                .english
                .split('{')
                .any(|part| part.rsplit('}').next().unwrap_or(part).chars().any(char::is_alphabetic));
            let is_devanagari = text.hindi.chars().any(|c| ('\u{900}'..='\u{97f}').contains(&c));
            assert!(is_devanagari || !has_letters, "{name}: {}", text.hindi);
        }
    }

    #[test]
    fn every_table_of_the_folder_is_tested() {
        let mut tables: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/ui/texts"))
            .unwrap()
            .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .filter(|name| name != "mod")
            .collect();
        tables.sort();
        let mut tested: Vec<String> =
            all().iter().map(|(name, _)| name.split("::").next().unwrap().to_owned()).collect();
        tested.sort();
        tested.dedup();
        assert_eq!(tables, tested);
    }

    #[test]
    fn values_fill_their_places_and_are_not_looked_into() {
        let text = Text { english: "{a} of {b}", spanish: "{a} de {b}", hindi: "{b} में से {a}" };
        assert_eq!(Language::English.fill(text, &[("a", "{b}"), ("b", "2")]), "{b} of 2");
        assert_eq!(Language::Hindi.fill(text, &[("a", "1"), ("b", "2")]), "2 में से 1");
    }

    #[test]
    fn zero_is_one_in_hindi_only() {
        let (one, more) = (
            Text { english: "{count} item", spanish: "{count} artículo", hindi: "{count} सामान" },
            Text {
                english: "{count} items", spanish: "{count} artículos", hindi: "{count} सामान (बहु)"
            },
        );
        assert_eq!(Language::English.count(0, one, more), "0 items");
        assert_eq!(Language::Spanish.count(1, one, more), "1 artículo");
        assert_eq!(Language::Hindi.count(0, one, more), "0 सामान");
    }
}
