//! `amqps`: who is trusted, and who is let in.

use std::path::Path;
use std::time::Duration;

use queue::rabbitmq::config::ClientIdentity;
use queue::rabbitmq::{
    Addresses, BrokerConfig, ConsumeConfig, PublishConfig, Tls, open_consumer, open_publisher,
};
use testing::certificates::{Authority, Certificate};
use testing::rabbitmq::Node;
use testing::soon;

use crate::harness::{limits, payloads, receive};

const HERE: &str = "DNS:localhost";

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}

fn identity(own: &Certificate) -> ClientIdentity {
    ClientIdentity { certificate: read(&own.certificate), key: read(&own.key) }
}

fn broker(node: &Node, host: &str, tls: Tls) -> BrokerConfig {
    BrokerConfig {
        addresses: Addresses::parse(&node.tls_url("guest:guest", host)).unwrap(),
        tls,
        queue: "tls".to_owned(),
        lanes: 1,
        connection_name: "test".to_owned(),
        connect_timeout: Duration::from_secs(10),
    }
}

/// A record goes there and comes back.
async fn works(node: &Node, tls: Tls) {
    let publisher =
        open_publisher(broker(node, "localhost", tls.clone()), PublishConfig::default()).await.unwrap();
    soon("a confirm", publisher.publish(0, &[b"secret"])).await.unwrap();
    publisher.close().await;
    let config = ConsumeConfig::default();
    let mut consumer = open_consumer(broker(node, "localhost", tls), config).await.unwrap();
    let batch = receive(&mut consumer, &limits(10)).await;
    assert_eq!(payloads(&batch), ["secret"]);
    consumer.ack(batch.through()).await.unwrap();
}

/// What is said of a broker that is not trusted, or does not trust us.
async fn refused(node: &Node, host: &str, tls: Tls) -> String {
    let config = PublishConfig { answer_timeout: Duration::from_secs(1), ..PublishConfig::default() };
    let publisher = open_publisher(broker(node, host, tls), config).await.unwrap();
    soon("an answer", publisher.publish(0, &[b"secret"])).await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_trusted_by_its_authority_and_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let node = Node::start_with_tls(&authority.issue("broker", HERE), &authority.certificate(), false);
    let ca = Some(read(&authority.certificate()));
    works(&node, Tls { ca: ca.clone(), identity: None }).await;

    let unknown = refused(&node, "localhost", Tls::default()).await;
    assert!(unknown.contains("certificate") && unknown.contains("queue.ca_file"), "{unknown}");
    let other = Authority::new(folder.path(), "other");
    let wrong =
        refused(&node, "localhost", Tls { ca: Some(read(&other.certificate())), identity: None }).await;
    assert!(wrong.contains("certificate") && wrong.contains("queue.ca_file"), "{wrong}");
    let name = refused(&node, "127.0.0.1", Tls { ca, identity: None }).await;
    assert!(name.contains("certificate") && name.contains("for this host"), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_demands_a_certificate_lets_in_who_has_one() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let node = Node::start_with_tls(&authority.issue("broker", HERE), &authority.certificate(), true);
    let ca = Some(read(&authority.certificate()));
    let ours = identity(&authority.issue("tillwatch", "DNS:tillwatch"));
    works(&node, Tls { ca: ca.clone(), identity: Some(ours) }).await;

    let none = refused(&node, "localhost", Tls { ca: ca.clone(), identity: None }).await;
    assert!(none.contains("queue.client_certificate_file"), "{none}");
    let stranger = Authority::new(folder.path(), "stranger");
    let theirs = identity(&stranger.issue("impostor", "DNS:tillwatch"));
    let strange = refused(&node, "localhost", Tls { ca, identity: Some(theirs) }).await;
    assert!(strange.contains("queue.client_certificate_file"), "{strange}");
}
