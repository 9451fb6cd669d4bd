//! The wire structs of a Checkout.com event, and how each field of a fact is found in them.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::card;
use super::super::loose::{Pairs, Text, first};
use crate::event::{self, PaymentEvent, ThreeDs};

/// An event with data of shape `D`. Events of other products (issuing) name it `event_data`, which is not read.
#[derive(Deserialize)]
pub(super) struct Notification<'a, D> {
    #[serde(borrow, default)]
    pub(super) id: Text<'a>,
    #[serde(borrow, default, rename = "type")]
    pub(super) event_type: Text<'a>,
    #[serde(borrow, default)]
    created_on: Text<'a>,
    #[serde(borrow, default)]
    timestamp: Text<'a>,
    pub(super) data: Option<D>,
    #[serde(borrow, rename = "_links")]
    links: Option<Links<'a>>,
}

#[derive(Deserialize)]
struct Links<'a> {
    #[serde(borrow, rename = "self")]
    own: Option<Link<'a>>,
}

#[derive(Deserialize)]
struct Link<'a> {
    #[serde(borrow, default)]
    href: Text<'a>,
}

/// When it happened, where only the data tells.
pub(super) trait BusinessTime {
    /// The text and its pointer; empty if it is not told.
    fn business_time(&self) -> (&str, &'static str);
}

impl BusinessTime for IgnoredAny {
    fn business_time(&self) -> (&str, &'static str) {
        ("", "/created_on")
    }
}

/// The data of events about payments, 3-D Secure and disputes. `id` is the payment's, the dispute's or the session's.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Data<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    action_id: Text<'a>,
    #[serde(borrow)]
    payment_id: Text<'a>,
    #[serde(borrow)]
    payment_action_id: Text<'a>,
    #[serde(borrow)]
    pub(super) reference: Text<'a>,
    #[serde(borrow)]
    pub(super) payment_reference: Text<'a>,
    #[serde(borrow)]
    pub(super) amount: Text<'a>,
    #[serde(borrow)]
    pub(super) currency: Text<'a>,
    #[serde(borrow)]
    pub(super) response_code: Text<'a>,
    #[serde(borrow)]
    pub(super) reason: Text<'a>,
    #[serde(borrow)]
    partner_response_code: Text<'a>,
    #[serde(borrow)]
    payment_type: Text<'a>,
    #[serde(borrow)]
    payment_method: Text<'a>,
    #[serde(borrow)]
    scheme: Text<'a>,
    #[serde(borrow)]
    processed_on: Text<'a>,
    #[serde(borrow)]
    date: Text<'a>,
    #[serde(borrow)]
    pub(super) entity_id: Text<'a>,
    #[serde(borrow)]
    pub(super) client_id: Text<'a>,
    #[serde(borrow)]
    pub(super) processing_channel_id: Text<'a>,
    #[serde(borrow)]
    account: Option<Account<'a>>,
    #[serde(borrow)]
    source: Option<Instrument<'a>>,
    #[serde(borrow)]
    destination: Option<Instrument<'a>>,
    #[serde(borrow, rename = "3ds")]
    three_ds: Option<ThreeDsData<'a>>,
    #[serde(borrow)]
    pub(super) risk: Option<Risk<'a>>,
    #[serde(borrow)]
    processing: Option<Processing<'a>>,
    #[serde(borrow)]
    pub(super) metadata: Pairs<'a>,
}

/// Whose report it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Account<'a> {
    #[serde(borrow)]
    entity_id: Text<'a>,
}

/// What paid (`source`), or was paid to (`destination`).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Instrument<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    scheme: Text<'a>,
    #[serde(borrow)]
    card_type: Text<'a>,
    #[serde(borrow)]
    bin: Text<'a>,
    #[serde(borrow)]
    last_4: Text<'a>,
    #[serde(borrow)]
    last4: Text<'a>,
    #[serde(borrow)]
    issuer: Text<'a>,
    #[serde(borrow)]
    issuer_country: Text<'a>,
    #[serde(borrow)]
    avs_check: Text<'a>,
    #[serde(borrow)]
    cvv_check: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ThreeDsData<'a> {
    #[serde(borrow)]
    enrolled: Text<'a>,
    #[serde(borrow)]
    authentication_response: Text<'a>,
    #[serde(borrow)]
    exemption: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Risk<'a> {
    #[serde(borrow)]
    pub(super) score: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Processing<'a> {
    #[serde(borrow)]
    partner_response_code: Text<'a>,
    #[serde(borrow)]
    partner_merchant_advice_code: Text<'a>,
}

impl<D: BusinessTime> Notification<'_, D> {
    /// `created_on`, else `timestamp` (the same type comes with either), else the data's own time; and its pointer.
    pub(super) fn occurred_at(&self) -> (&str, &'static str) {
        if !self.created_on.is_empty() {
            (&self.created_on, "/created_on")
        } else if !self.timestamp.is_empty() {
            (&self.timestamp, "/timestamp")
        } else {
            self.data.as_ref().map_or(("", "/created_on"), BusinessTime::business_time)
        }
    }
}

impl<D> Notification<'_, D> {
    /// The body has no flag: the host of its link to itself tells. `None` without a link to Checkout.com.
    pub(super) fn is_live(&self) -> Option<bool> {
        let href = &self.links.as_ref()?.own.as_ref()?.href;
        let host = href.split_once("://")?.1.split('/').next()?;
        host.ends_with("checkout.com").then(|| !host.contains("sandbox"))
    }
}

impl BusinessTime for Data<'_> {
    fn business_time(&self) -> (&str, &'static str) {
        if !self.processed_on.is_empty() {
            (&self.processed_on, "/data/processed_on")
        } else if !self.date.is_empty() {
            (&self.date, "/data/date")
        } else {
            ("", "/created_on")
        }
    }
}

impl Data<'_> {
    pub(super) fn report_entity(&self) -> &str {
        self.account.as_ref().map_or("", |account| account.entity_id.as_str())
    }

    /// Payouts share the types of payments; they go to a destination.
    pub(super) fn is_payout(&self) -> bool {
        self.destination.is_some() || self.payment_type.eq_ignore_ascii_case("payout")
    }

    /// `id` is the payment's in some events and something else's (a dispute's, a session's) in others: its beginning
    /// tells.
    pub(super) fn payment_id(&self) -> &str {
        first(&[&self.payment_id, if self.id.starts_with("pay_") { &self.id } else { "" }])
    }

    /// The action that asked the issuer. The actions of captures, refunds and voids are others, and do not name it.
    pub(super) fn attempt_id(&self, event_type: &str) -> &str {
        match event_type {
            "payment_approved" | "payment_declined" | "card_verified" | "card_verification_declined" => {
                first(&[&self.action_id, &self.id])
            }
            _ => &self.payment_action_id,
        }
    }

    pub(super) fn network_code(&self) -> &str {
        let processing = self.processing.as_ref().map_or("", |processing| &processing.partner_response_code);
        first(&[&self.partner_response_code, processing])
    }

    pub(super) fn merchant_advice(&self) -> &str {
        self.processing.as_ref().map_or("", |processing| &processing.partner_merchant_advice_code)
    }

    pub(super) fn write_instrument(&self, event: &mut PaymentEvent) {
        event.three_ds = self.three_ds.as_ref().map_or(ThreeDs::NotTold, ThreeDsData::outcome);
        // Disputes and 3-D Secure name the network, and nothing else of the card.
        event.network = event::network(first(&[&self.scheme, &self.payment_method]));
        let Some(instrument) = self.destination.as_ref().or(self.source.as_ref()) else { return };
        let name = event::wallet(&instrument.kind);
        if matches!(name.as_str(), "apple_pay" | "google_pay") {
            // Unconfirmed: how a webhook tells a wallet.
            "card".clone_into(&mut event.method);
            event.wallet = name;
        } else {
            event.method = name;
        }
        if !instrument.scheme.is_empty() {
            event.network = event::network(&instrument.scheme);
        }
        card::funding(&instrument.card_type).clone_into(&mut event.funding);
        card::bin(&instrument.bin).clone_into(&mut event.bin);
        let last4 = [&instrument.last_4, &instrument.last4].map(|digits| card::last4(digits));
        first(&last4).clone_into(&mut event.last4);
        event.issuer = card::label(&instrument.issuer);
        event.issuer_country = card::country(&instrument.issuer_country);
        event.avs = card::label(&instrument.avs_check).to_ascii_lowercase();
        event.cvc = card::label(&instrument.cvv_check).to_ascii_lowercase();
    }
}

impl ThreeDsData<'_> {
    fn outcome(&self) -> ThreeDs {
        if let Some(told) = card::trans_status(&self.authentication_response) {
            told
        } else if !self.exemption.is_empty() && !self.exemption.eq_ignore_ascii_case("none") {
            ThreeDs::Exempted
        } else {
            match self.enrolled.as_str() {
                "N" | "n" => ThreeDs::NotSupported,
                "U" | "u" => ThreeDs::Error,
                _ => ThreeDs::NotPerformed,
            }
        }
    }
}
