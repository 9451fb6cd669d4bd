//! The shipped sample is read; each kind of broken configuration gets an error that says what, where, and how to
//! mend it.

#![expect(clippy::unwrap_used, reason = "in a test it is the failure")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use runtime::Config;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/tillwatch.sample.toml");
const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo/tillwatch.toml");

/// A configuration that is fine, to which each test adds what is broken.
const SOURCE: &str = r#"[[sources]]
name = "stripe-us"
provider = "stripe"
secrets = [{ env = "HOME" }]
"#;

fn load(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tillwatch.toml");
    std::fs::write(&file, text).unwrap();
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::load(&file, Path::new("./data"), env)
        .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

fn with_source(more: &str) -> String {
    format!("{SOURCE}{more}")
}

#[test]
fn the_sample_shows_every_key_with_its_default() {
    let text = std::fs::read_to_string(SAMPLE).unwrap();
    let sample = Config::load(Path::new(SAMPLE), Path::new("./data"), std::iter::empty()).unwrap();
    let default = Config::default();
    assert_eq!(sample.ingest, default.ingest);
    assert_eq!(sample.admin, default.admin);
    assert_eq!(sample.queue, default.queue);
    assert_eq!(sample.processor, default.processor);
    assert_eq!(sample.store, default.store);
    assert_eq!(sample.telemetry, default.telemetry);
    assert_eq!(sample.shutdown, default.shutdown);
    assert_eq!(sample.alerting.evaluation_interval_ms, default.alerting.evaluation_interval_ms);
    for key in ["retention", "exchange_rates", "private_address_allowed", "experiment_key", "password"] {
        assert!(text.contains(key), "the sample does not show {key}");
    }
}

#[test]
fn the_demo_is_read_and_its_secrets_are_keys() {
    let config = Config::load(Path::new(DEMO), Path::new("./data"), std::iter::empty()).unwrap();
    assert_eq!(config.sources.len(), 4);
    assert_eq!(config.check_secrets(""), Vec::new());
}

#[test]
fn the_environment_overrides_the_file() {
    let config = load(
        &with_source("[ingest]\nlisten = \"127.0.0.1:1\"\n"),
        &[("TILLWATCH_INGEST__LISTEN", "127.0.0.1:2"), ("TILLWATCH_STORE__RETENTION__WEBHOOKS_DAYS", "7")],
    )
    .unwrap();
    assert_eq!(config.ingest.listen.port(), 2);
    assert_eq!(config.store.retention.webhooks_days, 7);
}

#[test]
fn variables_of_other_programs_are_left_alone() {
    assert!(
        load(SOURCE, &[("PATH", "/bin"), ("TILLWATCH_CONFIG", "x"), ("TILLWATCH_DATA_DIR", "y")]).is_ok()
    );
}

#[test]
fn a_broken_variable_is_named() {
    let rows = [
        ("TILLWATCH_INGEST__LISTN", "127.0.0.1:2", "unknown field `listn`"),
        ("TILLWATCH_INGEST__BODY_BYTES_MAX", "many", "invalid type"),
        ("TILLWATCH_SOURCES__NAME", "x", "`sources` is not a table; set it in the file"),
    ];
    for (name, value, expected) in rows {
        let message = load(SOURCE, &[(name, value)]).unwrap_err();
        assert!(message.starts_with(&format!("environment variable {name}: {expected}")), "{message}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let missing = PathBuf::from("does/not/exist.toml");
    let error = Config::load(&missing, Path::new("."), std::iter::empty()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read configuration file does/not/exist.toml");
}

/// Each row: what is broken, and what the error must say.
#[test]
fn every_kind_of_broken_configuration_gets_a_clear_error() {
    let section = |body: &str| with_source(body);
    let source = |body: &str| format!("[[sources]]\n{body}");
    let channel = |body: &str| with_source(&format!("[[channels]]\n{body}"));
    let rows: Vec<(String, &[&str])> = vec![
        (section("[ingest\n"), &["tillwatch.toml:5"]),
        (
            section("[ingest]\nlistn = 1\n"),
            &["tillwatch.toml:6", "unknown field `listn`", "`listen`", "[ingest]"],
        ),
        (section("[ingset]\n"), &["tillwatch.toml:5", "unknown field `ingset`", "`ingest`"]),
        (section("[ingest]\nlisten = \"nowhere\"\n"), &["tillwatch.toml:6", "socket address"]),
        (section("[ingest]\nbody_bytes_max = \"1 MB\"\n"), &["tillwatch.toml:6", "invalid type"]),
        (section("[ingest]\nbody_bytes_max = -1\n"), &["tillwatch.toml:6", "invalid value"]),
        (
            section("[ingest]\nbody_bytes_max = 10\n"),
            &["tillwatch.toml:6", "ingest.body_bytes_max", "at least 1024"],
        ),
        (section("[ingest]\nbody_bytes_max = 60000000\n"), &["half of queue.segment_bytes"]),
        (section("[ingest]\nconnections_max = 0\n"), &["tillwatch.toml:6", "ingest.connections_max"]),
        (section("[queue]\nbytes_max = 1\n"), &["tillwatch.toml:6", "queue.bytes_max", "two segments"]),
        (
            section("[queue]\nkind = \"kafka\"\n"),
            &["tillwatch.toml:6", "unknown variant `kafka`", "embedded"],
        ),
        (
            section("[store]\nkind = \"clickhouse\"\nurl = \"ch:9000\"\n"),
            &["tillwatch.toml:7", "store.url", "http://"],
        ),
        (section("[store]\ndatabase = \"a; DROP\"\n"), &["tillwatch.toml:6", "store.database"]),
        (section("[store]\nmemory_bytes_max = 1\n"), &["tillwatch.toml:6", "512 MiB"]),
        (section("[store.retention]\nwebhooks_days = 0\n"), &["store.retention", "at least 1"]),
        (section("[telemetry]\ntrace_ratio = 2.0\n"), &["tillwatch.toml:6", "between 0 and 1"]),
        (
            section("[telemetry]\nlog_format = \"xml\"\n"),
            &["tillwatch.toml:6", "unknown variant `xml`", "json"],
        ),
        (section("[alerting]\nreporting_currency = \"dollars\"\n"), &["tillwatch.toml:6", "ISO 4217"]),
        (section("[alerting.exchange_rates]\nEUR = -1.0\n"), &["alerting.exchange_rates", "positive"]),
        (
            source("name = \"A b\"\nprovider = \"stripe\"\nsecrets = [{ env = \"X\" }]\n"),
            &["tillwatch.toml:2", "lower-case"],
        ),
        (
            source("name = \"a\"\nprovider = \"strip\"\nsecrets = [{ env = \"X\" }]\n"),
            &["tillwatch.toml:3", "unknown provider `strip`", "stripe, adyen, checkout, canonical"],
        ),
        (
            source("name = \"a\"\nprovider = \"stripe\"\nsecrets = []\n"),
            &["tillwatch.toml:4", "at least one secret"],
        ),
        (
            source("name = \"a\"\nprovider = \"stripe\"\nsecrets = [\"whsec_inline\"]\n"),
            &["tillwatch.toml:4"],
        ),
        (
            source("name = \"a\"\nprovider = \"stripe\"\nsecrets = [{ env = \"X\", file = \"y\" }]\n"),
            &["tillwatch.toml:4", "either"],
        ),
        (
            source("name = \"a\"\nprovider = \"stripe\"\nsecrets = [{ vault = \"X\" }]\n"),
            &["tillwatch.toml:4", "unknown field `vault`"],
        ),
        (
            source("provider = \"stripe\"\nsecrets = [{ env = \"X\" }]\n"),
            &["tillwatch.toml:1", "missing field `name`"],
        ),
        (with_source(SOURCE), &["tillwatch.toml:6", "taken by an earlier source"]),
        (
            channel("name = \"ops\"\nkind = \"pager\"\n"),
            &["tillwatch.toml:7", "unknown variant `pager`", "slack"],
        ),
        (channel("name = \"ops\"\nkind = \"slack\"\n"), &["tillwatch.toml:5", "channels.ops.url", "needed"]),
        (
            channel("name = \"ops\"\nkind = \"webhook\"\nurl = { env = \"U\" }\n"),
            &["channels.ops.secrets", "signed"],
        ),
        (
            channel("name = \"ops\"\nkind = \"log\"\nurl = { env = \"U\" }\n"),
            &["tillwatch.toml:8", "no address"],
        ),
    ];
    for (text, expected) in rows {
        let message = load(&text, &[]).expect_err(&text);
        for part in expected {
            assert!(message.contains(part), "{text}\n  gave: {message}\n  without: {part}");
        }
    }
}

#[test]
fn secrets_that_lead_nowhere_are_found_by_check_and_never_printed() {
    let text = "[[sources]]\nname = \"a\"\nprovider = \"stripe\"\nsecrets = [{ env = \"TILLWATCH_NO_SUCH_SECRET\" }]\n\
                [[sources]]\nname = \"b\"\nprovider = \"adyen\"\nsecrets = [{ env = \"HOME\" }]\n";
    let config = load(text, &[]).unwrap();
    let problems: Vec<String> = config.check_secrets(text).iter().map(ToString::to_string).collect();
    assert!(problems[0].contains("environment variable TILLWATCH_NO_SUCH_SECRET is not set"), "{problems:?}");
    assert!(problems[1].contains("sources.b.secrets"), "{problems:?}");
    assert!(!problems[1].contains(&std::env::var("HOME").unwrap()), "{problems:?}");
}
