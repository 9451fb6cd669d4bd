//! Every source, whether it sends or not.

use payments::UnixMillis;

use super::ConfiguredSource;
use crate::freshness::{self, Arrivals};
use crate::model::{Pulse, Source};
use crate::queries::SourceArrivals;

/// Sources shown that the configuration no longer has.
const UNCONFIGURED_MAX: usize = 20;

/// The configured sources in their order, then those that only the data know.
pub(super) fn of(
    configured: &[ConfiguredSource],
    rows: &[SourceArrivals],
    trusted: Option<UnixMillis>,
) -> Vec<Source> {
    let source = |name: &str, provider: &str, configured: bool, row: Option<&SourceArrivals>| {
        let arrivals = row
            .map_or(Arrivals { last_received_at: None, rate_now: 0.0, rate_usual: 0.0 }, |row| row.arrivals);
        let judged = freshness::pulse(arrivals, trusted);
        // A source that was taken out of the configuration is silent because somebody wanted it so.
        let pulse = if judged == Pulse::Silent && !configured { Pulse::Quiet } else { judged };
        Source {
            name: name.to_owned(),
            provider: provider.to_owned(),
            configured,
            last_received_at: arrivals.last_received_at,
            rate_now: arrivals.rate_now,
            rate_usual: arrivals.rate_usual,
            parked_24h: row.map_or(0, |row| row.parked_24h),
            pulse,
        }
    };
    let is_configured = |name: &str| configured.iter().any(|source| source.name == name);
    let known = configured.iter().map(|configured| {
        source(
            &configured.name,
            &configured.provider,
            true,
            rows.iter().find(|row| row.source == configured.name),
        )
    });
    let others = rows.iter().filter(|row| !is_configured(&row.source)).take(UNCONFIGURED_MAX);
    known.chain(others.map(|row| source(&row.source, &row.provider, false, Some(row)))).collect()
}
