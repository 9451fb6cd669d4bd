//! A chart in words: for people who do not see it, and for the tooltip of one step.

use super::{Axis, Certainty, Chart};
use crate::model::Answers;
use crate::number;

/// `Approval rate, all sources, last 60 minutes: 88.1% at 03:06 UTC, lowest 61.0% at 03:05, highest 92.4% at 02:31.`
pub(super) fn in_words(chart: &Chart<'_>) -> String {
    let axis = &chart.axis;
    let (complete, empty): (Vec<(usize, Answers)>, Vec<_>) = chart
        .steps
        .iter()
        .copied()
        .enumerate()
        .filter(|(index, _)| axis.certainty(*index) == Certainty::Complete)
        .partition(|(_, answers)| answers.attempts() > 0);
    let opening = format!("Approval rate and attempts, {}, {}", chart.subject, axis.window.words());
    let (Some(last), Some(lowest), Some(highest)) = (
        complete.last(),
        complete.iter().min_by(|a, b| share(a.1).total_cmp(&share(b.1))),
        complete.iter().max_by(|a, b| share(a.1).total_cmp(&share(b.1))),
    ) else {
        let any = chart.steps.iter().any(|answers| answers.attempts() > 0);
        return format!("{opening}: {}.", if any { "too recent for a rate" } else { "no attempts" });
    };
    let at = |(index, answers): &(usize, Answers)| {
        let rate = number::percent(answers.approved, answers.attempts());
        format!("{rate} at {}", number::minute(axis.start_of(*index)))
    };
    let is_missing = (0..chart.steps.len()).any(|index| axis.certainty(index) == Certainty::Missing);
    let unheard = empty.iter().filter(|(index, _)| !axis.was_heard(*index)).count();
    let mut text = format!(
        "{opening}: {} UTC, lowest {}, highest {}, {} attempts a minute",
        at(last),
        at(lowest),
        at(highest),
        number::short(axis.per_minute(last.1)),
    );
    for (count, what) in [(empty.len() - unheard, "attempts"), (unheard, "a sign of life from ingest")] {
        if count > 0 {
            text.push_str(&format!("; {count} {} without {what}", if count == 1 { "step" } else { "steps" }));
        }
    }
    if is_missing {
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
