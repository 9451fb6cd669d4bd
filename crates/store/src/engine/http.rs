//! ClickHouse's HTTP interface: routes, and from a request to its answer.
//!
//! Grafana's plugin also wants `Native` framed for its protocol version; the engine writes `Native` at
//! revision 0. The place for that is [`Front::plain`], where a `Native` answer and the client's
//! `client_protocol_version` meet.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::body::Body;
use super::config::EngineConfig;
use super::exception::{Exception, code};
use super::execute::{self, Answer, Insert, Piece, Plain};
use super::guard;
use super::multipart;
use super::pool::{Lane, Pool};
use super::reply::{self, Facts, ReplyBody};
use super::request::Request;
use super::session::Scope;
use super::statement::{self, Head, InsertHead};

/// How long the engine may take to answer the question that `/ping` asks it.
const PING_MAX: Duration = Duration::from_secs(2);
/// Pieces of an INSERT's body that may wait for the engine.
const PIECES_WAITING: usize = 4;

/// What every connection shares.
pub(super) struct Front {
    pub(super) config: EngineConfig,
    pub(super) facts: Facts,
    pub(super) pool: Pool,
}

/// Answers one HTTP request.
pub(super) async fn handle(
    front: Arc<Front>,
    request: http::Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let (parts, incoming) = request.into_parts();
    // With a password no page gets in anyway.
    if front.config.password.is_none() && guard::is_foreign(&parts.headers, front.config.listen) {
        let message = "requests for another host or from a web page are refused: use the address the engine listens \
                       on, or configure a password\n";
        return Ok(reply::text(StatusCode::FORBIDDEN, message));
    }
    Ok(match (parts.uri.path(), &parts.method) {
        ("/ping" | "/replicas_status", _) if front.pool.answers(PING_MAX).await => reply::pong(),
        ("/ping" | "/replicas_status", _) => {
            reply::text(StatusCode::SERVICE_UNAVAILABLE, "the engine does not answer\n")
        }
        ("/", &Method::GET | &Method::HEAD) if parts.uri.query().is_none() => {
            reply::text(StatusCode::OK, "Ok.\n")
        }
        ("/", &Method::GET | &Method::HEAD | &Method::POST) => front.query(parts, incoming).await,
        ("/", _) => reply::text(StatusCode::METHOD_NOT_ALLOWED, "use GET or POST\n"),
        (path, _) => reply::text(StatusCode::NOT_FOUND, format!("There is no handle {path}\n")),
    })
}

impl Front {
    async fn query(&self, parts: http::request::Parts, incoming: Incoming) -> Response<ReplyBody> {
        let read = Request::read(&parts.method, parts.uri.query().unwrap_or_default(), &parts.headers);
        let (query_id, compress, outcome) = match read {
            Err(error) => (String::new(), false, Err(error)),
            Ok(request) => {
                let (query_id, compress) = (request.query_id.clone(), request.compress);
                let config = &self.config;
                let packed = (request.encoding, request.decompress);
                let mut body = Body::new(incoming, packed, config.body_bytes_max, config.client_idle_max);
                let outcome = self.execute(request, &mut body).await;
                if outcome.is_err() {
                    body.drain().await;
                }
                (query_id, compress, outcome)
            }
        };
        match outcome {
            Ok(answer) => reply::answer(&self.facts, &query_id, answer, compress),
            Err(error) => {
                tracing::debug!(code = error.code, query_id, error = error.text, "query failed");
                reply::exception(&self.facts, &query_id, &error)
            }
        }
    }

    async fn execute(&self, mut request: Request, body: &mut Body) -> Result<Answer, Exception> {
        request.authenticate(self.config.password.as_deref())?;
        if let Some(boundary) = request.form_boundary.take() {
            let form = self.read_whole(body).await?;
            for (name, value) in multipart::fields(&form, &boundary)? {
                request.set(&name, value)?;
            }
        }
        let (text, head) = self.read_head(std::mem::take(&mut request.query), body).await?;
        match head {
            Head::Insert(head) => self.insert(request, &text, &head, body).await,
            Head::Plain | Head::Unfinished => self.plain(request, text).await,
            Head::FromInfile => {
                let message = "INSERT FROM INFILE reads a file of the server: send the data in the body";
                Err(Exception::new(code::NOT_IMPLEMENTED, "NOT_IMPLEMENTED", message))
            }
        }
    }

    /// Reads a body that cannot be larger than a statement.
    async fn read_whole(&self, body: &mut Body) -> Result<Bytes, Exception> {
        let mut whole = BytesMut::new();
        while let Some(piece) = body.next().await? {
            whole.extend_from_slice(&piece);
            self.check_statement(whole.len())?;
        }
        Ok(whole.freeze())
    }

    fn check_statement(&self, bytes: usize) -> Result<(), Exception> {
        let limit = self.config.statement_bytes_max;
        if bytes <= limit {
            return Ok(());
        }
        let message = format!("The statement is longer than the limit of {limit} bytes");
        Err(Exception::new(code::TOO_MANY_BYTES, "TOO_MANY_BYTES", message))
    }

    /// Reads until it is clear what the statement is: an INSERT to where its data begin, any other
    /// statement to its end. The `query` parameter and the body are one text, joined by a line break.
    async fn read_head(&self, query: String, body: &mut Body) -> Result<(Bytes, Head), Exception> {
        let mut text = BytesMut::from(query.trim_end());
        if !text.is_empty() {
            text.extend_from_slice(b"\n");
        }
        loop {
            let head = statement::head(&text, false);
            if matches!(head, Head::Insert(_) | Head::FromInfile) {
                return Ok((text.freeze(), head));
            }
            let Some(piece) = body.next().await? else { break };
            text.extend_from_slice(&piece);
            let statement_bytes = match statement::head(&text, false) {
                Head::Insert(head) => head.data,
                _ => text.len(),
            };
            self.check_statement(statement_bytes)?;
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            let message = "Syntax error: empty query: give it in the body or as the parameter 'query'";
            return Err(Exception::new(code::SYNTAX_ERROR, "SYNTAX_ERROR", message));
        }
        let head = statement::head(&text, true);
        Ok((text.freeze(), head))
    }

    async fn plain(&self, request: Request, text: Bytes) -> Result<Answer, Exception> {
        let lane = request.lane;
        let plain = Plain {
            sql: text.into(),
            in_session: request.session_id.is_some(),
            default_format: request.default_format.clone(),
            scope: scope(request),
            result_bytes_max: self.config.result_bytes_max,
            client_idle_max: self.config.client_idle_max,
        };
        let (reply, answer) = oneshot::channel();
        let runtime = Handle::current();
        self.pool.run(lane, move |session| execute::plain(session, &plain, &runtime, reply)).await?;
        answer.await.unwrap_or_else(|_| Err(no_answer()))
    }

    async fn insert(
        &self,
        request: Request,
        text: &Bytes,
        head: &InsertHead,
        body: &mut Body,
    ) -> Result<Answer, Exception> {
        let (pieces, data) = mpsc::channel(PIECES_WAITING);
        let insert = Insert {
            sql: text[..head.statement].to_vec(),
            format: head.format.clone(),
            scope: scope(request),
            data,
        };
        let (reply, answer) = oneshot::channel();
        self.pool.run(Lane::Writes, move |session| execute::insert(session, insert, reply)).await?;
        body.unread(text.slice(head.data..));
        // On an error the channel closes without `End`, which cancels the INSERT.
        feed(body, pieces).await?;
        answer.await.unwrap_or_else(|_| Err(no_answer()))
    }
}

/// Hands the body to the engine. Stops early when the engine has: its answer says why.
async fn feed(body: &mut Body, pieces: mpsc::Sender<Piece>) -> Result<(), Exception> {
    while let Some(data) = body.next().await? {
        if pieces.send(Piece::Data(data)).await.is_err() {
            return Ok(());
        }
    }
    // A closed channel means that the INSERT has failed already.
    let _ = pieces.send(Piece::End).await;
    Ok(())
}

fn scope(request: Request) -> Scope {
    Scope {
        database: request.database,
        settings: request.settings,
        params: request.params,
        read_only: request.read_only,
    }
}

fn no_answer() -> Exception {
    Exception::new(code::STD_EXCEPTION, "STD_EXCEPTION", "The engine ended without an answer")
}
