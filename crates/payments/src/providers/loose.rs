//! Scalars of loose type: the same field comes as a string from one event and as a number from the next.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::ParkReason;
use crate::money::{Currency, Money};
use crate::time::UnixMillis;

/// A scalar as text: a string as it stands, a number or boolean as JSON writes it, `null` as nothing. An object or
/// array where a scalar belongs is also nothing. Borrowed from the body wherever the string has no escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text<'a>(Cow<'a, str>);

/// An object whose keys are not known beforehand (metadata), in the order sent; a value of another type is an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pairs<'a>(Vec<(Text<'a>, Text<'a>)>);

/// A value that an event cannot do without, or that is there but cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadValue {
    /// JSON pointer below the object that was being read.
    pub(super) pointer: &'static str,
    /// What is wrong with it.
    pub(super) problem: &'static str,
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it says `true`, as a boolean or as a string: `"false"` is false.
    pub(super) fn is_true(&self) -> bool {
        self.0.eq_ignore_ascii_case("true")
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Pairs<'_> {
    /// The value of `key`, empty if it is absent; the first one if it is there twice.
    pub(super) fn get(&self, key: &str) -> &str {
        self.find(|candidate| candidate == key)
    }

    /// The value of the first key that `is_wanted`, empty if there is none.
    pub(super) fn find(&self, is_wanted: impl Fn(&str) -> bool) -> &str {
        self.0.iter().find(|(key, _)| is_wanted(key)).map_or("", |(_, value)| value)
    }
}

impl BadValue {
    /// The reason to park, for an object that sits at `prefix` in the body.
    pub(super) fn under(self, prefix: &str) -> ParkReason {
        ParkReason::BadField {
            pointer: format!("{prefix}{}", self.pointer),
            problem: self.problem.to_owned(),
        }
    }
}

/// The first of `texts` that is not empty, or an empty one.
pub(super) fn first<'a>(texts: &[&'a str]) -> &'a str {
    texts.iter().find(|text| !text.is_empty()).copied().unwrap_or("")
}

/// `text`, which an event cannot do without.
pub(super) fn required<'a>(text: &'a str, pointer: &'static str) -> Result<&'a str, BadValue> {
    if text.is_empty() { Err(BadValue { pointer, problem: "is missing" }) } else { Ok(text) }
}

/// An instant, which an event cannot do without.
pub(super) fn time(text: &str, pointer: &'static str) -> Result<UnixMillis, BadValue> {
    UnixMillis::from_rfc3339(required(text, pointer)?)
        .map_err(|_| BadValue { pointer, problem: "is not an RFC 3339 time" })
}

/// An amount that the provider counts in units of `10^-exponent` (`None` where the amount or currency is not told).
///
/// Money is kept in ISO 4217 minor units; where a provider counts a currency otherwise, the amount is converted,
/// rounding half away from zero if the provider sends fractions that the currency does not have.
pub(super) fn money(
    value: &str,
    currency: &str,
    exponent: impl Fn(Currency) -> u32,
) -> Result<Option<Money>, BadValue> {
    if value.is_empty() || currency.is_empty() {
        return Ok(None);
    }
    let amount: i64 = value
        .parse()
        .map_err(|_| BadValue { pointer: "/amount", problem: "is not a whole number of minor units" })?;
    let currency = Currency::parse(currency)
        .ok_or(BadValue { pointer: "/currency", problem: "is not an ISO 4217 code" })?;
    Ok(Some(Money::new(rescale(amount, exponent(currency), currency.exponent()), currency)))
}

fn rescale(amount: i64, from: u32, to: u32) -> i64 {
    let factor = 10_i64.pow(from.abs_diff(to).min(18));
    if to >= from {
        return amount.saturating_mul(factor);
    }
    let (quotient, remainder) = (amount / factor, amount % factor);
    quotient + if remainder.abs() >= factor / 2 { remainder.signum() } else { 0 }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(if value { "true" } else { "false" })))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Text::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text::default())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of scalars")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = entries.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Pairs::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Pairs::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Pairs::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Pairs::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Pairs::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Pairs::default())
    }

    // PHP writes an empty object as an empty array.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Pairs::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> String {
        serde_json::from_str::<Text<'_>>(json).unwrap().to_string()
    }

    #[test]
    fn every_scalar_becomes_text_and_everything_else_nothing() {
        for (json, expected) in [
            ("\"a\\\\b\"", "a\\b"),
            ("\"\"", ""),
            ("0", "0"),
            ("-7", "-7"),
            ("1130.0", "1130"),
            ("18446744073709551615", "18446744073709551615"),
            ("true", "true"),
            ("null", ""),
            ("[1,[2]]", ""),
            ("{\"a\":{}}", ""),
        ] {
            assert_eq!(text(json), expected, "{json}");
        }
    }

    #[test]
    fn strings_without_escapes_are_borrowed() {
        let text: Text<'_> = serde_json::from_str("\"plain\"").unwrap();
        assert!(matches!(text.0, Cow::Borrowed("plain")));
    }

    #[test]
    fn pairs_keep_keys_that_look_like_paths() {
        let pairs: Pairs<'_> =
            serde_json::from_str(r#"{"metadata.a.b": 7, " NAME1 ": "x", "deep": {"a": 1}}"#).unwrap();
        assert_eq!((pairs.get("metadata.a.b"), pairs.get(" NAME1 "), pairs.get("deep")), ("7", "x", ""));
        for other in ["null", "[]", "7", "-7", "1.5", "true", "\"x\""] {
            assert_eq!(serde_json::from_str::<Pairs<'_>>(other).unwrap(), Pairs::default(), "{other}");
        }
    }

    #[test]
    fn money_is_converted_to_the_currencys_own_minor_unit() {
        let read = |value, currency, exponent: u32| money(value, currency, |_| exponent).map(Option::unwrap);
        assert_eq!(read("1250", "gbp", 2).unwrap().to_string(), "12.50 GBP");
        assert_eq!(read("12300", "CLP", 2).unwrap().to_string(), "123 CLP");
        assert_eq!(read("12350", "CLP", 2).unwrap().to_string(), "124 CLP");
        assert_eq!(read("-12350", "CLP", 2).unwrap().to_string(), "-124 CLP");
        assert_eq!(read("15000", "IDR", 0).unwrap().to_string(), "15000.00 IDR");
        assert_eq!(read("9223372036854775807", "IDR", 0).unwrap().amount_minor, i64::MAX);
    }

    #[test]
    fn money_not_told_is_none_and_money_not_readable_is_an_error() {
        assert_eq!(money("", "EUR", Currency::exponent), Ok(None));
        assert_eq!(money("12", "", Currency::exponent), Ok(None));
        assert!(money("12.5", "EUR", Currency::exponent).is_err());
        assert!(money("12", "E", Currency::exponent).is_err());
    }
}
