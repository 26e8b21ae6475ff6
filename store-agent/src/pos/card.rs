//! Card numbers have no business in a stock ledger: what looks like one is refused before anything is kept or logged.

const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;

/// Whether a run of 13 to 19 digits in `text`, blanks and hyphens between them allowed, could be a card number: an issuer's first
/// digits and a check digit that fits. A GTIN with its own check digit in order is none.
#[must_use]
pub fn holds_card_number(text: &str) -> bool {
    let mut run: Vec<u8> = Vec::new();
    let mut is_found = false;
    let mut gap = false;
    for byte in text.bytes().chain([b'x']) {
        match byte {
            b'0'..=b'9' => {
                run.push(byte - b'0');
                gap = false;
            }
            b' ' | b'-' if !gap && !run.is_empty() => gap = true,
            _ => {
                is_found |= looks_like_card(&run);
                run.clear();
                gap = false;
            }
        }
    }
    is_found
}

fn looks_like_card(digits: &[u8]) -> bool {
    (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) && is_issued(digits) && luhn(digits) && !is_gtin(digits)
}

/// Without this every tenth document number of 13 digits (a time in milliseconds, say) would be refused.
fn is_issued(digits: &[u8]) -> bool {
    let first_four = digits.iter().take(4).fold(0u32, |sum, digit| sum * 10 + u32::from(*digit));
    matches!(first_four, 2221..=2720 | 3000..=6999)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let doubled = u32::from(*digit) * if at % 2 == 1 { 2 } else { 1 };
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// 8, 12, 13 or 14 digits with the check digit of a GTIN.
#[must_use]
pub fn is_gtin(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| u32::from(*digit) * if at % 2 == 1 { 3 } else { 1 })
        .sum();
    matches!(digits.len(), 8 | 12 | 13 | 14) && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_seen_however_they_are_written() {
        for text in [
            "4111111111111111",
            "paid 4111 1111 1111 1111",
            "5500-0000-0000-0004 x",
            "378282246310005",
            "POS 6011111111111117.",
        ] {
            assert!(holds_card_number(text), "{text}");
        }
    }

    #[test]
    fn goods_and_documents_are_no_cards() {
        for text in [
            "4006381333931",
            "00012345678905",
            "POS 1793480602000",
            "4111111111111112",
            "4111",
            "",
            "9007199254740993",
            "2026-10-31 17:03:22",
        ] {
            assert!(!holds_card_number(text), "{text}");
        }
    }
}
