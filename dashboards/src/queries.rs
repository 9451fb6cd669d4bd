//! Everything the board asks the store: all of its SQL. The row types and what becomes of them stand in `rows` and `incidents`.
//! Tables: `docs/tables.md`.
//!
//! `payment_minutes` has one row per fact, however often it was stored, so that counting rows is right. Values travel
//! as parameters and never become part of a statement.

mod incidents;
mod rows;

use std::time::Duration;

use clickhouse::query::Query;
use clickhouse::{Client, Row, RowOwned, RowRead};
use payments::UnixMillis;
use tokio::sync::Semaphore;

use crate::freshness::Span;
use crate::model::{Alerts, Completeness, DeclineCode, History, Instance, Issuer, Judged, Period};
use crate::window::Window;

pub(crate) use rows::{ArrivalMinute, Parked, SourceArrivals, arrivals};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// What is usual is an hour; the rest is "now" and the running minute.
const RECENT_MS: i64 = HOUR_MS + 10 * MINUTE_MS;

/// How long a webhook may be on its way before it is missing.
const SETTLE_MS: i64 = 15 * MINUTE_MS;

/// An answer that takes longer is not waited for.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Questions at once: the store's other users need a place too.
const AT_ONCE: usize = 3;
/// Codes and issuers listed.
const LISTED_MAX: usize = 8;
/// An issuer is listed from this many attempts on: of two attempts anything may fail.
const ISSUER_ATTEMPTS_MIN: u64 = 10;
/// An incident that nothing was heard of for longer is forgotten.
const INCIDENT_KEPT_MS: i64 = 7 * DAY_MS;

/// The one answer of an attempt: what every rate counts, as far as it is live.
const IS_ANSWER: &str = "kind = 'authorization' AND outcome IN ('approved', 'declined', 'failed')";
const COUNTS: &str = "countIf(outcome = 'approved') AS approved, countIf(outcome = 'declined') AS declined, \
                      countIf(outcome = 'failed') AS failed";
const ARRIVALS: &str = "SELECT toString(source) AS source_name, toString(any(provider)) AS provider_name, \
                        toInt64(toUnixTimestamp(toStartOfMinute(received_at))) AS minute_s, count() AS webhooks, \
                        toUnixTimestamp64Milli(max(received_at)) AS last_ms FROM webhooks \
                        WHERE received_at >= fromUnixTimestamp64Milli({from:Int64})";

/// A question the store did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("the store could not answer")]
    Store(#[source] clickhouse::error::Error),
    #[error("the store did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("the other questions took the store so long that this one was given up")]
    GivenUp,
    #[error("the store could not answer a moment ago: {0}")]
    Earlier(String),
}

impl QueryError {
    /// For the page: what is wrong, without the store's inner words.
    pub(crate) fn in_short(&self) -> String {
        match self {
            Self::Timeout(after) => format!("no answer within {} s", after.as_secs()),
            Self::GivenUp => "the store is slow, and time ran out".to_owned(),
            Self::Earlier(failure) => failure.clone(),
            Self::Store(clickhouse::error::Error::Network(_)) => "it cannot be reached".to_owned(),
            Self::Store(clickhouse::error::Error::BadResponse(_)) => {
                "the query was refused; the log says why".to_owned()
            }
            Self::Store(_) => "the answer was not understood; the log says why".to_owned(),
        }
    }
}

/// Asks the store.
pub(crate) struct Queries {
    client: Client,
    places: Semaphore,
}

impl std::fmt::Debug for Queries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queries").finish_non_exhaustive()
    }
}

impl Queries {
    pub(crate) fn new(client: Client) -> Self {
        // The store stops working on it too, a moment after we stopped waiting. A column of another type than ours
        // must be an error, never a wrong number: the answers' types are checked.
        let seconds = (TIMEOUT.as_secs() + 1).to_string();
        let client = client.with_setting("max_execution_time", seconds).with_validation(true);
        Self { client, places: Semaphore::new(AT_ONCE) }
    }

    /// The newest heartbeat of every instance of ingest in the last day. None was sent after it was stored: where one says
    /// so, its clock is ahead, and the time of storing is all that is known.
    pub(crate) async fn heartbeats(&self, now: UnixMillis) -> Result<Vec<Instance>, QueryError> {
        let sql = "SELECT toString(instance) AS name, \
                   toUnixTimestamp64Milli(max(least(sent_at, stored_at))) AS sent_ms FROM heartbeats \
                   WHERE sent_at >= fromUnixTimestamp64Milli({from:Int64}) GROUP BY name ORDER BY name LIMIT 1000";
        let rows: Vec<rows::Heartbeat> = self.ask(sql, &[("from", now.0 - DAY_MS)]).await?;
        Ok(rows.into_iter().map(Instance::from).collect())
    }

    /// The first minute with an answer, within the time that "now" and "before" reach.
    pub(crate) async fn first_minute(&self, now: UnixMillis) -> Result<Option<UnixMillis>, QueryError> {
        let sql = format!(
            "SELECT toInt64(toUnixTimestamp(min(minute))) AS first_s, count() AS answers FROM payment_minutes \
             WHERE minute >= fromUnixTimestamp({{from_s:Int64}}) AND live AND {IS_ANSWER}"
        );
        let rows: Vec<rows::First> = self.ask(&sql, &[("from_s", (now.0 - 2 * HOUR_MS) / 1_000)]).await?;
        Ok(rows.first().filter(|row| row.answers > 0).map(|row| UnixMillis(row.first_s * 1_000)))
    }

    /// Answers, approved money and answer times of `span`.
    pub(crate) async fn period(&self, span: Span) -> Result<Period, QueryError> {
        let answers = format!(
            "SELECT countIf(live AND outcome = 'approved') AS approved, countIf(live AND outcome = 'declined') AS declined, \
             countIf(live AND outcome = 'failed') AS failed, countIf(NOT live) AS test_mode, \
             countIf(live AND latency_ms IS NOT NULL) AS told, \
             toFloat64(quantileTDigestIf(0.5)(ifNull(latency_ms, 0), live AND latency_ms IS NOT NULL)) AS p50_ms, \
             toFloat64(quantileTDigestIf(0.95)(ifNull(latency_ms, 0), live AND latency_ms IS NOT NULL)) AS p95_ms \
             FROM payment_minutes WHERE minute >= fromUnixTimestamp({{from_s:Int64}}) \
             AND minute < fromUnixTimestamp({{to_s:Int64}}) AND {IS_ANSWER}"
        );
        let money = "SELECT toString(currency) AS code, toInt64(sum(amount_minor)) AS minor FROM payment_minutes \
                     WHERE minute >= fromUnixTimestamp({from_s:Int64}) AND minute < fromUnixTimestamp({to_s:Int64}) \
                     AND live AND kind = 'authorization' AND outcome = 'approved' AND currency != '' \
                     GROUP BY code ORDER BY count() DESC, code LIMIT 32";
        let values = [("from_s", span.from.seconds()), ("to_s", span.to.seconds())];
        let (answers, money): (Vec<rows::Period>, Vec<rows::Money>) =
            tokio::try_join!(self.ask(&answers, &values), self.ask(money, &values))?;
        Ok(rows::period(span, answers.first(), money))
    }

    /// Every step of the window, overall and by source, and whether anybody listened.
    pub(crate) async fn history(&self, window: Window, now: UnixMillis) -> Result<History, QueryError> {
        let (from, step_s) = (window.start(now), window.step_ms() / 1_000);
        let steps = format!(
            "SELECT intDiv(toInt64(toUnixTimestamp(minute)) - {{from_s:Int64}}, {{step_s:Int64}}) AS step, \
             toString(source) AS source_name, toString(any(provider)) AS provider_name, {COUNTS} FROM payment_minutes \
             WHERE minute >= fromUnixTimestamp({{from_s:Int64}}) AND minute < fromUnixTimestamp({{to_s:Int64}}) \
             AND live AND {IS_ANSWER} GROUP BY step, source_name LIMIT 100000"
        );
        let heard = "SELECT intDiv(toUnixTimestamp64Milli(sent_at) - {from_s:Int64} * 1000, {step_s:Int64} * 1000) AS step \
                     FROM heartbeats WHERE sent_at >= fromUnixTimestamp64Milli({from_s:Int64} * 1000) \
                     AND sent_at < fromUnixTimestamp64Milli({to_s:Int64} * 1000) GROUP BY step LIMIT 1000";
        let to_s = from.seconds() + step_s * i64::try_from(window.steps()).unwrap_or(0);
        let values = [("from_s", from.seconds()), ("to_s", to_s), ("step_s", step_s)];
        let (steps, heard): (Vec<rows::Step>, Vec<rows::Heard>) =
            tokio::try_join!(self.ask(&steps, &values), self.ask(heard, &values))?;
        Ok(rows::history(window, from, &steps, &heard))
    }

    /// Webhooks by source and minute, as far back as it takes to tell what is usual. `end`: the data are complete to
    /// here.
    pub(crate) async fn recent_arrivals(&self, end: UnixMillis) -> Result<Vec<ArrivalMinute>, QueryError> {
        let sql =
            format!("{ARRIVALS} GROUP BY source_name, minute_s ORDER BY source_name, minute_s LIMIT 200000");
        self.ask(&sql, &[("from", end.0 - RECENT_MS)]).await
    }

    /// Likewise for the rest of the last day, of these sources only: it reads every webhook of a day, so it is asked
    /// seldom, and about sources of which nothing is recent.
    pub(crate) async fn older_arrivals(
        &self,
        now: UnixMillis,
        sources: &[String],
    ) -> Result<Vec<ArrivalMinute>, QueryError> {
        let sql = format!(
            "{ARRIVALS} AND source IN {{sources:Array(String)}} \
             GROUP BY source_name, minute_s ORDER BY source_name, minute_s LIMIT 200000"
        );
        let query = self.client.query(&sql).param("from", now.0 - DAY_MS).param("sources", sources);
        self.fetch(query).await
    }

    /// Webhooks of each source that were parked in the last day.
    pub(crate) async fn parked(&self, now: UnixMillis) -> Result<Vec<Parked>, QueryError> {
        let sql = "SELECT toString(source) AS source_name, count() AS parked FROM parked_webhooks \
                   WHERE stored_at >= fromUnixTimestamp64Milli({from:Int64}) GROUP BY source_name LIMIT 10000";
        self.ask(sql, &[("from", now.0 - DAY_MS)]).await
    }

    /// The most frequent decline codes of `now`, with their counts in `before`.
    pub(crate) async fn decline_codes(
        &self,
        now: Span,
        before: Span,
    ) -> Result<Vec<DeclineCode>, QueryError> {
        let codes = format!(
            "SELECT toString(provider) AS provider_name, toString(decline_code) AS code, \
             toString(decline_category) AS category, toString(any(decline_class)) AS class, \
             countIf(minute >= fromUnixTimestamp({{now_s:Int64}})) AS present, count() - present AS past \
             FROM payment_minutes WHERE minute >= fromUnixTimestamp({{from_s:Int64}}) \
             AND minute < fromUnixTimestamp({{to_s:Int64}}) AND live AND {IS_ANSWER} AND outcome != 'approved' \
             GROUP BY provider_name, code, category HAVING present > 0 \
             ORDER BY present DESC, past DESC, provider_name, code LIMIT {LISTED_MAX}"
        );
        let totals = format!(
            "SELECT countIf(minute >= fromUnixTimestamp({{now_s:Int64}})) AS present, count() - present AS past \
             FROM payment_minutes WHERE minute >= fromUnixTimestamp({{from_s:Int64}}) \
             AND minute < fromUnixTimestamp({{to_s:Int64}}) AND live AND {IS_ANSWER}"
        );
        let values = both(now, before);
        let (codes, totals): (Vec<rows::Code>, Vec<rows::Totals>) =
            tokio::try_join!(self.ask(&codes, &values), self.ask(&totals, &values))?;
        Ok(rows::decline_codes(codes, totals.first()))
    }

    /// Issuers with the most failures above those that their own hour before lets expect.
    pub(crate) async fn issuers(&self, now: Span, before: Span) -> Result<Vec<Issuer>, QueryError> {
        let is_now = "minute >= fromUnixTimestamp({now_s:Int64})";
        let sql = format!(
            "SELECT toString(issuer) AS name, toString(issuer_country) AS country, \
             countIf(outcome = 'approved' AND {is_now}) AS approved, countIf(outcome = 'declined' AND {is_now}) AS declined, \
             countIf(outcome = 'failed' AND {is_now}) AS failed, \
             countIf(outcome = 'approved') - approved AS approved_before, \
             countIf(outcome = 'declined') - declined AS declined_before, \
             countIf(outcome = 'failed') - failed AS failed_before, \
             approved + declined + failed AS attempts, approved_before + declined_before + failed_before AS attempts_before, \
             declined + failed - attempts * (declined_before + failed_before) / greatest(attempts_before, 1) AS excess \
             FROM payment_minutes WHERE minute >= fromUnixTimestamp({{from_s:Int64}}) \
             AND minute < fromUnixTimestamp({{to_s:Int64}}) AND live AND {IS_ANSWER} AND issuer != '' \
             GROUP BY name, country HAVING declined + failed > 0 AND attempts >= {ISSUER_ATTEMPTS_MIN} \
             ORDER BY excess DESC, name, country LIMIT {LISTED_MAX}"
        );
        let rows: Vec<rows::Issuer> = self.ask(&sql, &both(now, before)).await?;
        Ok(rows.into_iter().map(Issuer::from).collect())
    }

    /// Incidents, each as its last transition describes it, and whether alerting lives. A number alone does not name an
    /// incident: numbers begin anew when alerting has lost its state.
    pub(crate) async fn alerts(&self, now: UnixMillis) -> Result<Alerts, QueryError> {
        let sql = "SELECT incident AS incident_name, toString(rule) AS rule_name, slice AS slice_name, \
                   toString(argMax(to_state, (at, id))) AS state, toUnixTimestamp64Milli(max(at)) AS last_ms, \
                   toUnixTimestamp64Milli(min(at)) AS first_ms, argMax(details, (at, id)) AS last_details \
                   FROM alert_transitions WHERE at >= fromUnixTimestamp64Milli({from:Int64}) AND incident NOT IN ('', '0') \
                   GROUP BY rule_name, slice_name, incident_name ORDER BY last_ms DESC, incident_name LIMIT 1000";
        // One row an hour, which alerting overwrites every minute.
        let signs = "SELECT toUnixTimestamp64Milli(max(stored_at)) AS alive_ms, \
                     argMax(JSONExtractString(details, 'event_time'), stored_at) AS judged_to FROM alert_transitions \
                     WHERE at >= fromUnixTimestamp64Milli({from:Int64}) AND rule = 'alerting-degraded' \
                     AND id = 'evaluation' GROUP BY id";
        let values = [("from", now.0 - INCIDENT_KEPT_MS)];
        let (rows, signs): (Vec<incidents::Incident>, Vec<incidents::SignOfLife>) =
            tokio::try_join!(self.ask(sql, &values), self.ask(signs, &values))?;
        Ok(Alerts { judged: signs.first().map(Judged::from), ..incidents::alerts(&rows, now) })
    }

    /// What was acknowledged and what of it is stored, a day back from `complete_to`. The last quarter of an hour is left
    /// out: its webhooks may be in a processor's hands.
    pub(crate) async fn completeness(&self, complete_to: UnixMillis) -> Result<Completeness, QueryError> {
        let (from, to) =
            (UnixMillis(complete_to.0 - DAY_MS).minute(), UnixMillis(complete_to.0 - SETTLE_MS).minute());
        let sql = "SELECT toString(source) AS source_name, sum(acknowledged) AS counted, sum(missing) AS lacking, \
                   sum(unaccounted) AS uncounted, \
                   toInt64(toUnixTimestamp(minIf(minute, missing > 0))) AS since_s FROM completeness_minutes \
                   WHERE minute >= toDateTime({from_s:Int64}, 'UTC') AND minute < toDateTime({to_s:Int64}, 'UTC') \
                   GROUP BY source_name ORDER BY lacking DESC, source_name";
        let rows: Vec<rows::Completeness> =
            self.ask(sql, &[("from_s", from.seconds()), ("to_s", to.seconds())]).await?;
        Ok(rows::completeness((from, to), rows))
    }

    async fn ask<T>(&self, sql: &str, values: &[(&str, i64)]) -> Result<Vec<T>, QueryError>
    where
        T: RowOwned + RowRead + Row,
    {
        let query = self.client.query(sql);
        self.fetch(values.iter().fold(query, |query, (name, value)| query.param(name, *value))).await
    }

    async fn fetch<T>(&self, query: Query) -> Result<Vec<T>, QueryError>
    where
        T: RowOwned + RowRead + Row,
    {
        let question = async {
            // The semaphore is never closed; without a place the question is asked all the same.
            let _place = self.places.acquire().await.ok();
            query.fetch_all::<T>().await
        };
        match tokio::time::timeout(TIMEOUT, question).await {
            Ok(rows) => rows.map_err(QueryError::Store),
            Err(_) => Err(QueryError::Timeout(TIMEOUT)),
        }
    }
}

/// From the beginning of `before` to the end of `now`, and where `now` begins.
fn both(now: Span, before: Span) -> [(&'static str, i64); 3] {
    [("from_s", before.from.seconds()), ("now_s", now.from.seconds()), ("to_s", now.to.seconds())]
}
