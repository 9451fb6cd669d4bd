//! How much processor time a process has used: the steady figure on machines whose clock rate and neighbours vary.

use std::time::Duration;

/// The kernel counts in ticks of USER_HZ, which is 100 a second on every platform Rust's Linux targets run on
/// (proc(5), `utime`).
const TICK: Duration = Duration::from_millis(10);

/// User and system time of process `pid`, threads that have ended included; `None` if it is gone, or there is no
/// `/proc`.
pub fn process_cpu(pid: u32) -> Option<Duration> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// User and system time of this process.
pub(super) fn own_cpu() -> Option<Duration> {
    process_cpu(std::process::id())
}

/// Fields 14 and 15 of proc(5)'s stat. The second field is a name in parentheses and may hold anything, so fields are
/// counted from its end.
fn parse_stat(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * user.checked_add(system)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 5 1 1 1";
        assert_eq!(parse_stat(stat), Some(Duration::from_secs(3)));
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_processor_time_and_no_process_uses_none() {
        let before = own_cpu().unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while own_cpu().unwrap() == before {
            assert!(std::time::Instant::now() < deadline, "spinning is not counted");
        }
        assert_eq!(process_cpu(u32::MAX), None);
    }
}
