//! `[store]`: what belongs together, and what has no meaning with the other kind.

use super::Checker;
use crate::config::StoreKind;

impl Checker<'_> {
    pub(super) fn store(&mut self) {
        let store = &self.config.store;
        if store.database.is_empty() || !store.database.bytes().all(is_plain) {
            self.problem("store", "database", "a database's name is letters, digits and `_`");
        }
        if let Some(cluster) = &store.cluster {
            let allowed = |byte: u8| is_plain(byte) || b"-.".contains(&byte);
            if store.kind == StoreKind::Embedded {
                let message = "the embedded engine is one server and no cluster: set store.kind = \"clickhouse\", or remove it";
                self.problem("store", "cluster", message);
            } else if !(1..=100).contains(&cluster.len()) || !cluster.bytes().all(allowed) {
                let message = "1 to 100 letters, digits, `_`, `-` or `.` are needed: a name of the servers' remote_servers";
                self.problem("store", "cluster", message);
            }
        } else if store.insert_quorum.is_some() {
            let message = "only tables on a cluster have replicas: set store.cluster, or remove it";
            self.problem("store", "insert_quorum", message);
        }
        if store.client_certificate_file.is_some() != store.client_key.is_some() {
            let message = "a certificate and its key belong together: set both or none";
            self.problem("store", "client_certificate_file", message);
        }
        let is_encrypted = store.kind == StoreKind::ClickHouse && store.url.contains("https://");
        if !is_encrypted && (store.ca_file.is_some() || store.client_certificate_file.is_some()) {
            let key = if store.ca_file.is_some() { "ca_file" } else { "client_certificate_file" };
            self.problem(
                "store",
                key,
                "nothing is encrypted without store.url = \"https://…\": write it so, or remove this",
            );
        }
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
