//! Private RabbitMQ nodes: on free ports, in folders of their own, gone with the test.
//!
//! The scripts are the installed ones; the environment variable `TILLWATCH_TEST_RABBITMQ` names a folder with those of
//! another version.

mod cluster;
mod names;

use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::certificates::{Authority, Certified};
use crate::group::Group;
use crate::ports::{free_ports, until_listening};
pub use cluster::Cluster;
use names::Names;

/// Two processors under all the other tests.
const STARTED_WITHIN: Duration = Duration::from_secs(120);

/// What nodes of one cluster, and who commands them, have in common. They listen on this machine alone.
const COOKIE: &str = "tillwatch";

/// A node; gone when dropped.
#[derive(Debug)]
pub struct Node {
    ports: Ports,
    is_tls: bool,
    folder: TempDir,
    // In the order they end.
    broker: Mutex<Option<Group>>,
    names: Arc<Names>,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    amqp: u16,
    distribution: u16,
}

impl Node {
    /// Starts one, with the user `guest:guest`.
    pub fn start() -> Self {
        let node = Self::launch(&Arc::new(Names::start()));
        node.until_up();
        node
    }

    /// The same that speaks TLS alone: it shows `server`, and demands a certificate issued by `clients`.
    pub fn start_tls(server: &Certified, clients: &Authority) -> Self {
        let node = Self::prepare(&Arc::new(Names::start()), true);
        node.write("clients.pem", &clients.pem());
        node.write_certificate(server);
        node.start_again();
        node
    }

    /// From now on it shows another certificate.
    pub fn show(&self, server: &Certified) {
        self.write_certificate(server);
        self.ctl(&["eval", "ssl:clear_pem_cache()."]);
    }

    fn write_certificate(&self, server: &Certified) {
        self.write("server.pem", &server.certificate);
        self.write("server.key", &server.key);
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn launch(names: &Arc<Names>) -> Self {
        let node = Self::prepare(names, false);
        node.spawn();
        node
    }

    fn prepare(names: &Arc<Names>, is_tls: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [amqp, distribution] = free_ports();
        let listeners = if is_tls {
            let file = |key: &str, name: &str| {
                format!("ssl_options.{key} = {}\n", folder.path().join(name).display())
            };
            format!(
                "listeners.tcp = none\nlisteners.ssl.1 = 127.0.0.1:{amqp}\n\
                 ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n{}{}{}",
                file("cacertfile", "clients.pem"),
                file("certfile", "server.pem"),
                file("keyfile", "server.key")
            )
        } else {
            format!("listeners.tcp.1 = 127.0.0.1:{amqp}\n")
        };
        let conf = format!("{listeners}log.console = true\nlog.file = false\n");
        std::fs::write(folder.path().join("rabbitmq.conf"), conf).unwrap();
        std::fs::write(folder.path().join("enabled_plugins"), "[].").unwrap();
        write_cookie(&folder.path().join(".erlang.cookie"));
        let ports = Ports { amqp, distribution };
        Self { ports, is_tls, folder, broker: Mutex::default(), names: Arc::clone(names) }
    }

    /// Processor time that it has spent since it was started.
    pub fn processor_time(&self) -> Duration {
        self.broker.lock().unwrap().as_ref().map_or(Duration::ZERO, Group::processor_time)
    }

    /// After [`kill`](Self::kill) or [`stop`](Self::stop): with what it had on disk.
    pub fn start_again(&self) {
        self.spawn();
        self.until_up();
    }

    fn spawn(&self) {
        *self.broker.lock().unwrap() = Some(Group::spawn(self.command("rabbitmq-server"), &self.log_file()));
    }

    fn until_up(&self) {
        until_listening(self.ports.amqp, STARTED_WITHIN, || self.log());
    }

    /// As `kill -9` does, once the node has this queue [on its disk](Self::until_on_disk).
    pub fn kill(&self, queue: &str) {
        self.until_on_disk(queue);
        self.end(Instant::now() + STARTED_WITHIN);
    }

    /// Waits, blocking, until the node has on its own disk that it has this queue: RabbitMQ (3.10, 4.0) writes that seconds
    /// after the queue is declared, and one that it forgot never confirms anything again.
    pub fn until_on_disk(&self, queue: &str) {
        let node = self.name();
        let names = self.folder.path().join("data").join(&node).join("quorum").join(&node).join("names.dets");
        let deadline = Instant::now() + STARTED_WITHIN;
        while !std::fs::read(&names).unwrap().windows(queue.len()).any(|bytes| bytes == queue.as_bytes()) {
            assert!(Instant::now() < deadline, "{} does not name {queue}", names.display());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// As an administrator does: connections are closed, queues get other leaders, then the process ends.
    pub fn stop(&self) {
        self.ctl(&["shutdown"]);
        self.end(Instant::now() + STARTED_WITHIN);
    }

    fn end(&self, deadline: Instant) {
        *self.broker.lock().unwrap() = None;
        // A process that was killed listens for a moment yet.
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.amqp)).is_ok() {
            assert!(Instant::now() < deadline, "the broker is still there");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it was not killed or stopped.
    pub fn is_running(&self) -> bool {
        self.broker.lock().unwrap().is_some()
    }

    /// Runs `rabbitmqctl` against the node.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let output = self.command("rabbitmqctl").arg("--quiet").args(arguments).output().unwrap();
        assert!(output.status.success(), "rabbitmqctl {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Its address, for a `user:password`.
    pub fn url(&self, user: &str) -> String {
        let scheme = if self.is_tls { "amqps" } else { "amqp" };
        format!("{scheme}://{user}@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    /// Where it listens for AMQP.
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// What it is called among nodes.
    fn name(&self) -> String {
        format!("node-{}@localhost", self.ports.amqp)
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("broker.log")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn command(&self, script: &str) -> Command {
        let (mut command, folder) = (Command::new(installed(script)), self.folder.path());
        command
            .env("HOME", folder)
            .env("RABBITMQ_NODENAME", self.name())
            .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
            .env("RABBITMQ_DIST_PORT", self.ports.distribution.to_string())
            .env("ERL_EPMD_PORT", self.names.port().to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1");
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the broker {} said:\n{}", self.name(), self.log());
        }
    }
}

/// Erlang takes none that others may read.
fn write_cookie(file: &Path) {
    use std::io::Write as _;
    let mut cookie = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(file).unwrap();
    cookie.write_all(COOKIE.as_bytes()).unwrap();
}

/// Debian's /usr/sbin has a wrapper that changes the user; this is what it runs.
fn installed(script: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("TILLWATCH_TEST_RABBITMQ") {
        return Path::new(&folder).join(script);
    }
    let direct = Path::new("/usr/lib/rabbitmq/bin").join(script);
    if direct.exists() { direct } else { PathBuf::from(script) }
}
