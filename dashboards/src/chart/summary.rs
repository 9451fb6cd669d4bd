//! A chart in words: for people who do not see it, and for the tooltip of one step.

use super::{Axis, Certainty, Chart};
use crate::model::Answers;
use crate::number;

/// `Approval rate, all sources, last 60 minutes: 88.1% at 03:06 UTC, lowest 61.0% at 03:05, highest 92.4% at 02:31.`
pub(super) fn in_words(chart: &Chart<'_>) -> String {
    let axis = &chart.axis;
    let complete: Vec<(usize, Answers)> = chart
        .steps
        .iter()
        .copied()
        .enumerate()
        .filter(|(index, answers)| answers.attempts() > 0 && axis.certainty(*index) == Certainty::Complete)
        .collect();
    let opening = format!("Approval rate and attempts, {}, {}", chart.subject, axis.window.words());
    let (Some(last), Some(lowest), Some(highest)) = (
        complete.last(),
        complete.iter().min_by(|a, b| share(a.1).total_cmp(&share(b.1))),
        complete.iter().max_by(|a, b| share(a.1).total_cmp(&share(b.1))),
    ) else {
        return format!("{opening}: no attempts.");
    };
    let at = |(index, answers): &(usize, Answers)| {
        let rate = number::percent(answers.approved, answers.attempts());
        format!("{rate} at {}", number::minute(axis.start_of(*index)))
    };
    let missing = (0..chart.steps.len()).filter(|index| axis.certainty(*index) == Certainty::Missing).count();
    let gaps = chart.steps.len() - complete.len() - missing;
    let mut text = format!(
        "{opening}: {} UTC, lowest {}, highest {}, {} attempts a minute",
        at(last),
        at(lowest),
        at(highest),
        number::short(axis.per_minute(last.1)),
    );
    if gaps > 1 {
        text.push_str(&format!("; {gaps} steps without complete data"));
    }
    if missing > 0 {
        text.push_str(&format!("; nothing is known since {} UTC", number::minute(axis.complete_to)));
    }
    text.push('.');
    text
}

/// `03:05–03:06 UTC · approved 88.1% (421/478) · 478 a minute`.
pub(super) fn of_step(axis: &Axis<'_>, index: usize, answers: Answers) -> String {
    let (start, end) = (axis.start_of(index), axis.start_of(index + 1));
    let when = format!("{}–{} UTC", number::minute(start), number::minute(end));
    let certainty = axis.certainty(index);
    if certainty == Certainty::Missing {
        return format!("{when} · not known: data are stale");
    }
    if answers.attempts() == 0 {
        let why = if axis.was_heard(index) { "no attempts" } else { "no sign of life from ingest" };
        return format!("{when} · {why}");
    }
    let mut text = format!(
        "{when} · approved {} · {} a minute",
        number::rate(answers.approved, answers.attempts()),
        number::short(axis.per_minute(answers)),
    );
    if certainty == Certainty::Incomplete {
        text.push_str(" · incomplete");
    }
    text
}

fn share(answers: Answers) -> f64 {
    answers.approval().unwrap_or(0.0)
}
