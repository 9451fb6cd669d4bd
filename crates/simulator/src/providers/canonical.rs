//! The merchant's own checkout: canonical facts, signed by the Standard Webhooks scheme.
//!
//! The schema is ours (`docs/providers/canonical.md`); the scheme is standardwebhooks.com, 1.0.0: HMAC-SHA256 over
//! `{id}.{timestamp}.{body}`. An authorization that is captured at once is posted as an array of two facts.

use payments::signature::{HmacKey, SHA256_BYTES, encode_base64};
use payments::{Kind, Money, Outcome, PaymentEvent, ThreeDs, UnixMillis};

use super::refusal::Refusal;
use super::template::{Value, fill};
use super::{Header, SimulatedSource, Webhook, card_fact};
use crate::world::{Answer, Authentication, DeclineReason, EXPERIMENT, Payment};

pub(super) const EXPECTED_SECRET: &str =
    "it is `whsec_` and base64 (with `whpk_`, a public key, nothing can be signed)";

pub(super) fn key(secret: &str) -> Option<HmacKey> {
    let secret = secret.trim();
    let is_public = secret.starts_with("whpk_");
    (!is_public).then(|| HmacKey::from_base64(secret.strip_prefix("whsec_").unwrap_or(secret))).flatten()
}

pub(super) fn preamble(event_id: &str, now: UnixMillis) -> String {
    format!("{}.{}.", message_id(event_id), now.seconds())
}

pub(super) fn headers(event_id: &str, now: UnixMillis, signature: &[u8; SHA256_BYTES]) -> Vec<Header> {
    vec![
        ("webhook-id", message_id(event_id)),
        ("webhook-timestamp", now.seconds().to_string()),
        ("webhook-signature", format!("v1,{}", encode_base64(signature))),
    ]
}

fn message_id(event_id: &str) -> String {
    format!("msg_{event_id}")
}

pub(super) fn webhooks(source: &SimulatedSource, payment: &Payment) -> Vec<Webhook> {
    let story = Story { source, payment };
    let answer = story.answer();
    if payment.answer != Answer::Approved {
        return vec![webhook(vec![answer])];
    }
    let captured = payment.captured_at();
    let capture = story.movement('C', Kind::Capture, Outcome::Succeeded, captured, payment.money);
    let mut told = if payment.later.captured_after.is_some() {
        vec![webhook(vec![answer]), webhook(vec![capture])]
    } else {
        vec![webhook(vec![answer, capture])]
    };
    if let Some((after, percent)) = payment.later.refund {
        let (at, refunded) = (captured.plus(after), payment.share_of_amount(percent));
        told.push(webhook(vec![story.movement('R', Kind::Refund, Outcome::Succeeded, at, refunded)]));
    }
    if let Some((after, won)) = payment.later.dispute {
        let opened = captured.plus(after);
        let end = if won { Outcome::Won } else { Outcome::Lost };
        told.push(webhook(vec![story.movement('D', Kind::Dispute, Outcome::Opened, opened, payment.money)]));
        told.push(webhook(vec![story.movement('E', Kind::Dispute, end, opened.plus(after), payment.money)]));
    }
    told
}

/// A fact and its JSON.
type Told = (PaymentEvent, String);

fn webhook(told: Vec<Told>) -> Webhook {
    let (facts, documents): (Vec<PaymentEvent>, Vec<String>) = told.into_iter().unzip();
    let first = facts.first();
    let event_id = first.map(|fact| fact.event_id.clone()).unwrap_or_default();
    let occurred_at = first.map(|fact| fact.occurred_at).unwrap_or_default();
    let body = match documents.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    Webhook { event_id, occurred_at, body: body.into_bytes(), facts, item: None }
}

struct Story<'a> {
    source: &'a SimulatedSource,
    payment: &'a Payment,
}

impl Story<'_> {
    fn answer(&self) -> Told {
        let payment = self.payment;
        let refused = match payment.answer {
            Answer::Approved => None,
            Answer::Refused(reason) => Some(refusal(reason)),
        };
        let outcome = refused.map_or(Outcome::Approved, Refusal::outcome);
        let mut fact = card_fact(self.source, payment, Kind::Authorization, outcome);
        self.identify(&mut fact, 'A');
        payment.bin().clone_into(&mut fact.bin);
        payment.card.issuer.name.clone_into(&mut fact.issuer);
        fact.decline = refused.map(Refusal::decline);
        fact.three_ds = payment.three_ds.map_or(ThreeDs::NotPerformed, Authentication::as_told);
        (if payment.address_matches { "pass" } else { "fail" }).clone_into(&mut fact.avs);
        let wrong_cvc = refused.is_some_and(|refusal| refusal.code == "incorrect_cvc");
        (if wrong_cvc { "fail" } else { "pass" }).clone_into(&mut fact.cvc);
        fact.risk_score = Some(f32::from(payment.risk_score));
        fact.latency_ms = Some(payment.answer_ms);
        EXPERIMENT.clone_into(&mut fact.experiment);
        payment.variant.clone_into(&mut fact.variant);
        let document = self.document(&fact);
        (fact, document)
    }

    fn movement(&self, letter: char, kind: Kind, outcome: Outcome, at: UnixMillis, money: Money) -> Told {
        let mut fact = PaymentEvent::new("", 0, kind, outcome, at);
        fact.account.clone_from(&self.source.settings.account);
        fact.live = self.source.settings.live.unwrap_or(true);
        fact.money = Some(money);
        self.identify(&mut fact, letter);
        let document = fill(include_str!("canonical/movement.json"), &shared_values(&fact));
        (fact, document)
    }

    fn identify(&self, fact: &mut PaymentEvent, letter: char) {
        let token = self.payment.token;
        fact.event_id = format!("{token}-{letter}");
        fact.payment_id = format!("shop-{token}");
        fact.attempt_id = format!("shop-{token}-1");
        fact.order_id = self.payment.order_id();
        fact.live = self.source.settings.live.unwrap_or(true);
    }

    fn document(&self, fact: &PaymentEvent) -> String {
        let decline = fact.decline.as_ref();
        let network_code =
            decline.map(|decline| decline.network_code.as_str()).filter(|code| !code.is_empty());
        let mut values = shared_values(fact);
        values.extend([
            ("wallet", Value::text_or_null(self.payment.wallet)),
            ("network", fact.network.as_str().into()),
            ("funding", fact.funding.as_str().into()),
            ("bin", fact.bin.as_str().into()),
            ("last4", fact.last4.as_str().into()),
            ("issuer", fact.issuer.as_str().into()),
            ("country", fact.issuer_country.as_str().into()),
            ("decline_code", Value::text_or_null(decline.map(|decline| decline.code.as_str()))),
            ("decline_category", Value::text_or_null(decline.map(|decline| decline.category.name()))),
            ("network_code", Value::text_or_null(network_code)),
            ("retry", Value::text_or_null(decline.map(|decline| decline.retry.name()))),
            ("three_ds", fact.three_ds.name().into()),
            ("avs", fact.avs.as_str().into()),
            ("cvc", fact.cvc.as_str().into()),
            ("risk_score", i64::from(self.payment.risk_score).into()),
            ("latency_ms", i64::from(self.payment.answer_ms).into()),
            ("experiment", EXPERIMENT.into()),
            ("variant", self.payment.variant.into()),
        ]);
        fill(include_str!("canonical/fact.json"), &values)
    }
}

fn shared_values(fact: &PaymentEvent) -> Vec<(&'static str, Value<'_>)> {
    let money = fact.money;
    vec![
        ("kind", fact.kind.name().into()),
        ("outcome", fact.outcome.name().into()),
        ("occurred_at", fact.occurred_at.to_string().into()),
        ("amount", money.map_or(0, |money| money.amount_minor).into()),
        ("currency", money.map_or(String::new(), |money| money.currency.to_string()).into()),
        ("order_id", fact.order_id.as_str().into()),
        ("payment_id", fact.payment_id.as_str().into()),
        ("attempt_id", fact.attempt_id.as_str().into()),
        ("event_id", fact.event_id.as_str().into()),
    ]
}

/// The checkout's own words: our categories' names, and the network's code beside them.
fn refusal(reason: DeclineReason) -> Refusal {
    use payments::DeclineCategory as Category;
    use payments::Retry::{Hard, Soft, SoftFix};
    let row = Refusal::new;
    match reason {
        DeclineReason::InsufficientFunds => {
            row("insufficient_funds", "51", Category::InsufficientFunds, Soft)
        }
        DeclineReason::DoNotHonor => row("do_not_honor", "05", Category::DoNotHonor, Soft),
        DeclineReason::ExpiredCard => row("expired_card", "54", Category::ExpiredCard, Hard),
        DeclineReason::InvalidNumber => row("invalid_number", "14", Category::InvalidCardData, SoftFix),
        DeclineReason::IncorrectCvc => row("incorrect_cvc", "N7", Category::IncorrectCvc, SoftFix),
        DeclineReason::StolenCard => row("stolen_card", "43", Category::LostOrStolen, Hard),
        DeclineReason::SuspectedFraud => row("suspected_fraud", "59", Category::SuspectedFraud, Hard),
        DeclineReason::LimitExceeded => row("limit_exceeded", "65", Category::LimitExceeded, Soft),
        DeclineReason::NotPermitted => row("not_permitted", "57", Category::NotPermitted, Hard),
        DeclineReason::AuthenticationRequired => {
            row("authentication_required", "1A", Category::AuthenticationRequired, SoftFix)
        }
        DeclineReason::AuthenticationFailed => {
            row("authentication_failed", "", Category::AuthenticationFailed, SoftFix)
        }
        DeclineReason::RiskBlocked => row("risk_blocked", "", Category::RiskBlocked, Hard),
        DeclineReason::IssuerUnavailable => {
            row("issuer_unavailable", "91", Category::IssuerUnavailable, Soft)
        }
        DeclineReason::ProviderTimeout => row("gateway_timeout", "", Category::ProcessorError, Soft),
    }
}
