//! Its own telemetry, received by a real OpenTelemetry collector (`rotel`, from PyPI).

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{Installation, free_port, until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A collector that writes what it receives to a file; killed when dropped.
struct Collector {
    child: Child,
    output: PathBuf,
}

impl Collector {
    fn start(folder: &Path, http: u16) -> Self {
        let output = folder.join("collector.log");
        let file = std::fs::File::create(&output).unwrap();
        let child = Command::new("python3")
            .args(["-c", "import os,rotel,sys; os.execv(os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent'), ['rotel'] + sys.argv[1:])"])
            .args(["start", "--exporter", "blackhole"])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{}", free_port())])
            .args(["--debug-log", "traces", "--debug-log", "metrics", "--debug-log-verbosity", "detailed"])
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .stdin(Stdio::null())
            .spawn()
            .expect("python3 with the package `rotel` (scripts/tools installs it)");
        Self { child, output }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn one_trace_follows_a_webhook_from_its_arrival_to_its_rows() {
    let http = free_port();
    let installation = Installation::new(&format!(
        "[telemetry]\notlp_endpoint = \"http://127.0.0.1:{http}\"\nmetrics_interval_ms = 500\ntrace_ratio = 0.0\n"
    ));
    let collector = Collector::start(&installation.path("."), http);
    let _server = installation.serve_ready().await;
    let body = r#"{"event_id":"e-1","kind":"authorization","outcome":"approved","occurred_at":"2026-11-22T03:07:00Z"}"#;
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    assert_eq!(installation.post_canonical("m-1", body, &[("traceparent", &traceparent)]).await, 200);
    until("the collector has the whole trace and the metrics", async || {
        let text = collector.text();
        ["ingest webhook", "queue", "normalize", "insert"].iter().all(|span| has_span(&text, span))
            && text.contains("tillwatch_ingest_requests")
            && text.contains("tillwatch_processor_messages")
    })
    .await;
}

/// Whether a span of this name belongs to the sender's trace.
fn has_span(text: &str, name: &str) -> bool {
    text.split("Span #").any(|span| {
        let field = |key: &str| {
            span.lines()
                .find_map(|line| line.trim().strip_prefix(key))
                .map(|rest| rest.trim().trim_start_matches(':').trim())
        };
        field("Trace ID") == Some(TRACE) && field("Name") == Some(name)
    })
}
