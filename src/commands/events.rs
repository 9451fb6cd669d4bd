//! `tillwatch events`: find payment events, show the request they came from byte by byte, verify it again.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use axum::http::HeaderName;
use clap::Args;
use clickhouse::{Client, Row};
use payments::{Currency, Money, Provider, Request, UnixMillis, Verifier};
use runtime::Config;
use serde::Deserialize;
use uuid::Uuid;

use crate::bootstrap::load_config;
use crate::cli::Global;
use crate::stores;

/// Find payment events.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tillwatch events --payment pi_3Q8\n  tillwatch events --source adyen-eu --from 2026-11-22T03:00:00Z --outcome declined\n  tillwatch events --webhook 0193a1b2-… --verify"
)]
pub(crate) struct EventsArgs {
    /// The provider's payment id
    #[arg(long, value_name = "ID")]
    payment: Option<String>,
    /// The provider's event id
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// The merchant's own reference
    #[arg(long, value_name = "ID")]
    order: Option<String>,
    /// A configured source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// approved, declined, failed, …
    #[arg(long)]
    outcome: Option<String>,
    /// Any dimension: issuer='Tamberline Bank'; repeat for several
    #[arg(long = "where", value_name = "COLUMN=VALUE", value_parser = condition)]
    conditions: Vec<(String, String)>,
    /// Occurred at or after (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<UnixMillis>,
    /// Occurred before (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<UnixMillis>,
    /// Newest events shown, at most
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Show this request as it arrived instead: headers and exact body
    #[arg(long, value_name = "UUID")]
    webhook: Option<Uuid>,
    /// With --webhook: only the exact bytes of the body
    #[arg(long, requires = "webhook")]
    raw: bool,
    /// With --webhook: verify its signature with the secrets of today, as of its arrival
    #[arg(long, requires = "webhook")]
    verify: bool,
}

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

#[derive(Row, Deserialize)]
struct Webhook {
    source: String,
    provider: String,
    received_at: i64,
    secret: String,
    outcome: String,
    headers: Vec<(String, serde_bytes::ByteBuf)>,
    body: serde_bytes::ByteBuf,
}

pub(crate) fn run(global: &Global, args: &EventsArgs) -> anyhow::Result<ExitCode> {
    let config = load_config(global)?;
    let client = stores::open(&config)?.client();
    tokio::runtime::Runtime::new()?.block_on(async {
        match args.webhook {
            Some(id) => show(&client, &config, id, args).await,
            None => search(&client, &config, args).await,
        }
    })
}

/// What was being done when a query failed.
fn asking(config: &Config) -> String {
    format!("asking ClickHouse at {} (is `tillwatch serve` running?)", config.store.http_url())
}

fn time(text: &str) -> Result<UnixMillis, String> {
    UnixMillis::from_rfc3339(text).map_err(|_| "write it as 2026-11-22T03:00:00Z (RFC 3339)".to_owned())
}

/// `column=value`, the value quoted or not; the column is one of [`store::DIMENSIONS`], so it is safe in SQL.
fn condition(text: &str) -> Result<(String, String), String> {
    let (column, value) = text.split_once('=').ok_or("write it as COLUMN=VALUE")?;
    if !store::DIMENSIONS.contains(&column) {
        return Err(format!("no such column; one of {}", store::DIMENSIONS.join(", ")));
    }
    let value = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(value);
    Ok((column.to_owned(), value.to_owned()))
}

/// Lists the newest events that match every given condition.
async fn search(client: &Client, config: &Config, args: &EventsArgs) -> anyhow::Result<ExitCode> {
    let mut sql = String::from(
        "SELECT occurred_at, source, kind, outcome, amount_minor, currency, decline_code, decline_category, \
         payment_id, order_id, event_id, webhook_id FROM payment_events WHERE 1",
    );
    let texts = [
        ("payment_id", &args.payment),
        ("event_id", &args.event),
        ("order_id", &args.order),
        ("source", &args.source),
        ("outcome", &args.outcome),
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
    for (condition, time) in [("occurred_at >=", args.from), ("occurred_at <", args.to)] {
        if let Some(at) = time {
            sql.push_str(&format!(" AND {condition} fromUnixTimestamp64Milli({})", at.0));
        }
    }
    sql.push_str(&format!(" ORDER BY occurred_at DESC LIMIT {}", args.limit));
    let query = values.into_iter().fold(client.query(&sql), clickhouse::query::Query::bind);
    let events: Vec<Event> = query.fetch_all().await.with_context(|| asking(config))?;
    print_events(&events)?;
    Ok(if events.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
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

/// Shows one request as it arrived.
async fn show(client: &Client, config: &Config, id: Uuid, args: &EventsArgs) -> anyhow::Result<ExitCode> {
    // The client does not read named tuples.
    let sql = "SELECT source, provider, received_at, secret, outcome, \
               CAST(headers, 'Array(Tuple(String, String))') AS headers, body FROM webhooks WHERE webhook_id = ?";
    let found = client.query(sql).bind(id.to_string()).fetch_optional();
    let found: Option<Webhook> = found.await.with_context(|| asking(config))?;
    let mut out = std::io::stdout().lock();
    let Some(webhook) = found else {
        writeln!(
            out,
            "no webhook {id}: it may be older than store.retention.webhooks_days, or not stored yet"
        )?;
        return Ok(ExitCode::FAILURE);
    };
    if args.raw {
        out.write_all(&webhook.body)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "webhook   {id}")?;
    writeln!(out, "source    {} ({})", webhook.source, webhook.provider)?;
    writeln!(out, "received  {}", UnixMillis(webhook.received_at))?;
    writeln!(out, "verified  on arrival, by {}", webhook.secret)?;
    writeln!(out, "outcome   {}", webhook.outcome)?;
    if args.verify {
        writeln!(out, "again     {}", verify_again(config, &webhook))?;
    }
    writeln!(out)?;
    for (name, value) in &webhook.headers {
        writeln!(out, "{name}: {}", String::from_utf8_lossy(value))?;
    }
    writeln!(out)?;
    out.write_all(&webhook.body)?;
    writeln!(out)?;
    Ok(ExitCode::SUCCESS)
}

/// Verifies the stored bytes with the secrets of today, as of the arrival, and says how that ended.
fn verify_again(config: &Config, webhook: &Webhook) -> String {
    let Some(source) = config.sources.iter().find(|source| source.name == webhook.source) else {
        return format!("not possible: source `{}` is not configured any more", webhook.source);
    };
    let provider: Provider = source.provider;
    let folder = config.folder();
    let secrets: Result<Vec<_>, _> = source.secrets.iter().map(|secret| secret.resolve(&folder)).collect();
    let verifier = match secrets.map_err(anyhow::Error::from).and_then(|s| Ok(Verifier::new(provider, &s)?)) {
        Ok(verifier) => verifier,
        Err(error) => return format!("not possible: {error:#}"),
    };
    let mut headers = axum::http::HeaderMap::new();
    for (name, value) in &webhook.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), value.as_slice().try_into()) {
            headers.append(name, value);
        }
    }
    let body = webhook.body.to_vec().into();
    match verifier.verify(Request { headers: &headers, body: &body }, UnixMillis(webhook.received_at)) {
        Ok(verified) => {
            let secret =
                source.secrets.get(verified.secret_index).map(ToString::to_string).unwrap_or_default();
            format!("genuine, by {secret}")
        }
        Err(rejection) => format!("{}: {}", rejection.name(), rejection.advice()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_before_anything_is_asked() {
        assert_eq!(time("2026-11-22T03:00:00Z").unwrap().0, 1_795_316_400_000);
        assert!(time("yesterday").unwrap_err().contains("2026-11-22T03:00:00Z"));
    }
}
