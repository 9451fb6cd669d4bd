//! The span of one webhook, and the W3C trace context it belongs to.

use std::time::SystemTime;

use axum::http::HeaderMap;
use opentelemetry::global::{BoxedSpan, BoxedTracer};
use opentelemetry::trace::{Span as _, SpanContext, SpanKind, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use payments::UnixMillis;
use runtime::trace_context;

/// The context that the sender gave, if it is well formed.
fn parent(headers: &HeaderMap) -> Option<SpanContext> {
    trace_context::parse(headers.get("traceparent")?.to_str().ok()?)
}

/// The span of one webhook in ingest: from the request's arrival to its answer.
#[derive(Debug)]
pub(crate) struct IngestSpan(Option<BoxedSpan>);

impl IngestSpan {
    /// Begins it, and returns the `traceparent` text that travels on, empty if the webhook is not sampled.
    pub(crate) fn start(
        tracer: Option<&BoxedTracer>,
        headers: &HeaderMap,
        source: &str,
        received_at: UnixMillis,
    ) -> (Self, String) {
        let parent = parent(headers);
        let Some(tracer) = tracer else {
            // Not traced here, but the sender's decision still reaches the processor.
            let text = parent
                .filter(SpanContext::is_sampled)
                .as_ref()
                .map_or_else(String::new, trace_context::format);
            return (Self(None), text);
        };
        let context =
            parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        let span = tracer
            .span_builder("ingest webhook")
            .with_kind(SpanKind::Server)
            .with_start_time(SystemTime::UNIX_EPOCH + received_at.since(UnixMillis(0)))
            .with_attributes([KeyValue::new("source", source.to_owned())])
            .start_with_context(tracer, &context);
        let context = span.span_context().clone();
        let text = if context.is_sampled() { trace_context::format(&context) } else { String::new() };
        (Self(Some(span)), text)
    }

    /// Ends it with how the request ended.
    pub(crate) fn end(self, answer: &'static str) {
        if let Some(mut span) = self.0 {
            span.set_attribute(KeyValue::new("answer", answer));
            span.end();
        }
    }
}
