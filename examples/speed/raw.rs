//! The client alone: no HTTP, no signatures.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lapin::options::ConfirmSelectOptions;
use tokio::task::JoinSet;

use crate::bare::{connect, declare, publish};

/// Bytes of a webhook with its envelope.
const RECORD_BYTES: usize = 2_700;
const CHANNELS: usize = 4;

/// Publishes messages of `RECORDS:AT_ONCE` webhooks until it is killed, and prints how many were confirmed so far.
pub(crate) async fn publish_for_ever(shape: &str) {
    let (records, at_once) = shape.split_once(':').unwrap();
    let (records, at_once): (usize, usize) = (records.parse().unwrap(), at_once.parse().unwrap());
    let connection = connect().await;
    let confirmed = Arc::new(AtomicU64::new(0));
    let mut publishers = Vec::new();
    for _ in 0..CHANNELS {
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        declare(&channel).await;
        for _ in 0..at_once / records / CHANNELS {
            let (channel, confirmed) = (channel.clone(), Arc::clone(&confirmed));
            publishers.push(async move {
                let body = vec![7; records * RECORD_BYTES];
                loop {
                    publish(&channel, &body).await;
                    confirmed.fetch_add(records as u64, Ordering::Relaxed);
                }
            });
        }
    }
    let tell = async {
        loop {
            println!("{}", confirmed.load(Ordering::Relaxed));
            std::io::stdout().flush().unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let mut publishing: JoinSet<()> = JoinSet::new();
    for publisher in publishers {
        publishing.spawn(publisher);
    }
    tell.await;
}
