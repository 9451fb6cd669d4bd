//! How far the data are complete. Every ingest process sends heartbeats through the same queue as its webhooks: when
//! one is stored, everything that arrived at that process before it is stored too.

use clickhouse::Row;
use payments::UnixMillis;
use serde::Deserialize;

use crate::reader::{QueryError, Reader, Sql};

/// Heartbeats older than this belong to processes long gone.
const LOOK_BACK_MS: i64 = 24 * 3_600_000;
/// Two clocks differ by a little; by more than this, one of them is wrong.
const AHEAD_MS: i64 = 5_000;

/// How current the data are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watermark {
    /// Complete up to here.
    Fresh(UnixMillis),
    /// Complete up to here, which is too long ago.
    Stale(UnixMillis),
    /// There was no heartbeat within a day.
    Unknown,
}

#[derive(Debug, Row, Deserialize)]
struct BeatRow {
    ingest: String,
    newest_ms: i64,
    ahead_ms: i64,
}

/// Reads the newest heartbeat of every ingest process. Also returns the processes whose clock is ahead.
pub(super) async fn read(
    reader: &Reader,
    now: UnixMillis,
    stale_after_ms: i64,
) -> Result<(Watermark, Vec<String>), QueryError> {
    // A heartbeat cannot have been sent after it was stored: where it says so, the time of storing is all that is known.
    let sql = Sql::new("SELECT toString(instance) AS ingest,")
        .text("toUnixTimestamp64Milli(max(least(sent_at, stored_at))) AS newest_ms,")
        .text("toUnixTimestamp64Milli(argMax(sent_at, stored_at)) - toUnixTimestamp64Milli(max(stored_at)) AS ahead_ms")
        .number(
            "FROM heartbeats WHERE sent_at >= fromUnixTimestamp64Milli(toInt64(?)) GROUP BY ingest ORDER BY ingest",
            now.0 - LOOK_BACK_MS,
        );
    let rows: Vec<BeatRow> = reader.rows(sql).await?;
    let newest: Vec<UnixMillis> = rows.iter().map(|row| UnixMillis(row.newest_ms)).collect();
    let live = rows.into_iter().filter(|row| is_live(UnixMillis(row.newest_ms), now, stale_after_ms));
    let ahead =
        live.filter(|row| row.ahead_ms > AHEAD_MS).map(|row| crate::page::outside(&row.ingest)).collect();
    Ok((watermark(&newest, now, stale_after_ms), ahead))
}

/// A process that has been silent for twice the stale time is taken to be gone: it holds the others back until then,
/// because its webhooks may still be on their way, and no longer, because processes are replaced.
fn is_live(newest: UnixMillis, now: UnixMillis, stale_after_ms: i64) -> bool {
    now.0 - newest.0 <= stale_after_ms.saturating_mul(2)
}

/// The watermark from each process's newest heartbeat.
fn watermark(newest: &[UnixMillis], now: UnixMillis, stale_after_ms: i64) -> Watermark {
    let live = newest.iter().filter(|beat| is_live(**beat, now, stale_after_ms)).min();
    let Some(complete_to) = live.or_else(|| newest.iter().max()) else { return Watermark::Unknown };
    // Clocks differ by a little: nothing is complete beyond now.
    let complete_to = (*complete_to).min(now);
    if now.0 - complete_to.0 > stale_after_ms {
        Watermark::Stale(complete_to)
    } else {
        Watermark::Fresh(complete_to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(beats: &[i64]) -> Watermark {
        let beats: Vec<UnixMillis> = beats.iter().map(|age_s| UnixMillis(1_000_000 - age_s * 1000)).collect();
        watermark(&beats, UnixMillis(1_000_000), 60_000)
    }

    #[test]
    fn the_slowest_live_process_decides() {
        assert_eq!(at(&[2, 12]), Watermark::Fresh(UnixMillis(988_000)));
    }

    #[test]
    fn a_silent_process_first_holds_the_others_back_and_then_is_gone() {
        assert_eq!(at(&[2, 90]), Watermark::Stale(UnixMillis(910_000)));
        assert_eq!(at(&[2, 121]), Watermark::Fresh(UnixMillis(998_000)));
    }

    #[test]
    fn without_any_recent_heartbeat_the_data_are_stale_and_without_any_unknown() {
        assert_eq!(at(&[300, 900]), Watermark::Stale(UnixMillis(700_000)));
        assert_eq!(at(&[]), Watermark::Unknown);
        assert_eq!(at(&[-3]), Watermark::Fresh(UnixMillis(1_000_000)), "clocks differ by a little");
    }
}
