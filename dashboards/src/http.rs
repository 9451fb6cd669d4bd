//! The board over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::Markup;
use payments::UnixMillis;
use sha2::{Digest as _, Sha256};

use crate::collect::Collector;
use crate::model::Snapshot;
use crate::page::{self, Context};
use crate::window::Window;

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) collector: Collector,
    pub(crate) context: Context,
}

impl Board {
    async fn snapshot(&self, query: Option<&str>) -> Snapshot {
        let window = window(query, self.collector.clock.now());
        Box::pin(self.collector.snapshot(window)).await
    }
}

/// The routes.
pub(crate) fn router(board: Arc<Board>) -> Router {
    Router::new()
        .route("/", get(whole))
        .route("/board/fragment", get(fragment))
        .route("/board/data.json", get(data))
        .with_state(board)
}

async fn whole(State(board): State<Arc<Board>>, RawQuery(query): RawQuery) -> Response {
    board.collector.observations.viewed("page");
    let snapshot = board.snapshot(query.as_deref()).await;
    html(page::document(&snapshot, &board.context))
}

async fn fragment(State(board): State<Arc<Board>>, RawQuery(query): RawQuery) -> Response {
    board.collector.observations.viewed("fragment");
    let snapshot = board.snapshot(query.as_deref()).await;
    html(page::fragment(&snapshot, &board.context))
}

async fn data(State(board): State<Arc<Board>>, RawQuery(query): RawQuery) -> Response {
    board.collector.observations.viewed("json");
    let snapshot = board.snapshot(query.as_deref()).await;
    match serde_json::to_vec(&snapshot) {
        Ok(json) => {
            let mut response = secured(json.into_response());
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => {
            tracing::error!(%error, "the board's numbers could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// `?window=6h`, or `?from=1763780400000` as links in pages have it. Anything else is the default: a link never fails.
fn window(query: Option<&str>, now: UnixMillis) -> Window {
    let pairs = || query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let value = |name: &str| pairs().find(|(key, _)| *key == name).map(|(_, value)| value);
    if let Some(name) = value("window") {
        return Window::from_name(name);
    }
    match value("from").and_then(|text| text.parse().ok()) {
        Some(from) => Window::reaching(UnixMillis(from), now),
        None => Window::default(),
    }
}

/// A page or a part of one.
pub(crate) fn html(markup: Markup) -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let mut response = secured(markup.into_string().into_response());
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Payments are shown: nothing may keep, frame, sniff or leak them. Only our one script and one stylesheet run, named by
/// their hashes.
fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let fixed: [(HeaderName, HeaderValue); 7] = [
        (header::CONTENT_SECURITY_POLICY, policy()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ];
    headers.extend(fixed);
    response
}

/// Named by its hash, an inline script or stylesheet cannot be another one.
fn policy() -> HeaderValue {
    let text = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(page::SCRIPT),
        hash(page::STYLE),
    );
    // Base64 and fixed words are always a valid header; the fallback forbids everything.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// As Content-Security-Policy names an inline script: `sha256-…`.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_never_fails() {
        let now = UnixMillis::from_rfc3339("2026-11-22T03:07:14Z").unwrap();
        assert_eq!(window(Some("window=6h"), now), Window::SixHours);
        assert_eq!(window(Some("issuer=a%20b&window=24h&window=6h"), now), Window::Day);
        assert_eq!(window(Some(&format!("from={}&issuer=x", now.0 - 7_200_000)), now), Window::SixHours);
        for nonsense in
            [None, Some(""), Some("window"), Some("window=<script>"), Some("from=99999999999999999999")]
        {
            assert_eq!(window(nonsense, now), Window::Hour, "{nonsense:?}");
        }
    }

    #[test]
    fn a_page_forbids_everything_but_its_own_script_and_style() {
        let response = html(maud::html! { "x" });
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
    }
}
