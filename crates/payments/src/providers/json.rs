//! Reading JSON so that a refusal names the field, and never repeats what could be a card number.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_path_to_error::Segment;

use super::ParkReason;

/// Longest problem text kept; the body itself is kept elsewhere.
const PROBLEM_CHARS_MAX: usize = 200;

/// A run of digits at least this long is left out of problem texts: card numbers have 12 to 19.
const DIGITS_HIDDEN_MIN: usize = 9;

/// A struct that is read from a JSON object only. (By itself serde also reads one from an array, field by field.)
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
    }
}

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

/// `text`, bounded, with every long run of digits replaced.
pub(super) fn hide_digits(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for character in text.chars().take(PROBLEM_CHARS_MAX).chain([' ']) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        out.push_str(if digits.len() < DIGITS_HIDDEN_MIN { &digits } else { "[digits]" });
        digits.clear();
        out.push(character);
    }
    out.pop();
    out
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
    fn an_object_is_not_read_from_an_array() {
        assert!(read::<Inner>(b"[7]", "").is_ok());
        assert!(read::<Object<Inner>>(b"[7]", "").is_err());
        assert_eq!(read::<Object<Inner>>(br#"{"amount": 7}"#, "").unwrap().0.amount, 7);
    }

    #[test]
    fn problem_texts_are_bounded_even_when_all_digits() {
        assert_eq!(hide_digits(&"4".repeat(10_000)), "[digits]");
        assert_eq!(hide_digits(&"é".repeat(10_000)).chars().count(), PROBLEM_CHARS_MAX);
        assert_eq!(hide_digits("at line 12345678 column 9"), "at line 12345678 column 9");
    }
}
