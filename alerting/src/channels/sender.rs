//! The one place that sends: time limits, no redirects, no proxy, checked addresses, bounded replies.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tracing::warn;

use super::address::{NotPublic, PublicOnly, is_private_literal};
use super::reply::Answer;
use super::{Channel, Outgoing, Post, Rendered};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
/// As much of a reply as is read; the rest is dropped with the connection.
const REPLY_BYTES_MAX: usize = 16 << 10;

/// Sends messages to channels.
#[derive(Clone, Debug)]
pub struct Sender {
    public_only: reqwest::Client,
    any_address: reqwest::Client,
}

impl Sender {
    /// Prepares the two clients: one for public addresses, one for channels that may be anywhere.
    pub fn new() -> Result<Self, reqwest::Error> {
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(TOTAL_TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
        };
        let public_only = builder().dns_resolver(PublicOnly).build()?;
        Ok(Self { public_only, any_address: builder().build()? })
    }

    /// Renders and sends one message and says what came of it. Never fails: every failure is an answer.
    pub async fn send(&self, channel: &Channel, outgoing: &Outgoing<'_>) -> Answer {
        match channel.render(outgoing) {
            Rendered::Line(text) => {
                warn!(channel = channel.name, dedup_key = outgoing.dedup_key, "page\n{text}");
                Answer::Accepted
            }
            Rendered::Post(post) => match self.post(channel, post).await {
                Ok((status, headers, body)) => channel.classify(status, &headers, &body, outgoing.now),
                Err(answer) => answer,
            },
        }
    }

    async fn post(&self, channel: &Channel, post: Post) -> Result<(StatusCode, HeaderMap, Bytes), Answer> {
        let client = if channel.private_address_allowed {
            &self.any_address
        } else if is_private_literal(post.url.expose()) {
            return Err(Answer::PermanentConfig(NotPublic.to_string()));
        } else {
            &self.public_only
        };
        let request = client.post(post.url.expose().clone()).headers(post.headers).body(post.body);
        let mut response = request.send().await.map_err(|error| unsent(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        // The status has arrived: a reply whose body then breaks off is still judged by it.
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = REPLY_BYTES_MAX.saturating_sub(body.len());
            body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            if body.len() >= REPLY_BYTES_MAX {
                break;
            }
        }
        Ok((status, headers, body.into()))
    }
}

/// A failure before any reply. The address is a secret: only the kind of failure and its innermost cause are told.
fn unsent(error: &reqwest::Error) -> Answer {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        if source.downcast_ref::<NotPublic>().is_some() {
            return Answer::PermanentConfig(NotPublic.to_string());
        }
        innermost = source;
    }
    let kind = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "connection broke"
    };
    // `reqwest`'s own text carries the address, its sources do not.
    let cause =
        if std::error::Error::source(error).is_none() { String::new() } else { format!(": {innermost}") };
    Answer::transient(format!("{kind}{cause}"))
}
