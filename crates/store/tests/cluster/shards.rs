//! Two shards: the engine, and one that takes an insert and dies of it.

use std::sync::{Arc, Mutex};

use payments::Provider;
use store::rows::PaymentEventRow;
use store::{Decision, InsertError};
use testing::DEADLINE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{NOW, RETENTION, Tables, facts};

/// ClickHouse's native protocol before it had secrets between servers.
const REVISION: u64 = 54_440;

/// What the dying shard was sent, each time.
type Sent = Arc<Mutex<Vec<Vec<u8>>>>;

/// Greets, says that its tables are fine, takes a query, and is gone.
async fn dying_shard(listener: TcpListener, sent: Sent) {
    while let Ok((mut client, _)) = listener.accept().await {
        let sent = Arc::clone(&sent);
        tokio::spawn(async move {
            let query = take_query(&mut client).await?;
            sent.lock().unwrap().push(query);
            std::io::Result::Ok(())
        });
    }
}

async fn take_query(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut said = vec![0; 64 << 10];
    let _hello = client.read(&mut said).await?;
    let mut hello = vec![0];
    text(&mut hello, "ClickHouse");
    for number in [26, 7, REVISION] {
        varint(&mut hello, number);
    }
    text(&mut hello, "UTC");
    text(&mut hello, "dying");
    varint(&mut hello, 1);
    client.write_all(&hello).await?;
    loop {
        let count = client.read(&mut said).await?;
        let packet = said.get(..count).unwrap_or_default();
        match packet.first() {
            None => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            // A ping, and a question about tables: the answer repeats it, each table followed by "not replicated".
            Some(4) => client.write_all(&[4]).await?,
            Some(5) => {
                let mut status = packet.to_vec();
                status[0] = 9;
                status.push(0);
                client.write_all(&status).await?;
            }
            Some(_) => return Ok(packet.to_vec()),
        }
    }
}

fn text(packet: &mut Vec<u8>, text: &str) {
    varint(packet, text.len() as u64);
    packet.extend_from_slice(text.as_bytes());
}

fn varint(packet: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        packet.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    packet.push(number as u8);
}

#[tokio::test]
async fn each_shard_gets_its_rows_and_the_token_and_one_that_dies_of_them_is_waited_for() {
    let port = testing::free_port();
    let tables = Tables::with(&[format!("other_shard=127.0.0.1:{port}")]);
    // It is away for now: the tables are made without it.
    tables.store.migrate(RETENTION).await.unwrap();
    let sent = Sent::default();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(dying_shard(listener, Arc::clone(&sent)));

    let facts = facts(Provider::Stripe, 200);
    let rows: Vec<_> = facts.iter().map(|fact| fact.row(NOW)).collect();
    let mut errors: Vec<InsertError> = Vec::new();
    for _ in 0..3 {
        errors.push(tables.store.insert::<PaymentEventRow<'_>>(&rows, DEADLINE).await.unwrap_err());
    }
    for error in &errors {
        assert_eq!(error.decision(), Decision::Retry, "{error:?}");
    }
    let insert = &tables.stand_in.as_ref().unwrap().asked("INSERT INTO `payment_events_stored`")[0];
    let token = insert.setting("insert_deduplication_token").unwrap();
    let sent = sent.lock().unwrap();
    assert!(sent.len() >= 3, "{}", sent.len());
    for query in sent.iter() {
        let query = String::from_utf8_lossy(query);
        for part in
            ["payment_events_stored_local", "insert_deduplication_token", token, "insert_quorum", "auto"]
        {
            assert!(query.contains(part), "without {part}: {query}");
        }
    }
    let ours = tables.sql("SELECT count() FROM payment_events_stored_local").await;
    let by_key =
        "SELECT count(), countIf(sipHash64(source, event_id, fact) % 2 = 0) FROM payment_events_stored_local";
    assert_eq!(tables.sql(by_key).await, format!("{ours}\t{ours}"), "every row is on the shard of its key");
    let ours: u32 = ours.parse().unwrap();
    assert!((60..140).contains(&ours), "{ours} of 200: about a half, and none of them twice");
}
