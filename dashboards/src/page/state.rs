//! The first line: can the numbers be trusted, and is anything wrong.

use maud::{Markup, html};
use payments::UnixMillis;

use super::judging::Judging;
use super::panel::warning_shape;
use crate::model::{Pulse, Snapshot};
use crate::number;

/// Whether the numbers can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trust {
    /// Complete up to a moment ago.
    Fresh(UnixMillis),
    /// Complete up to here, which is too long ago.
    Stale(UnixMillis),
    /// Ingest has never sent a sign of life.
    NeverHeard,
    /// The store does not answer; since when nothing newer is known, if anything is.
    StoreDown(Option<UnixMillis>),
}

/// The page in one line.
#[derive(Clone, Debug)]
pub(super) struct State {
    trust: Trust,
    /// `None`: not known.
    firing: Option<usize>,
    /// Whether `firing` is what was known once, not what is.
    firing_is_old: bool,
    /// Incidents that alerting does not speak of any more.
    unheard: usize,
    /// Whether anybody looks for alerts.
    judging: Judging,
    silent: usize,
    /// What could not be asked, beside the alerts.
    not_known: Vec<&'static str>,
    waiting: bool,
    now: UnixMillis,
}

impl State {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let complete_to = snapshot.feed.value().and_then(|feed| feed.complete_to);
        let trust = match complete_to {
            _ if snapshot.feed.failure.is_some() => {
                let known = snapshot.feed.known.as_ref();
                Trust::StoreDown(known.map(|known| known.value.complete_to.unwrap_or(known.at)))
            }
            None => Trust::NeverHeard,
            Some(at) if snapshot.now.0 - at.0 > snapshot.stale_after_ms => Trust::Stale(at),
            Some(at) => Trust::Fresh(at),
        };
        let sources = snapshot.sources.value().map(Vec::as_slice).unwrap_or_default();
        let nothing_came = sources.iter().all(|source| source.last_received_at.is_none());
        let nothing_counted = snapshot.headline.value().is_some_and(|headline| {
            headline.now.answers.attempts() + headline.before.answers.attempts() == 0
        });
        let alerts = snapshot.alerts.value();
        let no_alerts = alerts.is_none_or(|alerts| alerts.active.is_empty());
        let sources_known = snapshot.sources.is_current();
        let silent = sources.iter().filter(|source| source.pulse == Pulse::Silent).count();
        let asked = [("rates", snapshot.headline.is_current()), ("sources", sources_known)];
        Self {
            firing: alerts.map(|alerts| alerts.active_count),
            firing_is_old: snapshot.alerts.failure.is_some(),
            unheard: alerts.map_or(0, |alerts| alerts.unheard_count),
            judging: Judging::of(snapshot),
            silent: if sources_known { silent } else { 0 },
            not_known: asked.into_iter().filter(|(_, known)| !known).map(|(what, _)| what).collect(),
            waiting: snapshot.feed.failure.is_none()
                && sources_known
                && nothing_came
                && nothing_counted
                && no_alerts,
            now: snapshot.now,
            trust,
        }
    }

    /// Nothing has ever come: the page says how to begin.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting
    }

    fn is_trusted(&self) -> bool {
        matches!(self.trust, Trust::Fresh(_))
    }

    /// `2 alerts firing`, `Data is stale since 03:04 UTC`: also what is said aloud when it changes.
    pub(super) fn words(&self) -> String {
        let trust = match &self.trust {
            Trust::Fresh(_) => None,
            Trust::Stale(since) => {
                Some(format!("Data is stale since {} UTC", number::moment(*since, self.now)))
            }
            Trust::NeverHeard if self.waiting => None,
            Trust::NeverHeard => Some("Ingest has sent no sign of life".to_owned()),
            Trust::StoreDown(_) => Some("The store does not answer".to_owned()),
        };
        let alerts = match self.firing {
            None if matches!(self.trust, Trust::StoreDown(_)) => None,
            None => Some("Alerts are not known".to_owned()),
            Some(0) if self.firing_is_old && self.is_trusted() => Some("Alerts are not known".to_owned()),
            Some(0) => None,
            Some(1) if self.firing_is_old => Some("1 alert was firing".to_owned()),
            Some(1) => Some("1 alert firing".to_owned()),
            Some(count) if self.firing_is_old => Some(format!("{count} alerts were firing")),
            Some(count) => Some(format!("{count} alerts firing")),
        };
        let judging = self.judging.words(self.now).filter(|_| !self.waiting);
        let news = [trust, alerts, judging, self.unheard(), self.silence(), self.ignorance()];
        let parts: Vec<String> = news.into_iter().flatten().collect();
        match parts.as_slice() {
            [] if self.waiting => "Waiting for the first webhook".to_owned(),
            // Not "all is well": alerting fires for what its rules look for.
            [] => "No alert firing".to_owned(),
            parts => parts.join(" · "),
        }
    }

    fn unheard(&self) -> Option<String> {
        match self.unheard {
            0 => None,
            1 => Some("1 alert not heard of lately".to_owned()),
            count => Some(format!("{count} alerts not heard of lately")),
        }
    }

    fn silence(&self) -> Option<String> {
        match self.silent {
            0 => None,
            1 => Some("1 source silent".to_owned()),
            count => Some(format!("{count} sources silent")),
        }
    }

    /// What could not be asked; that the store does not answer says all of it.
    fn ignorance(&self) -> Option<String> {
        let is_news = !self.not_known.is_empty() && !matches!(self.trust, Trust::StoreDown(_));
        is_news.then(|| {
            let mut words = format!("{} are not known", self.not_known.join(" and "));
            words.get_mut(..1).map(str::make_ascii_uppercase);
            words
        })
    }

    /// The store has not answered since this board started: there is nothing to show but that.
    pub(super) fn is_ignorant(&self) -> bool {
        self.trust == Trust::StoreDown(None)
    }

    /// The tab's title: what is wrong comes first.
    pub(super) fn title(&self) -> String {
        let alarm = match (&self.trust, self.firing) {
            (Trust::StoreDown(_), _) => "STORE DOWN · ".to_owned(),
            (Trust::Stale(_), _) => "STALE · ".to_owned(),
            (_, Some(count)) if count > 0 => format!("({count}) "),
            _ if matches!(self.judging, Judging::Silent(_)) => "ALERTING SILENT · ".to_owned(),
            _ => String::new(),
        };
        format!("{alarm}Tillwatch")
    }

    /// What the line looks like: its colour and shape.
    fn mood(&self) -> &'static str {
        match (self.is_trusted(), self.firing) {
            _ if self.waiting => "waiting",
            (_, Some(count)) if count > 0 && !self.firing_is_old => "firing",
            (false, _) | (_, None) => "stale",
            _ if self.firing_is_old || self.unheard > 0 || self.judging.is_dead() => "stale",
            _ if self.silent > 0 => "firing",
            _ if !self.not_known.is_empty() => "stale",
            _ => "good",
        }
    }

    pub(super) fn render(&self, snapshot: &Snapshot) -> Markup {
        let mood = self.mood();
        html! {
            header .top {
                div .brand {
                    svg .logo viewBox="0 0 16 16" width="20" height="20" aria-hidden="true" focusable="false" {
                        path d="M4.5 1.5h7v4.5h-7zM6 7h4l1.2 7.5H4.800z" {}
                    }
                    span { "Tillwatch" }
                }
                p .moment { time datetime=(self.now.to_string()) { (number::day(self.now)) " " (number::second(self.now)) } " UTC" }
                div class={ "state " (mood) } {
                    (shape(mood))
                    div {
                        h1 { (self.words()) }
                        p { (self.detail()) }
                        @for note in &snapshot.peers {
                            p .peer { (note.peer) " says: " (note.says) }
                        }
                    }
                }
            }
            (self.banner(snapshot))
        }
    }

    fn detail(&self) -> String {
        match &self.trust {
            Trust::Fresh(at) => {
                let age = number::duration(self.now.0 - at.0);
                let complete = format!("Data complete to {} UTC, {age} ago", number::second(*at));
                // Beside what fires it stands in the section of alerts.
                let judged = self.judging.judged_to(self.now).filter(|_| self.firing == Some(0));
                std::iter::once(complete).chain(judged).collect::<Vec<_>>().join(" · ")
            }
            Trust::Stale(at) => format!(
                "Newest sign of life {} UTC, {} ago",
                number::second(*at),
                number::duration(self.now.0 - at.0)
            ),
            Trust::NeverHeard => "No sign of life from ingest yet".to_owned(),
            Trust::StoreDown(_) => "ClickHouse could not be asked".to_owned(),
        }
    }

    /// What the numbers below are worth, when they are not fresh.
    fn banner(&self, snapshot: &Snapshot) -> Markup {
        let text = match &self.trust {
            Trust::Fresh(_) => return html! {},
            Trust::NeverHeard if self.waiting => return html! {},
            Trust::Stale(at) => html! {
                strong { "Numbers below end at " (number::moment(*at, self.now)) " UTC, " (number::duration(self.now.0 - at.0)) " ago." }
                " Nothing newer has come through ingest, the queue and the processor. An outage since then would not show here. "
                "Webhooks already accepted are kept, and are counted when the way is free again."
            },
            Trust::NeverHeard => html! {
                strong { "It is not known how complete these numbers are." }
                " No instance of ingest has sent a sign of life in the last days. Is ingest running, and the processor?"
            },
            Trust::StoreDown(None) => html! {
                strong { "Nothing is known." }
                " The store has not answered since this board started"
                @if let Some(failure) = &snapshot.feed.failure { ": " (failure) }
                ". Webhooks are still accepted and kept as long as ingest runs."
            },
            Trust::StoreDown(Some(at)) => html! {
                strong { "Numbers below end at " (number::moment(*at, self.now)) " UTC, " (number::duration(self.now.0 - at.0)) " ago." }
                " The store does not answer"
                @if let Some(failure) = &snapshot.feed.failure { ": " (failure) }
                ". Webhooks are still accepted and kept as long as ingest runs."
            },
        };
        // Said aloud by the page's one live region: a banner that comes anew every few seconds would never be silent.
        html! {
            div .banner { (warning_shape()) p { (text) } }
        }
    }
}

/// A shape for each mood, so that colour is not the only carrier.
fn shape(mood: &str) -> Markup {
    html! {
        svg .state-shape viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false" {
            @match mood {
                "good" => { circle cx="12" cy="12" r="10" {} path .cut d="M7.5 12.500l3 3 6-6.500" {} }
                "firing" => { path d="M12 1.500 23.500 22H.5Z" {} path .cut d="M12 9v6M12 18v.5" {} }
                "waiting" => { circle .ring cx="12" cy="12" r="9" {} path .ring d="M12 7v5l3.500 2" {} }
                _ => { rect x="2" y="2" width="20" height="20" rx="4" {} path .cut d="M9.500 8v8M14.500 8v8" {} }
            }
        }
    }
}
