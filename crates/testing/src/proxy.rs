//! A TCP proxy that breaks connections as networks do.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// They arrive.
    Fair,
    /// They arrive late, each piece by so much.
    Slow(Duration),
    /// They do not arrive, and nobody is told: the connection is half open.
    Silent,
    /// What is sent to the other side arrives, and its answers do not.
    NoAnswers,
    /// Connections end, and new ones end at once.
    Cut,
}

/// Stands between a client and a server; ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
    held_back: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a port of its own for connections to `port` of this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let weather = Arc::new(watch::Sender::new(Weather::Fair));
        let held_back = Arc::new(AtomicU64::new(0));
        let (shared, counter) = (Arc::clone(&weather), Arc::clone(&held_back));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, port, shared.subscribe(), Arc::clone(&counter)));
            }
        });
        Self { address, weather, held_back, accepting }
    }

    /// How many pieces the weather has ever kept from arriving at once.
    pub fn held_back(&self) -> u64 {
        self.held_back.load(Ordering::Relaxed)
    }

    /// Where clients connect to.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on, for connections there are and those to come.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.weather.send_replace(Weather::Cut);
    }
}

async fn carry(
    client: TcpStream,
    port: u16,
    mut weather: watch::Receiver<Weather>,
    held_back: Arc<AtomicU64>,
) {
    if *weather.borrow() == Weather::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    // As clients and servers do.
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (there, back) = (weather.clone(), weather.clone());
    tokio::select! {
        () = pass(from_client, to_server, there, false, &held_back) => {}
        () = pass(from_server, to_client, back, true, &held_back) => {}
        _ = weather.wait_for(|weather| *weather == Weather::Cut) => {}
    }
}

/// Carries bytes one way until either side ends.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    is_answer: bool,
    held_back: &AtomicU64,
) {
    let mut piece = vec![0; 64 << 10];
    loop {
        let Ok(length @ 1..) = from.read(&mut piece).await else { return };
        let arrives = |weather: &Weather| match weather {
            Weather::Fair | Weather::Slow(_) => true,
            Weather::NoAnswers => !is_answer,
            Weather::Silent | Weather::Cut => false,
        };
        if !arrives(&weather.borrow()) {
            held_back.fetch_add(1, Ordering::Relaxed);
        }
        // What was held back arrives when the weather changes, as retransmitted segments do.
        let Ok(now) = weather.wait_for(arrives).await.map(|weather| *weather) else { return };
        if let Weather::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soon;

    /// Sends back what it is sent.
    async fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = client.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        port
    }

    async fn says(client: &mut TcpStream, word: &[u8; 2]) -> bool {
        let mut answer = [0; 2];
        client.write_all(word).await.unwrap();
        let answered = tokio::time::timeout(Duration::from_millis(200), client.read_exact(&mut answer)).await;
        answered.is_ok_and(|read| read.is_ok()) && answer == *word
    }

    #[tokio::test]
    async fn what_is_held_back_comes_late_and_a_cut_ends_connections() {
        let proxy = Proxy::to(echo().await).await;
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await.unwrap();
        assert!(says(&mut client, b"hi").await);
        proxy.set(Weather::Silent);
        assert!(!says(&mut client, b"yo").await);
        assert_eq!(proxy.held_back(), 1);
        proxy.set(Weather::Fair);
        let mut late = [0; 2];
        soon("what was held back", client.read_exact(&mut late)).await.unwrap();
        assert_eq!(&late, b"yo");
        proxy.set(Weather::Cut);
        assert!(soon("the end", client.read_exact(&mut late)).await.is_err());
    }
}
