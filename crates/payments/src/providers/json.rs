//! Reading JSON so that a refusal names the field, and never repeats what could be a card number.

use serde::de::Deserialize;
use serde_path_to_error::Segment;

use super::ParkReason;

/// Longest problem text kept; the body itself is kept elsewhere.
const PROBLEM_CHARS_MAX: usize = 200;

/// A run of digits at least this long is left out of problem texts: card numbers have 12 to 19.
const DIGITS_HIDDEN_MIN: usize = 9;

/// Reads `json`, which sits at `pointer` in the body (empty for the body itself), as a `T`.
pub(super) fn read<'de, T: Deserialize<'de>>(json: &'de [u8], pointer: &str) -> Result<T, ParkReason> {
    // Texts are checked once, as a whole, which is faster than one by one. Tracking the path costs time, so it is done
    // only once it is known that something is wrong.
    let text =
        str::from_utf8(json).map_err(|error| ParkReason::InvalidJson(format!("not UTF-8: {error}")))?;
    serde_json::from_str(text).map_err(|error| explain::<T>(text, pointer, &error))
}

fn explain<'de, T: Deserialize<'de>>(json: &'de str, pointer: &str, error: &serde_json::Error) -> ParkReason {
    if !error.is_data() {
        return ParkReason::InvalidJson(hide_digits(&error.to_string()));
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let Err(located) = serde_path_to_error::deserialize::<_, T>(&mut deserializer) else {
        return ParkReason::UnexpectedShape(hide_digits(&error.to_string()));
    };
    let mut path = pointer.to_owned();
    for segment in located.path() {
        match segment {
            Segment::Seq { index } => path.extend(["/", &index.to_string()]),
            Segment::Map { key } => path.extend(["/", &key.replace('~', "~0").replace('/', "~1")]),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    let problem = hide_digits(&located.inner().to_string());
    if path.is_empty() {
        ParkReason::UnexpectedShape(problem)
    } else {
        ParkReason::BadField { pointer: hide_digits(&path), problem: format!("cannot be read: {problem}") }
    }
}

/// `text`, bounded, with every long run of digits replaced. Blanks and dashes between digits belong to the run: card
/// numbers are written in groups.
pub(super) fn hide_digits(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for character in text.chars().take(PROBLEM_CHARS_MAX) {
        let continues = !run.is_empty() && is_separator(character);
        if character.is_ascii_digit() || continues {
            run.push(character);
            continue;
        }
        end_run(&mut out, &mut run);
        out.push(character);
    }
    end_run(&mut out, &mut run);
    out
}

fn end_run(out: &mut String, run: &mut String) {
    let digits = run.trim_end_matches(is_separator);
    if digits.bytes().filter(u8::is_ascii_digit).count() < DIGITS_HIDDEN_MIN {
        out.push_str(run);
    } else {
        out.push_str("[digits]");
        out.push_str(&run[digits.len()..]);
    }
    run.clear();
}

fn is_separator(character: char) -> bool {
    matches!(character, ' ' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "only its reading is tested")]
        inner: Vec<Inner>,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "likewise")]
        amount: i64,
    }

    #[test]
    fn a_refusal_names_the_field_and_hides_card_numbers() {
        let json = br#"{"inner": [{"amount": 1}, {"amount": "4111111111111111"}]}"#;
        let reason = read::<Outer>(json, "/data").unwrap_err();
        let ParkReason::BadField { pointer, problem } = reason else { panic!("{reason:?}") };
        assert_eq!(pointer, "/data/inner/1/amount");
        assert!(problem.starts_with("cannot be read: invalid type: string \"[digits]\""), "{problem}");
    }

    #[test]
    fn broken_json_and_unexpected_json_are_told_apart() {
        assert_eq!(read::<Outer>(b"{", "").unwrap_err().code(), "invalid_json");
        assert_eq!(read::<Outer>(b"[]", "").unwrap_err().code(), "unexpected_shape");
        assert_eq!(read::<Outer>(b"7", "").unwrap_err().code(), "unexpected_shape");
    }

    #[test]
    fn problem_texts_are_bounded_even_when_all_digits() {
        assert_eq!(hide_digits(&"4".repeat(10_000)), "[digits]");
        assert_eq!(hide_digits(&"é".repeat(10_000)).chars().count(), PROBLEM_CHARS_MAX);
        assert_eq!(hide_digits("at line 12345678 column 9"), "at line 12345678 column 9");
    }

    #[test]
    fn a_card_number_written_in_groups_is_hidden_too() {
        assert_eq!(hide_digits("\"4111 1111 1111 1111\", 12 27"), "\"[digits]\", 12 27");
        assert_eq!(hide_digits("4111-1111--1111 - 1111 - no"), "[digits] - no");
        assert_eq!(hide_digits("at 2026-11-22 - 1"), "at [digits]");
        assert_eq!(hide_digits("- 2026-11-22T14:02"), "- 2026-11-22T14:02");
    }
}
