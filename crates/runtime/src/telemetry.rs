//! Logs, metrics and traces of Tillwatch itself.
//!
//! - Logs: `tracing`, pretty on a terminal, one JSON object a line otherwise.
//! - Metrics: OpenTelemetry instruments, read at `/metrics` in Prometheus text and, where an endpoint is configured,
//!   exported by OTLP. Each service builds its instruments in one file (`observations.rs`) with one function per
//!   occurrence, so that names stay consistent; nobody else touches an instrument.
//! - Traces: one per sampled webhook across ingest, queue, processor and insert. The W3C trace context travels in
//!   the envelope; without an OTLP endpoint nothing is sampled and nothing is paid.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::global::BoxedTracer;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use prometheus::Encoder as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::TelemetryConfig;
use crate::config::services::LogFormat;

/// Instruments and exporters of this process.
#[derive(Clone, Debug)]
pub struct Telemetry {
    registry: prometheus::Registry,
    meters: SdkMeterProvider,
    traces: Option<SdkTracerProvider>,
}

/// Starts writing logs to standard error. Call it once, first.
pub fn init_logs(config: &TelemetryConfig) -> anyhow::Result<()> {
    let filter = log_filter(&config.log_filter).context("telemetry.log_filter")?;
    let pretty = match config.log_format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let outcome = if pretty {
        builder.with_ansi(std::io::stderr().is_terminal()).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
    outcome.map_err(|error| anyhow::anyhow!("logs were started twice: {error}"))
}

/// Reads a filter such as `info,ingest=debug`.
pub(crate) fn log_filter(text: &str) -> Result<EnvFilter, ParseError> {
    // The client of the broker tells of every connection that ends; so does whoever used it, who knows what that means.
    // A filter that names it has its way.
    EnvFilter::try_new(format!("lapin=off,{text}"))
}

impl Telemetry {
    /// Instruments for `/metrics`, and exporters if an endpoint is configured.
    pub fn start(config: &TelemetryConfig, service: &'static str) -> anyhow::Result<Self> {
        let registry = prometheus::Registry::new();
        let resource = Resource::builder().with_service_name(format!("tillwatch-{service}")).build();
        let prometheus = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .scope_info_enabled(false)
            .build()
            .context("cannot build the Prometheus exporter")?;
        let mut meters = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(prometheus);
        let mut traces = None;
        if !config.otlp_endpoint.is_empty() {
            meters = meters.with_reader(metrics_reader(config)?);
            traces = Some(trace_provider(config, resource)?);
        }
        Ok(Self { registry, meters: meters.build(), traces })
    }

    /// For tests: instruments that are read by [`Self::prometheus_text`] only.
    pub fn for_tests() -> anyhow::Result<Self> {
        Self::start(&TelemetryConfig::default(), "test")
    }

    /// Where a service gets its instruments.
    pub fn meter(&self, service: &'static str) -> Meter {
        self.meters.meter(service)
    }

    /// Where a service gets its spans; `None` when nothing is traced.
    pub fn tracer(&self, service: &'static str) -> Option<BoxedTracer> {
        let provider = self.traces.as_ref()?;
        Some(BoxedTracer::new(Box::new(provider.tracer(service))))
    }

    /// All metrics in the Prometheus text format.
    pub fn prometheus_text(&self) -> anyhow::Result<Vec<u8>> {
        let mut text = Vec::new();
        prometheus::TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// Sends what is still waiting; called once at the end, off the async threads. An exporter that does not answer
    /// is left behind after `within`.
    pub fn shut_down(self, within: Duration) {
        let Self { traces, meters, .. } = self;
        let (done, is_done) = std::sync::mpsc::channel();
        // The metrics' exporter has a time limit of its own that cannot be changed here: it is left behind.
        let flush = move || {
            if let Some(traces) = traces
                && let Err(error) = traces.shutdown_with_timeout(within)
            {
                tracing::warn!(%error, "last traces were not exported");
            }
            if let Err(error) = meters.shutdown() {
                tracing::debug!(%error, "last metrics were not exported");
            }
            let _ = done.send(());
        };
        let started = std::thread::Builder::new().name("telemetry-flush".to_owned()).spawn(flush).is_ok();
        if started && is_done.recv_timeout(within).is_err() {
            tracing::warn!("last traces and metrics were not exported in time");
        }
    }
}

fn metrics_reader(
    config: &TelemetryConfig,
) -> anyhow::Result<PeriodicReader<opentelemetry_otlp::MetricExporter>> {
    let exporter = opentelemetry_otlp::MetricExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/v1/metrics", config.otlp_endpoint.trim_end_matches('/')))
        .with_headers(std::collections::HashMap::default())
        .build()
        .context("telemetry.otlp_endpoint: cannot build the metrics exporter")?;
    let interval = Duration::from_millis(config.metrics_interval_ms.max(100));
    Ok(PeriodicReader::builder(exporter).with_interval(interval).build())
}

fn trace_provider(config: &TelemetryConfig, resource: Resource) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/v1/traces", config.otlp_endpoint.trim_end_matches('/')))
        .build()
        .context("telemetry.otlp_endpoint: cannot build the trace exporter")?;
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.trace_ratio))))
        .with_batch_exporter(exporter)
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_s_client_is_silent_unless_it_is_named() {
        assert_eq!(log_filter("info").unwrap().to_string(), "lapin=off,info");
        assert_eq!(log_filter("info,lapin=warn").unwrap().to_string(), "lapin=warn,info");
        assert!(log_filter("info,=").is_err());
    }
}
