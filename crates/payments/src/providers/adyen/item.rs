//! An item of a standard webhook as a fact.

use super::super::SourceSettings;
use super::super::card::{self, refused};
use super::super::loose::{BadValue, Pairs, Text, first, required};
use super::event_codes::meaning;
use super::instrument::{Instrument, instrument};
use super::signature::Amount;
use super::{money, refusal_reasons};
use crate::decline::{Decline, DeclineCategory, Retry};
use crate::event::{Kind, Outcome, ThreeDs};
use crate::{PaymentEvent, UnixMillis, network_codes};

/// `NotificationRequestItem`. The keys of `additionalData` hold dots and hyphens; each is one key, not a path.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Item<'a> {
    #[serde(borrow)]
    psp_reference: Text<'a>,
    #[serde(borrow)]
    original_reference: Text<'a>,
    #[serde(borrow)]
    merchant_account_code: Text<'a>,
    #[serde(borrow)]
    merchant_reference: Text<'a>,
    #[serde(borrow)]
    amount: Option<Amount<'a>>,
    #[serde(borrow)]
    event_code: Text<'a>,
    #[serde(borrow)]
    event_date: Text<'a>,
    #[serde(borrow)]
    success: Text<'a>,
    #[serde(borrow)]
    reason: Text<'a>,
    #[serde(borrow)]
    payment_method: Text<'a>,
    #[serde(borrow)]
    additional_data: Pairs<'a>,
}

/// The event that answers an attempt.
const AUTHORISATION: &str = "AUTHORISATION";

/// The fact an item tells. Adyen has no event id: `eventCode:pspReference:merchantAccountCode:success` stands for it.
///
/// An item that cannot be read parks its whole batch, so only what a fact cannot do without is asked for. `eventDate` is
/// not signed: where it is no time, the time of arrival stands for it.
pub(super) fn event(
    item: &Item<'_>,
    live: bool,
    settings: &SourceSettings,
    received_at: UnixMillis,
) -> Result<PaymentEvent, BadValue> {
    let code = required(&item.event_code, "/eventCode")?;
    let reference = required(&item.psp_reference, "/pspReference")?;
    if code == AUTHORISATION && !item.success.is_true() && !item.success.eq_ignore_ascii_case("false") {
        return Err(BadValue { pointer: "/success", problem: "is neither true nor false" });
    }
    let occurred_at = UnixMillis::from_rfc3339(&item.event_date).unwrap_or(received_at);
    let account = &item.merchant_account_code;
    let event_id = format!("{code}:{reference}:{}:{}", account.as_str(), item.success.as_str());

    let (kind, outcome) = item.meaning();
    let mut event = PaymentEvent::new(event_id, 0, kind, outcome, occurred_at);
    first(&[account, &settings.account]).clone_into(&mut event.account);
    event.live = live;
    // A report's reference is its file name, and its amount means nothing.
    if kind != Kind::Settlement {
        item.write_payment(&mut event)?;
    }
    item.write_instrument(&mut event);
    item.write_checks(&mut event);
    item.write_experiment(&mut event, settings);
    if code != "MANUAL_REVIEW_REJECT" && matches!(outcome, Outcome::Declined | Outcome::Failed) {
        let decline = item.decline(&event.network);
        if code == AUTHORISATION {
            event.outcome = refused(decline.category);
        }
        event.decline = Some(decline);
    }
    Ok(event)
}

impl Item<'_> {
    fn detail(&self, key: &str) -> &str {
        self.additional_data.get(key)
    }

    fn meaning(&self) -> (Kind, Outcome) {
        let action = self.detail("modification.action");
        let status = self.detail("disputeStatus");
        let (kind, outcome) = meaning(&self.event_code, self.success.is_true(), action, status);
        // An authorization of nothing verifies a card. It is no attempt to pay, and must not weigh in decline rates.
        let is_verification = self.event_code.as_str() == AUTHORISATION
            && self.amount.as_ref().is_some_and(|amount| amount.value.as_str() == "0");
        (if is_verification { Kind::Other } else { kind }, outcome)
    }

    fn write_payment(&self, event: &mut PaymentEvent) -> Result<(), BadValue> {
        first(&[&self.original_reference, &self.psp_reference]).clone_into(&mut event.payment_id);
        // One authorization is one payment here. A dispute that does not name it leaves the attempt open: its own
        // reference is the dispute's.
        if event.kind != Kind::Dispute || !self.original_reference.is_empty() {
            event.attempt_id.clone_from(&event.payment_id);
        }
        let order = first(&[&self.merchant_reference, self.detail("merchantOrderReference")]);
        event.order_id = card::merchant_text(order);
        if let Some(amount) = &self.amount {
            event.money = money(amount)?;
        }
        Ok(())
    }

    fn write_instrument(&self, event: &mut PaymentEvent) {
        let Instrument { method, wallet, network } = instrument(&[
            &self.payment_method,
            self.detail("paymentMethodVariant"),
            self.detail("cardPaymentMethod"),
            self.detail("chargebackSchemeCode"),
        ]);
        event.method = method;
        event.wallet = wallet;
        event.network = network;
        let funding = [self.detail("fundingSource"), self.detail("cardFunction")].map(card::funding);
        first(&funding).clone_into(&mut event.funding);
        let bin = [self.detail("cardBin"), self.detail("issuerBin")].map(card::bin);
        first(&bin).clone_into(&mut event.bin);
        let last4 = [self.detail("cardSummary"), self.last4_of_reason()].map(card::last4);
        first(&last4).clone_into(&mut event.last4);
        event.issuer = card::label(self.detail("cardIssuingBank"));
        event.issuer_country =
            card::country(first(&[self.detail("cardIssuingCountry"), self.detail("issuerCountry")]));
    }

    /// An approved card payment's `reason` is `authCode:last4:MM/YYYY`; any other reason is a text.
    fn last4_of_reason(&self) -> &str {
        if self.event_code.as_str() != AUTHORISATION || !self.success.is_true() {
            return "";
        }
        let mut parts = self.reason.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(_), Some(last4), Some(_), None) => last4,
            _ => "",
        }
    }

    fn write_checks(&self, event: &mut PaymentEvent) {
        event.three_ds = self.three_ds(event.outcome == Outcome::Approved);
        event.avs = check_code(self.detail("avsResult"), self.detail("avsResultRaw"));
        event.cvc = check_code(self.detail("cvcResult"), self.detail("cvcResultRaw"));
        event.risk_score = card::score(self.detail("totalFraudScore"));
    }

    fn three_ds(&self, approved: bool) -> ThreeDs {
        let is = |key, value: &str| self.detail(key).eq_ignore_ascii_case(value);
        if let Some(told) = card::trans_status(self.detail("threeDAuthenticatedResponse")) {
            told
        } else if is("threeDAuthenticated", "true") {
            ThreeDs::Authenticated
        } else if approved && !self.detail("scaExemptionRequested").is_empty() {
            ThreeDs::Exempted
        } else if is("threeDOffered", "true") {
            ThreeDs::Failed
        } else if is("threeDOffered", "false") || is("threeDAuthenticated", "false") {
            ThreeDs::NotPerformed
        } else {
            ThreeDs::NotTold
        }
    }

    /// Metadata is sent with the prefix `metadata.`; a key that is configured may also name another detail
    /// (`riskExperimentReference`).
    fn write_experiment(&self, event: &mut PaymentEvent, settings: &SourceSettings) {
        let metadata = |key: &Option<String>| {
            let Some(key) = key else { return String::new() };
            let prefixed = |name: &str| name.strip_prefix("metadata.") == Some(key);
            card::merchant_text(first(&[self.additional_data.find(prefixed), self.detail(key)]))
        };
        event.experiment = metadata(&settings.experiment_key);
        event.variant = metadata(&settings.variant_key);
    }

    /// Why, from the reason's text; where that is generic, from the issuer's raw code.
    fn decline(&self, network: &str) -> Decline {
        let reason = if self.reason.as_str() == "null" { "" } else { self.reason.trim() };
        let raw = self.detail("refusalReasonRaw");
        let network_code = [raw, self.detail("acquirerResponseCode")].map(|text| leading_code(network, text));
        let network_code = first(&network_code);
        let by_reason = refusal_reasons::look_up(reason);
        let by_code = || network_codes::look_up(network, network_code);
        let answer = match by_reason {
            Some(answer) if !refusal_reasons::is_generic(reason) => answer,
            _ => by_code().or(by_reason).unwrap_or((DeclineCategory::Unknown, Retry::Unknown)),
        };
        let advice = leading_token(self.detail("merchantAdviceCode"));
        let (category, retry) = network_codes::merchant_advice(network, advice, answer);
        let code = card::label(first(&[reason, raw]));
        Decline { code, category, network_code: network_code.to_owned(), retry }
    }
}

/// Adyen writes a code, a blank and its meaning (`5 No AVS data provided`): the code.
fn check_code(result: &str, raw: &str) -> String {
    card::label(first(&[leading_token(result), raw])).to_ascii_lowercase()
}

fn leading_token(text: &str) -> &str {
    text.trim().split(|character: char| !character.is_ascii_alphanumeric()).next().unwrap_or("")
}

/// The network's code with which a raw reason begins (`51 : Insufficient funds`): two digits, or another code that the
/// network has. Words such as `AUTHORISED` or `3D Secure failed` are none.
fn leading_code<'a>(network: &str, text: &'a str) -> &'a str {
    let token = leading_token(text);
    let is_two_digits = token.len() == 2 && token.bytes().all(|byte| byte.is_ascii_digit());
    if is_two_digits || network_codes::look_up(network, token).is_some() { token } else { "" }
}
