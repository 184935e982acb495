//! Where this program and git say different things about one signature with the same keys, and why
//! (reference 1.5 and section 4). Pure: `countersign verify` explains by it, and the differential tests
//! hold that no difference is left without a name.

use crate::signature::{Scheme, SignatureStatus};

/// What this program says.
#[derive(Clone, Copy, Debug)]
pub struct Ours<'a> {
    /// The signature's verdict, the keyring applied.
    pub status: &'a SignatureStatus,
    /// The code of what is wrong with the object itself (`obj.nul`), or with where it stands
    /// (`tag.name`): the signature does not help it then.
    pub fault: Option<&'a str>,
    /// Which kind of key the signature is by, as its BEGIN line says.
    pub scheme: Option<Scheme>,
}

impl Ours<'_> {
    /// Whether the object counts as signed by a principal of the keyring.
    pub fn accepts(&self) -> bool {
        self.fault.is_none() && matches!(self.status, SignatureStatus::Verified(_))
    }
}

/// The verdict that git came to: the letters are those of `git log --format=%G?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitStatus {
    /// `G`: good, and for SSH by a key that is listed.
    Good,
    /// `U`: the numbers fit; for SSH the key is not listed, or not for this time.
    Untrusted,
    /// `B`: they do not.
    Bad,
    /// `E` because the key is not there.
    MissingKey,
    /// `X`: the signature has expired.
    ExpiredSignature,
    /// `Y`: the key has expired.
    ExpiredKey,
    /// `R`: the key is revoked.
    Revoked,
    /// `N`: git sees no signature.
    Unsigned,
    /// `E`, or nothing that can be understood.
    Error,
}

impl GitStatus {
    /// One word for output.
    pub const fn name(self) -> &'static str {
        match self {
            GitStatus::Good => "good",
            GitStatus::Untrusted => "untrusted",
            GitStatus::Bad => "bad",
            GitStatus::MissingKey => "missing-key",
            GitStatus::ExpiredSignature => "expired-signature",
            GitStatus::ExpiredKey => "expired-key",
            GitStatus::Revoked => "revoked",
            GitStatus::Unsigned => "unsigned",
            GitStatus::Error => "error",
        }
    }
}

/// What git says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gits {
    /// `git verify-commit` or `git verify-tag` ended with 0.
    pub accepts: bool,
    /// What it said.
    pub status: GitStatus,
    /// How many lines of the `allowed_signers` file name the key or its authority.
    pub lines: usize,
}

/// A kind of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Stable code, such as `git-ignores-trailing-text`.
    pub code: &'static str,
    /// Whether it is git that accepts.
    pub git_accepts: bool,
    /// The attack or flaw of the reference that it belongs to, where there is one.
    pub attack: Option<&'static str>,
    /// Why, for people.
    pub text: &'static str,
}

/// The code of a difference that nobody has thought of.
pub const UNEXPLAINED: &str = "unexplained";

const fn accepts(code: &'static str, attack: Option<&'static str>, text: &'static str) -> Difference {
    Difference { code, git_accepts: true, attack, text }
}

const fn refuses(code: &'static str, attack: Option<&'static str>, text: &'static str) -> Difference {
    Difference { code, git_accepts: false, attack, text }
}

/// Every kind, those first where git accepts what is refused here.
pub const TABLE: &[Difference] = &[
    accepts(
        "git-reads-loose-objects",
        Some("A1"),
        "git verifies objects whose headers are doubled, missing, misplaced or malformed; readers of such an \
         object disagree about what was signed",
    ),
    accepts(
        "git-strips-gpgsig-headers",
        Some("A2"),
        "git takes every header that begins with `gpgsig` out of what it verifies, so such a header can be \
         added to a signed object",
    ),
    accepts(
        "git-joins-signature-headers",
        Some("A3"),
        "git joins several signature headers into one and does not mind where they stand; here there is \
         exactly one, in its place",
    ),
    accepts(
        "git-ignores-trailing-text",
        Some("A4"),
        "git ignores what stands before or behind the signature's block: nobody signed it, and people read it",
    ),
    accepts(
        "git-stops-at-nul",
        Some("A5"),
        "git shows the text up to a NUL byte and verifies the whole of it, so people do not see what was signed",
    ),
    accepts(
        "text-signature",
        Some("A6"),
        "a text signature holds for LF and CRLF alike, so the object can be changed under it",
    ),
    accepts(
        "git-reads-loose-signatures",
        Some("A8"),
        "the signature's armor or packets have a form that the tools tolerate: one signature could be had in \
         many forms, each another object id",
    ),
    accepts(
        "git-does-not-check-tag-names",
        Some("A10"),
        "git does not compare the name in a tag with the ref that holds it",
    ),
    accepts(
        "git-judges-at-claimed-time",
        Some("A13"),
        "git asks whether an SSH key was valid at the time that the object claims; here it must have been \
         valid when the object was received",
    ),
    accepts(
        "time-zero",
        Some("A15"),
        "for an object from the second 0 of 1970 git judges at its own clock; here it has no time to be judged at",
    ),
    accepts(
        "git-accepts-any-file-signature",
        Some("A30"),
        "the key or the signature was not made for signing commits and tags, and git's tools let it pass",
    ),
    accepts(
        "git-ignores-fido-flags",
        Some("A31"),
        "git's tools do not ask whether the authenticator was touched, knew its user, or was made for `ssh:`",
    ),
    accepts(
        "git-ignores-certificate-limits",
        Some("A32"),
        "git's tools let a certificate pass that is not for its bearer here: principals, critical options, times",
    ),
    accepts(
        "git-does-not-know-the-keyring",
        None,
        "the keyring says that the key is revoked or outside its window, which only this program reads",
    ),
    accepts(
        "git-judges-at-its-clock",
        None,
        "gpg judges the key at its own clock; here it must have been valid when it signed and when the object \
         was received",
    ),
    accepts(
        "git-does-not-compare-times",
        None,
        "git compares neither the signature's time with the object's nor either with the receipt",
    ),
    accepts(
        "git-accepts-weak-algorithms",
        None,
        "git's tools accept a hash, an algorithm or a key size that is too weak here",
    ),
    accepts("unsupported-kind", None, "the signature is of a kind that this program does not verify"),
    accepts(
        "git-does-not-check-merged-tags",
        None,
        "git does not ask about the signature of the tag that a merge carries in its `mergetag` header",
    ),
    refuses(
        "git-reads-first-line-only",
        Some("A17"),
        "git takes the first line of the allowed_signers file that names the key; here all entries count",
    ),
    refuses(
        "expired-key-after-receipt",
        None,
        "gpg judges at its own clock: the key has expired since. It was valid when it signed and when the object \
         was received",
    ),
    refuses(
        "expired-signature-after-receipt",
        None,
        "gpg judges at its own clock: the signature has expired since the object was received",
    ),
    refuses(
        "revoked-key-all-times",
        None,
        "gpg refuses everything that a revoked key ever signed; here a key that was only replaced or given up \
         counts for what was received before",
    ),
    refuses(
        "git-refuses-by-claimed-time",
        Some("A13"),
        "git asks whether an SSH key was valid at the time that the object claims; it was valid when the object \
         was received",
    ),
    refuses(
        "git-lacks-the-algorithm",
        None,
        "the installed gpg or ssh-keygen cannot read this key or signature",
    ),
    Difference {
        code: UNEXPLAINED,
        git_accepts: false,
        attack: None,
        text: "nothing known explains this difference: please report it, with the object and the public key",
    },
];

/// The kind with that code.
pub fn by_code(code: &str) -> Option<Difference> {
    TABLE.iter().find(|one| one.code == code).copied()
}

/// Why the two differ; `None` where both accept or both refuse. A difference without a known reason is
/// [`UNEXPLAINED`], never `None`.
pub fn classify(ours: &Ours<'_>, gits: &Gits) -> Option<Difference> {
    if ours.accepts() == gits.accepts {
        return None;
    }
    let code = if gits.accepts { why_only_git(ours) } else { why_only_we(ours, gits) };
    let difference = by_code(code.unwrap_or(UNEXPLAINED))?;
    Some(Difference { git_accepts: gits.accepts, ..difference })
}

/// Git accepts, we do not.
fn why_only_git(ours: &Ours<'_>) -> Option<&'static str> {
    if let Some(fault) = ours.fault {
        return of_code(fault);
    }
    let ssh = ours.scheme == Some(Scheme::Ssh);
    match ours.status {
        SignatureStatus::Malformed { code, .. } => of_code(code),
        SignatureStatus::Expired { what, .. } | SignatureStatus::NotYetValid { what, .. } => {
            Some(match *what {
                "signature" if matches!(ours.status, SignatureStatus::NotYetValid { .. }) => {
                    "git-does-not-compare-times"
                }
                _ if ssh => "git-judges-at-claimed-time",
                "keyring entry" => "git-does-not-know-the-keyring",
                _ => "git-judges-at-its-clock",
            })
        }
        // What is in a certificate gpg knows, too; what only the keyring says nobody has told it.
        SignatureStatus::Revoked { .. } => Some("git-does-not-know-the-keyring"),
        SignatureStatus::WeakAlgorithm { .. } => Some("git-accepts-weak-algorithms"),
        SignatureStatus::WrongPurpose { why, .. } => Some(of_purpose(ssh, why)),
        SignatureStatus::Unsupported { what } if what.contains("text signature") => Some("text-signature"),
        SignatureStatus::Unsupported { .. } => Some("unsupported-kind"),
        // Git sees a good signature by a listed key where we see none, another key or wrong numbers:
        // that must be looked at.
        SignatureStatus::Unsigned
        | SignatureStatus::UnknownKey { .. }
        | SignatureStatus::Bad { .. }
        | SignatureStatus::Verified(_) => None,
    }
}

/// What a missing purpose is about.
fn of_purpose(ssh: bool, why: &str) -> &'static str {
    let about = |words: &[&str]| words.iter().any(|word| why.contains(word));
    if about(&["keyring entry has the roles"]) {
        "git-does-not-know-the-keyring"
    } else if ssh && about(&["certificate", "principal", "authority"]) {
        "git-ignores-certificate-limits"
    } else if ssh && about(&["touch", "user", "application", "authenticator", "FIDO"]) {
        "git-ignores-fido-flags"
    } else {
        "git-accepts-any-file-signature"
    }
}

/// What a reason code of the object or its signature is about.
fn of_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "obj.nul" => "git-stops-at-nul",
        "tag.name" => "git-does-not-check-tag-names",
        "sig.smuggled_header" => "git-strips-gpgsig-headers",
        "sig.multiple_headers" | "sig.misplaced_header" => "git-joins-signature-headers",
        "sig.trailing" | "sig.leading" | "tag.embedded_marker" => "git-ignores-trailing-text",
        "pgp.text" | "pgp.text_cr" => "text-signature",
        _ if code.starts_with("ssh.certificate") => "git-ignores-certificate-limits",
        "time.zero" => "time-zero",
        _ => match code.split('.').next()? {
            "obj" | "tag" => "git-reads-loose-objects",
            "sig" | "pgp" | "ssh" => "git-reads-loose-signatures",
            "time" => "git-does-not-compare-times",
            "fido" => "git-ignores-fido-flags",
            "cert" => "git-ignores-certificate-limits",
            "mergetag" => "git-does-not-check-merged-tags",
            _ => return None,
        },
    })
}

/// We accept, git does not.
fn why_only_we(ours: &Ours<'_>, gits: &Gits) -> Option<&'static str> {
    let ssh = ours.scheme == Some(Scheme::Ssh);
    match gits.status {
        GitStatus::ExpiredKey => Some("expired-key-after-receipt"),
        GitStatus::ExpiredSignature => Some("expired-signature-after-receipt"),
        GitStatus::Revoked => Some("revoked-key-all-times"),
        GitStatus::Untrusted if ssh && gits.lines > 1 => Some("git-reads-first-line-only"),
        GitStatus::Untrusted if ssh => Some("git-refuses-by-claimed-time"),
        // A tool that cannot read the key says that it is not there.
        GitStatus::MissingKey | GitStatus::Error => Some("git-lacks-the-algorithm"),
        GitStatus::Good | GitStatus::Untrusted | GitStatus::Bad | GitStatus::Unsigned => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::signature::KeyId;
    use std::collections::HashSet;

    fn key() -> KeyId {
        KeyId { scheme: Scheme::Ssh, text: "SHA256:x".to_owned() }
    }

    fn gits(accepts: bool, status: GitStatus) -> Gits {
        Gits { accepts, status, lines: 1 }
    }

    fn code(status: &SignatureStatus, scheme: Scheme, gits: &Gits) -> Option<&'static str> {
        classify(&Ours { status, fault: None, scheme: Some(scheme) }, gits).map(|one| one.code)
    }

    #[test]
    fn codes_are_unique_and_all_that_are_used_exist() {
        let codes: HashSet<_> = TABLE.iter().map(|one| one.code).collect();
        assert_eq!(codes.len(), TABLE.len());
        let reasons = [
            "obj.nul",
            "tag.name",
            "sig.smuggled_header",
            "sig.multiple_headers",
            "sig.trailing",
            "pgp.text",
            "time.zero",
            "obj.x",
            "sig.x",
            "pgp.x",
            "ssh.x",
            "time.x",
            "fido.x",
            "cert.x",
            "mergetag.x",
        ];
        for reason in reasons {
            assert!(codes.contains(of_code(reason).unwrap()), "{reason}");
        }
    }

    #[test]
    fn agreement_is_no_difference() {
        let bad = SignatureStatus::Bad { key: key() };
        assert_eq!(code(&bad, Scheme::Ssh, &gits(false, GitStatus::Bad)), None);
        assert_eq!(code(&bad, Scheme::Ssh, &gits(false, GitStatus::Error)), None);
    }

    #[test]
    fn what_only_git_accepts_has_a_name() {
        let good = gits(true, GitStatus::Good);
        let trailing = SignatureStatus::Malformed { code: "sig.trailing", why: String::new() };
        assert_eq!(code(&trailing, Scheme::Ssh, &good), Some("git-ignores-trailing-text"));
        let expired = SignatureStatus::Expired { key: key(), what: "keyring entry", at: Timestamp::MIN };
        assert_eq!(code(&expired, Scheme::Ssh, &good), Some("git-judges-at-claimed-time"));
        assert_eq!(code(&expired, Scheme::OpenPgp, &good), Some("git-does-not-know-the-keyring"));
        let touch = SignatureStatus::WrongPurpose { key: key(), why: "no touch".to_owned(), remedy: "" };
        assert_eq!(code(&touch, Scheme::Ssh, &good), Some("git-ignores-fido-flags"));
        let host = SignatureStatus::WrongPurpose {
            key: key(),
            why: "it has a host's certificate, not a user's".to_owned(),
            remedy: "",
        };
        assert_eq!(code(&host, Scheme::Ssh, &good), Some("git-ignores-certificate-limits"));
        let why = "its keyring entry has the roles `tag` and not `commit`".to_owned();
        let role = SignatureStatus::WrongPurpose { key: key(), why, remedy: "" };
        assert_eq!(code(&role, Scheme::Ssh, &good), Some("git-does-not-know-the-keyring"));
        let unsigned = SignatureStatus::Unsigned;
        let ours = Ours { status: &unsigned, fault: Some("obj.nul"), scheme: None };
        assert_eq!(classify(&ours, &good).unwrap().code, "git-stops-at-nul");
    }

    #[test]
    fn what_only_we_accept_has_a_name() {
        let gits = |status, lines| Gits { accepts: false, status, lines };
        for (scheme, gits, wanted) in [
            (Scheme::OpenPgp, gits(GitStatus::ExpiredKey, 0), Some("expired-key-after-receipt")),
            (Scheme::OpenPgp, gits(GitStatus::ExpiredSignature, 0), Some("expired-signature-after-receipt")),
            (Scheme::OpenPgp, gits(GitStatus::Revoked, 0), Some("revoked-key-all-times")),
            (Scheme::OpenPgp, gits(GitStatus::MissingKey, 0), Some("git-lacks-the-algorithm")),
            (Scheme::Ssh, gits(GitStatus::Untrusted, 2), Some("git-reads-first-line-only")),
            (Scheme::Ssh, gits(GitStatus::Untrusted, 1), Some("git-refuses-by-claimed-time")),
            (Scheme::Ssh, gits(GitStatus::Bad, 1), None),
            (Scheme::Ssh, gits(GitStatus::Unsigned, 1), None),
        ] {
            let status = SignatureStatus::Unsigned;
            let ours = Ours { status: &status, fault: None, scheme: Some(scheme) };
            assert_eq!(why_only_we(&ours, &gits), wanted, "{gits:?}");
        }
    }

    #[test]
    fn what_nobody_thought_of_is_told_and_not_hidden() {
        let good = gits(true, GitStatus::Good);
        for status in [
            SignatureStatus::Unsigned,
            SignatureStatus::Bad { key: key() },
            SignatureStatus::UnknownKey { key: key() },
            SignatureStatus::Malformed { code: "new.thing", why: String::new() },
        ] {
            let ours = Ours { status: &status, fault: None, scheme: None };
            let difference = classify(&ours, &good).unwrap();
            assert_eq!((difference.code, difference.git_accepts), (UNEXPLAINED, true), "{status:?}");
        }
    }
}
