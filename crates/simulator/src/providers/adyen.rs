//! Adyen: one AUTHORISATION per attempt, then what follows, each a batch of one item that is signed inside the body.
//!
//! Sources: docs.adyen.com, "Webhooks" (structure, `eventCode`), "Verify HMAC signatures" (payload fields and order).
//! `live` and `success` are strings; `eventDate` has whole seconds and an offset; a later step has a `pspReference` of
//! its own and names the payment in `originalReference`. An account that captures at once sends no CAPTURE.

mod refusals;

use std::time::Duration;

use payments::signature::HmacKey;
use payments::{Kind, Money, Outcome, PaymentEvent, ThreeDs, UnixMillis};

use self::refusals::{raw, refusal};
use super::refusal::Refusal;
use super::template::{Value, fill};
use super::{SignedItem, SimulatedSource, Webhook, card_fact, experiment, fill_experiment, whole_seconds};
use crate::world::{Answer, Authentication, Network, Payment};

pub(super) const EXPECTED_SECRET: &str = "it is an HMAC key of 64 hexadecimal digits";

/// Merchant account of a source that is configured without one.
const ACCOUNT: &str = "GreencrateECOM";

/// Holds the signature's place while the body is made: as long as the base64 of 32 bytes.
const UNSIGNED: &str = "UNSIGNED....................................";

/// Adyen's clock is in Amsterdam; daylight saving is left out.
const OFFSET: (Duration, &str) = (Duration::from_hours(1), "+01:00");

pub(super) fn key(secret: &str) -> Option<HmacKey> {
    HmacKey::from_hex(secret)
}

pub(super) fn webhooks(source: &SimulatedSource, payment: &Payment) -> Vec<Webhook> {
    let story = Story { source, payment };
    let mut told = vec![story.authorisation()];
    if payment.answer != Answer::Approved {
        return told;
    }
    let captured = payment.captured_at();
    if payment.later.captured_after.is_some() {
        told.push(story.modification("CAPTURE", 'C', captured, payment.money, Kind::Capture));
    }
    if let Some((after, percent)) = payment.later.refund {
        let refunded = payment.share_of_amount(percent);
        told.push(story.modification("REFUND", 'R', captured.plus(after), refunded, Kind::Refund));
    }
    if let Some((after, won)) = payment.later.dispute {
        let opened = captured.plus(after);
        told.push(story.dispute("CHARGEBACK", "Undefended", opened, Outcome::Opened));
        told.push(if won {
            // The money is back, but the issuer may go on: no end yet.
            story.dispute("CHARGEBACK_REVERSED", "Pending", opened.plus(after), Outcome::Updated)
        } else {
            story.dispute("SECOND_CHARGEBACK", "Lost", opened.plus(after), Outcome::Lost)
        });
    }
    told
}

struct Story<'a> {
    source: &'a SimulatedSource,
    payment: &'a Payment,
}

/// The fields of an item that differ between event codes.
struct Item<'a> {
    event_code: &'a str,
    psp_reference: String,
    original_reference: Option<String>,
    at: UnixMillis,
    money: Money,
    success: bool,
    reason: String,
    additional_data: String,
}

impl Story<'_> {
    fn authorisation(&self) -> Webhook {
        let payment = self.payment;
        let refused = match payment.answer {
            Answer::Approved => None,
            Answer::Refused(reason) => Some(refusal(reason)),
        };
        let card = &payment.card;
        let approval = format!("{}:{}:{}", self.auth_code(), card.last4, self.expiry());
        let mut fact = self.fact(Kind::Authorization, refused.map_or(Outcome::Approved, Refusal::outcome));
        let told = card_fact(self.source, payment, fact.kind, fact.outcome);
        (fact.wallet, fact.funding, fact.last4) = (told.wallet, told.funding, told.last4);
        (fact.issuer_country, fact.issuer) = (told.issuer_country, card.issuer.name.to_owned());
        self.bin6().clone_into(&mut fact.bin);
        fact.decline = refused.map(Refusal::decline);
        fact.three_ds = payment.three_ds.map_or(ThreeDs::NotPerformed, Authentication::as_told);
        self.avs().1.clone_into(&mut fact.avs);
        cvc(refused).1.clone_into(&mut fact.cvc);
        fact.risk_score = Some(f32::from(payment.risk_score));
        fill_experiment(&mut fact, self.source, payment);
        let item = Item {
            event_code: "AUTHORISATION",
            psp_reference: self.reference('A'),
            original_reference: None,
            at: payment.answered_at(),
            money: payment.money,
            success: refused.is_none(),
            reason: refused.map_or(approval, |refusal| refusal.code.to_owned()),
            additional_data: self.authorisation_data(refused),
        };
        self.notification(&item, fact)
    }

    fn modification(
        &self,
        event_code: &str,
        letter: char,
        at: UnixMillis,
        money: Money,
        kind: Kind,
    ) -> Webhook {
        let additional_data = fill(
            include_str!("adyen/modification.json"),
            &[("event_date", event_date(at).into()), ("signature", UNSIGNED.into())],
        );
        let item = Item {
            event_code,
            psp_reference: self.reference(letter),
            original_reference: Some(self.reference('A')),
            at,
            money,
            success: true,
            reason: String::new(),
            additional_data,
        };
        let fact = self.fact(kind, Outcome::Succeeded);
        self.notification(&item, fact)
    }

    fn dispute(&self, event_code: &str, status: &str, at: UnixMillis, outcome: Outcome) -> Webhook {
        let additional_data = fill(
            include_str!("adyen/dispute.json"),
            &[
                ("reason_code", "13.1".into()),
                ("scheme", self.brand().into()),
                ("dispute_status", status.into()),
                ("merchant_reference", self.payment.order_id().into()),
                ("signature", UNSIGNED.into()),
            ],
        );
        let item = Item {
            event_code,
            // All events of one dispute share its reference.
            psp_reference: self.reference('D'),
            original_reference: Some(self.reference('A')),
            at,
            money: self.payment.money,
            success: true,
            reason: "Merchandise not received".to_owned(),
            additional_data,
        };
        let fact = self.fact(Kind::Dispute, outcome);
        self.notification(&item, fact)
    }

    fn notification(&self, item: &Item<'_>, mut fact: PaymentEvent) -> Webhook {
        let success = if item.success { "true" } else { "false" };
        let order_id = self.payment.order_id();
        let original = item.original_reference.as_deref();
        let amount = item.money.amount_minor;
        let currency = item.money.currency;
        let account = self.account();
        let body = fill(
            include_str!("adyen/notification.json"),
            &[
                ("additional_data", Value::Json(item.additional_data.as_str().into())),
                ("currency", currency.as_str().into()),
                ("amount", amount.into()),
                ("event_code", item.event_code.into()),
                ("event_date", event_date(item.at).into()),
                ("account", account.into()),
                ("merchant_reference", order_id.as_str().into()),
                ("original_reference", Value::text_or_null(original)),
                ("payment_method", self.brand().into()),
                ("psp_reference", item.psp_reference.as_str().into()),
                ("reason", item.reason.as_str().into()),
                ("success", success.into()),
            ],
        );
        let text = format!(
            "{}:{}:{account}:{order_id}:{amount}:{currency}:{}:{success}",
            item.psp_reference,
            original.unwrap_or(""),
            item.event_code
        );
        let event_id = format!("{}:{}:{account}:{success}", item.event_code, item.psp_reference);
        fact.event_id.clone_from(&event_id);
        fact.occurred_at = whole_seconds(item.at);
        fact.money = Some(item.money);
        Webhook {
            event_id,
            occurred_at: fact.occurred_at,
            item: body.find(UNSIGNED).map(|at| SignedItem { text: text.into_bytes(), at }),
            body: body.into_bytes(),
            facts: vec![fact],
        }
    }

    fn authorisation_data(&self, refused: Option<Refusal>) -> String {
        let payment = self.payment;
        let card = &payment.card;
        let (offered, authenticated, response, eci) = match payment.three_ds {
            None => ("false", "false", "", "07"),
            Some(Authentication::Authenticated) => ("true", "true", "Y", "05"),
            Some(Authentication::Attempted) => ("true", "false", "A", "06"),
            Some(Authentication::Failed) => ("true", "false", "N", "07"),
        };
        let mut values = vec![
            ("acquirer_reference", self.reference('Q').into()),
            ("auth_code", self.auth_code().into()),
            ("currency", payment.money.currency.as_str().into()),
            ("amount_text", payment.money.amount_minor.to_string().into()),
            ("avs_result", self.avs().0.into()),
            ("avs_result_raw", self.avs().1.into()),
            ("card_bin", self.bin6().into()),
            ("issuer", card.issuer.name.into()),
            ("country", card.issuer.market.country.into()),
            ("payment_method", self.brand().into()),
            ("payment_method_variant", self.variant().into()),
            ("last4", card.last4.as_str().into()),
            ("cvc_result", cvc(refused).0.into()),
            ("cvc_result_raw", if cvc(refused).1 == "1" { "M" } else { "N" }.into()),
            ("eci", eci.into()),
            ("expiry_date", self.expiry().into()),
            ("funding_source", card.funding.to_ascii_uppercase().into()),
            ("issuer_bin", payment.bin().into()),
            ("liability_shift", authenticated.into()),
            ("network_reference", self.reference('N').into()),
            ("refusal_reason_raw", refused.map_or_else(|| "AUTHORISED".to_owned(), raw).into()),
            ("three_d_authenticated", authenticated.into()),
            ("three_d_authenticated_response", response.into()),
            ("three_d_offered", offered.into()),
            ("total_fraud_score", payment.risk_score.to_string().into()),
            ("signature", UNSIGNED.into()),
        ];
        // Adyen has no metadata object: each pair is a detail of its own.
        values.extend(experiment(self.source, payment, "metadata."));
        fill(include_str!("adyen/authorisation.json"), &values)
    }

    /// What every item tells about its payment.
    fn fact(&self, kind: Kind, outcome: Outcome) -> PaymentEvent {
        let mut fact = PaymentEvent::new("", 0, kind, outcome, self.payment.answered_at());
        self.account().clone_into(&mut fact.account);
        fact.payment_id = self.reference('A');
        fact.attempt_id = self.reference('A');
        fact.order_id = self.payment.order_id();
        "card".clone_into(&mut fact.method);
        self.payment.card.network.name().clone_into(&mut fact.network);
        fact
    }

    fn account(&self) -> &str {
        if self.source.settings.account.is_empty() { ACCOUNT } else { &self.source.settings.account }
    }

    /// Sixteen capitals and digits, as Adyen's are.
    fn reference(&self, letter: char) -> String {
        format!("{}{letter}", self.payment.token)
    }

    fn bin6(&self) -> &str {
        let bin = self.payment.bin();
        bin.get(..6).unwrap_or(bin)
    }

    fn auth_code(&self) -> String {
        format!("{:06}", self.payment.index % 1_000_000)
    }

    fn expiry(&self) -> String {
        format!("{:02}/{}", self.payment.card.expiry_month, self.payment.card.expiry_year)
    }

    fn brand(&self) -> &'static str {
        match self.payment.card.network {
            Network::Visa => "visa",
            Network::Mastercard => "mc",
            Network::Amex => "amex",
        }
    }

    fn variant(&self) -> String {
        match self.payment.wallet {
            Some(wallet) => format!("{}_{}", self.brand(), wallet.replace('_', "")),
            None => format!("{}standard{}", self.brand(), self.payment.card.funding),
        }
    }

    /// Result and code of the address check.
    fn avs(&self) -> (&'static str, &'static str) {
        if self.payment.address_matches {
            ("7 Both postal code and address match", "7")
        } else {
            ("2 Neither postal code nor address match", "2")
        }
    }
}

/// Result and code of the security code check.
fn cvc(refused: Option<Refusal>) -> (&'static str, &'static str) {
    if refused.is_some_and(|refusal| refusal.category == payments::DeclineCategory::IncorrectCvc) {
        ("2 Doesn't match", "2")
    } else {
        ("1 Matches", "1")
    }
}

fn event_date(at: UnixMillis) -> String {
    let local = at.plus(OFFSET.0).to_string();
    // `2026-11-22T03:07:00.000Z` without its fraction and `Z`.
    format!("{}{}", local.get(..19).unwrap_or(&local), OFFSET.1)
}
