//! Ours beside the floor, round by round.

use std::fmt;

use serde::Serialize;

use super::LoadReport;

/// Rounds against the floor and against ingest, in turn, so that a noisy minute touches both. Medians are compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Rounds against the floor.
    pub floor: Vec<LoadReport>,
    /// Rounds against ingest.
    pub ingest: Vec<LoadReport>,
}

impl Comparison {
    /// Processor time of the floor per request, in microseconds.
    pub fn floor_cpu_us(&self) -> Option<f64> {
        median(self.floor.iter().map(|report| report.server_cpu_us))
    }

    /// Processor time of ingest per request, in microseconds.
    pub fn ingest_cpu_us(&self) -> Option<f64> {
        median(self.ingest.iter().map(|report| report.server_cpu_us))
    }

    /// How many times the floor's processor time ingest spends.
    pub fn cpu_ratio(&self) -> Option<f64> {
        let floor = self.floor_cpu_us().filter(|floor| *floor > 0.0)?;
        Some(self.ingest_cpu_us()? / floor)
    }

    /// Ingest's acknowledged requests a second, as a share of the floor's.
    pub fn rate_ratio(&self) -> Option<f64> {
        let rate =
            |reports: &[LoadReport]| median(reports.iter().map(|report| Some(report.acknowledged_per_s)));
        let floor = rate(&self.floor).filter(|floor| *floor > 0.0)?;
        Some(rate(&self.ingest)? / floor)
    }
}

/// The middle value; `None` if there is none, or one is not known.
fn median(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect::<Option<_>>()?;
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => values.get(middle).copied(),
        _ => Some(f64::midpoint(*values.get(middle - 1)?, *values.get(middle)?)),
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, name: &str, reports: &[LoadReport], cpu: Option<f64>| {
            let rates: Vec<String> =
                reports.iter().map(|report| format!("{:.0}", report.acknowledged_per_s)).collect();
            let cpu = cpu.map_or_else(|| "not known".to_owned(), |us| format!("{us:.1} µs"));
            writeln!(f, "  {name:<7} {cpu} of CPU a webhook; acknowledged a second: {}", rates.join(", "))
        };
        writeln!(f, "beside the floor (axum, the same HMAC, nothing stored)")?;
        line(f, "floor", &self.floor, self.floor_cpu_us())?;
        line(f, "ingest", &self.ingest, self.ingest_cpu_us())?;
        let refused: u64 = self.ingest.iter().map(LoadReport::errors).sum();
        if refused > 0 {
            writeln!(
                f,
                "  {refused} requests were not acknowledged, so the figures mean little: lift the source's \
                 requests_per_second_max and requests_in_flight_max"
            )?;
        }
        match (self.cpu_ratio(), self.rate_ratio()) {
            (Some(cpu), Some(rate)) => {
                writeln!(f, "  ratio   {cpu:.2} times the CPU, {rate:.2} times the rate")
            }
            _ => writeln!(f, "  ratio   not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_unknown_stays_unknown() {
        let of = |values: &[Option<f64>]| median(values.iter().copied());
        assert_eq!(of(&[Some(3.0), Some(1.0), Some(100.0)]), Some(3.0));
        assert_eq!(of(&[Some(3.0), Some(1.0)]), Some(2.0));
        assert_eq!(of(&[Some(3.0), None]), None);
        assert_eq!(of(&[]), None);
        assert_eq!(Comparison::default().cpu_ratio(), None);
    }
}
