//! How a server is reached: which of several addresses, and whose certificates are believed.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use clickhouse::Client;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use payments::Secret;
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::Verifier;
use tower::Service;

/// What `https` needs beside the system's certificate authorities.
#[derive(Clone, Default)]
pub struct Tls {
    /// Certificate authorities, PEM.
    pub ca: Option<String>,
    /// Our certificate and its key, where the server asks for one.
    pub identity: Option<ClientIdentity>,
}

/// Who we are.
#[derive(Clone)]
pub struct ClientIdentity {
    /// The certificate and those between it and the authority, PEM.
    pub certificate: String,
    /// Its private key, PEM.
    pub key: Secret,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

/// No connection can be made with these settings, whatever the server does.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No address, or one that is none. It is not repeated: a password may have been written into it.
    #[error(
        "url: address {index} is none; write http://HOST:8123 or https://HOST:8443, several separated by commas"
    )]
    Address {
        /// Which, counted from 1.
        index: usize,
    },
    /// A file of certificates holds none, or something else.
    #[error("{key}: no PEM certificates can be read from it")]
    Certificates {
        /// `ca_file` or `client_certificate_file`.
        key: &'static str,
        /// Why.
        #[source]
        source: Option<rustls::pki_types::pem::Error>,
    },
    /// The key is none.
    #[error("client_key: no PEM private key can be read from it")]
    Key(#[source] rustls::pki_types::pem::Error),
    /// The certificate and the key do not belong together, or the system's authorities cannot be read.
    #[error("TLS cannot be used with these certificates")]
    Tls(#[from] rustls::Error),
}

/// A server that does not take a connection in this time is given up for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// As the default client has it; ClickHouse ends an idle connection after 3 s or more.
const IDLE_MAX: Duration = Duration::from_secs(2);
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A client of the servers at `addresses`, of one cluster if there are several: the first that takes a connection is used.
pub(crate) fn client(addresses: &str, tls: &Tls) -> Result<Client, ConnectError> {
    let addresses: Vec<Uri> = (1..)
        .zip(addresses.split(',').map(str::trim))
        .map(|(index, address)| address.parse().map_err(|_| ConnectError::Address { index }))
        .collect::<Result<_, _>>()?;
    let Some(first) = addresses.first().map(ToString::to_string) else {
        return Err(ConnectError::Address { index: 1 });
    };
    let is_one = |address: &Uri| matches!(address.scheme_str(), Some("http" | "https"));
    if let Some(index) = addresses.iter().position(|address| !is_one(address)) {
        return Err(ConnectError::Address { index: index + 1 });
    }
    let mut http = HttpConnector::new();
    http.set_keepalive(Some(KEEPALIVE));
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http.enforce_http(false);
    let needs_tls = addresses.iter().any(|address| address.scheme_str() == Some("https"));
    let config = if needs_tls { tls.config()? } else { without_authorities()? };
    let inner = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    let servers = Servers { inner, addresses: addresses.into(), current: Arc::default() };
    let http = HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(IDLE_MAX).build(servers);
    Ok(Client::with_http_client(http).with_url(first))
}

impl Tls {
    fn config(&self) -> Result<ClientConfig, ConnectError> {
        let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
        let own = match &self.ca {
            Some(pem) => certificates("ca_file", pem)?,
            None => Vec::new(),
        };
        let verifier = Verifier::new_with_extra_roots(own, Arc::clone(&provider))?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let Some(identity) = &self.identity else { return Ok(config.with_no_client_auth()) };
        let chain = certificates("client_certificate_file", &identity.certificate)?;
        let key =
            PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes()).map_err(ConnectError::Key)?;
        Ok(config.with_client_auth_cert(chain, key)?)
    }
}

/// For plain HTTP: nobody's certificate is believed.
fn without_authorities() -> Result<ClientConfig, ConnectError> {
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
}

fn certificates(key: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| ConnectError::Certificates { key, source: Some(source) })?;
    if certificates.is_empty() {
        return Err(ConnectError::Certificates { key, source: None });
    }
    Ok(certificates)
}

/// Connects to the server that was last reached, or to the next that can be. Every connection is asked for under the first
/// address; a request is never sent twice.
#[derive(Clone)]
struct Servers {
    inner: HttpsConnector<HttpConnector>,
    addresses: Arc<[Uri]>,
    current: Arc<AtomicUsize>,
}

type Connected = <HttpsConnector<HttpConnector> as Service<Uri>>::Response;
type CannotConnect = <HttpsConnector<HttpConnector> as Service<Uri>>::Error;

impl Service<Uri> for Servers {
    type Response = Connected;
    type Error = CannotConnect;
    type Future = Pin<Box<dyn Future<Output = Result<Connected, CannotConnect>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CannotConnect>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, _first: Uri) -> Self::Future {
        let Self { mut inner, addresses, current } = self.clone();
        Box::pin(async move {
            let begin = current.load(Ordering::Relaxed);
            let mut tried = inner.call(address(&addresses, begin)).await;
            for step in 1..addresses.len() {
                if tried.is_ok() {
                    break;
                }
                tried = inner.call(address(&addresses, begin + step)).await;
                if tried.is_ok() {
                    current.store((begin + step) % addresses.len(), Ordering::Relaxed);
                }
            }
            tried
        })
    }
}

fn address(addresses: &[Uri], index: usize) -> Uri {
    addresses.get(index % addresses.len().max(1)).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(addresses: &str, tls: &Tls) -> String {
        match client(addresses, tls) {
            Ok(_) => "it was taken".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_no_address_or_certificate_is_named_and_not_shown() {
        let plain = Tls::default();
        let error = refused("http://a:8123, user:hunter2@b", &plain);
        assert!(error.starts_with("url: address 2 is none") && !error.contains("hunter2"), "{error}");
        assert!(refused("", &plain).starts_with("url: address 1 is none"));
        let tls = Tls { ca: Some("no certificate".to_owned()), identity: None };
        assert!(refused("https://a:8443", &tls).starts_with("ca_file: no PEM certificates"));
        let key = Secret::new("no key".to_owned());
        let identity = Some(ClientIdentity { certificate: String::new(), key });
        let error = refused("https://a:8443", &Tls { ca: None, identity });
        assert!(error.starts_with("client_certificate_file: no PEM certificates"), "{error}");
    }
}
