//! Two shards: the engine, and one that speaks just enough of the native protocol to take an insert, or to die of it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use payments::Provider;
use store::rows::PaymentEventRow;
use store::{Decision, InsertError};
use testing::DEADLINE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Fact, NOW, RETENTION, Tables, facts, start};
use crate::stand_in::Answer;

/// The protocol before it had secrets between servers.
const REVISION: u64 = 54_440;

/// How every block begins that is no overflow and of no bucket; and the block that ends an insert.
const BLOCK: [u8; 8] = [1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0];
const LAST: [u8; 12] = [2, 0, 1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0];

/// The other shard.
#[derive(Clone, Default)]
struct Shard(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Name and type of each column of its table; without any it dies of an insert.
    columns: Vec<(String, String)>,
    /// The inserts that it was asked for, as they came.
    queries: Vec<String>,
    /// How many rows came with each that it took.
    rows: Vec<u64>,
}

impl Shard {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listen(self, listener: TcpListener) {
        while let Ok((client, _)) = listener.accept().await {
            let shard = self.clone();
            // A connection that ends is the initiator's own end.
            tokio::spawn(async move { shard.talk(client).await });
        }
    }

    async fn talk(self, mut client: TcpStream) -> io::Result<()> {
        read(&mut client).await?;
        client.write_all(&hello()).await?;
        loop {
            let mut packet = read(&mut client).await?;
            match packet[0] {
                4 => client.write_all(&[4]).await?, // ping, pong
                5 => {
                    // A question about one table: the answer repeats it, and says that it is not replicated.
                    packet[0] = 9;
                    packet.push(0);
                    client.write_all(&packet).await?;
                }
                _ => {
                    let query = String::from_utf8_lossy(&packet).into_owned();
                    let Some(header) = self.asked(query) else { return Ok(()) };
                    client.write_all(&header).await?;
                    // Such a block also ends the tables that may come with a query, before its own data.
                    let mut sent = Vec::new();
                    while !sent.ends_with(&LAST) || sent.len() == LAST.len() {
                        sent.extend(read(&mut client).await?);
                    }
                    self.state().rows.push(rows(&sent));
                    client.write_all(&[5]).await?;
                }
            }
        }
    }

    /// Notes an insert; the first block of the answer, which tells the table's columns, or nothing if it dies.
    fn asked(&self, query: String) -> Option<Vec<u8>> {
        let mut state = self.state();
        let named = query.split_once(" (").and_then(|(_, rest)| rest.split_once(") VALUES"));
        let named: Vec<String> = named?.0.split(", ").map(|name| name.trim_matches('`').to_owned()).collect();
        state.queries.push(query);
        if state.columns.is_empty() {
            return None;
        }
        let mut header = vec![1, 0];
        header.extend(BLOCK);
        varint(&mut header, named.len() as u64);
        varint(&mut header, 0);
        for name in named {
            let kind = state.columns.iter().find(|(column, _)| *column == name).map(|(_, kind)| kind.clone());
            text(&mut header, &name);
            text(&mut header, &kind.unwrap());
        }
        Some(header)
    }
}

async fn read(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut said = vec![0; 256 << 10];
    let count = client.read(&mut said).await?;
    said.truncate(count);
    if said.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(said) }
}

fn hello() -> Vec<u8> {
    let mut hello = vec![0];
    text(&mut hello, "ClickHouse");
    for number in [26, 7, REVISION] {
        varint(&mut hello, number);
    }
    text(&mut hello, "UTC");
    text(&mut hello, "other");
    varint(&mut hello, 1);
    hello
}

/// How many rows the first block has that is not empty.
fn rows(sent: &[u8]) -> u64 {
    let sent = sent.strip_prefix(&LAST).unwrap_or(sent);
    let block = sent.get(2 + BLOCK.len()..).unwrap_or_default();
    let (_columns, block) = number(block);
    number(block).0
}

fn number(mut bytes: &[u8]) -> (u64, &[u8]) {
    let (mut number, mut shift) = (0, 0);
    while let Some((byte, rest)) = bytes.split_first() {
        bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    (number, bytes)
}

fn text(packet: &mut Vec<u8>, text: &str) {
    varint(packet, text.len() as u64);
    packet.extend_from_slice(text.as_bytes());
}

fn varint(packet: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        packet.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return;
        }
    }
}

async fn stored(tables: &Tables, facts: &[Fact]) -> Result<(), InsertError> {
    let rows: Vec<_> = facts.iter().map(|fact| fact.row(NOW)).collect();
    tables.store.insert::<PaymentEventRow<'_>>(&rows, DEADLINE).await
}

#[tokio::test]
async fn each_shard_gets_its_rows_and_the_token_and_one_that_dies_of_them_is_waited_for() {
    let port = testing::free_port();
    let engine = start(&[format!("other_shard=127.0.0.1:{port}")]);
    let tables = Tables::over(Arc::new(engine));
    // It is away for now, and the tables are made without it.
    tables.store.migrate(RETENTION).await.unwrap();
    let shard = Shard::default();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(shard.clone().listen(listener));

    let facts = facts(Provider::Stripe, 200);
    for _ in 0..3 {
        let error = stored(&tables, &facts).await.unwrap_err();
        assert_eq!(error.decision(), Decision::Retry, "{error:?}");
    }

    let columns = "SELECT name, type FROM system.columns WHERE database = currentDatabase() \
                   AND table = 'payment_events_stored_local' FORMAT TSVRaw";
    let columns = tables.sql(columns).await;
    let columns = columns.lines().filter_map(|line| line.split_once('\t'));
    shard.state().columns = columns.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
    let stand_in = tables.stand_in.as_ref().unwrap();
    stand_in.answers("INSERT INTO `payment_events_stored`", 0, Answer::Lost);
    stored(&tables, &facts).await.unwrap_err();
    stored(&tables, &facts).await.unwrap();

    let by_key =
        "SELECT count(), countIf(sipHash64(source, event_id, fact) % 2 = 0) FROM payment_events_stored_local";
    let ours = tables.sql(by_key).await;
    let (count, of_this_shard) = ours.split_once('\t').unwrap();
    assert_eq!(count, of_this_shard, "each row is on the shard of its key");
    let theirs = 200 - count.parse::<u64>().unwrap();
    let state = shard.state();
    assert_eq!(state.rows, [theirs, theirs], "the others are on the other, under the same token each time");
    assert!((60..140).contains(&theirs), "about a half: {theirs}");
    let insert = &stand_in.asked("INSERT INTO `payment_events_stored`")[0];
    let token = insert.setting("insert_deduplication_token").unwrap();
    assert!(state.queries.len() >= 5, "{}", state.queries.len());
    for query in &state.queries {
        for part in
            ["payment_events_stored_local", "insert_deduplication_token", token, "insert_quorum", "auto"]
        {
            assert!(query.contains(part), "without {part}: {query}");
        }
    }
}
