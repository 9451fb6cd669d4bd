//! Certificates: whom we believe, who believes us, and what is said where one does not.

use queue::rabbitmq::{
    Addresses, BrokerConfig, ClientIdentity, PublishConfig, Tls, TlsError, open_publisher,
};
use testing::certificates::{Authority, Certified};
use testing::rabbitmq::Node;
use testing::{eventually, soon};

use crate::harness::{Place, limits, payloads, receive};

const HERE: &str = "127.0.0.1";

fn identity(certified: &Certified) -> ClientIdentity {
    let Certified { certificate, key } = certified.clone();
    ClientIdentity { certificate: certificate.into(), key }
}

fn tls(ca: &Authority, ours: Option<&Certified>) -> Tls {
    Tls::new(Some(ca.pem().into()), ours.map(identity)).unwrap()
}

/// What a publisher says of a broker that it cannot reach.
async fn reason(broker: BrokerConfig) -> String {
    let publisher = soon("an attempt", open_publisher(broker, PublishConfig::default())).await.unwrap();
    let mut said = String::new();
    eventually("a reason", async || {
        said = publisher.stats().away.expect("it was reached");
        said != "not connected yet"
    })
    .await;
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked_by_both_sides_and_what_is_wrong_is_said() {
    let (servers, clients, stranger) =
        (Authority::new("servers"), Authority::new("clients"), Authority::new("strangers"));
    let (ours, theirs) = (clients.issue(&["tillwatch"]), servers.issue(&[HERE]));
    let node = Node::start_tls(&theirs, &clients);
    let place = Place::new(&node, "tls");
    let with = |tls: Tls| BrokerConfig { tls, ..place.broker(1) };
    let good = with(tls(&servers, Some(&ours)));

    let publisher = open_publisher(good.clone(), PublishConfig::default()).await.unwrap();
    soon("a confirm", publisher.publish(0, &[b"secret"])).await.unwrap();
    let mut consumer = queue::rabbitmq::open_consumer(good.clone(), Default::default()).await.unwrap();
    let batch = receive(&mut consumer, &limits(1)).await;
    assert_eq!(payloads(&batch), ["secret"]);

    let elsewhere = |url: String| BrokerConfig { addresses: Addresses::parse(&url).unwrap(), ..good.clone() };
    let said = [
        ("a stranger's authority", with(tls(&stranger, Some(&ours))), "queue.ca_file"),
        ("another host name", elsewhere(node.url("guest:guest").replace(HERE, "localhost")), "queue.url"),
        ("no certificate of ours", with(tls(&servers, None)), "set queue.client_certificate_file"),
        (
            "one that the broker does not know",
            with(tls(&servers, Some(&stranger.issue(&["tillwatch"])))),
            "ssl_options.cacertfile",
        ),
        (
            "one that has expired",
            with(tls(&servers, Some(&clients.issue_expired(&["tillwatch"])))),
            "our certificate has expired",
        ),
    ];
    for (what, broker, mends) in said {
        let said = reason(broker).await;
        eprintln!("{what}: {said}");
        assert!(said.contains(mends), "{what}: {said}");
    }
    node.show(&servers.issue_expired(&[HERE]));
    let said = reason(good.clone()).await;
    assert!(said.contains("its certificate has expired") && said.contains("ssl_options.certfile"), "{said}");
    node.show(&theirs);
    assert!(open_publisher(good.clone(), PublishConfig::default()).await.unwrap().stats().away.is_none());

    let plain = Node::start();
    let said = reason(elsewhere(plain.url("guest:guest").replace("amqp:", "amqps:"))).await;
    assert!(said.contains("does not speak TLS") && said.contains("5671"), "{said}");
}

#[test]
fn what_is_no_certificate_or_key_is_said_and_no_key_is_shown() {
    let authority = Authority::new("any");
    let (one, other) = (authority.issue(&["one"]), authority.issue(&["other"]));
    let ca = |pem: &[u8]| Tls::new(Some(pem.to_vec()), None);
    let ours = |certificate: &str, key: &str| {
        Tls::new(None, Some(ClientIdentity { certificate: certificate.into(), key: key.to_owned() }))
    };
    let damaged = authority.pem().replace("-----END", "-----EN");
    let garbage = "-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----\n";
    let half_a_key: String = one.key.lines().take(2).collect::<Vec<_>>().join("\n");
    for (tls, key, says) in [
        (ca(b""), "ca_file", "there is no certificate in it"),
        (ca(b"hello"), "ca_file", "there is no certificate in it"),
        (ca(one.key.as_bytes()), "ca_file", "there is no certificate in it"),
        (ca(damaged.as_bytes()), "ca_file", "it is damaged"),
        (ca(&[0x30, 0x82, 0xff]), "ca_file", "DER"),
        (ca(garbage.as_bytes()), "ca_file", "certificate 1 in it is of no authority"),
        (ours("", &one.key), "client_certificate_file", "there is no certificate in it"),
        (ours(garbage, &one.key), "client_key", "it cannot be used with the certificate"),
        (ours(&one.certificate, "hello"), "client_key", "not encrypted"),
        (ours(&one.certificate, &half_a_key), "client_key", "there is no private key in it"),
        (ours(&one.certificate, &other.key), "client_key", "not the key of the first certificate"),
    ] {
        let error: TlsError = tls.expect_err(says);
        let text = error.to_string();
        assert!(text.starts_with(&format!("{key}: ")) && text.contains(says), "{text}");
        assert!(!one.key.lines().any(|line| text.contains(line) && !line.starts_with("--")), "{text}");
    }
    assert!(ours(&one.certificate, &one.key).is_ok());
}
