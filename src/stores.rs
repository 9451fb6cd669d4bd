//! The ClickHouse that is configured.

use std::path::Path;

use anyhow::Context as _;
use runtime::config::{Config, InsertQuorum, StoreKind};
use store::{ClientIdentity, Cluster, Store, Tls};

/// A connection to it; nothing is sent yet.
pub(crate) fn open(config: &Config) -> anyhow::Result<Store> {
    let store = &config.store;
    let password = match &store.password {
        Some(reference) => Some(reference.resolve(&config.folder()).context("store.password")?),
        None => None,
    };
    let tls = tls(config).context("[store]")?;
    let (url, user) = (store.http_url(), store.user.as_str());
    let opened = Store::connect(&url, &tls, user, password.as_ref(), &store.database).context("[store]")?;
    Ok(match &store.cluster {
        Some(name) => opened.on_cluster(Cluster {
            name: name.clone(),
            insert_quorum: match store.insert_quorum.unwrap_or_default() {
                InsertQuorum::Auto => store::InsertQuorum::Majority,
                InsertQuorum::Replicas(replicas) => store::InsertQuorum::Replicas(replicas),
            },
        }),
        None => opened,
    })
}

/// What opening it would find wrong without asking a server; secrets that lead nowhere are found elsewhere.
pub(crate) fn check(config: &Config) -> Option<String> {
    let secrets = [&config.store.password, &config.store.client_key];
    let resolve = secrets.iter().filter_map(|reference| reference.as_ref());
    let found = resolve.map(|reference| reference.resolve(&config.folder())).all(|secret| secret.is_ok());
    if config.store.kind == StoreKind::Embedded || !found {
        return None;
    }
    open(config).err().map(|error| format!("{error:#}"))
}

fn tls(config: &Config) -> anyhow::Result<Tls> {
    let store = &config.store;
    let folder = config.folder();
    let identity = match (&store.client_certificate_file, &store.client_key) {
        (Some(certificate), Some(key)) => Some(ClientIdentity {
            certificate: read(&folder.join(certificate)).context("client_certificate_file")?,
            key: key.resolve(&folder).context("client_key")?,
        }),
        _ => None,
    };
    let ca = match &store.ca_file {
        Some(file) => Some(read(&folder.join(file)).context("ca_file")?),
        None => None,
    };
    Ok(Tls { ca, identity })
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
