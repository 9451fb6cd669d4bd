//! The parts of Stripe's JSON that are read. Fields not named here are ignored; `/` paths are those of the API.
//!
//! Texts borrow from the body, and are loose, and so are the objects that hold details: one that changes its type with an
//! API version must not park the approval it stands beside. One struct reads every version: what a version lacks is empty
//! or `None`. Strict is what decides the meaning (`captured`, `last_payment_error`, `charges`).

use serde::Deserialize;
use serde_json::value::RawValue;

use super::shape::{BalanceTransaction, Created};
use crate::providers::loose::{Pairs, Text};
use crate::providers::object::or_nothing;

/// A whole webhook, v1 (`object: "event"`) or v2 (`object: "v2.core.event"`).
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow, default)]
    pub(super) id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) object: Text<'a>,
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Text<'a>,
    pub(super) created: Option<Created>,
    pub(super) livemode: Option<bool>,
    /// Connected account.
    #[serde(borrow, default)]
    pub(super) account: Text<'a>,
    /// v2's name for the account.
    #[serde(borrow, default)]
    pub(super) context: Text<'a>,
    #[serde(borrow)]
    pub(super) data: Option<Data<'a>>,
    /// v2 only: what the event is about.
    #[serde(borrow)]
    pub(super) related_object: Option<RelatedObject<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RelatedObject<'a> {
    #[serde(borrow, default)]
    pub(super) id: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Data<'a> {
    #[serde(borrow)]
    pub(super) object: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) previous_attributes: Option<&'a RawValue>,
}

/// `previous_attributes` of an update: which of the watched fields changed, and from what.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Previous<'a> {
    #[serde(borrow)]
    pub(super) status: Option<Text<'a>>,
    /// Told, even as `null`, where a balance transaction arrives.
    #[serde(default, deserialize_with = "present")]
    pub(super) balance_transaction: bool,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

#[derive(Debug, Deserialize)]
pub(super) struct Charge<'a> {
    #[serde(borrow, default)]
    pub(super) id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) payment_intent: Text<'a>,
    #[serde(borrow, default)]
    pub(super) amount: Text<'a>,
    #[serde(borrow, default)]
    pub(super) amount_captured: Text<'a>,
    #[serde(borrow, default)]
    pub(super) amount_refunded: Text<'a>,
    #[serde(borrow, default)]
    pub(super) currency: Text<'a>,
    pub(super) captured: Option<bool>,
    /// `succeeded`, `pending`, `failed`.
    #[serde(borrow, default)]
    pub(super) status: Text<'a>,
    #[serde(borrow, default)]
    pub(super) failure_code: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_nothing")]
    pub(super) outcome: Option<ChargeOutcome<'a>>,
    #[serde(borrow, default, deserialize_with = "or_nothing")]
    pub(super) payment_method_details: Option<MethodDetails<'a>>,
    /// What `payment_method_details` was before API version 2019-02-11.
    #[serde(borrow, default, deserialize_with = "or_nothing")]
    pub(super) source: Option<LegacySource<'a>>,
    #[serde(borrow, default)]
    pub(super) balance_transaction: BalanceTransaction<'a>,
    #[serde(borrow, default)]
    pub(super) metadata: Pairs<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ChargeOutcome<'a> {
    /// `authorized`, `manual_review`, `issuer_declined`, `blocked`, `invalid`.
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow, default)]
    pub(super) reason: Text<'a>,
    #[serde(borrow, default)]
    pub(super) network_decline_code: Text<'a>,
    #[serde(borrow, default)]
    pub(super) network_advice_code: Text<'a>,
    #[serde(borrow, default)]
    pub(super) advice_code: Text<'a>,
    #[serde(borrow, default)]
    pub(super) risk_score: Text<'a>,
}

/// `payment_method_details` of a charge, or the payment method of a payment error: `type`, and under the type's
/// name its details.
#[derive(Debug, Deserialize)]
pub(super) struct MethodDetails<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_nothing")]
    pub(super) card: Option<Instrument<'a>>,
    #[serde(borrow, default, deserialize_with = "or_nothing")]
    pub(super) card_present: Option<Instrument<'a>>,
    #[serde(borrow, default, deserialize_with = "or_nothing")]
    pub(super) interac_present: Option<Instrument<'a>>,
    #[serde(borrow, default, deserialize_with = "or_nothing")]
    pub(super) us_bank_account: Option<Instrument<'a>>,
    #[serde(borrow, default, deserialize_with = "or_nothing")]
    pub(super) sepa_debit: Option<Instrument<'a>>,
}

/// A card or bank account.
#[derive(Debug, Deserialize)]
pub(super) struct Instrument<'a> {
    #[serde(borrow, default)]
    pub(super) brand: Text<'a>,
    #[serde(borrow, default)]
    pub(super) network: Text<'a>,
    #[serde(borrow, default)]
    pub(super) funding: Text<'a>,
    #[serde(borrow, default)]
    pub(super) last4: Text<'a>,
    /// First six digits; not normally told.
    #[serde(borrow, default)]
    pub(super) iin: Text<'a>,
    #[serde(borrow, default)]
    pub(super) issuer: Text<'a>,
    #[serde(borrow, default)]
    pub(super) bank_name: Text<'a>,
    #[serde(borrow, default)]
    pub(super) country: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_nothing")]
    pub(super) wallet: Option<Wallet<'a>>,
    #[serde(borrow, default, deserialize_with = "or_nothing")]
    pub(super) checks: Option<Checks<'a>>,
    #[serde(borrow, default, deserialize_with = "or_nothing")]
    pub(super) three_d_secure: Option<ThreeDSecure<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Wallet<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Text<'a>,
}

#[derive(Debug, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the API's names")]
pub(super) struct Checks<'a> {
    #[serde(borrow, default)]
    pub(super) address_line1_check: Text<'a>,
    #[serde(borrow, default)]
    pub(super) address_postal_code_check: Text<'a>,
    #[serde(borrow, default)]
    pub(super) cvc_check: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ThreeDSecure<'a> {
    #[serde(borrow, default)]
    pub(super) result: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LegacySource<'a> {
    #[serde(borrow, default)]
    pub(super) object: Text<'a>,
    #[serde(borrow, default)]
    pub(super) brand: Text<'a>,
    #[serde(borrow, default)]
    pub(super) funding: Text<'a>,
    #[serde(borrow, default)]
    pub(super) last4: Text<'a>,
    #[serde(borrow, default)]
    pub(super) country: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PaymentIntent<'a> {
    #[serde(borrow, default)]
    pub(super) id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) amount: Text<'a>,
    #[serde(borrow, default)]
    pub(super) amount_capturable: Text<'a>,
    #[serde(borrow, default)]
    pub(super) amount_received: Text<'a>,
    #[serde(borrow, default)]
    pub(super) currency: Text<'a>,
    #[serde(borrow, default)]
    pub(super) cancellation_reason: Text<'a>,
    #[serde(borrow)]
    pub(super) last_payment_error: Option<PaymentError<'a>>,
    /// API versions from 2022-11-15.
    #[serde(borrow, default)]
    pub(super) latest_charge: Text<'a>,
    /// API versions before 2022-11-15: the charges, latest first.
    #[serde(borrow)]
    pub(super) charges: Option<List<'a>>,
    #[serde(borrow)]
    pub(super) payment_method_types: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    pub(super) metadata: Pairs<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct List<'a> {
    #[serde(borrow, default)]
    pub(super) data: Vec<Charge<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PaymentError<'a> {
    #[serde(borrow, default)]
    pub(super) code: Text<'a>,
    #[serde(borrow, default)]
    pub(super) decline_code: Text<'a>,
    #[serde(borrow, default)]
    pub(super) charge: Text<'a>,
    #[serde(borrow, default)]
    pub(super) network_decline_code: Text<'a>,
    #[serde(borrow, default)]
    pub(super) network_advice_code: Text<'a>,
    #[serde(borrow, default)]
    pub(super) advice_code: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_nothing")]
    pub(super) payment_method: Option<MethodDetails<'a>>,
}

/// A refund, dispute, payout, early fraud warning, review, or any other object: what they have in common.
#[derive(Debug, Deserialize)]
pub(super) struct Movement<'a> {
    #[serde(borrow, default)]
    pub(super) id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) charge: Text<'a>,
    #[serde(borrow, default)]
    pub(super) payment_intent: Text<'a>,
    #[serde(borrow, default)]
    pub(super) status: Text<'a>,
    #[serde(borrow, default)]
    pub(super) amount: Text<'a>,
    #[serde(borrow, default)]
    pub(super) currency: Text<'a>,
    /// Refunds.
    #[serde(borrow, default)]
    pub(super) failure_reason: Text<'a>,
    /// Payouts.
    #[serde(borrow, default)]
    pub(super) failure_code: Text<'a>,
    /// Disputes.
    #[serde(borrow, default, deserialize_with = "or_nothing")]
    pub(super) payment_method_details: Option<MethodDetails<'a>>,
    #[serde(borrow, default)]
    pub(super) metadata: Pairs<'a>,
}

/// An object that is only context: nothing of it but its ids is read, so nothing of it can be unreadable.
#[derive(Debug, Deserialize)]
pub(super) struct Context<'a> {
    #[serde(borrow, default)]
    pub(super) charge: Text<'a>,
    #[serde(borrow, default)]
    pub(super) payment_intent: Text<'a>,
}
