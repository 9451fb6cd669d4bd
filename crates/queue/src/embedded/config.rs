//! The log's settings.

use super::format::{HEADER_BYTES, record_bytes};
use crate::OpenError;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const MIB: u64 = 1024 * 1024;

/// Settings of the embedded log. Writer and reader of one directory may be given the same.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The log's own directory; created where missing.
    pub dir: PathBuf,
    /// Bytes of a segment, allocated at once; at most 4 GiB. Space comes back in segments.
    pub segment_bytes: u64,
    /// Bytes the log may take on disk, in whole segments and with what is being given back of consumed ones;
    /// at least two segments. What is set aside
    /// after damage is not counted: it is at most one segment more.
    pub bytes_max: u64,
    /// Bytes a record's payload may have.
    pub record_bytes_max: usize,
    /// Payload bytes that may wait for the disk.
    pub in_flight_bytes_max: usize,
    /// Records that may wait for the disk.
    pub in_flight_records_max: usize,
    /// Who publishes has an answer after this time, or a quarter more, whatever the disk does.
    pub answer_timeout: Duration,
    /// Told of every commit; for histograms.
    pub observer: Option<Arc<dyn CommitObserver>>,
}

impl LogConfig {
    /// The defaults: segments of 64 MiB, 8 GiB in all, records up to 8 MiB, 64 MiB or 16,384
    /// records in flight, answers within 5 s.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 64 * MIB,
            bytes_max: 8 * 1024 * MIB,
            record_bytes_max: 8 * 1024 * 1024,
            in_flight_bytes_max: 64 * 1024 * 1024,
            in_flight_records_max: 16_384,
            answer_timeout: Duration::from_secs(5),
            observer: None,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), OpenError> {
        let segment_bytes_min = HEADER_BYTES + record_bytes(self.record_bytes_max) as u64;
        let checks = [
            (
                "segment_bytes",
                self.segment_bytes,
                self.segment_bytes >= segment_bytes_min,
                format!("at least {segment_bytes_min}, to hold a record of record_bytes_max"),
            ),
            (
                "segment_bytes",
                self.segment_bytes,
                u32::try_from(self.segment_bytes).is_ok(),
                "less than 4 GiB".to_owned(),
            ),
            (
                "bytes_max",
                self.bytes_max,
                self.bytes_max / 2 >= self.segment_bytes,
                format!("at least twice segment_bytes, {}", self.segment_bytes.saturating_mul(2)),
            ),
            (
                "in_flight_bytes_max",
                self.in_flight_bytes_max as u64,
                self.in_flight_bytes_max >= self.record_bytes_max,
                format!("at least record_bytes_max, {}", self.record_bytes_max),
            ),
            (
                "in_flight_records_max",
                self.in_flight_records_max as u64,
                self.in_flight_records_max >= 1,
                "at least 1".to_owned(),
            ),
            (
                "answer_timeout",
                u64::try_from(self.answer_timeout.as_millis()).unwrap_or(u64::MAX),
                self.answer_timeout >= Duration::from_millis(1),
                "at least 1 ms".to_owned(),
            ),
        ];
        for (setting, value, holds, requirement) in checks {
            if !holds {
                return Err(OpenError::Config { dir: self.dir.clone(), setting, value, requirement });
            }
        }
        Ok(())
    }
}

/// One group commit that reached the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Records made durable together.
    pub records: usize,
    /// Bytes written, headers included.
    pub bytes: usize,
    /// From the start of the write to the end of the sync.
    pub duration: Duration,
}

/// Is told of every commit, on the writing thread: it must return at once.
pub trait CommitObserver: Debug + Send + Sync {
    /// A commit reached the disk.
    fn committed(&self, commit: &Commit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        LogConfig::new("somewhere").validate().unwrap();
    }

    #[test]
    fn each_impossible_setting_is_named_with_what_it_must_be() {
        type Spoil = fn(&mut LogConfig);
        let spoil: [(&str, Spoil); 6] = [
            ("segment_bytes", |config| config.segment_bytes = 4096),
            ("segment_bytes", |config| config.segment_bytes = 5 * 1024 * MIB),
            ("bytes_max", |config| config.bytes_max = 100 * MIB),
            ("in_flight_bytes_max", |config| config.in_flight_bytes_max = 1),
            ("in_flight_records_max", |config| config.in_flight_records_max = 0),
            ("answer_timeout", |config| config.answer_timeout = Duration::ZERO),
        ];
        for (setting, spoil) in spoil {
            let mut config = LogConfig::new("somewhere");
            spoil(&mut config);
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(setting) && message.contains("somewhere"), "{message}");
        }
    }
}
