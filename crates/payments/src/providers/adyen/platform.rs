//! Platform webhooks: transfers, reports, ledger entries, tokens. None of them answers an attempt.

use sha2::{Digest as _, Sha256};

use super::super::loose::{self, Text, first};
use super::super::{ParkReason, SourceSettings, card, json};
use super::signature::Amount;
use super::{Body, exponent, is_live, money};
use crate::decline::{Decline, DeclineCategory, Retry};
use crate::event::{Kind, Outcome};
use crate::time::UnixMillis;
use crate::{Envelope, PaymentEvent};

/// `data`, of which every type fills another part.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Data<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    event_id: Text<'a>,
    #[serde(borrow)]
    sequence_number: Text<'a>,
    #[serde(borrow)]
    creation_date: Text<'a>,
    #[serde(borrow)]
    category: Text<'a>,
    #[serde(borrow)]
    direction: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow)]
    reason: Text<'a>,
    #[serde(borrow)]
    reference: Text<'a>,
    #[serde(borrow)]
    amount: Option<Amount<'a>>,
    #[serde(borrow)]
    disputed_amount: Option<Amount<'a>>,
    #[serde(borrow)]
    merchant_account: Text<'a>,
    #[serde(borrow)]
    merchant_id: Text<'a>,
    #[serde(borrow)]
    balance_platform: Text<'a>,
    #[serde(borrow, rename = "categoryData")]
    payment: Option<PaymentOfTransfer<'a>>,
    #[serde(borrow)]
    events: Option<Vec<TransferEvent<'a>>>,
}

/// Which payment a transfer of category `platformPayment` belongs to.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PaymentOfTransfer<'a> {
    #[serde(borrow)]
    psp_payment_reference: Text<'a>,
    #[serde(borrow)]
    payment_merchant_reference: Text<'a>,
}

/// One step of a transfer's history, which every update repeats from the beginning.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TransferEvent<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    events_data: Option<Vec<EventsData<'a>>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct EventsData<'a> {
    #[serde(borrow, rename = "type")]
    data_type: Text<'a>,
    #[serde(borrow)]
    interchange_amount: Option<Amount<'a>>,
}

/// The fact a platform event tells.
pub(super) fn event(
    body: &Body<'_>,
    envelope: &Envelope,
    settings: &SourceSettings,
) -> Result<PaymentEvent, ParkReason> {
    if body.event_type.is_empty() {
        let problem = "neither `notificationItems` nor `type` is there";
        return Err(ParkReason::UnexpectedShape(problem.to_owned()));
    }
    let data = read_data(body)?;
    let (kind, outcome) = meaning(&body.event_type, &data);
    let mut event = PaymentEvent::new(
        event_id(body, &data, envelope),
        0,
        kind,
        outcome,
        occurred_at(body, &data, envelope)?,
    );
    let account = [&*data.merchant_account, &data.merchant_id, &data.balance_platform, &settings.account];
    first(&account).clone_into(&mut event.account);
    event.live = is_live(&body.environment, "live", settings);
    let payment = data.payment.as_ref();
    let psp_reference = payment.map_or("", |payment| payment.psp_payment_reference.as_str());
    psp_reference.clone_into(&mut event.attempt_id);
    let own_id = if is_movement(&body.event_type) { data.id.as_str() } else { "" };
    first(&[psp_reference, own_id]).clone_into(&mut event.payment_id);
    let order = payment.map_or("", |payment| payment.payment_merchant_reference.as_str());
    event.order_id = card::merchant_text(first(&[order, &data.reference]));
    if let Some(amount) = data.amount.as_ref().or(data.disputed_amount.as_ref()) {
        event.money = match money(amount) {
            Err(bad) if is_movement(&body.event_type) => return Err(bad.under("/data")),
            money => money.unwrap_or_default(),
        };
        event.fee_minor = event.money.and_then(|_| data.interchange(&amount.currency));
    }
    if kind == Kind::Payout && matches!(outcome, Outcome::Declined | Outcome::Failed) {
        event.decline = Some(Decline {
            code: card::label(&data.reason),
            category: DeclineCategory::Unknown,
            network_code: String::new(),
            retry: Retry::Unknown,
        });
    }
    Ok(event)
}

/// The data of movements of money must have the documented shape; other types may hold anything.
fn read_data<'a>(body: &Body<'a>) -> Result<Data<'a>, ParkReason> {
    let Some(data) = body.data else { return Ok(Data::default()) };
    match json::read(data.get().as_bytes(), "/data") {
        Err(_) if !is_movement(&body.event_type) => Ok(Data::default()),
        read => read,
    }
}

fn is_movement(event_type: &str) -> bool {
    ["balancePlatform.transfer.", "balancePlatform.transaction."]
        .iter()
        .any(|start| event_type.starts_with(start))
}

/// `eventId`, else the transfer and its sequence number, else the body's SHA-256.
fn event_id(body: &Body<'_>, data: &Data<'_>, envelope: &Envelope) -> String {
    if !body.event_id.is_empty() {
        body.event_id.to_string()
    } else if !data.id.is_empty() && !data.sequence_number.is_empty() {
        format!("{}:{}", data.id.as_str(), data.sequence_number.as_str())
    } else if !data.event_id.is_empty() {
        data.event_id.to_string()
    } else {
        hex::encode(Sha256::digest(&envelope.body))
    }
}

/// Some types tell no time at all: then it is the time of arrival.
fn occurred_at(body: &Body<'_>, data: &Data<'_>, envelope: &Envelope) -> Result<UnixMillis, ParkReason> {
    let told = [
        (&body.timestamp, "/timestamp"),
        (&body.created_at, "/createdAt"),
        (&data.creation_date, "/data/creationDate"),
    ];
    match told.into_iter().find(|(text, _)| !text.is_empty()) {
        Some((text, pointer)) => loose::time(text, pointer).map_err(|bad| bad.under("")),
        None => Ok(envelope.received_at),
    }
}

fn meaning(event_type: &str, data: &Data<'_>) -> (Kind, Outcome) {
    if event_type.starts_with("balancePlatform.report.") {
        (Kind::Settlement, Outcome::Succeeded)
    } else if event_type.starts_with("balancePlatform.transaction.") {
        (Kind::Settlement, status_outcome(&data.status))
    } else if event_type.starts_with("balancePlatform.transfer.") {
        (data.transfer_kind(), status_outcome(&data.status))
    } else if event_type.ends_with(".created") {
        (Kind::Other, Outcome::Created)
    } else {
        (Kind::Other, Outcome::Updated)
    }
}

fn status_outcome(status: &str) -> Outcome {
    match status {
        "received" => Outcome::Created,
        "booked" | "paidOut" | "captured" | "credited" => Outcome::Succeeded,
        "authorised" | "pending" | "pendingApproval" | "pendingExecution" => Outcome::Pending,
        "refused" | "rejected" => Outcome::Declined,
        "failed" | "returned" | "error" => Outcome::Failed,
        "cancelled" => Outcome::Canceled,
        "expired" | "authExpired" => Outcome::Expired,
        _ => Outcome::Updated,
    }
}

impl Data<'_> {
    /// Money that leaves for a bank account or card is a payout; what a card payment moves between balance accounts is
    /// settlement.
    fn transfer_kind(&self) -> Kind {
        match (self.category.as_str(), self.direction.as_str()) {
            ("bank" | "card", "outgoing") => Kind::Payout,
            ("platformPayment", _) => Kind::Settlement,
            _ => Kind::Other,
        }
    }

    /// Interchange told by the step that caused this event. Later updates repeat it, and must not count it again.
    fn interchange(&self, currency: &str) -> Option<i64> {
        let events = self.events.as_deref().unwrap_or_default();
        let newest = match events.iter().find(|event| !event.id.is_empty() && *event.id == *self.event_id) {
            Some(named) => named,
            None => events.last()?,
        };
        let told =
            newest.events_data.iter().flatten().filter(|data| data.data_type.as_str() == "interchangeData");
        let amounts = told.filter_map(|data| data.interchange_amount.as_ref());
        let same_currency = amounts.filter(|amount| amount.currency.eq_ignore_ascii_case(currency));
        same_currency
            .filter_map(|amount| loose::money(&amount.value, &amount.currency, exponent).ok().flatten())
            .map(|money| money.amount_minor)
            .reduce(i64::saturating_add)
    }
}
