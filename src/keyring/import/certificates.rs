//! OpenPGP files: one certificate or many, armored or binary.

use super::super::document::{Diagnostic, Source};
use super::super::{Material, Windows, material, principal_file};
use super::entry::{At, Entry, Whose, openpgp_fault};
use crate::signature::openpgp::{self, Certificate, CertificateError};
use std::collections::HashMap;

/// Largest file of certificates that is read, in bytes.
pub(super) const MAX_FILE: usize = 64 << 20;

/// Most faults that are told: what has more of them is something else.
const MAX_FAULTS: usize = 50;

/// The certificates of a file. `at` is where it stands, if it is a part of another.
pub(super) fn read(bytes: &[u8], at: At, source: &Source) -> Result<Vec<Entry>, Vec<Diagnostic>> {
    let (entries, unreadable) = read_some(bytes, at, source, MAX_FAULTS)?;
    if unreadable.is_empty() { Ok(entries) } else { Err(unreadable) }
}

/// The certificates that can be read, and what is wrong with those that cannot, of which `most` are told. What is
/// wrong with the file as a whole, a private key in it among that, is an error.
pub(super) fn read_some(
    bytes: &[u8],
    at: At,
    source: &Source,
    most: usize,
) -> Result<(Vec<Entry>, Vec<Diagnostic>), Vec<Diagnostic>> {
    if bytes.len() > MAX_FILE {
        return Err(vec![at.fault(source, "the file is larger than 64 MiB")]);
    }
    let pieces = openpgp::pieces(bytes).map_err(|error| vec![openpgp_fault(source, at, &error)])?;
    let (mut entries, mut faults, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (index, piece) in pieces.iter().enumerate() {
        if faults.len() >= MAX_FAULTS || unreadable.len() >= most {
            break;
        }
        let own = match at {
            At::WHOLE if piece.line > 0 => At { line: piece.line, column: 1, shown: false },
            at => at,
        };
        let which = match pieces.len() {
            1 => String::new(),
            count => format!("certificate {} of {count}, at byte {}: ", index + 1, piece.offset),
        };
        if piece.bytes.len() > Material::MAX_LEN {
            let message = format!(
                "{which}it has {} bytes, and 1 MiB is the most: others have signed it too often",
                piece.bytes.len()
            );
            let help = "export it with `gpg --export-options export-minimal --export --armor FINGERPRINT`";
            unreadable.push(own.fault(source, message).suggest(help));
            continue;
        }
        let certificate = match Certificate::parse_all(&piece.bytes).map(|mut all| all.pop()) {
            Ok(Some(certificate)) => certificate,
            Ok(None) => continue,
            Err(error) => {
                let mut fault = openpgp_fault(source, own, &error);
                fault.message = format!("{which}{}", fault.message);
                match error {
                    CertificateError::SecretKey => faults.push(fault),
                    _ => unreadable.push(fault),
                }
                continue;
            }
        };
        let fingerprint = certificate.fingerprint();
        if let Some(first) = seen.insert(fingerprint.clone(), index + 1) {
            let message = format!("{which}{fingerprint} is in the file already, as certificate {first}");
            faults.push(own.fault(source, message).suggest("import both into one GnuPG home and export it"));
            continue;
        }
        let addresses = addresses(&certificate);
        let mut labels = vec![fingerprint, certificate.key_id()];
        labels.extend(addresses.iter().cloned());
        entries.push(Entry {
            at: own,
            whose: if addresses.is_empty() { Whose::Unsaid } else { Whose::Claimed(addresses) },
            labels,
            written: material::armored(&piece.bytes),
            material: Material::OpenPgp(Box::new(certificate)),
            windows: Windows::one(None, None),
            says_window: false,
            verified: false,
        });
    }
    if !faults.is_empty() {
        faults.extend(unreadable);
        return Err(faults);
    }
    Ok((entries, unreadable))
}

/// The addresses in the user ids, each once, in their order. They are what the key says of itself (O13).
fn addresses(certificate: &Certificate) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for id in certificate.user_ids() {
        let Ok(text) = String::from_utf8(id) else { continue };
        let address = match text.rsplit_once('<') {
            Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
            None => text.as_str(),
        };
        if principal_file::is_email(address) && !out.iter().any(|known| known == address) {
            out.push(address.to_owned());
        }
    }
    out
}
