//! The JSON that the merchant's checkout sends: one object per fact, its fields named as the columns are.
//!
//! Unlike a provider's JSON this one is ours to define, so it is strict: an unknown field is an error.

use std::borrow::Cow;

use serde::Deserialize;

/// One fact as sent. `docs/providers/canonical.schema.json` says the same; a test keeps them equal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document<'a> {
    #[serde(borrow)]
    pub(super) event_id: Word<'a>,
    #[serde(borrow)]
    pub(super) kind: Word<'a>,
    #[serde(borrow)]
    pub(super) outcome: Word<'a>,
    #[serde(borrow)]
    pub(super) occurred_at: Word<'a>,
    #[serde(borrow)]
    pub(super) account: Option<Word<'a>>,
    pub(super) live: Option<bool>,
    #[serde(borrow)]
    pub(super) payment_id: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) attempt_id: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) order_id: Option<Word<'a>>,
    pub(super) amount_minor: Option<i64>,
    #[serde(borrow)]
    pub(super) currency: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) method: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) wallet: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) network: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) funding: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) bin: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) last4: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) issuer: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) issuer_country: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) decline_code: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) decline_category: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) network_code: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) retry: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) three_ds: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) avs: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) cvc: Option<Word<'a>>,
    pub(super) risk_score: Option<f64>,
    pub(super) latency_ms: Option<u32>,
    pub(super) fee_minor: Option<i64>,
    #[serde(borrow)]
    pub(super) experiment: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) variant: Option<Word<'a>>,
}

/// A text, borrowed from the body where it has no escapes.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Word<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);
