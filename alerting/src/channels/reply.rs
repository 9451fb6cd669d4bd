//! What a channel's reply means for the message, and how long it asks us to wait.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use payments::UnixMillis;

/// Longest wait that a reply may ask for: a longer silence on a paging channel is the channel's loss, not ours.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// What a reply means.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// It has the message.
    Accepted,
    /// It takes no more for now, of whatever page (429); come back after this long.
    RetryAfter(Duration),
    /// It may pass later.
    Transient {
        /// Why not now.
        reason: String,
        /// Not before this long, as the reply asks; zero where it does not.
        wait: Duration,
    },
    /// The channel is configured wrongly (gone, forbidden): repeating will not help until somebody mends it.
    PermanentConfig(String),
    /// This message is not wanted in this form.
    PermanentPayload(String),
}

impl Answer {
    /// The stable name under which it is counted.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::RetryAfter(_) => "retry_after",
            Self::Transient { .. } => "transient",
            Self::PermanentConfig(_) => "permanent_config",
            Self::PermanentPayload(_) => "permanent_payload",
        }
    }

    /// It may pass later, whenever that is.
    pub(super) fn transient(reason: String) -> Self {
        Self::Transient { reason, wait: Duration::ZERO }
    }

    /// What an HTTP status means where the channel documents nothing else.
    pub(super) fn of_status(status: StatusCode, headers: &HeaderMap, now: UnixMillis) -> Self {
        let reason = format!("HTTP {}", status.as_u16());
        match status.as_u16() {
            200..=299 => Self::Accepted,
            429 => retry_after(headers, now).map_or_else(|| Self::transient(reason), Self::RetryAfter),
            // Who is down asks on behalf of this request: another page may get through.
            408 | 425 | 500..=599 => {
                Self::Transient { reason, wait: retry_after(headers, now).unwrap_or_default() }
            }
            400 | 413 | 415 | 422 => Self::PermanentPayload(reason),
            // A redirect is not followed: the address would no longer be the one that was checked.
            _ => Self::PermanentConfig(reason),
        }
    }
}

/// `Retry-After`: seconds or an HTTP date (RFC 9110, section 10.2.3), at most [`WAIT_MAX`].
fn retry_after(headers: &HeaderMap, now: UnixMillis) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(WAIT_MAX));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    let at = UnixMillis(i64::try_from(since_epoch.as_millis()).ok()?);
    Some(at.since(now).min(WAIT_MAX))
}

/// A wait that a body asks for, in seconds.
pub(super) fn wait_seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().map(|wait| wait.min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, value.parse().unwrap());
        retry_after(&headers, UnixMillis(1_445_412_480_000))
    }

    #[test]
    fn seconds_and_dates_are_both_understood() {
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(asked("Wed, 21 Oct 2015 07:00:00 GMT"), Some(Duration::ZERO), "a date in the past is now");
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("99999999"), Some(WAIT_MAX));
    }

    #[test]
    fn every_status_has_one_meaning() {
        let class = |status: u16| {
            Answer::of_status(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), UnixMillis(0)).class()
        };
        for (statuses, expected) in [
            (&[200, 201, 202, 204][..], "accepted"),
            (&[408, 425, 429, 500, 502, 503, 504], "transient"),
            (&[400, 413, 415, 422], "permanent_payload"),
            (&[301, 302, 307, 401, 403, 404, 405, 410], "permanent_config"),
        ] {
            for status in statuses {
                assert_eq!(class(*status), expected, "{status}");
            }
        }
    }
}
