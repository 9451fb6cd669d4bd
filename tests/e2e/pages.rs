//! A place that receives pages and verifies them.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::Value;
use standardwebhooks::Webhook;

use crate::harness::Installation;

/// base64 of 24 bytes.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

/// Pages as they arrived: their headers and exact bytes.
type Pages = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// Listens on a port of its own.
pub(crate) struct Receiver {
    port: u16,
    pages: Pages,
}

impl Receiver {
    /// The channel that leads here, for an installation's configuration.
    pub(crate) const CHANNEL: &str = "[[channels]]\nname = \"hook\"\nkind = \"webhook\"\n\
        url = { file = \"secrets/hook-url\" }\nsecrets = [{ file = \"secrets/hook-secret\" }]\n\
        private_address_allowed = true\n\n";

    pub(crate) async fn start() -> Self {
        let pages = Pages::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().route("/pages", post(receive)).with_state(Arc::clone(&pages));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, pages }
    }

    /// Where the channel's secrets are.
    pub(crate) fn write_secrets(&self, installation: &Installation) {
        let url = format!("http://127.0.0.1:{}/pages", self.port);
        std::fs::write(installation.path("secrets/hook-url"), url).unwrap();
        std::fs::write(installation.path("secrets/hook-secret"), SECRET).unwrap();
    }

    /// Verified by an independent implementation of the scheme, then parsed.
    pub(crate) fn verified(&self) -> Vec<Value> {
        let webhook = Webhook::new(SECRET).unwrap();
        let pages = self.pages.lock().unwrap();
        let genuine = pages.iter().map(|(headers, body)| {
            webhook.verify(body, headers).expect("a page is genuinely signed");
            serde_json::from_slice(body).unwrap()
        });
        genuine.collect()
    }
}

async fn receive(State(pages): State<Pages>, headers: HeaderMap, body: Bytes) {
    pages.lock().unwrap().push((headers, body));
}
