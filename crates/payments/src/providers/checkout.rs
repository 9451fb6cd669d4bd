//! Checkout.com: one event per request, signed over the raw body with a key that is used as text.
//!
//! The event type is the status; there is no status field. One attempt is answered by exactly one `payment_approved` or
//! `payment_declined`: captures, 3-D Secure and card verifications are other kinds of facts.

mod event_types;
mod notification;
mod response_codes;
#[cfg(test)]
mod tests;

use serde::de::IgnoredAny;

use self::notification::{Data, Notification};
pub(super) use self::response_codes::has_code;
use super::loose::{self, first, required};
use super::{ParkReason, Provider, Rejection, Request, SecretError, SourceSettings, card, json};
use crate::decline::{Decline, DeclineCategory, Retry};
use crate::event::{Kind, Outcome};
use crate::money::Currency;
use crate::secret::Secret;
use crate::signature::{HmacKey, decode_hex};
use crate::{Envelope, PaymentEvent, network_codes};

pub(super) const MAPPER_VERSION: u16 = 2;

const HEADER: &str = "cko-signature";

/// The endpoint's signature keys; during a rotation, the old and the new one.
#[derive(Debug)]
pub(super) struct Keys(Vec<HmacKey>);

impl Keys {
    /// The key is the text itself: neither hexadecimal nor base64, even if it looks like it.
    pub(super) fn new(secrets: &[Secret]) -> Result<Self, SecretError> {
        let keys = secrets.iter().enumerate().map(|(index, secret)| match secret.expose() {
            "" => Err(SecretError {
                index,
                provider: Provider::Checkout,
                expected: "the signature key of the workflow's webhook action, as it stands; it is empty",
            }),
            key => Ok(HmacKey::new(key.as_bytes())),
        });
        Ok(Self(keys.collect::<Result<_, _>>()?))
    }
}

/// Verifies `Cko-Signature`, the hexadecimal HMAC-SHA256 of the raw body.
///
/// Checkout.com can also send a fixed `Authorization` header. It is not configured in this version; a second check
/// would stand here, after the signature.
pub(super) fn verify(keys: &Keys, request: Request<'_>) -> Result<usize, Rejection> {
    let header = request.headers.get(HEADER).ok_or(Rejection::MissingSignature)?;
    let signature = decode_hex(header.as_bytes()).ok_or(Rejection::MalformedSignature)?;
    let matching = keys.0.iter().position(|key| key.verifies(&[request.body], &signature));
    matching.ok_or(Rejection::WrongSignature)
}

/// Turns a verified event into its one fact.
pub(super) fn normalize(
    envelope: &Envelope,
    settings: &SourceSettings,
) -> Result<Vec<PaymentEvent>, ParkReason> {
    let read = json::read::<Notification<'_, Data<'_>>>(&envelope.body, "");
    let event = match read {
        Ok(notification) => {
            let mut event = head(&notification, settings)?;
            match &notification.data {
                Some(data) => write_data(&mut event, &notification.event_type, data, settings)?,
                None if event.kind == Kind::Other => {}
                // A type that means something says it about nothing.
                None => {
                    let (pointer, problem) = ("/data".to_owned(), "is missing".to_owned());
                    return Err(ParkReason::BadField { pointer, problem });
                }
            }
            event
        }
        Err(reason) => unmapped(envelope, settings, reason)?,
    };
    Ok(vec![event])
}

/// There are more than a hundred types; those that are not mapped may hold data of any shape.
fn unmapped(
    envelope: &Envelope,
    settings: &SourceSettings,
    reason: ParkReason,
) -> Result<PaymentEvent, ParkReason> {
    match json::read::<Notification<'_, IgnoredAny>>(&envelope.body, "") {
        Ok(notification) if event_types::meaning(&notification.event_type).is_none() => {
            head(&notification, settings)
        }
        _ => Err(reason),
    }
}

/// The fact, as far as it does not depend on the data.
fn head<D: notification::BusinessTime>(
    notification: &Notification<'_, D>,
    settings: &SourceSettings,
) -> Result<PaymentEvent, ParkReason> {
    let id = required(&notification.id, "/id").map_err(|bad| bad.under(""))?;
    let event_type = required(&notification.event_type, "/type").map_err(|bad| bad.under(""))?;
    let (text, pointer) = notification.occurred_at();
    let occurred_at = loose::time(text, pointer).map_err(|bad| bad.under(""))?;
    let (kind, outcome) = event_types::meaning(event_type).unwrap_or((Kind::Other, Outcome::Updated));
    let mut event = PaymentEvent::new(id, 0, kind, outcome, occurred_at);
    event.account.clone_from(&settings.account);
    event.live = notification.is_live().or(settings.live).unwrap_or(true);
    Ok(event)
}

fn write_data(
    event: &mut PaymentEvent,
    event_type: &str,
    data: &Data<'_>,
    settings: &SourceSettings,
) -> Result<(), ParkReason> {
    let told = [&*data.entity_id, data.report_entity(), &data.client_id, &data.processing_channel_id];
    first(&[first(&told), &settings.account]).clone_into(&mut event.account);
    if data.is_payout() && matches!(event.kind, Kind::Authorization | Kind::Payment) {
        event.kind = Kind::Payout;
    }
    data.payment_id().clone_into(&mut event.payment_id);
    data.attempt_id(event_type).clone_into(&mut event.attempt_id);
    event.order_id = card::merchant_text(first(&[&data.payment_reference, &data.reference]));
    event.money = match loose::money(&data.amount, &data.currency, exponent) {
        Err(bad) if event_types::meaning(event_type).is_some() => return Err(bad.under("/data")),
        money => money.unwrap_or_default(),
    };
    data.write_instrument(event);
    event.risk_score = data.risk.as_ref().and_then(|risk| card::score(&risk.score));
    let metadata =
        |key: &Option<String>| key.as_deref().map(|key| card::merchant_text(data.metadata.get(key)));
    event.experiment = metadata(&settings.experiment_key).unwrap_or_default();
    event.variant = metadata(&settings.variant_key).unwrap_or_default();
    if event.kind == Kind::Authentication {
        // `response_code` is a transStatus letter here, no decline code.
        event.three_ds = card::trans_status(&data.response_code).unwrap_or(event.three_ds);
        event.decline = (event.outcome == Outcome::Failed).then(|| authentication_decline(data));
    } else if event.kind != Kind::Dispute && matches!(event.outcome, Outcome::Declined | Outcome::Failed) {
        let decline = decline(data, &event.network);
        if event.outcome == Outcome::Declined {
            event.outcome = card::refused(decline.category);
        }
        event.decline = Some(decline);
    }
    Ok(())
}

fn authentication_decline(data: &Data<'_>) -> Decline {
    Decline {
        code: card::label(&data.reason),
        category: DeclineCategory::AuthenticationFailed,
        network_code: String::new(),
        retry: Retry::SoftFix,
    }
}

/// By Checkout.com's own code; by the network's raw code (unconfirmed in webhooks) where ours does not know theirs.
fn decline(data: &Data<'_>, network: &str) -> Decline {
    let raw = data.network_code();
    let answer = response_codes::look_up(&data.response_code)
        .or_else(|| network_codes::look_up(network, raw))
        .unwrap_or((DeclineCategory::Unknown, Retry::Unknown));
    let (category, retry) = network_codes::merchant_advice(network, data.merchant_advice(), answer);
    Decline { code: card::label(&data.response_code), category, network_code: card::label(raw), retry }
}

/// Decimal places of Checkout.com's minor units: ISO 4217 but for the Chilean peso, which is counted in hundredths
/// (checkout.com/docs, "Format the amount value").
fn exponent(currency: Currency) -> u32 {
    if currency.as_str() == "CLP" { 2 } else { currency.exponent() }
}
