//! Values that are JSON objects.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A `T` that must be written as a JSON object. Derived structs also read arrays, field by position: two structs that
/// read the same bytes, one to verify and one to believe, could then be made to see different values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

/// Reads an object, and a value of any other type as nothing: for a detail whose type changed, which must not park the
/// answer it stands beside. With `#[serde(default)]`, so that it may be absent too.
pub(super) fn or_nothing<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(OrNothing(PhantomData))
}

struct OrNothing<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OrNothing<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, or anything else that is ignored")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Option<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(Some)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Option<T>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Amount {
        amount: i64,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Outer {
        #[serde(default, deserialize_with = "or_nothing")]
        detail: Option<Amount>,
    }

    #[test]
    fn an_object_is_not_read_from_an_array() {
        assert!(serde_json::from_str::<Amount>("[7]").is_ok());
        assert!(serde_json::from_str::<Object<Amount>>("[7]").is_err());
        assert_eq!(serde_json::from_str::<Object<Amount>>(r#"{"amount": 7}"#).unwrap().0.amount, 7);
    }

    #[test]
    fn a_detail_of_another_type_is_nothing() {
        let detail = |json: &str| serde_json::from_str::<Outer>(json).unwrap().detail;
        assert_eq!(detail(r#"{"detail": {"amount": 7}}"#), Some(Amount { amount: 7 }));
        for other in ["null", "\"x\"", "7", "-7", "1.5", "true", "[]", "[7, [8]]"] {
            assert_eq!(detail(&format!(r#"{{"detail": {other}}}"#)), None, "{other}");
        }
        assert_eq!(detail("{}"), None);
    }
}
