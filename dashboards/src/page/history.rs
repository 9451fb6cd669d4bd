//! Approval rate and attempts over time: all together, then each source at the same scale.

use maud::{Markup, html};
use payments::UnixMillis;
use strum::VariantArray as _;

use super::panel;
use crate::chart::{self, Axis, Chart, Mark, Size};
use crate::model::{Answers, History, Snapshot, SourceHistory};
use crate::number;
use crate::window::Window;

/// Small charts shown; the busiest sources have them.
const SOURCES_MAX: usize = 12;

pub(super) fn section(snapshot: &Snapshot) -> Markup {
    let marks = marks(snapshot);
    let body = panel::body(&snapshot.history, snapshot, |history| {
        let complete_to = complete_to(snapshot);
        let axis = Axis {
            window: snapshot.window,
            from: history.from,
            step_ms: history.step_ms,
            heard: &history.heard,
            complete_to,
            stale: snapshot.now.0 - complete_to.0 > snapshot.stale_after_ms,
            marks: &marks,
        };
        html! {
            (legend(&axis))
            (overall(history, axis))
            (by_source(history, axis))
        }
    });
    panel::section("history", "Approval rate and attempts", &windows(snapshot.window), &body)
}

/// Plain links: the page works without script.
fn windows(shown: Window) -> Markup {
    html! {
        nav .windows aria-label="How far back" {
            @for window in Window::VARIANTS {
                a #{ "window-" (window.name()) } href={ "?window=" (window.name()) } aria-current=[(*window == shown).then_some("true")] {
                    (match window { Window::Hour => "60 min", Window::SixHours => "6 h", Window::Day => "24 h" })
                }
            }
        }
    }
}

/// Where the data end.
fn complete_to(snapshot: &Snapshot) -> UnixMillis {
    let known = snapshot.feed.value().and_then(|feed| feed.complete_to);
    let asked = snapshot.history.known.as_ref().map(|known| known.at);
    known.or(asked).unwrap_or(snapshot.now).min(asked.unwrap_or(snapshot.now))
}

fn marks(snapshot: &Snapshot) -> Vec<Mark> {
    let active = snapshot.alerts.value().map(|alerts| alerts.active.as_slice()).unwrap_or_default();
    let mut marks: Vec<Mark> = Vec::new();
    for alert in active {
        // Labels of incidents that began together would stand on each other.
        let is_near = |mark: &Mark| (mark.at.0 - alert.since.0).abs() < snapshot.window.tick_ms();
        if !marks.iter().any(is_near) {
            let label = format!("{} {}", alert.severity.label(), number::minute(alert.since));
            marks.push(Mark { at: alert.since, label });
        }
    }
    marks
}

fn legend(axis: &Axis<'_>) -> Markup {
    let key = |class: &str, text: &str| {
        html! { li { span class={ "key " (class) } aria-hidden="true" {} (text) } }
    };
    html! {
        ul .legend {
            (key("key-rate", "approval rate"))
            (key("key-bar", "attempts a minute"))
            (key("key-not-approved", "of them not approved"))
            (key("key-incomplete", "incomplete"))
            @if (0..axis.heard.len()).any(|index| axis.is_unknown(index, Answers::default())) {
                (key("key-unknown", "not known"))
            }
        }
    }
}

fn overall(history: &History, axis: Axis<'_>) -> Markup {
    let chart = Chart {
        subject: "all sources".to_owned(),
        axis,
        steps: &history.overall,
        rate: chart::rate_scale(std::iter::once(history.overall.as_slice())),
        volume: chart::volume_scale(&history.overall, history.step_ms),
        size: Size::Large,
    };
    chart.render()
}

fn by_source(history: &History, axis: Axis<'_>) -> Markup {
    let shown: &[SourceHistory] = history.by_source.get(..SOURCES_MAX).unwrap_or(&history.by_source);
    let rate = chart::rate_scale(shown.iter().map(|source| source.steps.as_slice()));
    let left_out = history.by_source.len() - shown.len();
    html! {
        @if !shown.is_empty() {
            h3 .by-source { "By source" span { "approval rates at one scale, each with its own scale of attempts" } }
            ul .multiples {
                @for source in shown {
                    li {
                        h4 { (panel::name(&source.source)) span { (crate::words::name(&source.provider)) } }
                        p .multiple-now { (latest(history, source, axis.complete_to)) }
                        (Chart {
                            subject: crate::words::name(&source.source),
                            axis,
                            steps: &source.steps,
                            rate: rate.clone(),
                            volume: chart::volume_scale(&source.steps, history.step_ms),
                            size: Size::Small,
                        }.render())
                    }
                }
            }
            @if left_out > 0 { p .empty { (left_out) " quieter sources have no chart here; the table below has them." } }
        }
    }
}

/// `88.1% (421/478) at 03:06`. A rate of a step that is not over would move with every webhook.
fn latest(history: &History, source: &SourceHistory, complete_to: UnixMillis) -> Markup {
    match chart::last_known(history, &source.steps, complete_to) {
        None if source.steps.iter().any(|step| step.attempts() > 0) => {
            html! { span .muted { "too recent for a rate" } }
        }
        None => html! { span .muted { "no attempts" } },
        Some((at, answers)) => html! {
            strong { (number::percent(answers.approved, answers.attempts())) }
            " (" (number::counts(answers.approved, answers.attempts())) ") "
            span .muted { "at " (number::minute(at)) }
        },
    }
}
