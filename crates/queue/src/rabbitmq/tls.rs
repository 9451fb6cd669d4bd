//! Whose certificates are believed, which is ours, and what is wrong where TLS fails.

use lapin::ErrorKind;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError, RootCertStore};
use std::sync::Arc;
use std::{fmt, io};

/// What `amqps` needs beside the system's certificate authorities. Invariant: it was read and belongs together; the
/// client would pass over in silence what is no certificate.
#[derive(Clone, Default)]
pub struct Tls {
    ca: Option<String>,
    identity: Option<(String, String)>,
}

/// Who we are, where the broker asks for a certificate. Shown by nothing.
#[derive(Clone)]
pub struct ClientIdentity {
    /// The certificate and those between it and the authority, PEM.
    pub certificate: Vec<u8>,
    /// Its private key, PEM.
    pub key: String,
}

/// Certificates or a key that are none. Named by their keys of `[queue]`; a key is never shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file of certificates.
    #[error("{key}: {problem}; it must hold PEM: `-----BEGIN CERTIFICATE-----` and what follows")]
    Certificates {
        /// `ca_file` or `client_certificate_file`.
        key: &'static str,
        /// What it holds instead.
        problem: String,
    },
    /// The private key.
    #[error(
        "client_key: there is no private key in it; it must hold PEM that is not encrypted: \
         `-----BEGIN PRIVATE KEY-----` and what follows"
    )]
    Key,
    /// Each is what it must be, and they are of different pairs.
    #[error("client_key: it is not the key of the first certificate in client_certificate_file")]
    Pair,
    /// Of a kind that nothing here can sign with, or a certificate that is none.
    #[error("client_key: it cannot be used with the certificate in client_certificate_file")]
    Unusable(#[source] rustls::Error),
}

impl Tls {
    /// `ca`: certificate authorities, PEM.
    pub fn new(ca: Option<Vec<u8>>, identity: Option<ClientIdentity>) -> Result<Self, TlsError> {
        let ca = ca.map(authorities).transpose()?;
        let identity = identity.map(checked).transpose()?;
        Ok(Self { ca, identity })
    }

    pub(super) fn to_lapin(&self) -> OwnedTLSConfig {
        OwnedTLSConfig {
            identity: self.identity.as_ref().map(|(certificate, key)| OwnedIdentity::PKCS8 {
                pem: certificate.clone().into_bytes(),
                key: key.clone().into_bytes(),
            }),
            cert_chain: self.ca.clone(),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdentity")
    }
}

fn authorities(pem: Vec<u8>) -> Result<String, TlsError> {
    let key = "ca_file";
    let (text, certificates) = certificates(key, pem)?;
    for (number, certificate) in (1..).zip(certificates) {
        RootCertStore::empty().add(certificate).map_err(|error| TlsError::Certificates {
            key,
            problem: format!("certificate {number} in it is of no authority ({error})"),
        })?;
    }
    Ok(text)
}

fn checked(identity: ClientIdentity) -> Result<(String, String), TlsError> {
    let (text, chain) = certificates("client_certificate_file", identity.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(|_| TlsError::Key)?;
    CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Pair,
        error => TlsError::Unusable(error),
    })?;
    Ok((text, identity.key))
}

/// At least one.
fn certificates(key: &'static str, pem: Vec<u8>) -> Result<(String, Vec<CertificateDer<'static>>), TlsError> {
    let not = |problem: &str| TlsError::Certificates { key, problem: problem.to_owned() };
    let text = String::from_utf8(pem).map_err(|_| not("it is no text; DER, perhaps"))?;
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| not("it is damaged"))?;
    if certificates.is_empty() {
        return Err(not("there is no certificate in it"));
    }
    Ok((text, certificates))
}

/// What is wrong and how to mend it, if TLS is what failed.
pub(super) fn problem(error: &lapin::Error) -> Option<(&'static str, Arc<io::Error>)> {
    let ErrorKind::IOError(error) = error.kind() else { return None };
    Some((how_to_mend(tls_error(error)?)?, Arc::clone(error)))
}

fn how_to_mend(error: &rustls::Error) -> Option<&'static str> {
    Some(match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => {
                "its certificate is by an authority that is not known here; name that authority's certificate in \
                 queue.ca_file"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another host; write a name that it has in queue.url, or give the broker one for \
                 this name"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired, or this machine's clock is wrong; renew it (ssl_options.certfile in \
                 rabbitmq.conf)"
            }
            _ => "its certificate is not valid; see ssl_options.certfile in rabbitmq.conf",
        },
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => {
                "it demands a certificate of ours; set queue.client_certificate_file and queue.client_key"
            }
            AlertDescription::CertificateExpired => {
                "our certificate has expired; renew the one in queue.client_certificate_file"
            }
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown => {
                "it does not accept our certificate (queue.client_certificate_file): it must be issued by an authority \
                 that the broker knows (ssl_options.cacertfile in rabbitmq.conf)"
            }
            _ => "it ended the handshake; its log says why",
        },
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS there; write the port of its TLS listener, 5671 by default, in queue.url"
        }
        _ => return None,
    })
}

/// An error of TLS travels as the inner error of one of input and output, or of several.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    inner.downcast_ref().or_else(|| tls_error(inner.downcast_ref()?))
}
