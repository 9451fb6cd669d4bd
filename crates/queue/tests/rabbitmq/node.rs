//! A private RabbitMQ node: on free ports, in a folder of its own, gone with the test. Its name server (epmd) too is a
//! child of ours: one that RabbitMQ starts would outlive it.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lapin::{Connection, ConnectionProperties};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// Two processors under all the other tests.
const STARTED_WITHIN: Duration = Duration::from_secs(120);

pub(crate) struct Node {
    port: u16,
    folder: TempDir,
    // In the order they end.
    broker: Group,
    _epmd: Group,
}

/// A process and its descendants, which end with it.
struct Group(Child);

impl Node {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [port, distribution, names] = free_ports();
        let mut epmd = Command::new("epmd");
        epmd.args(["-port", &names.to_string(), "-address", "127.0.0.1"]);
        let epmd = Group::spawn(epmd, &folder.path().join("epmd.log"));
        wait_for_port(names, || String::from("epmd did not start"));
        let conf = format!("listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\nlog.file = false\n");
        std::fs::write(folder.path().join("rabbitmq.conf"), conf).unwrap();
        std::fs::write(folder.path().join("enabled_plugins"), "[].").unwrap();
        let broker =
            Group::spawn(broker(folder.path(), port, distribution, names), &folder.path().join("broker.log"));
        let node = Self { port, folder, broker, _epmd: epmd };
        wait_for_port(port, || node.log());
        node
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::connect(&self.url("guest:guest"), ConnectionProperties::default()).await.unwrap()
    }

    fn url(&self, user: &str) -> String {
        format!("amqp://{user}@127.0.0.1:{}/%2f", self.port)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("broker.log")).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the broker (process {}) said:\n{}", self.broker.0.id(), self.log());
        }
    }
}

fn broker(folder: &Path, port: u16, distribution: u16, names: u16) -> Command {
    // Debian's /usr/sbin has a wrapper that changes the user; this is what it runs.
    let direct = Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
    let mut command = Command::new(if direct.exists() { direct } else { Path::new("rabbitmq-server") });
    command
        .env("HOME", folder)
        .env("RABBITMQ_NODENAME", format!("node-{port}@localhost"))
        .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
        .env("RABBITMQ_LOG_BASE", folder.join("log"))
        .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
        .env("RABBITMQ_DIST_PORT", distribution.to_string())
        .env("ERL_EPMD_PORT", names.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1");
    command
}

impl Group {
    fn spawn(mut command: Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; `make tools` installs it")))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Taken together, so that they differ.
fn free_ports<const N: usize>() -> [u16; N] {
    let taken = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    taken.map(|listener| listener.local_addr().unwrap().port())
}

fn wait_for_port(port: u16, log: impl Fn() -> String) {
    let deadline = Instant::now() + STARTED_WITHIN;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < deadline, "nothing listens on port {port}: {}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
}
