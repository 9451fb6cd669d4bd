//! What is shipped to run Tillwatch in containers, read by the programs that will read it: Compose, kustomize and
//! Kubernetes' schemas, a linter of Dockerfiles, ClickHouse, RabbitMQ. No container is started.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test they are the failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use runtime::Config;
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const COMPOSE: &[&str] = &["docker-compose.yml"];
const CLUSTER: &[&str] = &["docker-compose.yml", "deploy/compose.cluster.yml"];
const KUSTOMIZATION: &str = "deploy/kubernetes/base";

fn path(relative: &str) -> PathBuf {
    Path::new(ROOT).join(relative)
}

fn text(relative: &str) -> String {
    std::fs::read_to_string(path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

/// Where `scripts/tools test` installs what deploy/validators.txt names.
fn validators() -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    let folder = cache.unwrap().join("tillwatch/validators");
    assert!(folder.is_dir(), "{} is missing: scripts/tools test installs it", folder.display());
    folder
}

fn validator(program: &str) -> Command {
    let mut command = Command::new(validators().join("bin").join(program));
    command.current_dir(ROOT);
    command
}

/// Python with the validators' modules, PyYAML among them.
fn python(program: &str) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", validators()).current_dir(ROOT).args(["-c", program]);
    command
}

/// What it printed; it must have succeeded.
fn answer(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// All documents of a YAML file.
fn yaml(file: &Path) -> Vec<Value> {
    let program = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    serde_json::from_str(&answer(python(program).arg(file))).unwrap()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|item| item.as_str().unwrap()).collect()
}

mod environment {
    use super::{BTreeMap, text};

    /// The variables of deploy/.env.example that must be filled in, each with a value that tells it from the others.
    pub(crate) fn filled_in() -> BTreeMap<String, String> {
        let example = text("deploy/.env.example");
        let names = example.lines().filter_map(|line| line.strip_suffix('='));
        let filled: BTreeMap<_, _> =
            names.map(|name| (name.to_owned(), format!("value0of0{name}"))).collect();
        assert!(filled.len() > 4, "{filled:?}");
        filled
    }
}

mod compose {
    use super::{BTreeMap, Output, ROOT, Value, validator};

    /// What Compose makes of the files, every profile included.
    pub(crate) fn read(files: &[&str], env: &BTreeMap<String, String>) -> Result<Value, String> {
        let mut command = validator("docker-compose");
        // Nothing from outside: neither variables nor an `.env` that lies there.
        command.env_clear().envs(env).args([
            "--project-directory",
            ROOT,
            "--env-file",
            "/dev/null",
            "--profile",
            "*",
        ]);
        command.args(files.iter().flat_map(|file| ["--file", file])).args(["config", "--format", "json"]);
        let Output { status, stdout, stderr } = command.output().unwrap();
        if status.success() {
            Ok(serde_json::from_slice(&stdout).unwrap())
        } else {
            Err(String::from_utf8(stderr).unwrap())
        }
    }

    pub(crate) fn services(files: &[&str]) -> BTreeMap<String, Value> {
        let read = read(files, &super::environment::filled_in()).unwrap();
        serde_json::from_value(read["services"].clone()).unwrap()
    }
}

/// Name and value of what a service's processes see.
fn environment_of(service: &Value) -> BTreeMap<String, String> {
    let variables = service["environment"].as_object().into_iter().flatten();
    variables.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

/// An image is named with a version, or with a digest.
fn assert_pinned(image: &str) {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let tag = name.rsplit('/').next().unwrap().split_once(':').map(|(_, tag)| tag);
    let has_version =
        tag.is_some_and(|tag| tag != "latest" && tag.starts_with(|first: char| first.is_ascii_digit()));
    let has_digest = digest.is_some_and(|digest| digest.starts_with("sha256:") && digest.len() == 71);
    assert!(has_version || has_digest, "{image} is not pinned");
}

fn is_one_shot(service: &Value) -> bool {
    service["restart"] == "no"
}

/// `35s`, `1m0s`.
fn seconds(duration: &str) -> u64 {
    let (minutes, rest) = duration.split_once('m').unwrap_or(("0", duration));
    60 * minutes.parse::<u64>().unwrap() + rest.trim_end_matches('s').parse::<u64>().unwrap()
}

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
    let read = compose::read(CLUSTER, &environment::filled_in()).unwrap();
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
        let pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap_or(0);
        assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= pause + drain + 5, "{deployment}");
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
    let filled = environment::filled_in();
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
    let filled = environment::filled_in();
    assert_eq!(filled.keys().collect::<Vec<_>>(), who.keys().collect::<Vec<_>>());
    for (name, value) in &filled {
        let knows =
            |service: &Value| environment_of(service).values().any(|text| text.contains(value.as_str()));
        let known: Vec<_> =
            services.iter().filter(|(_, service)| knows(service)).map(|(name, _)| name).collect();
        assert_eq!(known, who[name.as_str()], "{name}");
    }
}

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

mod kubernetes {
    use super::{KUSTOMIZATION, Value, answer, validator, yaml};

    /// The objects as kustomize writes them, and the file they are in.
    pub(crate) fn rendered() -> (tempfile::TempDir, Vec<Value>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("objects.yaml");
        std::fs::write(&file, answer(validator("kubectl").args(["kustomize", KUSTOMIZATION]))).unwrap();
        let objects = yaml(&file);
        (folder, objects)
    }

    pub(crate) fn of_kind(kind: &str) -> Vec<Value> {
        let (_, objects) = rendered();
        let found: Vec<_> = objects.into_iter().filter(|object| object["kind"] == kind).collect();
        assert!(!found.is_empty(), "no {kind}");
        found
    }

    /// Every pod, of deployments and of the job.
    pub(crate) fn pods() -> Vec<Value> {
        let owners = [of_kind("Deployment"), of_kind("Job")].concat();
        owners.into_iter().map(|mut owner| owner["spec"]["template"]["spec"].take()).collect()
    }

    pub(crate) fn containers() -> Vec<Value> {
        pods().into_iter().map(|mut pod| pod["containers"][0].take()).collect()
    }
}

#[test]
fn kubernetes_objects_fit_its_schemas() {
    let (folder, objects) = kubernetes::rendered();
    let mut command = python("from kubernetes_validate.__main__ import main; main()");
    let said = answer(command.arg("--strict").arg(folder.path().join("objects.yaml")));
    assert_eq!(said.matches(" passed for resource ").count(), objects.len(), "{said}");
    assert!(objects.iter().all(|object| object["kind"] != "Secret"), "no secret is shipped");
    for object in &objects {
        let is_namespace = object["kind"] == "Namespace";
        assert!(is_namespace || object["metadata"]["namespace"] == "tillwatch", "{object}");
    }
}

#[test]
fn pods_may_do_little() {
    for pod in kubernetes::pods() {
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["enableServiceLinks"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let container = &pod["containers"][0];
        assert_pinned(container["image"].as_str().unwrap());
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(strings(&context["capabilities"]["drop"]), ["ALL"]);
        assert!(container["resources"]["limits"]["memory"].is_string());
        for variable in container["env"].as_array().into_iter().flatten() {
            assert!(variable["value"].is_null(), "a secret is referred to: {variable}");
        }
    }
}

#[test]
fn deployments_are_probed_and_there_are_as_many_as_may_be() {
    let deployments = kubernetes::of_kind("Deployment");
    let named = |name: &str| deployments.iter().find(|each| each["metadata"]["name"] == name).unwrap();
    for (name, ready) in [
        ("ingest", "/ready/ingest"),
        ("process", "/ready/processor"),
        ("alert", "/ready/alerting"),
        ("board", "/live"),
    ] {
        let container = &named(name)["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(strings(&container["args"]), [name]);
        assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/live", "{name}");
        assert_eq!(container["readinessProbe"]["httpGet"]["path"], ready, "{name}");
    }
    assert_eq!(named("alert")["spec"]["replicas"], 1, "its state is one file");
    assert_eq!(named("alert")["spec"]["strategy"]["type"], "Recreate");
    assert_eq!(named("ingest")["spec"]["replicas"], Value::Null, "the autoscaler's");
    let scaler = &kubernetes::of_kind("HorizontalPodAutoscaler")[0];
    assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], "ingest");
    assert!(scaler["spec"]["minReplicas"].as_u64().unwrap() >= 2);
    for service in kubernetes::of_kind("Service") {
        assert_eq!(service["spec"]["type"], "ClusterIP", "the admin port has no login: {service}");
    }
}

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
         WHERE user_name != 'default' AND access_type IN ('SELECT', 'INSERT', 'CREATE TABLE', 'CLUSTER')",
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
