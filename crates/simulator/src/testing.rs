//! What the tests of this crate share: four sources, and a receiver that verifies, normalizes and remembers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use payments::providers::SealDetails;
use payments::{PaymentEvent, Provider, QueueMessage, Request, Secret, SourceSettings, UnixMillis, Verifier};
use runtime::{Clock as _, SystemClock};
use strum::VariantArray as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::http::Target;
use crate::ledger::{FactLine, Ledger};
use crate::providers::SimulatedSource;

/// One source per provider.
pub(crate) fn sources() -> Vec<SimulatedSource> {
    Provider::VARIANTS.iter().map(|provider| source(*provider)).collect()
}

pub(crate) fn source(provider: Provider) -> SimulatedSource {
    let secret = match provider {
        Provider::Stripe => "whsec_simulated",
        Provider::Adyen => "00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF",
        Provider::Checkout => "8%simulated*key",
        Provider::Canonical => "whsec_c2ltdWxhdGVkLXNlY3JldC1vZi0yNC1ieXRlcw==",
    };
    let keys = SourceSettings {
        experiment_key: Some("experiment".to_owned()),
        variant_key: Some("variant".to_owned()),
        ..SourceSettings::default()
    };
    SimulatedSource {
        name: format!("{provider}-test"),
        provider,
        secret: Secret::new(secret),
        settings: keys,
    }
}

/// Verifies and normalizes what arrives, and remembers what it acknowledged.
pub(crate) struct Receiver {
    pub(crate) target: Target,
    memory: Arc<Memory>,
    _server: JoinSet<()>,
}

struct Memory {
    sources: Vec<SimulatedSource>,
    /// Every request whose number is a multiple of this is refused with 503; 0 refuses none.
    refuse_each: u64,
    /// The first request is held this long.
    stall: Duration,
    state: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: u64,
    acknowledged: u64,
    rejected: Vec<String>,
    /// By source, event id and index.
    facts: BTreeMap<(String, String, u16), FactLine>,
}

impl Receiver {
    pub(crate) async fn start(refuse_each: u64, stall: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let memory = Arc::new(Memory { sources: sources(), refuse_each, stall, state: Mutex::default() });
        let app = Router::new().route("/webhooks/{source}", post(receive)).with_state(Arc::clone(&memory));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { target, memory, _server: server }
    }

    /// Every acknowledged event of `ledger` was received and nothing else, each fact as it was expected.
    pub(crate) fn assert_equals(&self, ledger: &Ledger) {
        let seen = self.memory.state.lock().unwrap();
        assert_eq!(seen.rejected, Vec::<String>::new());
        let expected: BTreeMap<_, _> = ledger
            .acknowledged()
            .flat_map(|((source, _), event)| {
                event.facts.iter().map(move |fact| (source.clone(), fact.clone()))
            })
            .map(|(source, fact)| ((source, fact.event_id.clone(), fact.fact), fact))
            .collect();
        assert!(!expected.is_empty());
        assert_eq!(seen.facts.len(), expected.len());
        for (key, fact) in &seen.facts {
            assert_eq!(Some(fact), expected.get(key));
        }
    }

    pub(crate) fn requests(&self) -> (u64, u64) {
        let seen = self.memory.state.lock().unwrap();
        (seen.requests, seen.acknowledged)
    }
}

async fn receive(
    State(memory): State<Arc<Memory>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let number = {
        let mut seen = memory.state.lock().unwrap();
        seen.requests += 1;
        seen.requests
    };
    if number == 1 && memory.stall > Duration::ZERO {
        tokio::time::sleep(memory.stall).await;
    }
    if memory.refuse_each > 0 && number % memory.refuse_each == 0 {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let outcome = memory.facts_of(&name, &headers, &body);
    let mut seen = memory.state.lock().unwrap();
    match outcome {
        Ok(facts) => {
            seen.acknowledged += 1;
            for fact in facts {
                let key = (name.clone(), fact.event_id.clone(), fact.fact);
                let before = seen.facts.insert(key, fact.clone());
                assert!(
                    before.is_none_or(|before| before == fact),
                    "an event changed between two deliveries"
                );
            }
            StatusCode::OK
        }
        Err(problem) => {
            seen.rejected.push(problem);
            StatusCode::UNAUTHORIZED
        }
    }
}

impl Memory {
    fn facts_of(&self, name: &str, headers: &HeaderMap, body: &Bytes) -> Result<Vec<FactLine>, String> {
        let source = self.sources.iter().find(|source| source.name == name).ok_or("unknown source")?;
        let facts = read(source, headers, body, SystemClock.now())?;
        Ok(facts.iter().map(FactLine::from).collect())
    }
}

/// What the whole way makes of a request at `now`: verified, sealed, read from the queue, normalized.
pub(crate) fn read(
    source: &SimulatedSource,
    headers: &HeaderMap,
    body: &Bytes,
    now: UnixMillis,
) -> Result<Vec<PaymentEvent>, String> {
    let verifier = Verifier::new(source.provider, std::slice::from_ref(&source.secret)).unwrap();
    let verified =
        verifier.verify(Request { headers, body }, now).map_err(|rejection| rejection.to_string())?;
    let sealed = verified.seal(&SealDetails {
        id: Uuid::nil(),
        received_at: now,
        source: &source.name,
        secret: "",
        traceparent: "",
    });
    let QueueMessage::Webhook(envelope) = QueueMessage::decode(sealed.to_bytes()).unwrap() else {
        panic!("sealed a webhook, read something else")
    };
    Provider::normalize(&envelope, &source.settings).map_err(|reason| reason.to_string())
}
