//! Which IP addresses a webhook may go to. What a name resolves to is judged, and connected to: a name that resolves to something else a
//! moment later (DNS rebinding) changes nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whose network an address is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Public,
    /// This host's, or this company's.
    Private,
    /// Nobody's server is there: link-local, where clouds keep the keys of their machines, multicast, reserved.
    Nobody,
}

/// Says why a webhook must not go to an address. `may_be_private`: the target is listed as one in a private network.
///
/// # Errors
/// What the address is.
pub fn judge(address: IpAddr, may_be_private: bool) -> Result<(), &'static str> {
    match reach(address) {
        Reach::Public => Ok(()),
        Reach::Private if may_be_private => Ok(()),
        Reach::Private => Err("a loopback or private address"),
        Reach::Nobody => Err("a link-local, multicast or reserved address"),
    }
}

fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => of_v4(address),
        IpAddr::V6(address) => of_v6(address),
    }
}

/// IANA IPv4 Special-Purpose Address Registry.
fn of_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        // Loopback, RFC 1918, shared by carriers (RFC 6598).
        [127 | 10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => {
            Reach::Private
        }
        [0, ..] | [169, 254, ..] | [192, 0, 0 | 2, _] | [192, 88, 99, _] => Reach::Nobody,
        [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] | [224..=255, ..] => {
            Reach::Nobody
        }
        _ => Reach::Public,
    }
}

/// IANA IPv6 Special-Purpose Address Registry. What carries an IPv4 address is as that.
fn of_v6(address: Ipv6Addr) -> Reach {
    if let Some(address) = address.to_ipv4_mapped() {
        return of_v4(address);
    }
    if address == Ipv6Addr::LOCALHOST {
        return Reach::Private;
    }
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // NAT64 (RFC 6052), its local prefix (RFC 8215), 6to4 (RFC 3056).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x64, 0xff9b, 1, ..] => Reach::Private,
        [0x2002, high, low, ..] => embedded(high, low),
        // Unique local addresses.
        [0xfc00..=0xfdff, ..] => Reach::Private,
        // Teredo and other protocols, documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Nobody,
        // Global unicast; all else is link-local, multicast, or assigned to nobody.
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_judged() {
        let cases = [
            ("93.184.215.14", Reach::Public),
            ("100.63.255.255", Reach::Public),
            ("172.32.0.1", Reach::Public),
            ("2606:4700::1111", Reach::Public),
            ("::ffff:93.184.215.14", Reach::Public),
            ("64:ff9b::5db8:d70e", Reach::Public),
            ("127.0.0.1", Reach::Private),
            ("127.255.255.254", Reach::Private),
            ("10.0.0.1", Reach::Private),
            ("172.16.0.1", Reach::Private),
            ("172.31.255.255", Reach::Private),
            ("192.168.1.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("100.127.255.255", Reach::Private),
            ("::1", Reach::Private),
            ("fd00::1", Reach::Private),
            ("::ffff:127.0.0.1", Reach::Private),
            ("::ffff:10.1.2.3", Reach::Private),
            ("64:ff9b::7f00:1", Reach::Private),
            ("64:ff9b:1::1", Reach::Private),
            ("2002:7f00:1::", Reach::Private),
            ("169.254.169.254", Reach::Nobody),
            ("::ffff:169.254.169.254", Reach::Nobody),
            ("64:ff9b::a9fe:a9fe", Reach::Nobody),
            ("2002:a9fe:a9fe::", Reach::Nobody),
            ("fe80::1", Reach::Nobody),
            ("fec0::1", Reach::Nobody),
            ("0.0.0.0", Reach::Nobody),
            ("::", Reach::Nobody),
            // IPv4-compatible, deprecated: some systems connect to the IPv4 address.
            ("::127.0.0.1", Reach::Nobody),
            ("192.0.2.1", Reach::Nobody),
            ("198.18.0.1", Reach::Nobody),
            ("203.0.113.9", Reach::Nobody),
            ("224.0.0.1", Reach::Nobody),
            ("255.255.255.255", Reach::Nobody),
            ("2001::1", Reach::Nobody),
            ("2001:db8::1", Reach::Nobody),
            ("ff02::1", Reach::Nobody),
            ("4000::1", Reach::Nobody),
        ];
        for (text, expected) in cases {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(reach(address), expected, "{text}");
            assert_eq!(
                judge(address, false).is_ok(),
                expected == Reach::Public,
                "{text}"
            );
            assert_eq!(
                judge(address, true).is_ok(),
                expected != Reach::Nobody,
                "{text}"
            );
        }
    }
}
