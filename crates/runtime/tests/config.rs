//! The shipped sample is read; each kind of broken configuration gets an error that says what, where, and how to
//! mend it.

#![expect(clippy::unwrap_used, reason = "in a test it is the failure")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use runtime::Config;
use runtime::config::{AlertingConfig, InsertQuorum};

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
fn the_sample_has_the_defaults() {
    let sample = Config::load(Path::new(SAMPLE), Path::new("./data"), std::iter::empty()).unwrap();
    let default = Config::default();
    assert_eq!(sample.ingest, default.ingest);
    assert_eq!(sample.admin, default.admin);
    assert_eq!(sample.queue, default.queue);
    assert_eq!(sample.processor, default.processor);
    assert_eq!(sample.store, default.store);
    assert_eq!(sample.telemetry, default.telemetry);
    assert_eq!(sample.shutdown, default.shutdown);
    let rates = sample.alerting.exchange_rates.clone();
    assert_eq!(sample.alerting, AlertingConfig { exchange_rates: rates, ..default.alerting });
}

/// The keys that a section takes, from the error that an unknown one gives.
fn keys(header: &str) -> Vec<String> {
    let error =
        Config::parse(&format!("{header}\nno_such_key = 1\n"), Path::new("x")).unwrap_err().to_string();
    let (_, expected) = error.split_once("expected one of").or_else(|| error.split_once("expected")).unwrap();
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_sample_shows_every_key() {
    let text = std::fs::read_to_string(SAMPLE).unwrap();
    let shown = |header: &str, key: &str| {
        let start = format!("{key} = ");
        let header = format!("\n{header}\n");
        let mut below = text.split(&header).skip(1);
        below.any(|rest| {
            let section = rest.lines().take_while(|line| !line.starts_with('['));
            section.map(|line| line.trim_start_matches("# ")).any(|line| line.starts_with(&start))
        })
    };
    let mut checked = 0;
    for section in keys("") {
        let header = if ["sources", "channels"].contains(&section.as_str()) {
            format!("[[{section}]]")
        } else {
            format!("[{section}]")
        };
        for key in keys(&header) {
            let table = format!("[{section}.{key}]");
            assert!(
                shown(&header, &key) || text.contains(&table),
                "the sample does not show {key} of {header}"
            );
            checked += 1;
        }
    }
    for key in keys("[store.retention]") {
        assert!(shown("[store.retention]", &key), "the sample does not show {key} of [store.retention]");
    }
    assert!(checked > 50, "only {checked} keys were found");
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
    let others =
        ["PATH", "TILLWATCH_CONFIG", "TILLWATCH_SERVICE_HOST", "TILLWATCH_PORT", "TILLWATCH_STRIPE_SECRET"];
    assert_eq!(load(SOURCE, &others.map(|name| (name, "x"))).map(|config| config.sources.len()), Ok(1));
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_an_error() {
    use std::os::unix::ffi::OsStringExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tillwatch.toml");
    std::fs::write(&file, SOURCE).unwrap();
    let bytes = OsString::from_vec(vec![0xff]);
    let env = [("TILLWATCH_INGEST__LISTEN".into(), bytes.clone()), ("OTHER".into(), bytes)];
    let error = Config::load(&file, Path::new("."), env.into_iter()).unwrap_err().to_string();
    assert_eq!(error, "environment variable TILLWATCH_INGEST__LISTEN: its value is not UTF-8");
}

#[test]
fn a_broken_variable_is_named() {
    let rows = [
        ("TILLWATCH_INGEST__LISTN", "127.0.0.1:2", "unknown field `listn`"),
        ("TILLWATCH_INGEST__BODY_BYTES_MAX", "many", "invalid type"),
        ("TILLWATCH_SOURCES__NAME", "x", "`sources` is not a table; set it in the file"),
        (
            "TILLWATCH_INGEST__BODY_BYTES_MAX",
            "10",
            "ingest.body_bytes_max: 10 is too small; use at least 1024",
        ),
        ("TILLWATCH_STORE__RETENTION", "7", "invalid type"),
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
        (section("[ingest]\nthreads = 5000\n"), &["tillwatch.toml:6", "ingest.threads", "at most 4096"]),
        (section("[ingest]\nconnections_max = 0\n"), &["tillwatch.toml:6", "ingest.connections_max"]),
        (
            section("[ingest]\nconnections_max = 9000000000000000000\n"),
            &["tillwatch.toml:6", "ingest.connections_max", "too large"],
        ),
        (section("[queue]\nsegment_bytes = 4294967296\n"), &["queue.segment_bytes", "at most 4294967295"]),
        (section("[queue]\nin_flight_bytes_max = 1048576\n"), &["queue.in_flight_bytes_max", "one webhook"]),
        (section("[processor]\nretry_delay_ms_max = 10\n"), &["processor.retry_delay_ms_max", "at least"]),
        (section("[alerting]\nstale_after_ms = 0\n"), &["alerting.stale_after_ms", "at least 30000"]),
        (section("[alerting]\nquery_timeout_ms = 0\n"), &["alerting.query_timeout_ms", "at least 100"]),
        (section("[alerting]\npublic_url = \"till.example\"\n"), &["alerting.public_url", "http://"]),
        (
            section("[admin]\npeers = [\"http://ingest:9090\"]\n"),
            &["tillwatch.toml:6", "admin.peers", "HOST:PORT"],
        ),
        (section("[admin]\nlisten = \"0.0.0.0:8080\"\n"), &["admin.listen", "taken by ingest.listen"]),
        (section("[telemetry]\nlog_filter = \"info,=\"\n"), &["tillwatch.toml:6", "telemetry.log_filter"]),
        (section("[telemetry]\notlp_endpoint = \"collector\"\n"), &["telemetry.otlp_endpoint", "http://"]),
        (section("[queue]\nbytes_max = 1\n"), &["tillwatch.toml:6", "queue.bytes_max", "two segments"]),
        (section("[queue]\nlanes = 0\n"), &["tillwatch.toml:6", "queue.lanes", "at least 1"]),
        (section("[queue]\nlanes = 65\n"), &["tillwatch.toml:6", "queue.lanes", "at most 64"]),
        (section("[queue]\nprefetch = 0\n"), &["tillwatch.toml:6", "queue.prefetch", "at least 1"]),
        (section("[queue]\nname = \"a b\"\n"), &["tillwatch.toml:6", "queue.name", "letters"]),
        (section("[queue]\nkind = \"rabbitmq\"\n"), &["queue.url", "AMQP_URL", "amqps://"]),
        (section("[queue]\nspool = true\n"), &["tillwatch.toml:6", "queue.spool", "kind rabbitmq"]),
        (
            section("[queue]\nkind = \"rabbitmq\"\nspool = true\nspool_after_ms = 5000\n"),
            &["queue.spool_after_ms", "less than ingest.publish_timeout_ms, 5000"],
        ),
        (
            section("[queue]\nclient_key = { env = \"HOME\" }\n"),
            &["queue.client_certificate_file", "belong together"],
        ),
        (
            section(
                "[queue]\nkind = \"rabbitmq\"\nurl = { env = \"HOME\" }\nsegment_bytes = 67108864\n\
                 [ingest]\nbody_bytes_max = 20000000\n",
            ),
            &["ingest.body_bytes_max", "RabbitMQ takes messages of at most 16777216"],
        ),
        (
            section("[queue]\nkind = \"kafka\"\n"),
            &["tillwatch.toml:6", "unknown variant `kafka`", "embedded"],
        ),
        (
            section("[store]\nkind = \"clickhouse\"\nurl = \"ch:9000\"\n"),
            &["tillwatch.toml:7", "store.url", "http://"],
        ),
        (
            section("[store]\nkind = \"clickhouse\"\nurl = \"http://a:8123, user:x@b:8123\"\n"),
            &["tillwatch.toml:7", "store.url", "http://"],
        ),
        (
            section("[store]\ncluster = \"tillwatch\"\n"),
            &["tillwatch.toml:6", "store.cluster", "embedded engine is one server", "store.kind"],
        ),
        (
            section("[store]\nkind = \"clickhouse\"\ncluster = \"a'b\"\n"),
            &["tillwatch.toml:7", "store.cluster", "remote_servers"],
        ),
        (
            section("[store]\nkind = \"clickhouse\"\ninsert_quorum = 2\n"),
            &["tillwatch.toml:7", "store.insert_quorum", "set store.cluster"],
        ),
        (
            section("[store]\nkind = \"clickhouse\"\ncluster = \"c\"\ninsert_quorum = \"most\"\n"),
            &["tillwatch.toml:8", "\"most\"", "expected \"auto\" or a number of replicas"],
        ),
        (
            section("[store]\nkind = \"clickhouse\"\ncluster = \"c\"\ninsert_quorum = -1\n"),
            &["tillwatch.toml:8", "`-1`", "number of replicas"],
        ),
        (
            section("[store]\nkind = \"clickhouse\"\nca_file = \"ca.pem\"\n"),
            &["tillwatch.toml:7", "store.ca_file", "https://"],
        ),
        (
            section("[store]\nkind = \"clickhouse\"\nurl = \"https://a\"\nclient_key = { env = \"HOME\" }\n"),
            &["store.client_certificate_file", "belong together"],
        ),
        (section("[store]\ndatabase = \"a; DROP\"\n"), &["tillwatch.toml:6", "store.database"]),
        (section("[store]\nmemory_bytes_max = 1\n"), &["tillwatch.toml:6", "at least 536870912"]),
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
fn every_problem_is_told_at_once() {
    let text = with_source(
        "[ingest]\nbody_bytes_max = 10\n[store]\ndatabase = \"a b\"\n[alerting]\nstale_after_ms = 1\n",
    );
    let message = load(&text, &[("TILLWATCH_ADMIN__LISTEN", "127.0.0.1:8123")]).unwrap_err();
    let keys = ["ingest.body_bytes_max", "store.database", "alerting.stale_after_ms", "store.listen"];
    assert!(keys.iter().all(|key| message.contains(key)), "{message}");
    assert_eq!(message.lines().count(), keys.len(), "{message}");
}

#[test]
fn rows_may_be_kept_for_ever_and_clickhouse_may_speak_tls() {
    let text = "[store]\nkind = \"clickhouse\"\nurl = \"https://ch.example:8443\"\n[store.retention]\nwebhooks_days = 0\n";
    assert_eq!(load(text, &[]).unwrap().store.retention.webhooks_days, 0);
}

/// A secret in any of the places where only a reference belongs, as text and as a number.
#[test]
fn a_secret_that_is_written_in_its_place_is_refused_and_not_repeated() {
    let source =
        |secrets: &str| format!("[[sources]]\nname = \"a\"\nprovider = \"stripe\"\nsecrets = {secrets}\n");
    let channel =
        |keys: &str| with_source(&format!("[[channels]]\nname = \"a\"\nkind = \"webhook\"\n{keys}\n"));
    let mut texts = Vec::new();
    for secret in ["\"hunter2\"", "77777", "-77777", "7777.7"] {
        texts.push(source(secret));
        texts.push(source(&format!("[{secret}]")));
        texts.push(source(&format!("[{{ env = \"A\" }}, {secret}]")));
        texts.push(channel(&format!("secrets = {secret}")));
        texts.push(channel(&format!("secrets = [{secret}]")));
        texts.push(channel(&format!("url = {secret}")));
        texts.push(format!("[store]\npassword = {secret}\n"));
    }
    let mut messages: Vec<String> = texts.iter().map(|text| load(text, &[]).expect_err(text)).collect();
    for secret in ["hunter2", "77777"] {
        messages.push(load(SOURCE, &[("TILLWATCH_STORE__PASSWORD", secret)]).unwrap_err());
    }
    for message in messages {
        assert!(message.contains("a secret is never written here; use { env = \"NAME\" }"), "{message}");
        assert!(!message.contains("hunter2") && !message.contains("7777"), "{message}");
    }
    let odd = [
        "77777777777777777777777",
        "[\"hunter2\"]",
        "true",
        "1979-05-27T07:32:00Z",
        "{ value = \"hunter2\" }",
    ];
    for secret in odd {
        let message = load(&format!("[store]\npassword = {secret}\n"), &[]).unwrap_err();
        assert!(
            !message.contains("hunter2") && !message.contains("7777") && !message.contains("1979"),
            "{message}"
        );
    }
}

#[test]
fn a_password_in_an_address_is_refused_and_not_repeated() {
    let rows = [
        "[store]\nkind = \"clickhouse\"\nurl = \"http://me:hunter2@ch:8123\"\n",
        "[store]\nkind = \"clickhouse\"\nurl = \"me:hunter2@ch:8123\"\n",
        "[alerting]\npublic_url = \"https://me:hunter2@till.example\"\n",
        "[telemetry]\notlp_endpoint = \"http://hunter2@collector:4318\"\n",
    ];
    for text in rows {
        let message = load(text, &[]).unwrap_err();
        assert!(!message.contains("hunter2"), "{message}");
    }
    assert!(load(rows[0], &[]).unwrap_err().contains("use store.user and store.password"));
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

#[test]
fn a_cluster_is_read_from_the_file_and_from_the_environment() {
    let text = with_source(
        "[store]\nkind = \"clickhouse\"\nurl = \"https://a:8443, https://b:8443\"\ncluster = \"pay-1\"\ninsert_quorum = 2\n\
         ca_file = \"ca.pem\"\nclient_certificate_file = \"us.pem\"\nclient_key = { env = \"HOME\" }\n",
    );
    let store = load(&text, &[]).unwrap().store;
    assert_eq!(store.cluster.as_deref(), Some("pay-1"));
    assert_eq!(store.insert_quorum, Some(InsertQuorum::Replicas(2)));
    let env = [("TILLWATCH_STORE__CLUSTER", "tillwatch"), ("TILLWATCH_STORE__INSERT_QUORUM", "auto")];
    let store = load(&text, &env).unwrap().store;
    assert_eq!(
        (store.cluster.as_deref(), store.insert_quorum),
        (Some("tillwatch"), Some(InsertQuorum::Auto))
    );
    let store = load(&text, &[("TILLWATCH_STORE__INSERT_QUORUM", "0")]).unwrap().store;
    assert_eq!(store.insert_quorum, Some(InsertQuorum::Replicas(0)));
}
