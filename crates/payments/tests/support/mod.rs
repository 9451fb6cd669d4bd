//! Fixtures, envelopes, signing as the providers document it, and a rendering of events.

pub(crate) mod rendering;
pub(crate) mod signing;

use std::fs;
use std::path::{Path, PathBuf};

use bytes::{BufMut, Bytes, BytesMut};
use payments::{Envelope, PaymentEvent, Provider, QueueMessage, SourceSettings, UnixMillis};

/// The clock of every test.
pub(crate) const NOW: UnixMillis = UnixMillis(1_795_316_520_000);

/// One webhook body kept as a file.
pub(crate) struct Fixture {
    /// Path below the provider's folder, with `/`.
    pub(crate) name: String,
    pub(crate) body: Bytes,
}

impl Fixture {
    /// The story it belongs to, if any.
    pub(crate) fn story(&self) -> Option<&str> {
        self.name.split_once('/').map(|(folder, _)| folder).filter(|folder| folder.starts_with("story-"))
    }
}

/// Every webhook body of `provider`, sorted by name.
pub(crate) fn fixtures(provider: Provider) -> Vec<Fixture> {
    json_files(&fixture_folder(provider)).into_iter().filter(|file| file.name != "vectors.json").collect()
}

/// Every `.json` file below `folder`, sorted by name.
pub(crate) fn json_files(folder: &Path) -> Vec<Fixture> {
    let mut files = Vec::new();
    collect(folder, "", &mut files);
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<Fixture>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            collect(&path, &format!("{name}/"), files);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(Fixture { name, body: fs::read(&path).unwrap().into() });
        }
    }
}

/// `fixtures/<provider>` of this crate.
pub(crate) fn fixture_folder(provider: Provider) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(provider.name())
}

/// The repository's root.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Reference material beside the repository, where it exists: third-party vectors, samples and tables.
pub(crate) fn reference() -> Option<PathBuf> {
    let folder = repository().join("../shared/providers");
    folder.is_dir().then_some(folder)
}

/// An envelope around `body`, as the queue would deliver it. It is written in the queue's wire format, because code
/// outside the crate can make an envelope in no other way than by a genuine signature.
pub(crate) fn envelope(provider: Provider, body: &[u8]) -> Envelope {
    let mut wire = BytesMut::new();
    wire.put_slice(&[1, 1]);
    wire.put_slice(&[0; 16]);
    wire.put_i64_le(NOW.0);
    wire.put_u8(u8::try_from(provider.name().len()).unwrap());
    wire.put_slice(provider.name().as_bytes());
    wire.put_slice(&[0; 6]);
    wire.put_u16_le(0);
    wire.put_u32_le(u32::try_from(body.len()).unwrap());
    wire.put_slice(body);
    match QueueMessage::decode(wire.freeze()).unwrap() {
        QueueMessage::Webhook(envelope) => envelope,
        other => panic!("{other:?}"),
    }
}

/// The settings under which fixtures and samples are read.
pub(crate) fn settings() -> SourceSettings {
    SourceSettings {
        account: "configured-account".to_owned(),
        live: None,
        experiment_key: Some("test_name".to_owned()),
        variant_key: Some("test_arm".to_owned()),
    }
}

/// The facts of a body, or why it is parked.
pub(crate) fn normalize(provider: Provider, body: &[u8]) -> Result<Vec<PaymentEvent>, payments::ParkReason> {
    Provider::normalize(&envelope(provider, body), &settings())
}
