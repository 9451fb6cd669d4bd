//! Whether what ingest acknowledged is stored: asked of `completeness_minutes` for the rules and for the metric
//! together, and seldom, since the question reads a day of webhooks (docs/adr/0010-completeness.md).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Row;
use payments::UnixMillis;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::reader::{QueryError, Reader, Sql};
use crate::rules::Instants;

pub(crate) const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// What arrived within this is looked at.
pub(crate) const LOOK_BACK_MS: i64 = 24 * HOUR_MS;
/// The metric's settling time; the rule has its own.
pub(crate) const SETTLE_MS: i64 = 15 * MINUTE_MS;
/// Minutes with something missing that are told of each source.
const GAPS_MAX: usize = 5_000;
/// Asking takes at most one part in so many of the time.
const SHARE_OF_TIME: u32 = 20;

/// What is known of every source.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// Minutes from here were looked at.
    from: UnixMillis,
    /// Everything that arrived before this was stored, or in the hands of a processor, when it was asked.
    complete_to: UnixMillis,
    /// Every source of which anything was acknowledged or stored.
    pub(crate) sources: BTreeMap<String, Vec<Gap>>,
}

/// A minute of which not everything is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) minute: UnixMillis,
    pub(crate) missing: u64,
}

/// The last answer. Shared by the clones of a [`Reader`].
#[derive(Debug)]
pub(crate) struct Memo {
    every: Duration,
    last: Mutex<Option<Asked>>,
}

#[derive(Debug)]
struct Asked {
    at: UnixMillis,
    took: Duration,
    /// `None`: it failed.
    answer: Option<Arc<Answer>>,
}

impl Memo {
    /// Asks at most once in `every`.
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, last: Mutex::default() }
    }
}

impl Asked {
    /// Whether it serves for a question at `now` about what arrived since `from`. A clock that was set back is no reason
    /// to wait.
    fn serves(&self, now: UnixMillis, from: UnixMillis, every: Duration) -> bool {
        let valid = every.max(self.took.saturating_mul(SHARE_OF_TIME));
        let is_recent = now.0 >= self.at.0 && now.since(self.at) < valid;
        self.answer.as_ref().is_some_and(|answer| is_recent && answer.from <= from)
    }
}

impl Answer {
    /// What is missing of `source` since `from`, in minutes that ended `settle_ms` before everything that had arrived was
    /// stored or in a processor's hands.
    pub(crate) fn missing<'a>(
        &'a self,
        source: &str,
        from: UnixMillis,
        settle_ms: i64,
    ) -> impl Iterator<Item = Gap> + use<'a> {
        let until = self.complete_to.0.saturating_sub(settle_ms).saturating_sub(MINUTE_MS);
        let gaps = self.sources.get(source).into_iter().flatten();
        gaps.copied().filter(move |gap| gap.minute >= from && gap.minute.0 <= until)
    }

    /// What the metric says: webhooks missing, by source.
    pub(crate) fn by_source(&self, from: UnixMillis) -> BTreeMap<String, u64> {
        let missing = |source: &String| self.missing(source, from, SETTLE_MS).map(|gap| gap.missing).sum();
        self.sources.keys().map(|source| (source.clone(), missing(source))).collect()
    }
}

/// The start of the hour a day before what is complete.
pub(crate) fn a_day_before(instants: Instants) -> UnixMillis {
    hour(UnixMillis(instants.complete_to.0 - LOOK_BACK_MS))
}

/// The start of the UTC hour.
pub(crate) fn hour(at: UnixMillis) -> UnixMillis {
    UnixMillis(at.0.div_euclid(HOUR_MS) * HOUR_MS)
}

impl Reader {
    /// What is missing of what arrived since `from`: the last answer while it is recent enough. One that failed is not
    /// repeated within a tick.
    pub(crate) async fn completeness(
        &self,
        instants: Instants,
        from: UnixMillis,
    ) -> Result<Arc<Answer>, QueryError> {
        // Held while asking: who else wants to know waits for the same answer.
        let mut last = self.completeness.last.lock().await;
        if let Some(asked) = last.as_ref() {
            if let Some(answer) =
                asked.answer.as_ref().filter(|_| asked.serves(instants.now, from, self.completeness.every))
            {
                return Ok(Arc::clone(answer));
            }
            if asked.answer.is_none() && asked.at == instants.now {
                return Err(QueryError::FailedBefore);
            }
        }
        let began = Instant::now();
        let answer = self.ask_completeness(instants, from).await.map(Arc::new);
        let kept = answer.as_ref().ok().map(Arc::clone);
        *last = Some(Asked { at: instants.now, took: began.elapsed(), answer: kept });
        answer
    }

    async fn ask_completeness(&self, instants: Instants, from: UnixMillis) -> Result<Answer, QueryError> {
        #[derive(Debug, Row, Deserialize)]
        struct SourceRow {
            name: String,
            gaps: Vec<(i64, u64)>,
        }
        let complete_to = instants.complete_to.min(instants.now);
        let sql = Sql::new("SELECT toString(source) AS name,")
            .text(&format!(
                "groupArrayIf({GAPS_MAX})((toInt64(toUnixTimestamp(minute)), missing), missing > 0) AS gaps"
            ))
            .number("FROM completeness_minutes WHERE minute >= toDateTime(?, 'UTC')", from.seconds().max(0))
            .number("AND minute < toDateTime(?, 'UTC')", complete_to.minute().seconds().max(0))
            .text("GROUP BY name ORDER BY name");
        let rows: Vec<SourceRow> = self.rows(sql).await?;
        let gap =
            |(minute_s, missing): (i64, u64)| Gap { minute: UnixMillis::from_seconds(minute_s), missing };
        let sources = rows.into_iter().map(|row| {
            let mut gaps: Vec<Gap> = row.gaps.into_iter().map(gap).collect();
            gaps.sort_by_key(|gap| gap.minute);
            (row.name, gaps)
        });
        Ok(Answer { from, complete_to, sources: sources.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_356_120_000);

    fn ago(minutes: i64) -> UnixMillis {
        UnixMillis(NOW.0 - minutes * MINUTE_MS)
    }

    fn answer(gaps: &[i64]) -> Answer {
        let gaps = gaps.iter().map(|minutes| Gap { minute: ago(*minutes), missing: 2 }).collect();
        let sources = BTreeMap::from([("a".to_owned(), gaps), ("b".to_owned(), Vec::new())]);
        Answer { from: ago(2_000), complete_to: NOW, sources }
    }

    #[test]
    fn a_minute_counts_when_its_settling_time_is_over() {
        let known = answer(&[100, 16, 15, 3]);
        let missing = |settle| known.missing("a", ago(60), settle).map(|gap| gap.minute).collect::<Vec<_>>();
        assert_eq!(missing(SETTLE_MS), [ago(16)], "it began 16 minutes ago and ended 15 minutes ago");
        assert_eq!(missing(0), [ago(16), ago(15), ago(3)]);
        assert_eq!(
            known.by_source(ago(2_000)),
            BTreeMap::from([("a".to_owned(), 4), ("b".to_owned(), 0)]),
            "a source with nothing missing says so"
        );
    }

    #[test]
    fn an_answer_serves_for_a_while_and_for_no_more_than_was_asked() {
        let every = Duration::from_mins(1);
        let asked = |took| Asked { at: ago(2), took, answer: Some(Arc::new(answer(&[]))) };
        let quick = asked(Duration::from_millis(600));
        assert!(quick.serves(UnixMillis(ago(2).0 + 59_999), ago(1_000), every));
        assert!(!quick.serves(ago(1), ago(1_000), every), "a minute later");
        assert!(!quick.serves(ago(2), ago(2_001), every), "about what was not asked");
        assert!(!quick.serves(ago(3), ago(1_000), every), "the clock was set back");
        let slow = asked(Duration::from_secs(9));
        assert!(slow.serves(ago(0), ago(1_000), every), "what is dear is asked seldom");
        let failed = Asked { at: ago(2), took: Duration::ZERO, answer: None };
        assert!(!failed.serves(ago(2), ago(1_000), every));
    }
}
