//! Answers in ClickHouse's HTTP dialect.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::exception::Exception;
use super::execute::Answer;
use super::frame;
use super::outcome::Stats;

/// Every answer's body: whole, or pieces that may break off.
pub(super) type ReplyBody = UnsyncBoxBody<Bytes, BrokenOff>;

/// Ends a streamed body without its proper end, so that no client takes it for complete.
#[derive(Debug, thiserror::Error)]
#[error("the query failed after its answer had begun")]
pub(super) struct BrokenOff;

/// What the engine says of itself, for the headers.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) display_name: String,
    pub(super) timezone: String,
    pub(super) version: String,
}

const QUERY_ID: HeaderName = HeaderName::from_static("x-clickhouse-query-id");
const FORMAT: HeaderName = HeaderName::from_static("x-clickhouse-format");
const TIMEZONE: HeaderName = HeaderName::from_static("x-clickhouse-timezone");
const DISPLAY_NAME: HeaderName = HeaderName::from_static("x-clickhouse-server-display-name");
const SUMMARY: HeaderName = HeaderName::from_static("x-clickhouse-summary");
const EXCEPTION_CODE: HeaderName = HeaderName::from_static("x-clickhouse-exception-code");
const EXCEPTION_TAG: HeaderName = HeaderName::from_static("x-clickhouse-exception-tag");

/// Ours: the process that answers, on `/ping`.
pub(super) const PROCESS_HEADER: &str = "x-tillwatch-engine-process";

/// `/ping`: the server answers.
pub(super) fn pong() -> Response<ReplyBody> {
    let mut response = text(StatusCode::OK, "Ok.\n");
    response.headers_mut().insert(PROCESS_HEADER, std::process::id().into());
    response
}

/// A short text, for the paths that are not queries.
pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<ReplyBody> {
    let mut response = Response::new(full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    response
}

/// The result of a query.
pub(super) fn answer(facts: &Facts, query_id: &str, answer: Answer, compress: bool) -> Response<ReplyBody> {
    let tag = uuid::Uuid::new_v4().simple().to_string()[..16].to_owned();
    let encode = move |piece: Bytes| if compress { frame::compress(&piece) } else { piece };
    let body = match answer.rest {
        None => full(encode(answer.first)),
        Some(rest) => streamed(answer.first, rest, encode, tag.clone()),
    };
    let mut response = Response::new(body);
    set(&mut response, CONTENT_TYPE, content_type(&answer.format));
    set(&mut response, FORMAT, &answer.format);
    set(&mut response, EXCEPTION_TAG, &tag);
    set(&mut response, SUMMARY, &summary(&answer.stats));
    identify(&mut response, facts, query_id);
    response
}

/// A failed query.
pub(super) fn exception(facts: &Facts, query_id: &str, error: &Exception) -> Response<ReplyBody> {
    let mut response = text(error.status(), with_version(facts, error));
    set(&mut response, EXCEPTION_CODE, &error.code.to_string());
    if error.status() == StatusCode::SERVICE_UNAVAILABLE {
        set(&mut response, RETRY_AFTER, "1");
    }
    identify(&mut response, facts, query_id);
    response
}

/// The engine leaves its version out of most texts; a server's texts end with it.
fn with_version(facts: &Facts, error: &Exception) -> String {
    if error.text.contains("(version ") {
        format!("{}\n", error.text)
    } else {
        format!("{} (version {})\n", error.text, facts.version)
    }
}

fn identify(response: &mut Response<ReplyBody>, facts: &Facts, query_id: &str) {
    set(response, QUERY_ID, query_id);
    set(response, TIMEZONE, &facts.timezone);
    set(response, DISPLAY_NAME, &facts.display_name);
}

/// A value that is no valid header is left out: only names of formats and hosts come here.
fn set(response: &mut Response<ReplyBody>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn full(body: Bytes) -> ReplyBody {
    Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// The rest follows as the engine produces it. A failure in the middle is told in the body, framed
/// by the tag of the header (as servers do since 25.11), and then the body breaks off.
fn streamed(
    first: Bytes,
    rest: mpsc::Receiver<Result<Bytes, Exception>>,
    encode: impl Fn(Bytes) -> Bytes + Send + 'static,
    tag: String,
) -> ReplyBody {
    let rest = stream::unfold(rest, |mut rest| async move { rest.recv().await.map(|piece| (piece, rest)) });
    let pieces = stream::iter([Ok(first)]).chain(rest).flat_map(move |piece| match piece {
        Ok(piece) => stream::iter([Ok(Frame::data(encode(piece)))]).left_stream(),
        Err(error) => broken_off(exception_block(&error, &tag)).right_stream(),
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// The last words, then the break. Between the two the stream is pending once, for the connection to
/// send the words before it learns that the body is broken.
fn broken_off(words: Bytes) -> impl Stream<Item = Result<Frame<Bytes>, BrokenOff>> {
    stream::iter([Ok(Frame::data(words))]).chain(stream::once(async {
        tokio::task::yield_now().await;
        Err(BrokenOff)
    }))
}

fn exception_block(error: &Exception, tag: &str) -> Bytes {
    let text = error.text.trim_end();
    format!("\r\n__exception__\r\n{tag}\r\n{text}\n{} {tag}\r\n__exception__\r\n", text.len() + 1).into()
}

/// `X-ClickHouse-Summary`. Numbers are strings, as servers write them.
fn summary(stats: &Stats) -> String {
    // A query takes less than 2^63 ns.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds are small and positive"
    )]
    let elapsed_ns = (stats.elapsed_seconds * 1e9) as u64;
    serde_json::json!({
        "read_rows": stats.read_rows.to_string(),
        "read_bytes": stats.read_bytes.to_string(),
        "written_rows": stats.written_rows.to_string(),
        "written_bytes": stats.written_bytes.to_string(),
        "total_rows_to_read": "0",
        "result_rows": stats.result_rows.to_string(),
        "result_bytes": stats.result_bytes.to_string(),
        "elapsed_ns": elapsed_ns.to_string(),
    })
    .to_string()
}

fn content_type(format: &str) -> &'static str {
    match format {
        "TabSeparated"
        | "TSV"
        | "TabSeparatedRaw"
        | "TSVRaw"
        | "TabSeparatedWithNames"
        | "TSVWithNames"
        | "TabSeparatedWithNamesAndTypes"
        | "TSVWithNamesAndTypes" => "text/tab-separated-values; charset=UTF-8",
        "CSV" => "text/csv; charset=UTF-8; header=absent",
        "CSVWithNames" | "CSVWithNamesAndTypes" => "text/csv; charset=UTF-8; header=present",
        "XML" => "application/xml; charset=UTF-8",
        f if f.starts_with("JSONEach")
            || f.starts_with("JSONCompactEach")
            || f == "NDJSON"
            || f == "JSONLines" =>
        {
            "application/x-ndjson; charset=UTF-8"
        }
        f if f.starts_with("JSON") => "application/json; charset=UTF-8",
        f if f.starts_with("Pretty") || f == "Vertical" || f == "Values" => "text/plain; charset=UTF-8",
        _ => "application/octet-stream",
    }
}
