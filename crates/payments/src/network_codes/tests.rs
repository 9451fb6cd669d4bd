use super::*;

#[test]
fn tables_can_be_searched() {
    for table in [ANY, VISA, MASTERCARD, CARTES_BANCAIRES, THREE_DIGITS] {
        assert!(decline::is_sorted_table(table));
    }
}

#[test]
fn the_same_code_differs_by_network() {
    assert_eq!(look_up("visa", "62"), Some((C::NotPermitted, R::Soft)));
    assert_eq!(look_up("discover", "62"), Some((C::NotPermitted, R::Hard)));
    assert_eq!(look_up("visa", "82"), Some((C::IncorrectCvc, R::SoftFix)));
    assert_eq!(look_up("mastercard", "82"), Some((C::NotPermitted, R::Unknown)));
    assert_eq!(look_up("cartes_bancaires", "A1"), Some((C::AuthenticationRequired, R::SoftFix)));
    assert_eq!(look_up("visa", "A1"), None);
    assert_eq!(look_up("amex", "911"), Some((C::IssuerUnavailable, R::Soft)));
}

#[test]
fn codes_are_padded_and_case_does_not_matter() {
    assert_eq!(look_up("", "5"), look_up("", "05"));
    assert_eq!(look_up("visa", "1a"), Some((C::AuthenticationRequired, R::SoftFix)));
}

#[test]
fn approvals_and_unknown_codes_have_no_meaning() {
    for code in ["00", "0", "10", "85", "Y1", "", "5120", "é", "zz", &"9".repeat(10_000)] {
        assert_eq!(look_up("visa", code), None, "{code:.10}");
    }
}

#[test]
fn advice_decides_whether_to_retry_and_why_where_the_code_leaves_it_open() {
    let honor = (C::DoNotHonor, R::Soft);
    assert_eq!(merchant_advice("mastercard", "03", honor), (C::NotPermitted, R::Hard));
    assert_eq!(merchant_advice("mastercard", "3", honor), (C::NotPermitted, R::Hard));
    assert_eq!(merchant_advice("mastercard", "21", honor), (C::Revoked, R::Hard));
    assert_eq!(merchant_advice("", "24", (C::NotPermitted, R::Unknown)), (C::InsufficientFunds, R::Soft));
    assert_eq!(merchant_advice("mastercard", "03", (C::LimitExceeded, R::Soft)), (C::LimitExceeded, R::Hard));
    assert_eq!(
        merchant_advice("mastercard", "24", (C::InvalidCardData, R::SoftFix)),
        (C::InvalidCardData, R::Soft)
    );
    assert_eq!(merchant_advice("mastercard", "99", honor), honor);
    assert_eq!(merchant_advice("mastercard", "", honor), honor);
    assert_eq!(merchant_advice("visa", "03", honor), honor);
    let lifecycle = look_up("mastercard", "79").unwrap();
    assert_eq!(merchant_advice("mastercard", "01", lifecycle), (C::ExpiredCard, R::SoftFix));
    assert_eq!(merchant_advice("mastercard", "03", lifecycle), (C::AccountClosed, R::Hard));
    assert_eq!(merchant_advice("mastercard", "24", lifecycle), (C::InsufficientFunds, R::Soft));
}

/// The field guide's section `title`, where the guide is at hand: the cells of each row.
fn guide(title: &str) -> Option<Vec<Vec<String>>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/providers/iso8583.md");
    let guide = std::fs::read_to_string(path).ok()?;
    let section = guide.split(title).nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    Some(rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).collect())
}

/// A retry class as the guide writes it: `fix: 3DS`, `**hard**, whatever the response code`.
fn guide_retry(cell: &str) -> Option<R> {
    match cell.trim_matches('*').split([' ', ':', ',', '*']).next() {
        Some("soft") => Some(R::Soft),
        Some("fix") => Some(R::SoftFix),
        Some("hard") => Some(R::Hard),
        _ => None,
    }
}

/// Each row with one category and one retry class means the same here.
#[test]
fn the_table_agrees_with_the_field_guide() {
    let Some(mut rows) = guide("## Two-character codes") else { return };
    rows.extend(guide("## Three-digit codes").unwrap());
    let mut checked = 0;
    for cells in rows {
        let code = cells[1].trim_matches('`');
        let Some(retry) = guide_retry(&cells[4]) else { continue };
        let depends_on_network = code.contains('/') || cells[4].contains("Visa,");
        let (Ok(category), false) = (cells[3].parse::<C>(), depends_on_network) else { continue };
        assert_eq!(look_up("", code), Some((category, retry)), "{cells:?}");
        checked += 1;
    }
    assert!(checked > 80, "only {checked} rows were understood");
}

/// The guide's category stands where the response code leaves it open, and its retry class always.
#[test]
fn the_advice_agrees_with_the_field_guide() {
    let Some(rows) = guide("## Mastercard merchant advice codes") else { return };
    let advised = |advice: &str, code: &str| {
        merchant_advice("mastercard", advice, look_up("mastercard", code).unwrap())
    };
    let mut checked = 0;
    for cells in rows {
        let advice = cells[1].trim_matches('`');
        if cells[4].contains("informational") || cells[3] == "informational" {
            assert_eq!(advised(advice, "05"), look_up("", "05").unwrap(), "{cells:?}");
            continue;
        }
        let retry = guide_retry(&cells[4]).unwrap();
        assert_eq!(advised(advice, "51"), (C::InsufficientFunds, retry), "{cells:?}");
        let Ok(category) = cells[3].parse::<C>() else { continue };
        for open in ["05", "57", "79", "82"] {
            assert_eq!(advised(advice, open), (category, retry), "{open}: {cells:?}");
        }
        assert_eq!(merchant_advice("", advice, (C::Unknown, R::Unknown)), (category, retry), "{cells:?}");
        checked += 1;
    }
    assert_eq!(checked, 12, "rows with one category");
    // What the guide says in words.
    assert_eq!(["79", "14", "46"].map(|code| advised("03", code).0), [C::AccountClosed; 3]);
    assert_eq!(["63", "83"].map(|code| advised("03", code).0), [C::SuspectedFraud; 2]);
    assert_eq!(["05", "57", "82"].map(|code| advised("03", code).0), [C::NotPermitted; 3]);
    assert_eq!(["79", "14"].map(|code| advised("01", code).0), [C::ExpiredCard; 2]);
}
