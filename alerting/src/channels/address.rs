//! Which addresses a channel may reach. An address given by a user must not become a way into our own network:
//! private, loopback, link-local and metadata addresses are refused unless the channel says otherwise, and the
//! connection goes to exactly the addresses that were checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// An address that a channel may not reach.
#[derive(Debug, thiserror::Error)]
#[error(
    "the address is private or reserved; if that is meant, set private_address_allowed = true on the channel"
)]
pub(super) struct NotPublic;

/// Resolves names and refuses every address that is not public. The client connects to what this returns, so a
/// name that resolves differently a moment later (DNS rebinding) gains nothing.
#[derive(Debug)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One private address among public ones is refused too: the client could have tried it first.
            if found.iter().all(|address| is_public(address.ip())) {
                let addresses: Addrs = Box::new(found.into_iter());
                Ok(addresses)
            } else {
                Err(NotPublic.into())
            }
        })
    }
}

/// Whether `url` names an address (not a name, which [`PublicOnly`] will check) that is not public.
pub(super) fn is_private_literal(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_ok_and(|ip| !is_public(ip))
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// By the IANA special-purpose registry (RFC 6890 and its successors).
fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (b == 18 || b == 19);
    let relay = a == 192 && b == 88 && c == 99;
    !(a == 0
        || a >= 224
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || shared
        || protocol
        || benchmark
        || relay)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, third, fourth, .., seventh, eighth] = ip.segments();
    if let Some(v4) = ip.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    // Translated and tunnelled addresses carry an IPv4 address inside (RFC 6052, RFC 3056).
    let embedded = match (first, second) {
        (0x64, 0xff9b) => Some((seventh, eighth)),
        (0x2002, _) => Some((second, third)),
        _ => None,
    };
    if let Some((high, low)) = embedded {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    let documentation = (first == 0x2001 && second == 0xdb8) || first == 0x3fff;
    let teredo_or_special = first == 0x2001 && second < 0x200;
    let discard = (first, second, third, fourth) == (0x100, 0, 0, 0);
    // Only 2000::/3 is global unicast; everything special inside of it is listed above.
    (first & 0xe000) == 0x2000 && !documentation && !teredo_or_special && !discard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_loopback_link_local_and_metadata_addresses_are_refused() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.192",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "52.8.3.4", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn an_address_in_the_url_itself_is_checked_too() {
        let private = |url: &str| is_private_literal(&url.parse().unwrap());
        assert!(
            private("http://127.0.0.1:8080/x") && private("http://[::1]/") && private("http://2130706433/")
        );
        assert!(!private("https://hooks.example/") && !private("https://1.1.1.1/"));
    }
}
