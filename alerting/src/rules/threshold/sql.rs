//! The statements of this type, and their rows.

use clickhouse::Row;
use payments::UnixMillis;
use serde::Deserialize;

use super::{MINUTE_MS, Outcomes, Reading, Shape, Threshold, Window};
use crate::page::MoneyMinute;
use crate::reader::{QueryError, Reader, Sql};
use crate::rules::scope_sql::{among, slice_column};
use crate::slice::Slice;
use crate::stats::Counts;

/// The one answer of an attempt: what every rate counts.
const ANSWERS: &str = "kind = 'authorization' AND outcome IN ('approved', 'declined', 'failed')";

#[derive(Debug, Row, Deserialize)]
struct SampleRow {
    slice: Vec<String>,
    attempts: u64,
    failures: u64,
    quantile_ms: f64,
    usual_attempts: u64,
}

/// One reading per slice, the largest first; one more than `slices_max` when there are more. With `only`, of these
/// slices, however many.
pub(super) async fn samples(
    rule: &Threshold,
    reader: &Reader,
    window: Window,
    only: &[&Slice],
) -> Result<Vec<(Slice, Reading)>, QueryError> {
    let sql = match rule.measure.shape() {
        Shape::Share(outcomes) => share(rule, window, outcomes),
        Shape::Quantile(level) => quantile(rule, window, level),
        Shape::Volume => volume(rule, window),
    };
    let sql = if only.is_empty() { sql } else { among(sql, &rule.scope.by, only) };
    let limit = if only.is_empty() { rule.slices_max.saturating_add(1) } else { only.len() };
    // What is usual counts as well: a slice that has died is as large as it was.
    let sql = sql
        .text("GROUP BY slice ORDER BY")
        .number("greatest(toFloat64(attempts), usual_attempts * ?", rule.window_minutes)
        .number("/ ?) DESC, slice", rule.usual_minutes)
        .number("LIMIT ?", i64::try_from(limit).unwrap_or(i64::MAX));
    let rows: Vec<SampleRow> = reader.rows(sql).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            (
                Slice::new(&rule.scope.by, row.slice),
                Reading {
                    attempts: row.attempts,
                    failures: row.failures,
                    latency_ms: row.quantile_ms,
                    usual_attempts: row.usual_attempts,
                },
            )
        })
        .collect())
}

fn share(rule: &Threshold, window: Window, outcomes: Outcomes) -> Sql {
    let sql = Sql::new("SELECT")
        .text(&slice_column(&rule.scope.by))
        .text("AS slice, count() AS attempts,")
        .text(&format!("countIf({}) AS failures,", bad(rule, outcomes)))
        .text("toFloat64(0) AS quantile_ms, toUInt64(0) AS usual_attempts FROM payment_minutes");
    minutes(rule, sql, window.first, window.last)
}

fn volume(rule: &Threshold, window: Window) -> Sql {
    let reference = UnixMillis(window.first.0 - rule.usual_minutes * MINUTE_MS);
    let sql = Sql::new("SELECT")
        .text(&slice_column(&rule.scope.by))
        .number("AS slice, countIf(minute >= fromUnixTimestamp(?)) AS attempts,", window.first.seconds())
        .text("toUInt64(0) AS failures, toFloat64(0) AS quantile_ms,")
        .number("countIf(minute < fromUnixTimestamp(?)) AS usual_attempts", window.first.seconds())
        .text("FROM payment_minutes");
    minutes(rule, sql, reference, window.last)
}

fn quantile(rule: &Threshold, window: Window, level: f64) -> Sql {
    let sql = Sql::new("SELECT")
        .text(&slice_column(&rule.scope.by))
        .text("AS slice, count() AS attempts, toUInt64(0) AS failures,")
        .text(&format!("{} AS quantile_ms,", quantile_of(level)))
        .text("toUInt64(0) AS usual_attempts FROM payment_minutes");
    minutes(rule, sql, window.first, window.last).text("AND latency_ms IS NOT NULL")
}

/// Exact: a window of minutes is few answers. Without any answer it is 0, not "not a number".
fn quantile_of(level: f64) -> String {
    format!("ifNotFinite(toFloat64(quantileExact({level})(assumeNotNull(latency_ms))), 0)")
}

#[derive(Debug, Row, Deserialize)]
struct MinuteRow {
    minute_s: i64,
    attempts: u64,
    failures: u64,
}

/// Counts of each minute from `first` to `last`, with the empty ones; `failures` is what the rule counts.
pub(super) async fn series(
    rule: &Threshold,
    reader: &Reader,
    slice: &Slice,
    first: UnixMillis,
    last: UnixMillis,
) -> Result<Vec<Counts>, QueryError> {
    let counted = match rule.measure.shape() {
        Shape::Share(outcomes) => bad(rule, outcomes),
        Shape::Quantile(_) | Shape::Volume => "0".to_owned(),
    };
    let sql = Sql::new("SELECT toInt64(toUnixTimestamp(minute)) AS minute_s, count() AS attempts,")
        .text(&format!("countIf({counted}) AS failures FROM payment_minutes"));
    let sql = slice.filter(minutes(rule, sql, first, last)).text("GROUP BY minute_s ORDER BY minute_s");
    Ok(fill(first, last, reader.rows(sql).await?))
}

/// Answers of each minute that tell their latency, `failures` being those slower than `slow_ms`.
pub(super) async fn slow_series(
    rule: &Threshold,
    reader: &Reader,
    slice: &Slice,
    (first, last): (UnixMillis, UnixMillis),
    slow_ms: f64,
) -> Result<Vec<Counts>, QueryError> {
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds; as saturates")]
    let slow_ms = slow_ms as i64;
    let sql = Sql::new("SELECT toInt64(toUnixTimestamp(minute)) AS minute_s, count() AS attempts,")
        .number("countIf(latency_ms > ?) AS failures FROM payment_minutes", slow_ms);
    let sql = minutes(rule, sql, first, last).text("AND latency_ms IS NOT NULL");
    let sql = slice.filter(sql).text("GROUP BY minute_s ORDER BY minute_s");
    Ok(fill(first, last, reader.rows(sql).await?))
}

/// The rule's quantile from minute `first` to minute `last`, and over how many answers.
pub(super) async fn latency(
    rule: &Threshold,
    reader: &Reader,
    slice: &Slice,
    first: UnixMillis,
    last: UnixMillis,
) -> Result<(f64, u64), QueryError> {
    #[derive(Debug, Row, Deserialize)]
    struct LatencyRow {
        ms: f64,
        answers: u64,
    }
    let Shape::Quantile(level) = rule.measure.shape() else { return Ok((0.0, 0)) };
    let sql =
        Sql::new(&format!("SELECT {} AS ms, count() AS answers FROM payment_minutes", quantile_of(level)));
    let sql = slice.filter(minutes(rule, sql, first, last)).text("AND latency_ms IS NOT NULL");
    let rows: Vec<LatencyRow> = reader.rows(sql).await?;
    Ok(rows.first().map_or((0.0, 0), |row| (row.ms, row.answers)))
}

/// Amounts by minute and currency, from minute `first` to minute `last`.
pub(super) async fn money(
    rule: &Threshold,
    reader: &Reader,
    slice: &Slice,
    outcomes: Outcomes,
    (first, last): (UnixMillis, UnixMillis),
) -> Result<Vec<MoneyMinute>, QueryError> {
    #[derive(Debug, Row, Deserialize)]
    struct MoneyRow {
        minute_s: i64,
        code: String,
        failures: u64,
        failed_minor: i64,
        attempted_minor: i64,
    }
    let bad = bad(rule, outcomes);
    let sql = Sql::new("SELECT toInt64(toUnixTimestamp(minute)) AS minute_s, toString(currency) AS code,")
        .text(&format!("countIf({bad}) AS failures, sumIf(amount_minor, {bad}) AS failed_minor,"))
        .text("sum(amount_minor) AS attempted_minor FROM payment_minutes");
    // A fact without an amount has no currency.
    let sql = slice.filter(minutes(rule, sql, first, last)).text("AND currency != ''");
    let rows: Vec<MoneyRow> =
        reader.rows(sql.text("GROUP BY minute_s, code ORDER BY minute_s, code")).await?;
    let minute = |row: MoneyRow| MoneyMinute {
        minute: UnixMillis(row.minute_s * 1000),
        currency: row.code,
        failures: row.failures,
        failed_minor: row.failed_minor,
        attempted_minor: row.attempted_minor,
    };
    Ok(rows.into_iter().map(minute).collect())
}

/// A decline code with its counts before and since the onset.
#[derive(Debug, Row, Deserialize)]
pub(super) struct CodeRow {
    pub(super) category: String,
    pub(super) code: String,
    pub(super) before: u64,
    pub(super) since: u64,
}

/// The most frequent decline codes of the minutes from `from` to `last`, with their counts in the minutes from `first`
/// to before `onset`.
pub(super) async fn codes(
    rule: &Threshold,
    reader: &Reader,
    slice: &Slice,
    outcomes: Outcomes,
    (first, onset): (UnixMillis, UnixMillis),
    (from, last): (UnixMillis, UnixMillis),
) -> Result<Vec<CodeRow>, QueryError> {
    let onset_s = onset.seconds();
    let sql = Sql::new("SELECT toString(decline_category) AS category, toString(decline_code) AS code,")
        .number("countIf(minute < fromUnixTimestamp(?)) AS before,", onset_s)
        .number("countIf(minute >= fromUnixTimestamp(?)) AS since FROM payment_minutes", onset_s);
    let sql = minutes(rule, sql, first, last)
        .number("AND (minute < fromUnixTimestamp(?)", onset_s)
        .number("OR minute >= fromUnixTimestamp(?))", from.seconds());
    let sql = slice.filter(sql).text(&format!("AND {}", bad(rule, outcomes)));
    reader.rows(sql.text("GROUP BY category, code ORDER BY since DESC, category, code LIMIT 20")).await
}

/// Event ids of failures: the two newest, then the one at the onset.
pub(super) async fn sample_ids(
    rule: &Threshold,
    reader: &Reader,
    slice: &Slice,
    outcomes: Outcomes,
    (onset, to): (UnixMillis, UnixMillis),
) -> Result<Vec<String>, QueryError> {
    #[derive(Debug, Row, Deserialize)]
    struct IdRow {
        event_id: String,
    }
    let failures = |order: &str| {
        let sql = events(rule, Sql::new("SELECT event_id FROM payment_events"), onset, to);
        slice.filter(sql).text(&format!("AND {} ORDER BY occurred_at {order}, event_id", bad(rule, outcomes)))
    };
    let newest: Vec<IdRow> = reader.rows(failures("DESC").text("LIMIT 2")).await?;
    let oldest: Vec<IdRow> = reader.rows(failures("ASC").text("LIMIT 1")).await?;
    let mut ids: Vec<String> = newest.into_iter().map(|row| row.event_id).collect();
    ids.extend(oldest.into_iter().map(|row| row.event_id).filter(|id| !ids.contains(id)).collect::<Vec<_>>());
    Ok(ids)
}

/// What the rule counts among the answers, as a condition. All of it is ours: no value from outside.
fn bad(rule: &Threshold, outcomes: Outcomes) -> String {
    let list =
        |names: Vec<&str>| names.into_iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let mut condition = format!("(outcome IN ({outcomes})");
    if !rule.classes.is_empty() {
        let classes = rule.classes.iter().map(|class| class.name()).collect();
        condition.push_str(&format!(" AND decline_class IN ({})", list(classes)));
    }
    if !rule.categories.is_empty() {
        let categories = rule.categories.iter().map(|category| category.name()).collect();
        condition.push_str(&format!(" AND decline_category IN ({})", list(categories)));
    }
    condition + ")"
}

/// Appends the conditions on minutes `first` to `last`.
fn minutes(rule: &Threshold, sql: Sql, first: UnixMillis, last: UnixMillis) -> Sql {
    let sql = sql
        .number("WHERE minute >= fromUnixTimestamp(?)", first.seconds())
        .number("AND minute <= fromUnixTimestamp(?)", last.seconds())
        .text(&format!("AND live AND {ANSWERS}"));
    rule.scope.filter(sql)
}

/// Appends the conditions on facts that occurred in `from..to`.
fn events(rule: &Threshold, sql: Sql, from: UnixMillis, to: UnixMillis) -> Sql {
    let sql = sql
        .number("WHERE occurred_at >= fromUnixTimestamp64Milli(toInt64(?))", from.0)
        .number("AND occurred_at < fromUnixTimestamp64Milli(toInt64(?))", to.0)
        .text(&format!("AND live AND {ANSWERS}"));
    rule.scope.filter(sql)
}

/// One entry per minute from `first` to `last`.
fn fill(first: UnixMillis, last: UnixMillis, rows: Vec<MinuteRow>) -> Vec<Counts> {
    let length = usize::try_from((last.0 - first.0) / MINUTE_MS + 1).unwrap_or(0);
    let mut filled = vec![Counts::default(); length];
    for row in rows {
        let index = usize::try_from((row.minute_s * 1000 - first.0) / MINUTE_MS).unwrap_or(usize::MAX);
        if let Some(slot) = filled.get_mut(index) {
            *slot = Counts { attempts: row.attempts, failures: row.failures };
        }
    }
    filled
}
