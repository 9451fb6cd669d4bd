//! Tillwatch's own configuration and image.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use runtime::Config;

use crate::compose::{self, CLUSTER, COMPOSE, environment_of};
use crate::kubernetes;
use crate::reading::{answer, path, strings, text, validator};

/// The file, with the variables of each service over it.
#[test]
fn tillwatch_takes_its_configuration() {
    let file = path("deploy/tillwatch.toml");
    let load = |env: BTreeMap<String, String>| {
        let env = env.into_iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Config::load(&file, Path::new("/var/lib/tillwatch"), env).unwrap()
    };
    let config = load(BTreeMap::new());
    assert!(
        !config.ingest.listen.ip().is_loopback() && !config.admin.listen.ip().is_loopback(),
        "of the container"
    );
    assert_eq!(config.queue.kind, runtime::config::QueueKind::RabbitMq);
    assert_eq!(config.store.kind, runtime::config::StoreKind::ClickHouse);
    for (_, service) in compose::services(COMPOSE) {
        load(environment_of(&service));
    }
    for (name, service) in compose::services(CLUSTER) {
        if ["process", "alert", "board", "migrate", "check"].contains(&name.as_str()) {
            let store = load(environment_of(&service)).store;
            assert_eq!(
                store.cluster.as_deref(),
                Some("tillwatch"),
                "{name}: as deploy/clickhouse/cluster.xml calls it"
            );
            assert!(
                store.url.contains("//clickhouse:8123") && store.url.contains("//clickhouse-2:8123"),
                "{name}"
            );
        }
    }
    let settings = kubernetes::of_kind("ConfigMap").into_iter().find_map(|map| {
        let is_settings = map["metadata"]["name"].as_str().unwrap().starts_with("tillwatch-settings");
        is_settings.then(|| serde_json::from_value(map["data"].clone()).unwrap())
    });
    assert_eq!(load(settings.unwrap()).telemetry.otlp_endpoint, "");
}

#[test]
fn kubernetes_has_the_same_configuration() {
    let file = text("deploy/tillwatch.toml");
    assert_eq!(file, text("deploy/kubernetes/base/tillwatch.toml"));
    let maps = kubernetes::of_kind("ConfigMap");
    assert!(maps.iter().any(|map| map["data"]["tillwatch.toml"] == file.as_str()));
}

/// As in the container: the file, the rules, a secret for each source.
#[test]
fn check_finds_nothing_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let at = |relative: &str| folder.path().join(relative);
    std::fs::create_dir(at("rules")).unwrap();
    for rule in std::fs::read_dir(path("rules")).unwrap() {
        let rule = rule.unwrap();
        std::fs::copy(rule.path(), at("rules").join(rule.file_name())).unwrap();
    }
    std::fs::create_dir(at("secrets")).unwrap();
    std::fs::copy(path("demo/secrets/shop"), at("secrets/shop")).unwrap();
    std::fs::copy(path("deploy/tillwatch.toml"), at("tillwatch.toml")).unwrap();
    for files in [COMPOSE, CLUSTER] {
        let check = &compose::services(files)["check"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_tillwatch"));
        command.args(strings(&check["command"])).env_clear().envs(environment_of(check));
        let said = answer(
            command.env("TILLWATCH_CONFIG", at("tillwatch.toml")).env("TILLWATCH_DATA_DIR", at("data")),
        );
        assert!(said.contains("fine: 1 sources"), "{said}");
    }
}

#[test]
fn the_image_is_built_from_what_it_gets_with_the_pinned_compiler() {
    answer(validator("hadolint").args(["Dockerfile", "deploy/otel-collector/Dockerfile"]));
    let dockerfile = text("Dockerfile");
    let toolchain = text("rust-toolchain.toml");
    let version =
        toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    for place in [format!("FROM rust:{version}-"), format!("RUSTUP_TOOLCHAIN={version}\n")] {
        assert!(dockerfile.contains(&place), "rust-toolchain.toml says {version}");
    }
    let label = format!("org.opencontainers.image.version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(dockerfile.contains(&label), "without {label}");
    let image = format!("tillwatch:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(compose::services(COMPOSE)["ingest"]["image"], image.as_str());
    assert_eq!(kubernetes::containers()[0]["image"], image.as_str());

    let ignored = text(".dockerignore");
    let sent: BTreeSet<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(ignored.lines().any(|line| line == "*"), "everything else stays here");
    let manifest = text("Cargo.toml");
    let members = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    let members = members.split('"').skip(1).step_by(2).map(|member| member.split('/').next().unwrap());
    for needed in members.chain(["src", "rules", "Cargo.toml", "Cargo.lock"]) {
        assert!(sent.contains(needed), "{needed} is not sent to the builder");
    }
}
