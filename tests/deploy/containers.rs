//! The services of both Compose files: pinned, closed, watched, and with as few rights as may be.

use std::collections::BTreeMap;
use std::path::Path;

use runtime::Config;
use serde_json::Value;

use crate::compose::{self, CLUSTER, COMPOSE, environment_of, is_one_shot, seconds};
use crate::kubernetes;
use crate::reading::{ROOT, assert_pinned, strings, text};

#[test]
fn compose_takes_the_files() {
    let one: Vec<_> = compose::services(COMPOSE).into_keys().collect();
    let expected = [
        "alert",
        "board",
        "check",
        "clickhouse",
        "grafana",
        "ingest",
        "migrate",
        "otel-collector",
        "process",
        "rabbitmq",
    ];
    assert_eq!(one, expected);
    let cluster = compose::services(CLUSTER);
    let more: Vec<_> = cluster.keys().filter(|name| !expected.contains(&name.as_str())).collect();
    assert_eq!(more, ["clickhouse-2", "keeper-1", "keeper-2", "keeper-3", "rabbitmq-2", "rabbitmq-3"]);
}

#[test]
fn every_image_is_pinned() {
    for files in [COMPOSE, CLUSTER] {
        for service in compose::services(files).values() {
            assert_pinned(service["image"].as_str().unwrap());
        }
    }
    for file in ["Dockerfile", "deploy/otel-collector/Dockerfile"] {
        let text = text(file);
        let from = text.lines().filter_map(|line| line.strip_prefix("FROM "));
        let images: Vec<_> = from.map(|rest| rest.split(' ').next().unwrap()).collect();
        assert!(!images.is_empty());
        images.into_iter().for_each(assert_pinned);
    }
}

#[test]
fn every_published_port_is_on_loopback() {
    for files in [COMPOSE, CLUSTER] {
        let services = compose::services(files);
        let ports = services.values().flat_map(|service| service["ports"].as_array().into_iter().flatten());
        let addresses: Vec<_> = ports.map(|port| port["host_ip"].as_str()).collect();
        assert_eq!(addresses, [Some("127.0.0.1"); 3]);
    }
}

/// The queue and the database are where no port can be published and nothing outside is reached.
#[test]
fn queue_and_database_are_on_a_network_without_a_way_out() {
    let read = compose::read(CLUSTER, &compose::filled_in()).unwrap();
    assert_eq!(read["networks"]["data"]["internal"], true);
    for (name, service) in read["services"].as_object().unwrap() {
        if ["rabbitmq", "clickhouse", "keeper", "otel"].iter().any(|part| name.starts_with(part)) {
            let networks: Vec<_> = service["networks"].as_object().unwrap().keys().collect();
            assert_eq!(networks, ["data"], "{name}");
        }
    }
}

#[test]
fn every_service_tells_whether_it_is_well() {
    for (name, service) in compose::services(CLUSTER) {
        let test = strings(&service["healthcheck"]["test"]);
        assert_eq!(test.is_empty(), is_one_shot(&service), "{name}");
        if service["image"].as_str().unwrap().starts_with("tillwatch:") && !is_one_shot(&service) {
            let command = service["command"][0].as_str().unwrap();
            let asked = match command {
                "process" => "/ready/processor",
                "alert" => "/ready/alerting",
                "board" => "/live",
                other => &format!("/ready/{other}"),
            };
            assert_eq!(test.last().copied(), Some(format!("http://127.0.0.1:9090{asked}").as_str()));
            assert_eq!(test[1], "/usr/bin/wget", "there is no shell and no search path to count on");
        }
    }
}

#[test]
fn containers_may_do_little() {
    for (name, service) in compose::services(CLUSTER) {
        assert_eq!(strings(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(strings(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        let user = service["user"].as_str().unwrap().split(':').next().unwrap();
        assert!(user.parse::<u32>().unwrap() > 0, "{name} runs as {user}");
        // Grafana unpacks its plugin, and others that it has, where it likes.
        assert_eq!(service["read_only"] == true, name != "grafana", "{name}");
        assert_eq!(service["privileged"], Value::Null, "{name}");
        assert!(is_one_shot(&service) || service["restart"] == "unless-stopped", "{name}");
    }
}

#[test]
fn there_is_time_to_drain() {
    let drain =
        Config::parse(&text("deploy/tillwatch.toml"), Path::new("x")).unwrap().shutdown.drain_timeout_ms
            / 1000;
    for (name, service) in compose::services(COMPOSE) {
        if service["image"].as_str().unwrap().starts_with("tillwatch:") {
            assert!(seconds(service["stop_grace_period"].as_str().unwrap()) >= drain + 5, "{name}");
        }
    }
    for deployment in kubernetes::of_kind("Deployment") {
        let pod = &deployment["spec"]["template"]["spec"];
        let env = pod["containers"][0]["env"].as_array().cloned().unwrap_or_default();
        let announced = env.iter().find(|variable| variable["name"] == "TILLWATCH_SHUTDOWN__ANNOUNCE_MS");
        let announced =
            announced.map_or(0, |announced| announced["value"].as_str().unwrap().parse().unwrap());
        let needed = announced / 1000 + drain + 5;
        assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= needed, "{deployment}");
    }
}

#[test]
fn ingest_starts_and_runs_without_clickhouse() {
    let services = compose::services(CLUSTER);
    let mut waited_for = services["ingest"]["depends_on"].as_object().unwrap().keys();
    assert!(waited_for.all(|name| name.starts_with("rabbitmq")));
}

/// Nodes of one cluster that wait for each other's health in turn never come back from a stop.
#[test]
fn no_node_of_a_cluster_waits_for_another() {
    for (name, service) in compose::services(CLUSTER) {
        let kind = name.split('-').next().unwrap().to_owned();
        let waits = service["depends_on"].as_object().into_iter().flatten();
        assert!(waits.into_iter().all(|(other, _)| !other.starts_with(&kind)), "{name}");
    }
}

#[test]
fn what_is_mounted_is_there() {
    for service in compose::services(CLUSTER).values() {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            if volume["type"] == "bind" {
                let source = Path::new(volume["source"].as_str().unwrap());
                assert!(source.starts_with(ROOT) && source.exists(), "{}", source.display());
                assert_eq!(volume["read_only"], true, "{}", source.display());
            }
        }
    }
    let kept = text("deploy/secrets/.gitignore");
    assert!(kept.lines().any(|line| line == "*"), "secrets could be committed");
}

#[test]
fn no_password_has_a_default() {
    let filled = compose::filled_in();
    for name in filled.keys() {
        for without in [BTreeMap::from([(name.clone(), String::new())]), BTreeMap::new()] {
            let mut env = filled.clone();
            env.remove(name);
            env.extend(without);
            let error = compose::read(CLUSTER, &env).expect_err(name);
            assert!(
                error.contains(name.as_str()) && error.contains("copy deploy/.env.example to .env"),
                "{error}"
            );
        }
    }
}

#[test]
fn a_password_is_known_to_those_who_need_it() {
    let who: BTreeMap<&str, &[&str]> = BTreeMap::from([
        (
            "RABBITMQ_PASSWORD",
            ["check", "ingest", "process", "rabbitmq", "rabbitmq-2", "rabbitmq-3"].as_slice(),
        ),
        (
            "CLICKHOUSE_TILLWATCH_PASSWORD",
            &["alert", "board", "check", "clickhouse", "clickhouse-2", "migrate", "process"],
        ),
        ("CLICKHOUSE_GRAFANA_PASSWORD", &["clickhouse", "clickhouse-2", "grafana"]),
        ("CLICKHOUSE_OTEL_PASSWORD", &["clickhouse", "clickhouse-2", "otel-collector"]),
        ("GRAFANA_ADMIN_PASSWORD", &["grafana"]),
        ("RABBITMQ_ERLANG_COOKIE", &["rabbitmq", "rabbitmq-2", "rabbitmq-3"]),
        ("CLICKHOUSE_CLUSTER_SECRET", &["clickhouse", "clickhouse-2"]),
    ]);
    let services = compose::services(CLUSTER);
    let filled = compose::filled_in();
    assert_eq!(filled.keys().collect::<Vec<_>>(), who.keys().collect::<Vec<_>>());
    for (name, value) in &filled {
        let knows =
            |service: &Value| environment_of(service).values().any(|text| text.contains(value.as_str()));
        let known: Vec<_> =
            services.iter().filter(|(_, service)| knows(service)).map(|(name, _)| name).collect();
        assert_eq!(known, who[name.as_str()], "{name}");
    }
}
