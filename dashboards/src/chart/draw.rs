//! The SVG itself.

use maud::{Markup, html};
use payments::UnixMillis;

use super::{Axis, Certainty, Chart, Size, summary};
use crate::number;

/// Width of the stretched grid on which lines and bars are drawn.
const GRID: f64 = 1_000.0;
/// Share of a step that its bar fills.
const BAR: f64 = 0.72;

/// Heights in pixels, from the top.
struct Layout {
    /// Room above the plot, for marks.
    top: f64,
    rate: f64,
    /// Between the plots.
    between: f64,
    volume: f64,
    /// For the time axis.
    below: f64,
}

impl Layout {
    fn of(size: Size) -> Self {
        match size {
            Size::Large => Self { top: 18.0, rate: 168.0, between: 28.0, volume: 64.0, below: 24.0 },
            Size::Small => Self { top: 6.0, rate: 72.0, between: 14.0, volume: 28.0, below: 20.0 },
        }
    }

    fn volume_top(&self) -> f64 {
        self.top + self.rate + self.between
    }

    fn bottom(&self) -> f64 {
        self.volume_top() + self.volume
    }

    fn height(&self) -> f64 {
        self.bottom() + self.below
    }
}

/// What hatched areas are filled with; once a page.
pub(crate) fn hatch() -> Markup {
    html! {
        svg .definitions width="0" height="0" aria-hidden="true" focusable="false" {
            defs {
                pattern #hatch width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect .hatch-line width="1.5" height="6" {}
                }
                pattern #hatch-bar width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect .hatch-bar-line width="2" height="4" {}
                }
            }
        }
    }
}

pub(super) fn chart(chart: &Chart<'_>) -> Markup {
    let layout = Layout::of(chart.size);
    let class = if chart.size == Size::Large { "chart large" } else { "chart" };
    html! {
        div class=(class) role="img" aria-label=(summary::in_words(chart)) {
            (value_axis(chart, &layout))
            svg .plot width="100%" height=(px(layout.height())) aria-hidden="true" focusable="false" {
                (grid_lines(chart, &layout))
                (time_axis(chart, &layout))
                (bands(chart, &layout))
                (bars(chart, &layout))
                (marks(chart, &layout))
                (lines(chart, &layout))
                (dots(chart, &layout))
                (targets(chart, &layout))
            }
            @if chart.size == Size::Large { (labels(chart, &layout)) }
        }
    }
}

fn value_axis(chart: &Chart<'_>, layout: &Layout) -> Markup {
    let width = 40.0;
    html! {
        svg .values width=(px(width)) height=(px(layout.height())) aria-hidden="true" focusable="false" {
            @for (index, tick) in chart.rate.ticks.iter().enumerate() {
                @if chart.size == Size::Large || index == 0 || index + 1 == chart.rate.ticks.len() {
                    text x=(px(width - 8.0)) y=(px(layout.top + chart.rate.y(*tick, layout.rate) + 4.0)) text-anchor="end" {
                        (format!("{:.0}%", tick * 100.0))
                    }
                }
            }
            @for tick in chart.volume.ticks.iter().skip(1) {
                @if Some(tick) == chart.volume.ticks.last() {
                    text x=(px(width - 8.0)) y=(px(layout.volume_top() + chart.volume.y(*tick, layout.volume) + 4.0)) text-anchor="end" {
                        (number::short(*tick))
                    }
                }
            }
            text x=(px(width - 8.0)) y=(px(layout.bottom() + 4.0)) text-anchor="end" { "0" }
        }
    }
}

fn grid_lines(chart: &Chart<'_>, layout: &Layout) -> Markup {
    let rates = chart.rate.ticks.iter().map(|tick| layout.top + chart.rate.y(*tick, layout.rate));
    let volumes = [layout.volume_top() + chart.volume.y(f64::MAX, layout.volume), layout.bottom()];
    html! {
        @for y in rates.chain(volumes) {
            line .grid x1="0" x2="100%" y1=(px(y)) y2=(px(y)) {}
        }
    }
}

fn time_axis(chart: &Chart<'_>, layout: &Layout) -> Markup {
    let axis = &chart.axis;
    // Half as many where there is half the room.
    let tick_ms = axis.window.tick_ms() * if chart.size == Size::Large { 1 } else { 2 };
    let end = axis.start_of(chart.steps.len());
    let first = axis.from.0.div_euclid(tick_ms) * tick_ms;
    let ticks =
        (0..64).map(|index| UnixMillis(first + tick_ms * index)).filter(|at| *at >= axis.from && *at < end);
    let y = layout.bottom();
    html! {
        @for at in ticks {
            @let x = across(axis, at, chart.steps.len());
            line .tick x1=(percent(x)) x2=(percent(x)) y1=(px(y)) y2=(px(y + 4.0)) {}
            @if (0.03..0.97).contains(&x) {
                text x=(percent(x)) y=(px(y + 17.0)) text-anchor="middle" { (time_label(at)) }
            }
        }
    }
}

/// `03:10`; at midnight the day.
fn time_label(at: UnixMillis) -> String {
    if at.0.rem_euclid(86_400_000) == 0 { number::day(at) } else { number::minute(at) }
}

/// Where nobody listened, and where the data are stale.
fn bands(chart: &Chart<'_>, layout: &Layout) -> Markup {
    let count = chart.steps.len().max(1) as f64;
    let is_unknown =
        |index: usize| chart.axis.is_unknown(index, chart.steps.get(index).copied().unwrap_or_default());
    html! {
        @for (first, last) in runs(chart.steps.len(), is_unknown) {
            rect .unknown x=(percent(first as f64 / count)) width=(percent((last + 1 - first) as f64 / count))
                y=(px(layout.top)) height=(px(layout.bottom() - layout.top)) fill="url(#hatch)" {}
        }
    }
}

/// Attempts, with those not approved at the foot of each bar.
fn bars(chart: &Chart<'_>, layout: &Layout) -> Markup {
    let (mut all, mut not_approved, mut incomplete) = (String::new(), String::new(), String::new());
    for (index, answers) in chart.steps.iter().enumerate() {
        if answers.attempts() == 0 {
            continue;
        }
        let per_minute = chart.axis.per_minute(*answers);
        let into =
            if chart.axis.certainty(index) == Certainty::Complete { &mut all } else { &mut incomplete };
        bar(into, chart, index, per_minute, layout);
        let share = answers.not_approved() as f64 / answers.attempts() as f64;
        bar(&mut not_approved, chart, index, per_minute * share, layout);
    }
    html! {
        svg x="0" y=(px(layout.volume_top())) width="100%" height=(px(layout.volume))
            viewBox=(format!("0 0 1000 {}", px(layout.volume))) preserveAspectRatio="none" {
            path .bar d=(all) {}
            path .bar-incomplete d=(incomplete) fill="url(#hatch-bar)" {}
            path .bar-not-approved d=(not_approved) {}
        }
    }
}

fn bar(path: &mut String, chart: &Chart<'_>, index: usize, per_minute: f64, layout: &Layout) {
    let step = GRID / chart.steps.len().max(1) as f64;
    let left = step * (index as f64 + (1.0 - BAR) / 2.0);
    let y = chart.volume.y(per_minute, layout.volume);
    path.push_str(&format!(
        "M{} {}H{}V{}H{}Z",
        px(left),
        px(layout.volume),
        px(left + step * BAR),
        px(y),
        px(left)
    ));
}

/// The rate: one stroke for each run of steps with attempts; a gap is a gap.
fn lines(chart: &Chart<'_>, layout: &Layout) -> Markup {
    let has_rate = |index: usize| chart.steps.get(index).is_some_and(|answers| answers.attempts() > 0);
    let is_complete = |index: usize| chart.axis.certainty(index) == Certainty::Complete;
    let (mut complete, mut incomplete) = (String::new(), String::new());
    for (first, last) in runs(chart.steps.len(), has_rate) {
        for index in first..last {
            let path = if is_complete(index + 1) { &mut complete } else { &mut incomplete };
            if index == first || !is_complete(index + 1) {
                path.push_str(&format!("M{}", point(chart, layout, index)));
            }
            path.push_str(&format!("L{}", point(chart, layout, index + 1)));
        }
    }
    html! {
        svg .lines x="0" y=(px(layout.top)) width="100%" height=(px(layout.rate))
            viewBox=(format!("0 0 1000 {}", px(layout.rate))) preserveAspectRatio="none" {
            path .rate d=(complete) vector-effect="non-scaling-stroke" {}
            path .rate .incomplete d=(incomplete) vector-effect="non-scaling-stroke" {}
        }
    }
}

fn point(chart: &Chart<'_>, layout: &Layout, index: usize) -> String {
    let x = GRID * (index as f64 + 0.5) / chart.steps.len().max(1) as f64;
    let share = chart.steps.get(index).and_then(|answers| answers.approval()).unwrap_or(0.0);
    format!("{} {}", px(x), px(chart.rate.y(share, layout.rate)))
}

/// A dot for a step without neighbours, for the last complete step, and a hollow one for what is incomplete.
fn dots(chart: &Chart<'_>, layout: &Layout) -> Markup {
    let has_rate = |index: usize| chart.steps.get(index).is_some_and(|answers| answers.attempts() > 0);
    let last_complete = last_complete(chart);
    let shown = (0..chart.steps.len()).filter(|index| has_rate(*index)).filter(|index| {
        let follows_one = index.checked_sub(1).is_some_and(has_rate);
        let alone = !follows_one && !has_rate(index + 1);
        let incomplete = chart.axis.certainty(*index) != Certainty::Complete;
        alone || incomplete || Some(*index) == last_complete
    });
    html! {
        @for index in shown {
            @let answers = chart.steps[index];
            @let hollow = chart.axis.certainty(index) != Certainty::Complete;
            circle class=(if hollow { "dot hollow" } else { "dot" }) r="3"
                cx=(percent((index as f64 + 0.5) / chart.steps.len().max(1) as f64))
                cy=(px(layout.top + chart.rate.y(answers.approval().unwrap_or(0.0), layout.rate))) {}
        }
    }
}

fn last_complete(chart: &Chart<'_>) -> Option<usize> {
    (0..chart.steps.len()).rev().find(|index| {
        chart.axis.certainty(*index) == Certainty::Complete && chart.steps[*index].attempts() > 0
    })
}

/// When incidents began.
fn marks(chart: &Chart<'_>, layout: &Layout) -> Markup {
    let end = chart.axis.start_of(chart.steps.len());
    let visible = chart.axis.marks.iter().filter(|mark| mark.at >= chart.axis.from && mark.at < end);
    html! {
        @for mark in visible {
            @let x = across(&chart.axis, mark.at, chart.steps.len());
            line .mark x1=(percent(x)) x2=(percent(x)) y1=(px(layout.top - 4.0)) y2=(px(layout.bottom())) {}
            @if chart.size == Size::Large {
                text .mark-label x=(percent(x)) y=(px(layout.top - 8.0)) text-anchor=(anchor(x)) { (mark.label) }
            }
        }
    }
}

/// One invisible column a step, whose tooltip tells its numbers.
fn targets(chart: &Chart<'_>, layout: &Layout) -> Markup {
    let count = chart.steps.len().max(1) as f64;
    html! {
        @for (index, answers) in chart.steps.iter().enumerate() {
            rect .target x=(percent(index as f64 / count)) width=(percent(1.0 / count))
                y=(px(layout.top)) height=(px(layout.bottom() - layout.top)) {
                title { (summary::of_step(&chart.axis, index, *answers)) }
            }
        }
    }
}

/// What the line and the bars are, written where they end.
fn labels(chart: &Chart<'_>, layout: &Layout) -> Markup {
    let Some(index) = last_complete(chart) else { return html! {} };
    let Some(answers) = chart.steps.get(index) else { return html! {} };
    // An old number never stands without its age.
    let age = chart.axis.stale.then(|| format!("at {}", number::minute(chart.axis.start_of(index))));
    let words = |fresh: &str| age.clone().unwrap_or_else(|| fresh.to_owned());
    let rate_y = layout.top + chart.rate.y(answers.approval().unwrap_or(0.0), layout.rate);
    let rate_y = rate_y.clamp(layout.top + 8.0, layout.top + layout.rate - 8.0);
    let per_minute = chart.axis.per_minute(*answers);
    html! {
        svg .labels width="72" height=(px(layout.height())) aria-hidden="true" focusable="false" {
            text .label-rate x="8" y=(px(rate_y)) { (number::percent(answers.approved, answers.attempts())) }
            text x="8" y=(px(rate_y + 14.0)) { (words("approved")) }
            text .label-volume x="8" y=(px(layout.volume_top() + 22.0)) { (number::short(per_minute)) "/min" }
            text x="8" y=(px(layout.volume_top() + 36.0)) { (words("attempts")) }
            text .label-not-approved x="8" y=(px(layout.bottom())) { "not appr." }
        }
    }
}

/// Where an instant stands, as a share of the width.
fn across(axis: &Axis<'_>, at: UnixMillis, steps: usize) -> f64 {
    let width = axis.step_ms.max(1) as f64 * steps.max(1) as f64;
    ((at.0.saturating_sub(axis.from.0)) as f64 / width).clamp(0.0, 1.0)
}

fn anchor(x: f64) -> &'static str {
    match x {
        x if x < 0.15 => "start",
        x if x > 0.85 => "end",
        _ => "middle",
    }
}

/// The first and last index of each run of indices for which `holds`.
fn runs(count: usize, holds: impl Fn(usize) -> bool) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for index in (0..count).filter(|index| holds(*index)) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => runs.push((index, index)),
        }
    }
    runs
}

/// Never `NaN`: one bad number must not take the chart away.
fn px(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), ToOwned::to_owned)
}

fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.3}%", share * 100.0) } else { "0%".to_owned() }
}
