//! What ingest (with `-- --process` the processor) spends on a webhook, and what the broker does, beside the least that either could, in one run.
//!
//! `cargo build --release && cargo run --release --example speed`
//!
//! Everything (broker, generator, ingest) shares this machine's processors. Figures are processor microseconds per
//! acknowledged webhook, which a noisy machine moves less than rates; rounds take turns, and medians are shown.
//!
//! | row | what it is |
//! |---|---|
//! | `raw …` | no HTTP: the client alone publishes as many bytes, so many at once |
//! | `bare, a message each` | HTTP, one signature, one publish and its confirm per request, nothing else |
//! | `ingest …` | ours |
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

mod bare;
mod candidate;
mod process;
mod processing;
mod raw;

use std::time::Duration;

use candidate::{Candidate, Measured, Way};
use clap::Parser;
use simulator::load::Pace;
use testing::rabbitmq::Node;

#[derive(Debug, Parser)]
struct Args {
    /// Measure the processor instead: from a full queue into ClickHouse
    #[arg(long)]
    process: bool,
    /// Measured seconds of each round
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Rounds of each row
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections, and so requests at once
    #[arg(long, default_value_t = 256)]
    connections: usize,
    /// Requests a second; flat out if not given
    #[arg(long)]
    rate: Option<f64>,
    /// Rows whose name contains this only
    #[arg(long, default_value = "")]
    only: String,
    /// Be the bare prototype, or the raw publisher (`RECORDS:AT_ONCE`): a process of its own
    #[arg(long, hide = true)]
    be: Option<String>,
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    match args.be.as_deref() {
        Some("bare") => return bare::serve().await,
        Some(shape) => return raw::publish_for_ever(shape).await,
        None => {}
    }
    let node = Node::start();
    if args.process {
        for round in 0..args.rounds {
            processing::measure(&node, round, Duration::from_secs(args.seconds)).await;
        }
        return;
    }
    let pace = args.rate.map_or(Pace::FlatOut, Pace::PerSecond);
    let rows: Vec<(String, Way)> = rows().into_iter().filter(|row| row.0.contains(&args.only)).collect();
    let mut measured: Vec<Vec<Measured>> = vec![Vec::new(); rows.len()];
    for _ in 0..args.rounds {
        for ((name, way), measured) in rows.iter().zip(&mut measured) {
            let candidate = Candidate { node: &node, way, connections: args.connections, pace };
            measured.push(candidate.measure(Duration::from_secs(args.seconds)).await);
            println!("{}", measured.last().unwrap().line(name));
        }
    }
    println!("\nmedians of {} rounds\n{}", args.rounds, Measured::heading());
    for ((name, _), measured) in rows.iter().zip(measured) {
        println!("{}", Measured::median(measured).line(name));
    }
}

fn rows() -> Vec<(String, Way)> {
    let ingest = |name: &str, env: &[(&str, &str)]| {
        let env = env.iter().map(|(key, value)| (format!("TILLWATCH_QUEUE__{key}"), (*value).to_owned()));
        (name.to_owned(), Way::Ingest(env.collect()))
    };
    vec![
        ("raw, a message each".to_owned(), Way::Raw("1:256".to_owned())),
        ("raw, frames of 32".to_owned(), Way::Raw("32:256".to_owned())),
        ("bare, a message each".to_owned(), Way::Bare),
        ingest("ingest, a message each", &[("KIND", "rabbitmq"), ("FRAMING", "false")]),
        ingest("ingest, framed, 4 lanes", &[("KIND", "rabbitmq")]),
        ingest("ingest, framed, 1 lane", &[("KIND", "rabbitmq"), ("LANES", "1")]),
        ingest("ingest, framed, spool", &[("KIND", "rabbitmq"), ("SPOOL", "true")]),
        ingest("ingest, embedded log", &[("KIND", "embedded")]),
    ]
}
