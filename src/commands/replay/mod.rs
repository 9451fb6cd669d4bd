//! `tillwatch replay`: maps stored webhooks again, shows what would change, and puts it in place.

mod told;

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use payments::{Provider, SourceSettings, UnixMillis};
use processor::Replay;
use runtime::config::TelemetryConfig;
use runtime::telemetry::Telemetry;
use runtime::{Clock as _, Config, Health, SystemClock};
use serde_json::json;
use store::Store;
use store::replay::{Changes, Selection, Staging};
use strum::VariantArray as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bootstrap::{self, load_config};
use crate::cli::Global;
use crate::stores;

/// Map stored webhooks again.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tillwatch replay --from 2026-11-22T00:00:00Z --source adyen-eu       shows what would change\n  tillwatch replay --from 2026-11-22T00:00:00Z --source adyen-eu --apply\n  tillwatch replay --parked --apply\n\nWithout --apply nothing that is read changes. An interrupted replay goes on when the same command is given again."
)]
pub(crate) struct ReplayArgs {
    /// Received at or after (RFC 3339); all that is stored if absent
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<UnixMillis>,
    /// Received before (RFC 3339); now if absent
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<UnixMillis>,
    /// Only of this source; repeat for several
    #[arg(long = "source", value_name = "NAME")]
    sources: Vec<String>,
    /// Only events of this type, as the provider calls it: charge.failed, CAPTURE; repeat for several
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only what is parked
    #[arg(long)]
    parked: bool,
    /// Only this request
    #[arg(long, value_name = "UUID")]
    webhook: Option<Uuid>,
    /// Put what was mapped in its place
    #[arg(long)]
    apply: bool,
    /// Throw away a replay that was begun and not applied
    #[arg(long, conflicts_with_all = ["from", "to", "sources", "types", "parked", "webhook", "apply"])]
    abandon: bool,
}

/// How often others are told that it is under way, whatever it waits for.
const SIGN_EVERY: Duration = Duration::from_secs(20);

/// How often a line tells what is waited for.
const LOOK: Duration = Duration::from_secs(2);

fn time(text: &str) -> Result<UnixMillis, String> {
    UnixMillis::from_rfc3339(text).map_err(|_| "write it as 2026-11-22T03:00:00Z (RFC 3339)".to_owned())
}

pub(crate) fn run(global: &Global, args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let config = load_config(global)?;
    for source in &args.sources {
        let known = config.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>();
        // A source that is configured no more may still have webhooks; a slip of the pen has none.
        if !known.contains(&source.as_str()) {
            writeln!(
                std::io::stdout(),
                "{source} is no configured source ({}): read with default settings",
                known.join(", ")
            )?;
        }
    }
    let live = stores::open(&config)?;
    let asking =
        || format!("asking ClickHouse at {} (is `tillwatch serve` running?)", config.store.http_url());
    tokio::runtime::Runtime::new()?.block_on(async {
        live.ping().await.with_context(asking)?;
        if args.abandon {
            let was = Staging::abandon(&live).await?;
            let said =
                if was { "the replay is thrown away; nothing was changed" } else { "there is no replay" };
            writeln!(std::io::stdout(), "{said}")?;
            return Ok(ExitCode::SUCCESS);
        }
        live.check_tables().await?;
        let staging = open(&live, &config, args).await?;
        replay(&config, staging, args).await
    })
}

/// What was asked for, and what answers it: another build's mappings may tell something else.
async fn open(live: &Store, config: &Config, args: &ReplayArgs) -> anyhow::Result<Staging> {
    let now = SystemClock.now();
    let selection = Selection {
        from_ms: args.from.map_or(0, |from| from.0),
        to_ms: store::replay::until(args.to, now),
        sources: args.sources.clone(),
        parked_only: args.parked,
        webhook: args.webhook,
    };
    anyhow::ensure!(
        selection.from_ms < selection.to_ms,
        "nothing is between --from and --to: --from must be the earlier, and --to is now at the latest"
    );
    let mappings: BTreeMap<_, _> =
        Provider::VARIANTS.iter().map(|provider| (provider.name(), provider.mapper_version())).collect();
    let settings: BTreeMap<_, _> =
        config.sources.iter().map(|source| (&source.name, format!("{:?}", source.settings()))).collect();
    let parameters = json!({
        "from": args.from.map(|from| from.0),
        "to": args.to.map(|to| to.0),
        "sources": args.sources,
        "types": args.types,
        "parked": args.parked,
        "webhook": args.webhook,
        "version": env!("CARGO_PKG_VERSION"),
        "mappings": mappings,
        "settings": settings,
    });
    let instance = format!("{} (process {})", bootstrap::host(), std::process::id());
    Ok(Staging::open(live, selection, parameters.to_string(), instance).await?)
}

async fn replay(config: &Config, staging: Staging, args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let done = until_done(config, &staging, args).await;
    match done {
        Ok(End::Done) => staging.finish().await?,
        Ok(End::Shown) => staging.leave().await?,
        // Left as it is, to be gone on with; the first failure is the one to tell.
        Ok(End::Interrupted) | Err(_) => {
            let left = staging.leave().await;
            done?;
            left?;
            writeln!(std::io::stdout(), "interrupted: the same command goes on where it stopped")?;
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Does the work, but for Ctrl-C: once it ends behind the step in hand, twice at once.
async fn until_done(config: &Config, staging: &Staging, args: &ReplayArgs) -> anyhow::Result<End> {
    let stop = CancellationToken::new();
    let work = work(config, staging, args, &stop);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(SIGN_EVERY) => staging.sign_of_life().await?,
            asked = tokio::signal::ctrl_c() => {
                asked.context("listening for Ctrl-C")?;
                if stop.is_cancelled() {
                    return Ok(End::Interrupted);
                }
                stop.cancel();
                writeln!(std::io::stdout(), "stopping behind the step in hand; Ctrl-C again: at once")?;
            }
        }
    }
}

/// How far it came.
enum End {
    /// It is in place, or there is nothing to put there.
    Done,
    /// It waits to be applied.
    Shown,
    Interrupted,
}

async fn work(
    config: &Config,
    staging: &Staging,
    args: &ReplayArgs,
    stop: &CancellationToken,
) -> anyhow::Result<End> {
    if staging.resumed {
        writeln!(std::io::stdout(), "going on with the replay that was begun")?;
    }
    if !stage(config, staging, args, stop).await? {
        return Ok(End::Interrupted);
    }
    let bar = bar("comparing", 0);
    let changes = staging
        .compare(|done, all| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        })
        .await?;
    bar.finish_and_clear();
    if stop.is_cancelled() {
        return Ok(End::Interrupted);
    }
    told::changes(&changes)?;
    let mut out = std::io::stdout();
    if is_nothing(&changes) && !staging.half_in_place {
        writeln!(out, "\nnothing changes")?;
        return Ok(End::Done);
    }
    if !args.apply {
        writeln!(
            out,
            "\nnothing is changed yet: the same command with --apply puts it in place, `tillwatch replay --abandon` \
             throws it away"
        )?;
        return Ok(End::Shown);
    }
    let bar = self::bar("putting in place", 0);
    staging
        .swap(|done, all| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        })
        .await?;
    bar.finish_and_clear();
    writeln!(out, "\nin place")?;
    Ok(End::Done)
}

fn is_nothing(changes: &Changes) -> bool {
    let facts = changes.facts;
    facts.added + facts.changed + facts.withdrawn + facts.merged + changes.webhook_rows == 0
        && changes.webhooks.iter().all(|(before, after, _, _)| before == after)
}

async fn stage(
    config: &Config,
    staging: &Staging,
    args: &ReplayArgs,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let (selected, read) = staging.counts().await?;
    let bar = bar("webhooks mapped", selected);
    bar.set_position(read);
    let health = Health::default();
    let settings: HashMap<String, SourceSettings> =
        config.sources.iter().map(|source| (source.name.clone(), source.settings())).collect();
    let replay = Replay {
        config: config.processor.clone(),
        settings,
        types: args.types.clone(),
        clock: Arc::new(SystemClock),
        telemetry: Telemetry::start(&TelemetryConfig::default(), "replay")?,
        health: health.register("replay"),
    };
    let mapping = processor::stage(replay, staging, |webhooks| bar.inc(webhooks), stop);
    tokio::pin!(mapping);
    let mut told = String::new();
    let done = loop {
        tokio::select! {
            done = &mut mapping => break done,
            () = tokio::time::sleep(LOOK) => tell_trouble(&health, &bar, &mut told)?,
        }
    };
    bar.finish_and_clear();
    done
}

/// What it waits for, once: in a terminal or not.
fn tell_trouble(health: &Health, bar: &ProgressBar, told: &mut String) -> std::io::Result<()> {
    let trouble = health.parts().into_values().find_map(Result::err);
    let trouble = trouble.unwrap_or_default();
    if trouble != *told && !trouble.is_empty() {
        bar.suspend(|| writeln!(std::io::stdout(), "waiting: {trouble}"))?;
    }
    *told = trouble;
    Ok(())
}

/// Shown in a terminal only.
fn bar(what: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} {msg}, {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style).with_message(what)
}
