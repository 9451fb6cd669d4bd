//! `tillwatch events`: find payment events, show the request they came from byte by byte, verify it again; and what is
//! parked.

mod parked;
mod request;
mod search;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use clickhouse::query::Query;
use payments::UnixMillis;
use runtime::Config;
use uuid::Uuid;

use crate::bootstrap::load_config;
use crate::cli::Global;
use crate::stores;

/// Find payment events.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
#[command(
    after_help = "Examples:\n  tillwatch events --payment pi_3Q8\n  tillwatch events --source adyen-eu --from 2026-11-22T03:00:00Z --outcome declined\n  tillwatch events --webhook 0193a1b2-… --verify\n  tillwatch events --source stripe-us --limit 1000 --verify\n  tillwatch events --parked"
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
    /// authorization, capture, refund, …
    #[arg(long)]
    kind: Option<String>,
    /// Any dimension: issuer='Tamberline Bank'; repeat for several
    #[arg(long = "where", value_name = "COLUMN=VALUE", value_parser = condition)]
    conditions: Vec<(String, String)>,
    /// Occurred at or after (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<UnixMillis>,
    /// Occurred before (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<UnixMillis>,
    /// Received at or after (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    received_from: Option<UnixMillis>,
    /// Received before (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    received_to: Option<UnixMillis>,
    /// Show what was accepted and not understood instead: of a source, of when it was received
    #[arg(long, conflicts_with_all = ["payment", "event", "order", "outcome", "kind", "conditions", "from", "to", "webhook", "verify"])]
    parked: bool,
    /// One JSON object a line, with every column
    #[arg(long, conflicts_with_all = ["webhook", "verify"])]
    json: bool,
    /// Newest events shown, at most
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Show this request as it arrived instead: headers and exact body
    #[arg(long, value_name = "UUID")]
    webhook: Option<Uuid>,
    /// With --webhook: only the exact bytes of the body
    #[arg(long, requires = "webhook")]
    raw: bool,
    /// Verify the request's signature, or those of all events found, with the secrets of today, as of their arrival
    #[arg(long)]
    verify: bool,
}

pub(crate) fn run(global: &Global, args: &EventsArgs) -> anyhow::Result<ExitCode> {
    let config = load_config(global)?;
    let client = stores::open(&config)?.client();
    tokio::runtime::Runtime::new()?.block_on(async {
        match args.webhook {
            Some(id) => request::show(&client, &config, id, args).await,
            None if args.parked => parked::list(&client, &config, args).await,
            None => search::search(&client, &config, args).await,
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

/// Every row as it comes; none is a failure.
async fn json_lines(query: Query, config: &Config) -> anyhow::Result<ExitCode> {
    let mut rows = query.fetch_bytes("JSONEachRow").with_context(|| asking(config))?;
    let mut is_empty = true;
    while let Some(bytes) = rows.next().await.with_context(|| asking(config))? {
        is_empty &= bytes.is_empty();
        std::io::stdout().write_all(&bytes)?;
    }
    Ok(if is_empty { ExitCode::FAILURE } else { ExitCode::SUCCESS })
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
