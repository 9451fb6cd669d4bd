//! Putting alerting together: rules, channels, state, and the tasks that run on them.

use std::sync::Arc;
use std::time::Duration;

use clickhouse::Client;
use opentelemetry::metrics::Meter;
use payments::Currency;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use runtime::{Config, HealthHandle, Lifecycle, SharedClock};
use tokio::sync::Notify;

use crate::channels::{Channel, ChannelError, Sender};
use crate::engine::{Engine, PageSettings};
use crate::export::Exporter;
use crate::observations::Observations;
use crate::outbox::Courier;
use crate::page::Rates;
use crate::reader::Reader;
use crate::rules::{self, LoadError};
use crate::storage::{Storage, StorageError};

/// Everything alerting needs from outside.
pub struct AlertingService {
    /// The whole configuration: `[alerting]`, `[[channels]]`, and where state is kept.
    pub config: Config,
    /// ClickHouse, with its database chosen.
    pub client: Client,
    /// The time.
    pub clock: SharedClock,
    /// Where instruments come from.
    pub meter: Meter,
    /// Shutdown, and the tasks it waits for.
    pub lifecycle: Lifecycle,
    /// How readiness is told.
    pub health: HealthHandle,
    /// For jitter.
    pub rng: StdRng,
}

/// Alerting cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AlertingError {
    /// The rules cannot be used.
    #[error("the alert rules cannot be used")]
    Rules(#[source] LoadError),
    /// A channel cannot be used.
    #[error("an alert channel cannot be used")]
    Channel(#[from] ChannelError),
    /// The state file cannot be used.
    #[error("the alerting state cannot be used")]
    Storage(#[from] StorageError),
    /// No HTTP client.
    #[error("cannot prepare the HTTP client for channels")]
    Client(#[from] reqwest::Error),
}

/// Runs alerting until the process stops taking new work.
pub async fn run(service: AlertingService) -> Result<(), AlertingError> {
    let AlertingService { config, client, clock, meter, lifecycle, health, mut rng } = service;
    let observations = Arc::new(Observations::new(&meter));
    let names: Vec<String> = config.channels.iter().map(|channel| channel.name.clone()).collect();
    let rules = rules::load(&config.rules_dir(), &names).map_err(AlertingError::Rules)?;
    let channels = channels(&config)?;
    let storage = Storage::open(&config.alerting_state_file())?;
    let orphans = storage.drop_other_channels(names, clock.now()).await?;
    observations.orphans_dropped(orphans);
    let sender = Sender::new()?;
    let queued = Arc::new(Notify::new());
    for channel in channels {
        let courier = Courier {
            channel,
            storage: storage.clone(),
            sender: sender.clone(),
            observations: Arc::clone(&observations),
            rng: StdRng::seed_from_u64(rng.random()),
            not_before: payments::UnixMillis::default(),
        };
        let (clock, queued, tasks) = (Arc::clone(&clock), Arc::clone(&queued), lifecycle.clone());
        lifecycle.spawn("alerting-courier", async move {
            courier.run(clock, queued, tasks).await;
            Ok(())
        });
    }
    let exporter = Exporter {
        storage: storage.clone(),
        client: client.clone(),
        observations: Arc::clone(&observations),
    };
    let (export_clock, tasks) = (Arc::clone(&clock), lifecycle.clone());
    lifecycle.spawn("alerting-export", async move {
        exporter.run(export_clock, tasks).await;
        Ok(())
    });
    let book = Arc::new(storage.load().await?);
    let engine = engine(&config, rules, client, storage, observations, book);
    engine.run(clock, health, queued, lifecycle).await;
    Ok(())
}

/// Reads rules and channels as starting would, without starting: for `check`, before a deploy. Returns the number of
/// rules.
pub fn check(config: &Config) -> Result<usize, AlertingError> {
    let names: Vec<String> = config.channels.iter().map(|channel| channel.name.clone()).collect();
    let rules = rules::load(&config.rules_dir(), &names).map_err(AlertingError::Rules)?;
    channels(config)?;
    Ok(rules.len())
}

fn channels(config: &Config) -> Result<Vec<Channel>, ChannelError> {
    let folder = config.folder();
    config.channels.iter().map(|channel| Channel::new(channel, &folder)).collect()
}

fn engine(
    config: &Config,
    rules: rules::Rules,
    client: Client,
    storage: Storage,
    observations: Arc<Observations>,
    book: Arc<crate::storage::Book>,
) -> Engine {
    let alerting = &config.alerting;
    Engine {
        rules,
        reader: Reader::new(client, Duration::from_millis(alerting.query_timeout_ms))
            .with_completeness_every(Duration::from_millis(alerting.completeness_interval_ms)),
        storage,
        observations,
        settings: PageSettings { public_url: alerting.public_url.clone() },
        rates: Rates {
            reporting: Currency::parse(&alerting.reporting_currency).unwrap_or(Currency::USD),
            of: alerting
                .exchange_rates
                .iter()
                .map(|(code, rate)| (code.to_ascii_uppercase(), *rate))
                .collect(),
        },
        interval: Duration::from_millis(alerting.evaluation_interval_ms),
        stale_after_ms: i64::try_from(alerting.stale_after_ms).unwrap_or(i64::MAX),
        book,
        ticked_at: None,
    }
}

impl std::fmt::Debug for AlertingService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlertingService").finish_non_exhaustive()
    }
}
