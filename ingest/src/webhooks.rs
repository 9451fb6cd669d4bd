//! One request: admitted, read, verified, made durable, answered.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Request, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use opentelemetry::global::BoxedTracer;
use payments::providers::SealDetails;
use payments::{Rejection, UnixMillis};
use queue::{PublishError, Publisher};
use rand::RngExt as _;
use runtime::{SharedClock, chain};
use uuid::Uuid;

use crate::Ingest;
use crate::admission::{Place, Refusal};
use crate::answer::Answer;
use crate::observations::{Observations, SourceObservations};
use crate::sources::Source;
use crate::tally::Handed;
use crate::trace::IngestSpan;

const PREFIX: &str = "/webhooks/";

/// Receives webhooks; shared by all connections.
#[derive(Debug)]
pub(crate) struct Receiver {
    endpoints: HashMap<String, Endpoint>,
    publisher: Publisher,
    clock: SharedClock,
    observations: Observations,
    tracer: Option<BoxedTracer>,
    body_bytes_max: usize,
    body_read_timeout: Duration,
    retry_after_s: u32,
}

/// Where one source's webhooks arrive.
#[derive(Debug)]
struct Endpoint {
    source: Source,
    observations: SourceObservations,
}

impl Receiver {
    pub(crate) fn new(ingest: Ingest, observations: Observations) -> Self {
        let endpoints = ingest.sources.into_by_name().into_iter().map(|(name, source)| {
            let observations = observations.of_source(&source);
            (name, Endpoint { source, observations })
        });
        Self {
            endpoints: endpoints.collect(),
            publisher: ingest.publisher,
            clock: ingest.clock,
            observations,
            tracer: ingest.telemetry.tracer("ingest"),
            body_bytes_max: ingest.config.body_bytes_max,
            body_read_timeout: Duration::from_millis(ingest.config.body_read_timeout_ms),
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
    async fn receive(&self, endpoint: &Endpoint, request: Request<Body>) -> Answer {
        let source = &endpoint.source;
        let received_at = self.clock.now();
        let mut place = match source.admission.admit(received_at) {
            Ok(place) => place,
            Err(Refusal::RateLimited) => return Answer::RateLimited,
            Err(Refusal::Busy) => return Answer::Busy,
        };
        let (head, body) = request.into_parts();
        let body = match self.read_body(body, &mut place).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        let (span, handed, published) = match self.verify_and_publish(endpoint, head, body, received_at) {
            Ok(published) => published,
            Err(rejection) => return Answer::Rejected(rejection),
        };
        // Invariant: the only way to `Accepted` is through the queue's word that the envelope is durable, and past the
        // tally.
        let answer = match published.await {
            Ok(()) => {
                handed.acknowledged();
                Answer::Accepted(source.provider)
            }
            Err(error) => {
                if !error.may_be_stored() {
                    handed.refused();
                }
                Answer::NotDurable(error)
            }
        };
        span.end(answer.code());
        answer
    }

    /// Takes head and body, so that they are gone before the durable write is waited for: the connection reads its next
    /// request into the memory they leave, instead of asking for more.
    #[expect(clippy::needless_pass_by_value, reason = "dropped here")]
    fn verify_and_publish<'a>(
        &self,
        endpoint: &'a Endpoint,
        head: Parts,
        body: Bytes,
        received_at: UnixMillis,
    ) -> Result<
        (IngestSpan, Handed<'a>, impl Future<Output = Result<(), PublishError>> + Send + use<>),
        Rejection,
    > {
        let Endpoint { source, observations } = endpoint;
        let request = payments::Request { headers: &head.headers, body: &body };
        let verified = source.verifier.verify(request, received_at)?;
        observations.secret_matched(verified.secret_index);
        let (span, traceparent) =
            IngestSpan::start(self.tracer.as_ref(), &head.headers, &source.name, received_at);
        let id = webhook_id(received_at);
        let sealed = verified.seal(&SealDetails {
            id,
            received_at,
            source: &source.name,
            secret: source.secrets.get(verified.secret_index).map_or("", String::as_str),
            traceparent: &traceparent,
        });
        let handed = source.tally.handed(id, received_at);
        Ok((span, handed, self.publisher.publish(source.lane, &sealed.pieces())))
    }

    /// Reads the whole body, bounded in size, memory and time.
    async fn read_body(&self, body: Body, place: &mut Place<'_>) -> Result<Bytes, Answer> {
        if body.size_hint().lower() > self.body_bytes_max as u64 {
            return Err(Answer::BodyTooLarge { bytes_max: self.body_bytes_max });
        }
        let mut read = pin!(self.collect(body, place));
        // Most bodies are here already: only the others need a timer.
        match poll_fn(|context| Poll::Ready(read.as_mut().poll(context))).await {
            Poll::Ready(read) => read,
            Poll::Pending => {
                tokio::time::timeout(self.body_read_timeout, read).await.unwrap_or(Err(Answer::BodyTooSlow))
            }
        }
    }

    /// Memory is taken as the body arrives: who announces much and sends nothing takes none.
    async fn collect(&self, mut body: Body, place: &mut Place<'_>) -> Result<Bytes, Answer> {
        // Nearly always there is one piece, and it is not copied.
        let mut first = Bytes::new();
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(|_| Answer::BodyBroken)?.into_data() else {
                continue; // trailers
            };
            if first.len().max(whole.len()) + piece.len() > self.body_bytes_max {
                return Err(Answer::BodyTooLarge { bytes_max: self.body_bytes_max });
            }
            if !place.hold_body(piece.len()) {
                return Err(Answer::Busy);
            }
            if first.is_empty() {
                first = piece;
                continue;
            }
            if whole.is_empty() {
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(if whole.is_empty() { first } else { whole.freeze() })
    }
}

async fn webhooks_post(State(receiver): State<Arc<Receiver>>, request: Request<Body>) -> Response<Body> {
    let name = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
    let Some(endpoint) = receiver.endpoints.get(name) else {
        return refuse(&receiver, Answer::UnknownSource);
    };
    let unanswered = endpoint.observations.arrived();
    let answer = receiver.receive(endpoint, request).await;
    unanswered.answered(&answer);
    if let Answer::NotDurable(error) = &answer {
        receiver.observations.not_durable(&endpoint.source.name, &chain(error));
    }
    answer.into_response(receiver.retry_after_s)
}

fn refuse(receiver: &Receiver, answer: Answer) -> Response<Body> {
    receiver.observations.refused(&answer);
    answer.into_response(receiver.retry_after_s)
}

/// A UUIDv7: sorts by arrival, so that rows of one time lie together.
fn webhook_id(at: UnixMillis) -> Uuid {
    let random: [u8; 10] = rand::rng().random();
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(at.0).unwrap_or(0), &random).into_uuid()
}
