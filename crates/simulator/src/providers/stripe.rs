//! Stripe: two webhooks about a decline, two to four about an approval, signed in `Stripe-Signature`.
//!
//! Sources: docs.stripe.com/webhooks (signature), docs.stripe.com/api (charge, payment intent, refund, dispute).
//! Stripe writes ids first; here they stand last in every object. JSON does not mind, and the load generator can hash
//! everything before them once for many events.

mod objects;
mod refusals;

use std::time::Duration;

use payments::signature::{HmacKey, SHA256_BYTES, encode_hex};
use payments::{Kind, Money, Outcome, PaymentEvent, ThreeDs, UnixMillis};

use self::objects::{ChargeState, cvc_check};
use self::refusals::refusal;
use super::refusal::Refusal;
use super::template::{Value, fill};
use super::{Header, SimulatedSource, Webhook, card_fact, fill_experiment, whole_seconds};
use crate::world::{Answer, Authentication, DeclineReason, Payment};

pub(super) const EXPECTED_SECRET: &str = "it is the endpoint's signing secret, `whsec_…`";

/// How long after a charge its balance transaction arrives.
const SETTLES_AFTER: Duration = Duration::from_secs(4);

/// The secret's text is the key, its `whsec_` included.
pub(super) fn key(secret: &str) -> Option<HmacKey> {
    (!secret.is_empty()).then(|| HmacKey::new(secret.as_bytes()))
}

pub(super) fn preamble(now: UnixMillis) -> String {
    format!("{}.", now.seconds())
}

pub(super) fn headers(now: UnixMillis, signature: &[u8; SHA256_BYTES]) -> Vec<Header> {
    vec![("stripe-signature", format!("t={},v1={}", now.seconds(), encode_hex(signature)))]
}

pub(super) fn webhooks(source: &SimulatedSource, payment: &Payment) -> Vec<Webhook> {
    let story = Story { source, payment };
    match payment.answer {
        Answer::Approved => story.approved(),
        Answer::Refused(DeclineReason::AuthenticationFailed) => vec![story.not_authenticated()],
        Answer::Refused(reason) => story.refused(refusal(reason)),
    }
}

struct Story<'a> {
    source: &'a SimulatedSource,
    payment: &'a Payment,
}

impl Story<'_> {
    fn approved(&self) -> Vec<Webhook> {
        let (answered, captured) = (self.payment.answered_at(), self.payment.captured_at());
        let at_once = self.payment.later.captured_after.is_none();
        let mut told = vec![self.charge_succeeded(answered, at_once)];
        if !at_once {
            told.push(self.charge_captured(captured));
        }
        told.push(self.intent_succeeded(captured));
        told.push(self.charge_updated(captured.plus(SETTLES_AFTER)));
        if let Some((after, percent)) = self.payment.later.refund {
            let refunded = self.payment.share_of_amount(percent);
            told.push(self.refund_created(captured.plus(after), refunded));
            told.push(self.charge_refunded(captured.plus(after), refunded));
        }
        if let Some((after, won)) = self.payment.later.dispute {
            let opened = captured.plus(after);
            told.push(self.dispute(opened, "created", "needs_response", Outcome::Opened));
            let (status, outcome) = if won { ("won", Outcome::Won) } else { ("lost", Outcome::Lost) };
            told.push(self.dispute(opened.plus(after), "closed", status, outcome));
        }
        told
    }

    fn refused(&self, refusal: Refusal) -> Vec<Webhook> {
        vec![self.charge_failed(refusal), self.intent_failed(refusal)]
    }

    fn charge_succeeded(&self, at: UnixMillis, captured: bool) -> Webhook {
        let state = ChargeState { captured, refunded: 0, settled: false };
        let body = self.charge(&state, None);
        let mut facts = vec![self.charge_fact(Kind::Authorization, Outcome::Approved)];
        if captured {
            facts.push(self.charge_fact(Kind::Capture, Outcome::Succeeded));
        }
        self.event('A', "charge.succeeded", at, &body, facts)
    }

    fn charge_captured(&self, at: UnixMillis) -> Webhook {
        let body = self.charge(&ChargeState { captured: true, refunded: 0, settled: false }, None);
        let fact = self.charge_fact(Kind::Capture, Outcome::Succeeded);
        self.event('B', "charge.captured", at, &body, vec![fact])
    }

    fn charge_updated(&self, at: UnixMillis) -> Webhook {
        let body = self.charge(&ChargeState { captured: true, refunded: 0, settled: true }, None);
        let fact = self.charge_fact(Kind::Settlement, Outcome::Updated);
        self.event('C', "charge.updated", at, &body, vec![fact])
    }

    fn charge_refunded(&self, at: UnixMillis, refunded: Money) -> Webhook {
        let refunded = refunded.amount_minor;
        let body = self.charge(&ChargeState { captured: true, refunded, settled: true }, None);
        let mut fact = self.charge_fact(Kind::Refund, Outcome::Updated);
        fact.money = None;
        self.event('D', "charge.refunded", at, &body, vec![fact])
    }

    fn charge_failed(&self, refusal: Refusal) -> Webhook {
        let at = self.payment.answered_at();
        let state = ChargeState { captured: false, refunded: 0, settled: false };
        let body = self.charge(&state, Some(refusal));
        let mut fact = self.charge_fact(Kind::Authorization, refusal.outcome());
        fact.decline = Some(refusal.decline());
        self.event('E', "charge.failed", at, &body, vec![fact])
    }

    fn intent_succeeded(&self, at: UnixMillis) -> Webhook {
        let body = self.intent("succeeded", Some(&self.charge_id()), Value::Null);
        let fact = self.intent_fact(Kind::Payment, Outcome::Succeeded, self.charge_id());
        self.event('F', "payment_intent.succeeded", at, &body, vec![fact])
    }

    fn intent_failed(&self, refusal: Refusal) -> Webhook {
        let at = self.payment.answered_at();
        let error = self.payment_error(refusal, Some(&self.charge_id()));
        let body = self.intent("requires_payment_method", Some(&self.charge_id()), Value::Json(error.into()));
        let mut fact = self.intent_fact(Kind::Payment, Outcome::Updated, self.charge_id());
        self.fill_method(&mut fact);
        self.event('G', "payment_intent.payment_failed", at, &body, vec![fact])
    }

    /// 3-D Secure failed, so there is no charge and no `charge.failed`: the intent's event is the answer.
    fn not_authenticated(&self) -> Webhook {
        let at = self.payment.answered_at();
        let refusal = refusal(DeclineReason::AuthenticationFailed);
        let error = self.payment_error(refusal, None);
        let body = self.intent("requires_payment_method", None, Value::Json(error.into()));
        let mut fact = self.intent_fact(Kind::Authorization, Outcome::Declined, self.id("evt_1", 'G'));
        self.fill_method(&mut fact);
        fact.three_ds = ThreeDs::Failed;
        fact.decline = Some(refusal.decline());
        self.event('G', "payment_intent.payment_failed", at, &body, vec![fact])
    }

    fn refund_created(&self, at: UnixMillis, refunded: Money) -> Webhook {
        let body = fill(
            include_str!("stripe/refund.json"),
            &[
                ("amount", refunded.amount_minor.into()),
                ("created", at.seconds().into()),
                ("currency", self.currency().into()),
                ("charge", self.charge_id().into()),
                ("payment_intent", self.intent_id().into()),
                ("refund", self.id("re_3", 'R').into()),
            ],
        );
        let fact = |outcome| PaymentEvent { money: Some(refunded), ..self.bare_fact(Kind::Refund, outcome) };
        self.event('H', "refund.created", at, &body, vec![fact(Outcome::Created), fact(Outcome::Succeeded)])
    }

    fn dispute(&self, at: UnixMillis, step: &str, status: &str, outcome: Outcome) -> Webhook {
        let network = self.payment.card.network.name();
        let body = fill(
            include_str!("stripe/dispute.json"),
            &[
                ("amount", self.payment.money.amount_minor.into()),
                ("created", self.payment.captured_at().seconds().into()),
                ("currency", self.currency().into()),
                ("due_by", at.plus(Duration::from_hours(14 * 24)).seconds().into()),
                ("network", network.into()),
                ("status", status.into()),
                ("charge", self.charge_id().into()),
                ("payment_intent", self.intent_id().into()),
                ("dispute", self.id("du_1", 'Q').into()),
            ],
        );
        let mut fact = self.bare_fact(Kind::Dispute, outcome);
        fact.money = Some(self.payment.money);
        "card".clone_into(&mut fact.method);
        network.clone_into(&mut fact.network);
        let letter = if step == "created" { 'J' } else { 'K' };
        self.event(letter, &format!("charge.dispute.{step}"), at, &body, vec![fact])
    }

    fn event(
        &self,
        letter: char,
        kind: &str,
        at: UnixMillis,
        object: &str,
        mut facts: Vec<PaymentEvent>,
    ) -> Webhook {
        let event_id = self.id("evt_1", letter);
        let previous = match kind {
            "charge.updated" => r#"{"balance_transaction": null}"#,
            "charge.refunded" => r#"{"amount_refunded": 0}"#,
            _ => "null",
        };
        let body = fill(
            include_str!("stripe/event.json"),
            &[
                ("created", at.seconds().into()),
                ("type", kind.into()),
                ("previous_attributes", Value::Json(previous.into())),
                ("object", Value::Json(object.into())),
                ("event", event_id.as_str().into()),
            ],
        );
        for (index, fact) in facts.iter_mut().enumerate() {
            fact.event_id.clone_from(&event_id);
            fact.fact = u16::try_from(index).unwrap_or(u16::MAX);
            fact.occurred_at = whole_seconds(at);
        }
        Webhook { event_id, occurred_at: whole_seconds(at), body: body.into_bytes(), facts, item: None }
    }

    fn charge_fact(&self, kind: Kind, outcome: Outcome) -> PaymentEvent {
        let mut fact = self.intent_fact(kind, outcome, self.charge_id());
        self.fill_method(&mut fact);
        fact.three_ds = self.payment.three_ds.map_or(ThreeDs::NotPerformed, Authentication::as_told);
        fact.risk_score = Some(f32::from(self.payment.risk_score));
        fact
    }

    fn intent_fact(&self, kind: Kind, outcome: Outcome, attempt_id: String) -> PaymentEvent {
        let mut fact = self.bare_fact(kind, outcome);
        fact.attempt_id = attempt_id;
        fact.order_id = self.payment.order_id();
        fact.money = Some(self.payment.money);
        "card".clone_into(&mut fact.method);
        fill_experiment(&mut fact, self.source, self.payment);
        fact
    }

    /// Identity and account only: what refunds and disputes, which carry no metadata of the payment, tell.
    fn bare_fact(&self, kind: Kind, outcome: Outcome) -> PaymentEvent {
        let mut fact = PaymentEvent::new("", 0, kind, outcome, self.payment.answered_at());
        fact.account.clone_from(&self.source.settings.account);
        fact.payment_id = self.intent_id();
        fact.attempt_id = self.charge_id();
        fact
    }

    /// The card as Stripe tells it: no issuer name and no BIN.
    fn fill_method(&self, fact: &mut PaymentEvent) {
        let card = card_fact(self.source, self.payment, fact.kind, fact.outcome);
        (fact.wallet, fact.network, fact.funding) = (card.wallet, card.network, card.funding);
        (fact.last4, fact.issuer_country) = (card.last4, card.issuer_country);
        self.address_check().clone_into(&mut fact.avs);
        let refusal = match self.payment.answer {
            Answer::Approved => None,
            Answer::Refused(reason) => Some(refusal(reason)),
        };
        cvc_check(refusal).clone_into(&mut fact.cvc);
    }
}
