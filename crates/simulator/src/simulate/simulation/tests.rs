use std::collections::BTreeSet;

use payments::{DeclineCategory, PaymentEvent};

use super::*;
use crate::http::{Failure, Target};
use crate::scenario::{ScenarioConfig, ScenarioKind};
use crate::schedule::ScheduleConfig;
use crate::testing::{source, sources};

const START: UnixMillis = UnixMillis(1_795_316_820_000);

fn config(kind: ScenarioKind) -> SimulateConfig {
    let target = Target::parse("http://127.0.0.1:1").unwrap();
    SimulateConfig { scenario: ScenarioConfig::new(kind), ..SimulateConfig::new(3, target, sources()) }
}

fn at_rate(rate_per_s: f64, kind: ScenarioKind) -> SimulateConfig {
    SimulateConfig { rate_per_s, ..config(kind) }
}

fn simulation(config: &SimulateConfig) -> Simulation {
    Simulation::new(config, START).unwrap()
}

fn after(seconds: u64) -> UnixMillis {
    START.plus(Duration::from_secs(seconds))
}

/// Everything that is posted up to `seconds`, all of it acknowledged, with the second in which it was posted.
fn posted(simulation: &mut Simulation, seconds: u64) -> Vec<(u64, usize, Webhook)> {
    let mut all = Vec::new();
    for second in 0..=seconds {
        let now = after(second);
        simulation.advance(now).unwrap();
        while let Some(delivery) = simulation.next_due(now).unwrap() {
            all.push((second, delivery.source, delivery.webhook.clone()));
            simulation.answered(delivery, Ok(200), now).unwrap();
        }
    }
    all
}

fn facts(posted: &[(u64, usize, Webhook)]) -> impl Iterator<Item = &PaymentEvent> {
    posted.iter().flat_map(|(_, _, webhook)| &webhook.facts)
}

#[test]
fn the_same_seed_posts_the_same_webhooks_in_the_same_order() {
    let steady = at_rate(15.0, ScenarioKind::Steady);
    let [one, other] = [simulation(&steady), simulation(&steady)].map(|mut simulation| {
        let told = posted(&mut simulation, 60);
        told.into_iter().map(|(second, source, webhook)| (second, source, webhook.body)).collect::<Vec<_>>()
    });
    assert!(one == other && one.len() > 200, "{} webhooks", one.len());
}

#[test]
fn with_the_daily_curve_a_night_is_quiet() {
    let flat = at_rate(15.0, ScenarioKind::Steady);
    let curved = SimulateConfig { daily_curve: true, ..flat.clone() };
    let [flat, curved] = [flat, curved].map(|config| posted(&mut simulation(&config), 120).len());
    // It is seven minutes past three, when a quarter of the usual is ordered.
    assert!(curved > 0 && curved * 2 < flat, "{curved} of {flat} webhooks");
}

#[test]
fn the_rate_is_about_what_was_asked_for() {
    let mut steady = simulation(&at_rate(10.0, ScenarioKind::Steady));
    let told = posted(&mut steady, 700);
    // By then refunds and disputes of the first minutes come too.
    let late = told.iter().filter(|(second, _, _)| *second > 400).count() as f64 / 300.0;
    assert!((8.5..11.5).contains(&late), "{late} a second");
}

#[test]
fn nothing_is_posted_before_it_occurred() {
    let mut steady = simulation(&at_rate(15.0, ScenarioKind::Steady));
    for (second, _, webhook) in posted(&mut steady, 120) {
        assert!(webhook.occurred_at <= after(second));
    }
}

#[test]
fn a_duplicate_keeps_its_identity_and_is_counted_once() {
    let twice = ScheduleConfig { duplicate_share: 1.0, delay_scale: 0.0, ..ScheduleConfig::default() };
    let mut simulation = simulation(&SimulateConfig { schedule: twice, ..config(ScenarioKind::Steady) });
    let told = posted(&mut simulation, 30);
    let distinct: BTreeSet<(usize, &str)> =
        told.iter().map(|(_, source, webhook)| (*source, webhook.event_id.as_str())).collect();
    assert_eq!(told.len(), 2 * distinct.len());
    let counts = simulation.counts();
    assert_eq!((counts.events, counts.acknowledged_events), (distinct.len() as u64, distinct.len() as u64));
    assert!(simulation.events.len() <= simulation.waiting.len(), "acknowledged events are forgotten");
}

#[test]
fn what_is_not_acknowledged_is_posted_again_after_a_growing_pause() {
    let mut simulation = simulation(&config(ScenarioKind::Steady));
    let mut now = START;
    let mut delivery = loop {
        simulation.advance(now).unwrap();
        if let Some(delivery) = simulation.next_due(now).unwrap() {
            break delivery;
        }
        now = now.plus(Duration::from_millis(10));
    };
    let first = delivery.webhook.clone();
    simulation.stopped = false;
    for attempt in 1..=4_u32 {
        assert_eq!((delivery.attempt, &delivery.webhook.event_id), (attempt, &first.event_id));
        simulation.answered(delivery, Err(Failure::Timeout), now).unwrap();
        let waiting = simulation.waiting.values().find(|waiting| waiting.attempt == attempt + 1).unwrap();
        let pause = waiting.due.since(now).as_millis();
        let most = 1_000 << (attempt - 1);
        assert!((most / 2..=most).contains(&pause), "attempt {attempt}: {pause} ms");
        now = waiting.due;
        delivery = loop {
            let due = simulation.next_due(now).unwrap().expect("the retry is due");
            if due.webhook.event_id == first.event_id && !due.duplicate {
                break due;
            }
            simulation.answered(due, Ok(200), now).unwrap();
        };
    }
}

#[test]
fn an_issuer_outage_is_what_its_record_says() {
    // This source tells the issuer of every payment.
    let shop = vec![source(Provider::Canonical)];
    let mut simulation =
        simulation(&SimulateConfig { sources: shop, ..at_rate(20.0, ScenarioKind::IssuerOutage) });
    let told = posted(&mut simulation, 420);
    let truth = simulation.counts().incidents[0].clone();
    assert_eq!((truth.since, truth.until), (after(60), after(270)));
    let unanswered_share = |from: UnixMillis, to: UnixMillis| {
        let answers: Vec<bool> = facts(&told)
            .filter(|fact| fact.is_answer() && fact.issuer == truth.affected)
            // An answer comes a little after its payment: leave out the edges.
            .filter(|fact| from.plus(Duration::from_secs(5)) <= fact.occurred_at && fact.occurred_at < to)
            .map(|fact| {
                fact.decline
                    .as_ref()
                    .is_some_and(|decline| decline.category == DeclineCategory::IssuerUnavailable)
            })
            .collect();
        assert!(answers.len() > 15, "{} answers", answers.len());
        answers.iter().filter(|unanswered| **unanswered).count() as f64 / answers.len() as f64
    };
    assert!(unanswered_share(START, truth.since) < 0.1);
    assert!(unanswered_share(truth.since, truth.until) > 0.8);
    assert!(unanswered_share(truth.until, after(420)) < 0.1);
}

#[test]
fn provider_timeouts_lose_webhooks_and_fail_payments_of_one_source() {
    let mut simulation = simulation(&at_rate(40.0, ScenarioKind::ProviderTimeouts));
    let told = posted(&mut simulation, 300);
    let truth = simulation.counts().incidents[0].clone();
    let victim = sources().iter().position(|source| source.name == truth.affected).unwrap();
    let answers = |from: UnixMillis, to: UnixMillis| {
        let of_victim = told.iter().filter(|(_, source, _)| *source == victim);
        of_victim
            .flat_map(|(_, _, webhook)| &webhook.facts)
            .filter(|fact| fact.is_answer() && (from..to).contains(&fact.occurred_at))
            .map(|fact| fact.outcome == payments::Outcome::Failed)
            .collect::<Vec<bool>>()
    };
    let (before, during) = (answers(START, truth.since), answers(after(95), truth.until));
    let per_second = |answers: &[bool], seconds: f64| answers.len() as f64 / seconds;
    let volume = per_second(&during, 175.0) / per_second(&before, 60.0);
    assert!((0.4..0.8).contains(&volume), "{volume} of the usual volume");
    let failed = during.iter().filter(|failed| **failed).count() as f64 / during.len() as f64;
    assert!((0.08..0.3).contains(&failed), "{failed} of what is told");
}

#[test]
fn a_dead_source_is_silent_and_then_delivers_everything() {
    let mut simulation = simulation(&at_rate(15.0, ScenarioKind::DeadSource));
    let told = posted(&mut simulation, 420);
    let truth = simulation.counts().incidents[0].clone();
    let victim = sources().iter().position(|source| source.name == truth.affected).unwrap();
    let seconds: Vec<u64> =
        told.iter().filter(|(_, source, _)| *source == victim).map(|(second, _, _)| *second).collect();
    assert!(seconds.iter().any(|second| *second < 60));
    assert!(!seconds.iter().any(|second| (60..270).contains(second)));
    let held_back = told.iter().filter(|(second, source, webhook)| {
        *source == victim && *second >= 270 && webhook.occurred_at < truth.until
    });
    assert!(held_back.count() > 100);
}

#[test]
fn the_end_of_a_run_sends_what_occurred_and_no_more() {
    let short = SimulateConfig { duration: Some(Duration::from_secs(20)), ..config(ScenarioKind::Steady) };
    let mut simulation = simulation(&short);
    let told = posted(&mut simulation, 20);
    assert!(simulation.is_over(after(20)), "{} still waiting", simulation.waiting());
    assert!(told.iter().all(|(_, _, webhook)| webhook.occurred_at <= after(20)));
    assert_eq!(simulation.counts().acknowledged_events, simulation.counts().events);
}

#[test]
fn a_backfill_begins_in_the_past() {
    let filled =
        SimulateConfig { backfill: Duration::from_mins(10), ..at_rate(5.0, ScenarioKind::IssuerOutage) };
    let mut simulation = simulation(&filled);
    let told = posted(&mut simulation, 0);
    let earliest = told.iter().map(|(_, _, webhook)| webhook.occurred_at).min().unwrap();
    assert!(earliest < START.minus(Duration::from_secs(570)));
    assert!(told.len() > 1_800, "{}", told.len());
}

#[test]
fn a_target_that_is_away_does_not_fill_memory() {
    let mut simulation = simulation(&at_rate(1_000.0, ScenarioKind::Steady));
    assert_eq!(simulation.waiting_max, WAITING_MAX + 60_000);
    simulation.waiting_max = 500;
    simulation.advance(after(5)).unwrap();
    assert!((500..520).contains(&simulation.waiting.len()));
    assert!(simulation.next_arrival_ms < after(5).0 as f64, "what it missed is still to come");
}
