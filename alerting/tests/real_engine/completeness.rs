//! A webhook that was acknowledged and is not stored: when it is paged, what the page says, when it is over.

use std::collections::BTreeMap;
use std::time::Duration;

use alerting::page::{Action, full_text, title};
use payments::tally::fingerprint;
use payments::{Tally, UnixMillis};
use store::rows::TallyRow;
use uuid::Uuid;

use super::harness::{Alerting, Engine, Told, at};
use super::scenarios::MINUTE;

/// Five minutes past the hour: some of what arrived lies in the hour before.
const NOW: &str = "14:05:00";

/// Two webhooks a minute of each source, for `minutes` up to `now`.
fn traffic(now: UnixMillis, minutes: i64) -> Vec<Told> {
    (1..=minutes)
        .flat_map(|ago| {
            let at = UnixMillis(now.0 - ago * MINUTE);
            ["stripe-us", "adyen-eu"].map(|source| {
                [10, 40].map(|second| Told::approved(source, "Bank", UnixMillis(at.0 + second * 1_000)))
            })
        })
        .flatten()
        .collect()
}

/// What ingest counted of `told`, minute by minute.
async fn count(alerting: &Alerting, told: &[Told]) {
    let mut tallies: BTreeMap<(String, UnixMillis), Tally> = BTreeMap::new();
    for one in told {
        let (source, minute) = (one.envelope.source.clone(), one.envelope.received_at.minute());
        let tally = tallies.entry((source.clone(), minute)).or_insert_with(|| Tally {
            cell: Uuid::new_v4(),
            minute,
            instance: "till-1".to_owned(),
            source,
            acknowledged: 0,
            fingerprint: 0,
            uncertain: 0,
            uncertain_ids: Vec::new(),
        });
        tally.acknowledged += 1;
        tally.fingerprint = tally.fingerprint.wrapping_add(fingerprint(one.envelope.id));
    }
    let rows: Vec<_> = tallies.values().map(|tally| TallyRow::new(tally, alerting.now)).collect();
    alerting.store.insert::<TallyRow<'_>>(&rows, Duration::from_mins(1)).await.unwrap();
}

fn metric(alerting: &Alerting, source: &str) -> Option<u64> {
    let text = String::from_utf8(alerting.telemetry.prometheus_text().unwrap()).unwrap();
    let name = "tillwatch_completeness_missing_webhooks{";
    let line = text.lines().find(|line| line.starts_with(name) && line.contains(source))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// The one webhook of `source` that came `second` seconds into the minute `ago` minutes ago is taken out.
fn lose(told: &mut Vec<Told>, source: &str, now: UnixMillis, ago: i64) -> Told {
    let minute = UnixMillis(now.0 - ago * MINUTE);
    let lost = told
        .iter()
        .position(|one| one.envelope.source == source && one.envelope.received_at.minute() == minute)
        .unwrap();
    told.remove(lost)
}

pub(crate) async fn what_is_acknowledged_and_not_stored_is_paged_until_it_is(engine: &Engine) {
    let mut alerting = Alerting::new(engine, "incomplete", at(NOW)).await;
    let mut told = traffic(alerting.now, 60);
    count(&alerting, &told).await;
    let lost = [20, 21, 40].map(|ago| lose(&mut told, "stripe-us", at(NOW), ago));
    let late = lose(&mut told, "adyen-eu", at(NOW), 14);
    alerting.told(&told).await;
    let mut nothing = |_| Vec::new();

    let paged = alerting.tick_until(Action::Trigger, 3, &mut nothing).await;
    assert_eq!(paged.page.rule, "completeness");
    assert_eq!(title(&paged.page), "P1 3 acknowledged stripe-us webhooks are not stored");
    assert_eq!(paged.page.since, Some(lost[2].envelope.received_at.minute()));
    insta::assert_snapshot!(full_text(&paged));
    assert_eq!((metric(&alerting, "stripe-us"), metric(&alerting, "adyen-eu")), (Some(3), Some(0)));

    // Another processor had this one in hand. It is stored before its time is over, and nobody hears of it.
    alerting.told(&[late]).await;
    // One comes back of three: still open.
    alerting.told(&lost[..1]).await;
    for _ in 0..12 {
        let report = alerting.tick(&mut nothing).await;
        assert!(
            report.changes.messages.iter().all(|(_, message)| message.action == Action::Update),
            "{:?}",
            report.changes.messages
        );
    }
    assert_eq!((metric(&alerting, "stripe-us"), metric(&alerting, "adyen-eu")), (Some(2), Some(0)));

    alerting.told(&lost[1..]).await;
    let resolved = alerting.tick_until(Action::Resolve, 20, &mut nothing).await;
    assert!(resolved.line.starts_with("Everything acknowledged is stored. Confirmed "), "{}", resolved.line);
    assert_eq!((metric(&alerting, "stripe-us"), metric(&alerting, "adyen-eu")), (Some(0), Some(0)));
}

pub(crate) async fn nothing_is_told_of_what_has_not_settled_or_while_data_are_stale(engine: &Engine) {
    let mut alerting = Alerting::new(engine, "unsettled", at(NOW)).await;
    let mut told = traffic(alerting.now, 30);
    count(&alerting, &told).await;
    lose(&mut told, "stripe-us", at(NOW), 14);
    alerting.told(&told).await;
    let report = alerting.tick(&mut |_| Vec::new()).await;
    assert_eq!((report.changes.messages.len(), metric(&alerting, "stripe-us")), (0, Some(0)));

    // No heartbeat comes through any more: there is a backlog, or nobody who works. What would settle meanwhile is not
    // judged, and the metric says nothing rather than something old.
    alerting.now = UnixMillis(alerting.now.0 + 10 * MINUTE);
    let report = alerting.step().await;
    assert!(report.changes.messages.iter().all(|(_, message)| message.page.rule != "completeness"));
    assert_eq!(metric(&alerting, "stripe-us"), None);
    alerting.heartbeat().await;
    let paged = alerting.tick_until(Action::Trigger, 8, &mut |_| Vec::new()).await;
    assert_eq!(title(&paged.page), "P1 1 acknowledged stripe-us webhook is not stored");
}
