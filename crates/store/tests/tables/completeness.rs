//! What was acknowledged is compared with what is stored, in the hard cases too.

use payments::tally::fingerprint;
use payments::{Envelope, Provider, Tally, UnixMillis};
use store::rows::{TallyRow, WebhookRow};
use uuid::Uuid;

use crate::harness::{DEADLINE, HOUR, MINUTE, NOW, Tables, envelope};
use testing::eventually;

/// Webhooks of `stripe-us`, one each second from `from`, with ids of their own that begin at `id`.
fn webhooks(id: u128, count: u32, from: UnixMillis) -> Vec<Envelope> {
    (0..count)
        .map(|number| {
            let received_at = UnixMillis(from.0 + i64::from(number) * 1_000);
            // As random in their last eight bytes as real ones.
            let id = id + u128::from(number);
            let spread = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) & u128::from(u64::MAX);
            envelope(Provider::Stripe, (id << 64) | spread, received_at, &[], b"{}")
        })
        .collect()
}

/// What a process that acknowledged `acknowledged`, and does not know of `uncertain`, counted in each minute.
fn tallies(cell: u128, acknowledged: &[Envelope], uncertain: &[Envelope]) -> Vec<Tally> {
    let mut tallies: Vec<Tally> = Vec::new();
    let both = acknowledged.iter().map(|one| (one, true)).chain(uncertain.iter().map(|one| (one, false)));
    for (one, is_acknowledged) in both {
        let minute = one.received_at.minute();
        let index = tallies.iter().position(|tally| tally.minute == minute).unwrap_or_else(|| {
            tallies.push(Tally {
                cell: Uuid::from_u128(cell + u128::try_from(minute.0).unwrap()),
                minute,
                instance: "till-1".to_owned(),
                source: one.source.clone(),
                acknowledged: 0,
                fingerprint: 0,
                uncertain: 0,
                uncertain_ids: Vec::new(),
            });
            tallies.len() - 1
        });
        let tally = &mut tallies[index];
        if is_acknowledged {
            tally.acknowledged += 1;
            tally.fingerprint = tally.fingerprint.wrapping_add(fingerprint(one.id));
        } else {
            tally.uncertain += 1;
            tally.uncertain_ids.push(one.id);
        }
    }
    tallies
}

impl Tables {
    async fn store_tallies(&self, tallies: &[Tally], stored_at: UnixMillis) {
        let rows: Vec<_> = tallies.iter().map(|tally| TallyRow::new(tally, stored_at)).collect();
        self.store.insert::<TallyRow<'_>>(&rows, DEADLINE).await.unwrap();
    }

    /// Acknowledged, uncertain, stored, parked, missing, unaccounted, exact; one line for each hour.
    async fn completeness(&self) -> String {
        self.sql(
            "SELECT acknowledged, uncertain, stored, parked, missing, unaccounted, exact FROM completeness \
             WHERE source = 'stripe-us' ORDER BY hour",
        )
        .await
    }
}

#[tokio::test]
async fn everything_is_stored_however_often() {
    let tables = Tables::new().await;
    // Over the end of an hour.
    let all = webhooks(1, 600, UnixMillis(NOW.0 + 50 * MINUTE));
    tables.store_webhooks(&all, NOW).await;
    tables.store_webhooks(&all[..200], UnixMillis(NOW.0 + 1)).await;
    tables.store_tallies(&tallies(1, &all, &[]), NOW).await;
    let hours = tables.completeness().await;
    assert_eq!(hours, "180\t0\t180\t0\t0\t0\t1\n420\t0\t420\t0\t0\t0\t1");
    let sums = tables.sql("SELECT sum(acknowledged), sum(stored) FROM completeness").await;
    assert_eq!(sums, "600\t600");
}

#[tokio::test]
async fn one_is_missing_until_it_comes() {
    let tables = Tables::new().await;
    let all = webhooks(1, 100, NOW);
    tables.store_webhooks(&[&all[..40], &all[41..]].concat(), NOW).await;
    tables.store_tallies(&tallies(1, &all, &[]), NOW).await;
    assert_eq!(tables.completeness().await, "100\t0\t99\t0\t1\t0\t0");
    let minute = "SELECT toUnixTimestamp(minute), missing FROM completeness_minutes WHERE missing > 0";
    let expected = format!("{}\t1", all[40].received_at.minute().seconds());
    assert_eq!(tables.sql(minute).await, expected);

    tables.store_webhooks(&all[40..41], UnixMillis(NOW.0 + HOUR)).await;
    assert_eq!(tables.completeness().await, "100\t0\t100\t0\t0\t0\t1");
    tables.sql(&format!("DELETE FROM webhooks_stored WHERE webhook_id = '{}'", all[7].id)).await;
    assert_eq!(tables.completeness().await, "100\t0\t99\t0\t1\t0\t0");
}

#[tokio::test]
async fn a_parked_one_is_stored() {
    let tables = Tables::new().await;
    let all = webhooks(1, 10, NOW);
    tables.store_webhooks(&all[1..], NOW).await;
    let parked = [WebhookRow::new(&all[0], "parked", 0, NOW)];
    tables.store.insert::<WebhookRow<'_>>(&parked, DEADLINE).await.unwrap();
    tables.store_parked(&all[..1], NOW).await;
    tables.store_tallies(&tallies(1, &all, &[]), NOW).await;
    assert_eq!(tables.completeness().await, "10\t0\t9\t1\t0\t0\t1");
}

/// Counts alone would be equal.
#[tokio::test]
async fn a_lost_one_does_not_hide_behind_one_that_nobody_counted() {
    let tables = Tables::new().await;
    let all = webhooks(1, 50, NOW);
    tables.store_webhooks(&all[1..], NOW).await;
    tables.store_tallies(&tallies(1, &all[..49], &[]), NOW).await;
    assert_eq!(tables.completeness().await, "49\t0\t49\t0\t1\t1\t0");
}

#[tokio::test]
async fn uncertain_ones_are_no_loss_and_hide_none() {
    let tables = Tables::new().await;
    let all = webhooks(1, 50, NOW);
    let (acknowledged, uncertain) = all.split_at(40);
    tables.store_tallies(&tallies(1, acknowledged, uncertain), NOW).await;
    tables.store_webhooks(acknowledged, NOW).await;
    assert_eq!(tables.completeness().await, "40\t10\t40\t0\t0\t0\t1", "none of them is stored");
    tables.store_webhooks(&uncertain[..7], NOW).await;
    assert_eq!(tables.completeness().await, "40\t10\t47\t0\t0\t0\t1", "some of them are stored");
    tables.sql(&format!("DELETE FROM webhooks_stored WHERE webhook_id = '{}'", all[3].id)).await;
    assert_eq!(tables.completeness().await, "40\t10\t46\t0\t1\t0\t0", "and one that is acknowledged is not");
}

#[tokio::test]
async fn more_uncertain_ones_than_are_named_make_a_range() {
    let tables = Tables::new().await;
    let all = webhooks(1, 50, NOW);
    let mut counted = tallies(1, &all[..40], &all[40..]);
    for tally in &mut counted {
        tally.uncertain_ids.clear();
    }
    tables.store_tallies(&counted, NOW).await;
    tables.store_webhooks(&all, NOW).await;
    assert_eq!(tables.completeness().await, "40\t10\t50\t0\t0\t0\t0", "within the range, and no proof");
    tables.sql("TRUNCATE TABLE webhooks_stored").await;
    tables.store_webhooks(&all[..39], NOW).await;
    assert_eq!(tables.completeness().await, "40\t10\t39\t0\t1\t0\t0", "below it");
}

#[tokio::test]
async fn a_tally_that_grows_is_repeated_and_comes_late_counts_once() {
    let tables = Tables::new().await;
    let all = webhooks(1, 30, UnixMillis(NOW.0 + 60 * MINUTE - NOW.0.rem_euclid(MINUTE)));
    tables.store_webhooks(&all, NOW).await;
    let grown: Vec<Vec<Tally>> = (1..=3).map(|part| tallies(1, &all[..part * 10], &[])).collect();
    for at in [0, 2, 1, 2, 0] {
        tables.store_tallies(&grown[at], UnixMillis(NOW.0 + 5_000)).await;
    }
    assert_eq!(tables.completeness().await, "30\t0\t30\t0\t0\t0\t1");
    tables.sql("OPTIMIZE TABLE acknowledged_stored FINAL").await;
    assert_eq!(tables.completeness().await, "30\t0\t30\t0\t0\t0\t1");
    assert_eq!(
        tables.sql("SELECT count(), any(acknowledged), any(instance) FROM acknowledged").await,
        "1\t30\ttill-1"
    );
}

#[tokio::test]
async fn two_processes_and_two_runs_add_up() {
    let tables = Tables::new().await;
    let all = webhooks(1, 90, NOW);
    tables.store_webhooks(&all, NOW).await;
    for (cell, part) in (1..).zip(all.chunks(30)) {
        tables.store_tallies(&tallies(cell << 80, part, &[]), NOW).await;
    }
    assert_eq!(tables.completeness().await, "90\t0\t90\t0\t0\t0\t1");
}

/// The last tally of a process that was killed never came: too little is counted, which is no loss and no proof.
#[tokio::test]
async fn a_lost_tally_calls_nothing_missing_and_hides_nothing_of_other_minutes() {
    let tables = Tables::new().await;
    let start = UnixMillis(NOW.0 + 10 * MINUTE - NOW.0.rem_euclid(MINUTE));
    let all = webhooks(1, 180, start);
    let mut counted = tallies(1, &all, &[]);
    counted.remove(1);
    tables.store_tallies(&counted, NOW).await;
    tables.store_webhooks(&all, NOW).await;
    assert_eq!(tables.completeness().await, "120\t0\t180\t0\t0\t60\t0");
    tables.sql(&format!("DELETE FROM webhooks_stored WHERE webhook_id = '{}'", all[0].id)).await;
    assert_eq!(tables.completeness().await, "120\t0\t179\t0\t1\t60\t0");
}

#[tokio::test]
async fn what_an_ingest_without_tallies_accepted_is_not_missing() {
    let tables = Tables::new().await;
    tables.store_webhooks(&webhooks(1, 20, NOW), NOW).await;
    assert_eq!(tables.completeness().await, "0\t0\t20\t0\t0\t20\t0");
}

/// The count of a webhook goes before the webhook does.
#[tokio::test]
async fn rows_whose_time_is_over_are_not_missing() {
    let tables = Tables::new().await;
    let now: i64 = tables.sql("SELECT toUnixTimestamp64Milli(now64(3))").await.parse().unwrap();
    let old = webhooks(1, 10, UnixMillis(now - (90 * 24 - 6) * HOUR));
    let recent = webhooks(100, 10, UnixMillis(now - HOUR));
    for all in [&old, &recent] {
        tables.store_webhooks(all, NOW).await;
        tables.store_tallies(&tallies(1, all, &[]), NOW).await;
    }
    tables.sql("OPTIMIZE TABLE acknowledged_stored FINAL").await;
    eventually("the old count is gone", async || {
        tables.sql("SELECT sum(acknowledged) FROM acknowledged").await == "10"
    })
    .await;
    assert_eq!(tables.sql("SELECT count() FROM webhooks").await, "20", "and its webhooks are not");
    assert_eq!(tables.sql("SELECT sum(missing) FROM completeness").await, "0");
}

#[tokio::test]
async fn a_question_about_an_hour_reads_that_hour() {
    let tables = Tables::new().await;
    let sql = format!(
        "INSERT INTO webhooks_stored (webhook_id, source, provider, received_at, outcome, body) \
         SELECT generateUUIDv4(), 'stripe-us', 'stripe', fromUnixTimestamp64Milli({} - number * 2000, 'UTC'), 'stored', \
         repeat('x', 2000) FROM numbers(43200)",
        NOW.0
    );
    tables.sql(&sql).await;
    let hour = UnixMillis(NOW.0 - NOW.0.rem_euclid(HOUR) - 5 * HOUR).seconds();
    let question = format!("SELECT sum(stored) FROM completeness WHERE hour = toDateTime({hour}, 'UTC')");
    assert_eq!(tables.sql(&question).await, "1800");
    let plan = tables.sql(&format!("EXPLAIN indexes = 1 {question}")).await;
    let webhooks = plan.split("webhooks_stored)").nth(1).unwrap_or_else(|| panic!("{plan}"));
    let counts: Vec<(u64, u64)> = webhooks
        .lines()
        .filter_map(|line| line.split_once("Granules: "))
        .filter_map(|(_, text)| text.trim().split_once('/'))
        .filter_map(|(read, of)| Some((read.parse().ok()?, of.parse().ok()?)))
        .take(3)
        .collect();
    let read = counts.iter().map(|(read, _)| *read).min().unwrap();
    let all = counts.iter().map(|(_, of)| *of).max().unwrap();
    assert!(all >= 40 && read <= 4, "{read} of {all} granules:\n{plan}");
}
