//! One request: admitted, read, verified, made durable, answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Path, State};
use axum::http::{Request, Response};
use axum::routing::post;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use opentelemetry::global::BoxedTracer;
use payments::providers::SealDetails;
use payments::{Provider, UnixMillis};
use queue::Publisher;
use rand::RngExt as _;
use runtime::SharedClock;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::Ingest;
use crate::admission::Refusal;
use crate::answer::Answer;
use crate::observations::Observations;
use crate::sources::Sources;
use crate::trace::IngestSpan;

/// Granularity in which memory for bodies is given out.
const BODY_UNIT_BYTES: usize = 1_024;

/// Memory for bodies being read and written, all sources together.
const BODY_BYTES_IN_FLIGHT_MAX: usize = 256 << 20;

/// Receives webhooks; shared by all connections.
#[derive(Debug)]
pub(crate) struct Receiver {
    sources: Sources,
    publisher: Publisher,
    clock: SharedClock,
    observations: Observations,
    tracer: Option<BoxedTracer>,
    body_memory: Semaphore,
    body_bytes_max: usize,
    body_read_timeout: Duration,
    publish_timeout: Duration,
    retry_after_s: u32,
}

impl Receiver {
    pub(crate) fn new(ingest: Ingest, observations: Observations) -> Self {
        Self {
            sources: ingest.sources,
            publisher: ingest.publisher,
            clock: ingest.clock,
            observations,
            tracer: ingest.telemetry.tracer("ingest"),
            body_memory: Semaphore::new(BODY_BYTES_IN_FLIGHT_MAX / BODY_UNIT_BYTES),
            body_bytes_max: ingest.config.body_bytes_max,
            body_read_timeout: Duration::from_millis(ingest.config.body_read_timeout_ms),
            publish_timeout: Duration::from_millis(ingest.config.publish_timeout_ms),
            retry_after_s: ingest.config.retry_after_s,
        }
    }

    /// The routes of the ingest port.
    pub(crate) fn into_router(self) -> Router {
        let webhooks = post(webhooks_post).fallback(async |State(receiver): State<Arc<Receiver>>| {
            refuse(&receiver, Answer::MethodNotAllowed)
        });
        Router::new()
            .route("/webhooks/{source}", webhooks)
            .fallback(async |State(receiver): State<Arc<Receiver>>| refuse(&receiver, Answer::UnknownSource))
            .with_state(Arc::new(self))
    }

    /// Receives one webhook. Whatever happens, it ends in exactly one [`Answer`].
    async fn receive(&self, name: &str, request: Request<Body>) -> Answer {
        let received_at = self.clock.now();
        let Some(source) = self.sources.get(name) else {
            return Answer::UnknownSource;
        };
        let _place = match source.admission.admit(received_at) {
            Ok(place) => place,
            Err(Refusal::RateLimited) => return Answer::RateLimited,
            Err(Refusal::Busy) => return Answer::Busy,
        };
        let bytes_max = self.body_bytes_max;
        let bytes_expected =
            usize::try_from(request.body().size_hint().upper().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        if request.body().size_hint().lower() > bytes_max as u64 {
            return Answer::BodyTooLarge { bytes_max };
        }
        let units = u32::try_from(bytes_expected.min(bytes_max) / BODY_UNIT_BYTES + 1).unwrap_or(u32::MAX);
        let Ok(_memory) = self.body_memory.try_acquire_many(units) else {
            return Answer::Busy;
        };
        let (head, body) = request.into_parts();
        let body = match self.read_body(body).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        let request = payments::Request { headers: &head.headers, body: &body };
        let verified = match source.verifier.verify(request, received_at) {
            Ok(verified) => verified,
            Err(rejection) => return Answer::Rejected(rejection),
        };
        let (span, traceparent) =
            IngestSpan::start(self.tracer.as_ref(), &head.headers, &source.name, received_at);
        let secret = source.secrets.get(verified.secret_index);
        if let Some(secret) = secret {
            self.observations.secret_matched(&source.label, secret);
        }
        let envelope = verified.seal_encoded(&SealDetails {
            id: webhook_id(received_at),
            received_at,
            source: source.name.clone(),
            secret: secret.map(|secret| secret.as_ref().to_owned()).unwrap_or_default(),
            traceparent,
        });
        let answer = self.publish(source.provider, envelope).await;
        span.end(answer.code());
        answer
    }

    /// Reads the whole body, bounded in size and time.
    async fn read_body(&self, body: Body) -> Result<Bytes, Answer> {
        let collected = Limited::new(body, self.body_bytes_max).collect();
        match tokio::time::timeout(self.body_read_timeout, collected).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                Err(Answer::BodyTooLarge { bytes_max: self.body_bytes_max })
            }
            Ok(Err(_)) => Err(Answer::BodyBroken),
            Err(_) => Err(Answer::BodyTooSlow),
        }
    }

    /// Invariant: the only way to [`Answer::Accepted`] is through the queue's word that the envelope is durable.
    async fn publish(&self, provider: Provider, envelope: Bytes) -> Answer {
        match tokio::time::timeout(self.publish_timeout, self.publisher.publish(envelope)).await {
            Ok(Ok(())) => Answer::Accepted(provider),
            Ok(Err(error)) => Answer::NotDurable(error),
            Err(_) => Answer::PublishTimedOut,
        }
    }
}

async fn webhooks_post(
    State(receiver): State<Arc<Receiver>>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    let started = Instant::now();
    let answer = receiver.receive(&name, request).await;
    // An unknown name is not a label: anybody could fill the metrics with names.
    let label = receiver.sources.get(&name).map_or_else(Arc::default, |source| Arc::clone(&source.label));
    receiver.observations.answered(&label, &answer, started.elapsed());
    answer.into_response(receiver.retry_after_s)
}

fn refuse(receiver: &Receiver, answer: Answer) -> Response<Body> {
    receiver.observations.answered(&Arc::default(), &answer, Duration::ZERO);
    answer.into_response(receiver.retry_after_s)
}

/// A UUIDv7: sorts by arrival, so that rows of one time lie together.
fn webhook_id(at: UnixMillis) -> Uuid {
    let random: [u8; 10] = rand::rng().random();
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(at.0).unwrap_or(0), &random).into_uuid()
}
