//! The age of a signed timestamp: what keeps a recorded request from being played again later.

use super::Rejection;
use crate::UnixMillis;

/// How far a sender's clock may differ from ours, either way. Stripe's libraries and Standard Webhooks both say 300.
pub(super) const TOLERANCE_SECONDS: i64 = 300;

/// Checks signed Unix seconds, given as text, against the clock. Call it only once the signature is proven.
pub(super) fn check_seconds(text: &[u8], now: UnixMillis) -> Result<(), Rejection> {
    let seconds: i64 = str::from_utf8(text)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or(Rejection::MalformedTimestamp)?;
    let age = now.seconds().saturating_sub(seconds);
    if age > TOLERANCE_SECONDS {
        Err(Rejection::StaleTimestamp)
    } else if age < -TOLERANCE_SECONDS {
        Err(Rejection::FutureTimestamp)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_minutes_are_allowed_either_way_and_not_a_second_more() {
        let check = |seconds: i64| check_seconds(seconds.to_string().as_bytes(), UnixMillis(1_000_000_999));
        assert_eq!(check(1_000_000 - 300), Ok(()));
        assert_eq!(check(1_000_000 - 301), Err(Rejection::StaleTimestamp));
        assert_eq!(check(1_000_000 + 300), Ok(()));
        assert_eq!(check(1_000_000 + 301), Err(Rejection::FutureTimestamp));
    }

    #[test]
    fn what_is_not_a_count_of_seconds_is_malformed() {
        for text in ["", "-5", "+5", "1e9", "hello", "99999999999999999999", "१"] {
            assert_eq!(
                check_seconds(text.as_bytes(), UnixMillis(0)),
                Err(Rejection::MalformedTimestamp),
                "{text}"
            );
        }
    }
}
