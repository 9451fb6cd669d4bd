//! The queue that is configured, opened on the side that a process needs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ingest::CommitObservations;
use queue::rabbitmq::{
    Addresses, BrokerConfig, ClientIdentity, ConsumeConfig, PublishConfig, Tls, open_consumer, open_publisher,
};
use queue::spool::{self, SpoolConfig};
use queue::{Consumer, LogConfig, Publisher};
use runtime::config::{Config, QueueKind};

use crate::bootstrap::Process;

/// Both sides, for a process that publishes and consumes.
pub(crate) async fn open(process: &Process) -> anyhow::Result<(Publisher, Consumer)> {
    match process.config.queue.kind {
        QueueKind::Embedded => {
            ensure_no_spool_is_left(process)?;
            Ok(queue::open_embedded(published_log_config(process))?)
        }
        QueueKind::RabbitMq => Ok((publisher(process).await?, consumer(process).await?)),
    }
}

/// Where ingest puts webhooks.
pub(crate) async fn publisher(process: &Process) -> anyhow::Result<Publisher> {
    let config = &process.config;
    if config.queue.kind == QueueKind::Embedded || !config.queue.spool {
        ensure_no_spool_is_left(process)?;
    }
    Ok(match config.queue.kind {
        QueueKind::Embedded => Publisher::open_embedded(published_log_config(process))?,
        QueueKind::RabbitMq => {
            let broker = broker_config(config, &process.instance).context("[queue]")?;
            let broker = open_publisher(broker, publish_config(config)).await?;
            if config.queue.spool {
                Publisher::Spooled(spool::open(broker, spool_config(process))?)
            } else {
                Publisher::RabbitMq(broker)
            }
        }
    })
}

/// Where the processor takes them from.
pub(crate) async fn consumer(process: &Process) -> anyhow::Result<Consumer> {
    let config = &process.config;
    Ok(match config.queue.kind {
        QueueKind::Embedded => Consumer::open_embedded(log_config(config))?,
        QueueKind::RabbitMq => {
            let broker = broker_config(config, &process.instance).context("[queue]")?;
            let consume = ConsumeConfig { prefetch: config.queue.prefetch };
            Consumer::RabbitMq(Box::new(open_consumer(broker, consume).await?))
        }
    })
}

/// What opening the queue would find wrong without asking a broker; references that lead nowhere are found elsewhere.
pub(crate) fn check(config: &Config) -> Option<String> {
    match config.queue.kind {
        QueueKind::RabbitMq if config.queue_url().is_ok() => {
            broker_config(config, "check").err().map(|error| format!("queue.{error:#}"))
        }
        QueueKind::RabbitMq | QueueKind::Embedded => None,
    }
}

/// The embedded log's settings.
fn log_config(config: &Config) -> LogConfig {
    let mut log = LogConfig::new(config.queue_dir());
    log.segment_bytes = config.queue.segment_bytes;
    log.bytes_max = config.queue.bytes_max;
    log.in_flight_bytes_max = config.queue.in_flight_bytes_max;
    log.record_bytes_max = config.record_bytes_max();
    log.answer_timeout = Duration::from_millis(config.ingest.publish_timeout_ms);
    log
}

/// The same for the process that writes it, its commits observed.
fn published_log_config(process: &Process) -> LogConfig {
    let mut log = log_config(&process.config);
    log.observer = Some(Arc::new(CommitObservations::new(&process.telemetry)));
    log
}

/// Broker and disk share the time that a webhook may take.
/// A spool that is not used any more may hold acknowledged webhooks: they are not forgotten by changing a word.
fn ensure_no_spool_is_left(process: &Process) -> anyhow::Result<()> {
    let left =
        spool::left(spool_config(process)).context("looking into the spool, which is not used any more")?;
    anyhow::ensure!(
        left == 0,
        "{left} acknowledged webhooks are on the spool in {}, and queue.spool is not on: start once with kind = \"rabbitmq\" \
         and spool = true, until tillwatch_spool_records is 0",
        process.config.spool_dir().display()
    );
    Ok(())
}

fn spool_config(process: &Process) -> SpoolConfig {
    let config = &process.config;
    let mut log = published_log_config(process);
    let after = Duration::from_millis(config.queue.spool_after_ms);
    log.dir = config.spool_dir();
    log.answer_timeout = log.answer_timeout.saturating_sub(after);
    SpoolConfig { log, after }
}

/// How the configured broker is reached.
pub(crate) fn broker_config(config: &Config, instance: &str) -> anyhow::Result<BrokerConfig> {
    let queue = &config.queue;
    let url = config.queue_url().context("url")?;
    let folder = config.folder();
    let addresses = Addresses::parse(url.expose()).context("url")?;
    let identity = match (&queue.client_certificate_file, &queue.client_key) {
        (Some(certificate), Some(key)) => Some(ClientIdentity {
            certificate: read(&folder.join(certificate)).context("client_certificate_file")?,
            key: key.resolve(&folder).context("client_key")?.expose().to_owned(),
        }),
        _ => None,
    };
    let ca = match &queue.ca_file {
        Some(file) => Some(read(&folder.join(file)).context("ca_file")?),
        None => None,
    };
    let is_for_tls = ca.is_some() || identity.is_some();
    anyhow::ensure!(
        addresses.use_tls() || !is_for_tls,
        "url: no address begins with amqps://, so nothing would be encrypted; write amqps://, or leave out \
         ca_file, client_certificate_file and client_key"
    );
    Ok(BrokerConfig {
        addresses,
        tls: Tls::new(ca, identity)?,
        queue: queue.name.clone(),
        lanes: queue.lanes,
        connection_name: format!("tillwatch {instance}"),
        connect_timeout: Duration::from_millis(queue.connect_timeout_ms),
    })
}

fn publish_config(config: &Config) -> PublishConfig {
    let default = PublishConfig::default();
    PublishConfig {
        framing: config.queue.framing,
        // One record each: so many are on their way as a frame holds.
        unconfirmed_max: if config.queue.framing {
            default.unconfirmed_max
        } else {
            default.frame_records_max
        },
        in_flight_bytes_max: config.queue.in_flight_bytes_max,
        record_bytes_max: config.record_bytes_max(),
        answer_timeout: Duration::from_millis(config.ingest.publish_timeout_ms),
        ..default
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest sizes that the configuration's own checks let through.
    #[test]
    fn what_the_configuration_allows_the_queue_opens() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tillwatch.toml");
        let mut config = Config::default();
        let record = config.record_bytes_max();
        let segment = 2 * record;
        let text = format!(
            "[queue]\nin_flight_bytes_max = {record}\nsegment_bytes = {segment}\nbytes_max = {}\n",
            2 * segment
        );
        std::fs::write(&file, text).unwrap();
        config = Config::load(&file, folder.path(), std::iter::empty()).unwrap();
        queue::open_embedded(log_config(&config)).unwrap();
    }
}
