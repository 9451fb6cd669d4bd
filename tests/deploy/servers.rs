//! What RabbitMQ, ClickHouse, Keeper, the collector and Grafana are given.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use runtime::Config;

use crate::compose::{self, CLUSTER, COMPOSE, environment_of};
use crate::reading::{answer, path, python, strings, text, yaml};

/// RabbitMQ's own schema, without starting a node.
#[test]
fn rabbitmq_takes_its_configuration() {
    let home = std::fs::read_dir("/usr/lib/rabbitmq/lib").unwrap().map(|entry| entry.unwrap().path());
    let plugins = home.map(|home| home.join("plugins")).find(|plugins| plugins.is_dir()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rabbitmq.conf");
    std::fs::write(&file, text("deploy/rabbitmq/tillwatch.conf") + &text("deploy/rabbitmq/cluster.conf"))
        .unwrap();
    let program = format!(
        "Schema = cuttlefish_schema:files(filelib:wildcard(\"{plugins}/rabbit-*/priv/schema/*.schema\")),
         Settings = cuttlefish_generator:map(Schema, cuttlefish_conf:file(\"{file}\")),
         Rabbit = proplists:get_value(rabbit, Settings),
         Keys = [consumer_timeout, disk_free_limit, queue_leader_locator, cluster_nodes],
         [io:format(\"~w ~p~n\", [Key, proplists:get_value(Key, Rabbit)]) || Key <- Keys], halt().",
        plugins = plugins.display(),
        file = file.display(),
    );
    let libraries = format!("{}/*/ebin", plugins.display());
    let mut erl = Command::new("sh");
    erl.args(["-c", &format!("exec erl -noinput -boot start_clean -pa {libraries} -eval \"$0\""), &program]);
    let said = answer(erl.env("HOME", folder.path()).current_dir(folder.path()));
    for line in
        ["consumer_timeout 604800000", "disk_free_limit \"2GB\"", "queue_leader_locator <<\"balanced\">>"]
    {
        assert!(said.contains(line), "without {line}: {said}");
    }
    let services = compose::services(CLUSTER);
    let nodes: Vec<_> = services.keys().filter(|name| name.starts_with("rabbitmq")).collect();
    for node in &nodes {
        assert_eq!(services[*node]["hostname"], node.as_str(), "a node is called after its host");
        let name = format!("rabbit@{node}");
        assert!(said.contains(&name), "{name} is not in cluster.conf: {said}");
    }
    assert_eq!(said.matches("rabbit@").count(), nodes.len(), "{said}");
    let url = &environment_of(&services["ingest"])["AMQP_URL"];
    assert!(nodes.iter().all(|node| url.contains(&format!("@{node}:5672/tillwatch"))), "{url}");
}

/// The engine's library reads a server's files, and is asked what it found. Its own user is `default`, which a server
/// here does not have.
const ASK_CLICKHOUSE: &str = r#"
import ctypes, os, sys
library, folder = sys.argv[1:3]
engine = ctypes.CDLL(library)
engine.chdb_set_signal_handlers_enabled(0)
engine.chdb_connect.restype = engine.chdb_query.restype = ctypes.c_void_p
engine.chdb_query.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
for name in ("chdb_result_buffer", "chdb_result_error"):
    getattr(engine, name).argtypes, getattr(engine, name).restype = [ctypes.c_void_p], ctypes.c_char_p
arguments = [b"clickhouse", f"--path={folder}/data".encode(), f"--config-file={folder}/config.xml".encode()]
connection = ctypes.cast(engine.chdb_connect(len(arguments), (ctypes.c_char_p * 3)(*arguments)), ctypes.POINTER(ctypes.c_void_p))
for question in sys.argv[3:]:
    result = engine.chdb_query(connection[0], question.encode(), b"TSVRaw")
    text = engine.chdb_result_error(result) or engine.chdb_result_buffer(result)
    for line in text.decode().splitlines():
        print("ANSWER", line)
sys.stdout.flush()
os._exit(0)
"#;

#[test]
fn clickhouse_takes_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let write = |relative: &str, text: &str| {
        let file = folder.path().join(relative);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    let users = folder.path().join("users.xml");
    write(
        "config.xml",
        &format!(
            "<clickhouse><user_directories><users_xml><path>{}</path></users_xml></user_directories></clickhouse>",
            users.display()
        ),
    );
    write(
        "users.xml",
        "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default><password/>\
         <networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>\
         <access_management>1</access_management></default></users></clickhouse>",
    );
    for file in ["config", "cluster"] {
        write(&format!("config.d/{file}.xml"), &text(&format!("deploy/clickhouse/{file}.xml")));
    }
    let shipped = text("deploy/clickhouse/users.xml");
    let without = shipped.replace("<default remove=\"remove\"/>", "");
    assert_ne!(shipped, without, "a server must not have a user without a password");
    write("users.d/users.xml", &without);

    let engine = answer(Command::new(env!("CARGO_BIN_EXE_tillwatch")).args(["engine", "fetch"]));
    let library = engine.trim().strip_prefix("the engine is there: ").unwrap();
    let services = compose::services(CLUSTER);
    let mut ask = python(ASK_CLICKHOUSE);
    ask.env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(environment_of(&services["clickhouse-2"]));
    let questions = [
        "SELECT 'cluster', cluster, shard_num, replica_num, host_name, port FROM system.clusters",
        "SELECT 'macro', macro, substitution FROM system.macros",
        "SELECT 'user', name, auth_type FROM system.users WHERE name != 'default'",
        "SELECT 'may', user_name, access_type, database FROM system.grants \
         WHERE user_name != 'default' AND access_type IN ('SELECT', 'INSERT', 'CREATE TABLE', 'CREATE TEMPORARY TABLE', 'CLUSTER')",
        "SELECT 'may', user_name, access_type, access_object FROM system.grants WHERE access_object = 'REMOTE'",
        "SELECT 'profile', profile_name, setting_name, value FROM system.settings_profile_elements \
         WHERE profile_name = 'grafana'",
    ];
    let said = answer(ask.arg(library).arg(folder.path()).args(questions));
    let answers: BTreeSet<_> = said.lines().filter_map(|line| line.strip_prefix("ANSWER ")).collect();
    let expected = [
        "cluster\ttillwatch\t1\t1\tclickhouse\t9000",
        "cluster\ttillwatch\t1\t2\tclickhouse-2\t9000",
        "macro\tcluster\ttillwatch",
        "macro\treplica\tclickhouse-2",
        "macro\tshard\t01",
        "may\tgrafana\tSELECT\totel",
        "may\tgrafana\tSELECT\ttillwatch",
        "may\totel\tCREATE TABLE\totel",
        "may\totel\tINSERT\totel",
        "may\totel\tSELECT\totel",
        "may\ttillwatch\tCLUSTER\t\\N",
        "may\ttillwatch\tCREATE TABLE\ttillwatch",
        "may\ttillwatch\tCREATE TEMPORARY TABLE\t\\N",
        "may\ttillwatch\tINSERT\ttillwatch",
        "may\ttillwatch\tREAD\tREMOTE",
        "may\ttillwatch\tSELECT\tsystem",
        "may\ttillwatch\tSELECT\ttillwatch",
        "may\ttillwatch\tWRITE\tREMOTE",
        "profile\tgrafana\tmax_memory_usage\t4294967296",
        "profile\tgrafana\treadonly\t2",
        "user\tgrafana\t['plaintext_password']",
        "user\totel\t['plaintext_password']",
        "user\ttillwatch\t['plaintext_password']",
    ];
    assert_eq!(answers, BTreeSet::from(expected), "{said}");
}

/// No parser of Keeper's own is at hand: its file is held against what Compose and ClickHouse say of it.
#[test]
fn keeper_is_where_clickhouse_looks_for_it() {
    let program = "import json, sys, xml.etree.ElementTree as tree
keeper, cluster = (tree.parse(file).getroot() for file in sys.argv[1:3])
servers = [[each.findtext('id'), each.findtext('hostname')] for each in keeper.iter('server')]
nodes = [[each.findtext('host'), each.findtext('port')] for each in cluster.find('zookeeper')]
print(json.dumps([servers, nodes, keeper.findtext('keeper_server/tcp_port')]))";
    type Pairs = Vec<(String, String)>;
    let said =
        answer(python(program).args(["deploy/clickhouse/keeper.xml", "deploy/clickhouse/cluster.xml"]));
    let (servers, nodes, port): (Pairs, Pairs, String) = serde_json::from_str(&said).unwrap();
    let services = compose::services(CLUSTER);
    let keepers = services.iter().filter(|(name, _)| name.starts_with("keeper"));
    let keepers: Vec<_> =
        keepers.map(|(name, service)| (environment_of(service)["KEEPER_ID"].clone(), name.clone())).collect();
    assert_eq!(servers, keepers);
    assert_eq!(nodes, keepers.iter().map(|(_, name)| (name.clone(), port.clone())).collect::<Vec<_>>());
}

/// No parser of the collector's or of Grafana's is at hand: their files are held against themselves and against Compose.
#[test]
fn collector_and_grafana_fit_the_rest() {
    let services = compose::services(COMPOSE);
    let collector = &yaml(&path("deploy/otel-collector/config.yaml"))[0];
    let mut used = BTreeSet::new();
    for pipeline in collector["service"]["pipelines"].as_object().unwrap().values() {
        for part in ["receivers", "processors", "exporters"] {
            for name in strings(&pipeline[part]) {
                assert!(collector[part][name].is_object(), "{part} has no {name}");
                used.insert(name.to_owned());
            }
        }
    }
    for part in ["receivers", "processors", "exporters"] {
        let unused: Vec<_> =
            collector[part].as_object().unwrap().keys().filter(|name| !used.contains(*name)).collect();
        assert!(unused.is_empty(), "{unused:?}");
    }
    assert_eq!(collector["exporters"]["clickhouse"]["password"], "${env:CLICKHOUSE_OTEL_PASSWORD}");
    let asked = strings(&services["otel-collector"]["healthcheck"]["test"]).last().copied().unwrap();
    assert_eq!(
        asked,
        format!("http://{}/", collector["extensions"]["health_check"]["endpoint"].as_str().unwrap())
    );
    let tillwatch = Config::parse(&text("deploy/tillwatch.toml"), Path::new("x")).unwrap();
    let received = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].as_str().unwrap();
    assert_eq!(tillwatch.telemetry.otlp_endpoint, received.replace("0.0.0.0", "http://otel-collector"));

    let grafana =
        &yaml(&path("deploy/grafana/provisioning/datasources/clickhouse.yaml"))[0]["datasources"][0];
    let plugin = &environment_of(&services["grafana"])["GF_PLUGINS_PREINSTALL_SYNC"];
    assert_eq!(plugin.split_once('@').unwrap().0, grafana["type"].as_str().unwrap());
    let variable = grafana["secureJsonData"]["password"].as_str().unwrap().strip_prefix('$').unwrap();
    assert!(environment_of(&services["grafana"]).contains_key(variable));
    let address =
        format!("http://{}:{}", grafana["jsonData"]["host"].as_str().unwrap(), grafana["jsonData"]["port"]);
    assert_eq!(address, tillwatch.store.url);
}
