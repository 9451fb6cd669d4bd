//! Whether everything that was acknowledged is stored.

use maud::{Markup, html};

use super::panel;
use crate::model::{Completeness, Snapshot};
use crate::number;

pub(super) fn section(snapshot: &Snapshot) -> Markup {
    let body = panel::body(&snapshot.completeness, snapshot, |known| said(known, snapshot));
    let moment = |at| number::moment(at, snapshot.now);
    let aside = html! {
        @if let Some(known) = snapshot.completeness.value() {
            p .aside { "arrived " (moment(known.from)) "–" (moment(known.to)) " UTC" }
        }
    };
    panel::section("completeness", "Completeness", &aside, &body)
}

fn said(known: &Completeness, snapshot: &Snapshot) -> Markup {
    let missing: u64 = known.missing.iter().map(|source| source.webhooks).sum();
    html! {
        @if missing > 0 {
            p .panel-failure role="note" {
                (panel::warning_shape())
                strong {
                    (number::grouped(missing))
                    @if missing == 1 { " acknowledged webhook is not stored" } @else { " acknowledged webhooks are not stored" }
                }
                ": "
                @for (index, source) in known.missing.iter().enumerate() {
                    @if index > 0 { ", " }
                    (panel::name(&source.source)) " " (number::grouped(source.webhooks))
                    " (since " (number::moment(source.since, snapshot.now)) ")"
                }
                "."
            }
        } @else if known.acknowledged > 0 {
            p .empty { "All " (number::grouped(known.acknowledged)) " acknowledged webhooks are stored." }
        } @else {
            p .empty { "No acknowledged webhook was counted in this time." }
        }
        @if known.unaccounted > 0 {
            p .empty {
                (number::grouped(known.unaccounted))
                " more are stored than were counted: their ingest was killed, or is of an older version. Of their minutes nothing is proven."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Missing, Panel};
    use crate::page::examples::{at, normal};
    use crate::window::Window;

    fn text(known: Completeness) -> String {
        let mut snapshot = normal(Window::Hour);
        snapshot.completeness = Panel::known(snapshot.now, known);
        section(&snapshot).0
    }

    #[test]
    fn it_says_what_is_missing_and_what_is_not_proven_and_never_that_all_is_well_then() {
        let missing = vec![
            Missing { source: "stripe-us".to_owned(), webhooks: 1_204, since: at("01:10:00") },
            Missing { source: "<b>".to_owned(), webhooks: 1, since: at("02:10:00") },
        ];
        let known = Completeness { acknowledged: 5_000, unaccounted: 7, missing, ..Completeness::default() };
        let page = text(known);
        assert!(page.contains("1,205 acknowledged webhooks are not stored"), "{page}");
        assert!(
            page.contains("stripe-us</bdi> 1,204 (since 01:10), ") && page.contains("&lt;b&gt;"),
            "{page}"
        );
        assert!(page.contains("7 more are stored than were counted") && !page.contains("All "), "{page}");
        let nothing = text(Completeness { unaccounted: 7, ..Completeness::default() });
        assert!(nothing.contains("No acknowledged webhook was counted"), "{nothing}");
    }
}
