//! The least that an ingest with one message per request can be: what a careful first version would look like.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::serve::ListenerExt as _;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use payments::signature::HmacKey;
use simulator::load::floor;
use tokio::net::TcpListener;

/// Requests take these in turn.
const CHANNELS: usize = 4;

struct Bare {
    key: HmacKey,
    channels: Vec<Channel>,
    next: AtomicUsize,
}

/// Serves until it is killed; the broker's address, the queue and the secret come by the environment.
pub(crate) async fn serve() {
    let connection = connect().await;
    let mut channels = Vec::new();
    for _ in 0..CHANNELS {
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        channels.push(channel);
    }
    declare(&channels[0]).await;
    let key = HmacKey::new(std::env::var("SECRET").unwrap().as_bytes());
    let bare = Arc::new(Bare { key, channels, next: AtomicUsize::new(0) });
    let app = Router::new().route("/webhooks/{source}", post(receive)).with_state(bare);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    std::io::stdout().flush().unwrap();
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
    axum::serve(listener, app).await.unwrap();
}

async fn receive(State(bare): State<Arc<Bare>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if !floor::verifies(&bare.key, &headers, &body) {
        return StatusCode::UNAUTHORIZED;
    }
    let channel = &bare.channels[bare.next.fetch_add(1, Ordering::Relaxed) % CHANNELS];
    match publish(channel, &body).await {
        Confirmation::Ack(None) => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// A connection to the broker that the environment names.
pub(crate) async fn connect() -> Connection {
    let url = std::env::var("AMQP_URL").unwrap();
    Connection::connect(&url, ConnectionProperties::default()).await.unwrap()
}

/// The quorum queue that the environment names.
pub(crate) async fn declare(channel: &Channel) {
    let mut arguments = lapin::types::FieldTable::default();
    arguments.insert("x-queue-type".into(), lapin::types::AMQPValue::LongString("quorum".into()));
    let options = lapin::options::QueueDeclareOptions::durable();
    channel.queue_declare(queue().as_str().into(), options, arguments).await.unwrap();
}

fn queue() -> String {
    std::env::var("QUEUE").unwrap()
}

/// A persistent message and its confirm.
pub(crate) async fn publish(channel: &Channel, body: &[u8]) -> Confirmation {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default().with_delivery_mode(2);
    channel
        .basic_publish("".into(), queue().as_str().into(), options, body, properties)
        .await
        .unwrap()
        .await
        .unwrap()
}
