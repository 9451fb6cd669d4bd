//! A process and its descendants, which end with it.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

/// Killed when dropped, all of it, as `kill -9` does.
#[derive(Debug)]
pub(crate) struct Group(Child);

impl Group {
    /// Starts `command`; what it says goes to the file `log`.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; `make tools` installs it")))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        // It fails only if the group is gone.
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}
