//! Incidents as alerting described them last, and what is to be believed of those it does not speak of any more.

use std::collections::{BTreeMap, HashSet};

use clickhouse::Row;
use payments::UnixMillis;
use serde::Deserialize;

use crate::model::{Alert, Alerts, Judged, Severity};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Incidents listed.
const ACTIVE_MAX: usize = 20;
/// Resolved incidents listed.
const RESOLVED_MAX: usize = 5;
/// An incident resolved longer ago is not news.
const RESOLVED_NEWS_MS: i64 = 24 * HOUR_MS;
/// Alerting speaks of an open incident at least every 30 minutes; past this it is down, or has lost its state ..
const UNHEARD_MS: i64 = 35 * MINUTE_MS;
/// .. and what it has not spoken of for this long is not shown any more.
const UNHEARD_KEPT_MS: i64 = 24 * HOUR_MS;
/// The rule about alerting itself, of which it speaks only at the beginning and at the end.
const DEGRADED: &str = "alerting-degraded";

#[derive(Debug, Row, Deserialize)]
pub(super) struct Incident {
    incident_name: String,
    rule_name: String,
    slice_name: String,
    state: String,
    last_ms: i64,
    first_ms: i64,
    last_details: String,
}

/// That alerting lives.
#[derive(Debug, Row, Deserialize)]
pub(super) struct SignOfLife {
    alive_ms: i64,
    judged_to: String,
}

impl From<&SignOfLife> for Judged {
    fn from(row: &SignOfLife) -> Self {
        Self { alive_at: UnixMillis(row.alive_ms), judged_to: UnixMillis::from_rfc3339(&row.judged_to).ok() }
    }
}

/// What alerting says of an incident, as JSON: see `docs/alerting.md`. Whatever is missing is not told.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    title: String,
    severity: String,
    slice: BTreeMap<String, String>,
    since: Option<String>,
    impact: String,
    frozen: Option<String>,
    runbook: String,
}

/// Firing incidents, most severe first; resolved ones, latest first. `rows`: those last heard of first.
pub(super) fn alerts(rows: &[Incident], now: UnixMillis) -> Alerts {
    let mut alerts = Alerts::default();
    let mut slices = HashSet::new();
    for row in rows {
        let age_ms = now.0 - row.last_ms;
        // A slice has one incident at a time: an older one without an end was lost with alerting's state.
        let is_newest = slices.insert((&row.rule_name, &row.slice_name));
        if matches!(row.state.as_str(), "firing" | "recovering") {
            let alert = alert(row, now, None);
            if is_newest && (!alert.unheard || age_ms <= UNHEARD_KEPT_MS) {
                alerts.active.push(alert);
            }
        } else if age_ms <= RESOLVED_NEWS_MS && alerts.resolved.len() < RESOLVED_MAX {
            alerts.resolved.push(alert(row, now, Some(UnixMillis(row.last_ms))));
        }
    }
    alerts.active.sort_by_key(|alert| (alert.unheard, alert.severity, alert.since));
    alerts.unheard_count = alerts.active.iter().filter(|alert| alert.unheard).count();
    alerts.active_count = alerts.active.len() - alerts.unheard_count;
    alerts.active.truncate(ACTIVE_MAX);
    alerts
}

fn alert(row: &Incident, now: UnixMillis, resolved_at: Option<UnixMillis>) -> Alert {
    // An incident whose description cannot be read is still an incident.
    let details: Details = serde_json::from_str(&row.last_details).unwrap_or_default();
    let since = details.since.as_deref().and_then(|text| UnixMillis::from_rfc3339(text).ok());
    let slice: Vec<String> =
        details.slice.iter().map(|(dimension, value)| format!("{dimension} {value}")).collect();
    Alert {
        incident: row.incident_name.clone(),
        severity: details.severity.parse().unwrap_or(Severity::Error),
        title: if details.title.is_empty() { "Alert without a title".to_owned() } else { details.title },
        impact: details.impact,
        slice: slice.join(" · "),
        runbook: details.runbook,
        since: since.unwrap_or(UnixMillis(row.first_ms)),
        heard_at: UnixMillis(row.last_ms),
        // Of what is frozen there is nothing new to say.
        unheard: details.frozen.is_none() && row.rule_name != DEGRADED && now.0 - row.last_ms > UNHEARD_MS,
        recovering: row.state == "recovering",
        frozen: details.frozen,
        resolved_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_316_834_000);

    fn firing(rule: &str, incident: &str, heard_minutes_ago: i64, details: &str) -> Incident {
        let last_ms = NOW.0 - heard_minutes_ago * MINUTE_MS;
        Incident {
            incident_name: incident.to_owned(),
            rule_name: rule.to_owned(),
            slice_name: "{}".to_owned(),
            state: "firing".to_owned(),
            last_ms,
            first_ms: last_ms - MINUTE_MS,
            last_details: details.to_owned(),
        }
    }

    fn counts(rows: &[Incident]) -> (usize, usize) {
        let alerts = alerts(rows, NOW);
        (alerts.active_count, alerts.unheard_count)
    }

    #[test]
    fn an_incident_that_alerting_no_longer_speaks_of_is_not_called_firing_and_then_forgotten() {
        assert_eq!(counts(&[firing("latency", "7", 34, "{}")]), (1, 0));
        assert_eq!(counts(&[firing("latency", "7", 36, "{}")]), (0, 1));
        assert_eq!(counts(&[firing("latency", "7", 25 * 60, "{}")]), (0, 0));
    }

    #[test]
    fn nothing_new_is_expected_of_what_is_frozen_nor_of_alerting_itself() {
        assert_eq!(counts(&[firing("latency", "7", 36, r#"{"frozen":"stale"}"#)]), (1, 0));
        assert_eq!(counts(&[firing(DEGRADED, "7", 36, "{}")]), (1, 0));
    }

    #[test]
    fn a_slice_has_one_incident_at_a_time_and_other_slices_may_have_the_same_number() {
        let of_old_state = firing("latency", "41", 20, "{}");
        assert_eq!(counts(&[firing("latency", "1", 2, "{}"), of_old_state]), (1, 0));
        assert_eq!(counts(&[firing("latency", "1", 2, "{}"), firing("volume", "1", 3, "{}")]), (2, 0));
    }

    #[test]
    fn the_runbook_is_the_one_that_alerting_names() {
        let named = firing("latency", "7", 1, r#"{"runbook":"https://runbooks.example/slow"}"#);
        assert_eq!(alerts(&[named], NOW).active[0].runbook, "https://runbooks.example/slow");
        assert_eq!(alerts(&[firing("latency", "7", 1, "{}")], NOW).active[0].runbook, "");
    }
}
