//! Every way a request can end: exactly one [`Answer`], counted once.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use payments::{Provider, Rejection};
use queue::PublishError;

/// How one request ended.
#[derive(Debug)]
#[must_use]
pub enum Answer {
    /// Durable: 200 with the body the provider wants.
    Accepted(Provider),
    /// The signature is missing, wrong or stale: 401.
    Rejected(Rejection),
    /// No such source, or no such path: 404.
    UnknownSource,
    /// Not POST: 405.
    MethodNotAllowed,
    /// The body took too long: 408.
    BodyTooSlow,
    /// The body ended before it was complete, or its framing is broken: 400.
    BodyBroken,
    /// The body is larger than allowed: 413.
    BodyTooLarge {
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// Over the source's own rate: 429.
    RateLimited,
    /// Too many requests of this source, or too many bytes of their bodies, are being worked on: 503.
    Busy,
    /// Nothing durable could be written: 503.
    NotDurable(PublishError),
}

impl Answer {
    /// The stable code in the answer's body and in metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Rejected(rejection) => rejection.name(),
            Self::UnknownSource => "unknown_source",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTooSlow => "body_too_slow",
            Self::BodyBroken => "body_broken",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::RateLimited => "rate_limited",
            Self::Busy => "busy",
            Self::NotDurable(PublishError::Full { .. }) => "queue_full",
            Self::NotDurable(PublishError::Overloaded { .. }) => "queue_overloaded",
            Self::NotDurable(error) if error.is_disk_full() => "disk_full",
            Self::NotDurable(PublishError::TimedOut { .. }) => "publish_timed_out",
            Self::NotDurable(PublishError::BrokerAway { .. }) => "broker_away",
            Self::NotDurable(PublishError::Nacked | PublishError::Unroutable { .. }) => "broker_refused",
            Self::NotDurable(_) => "not_durable",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Accepted(_) => StatusCode::OK,
            Self::Rejected(_) => StatusCode::UNAUTHORIZED,
            Self::UnknownSource => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::NotDurable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What a person reading the answer should know and do.
    fn message(&self) -> String {
        match self {
            Self::Accepted(_) => String::new(),
            Self::Rejected(rejection) => rejection.advice().to_owned(),
            Self::UnknownSource => {
                "no such source: post to /webhooks/{source} with a name from [[sources]]".to_owned()
            }
            Self::MethodNotAllowed => "webhooks are posted: use POST".to_owned(),
            Self::BodyTooSlow => "the body did not arrive in time".to_owned(),
            Self::BodyBroken => "the body ended early or its framing is broken".to_owned(),
            Self::BodyTooLarge { bytes_max } => {
                format!("the body is larger than {bytes_max} bytes (ingest.body_bytes_max)")
            }
            Self::RateLimited => {
                "over this source's rate (requests_per_second_max): try again later".to_owned()
            }
            Self::Busy => "too many requests are being worked on: try again later".to_owned(),
            Self::NotDurable(_) => {
                "nothing durable could be written, so nothing was accepted: try again later".to_owned()
            }
        }
    }

    /// The HTTP response; 429 and 503 ask to come back after `retry_after_s` seconds.
    pub fn into_response(self, retry_after_s: u32) -> Response<Body> {
        let status = self.status();
        let mut response = if let Self::Accepted(provider) = &self {
            Response::new(Body::from(provider.acknowledgement()))
        } else {
            let body = serde_json::json!({ "error": self.code(), "message": self.message() });
            let mut response = Response::new(Body::from(format!("{body}\n")));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        };
        *response.status_mut() = status;
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            // What is left of the body would be read as the next request.
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT | StatusCode::BAD_REQUEST => {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
