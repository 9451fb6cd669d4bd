//! Which issuers fail more than they did.

use maud::{Markup, html};

use super::panel;
use crate::model::{Issuer, Snapshot};
use crate::{number, words};

pub(super) fn section(snapshot: &Snapshot) -> Markup {
    let body = panel::body(&snapshot.issuers, snapshot, |issuers| {
        html! {
            @if issuers.is_empty() {
                p .empty { "No issuer is told for what failed in these minutes." }
            } @else {
                table {
                    thead { tr {
                        th scope="col" { "Issuer" }
                        th scope="col" .number { "Approved" span .th-note { "of attempts" } }
                        th scope="col" .number { "Change" span .th-note { "to " (panel::compared_with(snapshot)) } }
                    } }
                    tbody { @for issuer in issuers { (row(issuer)) } }
                }
            }
        }
    });
    panel::section("issuers", "Top failing issuers", &panel::age(snapshot), &body)
}

fn row(issuer: &Issuer) -> Markup {
    let change = issuer.now.approval().zip(issuer.before.approval()).map(|(now, before)| now - before);
    html! {
        tr {
            th scope="row" {
                (panel::name(&issuer.issuer))
                @if !issuer.country.is_empty() { span .sub { (words::name(&issuer.country)) } }
            }
            td .number {
                (number::percent(issuer.now.approved, issuer.now.attempts()))
                span .sub { (number::counts(issuer.now.approved, issuer.now.attempts())) }
            }
            td .number {
                @match change {
                    Some(change) => {
                        span class=(if change <= -0.02 { "worse" } else { "same" }) { (number::points(change)) }
                        span .sub { "from " (number::percent(issuer.before.approved, issuer.before.attempts())) }
                    }
                    None => span .muted { "–" },
                }
            }
        }
    }
}
