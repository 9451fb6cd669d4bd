//! Starts the real binary with its own folder and ports, and asks it things.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use payments::signature::{HmacKey, encode_base64};
use runtime::{Clock as _, Config, SystemClock};
use simulator::{SimulatedSource, Target};
use tempfile::TempDir;
pub(crate) use testing::{DEADLINE, eventually as until, eventually_within as until_within, free_port};

/// One installation: a folder with configuration, secrets, rules and data, and the ports it uses.
pub(crate) struct Installation {
    folder: TempDir,
    pub(crate) ingest: u16,
    pub(crate) admin: u16,
    pub(crate) clickhouse: u16,
}

/// A running `tillwatch serve`; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) log: PathBuf,
}

impl Installation {
    /// An installation whose sources are those of the demo; `more` is added to its configuration.
    pub(crate) fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (ingest, admin, clickhouse) = (free_port(), free_port(), free_port());
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
        copy_folder(&demo.join("secrets"), &folder.path().join("secrets"));
        std::fs::create_dir(folder.path().join("rules")).unwrap();
        let text = std::fs::read_to_string(demo.join("tillwatch.toml")).unwrap();
        let text = text.replace("rules = \"../rules/\"", "rules = \"rules/\"");
        let ports = format!(
            "[ingest]\nlisten = \"127.0.0.1:{ingest}\"\nheartbeat_interval_ms = 500\n\n\
             [admin]\nlisten = \"127.0.0.1:{admin}\"\n\n\
             [store]\nlisten = \"127.0.0.1:{clickhouse}\"\n\n"
        );
        std::fs::write(folder.path().join("tillwatch.toml"), format!("{text}\n{ports}\n{more}")).unwrap();
        Self { folder, ingest, admin, clickhouse }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a rule file.
    pub(crate) fn rule(&self, name: &str, text: &str) {
        std::fs::write(self.path("rules").join(name), text).unwrap();
    }

    /// The binary with this installation's configuration and data. The folder is named as people name it: from where
    /// they stand.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tillwatch"));
        command
            .args(arguments)
            .args(["--config".as_ref(), self.path("tillwatch.toml").as_os_str()])
            .args(["--data-dir", "./data"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Starts `serve`; its log goes to a file that a failing test shows.
    pub(crate) fn serve(&self) -> Server {
        self.start("serve", &[])
    }

    /// Starts a command with more environment variables.
    pub(crate) fn start(&self, command: &str, env: &[(&str, &str)]) -> Server {
        self.spawn(self.command(&command.split(' ').collect::<Vec<_>>()), env)
    }

    /// The same on a data directory of its own that is a disk of so many bytes. A file takes three quarters of it until
    /// [`Server::lighten`].
    pub(crate) fn start_on_small_disk(&self, command: &str, env: &[(&str, &str)], disk_bytes: u64) -> Server {
        std::fs::create_dir_all(self.path("data")).unwrap();
        let script = "mount -t tmpfs -o size=$1 tmpfs data && head -c $(($1 / 4 * 3)) /dev/zero > data/ballast \
                      && shift && exec \"$@\"";
        let inner = self.command(&command.split(' ').collect::<Vec<_>>());
        let mut outer = Command::new("unshare");
        outer.args(["--mount", "--map-root-user", "sh", "-c", script, "sh", &disk_bytes.to_string()]);
        outer.arg(inner.get_program()).args(inner.get_args()).current_dir(self.folder.path());
        self.spawn(outer, env)
    }

    fn spawn(&self, mut command: Command, env: &[(&str, &str)]) -> Server {
        let log = self.path("serve.log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .env("TILLWATCH_TELEMETRY__LOG_FORMAT", "json")
            .env("TILLWATCH_ALERTING__EVALUATION_INTERVAL_MS", "300")
            .envs(env.iter().copied())
            .stderr(file.try_clone().unwrap())
            .stdout(file)
            .spawn()
            .unwrap();
        Server { child, log }
    }

    /// Starts `serve` and waits until every part is ready.
    pub(crate) async fn serve_ready(&self) -> Server {
        let mut server = self.serve();
        self.until_ready(&mut server, "").await;
        server
    }

    /// Waits until `part` (`/ingest`, or nothing for all of them) is ready.
    pub(crate) async fn until_ready(&self, server: &mut Server, part: &str) {
        until("the server is ready", async || {
            server.assert_alive();
            self.admin(&format!("/ready{part}")).await.is_some_and(|(status, _)| status == 200)
        })
        .await;
    }

    /// What the admin port answers, if it does.
    pub(crate) async fn admin(&self, path: &str) -> Option<(u16, String)> {
        let client = reqwest::Client::builder().build().unwrap();
        let reply = client.get(format!("http://127.0.0.1:{}{path}", self.admin)).send().await.ok()?;
        Some((reply.status().as_u16(), reply.text().await.ok()?))
    }

    /// Asks ClickHouse; the answer's text without its last newline, or the error's.
    pub(crate) async fn ask(&self, sql: &str) -> Result<String, String> {
        let url = format!("http://127.0.0.1:{}/", self.clickhouse);
        let client = reqwest::Client::builder().build().unwrap();
        let reply = client.post(url).body(sql.to_owned()).send().await.map_err(|error| error.to_string())?;
        let status = reply.status();
        let text = reply.text().await.map_err(|error| error.to_string())?;
        if status == 200 { Ok(text.trim_end().to_owned()) } else { Err(text) }
    }
}

impl Installation {
    /// The headers that make `body` a genuine webhook of the canonical source `shop`, signed now.
    pub(crate) fn signature(&self, id: &str, body: &str) -> [(&'static str, String); 3] {
        let secret = std::fs::read_to_string(self.path("secrets/shop")).unwrap();
        let key = HmacKey::from_base64(secret.trim().trim_start_matches("whsec_")).unwrap();
        let now = SystemClock.now().seconds().to_string();
        let parts = [id.as_bytes(), b".", now.as_bytes(), b".", body.as_bytes()];
        let signature = format!("v1,{}", encode_base64(&key.sign(&parts)));
        [("webhook-id", id.to_owned()), ("webhook-timestamp", now), ("webhook-signature", signature)]
    }

    /// Posts `body` to the canonical source `shop`, genuinely signed now; the status of the answer.
    pub(crate) async fn post_canonical(&self, id: &str, body: &str, headers: &[(&str, &str)]) -> u16 {
        let client = reqwest::Client::builder().build().unwrap();
        let mut request = client.post(format!("http://127.0.0.1:{}/webhooks/shop", self.ingest));
        for (name, value) in self.signature(id, body) {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body.to_owned()).send().await.unwrap().status().as_u16()
    }
}

impl Installation {
    /// The configured sources, for the simulator.
    pub(crate) fn sources(&self) -> Vec<SimulatedSource> {
        let file = self.path("tillwatch.toml");
        let config = Config::load(&file, &self.path("data"), std::iter::empty()).unwrap();
        let simulated = config.sources.iter().map(|source| SimulatedSource {
            name: source.name.clone(),
            provider: source.provider,
            secret: source.secrets[0].resolve(&config.folder()).unwrap(),
            settings: source.settings(),
        });
        simulated.collect()
    }

    /// Where the simulator posts to.
    pub(crate) fn target(&self) -> Target {
        Target::parse(&format!("http://127.0.0.1:{}", self.ingest)).unwrap()
    }
}

impl Server {
    /// Panics with the log's end if the process has ended.
    pub(crate) fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("serve ended with {status}; its log:\n{}", self.log_end());
        }
    }

    pub(crate) fn log_end(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Gives a process [on a small disk](Installation::start_on_small_disk) the rest of it.
    pub(crate) fn lighten(&self) {
        // Its disk is seen by itself alone, and through this.
        std::fs::remove_file(format!("/proc/{}/cwd/data/ballast", self.child.id())).unwrap();
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the exit code of the drained process.
    pub(crate) async fn terminate(mut self) -> i32 {
        self.signal("-TERM");
        self.exit_code().await
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end of the process.
    pub(crate) async fn exit_code(&mut self) -> i32 {
        let mut code = None;
        until("serve ends", async || {
            code = self.child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1));
            code.is_some()
        })
        .await;
        code.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the end of the server's log:\n{}", self.log_end());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
