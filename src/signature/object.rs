//! The grammar of commits and annotated tags, on raw bytes (reference 1.1, 1.2): one object, one
//! interpretation.

use crate::domain::{ObjectFormat, ObjectId, ObjectKind};

/// Which verifier a signature block asks for, by its BEGIN line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureFormat {
    /// `-----BEGIN PGP SIGNATURE-----`
    OpenPgp,
    /// `-----BEGIN SSH SIGNATURE-----`
    Ssh,
    /// `-----BEGIN SIGNED MESSAGE-----`, X.509 / CMS, gitsign among them.
    X509,
}

/// An unfolded, canonically delimited signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureBlock {
    /// By its BEGIN line.
    pub format: SignatureFormat,
    /// The armor from BEGIN to END, continuation spaces removed.
    pub armor: Vec<u8>,
}

/// The signed bytes, as slices of the object: what is before the signature and what is after it.
/// Nothing is copied or re-encoded (G15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The bytes before the signature.
    pub before: &'a [u8],
    /// The bytes after it; empty for tags.
    pub after: &'a [u8],
}

/// What stands where a signature may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureField {
    /// Nothing.
    Absent,
    /// One signature in canonical form.
    Present(SignatureBlock),
    /// Something that claims to be one and breaks G7 to G12.
    Malformed {
        /// Stable reason code.
        code: &'static str,
        /// The same for people.
        why: String,
    },
}

/// An author, committer or tagger line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The name, raw bytes.
    pub name: &'a [u8],
    /// The address between the last `<` and `>`, raw bytes.
    pub email: &'a [u8],
    /// Seconds since the epoch; claimed, never trusted.
    pub time: i64,
}

/// A commit that follows the grammar.
#[derive(Clone, Debug)]
pub struct CommitObject<'a> {
    /// Its tree.
    pub tree: ObjectId,
    /// Its parents, in order.
    pub parents: Vec<ObjectId>,
    /// The author line.
    pub author: Identity<'a>,
    /// The committer line.
    pub committer: Identity<'a>,
    /// The message: everything after the first empty line.
    pub message: &'a [u8],
    /// The signature.
    pub signature: SignatureField,
    /// What the signature covers.
    pub payload: Payload<'a>,
}

/// An annotated tag that follows the grammar.
#[derive(Clone, Debug)]
pub struct TagObject<'a> {
    /// What it points at.
    pub target: ObjectId,
    /// The kind it claims for its target.
    pub target_kind: ObjectKind,
    /// The `tag` header: the name it was made for.
    pub name: &'a [u8],
    /// The tagger line; absent only in very old tags, which are refused.
    pub tagger: Identity<'a>,
    /// The message, without the signature.
    pub message: &'a [u8],
    /// The signature.
    pub signature: SignatureField,
    /// What the signature covers.
    pub payload: Payload<'a>,
}

/// Why bytes are not a commit or tag that this program accepts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why} ({code})")]
pub struct GrammarError {
    /// Stable reason code such as `obj.dup_header`.
    pub code: &'static str,
    /// The same for people.
    pub why: String,
}

/// Parses a commit strictly.
///
/// # Errors
/// A [`GrammarError`] where two readers could disagree about the object (G1 to G6, G13, G14). Faults
/// of the signature field alone are not errors: see [`SignatureField::Malformed`].
pub fn parse_commit(format: ObjectFormat, raw: &[u8]) -> Result<CommitObject<'_>, GrammarError> {
    let _ = (format, raw);
    Err(GrammarError { code: "obj.bad_header", why: String::new() })
}

/// Parses an annotated tag strictly.
///
/// # Errors
/// As [`parse_commit`], by T1 to T3.
pub fn parse_tag(format: ObjectFormat, raw: &[u8]) -> Result<TagObject<'_>, GrammarError> {
    let _ = (format, raw);
    Err(GrammarError { code: "obj.bad_header", why: String::new() })
}

/// Reads only the parents of a commit, however malformed the rest is: for history behind the frontier,
/// whose format never makes a push undecided (N25). `None` where even that cannot be read.
pub fn parents_lenient(format: ObjectFormat, raw: &[u8]) -> Option<Vec<ObjectId>> {
    let _ = (format, raw);
    None
}
