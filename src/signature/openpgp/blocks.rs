//! Key files: one or several armored blocks, or binary.

use super::certificate::CertificateError;
use data_encoding::BASE64;

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// The packet streams of a key file, in its order. Text outside of the blocks is refused (K068): a
/// block that is not recognised as one could be a revocation.
pub(super) fn split(bytes: &[u8]) -> Result<Vec<Vec<u8>>, CertificateError> {
    if bytes.first().is_some_and(|first| *first >= 0x80) {
        return Ok(vec![bytes.to_vec()]);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| CertificateError::NotACertificate)?;
    if text.contains("PRIVATE KEY") || text.contains("PGP SECRET KEY") {
        return Err(CertificateError::SecretKey);
    }
    // A second line number, because people read messages with an editor open.
    let mut lines = text.lines().map(|line| line.trim_end_matches('\r')).enumerate();
    let mut blocks = Vec::new();
    while let Some((number, line)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        if line != BEGIN {
            return Err(if blocks.is_empty() && !text.contains(BEGIN) {
                CertificateError::NotACertificate
            } else {
                CertificateError::OutsideBlock { line: number + 1 }
            });
        }
        blocks.push(block(&mut lines, number + 1)?);
    }
    if blocks.is_empty() { Err(CertificateError::NotACertificate) } else { Ok(blocks) }
}

fn block<'a>(
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
    begin: usize,
) -> Result<Vec<u8>, CertificateError> {
    let mut data = String::new();
    let mut headers = true;
    let mut checksum = false;
    for (number, line) in lines {
        let broken = || CertificateError::Armor { line: number + 1 };
        if line == END {
            return BASE64.decode(data.as_bytes()).map_err(|_| CertificateError::Armor { line: begin });
        }
        let line = line.trim_end_matches([' ', '\t']);
        if headers {
            if line.is_empty() {
                headers = false;
                continue;
            }
            if line.contains(": ") || line.ends_with(':') {
                continue;
            }
            // Some programs leave the empty line out; base64 has no colon, so this is unambiguous.
            headers = false;
        }
        if line.len() == 5 && line.starts_with('=') && !checksum {
            checksum = true;
        } else if checksum || line.is_empty() || line.starts_with("-----") {
            return Err(broken());
        } else {
            data.push_str(line);
        }
    }
    Err(CertificateError::Armor { line: begin })
}
