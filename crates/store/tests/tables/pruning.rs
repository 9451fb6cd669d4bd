//! A question about some minutes reads those minutes, whatever else is stored.

use payments::{Provider, UnixMillis};

use crate::harness::{HOUR, MINUTE, NOW, Tables};

/// A week of 40,000 facts a day, written by the engine itself.
async fn week(tables: &Tables) {
    for day in 0..7 {
        let from = NOW.0 - day * 24 * HOUR;
        let sql = format!(
            "INSERT INTO payment_events_stored (event_id, source, provider, kind, outcome, occurred_at, received_at, \
             payment_id, order_id, mapper_version) \
             SELECT 'e{day}-' || toString(number), 'stripe-us', '{}', 'authorization', 'approved', \
             fromUnixTimestamp64Milli({from} - number * 2000, 'UTC'), \
             fromUnixTimestamp64Milli({from} - number * 2000 + 900, 'UTC'), \
             'pay{day}-' || toString(number), 'order{day}-' || toString(number), 1 FROM numbers(40000)",
            Provider::Stripe
        );
        tables.sql(&sql).await;
    }
}

/// The granules that `sql` reads of all that there are.
async fn granules(tables: &Tables, sql: &str) -> (u64, u64) {
    let plan = tables.sql(&format!("EXPLAIN indexes = 1 {sql}")).await;
    let counts: Vec<(u64, u64)> = plan
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Granules: "))
        .filter_map(|text| text.split_once('/'))
        .map(|(read, of)| (read.parse().unwrap(), of.parse().unwrap()))
        .collect();
    let read = counts.last().unwrap_or_else(|| panic!("{plan}")).0;
    (read, counts.iter().map(|(_, of)| *of).max().unwrap())
}

fn between(column: &str, from: i64, to: i64) -> String {
    let (from, to) = (UnixMillis(NOW.0 - from).minute().0, UnixMillis(NOW.0 - to).minute().0);
    format!(
        "{column} >= fromUnixTimestamp64Milli({from}, 'UTC') AND {column} < fromUnixTimestamp64Milli({to}, 'UTC')"
    )
}

#[tokio::test]
async fn by_the_clock_of_the_provider_or_ours() {
    let tables = Tables::new().await;
    week(&tables).await;
    for (table, column) in
        [("payment_minutes", "minute"), ("payment_events", "occurred_at"), ("payment_events", "received_at")]
    {
        let sql = format!("SELECT count() FROM {table} WHERE {}", between(column, 60 * MINUTE, 0));
        assert_eq!(tables.sql(&sql).await.parse::<u32>().unwrap().div_ceil(10), 180, "{sql}");
        let (read, all) = granules(&tables, &sql).await;
        assert!(all >= 35 && read <= 3, "{sql}: {read} of {all} granules");
    }
}

#[tokio::test]
async fn by_an_id_without_a_time() {
    let tables = Tables::new().await;
    week(&tables).await;
    for (column, value) in [("payment_id", "pay3-777"), ("order_id", "order5-12"), ("event_id", "e6-39999")] {
        let sql = format!("SELECT count() FROM payment_events WHERE {column} = '{value}'");
        assert_eq!(tables.sql(&sql).await, "1", "{sql}");
        let (read, all) = granules(&tables, &sql).await;
        assert!(all >= 35 && read <= all / 3, "{sql}: {read} of {all} granules");
    }
}
