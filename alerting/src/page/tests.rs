//! Pages as people read them. The snapshots were read by a person before they were accepted.

use payments::UnixMillis;
use proptest::prelude::*;

use super::*;

pub(crate) const ONSET: UnixMillis = UnixMillis(1_795_356_120_000); // 2026-11-22T14:02:00Z
const MINUTE: i64 = 60_000;

/// A simulated issuer outage, two and a half minutes in.
pub(crate) fn outage() -> Page {
    outage_of("Harbour Bank")
}

pub(crate) fn outage_of(issuer: &str) -> Page {
    let impact = Impact {
        payments: Some(153.4),
        money: Some(MoneyImpactForTests::of(1_843.0, 4_612.0)),
        unknown: String::new(),
    };
    Page {
        severity: Severity::Critical,
        headline: Headline {
            before: "Declines 12→91%".to_owned(),
            slice: format!("issuer {}", outside(issuer)),
            after: impact.in_title(),
        },
        incident_id: 8,
        dedup_key: "9f2c4e1ab07d43c2a1d35e6f7a8b9c0d".to_owned(),
        reopened: false,
        flapping: false,
        rule: "issuer-declines".to_owned(),
        rule_version: "1f2e3d4c".to_owned(),
        owner: "payments-oncall".to_owned(),
        slice: vec![SliceValue { dimension: "issuer".to_owned(), value: outside(issuer) }],
        since: Some(ONSET),
        since_at_least: false,
        paged_at: UnixMillis(ONSET.0 + 150_000),
        impact,
        measure: "declined".to_owned(),
        now: Measured::Share { count: 190, of: 209 },
        usual: Some(Usual {
            measured: Measured::Share { count: 412, of: 3_430 },
            from: UnixMillis(ONSET.0 - 60 * MINUTE),
            to: ONSET,
        }),
        codes: vec![
            CodeExcess { category: "do_not_honor".to_owned(), code: "05".to_owned(), excess: 139.2 },
            CodeExcess { category: "issuer_unavailable".to_owned(), code: "91".to_owned(), excess: 11.0 },
        ],
        samples: vec!["evt_newest".to_owned(), "evt_newer".to_owned(), "evt_onset".to_owned()],
        links: Links {
            board: "https://till.example/?from=1795352520000&issuer=Harbour%20Bank".to_owned(),
            runbook: "docs/runbooks/issuer-declines.md".to_owned(),
            events: "tillwatch events --from 2026-11-22T14:02:00.000Z --where issuer='Harbour Bank'"
                .to_owned(),
        },
        data: DataFreshness {
            complete_to: Some(UnixMillis(ONSET.0 + 148_000)),
            lag_ms: Some(2_000),
            frozen: None,
        },
        notes: Vec::new(),
    }
}

struct MoneyImpactForTests;

impl MoneyImpactForTests {
    fn of(per_minute: f64, so_far: f64) -> impact::MoneyImpact {
        impact::MoneyImpact {
            currency: "USD".to_owned(),
            per_minute,
            so_far,
            unconverted: 0,
            unconverted_currencies: Vec::new(),
        }
    }
}

pub(crate) fn message(action: Action, page: Page) -> Message {
    let (line, after) = match action {
        Action::Update => ("Update 14:12 UTC: improving, 24% (12/50) now", 10),
        Action::Resolve | Action::Missed => ("Back to 13% (41/320), usual 12%. Confirmed 14:40 UTC.", 38),
        Action::Trigger => ("", 2),
    };
    Message { action, line: line.to_owned(), at: UnixMillis(ONSET.0 + after * MINUTE), page }
}

#[test]
fn an_issuer_outage_reads_well_on_a_phone() {
    insta::assert_snapshot!(full_text(&message(Action::Trigger, outage())));
}

#[test]
fn its_update_and_its_end_read_well() {
    insta::assert_snapshot!("update", full_text(&message(Action::Update, outage())));
    insta::assert_snapshot!("resolve", full_text(&message(Action::Resolve, outage())));
    insta::assert_snapshot!("missed", minimal_text(&message(Action::Missed, outage())));
}

#[test]
fn what_is_not_known_is_said_to_be_unknown() {
    let page = Page {
        impact: Impact::unknown("no amounts"),
        since: None,
        usual: None,
        codes: Vec::new(),
        samples: Vec::new(),
        slice: Vec::new(),
        data: DataFreshness {
            complete_to: Some(ONSET),
            lag_ms: Some(720_000),
            frozen: Some(crate::state::Health::Stale),
        },
        headline: Headline { before: "Declines 29%".to_owned(), ..Headline::default() },
        ..outage()
    };
    insta::assert_snapshot!(full_text(&message(Action::Trigger, page)));
}

#[test]
fn a_dead_source_is_named_with_what_is_usual() {
    let page = Page {
        headline: Headline {
            before: "No".to_owned(),
            slice: "adyen-eu".to_owned(),
            after: "webhooks for 3 min (usually 41/min)".to_owned(),
        },
        now: Measured::Silence { ms: 180_000 },
        ..outage()
    };
    assert_eq!(title(&page), "P1 No adyen-eu webhooks for 3 min (usually 41/min)");
}

#[test]
fn a_page_about_alerting_itself_says_nothing_of_payments() {
    let page = Page {
        rule: crate::engine::DEGRADED.to_owned(),
        headline: Headline {
            before: "Alerting is blind:".to_owned(),
            after: "nothing judged for 3 min".to_owned(),
            ..Headline::default()
        },
        impact: Impact::unknown("payments may be fine, but nobody would be paged if they were not"),
        since: Some(UnixMillis(ONSET.0 - 15 * 60 * MINUTE)),
        now: Measured::Silence { ms: 180_000 },
        data: DataFreshness::default(),
        notes: vec!["ClickHouse does not answer".to_owned()],
        ..outage()
    };
    insta::assert_snapshot!(full_text(&message(Action::Trigger, page)));
}

proptest! {
    #[test]
    fn any_name_leaves_title_impact_since_and_link_intact(issuer in "(.|[\u{202A}-\u{202E}\u{5D0}-\u{5EA}<>&\r\n]){0,300}") {
        let page = outage_of(&issuer);
        let title = title(&page);
        prop_assert!(title.chars().count() <= TITLE_CHARS_MAX, "{}", title);
        prop_assert!(title.starts_with("P1 Declines 12→91% issuer "), "{}", title);
        prop_assert!(title.ends_with(" ~$1.8k/min"), "{}", title);
        prop_assert!(!title.contains('\n'));
        let text = full_text(&message(Action::Trigger, page.clone()));
        for kept in ["~$1.8k/min", "14:02 UTC, paged after 2.5 min", page.links.board.as_str(), "incident 8"] {
            prop_assert!(text.contains(kept), "{} is missing in {}", kept, text);
        }
        let resolved = resolved_title(&page, UnixMillis(ONSET.0 + 38 * MINUTE));
        prop_assert!(resolved.chars().count() <= TITLE_CHARS_MAX && resolved.starts_with("RESOLVED 38 min · Declines"));
    }
}
