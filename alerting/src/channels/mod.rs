//! Where pages go: one file per kind of channel.
//!
//! Adding a kind: a file with `render` and `classify`, both pure; here one `mod`, one [`Channel`] variant, and the
//! arms that the compiler then asks for. Connecting, time limits, address checks and reading replies are the
//! [`sender`]'s; when to send, repeat and give up is the [outbox](crate::outbox)'s.

mod address;
#[cfg(test)]
mod contract;
mod log;
mod reply;
pub mod sender;
mod slack;
mod webhook;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use payments::{Secret, UnixMillis};
use runtime::config::{ChannelConfig, ChannelKind, SecretRefError};

pub use reply::Answer;
pub use sender::Sender;

use crate::page::Message;

/// One destination of pages, ready to use.
#[derive(Debug)]
pub struct Channel {
    /// Name used by rules.
    pub name: String,
    /// Whether its address may be a private or loopback one.
    pub private_address_allowed: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Log,
    Webhook(webhook::WebhookChannel),
    Slack(slack::SlackChannel),
}

/// A channel that cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// A secret is not there.
    #[error("channel `{channel}`: {key} cannot be read")]
    Secret {
        /// Which channel.
        channel: String,
        /// `url` or `secrets`.
        key: &'static str,
        /// Why.
        #[source]
        source: SecretRefError,
    },
    /// No address configured.
    #[error("channel `{channel}`: url is missing; give {{ env = \"NAME\" }} or {{ file = \"PATH\" }}")]
    NoAddress {
        /// Which channel.
        channel: String,
    },
    /// The address is not one.
    #[error("channel `{channel}`: url is not an https address (http only with private_address_allowed)")]
    Address {
        /// Which channel.
        channel: String,
    },
    /// A signing secret is not in the documented form.
    #[error("channel `{channel}`: a secret is not `whsec_` followed by base64 of 24 to 64 bytes")]
    SigningSecret {
        /// Which channel.
        channel: String,
    },
}

/// What a channel sends for a message.
#[derive(Clone, Debug)]
pub enum Rendered {
    /// A text for the log.
    Line(String),
    /// A POST.
    Post(Post),
}

/// One HTTP POST.
#[derive(Clone, Debug)]
pub struct Post {
    /// Where to.
    pub url: SecretUrl,
    /// All headers but length and host.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// An address that is a secret itself (it often carries a token): `Debug` shows its host only.
#[derive(Clone)]
pub struct SecretUrl(reqwest::Url);

/// A message with its identity on one channel.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Identifies the page.
    pub dedup_key: &'a str,
    /// Counts this page's messages on this channel, from 1.
    pub seq: u32,
    /// What to tell.
    pub message: &'a Message,
    /// Whether the channel refused the full form: send title, line and link only.
    pub minimal: bool,
    /// Now: some channels sign it.
    pub now: UnixMillis,
}

impl Channel {
    /// Prepares the configured channel: resolves its secrets, checks its address. `folder` is the configuration
    /// file's.
    pub fn new(config: &ChannelConfig, folder: &Path) -> Result<Self, ChannelError> {
        let kind = match config.kind {
            ChannelKind::Log => Kind::Log,
            ChannelKind::Webhook => {
                let secrets = secrets(config, folder)?;
                let channel = webhook::WebhookChannel::new(address(config, folder)?, &secrets)
                    .ok_or_else(|| ChannelError::SigningSecret { channel: config.name.clone() })?;
                Kind::Webhook(channel)
            }
            ChannelKind::Slack => Kind::Slack(slack::SlackChannel::new(address(config, folder)?)),
        };
        Ok(Self { name: config.name.clone(), private_address_allowed: config.private_address_allowed, kind })
    }

    /// What to send for a message. Pure.
    pub fn render(&self, outgoing: &Outgoing<'_>) -> Rendered {
        match &self.kind {
            Kind::Log => Rendered::Line(log::render(outgoing)),
            Kind::Webhook(channel) => Rendered::Post(channel.render(outgoing)),
            Kind::Slack(channel) => Rendered::Post(channel.render(outgoing)),
        }
    }

    /// What a reply means. Pure.
    pub fn classify(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], now: UnixMillis) -> Answer {
        match &self.kind {
            Kind::Log => Answer::Accepted,
            Kind::Webhook(_) => webhook::classify(status, headers, now),
            Kind::Slack(_) => slack::classify(status, headers, body, now),
        }
    }

    /// The pause after each message: what the receiver documents that it takes.
    pub fn pace(&self) -> Duration {
        match &self.kind {
            Kind::Log | Kind::Webhook(_) => Duration::ZERO,
            Kind::Slack(_) => Duration::from_secs(1),
        }
    }

    /// How long a message is worth repeating before it is given up.
    pub fn patience(&self) -> Duration {
        match &self.kind {
            Kind::Log => Duration::from_secs(60),
            // A program that was down all night still wants to know; a person reading chat does not.
            Kind::Webhook(_) => Duration::from_secs(24 * 3_600),
            Kind::Slack(_) => Duration::from_secs(3_600),
        }
    }
}

fn secrets(config: &ChannelConfig, folder: &Path) -> Result<Vec<Secret>, ChannelError> {
    let resolve = |reference: &runtime::config::SecretRef| {
        reference.resolve(folder).map_err(|source| ChannelError::Secret {
            channel: config.name.clone(),
            key: "secrets",
            source,
        })
    };
    config.secrets.iter().map(resolve).collect()
}

fn address(config: &ChannelConfig, folder: &Path) -> Result<SecretUrl, ChannelError> {
    let channel = || config.name.clone();
    let reference = config.url.as_ref().ok_or_else(|| ChannelError::NoAddress { channel: channel() })?;
    let secret = reference.resolve(folder).map_err(|source| ChannelError::Secret {
        channel: channel(),
        key: "url",
        source,
    })?;
    let url = reqwest::Url::parse(secret.expose().trim())
        .map_err(|_| ChannelError::Address { channel: channel() })?;
    let plain_allowed = config.private_address_allowed && url.scheme() == "http";
    if url.host().is_none() || !(url.scheme() == "https" || plain_allowed) {
        return Err(ChannelError::Address { channel: channel() });
    }
    Ok(SecretUrl(url))
}

impl SecretUrl {
    /// The address itself. Call it only where the request is sent.
    pub(crate) fn expose(&self) -> &reqwest::Url {
        &self.0
    }
}

impl std::fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}/[redacted]", self.0.scheme(), self.0.host_str().unwrap_or(""))
    }
}
