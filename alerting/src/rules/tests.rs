//! Rule files: the shipped ones, and what each broken one is answered.

use std::path::Path;

use super::*;

fn problems(name: &str, text: &str) -> Vec<String> {
    let channels = ["log".to_owned(), "payments-oncall".to_owned()];
    match parse(Path::new(name), text, &channels) {
        Ok(rule) => panic!("accepted: {rule:?}"),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

const GOOD: &str = r#"type = "threshold"
severity = "critical"
owner = "payments-oncall"
runbook = "docs/runbooks/x.md"
measure = "decline_rate"
by = ["issuer"]
window_s = 120
fire_above = 0.4
recover_below = 0.25
"#;

#[test]
fn a_rule_is_read_with_its_defaults() {
    let channels = ["log".to_owned()];
    let rule = parse(Path::new("rules/issuer-declines.toml"), GOOD, &channels).unwrap();
    assert_eq!(
        (rule.id.as_str(), rule.severity, rule.channels.as_slice()),
        ("issuer-declines", Severity::Critical, &channels[..])
    );
    assert_eq!((rule.for_s, rule.recover_for_s), (0, 120));
    let edited =
        parse(Path::new("rules/issuer-declines.toml"), &format!("{GOOD}for_s = 30\n"), &channels).unwrap();
    assert_ne!(rule.hash, edited.hash);
    let commented = format!("# Why it is so.\n\n{}", GOOD.replace("= 120", "=   120 # two minutes"));
    let commented = parse(Path::new("rules/issuer-declines.toml"), &commented, &channels).unwrap();
    assert_eq!(rule, commented, "a comment is no change");
}

#[test]
fn every_problem_names_file_line_and_key_and_says_how_to_mend_it() {
    let with = |from: &str, to: &str| problems("r.toml", &GOOD.replace(from, to));
    let cases = [
        (
            with("type = \"threshold\"\n", ""),
            "r.toml:1: type: missing; expected one of threshold, dead_man, completeness",
        ),
        (
            with("\"threshold\"", "\"treshold\""),
            "r.toml:1: type: unknown type `treshold`, expected one of threshold, dead_man, completeness",
        ),
        (
            with("\"threshold\"", "7"),
            "r.toml:1: type: expected one of threshold, dead_man, completeness, in quotes",
        ),
        (
            with("\"critical\"", "\"P1\""),
            "r.toml:2: unknown variant `P1`, expected one of `critical`, `error`, `warning`, `info`",
        ),
        (with("owner = \"payments-oncall\"\n", ""), "r.toml:1: missing field `owner`"),
        (
            with("\"docs/runbooks/x.md\"", "\" \""),
            "r.toml:4: runbook: a page without a runbook helps nobody; give an address or a path",
        ),
        (
            with("decline_rate", "decline"),
            "r.toml:5: unknown variant `decline`, expected one of `decline_rate`, `refusal_rate`, `failure_rate`, `latency_p50_ms`, `latency_p95_ms`, `latency_p99_ms`, `volume`",
        ),
        (
            with("[\"issuer\"]", "[\"issuer\", \"isuer\"]"),
            "r.toml:6: by: unknown dimension `isuer`, expected one of source, provider, account, currency, method, wallet, network, funding, bin, issuer, issuer_country, three_ds, experiment, variant",
        ),
        (with("[\"issuer\"]", "[\"issuer\", \"issuer\"]"), "r.toml:6: by: `issuer` stands here twice"),
        (
            with("window_s = 120", "window_s = 90"),
            "r.toml:7: window_s: 90 is not whole minutes between 60 and 3600",
        ),
        (
            with("0.25", "0.5"),
            "r.toml:9: recover_below: 0.5 is on the wrong side: it must be below fire_above = 0.4",
        ),
        (with("0.4", "40"), "r.toml:8: fire_above: 40 is no share; 40% is written 0.4"),
        (
            with("recover_below", "recover_above"),
            "r.toml:8: fire_above: needs recover_below, and no other recovery line",
        ),
        (
            with("fire_above = 0.4\n", ""),
            "r.toml:5: measure: give either fire_above with recover_below, or fire_below with recover_above",
        ),
        (
            with("window_s", "windows_s"),
            "r.toml:7: unknown field `windows_s`, expected one of `measure`, `by`, `where`, `not`, `include_empty`, `classes`, `categories`, `window_s`, `lateness_s`, `usual_s`, `fire_above`, `fire_below`, `recover_below`, `recover_above`, `wilson_z`, `attempts_min`, `slices_max`; every rule also has type, severity, owner, channels, runbook, for_s, recover_for_s",
        ),
        (
            problems("r.toml", &format!("{GOOD}channels = [\"pager\"]\n")),
            "r.toml:10: channels: unknown channel `pager`; [[channels]] has: log, payments-oncall",
        ),
        (
            problems("r.toml", &format!("{GOOD}classes = [\"tecnical\"]\n")),
            "r.toml:10: classes: unknown name `tecnical`, expected one of technical, actionable, cardholder",
        ),
        (
            problems("r.toml", &format!("{GOOD}[where]\nisuer = [\"x\"]\n")),
            "r.toml:10: where: unknown dimension `isuer`, expected one of source, provider, account, currency, method, wallet, network, funding, bin, issuer, issuer_country, three_ds, experiment, variant",
        ),
        (
            problems("r.toml", &format!("{GOOD}not = {{ issuer = [] }}\n")),
            "r.toml:10: not: `issuer` has no values; list at least one, or remove it",
        ),
        (
            problems("r.toml", &format!("{GOOD}for_s = 100000\n")),
            "r.toml:10: for_s: 100000 is more than a day (86400)",
        ),
        (
            problems("r.toml", &format!("{GOOD}wilson_z = -1\n")),
            "r.toml:10: wilson_z: -1 is not between 0 and 10; 3.29 is one in two thousand",
        ),
        (
            problems("Big Rule.toml", GOOD),
            "Big Rule.toml:1: the file's name is the rule's id: 1 to 64 lower-case letters, digits, `-` or `_`",
        ),
        (
            problems("alerting-degraded.toml", GOOD),
            "alerting-degraded.toml:1: `alerting-degraded` is a rule of Tillwatch's own; rename the file",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, [expected]);
    }
    let broken = problems("r.toml", "type = \"threshold\nseverity");
    assert!(broken[0].starts_with("r.toml:"), "{broken:?}");
}

#[test]
fn all_problems_of_a_file_are_told_at_once() {
    let text = GOOD.replace("0.25", "0.5").replace("= 120", "= 90").replace("[\"issuer\"]", "[\"isuer\"]");
    assert_eq!(problems("r.toml", &text).len(), 3);
}

#[test]
fn the_shipped_rules_are_valid_and_each_has_its_runbook() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let rules = load(&root.join("rules"), &["log".to_owned()]).unwrap_or_else(|error| panic!("{error}"));
    assert!(rules.len() >= 6, "{:?}", rules.keys());
    for (id, rule) in &rules {
        assert_eq!(rule.runbook, format!("docs/runbooks/{id}.md"));
        let runbook =
            std::fs::read_to_string(root.join(&rule.runbook)).unwrap_or_else(|error| panic!("{id}: {error}"));
        for heading in
            ["Meaning", "Impact", "Verify", "By cause", "Mitigate", "Escalate", "Normal again", "Tuning"]
        {
            assert!(runbook.contains(&format!("## {heading}")), "{id}: the runbook has no section {heading}");
        }
    }
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = load(Path::new("/nonexistent/rules"), &[]).unwrap_err();
    assert_eq!(error.to_string(), "cannot read /nonexistent/rules (alerting.rules)");
}
