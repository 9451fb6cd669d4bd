//! Charts as inline SVG, drawn here: no library, no script, no external asset.
//!
//! A chart fills whatever width it is given. Text and dots are placed in percent of the width, so that they keep
//! their size on a phone; lines and bars are drawn on a grid of 1000 units that is stretched.

mod draw;
mod scale;
mod summary;

#[cfg(test)]
mod tests;

use maud::Markup;
use payments::UnixMillis;

use crate::model::{Answers, History};
use crate::window::Window;

pub(crate) use draw::hatch;
pub(crate) use scale::Scale;

/// Approval rate above, attempts below, one time axis.
#[derive(Debug)]
pub(crate) struct Chart<'a> {
    /// What it is of, for people who do not see it: `All sources`.
    pub(crate) subject: String,
    pub(crate) axis: Axis<'a>,
    /// One per step.
    pub(crate) steps: &'a [Answers],
    /// Of the approval rate, a share.
    pub(crate) rate: Scale,
    /// Of attempts a minute.
    pub(crate) volume: Scale,
    pub(crate) size: Size,
}

/// The time axis and what is known about it; the same for every chart of a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis<'a> {
    pub(crate) window: Window,
    pub(crate) from: UnixMillis,
    pub(crate) step_ms: i64,
    /// Whether somebody listened in the step.
    pub(crate) heard: &'a [bool],
    /// Steps that are not over at this instant are incomplete.
    pub(crate) complete_to: UnixMillis,
    /// Whether what follows `complete_to` is missing, not merely on its way.
    pub(crate) stale: bool,
    /// Instants worth a line: when an incident began.
    pub(crate) marks: &'a [Mark],
}

/// A vertical line with a word.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) at: UnixMillis,
    pub(crate) label: String,
}

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// The chart of the page.
    Large,
    /// One of many side by side.
    Small,
}

/// What can be said of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Certainty {
    /// It is over and everything in it is stored.
    Complete,
    /// More is coming.
    Incomplete,
    /// It is past, and nothing of it has come.
    Missing,
}

impl Chart<'_> {
    /// The chart as SVG, with a summary in words.
    pub(crate) fn render(&self) -> Markup {
        draw::chart(self)
    }
}

impl Axis<'_> {
    fn start_of(&self, index: usize) -> UnixMillis {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        UnixMillis(self.from.0.saturating_add(self.step_ms.saturating_mul(index)))
    }

    fn certainty(&self, index: usize) -> Certainty {
        let start = self.start_of(index);
        if start.0.saturating_add(self.step_ms) <= self.complete_to.0 {
            Certainty::Complete
        } else if self.stale && start.0 >= self.complete_to.0 {
            Certainty::Missing
        } else {
            Certainty::Incomplete
        }
    }

    fn was_heard(&self, index: usize) -> bool {
        self.heard.get(index).copied().unwrap_or(true)
    }

    /// Whether "no attempts" in this step may mean that nobody listened, or that the data are stale.
    pub(crate) fn is_unknown(&self, index: usize, answers: Answers) -> bool {
        match self.certainty(index) {
            Certainty::Missing => true,
            // A sign of life of the running step may still be on its way.
            Certainty::Incomplete => false,
            Certainty::Complete => answers.attempts() == 0 && !self.was_heard(index),
        }
    }

    /// Attempts a minute.
    fn per_minute(&self, answers: Answers) -> f64 {
        answers.attempts() as f64 * 60_000.0 / self.step_ms.max(1) as f64
    }
}

/// One pair of scales that fits every series, so that charts side by side can be compared; volumes each have their own.
pub(crate) fn rate_scale<'a>(series: impl Iterator<Item = &'a [Answers]>) -> Scale {
    Scale::of_shares(series.flatten().filter_map(|answers| answers.approval()))
}

/// The scale of attempts a minute that fits `steps`.
pub(crate) fn volume_scale(steps: &[Answers], step_ms: i64) -> Scale {
    let most = steps.iter().map(|answers| answers.attempts()).max().unwrap_or(0);
    Scale::from_zero(most as f64 * 60_000.0 / step_ms.max(1) as f64)
}

/// The last step that is over and has an attempt.
pub(crate) fn last_known<'a>(
    history: &History,
    steps: &'a [Answers],
    complete_to: UnixMillis,
) -> Option<(UnixMillis, &'a Answers)> {
    steps.iter().enumerate().rev().find_map(|(index, answers)| {
        let start = history.from.0 + history.step_ms * i64::try_from(index).ok()?;
        let is_over = start + history.step_ms <= complete_to.0;
        (is_over && answers.attempts() > 0).then_some((UnixMillis(start), answers))
    })
}
