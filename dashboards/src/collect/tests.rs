use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use runtime::telemetry::Telemetry;
use runtime::{Lifecycle, MockClock};
use tokio::net::TcpListener;

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_316_834_000);
/// What the store takes for an answer.
const SLOW: Duration = Duration::from_secs(5);

struct Store {
    clock: Arc<MockClock>,
    asked: AtomicUsize,
}

async fn slow_failure(State(store): State<Arc<Store>>) -> StatusCode {
    store.asked.fetch_add(1, Ordering::SeqCst);
    store.clock.advance(SLOW);
    StatusCode::INTERNAL_SERVER_ERROR
}

fn collector(url: &str, clock: SharedClock) -> Collector {
    Collector {
        queries: Queries::new(clickhouse::Client::default().with_url(url)),
        clock,
        sources: Vec::new(),
        stale_after_ms: 60_000,
        observations: Observations::new(&Telemetry::for_tests().unwrap()),
        peers: Peers::new(Vec::new()).unwrap(),
        memory: Memory::default(),
    }
}

#[tokio::test]
async fn of_a_slow_store_many_viewers_ask_once_and_share_its_failure() {
    let clock = MockClock::at(NOW);
    let store = Arc::new(Store { clock: clock.clone(), asked: AtomicUsize::new(0) });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(slow_failure).with_state(store.clone());
    let lifecycle = Lifecycle::new();
    lifecycle.spawn_detached(async move { axum::serve(listener, router).await.unwrap() });
    let collector = collector(&url, clock);

    let look = || collector.snapshot(Window::Hour);
    let viewers = tokio::join!(look(), look(), look(), look());
    assert!(viewers.3.feed.failure.is_some());
    // Heartbeats, and perhaps the first minute: one of the two failed first.
    let asked = store.asked.load(Ordering::SeqCst);
    assert!((1..=2).contains(&asked), "asked {asked} times");
    lifecycle.shut_down();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_is_given_up_at_the_deadline() {
    let collector = collector("http://127.0.0.1:1", MockClock::at(NOW));
    let by = Instant::now() + PRESENT_WITHIN;
    let never = std::future::pending::<Result<(), QueryError>>;
    let both = tokio::join!(collector.ask("a", by, never()), collector.ask("b", by, never()));
    assert!(matches!(both, (Err(QueryError::GivenUp), Err(QueryError::GivenUp))));
    // Whoever comes later in the same page finds no time left.
    assert!(matches!(collector.ask("c", by, never()).await, Err(QueryError::GivenUp)));
    assert_eq!(Instant::now().duration_since(by), Duration::ZERO);
}

#[test]
fn a_failure_is_kept_as_an_answer_is() {
    let failed = Kept::<_, u8>::new(NOW, "a", &Err(QueryError::Timeout(SLOW)));
    let later = UnixMillis(NOW.0 + 999);
    assert!(
        matches!(failed.again(&"a", later, 1_000), Some(Err(QueryError::Earlier(why))) if why.contains("5 s"))
    );
    assert!(failed.again(&"a", UnixMillis(NOW.0 + 1_000), 1_000).is_none());
    assert!(failed.again(&"b", later, 1_000).is_none());
}
