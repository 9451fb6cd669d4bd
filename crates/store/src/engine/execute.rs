//! Runs statements on a [`Session`], on that session's thread.

use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::exception::{Exception, code};
use super::outcome::{Analysis, Output, Stats};
use super::session::{Scope, Session};
use super::{statement, stream};

/// What goes back to the client: all of it, or the beginning and the way to the rest.
pub(super) struct Answer {
    pub(super) format: String,
    pub(super) first: Bytes,
    pub(super) rest: Option<mpsc::Receiver<Result<Bytes, Exception>>>,
    /// The engine's numbers, as far as they are known when the answer starts.
    pub(super) stats: Stats,
}

/// Where an answer goes.
pub(super) type Reply = oneshot::Sender<Result<Answer, Exception>>;

/// A statement without data.
pub(super) struct Plain {
    pub(super) sql: Vec<u8>,
    pub(super) scope: Scope,
    pub(super) default_format: Option<String>,
    pub(super) in_session: bool,
    pub(super) result_bytes_max: u64,
    pub(super) client_idle_max: Duration,
}

/// The data of an INSERT, as they arrive. Closing the channel without `End` cancels the INSERT.
pub(super) enum Piece {
    Data(Bytes),
    End,
}

/// An INSERT with data.
pub(super) struct Insert {
    pub(super) sql: Vec<u8>,
    pub(super) format: String,
    pub(super) scope: Scope,
    pub(super) data: mpsc::Receiver<Piece>,
}

/// Runs an INSERT. Nothing is written before `End`, but for blocks the engine has already cut off
/// (about a million rows).
pub(super) fn insert(session: &mut Session, insert: Insert, reply: Reply) {
    let outcome = insert_data(session, insert);
    if outcome.is_err() {
        session.use_up();
    }
    // The client may be gone; the INSERT has ended either way.
    let _ = reply.send(outcome);
}

fn insert_data(session: &mut Session, mut insert: Insert) -> Result<Answer, Exception> {
    session.enter(&insert.scope)?;
    session.enter_read_only(&insert.scope)?;
    let mut stream = session
        .connection()
        .insert(&insert.sql, &insert.format, &insert.scope.params)
        .map_err(Exception::from_engine)?;
    loop {
        match insert.data.blocking_recv() {
            Some(Piece::Data(data)) => {
                if stream.append(&data).is_err() {
                    break;
                }
            }
            Some(Piece::End) => break,
            // Dropping the stream cancels it.
            None => {
                let message = "The INSERT was cancelled: its data broke off";
                return Err(Exception::new(code::QUERY_WAS_CANCELLED, "QUERY_WAS_CANCELLED", message));
            }
        }
    }
    let output = stream.finish().map_err(Exception::from_engine)?;
    Ok(whole(insert.format, output))
}

/// Runs a statement without data.
pub(super) fn plain(session: &mut Session, plain: &Plain, runtime: &Handle, reply: Reply) {
    let format = statement::output_format(&plain.sql)
        .or_else(|| plain.default_format.clone())
        .unwrap_or_else(|| "TabSeparated".to_owned());
    let outcome = match prepare(session, plain, &format) {
        Ok(true) => return stream::run(session, plain, format, runtime, reply),
        Ok(false) => session
            .connection()
            .query(&plain.sql, &format, &plain.scope.params)
            .map(|output| whole(format, output))
            .map_err(Exception::from_engine),
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        session.use_up();
    }
    let _ = reply.send(outcome);
}

/// Makes the session ready and says whether the result can be streamed.
fn prepare(session: &mut Session, plain: &Plain, format: &str) -> Result<bool, Exception> {
    session.enter(&plain.scope)?;
    let analysis = session.connection().classify(&plain.sql);
    admit(&plain.sql, analysis, plain.in_session)?;
    if !analysis.is_read() {
        // Whatever it leaves on its connection (a setting, a temporary table) goes with it.
        session.use_up();
    }
    let streams = analysis.is_read() && can_stream(&plain.sql, format, &plain.scope);
    let limited = plain.scope.settings.iter().any(|(name, _)| name == "max_result_bytes");
    if analysis.is_read() && !streams && !limited {
        let limit = plain.result_bytes_max.to_string();
        session.set([("max_result_bytes", limit.as_str()), ("result_overflow_mode", "throw")].into_iter())?;
    }
    session.enter_read_only(&plain.scope)?;
    Ok(streams)
}

/// Refuses what a server refuses over HTTP. A text that does not parse passes, to be refused by the
/// engine in its own words, unless it could be half run.
fn admit(sql: &[u8], analysis: Analysis, in_session: bool) -> Result<(), Exception> {
    if analysis.statements > 1 || (analysis.statements == 0 && statement::has_several(sql)) {
        let message = "Syntax error: multi-statements are not allowed: send one statement a request";
        return Err(Exception::new(code::SYNTAX_ERROR, "SYNTAX_ERROR", message));
    }
    let words = statement::first_words::<4>(sql);
    let first = words[0].as_str();
    // CREATE TEMPORARY, CREATE OR REPLACE TEMPORARY.
    let temporary = matches!(first, "CREATE" | "REPLACE") && words.iter().any(|word| word == "TEMPORARY");
    let for_later = in_session && matches!(first, "SET" | "USE");
    let writes_outside = analysis.is_control()
        && matches!(first, "SELECT" | "WITH" | "FROM" | "VALUES" | "INSERT" | "SHOW" | "DESCRIBE");
    let message = match (temporary, for_later, writes_outside) {
        (true, ..) => "Temporary tables need a session, which the embedded engine does not have",
        (_, true, _) => {
            "The embedded engine has no sessions: send settings and database with each request, and leave out session_id"
        }
        (_, _, true) => "Writing outside the database (INTO OUTFILE, INSERT INTO FUNCTION) is not allowed",
        _ => return Ok(()),
    };
    Err(Exception::new(code::NOT_IMPLEMENTED, "NOT_IMPLEMENTED", message))
}

/// The engine writes every piece of a streamed result as a document of its own. That adds up to one
/// result only for formats made of independent rows or blocks, and without a tail (totals, extremes).
fn can_stream(sql: &[u8], format: &str, scope: &Scope) -> bool {
    const FORMATS: [&str; 12] = [
        "RowBinary",
        "RowBinaryWithNames",
        "RowBinaryWithNamesAndTypes",
        "TabSeparated",
        "TSV",
        "TabSeparatedRaw",
        "TSVRaw",
        "CSV",
        "JSONEachRow",
        "JSONLines",
        "NDJSON",
        "Native",
    ];
    const TAILS: [&str; 3] = ["TOTALS", "EXTREMES", "OUTPUT_FORMAT_JSON_ARRAY_OF_ROWS"];
    let tail_set = scope.settings.iter().any(|(name, _)| TAILS.iter().any(|t| name.eq_ignore_ascii_case(t)));
    let [first] = statement::first_words::<1>(sql);
    FORMATS.contains(&format)
        && matches!(first.as_str(), "SELECT" | "WITH" | "FROM")
        && !tail_set
        && !statement::mentions(sql, &TAILS)
}

pub(super) fn whole(format: String, output: Output) -> Answer {
    Answer { format, first: output.bytes.into(), rest: None, stats: output.stats }
}
