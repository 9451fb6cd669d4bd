//! ClickHouse exceptions: a numeric code, a text, and the HTTP status they travel with.

use http::StatusCode;

/// Codes this front raises itself. The names and numbers are ClickHouse's (`src/Common/ErrorCodes.cpp`).
pub(super) mod code {
    pub(crate) const BAD_ARGUMENTS: u32 = 36;
    pub(crate) const NOT_IMPLEMENTED: u32 = 48;
    pub(crate) const SYNTAX_ERROR: u32 = 62;
    pub(crate) const TOO_MANY_SIMULTANEOUS_QUERIES: u32 = 202;
    pub(crate) const SOCKET_TIMEOUT: u32 = 209;
    pub(crate) const NETWORK_ERROR: u32 = 210;
    pub(crate) const CANNOT_DECOMPRESS: u32 = 271;
    pub(crate) const TOO_MANY_BYTES: u32 = 307;
    pub(crate) const QUERY_WAS_CANCELLED: u32 = 394;
    pub(crate) const CHECKSUM_DOESNT_MATCH: u32 = 40;
    pub(crate) const AUTHENTICATION_FAILED: u32 = 516;
    pub(crate) const STD_EXCEPTION: u32 = 1001;
}

/// One failed request, as the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exception {
    /// ClickHouse's error code, for the `X-ClickHouse-Exception-Code` header.
    pub(super) code: u32,
    /// `Code: N. DB::Exception: … (NAME)`.
    pub(super) text: String,
}

impl Exception {
    /// One of our own, in the engine's wording.
    pub(super) fn new(code: u32, name: &str, message: impl AsRef<str>) -> Self {
        Self { code, text: format!("Code: {code}. DB::Exception: {}. ({name})", message.as_ref()) }
    }

    /// Takes the engine's error text as it is. The code is read from its start; a text without one
    /// (the library's own complaints) is given ClickHouse's code for foreign exceptions.
    pub(super) fn from_engine(text: impl Into<String>) -> Self {
        let text = text.into();
        let code = text
            .strip_prefix("Code: ")
            .and_then(|rest| rest.split('.').next())
            .and_then(|digits| digits.parse().ok());
        match code {
            Some(code) => Self { code, text },
            None => Self::new(code::STD_EXCEPTION, "STD_EXCEPTION", text),
        }
    }

    /// The HTTP status a ClickHouse server gives this code
    /// (`src/Server/HTTP/exceptionCodeToHTTPStatus.cpp`); the two of ours that it has no place for
    /// are 503 (too many queries) and 413 (body too large).
    pub(super) fn status(&self) -> StatusCode {
        match self.code {
            192 | 193 | 497 | 512 | 516 => StatusCode::FORBIDDEN,
            194 => StatusCode::UNAUTHORIZED,
            6 | 8 | 15 | 25 | 26 | 27 | 36 | 37 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 123 | 167 | 168
            | 223 | 321 | 376 | 427 | 441 | 675 | 676 => StatusCode::BAD_REQUEST,
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => StatusCode::NOT_FOUND,
            229 | 307 => StatusCode::PAYLOAD_TOO_LARGE,
            48 => StatusCode::NOT_IMPLEMENTED,
            76 | 202 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            159 => StatusCode::REQUEST_TIMEOUT,
            779 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_code_is_read_from_its_text() {
        let e = Exception::from_engine("Code: 60. DB::Exception: Table x does not exist. (UNKNOWN_TABLE)");
        assert_eq!(e.code, 60);
        assert_eq!(e.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_text_without_a_code_is_still_an_exception() {
        let e = Exception::from_engine("send_insert requires an INSERT query");
        assert_eq!(e.code, code::STD_EXCEPTION);
        assert!(e.text.starts_with("Code: 1001. DB::Exception: send_insert"), "{}", e.text);
        assert_eq!(e.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
