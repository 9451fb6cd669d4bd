//! The present in four numbers, each beside the hour before.

use maud::{Markup, html};

use super::panel;
use crate::model::{ApprovedMoney, Headline, Period, Snapshot};
use crate::number;

/// A change of the approval rate of this much is worth colour.
const NOTABLE_CHANGE: f64 = 0.02;
/// Currencies shown.
const CURRENCIES_MAX: usize = 4;
const NOTHING: &str = "nothing to compare with";

pub(super) fn section(snapshot: &Snapshot) -> Markup {
    let aside = snapshot.headline.value().map_or_else(|| html! {}, |headline| when(headline, snapshot));
    let body = panel::body(&snapshot.headline, snapshot, |headline| {
        html! {
            div .stats {
                (approval(headline))
                (attempts(headline))
                (money(headline))
                (latency(headline))
            }
        }
    });
    panel::section("now", "Now", &aside, &body)
}

/// Which minutes "now" is; an old "now" says how old it is.
fn when(headline: &Headline, snapshot: &Snapshot) -> Markup {
    let now = &headline.now;
    let age = snapshot.now.0 - now.to.0;
    let is_old = panel::is_old(snapshot) || snapshot.headline.failure.is_some();
    html! {
        p class=(if is_old { "aside old" } else { "aside" }) {
            (number::minute(now.from)) "–" (number::minute(now.to)) " UTC"
            @if is_old { ", " strong { (number::duration(age)) " ago" } }
            @if let Some(before) = headline.compared_with() { " · compared with the " (before) }
        }
    }
}

fn approval(headline: &Headline) -> Markup {
    let (now, before) = (headline.now.answers, headline.before.answers);
    let change = now.approval().zip(before.approval()).map(|(now, before)| now - before);
    html! {
        div .stat {
            h3 { "Approval rate" }
            p .value { (number::percent(now.approved, now.attempts())) }
            p .counts {
                @if now.attempts() == 0 { "no attempts" } @else { (number::counts(now.approved, now.attempts())) " approved" }
            }
            p .before {
                @if let Some(change) = change {
                    span class=(direction(change)) { (arrow(change)) " " (number::points(change)) }
                    " from " (number::percent(before.approved, before.attempts()))
                } @else { (NOTHING) }
            }
        }
    }
}

fn direction(change: f64) -> &'static str {
    match change {
        c if c <= -NOTABLE_CHANGE => "worse",
        c if c >= NOTABLE_CHANGE => "better",
        _ => "same",
    }
}

fn arrow(change: f64) -> &'static str {
    match change {
        c if c < -0.000_5 => "▼",
        c if c > 0.000_5 => "▲",
        _ => "■",
    }
}

fn attempts(headline: &Headline) -> Markup {
    let per_minute = |period: &Period| period.answers.attempts() as f64 / period.minutes();
    html! {
        div .stat {
            h3 { "Attempts" }
            p .value { (number::short(per_minute(&headline.now))) span .unit { "/min" } }
            p .counts { (number::grouped(headline.now.answers.attempts())) " in " (number::duration(headline.now.to.0 - headline.now.from.0)) }
            @if let Some(before) = headline.compared_with() {
                p .before { (before) " " (number::short(per_minute(&headline.before))) "/min" }
            } @else { p .before { (NOTHING) } }
        }
    }
}

fn money(headline: &Headline) -> Markup {
    let (now, before) = (&headline.now, &headline.before);
    let per_minute = |money: &ApprovedMoney, period: &Period| {
        number::money(money.amount_minor as f64 / period.minutes(), &money.currency)
    };
    let (first, others) =
        now.approved.split_first().map_or((None, &[][..]), |(first, rest)| (Some(first), rest));
    html! {
        div .stat {
            h3 { "Approved" }
            @if let Some(first) = first {
                p .value { (per_minute(first, now)) span .unit { "/min" } }
                @if !others.is_empty() {
                    p .counts {
                        @for (index, money) in others.iter().take(CURRENCIES_MAX - 1).enumerate() {
                            @if index > 0 { " · " }
                            (per_minute(money, now))
                        }
                        @if others.len() >= CURRENCIES_MAX { " · " (others.len() + 1 - CURRENCIES_MAX) " more" }
                    }
                } @else { p .counts { "in " (crate::words::name(&first.currency)) } }
                @let past = before.approved.iter().find(|money| money.currency == first.currency);
                @if let (Some(words), Some(money)) = (headline.compared_with(), past) {
                    p .before { (words) " " (per_minute(money, before)) "/min" }
                } @else { p .before { (NOTHING) } }
            } @else {
                p .value { "–" }
                p .counts { "no approved amounts" }
            }
        }
    }
}

fn latency(headline: &Headline) -> Markup {
    let (now, before) = (&headline.now, &headline.before);
    html! {
        div .stat {
            h3 { "Answer time" }
            @if let (Some(p50), Some(p95)) = (now.latency_p50_ms, now.latency_p95_ms) {
                p .value { (number::millis(p95)) span .unit { "p95" } }
                p .counts { (number::millis(p50)) " p50" }
                @if let (Some(words), Some(p95)) = (headline.compared_with(), before.latency_p95_ms) {
                    p .before { (words) " " (number::millis(p95)) " p95" }
                } @else { p .before { (NOTHING) } }
            } @else {
                p .value { "–" }
                p .counts { "not told by these providers" }
            }
        }
    }
}
