//! One request as it arrived, and whether it verifies today.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use axum::http::HeaderName;
use clickhouse::{Client, Row};
use payments::{Provider, Request, UnixMillis, Verifier};
use runtime::Config;
use serde::Deserialize;
use uuid::Uuid;

use super::{EventsArgs, asking};

#[derive(Row, Deserialize)]
pub(super) struct Webhook {
    #[serde(with = "clickhouse::serde::uuid")]
    pub(super) webhook_id: Uuid,
    source: String,
    provider: String,
    received_at: i64,
    secret: String,
    outcome: String,
    headers: Vec<(String, serde_bytes::ByteBuf)>,
    body: serde_bytes::ByteBuf,
}

/// How a stored request is asked for; the client does not read named tuples.
pub(super) const COLUMNS: &str = "webhook_id, source, provider, received_at, secret, outcome, \
                                  CAST(headers, 'Array(Tuple(String, String))') AS headers, body";

/// Shows one request as it arrived.
pub(super) async fn show(
    client: &Client,
    config: &Config,
    id: Uuid,
    args: &EventsArgs,
) -> anyhow::Result<ExitCode> {
    let sql = format!("SELECT {COLUMNS} FROM webhooks WHERE webhook_id = ?");
    let found = client.query(&sql).bind(id.to_string()).fetch_optional();
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
        writeln!(
            out,
            "again     {}",
            match verify_again(config, &webhook) {
                Ok(secret) => format!("genuine, by {secret}"),
                Err(why) => why,
            }
        )?;
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

/// Verifies the stored bytes with the secrets of today, as of the arrival: by which, or why not.
pub(super) fn verify_again(config: &Config, webhook: &Webhook) -> Result<String, String> {
    let Some(source) = config.sources.iter().find(|source| source.name == webhook.source) else {
        return Err(format!("not possible: source `{}` is not configured any more", webhook.source));
    };
    let provider: Provider = source.provider;
    let folder = config.folder();
    let secrets: Result<Vec<_>, _> = source.secrets.iter().map(|secret| secret.resolve(&folder)).collect();
    let verifier = match secrets.map_err(anyhow::Error::from).and_then(|s| Ok(Verifier::new(provider, &s)?)) {
        Ok(verifier) => verifier,
        Err(error) => return Err(format!("not possible: {error:#}")),
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
            Ok(source.secrets.get(verified.secret_index).map(ToString::to_string).unwrap_or_default())
        }
        Err(rejection) => Err(format!("{}: {}", rejection.name(), rejection.advice())),
    }
}
