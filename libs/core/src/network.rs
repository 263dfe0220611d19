//! Networks of clients: what bounds by address count by.

use std::net::IpAddr;

/// The network of a client whose address isn't known.
const UNKNOWN: &str = "unknown";

/// What a client can't change at will: its address, for IPv6 the 64 bits that are given to one customer.
#[must_use]
pub fn network(ip: &str) -> String {
    named(ip, |[a, b, c, d, ..]| {
        format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
    })
}

/// What one customer may have been given at most: the address, for IPv6 the 48 bits of a site (RFC 6177), which hold up to
/// 65,536 networks.
#[must_use]
pub fn site(ip: &str) -> String {
    named(ip, |[a, b, c, ..]| format!("{a:x}:{b:x}:{c:x}::/48"))
}

fn named(ip: &str, of_v6: impl FnOnce([u16; 8]) -> String) -> String {
    match ip.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => ip.to_string(),
        Ok(IpAddr::V6(ip)) => of_v6(ip.segments()),
        Err(_) => UNKNOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_one_customer_has() {
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:a::1"), network("2001:db8:1:2:b::2"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network(""), UNKNOWN);
    }

    #[test]
    fn a_site_is_what_one_customer_may_have_at_most() {
        assert_eq!(site("192.0.2.7"), "192.0.2.7");
        assert_eq!(site("2001:db8:1:2::1"), site("2001:db8:1:ffff::1"));
        assert_ne!(site("2001:db8:1::1"), site("2001:db8:2::1"));
        assert_eq!(site(""), UNKNOWN);
    }
}
