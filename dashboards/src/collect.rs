//! Asks the store, remembers what it said, and makes a `Snapshot` of it.
//!
//! However many people look, the store is asked once every [`REFRESH_MS`]: whoever comes first asks, the others wait
//! for the same answer. A question that fails keeps its last answer, which then says its age.

use payments::UnixMillis;
use runtime::SharedClock;
use strum::VariantArray as _;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::freshness::{self, Arrivals, Span};
use crate::model::{
    Alerts, DeclineCode, Feed, Headline, History, Issuer, Panel, Period, Pulse, Snapshot, Source,
};
use crate::observations::Observations;
use crate::queries::{Queries, QueryError, SourceArrivals};
use crate::window::Window;

/// An answer is used again for this long; that of a long window longer, see [`Window::refresh_ms`].
const REFRESH_MS: i64 = 1_500;
/// What reaches back an hour costs more and changes less: it is asked again when the minute changes, or after this.
const HOUR_REFRESH_MS: i64 = 10_000;
/// Sources shown that the configuration no longer has.
const UNCONFIGURED_MAX: usize = 20;

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
    asked_at: Option<UnixMillis>,
    value: T,
}

impl<T> Remembered<T> {
    fn is_fresh(&self, now: UnixMillis, for_ms: i64) -> bool {
        self.asked_at.is_some_and(|at| at <= now && now.0 - at.0 < for_ms)
    }
}

#[derive(Clone, Debug, Default)]
struct Present {
    feed: Panel<Feed>,
    alerts: Panel<Alerts>,
    headline: Panel<Headline>,
    sources: Panel<Vec<Source>>,
    declines: Panel<Vec<DeclineCode>>,
    issuers: Panel<Vec<Issuer>>,
    /// The hour before "now".
    past: Option<Past>,
}

/// What was asked about the hour before, for which "now", and when.
#[derive(Clone, Debug)]
struct Past {
    asked_at: UnixMillis,
    now: Span,
    period: Period,
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
            declines: present.declines,
            issuers: present.issuers,
        }
    }

    async fn present(&self) -> Present {
        let mut remembered = self.memory.present.lock().await;
        let now = self.clock.now();
        if !remembered.is_fresh(now, REFRESH_MS) {
            // On the heap: a future of nine questions is large.
            Box::pin(self.ask_present(&mut remembered.value, now)).await;
            remembered.asked_at = Some(now);
        }
        remembered.value.clone()
    }

    async fn ask_present(&self, present: &mut Present, now: UnixMillis) {
        let reach = async { tokio::try_join!(self.queries.heartbeats(now), self.queries.first_minute(now)) };
        let (feed, first) = match self.ask("feed", reach).await {
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
        let (alerts, headline, sources) = tokio::join!(
            self.ask("alerts", self.queries.alerts(now)),
            self.ask("headline", self.queries.period(span)),
            self.ask("sources", self.arrivals(now, complete_to.unwrap_or(now), trusted)),
        );
        self.settle("alerts", &mut present.alerts, now, alerts);
        self.settle("sources", &mut present.sources, now, sources);
        let past = self.ask_past(present, now, span, before).await;
        let headline = headline.and_then(|period| Ok(Headline { now: period, before: past? }));
        self.settle("headline", &mut present.headline, now, headline);
    }

    /// The hour before, and what is compared with it: as remembered, where that will do.
    async fn ask_past(
        &self,
        present: &mut Present,
        now: UnixMillis,
        span: Span,
        before: Span,
    ) -> Result<Period, QueryError> {
        let will_do =
            |past: &&Past| past.now == span && (0..HOUR_REFRESH_MS).contains(&(now.0 - past.asked_at.0));
        let lists_failed = present.declines.failure.is_some() || present.issuers.failure.is_some();
        if let Some(past) = present.past.as_ref().filter(will_do).filter(|_| !lists_failed) {
            return Ok(past.period.clone());
        }
        let (period, declines, issuers) = tokio::join!(
            self.ask("past", self.queries.period(before)),
            self.ask("declines", self.queries.decline_codes(span, before)),
            self.ask("issuers", self.queries.issuers(span, before)),
        );
        self.settle("declines", &mut present.declines, now, declines);
        self.settle("issuers", &mut present.issuers, now, issuers);
        present.past =
            period.as_ref().ok().map(|period| Past { asked_at: now, now: span, period: period.clone() });
        period
    }

    async fn history(&self, window: Window, store_failure: Option<&str>) -> Panel<History> {
        let index = Window::VARIANTS.iter().position(|known| *known == window).unwrap_or(0);
        let Some(slot) = self.memory.histories.get(index) else { return Panel::default() };
        let mut remembered = slot.lock().await;
        let now = self.clock.now();
        if let Some(failure) = store_failure {
            remembered.value.failure = Some(failure.to_owned());
            remembered.asked_at = None;
        } else if !remembered.is_fresh(now, window.refresh_ms()) {
            let outcome = self.ask("history", self.queries.history(window, now)).await;
            self.settle("history", &mut remembered.value, now, outcome);
            remembered.asked_at = Some(now);
        }
        remembered.value.clone()
    }

    async fn arrivals(
        &self,
        now: UnixMillis,
        end: UnixMillis,
        trusted: Option<UnixMillis>,
    ) -> Result<Vec<Source>, QueryError> {
        let names: Vec<String> = self.sources.iter().map(|source| source.name.clone()).collect();
        let rows = self.queries.arrivals(now, end, &names).await?;
        Ok(sources(&self.sources, &rows, trusted))
    }

    async fn ask<T>(
        &self,
        panel: &'static str,
        question: impl Future<Output = Result<T, QueryError>>,
    ) -> Result<T, QueryError> {
        let started = Instant::now();
        let outcome = question.await;
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
        self.declines.failure.clone_from(failure);
        self.issuers.failure.clone_from(failure);
    }
}

/// The configured sources in their order, then those that only the data know.
fn sources(
    configured: &[ConfiguredSource],
    rows: &[SourceArrivals],
    trusted: Option<UnixMillis>,
) -> Vec<Source> {
    let of = |name: &str, provider: &str, configured: bool, row: Option<&SourceArrivals>| {
        let arrivals = row
            .map_or(Arrivals { last_received_at: None, rate_now: 0.0, rate_usual: 0.0 }, |row| row.arrivals);
        let judged = freshness::pulse(arrivals, trusted);
        // A source that was taken out of the configuration is silent because somebody wanted it so.
        let pulse = if judged == Pulse::Silent && !configured { Pulse::Quiet } else { judged };
        Source {
            name: name.to_owned(),
            provider: provider.to_owned(),
            configured,
            last_received_at: arrivals.last_received_at,
            rate_now: arrivals.rate_now,
            rate_usual: arrivals.rate_usual,
            parked_24h: row.map_or(0, |row| row.parked_24h),
            pulse,
        }
    };
    let is_configured = |name: &str| configured.iter().any(|source| source.name == name);
    let known = configured.iter().map(|source| {
        of(&source.name, &source.provider, true, rows.iter().find(|row| row.source == source.name))
    });
    let others = rows.iter().filter(|row| !is_configured(&row.source)).take(UNCONFIGURED_MAX);
    known.chain(others.map(|row| of(&row.source, &row.provider, false, Some(row)))).collect()
}
