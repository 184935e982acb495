//! What is odd about a signature or its certificate and refuses nothing.

use super::certificate::Certificate;
use super::key::{Key, KeyAlgorithm};
use super::packet::sub;
use super::revokers::Delegations;
use super::signature::RawSignature;
use crate::signature::Finding;

/// RSA keys below this size are told, in bits (O4).
const ADVISED_RSA_BITS: u32 = 3072;

/// About the packet: unsigned subpackets that nobody needs (G055), and kinds that only an option lets
/// through. Anybody can add the former without the key.
pub(super) fn of_packet(signature: &RawSignature) -> Vec<Finding> {
    let mut findings = Vec::new();
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
    if signature.v3.is_some() {
        findings.push(Finding::new("import.version_3", "it is a signature of version 3"));
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
