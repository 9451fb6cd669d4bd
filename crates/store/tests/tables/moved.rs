//! A later webhook about the same fact tells another time. The newest stands, in its own minute only.

use payments::{Provider, UnixMillis};

use crate::harness::{DEADLINE, Fact, HOUR, MINUTE, NOW, Tables};
use store::rows::PaymentEventRow;

fn at(ms: i64) -> UnixMillis {
    UnixMillis(NOW.0 + ms)
}

/// How many facts there are in all, and in which minutes, counted from `NOW`'s.
async fn minutes(tables: &Tables) -> String {
    let now = NOW.minute().seconds();
    let sql = format!(
        "SELECT (SELECT count() FROM payment_events), (SELECT uniqExactMerge(facts) FROM payment_minutes), \
         (SELECT arrayStringConcat(arraySort(groupArray(m)), ' ') FROM \
         (SELECT toString((toUnixTimestamp(minute) - {now}) / 60) AS m FROM payment_minutes))"
    );
    tables.sql(&sql).await
}

#[tokio::test]
async fn to_another_minute_hour_or_day() {
    for (number, offset) in (0..).zip([1_000, 2 * MINUTE, 3 * HOUR, 40 * 24 * HOUR]) {
        let tables = Tables::new().await;
        let first = Fact::new(Provider::Adyen, number, at(0));
        tables.store_facts(std::slice::from_ref(&first), at(10)).await;
        tables.store_facts(&[first.again(100 + number, at(offset))], at(20)).await;
        assert_eq!(minutes(&tables).await, format!("1\t1\t{}", offset / MINUTE));
        tables.sql("TRUNCATE TABLE payment_events_stored").await;
        tables.sql("TRUNCATE TABLE payment_event_places").await;
    }
}

#[tokio::test]
async fn windows_that_show_only_one_of_the_minutes_are_right_too() {
    let tables = Tables::new().await;
    let first = Fact::new(Provider::Canonical, 1, at(0));
    tables.store_facts(std::slice::from_ref(&first), at(10)).await;
    tables.store_facts(&[first.again(2, at(HOUR))], at(20)).await;
    let window = |from: i64| {
        format!(
            "SELECT count() FROM payment_events WHERE occurred_at >= fromUnixTimestamp64Milli({}) \
             AND occurred_at < fromUnixTimestamp64Milli({})",
            at(from).0,
            at(from + 5 * MINUTE).0
        )
    };
    assert_eq!(tables.sql(&window(0)).await, "0");
    assert_eq!(tables.sql(&window(HOUR)).await, "1");
}

#[tokio::test]
async fn out_of_order_the_newest_still_stands() {
    let tables = Tables::new().await;
    let oldest = Fact::new(Provider::Adyen, 1, at(0));
    let middle = oldest.again(2, at(20 * MINUTE));
    let newest = oldest.again(3, at(90 * MINUTE));
    for (position, fact) in [&newest, &oldest, &middle, &oldest, &newest].into_iter().enumerate() {
        tables.store_facts(std::slice::from_ref(fact), at(i64::try_from(position).unwrap())).await;
        assert_eq!(minutes(&tables).await, "1\t1\t90");
    }
    tables.sql("OPTIMIZE TABLE payment_events_stored FINAL").await;
    tables.sql("OPTIMIZE TABLE payment_event_places FINAL").await;
    assert_eq!(minutes(&tables).await, "1\t1\t90");
}

#[tokio::test]
async fn all_copies_in_one_batch() {
    let tables = Tables::new().await;
    let first = Fact::new(Provider::Adyen, 1, at(0));
    let copies = [first.again(2, at(30 * MINUTE)), first.clone(), first.again(3, at(10 * MINUTE))];
    tables.store_facts(&copies, at(1)).await;
    assert_eq!(minutes(&tables).await, "1\t1\t30");
}

#[tokio::test]
async fn two_processors_at_once() {
    let tables = Tables::new().await;
    let facts: Vec<Fact> = (0..40).map(|number| Fact::new(Provider::Adyen, number, at(0))).collect();
    let copies: Vec<Fact> =
        (100..).zip(&facts).map(|(number, fact)| fact.again(number, at(7 * MINUTE))).collect();
    let other = tables.another();
    let (older, newer): (Vec<_>, Vec<_>) =
        (facts.iter().map(|f| f.row(at(1))).collect(), copies.iter().map(|f| f.row(at(1))).collect());
    let (a, b) = tokio::join!(
        tables.store.insert::<PaymentEventRow<'_>>(&older, DEADLINE),
        other.insert::<PaymentEventRow<'_>>(&newer, DEADLINE),
    );
    a.unwrap();
    b.unwrap();
    assert_eq!(minutes(&tables).await, format!("40\t40\t{}", ["7"; 40].join(" ")));
}

#[tokio::test]
async fn a_crash_before_the_look_is_mended_by_the_redelivery() {
    let tables = Tables::new().await;
    let first = Fact::new(Provider::Adyen, 1, at(0));
    let second = first.again(2, at(HOUR));
    tables.store_facts(std::slice::from_ref(&first), at(1)).await;
    // The row of the second, and then no process to look for older ones.
    let row = "INSERT INTO payment_events_stored \
               SELECT * REPLACE (occurred_at + INTERVAL 1 HOUR AS occurred_at) FROM payment_events_stored";
    tables.sql(row).await;
    assert_eq!(
        minutes(&tables).await,
        "2\t1\t0 60",
        "two rows, which only a set of identities tells to be one"
    );
    tables.store_facts(&[second], at(3)).await;
    assert_eq!(minutes(&tables).await, "1\t1\t60");
}

#[tokio::test]
async fn a_clock_that_is_ahead_is_taken_back_to_a_minute_after_arrival_where_times_may_differ() {
    let tables = Tables::new().await;
    let mut fact = Fact::new(Provider::Adyen, 1, at(0));
    fact.event.occurred_at = at(5 * HOUR);
    tables.store_facts(std::slice::from_ref(&fact), at(1)).await;
    let sql = "SELECT toUnixTimestamp64Milli(occurred_at) - toUnixTimestamp64Milli(received_at) FROM payment_events";
    assert_eq!(tables.sql(sql).await, "60000");

    // The provider repeats it two hours later, its clock still ahead: another arrival, another time, one fact.
    let mut again = fact.again(2, at(2 * HOUR));
    again.event.occurred_at = fact.event.occurred_at;
    tables.store_facts(&[again], at(2 * HOUR)).await;
    assert_eq!(minutes(&tables).await, "1\t1\t121");
}

/// A copy that came before the time it tells, and one that came after: the second is not ahead of any clock.
#[tokio::test]
async fn one_copy_ahead_of_our_clock_and_one_behind_it_are_one_fact_in_either_order() {
    for provider in [Provider::Stripe, Provider::Adyen, Provider::Checkout, Provider::Canonical] {
        for (number, late_first) in [(1, false), (2, true)] {
            let tables = Tables::new().await;
            let mut early = Fact::new(provider, number, at(0));
            early.event.occurred_at = at(5 * MINUTE);
            let late = early.again(100 + number, at(5 * MINUTE));
            let mut copies = [early, late];
            if late_first {
                copies.reverse();
            }
            for copy in &copies {
                tables.store_facts(std::slice::from_ref(copy), at(10 * MINUTE)).await;
            }
            assert_eq!(minutes(&tables).await, "1\t1\t5", "{provider}, late first: {late_first}");
            tables.sql("TRUNCATE TABLE payment_events_stored").await;
            tables.sql("TRUNCATE TABLE payment_event_places").await;
        }
    }
}

#[tokio::test]
async fn what_an_older_mapping_left_behind_can_be_retracted() {
    let tables = Tables::new().await;
    let facts: Vec<Fact> = (0..4).map(|number| Fact::new(Provider::Stripe, number, at(0))).collect();
    tables.store_facts(&facts, at(1)).await;
    // The next mapping finds no fact in number 0, and moves number 1; 2 and 3 stay in their minute.
    let remapped = "INSERT INTO payment_events_stored \
        SELECT * REPLACE (mapper_version + 1 AS mapper_version, \
        if(event_id = 'evt_00000001', occurred_at + INTERVAL 1 HOUR, occurred_at) AS occurred_at) \
        FROM payment_events_stored WHERE event_id != 'evt_00000000'";
    tables.sql(remapped).await;
    assert_eq!(tables.sql("SELECT count() FROM payment_events").await, "5");
    let retract = format!(
        "INSERT INTO payment_events_stored \
         (source, event_id, fact, occurred_at, received_at, mapper_version, is_deleted) \
         SELECT source, event_id, fact, occurred_at, received_at, mapper_version, 1 \
         FROM payment_events_stored FINAL \
         WHERE source = 'stripe-us' AND mapper_version < {}",
        Provider::Stripe.mapper_version() + 1
    );
    for _ in 0..2 {
        tables.sql(&retract).await;
        assert_eq!(minutes(&tables).await, "3\t3\t0 0 60");
    }
}
