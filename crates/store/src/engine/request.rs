//! What one HTTP request asks for, apart from its body: URL parameters and headers.

use base64::Engine as _;
use http::{HeaderMap, Method};
use subtle::ConstantTimeEq as _;

use super::encoding::Encoding;
use super::exception::{Exception, code};
use super::multipart;
use super::pool::Lane;

/// Our own inserts say so in this header: what they ask on the side takes the connection of inserts.
pub(crate) const LANE_HEADER: &str = "x-tillwatch-lane";
/// The value of [`LANE_HEADER`] for inserts.
pub(crate) const WRITES: &str = "writes";

/// The parameters of one request to `/`.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// The `query` parameter: the statement, or its beginning.
    pub(super) query: String,
    pub(super) database: Option<String>,
    /// `default_format` or `X-ClickHouse-Format`: the answer's format where the statement names none.
    pub(super) default_format: Option<String>,
    pub(super) query_id: String,
    /// `param_name`: values for `{name:Type}`.
    pub(super) params: Vec<(String, String)>,
    /// Every other parameter is a setting.
    pub(super) settings: Vec<(String, String)>,
    /// `compress=1`: the answer in ClickHouse's LZ4 blocks.
    pub(super) compress: bool,
    /// `decompress=1`: the body is in ClickHouse's blocks.
    pub(super) decompress: bool,
    /// `Content-Encoding` of the body.
    pub(super) encoding: Option<Encoding>,
    /// There are no sessions: with one, a statement that needs it is refused.
    pub(super) session_id: Option<String>,
    /// Which connection serves it, if it is not an INSERT with data.
    pub(super) lane: Lane,
    /// GET and HEAD only read, as on a server.
    pub(super) read_only: bool,
    /// The body is a form with this boundary.
    pub(super) form_boundary: Option<String>,
    password: Option<String>,
}

impl Request {
    /// Reads the URL's query string and the headers. Header values are used where the URL has none.
    pub(super) fn read(method: &Method, url_query: &str, headers: &HeaderMap) -> Result<Self, Exception> {
        let mut request = Self { read_only: method != Method::POST, ..Self::default() };
        for (name, value) in form_urlencoded::parse(url_query.as_bytes()) {
            request.set(&name, value.into_owned())?;
        }
        request.read_headers(headers)?;
        Ok(request)
    }

    /// Takes one parameter, of the URL or of a form.
    pub(super) fn set(&mut self, name: &str, value: String) -> Result<(), Exception> {
        match name {
            "query" => self.query.push_str(&value),
            "database" => self.database = Some(value),
            "default_format" => self.default_format = Some(value),
            "query_id" => self.query_id = value,
            "password" => self.password = Some(value),
            "compress" => self.compress = is_on(&value),
            "decompress" => self.decompress = is_on(&value),
            "session_id" => self.session_id = Some(value),
            "role" => {
                let message = "The embedded engine has no roles: leave out the parameter role";
                return Err(Exception::new(code::NOT_IMPLEMENTED, "NOT_IMPLEMENTED", message));
            }
            // The user has no rights of its own here, every answer is buffered as far as it can be, and
            // the protocol version only matters to `Native`, which is written at revision 0.
            "user"
            | "quota_key"
            | "stacktrace"
            | "session_timeout"
            | "session_check"
            | "wait_end_of_query"
            | "buffer_size"
            | "client_protocol_version" => {}
            name => match name.strip_prefix("param_") {
                Some(param) => self.params.push((param.to_owned(), value)),
                None => self.settings.push((setting_name(name)?, value)),
            },
        }
        Ok(())
    }

    fn read_headers(&mut self, headers: &HeaderMap) -> Result<(), Exception> {
        let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        self.database = self.database.take().or_else(|| header("x-clickhouse-database"));
        self.default_format = self.default_format.take().or_else(|| header("x-clickhouse-format"));
        self.form_boundary = multipart::boundary(headers);
        self.password =
            self.password.take().or_else(|| header("x-clickhouse-key")).or_else(|| basic_password(headers));
        if self.query_id.is_empty() {
            self.query_id = uuid::Uuid::new_v4().to_string();
        } else if !self.query_id.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err(bad_arguments("query_id must be printable ASCII"));
        }
        if header(LANE_HEADER).is_some_and(|lane| lane == WRITES) {
            self.lane = Lane::Writes;
        }
        if let Some(name) = header("content-encoding").filter(|name| name != "identity") {
            self.encoding = Some(Encoding::named(&name).ok_or_else(|| {
                let message = format!(
                    "Content-Encoding '{name}' is not supported by the embedded engine: use gzip or lz4, or send the \
                     body as it is"
                );
                Exception::new(code::NOT_IMPLEMENTED, "NOT_IMPLEMENTED", message)
            })?);
        }
        Ok(())
    }

    /// Checks the password, if one is configured, in constant time.
    pub(super) fn authenticate(&self, expected: Option<&str>) -> Result<(), Exception> {
        let Some(expected) = expected else { return Ok(()) };
        let given = self.password.as_deref().unwrap_or_default();
        if bool::from(given.as_bytes().ct_eq(expected.as_bytes())) {
            return Ok(());
        }
        let message = "Authentication failed: password is incorrect";
        Err(Exception::new(code::AUTHENTICATION_FAILED, "AUTHENTICATION_FAILED", message))
    }
}

/// Every flag of the protocol is `1` or `0`; some clients write `true`.
fn is_on(value: &str) -> bool {
    value == "1" || value.eq_ignore_ascii_case("true")
}

/// A setting's name goes into a SET statement unquoted, so it must be a name.
fn setting_name(name: &str) -> Result<String, Exception> {
    let valid = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if valid && name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Ok(name.to_owned());
    }
    let message = format!("URL parameter '{name}' is neither a known parameter nor the name of a setting");
    Err(bad_arguments(message))
}

fn basic_password(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(credentials.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

pub(super) fn bad_arguments(message: impl AsRef<str>) -> Exception {
    Exception::new(code::BAD_ARGUMENTS, "BAD_ARGUMENTS", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Request, Exception> {
        Request::read(&Method::POST, query, &HeaderMap::new())
    }

    #[test]
    fn parameters_settings_and_query_parameters_are_told_apart() {
        let r = read("query=SELECT+1&database=d&max_threads=2&param_x=%27&default_format=JSON&compress=1")
            .unwrap();
        assert_eq!((r.query.as_str(), r.database.as_deref()), ("SELECT 1", Some("d")));
        assert_eq!(r.settings, [("max_threads".to_owned(), "2".to_owned())]);
        assert_eq!(r.params, [("x".to_owned(), "'".to_owned())]);
        assert!(r.compress && !r.decompress && !r.read_only);
    }

    #[test]
    fn a_setting_cannot_smuggle_sql() {
        let error = read("a%3D1%2C%20b=2").unwrap_err();
        assert_eq!(error.code, code::BAD_ARGUMENTS);
    }

    #[test]
    fn the_password_is_found_in_every_place_a_client_may_put_it() {
        let basic = base64::engine::general_purpose::STANDARD.encode("default:secret");
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Basic {basic}").parse().unwrap());
        let from_basic = Request::read(&Method::POST, "", &headers).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-clickhouse-key", "secret".parse().unwrap());
        let from_key = Request::read(&Method::POST, "", &headers).unwrap();
        for request in [from_basic, from_key, read("password=secret").unwrap()] {
            assert!(request.authenticate(Some("secret")).is_ok());
            assert_eq!(request.authenticate(Some("other")).unwrap_err().code, 516);
        }
        assert!(read("").unwrap().authenticate(Some("secret")).is_err());
        assert!(read("").unwrap().authenticate(None).is_ok());
    }
}
