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
fn advice_decides_whether_to_retry() {
    let honor = (C::DoNotHonor, R::Soft);
    assert_eq!(merchant_advice("mastercard", "03", honor), (C::DoNotHonor, R::Hard));
    assert_eq!(merchant_advice("mastercard", "3", honor), (C::DoNotHonor, R::Hard));
    assert_eq!(merchant_advice("mastercard", "21", honor), (C::Revoked, R::Hard));
    assert_eq!(merchant_advice("", "24", (C::NotPermitted, R::Unknown)), (C::NotPermitted, R::Soft));
    assert_eq!(merchant_advice("mastercard", "99", honor), honor);
    assert_eq!(merchant_advice("mastercard", "", honor), honor);
    assert_eq!(merchant_advice("visa", "03", honor), honor);
    let lifecycle = look_up("mastercard", "79").unwrap();
    assert_eq!(merchant_advice("mastercard", "01", lifecycle), (C::ExpiredCard, R::SoftFix));
    assert_eq!(merchant_advice("mastercard", "03", lifecycle), (C::AccountClosed, R::Hard));
}

/// The field guide's table, where it is at hand: each row with one category and one retry class means the same here.
#[test]
fn the_table_agrees_with_the_field_guide() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/providers/iso8583.md");
    let Ok(guide) = std::fs::read_to_string(path) else { return };
    let section = |title| guide.split(title).nth(1).unwrap().split("\n## ").next().unwrap();
    let tables = [section("## Two-character codes"), section("## Three-digit codes")];
    let mut checked = 0;
    for row in tables.iter().flat_map(|table| table.lines()).filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (code, category, retry) = (cells[1].trim_matches('`'), cells[3], cells[4]);
        let retry = match retry.split([' ', ':']).next().unwrap() {
            "soft" => R::Soft,
            "fix" => R::SoftFix,
            "hard" => R::Hard,
            _ => continue,
        };
        let depends_on_network = code.contains('/') || cells[4].contains("Visa,");
        let (Ok(category), false) = (category.parse::<C>(), depends_on_network) else { continue };
        assert_eq!(look_up("", code), Some((category, retry)), "{row}");
        checked += 1;
    }
    assert!(checked > 80, "only {checked} rows were understood");
}
