//! A private RabbitMQ node: on free ports, in a folder of its own, gone with the test. Its name server (epmd) too is a
//! child of ours: one that RabbitMQ starts would outlive it.

mod cluster;

use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use cluster::Cluster;
use tempfile::TempDir;

use crate::certificates::Certificate;
use crate::group::Group;
use crate::ports::{free_port, free_ports, until_listening};

/// Two processors under all the other tests.
const STARTED_WITHIN: Duration = Duration::from_secs(120);

/// A node; gone when dropped.
#[derive(Debug)]
pub struct Node {
    ports: Ports,
    folder: TempDir,
    // In the order they end.
    broker: Mutex<Option<Group>>,
    _names: Arc<Names>,
}

/// The name server by which nodes find each other.
#[derive(Debug)]
struct Names {
    port: u16,
    _folder: TempDir,
    _epmd: Group,
}

/// Nodes of one cluster know each other by this.
const COOKIE: &str = "shared-by-the-nodes-of-a-test";

#[derive(Clone, Copy, Debug)]
struct Ports {
    amqp: u16,
    distribution: u16,
    tls: u16,
    names: u16,
}

/// In a configuration, what stands for the port.
const TLS_PORT: &str = "TLS_PORT";

impl Names {
    fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut epmd = Command::new("epmd");
        epmd.args(["-port", &port.to_string(), "-address", "127.0.0.1"]);
        let epmd = Group::spawn(epmd, &folder.path().join("epmd.log"));
        until_listening(port, STARTED_WITHIN, || String::from("epmd did not start"));
        Self { port, _folder: folder, _epmd: epmd }
    }
}

impl Node {
    /// Starts one, with the user `guest:guest`.
    pub fn start() -> Self {
        Self::start_named(Arc::new(Names::start()), "")
    }

    /// The same that also speaks TLS, as `own` ([`tls_url`](Self::tls_url)). With `clients_need_one`, who connects
    /// needs a certificate of `authority`.
    pub fn start_with_tls(own: &Certificate, authority: &Path, clients_need_one: bool) -> Self {
        let (certificate, key) = (own.certificate.display(), own.key.display());
        let tls = format!(
            "listeners.ssl.default = 127.0.0.1:{}\nssl_options.cacertfile = {}\nssl_options.certfile = {certificate}\n\
             ssl_options.keyfile = {key}\nssl_options.verify = verify_peer\n\
             ssl_options.fail_if_no_peer_cert = {clients_need_one}\n",
            TLS_PORT,
            authority.display()
        );
        Self::start_named(Arc::new(Names::start()), &tls)
    }

    fn start_named(names: Arc<Names>, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [amqp, distribution, tls] = free_ports();
        let ports = Ports { amqp, distribution, tls, names: names.port };
        let more = more.replace(TLS_PORT, &tls.to_string());
        let conf =
            format!("listeners.tcp.1 = 127.0.0.1:{amqp}\nlog.console = true\nlog.file = false\n{more}");
        std::fs::write(folder.path().join("rabbitmq.conf"), conf).unwrap();
        std::fs::write(folder.path().join("enabled_plugins"), "[].").unwrap();
        let cookie = folder.path().join(".erlang.cookie");
        std::fs::write(&cookie, COOKIE).unwrap();
        std::fs::set_permissions(&cookie, std::fs::Permissions::from_mode(0o400)).unwrap();
        let node = Self { ports, folder, broker: Mutex::default(), _names: names };
        node.start_again();
        node
    }

    /// Processor time that it has spent since it was started.
    pub fn processor_time(&self) -> Duration {
        self.broker.lock().unwrap().as_ref().map_or(Duration::ZERO, Group::processor_time)
    }

    /// After [`kill`](Self::kill): with what it had on disk.
    pub fn start_again(&self) {
        let log = self.folder.path().join("broker.log");
        *self.broker.lock().unwrap() = Some(Group::spawn(broker(self.folder.path(), self.ports), &log));
        until_listening(self.ports.amqp, STARTED_WITHIN, || self.log());
    }

    /// As `kill -9` does, once the node has on its own disk that it has this queue: RabbitMQ 3.10 writes that seconds after
    /// the queue is declared, and one that it forgot never confirms anything again.
    pub fn kill(&self, queue: &str) {
        let node = self.name();
        let names = self.folder.path().join("data").join(&node).join("quorum").join(&node).join("names.dets");
        let deadline = Instant::now() + STARTED_WITHIN;
        while !std::fs::read(&names).unwrap().windows(queue.len()).any(|bytes| bytes == queue.as_bytes()) {
            assert!(Instant::now() < deadline, "{} does not name {queue}", names.display());
            std::thread::sleep(Duration::from_millis(50));
        }
        *self.broker.lock().unwrap() = None;
        // A process that was killed listens for a moment yet.
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.amqp)).is_ok() {
            assert!(Instant::now() < deadline, "the broker is still there");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs `rabbitmqctl` against the node.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(installed("rabbitmqctl"));
        environment(&mut command, self.folder.path(), self.ports);
        let output = command.arg("--quiet").args(arguments).output().unwrap();
        assert!(output.status.success(), "rabbitmqctl {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Its address, for a `user:password`.
    pub fn url(&self, user: &str) -> String {
        format!("amqp://{user}@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    /// The same over TLS.
    pub fn tls_url(&self, user: &str, host: &str) -> String {
        format!("amqps://{user}@{host}:{}/%2f", self.ports.tls)
    }

    /// Whether it was started and not killed since.
    pub fn is_running(&self) -> bool {
        self.broker.lock().unwrap().is_some()
    }

    /// Its name among nodes.
    pub fn name(&self) -> String {
        name(self.ports)
    }

    /// Where it listens for AMQP.
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("broker.log")).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the broker said:\n{}", self.log());
        }
    }
}

fn name(ports: Ports) -> String {
    format!("node-{}@localhost", ports.amqp)
}

fn broker(folder: &Path, ports: Ports) -> Command {
    let mut command = Command::new(installed("rabbitmq-server"));
    environment(&mut command, folder, ports);
    command
}

/// Debian's /usr/sbin has a wrapper that changes the user; this is what it runs.
fn installed(program: &str) -> PathBuf {
    let direct = Path::new("/usr/lib/rabbitmq/bin").join(program);
    if direct.exists() { direct } else { PathBuf::from(program) }
}

fn environment(command: &mut Command, folder: &Path, ports: Ports) {
    command
        .env("HOME", folder)
        .env("RABBITMQ_NODENAME", name(ports))
        .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
        .env("RABBITMQ_LOG_BASE", folder.join("log"))
        .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
        .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
        .env("ERL_EPMD_PORT", ports.names.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1");
}
