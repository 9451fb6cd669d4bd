//! What `make run` promises: the simulated outage of one issuer is paged by the shipped rules, in real time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runtime::SystemClock;
use simulator::ledger::Ledger;
use simulator::scenario::{ScenarioConfig, ScenarioKind};
use simulator::simulate::{SimulateConfig, run};
use tokio_util::sync::CancellationToken;

use crate::harness::{Installation, copy_folder, until_within};
use crate::pages::Receiver;

/// The rule looks at two minutes and waits half a minute more.
const PAGED_WITHIN: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_down_is_paged_by_the_shipped_rules_and_nothing_else_is() {
    let pages = Receiver::start().await;
    let installation = Installation::new(Receiver::CHANNEL);
    pages.write_secrets(&installation);
    copy_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules"), &installation.path("rules"));
    let server = installation.serve_ready().await;

    let ledger = installation.path("ledger.jsonl");
    let mut simulation = SimulateConfig::new(1, installation.target(), installation.sources());
    simulation.rate_per_s = 70.0;
    simulation.scenario = ScenarioConfig {
        onset: Duration::from_secs(10),
        duration: PAGED_WITHIN,
        ..ScenarioConfig::new(ScenarioKind::IssuerOutage)
    };
    simulation.ledger = Some(ledger.clone());
    let stop = CancellationToken::new();
    let simulation = tokio::spawn(run(simulation, Arc::new(SystemClock), stop.clone()));
    until_within(PAGED_WITHIN, "the page", async || !pages.verified().is_empty()).await;
    stop.cancel();
    simulation.await.unwrap().unwrap();

    let affected = Ledger::read(&ledger).unwrap().incidents.remove(0).affected;
    let page = pages.verified().remove(0);
    assert_eq!(page["type"], "alert.triggered");
    assert_eq!(page["data"]["slice"]["issuer"], affected.as_str(), "{page}");
    let triggered = pages.verified().iter().filter(|page| page["type"] == "alert.triggered").count();
    assert_eq!(triggered, 1, "{:?}", pages.verified());
    assert_eq!(server.terminate().await, 0);
}
