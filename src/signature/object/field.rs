//! Where the signature of an object stands, and in which form (G7 to G12, T2, T3).

use super::super::armor::{self, Relaxed};
use super::lines::Header;
use super::{Payload, SignatureBlock, SignatureField};
use crate::signature::{Finding, Trace};

/// Collects the signature header of a commit and the first fault (G7 to G9).
pub(super) struct SignatureScan<'h> {
    name: &'static [u8],
    /// Unfolded when it is clear that they are wanted: an object can have very many.
    found: Vec<Header<'h>>,
    fault: Option<(&'static str, &'static str)>,
}

impl<'h> SignatureScan<'h> {
    /// Whether a header that begins with `gpgsig` was met.
    pub(super) fn seen(&self) -> bool {
        !self.found.is_empty() || self.fault.is_some()
    }

    pub(super) fn new(name: &'static [u8]) -> Self {
        Self { name, found: Vec::new(), fault: None }
    }

    pub(super) fn header(&mut self, header: &Header<'h>, before_committer: bool) {
        let fault = if header.name != self.name {
            Some((
                "sig.smuggled_header",
                "a header begins with `gpgsig` and is not this repository's signature header",
            ))
        } else if before_committer {
            Some(("sig.misplaced_header", "the signature header stands before the committer line"))
        } else {
            // A header with anything but one space where git expects it would not be git's header.
            self.found.push(header.clone());
            None
        };
        self.fault = self.fault.or(fault);
    }

    /// The field, what it covers, and what was let through.
    pub(super) fn finish<'a>(
        self,
        raw: &'a [u8],
        relaxed: Relaxed,
        trace: &mut Trace,
    ) -> (SignatureField, Payload<'a>, Vec<Finding>) {
        let whole = Payload { before: raw, after: b"" };
        let refused = |code, why, trace: &mut Trace| {
            trace.failed("signature-field", "G7 to G9", || format!("{why} ({code})"));
            (SignatureField::malformed(code, why), whole, Vec::new())
        };
        if let Some((code, why)) = self.fault {
            return refused(code, why, trace);
        }
        let (Some(first), Some(last)) = (self.found.first(), self.found.last()) else {
            trace.noted("signature-field", "G7", || "there is no signature");
            return (SignatureField::Absent, whole, Vec::new());
        };
        let range = first.range.start..last.range.end;
        let (value, relaxed, mut findings) = if self.found.len() == 1 {
            (first.unfolded(), relaxed, Vec::new())
        } else if relaxed.import && line_by_line(&self.found) {
            let finding =
                Finding::new("import.repeated_header", "each line of the signature is a header of its own");
            let value =
                self.found.iter().flat_map(|found| found.value.iter().copied().chain([b'\n'])).collect();
            // One oddity an object: this form with another one is nobody's history.
            (value, Relaxed::default(), vec![finding])
        } else {
            return refused("sig.multiple_headers", "there is more than one signature header", trace);
        };
        trace.passed("signature-field", "G7 to G9", || {
            format!("one signature header, bytes {} to {} of the object", range.start, range.end)
        });
        let payload = Payload { before: &raw[..range.start], after: &raw[range.end..] };
        let (field, odd) = SignatureField::from_value(&value, relaxed, trace);
        findings.extend(odd);
        if matches!(field, SignatureField::Present(_)) {
            let length = payload.before.len() + payload.after.len();
            trace.passed("payload", "G15", || format!("the {length} other bytes of the object are signed"));
        }
        (field, payload, findings)
    }
}

/// The form of 2011 (G034): headers without continuation, one behind the other.
fn line_by_line(found: &[Header<'_>]) -> bool {
    let adjacent = found.windows(2).all(|pair| pair[0].range.end == pair[1].range.start);
    adjacent && found.iter().all(|found| found.continuation.is_empty())
}

impl SignatureField {
    pub(super) fn malformed(code: &'static str, why: &str) -> Self {
        SignatureField::Malformed { code, why: why.to_owned() }
    }

    /// From an unfolded header value or the end of a tag (G10 to G12).
    pub(super) fn from_value(value: &[u8], relaxed: Relaxed, trace: &mut Trace) -> (Self, Vec<Finding>) {
        match armor::read(value, relaxed) {
            Ok(armor::Armor { format, text, findings }) => {
                trace.passed("armor", "G10 to G12", || {
                    format!("{}, {} bytes from BEGIN to END", format.name(), text.len())
                });
                for finding in &findings {
                    trace.noted("armor", "G10", || format!("{} ({})", finding.text, finding.code));
                }
                (SignatureField::Present(SignatureBlock { format, armor: text }), findings)
            }
            Err(fault) => {
                trace.failed("armor", "G10 to G12", || format!("{} ({})", fault.why, fault.code));
                (SignatureField::malformed(fault.code, fault.why), Vec::new())
            }
        }
    }
}

/// The lines of a tag's body at which git could take a signature to begin (T2).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Markers {
    /// Where the last of them begins: there the signature is.
    pub(super) last: Option<usize>,
    /// There is one before it.
    pub(super) embedded: bool,
    /// What is before it holds a whole signature, from BEGIN to END: a reader that looks for the first one
    /// would verify that.
    pub(super) second: bool,
}

/// Finds the markers in a tag's body.
pub(super) fn markers(body: &[u8]) -> Markers {
    let mut found = Markers::default();
    // The END lines of the signatures that have begun: no other marker between closes one.
    let mut open: Vec<&[u8]> = Vec::new();
    let mut whole = false;
    let mut at = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        if let Some(marker) = armor::MARKERS.iter().find(|marker| line.starts_with(marker)) {
            found.embedded = found.last.is_some();
            found.second = whole;
            found.last = Some(at);
            open.extend(armor::end_of(marker).filter(|end| !open.contains(end)));
        } else if open.iter().any(|end| line.starts_with(end)) {
            whole = true;
        }
        at += line.len();
    }
    found
}
