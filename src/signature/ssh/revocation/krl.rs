//! The binary form: OpenSSH's key revocation list, version 1.

use super::super::super::wire::{Reader, WireError};
use super::super::key::PublicKey;
use super::super::raw::RawSignature;
use super::{Certificates, Fault, RevocationList, listed_blob, shown};

pub(super) const MAGIC: &[u8] = b"SSHKRL\n\0";

const CERTIFICATES: u8 = 1;
const EXPLICIT_KEYS: u8 = 2;
const SHA1: u8 = 3;
const SIGNATURE: u8 = 4;
const SHA256: u8 = 5;
const EXTENSION: u8 = 255;

const SERIALS: u8 = 0x20;
const SERIAL_RANGE: u8 = 0x21;
const SERIAL_BITMAP: u8 = 0x22;
const KEY_IDS: u8 = 0x23;
const CERTIFICATES_EXTENSION: u8 = 0x39;

/// Most sections, those inside of others included.
const MAX_SECTIONS: usize = 100_000;

/// Most signatures. Each is over everything before it, so that the work grows with the square of their number.
const MAX_SIGNATURES: usize = 16;

/// A fault and the offset at which it was found.
type Failure = (usize, Fault);

/// A reader that knows where in the file it is.
struct Place<'a> {
    reader: Reader<'a>,
    /// Offset of the end of what is read here.
    end: usize,
}

impl<'a> Place<'a> {
    fn at(&self) -> usize {
        self.end - self.reader.rest().len()
    }

    fn is_done(&self) -> bool {
        self.reader.rest().is_empty()
    }

    fn read<T>(&mut self, read: impl FnOnce(&mut Reader<'a>) -> Result<T, WireError>) -> Result<T, Failure> {
        let at = self.at();
        read(&mut self.reader).map_err(|error| {
            let fault = match error {
                WireError::Truncated => Fault::Truncated,
                WireError::Trailing => Fault::Trailing,
                WireError::Number => Fault::Number,
            };
            (at, fault)
        })
    }

    fn string(&mut self) -> Result<&'a [u8], Failure> {
        self.read(Reader::string)
    }

    /// The content of a string, to be read in turn.
    fn section(&mut self) -> Result<Place<'a>, Failure> {
        let content = self.string()?;
        Ok(Place { reader: Reader::new(content), end: self.at() })
    }

    fn u64(&mut self) -> Result<u64, Failure> {
        self.read(Reader::u64)
    }

    fn byte(&mut self) -> Result<u8, Failure> {
        self.read(Reader::byte)
    }
}

/// Reads a whole file, whose first bytes are [`MAGIC`], into `list`.
pub(super) fn read(bytes: &[u8], list: &mut RevocationList) -> Result<(), Failure> {
    let mut file = Place { reader: Reader::new(bytes), end: bytes.len() };
    file.read(|reader| reader.take(MAGIC.len()))?;
    let at = file.at();
    let version = file.read(Reader::u32)?;
    if version != 1 {
        return Err((at, Fault::Version(version)));
    }
    list.header.version = file.u64()?;
    list.header.generated = file.u64()?;
    let at = file.at();
    if file.u64()? != 0 {
        return Err((at, Fault::Flags));
    }
    file.string()?; // Reserved: to be ignored.
    list.header.comment = shown(file.string()?);
    let mut sections = 0;
    while !file.is_done() {
        let at = file.at();
        count(&mut sections, at)?;
        let kind = file.byte()?;
        if kind == SIGNATURE {
            signature(&mut file, bytes, list)?;
            continue;
        }
        if !list.header.signed_by.is_empty() {
            return Err((at, Fault::BehindSignature));
        }
        let mut section = file.section()?;
        match kind {
            CERTIFICATES => certificates(&mut section, list, &mut sections)?,
            EXPLICIT_KEYS => {
                while !section.is_done() {
                    let at = section.at();
                    let blob = section.string()?;
                    listed_blob(blob).map_err(|fault| (at, fault))?;
                    list.keys.insert(blob.to_vec());
                }
            }
            SHA1 => {
                while !section.is_done() {
                    list.sha1.insert(fingerprint(&mut section)?);
                }
            }
            SHA256 => {
                while !section.is_done() {
                    list.sha256.insert(fingerprint(&mut section)?);
                }
            }
            EXTENSION => extension(&mut section)?,
            // The format has no way to say that a section may be skipped.
            unknown => return Err((at, Fault::Section(unknown))),
        }
    }
    Ok(())
}

fn count(sections: &mut usize, at: usize) -> Result<(), Failure> {
    *sections += 1;
    if *sections > MAX_SECTIONS { Err((at, Fault::TooManySections)) } else { Ok(()) }
}

fn fingerprint<const N: usize>(section: &mut Place<'_>) -> Result<[u8; N], Failure> {
    let at = section.at();
    let bytes = section.string()?;
    bytes.try_into().map_err(|_| (at, Fault::Fingerprint(bytes.len())))
}

/// `string name, boolean critical, string content`.
fn extension(section: &mut Place<'_>) -> Result<(), Failure> {
    let at = section.at();
    let name = section.string()?;
    let critical = section.byte()? != 0;
    section.string()?;
    if critical {
        return Err((at, Fault::Critical(shown(name))));
    }
    end(section)
}

fn end(section: &Place<'_>) -> Result<(), Failure> {
    if section.is_done() { Ok(()) } else { Err((section.at(), Fault::Trailing)) }
}

fn certificates(
    section: &mut Place<'_>,
    list: &mut RevocationList,
    sections: &mut usize,
) -> Result<(), Failure> {
    let at = section.at();
    let authority = section.string()?;
    if !authority.is_empty() {
        listed_blob(authority).map_err(|fault| (at, fault))?;
    }
    section.string()?; // Reserved: to be ignored.
    let into = list.certificates.entry(authority.to_vec()).or_default();
    while !section.is_done() {
        let at = section.at();
        count(sections, at)?;
        let kind = section.byte()?;
        let mut part = section.section()?;
        match kind {
            SERIALS => {
                while !part.is_done() {
                    let serial = part.u64()?;
                    into.ranges.push((serial, serial));
                }
            }
            SERIAL_RANGE => {
                let at = part.at();
                let (first, last) = (part.u64()?, part.u64()?);
                if first > last {
                    return Err((at, Fault::Range));
                }
                into.ranges.push((first, last));
                end(&part)?;
            }
            SERIAL_BITMAP => bitmap(&mut part, into)?,
            KEY_IDS => {
                while !part.is_done() {
                    into.key_ids.insert(part.string()?.to_vec());
                }
            }
            CERTIFICATES_EXTENSION => extension(&mut part)?,
            unknown => return Err((at, Fault::Section(unknown))),
        }
    }
    Ok(())
}

/// `uint64 offset, mpint bits`: the lowest bit is the offset itself.
fn bitmap(part: &mut Place<'_>, into: &mut Certificates) -> Result<(), Failure> {
    let at = part.at();
    let offset = part.u64()?;
    let bits = part.read(Reader::positive)?;
    let highest = u64::try_from(super::super::super::wire::bits(bits)).unwrap_or(u64::MAX) - 1;
    if offset.checked_add(highest).is_none() {
        return Err((at, Fault::Bitmap));
    }
    into.bitmaps.push((offset, bits.to_vec()));
    end(part)
}

/// `string key, string signature`, over everything before the signature. Whose it is, is the reader's
/// question; one that does not fit refuses the list.
fn signature(file: &mut Place<'_>, bytes: &[u8], list: &mut RevocationList) -> Result<(), Failure> {
    let at = file.at();
    if list.header.signed_by.len() >= MAX_SIGNATURES {
        return Err((at, Fault::TooManySignatures));
    }
    let key = PublicKey::from_blob(file.string()?).map_err(|error| (at, Fault::Key(error)))?;
    let signed = &bytes[..file.at()];
    let at = file.at();
    let fits = RawSignature::parse(file.string()?, &key).is_ok_and(|raw| raw.verifies(&key, signed));
    if !fits || key.weakness().is_some() {
        return Err((at, Fault::Signature));
    }
    list.header.signed_by.push(key.fingerprint());
    Ok(())
}
