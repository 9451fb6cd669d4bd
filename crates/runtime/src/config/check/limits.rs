//! Numbers: each alone, and those that must fit together.

use tokio::sync::Semaphore;

use super::Checker;
use crate::config::{QueueKind, StoreKind};

/// What the queue counts positions within a segment with.
const SEGMENT_BYTES_MAX: u64 = u32::MAX as u64;
/// More is a slip of the pen: no machine has so many processors.
const INGEST_THREADS_MAX: u64 = 4_096;
/// Each is a quorum queue, a channel and a share of the memory.
const LANES_MAX: u64 = 64;
/// What RabbitMQ 4 takes as one message where it is not configured (`max_message_size`); version 3 takes 128 MiB.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

impl Checker<'_> {
    pub(super) fn limits(&mut self) {
        let config = self.config;
        let (ingest, processor, queue) = (&config.ingest, &config.processor, &config.queue);
        let alerting = &config.alerting;
        let at_least: [(&str, &str, u64, u64); 22] = [
            ("ingest", "body_bytes_max", ingest.body_bytes_max as u64, 1_024),
            ("ingest", "header_bytes_max", ingest.header_bytes_max as u64, 8_192),
            ("ingest", "header_read_timeout_ms", ingest.header_read_timeout_ms, 1),
            ("ingest", "body_read_timeout_ms", ingest.body_read_timeout_ms, 1),
            ("ingest", "publish_timeout_ms", ingest.publish_timeout_ms, 1),
            ("ingest", "connections_max", ingest.connections_max as u64, 1),
            ("ingest", "heartbeat_interval_ms", ingest.heartbeat_interval_ms, 100),
            ("processor", "batch_webhooks_max", processor.batch_webhooks_max as u64, 1),
            ("processor", "batch_bytes_max", processor.batch_bytes_max as u64, 1 << 20),
            ("processor", "insert_timeout_ms", processor.insert_timeout_ms, 100),
            ("processor", "retry_delay_ms", processor.retry_delay_ms, 1),
            ("queue", "segment_bytes", queue.segment_bytes, 1 << 20),
            ("queue", "in_flight_bytes_max", queue.in_flight_bytes_max as u64, 1 << 20),
            ("queue", "lanes", queue.lanes.into(), 1),
            ("queue", "spool_after_ms", queue.spool_after_ms, 1),
            ("queue", "prefetch", queue.prefetch.into(), 1),
            ("queue", "connect_timeout_ms", queue.connect_timeout_ms, 1),
            ("store", "memory_bytes_max", config.store.memory_bytes_max, 512 << 20),
            ("alerting", "evaluation_interval_ms", alerting.evaluation_interval_ms, 100),
            ("alerting", "query_timeout_ms", alerting.query_timeout_ms, 100),
            ("alerting", "completeness_interval_ms", alerting.completeness_interval_ms, 100),
            ("shutdown", "drain_timeout_ms", config.shutdown.drain_timeout_ms, 1),
        ];
        for (table, key, value, minimum) in at_least {
            if value < minimum {
                self.problem(table, key, format!("{value} is too small; use at least {minimum}"));
            }
        }
        let at_most: [(&str, &str, u64, u64); 4] = [
            ("ingest", "threads", ingest.threads as u64, INGEST_THREADS_MAX),
            ("ingest", "connections_max", ingest.connections_max as u64, Semaphore::MAX_PERMITS as u64),
            ("queue", "segment_bytes", queue.segment_bytes, SEGMENT_BYTES_MAX),
            ("queue", "lanes", queue.lanes.into(), LANES_MAX),
        ];
        for (table, key, value, maximum) in at_most {
            if value > maximum {
                self.problem(table, key, format!("{value} is too large; use at most {maximum}"));
            }
        }
    }

    pub(super) fn times(&mut self) {
        let (ingest, processor) = (&self.config.ingest, &self.config.processor);
        if processor.retry_delay_ms_max < processor.retry_delay_ms {
            let message = format!("must be at least processor.retry_delay_ms, {}", processor.retry_delay_ms);
            self.problem("processor", "retry_delay_ms_max", message);
        }
        let three = ingest.heartbeat_interval_ms.saturating_mul(3);
        if self.config.alerting.stale_after_ms < three {
            let message = format!(
                "a late heartbeat would freeze every alert; use at least {three}, three times \
                 ingest.heartbeat_interval_ms"
            );
            self.problem("alerting", "stale_after_ms", message);
        }
    }

    pub(super) fn sizes(&mut self) {
        let queue = &self.config.queue;
        if queue.bytes_max / 2 < queue.segment_bytes {
            let message = format!("must hold at least two segments of {} bytes", queue.segment_bytes);
            self.problem("queue", "bytes_max", message);
        }
        let record = self.config.record_bytes_max();
        if (record as u64).saturating_mul(2) > queue.segment_bytes {
            let message = format!(
                "with ingest.header_bytes_max a webhook takes up to {record} bytes, which must be at most half of \
                 queue.segment_bytes"
            );
            self.problem("ingest", "body_bytes_max", message);
        }
        if queue.kind == QueueKind::RabbitMq && record > MESSAGE_BYTES_MAX {
            let message = format!(
                "with ingest.header_bytes_max a webhook takes up to {record} bytes, and RabbitMQ takes messages of at \
                 most {MESSAGE_BYTES_MAX}"
            );
            self.problem("ingest", "body_bytes_max", message);
        }
        if queue.in_flight_bytes_max < record {
            let message = format!(
                "must hold one webhook, {record} bytes by ingest.body_bytes_max and ingest.header_bytes_max"
            );
            self.problem("queue", "in_flight_bytes_max", message);
        }
    }

    pub(super) fn ports(&mut self) {
        let config = self.config;
        let mut taken = vec![("ingest", config.ingest.listen), ("admin", config.admin.listen)];
        if config.store.kind == StoreKind::Embedded {
            taken.push(("store", config.store.listen));
        }
        for (index, (table, address)) in taken.iter().enumerate() {
            let earlier = taken.iter().take(index).find(|(_, other)| {
                let same_host = other.ip() == address.ip()
                    || other.ip().is_unspecified()
                    || address.ip().is_unspecified();
                same_host && other.port() == address.port() && address.port() != 0
            });
            if let Some((other, _)) = earlier {
                self.problem(
                    table,
                    "listen",
                    format!("{address} is taken by {other}.listen; use another port"),
                );
            }
        }
    }
}
