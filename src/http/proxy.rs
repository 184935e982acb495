//! Whom a proxy speaks for.

use axum::http::{HeaderMap, HeaderValue};
use std::net::{IpAddr, SocketAddr};

/// The header that trusted proxies are believed.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// Most addresses of a chain that are looked at.
const LONGEST: usize = 32;

/// Who sent a request. A peer that is no trusted proxy is itself, whatever it says. A trusted proxy speaks for the last
/// address that it appended, and where that is a trusted proxy, too, for the one before it, and so on: what a client has
/// written itself stands further left, and is never reached.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted(peer) {
        return peer;
    }
    let mut last = peer;
    let fields: Vec<&HeaderValue> = headers.get_all(FORWARDED_FOR).iter().collect();
    let chain = fields.iter().rev().flat_map(|field| field.as_bytes().rsplit(|byte| *byte == b','));
    for said in chain.take(LONGEST) {
        // What nobody can read was said by the address before it, which is the last one that is known.
        let Some(address) = address(said) else { return last };
        last = address;
        if !trusted(address) {
            return address;
        }
    }
    last
}

/// An address, with or without a port.
fn address(said: &[u8]) -> Option<IpAddr> {
    let said = std::str::from_utf8(said).ok()?.trim();
    let bare = said.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(said);
    let plain = bare.parse::<IpAddr>().ok();
    let address = plain.or_else(|| said.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, fields: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(field.as_bytes()).unwrap());
        }
        let trusted = |address: IpAddr| ["10.0.0.1", "10.0.0.2"].iter().any(|one| one.parse() == Ok(address));
        client(peer.parse().unwrap(), &headers, trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(seen("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(seen("192.0.2.1", &["10.0.0.1"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(seen("::ffff:10.0.0.1", &["::ffff:203.0.113.9"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_the_client_wrote_itself_is_not_reached() {
        assert_eq!(seen("10.0.0.1", &["127.0.0.1, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["127.0.0.1", "203.0.113.9"]), "203.0.113.9", "two headers are one");
        assert_eq!(seen("10.0.0.1", &["8.8.8.8, 203.0.113.9, 10.0.0.2"]), "203.0.113.9", "two proxies");
        assert_eq!(seen("10.0.0.1", &["203.0.113.9, nonsense"]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["203.0.113.9, , 10.0.0.2"]), "10.0.0.2");
        assert_eq!(seen("10.0.0.1", &["10.0.0.2, 10.0.0.1"]), "10.0.0.2", "nobody else");
        let long = vec!["10.0.0.2"; 1000].join(",");
        assert_eq!(seen("10.0.0.1", &[&format!("203.0.113.9,{long}")]), "10.0.0.2");
    }

    #[test]
    fn addresses_may_have_ports() {
        assert_eq!(seen("10.0.0.1", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", &[" 2001:db8::1\t"]), "2001:db8::1");
    }
}
