//! Events that match, as lines for people, as JSON, or verified again.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clickhouse::query::Query;
use clickhouse::{Client, Row};
use payments::{Currency, Money, UnixMillis};
use runtime::Config;
use serde::Deserialize;
use uuid::Uuid;

use super::request::{COLUMNS, Webhook, verify_again};
use super::{EventsArgs, asking, json_lines};

#[derive(Row, Deserialize)]
struct Event {
    occurred_at: i64,
    source: String,
    kind: String,
    outcome: String,
    amount_minor: i64,
    currency: String,
    decline_code: String,
    decline_category: String,
    payment_id: String,
    order_id: String,
    event_id: String,
    #[serde(with = "clickhouse::serde::uuid")]
    webhook_id: Uuid,
}

const SHOWN: &str = "occurred_at, source, kind, outcome, amount_minor, currency, decline_code, decline_category, \
                     payment_id, order_id, event_id, webhook_id";

/// What to answer with.
pub(super) async fn search(client: &Client, config: &Config, args: &EventsArgs) -> anyhow::Result<ExitCode> {
    if args.verify {
        return verify(client, config, args).await;
    }
    if args.json {
        return json_lines(asked(client, "*", args), config).await;
    }
    let events: Vec<Event> = asked(client, SHOWN, args).fetch_all().await.with_context(|| asking(config))?;
    print_events(&events)?;
    Ok(if events.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The newest events that match every given condition.
fn asked(client: &Client, columns: &str, args: &EventsArgs) -> Query {
    let mut sql = format!("SELECT {columns} FROM payment_events WHERE 1");
    let texts = [
        ("payment_id", &args.payment),
        ("event_id", &args.event),
        ("order_id", &args.order),
        ("source", &args.source),
        ("outcome", &args.outcome),
        ("kind", &args.kind),
    ];
    let mut values = Vec::new();
    for (column, value) in texts {
        if let Some(value) = value {
            sql.push_str(&format!(" AND {column} = ?"));
            values.push(value.clone());
        }
    }
    for (column, value) in &args.conditions {
        sql.push_str(&format!(" AND toString({column}) = ?"));
        values.push(value.clone());
    }
    for (condition, time) in [
        ("occurred_at >=", args.from),
        ("occurred_at <", args.to),
        ("received_at >=", args.received_from),
        ("received_at <", args.received_to),
    ] {
        if let Some(at) = time {
            sql.push_str(&format!(" AND {condition} fromUnixTimestamp64Milli({})", at.0));
        }
    }
    sql.push_str(&format!(" ORDER BY occurred_at DESC LIMIT {}", args.limit));
    values.into_iter().fold(client.query(&sql), Query::bind)
}

#[derive(Row, Deserialize)]
struct Owner {
    #[serde(with = "clickhouse::serde::uuid")]
    webhook_id: Uuid,
    received_at: i64,
}

/// Requests asked for at once: their bodies are held until they are verified.
const VERIFIED_AT_ONCE: usize = 100;

/// Verifies the requests of the events that match, and names those that are not genuine today.
async fn verify(client: &Client, config: &Config, args: &EventsArgs) -> anyhow::Result<ExitCode> {
    let mut owners: Vec<Owner> =
        asked(client, "webhook_id, received_at", args).fetch_all().await.with_context(|| asking(config))?;
    owners.sort_by_key(|owner| (owner.received_at, owner.webhook_id));
    owners.dedup_by_key(|owner| owner.webhook_id);
    let (mut genuine, mut found) = (0, 0);
    for owners in owners.chunks(VERIFIED_AT_ONCE) {
        // With the times, which are the table's order: only the ids would have it read all of it.
        let keys: Vec<String> = owners
            .iter()
            .map(|owner| format!("(fromUnixTimestamp64Milli({}), '{}')", owner.received_at, owner.webhook_id))
            .collect();
        let sql = format!(
            "SELECT {COLUMNS} FROM webhooks WHERE (received_at, webhook_id) IN ({})",
            keys.join(", ")
        );
        let webhooks: Vec<Webhook> =
            client.query_raw(&sql).fetch_all().await.with_context(|| asking(config))?;
        for webhook in &webhooks {
            found += 1;
            match verify_again(config, webhook) {
                Ok(_) => genuine += 1,
                Err(why) => writeln!(std::io::stdout(), "webhook {}: {why}", webhook.webhook_id)?,
            }
        }
    }
    let gone = owners.len() - found;
    writeln!(
        std::io::stdout(),
        "{genuine} of {} requests are genuine by the secrets of today, {} are not, {gone} are stored no more",
        owners.len(),
        found - genuine
    )?;
    Ok(if genuine == owners.len() && genuine > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_events(events: &[Event]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for event in events {
        let money = Currency::parse(&event.currency).map(|currency| Money::new(event.amount_minor, currency));
        writeln!(
            out,
            "{}  {:<14} {:<14} {:<10} {:>16}  {}",
            UnixMillis(event.occurred_at),
            event.source,
            event.kind,
            event.outcome,
            money.map(|money| money.to_string()).unwrap_or_default(),
            if event.decline_code.is_empty() {
                String::new()
            } else {
                format!("{} ({})", event.decline_code, event.decline_category)
            },
        )?;
        writeln!(
            out,
            "    payment {}  order {}  event {}  webhook {}",
            or_dash(&event.payment_id),
            or_dash(&event.order_id),
            event.event_id,
            event.webhook_id
        )?;
    }
    if events.is_empty() {
        writeln!(out, "no event matches")?;
    }
    Ok(())
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
