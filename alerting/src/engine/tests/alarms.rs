//! How often the shipped issuer rule pages for nothing, and how soon it pages for an outage, in drawn worlds.

use payments::UnixMillis;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::world::{Issuer, START, TICK_MS, shipped, tick};
use crate::page::Action;
use crate::storage::Book;

const QUARTERS_A_DAY: usize = 4 * 60 * 24;

/// How much is drawn: little in every run, as much as `docs/alerting.md` says when the environment asks for it.
fn drawn(name: &str, usually: usize) -> usize {
    std::env::var(name).map_or(usually, |count| count.parse().unwrap())
}

/// Shares of issuers by rank, as merchants see them: one of ten percent, a long tail.
fn issuers(attempts_per_minute: f64, count: usize) -> Vec<Issuer> {
    let weight = |rank: usize| ((rank + 1) as f64).powf(-0.75);
    let total: f64 = (0..count).map(weight).sum();
    let issuer = |rank| Issuer::new(&format!("Bank {rank}"), attempts_per_minute * weight(rank) / total);
    (0..count).map(issuer).collect()
}

fn wander(usual: f64, noise: f64) -> f64 {
    1.0 / (1.0 + (-((usual / (1.0 - usual)).ln() + noise)).exp())
}

/// Healthy days: each issuer has its own usual rate of 8 to 15%, which wanders in log-odds by `noise` (standard
/// deviation, correlated over a quarter of an hour). Returns the pages.
fn pages_of_healthy_days(days: usize, noise: f64, seed: u64) -> usize {
    let rule = shipped("issuer-declines");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut issuers = issuers(1_500.0, 40);
    let usual: Vec<f64> = issuers.iter().map(|_| rng.random_range(0.08..0.15)).collect();
    let mut wandering = vec![0.0_f64; issuers.len()];
    let (mut book, mut pages) = (Book::default(), 0);
    for quarter in 0..days * QUARTERS_A_DAY {
        for ((issuer, usual), wandering) in issuers.iter_mut().zip(&usual).zip(&mut wandering) {
            // An autoregressive walk whose standard deviation is `noise`; a sum of uniforms is near enough to normal.
            let normal = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
            let keep = 1.0 - 1.0 / 60.0;
            *wandering = *wandering * keep + normal * noise * (1.0 - keep * keep).sqrt();
            issuer.live(wander(*usual, *wandering), &mut rng);
        }
        let now = UnixMillis(START.0 + i64::try_from(quarter).unwrap() * TICK_MS);
        let samples = issuers.iter().map(|issuer| issuer.sample(&rule)).collect();
        let changes = tick(book, &rule, Some(samples), now);
        pages += changes
            .messages
            .iter()
            .filter(|(channel, m)| channel == "log" && m.action == Action::Trigger)
            .count();
        book = changes.book;
    }
    pages
}

/// Seconds from the onset of an outage (nine in ten refused) of an issuer with `per_minute` attempts to its page.
fn delay_of_outage(per_minute: f64, seed: u64) -> i64 {
    let rule = shipped("issuer-declines");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut issuer = Issuer::new("Harbour Bank", per_minute);
    let onset = 40 + usize::try_from(seed % 4).unwrap();
    let mut book = Book::default();
    for quarter in 0..onset + 40 {
        issuer.live(if quarter < onset { 0.12 } else { 0.91 }, &mut rng);
        let now = UnixMillis(START.0 + i64::try_from(quarter).unwrap() * TICK_MS);
        let changes = tick(book, &rule, Some(vec![issuer.sample(&rule)]), now);
        if changes.messages.iter().any(|(_, message)| message.action == Action::Trigger) {
            assert!(quarter >= onset, "a page before the outage");
            return i64::try_from(quarter - onset + 1).unwrap() * TICK_MS / 1000;
        }
        book = changes.book;
    }
    panic!("no page within ten minutes at {per_minute}/min, seed {seed}");
}

#[test]
fn a_healthy_day_of_forty_issuers_never_pages() {
    let days = drawn("TILLWATCH_DRAWN_DAYS", 1);
    let (calm, rough) = (pages_of_healthy_days(days, 0.3, 11), pages_of_healthy_days(days, 0.5, 11));
    println!("{days} healthy days: {calm} pages, {rough} when rates wander by 0.5");
    assert_eq!(calm, 0);
}

#[test]
fn an_outage_pages_within_two_minutes_of_data() {
    for per_minute in [45.0, 90.0, 240.0] {
        let outages = drawn("TILLWATCH_DRAWN_OUTAGES", 40);
        let mut delays: Vec<i64> =
            (0..outages as u64).map(|seed| delay_of_outage(per_minute, seed)).collect();
        delays.sort_unstable();
        let (median, most) = (delays[outages / 2], delays[outages * 9 / 10]);
        let longest = delays[outages - 1];
        println!("{per_minute}/min, {outages} outages: median {median} s, 90% {most} s, longest {longest} s");
        // What comes on top: the age of the newest heartbeat (10 s at most) and the insert (1 s).
        assert!(longest <= 120, "{per_minute}/min: median {median} s, longest {longest} s");
    }
}

/// What chance can do at the line: the exact probability that a healthy slice is over it in one evaluation.
#[test]
fn chance_alone_hardly_ever_crosses_the_line() {
    for attempts in [30_u64, 60, 120, 300, 1_000] {
        let fails =
            (0..=attempts).find(|failures| crate::stats::wilson_lower(*failures, attempts, 3.29) > 0.35);
        let tail = fails.map_or(0.0, |first| binomial_tail(attempts, first, 0.25));
        assert!(tail < 1e-4, "{attempts}: {tail:e} at a rate of 25%");
        let usual = fails.map_or(0.0, |first| binomial_tail(attempts, first, 0.15));
        assert!(usual < 1e-8, "{attempts}: {usual:e} at a rate of 15%");
    }
}

fn binomial_tail(n: u64, first: u64, p: f64) -> f64 {
    let mut log_choose = 0.0_f64;
    let mut tail = 0.0;
    for k in 0..=n {
        if k > 0 {
            log_choose += ((n - k + 1) as f64 / k as f64).ln();
        }
        if k >= first {
            tail += (log_choose + k as f64 * p.ln() + (n - k) as f64 * (1.0 - p).ln()).exp();
        }
    }
    tail
}
