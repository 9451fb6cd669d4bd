//! What the load generator costs, and what the floor does on this machine.
//!
//! `cargo run --release -p simulator --example generator`: starts the floor in a process of its own, loads it flat
//! out and at fixed rates with Stripe's webhooks, and then with those of all providers, and prints the reports.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use payments::{Provider, Secret, SourceSettings};
use runtime::SystemClock;
use simulator::SimulatedSource;
use simulator::load::floor::{self, FloorProcess};
use simulator::load::{LoadConfig, Pace, run};
use tokio_util::sync::CancellationToken;

const SECRET: &str = "whsec_example";
const AS_FLOOR: &str = "--as-floor";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().any(|argument| argument == AS_FLOOR) {
        return Ok(floor::be(&Secret::new(SECRET), CancellationToken::new()).await?);
    }
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.arg(AS_FLOOR);
    let floor = FloorProcess::start(command).await?;
    for (pace, connections) in [
        (Pace::FlatOut, 64),
        (Pace::FlatOut, 256),
        (Pace::PerSecond(3_000.0), 64),
        (Pace::PerSecond(5_000.0), 64),
    ] {
        let config = LoadConfig {
            pace,
            connections,
            server_pid: Some(floor.pid),
            ..LoadConfig::new(1, floor.target.clone(), vec![stripe()])
        };
        show(config).await?;
    }
    // The floor does not believe the other providers: their answers are 401, and the generator's cost is the point.
    let config = LoadConfig {
        duration: Duration::from_secs(5),
        ..LoadConfig::new(1, floor.target.clone(), all_providers())
    };
    show(config).await
}

async fn show(config: LoadConfig) -> Result<(), Box<dyn Error>> {
    let report = run(config, Arc::new(SystemClock), CancellationToken::new()).await?;
    announce(&report.to_string());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the example's own answer")]
fn announce(text: &str) {
    println!("{text}");
}

fn stripe() -> SimulatedSource {
    source(Provider::Stripe, SECRET)
}

fn all_providers() -> Vec<SimulatedSource> {
    vec![
        stripe(),
        source(Provider::Adyen, "00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF"),
        source(Provider::Checkout, "example-key"),
        source(Provider::Canonical, "whsec_ZXhhbXBsZSBzZWNyZXQgb2YgdHdlbnR5LWZvdXI="),
    ]
}

fn source(provider: Provider, secret: &str) -> SimulatedSource {
    SimulatedSource {
        name: provider.to_string(),
        provider,
        secret: Secret::new(secret),
        settings: SourceSettings::default(),
    }
}
