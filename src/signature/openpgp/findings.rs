//! What is odd about a signature or its certificate and refuses nothing.

use super::certificate::Certificate;
use super::key::{Key, KeyAlgorithm};
use super::packet::sub;
use super::revokers::Delegations;
use super::signature::RawSignature;
use crate::signature::Finding;

/// RSA keys below this size are told, in bits (O4).
const ADVISED_RSA_BITS: u32 = 3072;

/// About the armor and the packet: a checksum that is not that of the content (G052), and unsigned
/// subpackets that nobody needs (G055). Anybody can change both without the key.
pub(super) fn of_packet(armor: &[u8], bytes: &[u8], signature: &RawSignature) -> Vec<Finding> {
    let mut findings = Vec::new();
    if checksum(armor).is_some_and(|stated| stated != crc24(bytes)) {
        findings.push(Finding::new("pgp.armor_checksum", "the armor's checksum is not that of its content"));
    }
    let needless = |kind: u8| !matches!(kind, sub::ISSUER | sub::ISSUER_FINGERPRINT | sub::EMBEDDED);
    let mut kinds: Vec<u8> =
        signature.unhashed.iter().map(|subpacket| subpacket.kind).filter(|kind| needless(*kind)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    if !kinds.is_empty() {
        let named = kinds.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        let text = format!("it has subpackets outside of what is signed, of type {named}");
        findings.push(Finding::new("pgp.unhashed_subpacket", text));
    }
    if signature.kind == super::signature::kind::TEXT {
        findings.push(Finding::new("pgp.text_signature", "it is a text signature"));
    }
    findings
}

/// About the key that signed and what its certificate holds.
pub(super) fn of_key(
    certificate: &Certificate,
    key: &Key,
    silent_flags: bool,
    delegations: &Delegations,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let KeyAlgorithm::Rsa(bits) = key.algorithm
        && bits < ADVISED_RSA_BITS
    {
        let text = format!("RSA of {bits} bits; {ADVISED_RSA_BITS} are advised");
        findings.push(Finding::new("pgp.rsa_below_3072", text));
    }
    if silent_flags {
        findings.push(Finding::new("pgp.no_key_flags", "the primary key does not say what it is for"));
    }
    let seen = certificate.findings();
    let mut counted = |code, count: usize, what: &str| {
        if count > 0 {
            findings.push(Finding::new(code, format!("{what}: {count}")));
        }
    };
    let unknown = "revocations by somebody whom the key's owner named, and whose key is not in the keyring";
    counted("pgp.designated_revoker_unknown", delegations.unknown, unknown);
    let unproven = seen.false_revocations + delegations.unproven;
    counted("pgp.false_revocation", unproven, "revocations in the certificate that do not verify");
    let foreign = "revocations in the certificate by keys that may not revoke it";
    counted("pgp.foreign_revocation", seen.foreign_revocations, foreign);
    let unread = seen.ignored_packets + seen.unreadable_signatures;
    counted("pgp.certificate_packets", unread, "packets in the certificate that this program cannot read");
    findings
}

/// What the armor's own line says, if it has one.
fn checksum(armor: &[u8]) -> Option<u32> {
    // A digit of base64 cannot be `=`, but padding of two can stand at a line's begin: no checksum is so
    // short.
    let line = armor.split(|byte| *byte == b'\n').find(|line| line.len() == 5 && line[0] == b'=')?;
    let octets = data_encoding::BASE64.decode(&line[1..]).ok()?;
    Some(octets.iter().fold(0, |sum, octet| sum << 8 | u32::from(*octet)))
}

/// RFC 9580, section 6.1.
fn crc24(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x00b7_04ce, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 16, |crc: u32, _| {
            let shifted = crc << 1;
            if shifted & 0x0100_0000 == 0 { shifted } else { (shifted ^ 0x0186_4cfb) & 0x00ff_ffff }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_computes_checksums() {
        assert_eq!(crc24(b""), 0x00b7_04ce);
        // The check value that catalogues of checksums give for this one.
        assert_eq!(crc24(b"123456789"), 0x0021_cf02);
        assert_eq!(checksum(b"-----BEGIN\n\nAAAA\n=twTO\n-----END\n"), Some(0x00b7_04ce));
        assert_eq!(checksum(b"-----BEGIN\n\nAAAA\n-----END\n"), None);
    }
}
