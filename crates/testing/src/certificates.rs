//! Certificates of an authority of our own, made by the `openssl` command.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An authority; its files are in a folder of whoever made it.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    name: String,
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// File of the certificate.
    pub certificate: PathBuf,
    /// File of its private key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one, good for two days.
    pub fn new(folder: &Path, name: &str) -> Self {
        let authority = Self { folder: folder.to_owned(), name: name.to_owned() };
        let Certificate { certificate, key } = authority.files(name);
        let subject = format!("/CN={name}");
        openssl(&["req", "-x509", "-days", "2", "-subj", &subject, "-out", path(&certificate)], &key);
        authority
    }

    /// File of the authority's own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.files(&self.name).certificate
    }

    /// A certificate for `name`, who is reached at `host` (`DNS:localhost`, `IP:127.0.0.1`).
    pub fn issue(&self, name: &str, host: &str) -> Certificate {
        let issued = self.files(name);
        let request = self.folder.join(format!("{name}.csr"));
        let extensions = self.folder.join(format!("{name}.ext"));
        std::fs::write(&extensions, format!("subjectAltName={host}")).unwrap();
        let subject = format!("/CN={name}");
        openssl(&["req", "-subj", &subject, "-out", path(&request)], &issued.key);
        let own = self.files(&self.name);
        let mut sign = Command::new("openssl");
        sign.args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in", path(&request)]);
        sign.args(["-CA", path(&own.certificate), "-CAkey", path(&own.key)]);
        run(sign.args(["-extfile", path(&extensions), "-out", path(&issued.certificate)]));
        issued
    }

    fn files(&self, name: &str) -> Certificate {
        let file = |ending: &str| self.folder.join(format!("{name}.{ending}"));
        Certificate { certificate: file("pem"), key: file("key") }
    }
}

/// With a new key.
fn openssl(arguments: &[&str], key: &Path) {
    let mut command = Command::new("openssl");
    command.args(arguments).args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    run(command.args(["-keyout", path(key)]));
}

fn run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|error| panic!("openssl: {error}; `make tools` installs it"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
