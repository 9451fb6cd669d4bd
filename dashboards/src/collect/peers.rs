//! What other processes say of themselves: webhooks that wait on a spool are in no table yet.

use std::time::Duration;

use futures_util::future::join_all;

use crate::model::PeerNote;

/// A process that answers later than this is not there.
const WITHIN: Duration = Duration::from_secs(1);
/// Bytes of an answer that are read; one line for each part is far less.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Where processes say whether they are ready.
#[derive(Debug)]
pub(crate) struct Peers {
    client: reqwest::Client,
    urls: Vec<String>,
}

impl Peers {
    /// `urls` of readiness: `http://10.0.0.5:9090/ready`.
    pub(crate) fn new(urls: Vec<String>) -> reqwest::Result<Self> {
        let client =
            reqwest::Client::builder().timeout(WITHIN).redirect(reqwest::redirect::Policy::none()).no_proxy();
        Ok(Self { client: client.build()?, urls })
    }

    /// What is worth knowing, of all of them at once.
    pub(super) async fn notes(&self) -> Vec<PeerNote> {
        let asked = self.urls.iter().map(async |url| {
            let said = match self.ask(url).await {
                Ok(answer) => worth_knowing(&answer),
                Err(_) => vec!["does not answer".to_owned()],
            };
            let peer = url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
            said.into_iter().map(move |says| PeerNote { peer: peer.clone(), says }).collect::<Vec<_>>()
        });
        join_all(asked).await.concat()
    }

    async fn ask(&self, url: &str) -> reqwest::Result<String> {
        let mut response = self.client.get(url).send().await?;
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await?
            && answer.len() < ANSWER_BYTES_MAX
        {
            answer.extend_from_slice(&piece);
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// The lines that say more than that a part is ready.
fn worth_knowing(answer: &str) -> Vec<String> {
    answer.lines().filter(|line| !line.ends_with(": ready")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use runtime::Lifecycle;
    use tokio::net::TcpListener;

    #[test]
    fn only_what_is_not_simply_ready_is_worth_knowing() {
        let answer =
            "ingest: ready: 3 webhooks wait on the spool\nprocessor: not ready: away\nstore: ready\n";
        let notes = worth_knowing(answer);
        assert_eq!(notes, ["ingest: ready: 3 webhooks wait on the spool", "processor: not ready: away"]);
    }

    #[tokio::test]
    async fn every_peer_is_asked_and_one_that_is_away_is_told_of() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap().to_string();
        let ready = async || (StatusCode::SERVICE_UNAVAILABLE, "ingest: not ready: full\n");
        let lifecycle = Lifecycle::new();
        lifecycle.spawn_detached(async move {
            axum::serve(listener, Router::new().route("/ready", get(ready))).await.unwrap();
        });
        let peers =
            Peers::new(vec![format!("http://{peer}/ready"), "http://127.0.0.1:1/ready".to_owned()]).unwrap();
        let told = [
            PeerNote { peer, says: "ingest: not ready: full".to_owned() },
            PeerNote { peer: "127.0.0.1:1".to_owned(), says: "does not answer".to_owned() },
        ];
        assert_eq!(peers.notes().await, told);
        lifecycle.shut_down();
    }
}
