//! What is declared, and what the broker then does.

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, BasicRejectOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};
use queue::rabbitmq::topology::TopologyError;
use std::time::{Duration, Instant};

use crate::harness::{Place, connect};

pub(crate) async fn the_queues_are_declared_again_and_again_and_a_difference_is_named(place: Place<'_>) {
    let topology = |delivery_limit| place.topology(1).with_delivery_limit(delivery_limit);
    let (lane, dead_letters) = (place.queue("0"), place.queue("dead"));
    let connection = connect(place.node).await;
    let channel = connection.create_channel().await.unwrap();
    topology(2).declare(&channel).await.unwrap();
    topology(2).declare(&channel).await.unwrap();

    publish(&channel, &lane, b"poison").await;
    let delivered = deliver_until_it_is_gone(&channel, &lane, &dead_letters).await;
    assert_eq!(delivered, 3, "once, and again as often as the limit says");
    let dead = place.get("dead").await;
    assert_eq!(dead.data, b"poison");
    let headers = dead.properties.headers().as_ref().unwrap().inner();
    assert_eq!(headers["x-first-death-reason"], AMQPValue::LongString("delivery_limit".into()));
    assert_eq!(headers["x-first-death-queue"], AMQPValue::LongString(lane.as_str().into()));

    let error = topology(3).declare(&channel).await.unwrap_err();
    assert!(matches!(error, TopologyError::Mismatch { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(&format!("`{}`", place.queue("alone"))) && text.contains("x-delivery-limit"),
        "{text}"
    );
    assert!(text.contains('3') && text.contains('2'), "{text}");
    // The channel is closed, the connection is not.
    topology(2).declare(&connection.create_channel().await.unwrap()).await.unwrap();
}

async fn publish(channel: &Channel, queue: &str, body: &[u8]) {
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default().with_delivery_mode(2);
    let sent = channel.basic_publish("".into(), queue.into(), options, body, properties).await.unwrap();
    assert_eq!(sent.await.unwrap(), Confirmation::Ack(None));
}

/// Rejects the message each time it comes, which every version counts; how often it came.
async fn deliver_until_it_is_gone(channel: &Channel, lane: &str, dead_letters: &str) -> usize {
    let mut delivered = 0;
    let deadline = Instant::now() + Duration::from_secs(30);
    while messages_of(channel, dead_letters).await == 0 {
        assert!(Instant::now() < deadline, "delivered {delivered} times and not dead-lettered");
        if let Some(message) = channel.basic_get(lane.into(), BasicGetOptions::default()).await.unwrap() {
            delivered += 1;
            message.reject(BasicRejectOptions { requeue: true }).await.unwrap();
        }
    }
    delivered
}

async fn messages_of(channel: &Channel, queue: &str) -> u32 {
    let passive = QueueDeclareOptions::durable().passive();
    channel.queue_declare(queue.into(), passive, FieldTable::default()).await.unwrap().message_count()
}
