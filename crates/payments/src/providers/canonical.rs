//! Canonical: the merchant's own checkout posts facts itself, for providers that send no webhook about a synchronous
//! decline, or for attempts that never reach a provider.
//!
//! The schema is documented in `docs/providers/canonical.md`, and for machines in `canonical.schema.json` beside it.

mod document;
mod signature;

use std::collections::HashMap;
use std::str::FromStr;

use strum::VariantArray;

pub(super) use self::signature::{Keys, verify};

use self::document::{Document, Word};
use super::object::Object;
use super::{EVENTS_MAX, ParkReason, SourceSettings, card_number, json};
use crate::event::{self, snake};
use crate::{
    Currency, Decline, DeclineCategory, Envelope, Kind, Money, Outcome, PaymentEvent, Retry, ThreeDs,
    UnixMillis, network_codes,
};

pub(super) const MAPPER_VERSION: u16 = 2;

/// Longest text of a field, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// Largest risk score, either side of zero.
const RISK_SCORE_MAX: f64 = 1_000_000.0;

/// The facts of one webhook: an object is one, an array as many as it has. All or none: one bad fact parks them all.
pub(super) fn normalize(
    envelope: &Envelope,
    settings: &SourceSettings,
) -> Result<Vec<PaymentEvent>, ParkReason> {
    let is_array = envelope.body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if !is_array {
        let Object(document) = json::read::<Object<Document<'_>>>(&envelope.body, "")?;
        return Ok(vec![Fields { document: &document, prefix: String::new() }.event(settings)?]);
    }
    let documents: Vec<Object<Document<'_>>> = json::read(&envelope.body, "")?;
    match documents.len() {
        0 => return Err(ParkReason::UnexpectedShape("the array is empty".to_owned())),
        count if count > EVENTS_MAX => return Err(ParkReason::TooManyEvents { count, max: EVENTS_MAX }),
        _ => {}
    }
    let mut first_uses: HashMap<&str, usize> = HashMap::with_capacity(documents.len());
    let mut events = Vec::with_capacity(documents.len());
    for (index, Object(document)) in documents.iter().enumerate() {
        let fields = Fields { document, prefix: format!("/{index}") };
        if let Some(first) = first_uses.insert(&document.event_id.0, index) {
            return Err(
                fields.bad("event_id", format!("repeats /{first}/event_id: a fact needs an id of its own"))
            );
        }
        events.push(fields.event(settings)?);
    }
    Ok(events)
}

/// One document, and where in the body it stands.
struct Fields<'a> {
    document: &'a Document<'a>,
    prefix: String,
}

impl Fields<'_> {
    fn event(&self, settings: &SourceSettings) -> Result<PaymentEvent, ParkReason> {
        let document = self.document;
        let event_id = self.identifier("event_id", Some(&document.event_id))?;
        if event_id.is_empty() {
            return Err(self.bad("event_id", "is empty"));
        }
        let kind = self.one_of::<Kind>("kind", &document.kind)?;
        let outcome = self.one_of::<Outcome>("outcome", &document.outcome)?;
        let occurred_at = UnixMillis::from_rfc3339(&document.occurred_at.0)
            .map_err(|_| self.bad("occurred_at", "is not an RFC 3339 time with an offset"))?;

        let mut event = PaymentEvent::new(event_id, 0, kind, outcome, occurred_at);
        event.account = self.identifier("account", document.account.as_ref())?;
        if event.account.is_empty() {
            event.account.clone_from(&settings.account);
        }
        event.live = document.live.or(settings.live).unwrap_or(true);
        event.payment_id = self.identifier("payment_id", document.payment_id.as_ref())?;
        event.attempt_id = self.identifier("attempt_id", document.attempt_id.as_ref())?;
        event.order_id = self.text("order_id", document.order_id.as_ref())?;
        event.experiment = self.text("experiment", document.experiment.as_ref())?;
        event.variant = self.text("variant", document.variant.as_ref())?;
        self.fill_money(&mut event)?;
        self.fill_instrument(&mut event)?;
        self.fill_checks(&mut event)?;
        event.decline = self.decline(&event)?;
        event.latency_ms = document.latency_ms;
        Ok(event)
    }

    fn fill_money(&self, event: &mut PaymentEvent) -> Result<(), ParkReason> {
        let document = self.document;
        event.money = match (document.amount_minor, told(document.currency.as_ref())) {
            (None, None) => None,
            (Some(_), None) => return Err(self.bad("amount_minor", "needs a currency beside it")),
            (None, Some(_)) => return Err(self.bad("currency", "needs an amount_minor beside it")),
            (Some(amount), Some(currency)) => {
                let code = Some(&currency.0).filter(|code| code.len() == 3);
                let currency = code
                    .and_then(|code| Currency::parse(code))
                    .ok_or_else(|| self.bad("currency", "is not three letters (ISO 4217)"))?;
                Some(Money::new(amount, currency))
            }
        };
        if document.fee_minor.is_some() && event.money.is_none() {
            return Err(self.bad("fee_minor", "needs an amount_minor and a currency beside it"));
        }
        event.fee_minor = document.fee_minor;
        Ok(())
    }

    fn fill_instrument(&self, event: &mut PaymentEvent) -> Result<(), ParkReason> {
        let document = self.document;
        event.method = snake(&self.text("method", document.method.as_ref())?);
        event.wallet = event::wallet(&self.text("wallet", document.wallet.as_ref())?);
        event.network = event::network(&self.text("network", document.network.as_ref())?);
        event.funding = self.text("funding", document.funding.as_ref())?;
        if !matches!(event.funding.as_str(), "" | "credit" | "debit" | "prepaid") {
            return Err(self.bad("funding", "is not one of credit, debit, prepaid"));
        }
        event.bin = self.digits("bin", document.bin.as_ref(), 6..=8, "is not the first 6 to 8 digits")?;
        event.last4 = self.digits("last4", document.last4.as_ref(), 4..=4, "is not the last 4 digits")?;
        event.issuer = self.text("issuer", document.issuer.as_ref())?;
        event.issuer_country =
            self.text("issuer_country", document.issuer_country.as_ref())?.to_ascii_uppercase();
        let letters = event.issuer_country.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !letters || !matches!(event.issuer_country.len(), 0 | 2) {
            return Err(self.bad("issuer_country", "is not two letters (ISO 3166-1 alpha-2)"));
        }
        Ok(())
    }

    fn fill_checks(&self, event: &mut PaymentEvent) -> Result<(), ParkReason> {
        let document = self.document;
        event.three_ds = match told(document.three_ds.as_ref()) {
            Some(word) => self.one_of("three_ds", word)?,
            None => ThreeDs::NotTold,
        };
        event.avs = self.text("avs", document.avs.as_ref())?.to_lowercase();
        event.cvc = self.text("cvc", document.cvc.as_ref())?.to_lowercase();
        event.risk_score = match document.risk_score {
            Some(score) if score.abs() > RISK_SCORE_MAX => {
                return Err(self.bad("risk_score", "is not between -1000000 and 1000000"));
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "bounded above; a score needs no more digits"
            )]
            score => score.map(|score| score as f32),
        };
        Ok(())
    }

    /// The reason of a declined or failed fact. An authorization always has one, be it `unknown`.
    fn decline(&self, event: &PaymentEvent) -> Result<Option<Decline>, ParkReason> {
        let document = self.document;
        let first_told = [
            ("decline_code", &document.decline_code),
            ("decline_category", &document.decline_category),
            ("network_code", &document.network_code),
            ("retry", &document.retry),
        ]
        .into_iter()
        .find(|(_, word)| told(word.as_ref()).is_some());
        let refused = matches!(event.outcome, Outcome::Declined | Outcome::Failed);
        match first_told {
            Some((field, _)) if !refused => {
                return Err(self.bad(field, "belongs to outcome declined or failed"));
            }
            None if !(refused && event.kind == Kind::Authorization) => return Ok(None),
            Some(_) | None => {}
        }
        let network_code = self.text("network_code", document.network_code.as_ref())?;
        let by_network = network_codes::look_up(&event.network, &network_code);
        let (category, retry) = by_network.unwrap_or((DeclineCategory::Unknown, Retry::Unknown));
        let category = match told(document.decline_category.as_ref()) {
            Some(word) => self.one_of("decline_category", word)?,
            None => category,
        };
        let retry = match told(document.retry.as_ref()) {
            Some(word) => self.one_of("retry", word)?,
            None => retry,
        };
        let code = self.text("decline_code", document.decline_code.as_ref())?;
        Ok(Some(Decline { code, category, network_code, retry }))
    }

    /// A text that describes.
    ///
    /// Invariant: no field keeps a whole card number: what looks like one is masked here and in `identifier`. Nor does a
    /// reason to park repeat one.
    fn text(&self, field: &str, word: Option<&Word<'_>>) -> Result<String, ParkReason> {
        Ok(card_number::mask(self.bounded(field, word)?.to_owned()))
    }

    /// A text that tells one thing from another: what is masked in it stays distinct.
    fn identifier(&self, field: &str, word: Option<&Word<'_>>) -> Result<String, ParkReason> {
        Ok(card_number::mask_identifier(self.bounded(field, word)?))
    }

    fn bounded<'w>(&self, field: &str, word: Option<&'w Word<'_>>) -> Result<&'w str, ParkReason> {
        let text: &str = word.map_or("", |word| &word.0);
        if text.chars().nth(TEXT_CHARS_MAX).is_some() {
            return Err(self.bad(field, format!("is longer than {TEXT_CHARS_MAX} characters")));
        }
        Ok(text)
    }

    fn digits(
        &self,
        field: &str,
        word: Option<&Word<'_>>,
        lengths: std::ops::RangeInclusive<usize>,
        problem: &str,
    ) -> Result<String, ParkReason> {
        let text = word.map_or("", |word| &word.0);
        let fits = lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if text.is_empty() || fits { Ok(text.to_owned()) } else { Err(self.bad(field, problem)) }
    }

    /// `word` as a value of a closed list, or an error that tells the whole list.
    fn one_of<T: FromStr + VariantArray + Into<&'static str> + Copy>(
        &self,
        field: &str,
        word: &Word<'_>,
    ) -> Result<T, ParkReason> {
        word.0.parse().map_err(|_| {
            let names: Vec<&str> = T::VARIANTS.iter().map(|value| (*value).into()).collect();
            let names = names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(", ");
            self.bad(field, format!("is not one of {names}"))
        })
    }

    fn bad(&self, field: &str, problem: impl Into<String>) -> ParkReason {
        ParkReason::BadField { pointer: format!("{}/{field}", self.prefix), problem: problem.into() }
    }
}

/// An empty text is a text not told.
fn told<'w, 'a>(word: Option<&'w Word<'a>>) -> Option<&'w Word<'a>> {
    word.filter(|word| !word.0.is_empty())
}

#[cfg(test)]
mod tests;
