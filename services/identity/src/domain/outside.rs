//! Which addresses outside may be asked on behalf of a tenant's people: https on the public network, so that nothing that
//! they name leads into the platform's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Whether this URL may be asked at all; what its name leads to is looked at when it is connected to.
pub(crate) fn may_ask(url: &str, insecure: bool) -> Result<Url, String> {
    let url =
        Url::parse(url).map_err(|_| "must be a URL, as https://login.example.com".to_owned())?;
    let scheme_fits = url.scheme() == "https" || (insecure && url.scheme() == "http");
    if !scheme_fits || !url.username().is_empty() || url.password().is_some() {
        return Err("must be an https URL without credentials".to_owned());
    }
    let public = match url.host() {
        Some(Host::Domain(name)) => !name.is_empty(),
        Some(Host::Ipv4(ip)) => is_public(ip.into()),
        Some(Host::Ipv6(ip)) => is_public(ip.into()),
        None => false,
    };
    if !public && !insecure {
        return Err("must be a host on the public network".to_owned());
    }
    Ok(url)
}

/// Whether an address is one of the public network (the registries of special-purpose addresses, RFC 6890).
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(mapped) = ip.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    let [a, b, c, d, e, f, g, h] = ip.segments();
    if [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0] {
        // A translated IPv4 address (RFC 6052).
        let [[g1, g2], [h1, h2]] = [g.to_be_bytes(), h.to_be_bytes()];
        return is_public_v4(Ipv4Addr::new(g1, g2, h1, h2));
    }
    let global_unicast = a & 0xe000 == 0x2000;
    let special = (a == 0x2001 && (b < 0x200 || b == 0xdb8)) || a == 0x2002 || a == 0x3fff;
    global_unicast && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_of_a_private_network_is_public() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2001:0:1::",
            "::127.0.0.1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "64:ff9b::8.8.8.8",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn only_https_on_the_public_network_may_be_asked() {
        for bad in [
            "http://login.example.com",
            "https://127.0.0.1",
            "https://[::1]:8443/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://user:word@login.example.com",
            "ftp://login.example.com",
            "login.example.com",
        ] {
            assert!(may_ask(bad, false).is_err(), "{bad}");
        }
        assert!(may_ask("https://login.example.com/tenant", false).is_ok());
        assert!(may_ask("http://127.0.0.1:8080", true).is_ok());
        assert!(may_ask("file:///etc/passwd", true).is_err());
    }
}
