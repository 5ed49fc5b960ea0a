//! Which network addresses a site named by the chain may have: public ones, so that nobody makes a verifier call its own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Whether an address is one of the public internet (IANA special-purpose registries, RFC 6890).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_public_v4(mapped),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        [0 | 10 | 127, ..] | [224..=255, ..] => true, // this network, private, loopback, multicast and reserved
        [100, 64..=127, ..] => true,                  // carrier-grade NAT
        [169, 254, ..] => true,                       // link local
        [172, 16..=31, ..] | [192, 168, ..] => true,  // private
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => true, // protocols, documentation
        [192, 88, 99, _] => true,                     // 6to4 relay
        [198, 18 | 19, ..] => true,                   // benchmarks
        _ => false,
    };
    !special
}

/// Global unicast is 2000::/3. What is inside it but leads elsewhere is refused, and all outside: loopback, link local, unique local,
/// NAT64 (64:ff9b::/96).
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let global = segments[0] & 0xe000 == 0x2000;
    let special = match segments {
        [0x2001, 0..=0x01ff, ..] => true, // protocols: Teredo, ORCHID, benchmarks
        [0x2001, 0x0db8, ..] => true,     // documentation
        [0x2002, ..] => true,             // 6to4: an IPv4 address inside
        [0x3fff, 0..=0x0fff, ..] => true, // documentation
        _ => false,
    };
    global && !special
}

/// The system's resolver, without addresses that are not public. It answers at connection time, so a name cannot be rebound in between.
pub(crate) struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> = found.iter().copied().filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(format!("{host} has no public address").into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_ones_own_network_are_refused_in_each_disguise() {
        for address in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.168.1.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2002:7f00:1::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
        ] {
            assert!(!is_public(address.parse().expect("an address")), "{address}");
        }
    }

    #[test]
    fn public_addresses_are_allowed() {
        for address in
            ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2001:4860:4860::8888", "::ffff:1.1.1.1"]
        {
            assert!(is_public(address.parse().expect("an address")), "{address}");
        }
    }
}
