//! Requests that were accepted and not understood.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clickhouse::query::Query;
use clickhouse::{Client, Row};
use payments::UnixMillis;
use runtime::Config;
use serde::Deserialize;
use uuid::Uuid;

use super::{EventsArgs, asking, json_lines};

#[derive(Row, Deserialize)]
struct Parked {
    #[serde(with = "clickhouse::serde::uuid")]
    webhook_id: Uuid,
    source: String,
    received_at: i64,
    reason: String,
    detail: String,
}

#[derive(Row, Deserialize)]
struct Counted {
    source: String,
    reason: String,
    webhooks: u64,
}

/// The newest, and how many there are in all.
pub(super) async fn list(client: &Client, config: &Config, args: &EventsArgs) -> anyhow::Result<ExitCode> {
    let newest = format!("ORDER BY received_at DESC, webhook_id LIMIT {}", args.limit);
    if args.json {
        let columns = "webhook_id, source, provider, received_at, stored_at, reason, detail";
        return json_lines(asked(client, columns, &newest, args), config).await;
    }
    let columns = "webhook_id, source, received_at, reason, detail";
    let parked: Vec<Parked> =
        asked(client, columns, &newest, args).fetch_all().await.with_context(|| asking(config))?;
    let by = "GROUP BY source, reason ORDER BY webhooks DESC, source, reason";
    let counted: Vec<Counted> = asked(client, "source, reason, count() AS webhooks", by, args)
        .fetch_all()
        .await
        .with_context(|| asking(config))?;
    let mut out = std::io::stdout().lock();
    for webhook in &parked {
        let Parked { webhook_id, source, received_at, reason, detail } = webhook;
        writeln!(out, "{}  {source:<14} {reason}: {detail}", UnixMillis(*received_at))?;
        writeln!(out, "    webhook {webhook_id}")?;
    }
    let all: u64 = counted.iter().map(|counted| counted.webhooks).sum();
    writeln!(out, "{all} webhooks are parked{}", if counted.is_empty() { "" } else { ":" })?;
    for Counted { source, reason, webhooks } in counted {
        // A message that is none tells no source.
        let of = if source.is_empty() { "no source" } else { &source };
        writeln!(out, "  {webhooks} of {of}: {reason}")?;
    }
    Ok(if all == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn asked(client: &Client, columns: &str, end: &str, args: &EventsArgs) -> Query {
    let mut sql = format!("SELECT {columns} FROM parked_webhooks WHERE 1");
    for (condition, time) in [("received_at >=", args.received_from), ("received_at <", args.received_to)] {
        if let Some(at) = time {
            sql.push_str(&format!(" AND {condition} fromUnixTimestamp64Milli({})", at.0));
        }
    }
    if args.source.is_some() {
        sql.push_str(" AND source = ?");
    }
    sql.push(' ');
    sql.push_str(end);
    args.source.iter().fold(client.query(&sql), Query::bind)
}
