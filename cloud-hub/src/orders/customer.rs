//! Who ordered: what the hub knows of a shopper, and how little of it a store gets to see.

use std::fmt;
use sync_protocol::order::lines::{DISPLAY_NAME_BYTES_MAX, PHONE_BYTES_MAX};

/// What a store sees where a name has nothing that could be read out.
const NO_NAME: &str = "no name";
/// Digits of a telephone number that a store sees.
const SHOWN_DIGITS: usize = 3;
/// Of a number with fewer digits a store sees none: three would be most of it.
const MASKED_DIGITS_MIN: usize = 6;

const _: () = assert!("… ".len() + SHOWN_DIGITS <= PHONE_BYTES_MAX);
const _: () = assert!(NO_NAME.len() <= DISPLAY_NAME_BYTES_MAX);

/// A shopper. Printed for debugging it says nothing of the person.
#[derive(Clone, PartialEq, Eq)]
pub struct Customer {
    pub name: String,
    pub phone: Option<String>,
    pub email: Option<String>,
}

impl Customer {
    /// What a store calls the shopper: the first name and the initial of the last, `Anna K.`, in at most
    /// [`DISPLAY_NAME_BYTES_MAX`] bytes. A name in one word is shown as that word: what of it could be kept back is not
    /// known. Nothing in it can turn the page around it: no control characters, no marks of direction.
    #[must_use]
    pub fn display_name(&self) -> String {
        let shown = |c: char| if c.is_control() { ' ' } else { c };
        let name: String = self.name.chars().filter(|c| !is_invisible(*c)).map(shown).collect();
        let mut words = name
            .split_whitespace()
            .map(|word| word.trim_matches(|c: char| c.is_ascii_punctuation()))
            .filter(|word| word.contains(char::is_alphanumeric));
        let first = words.next().unwrap_or(NO_NAME);
        match words.rfind(|word| word.starts_with(char::is_alphabetic)).map(initial) {
            Some(initial) => {
                let rest = format!(" {initial}.");
                clipped(first, DISPLAY_NAME_BYTES_MAX - rest.len()) + &rest
            }
            None => clipped(first, DISPLAY_NAME_BYTES_MAX),
        }
    }

    /// What a store sees of the telephone number, to tell two shoppers of one name apart: its last three digits, `… 123`.
    /// Empty where there is no number.
    #[must_use]
    pub fn masked_phone(&self) -> String {
        let Some(phone) = &self.phone else { return String::new() };
        let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
        if digits.len() < MASKED_DIGITS_MIN {
            return "…".to_owned();
        }
        format!("… {}", &digits[digits.len() - SHOWN_DIGITS..])
    }
}

/// Debug output ends up in logs.
impl fmt::Debug for Customer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Customer(…)")
    }
}

/// Marks of direction, spaces without width and the like. The two joiners stay: Persian and Hindi names are written with
/// them.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The first letter, with up to two accents that are written as characters of their own.
fn initial(word: &str) -> &str {
    let is_accent = |c: char| matches!(c, '\u{300}'..='\u{36f}');
    let mut letters = word.char_indices().skip(1);
    let end = letters.by_ref().take(2).find(|(_, c)| !is_accent(*c)).or_else(|| letters.next());
    &word[..end.map_or(word.len(), |(at, _)| at)]
}

/// As much of `text` as fits into `max` bytes, with a sign where something is missing.
fn clipped(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max.saturating_sub("…".len()));
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> String {
        let shown = Customer { name: name.to_owned(), phone: None, email: None }.display_name();
        assert!((1..=DISPLAY_NAME_BYTES_MAX).contains(&shown.len()), "{name:?}: {shown:?}");
        assert!(!shown.chars().any(|c| c.is_control() || is_invisible(c)), "{name:?}: {shown:?}");
        shown
    }

    fn masked(phone: &str) -> String {
        let phone = Some(phone.to_owned());
        Customer { name: "Anna".to_owned(), phone, email: None }.masked_phone()
    }

    #[test]
    fn a_store_sees_the_first_name_and_an_initial() {
        let cases = [
            ("Anna Karenina", "Anna K."),
            ("  Anna\tMaria \n Karenina ", "Anna K."),
            ("Anna", "Anna"),
            ("anna karenina", "anna k."),
            ("Anna K.", "Anna K."),
            ("Karenina, Anna", "Karenina A."),
            ("Anna (Anja) Karenina", "Anna K."),
            ("Sinéad O'Connor", "Sinéad O."),
            ("Zoë E\u{301}lise", "Zoë E\u{301}."),
            ("Лев Толстой", "Лев Т."),
            ("महात्मा गांधी", "महात्मा ग."),
            ("山田 太郎", "山田 太."),
            ("김철수", "김철수"),
            ("Anna 2", "Anna"),
            ("Ａｎｎａ Ｋ", "Ａｎｎａ Ｋ."),
        ];
        for (name, expected) in cases {
            assert_eq!(named(name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_of_nothing_is_said_to_be_none() {
        for name in ["", " ", "--", "\u{0}\u{7}", "\u{202e}", "🙂 🙂", ". . .", "\u{301}"] {
            let shown = named(name);
            assert!(shown == NO_NAME || shown == name, "{name:?}: {shown:?}");
        }
    }

    #[test]
    fn a_name_can_not_turn_the_page_around() {
        assert_eq!(named("An\u{202e}na\u{1b}[31m Kar\u{200b}enina"), "Anna K.");
        assert_eq!(named("Anna\u{2028}Karenina"), "AnnaKarenina");
        assert_eq!(
            named("<b>Anna</b> Karenina"),
            "b>Anna</b K.",
            "whoever writes a page escapes what is left"
        );
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        for letter in ["x", "é", "अ", "𝒜"] {
            for count in 1..200 {
                named(&letter.repeat(count));
                named(&format!("{} {letter}", letter.repeat(count)));
            }
        }
        let shown = named(&format!("{} Karenina", "x".repeat(1_000_000)));
        assert!(shown.ends_with("…  K.".replace("  ", " ").as_str()), "{shown}");
        let accents = format!("{} e{}", "x".repeat(100), "\u{301}".repeat(100));
        assert!(named(&accents).ends_with(" e\u{301}\u{301}."));
    }

    #[test]
    fn a_store_sees_the_last_three_digits() {
        let cases = [
            ("+49 30 1234-567", "… 567"),
            ("030/123456", "… 456"),
            ("123456", "… 456"),
            ("12345", "…"),
            ("110", "…"),
            ("", "…"),
            ("call my mother", "…"),
            ("१२३४५६७", "…"),
        ];
        for (phone, expected) in cases {
            assert_eq!(masked(phone), expected, "{phone}");
        }
        assert_eq!(masked(&"7".repeat(100_000)), "… 777");
        assert_eq!(Customer { name: "Anna".to_owned(), phone: None, email: None }.masked_phone(), "");
    }

    #[test]
    fn nothing_of_a_person_shows_where_values_are_printed_for_debugging() {
        let customer = Customer {
            name: "Anna Karenina".to_owned(),
            phone: Some("+49 30 1234567".to_owned()),
            email: Some("anna@example.com".to_owned()),
        };
        assert_eq!(format!("{:?}", Some(customer)), "Some(Customer(…))");
    }
}
