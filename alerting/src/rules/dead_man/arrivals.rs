//! The statement of this type, and its rows.

use clickhouse::Row;
use payments::UnixMillis;
use serde::Deserialize;

use super::{DeadMan, LOOK_BACK_MS, SLICES_MAX};
use crate::reader::{QueryError, Reader, Sql};
use crate::rules::scope_sql::{among, slice_column};
use crate::slice::{Dimension, Slice};

/// Arrivals of one slice, by minute.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Arrivals {
    pub(super) minutes: Vec<(UnixMillis, u64)>,
    pub(super) last_at: UnixMillis,
}

impl DeadMan {
    /// Requests are counted in `webhooks`, whatever became of them; cuts that only facts have, in `payment_events`. The
    /// slices with the most arrivals, one more than are looked at when there are more; or these in `only`.
    pub(super) async fn arrivals(
        &self,
        reader: &Reader,
        complete_to: UnixMillis,
        only: &[&Slice],
    ) -> Result<Vec<(Slice, Arrivals)>, QueryError> {
        #[derive(Debug, Row, Deserialize)]
        struct ArrivalsRow {
            slice: Vec<String>,
            minutes: Vec<(i64, u64)>,
            last_ms: i64,
        }
        let (count, table, live) = if self.is_of_requests() {
            ("count()", "webhooks", "")
        } else {
            ("uniqExact(webhook_id)", "payment_events", "AND live")
        };
        let from = complete_to.0 - self.silence_ms - self.reference_ms - LOOK_BACK_MS;
        let sql =
            Sql::new("SELECT slice, groupArray((minute_s, arrived)) AS minutes, max(newest_ms) AS last_ms")
                .text("FROM (SELECT")
                .text(&slice_column(&self.scope.by))
                .text("AS slice, toInt64(toUnixTimestamp(toStartOfMinute(received_at))) AS minute_s,")
                .text(&format!("{count} AS arrived, toUnixTimestamp64Milli(max(received_at)) AS newest_ms"))
                .number(
                    &format!("FROM {table} WHERE received_at >= fromUnixTimestamp64Milli(toInt64(?))"),
                    from,
                )
                .text(live);
        let sql = self.scope.filter(sql);
        let sql = if only.is_empty() { sql } else { among(sql, &self.scope.by, only) };
        let limit = if only.is_empty() { SLICES_MAX.saturating_add(1) } else { only.len() };
        let sql = sql
            .text("GROUP BY slice, minute_s) GROUP BY slice ORDER BY sum(arrived) DESC, slice")
            .number("LIMIT ?", i64::try_from(limit).unwrap_or(i64::MAX));
        let rows: Vec<ArrivalsRow> = reader.rows(sql).await?;
        let arrivals = |row: ArrivalsRow| {
            let minutes =
                row.minutes.into_iter().map(|(minute_s, count)| (UnixMillis(minute_s * 1000), count));
            let arrivals = Arrivals { minutes: minutes.collect(), last_at: UnixMillis(row.last_ms) };
            (Slice::new(&self.scope.by, row.slice), arrivals)
        };
        Ok(rows.into_iter().map(arrivals).collect())
    }

    fn is_of_requests(&self) -> bool {
        let scope = &self.scope;
        let mut used = scope.by.iter().chain(scope.only.keys()).chain(scope.not.keys());
        used.all(|dimension| matches!(dimension, Dimension::Source | Dimension::Provider))
    }
}
