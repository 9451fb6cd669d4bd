//! Numbers for people: two significant digits, counts beside rates, durations, UTC.

use payments::{Currency, UnixMillis};

use super::Measured;

/// `12%`, `0.52%`; never `0%` for some, never `100%` for not all.
pub fn percent(share: f64) -> String {
    let value = share.clamp(0.0, 1.0) * 100.0;
    if share <= 0.0 || share >= 1.0 {
        format!("{value:.0}%")
    } else if value > 99.0 {
        "99%".to_owned()
    } else {
        format!("{}%", two_digits(value))
    }
}

/// `91% declined (190/209)`, with `what` = `declined`; or `91% (190/209)` without.
pub fn share(count: u64, of: u64, what: &str) -> String {
    if of == 0 {
        return "no attempts".to_owned();
    }
    let gap = if what.is_empty() { "" } else { " " };
    format!("{}{gap}{what} ({count}/{of})", percent(count as f64 / of as f64))
}

/// `850 ms`, `2.6 s`.
pub fn millis(ms: f64) -> String {
    if ms < 1000.0 { format!("{} ms", two_digits(ms)) } else { format!("{} s", two_digits(ms / 1000.0)) }
}

/// `41/min`, `0.5/min`, `1.2k/min`.
pub fn per_minute(rate: f64) -> String {
    format!("{}/min", short(rate))
}

/// `41`, `1.2k`.
pub fn count(value: f64) -> String {
    short(value)
}

/// `$1.8k`, `€21k`, `BRL 950`: two significant digits of `amount` in major units.
pub fn money(amount: f64, currency: Currency) -> String {
    let digits = short(amount);
    match currency.as_str() {
        "USD" => format!("${digits}"),
        "EUR" => format!("€{digits}"),
        "GBP" => format!("£{digits}"),
        "JPY" => format!("¥{digits}"),
        code => format!("{code} {digits}"),
    }
}

/// `45 s`, `2.5 min`, `38 min`, `3.2 h`, `2.5 days`.
pub fn duration(ms: u64) -> String {
    let seconds = ms as f64 / 1000.0;
    match seconds {
        s if s < 89.5 => format!("{s:.0} s"),
        s if s < 600.0 => format!("{} min", two_digits(s / 60.0)),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{} h", two_digits(s / 3600.0)),
        s => format!("{} days", two_digits(s / 86_400.0)),
    }
}

/// `14:02`, UTC.
pub fn clock(at: UnixMillis) -> String {
    let text = at.to_string();
    text.get(11..16).unwrap_or(&text).to_owned()
}

/// `2026-11-22 14:02`, UTC.
pub fn day_clock(at: UnixMillis) -> String {
    let text = at.to_string();
    text.get(..16).unwrap_or(&text).replace('T', " ")
}

/// `14:02` on the day of `reference`, `2026-11-22 14:02` on any other.
pub fn clock_after(at: UnixMillis, reference: UnixMillis) -> String {
    let day = |at: UnixMillis| at.to_string().get(..10).map(str::to_owned);
    if day(at) == day(reference) { clock(at) } else { day_clock(at) }
}

impl Measured {
    /// In full, with what is measured: `91% declined (190/209)`, `auth p95 2.6 s (412 answers)`, `14/min attempts`.
    pub fn in_full(self, what: &str) -> String {
        match self {
            Self::Share { count, of } => share(count, of, what),
            Self::Latency { ms, of } => {
                format!("{what} {} ({of} answers)", millis(ms)).trim_start().to_owned()
            }
            Self::PerMinute { rate } => format!("{} {what}", per_minute(rate)).trim_end().to_owned(),
            Self::Silence { ms } => format!("nothing for {}", duration(ms)),
            Self::Missing { webhooks: 0, .. } => "everything acknowledged is stored".to_owned(),
            Self::Missing { webhooks, hours } => {
                let of = if hours == 1 { "1 hour".to_owned() } else { format!("{hours} hours") };
                format!("{webhooks} acknowledged and not stored, arrived in {of}")
            }
            Self::BlindRules { count: 1 } => "1 rule concerned".to_owned(),
            Self::BlindRules { count } => format!("{count} rules concerned"),
        }
    }

    /// `12→91%`, `0.9→2.6 s`, `120→14/min`: from `usual` to this, as a title says it.
    pub fn change(self, usual: Option<Self>) -> String {
        match (usual, self) {
            (Some(Self::Share { count, of }), Self::Share { count: k, of: n }) if of > 0 && n > 0 => {
                let before = percent(count as f64 / of as f64);
                format!("{}→{}", before.trim_end_matches('%'), percent(k as f64 / n as f64))
            }
            (None, Self::Share { count, of }) if of > 0 => percent(count as f64 / of as f64),
            (Some(Self::Latency { ms: before, .. }), Self::Latency { ms, .. }) => latencies(before, ms),
            (Some(Self::PerMinute { rate: before }), Self::PerMinute { rate }) => {
                format!("{}→{}", short(before), per_minute(rate))
            }
            (_, Self::Latency { ms, .. }) => millis(ms),
            (_, other) => other.in_full(""),
        }
    }
}

/// One unit for both.
fn latencies(before: f64, now: f64) -> String {
    if now < 1000.0 {
        format!("{}→{}", two_digits(before), millis(now))
    } else {
        format!("{}→{}", two_digits(before / 1000.0), millis(now))
    }
}

/// `4.6k`, `110k`, `1.2M`.
fn short(value: f64) -> String {
    let magnitude = rounded(value.abs());
    let sign = if value < 0.0 { "-" } else { "" };
    let (scaled, unit) = match magnitude {
        m if m >= 1e9 => (m / 1e9, "B"),
        m if m >= 1e6 => (m / 1e6, "M"),
        m if m >= 1e3 => (m / 1e3, "k"),
        m => (m, ""),
    };
    format!("{sign}{}{unit}", two_digits(scaled))
}

/// Two significant digits, no trailing zero decimals.
fn two_digits(value: f64) -> String {
    let value = rounded(value);
    let decimals = match value.abs() {
        v if v == 0.0 || v >= 10.0 => 0,
        v if v >= 1.0 => 1,
        v if v >= 0.1 => 2,
        v if v >= 0.01 => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `value` rounded to two significant digits.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let scale = 10_f64.powf(value.abs().log10().floor() - 1.0);
    (value / scale).round() * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_two_digits_and_never_lie_at_the_ends() {
        let shown: Vec<String> =
            [0.0, 0.00052, 0.034, 0.12, 0.914, 0.999, 1.0].into_iter().map(percent).collect();
        assert_eq!(shown, ["0%", "0.052%", "3.4%", "12%", "91%", "99%", "100%"]);
        assert_eq!(share(190, 209, "declined"), "91% declined (190/209)");
        assert_eq!(share(190, 209, ""), "91% (190/209)");
        assert_eq!(share(0, 0, "declined"), "no attempts");
    }

    #[test]
    fn money_is_rounded_to_what_an_estimate_can_carry() {
        let shown: Vec<String> = [1_843.0, 4_640.0, 110_400.0, 999.0, 9.44, 1_250_000.0, 0.0]
            .map(|v| money(v, Currency::USD))
            .into();
        assert_eq!(shown, ["$1.8k", "$4.6k", "$110k", "$1k", "$9.4", "$1.3M", "$0"]);
        assert_eq!(money(950.0, Currency::parse("BRL").unwrap()), "BRL 950");
    }

    #[test]
    fn durations_are_short() {
        let shown: Vec<String> =
            [45_000, 150_000, 180_000, 2_280_000, 11_520_000, 216_000_000].map(duration).into();
        assert_eq!(shown, ["45 s", "2.5 min", "3 min", "38 min", "3.2 h", "2.5 days"]);
    }

    #[test]
    fn a_change_has_its_unit_once() {
        let share = |count, of| Measured::Share { count, of };
        assert_eq!(share(190, 209).change(Some(share(12, 100))), "12→91%");
        assert_eq!(share(190, 209).change(None), "91%");
        let latency = |ms| Measured::Latency { ms, of: 10 };
        assert_eq!(latency(2_600.0).change(Some(latency(900.0))), "0.9→2.6 s");
        assert_eq!(latency(840.0).change(Some(latency(312.0))), "310→840 ms");
        let rate = |rate| Measured::PerMinute { rate };
        assert_eq!(rate(14.2).change(Some(rate(1_204.0))), "1.2k→14/min");
    }

    #[test]
    fn times_are_utc() {
        let at = UnixMillis::from_rfc3339("2026-11-22T14:02:10+01:00").unwrap();
        assert_eq!(clock(at), "13:02");
        assert_eq!(day_clock(at), "2026-11-22 13:02");
        assert_eq!(clock_after(at, at), "13:02");
        let midnight = UnixMillis::from_rfc3339("2026-11-23T00:00:00Z").unwrap();
        assert_eq!(clock_after(at, midnight), "2026-11-22 13:02");
    }
}
