//! Keeps web pages out. A page that somebody on this machine looks at can send requests to loopback: to our address, then
//! its browser says in `Origin` whose page it is, or to a name of its own that it lets point to us, then that name is the
//! `Host`.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{HOST, HeaderName, ORIGIN};

/// Sent by browsers with every request, also with those that have no `Origin`.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a request to `listen` comes from a foreign page. Names are those of this machine only: to serve others,
/// configure a password, which no page knows.
pub(super) fn is_foreign(headers: &HeaderMap, listen: SocketAddr) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host_is_ours = |host: &str| is_local(host, listen) || is_address_of_all(host, listen);
    let origin_is_ours =
        |origin: &str| origin.split_once("://").is_some_and(|(_, host)| is_local(host, listen));
    text(HOST).is_some_and(|host| !host_is_ours(host))
        || text(ORIGIN).is_some_and(|origin| !origin_is_ours(origin))
        || text(FETCH_SITE) == Some("cross-site")
}

/// A loopback name, or the very address we listen on.
fn is_local(authority: &str, listen: SocketAddr) -> bool {
    let host = without_port(authority);
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|ip: IpAddr| ip.is_loopback() || (ip == listen.ip() && !ip.is_unspecified()))
}

/// Listening on all addresses, any of them may be used; a page cannot make one point elsewhere.
fn is_address_of_all(authority: &str, listen: SocketAddr) -> bool {
    listen.ip().is_unspecified() && without_port(authority).parse::<IpAddr>().is_ok()
}

/// `host:port`, `[::1]:port`, or either without a port.
fn without_port(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_foreign_to(listen: &str, given: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.insert(*name, value.parse().unwrap());
        }
        is_foreign(&headers, listen.parse().unwrap())
    }

    #[test]
    fn programs_on_this_machine_are_not_foreign() {
        for host in ["127.0.0.1:8123", "localhost:8123", "LOCALHOST", "[::1]:8123", "127.0.0.9"] {
            assert!(!is_foreign_to("127.0.0.1:8123", &[("host", host)]), "{host}");
        }
        assert!(!is_foreign_to("127.0.0.1:8123", &[]));
        let own_page = [("host", "localhost:8123"), ("origin", "http://localhost:3000")];
        assert!(!is_foreign_to("127.0.0.1:8123", &own_page));
        assert!(!is_foreign_to("10.0.0.7:8123", &[("host", "10.0.0.7:8123")]));
        assert!(!is_foreign_to("0.0.0.0:8123", &[("host", "10.0.0.7:8123")]));
    }

    #[test]
    fn pages_of_others_are_foreign_by_any_sign() {
        for signs in [
            [("host", "attacker.example:8123"), ("accept", "*/*")],
            [("host", "127.0.0.1.attacker.example"), ("accept", "*/*")],
            [("host", "127.0.0.1:8123"), ("origin", "https://attacker.example")],
            [("host", "127.0.0.1:8123"), ("origin", "null")],
            [("host", "127.0.0.1:8123"), ("origin", "http://203.0.113.7")],
            [("host", "127.0.0.1:8123"), ("sec-fetch-site", "cross-site")],
        ] {
            for listen in ["127.0.0.1:8123", "0.0.0.0:8123"] {
                assert!(is_foreign_to(listen, &signs), "{signs:?}");
            }
        }
    }
}
