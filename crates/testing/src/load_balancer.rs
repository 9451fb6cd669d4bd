//! A real load balancer (HAProxy) before several ingest processes: it asks each whether it is ready, and never sends a
//! request a second time, so that what a process does wrong is seen.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::group::Group;
use crate::ports::{free_port, until_listening};

const STARTED_WITHIN: Duration = Duration::from_secs(30);

/// One process behind it.
#[derive(Clone, Copy, Debug)]
pub struct Backend {
    /// Where it takes webhooks.
    pub port: u16,
    /// Where it says whether it is ready.
    pub admin: u16,
}

/// Gone when dropped.
#[derive(Debug)]
pub struct LoadBalancer {
    port: u16,
    statistics: u16,
    _process: Group,
    _folder: TempDir,
}

impl LoadBalancer {
    /// Asks every backend ten times a second.
    pub fn before(backends: &[Backend]) -> Self {
        let (folder, port, statistics) = (tempfile::tempdir().unwrap(), free_port(), free_port());
        let server = |(index, backend): (usize, &Backend)| {
            format!(
                "  server ingest{index} 127.0.0.1:{} check port {} inter 100ms fall 1 rise 1\n",
                backend.port, backend.admin
            )
        };
        let servers = backends.iter().enumerate().map(server).collect::<Vec<_>>().concat();
        let config = format!(
            "defaults\n  mode http\n  retries 0\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
             \x20 timeout check 5s\n\
             listen webhooks\n  bind 127.0.0.1:{port}\n  balance roundrobin\n\
             \x20 option httpchk GET /ready/ingest\n{servers}\
             listen statistics\n  bind 127.0.0.1:{statistics}\n  stats enable\n  stats uri /\n"
        );
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-f").arg(&file);
        let log = folder.path().join("haproxy.log");
        let process = Group::spawn(command, &log);
        until_listening(port, STARTED_WITHIN, || std::fs::read_to_string(&log).unwrap_or_default());
        Self { port, statistics, _process: process, _folder: folder }
    }

    /// Where it tells, as CSV, which backends it sends to: those whose line says `UP`.
    pub fn statistics(&self) -> String {
        format!("http://127.0.0.1:{}/;csv", self.statistics)
    }

    /// Where webhooks are posted to.
    pub fn port(&self) -> u16 {
        self.port
    }
}
