//! Values whose JSON type differs between API versions.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::value::RawValue;

use crate::UnixMillis;
use crate::providers::loose::Text;
use crate::providers::object::Object;

/// `created`: Unix seconds in v1 events, an RFC 3339 text in v2 events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Created(pub(super) UnixMillis);

impl<'de> Deserialize<'de> for Created {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CreatedVisitor)
    }
}

struct CreatedVisitor;

impl Visitor<'_> for CreatedVisitor {
    type Value = Created;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unix seconds or an RFC 3339 time")
    }

    fn visit_i64<E>(self, seconds: i64) -> Result<Created, E> {
        Ok(Created(UnixMillis::from_seconds(seconds)))
    }

    fn visit_u64<E>(self, seconds: u64) -> Result<Created, E> {
        Ok(Created(UnixMillis::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Created, E> {
        UnixMillis::from_rfc3339(text).map(Created).map_err(E::custom)
    }
}

/// `balance_transaction`: an id in webhooks; the object, with its fee, where the sender expanded it.
#[derive(Debug, Default)]
pub(super) struct BalanceTransaction<'a> {
    pub(super) told: bool,
    pub(super) fee: Text<'a>,
    pub(super) currency: Text<'a>,
}

#[derive(Default, serde::Deserialize)]
struct Expanded<'a> {
    #[serde(borrow, default)]
    fee: Text<'a>,
    #[serde(borrow, default)]
    currency: Text<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for BalanceTransaction<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(raw) = <Option<&'de RawValue>>::deserialize(deserializer)? else {
            return Ok(Self::default());
        };
        let Object(expanded) = serde_json::from_str::<Object<Expanded<'a>>>(raw.get()).unwrap_or_default();
        Ok(Self { told: true, fee: expanded.fee, currency: expanded.currency })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn created_is_seconds_or_a_time() {
        let created = |json: &str| serde_json::from_str::<Created>(json).map(|created| created.0.0);
        assert_eq!(created("1700000000").unwrap(), 1_700_000_000_000);
        assert_eq!(created(r#""2023-11-14T22:13:20.500Z""#).unwrap(), 1_700_000_000_500);
        assert!(created(r#""yesterday""#).is_err());
        assert!(created("1e400").is_err());
    }

    #[test]
    fn a_balance_transaction_is_an_id_or_the_object_with_its_fee() {
        let read = |json| {
            let transaction: BalanceTransaction<'_> = serde_json::from_str(json).unwrap();
            (transaction.told, transaction.fee.to_string())
        };
        assert_eq!(read("null"), (false, String::new()));
        assert_eq!(read(r#""txn_1""#), (true, String::new()));
        assert_eq!(read("[59]"), (true, String::new()));
        assert_eq!(read(r#"{"id": "txn_1", "fee": 59, "currency": "usd"}"#), (true, "59".to_owned()));
    }
}
