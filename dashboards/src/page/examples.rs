//! Hand-made pages for tests: a night with an outage, and what can go wrong with the data.

use payments::UnixMillis;

use crate::model::{
    Alert, Alerts, Answers, ApprovedMoney, Completeness, DeclineCode, Feed, Headline, History, Instance,
    Issuer, Judged, Panel, Period, Pulse, Severity, Snapshot, Source, SourceHistory,
};
use crate::page::Context;
use crate::window::Window;

pub(crate) const STALE_AFTER_MS: i64 = 60_000;

pub(crate) fn at(text: &str) -> UnixMillis {
    UnixMillis::from_rfc3339(&format!("2026-11-22T{text}Z")).unwrap()
}

pub(crate) fn context() -> Context {
    Context { version: "0.1.0".to_owned(), ingest_url: "http://127.0.0.1:8080".to_owned() }
}

/// 03:07:14, nothing wrong.
pub(crate) fn normal(window: Window) -> Snapshot {
    let now = at("03:07:14");
    Snapshot {
        now,
        window,
        stale_after_ms: STALE_AFTER_MS,
        feed: Panel::known(now, feed(at("03:07:10"))),
        alerts: Panel::known(
            now,
            Alerts {
                resolved: vec![resolved()],
                judged: Some(judged("03:06:58", "03:06:50")),
                ..Alerts::default()
            },
        ),
        headline: Panel::known(now, headline(false)),
        history: Panel::known(now, history(window, now, at("03:07:10"), false)),
        sources: Panel::known(now, sources()),
        completeness: Panel::known(now, completeness()),
        declines: Panel::known(now, declines(false)),
        issuers: Panel::known(now, issuers(false)),
        peers: Vec::new(),
    }
}

/// The same minute with an issuer's outage since 02:58.
pub(crate) fn firing(window: Window) -> Snapshot {
    let mut snapshot = normal(window);
    let now = snapshot.now;
    let mut second = alert("8813", Severity::Warning, "P3 No Checkout webhooks for 4 min (usually 38/min)");
    second.impact = "impact not estimable (no amounts)".to_owned();
    second.slice = "source checkout-uk".to_owned();
    second.runbook = "docs/runbooks/dead-source.md".to_owned();
    second.since = at("03:03:02");
    second.heard_at = at("03:06:15");
    second.frozen = Some("no_data".to_owned());
    let first = alert("8812", Severity::Critical, "P1 Declines 9→61% issuer Harbour Bank (BR) ~$1.8k/min");
    snapshot.alerts = Panel::known(
        now,
        Alerts {
            active_count: 2,
            active: vec![first, second],
            resolved: vec![resolved()],
            judged: Some(judged("03:06:58", "03:06:50")),
            ..Alerts::default()
        },
    );
    snapshot.headline = Panel::known(now, headline(true));
    snapshot.history = Panel::known(now, history(window, now, at("03:07:10"), true));
    let mut sources = sources();
    sources[2].pulse = Pulse::Silent;
    sources[2].last_received_at = Some(at("03:03:02"));
    sources[2].rate_now = 0.0;
    sources[1].pulse = Pulse::Slow;
    sources[1].rate_now = 190.0;
    sources[3].parked_24h = 12;
    snapshot.sources = Panel::known(now, sources);
    snapshot.declines = Panel::known(now, declines(true));
    snapshot.issuers = Panel::known(now, issuers(true));
    snapshot
}

/// The outage's page twelve minutes later: nothing has come through since.
pub(crate) fn stale(window: Window) -> Snapshot {
    let mut snapshot = firing(window);
    snapshot.now = at("03:19:22");
    let asked = snapshot.now;
    let alerts = &mut snapshot.alerts.known.as_mut().unwrap().value;
    alerts.judged = Some(judged("03:19:02", "03:07:10"));
    for alert in &mut alerts.active {
        alert.frozen = Some("stale".to_owned());
    }
    for source in &mut snapshot.sources.known.as_mut().unwrap().value {
        source.pulse = Pulse::Unknown;
    }
    let mut moved = history(window, asked, at("03:07:10"), true);
    let end = at("03:07:10").0;
    for index in 0..moved.overall.len() {
        if moved.from.0 + moved.step_ms * i64::try_from(index).unwrap() > end {
            moved.overall[index] = Answers::default();
            moved.heard[index] = false;
            for source in &mut moved.by_source {
                source.steps[index] = Answers::default();
            }
        }
    }
    snapshot.history = Panel::known(asked, moved);
    snapshot
}

/// ClickHouse went away at 03:07:14; it is 03:09:40.
pub(crate) fn store_down(window: Window) -> Snapshot {
    let mut snapshot = firing(window);
    snapshot.now = at("03:09:40");
    let failure = Some("no answer within 3 s".to_owned());
    snapshot.feed.failure.clone_from(&failure);
    snapshot.alerts.failure.clone_from(&failure);
    snapshot.headline.failure.clone_from(&failure);
    snapshot.history.failure.clone_from(&failure);
    snapshot.sources.failure.clone_from(&failure);
    snapshot.completeness.failure.clone_from(&failure);
    snapshot.declines.failure.clone_from(&failure);
    snapshot.issuers = Panel { known: None, failure };
    snapshot
}

/// The store has not answered since the board started.
pub(crate) fn nothing_known() -> Snapshot {
    let failure = || Some("connection refused".to_owned());
    Snapshot {
        now: at("03:07:14"),
        window: Window::Hour,
        stale_after_ms: STALE_AFTER_MS,
        feed: Panel { known: None, failure: failure() },
        alerts: Panel { known: None, failure: failure() },
        headline: Panel { known: None, failure: failure() },
        history: Panel { known: None, failure: failure() },
        sources: Panel { known: None, failure: failure() },
        completeness: Panel { known: None, failure: failure() },
        declines: Panel { known: None, failure: failure() },
        issuers: Panel { known: None, failure: failure() },
        peers: Vec::new(),
    }
}

/// The first start: sources are configured, nothing has come.
pub(crate) fn empty() -> Snapshot {
    let now = at("03:07:14");
    let mut snapshot = normal(Window::Hour);
    let nothing = Period { from: at("03:02:00"), to: at("03:07:00"), ..Period::default() };
    snapshot.feed = Panel::known(now, feed(at("03:07:10")));
    snapshot.alerts = Panel::known(now, Alerts::default());
    snapshot.headline = Panel::known(now, Headline { now: nothing.clone(), before: nothing });
    let quiet = history(Window::Hour, now, at("03:07:10"), false);
    let steps = vec![Answers::default(); quiet.overall.len()];
    snapshot.history = Panel::known(now, History { overall: steps, by_source: vec![], ..quiet });
    let mut sources = sources();
    for source in &mut sources {
        *source = Source {
            last_received_at: None,
            rate_now: 0.0,
            rate_usual: 0.0,
            parked_24h: 0,
            pulse: Pulse::Waiting,
            ..source.clone()
        };
    }
    snapshot.sources = Panel::known(now, sources);
    snapshot.declines = Panel::known(now, vec![]);
    snapshot.issuers = Panel::known(now, vec![]);
    snapshot
}

pub(crate) fn judged(alive_at: &str, judged_to: &str) -> Judged {
    Judged { alive_at: at(alive_at), judged_to: Some(at(judged_to)) }
}

fn completeness() -> Completeness {
    Completeness {
        from: UnixMillis(at("03:07:00").0 - 24 * 3_600_000),
        to: at("02:52:00"),
        acknowledged: 1_204_233,
        unaccounted: 0,
        missing: Vec::new(),
    }
}

fn feed(complete_to: UnixMillis) -> Feed {
    let instance = Instance { name: "till-1-9f3a21c0".to_owned(), heartbeat_at: complete_to };
    Feed { complete_to: Some(complete_to), instances: vec![instance] }
}

pub(crate) fn alert(incident: &str, severity: Severity, title: &str) -> Alert {
    Alert {
        incident: incident.to_owned(),
        severity,
        title: title.to_owned(),
        impact: "~153 payments lost, ~$4.6k so far (est.); ~$1.8k/min, ~$110k in the next hour at this rate"
            .to_owned(),
        slice: "issuer Harbour Bank".to_owned(),
        runbook: "https://runbooks.example/issuer-declines".to_owned(),
        since: at("02:58:40"),
        heard_at: at("03:05:30"),
        unheard: false,
        recovering: false,
        frozen: None,
        resolved_at: None,
    }
}

fn resolved() -> Alert {
    let mut alert = alert("8790", Severity::Error, "P2 Adyen auth p95 0.9→2.6 s");
    alert.since = at("01:12:00");
    alert.resolved_at = Some(at("01:50:00"));
    alert
}

fn headline(outage: bool) -> Headline {
    let money = |usd, eur, jpy| {
        let one =
            |currency: &str, amount_minor| ApprovedMoney { currency: currency.to_owned(), amount_minor };
        vec![one("USD", usd), one("EUR", eur), one("JPY", jpy)]
    };
    let (approved, declined) = if outage { (3_888, 861) } else { (4_371, 378) };
    Headline {
        now: Period {
            from: at("03:02:00"),
            to: at("03:07:00"),
            answers: Answers { approved, declined, failed: 31 },
            test_mode: 0,
            approved: money(26_114_210, 5_610_455, 18_800_000),
            latency_p50_ms: Some(312.0),
            latency_p95_ms: Some(1_180.0),
        },
        before: Period {
            from: at("02:02:00"),
            to: at("03:02:00"),
            answers: Answers { approved: 51_640, declined: 4_310, failed: 262 },
            test_mode: 0,
            approved: money(304_114_210, 66_610_455, 200_800_000),
            latency_p50_ms: Some(305.0),
            latency_p95_ms: Some(1_090.0),
        },
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small whole numbers")]
fn whole(value: f64) -> u64 {
    value as u64
}

/// A quiet curve with a little noise from a fixed formula; an outage of one issuer from 02:58 on.
fn history(window: Window, now: UnixMillis, complete_to: UnixMillis, outage: bool) -> History {
    let from = window.start(now);
    let step_ms = window.step_ms();
    let minutes = f64::from(i32::try_from(step_ms / 60_000).unwrap());
    let names = [("stripe-us", "stripe", 430.0, 0.922), ("adyen-eu", "adyen", 360.0, 0.905)];
    let more = [("checkout-uk", "checkout", 38.0, 0.887), ("shop", "canonical", 121.0, 0.934)];
    let complete_to = complete_to.0;
    let steps = |offset: usize, per_minute: f64, approval: f64| -> Vec<Answers> {
        (0..window.steps())
            .map(|index| {
                let start = from.0 + step_ms * i64::try_from(index).unwrap();
                let wave = (index as f64 * 0.21 + offset as f64).sin() * 0.12
                    + (index as f64 * 1.7 + offset as f64 * 3.0).sin() * 0.05;
                let elapsed = ((complete_to - start) as f64 / step_ms as f64).clamp(0.0, 1.0);
                let attempts = (per_minute * minutes * (1.0 + wave) * elapsed).round();
                let noise = (index as f64 * 2.3 + offset as f64 * 1.1).sin() * 0.011;
                let lost = if outage && start >= at("02:58:00").0 && offset < 2 { 0.13 } else { 0.0 };
                let silent = offset == 2 && outage && start >= at("03:03:00").0;
                let attempts = if silent { 0.0 } else { attempts };
                let approved = (attempts * (approval + noise - lost)).round().min(attempts);
                let failed = (attempts * 0.006).round().min(attempts - approved);
                let declined = attempts - approved - failed;
                Answers { approved: whole(approved), declined: whole(declined), failed: whole(failed) }
            })
            .collect()
    };
    let by_source: Vec<SourceHistory> = names
        .into_iter()
        .chain(more)
        .enumerate()
        .map(|(offset, (source, provider, per_minute, approval))| SourceHistory {
            source: source.to_owned(),
            provider: provider.to_owned(),
            steps: steps(offset, per_minute, approval),
        })
        .collect();
    let overall = (0..window.steps())
        .map(|index| {
            by_source.iter().fold(Answers::default(), |sum, source| Answers {
                approved: sum.approved + source.steps[index].approved,
                declined: sum.declined + source.steps[index].declined,
                failed: sum.failed + source.steps[index].failed,
            })
        })
        .collect();
    History { from, step_ms, heard: vec![true; window.steps()], overall, by_source }
}

fn sources() -> Vec<Source> {
    let one = |name: &str, provider: &str, last: &str, rate_now, rate_usual| Source {
        name: name.to_owned(),
        provider: provider.to_owned(),
        configured: true,
        last_received_at: Some(at(last)),
        rate_now,
        rate_usual,
        parked_24h: 0,
        pulse: Pulse::Receiving,
    };
    vec![
        one("stripe-us", "stripe", "03:07:10", 1_290.0, 1_310.0),
        one("adyen-eu", "adyen", "03:07:09", 704.0, 690.0),
        one("checkout-uk", "checkout", "03:07:06", 74.0, 76.0),
        one("shop", "canonical", "03:07:10", 118.0, 121.0),
    ]
}

fn declines(outage: bool) -> Vec<DeclineCode> {
    let one = |code: &str, category: &str, class: &str, provider: &str, count, count_before| DeclineCode {
        code: code.to_owned(),
        category: category.to_owned(),
        class: class.to_owned(),
        provider: provider.to_owned(),
        count,
        of: 4_780,
        count_before,
        of_before: 56_212,
    };
    let more = if outage { 480 } else { 0 };
    vec![
        one("do_not_honor", "do_not_honor", "actionable", "stripe", 96 + more, 1_110),
        one("insufficient_funds", "insufficient_funds", "cardholder", "stripe", 121, 1_420),
        one("2 : Refused", "do_not_honor", "actionable", "adyen", 61, 720),
        one("20051", "insufficient_funds", "cardholder", "checkout", 44, 530),
        one("issuer_not_available", "issuer_unavailable", "technical", "stripe", 20, 160),
        one("incorrect_cvc", "incorrect_cvc", "cardholder", "stripe", 18, 230),
    ]
}

fn issuers(outage: bool) -> Vec<Issuer> {
    let one = |issuer: &str, country: &str, now: (u64, u64), before: (u64, u64)| Issuer {
        issuer: issuer.to_owned(),
        country: country.to_owned(),
        now: Answers { approved: now.0, declined: now.1, failed: 0 },
        before: Answers { approved: before.0, declined: before.1, failed: 0 },
    };
    let first = if outage { (122, 190) } else { (284, 28) };
    vec![
        one("Harbour Bank", "BR", first, (3_420, 330)),
        one("First Meridian Savings & Loan", "US", (402, 61), (4_950, 590)),
        one("Banco del Sur", "AR", (88, 19), (1_010, 190)),
        one("Nordlys Bank", "NO", (141, 16), (1_690, 170)),
    ]
}
