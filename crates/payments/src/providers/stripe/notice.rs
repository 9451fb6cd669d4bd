//! What every fact of one webhook shares: its identity, time, account and mode.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire::{Event, Previous};
use crate::providers::loose::{self, Pairs, Text, first};
use crate::providers::{card, json};
use crate::{Currency, Kind, Money, Outcome, ParkReason, PaymentEvent, SourceSettings, UnixMillis};

/// Metadata key of the merchant's own reference, as Stripe's documentation uses it in its examples.
const ORDER_ID_KEY: &str = "order_id";

/// A webhook whose frame (`id`, `type`, `created`) has been checked.
pub(super) struct Notice<'a> {
    event: Event<'a>,
    created: UnixMillis,
    settings: &'a SourceSettings,
}

impl<'a> Notice<'a> {
    pub(super) fn new(event: Event<'a>, settings: &'a SourceSettings) -> Result<Self, ParkReason> {
        let missing = |pointer: &str| ParkReason::BadField {
            pointer: pointer.to_owned(),
            problem: "is missing".to_owned(),
        };
        if event.id.is_empty() {
            return Err(missing("/id"));
        }
        if event.kind.is_empty() {
            return Err(missing("/type"));
        }
        let created = event.created.ok_or_else(|| missing("/created"))?.0;
        Ok(Self { event, created, settings })
    }

    /// `charge.failed`, ….
    pub(super) fn kind(&self) -> &str {
        &self.event.kind
    }

    pub(super) fn id(&self) -> &str {
        &self.event.id
    }

    /// A v2 "thin" event, which carries no object.
    pub(super) fn is_thin(&self) -> bool {
        self.event.object.as_str() == "v2.core.event"
    }

    /// Id of the object a thin event is about.
    pub(super) fn related_object(&self) -> &str {
        self.event.related_object.as_ref().map_or("", |object| &object.id)
    }

    /// `/data/object` as a `T`.
    pub(super) fn object<T: Deserialize<'a>>(&self) -> Result<T, ParkReason> {
        let object = self.event.data.as_ref().and_then(|data| data.object);
        let object = object.ok_or_else(|| ParkReason::BadField {
            pointer: "/data/object".to_owned(),
            problem: "is missing".to_owned(),
        })?;
        json::read(object.get().as_bytes(), "/data/object")
    }

    /// What an update changed; `None` where the event does not say.
    pub(super) fn previous(&self) -> Result<Option<Previous<'a>>, ParkReason> {
        let previous = self.event.data.as_ref().and_then(|data| data.previous_attributes);
        let tells =
            |raw: &&RawValue| !raw.get().bytes().filter(|byte| !byte.is_ascii_whitespace()).eq(*b"{}");
        previous
            .filter(tells)
            .map(|raw| json::read(raw.get().as_bytes(), "/data/previous_attributes"))
            .transpose()
    }

    /// Fact `index` of this webhook, nothing but its frame filled in.
    pub(super) fn fact(&self, index: u16, kind: Kind, outcome: Outcome) -> PaymentEvent {
        let mut fact = PaymentEvent::new(self.id(), index, kind, outcome, self.created);
        let accounts = [&*self.event.account, &self.event.context, &self.settings.account];
        first(&accounts).clone_into(&mut fact.account);
        fact.live = self.event.livemode.or(self.settings.live).unwrap_or(true);
        fact
    }

    /// Fills what the merchant wrote into an object's metadata.
    pub(super) fn fill_metadata(&self, fact: &mut PaymentEvent, metadata: &Pairs<'_>) {
        let under = |key: &Option<String>| {
            key.as_deref().map_or_else(String::new, |key| card::merchant_text(metadata.get(key)))
        };
        fact.order_id = card::merchant_text(metadata.get(ORDER_ID_KEY));
        fact.experiment = under(&self.settings.experiment_key);
        fact.variant = under(&self.settings.variant_key);
    }
}

/// `amount` of `currency` in ISO 4217 minor units; `None` where no amount is told.
pub(super) fn money(amount: &Text<'_>, currency: &Text<'_>) -> Result<Option<Money>, ParkReason> {
    loose::money(amount, currency, exponent).map_err(|bad| bad.under("/data/object"))
}

/// In which decimals Stripe counts: ISO's, but for ISK and UGX, counted in hundredths although they have no minor
/// unit (ISK: support.stripe.com, "Deprecation of fractional ISK charges and refunds"; UGX: unconfirmed), and MGA,
/// counted whole although ISO gives it two decimals (docs.stripe.com/currencies).
fn exponent(currency: Currency) -> u32 {
    match currency.as_str() {
        "ISK" | "UGX" => 2,
        "MGA" => 0,
        _ => currency.exponent(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_in_iso_minor_units() {
        let shown = |amount: &str, currency: &str| {
            let currency = format!("\"{currency}\"");
            let read = |json| serde_json::from_str::<Text<'_>>(json).unwrap();
            money(&read(amount), &read(&currency)).unwrap().unwrap().to_string()
        };
        assert_eq!(shown("1099", "usd"), "10.99 USD");
        assert_eq!(shown("500", "jpy"), "500 JPY");
        assert_eq!(shown("5120", "kwd"), "5.120 KWD");
        assert_eq!(shown("500", "isk"), "5 ISK");
        assert_eq!(shown("500", "mga"), "500.00 MGA");
    }
}
