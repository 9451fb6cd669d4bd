//! Stripe's objects: charge, payment intent and payment error, as JSON.

use payments::DeclineCategory;

use super::Story;
use super::refusals::error_code;
use crate::providers::experiment;
use crate::providers::refusal::Refusal;
use crate::providers::template::{Value, fill};
use crate::world::Authentication;

/// The amounts of a charge at one moment.
pub(super) struct ChargeState {
    pub(super) captured: bool,
    pub(super) refunded: i64,
    pub(super) settled: bool,
}

impl Story<'_> {
    pub(super) fn charge(&self, state: &ChargeState, refusal: Option<Refusal>) -> String {
        let amount = self.payment.money.amount_minor;
        let balance_transaction = state.settled.then(|| self.id("txn_3", 'T'));
        let mut values = self.method_values(refusal);
        values.extend([
            ("amount", amount.into()),
            ("amount_captured", (if state.captured { amount } else { 0 }).into()),
            ("amount_refunded", state.refunded.into()),
            ("balance_transaction", Value::text_or_null(balance_transaction.as_deref())),
            ("captured", state.captured.into()),
            ("created", self.payment.answered_at().seconds().into()),
            ("currency", self.currency().into()),
            ("failure_code", Value::text_or_null(refusal.map(error_code))),
            ("failure_message", Value::text_or_null(refusal.map(|_| "Your card was declined."))),
            ("network_status", network_status(refusal).into()),
            ("network_decline_code", network_code(refusal)),
            ("reason", Value::text_or_null(refusal.map(|refusal| refusal.code))),
            ("risk_score", i64::from(self.payment.risk_score).into()),
            ("seller_message", seller_message(refusal).into()),
            ("outcome_type", outcome_type(refusal).into()),
            ("paid", refusal.is_none().into()),
            ("three_d_secure", Value::Json(self.three_d_secure().into())),
            ("refunded", (state.refunded == amount).into()),
            ("status", (if refusal.is_some() { "failed" } else { "succeeded" }).into()),
            ("order_id", self.payment.order_id().into()),
            ("payment_intent", self.intent_id().into()),
            ("charge", self.charge_id().into()),
        ]);
        values.extend(experiment(self.source, self.payment, ""));
        fill(include_str!("charge.json"), &values)
    }

    pub(super) fn intent(&self, status: &str, charge: Option<&str>, last_payment_error: Value<'_>) -> String {
        let amount = self.payment.money.amount_minor;
        let manual = self.payment.later.captured_after.is_some();
        let method = self.method_id();
        let method = (status == "succeeded").then_some(method.as_str());
        let mut values = vec![
            ("amount", amount.into()),
            ("amount_capturable", 0.into()),
            ("amount_received", (if status == "succeeded" { amount } else { 0 }).into()),
            ("capture_method", (if manual { "manual" } else { "automatic_async" }).into()),
            ("created", self.payment.created_at.seconds().into()),
            ("currency", self.currency().into()),
            ("last_payment_error", last_payment_error),
            ("status", status.into()),
            ("order_id", self.payment.order_id().into()),
            ("payment_method", Value::text_or_null(method)),
            ("charge", Value::text_or_null(charge)),
            ("payment_intent", self.intent_id().into()),
        ];
        values.extend(experiment(self.source, self.payment, ""));
        fill(include_str!("payment_intent.json"), &values)
    }

    pub(super) fn payment_error(&self, refusal: Refusal, charge: Option<&str>) -> String {
        let declined = charge.is_some();
        let code = error_code(refusal);
        let mut values = self.method_values(Some(refusal));
        values.extend([
            ("code", code.into()),
            ("decline_code", Value::text_or_null(declined.then_some(refusal.code))),
            ("doc_url", format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-")).into()),
            ("message", "Your card was declined.".into()),
            ("network_decline_code", network_code(Some(refusal))),
            ("created", self.payment.created_at.seconds().into()),
            ("charge", Value::text_or_null(charge)),
        ]);
        fill(include_str!("payment_error.json"), &values)
    }

    /// What a charge's method details and an error's payment method share.
    fn method_values(&self, refusal: Option<Refusal>) -> Vec<(&'static str, Value<'_>)> {
        let card = &self.payment.card;
        let wallet = match self.payment.wallet {
            Some(kind) => format!(r#"{{"dynamic_last4": null, "type": "{kind}", "{kind}": {{}}}}"#),
            None => "null".to_owned(),
        };
        vec![
            ("network", card.network.name().into()),
            ("address_check", self.address_check().into()),
            ("cvc_check", cvc_check(refusal).into()),
            ("country", card.issuer.market.country.into()),
            ("exp_month", i64::from(card.expiry_month).into()),
            ("exp_year", i64::from(card.expiry_year).into()),
            ("funding", card.funding.into()),
            ("last4", card.last4.as_str().into()),
            ("wallet", Value::Json(wallet.into())),
            ("payment_method", self.method_id().into()),
        ]
    }

    fn three_d_secure(&self) -> String {
        let result = match self.payment.three_ds {
            None => return "null".to_owned(),
            Some(Authentication::Authenticated) => "authenticated",
            Some(Authentication::Attempted) => "attempt_acknowledged",
            Some(Authentication::Failed) => "failed",
        };
        format!(
            r#"{{"authentication_flow": "challenge", "electronic_commerce_indicator": "05", "exemption_indicator": null, "result": "{result}", "result_reason": null, "version": "2.2.0"}}"#
        )
    }

    pub(super) fn address_check(&self) -> &'static str {
        if self.payment.address_matches { "pass" } else { "fail" }
    }

    pub(super) fn currency(&self) -> String {
        self.payment.money.currency.as_str().to_ascii_lowercase()
    }

    pub(super) fn id(&self, prefix: &str, letter: char) -> String {
        format!("{prefix}{}{letter}", self.payment.token)
    }

    pub(super) fn intent_id(&self) -> String {
        self.id("pi_3", 'P')
    }

    pub(super) fn charge_id(&self) -> String {
        self.id("ch_3", 'C')
    }

    fn method_id(&self) -> String {
        self.id("pm_1", 'M')
    }
}

fn network_status(refusal: Option<Refusal>) -> &'static str {
    match refusal {
        None => "approved_by_network",
        Some(refusal) if refusal.category == DeclineCategory::RiskBlocked => "not_sent_to_network",
        Some(_) => "declined_by_network",
    }
}

fn seller_message(refusal: Option<Refusal>) -> &'static str {
    if refusal.is_some() { "The payment was not accepted." } else { "Payment complete." }
}

fn outcome_type(refusal: Option<Refusal>) -> &'static str {
    match refusal {
        None => "authorized",
        Some(refusal) if refusal.category == DeclineCategory::RiskBlocked => "blocked",
        Some(_) => "issuer_declined",
    }
}

fn network_code(refusal: Option<Refusal>) -> Value<'static> {
    let code = refusal.map_or("", |refusal| refusal.network_code);
    Value::text_or_null((!code.is_empty()).then_some(code))
}

pub(super) fn cvc_check(refusal: Option<Refusal>) -> &'static str {
    if refusal.is_some_and(|refusal| refusal.category == DeclineCategory::IncorrectCvc) {
        "fail"
    } else {
        "pass"
    }
}
