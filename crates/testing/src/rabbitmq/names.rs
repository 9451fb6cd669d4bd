//! The name server (epmd) of the nodes of one cluster: a child of ours, since one that RabbitMQ starts would outlive it.

use std::process::Command;

use tempfile::TempDir;

use super::STARTED_WITHIN;
use crate::group::Group;
use crate::ports::{free_port, until_listening};

/// Gone when dropped.
#[derive(Debug)]
pub(super) struct Names {
    port: u16,
    _process: Group,
    _folder: TempDir,
}

impl Names {
    pub(super) fn start() -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut epmd = Command::new("epmd");
        epmd.args(["-port", &port.to_string(), "-address", "127.0.0.1"]);
        let process = Group::spawn(epmd, &folder.path().join("epmd.log"));
        until_listening(port, STARTED_WITHIN, || String::from("epmd did not start"));
        Self { port, _process: process, _folder: folder }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}
