//! How far the data reach, and what a count is.

use maud::{Markup, html};

use super::Context;
use crate::model::Snapshot;
use crate::number;

pub(super) fn footer(snapshot: &Snapshot, context: &Context) -> Markup {
    let complete_to = snapshot.feed.value().and_then(|feed| feed.complete_to);
    html! {
        footer {
            p {
                @match complete_to {
                    Some(at) => { "Data complete to " strong { (number::second(at)) " UTC" } },
                    None => "How complete the data are is not known",
                }
                @if let Some(history) = snapshot.history.value() {
                    " · " (number::grouped(history.overall.iter().map(|step| step.attempts()).sum())) " attempts in the " (snapshot.window.words())
                }
                " · Tillwatch " (context.version)
                " · " a #json href={ "board/data.json?window=" (snapshot.window.name()) } { "these numbers as JSON" }
            }
            p {
                @if let Some(headline) = snapshot.headline.value() {
                    @let test_mode = headline.now.test_mode + headline.before.test_mode;
                    @if test_mode > 0 { (number::grouped(test_mode)) " attempts in test mode are in no number here. " }
                }
                "Every attempt is counted once, however often its webhook came. Rates count approved, declined and failed "
                "authorizations. All times UTC."
            }
        }
    }
}
