//! Addresses of other programs. None is repeated in a message: one with a password in it may have been written.

use reqwest::Url;

use super::Checker;
use crate::config::StoreKind;

impl Checker<'_> {
    pub(super) fn addresses(&mut self) {
        let config = self.config;
        if config.store.kind == StoreKind::ClickHouse {
            for address in config.store.url.split(',') {
                self.address("store", "url", address.trim(), "use store.user and store.password");
            }
        }
        for peer in &config.admin.peers {
            let port = peer.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            if port.is_none() || peer.contains('/') {
                let message = format!("{peer:?} is no HOST:PORT: write it as 10.0.0.5:9090");
                self.problem("admin", "peers", message);
            }
        }
        self.address("alerting", "public_url", &config.alerting.public_url, "pages would show it");
        if !config.telemetry.otlp_endpoint.is_empty() {
            let endpoint = &config.telemetry.otlp_endpoint;
            self.address("telemetry", "otlp_endpoint", endpoint, "use a collector that needs none");
        }
    }

    fn address(&mut self, table: &str, key: &str, address: &str, instead: &str) {
        let parsed = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        match parsed {
            None => self.problem(table, key, "must be an address that starts with http:// or https://"),
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                self.problem(table, key, format!("no user and no password belong here: {instead}"));
            }
            Some(_) => {}
        }
    }
}
