//! How a server is reached: over TLS with authorities and certificates of one's own, and at which of several addresses.

use std::sync::Arc;

use payments::Secret;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use store::{ClientIdentity, Store, StoreError, Tls};
use testing::eventually;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::harness::Tables;

/// An authority that nobody knows.
struct Authority(CertifiedIssuer<'static, KeyPair>);

struct Certificate {
    pem: String,
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn certificate(&self, name: &str) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Certificate { pem: certificate.pem(), chain: vec![certificate.der().clone()], key }
    }
}

/// Ends TLS before the engine at `engine`; asks for certificates of `clients`, if any.
async fn with_tls(engine: &str, server: &Certificate, clients: Option<&Authority>) -> String {
    let builder = ServerConfig::builder();
    let builder = match clients {
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.0.der().clone()).unwrap();
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
        }
        None => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server.key.serialize_der()));
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(server.chain.clone(), key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let engine = engine.to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, engine) = (acceptor.clone(), engine.clone());
            tokio::spawn(async move {
                let mut client = acceptor.accept(client).await?;
                let mut engine = TcpStream::connect(engine).await?;
                tokio::io::copy_bidirectional(&mut client, &mut engine).await
            });
        }
    });
    format!("https://localhost:{port}")
}

async fn ping(address: &str, tls: &Tls) -> Result<(), StoreError> {
    Store::connect(address, tls, "default", None, "d").unwrap().ping().await
}

#[tokio::test]
async fn a_certificate_of_an_authority_of_ones_own_is_believed_if_it_is_named() {
    let tables = Tables::empty();
    let authority = Authority::new();
    let address = with_tls(tables.address(), &authority.certificate("localhost"), None).await;
    let named = Tls { ca: Some(authority.0.pem()), identity: None };
    ping(&address, &named).await.unwrap();
    assert!(ping(&address, &Tls::default()).await.is_err(), "nobody knows this authority");

    let other = with_tls(tables.address(), &authority.certificate("elsewhere.example"), None).await;
    assert!(ping(&other, &named).await.is_err(), "the certificate is for another host");
}

#[tokio::test]
async fn a_server_that_asks_who_we_are_is_shown_a_certificate() {
    let tables = Tables::empty();
    let (authority, clients) = (Authority::new(), Authority::new());
    let address = with_tls(tables.address(), &authority.certificate("localhost"), Some(&clients)).await;
    let ours = clients.certificate("tillwatch");
    let identity = ClientIdentity { certificate: ours.pem, key: Secret::new(ours.key.serialize_pem()) };
    let mut tls = Tls { ca: Some(authority.0.pem()), identity: None };
    assert!(ping(&address, &tls).await.is_err(), "we did not say who we are");
    tls.identity = Some(identity);
    ping(&address, &tls).await.unwrap();
    assert_eq!(format!("{tls:?}"), "Tls { ca: true, identity: true }");
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_is_gone() {
    let tables = Tables::empty();
    let engine = tables.address().to_owned();
    let port = engine.rsplit(':').next().unwrap().parse().unwrap();
    let first = testing::proxy::Proxy::to(port).await;
    let nobody = testing::free_port();
    let addresses = format!("http://127.0.0.1:{}, http://127.0.0.1:{nobody},http://{engine}", first.port());
    let store = Store::connect(&addresses, &Tls::default(), "default", None, "d").unwrap();
    store.ping().await.unwrap();
    drop(first);
    eventually("the engine itself is asked", async || store.ping().await.is_ok()).await;
    store.ping().await.unwrap();

    let nobody_at_all = format!("http://127.0.0.1:{nobody}");
    assert!(ping(&nobody_at_all, &Tls::default()).await.is_err());
}
