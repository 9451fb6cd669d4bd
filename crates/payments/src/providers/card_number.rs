//! Card numbers where none belongs.
//!
//! Digits are taken for a card number if they stand alone (no letter beside them), have a length and beginning that a
//! network gives out, and pass the Luhn check. Blanks and dashes between them do not matter. About one random number of
//! sixteen digits in twenty-five looks like one too; a counter or a time in milliseconds does not.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

const DIGITS_MAX: usize = 19;

/// What stands in a card number's place.
const MASK: &str = "[card number]";

/// Bytes of SHA-256 that tell masked identifiers apart: among 4 million of one source, two agree with a probability of one
/// in two million.
const TAG_BYTES: usize = 8;

/// Where in `text` the first card number stands.
fn find(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let begins = |at: usize| at.checked_sub(1).is_none_or(|before| !bytes[before].is_ascii_alphanumeric());
    let mut starts = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit() && begins(*at));
    starts.find_map(|start| Some(start..end_of_number(bytes, start)?))
}

/// `text` with every card number replaced.
pub(super) fn mask(mut text: String) -> String {
    // The mask has no digits, so each turn leaves fewer.
    while let Some(range) = find(&text) {
        text.replace_range(range, MASK);
    }
    text
}

/// An identifier with every card number replaced, and still another one than any other: what was masked has a tag of the
/// whole text behind it.
///
/// None of the digits are kept: first six, last four and a tag together would tell the rest at once.
pub(super) fn mask_identifier(text: &str) -> String {
    let masked = mask(text.to_owned());
    if masked == text {
        return masked;
    }
    let digest = Sha256::digest(text.as_bytes());
    // The letters before it keep the tag's digits from being taken for a number.
    let tag = hex::encode(digest.iter().copied().take(TAG_BYTES).collect::<Vec<u8>>());
    format!("{masked} sha{tag}")
}

/// Where the card number that begins at `start` ends.
fn end_of_number(bytes: &[u8], start: usize) -> Option<usize> {
    let mut digits = Vec::with_capacity(DIGITS_MAX);
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'0'..=b'9' if digits.len() < DIGITS_MAX => digits.push(byte - b'0'),
            b' ' | b'-' => continue,
            _ => return None,
        }
        let stands_alone = bytes.get(at + 1).is_none_or(|next| !next.is_ascii_alphanumeric());
        if stands_alone && is_card_number(&digits) {
            return Some(at + 1);
        }
    }
    None
}

fn is_card_number(digits: &[u8]) -> bool {
    let beginning = digits.iter().take(4).fold(0, |number, digit| number * 10 + u16::from(*digit));
    let lengths = match beginning {
        // Visa.
        4000..=4999 => &[13, 16, 19][..],
        // Mastercard.
        2221..=2720 | 5100..=5599 => &[16],
        // American Express.
        3400..=3499 | 3700..=3799 => &[15],
        // Diners Club.
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => &[14, 16, 19],
        // JCB; Maestro, Discover, UnionPay.
        3528..=3589 | 5000..=5099 | 5600..=6999 => &[13, 14, 15, 16, 17, 18, 19],
        _ => &[],
    };
    lengths.contains(&digits.len()) && passes_luhn(digits)
}

/// ISO/IEC 7812-1, annex B.
fn passes_luhn(digits: &[u8]) -> bool {
    let doubled = |digit: u8| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let values = digits.iter().rev().enumerate();
    let sum: u32 =
        values.map(|(place, digit)| u32::from(if place % 2 == 1 { doubled(*digit) } else { *digit })).sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_of_every_network_are_found_however_they_are_written() {
        for text in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "order 4111111111111111 12/27",
            "4111111111111111 12",
            "order_5555555555554444.",
            "2223003122003222",
            "378282246310005",
            "6011111111111117",
            "36227206271667",
            "3566002020360505",
            "é4222222222222é",
        ] {
            let masked = mask(text.to_owned());
            assert!(masked.contains(MASK), "{text}: {masked}");
            assert_eq!(find(&masked), None, "{text}");
        }
        assert_eq!(
            mask("4111 1111 1111 1111 and 378282246310005 12".to_owned()),
            "[card number] and [card number] 12"
        );
    }

    #[test]
    fn masked_identifiers_are_told_apart_by_the_documented_tag() {
        // printf %s 4111111111111111 | sha256sum | cut -c 1-16
        assert_eq!(mask_identifier("4111111111111111"), "[card number] sha9bbef19476623ca5");
        assert_ne!(mask_identifier("4111111111111111"), mask_identifier("5555555555554444"));
        assert_ne!(mask_identifier("4111111111111111"), mask_identifier("4111 1111 1111 1111"));
        assert_eq!(mask_identifier("auth-4111111111111112"), "auth-4111111111111112");
    }

    proptest::proptest! {
        #[test]
        fn no_identifier_keeps_a_card_number(text in "[0-9a -]{0,12}(4111111111111111|378282246310005)[0-9 -]{0,12}") {
            let masked = mask_identifier(&text);
            proptest::prop_assert_eq!(find(&masked), None);
            proptest::prop_assert_eq!(mask_identifier(&masked), masked);
        }
    }

    #[test]
    fn other_numbers_are_left_alone() {
        for text in [
            "",
            "GC-77120-01",
            "4111111111111112",
            "411111111111111",
            "41111111111111111111",
            "order4111111111111111",
            "4111111111111111a",
            // Times in milliseconds that pass the Luhn check, and a phone number.
            "1795316520008",
            "1795316520016",
            "+49 30 4111 1111",
            "f47ac10b-58cc-4372-a567-0e02b2c3d479",
        ] {
            assert_eq!(mask(text.to_owned()), text);
        }
    }
}
