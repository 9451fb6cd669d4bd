//! Dead letters in a real broker: listed, shown, sent again and stored, dropped and kept as parked.

use std::process::Output;

use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use testing::rabbitmq::Node;
use testing::{eventually, free_port};

use crate::harness::Installation;
use crate::truth::number;

const CONFIG: &str = "[queue]\nkind = \"rabbitmq\"\nurl = { env = \"AMQP_URL\" }\nlanes = 2\n\n\
                      [processor]\nlinger_ms = 50\n";
const DEAD: &str = "tillwatch.webhooks.dead";

struct Broker {
    node: Node,
    installation: Installation,
}

impl Broker {
    fn command(&self, arguments: &[&str]) -> Output {
        self.tillwatch(&[&["dead-letters"], arguments].concat())
    }

    fn tillwatch(&self, command: &[&str]) -> Output {
        let url = self.node.url("guest:guest");
        let store = format!("http://127.0.0.1:{}", self.installation.clickhouse);
        self.installation
            .command(command)
            .env("AMQP_URL", url)
            .env("TILLWATCH_STORE__KIND", "clickhouse")
            .env("TILLWATCH_STORE__URL", store)
            .output()
            .unwrap()
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Takes what lies in the lanes, and lays it to the dead as isolation would.
    async fn bury_all(&self, reason: &str) {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(&self.node.url("guest:guest"), properties).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        for lane in ["tillwatch.webhooks.0", "tillwatch.webhooks.1"] {
            let options = lapin::options::BasicGetOptions { no_ack: true };
            while let Some(got) = channel.basic_get(lane.into(), options).await.unwrap() {
                let mut headers = FieldTable::default();
                headers.insert("x-tillwatch-reason".into(), AMQPValue::LongString(reason.into()));
                let properties: BasicProperties = got.delivery.properties.with_headers(headers);
                let (options, data) = (BasicPublishOptions::default(), &got.delivery.data);
                channel.basic_publish("".into(), DEAD.into(), options, data, properties).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_seen_sent_again_and_dropped_with_a_trace() {
    let broker = Broker { node: Node::start(), installation: Installation::new(CONFIG) };
    let installation = &broker.installation;
    let amqp = broker.node.url("guest:guest");
    let env = [("AMQP_URL", amqp.as_str())];
    let mut ingest = installation.start("ingest", &env);
    installation.until_ready(&mut ingest, "/ingest").await;
    let body = |id: &str| {
        format!(
            r#"{{"event_id":"{id}","kind":"authorization","outcome":"approved","occurred_at":"2026-11-27T03:07:00Z"}}"#
        )
    };
    for id in ["e-1", "e-2", "e-3", "e-4"] {
        assert_eq!(installation.post_canonical(id, &body(id), &[]).await, 200);
    }
    ingest.kill();
    broker.bury_all("came back 3 times alone without being stored").await;

    let listed = broker.says(&["list"]);
    assert!(
        listed.contains("dead letters:") && listed.contains("of shop: came back 3 times alone"),
        "{listed}"
    );
    let lines = broker.says(&["list", "--json", "--source", "shop"]);
    let ids: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .flat_map(|letter| letter["webhook_ids"].as_array().unwrap().clone())
        .map(|id| id.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 4, "{lines}");
    let shown = broker.says(&["show", &ids[0]]);
    assert!(shown.contains("it would be stored, with 1 facts") && shown.contains(&body("e-1")), "{shown}");
    assert_eq!(broker.says(&["show", &ids[0], "--raw"]), body("e-1"));

    let missing = broker.command(&["requeue", "00000000-0000-0000-0000-000000000001"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(broker.says(&["requeue", "--because", "came back", "--dry-run"]).contains("would be requeued"));

    let away = broker.command(&["drop", &ids[3], "--reason", "a test"]);
    let said = String::from_utf8_lossy(&away.stderr).into_owned();
    assert!(!away.status.success() && said.contains("it was not dropped"), "{said}");
    let _engine = installation.start("engine run", &[]);
    eventually("the tables are there", async || broker.tillwatch(&["migrate"]).status.success()).await;
    assert!(broker.says(&["drop", &ids[3], "--reason", "a test"]).starts_with("1 dead letters dropped"));
    let parked =
        "SELECT count() FROM tillwatch.parked_webhooks WHERE reason = 'dropped' AND detail LIKE 'a test%'";
    assert_eq!(number(installation, parked).await, 1);

    assert!(broker.says(&["requeue", &ids[0]]).starts_with("1 dead letters requeued"));
    broker.says(&["requeue", "--all"]);
    assert!(broker.says(&["list"]).starts_with("0 dead letters"));
    let store = format!("http://127.0.0.1:{}", installation.clickhouse);
    let admin = format!("127.0.0.1:{}", free_port());
    let env = [
        ("AMQP_URL", amqp.as_str()),
        ("TILLWATCH_ADMIN__LISTEN", &admin),
        ("TILLWATCH_STORE__KIND", "clickhouse"),
        ("TILLWATCH_STORE__URL", &store),
    ];
    let _processor = installation.start("process", &env);
    let stored = "SELECT count() FROM tillwatch.payment_events WHERE event_id IN ('e-1', 'e-2', 'e-3')";
    eventually("what was requeued is stored", async || number(installation, stored).await == 3).await;
    let kept = "SELECT count() FROM tillwatch.webhooks";
    eventually("every webhook is kept", async || number(installation, kept).await == 4).await;
}

#[tokio::test]
async fn a_broker_that_is_away_and_a_queue_that_has_none_are_told() {
    let embedded = Installation::new("");
    let embedded = embedded.command(&["dead-letters", "list"]).output().unwrap();
    let said = String::from_utf8_lossy(&embedded.stderr).into_owned();
    assert!(said.contains("queue.kind is embedded") && said.contains("parked_webhooks"), "{said}");
    let away = Installation::new(CONFIG);
    let mut away = away.command(&["dead-letters", "list"]);
    let away = away.env("AMQP_URL", format!("amqp://127.0.0.1:{}", free_port())).output().unwrap();
    let said = String::from_utf8_lossy(&away.stderr).into_owned();
    assert!(!away.status.success() && said.contains("cannot be reached"), "{said}");
}
