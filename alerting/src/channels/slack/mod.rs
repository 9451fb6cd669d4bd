//! `slack`: an incoming webhook. It returns no message id, so a message can neither be edited nor threaded: updates
//! and the end are messages of their own that name the incident.

mod blocks;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use payments::UnixMillis;
use serde::Deserialize;

use super::reply::{Answer, wait_seconds};
use super::{Outgoing, Post, SecretUrl};

/// A Slack channel behind its webhook address.
#[derive(Debug)]
pub(super) struct SlackChannel {
    url: SecretUrl,
}

impl SlackChannel {
    pub(super) fn new(url: SecretUrl) -> Self {
        Self { url }
    }

    pub(super) fn render(&self, outgoing: &Outgoing<'_>) -> Post {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        // Invariant: texts and arrays only: writing it cannot fail.
        let body = serde_json::to_vec(&blocks::message(outgoing)).map(Bytes::from).unwrap_or_default();
        Post { url: self.url.clone(), headers, body }
    }
}

#[derive(Deserialize)]
struct RateLimited {
    retry_after: f64,
}

/// Errors are plain text beside their status; 429 says how long to wait in the header and in the body.
pub(super) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8], now: UnixMillis) -> Answer {
    let answer = Answer::of_status(status, headers, now);
    let said = crate::page::outside(&String::from_utf8_lossy(body));
    let with =
        |reason: String| if body.trim_ascii().is_empty() { reason } else { format!("{reason}: {said}") };
    match answer {
        Answer::Accepted if body.trim_ascii() == b"ok" || body.trim_ascii().is_empty() => Answer::Accepted,
        // A 200 that is not `ok` comes from something that is not Slack.
        Answer::Accepted => Answer::PermanentConfig(with("HTTP 200 but not `ok`".to_owned())),
        Answer::Transient { .. } if status == StatusCode::TOO_MANY_REQUESTS => {
            let asked = serde_json::from_slice::<RateLimited>(body).ok();
            let wait = asked.and_then(|body| wait_seconds(body.retry_after));
            wait.map_or_else(|| Answer::transient("HTTP 429".to_owned()), Answer::RetryAfter)
        }
        Answer::RetryAfter(wait) => Answer::RetryAfter(wait),
        Answer::Transient { reason, wait } => Answer::Transient { reason: with(reason), wait },
        Answer::PermanentPayload(reason) if body.trim_ascii() == b"user_not_found" => {
            Answer::PermanentConfig(with(reason))
        }
        Answer::PermanentPayload(reason) => Answer::PermanentPayload(with(reason)),
        Answer::PermanentConfig(reason) => Answer::PermanentConfig(with(reason)),
    }
}
