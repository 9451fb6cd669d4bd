//! Why attempts are not approved now.

use maud::{Markup, html};

use super::panel;
use crate::model::{DeclineCode, Snapshot};
use crate::{number, words};

pub(super) fn section(snapshot: &Snapshot) -> Markup {
    let body = panel::body(&snapshot.declines, snapshot, |codes| {
        html! {
            @if codes.is_empty() {
                p .empty { "Nothing was declined in these minutes." }
            } @else {
                table {
                    thead { tr {
                        th scope="col" { "Code" }
                        th scope="col" .number { "Count" }
                        th scope="col" .number { "Share" span .th-note { "of attempts" } }
                        th scope="col" .number { "Change" span .th-note { "to " (panel::compared_with(snapshot)) } }
                    } }
                    tbody { @for code in codes { (row(code)) } }
                }
            }
        }
    });
    panel::section("declines", "Top decline codes", &panel::age(snapshot), &body)
}

fn row(code: &DeclineCode) -> Markup {
    let share = |count: u64, of: u64| if of == 0 { None } else { Some(count as f64 / of as f64) };
    let change = share(code.count, code.of)
        .zip(share(code.count_before, code.of_before))
        .map(|(now, before)| now - before);
    html! {
        tr {
            th scope="row" {
                (panel::name(&code.code))
                span .sub {
                    (words::name(&code.provider)) " · "
                    @if code.category != code.code { (spaced(&code.category)) " · " }
                    (words::name(&code.class))
                }
            }
            td .number { (number::grouped(code.count)) }
            td .number { (number::percent(code.count, code.of)) }
            td .number {
                @match change {
                    Some(change) => span class=(if change >= 0.005 { "worse" } else { "same" }) { (number::points(change)) },
                    None => span .muted { "–" },
                }
            }
        }
    }
}

/// `issuer_unavailable` as `issuer unavailable`: it may break between words.
fn spaced(category: &str) -> String {
    words::name(category).replace('_', " ")
}
