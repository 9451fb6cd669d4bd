//! W3C trace context (<https://www.w3.org/TR/trace-context/>) in and out.

use std::time::SystemTime;

use axum::http::HeaderMap;
use opentelemetry::global::{BoxedSpan, BoxedTracer};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use payments::UnixMillis;

/// The context that the sender gave, if it is well formed.
pub(crate) fn parent(headers: &HeaderMap) -> Option<SpanContext> {
    parse(headers.get("traceparent")?.to_str().ok()?)
}

fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let well_formed = version.len() == 2 && version != "ff" && trace.len() == 32 && span.len() == 16;
    if !well_formed || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let trace = TraceId::from_hex(trace).ok()?;
    let span = SpanId::from_hex(span).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

/// The `traceparent` text of a context.
pub(crate) fn format(context: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8())
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
            let text = parent.filter(SpanContext::is_sampled).as_ref().map_or_else(String::new, format);
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
        let text = if context.is_sampled() { format(&context) } else { String::new() };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_context_survives_the_round_trip() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(format(&parse(text).unwrap()), text);
    }

    #[test]
    fn a_malformed_context_is_as_good_as_none() {
        for text in
            ["", "00", "00-0-0-0", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "é-é-é-é"]
        {
            assert!(parse(text).is_none(), "{text}");
        }
        assert!(parse("00-00000000000000000000000000000000-b7ad6b7169203331-01").is_none());
    }
}
