//! A lean HTTP/1.1 client: one connection, one request at a time, kept alive.
//!
//! General clients cost more per request than the server under test. This one writes a prepared request in one call
//! and reads no more of the answer than its status and length.

use std::fmt;
use std::time::Duration;

use strum::{Display, IntoStaticStr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::providers::Header;

/// Where webhooks are posted: `http://127.0.0.1:8080`.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// `host:port`.
    authority: String,
    /// Before `/webhooks`; without a slash at its end.
    path: String,
}

/// A URL that cannot be posted to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is no target: {problem}; expected `http://HOST:PORT`")]
pub struct TargetError {
    url: String,
    problem: &'static str,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Display, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Failure {
    /// No connection.
    Connect,
    /// The connection was closed before the answer was complete.
    Closed,
    /// Not answered in time.
    Timeout,
    /// The answer is not HTTP.
    BrokenAnswer,
}

/// A status, or why there is none.
pub type Answer = Result<u16, Failure>;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
    keep: bool,
}

/// Largest head of an answer.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Largest body of an answer; it is read and thrown away.
const BODY_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 64;

impl Target {
    /// From a URL. TLS is not spoken: the simulator stands where the load balancer would end it.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let error = |problem| TargetError { url: url.to_owned(), problem };
        let rest = match url.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err(error("the simulator does not speak TLS")),
            Some(_) => return Err(error("it is not an HTTP URL")),
            None => return Err(error("the scheme is missing")),
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if host.is_empty() || url.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
            return Err(error("the host is missing or has odd characters"));
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { host.to_owned() } else { format!("{host}:80") };
        Ok(Self { authority, path: path.trim_end_matches('/').to_owned() })
    }

    /// The part of a request to `source` that is the same for every webhook, up to and with `content-length: `.
    pub(crate) fn head(&self, source: &str) -> Vec<u8> {
        let Self { authority, path } = self;
        format!(
            "POST {path}/webhooks/{source} HTTP/1.1\r\nhost: {authority}\r\nuser-agent: tillwatch-simulator\r\n\
             content-type: application/json\r\ncontent-length: "
        )
        .into_bytes()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// Completes `head` (made by [`Target::head`]) to a whole request in `out`.
pub(crate) fn write_request(out: &mut Vec<u8>, head: &[u8], headers: &[Header], body: &[u8]) {
    out.clear();
    out.extend_from_slice(head);
    out.extend_from_slice(body.len().to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

/// Posts `request` on the connection in `slot`, opening one where there is none or a stale one. The connection stays
/// in `slot` if it can be used again.
pub(crate) async fn post(
    slot: &mut Option<Connection>,
    target: &Target,
    request: &[u8],
    limit: Duration,
) -> Answer {
    let exchange = async {
        let mut connection = match slot.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => Connection::open(target).await?,
        };
        let status = connection.exchange(request).await?;
        *slot = Some(connection).filter(|connection| connection.keep);
        Ok(status)
    };
    timeout(limit, exchange).await.unwrap_or(Err(Failure::Timeout))
}

impl Connection {
    async fn open(target: &Target) -> Result<Self, Failure> {
        let stream = TcpStream::connect(&target.authority).await.map_err(|_| Failure::Connect)?;
        stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
        Ok(Self { stream, answer: Vec::with_capacity(1_024), keep: true })
    }

    /// Whether the server has neither closed it nor said anything unasked.
    fn is_open(&self) -> bool {
        let mut probe = [0];
        let read = self.stream.try_read(&mut probe);
        matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }

    async fn exchange(&mut self, request: &[u8]) -> Answer {
        self.stream.write_all(request).await.map_err(|_| Failure::Closed)?;
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await.map_err(|_| Failure::Closed)?;
            if read == 0 {
                return Err(Failure::Closed);
            }
            if let Some(head) = parse_head(&self.answer)? {
                self.keep = head.keep;
                self.skip_body(&head).await?;
                return Ok(head.status);
            }
            if self.answer.len() > HEAD_BYTES_MAX {
                return Err(Failure::BrokenAnswer);
            }
        }
    }

    async fn skip_body(&mut self, head: &Head) -> Result<(), Failure> {
        let end = match head.body_bytes {
            Some(bytes) if bytes <= BODY_BYTES_MAX => head.bytes + bytes,
            // The status is known; the rest goes away with the connection.
            Some(_) | None => {
                self.keep = false;
                return Ok(());
            }
        };
        while self.answer.len() < end {
            let read = self.stream.read_buf(&mut self.answer).await.map_err(|_| Failure::Closed)?;
            if read == 0 {
                return Err(Failure::Closed);
            }
        }
        Ok(())
    }
}

struct Head {
    bytes: usize,
    status: u16,
    /// `None` if it is not told by `content-length`.
    body_bytes: Option<usize>,
    keep: bool,
}

/// `None` while the head is incomplete.
fn parse_head(answer: &[u8]) -> Result<Option<Head>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let bytes = match response.parse(answer) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Failure::BrokenAnswer),
    };
    let status = response.code.ok_or(Failure::BrokenAnswer)?;
    let mut head = Head { bytes, status, body_bytes: None, keep: response.version == Some(1) };
    for header in response.headers.iter() {
        let value = str::from_utf8(header.value).unwrap_or("").trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            head.body_bytes = Some(value.parse().map_err(|_| Failure::BrokenAnswer)?);
        } else if header.name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            head.keep = false;
        }
    }
    if matches!(status, 204 | 304) {
        head.body_bytes = Some(0);
    }
    Ok(Some(head))
}

/// Whether the provider takes `answer` for an acknowledgement: any 2xx.
pub(crate) fn is_acknowledged(answer: Answer) -> bool {
    matches!(answer, Ok(200..=299))
}

/// `answer` as it is counted: the status, or the failure's name.
pub(crate) fn answer_name(answer: Answer) -> String {
    match answer {
        Ok(status) => status.to_string(),
        Err(failure) => failure.to_string(),
    }
}

#[cfg(test)]
mod tests;
