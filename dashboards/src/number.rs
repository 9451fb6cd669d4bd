//! Numbers for people: counts beside rates, two significant digits where more would pretend, durations, UTC.

use payments::{Currency, UnixMillis};

/// An instant further away than this is shown with its day.
const HOURS_18_MS: u64 = 18 * 3_600_000;

/// `4,780`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `88.1%`: one decimal, because tenths of an approval rate are money. Never `0%` for some, nor `100%` for not all;
/// `–` for nothing out of nothing.
pub(crate) fn percent(count: u64, of: u64) -> String {
    if of == 0 {
        return "–".to_owned();
    }
    if count == 0 || count >= of {
        return if count == 0 { "0%".to_owned() } else { "100%".to_owned() };
    }
    let value = count as f64 / of as f64 * 100.0;
    if value < 0.1 { "<0.1%".to_owned() } else { format!("{:.1}%", value.min(99.9)) }
}

/// `4,211/4,780`: what stands beside a rate.
pub(crate) fn counts(count: u64, of: u64) -> String {
    format!("{}/{}", grouped(count), grouped(of))
}

/// `88.1% (4,211/4,780)`.
pub(crate) fn rate(count: u64, of: u64) -> String {
    if of == 0 { "no attempts".to_owned() } else { format!("{} ({})", percent(count, of), counts(count, of)) }
}

/// `+2.2 pp`, `−3.8 pp`: the difference of two shares, in percentage points.
pub(crate) fn points(difference: f64) -> String {
    let value = difference * 100.0;
    if !value.is_finite() || value.abs() < 0.05 {
        return "±0.0 pp".to_owned();
    }
    format!("{}{:.1} pp", if value > 0.0 { "+" } else { "−" }, value.abs())
}

/// `41`, `1.2k`, `110k`, `3.4M`: two significant digits.
pub(crate) fn short(value: f64) -> String {
    let magnitude = two_digits(value.abs());
    let sign = if value < 0.0 && magnitude > 0.0 { "−" } else { "" };
    let (scaled, unit) = match magnitude {
        m if m >= 1e12 => (m / 1e12, "T"),
        m if m >= 1e9 => (m / 1e9, "B"),
        m if m >= 1e6 => (m / 1e6, "M"),
        m if m >= 1e3 => (m / 1e3, "k"),
        m => (m, ""),
    };
    format!("{sign}{}{unit}", plain(scaled))
}

/// `1.8k USD` for `minor` units: two significant digits of the major unit.
pub(crate) fn money(minor: f64, code: &str) -> String {
    let exponent = Currency::parse(code).map_or(2, Currency::exponent);
    let digits = short(minor / 10_f64.powi(i32::try_from(exponent).unwrap_or(2)));
    match code {
        "USD" => format!("${digits}"),
        "EUR" => format!("€{digits}"),
        "GBP" => format!("£{digits}"),
        _ => format!("{digits} {}", crate::words::name(code)),
    }
}

/// `310 ms`, `2.6 s`.
pub(crate) fn millis(ms: f64) -> String {
    if two_digits(ms) < 1_000.0 { format!("{} ms", short(ms)) } else { format!("{} s", short(ms / 1_000.0)) }
}

/// `45 s`, `3 min`, `3.2 h`, `2.5 days`.
pub(crate) fn duration(ms: i64) -> String {
    let seconds = (ms / 1_000).max(0);
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", (seconds + 30) / 60),
        6_000..=172_799 => format!("{} h", short(seconds as f64 / 3_600.0)),
        _ => format!("{} days", short(seconds as f64 / 86_400.0)),
    }
}

/// `03:07`, UTC.
pub(crate) fn minute(at: UnixMillis) -> String {
    part(at, 11..16)
}

/// `03:07:10`, UTC.
pub(crate) fn second(at: UnixMillis) -> String {
    part(at, 11..19)
}

/// `22 Nov`, UTC.
pub(crate) fn day(at: UnixMillis) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = part(at, 5..7).parse::<usize>().ok().and_then(|number| MONTHS.get(number.wrapping_sub(1)));
    format!("{} {}", part(at, 8..10).trim_start_matches('0'), month.unwrap_or(&""))
}

/// `03:07`, with the day before it when it is not within the last 18 hours: `21 Nov 03:07`.
pub(crate) fn moment(at: UnixMillis, now: UnixMillis) -> String {
    if now.0.saturating_sub(at.0).unsigned_abs() < HOURS_18_MS {
        minute(at)
    } else {
        format!("{} {}", day(at), minute(at))
    }
}

fn part(at: UnixMillis, range: std::ops::Range<usize>) -> String {
    let text = UnixMillis(at.0.clamp(0, UnixMillis::MAX.0)).to_string();
    text.get(range).unwrap_or(&text).to_owned()
}

/// `value` rounded to two significant digits; 0 for what is not a number.
fn two_digits(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let scale = 10_f64.powf(value.abs().log10().floor() - 1.0);
    if scale == 0.0 { 0.0 } else { (value / scale).round() * scale }
}

/// `value` (0 to 999) without trailing zeros.
fn plain(value: f64) -> String {
    let decimals = match value {
        v if v >= 10.0 || v == 0.0 => 0,
        v if v >= 1.0 => 1,
        v if v >= 0.1 => 2,
        v if v >= 0.01 => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_has_its_counts_and_does_not_lie_at_the_ends() {
        assert_eq!(rate(4_211, 4_780), "88.1% (4,211/4,780)");
        assert_eq!(rate(0, 0), "no attempts");
        assert_eq!(percent(1, 1_000_000), "<0.1%");
        assert_eq!(percent(999_999, 1_000_000), "99.9%");
        assert_eq!((percent(0, 5), percent(5, 5)), ("0%".to_owned(), "100%".to_owned()));
        assert_eq!(counts(1_234_567, 12_345_678), "1,234,567/12,345,678");
    }

    #[test]
    fn estimates_have_two_significant_digits() {
        let shown: Vec<String> =
            [0.0, 0.034, 0.5, 9.44, 41.0, 999.0, 1_843.0, 110_400.0, 1_250_000.0, 3e12].map(short).into();
        assert_eq!(shown, ["0", "0.034", "0.5", "9.4", "41", "1k", "1.8k", "110k", "1.3M", "3T"]);
        assert_eq!(short(-0.5), "−0.5");
        assert_eq!(short(f64::NAN), "0");
    }

    #[test]
    fn money_uses_each_currencys_minor_unit() {
        assert_eq!(money(184_300.0, "USD"), "$1.8k");
        assert_eq!(money(184_300.0, "JPY"), "180k JPY");
        assert_eq!(money(5.0, "KWD"), "0.005 KWD");
        assert_eq!(money(500.0, "??"), "5 ??");
    }

    #[test]
    fn differences_are_in_percentage_points() {
        let shown: Vec<String> = [0.022, -0.038, 0.0001, f64::NAN].map(points).into();
        assert_eq!(shown, ["+2.2 pp", "−3.8 pp", "±0.0 pp", "±0.0 pp"]);
    }

    #[test]
    fn durations_and_times_are_short() {
        let shown: Vec<String> =
            [-5, 45_000, 150_000, 2_280_000, 11_520_000, 216_000_000].map(duration).into();
        assert_eq!(shown, ["0 s", "45 s", "3 min", "38 min", "3.2 h", "2.5 days"]);
        let at = UnixMillis::from_rfc3339("2026-11-22T03:07:10Z").unwrap();
        assert_eq!((minute(at), second(at), day(at)), ("03:07".into(), "03:07:10".into(), "22 Nov".into()));
        assert_eq!(moment(at, UnixMillis(at.0 + 3_600_000)), "03:07");
        assert_eq!(moment(at, UnixMillis(at.0 + 30 * 3_600_000)), "22 Nov 03:07");
        assert_eq!(millis(312.0), "310 ms");
        assert_eq!(millis(2_640.0), "2.6 s");
    }

    proptest! {
        #[test]
        fn any_number_is_short(value in proptest::num::f64::ANY) {
            prop_assert!(short(value).chars().count() <= 310, "{}", short(value));
            prop_assert!(!short(value).contains("NaN") && !short(value).contains("inf"));
        }

        #[test]
        fn any_time_can_be_shown(at in any::<i64>(), now in any::<i64>()) {
            prop_assert!(moment(UnixMillis(at), UnixMillis(now)).len() < 16);
            prop_assert!(!duration(at).is_empty());
        }
    }
}
