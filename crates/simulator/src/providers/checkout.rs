//! Checkout.com: one event per step, its type is its status, signed in `Cko-Signature` over the body alone.
//!
//! Sources: checkout.com/docs, "Webhook event types" and "Validate your webhooks". How a webhook tells a wallet is
//! unconfirmed, so none is told. Ids stand last in every object, for the reason given in `stripe.rs`.

mod refusals;

use std::time::Duration;

use payments::signature::{HmacKey, SHA256_BYTES, encode_hex};
use payments::{Kind, Money, Outcome, PaymentEvent, ThreeDs, UnixMillis};

use self::refusals::refusal;
use super::template::{Value, fill};
use super::{Header, SimulatedSource, Webhook, card_fact, experiment, fill_experiment};
use crate::world::{Answer, Authentication, Network, Payment};

pub(super) const EXPECTED_SECRET: &str = "it is the signature key of the workflow's webhook action";

const API: &str = "https://api.checkout.com";

/// The key is the text itself.
pub(super) fn key(secret: &str) -> Option<HmacKey> {
    (!secret.is_empty()).then(|| HmacKey::new(secret.as_bytes()))
}

pub(super) fn headers(signature: &[u8; SHA256_BYTES]) -> Vec<Header> {
    vec![("cko-signature", encode_hex(signature))]
}

pub(super) fn webhooks(source: &SimulatedSource, payment: &Payment) -> Vec<Webhook> {
    let story = Story { source, payment };
    let mut told = vec![story.answer()];
    if payment.answer != Answer::Approved {
        return told;
    }
    let captured = payment.captured_at();
    told.push(story.action("payment_captured", 'b', captured, payment.money, Kind::Capture));
    if let Some((after, percent)) = payment.later.refund {
        let refunded = payment.share_of_amount(percent);
        told.push(story.action("payment_refunded", 'r', captured.plus(after), refunded, Kind::Refund));
    }
    if let Some((after, won)) = payment.later.dispute {
        let opened = captured.plus(after);
        told.push(story.dispute("dispute_received", 'd', opened, Outcome::Opened));
        let (kind, outcome) =
            if won { ("dispute_won", Outcome::Won) } else { ("dispute_lost", Outcome::Lost) };
        told.push(story.dispute(kind, 'e', opened.plus(after), outcome));
    }
    told
}

struct Story<'a> {
    source: &'a SimulatedSource,
    payment: &'a Payment,
}

impl Story<'_> {
    fn answer(&self) -> Webhook {
        let payment = self.payment;
        let at = payment.answered_at();
        let refused = match payment.answer {
            Answer::Approved => None,
            Answer::Refused(reason) => Some(refusal(reason)),
        };
        let (code, summary) =
            refused.map_or(("10000", "Approved"), |(refusal, summary)| (refusal.code, summary));
        let kind = if refused.is_some() { "payment_declined" } else { "payment_approved" };
        let outcome = refused.map_or(Outcome::Approved, |(refusal, _)| refusal.outcome());
        let wrong_cvc = code == "200N7";
        let card = &payment.card;
        let mut values = self.values('a', kind, at, payment.money);
        values.extend([
            ("auth_code", format!("{:06}", payment.index % 1_000_000).into()),
            ("processed_on", at.to_string().into()),
            ("response_code", code.into()),
            ("response_summary", summary.into()),
            ("risk_score", i64::from(payment.risk_score).into()),
            ("three_ds", self.three_ds()),
            ("scheme_id", self.id("", 's').into()),
            ("country", card.issuer.market.country.into()),
            ("expiry_month", i64::from(card.expiry_month).into()),
            ("expiry_year", i64::from(card.expiry_year).into()),
            ("last4", card.last4.as_str().into()),
            ("bin", self.bin().into()),
            ("card_type", card.funding.to_ascii_uppercase().into()),
            ("issuer", card.issuer.name.into()),
            ("avs_check", self.avs().into()),
            ("cvv_check", (if wrong_cvc { "N" } else { "Y" }).into()),
            ("authorized", (if refused.is_none() { payment.money.amount_minor } else { 0 }).into()),
        ]);
        let mut fact = card_fact(self.source, payment, Kind::Authorization, outcome);
        fact.wallet.clear();
        fact.attempt_id = self.id("act_", 'a');
        self.bin().clone_into(&mut fact.bin);
        card.issuer.name.clone_into(&mut fact.issuer);
        fact.decline = refused.map(|(refusal, _)| refusal.decline());
        fact.three_ds = payment.three_ds.map_or(ThreeDs::NotTold, Authentication::as_told);
        fact.avs = self.avs().to_ascii_lowercase();
        (if wrong_cvc { "n" } else { "y" }).clone_into(&mut fact.cvc);
        fact.risk_score = Some(f32::from(payment.risk_score));
        fill_experiment(&mut fact, self.source, payment);
        self.event('a', at, &fill(include_str!("checkout/payment.json"), &values), fact)
    }

    /// A capture or refund: it tells nothing of the card, and does not name the attempt.
    fn action(&self, kind: &str, letter: char, at: UnixMillis, money: Money, about: Kind) -> Webhook {
        let authorized = self.payment.money.amount_minor;
        let refunded = if about == Kind::Refund { money.amount_minor } else { 0 };
        let mut values = self.values(letter, kind, at, money);
        values.extend([
            ("authorized", authorized.into()),
            ("refunded", refunded.into()),
            ("refundable", (authorized - refunded).into()),
        ]);
        let mut fact = self.bare_fact(about, Outcome::Succeeded);
        fact.money = Some(money);
        fill_experiment(&mut fact, self.source, self.payment);
        self.event(letter, at, &fill(include_str!("checkout/action.json"), &values), fact)
    }

    fn dispute(&self, kind: &str, letter: char, at: UnixMillis, outcome: Outcome) -> Webhook {
        let mut values = self.values(letter, kind, at, self.payment.money);
        // The payment's action, not the dispute's.
        values.retain(|(name, _)| *name != "action_id");
        values.extend([
            ("action_id", self.id("act_", 'a').into()),
            ("scheme", self.scheme().into()),
            ("due_by", at.plus(Duration::from_hours(14 * 24)).to_string().into()),
            ("dispute_id", self.id("dsp_", 'd').into()),
        ]);
        let mut fact = self.bare_fact(Kind::Dispute, outcome);
        fact.attempt_id = self.id("act_", 'a');
        fact.money = Some(self.payment.money);
        self.payment.card.network.name().clone_into(&mut fact.network);
        self.event(letter, at, &fill(include_str!("checkout/dispute.json"), &values), fact)
    }

    /// What every event shares.
    fn values(
        &self,
        letter: char,
        kind: &str,
        at: UnixMillis,
        money: Money,
    ) -> Vec<(&'static str, Value<'_>)> {
        let (payment_id, event_id) = (self.id("pay_", 'p'), self.id("evt_", letter));
        let payment_link = format!("{API}/payments/{payment_id}");
        let mut values = vec![
            ("type", kind.to_owned().into()),
            ("created_on", at.to_string().into()),
            ("amount", money.amount_minor.into()),
            ("currency", money.currency.to_string().into()),
            ("scheme", self.scheme().into()),
            ("actions_link", format!("{payment_link}/actions").into()),
            ("capture_link", format!("{payment_link}/captures").into()),
            ("refund_link", format!("{payment_link}/refunds").into()),
            ("void_link", format!("{payment_link}/voids").into()),
            ("self_link", format!("{API}/workflows/events/{event_id}").into()),
            ("subject_link", format!("{API}/workflows/events/subject/{payment_id}").into()),
            ("payment_link", payment_link.into()),
            ("reference", self.payment.order_id().into()),
            ("action_id", self.id("act_", letter).into()),
            ("payment_id", payment_id.into()),
            ("event_id", event_id.into()),
        ];
        values.extend(experiment(self.source, self.payment, ""));
        values
    }

    fn event(&self, letter: char, at: UnixMillis, body: &str, mut fact: PaymentEvent) -> Webhook {
        let event_id = self.id("evt_", letter);
        fact.event_id.clone_from(&event_id);
        fact.occurred_at = at;
        fact.payment_id = self.id("pay_", 'p');
        fact.order_id = self.payment.order_id();
        Webhook { event_id, occurred_at: at, body: body.as_bytes().to_vec(), facts: vec![fact], item: None }
    }

    fn bare_fact(&self, kind: Kind, outcome: Outcome) -> PaymentEvent {
        let mut fact = PaymentEvent::new("", 0, kind, outcome, self.payment.answered_at());
        fact.account.clone_from(&self.source.settings.account);
        fact
    }

    fn three_ds(&self) -> Value<'static> {
        let (response, eci) = match self.payment.three_ds {
            None => return Value::Null,
            Some(Authentication::Authenticated) => ("Y", "05"),
            Some(Authentication::Attempted) => ("A", "06"),
            Some(Authentication::Failed) => ("N", "07"),
        };
        let values = [("response", response.into()), ("eci", eci.into())];
        Value::Json(fill(include_str!("checkout/three_ds.json"), &values).into())
    }

    fn scheme(&self) -> &'static str {
        match self.payment.card.network {
            Network::Visa => "VISA",
            Network::Mastercard => "MASTERCARD",
            Network::Amex => "AMERICAN EXPRESS",
        }
    }

    fn bin(&self) -> &str {
        let bin = self.payment.bin();
        bin.get(..6).unwrap_or(bin)
    }

    fn avs(&self) -> &'static str {
        if self.payment.address_matches { "Y" } else { "N" }
    }

    /// Lower case, as Checkout.com's are.
    fn id(&self, prefix: &str, letter: char) -> String {
        format!("{prefix}{}{letter}", self.payment.token.as_str().to_ascii_lowercase())
    }
}
