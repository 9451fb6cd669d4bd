//! Asks the store, remembers what it said, and makes a `Snapshot` of it.
//!
//! However many people look, the store is asked once every [`REFRESH_MS`]: whoever comes first asks, the others wait
//! for the same answer, or for the same failure. A question that fails keeps its last answer, which then says its age.
//!
//! Invariant: a page comes within [`PRESENT_WITHIN`] and [`HISTORY_WITHIN`], however slow the store is; the browser gives
//! up three seconds later.

mod kept;
pub(crate) mod peers;
mod sources;
#[cfg(test)]
mod tests;

use std::time::Duration;

use payments::UnixMillis;
use runtime::SharedClock;
use strum::VariantArray as _;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::freshness::{self, Span};
use crate::model::{
    Alerts, Completeness, DeclineCode, Feed, Headline, History, Issuer, Panel, PeerNote, Period, Snapshot,
    Source,
};
use crate::observations::Observations;
use crate::queries::{self, ArrivalMinute, Queries, QueryError, SourceArrivals};
use crate::window::Window;
use kept::Kept;
use peers::Peers;

/// An answer is used again for this long; that of a long window longer, see [`Window::refresh_ms`].
const REFRESH_MS: i64 = 1_500;
/// What reaches back an hour costs more and changes less: it is asked again when the minute changes, or after this.
const HOUR_REFRESH_MS: i64 = 10_000;
/// What reads a whole day is asked again after this.
const DAY_REFRESH_MS: i64 = 60_000;
/// All questions about the present together may take this long ..
const PRESENT_WITHIN: Duration = Duration::from_secs(4);
/// .. and then those about the charts this long.
const HISTORY_WITHIN: Duration = Duration::from_secs(3);

/// A source as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfiguredSource {
    pub(crate) name: String,
    pub(crate) provider: String,
}

/// Asks the store and remembers.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) queries: Queries,
    pub(crate) clock: SharedClock,
    pub(crate) sources: Vec<ConfiguredSource>,
    pub(crate) stale_after_ms: i64,
    pub(crate) observations: Observations,
    pub(crate) peers: Peers,
    pub(crate) memory: Memory,
}

/// What was answered last. The present is the same for every window; each window has its own history.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    present: Mutex<Remembered<Present>>,
    histories: [Mutex<Remembered<Panel<History>>>; Window::VARIANTS.len()],
}

#[derive(Debug, Default)]
struct Remembered<T> {
    answered_at: Option<UnixMillis>,
    value: T,
}

impl<T> Remembered<T> {
    fn is_fresh(&self, now: UnixMillis, for_ms: i64) -> bool {
        self.answered_at.is_some_and(|at| at <= now && now.0 - at.0 < for_ms)
    }
}

#[derive(Clone, Debug, Default)]
struct Present {
    feed: Panel<Feed>,
    alerts: Panel<Alerts>,
    headline: Panel<Headline>,
    sources: Panel<Vec<Source>>,
    completeness: Panel<Completeness>,
    declines: Panel<Vec<DeclineCode>>,
    issuers: Panel<Vec<Issuer>>,
    peers: Vec<PeerNote>,
    /// "Now" and what was before it.
    past: Option<Kept<(Span, Span), Period>>,
    /// Sources of which nothing is recent.
    older: Option<Kept<Vec<String>, Vec<ArrivalMinute>>>,
    /// Whether everything acknowledged is stored.
    complete: Option<Kept<(), Completeness>>,
}

impl Collector {
    /// Everything on the page.
    pub(crate) async fn snapshot(&self, window: Window) -> Snapshot {
        let present = self.present().await;
        let history = self.history(window, present.feed.failure.as_deref()).await;
        Snapshot {
            now: self.clock.now(),
            window,
            stale_after_ms: self.stale_after_ms,
            feed: present.feed,
            alerts: present.alerts,
            headline: present.headline,
            history,
            sources: present.sources,
            completeness: present.completeness,
            declines: present.declines,
            issuers: present.issuers,
            peers: present.peers,
        }
    }

    async fn present(&self) -> Present {
        let mut remembered = self.memory.present.lock().await;
        let now = self.clock.now();
        if !remembered.is_fresh(now, REFRESH_MS) {
            // On the heap: a future of nine questions is large.
            let ((), notes) =
                tokio::join!(Box::pin(self.ask_present(&mut remembered.value, now)), self.peers.notes());
            remembered.value.peers = notes;
            // Those who waited meanwhile find a fresh answer, however long it took.
            remembered.answered_at = Some(self.clock.now());
        }
        remembered.value.clone()
    }

    async fn ask_present(&self, present: &mut Present, now: UnixMillis) {
        let by = Instant::now() + PRESENT_WITHIN;
        let reach = async { tokio::try_join!(self.queries.heartbeats(now), self.queries.first_minute(now)) };
        let (feed, first) = match self.ask("feed", by, reach).await {
            Ok((instances, first)) => (freshness::feed(instances, now, self.stale_after_ms), first),
            Err(error) => {
                // A store that did not answer the smallest questions is not asked the others.
                self.settle("feed", &mut present.feed, now, Err(error));
                present.fail_like_the_feed();
                return;
            }
        };
        let complete_to = feed.complete_to;
        self.settle("feed", &mut present.feed, now, Ok(feed));
        let (span, before) = freshness::periods(complete_to.unwrap_or(now), first);
        let trusted = complete_to.filter(|at| now.0 - at.0 <= self.stale_after_ms);
        let (alerts, headline, sources, completeness) = tokio::join!(
            self.ask("alerts", by, self.queries.alerts(now)),
            self.ask("headline", by, self.queries.period(span)),
            self.arrivals(&mut present.older, now, complete_to.unwrap_or(now), by),
            self.completeness(&mut present.complete, now, complete_to.unwrap_or(now), by),
        );
        let sources = sources.map(|rows| sources::of(&self.sources, &rows, trusted));
        self.settle("alerts", &mut present.alerts, now, alerts);
        self.settle("sources", &mut present.sources, now, sources);
        self.settle("completeness", &mut present.completeness, now, completeness);
        let past = self.ask_past(present, now, (span, before), by).await;
        let headline = headline.and_then(|period| Ok(Headline { now: period, before: past? }));
        self.settle("headline", &mut present.headline, now, headline);
    }

    /// The hour before, and what is compared with it: as remembered, where that will do.
    async fn ask_past(
        &self,
        present: &mut Present,
        now: UnixMillis,
        (span, before): (Span, Span),
        by: Instant,
    ) -> Result<Period, QueryError> {
        let kept = present.past.as_ref();
        if let Some(period) = kept.and_then(|past| past.again(&(span, before), now, HOUR_REFRESH_MS)) {
            return period;
        }
        let (period, declines, issuers) = tokio::join!(
            self.ask("past", by, self.queries.period(before)),
            self.ask("declines", by, self.queries.decline_codes(span, before)),
            self.ask("issuers", by, self.queries.issuers(span, before)),
        );
        self.settle("declines", &mut present.declines, now, declines);
        self.settle("issuers", &mut present.issuers, now, issuers);
        present.past = Some(Kept::new(self.clock.now(), (span, before), &period));
        period
    }

    async fn history(&self, window: Window, store_failure: Option<&str>) -> Panel<History> {
        let index = Window::VARIANTS.iter().position(|known| *known == window).unwrap_or(0);
        let Some(slot) = self.memory.histories.get(index) else { return Panel::default() };
        let mut remembered = slot.lock().await;
        let now = self.clock.now();
        if let Some(failure) = store_failure {
            remembered.value.failure = Some(failure.to_owned());
            remembered.answered_at = None;
        } else if !remembered.is_fresh(now, window.refresh_ms()) {
            let by = Instant::now() + HISTORY_WITHIN;
            let outcome = self.ask("history", by, self.queries.history(window, now)).await;
            self.settle("history", &mut remembered.value, now, outcome);
            remembered.answered_at = Some(self.clock.now());
        }
        remembered.value.clone()
    }

    /// What each source sent. `end`: the data are complete to here.
    async fn arrivals(
        &self,
        older: &mut Option<Kept<Vec<String>, Vec<ArrivalMinute>>>,
        now: UnixMillis,
        end: UnixMillis,
        by: Instant,
    ) -> Result<Vec<SourceArrivals>, QueryError> {
        let recent = async { tokio::try_join!(self.queries.recent_arrivals(end), self.queries.parked(now)) };
        let (mut minutes, parked) = self.ask("sources", by, recent).await?;
        let is_missing = |name: &&String| !minutes.iter().any(|row| row.source_name == **name);
        let missing: Vec<String> =
            self.sources.iter().map(|source| &source.name).filter(is_missing).cloned().collect();
        if !missing.is_empty() {
            let kept = older.as_ref().and_then(|kept| kept.again(&missing, now, DAY_REFRESH_MS));
            let rest = if let Some(answer) = kept {
                answer
            } else {
                let question = self.queries.older_arrivals(now, &missing);
                let answer = self.ask("older_sources", by, question).await;
                *older = Some(Kept::new(self.clock.now(), missing, &answer));
                answer
            };
            minutes.extend(rest?);
        }
        Ok(queries::arrivals(&minutes, &parked, end))
    }

    /// It reads a day of webhooks, so it is asked seldom, also when it fails.
    async fn completeness(
        &self,
        kept: &mut Option<Kept<(), Completeness>>,
        now: UnixMillis,
        complete_to: UnixMillis,
        by: Instant,
    ) -> Result<Completeness, QueryError> {
        if let Some(answer) = kept.as_ref().and_then(|kept| kept.again(&(), now, DAY_REFRESH_MS)) {
            return answer;
        }
        let answer = self.ask("completeness", by, self.queries.completeness(complete_to)).await;
        *kept = Some(Kept::new(self.clock.now(), (), &answer));
        answer
    }

    /// Asks, and waits until `by` at most.
    async fn ask<T>(
        &self,
        panel: &'static str,
        by: Instant,
        question: impl Future<Output = Result<T, QueryError>>,
    ) -> Result<T, QueryError> {
        let started = Instant::now();
        let outcome = tokio::time::timeout_at(by, question).await.unwrap_or(Err(QueryError::GivenUp));
        self.observations.asked(panel, started.elapsed(), outcome.as_ref().map(|_| ()));
        outcome
    }

    fn settle<T>(
        &self,
        name: &'static str,
        panel: &mut Panel<T>,
        at: UnixMillis,
        outcome: Result<T, QueryError>,
    ) {
        match outcome {
            Ok(value) => {
                if panel.failure.is_some() {
                    self.observations.panel_back(name);
                }
                *panel = Panel::known(at, value);
            }
            Err(error) => {
                if panel.failure.is_none() {
                    self.observations.panel_lost(name, &error);
                }
                panel.failure = Some(error.in_short());
            }
        }
    }
}

impl Present {
    fn fail_like_the_feed(&mut self) {
        let failure = &self.feed.failure;
        self.alerts.failure.clone_from(failure);
        self.headline.failure.clone_from(failure);
        self.sources.failure.clone_from(failure);
        self.completeness.failure.clone_from(failure);
        self.declines.failure.clone_from(failure);
        self.issuers.failure.clone_from(failure);
        // When the store is back, what failed with it is asked again at once.
        self.past = None;
        self.complete = None;
    }
}
