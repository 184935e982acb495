//! Networks, to say whose word counts.

use std::fmt;
use std::net::IpAddr;

/// An address, or all that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// How many bits count.
    prefix: u8,
}

impl Network {
    /// Reads `ADDRESS` or `ADDRESS/BITS`; the bits behind those that count must be zero.
    pub fn parse(written: &str) -> Option<Self> {
        let (address, prefix) = match written.split_once('/') {
            Some((address, prefix)) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                (address, Some(prefix.parse().ok()?))
            }
            Some(_) => return None,
            None => (written, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(most);
        let network = Network { address, prefix };
        (prefix <= most && bits(address) & !mask(prefix) == 0).then_some(network)
    }

    /// Whether it is all addresses.
    pub fn is_everything(&self) -> bool {
        // All of IPv4 in IPv6's clothes is all of IPv4.
        let mapped = self.address.is_ipv6() && self.address.to_canonical().is_ipv4();
        self.prefix == 0 || mapped && self.prefix <= 96
    }

    /// Whether `address` is one of it. An IPv4 address in IPv6's clothes is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (own, address) = (self.address.to_canonical(), address.to_canonical());
        // A network of mapped addresses as such is no sensible thing to write.
        let prefix = if own.is_ipv4() && self.address.is_ipv6() {
            match self.prefix.checked_sub(96) {
                Some(prefix) => prefix,
                None => return false,
            }
        } else {
            self.prefix
        };
        own.is_ipv4() == address.is_ipv4() && (bits(own) ^ bits(address)) & mask(prefix) == 0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    }
}

fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_begins_alike() {
        for (network, inside, outside) in [
            ("127.0.0.1", &["127.0.0.1", "::ffff:127.0.0.1"][..], &["127.0.0.2", "::1", "::127.0.0.1"][..]),
            ("10.1.0.0/16", &["10.1.0.0", "10.1.255.255"], &["10.2.0.0", "10.0.255.255", "a01::"]),
            ("192.0.2.128/25", &["192.0.2.200"], &["192.0.2.127"]),
            ("fd00::/8", &["fd00::1", "fdff::"], &["fe00::", "0.0.0.0"]),
            ("::1", &["::1"], &["::2", "127.0.0.1", "0.0.0.1"]),
            ("::ffff:10.0.0.0/104", &["10.9.9.9"], &["11.0.0.0"]),
        ] {
            let network = Network::parse(network).unwrap();
            for address in inside {
                assert!(network.contains(address.parse().unwrap()), "{network} {address}");
            }
            for address in outside {
                assert!(!network.contains(address.parse().unwrap()), "{network} {address}");
            }
        }
        assert!(Network::parse("0.0.0.0/0").unwrap().is_everything());
        assert!(Network::parse("::/0").unwrap().is_everything());
        assert!(Network::parse("::ffff:0.0.0.0/96").unwrap().is_everything());
        assert!(!Network::parse("::ffff:10.0.0.0/104").unwrap().is_everything());
        for wrong in
            ["", "localhost", "10.0.0.0/33", "::/129", "10.0.0.1/8", "10.0.0.0/", "10.0.0.0/+8", "1/2/3"]
        {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }
}
