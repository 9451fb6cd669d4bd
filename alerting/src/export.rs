//! History to ClickHouse: at least once, in order; a repeated row has the same sorting key and changes nothing.

use std::sync::Arc;
use std::time::Duration;

use clickhouse::{Client, Row};
use payments::UnixMillis;
use runtime::{Lifecycle, SharedClock};
use serde::Serialize;

use crate::engine::DEGRADED;
use crate::observations::Observations;
use crate::state::Phase;
use crate::storage::transitions::Transition;
use crate::storage::{Storage, StorageError};

/// Rows in one insert.
const BATCH_ROWS_MAX: usize = 500;
const INTERVAL: Duration = Duration::from_secs(1);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
const INSERT_TIMEOUT: Duration = Duration::from_secs(10);
/// That alerting runs is said this often.
const BEAT_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
/// Id and slice of the row that says so.
const BEAT: (&str, &str) = ("evaluation", r#"{"alerting":"evaluation"}"#);

/// Why history could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The state file.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// ClickHouse refused or could not be reached.
    #[error("ClickHouse does not take alert_transitions")]
    ClickHouse(#[from] clickhouse::error::Error),
}

/// Sends what waits.
pub struct Exporter {
    /// Where history waits.
    pub storage: Storage,
    /// Where it goes.
    pub client: Client,
    /// Where failures are counted.
    pub observations: Arc<Observations>,
}

#[derive(Debug, Row, Serialize)]
struct TransitionRow<'a> {
    id: &'a str,
    rule: &'a str,
    slice: &'a str,
    incident: String,
    from_state: &'a str,
    to_state: &'a str,
    at: i64,
    severity: &'a str,
    details: &'a str,
    stored_at: i64,
}

impl Exporter {
    /// Exports until the process stops taking new work.
    pub async fn run(self, clock: SharedClock, lifecycle: Lifecycle) {
        let soft = lifecycle.soft().clone();
        let mut beat_at = UnixMillis::default();
        while !soft.is_cancelled() {
            let now = clock.now();
            if (now.0 - beat_at.0).abs() >= BEAT_MS {
                match self.beat(now).await {
                    // Nothing was judged yet: the first judgement is told as soon as it is there.
                    Ok(false) => {}
                    Ok(true) => beat_at = now,
                    Err(error) => {
                        beat_at = now;
                        self.observations.export_failed(&crate::chain(&error));
                    }
                }
            }
            let pause = match self.step(now).await {
                Ok(0) => INTERVAL,
                Ok(_) => Duration::ZERO,
                Err(error) => {
                    self.observations.export_failed(&crate::chain(&error));
                    PAUSE_AFTER_FAILURE
                }
            };
            tokio::select! {
                () = soft.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Sends one batch; returns how many rows it had.
    pub async fn step(&self, now: UnixMillis) -> Result<usize, ExportError> {
        let waiting = self.storage.unexported(BATCH_ROWS_MAX).await?;
        let Some((last, _)) = waiting.last() else { return Ok(0) };
        let rows: Vec<_> = waiting.iter().map(|(_, transition)| row(transition, now)).collect();
        self.insert(&rows).await?;
        self.storage.mark_exported(*last, now).await?;
        Ok(waiting.len())
    }

    /// Says up to when something was judged, for a board: nobody else tells when alerting itself has died. One row an
    /// hour, which is overwritten. Returns whether anything was judged yet.
    pub async fn beat(&self, now: UnixMillis) -> Result<bool, ExportError> {
        let Some(judged_to) = self.storage.watch().await?.sighted_to else { return Ok(false) };
        let details = serde_json::json!({
            "reason": "evaluated", "event_time": judged_to.to_string(), "updated_at": now.to_string(),
        });
        let inactive = Phase::Inactive.name();
        let row = TransitionRow {
            id: BEAT.0,
            rule: DEGRADED,
            slice: BEAT.1,
            incident: String::new(),
            from_state: inactive,
            to_state: inactive,
            at: now.0 - now.0.rem_euclid(HOUR_MS),
            severity: "",
            details: &details.to_string(),
            stored_at: now.0,
        };
        self.insert(&[row]).await?;
        Ok(true)
    }

    async fn insert(&self, rows: &[TransitionRow<'_>]) -> Result<(), clickhouse::error::Error> {
        // The client asks for the table's columns first: all of it has one limit.
        let work = async {
            let mut insert = self.client.insert::<TransitionRow<'_>>("alert_transitions_stored").await?;
            for row in rows {
                insert.write(row).await?;
            }
            insert.end().await
        };
        let timed_out = Err(clickhouse::error::Error::TimedOut);
        tokio::time::timeout(INSERT_TIMEOUT, work).await.unwrap_or(timed_out)
    }
}

fn row(transition: &Transition, now: UnixMillis) -> TransitionRow<'_> {
    let incident = transition.incident_id;
    TransitionRow {
        id: &transition.id,
        rule: &transition.rule_id,
        slice: &transition.slice_key,
        incident: if incident == 0 { String::new() } else { incident.to_string() },
        from_state: &transition.from_state,
        to_state: &transition.to_state,
        at: transition.decided_at.0,
        severity: &transition.severity,
        details: &transition.details,
        stored_at: now.0,
    }
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").field("storage", &self.storage).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use runtime::telemetry::Telemetry;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clickhouse_that_never_answers_is_not_waited_for() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let exporter = Exporter {
            storage: Storage::open(&folder.path().join("alerting.sqlite")).unwrap(),
            client: Client::default().with_url(format!("http://{}", silent.local_addr().unwrap())),
            observations: Arc::new(Observations::new(&Telemetry::for_tests().unwrap().meter("alerting"))),
        };
        let error = exporter.insert(&[]).await.unwrap_err();
        assert!(matches!(error, clickhouse::error::Error::TimedOut), "{error}");
    }
}
