//! Adyen. Two families of webhooks share the name:
//!
//! - **standard webhooks** (payments, disputes): a batch of items, each signed by a field inside the body;
//! - **platform webhooks** (transfers, reports, tokens): one event, signed by the `HmacSignature` header.
//!
//! A standard item's signature covers its references, amount, event code and success. It does **not** cover
//! `eventDate`, `reason`, `live`, `paymentMethod` and `additionalData`: whoever has seen one genuine item can post it
//! again with other card, decline, fraud and 3-D Secure details. The operator's page says what to do about it.
//!
//! Adyen sends one AUTHORISATION per attempt, so that event alone answers; everything else is another kind of fact.

mod event_codes;
mod instrument;
mod item;
mod platform;
mod refusal_reasons;
mod signature;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use self::item::Item;
pub(super) use self::refusal_reasons::has_reason;
use self::signature::Amount;
pub(super) use self::signature::{Keys, verify};
use super::loose::{self, BadValue, Text};
use super::object::Object;
use super::{EVENTS_MAX, ParkReason, SourceSettings, json};
use crate::money::{Currency, Money};
use crate::{Envelope, PaymentEvent};

pub(super) const MAPPER_VERSION: u16 = 2;

/// Once mandatory, harmless today: the status code decides.
pub(super) const ACKNOWLEDGEMENT: &str = "[accepted]";

/// A body of either family.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow, default)]
    live: Text<'a>,
    #[serde(borrow)]
    notification_items: Option<Batch<Wrapped<Item<'a>>>>,
    #[serde(borrow, default, rename = "type")]
    event_type: Text<'a>,
    #[serde(borrow, default)]
    environment: Text<'a>,
    #[serde(borrow, default)]
    timestamp: Text<'a>,
    #[serde(borrow, default)]
    created_at: Text<'a>,
    #[serde(borrow, default)]
    event_id: Text<'a>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// One element of `notificationItems`.
#[derive(serde::Deserialize)]
struct Wrapped<T> {
    #[serde(rename = "NotificationRequestItem")]
    item: Object<T>,
}

/// An array of which no more than [`EVENTS_MAX`] elements are kept, and all are counted.
struct Batch<T> {
    kept: Vec<T>,
    count: usize,
}

/// Turns a verified body into facts: one for each item, or the one of a platform event.
pub(super) fn normalize(
    envelope: &Envelope,
    settings: &SourceSettings,
) -> Result<Vec<PaymentEvent>, ParkReason> {
    let Object(body): Object<Body<'_>> = json::read(&envelope.body, "")?;
    let Some(batch) = &body.notification_items else {
        return Ok(vec![platform::event(&body, envelope, settings)?]);
    };
    if batch.count > EVENTS_MAX {
        return Err(ParkReason::TooManyEvents { count: batch.count, max: EVENTS_MAX });
    }
    let live = is_live(&body.live, "true", settings);
    let events = batch.kept.iter().enumerate().map(|(index, wrapped)| {
        let event = item::event(&wrapped.item.0, live, settings, envelope.received_at);
        event.map_err(|bad| bad.under(&format!("/notificationItems/{index}/NotificationRequestItem")))
    });
    Ok(newest_of_each(events.collect::<Result<_, _>>()?))
}

fn is_live(told: &str, live: &str, settings: &SourceSettings) -> bool {
    if told.is_empty() { settings.live.unwrap_or(true) } else { told.eq_ignore_ascii_case(live) }
}

/// A later item about the same thing may carry newer data, so of two in one batch the one with the larger `eventDate`
/// stands; each event id is left once.
fn newest_of_each(events: Vec<PaymentEvent>) -> Vec<PaymentEvent> {
    let mut kept: Vec<PaymentEvent> = Vec::with_capacity(events.len());
    let mut place_of: HashMap<String, usize> = HashMap::new();
    for event in events {
        match place_of.get(&event.event_id).and_then(|place| kept.get_mut(*place)) {
            Some(older) if event.occurred_at > older.occurred_at => *older = event,
            Some(_) => {}
            None => {
                place_of.insert(event.event_id.clone(), kept.len());
                kept.push(event);
            }
        }
    }
    kept
}

/// A field `amount` as money.
fn money(amount: &Amount<'_>) -> Result<Option<Money>, BadValue> {
    loose::money(&amount.value, &amount.currency, exponent).map_err(|bad| BadValue {
        pointer: if bad.pointer == "/amount" { "/amount/value" } else { "/amount/currency" },
        ..bad
    })
}

/// Decimal places of Adyen's minor units: ISO 4217 but for four currencies (docs.adyen.com, "Currency codes and minor
/// units"; IDR and ISK after Adyen integrations that are in use).
fn exponent(currency: Currency) -> u32 {
    match currency.as_str() {
        "CLP" | "ISK" => 2,
        "CVE" | "IDR" => 0,
        _ => currency.exponent(),
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Batch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BatchVisitor(PhantomData))
    }
}

struct BatchVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for BatchVisitor<T> {
    type Value = Batch<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < EVENTS_MAX {
            match items.next_element()? {
                Some(item) => kept.push(item),
                None => return Ok(Batch { count: kept.len(), kept }),
            }
        }
        let mut count = kept.len();
        while items.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Batch { kept, count })
    }
}
