//! A process and its descendants, which end with it.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// The kernel counts processor time in ticks of USER_HZ, 100 a second (proc(5), `utime`).
const TICK_MS: u64 = 10;

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

impl Group {
    /// Processor time that all of it has spent so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let group = self.0.id().to_string();
        let ticks: u64 = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
                // After the name, which may hold anything: state, parent, group, … and from the twelfth on user and system.
                let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
                let spent = |field: usize| fields.get(field)?.parse::<u64>().ok();
                if *fields.get(2)? == group { Some(spent(11)? + spent(12)?) } else { None }
            })
            .sum();
        Duration::from_millis(ticks * TICK_MS)
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
