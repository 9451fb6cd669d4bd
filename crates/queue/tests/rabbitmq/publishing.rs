//! What a publisher is told, whatever becomes of the broker.

use std::time::Duration;

use queue::rabbitmq::{Addresses, BrokerConfig, PublishConfig, open_publisher};
use queue::{OpenError, PublishError};

use crate::harness::{Place, limits, payloads, receive};
use testing::soon;

fn patient(answer_timeout: Duration) -> PublishConfig {
    PublishConfig { answer_timeout, ..PublishConfig::default() }
}

pub(crate) async fn what_is_published_together_travels_in_few_messages_and_comes_out_as_it_was(
    place: Place<'_>,
) {
    let publisher = place.publisher(1, PublishConfig::default()).await;
    let published: Vec<_> =
        (0..200_u32).map(|number| publisher.publish(0, &[b"record ", &number.to_le_bytes()])).collect();
    for published in published {
        soon("a confirm", published).await.unwrap();
    }
    let stats = publisher.stats();
    assert_eq!((stats.records, stats.in_flight_records, stats.away), (200, 0, None));
    // All waited when the first could be sent; it may have left alone.
    assert!(stats.messages <= 6, "{} messages", stats.messages);
    publisher.close().await;

    let mut consumer = place.consumer(1, 100).await;
    let mut received = Vec::new();
    while received.len() < 200 {
        let batch = receive(&mut consumer, &limits(150)).await;
        received.extend(payloads(&batch));
        consumer.ack(batch.through()).await.unwrap();
    }
    let sent: Vec<_> =
        (0..200_u32).map(|number| [b"record ".as_slice(), &number.to_le_bytes()].concat()).collect();
    assert_eq!(received, sent);
}

pub(crate) async fn without_framing_every_record_is_a_message_that_others_can_read(place: Place<'_>) {
    let publisher = place.publisher(1, PublishConfig { framing: false, ..PublishConfig::default() }).await;
    let published = [publisher.publish(0, &[b"one"]), publisher.publish(0, &[b"two"])];
    for published in published {
        soon("a confirm", published).await.unwrap();
    }
    assert_eq!(publisher.stats().messages, 2);
    let message = place.get("0").await;
    assert_eq!(message.data, b"one");
    assert_eq!(message.properties.content_type().as_ref().unwrap().as_str(), "application/octet-stream");
}

pub(crate) async fn lanes_are_queues_of_their_own(place: Place<'_>) {
    let publisher = place.publisher(2, PublishConfig::default()).await;
    for lane in [0, 1, 3] {
        soon("a confirm", publisher.publish(lane, &[b"x"])).await.unwrap();
    }
    place.until_ready("0", 1).await;
    place.until_ready("1", 2).await;
}

pub(crate) async fn a_queue_deleted_under_us_is_an_error_and_is_there_again_for_the_next(place: Place<'_>) {
    let publisher = place.publisher(1, PublishConfig::default()).await;
    soon("a confirm", publisher.publish(0, &[b"first"])).await.unwrap();
    place.node.ctl(&["delete_queue", &place.queue("0")]);
    let error = soon("an answer", publisher.publish(0, &[b"returned"])).await.unwrap_err();
    assert!(
        matches!(&error, PublishError::Unroutable { queue } if **queue == *place.queue("0")),
        "{error:?}"
    );
    soon("a confirm", publisher.publish(0, &[b"next"])).await.unwrap();
    assert_eq!((publisher.stats().refused, place.ready("0").await), (1, 1));
}

pub(crate) async fn a_queue_that_rejects_is_an_error_at_once(place: Place<'_>) {
    let publisher = place.publisher(1, PublishConfig::default()).await;
    let pattern = format!("^{}$", place.queue("0"));
    place.node.ctl(&["set_policy", "short", &pattern, r#"{"max-length": 1}"#, "--apply-to", "queues"]);
    let mut refused = None;
    for _ in 0..100 {
        if let Err(error) = soon("an answer", publisher.publish(0, &[b"x"])).await {
            refused = Some(error);
            break;
        }
    }
    assert!(matches!(refused, Some(PublishError::Nacked)), "{refused:?}");
    assert_eq!(publisher.stats().connects, 1, "a refusal ends no connection");
}

pub(crate) async fn too_much_at_once_is_refused_and_closing_answers_everybody(place: Place<'_>) {
    let config = PublishConfig { in_flight_records_max: 4, ..patient(Duration::from_millis(500)) };
    let publisher = open_publisher(nobody_listens(place, 2), config).await.unwrap();
    let waiting = [publisher.publish(0, &[b"1"]), publisher.publish(0, &[b"2"])];
    let refused = publisher.publish(0, &[b"3"]).await.unwrap_err();
    assert!(matches!(refused, PublishError::Overloaded { records: 2, bytes: 2 }), "{refused:?}");
    let other_lane = publisher.publish(1, &[b"4"]);
    let large = publisher.publish(0, &[&vec![0; 9 << 20]]).await.unwrap_err();
    assert!(matches!(large, PublishError::TooLarge { .. }), "{large:?}");
    let ((), answers) = tokio::join!(
        soon("the end", publisher.close()),
        futures_util::future::join_all(waiting.into_iter().chain([other_lane])),
    );
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    assert!(matches!(publisher.publish(0, &[b"late"]).await, Err(PublishError::Closed)));
}

pub(crate) async fn queues_that_are_not_as_they_must_be_end_the_start_and_a_broker_that_is_away_does_not(
    place: Place<'_>,
) {
    place.topology(1).with_delivery_limit(5).declare(&place.channel().await).await.unwrap();
    let error = open_publisher(place.broker(1), PublishConfig::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::Topology(_)), "{error:?}");
    assert!(error.to_string().contains("x-delivery-limit"), "{error}");
    let publisher = open_publisher(nobody_listens(place, 1), PublishConfig::default()).await.unwrap();
    assert!(publisher.stats().away.is_some());
}

pub(crate) async fn a_wrong_password_is_named_and_not_shown(place: Place<'_>) {
    let mut broker = place.broker(1);
    broker.addresses = Addresses::parse(&place.node.url("guest:wr0ng")).unwrap();
    let publisher = open_publisher(broker, patient(Duration::from_millis(300))).await.unwrap();
    let error = publisher.publish(0, &[b"x"]).await.unwrap_err().to_string();
    assert!(error.contains("ACCESS_REFUSED") && !error.contains("wr0ng"), "{error}");
}

fn nobody_listens(place: Place<'_>, lanes: u16) -> BrokerConfig {
    let port = testing::free_port();
    let mut broker = place.broker(lanes);
    broker.addresses = Addresses::parse(&format!("amqp://guest:guest@127.0.0.1:{port}")).unwrap();
    broker
}
