//! What people type: quantities as they write them, in whichever language.

use super::texts::Language;
use sync_protocol::Quantity;

/// More than any shelf holds. What is above was meant for another field: barcodes have eight digits and more.
pub const QUANTITY_MAX: Quantity = Quantity::from_units(99_999);

/// A quantity above nothing, or not below it where `may_be_nothing`. Both `1.5` and `1,5` are one and a half; a mark that the language would put between
/// thousands, with three digits after it, could mean either and is not taken.
#[must_use]
pub fn quantity(text: &str, language: Language, may_be_nothing: bool) -> Option<Quantity> {
    let plain: String = text.trim().chars().map(latin).collect();
    let marks = plain.matches(['.', ',']).count();
    let thousands = if language == Language::Spanish { '.' } else { ',' };
    let is_ambiguous = plain.split_once(thousands).is_some_and(|(_, after)| after.len() == 3);
    let is_plain = plain.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ','));
    if marks > 1 || is_ambiguous || !is_plain {
        return None;
    }
    let quantity: Quantity = plain.replace(',', ".").parse().ok()?;
    let is_enough = quantity.is_positive() || (may_be_nothing && quantity.is_zero());
    (is_enough && quantity <= QUANTITY_MAX).then_some(quantity)
}

/// Hindi keyboards may write other digits.
fn latin(digit: char) -> char {
    match digit {
        '\u{966}'..='\u{96f}' => char::from_digit(u32::from(digit) - 0x966, 10).unwrap_or(digit),
        other => other,
    }
}

/// Words of one line within so many bytes, without blanks around them. Empty where nothing was written.
#[must_use]
pub fn line(text: &str, bytes_max: usize) -> Option<String> {
    let text: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    (text.len() <= bytes_max).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, language: Language) -> Option<String> {
        quantity(text, language, false).map(|quantity| quantity.to_string())
    }

    #[test]
    fn both_decimal_marks_are_understood() {
        for language in Language::ALL {
            for (text, expected) in
                [("3", "3"), ("1.5", "1.5"), ("1,5", "1.5"), (" 12 ", "12"), ("०१२", "12")]
            {
                assert_eq!(read(text, language).as_deref(), Some(expected), "{text}");
            }
        }
        assert_eq!(read("1.235", Language::English).as_deref(), Some("1.235"));
        assert_eq!(read("1,235", Language::Spanish).as_deref(), Some("1.235"));
    }

    #[test]
    fn what_could_be_a_thousand_or_one_is_asked_again() {
        assert_eq!(read("1,235", Language::English), None);
        assert_eq!(read("1.235", Language::Spanish), None);
        assert_eq!(read("1.234,5", Language::Spanish), None);
    }

    #[test]
    fn barcodes_and_nonsense_are_no_quantities() {
        for text in ["", "-1", "0", "abc", "12345678", "4006381333931", "1e3", "1.2345", "+2"] {
            assert_eq!(read(text, Language::English), None, "{text}");
        }
        assert_eq!(quantity("0", Language::English, true), Some(Quantity::ZERO));
    }
}
