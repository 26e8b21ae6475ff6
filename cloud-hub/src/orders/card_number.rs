//! Card numbers, found wherever somebody may have put one, so that they are refused at the door.
//!
//! A card number is 13 to 19 digits in groups of any size, with something other than letters and digits between them, whose
//! check digit is right (Luhn) and whose first four digits some card network gives out. One number in ten has the right
//! check digit by chance: the networks' ranges keep times, dates and most payment services' references out of it, and the
//! remaining one in ten of what begins like a card is refused although it is none.

use std::ops::RangeInclusive;

const DIGITS: RangeInclusive<usize> = 13..=19;
/// Most characters between two groups of one number.
const GAP_MAX: usize = 3;
/// The zeros of the digits that keyboards write.
const ZEROS: [char; 6] = ['0', '\u{660}', '\u{6f0}', '\u{966}', '\u{9e6}', '\u{ff10}'];

/// A digit, and whether a group begins with it.
type Grouped = (u8, bool);

/// Whether `text` has a card number in it.
#[must_use]
pub fn holds_card_number(text: &str) -> bool {
    let mut run: Vec<Grouped> = Vec::new();
    let mut gap = 0;
    for character in text.chars() {
        if let Some(digit) = digit_of(character) {
            run.push((digit, gap > 0 || run.is_empty()));
            gap = 0;
        } else {
            gap += 1;
            if gap > GAP_MAX || character.is_alphanumeric() {
                if has_number(&run) {
                    return true;
                }
                run.clear();
            }
        }
    }
    has_number(&run)
}

fn digit_of(character: char) -> Option<u8> {
    let value = |zero: &char| u32::from(character).checked_sub(u32::from(*zero)).filter(|value| *value < 10);
    ZEROS.iter().find_map(value).and_then(|value| u8::try_from(value).ok())
}

/// Whether some neighbouring groups together are a card number: an end date may follow it, or a name's digits stand before.
fn has_number(run: &[Grouped]) -> bool {
    let starts = (0..run.len()).filter(|at| run[*at].1);
    starts.flat_map(|start| DIGITS.map(move |digits| (start, start + digits))).any(|(start, end)| {
        let ends_a_group = run.get(end).is_none_or(|(_, begins)| *begins);
        ends_a_group && run.get(start..end).is_some_and(is_card_number)
    })
}

fn is_card_number(digits: &[Grouped]) -> bool {
    let number = digits.iter().take(4).fold(0, |number, (digit, _)| number * 10 + u32::from(*digit));
    is_given_out(number) && is_checked(digits)
}

/// Whether some network's cards begin with these four digits.
fn is_given_out(start: u32) -> bool {
    // Mir and Mastercard; American Express, Diners, JCB; Visa, Mastercard, Maestro, Discover, UnionPay, RuPay; Troy.
    matches!(start, 2200..=2204 | 2221..=2720 | 3000..=3999 | 4000..=6999 | 8100..=8299 | 9792)
}

/// Luhn's check: every second digit from the right counts double, and the sum ends in zero.
fn is_checked(digits: &[Grouped]) -> bool {
    let counted = |(place, (digit, _)): (usize, &Grouped)| match (place % 2, u32::from(*digit)) {
        (0, digit) => digit,
        (_, digit) => digit * 2 / 10 + digit * 2 % 10,
    };
    digits.iter().rev().enumerate().map(counted).sum::<u32>().is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The networks' own numbers for testing.
    const CARDS: [&str; 11] = [
        "4111111111111111",
        "4222222222222",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "30569309025904",
        "3530111333300000",
        "6011111111111117",
        "6304000000000000",
        "2200000000000004",
        "6205500000000000004",
    ];

    #[test]
    fn every_networks_numbers_are_found() {
        for card in CARDS {
            assert!(holds_card_number(card), "{card}");
        }
    }

    #[test]
    fn a_number_is_found_however_it_is_written() {
        for written in [
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4111.1111/1111_1111",
            "4111 - 1111 - 1111 - 1111",
            "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
            "4111\u{a0}1111\u{200b}1111\u{2011}1111",
            "４１１１ １１１１ １１１１ １１１１",
            "٤١١١١١١١١١١١١١١١",
            "card4111111111111111x",
            "Anna 4111111111111111 Karenina",
            "4111111111111111@example.com",
            "4111 1111 1111 1111 12/28",
            "4111 1111 1111 1111, 12/28, 123",
            "07 4111 1111 1111 1111",
        ] {
            assert!(holds_card_number(written), "{written}");
        }
    }

    #[test]
    fn a_wrong_check_digit_is_no_card_number() {
        for card in CARDS {
            let (start, last) = card.split_at(card.len() - 1);
            let last: u32 = last.parse().unwrap();
            for other in (0..10).filter(|other| *other != last) {
                assert!(!holds_card_number(&format!("{start}{other}")), "{start}{other}");
            }
        }
    }

    #[test]
    fn other_numbers_are_let_through() {
        for text in [
            "",
            "4111",
            "411111111111",
            "41111111111111111111",
            "pi_3MtwBwLkdIwHu7ix28a3tqPa",
            "a3f1c2d4-4111-1111-1111-111111111111",
            "4111a1111b1111c1111",
            "4111 and then 1111 and then 1111 and then 1111",
        ] {
            assert!(!holds_card_number(text), "{text}");
        }
        // Times in milliseconds, dates, and telephone numbers with `00` are never taken for one, whatever their check digit.
        for last in 0..100 {
            for start in ["17950000000", "20261122-0000", "004915123456", "7000000000000", "8851573175100"] {
                assert!(!holds_card_number(&format!("{start}{last:02}")), "{start}{last:02}");
            }
        }
    }

    #[test]
    fn a_text_of_any_length_is_looked_through() {
        let noise = "1 ".repeat(100_000);
        assert!(!holds_card_number(&noise));
        assert!(holds_card_number(&format!("{noise}    4111111111111111")));
    }
}
