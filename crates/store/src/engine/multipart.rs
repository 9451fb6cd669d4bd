//! Forms: some clients send the statement and its parameters as fields of a `multipart/form-data` body
//! instead of the URL, which has a length limit on the way. A field is what the URL parameter of the same
//! name is. (Files in the form would be temporary tables on a server; they are refused.)

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use memchr::memmem;

use super::exception::{Exception, code};
use super::request::bad_arguments;

/// The boundary between the fields, if the body is a form.
pub(super) fn boundary(headers: &HeaderMap) -> Option<String> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameter(parameters, "boundary")
}

/// The form's fields, in order.
pub(super) fn fields(body: &[u8], boundary: &str) -> Result<Vec<(String, String)>, Exception> {
    let broken = || bad_arguments("The multipart/form-data body is broken");
    let delimiter = format!("--{boundary}");
    let mut rest = body.strip_prefix(delimiter.as_bytes()).ok_or_else(broken)?;
    let next = format!("\r\n{delimiter}");
    let mut fields = Vec::new();
    // After the last field comes `--`.
    while !rest.starts_with(b"--") {
        let field = rest.strip_prefix(b"\r\n").ok_or_else(broken)?;
        let end = memmem::find(field, next.as_bytes()).ok_or_else(broken)?;
        fields.push(read_field(&field[..end])?.ok_or_else(broken)?);
        rest = &field[end + next.len()..];
    }
    Ok(fields)
}

/// One field: header lines, an empty line, the value.
fn read_field(field: &[u8]) -> Result<Option<(String, String)>, Exception> {
    let Some(split) = memmem::find(field, b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&field[..split]);
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    let Some((_, parameters)) = disposition.and_then(|value| value.split_once(';')) else { return Ok(None) };
    if parameter(parameters, "filename").is_some() {
        let message = "External tables (files in a form) are not supported by the embedded engine";
        return Err(Exception::new(code::NOT_IMPLEMENTED, "NOT_IMPLEMENTED", message));
    }
    let value = String::from_utf8_lossy(&field[split + 4..]).into_owned();
    Ok(parameter(parameters, "name").map(|name| (name, value)))
}

/// `name=value` or `name="value"` among parameters separated by `;`.
fn parameter(parameters: &str, name: &str) -> Option<String> {
    parameters.split(';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forms_fields_are_read_in_order_and_byte_for_byte() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {x:String}\r\n\r\n-- b\r\n\
            --b\r\ncontent-disposition: form-data; name=param_x\r\nContent-Type: text/plain\r\n\r\n\r\n--b--\r\n";
        let expected = [("query", "SELECT {x:String}\r\n\r\n-- b"), ("param_x", "")];
        assert_eq!(fields(body, "b").unwrap(), expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn broken_forms_and_files_are_refused() {
        let whole = b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--";
        for cut in 0..whole.len() - 1 {
            assert!(fields(&whole[..cut], "b").is_err(), "cut at {cut}");
        }
        let file = b"--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"f\"\r\n\r\n1\r\n--b--";
        assert_eq!(fields(file, "b").unwrap_err().code, code::NOT_IMPLEMENTED);
    }
}
