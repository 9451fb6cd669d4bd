//! What storing a webhook costs the engine: CPU and bytes on disk, per table.
//!
//! ```text
//! cargo run --release -p store --example insert_cost [BATCHES]
//! ```
//!
//! Starts the embedded engine as a child, stores `BATCHES` batches of 20,000 webhooks (bodies of 2.5 KB of JSON, one
//! fact each, a quarter of them of a provider whose times may differ, 5% sent again), waits until merges rest, and prints
//! the CPU time of the engine's process (from `/proc`, so Linux only) and of this one per webhook.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement at a terminal, which fails by panicking"
)]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use payments::money::Currency;
use payments::{Envelope, Kind, Money, Outcome, PaymentEvent, Provider, QueueMessage, UnixMillis};
use sha2::{Digest as _, Sha256};
use store::engine::{EngineConfig, locate, parent_gone, run};
use store::rows::{PaymentEventRow, WebhookRow};
use store::{Retention, Store};
use uuid::Uuid;

const BATCH: u64 = 20_000;
const TIMEOUT: Duration = Duration::from_mins(2);
const START_MS: i64 = 1_795_316_820_000;

#[tokio::main]
async fn main() {
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some("engine") {
        return serve(&std::env::args().nth(2).unwrap()).await;
    }
    let batches = argument.map_or(25, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mut engine = Command::new(std::env::current_exe().unwrap())
        .args(["engine", directory.path().to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(engine.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let store = Store::new(&format!("http://{}", address.trim()), "default", None, "tillwatch");
    let retention = Retention {
        webhooks_days: 0,
        payment_events_days: 0,
        parked_webhooks_days: 0,
        alert_transitions_days: 0,
        heartbeats_days: 0,
    };
    store.migrate(retention).await.unwrap();
    measure(&store, &engine, batches).await;
    drop(engine.stdin.take());
    engine.wait().unwrap();
}

async fn serve(directory: &str) {
    let config = EngineConfig::new(locate(None).unwrap(), directory);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    run(config, Some(listener), parent_gone()).await.unwrap();
}

async fn measure(store: &Store, engine: &Child, batches: u64) {
    let (mut facts_us, mut webhooks_us, mut ours_us, mut wall) = (0, 0, 0, Duration::ZERO);
    for batch in 0..batches {
        let webhooks: Vec<(Envelope, PaymentEvent)> =
            (batch * BATCH..(batch + 1) * BATCH).map(webhook).collect();
        let stored_at = UnixMillis(webhooks.last().unwrap().0.received_at.0 + 700);
        let (before, own, clock) = (cpu_us(engine.id()), cpu_us(std::process::id()), Instant::now());
        let rows: Vec<_> =
            webhooks.iter().map(|(one, event)| PaymentEventRow::new(one, event, stored_at)).collect();
        store.insert::<PaymentEventRow<'_>>(&rows, TIMEOUT).await.unwrap();
        let between = cpu_us(engine.id());
        let rows: Vec<_> =
            webhooks.iter().map(|(one, _)| WebhookRow::new(one, "stored", 1, stored_at)).collect();
        store.insert::<WebhookRow<'_>>(&rows, TIMEOUT).await.unwrap();
        facts_us += between - before;
        webhooks_us += cpu_us(engine.id()) - between;
        ours_us += cpu_us(std::process::id()) - own;
        wall += clock.elapsed();
    }
    let before = cpu_us(engine.id());
    let mut quiet = 0;
    while quiet < 4 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        quiet = if count(store, "SELECT count() FROM system.merges").await == 0 { quiet + 1 } else { 0 };
    }
    let merges_us = cpu_us(engine.id()) - before;
    report(batches * BATCH, [facts_us, webhooks_us, merges_us, ours_us], wall);
    for table in ["webhooks", "payment_events"] {
        println!("{table}: {} rows counted", count(store, &format!("SELECT count() FROM {table}")).await);
    }
    for table in ["webhooks_stored", "payment_events_stored", "payment_event_places"] {
        let parts =
            format!("FROM system.parts WHERE active AND database = currentDatabase() AND table = '{table}'");
        let bytes = count(store, &format!("SELECT sum(bytes_on_disk) {parts}")).await;
        let number = count(store, &format!("SELECT count() {parts}")).await;
        println!("{table}: {} bytes on disk per webhook, {number} parts", bytes / (batches * BATCH));
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds")]
fn report(webhooks: u64, [facts, requests, merges, ours]: [u64; 4], wall: Duration) {
    let each = |us: u64| us as f64 / webhooks as f64;
    println!("{webhooks} webhooks, {:.0} a second while storing", webhooks as f64 / wall.as_secs_f64());
    println!("engine, CPU microseconds per webhook (merges meanwhile included):");
    println!(
        "  facts {:.1}, webhooks {:.1}, merges after the last answer {:.1}",
        each(facts),
        each(requests),
        each(merges)
    );
    println!("  all in {:.1}", each(facts + requests + merges));
    println!("client, CPU microseconds per webhook: {:.1}", each(ours));
}

async fn count(store: &Store, sql: &str) -> u64 {
    store.client().query(&format!("SELECT ifNull(toUInt64(({sql})), 0)")).fetch_one().await.unwrap()
}

/// User and system time of a process so far.
fn cpu_us(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name, in parentheses, may hold spaces; user and system time are fields 14 and 15, in ticks of 10 ms.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10_000
}

/// The webhook at `position` of the stream, 1,000 a second; every twentieth is an earlier one sent again.
fn webhook(position: u64) -> (Envelope, PaymentEvent) {
    let number = if position % 20 == 19 { position - 7 } else { position };
    let noise: [u8; 32] = Sha256::digest(number.to_le_bytes()).into();
    let text = hex::encode(noise);
    let pick = |byte: usize, of: &[&'static str]| of[usize::from(noise[byte]) % of.len()];
    let at = UnixMillis(START_MS + i64::try_from(number).unwrap());
    let provider =
        [Provider::Stripe, Provider::Adyen, Provider::Checkout, Provider::Stripe][(number % 4) as usize];
    let declined = noise[0] < 20;
    let outcome = if declined { Outcome::Declined } else { Outcome::Approved };
    let mut event = PaymentEvent::new(format!("evt_{}", &text[..24]), 0, Kind::Authorization, outcome, at);
    event.account = format!("acct_{}", noise[1] % 6);
    event.payment_id = format!("pi_{}", &text[8..32]);
    event.attempt_id = format!("ch_{}", &text[16..40]);
    event.order_id = format!("order-{}", &text[40..50]);
    event.money = Some(Money::new(i64::from(noise[2]) * 97 + 5, Currency::USD));
    event.method = "card".into();
    event.wallet = pick(3, &["", "", "apple_pay", "google_pay"]).into();
    event.network = pick(4, &["visa", "visa", "mastercard", "amex"]).into();
    event.funding = pick(5, &["credit", "debit"]).into();
    event.bin = format!("4{:05}", u32::from(noise[6]) * 7);
    event.last4 = format!("{:04}", u32::from(noise[7]) * 39);
    event.issuer = format!("BANK OF {}", noise[8] % 64);
    event.issuer_country = pick(9, &["US", "US", "US", "CA"]).into();
    event.latency_ms = Some(150 + u32::from(noise[10]) * 4);
    let id = Uuid::from_u128(
        (u128::from(at.0.unsigned_abs()) << 80) | (7 << 76) | (2 << 62) | u128::from(position),
    );
    let arrival = UnixMillis(START_MS + i64::try_from(position).unwrap() + 300);
    (envelope(id, provider, arrival, &body(&text, &event)), event)
}

/// 2.5 KB of JSON with about a tenth of it random, as providers' bodies are.
fn body(text: &str, event: &PaymentEvent) -> String {
    let mut body = format!(r#"{{"id":"{}","object":"event","data":{{"object":{{"#, event.event_id);
    for (index, part) in text.as_bytes().chunks(8).enumerate() {
        let (part, network, amount) =
            (String::from_utf8_lossy(part), &event.network, event.latency_ms.unwrap_or(0));
        write!(
            body,
            r#""payment_method_option_{index}":{{"reference":"{part}","request_three_d_secure":"automatic","network":"{network}","amount_authorized":{amount},"capture_before":null,"extended_authorization":{{"status":"disabled"}},"overcapture":{{"status":"unavailable","maximum_amount_capturable":null}},"mandate":null}},"#
        )
        .unwrap();
    }
    write!(body, r#""order":"{}","last4":"{}"}}}}}}"#, event.order_id, event.last4).unwrap();
    body
}

/// An envelope as the queue hands it out: decoded from its wire format.
fn envelope(id: Uuid, provider: Provider, received_at: UnixMillis, body: &str) -> Envelope {
    let mut message = BytesMut::with_capacity(body.len() + 512);
    let text16 = |message: &mut BytesMut, text: &str| {
        message.put_u16_le(u16::try_from(text.len()).unwrap());
        message.put_slice(text.as_bytes());
    };
    message.put_slice(&[1, 1]);
    message.put_slice(id.as_bytes());
    message.put_i64_le(received_at.0);
    message.put_u8(u8::try_from(provider.name().len()).unwrap());
    message.put_slice(provider.name().as_bytes());
    let trace = format!("00-{}{}-{}-01", id.simple(), "", &id.simple().to_string()[16..]);
    for text in [format!("{provider}-us").as_str(), "env:SECRET", &trace] {
        text16(&mut message, text);
    }
    let signature = format!("t={},v1={}", received_at.0, hex::encode(Sha256::digest(body)));
    let length = body.len().to_string();
    let headers = [
        ("host", "hooks.example.com"),
        ("content-type", "application/json; charset=utf-8"),
        ("user-agent", "Provider/1.0 (+https://provider.example/webhooks)"),
        ("content-length", &length),
        ("signature", &signature),
    ];
    message.put_u16_le(5);
    for (name, value) in headers {
        text16(&mut message, name);
        message.put_u32_le(u32::try_from(value.len()).unwrap());
        message.put_slice(value.as_bytes());
    }
    message.put_u32_le(u32::try_from(body.len()).unwrap());
    message.put_slice(body.as_bytes());
    match QueueMessage::decode(Bytes::from(message)).unwrap() {
        QueueMessage::Webhook(envelope) => envelope,
        QueueMessage::Heartbeat(_) | QueueMessage::Tally(_) => unreachable!("kind 1 is a webhook"),
    }
}
