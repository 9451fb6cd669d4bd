//! The spans of sampled webhooks behind the queue: waiting in it, and being stored.

use std::time::SystemTime;

use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::{Span as _, SpanContext, SpanKind, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use payments::UnixMillis;
use runtime::trace_context;

use crate::prepare::Prepared;

/// When a batch passed each stage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stages {
    /// Taken from the queue.
    pub(crate) received_at: UnixMillis,
    /// Decoded and normalized.
    pub(crate) prepared_at: UnixMillis,
    /// In ClickHouse.
    pub(crate) stored_at: UnixMillis,
}

/// Records the spans of every sampled webhook of a stored batch.
pub(crate) fn record_batch(tracer: &BoxedTracer, prepared: &Prepared, stages: Stages) {
    for webhook in &prepared.webhooks {
        let parent = trace_context::parse(&webhook.envelope.traceparent).filter(SpanContext::is_sampled);
        let Some(parent) = parent else { continue };
        let context = Context::new().with_remote_span_context(parent);
        let source = KeyValue::new("source", webhook.envelope.source.clone());
        let spans = [
            ("queue", SpanKind::Consumer, webhook.envelope.received_at, stages.received_at),
            ("normalize", SpanKind::Internal, stages.received_at, stages.prepared_at),
            ("insert", SpanKind::Client, stages.prepared_at, stages.stored_at),
        ];
        for (name, kind, from, until) in spans {
            let mut span = tracer
                .span_builder(name)
                .with_kind(kind)
                .with_start_time(system_time(from))
                .with_attributes([source.clone()])
                .start_with_context(tracer, &context);
            span.end_with_timestamp(system_time(until));
        }
    }
}

fn system_time(at: UnixMillis) -> SystemTime {
    SystemTime::UNIX_EPOCH + at.since(UnixMillis(0))
}
