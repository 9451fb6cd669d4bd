//! Processes of the same build, their configuration, and what they tell.

use std::io::BufRead as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use payments::{Provider, Secret};
use simulator::SimulatedSource;
use testing::rabbitmq::Node;

const SECRET: &str = "whsec_measured";
/// So that every lane has its share.
const SOURCES: usize = 8;

/// Killed when dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn spawn(mut command: Command, node: &Node, queue: &str) -> Self {
        command.env("AMQP_URL", node.url("guest:guest")).env("QUEUE", queue).env("SECRET", SECRET);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn processor_time(&self) -> Duration {
        simulator::load::process_cpu(self.0.id()).unwrap()
    }

    /// What it prints; once.
    pub(crate) fn lines(&mut self) -> impl Iterator<Item = String> + Send + use<> {
        std::io::BufReader::new(self.0.stdout.take().unwrap()).lines().map_while(Result::ok)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Ours, with the configuration of [`write_config`].
pub(crate) fn tillwatch(command: &str, folder: &Path) -> Command {
    let here = std::env::current_exe().unwrap();
    let mut tillwatch = Command::new(here.parent().and_then(Path::parent).unwrap().join("tillwatch"));
    tillwatch.args(command.split(' ')).arg("--config").arg(folder.join("tillwatch.toml"));
    tillwatch.arg("--data-dir").arg(folder.join("data"));
    tillwatch
}

/// `more`, an admin port, the broker's queue and several sources of one provider.
pub(crate) fn write_config(folder: &Path, more: &str, admin: u16, queue: &str) {
    let source = |index| {
        format!(
            "[[sources]]\nname = \"stripe-{index}\"\nprovider = \"stripe\"\nsecrets = [{{ env = \"SECRET\" }}]\n"
        )
    };
    let sources = (0..SOURCES).map(source).collect::<Vec<_>>().concat();
    let admin = format!("[admin]\nlisten = \"127.0.0.1:{admin}\"\n");
    let queue = format!("[queue]\nurl = {{ env = \"AMQP_URL\" }}\nname = \"{queue}\"\n");
    std::fs::write(folder.join("tillwatch.toml"), [more, &admin, &queue, &sources].concat()).unwrap();
}

/// The same sources, for the generator.
pub(crate) fn sources() -> Vec<SimulatedSource> {
    let source = |index| SimulatedSource {
        name: format!("stripe-{index}"),
        provider: Provider::Stripe,
        secret: Secret::new(SECRET),
        settings: payments::SourceSettings::default(),
    };
    (0..SOURCES).map(source).collect()
}

/// What a process tells, once it is ready.
pub(crate) async fn metrics(admin: u16) -> Option<String> {
    let client = reqwest::Client::builder().build().unwrap();
    let ready = client.get(format!("http://127.0.0.1:{admin}/ready")).send().await.ok()?;
    let metrics = client.get(format!("http://127.0.0.1:{admin}/metrics")).send().await.ok()?;
    if ready.status() == 200 { metrics.text().await.ok() } else { None }
}

/// The sum of a metric.
pub(crate) fn figure(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Microseconds between two looks at the same clock.
pub(crate) fn us_since(before: Duration, now: Duration) -> f64 {
    (now.as_secs_f64() - before.as_secs_f64()) * 1e6
}
